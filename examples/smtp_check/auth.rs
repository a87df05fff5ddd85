//! AUTH: the exchange, without a name or password that is one: RFC 4954.

use super::connection::Connection;
use super::probe::{Check, Seen, Stop, Target, fail, skip};
use super::starttls;

pub fn checks() -> Vec<Check> {
    let check =
        |rule, conversation: fn(&Target) -> Seen| Check::new(format!("auth: {rule}"), "RFC 4954 4", conversation);
    let line = |rule, octets: &'static str, codes: &'static [u16]| {
        Check::new(format!("auth: {rule}"), "RFC 4954 4", move |target| {
            let mut connection = offering(target)?;
            connection.send(format!("{octets}\r\n"));
            connection.one_reply(codes)
        })
    };
    vec![
        Check::new("auth: offered once, each mechanism once", "RFC 4954 3", mechanisms),
        line("an unknown mechanism is refused", "AUTH X-NO-SUCH", &[504]),
        line("no mechanism is refused", "AUTH", &[501]),
        check("an initial response that is no Base64 is refused", move |target| {
            let mut connection = plain(target)?;
            connection.send("AUTH PLAIN not*base64\r\n");
            connection.one_reply(&[501])
        }),
        check("a response that is no Base64 is refused", |target| challenged(target, "not*base64")),
        check("* cancels the exchange", |target| challenged(target, "*")),
        check("within a transaction it is refused", |target| {
            let mut connection = plain(target)?;
            connection.begin()?;
            connection.send("AUTH PLAIN\r\n");
            connection.one_reply(&[503])
        }),
        check("a response far too long is one line", |target| {
            let mut connection = plain(target)?;
            connection.expect("AUTH PLAIN", &[334])?;
            connection.send([&b"NOOP".repeat(4_000)[..], b"*\r\n"].concat());
            connection.one_reply(&[500, 501, 535])
        }),
    ]
}

/// A connection on which AUTH is offered: in clear, or else within TLS.
fn offering(target: &Target) -> Result<Connection, Stop> {
    let connection = Connection::ehlo(target)?;
    if connection.offers("AUTH").is_some() {
        return Ok(connection);
    }
    if connection.offers("STARTTLS").is_some() {
        let mut connection = starttls::within(target)?;
        connection.greet()?;
        if connection.offers("AUTH").is_some() {
            return Ok(connection);
        }
    }
    skip("AUTH is not offered")
}

fn plain(target: &Target) -> Result<Connection, Stop> {
    let connection = offering(target)?;
    match connection.offers("AUTH") {
        Some(mechanisms) if mechanisms.split(' ').any(|mechanism| mechanism == "PLAIN") => Ok(connection),
        _ => skip("PLAIN is not offered"),
    }
}

fn challenged(target: &Target, response: &str) -> Seen {
    let mut connection = plain(target)?;
    connection.expect("AUTH PLAIN", &[334])?;
    connection.send(format!("{response}\r\n"));
    connection.one_reply(&[501])
}

fn mechanisms(target: &Target) -> Seen {
    let connection = offering(target)?;
    if connection.keywords.iter().filter(|line| line.split(' ').next() == Some("AUTH")).count() != 1 {
        return fail("two lines of AUTH");
    }
    let names: Vec<&str> = connection.needs("AUTH")?.split(' ').collect();
    match names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        None => Ok(names.join(" ")),
        Some((_, name)) => fail(format!("{name} is there twice")),
    }
}
