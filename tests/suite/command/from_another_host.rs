//! Clients as applications configure them, with a login or with TLS and otherwise with their defaults, that send to an inbox on
//! another host: as in a compose file, but with network namespaces in place of containers.

use std::fs::File;
use std::process::Command;
use std::thread;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Message, SmtpTransport, Transport};
use serde_json::Value;

use crate::support;
use crate::support::command::{Running, without_options};
use crate::support::netns::{SERVER, SERVER_NAME, TwoHosts};

const SMTPLIB: &str = "
import smtplib, ssl, sys
from email.message import EmailMessage
host, port, secure, subject = sys.argv[1:]
mail = EmailMessage()
mail['From'], mail['To'], mail['Subject'] = 'app@client.example', 'bob@example.org', subject
mail.set_content('hello')
with smtplib.SMTP(host, int(port)) as smtp:
    if secure == 'tls':
        smtp.starttls(context=ssl.create_default_context())
    smtp.login('app', 'secret')
    smtp.send_message(mail)
";

const NODEMAILER: &str = "
const nodemailer = require('nodemailer');
const [host, port, , subject] = process.argv.slice(1);
nodemailer.createTransport({ host, port, auth: { user: 'app', pass: 'secret' } })
    .sendMail({ from: 'app@client.example', to: 'bob@example.org', subject, text: 'hello' })
    .catch((e) => { console.error(e); process.exit(1); });
";

const PHPMAILER: &str = "
require '/usr/share/php/libphp-phpmailer/autoload.php';
[, $host, $port, , $subject] = $argv;
$mail = new PHPMailer\\PHPMailer\\PHPMailer(true);
$mail->isSMTP();
$mail->Host = $host;
$mail->Port = (int) $port;
$mail->SMTPAuth = true;
$mail->Username = 'app';
$mail->Password = 'secret';
$mail->setFrom('app@client.example');
$mail->addAddress('bob@example.org');
$mail->Subject = $subject;
$mail->Body = 'hello';
$mail->send();
";

/// Of the inbox's own network, so that nobody else has them.
const SMTP: u16 = 1025;
const SMTPS: u16 = 1465;
const HTTP: u16 = 8026;

/// An inbox on a host of its own.
struct FarInbox {
    hosts: TwoHosts,
    /// Knows what has arrived.
    last: u64,
    _server: Running,
}

impl FarInbox {
    /// None where there are no namespaces, or no curl, by which it is asked.
    fn start(options: &[&str]) -> Option<FarInbox> {
        support::program("curl")?;
        let hosts = TwoHosts::make()?;
        let base = ["-n", "-c", "Inbox", "--http", "0.0.0.0:8026", "--http-public", "--accept-any-login"];
        let words = [&base[..], options, &["0.0.0.0:1025"]].concat();
        let mut command = hosts.on_server(env!("CARGO_BIN_EXE_pillarbox"), &words);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).env_remove("RUST_LOG");
        let server = Running::start_command(command);
        let inbox = FarInbox { hosts, last: 0, _server: server };
        inbox.wait_for_http();
        Some(inbox)
    }

    fn url(&self, name: &str, path: &str) -> String {
        format!("http://{name}:{HTTP}{path}")
    }

    fn get(&self, name: &str, path: &str) -> support::Finished {
        let mut curl = self.hosts.on_client("curl");
        support::run(curl.args(["-q", "-sS", "--max-time", "60", "--fail", &self.url(name, path)]), b"")
    }

    /// Listens after the listeners of mail.
    fn wait_for_http(&self) {
        let mut curl = self.hosts.on_client("curl");
        curl.args(["-q", "-sS", "--retry", "100", "--retry-connrefused", "--retry-delay", "1", "--max-time", "60"]);
        support::run(curl.arg(self.url(SERVER_NAME, "/readyz")), b"").succeeded();
    }

    /// The next message, as the application's own test would ask for it: by the host's name, and by its address.
    #[track_caller]
    fn expect(&mut self, subject: &str) {
        for name in [SERVER_NAME, SERVER] {
            let next = self.get(name, &format!("/api/next?after={}&timeout=30", self.last)).succeeded();
            let mail: Value = serde_json::from_str(&next.stdout).expect("JSON");
            assert_eq!(mail["subject"], subject, "{mail}");
        }
        self.last += 1;
    }

    /// Has a script of another language send a message.
    #[track_caller]
    fn send(&mut self, interpreter: &str, arguments: &[&str], script: &str, secure: &str, ca: Option<&str>) {
        if support::program(interpreter).is_none() {
            return;
        }
        let subject = format!("from {interpreter}");
        let mut client = self.hosts.on_client(interpreter);
        client.args(arguments).arg(script);
        if interpreter == "php" || interpreter == "node" {
            client.arg("--");
        }
        client.args([SERVER_NAME, &SMTP.to_string(), secure, &subject]);
        // How an administrator has all programs trust an authority, without a change to any of them.
        if let Some(ca) = ca {
            client.env("SSL_CERT_FILE", ca).env("NODE_EXTRA_CA_CERTS", ca);
        }
        client.env("NODE_PATH", "/usr/share/nodejs");
        support::run(without_options(&mut client), b"").succeeded();
        self.expect(&subject);
    }

    /// What lettre does on the client's host: this thread moves there, and another one goes on.
    #[track_caller]
    fn send_by_lettre(&mut self, transport: &SmtpTransport) {
        let namespace = File::open(self.hosts.client_namespace()).expect("it is there");
        thread::scope(|scope| {
            let send = || {
                nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).expect("root may");
                let mail = Message::builder()
                    .from("app@client.example".parse().expect("an address"))
                    .to("bob@example.org".parse().expect("an address"))
                    .subject("from lettre")
                    .body("hello".to_owned())
                    .expect("a message");
                transport.send(&mail).expect("it is accepted");
            };
            scope.spawn(send).join().expect("it was sent");
        });
        self.expect("from lettre");
    }
}

