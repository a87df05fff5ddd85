//! The command's certificates: several names, made at the start, renewed by themselves, and told when they are no good.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;

use base64ct::{Base64, Encoding};
use native_tls::{Identity, TlsConnector, TlsStream};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd,
};

use crate::support::client::Client;
use crate::support::command::{Process, Running, command};
use crate::support::revocation;
use crate::support::tls::TlsClient;
use crate::support::wait_until;
use crate::support::web::Inbox;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a certificate for a name to NAME.pem, and its key to NAME.key; gives the certificate.
    fn write(&self, name: &str, year: i32) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(year, 1, 1);
        params.not_after = date_time_ymd(year + 30, 1, 1);
        let cert = params.self_signed(&key).unwrap().pem();
        // The certificate last: only then do they belong together again.
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), &cert).unwrap();
        cert
    }

    fn arguments(&self, name: &str) -> [String; 4] {
        let path = |ending: &str| self.path(&format!("{name}.{ending}")).to_str().unwrap().to_owned();
        ["--tls-cert".to_owned(), path("pem"), "--tls-key".to_owned(), path("key")]
    }
}

/// Whether the server shows that name a certificate that leads to this root.
fn is_trusted(server: SocketAddr, root: &str, name: &str) -> bool {
    let root = native_tls::Certificate::from_pem(root.as_bytes()).unwrap();
    let connector = TlsConnector::builder().disable_built_in_roots(true).add_root_certificate(root).build().unwrap();
    connector.connect(name, TcpStream::connect(server).unwrap()).is_ok()
}

fn start(arguments: &[String]) -> Running {
    let all: Vec<&str> =
        ["-n", "-c", "Sink", "--smtps", "127.0.0.1:0"].into_iter().chain(arguments.iter().map(|a| &**a)).collect();
    Running::start(&all)
}

#[test]
fn each_name_has_its_own() {
    let folder = Folder::new();
    let (one, other) = (folder.write("mx.example.org", 2020), folder.write("mail.example.com", 2020));
    let server = start(&[folder.arguments("mx.example.org"), folder.arguments("mail.example.com")].concat());
    assert!(is_trusted(server.address(), &one, "mx.example.org"));
    assert!(is_trusted(server.address(), &other, "mail.example.com"));
    assert!(!is_trusted(server.address(), &other, "mx.example.org"));
}

#[test]
fn files_that_change_are_read_again_by_themselves() {
    let folder = Folder::new();
    folder.write("localhost", 2020);
    let server = start(&folder.arguments("localhost"));
    let renewed = folder.write("localhost", 2021);
    wait_until("it shows the old one", || is_trusted(server.address(), &renewed, "localhost"));
}

#[test]
fn what_clients_will_refuse_is_told_at_the_start() {
    let folder = Folder::new();
    for (name, year, told) in
        [("past", 1980, "it has expired"), ("future", 2900, "it is not valid yet"), ("present", 2020, "")]
    {
        folder.write(name, year);
        let arguments = folder.arguments(name);
        let arguments: Vec<&str> = ["-n", "127.0.0.1:0"].into_iter().chain(arguments.iter().map(|a| &**a)).collect();
        let mut process = Process::start(&mut command(&arguments));
        let stderr = BufReader::new(process.0.stderr.take().expect("piped"));
        let lines: Vec<String> =
            stderr.lines().map(|line| line.expect("text")).take_while(|line| !line.contains("listening on")).collect();
        let file = folder.path(&format!("{name}.pem"));
        let expected = format!("pillarbox: clients will refuse {}: {told}", file.display());
        let expected: &[String] = if told.is_empty() { &[] } else { &[expected] };
        assert_eq!(lines, expected);
    }
}

#[test]
fn one_that_is_made_at_the_start() {
    let folder = Folder::new();
    let file = folder.path("ca.pem");
    let option = format!("--self-signed={}", file.display());
    let server = start(&[option, "--hostname".to_owned(), "mx.example.org".to_owned()]);
    let authority = std::fs::read_to_string(&file).unwrap();
    for name in ["localhost", "127.0.0.1", "mx.example.org"] {
        assert!(is_trusted(server.address(), &authority, name), "{name}");
    }
    assert!(!is_trusted(server.address(), &authority, "mail.example.com"));
    let inbox = Inbox::start_with(&["--self-signed"]);
    let mut client = Client::connect(inbox.server.address());
    assert!(client.say("EHLO client.example").contains("STARTTLS"));
    let shown = inbox.get("/ca.pem");
    assert!(shown.text().starts_with("-----BEGIN CERTIFICATE-----"), "{}", shown.text());
    assert_eq!(Inbox::start().request("GET", "/ca.pem", "", "").status, 404);
}

