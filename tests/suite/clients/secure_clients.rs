//! Real mail programs over TLS, with AUTH, by LMTP, and behind a real proxy.
//!
//! A test whose program is not installed says so on standard error and passes; with `TEST_PILLARBOX_REQUIRE_CLIENTS=1` in the
//! environment it fails instead.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use crate::support;
use crate::support::haproxy::HaProxy;
use crate::support::tls::Certificate;
use base64ct::{Base64, Encoding};
use pillarbox::{Builder, Envelope, Inbox, Listener, Network, Server, Tls, Users};

const CONTENT: &[u8] = b"Subject: hello\r\n\r\n.dotted\r\nlast\r\n";

/// A server with TLS both ways and a user bob, and a folder with its certificate.
pub struct Secure {
    pub inbox: Inbox,
    pub implicit: SocketAddr,
    folder: tempfile::TempDir,
}

impl Secure {
    /// One for each TLS library.
    fn each(builder: fn() -> Builder) -> Vec<Secure> {
        Certificate::each().into_iter().map(|certificate| Secure::new(builder(), &certificate)).collect()
    }

    pub fn new(builder: Builder, certificate: &Certificate) -> Secure {
        Secure::with_tls(builder, certificate, certificate.tls())
    }

    /// With settings of its own for the certificate.
    pub fn with_tls(builder: Builder, certificate: &Certificate, tls: Tls) -> Secure {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("cert.pem"), &certificate.cert).expect("room");
        std::fs::write(folder.path().join("message"), CONTENT).expect("room");
        let inbox = builder
            .tls(tls)
            .authenticator(Users::new().add("bob", "bu:lder\u{fc}").expect("an entry"))
            .listen(Listener::from("127.0.0.1:0").implicit_tls())
            .inbox("127.0.0.1:0")
            .expect("free ports");
        let implicit = inbox.server().local_endpoints()[1].socket_addr().expect("TCP");
        Secure { inbox, implicit, folder }
    }

    pub fn path(&self, file: &str) -> String {
        self.folder.path().join(file).to_str().expect("a plain name").to_owned()
    }

    #[track_caller]
    pub fn receive(&self) -> Envelope {
        receive(&self.inbox)
    }
}

#[track_caller]
fn receive(inbox: &Inbox) -> Envelope {
    let mail = inbox.recv_timeout(Duration::from_secs(30)).expect("a message");
    assert_eq!(mail.mail_from(), "sender@example.org");
    assert_eq!(mail.recipients(), ["recipient@example.org"]);
    mail
}

#[track_caller]
fn assert_content(mail: &Envelope) {
    support::assert_same_bytes(&mail.bytes().unwrap(), CONTENT);
}

fn curl(secure: &Secure, url: &str, arguments: &[&str]) -> bool {
    let Some(curl) = support::program("curl") else { return false };
    let mut command = Command::new(curl);
    command.args(["-q", "-sS", "--max-time", "60", "--cacert", &secure.path("cert.pem")]);
    command.args(["--mail-from", "sender@example.org", "--mail-rcpt", "recipient@example.org"]);
    command.args(["-T", &secure.path("message"), url]).args(arguments);
    support::run(&mut command, b"").succeeded();
    true
}

#[test]
fn curl_over_tls() {
    for secure in Secure::each(|| Server::builder().require_tls(true)) {
        let starttls = format!("smtp://localhost:{}/client.example", secure.inbox.local_addr().port());
        let implicit = format!("smtps://localhost:{}/client.example", secure.implicit.port());
        for (url, argument) in [(starttls, "--ssl-reqd"), (implicit, "--ssl-reqd")] {
            if curl(&secure, &url, &[argument]) {
                let mail = secure.receive();
                assert_content(&mail);
                assert_eq!(mail.protocol().to_string(), "ESMTPS");
            }
        }
    }
}

#[test]
fn curl_with_each_mechanism() {
    for secure in Secure::each(|| Server::builder().require_auth(true)) {
        let url = format!("smtps://localhost:{}/client.example", secure.implicit.port());
        for mechanism in ["AUTH=PLAIN", "AUTH=LOGIN", "AUTH=*"] {
            if curl(&secure, &url, &["-u", "bob:bu:lder\u{fc}", "--login-options", mechanism]) {
                let mail = secure.receive();
                assert_eq!((mail.identity(), mail.protocol().to_string().as_str()), (Some("bob"), "ESMTPSA"));
            }
        }
    }
}

