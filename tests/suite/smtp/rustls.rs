//! TLS by rustls, as OpenSSL's client sees it.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::support;
use crate::support::revocation;
use pillarbox::{
    AuthFailure, Authenticator, ClientCertificates, Context, Inbox, Listener, Mechanism, RustlsError, Server, Tls,
    TlsInfo,
};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

const PATIENCE: Duration = Duration::from_secs(30);

/// A certificate and its key, in PEM.
struct Pair {
    cert: String,
    key: KeyPair,
}

fn pair(name: &str) -> Pair {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Pair { cert: params.self_signed(&key).unwrap().pem(), key }
}

impl Pair {
    fn key(&self) -> String {
        self.key.serialize_pem()
    }

    fn tls(&self) -> Tls {
        Tls::rustls_from_pem(self.cert.as_bytes(), self.key().as_bytes()).unwrap()
    }
}

fn serve(tls: Tls) -> Inbox {
    Server::builder().tls(tls).inbox(Listener::from("127.0.0.1:0").implicit_tls()).unwrap()
}

/// What `openssl s_client` prints, which says a few commands; none if it is not installed.
fn s_client(inbox: &Inbox, arguments: &[&str], commands: &str) -> Option<String> {
    let mut command = Command::new(support::program("openssl")?);
    command.args(["s_client", "-connect", &inbox.local_addr().to_string(), "-crlf", "-ign_eof"]).args(arguments);
    let mut client =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    // Who fails at the handshake reads nothing.
    let _ = client.stdin.take().expect("it is piped").write_all(commands.as_bytes());
    let output = client.wait_with_output().expect("it ends");
    Some(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

const MESSAGE: &str = "EHLO client.example\nMAIL FROM:<a@b.example>\nRCPT TO:<c@d.example>\nDATA\nhello\n.\nQUIT\n";

fn sent(inbox: &Inbox, arguments: &[&str]) -> Option<TlsInfo> {
    let said = s_client(inbox, arguments, MESSAGE)?;
    let mail = inbox.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("{e}\n{said}"));
    Some(mail.tls().expect("it came within TLS").clone())
}

#[test]
fn versions_and_suites_are_told_as_everybody_names_them() {
    let inbox = serve(pair("localhost").tls());
    for (arguments, version, cipher) in [
        (&["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"][..], "TLSv1.3", "TLS_AES_128_GCM_SHA256"),
        (&["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"], "TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256"),
        (
            &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"],
            "TLSv1.2",
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        ),
    ] {
        let Some(info) = sent(&inbox, arguments) else { return };
        assert_eq!((info.version.as_deref(), info.cipher.as_deref()), (Some(version), Some(cipher)));
        assert_eq!(info.exporter.is_some(), version == "TLSv1.3");
    }
    let Some(info) = sent(&inbox, &["-servername", "localhost"]) else { return };
    assert_eq!(info.server_name.as_deref(), Some("localhost"));
}

#[test]
fn what_has_no_forward_secrecy_or_is_old_is_refused() {
    let inbox = serve(pair("localhost").tls());
    for arguments in [
        &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"][..],
        &["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "kRSA:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "aNULL:eNULL:@SECLEVEL=0"],
    ] {
        let Some(said) = s_client(&inbox, arguments, MESSAGE) else { return };
        assert!(!said.contains("220 ") && inbox.is_empty(), "{arguments:?}: {said}");
    }
}

#[test]
fn each_name_has_its_certificate() {
    let (first, second, third) = (pair("mx.example.org"), pair("mail.example.com"), pair("*.example.net"));
    let tls = [&first, &second, &third]
        .into_iter()
        .try_fold(Tls::rustls(), |tls, pair| tls.certificate(pair.cert.as_bytes(), pair.key().as_bytes()));
    let inbox = serve(tls.unwrap().build().unwrap());
    let middle = |pair: &Pair| pair.cert.lines().nth(2).unwrap().to_owned();
    for (name, pair) in [
        ("mx.example.org", &first),
        ("MAIL.example.com", &second),
        ("a.example.net", &third),
        ("a.b.example.net", &first),
        ("unknown.example", &first),
    ] {
        let Some(said) = s_client(&inbox, &["-servername", name], "QUIT\n") else { return };
        assert!(said.contains(&middle(pair)), "{name}: {said}");
    }
    let Some(said) = s_client(&inbox, &["-noservername"], "QUIT\n") else { return };
    assert!(said.contains(&middle(&first)), "{said}");
}

struct External;

impl Authenticator for External {
    fn mechanisms(&self, _: &Context) -> Vec<Mechanism> {
        vec![Mechanism::External]
    }

    fn external(&self, _: &Context, certificate: &[u8], _: Option<&str>) -> Result<String, AuthFailure> {
        if certificate.is_empty() { Err(AuthFailure::Credentials) } else { Ok("client".to_owned()) }
    }
}

#[test]
fn client_certificates() {
    let (server, client, stranger) = (pair("localhost"), pair("client"), pair("stranger"));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, pair: &Pair| {
        let path = folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(&path, pair.cert.clone() + &pair.key()).unwrap();
        path
    };
    let (client_file, stranger_file) = (file("client", &client), file("stranger", &stranger));
    let inbox = |asked| {
        let tls = Tls::rustls().certificate(server.cert.as_bytes(), server.key().as_bytes()).unwrap();
        let tls = tls.client_certificates(asked, client.cert.as_bytes()).unwrap().build().unwrap();
        let listener = Listener::from("127.0.0.1:0").implicit_tls();
        Server::builder().tls(tls).authenticator(External).inbox(listener).unwrap()
    };
    let message = MESSAGE.replacen("MAIL", "AUTH EXTERNAL =\nMAIL", 1);
    for (asked, without) in [(ClientCertificates::Asked, true), (ClientCertificates::Required, false)] {
        let inbox = inbox(asked);
        for version in ["-tls1_2", "-tls1_3"] {
            let with = ["-cert", &client_file, "-key", &client_file, version];
            let Some(said) = s_client(&inbox, &with, &message) else { return };
            let mail = inbox.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("{e}\n{said}"));
            assert_eq!(mail.identity(), Some("client"));
            assert!(mail.tls().unwrap().client_certificate.is_some());
            let Some(said) = s_client(&inbox, &[version], "QUIT\n") else { return };
            assert_eq!(said.contains("220 "), without, "{asked:?}: {said}");
            let stranger = ["-cert", &stranger_file, "-key", &stranger_file, version];
            let Some(said) = s_client(&inbox, &stranger, "QUIT\n") else { return };
            assert!(!said.contains("220 "), "{said}");
        }
    }
}

