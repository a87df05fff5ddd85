//! What follows a refusal: no command of the group behind it is lost, and none too many is run.

use super::connection::{Connection, HEADER, SMUGGLED};
use super::ends::nothing_done;
use super::probe::{Check, Seen, Stop, Target, fail, skip};

/// A message over the announced limit is sent only where the limit is not above this.
pub const MOST_SENT: u64 = 64 << 20;

pub fn checks() -> Vec<Check> {
    let refusal = |rule, section, conversation: fn(&Target) -> Seen| {
        Check::new(format!("refusals: {rule}"), section, conversation)
    };
    // A refused MAIL leaves no transaction, so whatever needs one is refused too.
    let mail = |rule, section, line: &'static str, codes: &'static [u16]| {
        Check::new(format!("refusals: {rule}"), section, move |target| {
            let mut connection = Connection::ehlo(target)?;
            connection.group(&[(line, codes), ("RCPT TO:<a@example.net>", &[5]), ("DATA", &[5])])?;
            Ok(format!("all refused, then {}", connection.in_step()?))
        })
    };
    let rcpt = |rule, section, line: &'static str, codes: &'static [u16]| {
        Check::new(format!("refusals: {rule}"), section, move |target| {
            let mut connection = Connection::mail(target)?;
            connection.group(&[(line, codes)])?;
            no_recipient(&mut connection)
        })
    };
    vec![
        mail("MAIL with a bad path", "RFC 5321 4.1.2", "MAIL FROM:<a@example.net", &[501, 553, 555]),
        mail("MAIL with an unknown parameter", "RFC 5321 4.1.1.11", "MAIL FROM:<> X-NO-SUCH=1", &[555]),
        mail("MAIL with an unknown BODY", "RFC 6152 2", "MAIL FROM:<> BODY=9BIT", &[501, 504, 555]),
        mail("MAIL with SIZE that is no number", "RFC 1870 3", "MAIL FROM:<> SIZE=x", &[501, 504, 552, 555]),
        mail("MAIL with SIZE below zero", "RFC 1870 3", "MAIL FROM:<> SIZE=-1", &[501, 504, 552, 555]),
        refusal("MAIL with SIZE over the limit", "RFC 1870 6.1", |target| oversized(target, |limit| limit + 1)),
        refusal("MAIL with SIZE that passes 32 bits", "RFC 1870 6.1", |target| {
            oversized(target, |limit| limit.max(1 << 32) + 4)
        }),
        refusal("MAIL with SIZE that passes 64 bits", "RFC 1870 6.1", |target| {
            oversized(target, |limit| limit + (1 << 64))
        }),
        rcpt("RCPT with a bad path", "RFC 5321 4.1.2", "RCPT TO:<a@example.net", &[4, 5]),
        rcpt("RCPT with the null path", "RFC 5321 4.1.2", "RCPT TO:<>", &[4, 5]),
        rcpt("RCPT with an unknown parameter", "RFC 5321 4.1.1.11", "RCPT TO:<a@example.net> X-NO-SUCH=1", &[4, 5]),
        refusal("DATA without RCPT", "RFC 5321 3.3", |target| no_recipient(&mut Connection::mail(target)?)),
        refusal("nothing behind a refused DATA, in its packet, is run", "RFC 2920 3.1", behind_data),
        refusal("a refused RCPT leaves those before it", "RFC 5321 3.3", |target| {
            let mut connection = Connection::envelope(target)?;
            connection.group(&[("RCPT TO:<a@example.net", &[4, 5]), ("DATA", &[354])])?;
            connection.send([HEADER, b".\r\n"].concat());
            connection.one_reply(&[2, 4, 5])
        }),
        refusal("a message over the SIZE announced is read to its end", "RFC 1870 6.4", too_big),
    ]
}

/// The announced limit, if there is one.
pub fn limit(connection: &Connection) -> Result<u64, Stop> {
    match connection.needs("SIZE")?.trim().parse() {
        Ok(0) | Err(_) => skip("SIZE announces no limit"),
        Ok(limit) => Ok(limit),
    }
}

fn oversized(target: &Target, size: fn(u128) -> u128) -> Seen {
    let mut connection = Connection::ehlo(target)?;
    let size = size(limit(&connection)?.into());
    let mail = format!("MAIL FROM:<{}> SIZE={size}", target.sender);
    connection.group(&[(&mail, &[452, 501, 552]), ("RCPT TO:<a@example.net>", &[5]), ("DATA", &[5])])?;
    Ok(format!("SIZE={size} refused, then {}", connection.in_step()?))
}

/// DATA for nobody: refused, or, as RFC 2920 section 3.1 lets a server do, taken for nothing.
fn no_recipient(connection: &mut Connection) -> Seen {
    connection.send("DATA\r\n");
    let reply = connection.reply()?;
    if reply.code == 354 {
        connection.send(".\r\n");
        return connection.one_reply(&[5]);
    }
    if reply.is(&[5]) { Ok(format!("{reply}, then {}", connection.in_step()?)) } else { fail(reply.to_string()) }
}

/// A client that waits for the reply to DATA, as it must, has sent nothing more: what is there is content. It is more than a
/// server reads at once, and ends where commands begin.
fn behind_data(target: &Target) -> Seen {
    let mut connection = Connection::mail(target)?;
    let content = format!("NOOP {}\r\n", "x".repeat(598)).repeat(4);
    connection.send([b"DATA\r\n", content.as_bytes(), SMUGGLED].concat());
    let reply = connection.reply()?;
    if reply.code == 354 {
        connection.send(".\r\n");
        return connection.one_reply(&[5]);
    }
    if !reply.is(&[4, 5]) {
        return fail(reply.to_string());
    }
    nothing_done(&connection.end()?)?;
    Ok(format!("{reply}, then closed"))
}

fn too_big(target: &Target) -> Seen {
    let mut connection = Connection::envelope(target)?;
    let limit = limit(&connection)?;
    if limit > MOST_SENT {
        return skip(format!("SIZE {limit} is more than this sends"));
    }
    connection.expect("DATA", &[354])?;
    connection.send(HEADER);
    connection.send(b"NOOP\r\n".repeat(limit as usize / 6 + 1_000));
    connection.send(".\r\n");
    connection.one_reply(&[2, 4, 5])
}
