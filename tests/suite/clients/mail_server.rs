//! The example of a mail server with four listeners, used by other people's clients.

#[expect(dead_code, reason = "its main is for the command line")]
#[path = "../../../examples/mail_server.rs"]
mod example;

use std::fs;
use std::process::Command;
use std::time::Duration;

use pillarbox::{Inbox, Server};

use super::utf8;
use crate::support::tls::Certificate;
use crate::support::{self, Finished};
use example::{Places, start};

struct MailServer {
    server: Server,
    upstream: Inbox,
    folder: tempfile::TempDir,
}

impl MailServer {
    fn start() -> MailServer {
        let (folder, certificate) = (tempfile::tempdir().expect("a folder"), Certificate::new());
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("room");
        write("cert.pem", &certificate.cert);
        write("key.pem", &certificate.key);
        write("users", "bob:builder\n");
        let upstream = Server::builder().inbox("127.0.0.1:0").expect("a free port");
        let free = "127.0.0.1:0";
        let server = start(Places {
            smtp: free,
            submissions: free,
            submission: free,
            folder: folder.path(),
            upstream: &upstream.local_addr().to_string(),
        });
        MailServer { server: server.expect("free ports"), upstream, folder }
    }

    /// How many messages with this text the Maildir has.
    fn stored(&self, text: &str) -> usize {
        let new = fs::read_dir(self.folder.path().join("mail/new")).expect("a Maildir");
        new.filter(|entry| {
            let path = entry.as_ref().expect("a message").path();
            String::from_utf8_lossy(&fs::read(path).expect("a message")).contains(text)
        })
        .count()
    }

    fn port(&self, listener: usize) -> String {
        self.server.local_endpoints()[listener].socket_addr().expect("TCP").port().to_string()
    }

    /// Python's smtplib within TLS of either kind. The script has `smtp` and prints what it learns.
    fn smtplib(&self, is_implicit: bool, script: &str) -> Option<Finished> {
        const CONNECT: &str = "
import smtplib, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
port = int(sys.argv[2])
if sys.argv[3] == 'implicit':
    smtp = smtplib.SMTP_SSL('localhost', port, timeout=60, context=context)
else:
    smtp = smtplib.SMTP('localhost', port, timeout=60)
    smtp.starttls(context=context)
";
        let mut python = Command::new(support::program("python3")?);
        python.args(["-I", "-X", "utf8", "-c", &format!("{CONNECT}{script}\nsmtp.quit()\n")]);
        python.arg(self.folder.path().join("cert.pem"));
        let (listener, kind) = if is_implicit { (1, "implicit") } else { (2, "starttls") };
        Some(support::run(python.args([&self.port(listener), kind]), b""))
    }

    fn swaks(&self, from: &str, to: &str, subject: &str) -> Option<Command> {
        let mut swaks = Command::new(support::program("swaks")?);
        swaks.args(["--config", "--ehlo", "client.example", "--timeout", "60", "--from", from, "--to", to]);
        swaks.args(["--header", &format!("Subject: {subject}")]);
        Some(swaks)
    }
}

#[test]
fn strangers_send_to_the_domain_and_nowhere_else() {
    let site = MailServer::start();
    let at = ["--server", "127.0.0.1", "--port", &site.port(0)];
    let Some(mut swaks) = site.swaks("a@elsewhere.example", "bob@example.org", "from a stranger") else { return };
    support::run(swaks.args(at), b"").succeeded();
    assert_eq!(site.stored("Subject: from a stranger"), 1);
    let mut swaks = site.swaks("a@elsewhere.example", "b@other.example", "to relay").expect("it was there");
    // 24: no recipient was accepted.
    let refused = support::run(swaks.args(at), b"").exited(24);
    assert!(refused.stdout.contains("550 5.7.1 relaying denied"), "{refused}");
    // 28: there is no AUTH.
    let mut swaks = site.swaks("bob@example.org", "b@other.example", "to guess").expect("it was there");
    let refused = support::run(swaks.args(at).args(["--auth-user", "bob", "--auth-password", "builder"]), b"");
    assert!(!refused.status.success() && !refused.stdout.contains("235"), "{refused}");
    site.upstream.assert_empty(Duration::ZERO);
}

#[test]
fn users_send_anywhere_once_they_have_logged_in() {
    let site = MailServer::start();
    for is_implicit in [true, false] {
        let script = "
try:
    smtp.sendmail('bob@example.org', ['b@other.example'], 'Subject: none\\r\\n\\r\\nx')
    sys.exit('taken without a login')
except smtplib.SMTPSenderRefused as e:
    assert e.smtp_code == 530, e
smtp.login('bob', 'builder')
try:
    smtp.sendmail('alice@example.org', ['b@other.example'], 'Subject: none\\r\\n\\r\\nx')
    sys.exit('taken from somebody else')
except smtplib.SMTPSenderRefused as e:
    assert e.smtp_code == 550, e
assert smtp.sendmail('bob@example.org', ['b@other.example'], 'Subject: far\\r\\n\\r\\nx') == {}
assert smtp.sendmail('bob@example.org', ['alice@example.org'], 'Subject: near\\r\\n\\r\\nx') == {}
refused = smtp.sendmail('bob@example.org', ['alice@example.org', 'b@other.example'], 'Subject: both\\r\\n\\r\\nx')
assert refused['b@other.example'][0] == 452, refused
";
        let Some(done) = site.smtplib(is_implicit, script) else { return };
        done.succeeded();
        let relayed = site.upstream.recv_timeout(Duration::from_secs(30)).expect("relayed");
        assert_eq!(relayed.recipients(), ["b@other.example"]);
        assert!(relayed.text().expect("text").contains("with ESMTPSA "), "{:?}", relayed.text());
    }
    assert_eq!((site.stored("Subject: near"), site.stored("Subject: both")), (2, 2));
    assert_eq!(site.stored("Subject: none"), 0);
    site.upstream.assert_empty(Duration::ZERO);
}

#[test]
fn a_login_is_not_taken_in_clear() {
    let site = MailServer::start();
    let Some(mut swaks) = site.swaks("bob@example.org", "b@other.example", "in clear") else { return };
    swaks.args(["--server", "127.0.0.1", "--port", &site.port(2), "--auth", "PLAIN"]);
    let refused = support::run(swaks.args(["--auth-user", "bob", "--auth-password", "builder"]), b"");
    assert!(!refused.status.success() && !refused.stdout.contains("235"), "{refused}");
    site.upstream.assert_empty(Duration::ZERO);
}

#[test]
fn programs_of_this_machine_deliver_by_lmtp() {
    let site = MailServer::start();
    let to = "alice@example.org,b@other.example,bob@example.org";
    let Some(mut swaks) = site.swaks("", to, "local") else { return };
    let socket = site.folder.path().join("lmtp");
    let done = support::run(swaks.args(["--protocol", "LMTP", "--socket", utf8(&socket)]), b"").succeeded();
    assert!(done.stdout.contains("550 5.7.1 relaying denied"), "{done}");
    // One for each of the two that were accepted.
    let (_, behind_data) = done.stdout.split_once("354 ").expect("DATA");
    assert_eq!(behind_data.matches("250 2.0.0 OK ").count(), 2, "{done}");
    assert_eq!(site.stored("Subject: local"), 1);
}
