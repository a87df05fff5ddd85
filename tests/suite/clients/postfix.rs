//! Postfix as a client: a mail system that hands its mail on to this server by SMTP and by LMTP.
//!
//! Where Postfix or the right to start it is missing the test says so and passes; with `TEST_PILLARBOX_REQUIRE_CLIENTS=1` in the
//! environment it fails instead.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
#[cfg(feature = "testing-tls")]
use std::time::Instant;

use crate::support::client::Client;
#[cfg(feature = "testing-tls")]
use crate::support::client::PATIENCE;
use crate::support::postfix::Postfix;
#[cfg(feature = "testing-tls")]
use pillarbox::testing::Authority;
use pillarbox::{Builder, Envelope, Inbox, Listener, Network, Notify, Reply, Response, Server, XforwardSource};

#[track_caller]
fn receive(inbox: &Inbox, postfix: &Postfix) -> Envelope {
    inbox.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|e| panic!("{e}\n{}", postfix.log()))
}

fn inbox(builder: Builder) -> (Inbox, SocketAddr) {
    let inbox = builder.smtputf8(true).inbox("127.0.0.1:0").expect("a free port");
    let address = inbox.local_addr();
    (inbox, address)
}

#[test]
fn by_smtp_with_notices() {
    let (inbox, address) = inbox(Server::builder());
    let Some(postfix) = Postfix::start(&format!("default_transport = smtp:[{}]:{}", address.ip(), address.port()))
    else {
        return;
    };
    let message = "From: sender@example.org\nTo: two@example.net\nSubject: x\n\nbody\n.dotted\n";
    postfix.send(&["-N", "success,delay", "-V", "id+1"], &["one@example.net", "two@example.net"], message);
    let mail = receive(&inbox, &postfix);
    assert_eq!(mail.protocol().to_string(), "ESMTP");
    assert_eq!(mail.mail_from(), "sender@example.org");
    assert_eq!(mail.mail_parameters().envid(), Some("id+1"));
    let mut recipients: Vec<&str> = mail.recipients().iter().map(|to| to.as_str()).collect();
    recipients.sort_unstable();
    assert_eq!(recipients, ["one@example.net", "two@example.net"]);
    for recipient in mail.recipients() {
        let notify = recipient.parameters().notify().unwrap_or_default();
        assert_eq!((notify.on_success(), notify.on_failure()), (true, false));
        assert_eq!(recipient.parameters().orcpt().unwrap().address(), recipient.as_str());
    }
    assert!(mail.bytes().unwrap().ends_with(b"\r\n\r\nbody\r\n.dotted\r\n"));
    // The null reverse-path, and NOTIFY=NEVER.
    postfix.send(&["-N", "never", "-f", "<>"], &["one@example.net"], "Subject: y\n\n\n");
    let mail = receive(&inbox, &postfix);
    assert_eq!((mail.mail_from().as_str(), mail.recipients()[0].parameters().notify()), ("", Some(Notify::NEVER)));
}

#[test]
fn by_lmtp_each_recipient_hears_its_own() {
    let (seen, mails) = pillarbox::crossbeam_channel::unbounded();
    let handler = move |mail: Envelope| {
        let answers = Response::each(mail.recipients().iter().map(|to| match to.as_str().starts_with("bad") {
            true => Err(Reply::new(550, "5.1.1", "nobody of that name")),
            false => Ok(()),
        }));
        // The test may have ended.
        let _ = seen.send(mail.protocol().to_string());
        answers
    };
    // Where the mail system's own user may connect.
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("our own folder");
    let path = folder.path().join("lmtp.sock");
    let _server = Server::builder().lmtp(true).serve(Listener::unix(&path), handler).expect("a new socket");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("our own socket");
    let Some(postfix) = Postfix::start(&format!("default_transport = lmtp:unix:{}", path.display())) else { return };
    postfix.send(&[], &["good@example.net", "bad@example.net"], "Subject: x\n\nbody\n");
    let protocol = mails.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|e| panic!("{e}\n{}", postfix.log()));
    assert_eq!(protocol, "LMTP");
    // Postfix tells the sender of the one that failed, by another message to the same place.
    mails.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|e| panic!("{e}\n{}", postfix.log()));
    postfix.await_status("good@example.net", "sent");
    postfix.await_status("bad@example.net", "bounced");
}

