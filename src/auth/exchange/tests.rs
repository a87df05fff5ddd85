use std::thread;

use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::auth::prepare::MAX_NAME;
use crate::auth::{ScramVerifier, Users, decode};
use crate::envelope::tls_info::TlsInfo;

fn users() -> Arc<dyn Authenticator> {
    Arc::new(Users::new().add("tim", "tanstaaftanstaaf").unwrap().add("Kurt", "xipj3plmq").unwrap())
}

fn tls() -> TlsInfo {
    TlsInfo {
        server_end_point: Some(b"the certificate's hash".to_vec()),
        exporter: Some(b"keying material".to_vec()),
        client_certificate: Some(b"a certificate".to_vec()),
        ..TlsInfo::default()
    }
}

/// Of a connection that nothing can be bound to.
fn clear() -> TlsInfo {
    TlsInfo::default()
}

/// An exchange, and the connection on which it runs.
struct Running(Exchange, Context);

impl Running {
    fn step(&mut self, response: Option<&[u8]>) -> Step {
        self.0.step(&self.1, response)
    }
}

fn context(tls: TlsInfo) -> Context {
    Context { tls: Some(tls.into()), ..Context::of_nobody() }
}

fn start_on(mechanism: Mechanism, authenticator: &Arc<dyn Authenticator>, tls: TlsInfo) -> Running {
    Running(Exchange::start(mechanism, authenticator.clone()), context(tls))
}

fn start(mechanism: Mechanism, authenticator: &Arc<dyn Authenticator>) -> Running {
    start_on(mechanism, authenticator, clear())
}

fn challenge(step: Step) -> String {
    match step {
        Step::Challenge(challenge) => String::from_utf8(challenge).unwrap(),
        Step::Done(result) => panic!("done: {result:?}"),
    }
}

/// The identity, or the reply's code.
fn done(step: Step) -> Result<String, u16> {
    match step {
        Step::Challenge(challenge) => panic!("challenged: {challenge:?}"),
        Step::Done(result) => result.map_err(|failure| failure.reply().code()),
    }
}

fn plain(authenticator: &Arc<dyn Authenticator>, message: &[u8]) -> Result<String, u16> {
    done(start(Mechanism::Plain, authenticator).step(Some(message)))
}

#[test]
fn plain_as_in_rfc_4616() {
    let users = users();
    assert_eq!(plain(&users, b"\0tim\0tanstaaftanstaaf"), Ok("tim".to_owned()));
    // The same without an initial response.
    let mut exchange = start(Mechanism::Plain, &users);
    assert_eq!(challenge(exchange.step(None)), "");
    assert_eq!(done(exchange.step(Some(b"\0tim\0tanstaaftanstaaf"))), Ok("tim".to_owned()));
    // Kurt wants to be Ursel.
    assert_eq!(plain(&users, b"Ursel\0Kurt\0xipj3plmq"), Err(535));
    assert_eq!(plain(&users, b"Kurt\0Kurt\0xipj3plmq"), Ok("Kurt".to_owned()));
    assert_eq!(plain(&users, b"\0Kurt\0tanstaaftanstaaf"), Err(535));
    assert_eq!(plain(&users, b"\0nobody\0xipj3plmq"), Err(535));
}

#[test]
fn plain_messages_of_other_forms() {
    let anybody: Arc<dyn Authenticator> = Arc::new(|_: &str, _: &str| true);
    assert_eq!(plain(&anybody, b"\0a\0b"), Ok("a".to_owned()));
    for (message, code) in [
        (&b""[..], 501),
        (b"\0", 501),
        (b"a\0b", 501),
        (b"\0a\0b\0", 501),
        (b"\0a\0b\0c", 501),
        (b"\0\0b", 535),
        (b"\0a\0", 535),
        // A password that SASLprep leaves nothing of.
        (b"\0a\0\xc2\xad", 535),
        (b"\0a\xff\0b", 535),
        (b"\0a\0b\xff", 535),
        (b"\0a\r\nb\0c", 535),
        (b"\x1b\0a\0b", 535),
    ] {
        assert_eq!(plain(&anybody, message), Err(code), "{message:?}");
    }
    let long = |len| [b"\0", &b"a".repeat(len)[..], b"\0b"].concat();
    assert!(plain(&anybody, &long(MAX_NAME)).is_ok());
    assert_eq!(plain(&anybody, &long(MAX_NAME + 1)), Err(535));
}

