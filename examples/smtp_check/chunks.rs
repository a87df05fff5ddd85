//! BDAT: a chunk has as many octets as were announced, and none of them is a command, whatever becomes of the message.

use super::connection::{Connection, HEADER, SMUGGLED};
use super::ends::nothing_done;
use super::probe::{Check, Seen, Stop, Target, fail, skip};
use super::refusals::{MOST_SENT, limit};

/// Numbers that are none.
const NOT_NUMBERS: &[&str] = &["-1", "+1", "", "LAST", "5 LAST x", "5 5", "5 FIRST", "0x5", "1.0", "5x", "5LAST"];

/// Numbers that pass 32, 64 and 128 bits, by 4 or less.
const HUGE: &[&str] =
    &["4294967300", "18446744073709551616", "18446744073709551620", "340282366920938463463374607431768211460"];

pub fn checks() -> Vec<Check> {
    let chunk = |rule: String, conversation: fn(&Target) -> Seen| {
        Check::new(format!("chunks: {rule}"), "RFC 3030 2", conversation)
    };
    let mut checks = Vec::new();
    for words in NOT_NUMBERS {
        let rule = format!("chunks: nothing behind BDAT {words:?} is run");
        checks.push(Check::new(rule, "RFC 3030 2", move |target| not_a_number(target, words)));
    }
    for octets in [3_000, 20_000] {
        let rule = format!("chunks: nothing behind a BDAT of {octets} octets is run");
        checks.push(Check::new(rule, "RFC 3030 2", move |target| not_a_number(target, &"5".repeat(octets))));
    }
    for number in HUGE {
        let rule = format!("chunks: {number} octets are not a few");
        checks.push(Check::new(rule, "RFC 3030 2", move |target| huge(target, number)));
    }
    for (rule, conversation) in [
        ("BDAT before MAIL is read off", before_mail as fn(&Target) -> Seen),
        ("BDAT before RCPT is read off", before_rcpt),
        ("BDAT behind a refused RCPT, in its packet, is read off", behind_a_refused_rcpt),
        ("BDAT behind the last one is read off", behind_the_last),
        ("BDAT over the limit is read off", over_the_limit),
        ("BDAT that arrives octet by octet is read off", octet_by_octet),
        ("a chunk has no dots and no end but its last octet", dots),
        ("an empty last chunk ends the message", empty_last),
        ("RSET between chunks forgets the message", rset),
        ("DATA between chunks is refused", data_between),
        ("MAIL between chunks is refused", mail_between),
        ("a last chunk that the client's close cuts short is not taken", cut_short),
        ("chunks without the last one are not taken", no_last),
    ] {
        checks.push(chunk(rule.to_owned(), conversation));
    }
    checks.push(Check::new("chunks: BINARYMIME by DATA is refused", "RFC 3030 3", binary_by_data));
    checks
}

/// BDAT with its chunk, in one packet.
fn bdat(connection: &mut Connection, chunk: &[u8], last: &str) {
    connection.send([format!("BDAT {}{last}\r\n", chunk.len()).as_bytes(), chunk].concat());
}

fn chunking(target: &Target, open: fn(&Target) -> Result<Connection, Stop>) -> Result<Connection, Stop> {
    // Whether it is offered is asked first: that needs no recipient.
    Connection::ehlo(target)?.needs("CHUNKING")?;
    open(target)
}

/// A refused chunk full of commands.
fn refused(connection: &mut Connection) -> Seen {
    bdat(connection, SMUGGLED, " LAST");
    connection.one_reply(&[5])
}

fn before_mail(target: &Target) -> Seen {
    refused(&mut chunking(target, Connection::ehlo)?)
}

fn before_rcpt(target: &Target) -> Seen {
    refused(&mut chunking(target, Connection::mail)?)
}

fn behind_a_refused_rcpt(target: &Target) -> Seen {
    let mut connection = chunking(target, Connection::mail)?;
    connection.needs("PIPELINING")?;
    connection.send("RCPT TO:<a@example.net\r\n");
    bdat(&mut connection, SMUGGLED, " LAST");
    match connection.reply()? {
        reply if reply.is(&[4, 5]) => connection.one_reply(&[5]),
        reply => fail(reply.to_string()),
    }
}

