//! Which command may come when: RFC 5321 sections 4.1.1 and 4.1.4.

use super::connection::Connection;
use super::probe::{Check, Seen, Stop, Target, fail};

const RCPT: &str = "RCPT TO:<a@example.net>";
const MAIL: &str = "MAIL FROM:<>";

/// Lines and the codes of their replies, where one digit stands for its class.
type Lines = &'static [(&'static str, &'static [u16])];

const HUNDRED_NOOPS: [(&str, &[u16]); 100] = [("NOOP", &[250]); 100];

pub fn checks() -> Vec<Check> {
    let said = |rule, section, open: fn(&Target) -> Result<Connection, Stop>, lines: Lines| {
        Check::new(format!("order: {rule}"), section, move |target| {
            let mut connection = open(target)?;
            let mut seen = String::new();
            for (line, codes) in lines {
                seen = connection.expect(line, codes)?.to_string();
            }
            Ok(format!("{seen}, then {}", connection.in_step()?))
        })
    };
    let (open, ehlo, mail) = (Connection::open, Connection::ehlo, Connection::mail);
    vec![
        said("RCPT before MAIL is refused", "RFC 5321 4.1.4", ehlo, &[(RCPT, &[503])]),
        said("DATA before MAIL is refused", "RFC 5321 4.1.4", ehlo, &[("DATA", &[503, 554])]),
        said("MAIL within a transaction is refused", "RFC 5321 4.1.4", mail, &[(MAIL, &[503])]),
        said(
            "MAIL before EHLO is taken or refused, and EHLO then works",
            "RFC 5321 4.1.4",
            open,
            &[(MAIL, &[250, 503, 530, 550, 554]), ("EHLO [127.0.0.1]", &[250])],
        ),
        said(
            "RSET forgets the transaction",
            "RFC 5321 4.1.1.5",
            mail,
            &[("RSET", &[250]), (RCPT, &[503]), (MAIL, &[250])],
        ),
        said("RSET at any time", "RFC 5321 4.1.1.5", open, &[("RSET", &[250]), ("RSET", &[250])]),
        said("EHLO resets the transaction", "RFC 5321 4.1.4", mail, &[("EHLO [127.0.0.1]", &[250]), (RCPT, &[503])]),
        said("HELO resets the transaction", "RFC 5321 4.1.4", mail, &[("HELO localhost", &[250]), (RCPT, &[503])]),
        said(
            "EHLO may be said again",
            "RFC 5321 4.1.4",
            ehlo,
            &[("EHLO [127.0.0.1]", &[250]), ("EHLO [127.0.0.1]", &[250])],
        ),
        said("EHLO without a name is refused", "RFC 5321 4.1.1.1", open, &[("EHLO", &[501])]),
        said("HELO without a name is refused", "RFC 5321 4.1.1.1", open, &[("HELO", &[501])]),
        said(
            "an unknown parameter behind HELO is refused",
            "RFC 5321 4.1.1.11",
            open,
            &[("HELO localhost", &[250]), ("MAIL FROM:<> X-NO-SUCH=1", &[501, 503, 504, 555])],
        ),
        said("the null reverse-path is taken", "RFC 5321 4.5.5", ehlo, &[(MAIL, &[250, 4])]),
        said("Postmaster is a recipient", "RFC 5321 4.5.1", mail, &[("RCPT TO:<postmaster>", &[250, 251, 4])]),
        said("NOOP", "RFC 5321 4.1.1.9", ehlo, &[("NOOP", &[250])]),
        said("NOOP ignores its argument", "RFC 5321 4.1.1.9", ehlo, &[("NOOP argument", &[250])]),
        said("NOOP a hundred times, as pools keep a connection", "RFC 5321 4.1.1.9", ehlo, &HUNDRED_NOOPS),
        said("NOOP leaves the transaction", "RFC 5321 4.1.1.9", mail, &[("NOOP", &[250]), (MAIL, &[503])]),
        said("VRFY", "RFC 5321 3.5.3", ehlo, &[("VRFY postmaster", &[250, 251, 252, 450, 502, 550, 551, 553])]),
        said("HELP", "RFC 5321 4.1.1.8", ehlo, &[("HELP", &[211, 214, 500, 502, 504])]),
        said("DATA with an argument is refused", "RFC 5321 4.1.1.4", mail, &[("DATA now", &[501, 503, 554])]),
        Check::new("order: HELO has a reply of one line", "RFC 5321 4.1.1.1", move |target| {
            let mut connection = Connection::open(target)?;
            let reply = connection.expect("HELO localhost", &[250])?;
            if reply.lines.len() == 1 { Ok(reply.to_string()) } else { fail(format!("{} lines", reply.lines.len())) }
        }),
        Check::new("order: QUIT is answered 221, and the server closes", "RFC 5321 4.1.1.10", quit),
        Check::new("order: nothing behind QUIT is run", "RFC 5321 4.1.1.10", move |target| {
            let mut connection = Connection::ehlo(target)?;
            connection.send("QUIT\r\nNOOP\r\n");
            last_reply(&mut connection)
        }),
    ]
}

fn quit(target: &Target) -> Seen {
    let mut connection = Connection::ehlo(target)?;
    connection.send("QUIT\r\n");
    last_reply(&mut connection)
}

fn last_reply(connection: &mut Connection) -> Seen {
    match connection.reply()? {
        reply if reply.code != 221 => fail(reply.to_string()),
        reply => match connection.answer() {
            Ok(None) => Ok(format!("{reply}, then closed")),
            Ok(Some(more)) => fail(format!("one reply too many: {more}")),
            Err(_) => fail("still open after 221"),
        },
    }
}