#[test]
fn names_are_prepared() {
    // RFC 4013 section 3.
    let anybody: Arc<dyn Authenticator> = Arc::new(|_: &str, _: &str| true);
    assert_eq!(plain(&anybody, "\0I\u{ad}X\0b".as_bytes()), Ok("IX".to_owned()));
    assert_eq!(plain(&anybody, "\0\u{aa}\0b".as_bytes()), Ok("a".to_owned()));
    assert_eq!(plain(&anybody, "\0\u{7}\0b".as_bytes()), Err(535));
    assert_eq!(plain(&anybody, "\0\u{627}1\0b".as_bytes()), Err(535));
}

#[test]
fn login() {
    let users = users();
    let mut exchange = start(Mechanism::Login, &users);
    assert_eq!(challenge(exchange.step(None)), "Username:");
    assert_eq!(challenge(exchange.step(Some(b"tim"))), "Password:");
    assert_eq!(done(exchange.step(Some(b"tanstaaftanstaaf"))), Ok("tim".to_owned()));
    // The name with AUTH, as many clients send it.
    let mut exchange = start(Mechanism::Login, &users);
    assert_eq!(challenge(exchange.step(Some(b"tim"))), "Password:");
    assert_eq!(done(exchange.step(Some(b"wrong"))), Err(535));
    // A bad name is refused no earlier than a bad password.
    for name in [&b""[..], b"nobody", b"\xff", b"a\0b"] {
        let mut exchange = start(Mechanism::Login, &users);
        assert_eq!(challenge(exchange.step(Some(name))), "Password:");
        assert_eq!(done(exchange.step(Some(b"tanstaaftanstaaf"))), Err(535), "{name:?}");
    }
}

#[test]
fn nothing_follows_the_end() {
    let users = users();
    let mut exchange = start(Mechanism::Plain, &users);
    assert!(done(exchange.step(Some(b"\0tim\0tanstaaftanstaaf"))).is_ok());
    assert_eq!(done(exchange.step(Some(b"\0tim\0tanstaaftanstaaf"))), Err(501));
    assert_eq!(done(exchange.step(None)), Err(501));
}

#[test]
fn a_directory_that_is_down() {
    struct Down;
    impl Authenticator for Down {
        fn password(&self, _: &Context, _: &str, _: &str) -> Result<String, AuthFailure> {
            Err(AuthFailure::temporary("no route to host"))
        }
        fn scram(&self, _: &Context, _: &str) -> Result<Option<ScramVerifier>, AuthFailure> {
            Err(AuthFailure::temporary("no route to host"))
        }
        fn bearer(&self, _: &Context, _: &Bearer<'_>) -> Result<String, AuthFailure> {
            Err(AuthFailure::temporary("no route to host"))
        }
    }
    let down: Arc<dyn Authenticator> = Arc::new(Down);
    assert_eq!(plain(&down, b"\0a\0b"), Err(454));
    assert_eq!(done(start(Mechanism::ScramSha256, &down).step(Some(b"n,,n=a,r=b"))), Err(454));
    assert_eq!(done(start(Mechanism::OAuthBearer, &down).step(Some(b"n,,\x01auth=Bearer t\x01\x01"))), Err(454));
}

#[test]
fn acting_as_somebody_else() {
    struct Postmaster;
    impl Authenticator for Postmaster {
        fn password(&self, _: &Context, user: &str, _: &str) -> Result<String, AuthFailure> {
            Ok(format!("{user}@example.org"))
        }
        fn authorize(&self, _: &Context, identity: &str, acts_as: &str) -> Result<String, AuthFailure> {
            match identity {
                "postmaster@example.org" => Ok(acts_as.to_owned()),
                _ => Err(AuthFailure::Credentials),
            }
        }
    }
    let postmaster: Arc<dyn Authenticator> = Arc::new(Postmaster);
    assert_eq!(plain(&postmaster, b"bob\0postmaster\0x"), Ok("bob".to_owned()));
    assert_eq!(plain(&postmaster, b"postmaster\0bob\0x"), Err(535));
    // Oneself, by either name.
    assert_eq!(plain(&postmaster, b"bob\0bob\0x"), Ok("bob@example.org".to_owned()));
    assert_eq!(plain(&postmaster, b"bob@example.org\0bob\0x"), Ok("bob@example.org".to_owned()));
}

/// A client of SCRAM that shares no code with the server's side.
struct Client {
    gs2_header: &'static str,
    binding: &'static [u8],
    user: &'static str,
    password: &'static str,
}

const TIM: Client = Client { gs2_header: "n,,", binding: b"", user: "tim", password: "tanstaaftanstaaf" };

impl Client {
    fn first(&self) -> String {
        format!("{}n={},r=fyko+d2lbbFgONRv9qkxdawL", self.gs2_header, self.user)
    }

