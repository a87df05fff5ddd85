//! What replies look like, whatever they answer: RFC 5321 section 4.2.

use super::connection::Connection;
use super::probe::{Check, Seen, Stop, Target, fail, skip};
use super::reply::{Reply, code, shown};

/// Sessions with something of everything, and few errors each, so that none is cut short.
const SESSIONS: &[&[&[u8]]] = &[
    &[
        b"NOOP",
        b"HELP",
        b"VRFY \x1b[31mred\x07",
        b"XNO\x7fSUCH \x1b]0;title\x07",
        b"HELP \x01\x9b31m",
        b"MAIL FROM:<\x1b[31m@example.net>",
        b"MAIL FROM:<\xc3\xbc\x80@example.net>",
        b"EXPN \xff\xfe",
        b"QUIT",
    ],
    &[
        b"HELO \x1b[31m\x80",
        b"MAIL FROM:<>",
        b"RCPT TO:<a\rb@example.net>",
        b"RCPT TO:<a@\x1b.example>",
        b"RCPT TO:<a@example.net> X=\x9b\x07",
        b"RSET \x1b",
        b"\x80\x81 \x82",
        b"QUIT",
    ],
];

pub fn checks() -> Vec<Check> {
    let each = |rule: &str, section, look: fn(&Reply) -> Result<(), String>| {
        Check::new(format!("replies: {rule}"), section, move |target| {
            let replies = survey(target)?;
            match replies.iter().find_map(|reply| look(reply).err()) {
                None => Ok(format!("{} replies", replies.len())),
                Some(bad) => fail(bad),
            }
        })
    };
    vec![
        each("every line ends with CRLF", "RFC 5321 4.2", |reply| {
            let is_right = |line: &[u8]| line.ends_with(b"\r\n") && !line[..line.len() - 2].contains(&b'\r');
            all_lines(reply, is_right)
        }),
        each("no line is over 512 octets", "RFC 5321 4.5.3.1.5", |reply| all_lines(reply, |line| line.len() <= 512)),
        each("no control or 8-bit character", "RFC 5321 4.2", |reply| {
            all_lines(reply, |line| line.trim_ascii_end().iter().all(|b| matches!(b, b'\t' | b' '..=b'~')))
        }),
        each("each line has the same code", "RFC 5321 4.2.1", |reply| {
            all_lines(reply, |line| code(line) == Some(reply.code))
        }),
        each("codes are such as SMTP has", "RFC 5321 4.2", |reply| {
            let known = (2..=5).contains(&reply.class()) && reply.code / 10 % 10 <= 5;
            if known { Ok(()) } else { Err(reply.to_string()) }
        }),
        Check::new("replies: enhanced codes are of their code's class", "RFC 2034 4", enhanced),
        Check::new("replies: the banner names the server", "RFC 5321 4.2", banner),
        Check::new("replies: EHLO's keywords are words, and each is there once", "RFC 5321 4.1.1.1", keywords),
        Check::new("replies: a group of commands is answered in order", "RFC 2920 3.2", move |target| {
            let mut connection = Connection::ehlo(target)?;
            connection.needs("PIPELINING")?;
            connection.group(&[
                ("RSET", &[250]),
                ("XNOSUCH", &[500, 502]),
                ("MAIL FROM:<>", &[250]),
                ("MAIL FROM:<>", &[503]),
                ("RSET", &[250]),
                ("RCPT TO:<a@example.net>", &[503]),
                ("NOOP", &[250]),
            ])?;
            Ok(format!("7 replies, then {}", connection.in_step()?))
        }),
        Check::new("replies: to fifty commands in one packet, fifty replies", "RFC 2920 3.2", move |target| {
            let mut connection = Connection::ehlo(target)?;
            connection.needs("PIPELINING")?;
            connection.group(&[("RSET", &[250][..]); 50])?;
            connection.in_step().map(str::to_owned)
        }),
        Check::new("replies: to eight commands out of order, eight replies", "RFC 5321 4.3.1", move |target| {
            let mut connection = Connection::ehlo(target)?;
            connection.group(&[("RCPT TO:<a@example.net>", &[503][..]); 8])?;
            connection.in_step().map(str::to_owned)
        }),
    ]
}

/// The replies of all the sessions.
fn survey(target: &Target) -> Result<Vec<Reply>, Stop> {
    let mut replies = Vec::new();
    let long = |start: &str| [start.as_bytes(), &b"x".repeat(480), b">"].concat();
    let overlong =
        [long("VRFY "), long("MAIL FROM:<"), long("XNOSUCH"), long("HELP "), long("EHLO "), b"QUIT".to_vec()];
    let sessions = SESSIONS.iter().map(|lines| lines.iter().map(|line| line.to_vec()).collect());
    for lines in sessions.chain([Vec::from(overlong)]) {
        let mut connection = Connection::raw(target)?;
        match connection.reply()? {
            banner if banner.code == 220 => replies.push(banner),
            banner => return skip(format!("not served now: {banner}")),
        }
        replies.push(connection.say("EHLO [127.0.0.1]")?);
        for line in lines {
            connection.send([&line[..], b"\r\n"].concat());
            match connection.answer()? {
                Some(reply) => replies.push(reply),
                None => break,
            }
        }
    }
    Ok(replies)
}

fn all_lines(reply: &Reply, is_right: impl Fn(&[u8]) -> bool) -> Result<(), String> {
    match reply.lines.iter().find(|line| !is_right(line)) {
        None => Ok(()),
        Some(line) => Err(format!("{} octets: {}", line.len(), shown(line))),
    }
}

/// The enhanced code a text begins with: its class.
fn enhanced_class(text: &str) -> Option<u16> {
    let numbers: Vec<&str> = text.split(' ').next()?.split('.').collect();
    let is_number = |n: &&str| (1..=3).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit());
    (numbers.len() == 3 && numbers.iter().all(is_number)).then(|| numbers[0].parse().ok())?
}

fn enhanced(target: &Target) -> Seen {
    Connection::ehlo(target)?.needs("ENHANCEDSTATUSCODES")?;
    let replies = survey(target)?;
    let mut seen = 0;
    for reply in &replies {
        for class in reply.texts().filter_map(|text| enhanced_class(&text)) {
            seen += 1;
            if class != reply.class() {
                return fail(reply.to_string());
            }
        }
    }
    if seen == 0 { fail("offered, but never there") } else { Ok(format!("{seen} in {} replies", replies.len())) }
}

fn banner(target: &Target) -> Seen {
    let reply = Connection::raw(target)?.reply()?;
    let named = reply.texts().next().is_some_and(|text| text.contains(|c: char| c.is_ascii_alphanumeric()));
    if named { Ok(reply.to_string()) } else { fail(reply.to_string()) }
}

fn keywords(target: &Target) -> Seen {
    let connection = Connection::ehlo(target)?;
    let names: Vec<&str> = connection.keywords.iter().filter_map(|line| line.split(' ').next()).collect();
    for (at, name) in names.iter().enumerate() {
        // "AUTH=" is for clients of before RFC 4954, and no keyword of EHLO.
        let word = name.split('=').next().unwrap_or_default();
        let is_word = !word.starts_with('-') && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if word.is_empty() || !is_word {
            return fail(format!("{name:?} is no keyword"));
        }
        if names[..at].contains(name) {
            return fail(format!("{name} is there twice"));
        }
    }
    Ok(names.join(" "))
}