/// A client that may resume a session, until its certificate is revoked.
#[test]
fn revoked_client_certificates() {
    let server = pair("localhost");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let roots = params.self_signed(&key).unwrap().pem();
    let authority = Issuer::new(params, key);
    let mut client = CertificateParams::new(["client".to_owned()]).unwrap();
    client.serial_number = Some(7.into());
    let key = KeyPair::generate().unwrap();
    let client = client.signed_by(&key, &authority).unwrap().pem() + &key.serialize_pem();
    let list = |serials: &[u64]| revocation::list(&authority, serials, 2999);
    let builder = || Tls::rustls().certificate(server.cert.as_bytes(), server.key().as_bytes()).unwrap();
    let tls = |list: &str| {
        let builder = builder().client_revocation_lists(list.as_bytes()).unwrap();
        builder.client_certificates(ClientCertificates::Required, roots.as_bytes()).unwrap().build().unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (client_file, session) = (path("client"), path("session"));
    std::fs::write(&client_file, client).unwrap();
    for version in ["-tls1_2", "-tls1_3"] {
        let tls_now = tls(&list(&[6]));
        let inbox = serve(tls_now.clone());
        let connect = |option: &str| {
            let arguments = ["-cert", &client_file, "-key", &client_file, version, option, &session];
            s_client(&inbox, &arguments, "NOOP\nQUIT\n")
        };
        let Some(said) = connect("-sess_out") else { return };
        assert!(said.contains("220 "), "{said}");
        let said = connect("-sess_in").unwrap();
        assert!(said.contains("Reused,") && said.contains("220 "), "{said}");
        tls_now.replace(tls(&list(&[7])));
        let said = connect("-sess_in").unwrap();
        assert!(!said.contains("220 ") && said.contains("revoked"), "{said}");
    }
    let error = builder().client_revocation_lists(roots.as_bytes()).unwrap_err();
    assert!(matches!(error, RustlsError::NoRevocationList));
    let without_roots = builder().client_revocation_lists(list(&[]).as_bytes()).unwrap().build();
    assert!(matches!(without_roots, Err(RustlsError::Roots(_))));
    let garbage = b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    let garbage = builder().client_revocation_lists(garbage).unwrap();
    let garbage = garbage.client_certificates(ClientCertificates::Asked, roots.as_bytes()).unwrap().build();
    assert!(matches!(garbage, Err(RustlsError::RevocationList(_))));
}

#[test]
fn sessions_are_resumed_until_the_certificate_is_replaced() {
    let (one, other) = (pair("localhost"), pair("localhost"));
    let tls = one.tls();
    let inbox = serve(tls.clone());
    let folder = tempfile::tempdir().unwrap();
    let session = folder.path().join("session").to_str().unwrap().to_owned();
    let resumed = |version: &str, option: &str| {
        // A ticket of TLS 1.3 comes with the first that is read.
        let said = s_client(&inbox, &[version, option, &session], "NOOP\nQUIT\n")?;
        Some(said.contains("Reused,"))
    };
    for version in ["-tls1_2", "-tls1_3"] {
        let Some(first) = resumed(version, "-sess_out") else { return };
        assert_eq!((first, resumed(version, "-sess_in")), (false, Some(true)), "{version}");
        tls.replace(other.tls());
        assert_eq!(resumed(version, "-sess_in"), Some(false), "{version}");
    }
}

#[test]
fn renegotiation_is_refused() {
    let inbox = serve(pair("localhost").tls());
    let Some(said) = s_client(&inbox, &["-tls1_2", "-no_ign_eof"], "R\nNOOP\n") else { return };
    assert!(!said.contains("250 2.0.0"), "{said}");
}

#[test]
fn keys_in_each_form() {
    let Some(openssl) = support::program("openssl") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let run = |arguments: &[&str]| {
        let output = Command::new(&openssl).args(arguments).output().expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let (key, cert, other) = (path("key"), path("cert"), path("other"));
    let subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-nodes", "-out", &cert];
    for (algorithm, traditional) in [
        (&["-newkey", "rsa:2048"][..], "rsa"),
        (&["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "ec"),
        (&["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"], "ec"),
    ] {
        run(&[&["req", "-x509", "-keyout", &key][..], algorithm, &subject].concat());
        run(&[traditional, "-in", &key, "-out", &other, "-traditional"][..if traditional == "rsa" { 6 } else { 5 }]);
        let read = |file: &str| std::fs::read(file).unwrap();
        for form in [&key, &other] {
            Tls::rustls_from_pem(&read(&cert), &read(form)).unwrap_or_else(|e| panic!("{algorithm:?}: {e}"));
        }
    }
    run(&["pkcs8", "-topk8", "-in", &key, "-out", &other, "-passout", "pass:x"]);
    let encrypted = Tls::rustls_from_pem(&std::fs::read(&cert).unwrap(), &std::fs::read(&other).unwrap());
    assert!(matches!(encrypted, Err(RustlsError::EncryptedKey)));
}

#[test]
fn what_cannot_be_used_is_told() {
    let (one, other) = (pair("localhost"), pair("localhost"));
    let error = |cert: &str, key: &str| Tls::rustls_from_pem(cert.as_bytes(), key.as_bytes()).unwrap_err();
    assert!(matches!(error(&one.cert, &other.key()), RustlsError::OtherKey));
    assert!(matches!(error(&one.key(), &one.key()), RustlsError::NoCertificate));
    assert!(matches!(error(&one.cert, &one.cert), RustlsError::NoKey));
    assert!(matches!(error("", ""), RustlsError::NoCertificate));
    assert!(matches!(Tls::rustls().build(), Err(RustlsError::NoCertificate)));
    let cut = &one.cert[..one.cert.len() / 2];
    assert!(matches!(error(cut, &one.key()), RustlsError::Pem(_)));
}

#[test]
fn whether_a_certificate_is_valid_now() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2024, 1, 1), rcgen::date_time_ymd(2025, 1, 1));
    let cert = params.self_signed(&key).unwrap().pem();
    let at = |year: u64| SystemTime::UNIX_EPOCH + Duration::from_secs((year - 1970) * 31_556_952);
    let validity = |year| Tls::validity(cert.as_bytes(), at(year)).unwrap();
    assert_eq!(validity(2023), Some("it is not valid yet"));
    assert_eq!(Tls::validity(cert.as_bytes(), at(2024) + Duration::from_secs(9_999_999)).unwrap(), None);
    assert_eq!(validity(2026), Some("it has expired"));
}
