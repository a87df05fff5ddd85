//! Where a message ends, and where it does not.

use super::connection::{Connection, HEADER, SMUGGLED};
use super::probe::{Check, Seen, Target, fail};
use super::reply::Reply;

/// What some server or other has taken for the end of a message.
const FALSE_ENDS: &[(&str, &[u8])] = &[
    ("LF.LF", b"\n.\n"),
    ("LF.CRLF", b"\n.\r\n"),
    ("CRLF.LF", b"\r\n.\n"),
    ("CR.CR", b"\r.\r"),
    ("CR.CRLF", b"\r.\r\n"),
    ("CRLF.CR", b"\r\n.\r"),
    ("CR.LF", b"\r.\n"),
    ("LF.CR", b"\n.\r"),
    ("LFLF.LFLF", b"\n\n.\n\n"),
    ("CRLF.CRCRLF", b"\r\n.\r\r\n"),
    ("CRCRLF.CRCRLF", b"\r\r\n.\r\r\n"),
    ("CRLF.LFCRLF", b"\r\n.\n\r\n"),
    ("CRLF.NUL CRLF", b"\r\n.\0\r\n"),
    ("CRLF NUL.CRLF", b"\r\n\0.\r\n"),
    ("CRLF.CR NUL LF", b"\r\n.\r\0\n"),
    ("CR NUL LF.CRLF", b"\r\0\n.\r\n"),
    ("CRLF.SP CRLF", b"\r\n. \r\n"),
    ("CRLF.VT CRLF", b"\r\n.\x0b\r\n"),
    ("CRLF..CRLF", b"\r\n..\r\n"),
    ("CRLF.x CRLF", b"\r\n.x\r\n"),
];

/// What a client had sent of a message when it closed.
const CUT_OFF: &[(&str, &[u8])] = &[
    ("its text", b"text"),
    ("CRLF", b"\r\n"),
    ("CRLF.", b"\r\n."),
    ("CRLF.CR", b"\r\n.\r"),
    ("CRLF.LF", b"\r\n.\n"),
    ("LF.LF", b"\n.\n"),
];

const END: &[u8] = b"\r\n.\r\n";

pub fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for (name, end) in FALSE_ENDS {
        let rule = format!("smuggling: {name} does not end data");
        checks.push(Check::new(rule, "RFC 5321 2.3.8", move |target| false_end(target, end)));
    }
    for (name, text) in CUT_OFF {
        let rule = format!("message ends: cut off behind {name}, it is not taken");
        checks.push(Check::new(rule, "RFC 5321 4.1.1.4", move |target| cut_off(target, text)));
    }
    let end = |rule, section, conversation: fn(&Target) -> Seen| {
        Check::new(format!("message ends: {rule}"), section, conversation)
    };
    checks.extend([
        end("CRLF.CRLF split at each octet", "RFC 5321 4.1.1.4", split),
        end("CRLF.CRLF octet by octet", "RFC 5321 4.1.1.4", |target| content(target, |c| c.drip(END))),
        end("an empty message", "RFC 5321 4.1.1.4", |target| alone(target, b".\r\n")),
        end("a message that is one empty line", "RFC 5321 4.1.1.4", |target| alone(target, END)),
        end("a first line that begins with a dot is not the end", "RFC 5321 4.5.2", |target| {
            alone(target, &[b"..\r\n", SMUGGLED, b".\r\n"].concat())
        }),
        end("a line of 1000 octets", "RFC 5321 4.5.3.1.6", |target| {
            content(target, |c| c.send([&[b'x'; 998], END].concat()))
        }),
        end("a text line far too long leaves no command behind", "RFC 5321 4.5.3.1.6", |target| {
            content(target, |c| c.send([&b"RSET ".repeat(20_000)[..], b"\r\n", SMUGGLED, END].concat()))
        }),
        end("the next transaction in the packet of the final dot", "RFC 2920 3.1", next_in_the_same_packet),
        end("the final dot and the client's FIN together are answered", "RFC 5321 4.1.1.4", dot_and_fin),
    ]);
    checks
}

/// What came for a message, and that nothing came behind it.
fn final_reply(connection: &mut Connection) -> Seen {
    connection.one_reply(&[2, 4, 5])
}

/// Sends a message that is ended by `send`, and has nothing else in it.
fn content(target: &Target, send: impl Fn(&mut Connection)) -> Seen {
    let mut connection = Connection::content(target)?;
    connection.send(HEADER);
    send(&mut connection);
    final_reply(&mut connection)
}

fn alone(target: &Target, octets: &[u8]) -> Seen {
    let mut connection = Connection::content(target)?;
    connection.send(octets);
    final_reply(&mut connection)
}

/// A message with commands behind what must not end it: at once, and in packets that end wherever they can.
fn false_end(target: &Target, end: &[u8]) -> Seen {
    let whole = content(target, |c| c.send([b"text", end, SMUGGLED, b".\r\n"].concat()))?;
    let dripped = content(target, |c| {
        c.send("text");
        c.drip(end);
        c.send([SMUGGLED, b".\r\n"].concat());
    })?;
    Ok(if whole.ends_with("closed") { whole } else { dripped })
}

fn split(target: &Target) -> Seen {
    let mut connection = Connection::content(target)?;
    for at in 0..=END.len() {
        if at > 0 {
            connection.content_again()?;
        }
        connection.send(HEADER);
        connection.send(&END[..at]);
        connection.drip("");
        connection.send(&END[at..]);
        let reply = connection.reply()?;
        if !reply.is(&[2, 4, 5]) {
            return fail(format!("split behind {at}: {reply}"));
        }
    }
    Ok(format!("{} messages, then {}", END.len() + 1, connection.in_step()?))
}

fn next_in_the_same_packet(target: &Target) -> Seen {
    let mut connection = Connection::content(target)?;
    connection.needs("PIPELINING")?;
    connection.send([HEADER, b".\r\nMAIL FROM:<>\r\nRSET\r\nNOOP\r\n"].concat());
    for expected in [&[2, 4, 5][..], &[2, 4, 5], &[250], &[250]] {
        match connection.answer()? {
            Some(reply) if reply.is(expected) => {}
            Some(reply) => return fail(reply.to_string()),
            None => return fail("closed without a reply"),
        }
    }
    Ok(format!("4 replies, then {}", connection.in_step()?))
}

fn dot_and_fin(target: &Target) -> Seen {
    let mut connection = Connection::content(target)?;
    connection.send([HEADER, b".\r\n"].concat());
    match &connection.end()?[..] {
        [reply] if reply.is(&[2, 4, 5]) => Ok(reply.to_string()),
        [] => fail("closed without a reply"),
        [.., last] => fail(last.to_string()),
    }
}

fn cut_off(target: &Target, text: &[u8]) -> Seen {
    let mut connection = Connection::content(target)?;
    connection.send([HEADER, text].concat());
    nothing_done(&connection.end()?)
}

/// What a server may say before it closes, when a client is gone: that something went wrong.
pub fn nothing_done(replies: &[Reply]) -> Seen {
    match replies.iter().find(|reply| !reply.is(&[4, 5])) {
        None => Ok(replies.first().map_or("closed".to_owned(), Reply::to_string)),
        Some(reply) => fail(reply.to_string()),
    }
}
