//! Real mail programs send real mail, and what arrives is compared byte for byte with what they were given.
//!
//! Each program has its own habits: what it adds at the end, which line ends it rewrites, what it says with MAIL. Each
//! module accounts for those exactly, so that whatever else differs is the server's doing.
//!
//! A test whose program is not installed says so on standard error and passes; with `TEST_PILLARBOX_REQUIRE_CLIENTS=1` in the
//! environment it fails instead.

// Half of the programs are for Unix only, as are the sockets that some are tried with.
#![cfg(unix)]

mod contents;
mod curl;
mod lettre;
#[cfg(all(feature = "tls", feature = "auth"))]
mod lettre_over_tls;
#[cfg(all(feature = "tls", feature = "auth"))]
mod mail_server;
mod msmtp;
mod postfix;
#[cfg(all(feature = "tls", feature = "auth"))]
mod secure_clients;
mod smtp_source;
mod smtplib;
mod swaks;
#[cfg(feature = "rustls")]
mod testssl;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support;
use pillarbox::{Builder, Context, Envelope, Inbox, Recipient, Reply, Server, Session};

/// The name that each client gives itself.
const CLIENT: &str = "client.example";
const SENDER: &str = "sender@example.org";
const RECIPIENT: &str = "recipient@example.org";

/// A server with everything that a client might make use of.
fn builder() -> Builder {
    Server::builder().hostname("mx.example.net").smtputf8(true)
}

fn inbox() -> Inbox {
    builder().inbox("127.0.0.1:0").expect("a free port")
}

fn inbox_on_ipv6() -> Inbox {
    builder().inbox("[::1]:0").expect("a free port")
}

/// A server on a Unix socket, which is gone with the folder.
struct OnUnixSocket {
    inbox: Inbox,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

fn inbox_on_unix_socket() -> OnUnixSocket {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("smtp.sock");
    let inbox = builder().inbox(path.as_path()).expect("a new socket");
    OnUnixSocket { inbox, path, _folder: folder }
}

/// Refuses recipients in `refused.example` as they are named.
struct Choosy;

impl Session for Choosy {
    fn rcpt(&mut self, _: &Context, to: &Recipient) -> Result<(), Reply> {
        match to.domain() {
            Some("refused.example") => Err(Reply::new(550, "5.7.1", "relaying denied")),
            _ => Ok(()),
        }
    }
}

fn choosy_inbox() -> Inbox {
    builder().session(|_peer| Choosy).inbox("127.0.0.1:0").expect("a free port")
}

/// A file with this content, for programs that send a file.
fn file(content: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), content).expect("room for a temporary file");
    file
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

fn port(at: SocketAddr) -> String {
    at.port().to_string()
}

fn hundred_recipients() -> Vec<String> {
    (1..=100).map(|n| format!("recipient-{n}@example.org")).collect()
}

/// The next message. It is there as soon as its client was answered; the limit is for servers that lost it.
#[track_caller]
fn receive(inbox: &Inbox) -> Envelope {
    inbox.recv_timeout(Duration::from_secs(30)).expect("a message")
}

/// The only message, from [`SENDER`] to [`RECIPIENT`].
#[track_caller]
fn assert_received(inbox: &Inbox, content: &[u8]) -> Envelope {
    assert_received_from(inbox, SENDER, &[RECIPIENT], content)
}

#[track_caller]
fn assert_received_from(inbox: &Inbox, from: &str, to: &[&str], content: &[u8]) -> Envelope {
    let mail = receive(inbox);
    assert_mail(&mail, from, to, content);
    assert_nothing_received(inbox);
    mail
}

#[track_caller]
fn assert_mail(mail: &Envelope, from: &str, to: &[&str], content: &[u8]) {
    assert_eq!(mail.helo(), CLIENT);
    assert_eq!(mail.mail_from(), from);
    assert_eq!(mail.recipients(), to);
    support::assert_same_bytes(&mail.bytes().expect("readable content"), content);
}

/// To be asked only after the clients have ended: whatever they sent and were answered for is there by then.
#[track_caller]
fn assert_nothing_received(inbox: &Inbox) {
    assert!(inbox.is_empty(), "{} messages that nobody sent", inbox.len());
}