    /// The last message, and what the server must say to it.
    fn last(&self, challenge: &str) -> (String, String) {
        fn mac(key: &[u8], message: &str) -> Vec<u8> {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
            mac.update(message.as_bytes());
            mac.finalize().into_bytes().to_vec()
        }
        let mut parts = challenge.split(',');
        let nonce = parts.next().unwrap();
        let salt = decode(parts.next().unwrap().strip_prefix("s=").unwrap().as_bytes()).unwrap();
        let iterations: u32 = parts.next().unwrap().strip_prefix("i=").unwrap().parse().unwrap();
        assert!(nonce.starts_with("r=fyko+d2lbbFgONRv9qkxdawL") && nonce.len() > 40 && iterations >= 4096);
        let mut salted = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(self.password.as_bytes(), &salt, iterations, &mut salted);
        let channel = encode(&[self.gs2_header.as_bytes(), self.binding].concat());
        let without_proof = format!("c={channel},{nonce}");
        let first = self.first();
        let signed = format!("{},{challenge},{without_proof}", &first[self.gs2_header.len()..]);
        let client_key = mac(&salted, "Client Key");
        let signature = mac(&Sha256::digest(&client_key), &signed);
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        let server = mac(&mac(&salted, "Server Key"), &signed);
        (format!("{without_proof},p={}", encode(&proof)), format!("v={}", encode(&server)))
    }

    fn run(&self, mut exchange: Running) -> Result<String, u16> {
        let first = match exchange.step(Some(self.first().as_bytes())) {
            Step::Challenge(challenge) => String::from_utf8(challenge).unwrap(),
            step => return done(step),
        };
        let (last, server) = self.last(&first);
        match exchange.step(Some(last.as_bytes())) {
            Step::Challenge(challenge) => assert_eq!(String::from_utf8(challenge).unwrap(), server),
            step => return done(step),
        }
        done(exchange.step(Some(b"")))
    }
}

#[test]
fn scram() {
    let users = users();
    let run = |client: Client| client.run(start(Mechanism::ScramSha256, &users));
    assert_eq!(run(TIM), Ok("tim".to_owned()));
    assert_eq!(run(Client { gs2_header: "y,,", ..TIM }), Ok("tim".to_owned()));
    assert_eq!(run(Client { gs2_header: "n,a=tim,", ..TIM }), Ok("tim".to_owned()));
    assert_eq!(run(Client { gs2_header: "n,a=root,", ..TIM }), Err(535));
    assert_eq!(run(Client { password: "tanstaaf", ..TIM }), Err(535));
    assert_eq!(run(Client { user: "nobody", ..TIM }), Err(535));
    assert_eq!(run(Client { user: "nobody", password: "", ..TIM }), Err(535));
    assert_eq!(run(Client { user: "t=2Cim", ..TIM }), Err(535));
    assert_eq!(run(Client { user: "t=im", ..TIM }), Err(501));
    // Without an initial response.
    let mut exchange = start(Mechanism::ScramSha256, &users);
    assert_eq!(challenge(exchange.step(None)), "");
    assert_eq!(TIM.run(exchange), Ok("tim".to_owned()));
}

#[test]
fn a_scram_proof_is_good_once() {
    let users = users();
    let mut exchange = start(Mechanism::ScramSha256, &users);
    let first = challenge(exchange.step(Some(TIM.first().as_bytes())));
    let (last, _) = TIM.last(&first);
    let mut second = start(Mechanism::ScramSha256, &users);
    assert_ne!(challenge(second.step(Some(TIM.first().as_bytes()))), first);
    assert_eq!(done(second.step(Some(last.as_bytes()))), Err(535));
    challenge(exchange.step(Some(last.as_bytes())));
    // What acknowledges the server's proof must be empty.
    assert_eq!(done(exchange.step(Some(last.as_bytes()))), Err(501));
}

