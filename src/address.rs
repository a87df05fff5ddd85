//! Addresses: RFC 5321 sections 4.1.2 and 4.1.3, with the UTF-8 of RFC 6531 section 3.3.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// RFC 5321 section 4.5.3.1, in octets.
const MAX_LOCAL_PART: usize = 64;
const MAX_DOMAIN: usize = 255;
const MAX_LABEL: usize = 63;
const MAX_PATH: usize = 256;

/// Why text is no address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum AddressError {
    /// Nothing is there.
    Empty,
    /// An angle bracket is missing.
    MissingBracket,
    /// The local part is no dot-string and no quoted string, or no `@` follows it.
    LocalPart,
    /// The domain is none.
    Domain,
    /// What stands in square brackets is no address literal.
    Literal,
    /// The source route before the address is none.
    Route,
    /// Something else follows directly behind the address.
    Trailing,
    /// The local part has more than 64 octets.
    LocalPartTooLong,
    /// The domain has more than 255 octets, or one of its labels more than 63.
    DomainTooLong,
    /// The path has more than 256 octets, its brackets counted whether or not they are there.
    PathTooLong,
    /// The octets are not UTF-8.
    NotUtf8,
    /// A control character is in it.
    ControlCharacter,
}

impl Display for AddressError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AddressError::Empty => "no address",
            AddressError::MissingBracket => "missing angle bracket",
            AddressError::LocalPart => "bad local part",
            AddressError::Domain => "bad domain",
            AddressError::Literal => "bad address literal",
            AddressError::Route => "bad source route",
            AddressError::Trailing => "unexpected text behind the address",
            AddressError::LocalPartTooLong => "local part too long",
            AddressError::DomainTooLong => "domain too long",
            AddressError::PathTooLong => "path too long",
            AddressError::NotUtf8 => "not UTF-8",
            AddressError::ControlCharacter => "control character",
        })
    }
}

impl std::error::Error for AddressError {}

/// An address: a local part and a domain, as the client sent them.
///
/// Two are equal if they mean the same: the domain in whichever case of letters, the local part to the letter (RFC 5321
/// section 2.4), whether or not it is quoted. So do they compare with text.
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
    // Where the `@` is: at most the 64th octet.
    at: u8,
}

impl Mailbox {
    /// The whole address, as sent.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What is before the `@`, as sent: a quoted string keeps its quotes.
    pub fn local_part(&self) -> &str {
        &self.text[..usize::from(self.at)]
    }

    /// What the local part means: a quoted string without its quotes and backslashes.
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

    /// What is behind the `@`, as sent: a domain, or an address literal in its square brackets.
    pub fn domain(&self) -> &str {
        &self.text[usize::from(self.at) + 1..]
    }

    /// The address literal that stands in the domain's place, if one does.
    pub fn domain_literal(&self) -> Option<AddressLiteral> {
        self.domain().strip_prefix('[')?.strip_suffix(']')?.parse().ok()
    }

    /// Whether it needs no SMTPUTF8.
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

    fn from_str(text: &str) -> Result<Mailbox, AddressError> {
        let (mailbox, rest) = Text(text.as_bytes()).mailbox()?;
        if rest.0.is_empty() { Ok(mailbox) } else { Err(AddressError::Trailing) }
    }
}

/// The address of MAIL: where notices about the message go, or nowhere.
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
    /// `<>`: the message is itself a notice, and nobody is to be told about it (RFC 5321 section 4.5.5).
    Null,
    /// An address.
    Mailbox(Mailbox),
}

impl ReversePath {
    /// The address, but for the null path.
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

    /// The address's domain, as sent.
    pub fn domain(&self) -> Option<&str> {
        self.mailbox().map(Mailbox::domain)
    }

