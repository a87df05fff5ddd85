//! What an address is made of: RFC 5321 section 4.1.2, with the UTF-8 of RFC 6531 section 3.3.

use super::error::AddressError;
use super::literal::AddressLiteral;

/// RFC 5321 section 4.5.3.1, in octets.
const MAX_LOCAL_PART: usize = 64;
const MAX_DOMAIN: usize = 255;
const MAX_LABEL: usize = 63;
pub(super) const MAX_PATH: usize = 256;

/// Octets that begin with an address. What follows it, the parameters, is checked elsewhere.
#[derive(Clone, Copy)]
pub(super) struct Text<'a>(pub &'a [u8]);

/// Which addresses are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Grammar {
    /// Those of RFC 5321.
    Strict,
    /// Also what real programs send and no server has to refuse: a long local part, dots anywhere in it, `_` in a domain,
    /// and no domain at all.
    Lenient,
}

impl<'a> Text<'a> {
    fn starts_with(self, octet: u8) -> bool {
        self.0.first() == Some(&octet)
    }

    /// How many octets of a kind it begins with.
    fn run(self, kind: &[bool; 256]) -> usize {
        self.0.iter().take_while(|octet| kind[usize::from(**octet)]).count()
    }

    /// How far parts of a kind go that have dots between them; or, if one of them does not `fit`, where that ends.
    fn dotted(self, kind: &[bool; 256], fits: impl Fn(&[u8]) -> bool) -> Result<usize, usize> {
        let mut start = 0;
        loop {
            let end = start + Text(&self.0[start..]).run(kind);
            if !fits(&self.0[start..end]) {
                return Err(end);
            }
            if self.0.get(end) != Some(&b'.') {
                return Ok(end);
            }
            start = end + 1;
        }
    }

    /// `@one.example,@two.example:`, which was once the way that mail should go, and is ignored (RFC 5321 appendix C).
    pub fn skip_route(self, grammar: Grammar) -> Result<Text<'a>, AddressError> {
        let mut text = self;
        if !text.starts_with(b'@') {
            return Ok(text);
        }
        loop {
            let domain = Text(&text.0[1..]);
            let rest = &domain.0[domain.domain(grammar)?..];
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

    /// A mailbox: where its local part ends, all of its text, and what follows it. With `has_route` it needs a domain.
    pub fn mailbox(self, grammar: Grammar, has_route: bool) -> Result<(usize, &'a str, Text<'a>), AddressError> {
        if self.0.is_empty() {
            return Err(AddressError::Empty);
        }
        let at = if self.starts_with(b'"') { self.quoted_string()? } else { self.dot_string(grammar)? };
        let end = match self.0.get(at) {
            Some(b'@') => {
                let end = at + 1 + Text(&self.0[at + 1..]).domain(grammar)?;
                if !matches!(self.0.get(end), None | Some(b'>' | b' ' | b'\t')) {
                    return Err(AddressError::Domain);
                }
                end
            }
            None | Some(b'>' | b' ' | b'\t')
                if grammar == Grammar::Lenient && !has_route && self.0[..at] != *b"\"\"" =>
            {
                at
            }
            _ => return Err(AddressError::LocalPart),
        };
        let max = if grammar == Grammar::Strict { MAX_LOCAL_PART } else { MAX_PATH };
        if at > max {
            return Err(AddressError::LocalPartTooLong);
        }
        Ok((at, self.checked(end)?, Text(&self.0[end..])))
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

    /// Dot-string: atoms with dots between, or leniently dots anywhere. Gives its length.
    fn dot_string(self, grammar: Grammar) -> Result<usize, AddressError> {
        let found = match self.dotted(&ATEXT, |atom| !atom.is_empty()) {
            Err(_) if grammar == Grammar::Lenient => self.odd_dot_string(),
            found => found,
        };
        let (Ok(end) | Err(end)) = found;
        match self.0.get(end) {
            Some(control) if control.is_ascii_control() && *control != b'\t' => Err(AddressError::ControlCharacter),
            _ => found.map_err(|_| AddressError::LocalPart),
        }
    }

    /// A dot-string with dots in odd places; or, if it is none, where that ends. Nothing between slashes is nothing but dots:
    /// no address is sent that way, and whoever makes a path of a local part must not be led out of a folder.
    fn odd_dot_string(self) -> Result<usize, usize> {
        let length = self.run(&DOTTED_ATEXT);
        let mut pieces = self.0[..length].split(|octet| *octet == b'/');
        if length == 0 || pieces.any(|piece| !piece.is_empty() && piece.iter().all(|octet| *octet == b'.')) {
            Err(length)
        } else {
            Ok(length)
        }
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
    pub fn domain(self, grammar: Grammar) -> Result<usize, AddressError> {
        if self.starts_with(b'[') {
            let end = self.0.iter().position(|b| *b == b']').ok_or(AddressError::Literal)?;
            let literal = str::from_utf8(&self.0[1..end]).map_err(|_| AddressError::NotUtf8)?;
            literal.parse::<AddressLiteral>()?;
            return if end < MAX_DOMAIN { Ok(end + 1) } else { Err(AddressError::DomainTooLong) };
        }
        let is_label = |label: &[u8]| !matches!(label, [] | [b'-', ..] | [.., b'-']);
        let label = if grammar == Grammar::Strict { &LABEL } else { &LENIENT_LABEL };
        let length = self.dotted(label, is_label).map_err(|_| AddressError::Domain)?;
        let is_too_long = || self.0[..length].split(|b| *b == b'.').any(is_label_too_long);
        if length > MAX_LABEL && (length > MAX_DOMAIN || is_too_long()) {
            return Err(AddressError::DomainTooLong);
        }
        Ok(length)
    }
}

/// How long a label in UTF-8 is on the DNS's wire, only its A-label could tell.
fn is_label_too_long(label: &[u8]) -> bool {
    label.len() > MAX_LABEL && label.is_ascii()
}

/// What atoms are made of.
static ATEXT: [bool; 256] = kind(b"!#$%&'*+-/=?^_`{|}~");
/// The same with dots anywhere.
static DOTTED_ATEXT: [bool; 256] = kind(b".!#$%&'*+-/=?^_`{|}~");
/// What the labels of a domain are made of: letters, digits and hyphens.
static LABEL: [bool; 256] = kind(b"-");
/// The same with the underscores that names of hosts and containers have.
static LENIENT_LABEL: [bool; 256] = kind(b"-_");

/// Letters, digits, UTF-8 beyond ASCII, and `others`.
const fn kind(others: &[u8]) -> [bool; 256] {
    let mut kind = [false; 256];
    let mut octet = 0;
    while octet < kind.len() {
        kind[octet] = (octet as u8).is_ascii_alphanumeric() || octet >= 0x80;
        octet += 1;
    }
    let mut at = 0;
    while at < others.len() {
        kind[others[at] as usize] = true;
        at += 1;
    }
    kind
}