#[test]
fn scram_bound_to_the_connection() {
    let users = users();
    let run = |mechanism, tls, client: Client| client.run(start_on(mechanism, &users, tls));
    let plus = Mechanism::ScramSha256Plus;
    let end_point = Client { gs2_header: "p=tls-server-end-point,,", binding: b"the certificate's hash", ..TIM };
    let exporter = Client { gs2_header: "p=tls-exporter,,", binding: b"keying material", ..TIM };
    assert_eq!(run(plus, tls(), end_point), Ok("tim".to_owned()));
    assert_eq!(run(plus, tls(), exporter), Ok("tim".to_owned()));
    // Bound to another connection, by another type, by none.
    let elsewhere = Client { gs2_header: "p=tls-exporter,,", binding: b"other material", ..TIM };
    assert_eq!(run(plus, tls(), elsewhere), Err(535));
    let swapped = Client { gs2_header: "p=tls-exporter,,", binding: b"the certificate's hash", ..TIM };
    assert_eq!(run(plus, tls(), swapped), Err(535));
    let unknown = Client { gs2_header: "p=tls-unique,,", binding: b"keying material", ..TIM };
    assert_eq!(run(plus, tls(), unknown), Err(535));
    let only = TlsInfo { exporter: None, ..tls() };
    let missing = Client { gs2_header: "p=tls-exporter,,", binding: b"", ..TIM };
    assert_eq!(run(plus, only, missing), Err(535));
    assert_eq!(run(plus, tls(), TIM), Err(535));
    // Somebody has hidden from the client that it could have bound.
    assert_eq!(run(Mechanism::ScramSha256, tls(), Client { gs2_header: "y,,", ..TIM }), Err(535));
    let inconsistent = Client { gs2_header: "p=tls-exporter,,", binding: b"keying material", ..TIM };
    assert_eq!(run(Mechanism::ScramSha256, tls(), inconsistent), Err(535));
    // A client that cannot bind still may log in.
    assert_eq!(run(Mechanism::ScramSha256, tls(), TIM), Ok("tim".to_owned()));
}

#[test]
fn scram_hides_who_is_unknown_to_a_program() {
    struct Nobody;
    impl Authenticator for Nobody {
        fn scram(&self, _: &Context, _: &str) -> Result<Option<ScramVerifier>, AuthFailure> {
            Ok(None)
        }
    }
    let nobody: Arc<dyn Authenticator> = Arc::new(Nobody);
    let salt = || {
        let first = challenge(start(Mechanism::ScramSha256, &nobody).step(Some(TIM.first().as_bytes())));
        first.split_once(",s=").unwrap().1.to_owned()
    };
    assert_eq!(salt(), salt());
    assert_eq!(TIM.run(start(Mechanism::ScramSha256, &nobody)), Err(535));
}

struct Realm;

impl Authenticator for Realm {
    fn mechanisms(&self, _: &Context) -> Vec<Mechanism> {
        vec![Mechanism::External, Mechanism::XOAuth2, Mechanism::OAuthBearer]
    }

    fn bearer(&self, _: &Context, bearer: &Bearer<'_>) -> Result<String, AuthFailure> {
        let good = bearer.token() == "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";
        let user = bearer.user().filter(|_| good).ok_or(AuthFailure::Credentials)?;
        Ok(user.to_owned())
    }

    fn bearer_scope(&self, _: &Context) -> Option<&str> {
        Some("example_scope")
    }

    fn openid_configuration(&self, _: &Context) -> Option<&str> {
        Some("https://example.com/.well-known/openid-configuration")
    }

    fn external(&self, _: &Context, certificate: &[u8], acts_as: Option<&str>) -> Result<String, AuthFailure> {
        match (certificate, acts_as) {
            (b"a certificate", None | Some("fred")) => Ok("fred".to_owned()),
            _ => Err(AuthFailure::Credentials),
        }
    }
}

fn realm() -> Arc<dyn Authenticator> {
    Arc::new(Realm)
}

