//! EHLO keywords and parameters of a program's own, and parameters that nobody knows.

use pillarbox::{
    Builder, Context, Error, Extension, Inbox, MailParameters, Recipient, Reply, ReversePath, Server, Session,
    SettingError, handlers::Proxy,
};

use crate::support::client::{Client, PATIENCE};

fn inbox(builder: Builder) -> Inbox {
    builder.inbox("127.0.0.1:0").expect("a free port")
}

fn tenants() -> Extension {
    Extension::new("xtenants").argument("blue green").mail_parameter("XTENANT", 16).rcpt_parameter("XROUTE", 0)
}

/// Refuses the tenant "red".
struct Tenants;

impl Session for Tenants {
    fn mail(&mut self, _: &Context, _: &ReversePath, parameters: &MailParameters) -> Result<(), Reply> {
        match parameters.get("xtenant") {
            Some("red") => Err(Reply::new(550, "5.7.1", "no such tenant")),
            _ => Ok(()),
        }
    }

    fn rcpt(&mut self, context: &Context, to: &Recipient) -> Result<(), Reply> {
        let tenant = context.mail_parameters().and_then(|parameters| parameters.get("XTENANT"));
        match to.parameters().get("XROUTE") {
            Some(_) if tenant.is_none() => Err(Reply::new(550, "5.5.4", "a route needs a tenant")),
            _ => Ok(()),
        }
    }
}

#[test]
fn parameters_of_ones_own() {
    let inbox = inbox(Server::builder().extension(tenants()).session(|_| Tenants).max_errors(None));
    let mut client = Client::connect(inbox.local_addr());
    let reply = client.say("EHLO client.example");
    assert!(reply.contains("\n250-XTENANTS blue green\n250-LIMITS"), "{reply}");
    for (line, reply) in [
        ("MAIL FROM:<a@b.example> XTENANT=red", "550 5.7.1"),
        ("MAIL FROM:<a@b.example> XTENANT=12345678901234567", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> XTENANT=", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> XTENANT=\u{e4}", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> XTENANT=a xtenant=b", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> XROUTE", "555 5.5.4"),
        ("MAIL FROM:<a@b.example> XTENANTS", "555 5.5.4"),
        ("MAIL FROM:<a@b.example> XOTHER=1", "555 5.5.4"),
        ("MAIL FROM:<a@b.example> xtenant=Blue-1 SIZE=100", "250"),
        ("RCPT TO:<c@d.example> XTENANT=blue", "555 5.5.4"),
        ("RCPT TO:<c@d.example> XROUTE=x", "501 5.5.4"),
        ("RCPT TO:<c@d.example> xroute", "250"),
        ("RCPT TO:<e@d.example> NOTIFY=NEVER", "250"),
        ("DATA", "354"),
        (".", "250"),
        ("MAIL FROM:<a@b.example>", "250"),
        ("RCPT TO:<c@d.example> XROUTE", "550 5.5.4"),
        ("RSET", "250"),
        // After HELO there are none.
        ("HELO client.example", "250"),
        ("MAIL FROM:<a@b.example> XTENANT=blue", "555 5.5.4"),
    ] {
        client.expect(line, reply);
    }
    let mail = inbox.recv_timeout(PATIENCE).unwrap();
    // Its value keeps its case.
    assert_eq!(mail.mail_options(), ["XTENANT=Blue-1", "SIZE=100"]);
    assert_eq!((mail.mail_parameters().get("XTENANT"), mail.mail_parameters().get("xtenants")), (Some("Blue-1"), None));
    assert_eq!((mail.mail_parameters().get("size"), mail.mail_parameters().size()), (Some("100"), Some(100)));
    let [one, other] = mail.recipients() else { panic!("{:?}", mail.recipients()) };
    assert_eq!((one.parameters().get("XROUTE"), other.parameters().get("XROUTE")), (Some(""), None));
    assert_eq!(one.parameters().options().collect::<Vec<_>>(), ["XROUTE"]);
}