    /// Whether it needs no SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.as_str().is_ascii()
    }

    /// Parses the path that begins `input` and gives what is behind it: nothing, or a blank and more.
    pub(crate) fn parse(input: &[u8], strict: bool) -> Result<(ReversePath, &[u8]), AddressError> {
        parse_path(input, strict, |inner, has_route| match inner.0.first() {
            Some(b'>') if !has_route => Ok((ReversePath::Null, inner)),
            _ => inner.mailbox().map(|(mailbox, rest)| (ReversePath::Mailbox(mailbox), rest)),
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

/// The address of RCPT: whom the message is for.
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
    /// `<Postmaster>`, without a domain: whoever runs this server (RFC 5321 section 4.5.1).
    Postmaster,
    /// An address.
    Mailbox(Mailbox),
}

impl ForwardPath {
    /// The address, but for the postmaster without a domain.
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

    /// The address's domain, as sent.
    pub fn domain(&self) -> Option<&str> {
        self.mailbox().map(Mailbox::domain)
    }

    /// Whether it needs no SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.as_str().is_ascii()
    }

    /// Parses the path that begins `input` and gives what is behind it: nothing, or a blank and more.
    pub(crate) fn parse(input: &[u8], strict: bool) -> Result<(ForwardPath, &[u8]), AddressError> {
        parse_path(input, strict, |inner, has_route| {
            const NAME: &[u8] = b"Postmaster";
            if let Some((name, rest)) = inner.0.split_at_checked(NAME.len())
                && !has_route
                && name.eq_ignore_ascii_case(NAME)
                && matches!(rest.first(), None | Some(b'>' | b' ' | b'\t'))
            {
                return Ok((ForwardPath::Postmaster, Text(rest)));
            }
            inner.mailbox().map(|(mailbox, rest)| (ForwardPath::Mailbox(mailbox), rest))
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

/// An address literal: an IP address, or something else with a tag, in a domain's place (RFC 5321 section 4.1.3).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum AddressLiteral {
    /// `[192.0.2.1]`
    V4(Ipv4Addr),
    /// `[IPv6:2001:db8::1]`
    V6(Ipv6Addr),
    /// `[tag:content]`
    General {
        /// What kind of address it is.
        tag: String,
        /// The address.
        content: String,
    },
}

impl FromStr for AddressLiteral {
    type Err = AddressError;

    /// Takes what stands between the square brackets.
    fn from_str(text: &str) -> Result<AddressLiteral, AddressError> {
        let Some((tag, content)) = text.split_once(':') else {
            return parse_ipv4(text).map(AddressLiteral::V4).ok_or(AddressError::Literal);
        };
        if tag.eq_ignore_ascii_case("IPv6") {
            return parse_ipv6(content).map(AddressLiteral::V6).ok_or(AddressError::Literal);
        }
        let tag_ok =
            !tag.is_empty() && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !tag.ends_with('-');
        let content_ok = !content.is_empty() && content.bytes().all(|b| matches!(b, 33..=90 | 94..=126));
        if tag_ok && content_ok {
            Ok(AddressLiteral::General { tag: tag.to_owned(), content: content.to_owned() })
        } else {
            Err(AddressError::Literal)
        }
    }
}

/// Four numbers of one to three digits: unlike std's, leading zeros are part of the grammar.
fn parse_ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if !(1..=3).contains(&part.len()) || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then(|| octets.into())
}

/// As std reads it, but for two things of the grammar: an IPv4 address at the end may have leading zeros, and `::` stands
/// for at least two groups.
fn parse_ipv6(text: &str) -> Option<Ipv6Addr> {
    let v4 = text.rsplit_once(':').filter(|(_, last)| last.contains('.'));
    let address = match v4 {
        Some((groups, last)) => format!("{groups}:{}", parse_ipv4(last)?).parse().ok()?,
        None => text.parse().ok()?,
    };
    let groups = text.split(':').filter(|group| !group.is_empty()).count() + usize::from(v4.is_some());
    (!text.contains("::") || groups <= 6).then_some(address)
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

/// Whether octets are a domain or an address literal: what RFC 5321 section 4.1.1.1 wants as the argument of HELO and EHLO.
pub(crate) fn is_helo_name(name: &[u8]) -> bool {
    name.is_ascii() && Text(name).domain().is_ok_and(|length| length == name.len())
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
    match parse(text.as_bytes(), text.starts_with('<'))? {
        (path, []) => Ok(path),
        _ => Err(AddressError::Trailing),
    }
}

/// A path, its brackets and its source route, around whatever `inner` takes, which is told whether there was a route:
/// behind one there must be a mailbox.
fn parse_path<'a, T>(
    input: &'a [u8],
    strict: bool,
    inner: impl FnOnce(Text<'a>, bool) -> Result<(T, Text<'a>), AddressError>,
) -> Result<(T, &'a [u8]), AddressError> {
    let input = if strict { input } else { skip_blanks(input) };
    let (taken, rest, left_out) = match input.strip_prefix(b"<") {
        Some(bracketed) => {
            let behind_route = Text(bracketed).skip_route()?;
            let (taken, rest) = inner(behind_route, behind_route.0.len() < bracketed.len())?;
            (taken, rest.0.strip_prefix(b">").ok_or(AddressError::MissingBracket)?, 0)
        }
        None if strict => return Err(AddressError::MissingBracket),
        // Without brackets there is no null path.
        None if matches!(input, [] | [b'>', ..]) => return Err(AddressError::Empty),
        None => {
            let (taken, rest) = inner(Text(input), false)?;
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

fn skip_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    &text[blanks..]
}

/// Octets that are an address up to somewhere. What is behind it, parameters, is checked elsewhere.
#[derive(Clone, Copy)]
struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    fn starts_with(self, octet: u8) -> bool {
        self.0.first() == Some(&octet)
    }

    /// How far octets of a kind go, with dots between them.
    fn length_of(self, is_of_kind: impl Fn(u8) -> bool) -> usize {
        self.0.iter().position(|b| *b != b'.' && !is_of_kind(*b)).unwrap_or(self.0.len())
    }

    /// `@one.example,@two.example:`, which was once the way that mail should go, and is ignored (RFC 5321 appendix C).
    fn skip_route(self) -> Result<Text<'a>, AddressError> {
        let mut text = self;
        if !text.starts_with(b'@') {
            return Ok(text);
        }
        loop {
            let domain = Text(&text.0[1..]);
            let rest = &domain.0[domain.domain()?..];
            match rest {
                [b',', b'@', ..] => text = Text(&rest[1..]),
                [b':', rest @ ..] => {
                    self.checked(self.0.len() - rest.len())?;
                    return Ok(Text(rest));
                }
                _ => return Err(AddressError::Route),
            }
        }
    }

    fn mailbox(self) -> Result<(Mailbox, Text<'a>), AddressError> {
        if self.0.is_empty() {
            return Err(AddressError::Empty);
        }
        let at = if self.starts_with(b'"') { self.quoted_string()? } else { self.dot_string()? };
        if self.0.get(at) != Some(&b'@') {
            return Err(AddressError::LocalPart);
        }
        if at > MAX_LOCAL_PART {
            return Err(AddressError::LocalPartTooLong);
        }
        let end = at + 1 + Text(&self.0[at + 1..]).domain()?;
        let mailbox = Mailbox { text: self.checked(end)?.into(), at: at as u8 };
        Ok((mailbox, Text(&self.0[end..])))
    }

    /// What is before `end`, which the grammar took with any octet above 127, if it is UTF-8 indeed.
    fn checked(self, end: usize) -> Result<&'a str, AddressError> {
        let text = str::from_utf8(&self.0[..end]).map_err(|_| AddressError::NotUtf8)?;
        // C1 in UTF-8; the others are in no part of the grammar.
        if !text.is_ascii() && text.chars().any(char::is_control) {
            Err(AddressError::ControlCharacter)
        } else {
            Ok(text)
        }
    }

    /// Dot-string: atoms with dots between. Gives its length.
    fn dot_string(self) -> Result<usize, AddressError> {
        let length = self.length_of(is_atext);
        if let Some(control) = self.0.get(length)
            && control.is_ascii_control()
            && *control != b'\t'
        {
            return Err(AddressError::ControlCharacter);
        }
        // Each dot stands between two atoms, and there is one at least.
        let text = &self.0[..length];
        let is_dotted = text.is_empty() || text.starts_with(b".") || text.ends_with(b".");
        if is_dotted || text.windows(2).any(|pair| pair == b"..") { Err(AddressError::LocalPart) } else { Ok(length) }
    }

    /// Quoted-string. Gives its length, both quotes counted.
    fn quoted_string(self) -> Result<usize, AddressError> {
        let mut at = 1;
        while let Some(&octet) = self.0.get(at) {
            match octet {
                b'"' => return Ok(at + 1),
                b'\\' => match self.0.get(at + 1) {
                    Some(32..=126) => at += 2,
                    _ => return Err(AddressError::LocalPart),
                },
                octet if octet.is_ascii_control() => return Err(AddressError::ControlCharacter),
                _ => at += 1,
            }
        }
        Err(AddressError::LocalPart)
    }

    /// A domain or an address literal. Gives its length.
    fn domain(self) -> Result<usize, AddressError> {
        if self.starts_with(b'[') {
            let end = self.0.iter().position(|b| *b == b']').ok_or(AddressError::Literal)?;
            let literal = str::from_utf8(&self.0[1..end]).map_err(|_| AddressError::NotUtf8)?;
            literal.parse::<AddressLiteral>()?;
            return if end < MAX_DOMAIN { Ok(end + 1) } else { Err(AddressError::DomainTooLong) };
        }
        let length = self.length_of(is_label);
        self.0[..length].split(|b| *b == b'.').try_for_each(check_label)?;
        if length > MAX_DOMAIN { Err(AddressError::DomainTooLong) } else { Ok(length) }
    }
}

/// A part of a domain: letters, digits and hyphens, with none of these at either end.
fn check_label(label: &[u8]) -> Result<(), AddressError> {
    if let [] | [b'-', ..] | [.., b'-'] = label {
        return Err(AddressError::Domain);
    }
    // How long a label in UTF-8 is on the DNS's wire, only its A-label could tell.
    if label.len() > MAX_LABEL && label.is_ascii() { Err(AddressError::DomainTooLong) } else { Ok(()) }
}

fn is_atext(octet: u8) -> bool {
    matches!(octet,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'/' | b'=' | b'?' | b'^'..=b'`'
        | b'{'..=b'~' | 0x80..)
}

fn is_label(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'-' || !octet.is_ascii()
}

#[cfg(test)]
mod tests;