fn credentials() -> Credentials {
    Credentials::new("app".to_owned(), "secret".to_owned())
}

#[test]
fn clients_that_log_in_in_clear() {
    let Some(mut inbox) = FarInbox::start(&[]) else { return };
    inbox.send("python3", &["-I", "-c"], SMTPLIB, "clear", None);
    inbox.send("node", &["-e"], NODEMAILER, "clear", None);
    inbox.send("php", &["-r"], PHPMAILER, "clear", None);
    inbox.send_by_lettre(&SmtpTransport::builder_dangerous(SERVER).port(SMTP).credentials(credentials()).build());
}

#[test]
fn clients_that_insist_on_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem");
    let ca = ca.to_str().expect("text");
    let made = format!("--self-signed={ca}");
    // The address is in no certificate unless it is asked for; its name is the host's own.
    let Some(mut inbox) = FarInbox::start(&[&made, "--hostname", SERVER, "-l", "0.0.0.0:1465,tls"]) else { return };
    inbox.send("python3", &["-I", "-c"], SMTPLIB, "tls", Some(ca));
    inbox.send("node", &["-e"], NODEMAILER, "tls", Some(ca));
    inbox.send("php", &["-r"], PHPMAILER, "tls", Some(ca));
    let pem = std::fs::read(ca).expect("it was written");
    // The authority is there for whoever can reach the page, too.
    assert_eq!(inbox.get(SERVER_NAME, "/ca.pem").succeeded().stdout.as_bytes(), pem);
    let parameters = || {
        let root = Certificate::from_pem(&pem).expect("a certificate");
        TlsParameters::builder(SERVER.to_owned()).add_root_certificate(root).build_native().expect("TLS")
    };
    let required = Tls::Required(parameters());
    let starttls = SmtpTransport::starttls_relay(SERVER).expect("TLS").port(SMTP).tls(required);
    inbox.send_by_lettre(&starttls.credentials(credentials()).build());
    let implicit = SmtpTransport::relay(SERVER).expect("TLS").port(SMTPS).tls(Tls::Wrapper(parameters()));
    inbox.send_by_lettre(&implicit.credentials(credentials()).build());
}

#[test]
fn other_names_of_the_host_need_to_be_told() {
    let Some(inbox) = FarInbox::start(&[]) else { return };
    let status = |host: &str| {
        let mut curl: Command = inbox.hosts.on_client("curl");
        curl.args(["-q", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", &format!("Host: {host}")]);
        support::run(curl.arg(inbox.url(SERVER, "/")), b"").succeeded().stdout
    };
    for (host, expected) in [
        ("inbox", "200"),
        ("INBOX:8026", "200"),
        ("192.0.2.1:8026", "200"),
        ("inbox.attacker.example", "421"),
        ("myinbox", "421"),
        ("inbo", "421"),
        ("client.example", "421"),
    ] {
        assert_eq!(status(host), expected, "{host}");
    }
}
