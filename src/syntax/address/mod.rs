//! Addresses: RFC 5321 sections 4.1.2 and 4.1.3, with the UTF-8 of RFC 6531 section 3.3.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::hash::{Hash, Hasher};
use std::str::FromStr;

mod error;
mod grammar;
mod literal;

pub use error::AddressError;
use grammar::{Grammar, MAX_PATH, Text};
pub use literal::AddressLiteral;

/// An address: a local part and, as a rule, a domain, as the client sent them.
///
/// `FromStr` accepts every address that a server accepts by default. That is more than RFC 5321 section 4.1.2 allows:
///
/// - a local part of more than 64 octets, or with dots in odd places (`a..b@example.jp`, `x.@example.com`), but none that
///   would lead out of a folder if it were a path (`../x`);
/// - `_` in a domain (`root@my_host`);
/// - an address without a domain (`root`).
///
/// [`strict_syntax`](crate::Builder::strict_syntax) makes a server refuse these.
///
/// Two are equal if they name the same mailbox: domains are compared without regard to case, local parts exactly (RFC
/// 5321 section 2.4), quoted or not. Comparison with text works in the same way.
///
/// ```
/// use pillarbox::Mailbox;
///
/// let mailbox: Mailbox = "\"Joe Smith\"@Example.ORG".parse()?;
/// assert_eq!(mailbox.local_part(), "\"Joe Smith\"");
/// assert_eq!(mailbox.unquoted_local_part(), "Joe Smith");
/// assert_eq!(mailbox.domain(), "Example.ORG");
/// assert_eq!(mailbox, "\"Joe\\ Smith\"@example.org");
/// # Ok::<(), pillarbox::AddressError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Mailbox {
    text: Box<str>,
    // Where the local part ends.
    at: u16,
}

impl Mailbox {
    /// The mailbox that begins some octets, and what follows it. With `has_route` it needs a domain: a route to nowhere
    /// in particular means nothing.
    fn parse(input: Text<'_>, grammar: Grammar, has_route: bool) -> Result<(Mailbox, Text<'_>), AddressError> {
        let (at, text, rest) = input.mailbox(grammar, has_route)?;
        Ok((Mailbox { text: text.into(), at: at as u16 }, rest))
    }

    /// The whole address, as sent.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The local part, as sent: a quoted string keeps its quotes. It is the whole address if there is no domain.
    pub fn local_part(&self) -> &str {
        &self.text[..usize::from(self.at)]
    }

    /// The local part without the quotes and backslashes of a quoted string.
    pub fn unquoted_local_part(&self) -> Cow<'_, str> {
        let local = self.local_part();
        let Some(quoted) = local.strip_prefix('"').and_then(|l| l.strip_suffix('"')) else {
            return local.into();
        };
        if !quoted.contains('\\') {
            return quoted.into();
        }
        let mut chars = quoted.chars();
        std::iter::from_fn(|| chars.next().and_then(|c| if c == '\\' { chars.next() } else { Some(c) }))
            .collect::<String>()
            .into()
    }

    /// The domain, as sent, or an address literal in its square brackets. Empty for an address without a domain, such as
    /// `root`.
    pub fn domain(&self) -> &str {
        self.text.get(usize::from(self.at) + 1..).unwrap_or_default()
    }

    /// The address literal, if there is one instead of a domain.
    pub fn domain_literal(&self) -> Option<AddressLiteral> {
        self.domain().strip_prefix('[')?.strip_suffix(']')?.parse().ok()
    }

    /// Whether it is ASCII, and so needs no SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }
}

impl PartialEq for Mailbox {
    fn eq(&self, other: &Mailbox) -> bool {
        self.text == other.text
            || (self.domain().eq_ignore_ascii_case(other.domain())
                && self.unquoted_local_part() == other.unquoted_local_part())
    }
}

impl Eq for Mailbox {}

impl Hash for Mailbox {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.unquoted_local_part().hash(state);
        for octet in self.domain().bytes() {
            state.write_u8(octet.to_ascii_lowercase());
        }
    }
}

impl FromStr for Mailbox {
    type Err = AddressError;

    /// Takes an address without angle brackets.
    fn from_str(text: &str) -> Result<Mailbox, AddressError> {
        let (mailbox, rest) = Mailbox::parse(Text(text.as_bytes()), Grammar::Lenient, false)?;
        if rest.0.is_empty() { Ok(mailbox) } else { Err(AddressError::Trailing) }
    }
}