#[test]
fn oauthbearer_as_in_rfc_7628() {
    // Section 4.4.
    let message = decode(
        b"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9NTg3AWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52\
          YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB",
    )
    .unwrap();
    let realm = realm();
    assert_eq!(done(start(Mechanism::OAuthBearer, &realm).step(Some(&message))), Ok("user@example.com".to_owned()));

    // Section 4.3: the answer of a client that wants to know where to get a token.
    let mut exchange = start(Mechanism::OAuthBearer, &realm);
    let asked = exchange.step(Some(b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=\x01\x01"));
    assert_eq!(
        encode(challenge(asked).as_bytes()),
        "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NvcGUiOiJleGFtcGxlX3Njb3BlIiwib3BlbmlkLWNvbmZpZ3VyYXRpb24iOiJodHRwczovL2\
         V4YW1wbGUuY29tLy53ZWxsLWtub3duL29wZW5pZC1jb25maWd1cmF0aW9uIn0="
    );
    assert!(exchange.0.is_refused());
    assert_eq!(done(exchange.step(Some(b"\x01"))), Err(535));
    assert!(!exchange.0.is_refused());

    let step = start(Mechanism::OAuthBearer, &realm).step(Some(b"n,a=a\x07,\x01auth=Bearer t\x01\x01"));
    assert!(challenge(step).contains("invalid_token"));
    assert_eq!(done(start(Mechanism::OAuthBearer, &realm).step(Some(b"\x01"))), Err(501));
}

#[test]
fn xoauth2() {
    let realm = realm();
    let message = |token: &str| format!("user=someuser@example.com\x01auth=Bearer {token}\x01\x01");
    let good = message("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==");
    let step = start(Mechanism::XOAuth2, &realm).step(Some(good.as_bytes()));
    assert_eq!(done(step), Ok("someuser@example.com".to_owned()));
    let mut exchange = start(Mechanism::XOAuth2, &realm);
    let error = challenge(exchange.step(Some(message("stale").as_bytes())));
    assert_eq!(error, r#"{"status":"401","schemes":"Bearer","scope":"example_scope"}"#);
    assert_eq!(done(exchange.step(Some(b""))), Err(535));
}

#[test]
fn external() {
    let external = |tls, response: &[u8]| done(start_on(Mechanism::External, &realm(), tls).step(Some(response)));
    assert_eq!(external(tls(), b""), Ok("fred".to_owned()));
    assert_eq!(external(tls(), b"fred"), Ok("fred".to_owned()));
    assert_eq!(external(tls(), b"root"), Err(535));
    assert_eq!(external(tls(), b"fred\0root"), Err(535));
    assert_eq!(external(clear(), b""), Err(535));
    let mut exchange = start_on(Mechanism::External, &realm(), tls());
    assert_eq!(challenge(exchange.step(None)), "");
    assert_eq!(done(exchange.step(Some(b""))), Ok("fred".to_owned()));
}

#[test]
fn external_for_names_that_are_long_once_they_are_prepared() {
    struct Anybody;
    impl Authenticator for Anybody {
        fn external(&self, _: &Context, _: &[u8], acts_as: Option<&str>) -> Result<String, AuthFailure> {
            acts_as.map(str::to_owned).ok_or(AuthFailure::Credentials)
        }
    }
    let anybody: Arc<dyn Authenticator> = Arc::new(Anybody);
    let external = |times: usize| {
        let mut exchange = start_on(Mechanism::External, &anybody, tls());
        done(exchange.step(Some("\u{fdfa}".repeat(times).as_bytes())))
    };
    assert_eq!(external(15).unwrap().len(), 495);
    assert_eq!((external(16), external(170)), (Err(535), Err(535)));
}

#[test]
fn mechanisms_are_offered_while_they_can_work() {
    let names = |authenticator: &Arc<dyn Authenticator>, tls: TlsInfo| {
        let names: Vec<&str> = offered(&**authenticator, &context(tls)).map(Mechanism::name).collect();
        names.join(" ")
    };
    assert_eq!(names(&users(), clear()), "SCRAM-SHA-256 PLAIN LOGIN");
    assert_eq!(names(&users(), tls()), "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN");
    assert_eq!(names(&realm(), clear()), "OAUTHBEARER XOAUTH2");
    assert_eq!(names(&realm(), tls()), "EXTERNAL OAUTHBEARER XOAUTH2");
    let function: Arc<dyn Authenticator> = Arc::new(|_: &str, _: &str| false);
    assert_eq!(names(&function, tls()), "PLAIN LOGIN");
}

/// A program may ask for small stacks, and half of one is for what goes on above.
#[test]
fn the_costly_checks_fit_a_worker_stack() {
    let hash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    let hashed: Arc<dyn Authenticator> = Arc::new(Users::new().add("tim", hash).unwrap());
    let thread = thread::Builder::new().stack_size(128 * 1024).spawn(move || {
        let scram = TIM.run(start(Mechanism::ScramSha256, &users()));
        (plain(&hashed, b"\0tim\0password"), scram)
    });
    assert_eq!(thread.unwrap().join().unwrap(), (Ok("tim".to_owned()), Ok("tim".to_owned())));
}

proptest! {
    #[test]
    fn any_response_ends_or_is_answered(
        mechanism in prop::sample::select(&Mechanism::ALL[..]),
        responses in prop::collection::vec("[,=npyarcmi:\u{0}\u{1}\\PC]{0,24}".prop_map(String::into_bytes), 1..4),
        noise in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let refuses: Arc<dyn Authenticator> = Arc::new(|_: &str, _: &str| false);
        let mut exchange = start_on(mechanism, &refuses, tls());
        for response in responses.iter().map(Vec::as_slice).chain([&noise[..]]) {
            if let Step::Done(result) = exchange.step(Some(response)) {
                prop_assert!(result.is_err());
                break;
            }
        }
    }
}
