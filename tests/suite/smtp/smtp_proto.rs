//! Commands beside smtp-proto, another parser of them: where the two differ, the reason stands here.

use std::borrow::Cow;
use std::sync::mpsc::{Sender, channel};

use crate::support::client::{Client, PATIENCE};
use pillarbox::{
    Body, Context, MailParameters, Mailbox, Notify, RcptParameters, Recipient, Reply, Ret, ReversePath, Server, Session,
};
use proptest::prelude::*;
use smtp_proto::*;

fn theirs(line: &str) -> Option<Request<Cow<'_, str>>> {
    Request::parse(&mut line.as_bytes().iter()).ok()
}

/// What a server has heard.
enum Heard {
    Mail(ReversePath, MailParameters),
    Rcpt(Recipient),
}

/// Tells what it hears, and refuses nothing.
struct Listening(Sender<Heard>);

impl Session for Listening {
    fn mail(&mut self, _: &Context, from: &ReversePath, parameters: &MailParameters) -> Result<(), Reply> {
        self.0.send(Heard::Mail(from.clone(), parameters.clone())).expect("the test listens");
        Ok(())
    }

    fn rcpt(&mut self, _: &Context, to: &Recipient) -> Result<(), Reply> {
        self.0.send(Heard::Rcpt(to.clone())).expect("the test listens");
        Ok(())
    }
}

const SAME: &str = "";
const LITERALS: &str = "it knows no address literals (RFC 5321 section 4.1.3)";
const LENIENT_ADDRESS: &str = "we take addresses that smtpd took and real programs send, unless strict_syntax is set";
const LENIENT_PATH: &str = "we take what smtpd took, unless strict_syntax is set";
const DOMAINS: &str = "it does not look into domains (RFC 5321 section 4.1.2)";
const TWICE: &str = "it takes the last of a parameter that is there twice, which RFC 5321 section 4.1.1.11 forbids";
const SPACE: &str = "it misses no blank between path and parameters";
const BIG_SIZES: &str = "a size that no computer has is too big (552), not malformed";
const NOTHING: &str = "it takes RCPT TO:<>, which nobody can be meant by";
const NEVER_ALONE: &str = "NEVER stands alone (RFC 3461 section 4.1)";
const EMPTY: &str = "an empty quoted string is a local part (RFC 5321 section 4.1.2)";
const EXTENSIONS: &str = "it knows extensions that are not offered here";

/// Each line, and why one of the two refuses it that the other takes.
const LINES: [(&str, &str); 46] = [
    ("MAIL FROM:<a@b.example>", SAME),
    ("MAIL FROM:<>", SAME),
    ("mail from:<a@b.example> size=10", SAME),
    ("MAIL FROM: <a@b.example>", SAME),
    ("MAIL\tFROM:<a@b.example>", SAME),
    ("MAIL FROM:<a@b.example>\tSIZE=1", SAME),
    ("MAIL FROM:<@r.example:a@b.example>", SAME),
    ("MAIL FROM:<\"x y\"@b.example>", SAME),
    ("MAIL FROM:<\"x\\\"y\"@b.example>", SAME),
    ("MAIL FROM:<\"x>y\"@b.example>", SAME),
    ("MAIL FROM:<a@b.example> BODY=8BITMIME SMTPUTF8", SAME),
    ("MAIL FROM:<a@b.example> BODY=BINARYMIME RET=FULL", SAME),
    ("MAIL FROM:<a@b.example> ENVID=QQ+2B RET=HDRS", SAME),
    ("MAIL FROM:<gr\u{fc}n@b.example> SMTPUTF8", SAME),
    ("MAIL FROM:<a@b@c>", SAME),
    ("MAIL FROM:<@>", SAME),
    ("MAIL FROM:<a>", LENIENT_ADDRESS),
    ("MAIL FROM:<a@b.example", SAME),
    ("MAIL FROM:<a..b@b.example>", LENIENT_ADDRESS),
    ("MAIL FROM:<a b@c.example>", SAME),
    ("MAIL FROM:<a@b.example> SIZE=-1", SAME),
    ("MAIL FROM:<a@b.example> SIZE=+1", SAME),
    ("MAIL FROM:<a@b.example> SIZE=99999999999999999999", BIG_SIZES),
    ("MAIL FROM:<a@b.example> SIZE", SAME),
    ("MAIL FROM:<a@b.example> BODY=9BIT", SAME),
    ("MAIL FROM:<a@b.example> RET=HALF", SAME),
    ("MAIL FROM:<a@b.example> NONSENSE", SAME),
    ("MAIL FROM:<a@b.example> SIZE=1 SIZE=2", TWICE),
    ("MAIL FROM:<a@b.example> MT-PRIORITY=3", EXTENSIONS),
    ("MAIL FROM:<a@b.example> HOLDFOR=10", EXTENSIONS),
    ("MAIL FROM:<a@b.example>SIZE=1", SPACE),
    ("MAIL FROM:a@b.example", LENIENT_PATH),
    ("MAIL FROM:<a@[127.0.0.1]>", LITERALS),
    ("MAIL FROM:<a@[IPv6:::1]>", LITERALS),
    ("MAIL FROM:<a@>", DOMAINS),
    ("MAIL FROM:<a@-b.example>", DOMAINS),
    ("MAIL FROM:<a@b..example>", SAME),
    ("MAIL FROM:<\"\"@b.example>", EMPTY),
    ("RCPT TO:<a@b.example>", SAME),
    ("RCPT TO:<a@b.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+2Bb@c", SAME),
    ("RCPT TO:<a@b.example> NOTIFY=NEVER", SAME),
    ("RCPT TO:<a@b.example> NOTIFY=ALWAYS", SAME),
    ("RCPT TO:<a@b.example> SIZE=1", SAME),
    ("RCPT TO:<a@b.example> NOTIFY=NEVER,SUCCESS", NEVER_ALONE),
    ("RCPT TO:<a@b.example> NOTIFY=NEVER NOTIFY=NEVER", SAME),
    ("RCPT TO:<>", NOTHING),
];