/// The address in MAIL, to which notices about the message go, or the null path.
///
/// ```
/// use pillarbox::ReversePath;
///
/// let path: ReversePath = "<bob@example.org>".parse()?;
/// assert_eq!(path, "bob@example.org");
/// assert_eq!(&path, String::from("bob@EXAMPLE.org"), "domains are the same in either case");
/// assert_eq!("<>".parse::<ReversePath>()?, ReversePath::Null);
/// assert_eq!(ReversePath::Null.to_string(), "");
/// # Ok::<(), pillarbox::AddressError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ReversePath {
    /// `<>`: the message is itself a notice, and causes no further ones (RFC 5321 section 4.5.5).
    Null,
    /// An address.
    Mailbox(Mailbox),
}

impl ReversePath {
    /// The address; `None` for the null path.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            ReversePath::Null => None,
            ReversePath::Mailbox(mailbox) => Some(mailbox),
        }
    }

    /// The address as sent, without angle brackets; empty for the null path.
    pub fn as_str(&self) -> &str {
        self.mailbox().map_or("", Mailbox::as_str)
    }

    /// The address's domain, as sent, if it has one.
    pub fn domain(&self) -> Option<&str> {
        self.mailbox().map(Mailbox::domain).filter(|domain| !domain.is_empty())
    }

    /// Whether it is ASCII, and so needs no SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.as_str().is_ascii()
    }

    /// Parses the path that begins `input` and gives what is behind it: nothing, or a blank and more.
    pub(crate) fn parse(input: &[u8], strict: bool) -> Result<(ReversePath, &[u8]), AddressError> {
        parse_path(input, strict, |inner, grammar, has_route| match inner.0.first() {
            Some(b'>') if !has_route => Ok((ReversePath::Null, inner)),
            _ => Mailbox::parse(inner, grammar, has_route).map(|(mailbox, rest)| (ReversePath::Mailbox(mailbox), rest)),
        })
    }
}

impl FromStr for ReversePath {
    type Err = AddressError;

    /// Takes an address with or without angle brackets; `<>` and the empty text are the null path.
    fn from_str(text: &str) -> Result<ReversePath, AddressError> {
        if text.is_empty() {
            return Ok(ReversePath::Null);
        }
        parse_whole(text, ReversePath::parse)
    }
}

/// The address in RCPT: a recipient of the message.
///
/// ```
/// use pillarbox::ForwardPath;
///
/// let path: ForwardPath = "<bob@example.org>".parse()?;
/// assert_eq!(path.domain(), Some("example.org"));
/// assert_eq!("<postmaster>".parse::<ForwardPath>()?, ForwardPath::Postmaster);
/// # Ok::<(), pillarbox::AddressError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ForwardPath {
    /// `<Postmaster>`, without a domain: the person who runs this server (RFC 5321 section 4.5.1).
    Postmaster,
    /// An address.
    Mailbox(Mailbox),
}

impl ForwardPath {
    /// The address; `None` for the postmaster without a domain.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            ForwardPath::Postmaster => None,
            ForwardPath::Mailbox(mailbox) => Some(mailbox),
        }
    }

    /// The address as sent, without angle brackets; `Postmaster` in this spelling.
    pub fn as_str(&self) -> &str {
        self.mailbox().map_or("Postmaster", Mailbox::as_str)
    }

    /// The address's domain, as sent, if it has one.
    pub fn domain(&self) -> Option<&str> {
        self.mailbox().map(Mailbox::domain).filter(|domain| !domain.is_empty())
    }

    /// Whether it is ASCII, and so needs no SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.as_str().is_ascii()
    }

    /// Parses the path that begins `input` and gives what is behind it: nothing, or a blank and more.
    pub(crate) fn parse(input: &[u8], strict: bool) -> Result<(ForwardPath, &[u8]), AddressError> {
        parse_path(input, strict, |inner, grammar, has_route| {
            const NAME: &[u8] = b"Postmaster";
            if let Some((name, rest)) = inner.0.split_at_checked(NAME.len())
                && !has_route
                && name.eq_ignore_ascii_case(NAME)
                && matches!(rest.first(), None | Some(b'>' | b' ' | b'\t'))
            {
                return Ok((ForwardPath::Postmaster, Text(rest)));
            }
            Mailbox::parse(inner, grammar, has_route).map(|(mailbox, rest)| (ForwardPath::Mailbox(mailbox), rest))
        })
    }
}

impl FromStr for ForwardPath {
    type Err = AddressError;

    /// Takes an address with or without angle brackets.
    fn from_str(text: &str) -> Result<ForwardPath, AddressError> {
        parse_whole(text, ForwardPath::parse)
    }
}

