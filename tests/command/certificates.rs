//! The command's certificates: several names, made at the start, renewed by themselves, and told when they are no good.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Instant;

use native_tls::TlsConnector;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use crate::support::client::{Client, PATIENCE};
use crate::support::command::{Process, Running, command};
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
fn is_trusted(server: std::net::SocketAddr, root: &str, name: &str) -> bool {
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
    let deadline = Instant::now() + 2 * PATIENCE;
    while !is_trusted(server.address(), &renewed, "localhost") {
        assert!(Instant::now() < deadline);
    }
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