#[test]
fn smtplib_over_tls_with_auth() {
    for secure in Secure::each(|| Server::builder().require_auth(true)) {
        let Some(python) = support::program("python3") else { return };
        let script = "
import base64, smtplib, ssl, sys
starttls, implicit, cert, message = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], open(sys.argv[4], 'rb').read()
context = ssl.create_default_context(cafile=cert)
def connect(is_implicit):
    if is_implicit:
        return smtplib.SMTP_SSL('localhost', implicit, 'client.example', context=context)
    smtp = smtplib.SMTP('localhost', starttls, 'client.example')
    smtp.starttls(context=context)
    return smtp
for is_implicit in False, True:
    with connect(is_implicit) as smtp:
        smtp.ehlo()
        try:
            smtp.login('bob', 'wrong')
            print('logged in with a wrong password')
        except smtplib.SMTPAuthenticationError as e:
            print(e.smtp_code)
        # Its login() sends ASCII only.
        smtp.docmd('AUTH', 'PLAIN ' + base64.b64encode('\\0bob\\0bu:lder\\u00fc'.encode()).decode())
        smtp.sendmail('sender@example.org', 'recipient@example.org', message)
";
        let mut command = Command::new(python);
        command.args(["-I", "-X", "utf8", "-c", script, &secure.inbox.local_addr().port().to_string()]);
        command.args([secure.implicit.port().to_string(), secure.path("cert.pem"), secure.path("message")]);
        let output = support::run(&mut command, b"").succeeded().stdout;
        assert_eq!(output, "535\n535\n");
        for _ in 0..2 {
            let mail = secure.receive();
            assert_content(&mail);
            assert_eq!((mail.identity(), mail.protocol().to_string().as_str()), (Some("bob"), "ESMTPSA"));
        }
    }
}

fn swaks(arguments: &[&str]) -> bool {
    let Some(swaks) = support::program("swaks") else { return false };
    let mut command = Command::new(swaks);
    command.args(["--config", "--from", "sender@example.org", "--to", "recipient@example.org", "--timeout", "60"]);
    command.args(["--data", "Subject: hello\\n\\nbody\\n"]).args(arguments);
    support::run(&mut command, b"").succeeded();
    true
}

#[test]
fn swaks_over_tls_with_auth() {
    for secure in Secure::each(|| Server::builder().require_auth(true)) {
        let (starttls, implicit) = (secure.inbox.local_addr().to_string(), secure.implicit.to_string());
        let user = ["--auth-user", "bob", "--auth-password", "bu:lder\u{fc}"];
        for arguments in [
            ["--server", &starttls, "--tls", "--auth", "PLAIN"],
            ["--server", &implicit, "--tlsc", "--auth", "LOGIN"],
            ["--server", &starttls, "-tls", "--auth", "LOGIN"],
        ] {
            if swaks(&[&arguments[..], &user].concat()) {
                assert_eq!(secure.receive().protocol().to_string(), "ESMTPSA");
            }
        }
    }
}

#[test]
fn swaks_by_lmtp_over_a_unix_socket() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("lmtp.sock");
    let inbox = Server::builder().lmtp(true).inbox(Listener::unix(&path)).expect("a new socket");
    if swaks(&["--protocol", "LMTP", "--socket", path.to_str().expect("a plain name")]) {
        assert_eq!(receive(&inbox).protocol().to_string(), "LMTP");
    }
}

#[test]
fn swaks_with_a_proxy_header() {
    let inbox = Server::builder().proxy_protocol(Network::loopback()).inbox("127.0.0.1:0").expect("a free port");
    for version in ["1", "2"] {
        let server = inbox.local_addr().to_string();
        let family = if version == "1" { "TCP4" } else { "AF_INET" };
        let mut arguments = vec!["--server", &server, "--proxy-version", version, "--proxy-family", family];
        arguments.extend(["--proxy-source", "192.0.2.1", "--proxy-source-port", "1234"]);
        arguments.extend(["--proxy-dest", "198.51.100.2", "--proxy-dest-port", "25"]);
        if version == "2" {
            arguments.extend(["--proxy-protocol", "STREAM", "--proxy-command", "PROXY"]);
        }
        if swaks(&arguments) {
            assert_eq!(receive(&inbox).peer().to_string(), "192.0.2.1:1234");
        }
    }
}