fn behind_the_last(target: &Target) -> Seen {
    let mut connection = chunking(target, Connection::envelope)?;
    bdat(&mut connection, HEADER, " LAST");
    let reply = connection.reply()?;
    if !reply.is(&[2, 4, 5]) {
        return fail(reply.to_string());
    }
    refused(&mut connection)
}

fn over_the_limit(target: &Target) -> Seen {
    let mut connection = chunking(target, Connection::envelope)?;
    let limit = limit(&connection)?;
    if limit > MOST_SENT {
        return skip(format!("SIZE {limit} is more than this sends"));
    }
    bdat(&mut connection, &SMUGGLED.repeat(limit as usize / SMUGGLED.len() + 1), " LAST");
    connection.one_reply(&[4, 5])
}

fn octet_by_octet(target: &Target) -> Seen {
    let mut connection = chunking(target, Connection::ehlo)?;
    connection.drip(format!("BDAT {}\r\n", SMUGGLED.len()));
    connection.drip(SMUGGLED);
    connection.one_reply(&[5])
}

fn dots(target: &Target) -> Seen {
    let mut connection = chunking(target, Connection::envelope)?;
    bdat(&mut connection, &[HEADER, b".\r\n", SMUGGLED].concat(), "");
    let reply = connection.reply()?;
    if reply.code != 250 {
        return fail(reply.to_string());
    }
    bdat(&mut connection, &[b".\r\n", SMUGGLED].concat(), " LAST");
    connection.one_reply(&[2, 4, 5])
}

/// Up to behind the first chunk.
fn begun(target: &Target) -> Result<Connection, Stop> {
    let mut connection = chunking(target, Connection::envelope)?;
    bdat(&mut connection, HEADER, "");
    match connection.reply()? {
        reply if reply.code == 250 => Ok(connection),
        reply => fail(reply.to_string()),
    }
}

fn empty_last(target: &Target) -> Seen {
    let mut connection = begun(target)?;
    bdat(&mut connection, b"", " LAST");
    connection.one_reply(&[2, 4, 5])
}

fn rset(target: &Target) -> Seen {
    let mut connection = begun(target)?;
    connection.expect("RSET", &[250])?;
    refused(&mut connection)
}

fn data_between(target: &Target) -> Seen {
    let mut connection = begun(target)?;
    connection.send("DATA\r\n");
    connection.one_reply(&[503])
}

fn mail_between(target: &Target) -> Seen {
    let mut connection = begun(target)?;
    connection.send("MAIL FROM:<>\r\n");
    connection.one_reply(&[503])
}

fn cut_short(target: &Target) -> Seen {
    let mut connection = chunking(target, Connection::envelope)?;
    connection.send(format!("BDAT {} LAST\r\n", HEADER.len() + 1));
    connection.send(HEADER);
    nothing_done(&connection.end()?)
}

fn no_last(target: &Target) -> Seen {
    nothing_done(&begun(target)?.end()?)
}

/// How much is content behind a number that is none, nobody knows, and so nothing may be run: neither what comes with it nor
/// what comes after the refusal.
fn not_a_number(target: &Target, words: &str) -> Seen {
    let mut seen = String::new();
    for at_once in [true, false] {
        let mut connection = chunking(target, Connection::envelope)?;
        connection.send(format!("BDAT {words}\r\n"));
        match at_once {
            true => connection.send(SMUGGLED),
            false => connection.send_later(SMUGGLED),
        }
        seen = nothing_done(&connection.end()?)?;
    }
    Ok(seen)
}

/// Whether the number is refused, or its octets are waited for until the client has gone: the few there are make no message
/// and no command.
fn huge(target: &Target, number: &str) -> Seen {
    let mut connection = chunking(target, Connection::envelope)?;
    connection.send(format!("BDAT {number} LAST\r\nabcdNOOP\r\n"));
    nothing_done(&connection.end()?)
}

fn binary_by_data(target: &Target) -> Seen {
    let rcpt = "RCPT TO:<a@example.net>";
    let mut connection = chunking(target, Connection::ehlo)?;
    connection.needs("BINARYMIME")?;
    connection.expect("MAIL FROM:<> BODY=BINARYMIME", &[250])?;
    // Refused either for this or for want of a recipient.
    connection.say(target.recipient.as_ref().map_or(rcpt.to_owned(), |to| format!("RCPT TO:<{to}>")))?;
    connection.send("DATA\r\n");
    connection.one_reply(&[5])
}
