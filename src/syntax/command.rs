//! One command line taken apart: RFC 5321 section 4.1.

use std::fmt::{self, Display, Formatter};

use crate::syntax::address::{self, ForwardPath, ReversePath};
use crate::syntax::number;
use crate::syntax::reply::{Reply, Status};

/// The verb of a command (RFC 5321 section 4.1.1 and the extensions that add one).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Verb {
    /// HELO: the client names itself and asks for no extension.
    Helo,
    /// EHLO: the client names itself and asks what is offered.
    Ehlo,
    /// LHLO: EHLO's place in LMTP (RFC 2033).
    Lhlo,
    /// MAIL: begins a transaction with its reverse-path.
    Mail,
    /// RCPT: adds a recipient.
    Rcpt,
    /// DATA: the content follows.
    Data,
    /// BDAT: a chunk of the content follows (RFC 3030).
    Bdat,
    /// RSET: forgets the transaction.
    Rset,
    /// NOOP: does nothing.
    Noop,
    /// QUIT: ends the connection.
    Quit,
    /// VRFY: asks whether an address is known.
    Vrfy,
    /// EXPN: asks for the members of a list.
    Expn,
    /// HELP: asks for the commands.
    Help,
    /// STARTTLS: the TLS handshake follows (RFC 3207).
    StartTls,
    /// AUTH: authenticates the client (RFC 4954).
    Auth,
    /// XCLIENT: a trusted client says for whom it speaks (Postfix's XCLIENT_README).
    Xclient,
}

impl Verb {
    /// Every verb, in the order in which HELP names them.
    pub(crate) const ALL: [Verb; 16] = [
        Verb::Helo,
        Verb::Ehlo,
        Verb::Lhlo,
        Verb::Mail,
        Verb::Rcpt,
        Verb::Data,
        Verb::Bdat,
        Verb::Rset,
        Verb::Noop,
        Verb::Quit,
        Verb::Vrfy,
        Verb::Expn,
        Verb::Help,
        Verb::StartTls,
        Verb::Auth,
        Verb::Xclient,
    ];

    /// The verb in upper case.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Helo => "HELO",
            Verb::Ehlo => "EHLO",
            Verb::Lhlo => "LHLO",
            Verb::Mail => "MAIL",
            Verb::Rcpt => "RCPT",
            Verb::Data => "DATA",
            Verb::Bdat => "BDAT",
            Verb::Rset => "RSET",
            Verb::Noop => "NOOP",
            Verb::Quit => "QUIT",
            Verb::Vrfy => "VRFY",
            Verb::Expn => "EXPN",
            Verb::Help => "HELP",
            Verb::StartTls => "STARTTLS",
            Verb::Auth => "AUTH",
            Verb::Xclient => "XCLIENT",
        }
    }

    /// The verb that a word names, in any case of letters.
    pub(crate) fn parse(word: &[u8]) -> Option<Verb> {
        let Ok(letters) = <[u8; 4]>::try_from(word) else {
            // All the others have four.
            return [Verb::StartTls, Verb::Xclient].into_iter().find(|verb| verb.is_named(word));
        };
        // Of the octets, letters alone become letters without this bit: it is what makes them small.
        Some(match &(u32::from_ne_bytes(letters) & !0x2020_2020).to_ne_bytes() {
            b"HELO" => Verb::Helo,
            b"EHLO" => Verb::Ehlo,
            b"LHLO" => Verb::Lhlo,
            b"MAIL" => Verb::Mail,
            b"RCPT" => Verb::Rcpt,
            b"DATA" => Verb::Data,
            b"BDAT" => Verb::Bdat,
            b"RSET" => Verb::Rset,
            b"NOOP" => Verb::Noop,
            b"QUIT" => Verb::Quit,
            b"VRFY" => Verb::Vrfy,
            b"EXPN" => Verb::Expn,
            b"HELP" => Verb::Help,
            b"AUTH" => Verb::Auth,
            _ => return None,
        })
    }

    fn is_named(self, word: &[u8]) -> bool {
        self.as_str().as_bytes().eq_ignore_ascii_case(word)
    }

    /// What HELP says of the verb.
    fn syntax(self) -> &'static str {
        match self {
            Verb::Helo => "HELO hostname",
            Verb::Ehlo => "EHLO hostname",
            Verb::Lhlo => "LHLO hostname",
            Verb::Mail => "MAIL FROM:<address> [parameters]",
            Verb::Rcpt => "RCPT TO:<address> [parameters]",
            Verb::Data => "DATA",
            Verb::Bdat => "BDAT octets [LAST]",
            Verb::Rset => "RSET",
            Verb::Noop => "NOOP [ignored text]",
            Verb::Quit => "QUIT",
            Verb::Vrfy => "VRFY address",
            Verb::Expn => "EXPN list",
            Verb::Help => "HELP [command]",
            Verb::StartTls => "STARTTLS",
            Verb::Auth => "AUTH mechanism [initial-response]",
            Verb::Xclient => "XCLIENT name=value ...",
        }
    }
}