#[test]
fn where_a_message_comes_from() {
    let (inbox, address) = inbox(Server::builder().xforward(Network::loopback()));
    let settings = format!(
        "relay_domains = example.net\nrelay_transport = smtp:[{}]:{}\nsmtp_send_xforward_command = yes\n\
         smtpd_authorized_xclient_hosts = 127.0.0.0/8\nlocal_header_rewrite_clients =",
        address.ip(),
        address.port()
    );
    let Some(postfix) = Postfix::start(&settings) else { return };
    // From a client of its own.
    let mut client = Client::ehlo(postfix.smtp());
    client.expect("XCLIENT NAME=spike.example ADDR=192.0.2.7 PORT=4025", "220 ");
    client.expect("EHLO (what) a name", "250");
    client.expect("MAIL FROM:<sender@client.example>", "250");
    client.expect("RCPT TO:<one@example.net>", "250");
    client.expect("DATA", "354");
    client.expect("body\r\n.", "250");
    let mail = receive(&inbox, &postfix);
    let told = mail.xforward().expect("it was said");
    assert_eq!((told.name.as_deref(), told.address), (Some("spike.example"), "192.0.2.7".parse().ok()));
    assert_eq!((told.port, told.protocol.as_deref()), (Some(4025), Some("ESMTP")));
    assert_eq!((told.helo.as_deref(), told.source), (Some("?what??a?name"), Some(XforwardSource::Remote)));
    let ident = told.ident.as_deref().expect("its queue id");
    let client = format!("{ident}: client=spike.example[192.0.2.7]");
    postfix.await_log(|log| log.contains(&client));
    // From a program on its machine: another message, of which nothing stays behind.
    postfix.send(&[], &["one@example.net"], "Subject: x\n\nbody\n");
    let mail = receive(&inbox, &postfix);
    let told = mail.xforward().expect("it was said");
    assert_eq!((told.address, told.port, &told.ident, told.source), (None, None, &None, Some(XforwardSource::Local)));
}

/// A Postfix that hands on nothing unless the server proves its name.
#[cfg(feature = "testing-tls")]
#[test]
fn with_a_certificate_that_is_verified() {
    let (authority, stranger) = (Authority::new().unwrap(), Authority::new().unwrap());
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("our own folder");
    let roots = folder.path().join("ca.pem");
    fs::write(&roots, authority.pem()).expect("room");
    let tls = authority.server().unwrap();
    let (implicit, starttls) = (
        Server::builder().tls(tls.clone()).inbox(Listener::from("127.0.0.1:0").implicit_tls()).expect("a free port"),
        Server::builder().tls(tls.clone()).require_tls(true).inbox("127.0.0.1:0").expect("a free port"),
    );
    for (inbox, wrapped) in [(starttls, "no"), (implicit, "yes")] {
        let address = inbox.local_addr();
        let settings = format!(
            "default_transport = smtp:[{}]:{}\nsmtp_tls_security_level = verify\nsmtp_tls_CAfile = {}\n\
             smtp_tls_verify_cert_match = localhost\nsmtp_tls_wrappermode = {wrapped}\nsmtp_tls_loglevel = 1",
            address.ip(),
            address.port(),
            roots.display()
        );
        let Some(postfix) = Postfix::start(&settings) else { return };
        postfix.send(&[], &["one@example.net"], "Subject: x\n\nbody\n");
        let mail = receive(&inbox, &postfix);
        assert_eq!(mail.protocol().to_string(), "ESMTPS");
        assert_eq!(mail.tls().and_then(|tls| tls.version.as_deref()), Some("TLSv1.3"));
        postfix.await_log(|log| log.contains("Verified TLS connection established"));
        // Another name, another authority.
        for other in [authority.server_for(["mail.example.com"]).unwrap(), stranger.server().unwrap()] {
            tls.replace(other);
            let deferred = || postfix.log().matches("status=deferred (Server certificate not ").count();
            let before = deferred();
            postfix.send(&[], &["one@example.net"], "Subject: y\n\nbody\n");
            let deadline = Instant::now() + PATIENCE;
            while deferred() == before {
                assert!(Instant::now() < deadline, "{}", postfix.log());
                std::thread::sleep(Duration::from_millis(20));
            }
            assert!(inbox.try_recv().is_err());
        }
        tls.replace(authority.server().unwrap());
    }
}
