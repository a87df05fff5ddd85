//! STARTTLS: nothing that was said in clear has an effect within TLS: RFC 3207.

use super::connection::Connection;
use super::probe::{Check, Seen, Stop, Target, fail};
use super::reply::shown;

const INJECTED: &[(&str, &[u8])] = &[
    ("a command", b"NOOP\r\n"),
    ("a transaction", b"MAIL FROM:<>\r\nRSET\r\nNOOP\r\n"),
    ("half a command", b"XNOSUCH"),
    ("a line that ends with LF", b"NOOP\n"),
];

pub fn checks() -> Vec<Check> {
    let check = |rule, section, conversation: fn(&Target) -> Seen| {
        Check::new(format!("starttls: {rule}"), section, conversation)
    };
    let mut checks = vec![check("the handshake", "RFC 3207 4", |target| {
        let mut connection = within(target)?;
        connection.greet()?;
        connection.in_step().map(str::to_owned)
    })];
    for (name, octets) in INJECTED {
        let rule = format!("starttls: {name} injected is not run within TLS");
        checks.push(Check::new(rule, "RFC 3207 4.2", move |target| injected(target, octets)));
    }
    checks.extend([
        check("an argument is refused", "RFC 3207 4", |target| {
            let mut connection = offering(target)?;
            connection.send("STARTTLS now\r\n");
            connection.one_reply(&[501])
        }),
        check("a transaction in clear is forgotten", "RFC 3207 4.2", forgotten),
        check("not offered within TLS", "RFC 3207 4.2", |target| {
            let mut connection = within(target)?;
            connection.greet()?;
            match connection.offers("STARTTLS") {
                None => connection.in_step().map(str::to_owned),
                Some(_) => fail("offered again"),
            }
        }),
        check("refused within TLS", "RFC 3207 4.2", |target| {
            let mut connection = within(target)?;
            connection.greet()?;
            connection.send("STARTTLS\r\n");
            connection.one_reply(&[4, 5])
        }),
    ]);
    checks
}

fn offering(target: &Target) -> Result<Connection, Stop> {
    let connection = Connection::ehlo(target)?;
    connection.needs("STARTTLS")?;
    Ok(connection)
}

/// Up to behind the handshake, where EHLO is next.
pub fn within(target: &Target) -> Result<Connection, Stop> {
    let mut connection = offering(target)?;
    connection.expect("STARTTLS", &[220])?;
    connection.handshake()
}

fn injected(target: &Target, octets: &[u8]) -> Seen {
    let mut connection = offering(target)?;
    connection.send([b"STARTTLS\r\n", octets].concat());
    match connection.answer()? {
        None => return Ok("closed".to_owned()),
        // No TLS, so nothing gets into it.
        Some(reply) if reply.is(&[4, 5]) => return Ok(reply.to_string()),
        Some(reply) if reply.code != 220 => return fail(reply.to_string()),
        Some(_) => {}
    }
    let early = connection.early()?;
    if !early.is_empty() {
        return fail(format!("in clear behind the 220: {}", shown(&early)));
    }
    // Taken for the beginning of the handshake, they have ended it.
    let Ok(mut connection) = connection.handshake() else { return Ok("no handshake, and nothing run".to_owned()) };
    connection.send("NOOP\r\n");
    let seen = connection.one_reply(&[250])?;
    Ok(format!("thrown away: {seen}"))
}

fn forgotten(target: &Target) -> Seen {
    let mut connection = offering(target)?;
    connection.begin()?;
    let reply = connection.say("STARTTLS")?;
    if reply.is(&[4, 5]) {
        return Ok(format!("not within a transaction: {reply}"));
    }
    let mut connection = connection.handshake()?;
    connection.send("RCPT TO:<a@example.net>\r\n");
    connection.one_reply(&[503, 530])
}
