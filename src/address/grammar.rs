//! What an address is made of: RFC 5321 section 4.1.2, with the UTF-8 of RFC 6531 section 3.3.

use super::{AddressError, AddressLiteral, MAX_DOMAIN, MAX_LABEL, MAX_LOCAL_PART, Mailbox};

/// Octets that are an address up to somewhere. What is behind it, parameters, is checked elsewhere.
#[derive(Clone, Copy)]
pub(super) struct Text<'a>(pub &'a [u8]);

impl<'a> Text<'a> {
    fn starts_with(self, octet: u8) -> bool {
        self.0.first() == Some(&octet)
    }

    /// How far octets of a kind go, with dots between them.
    fn length_of(self, is_of_kind: impl Fn(u8) -> bool) -> usize {
        self.0.iter().position(|b| *b != b'.' && !is_of_kind(*b)).unwrap_or(self.0.len())
    }

    /// `@one.example,@two.example:`, which was once the way that mail should go, and is ignored (RFC 5321 appendix C).
    pub fn skip_route(self) -> Result<Text<'a>, AddressError> {
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

    pub fn mailbox(self) -> Result<(Mailbox, Text<'a>), AddressError> {
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
    pub fn domain(self) -> Result<usize, AddressError> {
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
