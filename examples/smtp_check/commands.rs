//! Where a command line ends, and what may stand in it.

use super::connection::{Connection, SMUGGLED, wrong};
use super::ends::nothing_done;
use super::probe::{Check, Seen, Stop, Target, fail};

/// What a careless server takes for the end of a line.
const FALSE_ENDS: &[(&str, &[u8])] =
    &[("LF", b"\n"), ("CR", b"\r"), ("LFCR", b"\n\r"), ("CRCR", b"\r\r"), ("CR NUL LF", b"\r\0\n"), ("NUL", b"\0")];

/// A last line that the end of the stream cuts off.
const CUT_OFF: &[(&str, &[u8])] =
    &[("NOOP", b"NOOP"), ("NOOP CR", b"NOOP\r"), ("NOOP LF", b"NOOP\n"), ("QUIT", b"QUIT")];

/// Lines longer than any server has to take, about the sizes at which buffers end.
const OVERLONG: &[usize] = &[513, 1_000, 2_049, 4_097, 8_193, 65_537];

/// Octets that have no place in a command.
const STRANGE: &[(&str, &[u8])] = &[
    ("NUL within a verb", b"NO\0OP"),
    ("NUL behind a verb", b"RSET\0"),
    ("NUL within an address", b"MAIL FROM:<a\0b@example.net>"),
    ("a control character within an address", b"MAIL FROM:<a\x1bb@example.net>"),
    ("8 bits in a verb", b"NO\xd0P"),
    ("8 bits that are no UTF-8 in an address", b"MAIL FROM:<\xc0\xaf@example.net>"),
];

/// Requests by which a page has its reader's browser speak to a server.
const REQUESTS: &[&str] = &["GET /", "POST /", "PUT /", "PATCH /", "DELETE /", "OPTIONS *", "REPORT /"];

pub fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for (name, end) in FALSE_ENDS {
        let rule = format!("command ends: {name} does not end a command");
        checks.push(Check::new(rule, "RFC 5321 2.3.8", move |target| false_end(target, end)));
    }
    for (name, line) in CUT_OFF {
        let rule = format!("command ends: {name}, cut off by the end of the stream, is not run");
        checks.push(Check::new(rule, "RFC 5321 2.3.8", move |target| {
            let mut connection = Connection::ehlo(target)?;
            connection.send(line);
            nothing_done(&connection.end()?)
        }));
    }
    for request in REQUESTS {
        let rule = format!("lines: nothing behind {request} HTTP/1.1 is run");
        checks.push(Check::new(rule, "RFC 9112 3", move |target| {
            let mut connection = Connection::open(target)?;
            connection.send(format!("{request} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
            connection.send_later(SMUGGLED);
            nothing_done(&connection.end()?)
        }));
    }
    for octets in OVERLONG {
        let rule = format!("lines: one of {octets} octets is one line");
        checks.push(Check::new(rule, "RFC 5321 4.5.3.1.4", move |target| overlong(target, *octets)));
    }
    for (name, line) in STRANGE {
        let rule = format!("lines: {name} is refused");
        checks.push(Check::new(rule, "RFC 5321 4.1.2", move |target| one(target, line, &[4, 5])));
    }
    let line = |rule, section, octets: &'static [u8], codes: &'static [u16]| {
        Check::new(format!("lines: {rule}"), section, move |target| one(target, octets, codes))
    };
    checks.extend([
        line("an unknown verb is refused", "RFC 5321 4.2.4", b"XNOSUCH", &[500, 502]),
        line("an unknown verb with an argument is refused", "RFC 5321 4.2.4", b"XNOSUCH a b", &[500, 502]),
        line("a verb that only begins as a known one is refused", "RFC 5321 4.1.1", b"NOOPS", &[500, 502]),
        line("an empty line is one line", "RFC 5321 4.1.1", b"", &[2, 4, 5]),
        line("verbs in lower case", "RFC 5321 2.4", b"noop", &[250]),
        line("verbs in mixed case", "RFC 5321 2.4", b"mAiL fRoM:<>", &[250]),
        line("blanks at the end are tolerated", "RFC 5321 4.1.1", b"NOOP  ", &[250]),
        line("FROM: is wanted", "RFC 5321 4.1.1.2", b"MAIL <>", &[4, 5]),
        Check::new("lines: one of 512 octets is taken", "RFC 5321 4.5.3.1.4", longest),
        Check::new("lines: a line octet by octet is one line", "RFC 5321 2.3.8", move |target| {
            let mut connection = Connection::ehlo(target)?;
            connection.drip("NOOP\r\n");
            connection.one_reply(&[250])
        }),
        Check::new("lines: a command is answered while half of the next waits", "RFC 2920 3.2", move |target| {
            let mut connection = Connection::ehlo(target)?;
            connection.send("RSET\r\nRSE");
            let first = connection.reply()?;
            connection.send("T\r\n");
            if first.code == 250 { connection.one_reply(&[250]) } else { wrong("RSET", &first) }
        }),
    ]);
    checks
}

/// Three commands in what is one line, and a true one behind them.
fn false_end(target: &Target, end: &[u8]) -> Seen {
    let mut seen = String::new();
    for dripped in [false, true] {
        let mut connection = Connection::ehlo(target)?;
        connection.send("NOOP");
        if dripped {
            connection.drip(end);
        } else {
            connection.send(end);
        }
        connection.send([b"RSET", end, b"NOOP\r\n"].concat());
        seen = connection.one_reply(&[2, 4, 5])?;
    }
    Ok(seen)
}

/// A line that has commands at every place where a buffer may end, and commands behind it.
fn overlong(target: &Target, octets: usize) -> Seen {
    let mut connection = Connection::ehlo(target)?;
    let mut line = b"NOOP ".repeat(octets / 5 + 1);
    line.truncate(octets - 2);
    connection.send([&line[..], b"\r\n"].concat());
    connection.one_reply(&[2, 4, 5])
}

fn one(target: &Target, line: &[u8], codes: &[u16]) -> Seen {
    let mut connection = Connection::ehlo(target)?;
    connection.send([line, b"\r\n"].concat());
    connection.one_reply(codes)
}

/// RFC 5321 has servers take as much, so it must not be called too long: whether it is a valid command is another matter.
fn longest(target: &Target) -> Result<String, Stop> {
    let mut connection = Connection::ehlo(target)?;
    let path = format!("MAIL FROM:<{}>", target.sender);
    let line = format!("{path}{}", " ".repeat(510 - path.len()));
    let reply = connection.say(&line)?;
    if reply.is(&[500]) { fail(reply.to_string()) } else { Ok(format!("{reply}, then {}", connection.in_step()?)) }
}