#[test]
fn a_command_line_grows_with_the_parameters() {
    let inbox = inbox(Server::builder().extension(Extension::new("XLONG").mail_parameter("XLONG", 5000)));
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect(format!("MAIL FROM:<a@b.example> XLONG={}", "x".repeat(5000)), "250");
    client.expect("RSET", "250");
    client.expect(format!("MAIL FROM:<a@b.example> XLONG={}", "x".repeat(5001)), "501 5.5.4");
    // 2,048 octets, and 5,007 for the parameter.
    client.expect(format!("NOOP {}", "x".repeat(7048)), "250");
    client.expect(format!("NOOP {}", "x".repeat(7049)), "500 5.5.2");
    client.expect_in_step();
    let inbox = self::inbox(Server::builder());
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect(format!("NOOP {}", "x".repeat(2041)), "250");
    client.expect(format!("NOOP {}", "x".repeat(2042)), "500 5.5.2");
}

#[test]
fn extensions_are_checked() {
    for bad in [
        Extension::new("SIZE"),
        Extension::new("X\r\n250-Y"),
        Extension::new("XFOO").argument("a\r\n250 b"),
        Extension::new("XFOO").mail_parameter("BODY", 9),
        Extension::new("XTENANTS"),
    ] {
        let shown = format!("{bad:?}");
        let error = Server::builder().extension(tenants()).extension(bad).inbox("127.0.0.1:0").unwrap_err();
        assert!(matches!(error, Error::Setting(SettingError::Extension)), "{shown}: {error}");
    }
}

#[test]
fn parameters_that_nobody_knows() {
    let inbox = inbox(Server::builder().ignore_unknown_parameters(true).extension(tenants()).max_errors(None));
    let mut client = Client::ehlo(inbox.local_addr());
    for (line, reply) in [
        ("MAIL FROM:<a@b.example> XOTHER==", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> XOTHER=\u{e4}", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> X_OTHER", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> XTENANT=12345678901234567", "501 5.5.4"),
        // Known, and what they ask for is not done.
        ("MAIL FROM:<a@b.example> REQUIRETLS", "555 5.5.4"),
        ("MAIL FROM:<a@b.example> HOLDFOR=10", "555 5.5.4"),
        ("MAIL FROM:<a@b.example> NOTIFY=NEVER", "555 5.5.4"),
        ("MAIL FROM:<a@b.example> XOTHER=Value XFLAG xflag BODY=8BITMIME", "250"),
        ("RCPT TO:<c@d.example> XVERP=1 NOTIFY=NEVER", "250"),
        ("RCPT TO:<c@d.example> SIZE=1", "555 5.5.4"),
        ("DATA", "354"),
        (".", "250"),
        ("HELO client.example", "250"),
        ("MAIL FROM:<a@b.example> XOTHER", "555 5.5.4"),
    ] {
        client.expect(line, reply);
    }
    let mail = inbox.recv_timeout(PATIENCE).unwrap();
    assert_eq!(mail.mail_options(), ["XOTHER=Value", "XFLAG", "XFLAG", "BODY=8BITMIME"]);
    assert_eq!(mail.recipients()[0].parameters().get("xverp"), Some("1"));
    let inbox = self::inbox(Server::builder());
    let mut client = Client::ehlo(inbox.local_addr());
    client.expect("MAIL FROM:<a@b.example> XOTHER=Value", "555 5.5.4");
}

#[test]
fn relays_pass_on_what_the_next_server_offers() {
    let passes = inbox(Server::builder().extension(tenants()).extension(Extension::new("XOTHER")));
    let drops = inbox(Server::builder());
    for (next, mail_options, rcpt_options) in
        [(&passes, vec!["XTENANT=Blue"], vec!["NOTIFY=NEVER", "XROUTE"]), (&drops, vec![], vec!["NOTIFY=NEVER"])]
    {
        let other = Extension::new("XLOCAL").mail_parameter("XLOCAL", 8);
        let relay = Server::builder()
            .extension(tenants())
            .extension(other)
            .ignore_unknown_parameters(true)
            .serve("127.0.0.1:0", Proxy::to(next.local_addr().to_string()))
            .expect("a free port");
        let mut client = Client::ehlo(relay.local_addr());
        client.expect("MAIL FROM:<a@b.example> XTENANT=Blue XLOCAL=1 XOTHER=2", "250");
        client.expect("RCPT TO:<c@d.example> XROUTE NOTIFY=NEVER XOTHER", "250");
        client.expect("DATA", "354");
        client.expect(".", "250");
        let mail = next.recv_timeout(PATIENCE).unwrap();
        assert_eq!(mail.mail_options(), mail_options);
        assert_eq!(mail.recipients()[0].parameters().options().collect::<Vec<_>>(), rcpt_options);
    }
}