#[test]
fn lines_and_what_they_mean() {
    let (heard, hearing) = channel();
    let server = Server::builder().smtputf8(true).max_errors(None).max_junk(None);
    let inbox = server.session(move |_| Listening(heard.clone())).inbox("127.0.0.1:0").unwrap();
    let mut client = Client::ehlo(inbox.local_addr());
    for (line, reason) in LINES {
        client.expect("RSET", "250");
        if line.starts_with("RCPT") {
            client.expect("MAIL FROM:<>", "250");
            hearing.recv_timeout(PATIENCE).unwrap();
        }
        let reply = client.say(line);
        let ours = reply.starts_with("250").then(|| hearing.recv_timeout(PATIENCE).unwrap());
        let text = format!("{line}\r\n");
        match (ours, theirs(&text)) {
            (Some(Heard::Mail(path, parameters)), Some(Request::Mail { from })) => {
                assert_eq!(reason, SAME, "{line}");
                assert_eq!(address(&path), from.address, "{line}");
                assert_eq!(mail_flags(&parameters), from.flags, "{line}");
                assert_eq!(parameters.size().unwrap_or(0), from.size as u64, "{line}");
                assert_eq!(parameters.envid(), from.env_id.as_deref(), "{line}");
            }
            (Some(Heard::Rcpt(to)), Some(Request::Rcpt { to: other })) => {
                assert_eq!(reason, SAME, "{line}");
                assert_eq!(to, *other.address, "{line}");
                assert_eq!(rcpt_flags(to.parameters()), other.flags, "{line}");
                assert_eq!(to.parameters().orcpt().map(|orcpt| orcpt.address()), other.orcpt.as_deref(), "{line}");
            }
            (None, None) => assert!(reason == SAME || reason == BIG_SIZES, "{line}: neither takes it"),
            (ours, theirs) => {
                assert_ne!(reason, SAME, "{line}: {reply} from us, and they: {theirs:?}");
                assert_ne!(ours.is_some(), theirs.is_some(), "{line}");
            }
        }
    }
}

/// As they give an address: a quoted string without its quotes.
fn address(path: &ReversePath) -> String {
    let text = |mailbox: &Mailbox| format!("{}@{}", mailbox.unquoted_local_part(), mailbox.domain());
    path.mailbox().map_or(String::new(), text)
}

fn mail_flags(parameters: &MailParameters) -> u64 {
    let body = match parameters.body() {
        None => 0,
        Some(Body::SevenBit) => MAIL_BODY_7BIT,
        Some(Body::EightBitMime) => MAIL_BODY_8BITMIME,
        Some(Body::BinaryMime) => MAIL_BODY_BINARYMIME,
        Some(other) => panic!("what is {other}?"),
    };
    let ret = match parameters.ret() {
        None => 0,
        Some(Ret::Full) => MAIL_RET_FULL,
        Some(Ret::Headers) => MAIL_RET_HDRS,
    };
    body | ret | if parameters.smtputf8() { MAIL_SMTPUTF8 } else { 0 }
}

fn rcpt_flags(parameters: &RcptParameters) -> u64 {
    let Some(notify) = parameters.notify() else { return 0 };
    if notify == Notify::NEVER {
        return RCPT_NOTIFY_NEVER;
    }
    let flag = |is_set: bool, flag: u64| if is_set { flag } else { 0 };
    flag(notify.on_success(), RCPT_NOTIFY_SUCCESS)
        | flag(notify.on_failure(), RCPT_NOTIFY_FAILURE)
        | flag(notify.on_delay(), RCPT_NOTIFY_DELAY)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    /// Addresses made of what is dangerous in them.
    #[test]
    fn addresses(local in "[a.\"\\\\<>@: \\[]{0,6}", domain in "[a.\\-@\\[\\]>]{0,6}") {
        let text = format!("MAIL FROM:<{local}@{domain}> SMTPUTF8\r\n");
        let ours = format!("<{local}@{domain}>").parse::<ReversePath>();
        let other = match theirs(&text) {
            Some(Request::Mail { from }) => Some(from.address.into_owned()),
            _ => None,
        };
        match (ours, other) {
            (Ok(path), Some(other)) => prop_assert_eq!(address(&path), other),
            // The reasons are those of the list above: an empty quoted string, a literal, a dot in an odd place.
            (Ok(path), None) => {
                let is_empty = path.mailbox().is_some_and(|mailbox| mailbox.unquoted_local_part().is_empty());
                let is_literal = path.domain().is_some_and(|domain| domain.starts_with('['));
                let has_odd_dot = path.as_str().split('@').next().is_some_and(|local| local.split('.').any(str::is_empty));
                prop_assert!(is_empty || is_literal || has_odd_dot, "{} is {}", text, path);
            }
            // It is laxer than the grammar of RFC 5321 section 4.1.2: it passes over blanks, takes a dot at the end of a local
            // part, quotes within one, and any domain.
            (Err(_), _) => {}
        }
    }
}