macro_rules! text_like {
    ($($type:ident)*) => {$(
        impl Display for $type {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl PartialEq<str> for $type {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other || other.parse::<$type>().is_ok_and(|other| other == *self)
            }
        }

        impl PartialEq<&str> for $type {
            fn eq(&self, other: &&str) -> bool {
                *self == **other
            }
        }

        impl PartialEq<String> for $type {
            fn eq(&self, other: &String) -> bool {
                *self == **other
            }
        }

        impl PartialEq<String> for &$type {
            fn eq(&self, other: &String) -> bool {
                **self == **other
            }
        }

        impl PartialEq<$type> for str {
            fn eq(&self, other: &$type) -> bool {
                *other == *self
            }
        }

        impl PartialEq<$type> for &str {
            fn eq(&self, other: &$type) -> bool {
                *other == **self
            }
        }
    )*};
}

text_like!(Mailbox ReversePath ForwardPath);

/// Whether octets are a domain or an address literal: what RFC 5321 section 4.1.1.1 wants as the argument of HELO and
/// EHLO.
pub(crate) fn is_helo_name(name: &[u8]) -> bool {
    name.is_ascii() && Text(name).domain(Grammar::Strict).is_ok_and(|length| length == name.len())
}

/// A path, with or without brackets, and nothing around it.
fn parse_whole<'a, T>(
    text: &'a str,
    parse: impl FnOnce(&'a [u8], bool) -> Result<(T, &'a [u8]), AddressError>,
) -> Result<T, AddressError> {
    // What may stand before a path in a command is no part of the path.
    if text.starts_with([' ', '\t']) {
        return Err(AddressError::LocalPart);
    }
    match parse(text.as_bytes(), false)? {
        (path, []) => Ok(path),
        _ => Err(AddressError::Trailing),
    }
}

/// A path, its brackets and its source route, around whatever `inner` takes, which is told the grammar and whether
/// there was a route: behind one there must be a mailbox.
fn parse_path<'a, T>(
    input: &'a [u8],
    strict: bool,
    inner: impl FnOnce(Text<'a>, Grammar, bool) -> Result<(T, Text<'a>), AddressError>,
) -> Result<(T, &'a [u8]), AddressError> {
    let (input, grammar) = if strict { (input, Grammar::Strict) } else { (skip_blanks(input), Grammar::Lenient) };
    let (taken, rest, left_out) = match input.strip_prefix(b"<") {
        Some(bracketed) => {
            let (taken, rest) = parse_bracketed(bracketed, grammar, inner).map_err(|e| unclosed(e, bracketed))?;
            (taken, rest, 0)
        }
        None if strict => return Err(AddressError::MissingBracket),
        // Without brackets there is no null path.
        None if matches!(input, [] | [b'>', ..]) => return Err(AddressError::Empty),
        None => {
            let (taken, rest) = inner(Text(input), grammar, false)?;
            (taken, rest.0, "<>".len())
        }
    };
    if !matches!(rest, [] | [b' ' | b'\t', ..]) {
        return Err(AddressError::Trailing);
    }
    // Brackets that were left out count: whoever passes the address on has to write them.
    if input.len() - rest.len() + left_out > MAX_PATH {
        return Err(AddressError::PathTooLong);
    }
    Ok((taken, rest))
}

/// What follows the opening bracket, up to behind the closing one.
fn parse_bracketed<'a, T>(
    bracketed: &'a [u8],
    grammar: Grammar,
    inner: impl FnOnce(Text<'a>, Grammar, bool) -> Result<(T, Text<'a>), AddressError>,
) -> Result<(T, &'a [u8]), AddressError> {
    let behind_route = Text(bracketed).skip_route(grammar)?;
    let (taken, rest) = inner(behind_route, grammar, behind_route.0.len() < bracketed.len())?;
    match rest.0 {
        [b'>', rest @ ..] => Ok((taken, rest)),
        // `<a b@c>`: what was taken for an address without a domain is the beginning of a local part.
        [_, ..] if !bracketed[..bracketed.len() - rest.0.len()].contains(&b'@') => Err(AddressError::LocalPart),
        _ => Err(AddressError::MissingBracket),
    }
}

/// Says that the closing bracket is missing rather than that the local part looks odd without it.
fn unclosed(error: AddressError, bracketed: &[u8]) -> AddressError {
    if error == AddressError::LocalPart && !bracketed.is_empty() && !bracketed.contains(&b'>') {
        AddressError::MissingBracket
    } else {
        error
    }
}

fn skip_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    &text[blanks..]
}

#[cfg(test)]
mod tests;