/// An authority of clients' certificates.
struct Clients(Issuer<'static, KeyPair>, String);

impl Clients {
    fn new() -> Clients {
        Clients::named("clients")
    }

    fn named(name: &str) -> Clients {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::OrganizationName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Clients(Issuer::new(params, key), pem)
    }

    /// The certificate and key of a client with these alternative names and that common name.
    fn issue(&self, alternative: &[SanType], common: &str) -> Identity {
        self.issue_numbered(alternative, common, None)
    }

    fn issue_numbered(&self, alternative: &[SanType], common: &str, serial: Option<u64>) -> Identity {
        let mut params = CertificateParams::default();
        params.subject_alt_names = alternative.to_vec();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common);
        params.serial_number = serial.map(Into::into);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity::from_pkcs8(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }
}

impl Clients {
    /// Revokes certificates by their serial numbers, until the end of that year.
    fn revoke(&self, serials: &[u64], year: i32) -> String {
        revocation::list(&self.0, serials, year)
    }
}

/// A client within implicit TLS, with a certificate of its own or none, up to the banner or what comes instead.
fn connect(server: SocketAddr, identity: Option<&Identity>) -> Result<TlsClient<TlsStream<TcpStream>>, String> {
    let mut builder = TlsConnector::builder();
    if let Some(identity) = identity {
        builder.identity(identity.clone());
    }
    let connector = builder.danger_accept_invalid_certs(true).build().unwrap();
    let stream = connector.connect("localhost", TcpStream::connect(server).unwrap()).map_err(|e| e.to_string())?;
    let mut client = TlsClient::within(stream);
    // A client of TLS 1.3 hears only now that its certificate was refused.
    let banner = client.reply();
    if banner.starts_with("220 ") { Ok(client) } else { Err(banner) }
}

/// With a program that tells who the client is, in the reply to its message.
fn with_clients(folder: &Folder, arguments: &[&str]) -> Running {
    let certificates = folder.arguments("localhost");
    let ca = folder.path("clients.pem").to_str().unwrap().to_owned();
    let mut all = vec!["-n", "--client-ca", &ca, "--smtps", "-c", "Pipe"];
    if !arguments.contains(&"--self-signed") {
        folder.write("localhost", 2020);
        all.extend(certificates.iter().map(|a| &**a));
    }
    all.extend(arguments);
    all.extend(["--", "sh", "-c", "cat > /dev/null; echo 250 2.0.0 $PILLARBOX_IDENTITY"]);
    Running::start(&all)
}

fn send_as(client: &mut TlsClient<TlsStream<TcpStream>>, identity: &str) {
    client.expect("MAIL FROM:<a@client.example>", "250");
    client.expect("RCPT TO:<b@example.org>", "250");
    client.expect("DATA", "354");
    // Replies are ASCII.
    client.expect("x\r\n.", &format!("250 2.0.0 {}", identity.replace('\u{ed}', "??")));
}

#[test]
fn clients_are_who_their_certificates_say() {
    let (folder, clients) = (Folder::new(), Clients::new());
    std::fs::write(folder.path("clients.pem"), &clients.1).unwrap();
    let (address, host) = (
        SanType::Rfc822Name("alice@example.org".try_into().unwrap()),
        SanType::DnsName("alice.example.org".try_into().unwrap()),
    );
    for options in [&["--require-auth", "127.0.0.1:0"][..], &["127.0.0.1:0,require-auth", "--self-signed"]] {
        let server = with_clients(&folder, options);
        for (alternative, name) in [
            (&[host.clone(), address.clone()][..], "alice@example.org"),
            (&[SanType::IpAddress([127, 0, 0, 1].into()), host.clone()], "alice.example.org"),
            (&[], "Al\u{ed}ce"),
        ] {
            let identity = clients.issue(alternative, "Al\u{ed}ce");
            let mut client = connect(server.address(), Some(&identity)).unwrap();
            assert!(client.expect("EHLO client.example", "250").contains("\n250-AUTH EXTERNAL\n"));
            client.expect("MAIL FROM:<a@client.example>", "530 5.7.0");
            client.expect(&format!("AUTH EXTERNAL {}", Base64::encode_string(b"bob@example.org")), "535 5.7.8");
            client.expect(&format!("AUTH EXTERNAL {}", Base64::encode_string(name.as_bytes())), "235 2.7.0");
            send_as(&mut client, name);
            let mut client = connect(server.address(), Some(&identity)).unwrap();
            client.expect("EHLO client.example", "250");
            client.expect("AUTH EXTERNAL =", "235 2.7.0");
            send_as(&mut client, name);
        }
        // Names that could be taken for something else, in a log or another header.
        for name in ["", "al\0ice", "alice\r\nReceived: x", &"x".repeat(513)] {
            let mut client = connect(server.address(), Some(&clients.issue(&[], name))).unwrap();
            client.expect("EHLO client.example", "250");
            client.expect("AUTH EXTERNAL =", "535 5.7.8");
        }
        assert!(
            connect(server.address(), Some(&Clients::new().issue(std::slice::from_ref(&address), "alice"))).is_err()
        );
        let mut client = connect(server.address(), None).unwrap();
        assert!(!client.expect("EHLO client.example", "250").contains("AUTH"));
        client.expect("AUTH EXTERNAL =", "50");
        client.expect("MAIL FROM:<a@client.example>", "530 5.7.0");
    }
}

#[test]
fn clients_with_certificates_beside_users() {
    let (folder, clients) = (Folder::new(), Clients::new());
    std::fs::write(folder.path("clients.pem"), &clients.1).unwrap();
    std::fs::write(folder.path("users"), "bob:builder\n").unwrap();
    let users = folder.path("users").to_str().unwrap().to_owned();
    let server = with_clients(&folder, &["--users", &users, "--require-auth", "127.0.0.1:0"]);
    let alice = clients.issue(&[], "alice");
    let mut client = connect(server.address(), Some(&alice)).unwrap();
    assert!(
        client
            .expect("EHLO client.example", "250")
            .contains("AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 EXTERNAL PLAIN LOGIN")
    );
    client.expect("AUTH EXTERNAL =", "235 2.7.0");
    send_as(&mut client, "alice");
    for identity in [None, Some(&alice)] {
        let mut client = connect(server.address(), identity).unwrap();
        let offered = client.expect("EHLO client.example", "250");
        assert_eq!(offered.contains("EXTERNAL"), identity.is_some());
        client.expect(&format!("AUTH PLAIN {}", Base64::encode_string(b"\0bob\0builder")), "235 2.7.0");
        send_as(&mut client, "bob");
    }
}

#[test]
fn authorities_of_clients_are_renewed() {
    let (folder, one, other) = (Folder::new(), Clients::new(), Clients::new());
    std::fs::write(folder.path("clients.pem"), &one.1).unwrap();
    let server = with_clients(&folder, &["127.0.0.1:0"]);
    let (alice, bob) = (one.issue(&[], "alice"), other.issue(&[], "bob"));
    assert!(connect(server.address(), Some(&alice)).is_ok());
    assert!(connect(server.address(), Some(&bob)).is_err());
    for by_signal in [true, false] {
        let (now, before) = if by_signal { (&other, &alice) } else { (&one, &bob) };
        // Of another length, since a file system may count whole seconds.
        std::fs::write(folder.path("clients.pem"), now.1.clone() + if by_signal { "\n" } else { "" }).unwrap();
        if by_signal {
            server.signal("HUP");
        }
        wait_until("the authority before is asked", || connect(server.address(), Some(before)).is_err());
        assert_eq!(connect(server.address(), Some(&alice)).is_ok(), !by_signal);
        assert_eq!(connect(server.address(), Some(&bob)).is_ok(), by_signal);
    }
}

#[test]
fn revoked_clients_are_refused_by_lists_that_are_renewed() {
    let (folder, clients, others) = (Folder::new(), Clients::named("ours"), Clients::named("others"));
    std::fs::write(folder.path("clients.pem"), clients.1.clone() + &others.1).unwrap();
    let [crl, users] = ["crl.pem", "users"].map(|name| folder.path(name).to_str().unwrap().to_owned());
    std::fs::write(&users, "bob:builder\n").unwrap();
    let alice = clients.issue_numbered(&[], "alice", Some(1));
    let carol = clients.issue_numbered(&[], "carol", Some(2));
    let dave = others.issue_numbered(&[], "dave", Some(1));
    std::fs::write(&crl, clients.revoke(&[1], 2999)).unwrap();
    let server = with_clients(&folder, &["--client-crl", &crl, "--users", &users, "127.0.0.1:0"]);
    let may_connect = |who: &[&Identity]| -> Vec<bool> {
        who.iter().map(|identity| connect(server.address(), Some(*identity)).is_ok()).collect()
    };
    // Of the other authority there is no list, and nothing is known of its clients.
    assert_eq!(may_connect(&[&alice, &carol, &dave]), [false, true, false]);
    assert!(connect(server.address(), None).is_ok());
    for (lists, by_signal, expected) in [
        // Serial numbers are each authority's own.
        (clients.revoke(&[2], 2999) + &others.revoke(&[], 2999), true, [true, false, true]),
        (clients.revoke(&[1, 2], 2999) + &others.revoke(&[1, 2], 2999), false, [false, false, false]),
        (clients.revoke(&[], 2999) + &others.revoke(&[2], 2999), true, [true, true, true]),
        // One that has expired says nothing of its authority's clients.
        (clients.revoke(&[], 2021) + &others.revoke(&[], 2999), true, [false, false, true]),
    ] {
        std::fs::write(&crl, lists).unwrap();
        if by_signal {
            server.signal("HUP");
        }
        wait_until(&format!("not {expected:?}"), || may_connect(&[&alice, &carol, &dave]) == expected);
    }
}

#[test]
fn a_list_that_has_expired_is_told_at_the_start() {
    let (folder, clients) = (Folder::new(), Clients::new());
    folder.write("localhost", 2020);
    let [ca, crl] = ["clients.pem", "crl.pem"].map(|name| folder.path(name).to_str().unwrap().to_owned());
    std::fs::write(&ca, &clients.1).unwrap();
    for (year, told) in [(2999, false), (2021, true)] {
        std::fs::write(&crl, clients.revoke(&[], year)).unwrap();
        let certificate = folder.arguments("localhost");
        let mut arguments = vec!["-n", "--client-ca", &ca, "--client-crl", &crl, "127.0.0.1:0"];
        arguments.extend(certificate.iter().map(|a| &**a));
        let mut process = Process::start(&mut command(&arguments));
        let stderr = BufReader::new(process.0.stderr.take().expect("piped"));
        let lines: Vec<String> =
            stderr.lines().map(|line| line.expect("text")).take_while(|line| !line.contains("listening on")).collect();
        let expected = format!("pillarbox: clients with a certificate will be refused: {crl} has expired");
        assert_eq!(lines, if told { vec![expected] } else { vec![] });
    }
}

/// Mail servers come with whatever certificate they have, and shall not be sent away for it.
#[test]
fn listeners_without_auth_do_not_ask_for_a_certificate() {
    let (folder, clients) = (Folder::new(), Clients::new());
    std::fs::write(folder.path("clients.pem"), &clients.1).unwrap();
    let [_, cert, _, key] = folder.arguments("localhost");
    let own = format!("127.0.0.1:0,no-auth,cert={cert},key={key}");
    let stranger = Clients::new().issue(&[], "stranger");
    for (listener, is_let_in) in [("127.0.0.1:0,no-auth", true), (&own, true), (&own.replace(",no-auth", ""), false)] {
        let server = with_clients(&folder, &[listener]);
        assert_eq!(connect(server.address(), Some(&stranger)).is_ok(), is_let_in, "{listener}");
    }
}

#[test]
fn authorities_of_clients_that_cannot_be_used() {
    let folder = Folder::new();
    folder.write("localhost", 2020);
    let certificate = folder.arguments("localhost");
    let certificate: Vec<&str> = certificate.iter().map(|a| &**a).collect();
    let missing = folder.path("missing.pem").to_str().unwrap().to_owned();
    let key = folder.path("localhost.key").to_str().unwrap().to_owned();
    let [ca, garbage] = ["clients.pem", "garbage.pem"].map(|name| folder.path(name).to_str().unwrap().to_owned());
    std::fs::write(&ca, Clients::new().1).unwrap();
    std::fs::write(&garbage, "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n").unwrap();
    let with_list = |list| [&certificate[..], &["--client-ca", &ca, "--client-crl", list]].concat();
    for (arguments, told) in [
        (&["--require-auth"][..], "the following required arguments were not provided"),
        (&["--client-ca", &missing], "--client-ca needs a certificate: --tls-cert and --tls-key, or --self-signed"),
        (&[&certificate[..], &["--client-ca", &missing]].concat(), "cannot read "),
        (&[&certificate[..], &["--client-ca", &key]].concat(), "for clients: no certificate is in it"),
        (&["--client-crl", &missing], "the following required arguments were not provided"),
        (&with_list(&missing), "cannot read "),
        (&with_list(&key), "localhost.key for clients: no revocation list is in it"),
        (&with_list(&garbage), "garbage.pem for clients: the revocation lists of client certificates cannot be used"),
    ] {
        let all = [&["-n", "127.0.0.1:0"], arguments].concat();
        let output = command(&all).output().unwrap();
        assert!(!output.status.success());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(told), "{arguments:?}: {stderr}");
    }
}