impl Display for Verb {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A command whose line is well formed; whether it is allowed now is not this file's business.
#[derive(Debug)]
pub(crate) enum Command<'a> {
    Helo(&'a str),
    Ehlo(&'a str),
    /// The reverse-path and the parameters behind it, not yet read.
    Mail(ReversePath, &'a [u8]),
    /// The forward-path and the parameters behind it, not yet read.
    Rcpt(ForwardPath, &'a [u8]),
    Data,
    Rset,
    Noop,
    Quit,
    Vrfy(&'a [u8]),
    Expn(&'a [u8]),
    Help(&'a [u8]),
    Lhlo(&'a str),
    StartTls,
    /// The mechanism and the initial response behind it, not yet read.
    #[cfg_attr(not(feature = "auth"), expect(dead_code, reason = "only AUTH reads it"))]
    Auth(&'a [u8]),
    /// The attributes, not yet read.
    Xclient(&'a [u8]),
    /// A chunk of content follows: its octets, and whether it is the last.
    Bdat(u64, bool),
}

const NOT_RECOGNIZED: Reply = Reply::fixed(500, Status::new(5, 5, 2), "Command not recognized");
const CONTROL_CHARACTER: Reply = Reply::fixed(500, Status::new(5, 5, 2), "Control character in command");
const SYNTAX: Reply = Reply::fixed(501, Status::new(5, 5, 4), "Syntax error in argument");
const NO_ARGUMENT: Reply = Reply::fixed(501, Status::new(5, 5, 4), "Argument required");
const NO_ARGUMENT_ALLOWED: Reply = Reply::fixed(501, Status::new(5, 5, 4), "No argument allowed");

/// A command line cut at its verb: what hooks and the parser begin with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// The first word, as sent.
    pub word: &'a [u8],
    /// What the word names, if it is a verb.
    pub verb: Option<Verb>,
    /// What follows, without blanks around it.
    pub argument: &'a [u8],
}

impl<'a> Line<'a> {
    /// Cuts a line, already without its CRLF.
    pub fn new(line: &'a [u8]) -> Line<'a> {
        // Blanks at the end are tolerated: RFC 5321 section 4.1.1. What else is white space to ASCII, lone CRs and LFs among
        // it, is no blank.
        let length = line.iter().rposition(|b| !is_blank(b)).map_or(0, |last| last + 1);
        let line = &line[..length];
        let end = line.iter().position(is_blank).unwrap_or(length);
        let (word, rest) = line.split_at(end);
        let blanks = rest.iter().position(|b| !is_blank(b)).unwrap_or(0);
        Line { word, verb: Verb::parse(word), argument: &rest[blanks..] }
    }

    /// Whether it is the beginning of an HTTP request: a browser that was led here, whose body must not run as commands.
    /// Some methods tell by themselves; any other may, since a page chooses it, and then the version at the end does.
    pub fn is_http(&self) -> bool {
        let methods = [&b"GET"[..], b"POST", b"PUT", b"CONNECT"];
        (self.verb.is_none() && methods.iter().any(|method| method.eq_ignore_ascii_case(self.word)))
            || ends_with_http_version(self.argument)
    }

    /// Whether content may follow it that must not run as commands, however the line goes on.
    pub fn announces_content(&self) -> bool {
        self.begins_as(b"DATA") || self.announces_chunk()
    }

    /// Whether that is a chunk.
    pub fn announces_chunk(&self) -> bool {
        self.begins_as(b"BDAT")
    }

    /// Whether the word is a verb, or that and something that is no letter: `BDAT10` is no command, but means one.
    fn begins_as(&self, verb: &[u8]) -> bool {
        strip_prefix(self.word, verb).is_some_and(|behind| !behind.first().is_some_and(u8::is_ascii_alphabetic))
    }
}

/// Whether the last word is HTTP's version: RFC 9112 section 2.3. Most lines are told by their last octet.
fn ends_with_http_version(argument: &[u8]) -> bool {
    if !argument.last().is_some_and(u8::is_ascii_digit) {
        return false;
    }
    let start = argument.iter().rposition(is_blank).map_or(0, |blank| blank + 1);
    strip_prefix(&argument[start..], b"HTTP/").is_some_and(|version| {
        let mut numbers = version.split(|b| *b == b'.');
        let mut is_number = || numbers.next().is_some_and(number::is_digits);
        is_number() && is_number() && numbers.next().is_none()
    })
}

fn is_blank(octet: &u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

impl<'a> Command<'a> {
    /// Parses a command line. `strict` takes no blank after `FROM:` and `TO:`, no path without angle brackets, only addresses
    /// of RFC 5321's grammar, and only a domain or an address literal as the argument of HELO and EHLO.
    pub fn parse(line: Line<'a>, strict: bool) -> Result<Command<'a>, Reply> {
        let Line { word, verb, argument } = line;
        // None belongs into a command, and what passes here may end up in a header or a log.
        if has_control(argument) || (verb.is_none() && has_control(word)) {
            return Err(CONTROL_CHARACTER);
        }
        let verb = verb.ok_or(NOT_RECOGNIZED)?;
        Ok(match verb {
            Verb::Helo => Command::Helo(parse_name(argument, strict)?),
            Verb::Ehlo => Command::Ehlo(parse_name(argument, strict)?),
            Verb::Mail => {
                let rest = strip_prefix(argument, b"FROM:").ok_or(SYNTAX)?;
                let (path, parameters) = ReversePath::parse(rest, strict).map_err(|e| bad_path("5.1.7", &e))?;
                Command::Mail(path, parameters)
            }
            Verb::Rcpt => {
                let rest = strip_prefix(argument, b"TO:").ok_or(SYNTAX)?;
                let (path, parameters) = ForwardPath::parse(rest, strict).map_err(|e| bad_path("5.1.3", &e))?;
                Command::Rcpt(path, parameters)
            }
            Verb::Data => alone(Command::Data, argument)?,
            Verb::Rset => alone(Command::Rset, argument)?,
            Verb::Quit => alone(Command::Quit, argument)?,
            // RFC 5321 section 4.1.1.9: an argument is to be ignored.
            Verb::Noop => Command::Noop,
            Verb::Vrfy if argument.is_empty() => return Err(NO_ARGUMENT),
            Verb::Vrfy => Command::Vrfy(argument),
            Verb::Expn => Command::Expn(argument),
            Verb::Help => Command::Help(argument),
            Verb::Lhlo => Command::Lhlo(parse_name(argument, strict)?),
            Verb::StartTls => alone(Command::StartTls, argument)?,
            Verb::Auth if argument.is_empty() => return Err(NO_ARGUMENT),
            Verb::Auth => Command::Auth(argument),
            Verb::Bdat => parse_chunk(argument)?,
            Verb::Xclient if argument.is_empty() => return Err(NO_ARGUMENT),
            Verb::Xclient => Command::Xclient(argument),
        })
    }
}

/// The answer to HELP (RFC 5321 section 4.1.1.8), for a server that offers what `is_offered` says.
pub(crate) fn help(argument: &[u8], is_offered: impl Fn(Verb) -> bool) -> Reply {
    if argument.is_empty() {
        let verbs: Vec<&str> = Verb::ALL.into_iter().filter(|verb| is_offered(*verb)).map(Verb::as_str).collect();
        return Reply::new(214, "2.0.0", format!("Commands: {}", verbs.join(" ")));
    }
    match Verb::parse(argument).filter(|verb| is_offered(*verb)) {
        Some(verb) => Reply::fixed(214, Status::new(2, 0, 0), verb.syntax()),
        None => Reply::fixed(504, Status::new(5, 5, 4), "No help for that"),
    }
}

/// Written without a branch, and in blocks, so that the compiler makes it look at many octets at once.
fn has_control(text: &[u8]) -> bool {
    let any = |octets: &[u8]| octets.iter().fold(false, |any, b| any | (*b < b' ') & (*b != b'\t') | (*b == 0x7f));
    let (blocks, rest) = text.as_chunks::<8>();
    blocks.iter().fold(any(rest), |all, block| all | any(block))
}

/// The name a client gives itself. RFC 5321 section 4.1.4 has servers take names that prove wrong, and real clients send
/// what is not even a domain; it is kept for the record and trusted for nothing.
fn parse_name(argument: &[u8], strict: bool) -> Result<&str, Reply> {
    if argument.is_empty() {
        return Err(NO_ARGUMENT);
    }
    let well_formed =
        if strict { address::is_helo_name(argument) } else { argument.len() <= 255 && argument.is_ascii() };
    match str::from_utf8(argument) {
        Ok(name) if well_formed => Ok(name),
        _ => Err(SYNTAX),
    }
}

/// RFC 3030 section 2: a number of octets, and perhaps LAST.
fn parse_chunk(argument: &[u8]) -> Result<Command<'static>, Reply> {
    let mut words = argument.split(|b| matches!(b, b' ' | b'\t')).filter(|word| !word.is_empty());
    let digits = words.next().ok_or(NO_ARGUMENT)?;
    let last = match (words.next(), words.next()) {
        (None, _) => false,
        (Some(word), None) if word.eq_ignore_ascii_case(b"LAST") => true,
        _ => return Err(SYNTAX),
    };
    if digits.len() > 20 || !number::is_digits(digits) {
        return Err(SYNTAX);
    }
    let octets = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or(SYNTAX)?;
    Ok(Command::Bdat(octets, last))
}

fn strip_prefix<'a>(argument: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = argument.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn alone<'a>(command: Command<'a>, argument: &[u8]) -> Result<Command<'a>, Reply> {
    if argument.is_empty() { Ok(command) } else { Err(NO_ARGUMENT_ALLOWED) }
}

/// `status` tells which of the two paths it was: RFC 3463 section 3.2.
fn bad_path(status: &str, error: &address::AddressError) -> Reply {
    Reply::new(501, status, format!("Bad address syntax: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(line: &[u8], strict: bool) -> u16 {
        match Command::parse(Line::new(line), strict) {
            Ok(_) => 250,
            Err(reply) => reply.code(),
        }
    }

    #[test]
    fn every_verb_is_known_by_its_name() {
        for verb in Verb::ALL {
            assert_eq!(Verb::parse(verb.as_str().as_bytes()), Some(verb));
            assert_eq!(Verb::parse(verb.as_str().to_lowercase().as_bytes()), Some(verb));
        }
    }

    #[test]
    fn verbs_in_any_case_end_at_a_blank_or_tab() {
        for line in [&b"NOOP"[..], b"noop", b"NoOp x", b"NOOP\tx", b"RSET  \t", b"help", b"quit "] {
            assert_eq!(code(line, true), 250, "{}", line.escape_ascii());
        }
        for line in [&b""[..], b" NOOP", b"NOOPS", b"NOO", b"MAILFROM:<>", b"\xff", b"."] {
            assert_eq!(code(line, false), 500, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn control_characters_are_refused_everywhere() {
        for line in [&b"NOOP\0"[..], b"NO\0OP", b"HELO a\rb", b"HELP \x1b", b"MAIL FROM:<a@b>\nRCPT", b"VRFY \x7f"] {
            assert_eq!(code(line, false), 500, "{}", line.escape_ascii());
        }
        // At either end of the argument as well, where blanks may be.
        for control in ["\r", "\n", "\x0b", "\x0c", " \r", "\n ", "\t\x0c\t"] {
            for line in [format!("NOOP{control}"), format!("QUIT {control}"), format!("MAIL {control}FROM:<a@b>")] {
                assert_eq!(code(line.as_bytes(), false), 500, "{}", line.escape_debug());
            }
        }
    }

    #[test]
    fn arguments_that_must_be_and_must_not_be() {
        for line in
            [&b"HELO"[..], b"EHLO ", b"VRFY", b"DATA x", b"RSET x", b"QUIT x", b"MAIL", b"MAIL TO:<a@b>", b"RCPT x"]
        {
            assert_eq!(code(line, false), 501, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn strictness_is_about_what_smtpd_let_pass() {
        for line in [
            &b"MAIL FROM: <a@b>"[..],
            b"MAIL FROM:a@b",
            b"RCPT TO: a@b",
            b"MAIL FROM:<root>",
            b"RCPT TO:<a..b@c_d>",
            b"HELO not_a_domain",
            b"EHLO a b",
        ] {
            assert_eq!((code(line, false), code(line, true)), (250, 501), "{}", line.escape_ascii());
        }
        for line in [&b"mail from:<a@b>"[..], b"RCPT TO:<@r.example:a@b>", b"EHLO [127.0.0.1]", b"HELO a.example"] {
            assert_eq!((code(line, false), code(line, true)), (250, 250), "{}", line.escape_ascii());
        }
        // Neither takes names that no line can hold.
        assert_eq!(code(&[b"HELO ", &b"a".repeat(256)[..]].concat(), false), 501);
        assert_eq!(code("HELO b\u{fc}cher.example".as_bytes(), false), 501);
    }

    #[test]
    fn http_is_told_by_a_method_or_by_its_version() {
        for line in [
            "GET",
            "get /",
            "POST / HTTP/1.1",
            "CONNECT a:25",
            "PATCH / HTTP/1.1",
            "OPTIONS * HTTP/1.0",
            "PRI * HTTP/2.0",
            "REPORT\t/x?a=b\tHTTP/1.1 ",
            "M-SEARCH  *  http/1.1",
            "NOOP / HTTP/1.1",
            "DATA / HTTP/1.1",
            "MAIL /FROM:<a@b> HTTP/1.1",
            "NOOP HTTP/1.",
            "\u{16} / HTTP/1.1",
        ] {
            let is_http = Line::new(line.as_bytes()).is_http();
            // No digit at its end, no version.
            assert_eq!(is_http, !line.ends_with('.'), "{line}");
        }
        for line in [
            "",
            "HTTP/1.1",
            "NOOP",
            "NOOP xHTTP/1.1",
            "NOOP HTTP/1.1 200",
            "NOOP HTTP/1",
            "NOOP HTTP/.1",
            "NOOP HTTP/a.1",
            "NOOP HTTP/1.1.1",
            "NOOP HTTP/1.a1",
            "NOOP HTTPS/1.1",
            "NOOP TTP/1.1",
            "NOOP 1",
            "MAIL FROM:<a@b> SIZE=1",
            "GETS /",
        ] {
            assert!(!Line::new(line.as_bytes()).is_http(), "{line}");
        }
    }

    #[test]
    fn help_knows_what_is_offered() {
        let is_offered = |verb| !matches!(verb, Verb::Expn | Verb::Lhlo);
        let all = help(b"", is_offered);
        for verb in Verb::ALL {
            let one = help(verb.as_str().as_bytes(), is_offered);
            assert_eq!(one.code(), if is_offered(verb) { 214 } else { 504 }, "{verb}");
            assert_eq!(all.text().contains(verb.as_str()), is_offered(verb));
            assert!(!is_offered(verb) || one.text().starts_with(verb.as_str()));
        }
    }

    #[test]
    fn chunks_have_a_number_and_perhaps_an_end() {
        let chunk = |argument: &str| match Command::parse(Line::new(format!("BDAT {argument}").as_bytes()), true) {
            Ok(Command::Bdat(octets, last)) => Ok((octets, last)),
            Ok(other) => panic!("{other:?}"),
            Err(reply) => Err(reply.code()),
        };
        assert_eq!(chunk("0"), Ok((0, false)));
        assert_eq!(chunk("4294967300 last"), Ok((4_294_967_300, true)));
        assert_eq!(chunk("18446744073709551615  LAST"), Ok((u64::MAX, true)));
        for bad in
            ["", "LAST", "-1", "+1", "1 2", "1 LAST x", "0x1", "18446744073709551616", "000000000000000000001", "1.0"]
        {
            assert_eq!(chunk(bad), Err(501), "{bad}");
        }
    }
}