#[test]
fn openssl_as_a_client() {
    for secure in Secure::each(Server::builder) {
        let Some(openssl) = support::program("openssl") else { return };
        let (starttls, implicit) = (secure.inbox.local_addr().to_string(), secure.implicit.to_string());
        for (connect, how) in [(&starttls, &["-starttls", "smtp"][..]), (&implicit, &[])] {
            let mut command = Command::new(&openssl);
            command.args([
                "s_client",
                "-connect",
                connect,
                "-CAfile",
                &secure.path("cert.pem"),
                "-verify_return_error",
            ]);
            command.args(["-quiet", "-crlf", "-verify_hostname", "localhost"]).args(how);
            // It sends what it reads at once, so that all but the first command is pipelined.
            let conversation = "EHLO client.example\nMAIL FROM:<sender@example.org>\nRCPT TO:<recipient@example.org>\n\
                            BDAT 12\nSubject: x\n\nBDAT 0 LAST\nQUIT\n";
            let finished = support::run(&mut command, conversation.as_bytes());
            assert!(finished.stdout.contains("221 2.0.0 Bye"), "{finished}");
            assert_eq!(secure.receive().bytes().unwrap(), &b"Subject: x\r\n"[..]);
        }
    }
}

#[test]
fn behind_haproxy_the_peer_is_the_real_client() {
    let Some(haproxy) = support::program("haproxy") else { return };
    for send in ["send-proxy", "send-proxy-v2"] {
        let inbox = Server::builder().proxy_protocol(Network::loopback()).inbox("127.0.0.1:0").expect("a free port");
        let server = inbox.local_addr();
        let (_proxy, [address]) = HaProxy::start_at(&haproxy, |[address]| {
            format!(
                "defaults\n mode tcp\n timeout connect 10s\n timeout client 30s\n timeout server 30s\n\
                 listen smtp\n bind {address}\n server pillarbox {server} {send}\n"
            )
        });
        let client = TcpStream::connect(address).expect("haproxy listens");
        let commands = "EHLO client.example\r\nMAIL FROM:<sender@example.org>\r\nRCPT TO:<recipient@example.org>\r\n\
                        DATA\r\nx\r\n.\r\nQUIT\r\n";
        (&client).write_all(commands.as_bytes()).expect("haproxy reads");
        let last = BufReader::new(&client).lines().map_while(Result::ok).last();
        assert_eq!(last.as_deref(), Some("221 2.0.0 Bye"));
        let mail = receive(&inbox);
        assert_eq!(mail.peer().socket_addr(), client.local_addr().ok());
        assert_eq!(mail.local().socket_addr(), Some(address));
    }
}

/// An independent SCRAM. Within TLS it binds to `tls-exporter` only, which native-tls does not give.
#[test]
fn gnu_sasl_with_each_mechanism() {
    for certificate in Certificate::each() {
        let secure = Secure::new(Server::builder(), &certificate);
        let Some(gsasl) = support::program("gsasl") else { return };
        let port = secure.inbox.local_addr().port().to_string();
        let try_it = |mechanism: &str, options: &[&str]| {
            let mut command = Command::new(&gsasl);
            command.args(["--smtp", "-m", mechanism, "-a", "bob", "-p", "bu:lder\u{fc}", "--hostname", "localhost"]);
            command.arg(format!("--x509-ca-file={}", secure.path("cert.pem"))).args(options).args(["localhost", &port]);
            support::run(&mut command, b"")
        };
        for (mechanism, options) in [
            ("SCRAM-SHA-256", &["--no-starttls"][..]),
            ("SCRAM-SHA-256", &["--starttls", "--no-cb"]),
            ("PLAIN", &["--starttls"]),
            ("LOGIN", &["--starttls"]),
        ] {
            let finished = try_it(mechanism, options);
            assert!(finished.stdout.contains("235 2.7.0"), "{mechanism} {finished}");
        }
        if certificate.is_for_rustls() {
            let finished = try_it("SCRAM-SHA-256-PLUS", &["--starttls"]);
            let binding = Base64::encode_string(b"p=tls-exporter,");
            assert!(finished.stdout.contains(&binding) && finished.stdout.contains("235 2.7.0"), "{finished}");
        }
    }
}
