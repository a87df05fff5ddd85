//! Address lists in header fields: RFC 5322 section 3.4, with the obsolete forms and common malformed ones.

use std::fmt::{self, Display, Formatter};

use super::charset::undeclared;
use super::limits::{Bounds, Cut};
use super::words;

/// A mailbox in a header: an address, and a display name if there is one.
///
/// Compares with `&str` and `String` by the address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    name: Option<String>,
    address: String,
}

impl Address {
    /// The display name, decoded.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The address, as it was sent; empty if there is only a name.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl PartialEq<str> for Address {
    fn eq(&self, other: &str) -> bool {
        self.address == other
    }
}

impl PartialEq<String> for Address {
    fn eq(&self, other: &String) -> bool {
        self.address == *other
    }
}

impl PartialEq<&str> for Address {
    fn eq(&self, other: &&str) -> bool {
        self.address == *other
    }
}

impl Display for Address {
    /// `Name <address>`, for people to read.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} <{}>", self.address),
            None => f.write_str(&self.address),
        }
    }
}

/// The addresses in a field's value, those of groups among them, up to the limit with those that are there.
pub(super) fn parse(value: &[u8], list: &mut Vec<Address>, bounds: &mut Bounds<'_>) {
    let text = undeclared(value);
    let mut scanner = Scanner { rest: &text, no_quote_ends: false };
    let mut one = Mailbox::default();
    while let Some(c) = scanner.next() {
        match c {
            '"' => match scanner.quoted() {
                Some(quoted) => one.word(&quoted, true),
                None => one.word("\"", false),
            },
            '(' => one.comment = scanner.comment(),
            '<' => {
                if one.angle.is_some() {
                    one.end(list, bounds);
                }
                one.angle = Some(scanner.angle());
                one.behind.clear();
            }
            '[' => {
                let literal = scanner.literal();
                one.word(&literal, false);
            }
            ',' | ';' => one.end(list, bounds),
            // The name of a group.
            ':' if one.angle.is_none() => one = Mailbox::default(),
            c => one.push(c),
        }
        if list.len() > bounds.limits.addresses {
            list.truncate(bounds.limits.addresses);
            bounds.cut(Cut::Addresses);
            return;
        }
    }
    one.end(list, bounds);
    if list.len() > bounds.limits.addresses {
        list.truncate(bounds.limits.addresses);
        bounds.cut(Cut::Addresses);
    }
}

/// What has come of one address.
#[derive(Default)]
struct Mailbox {
    phrase: String,
    // The same without blanks, but for those in quotes: the address, if there are no angle brackets.
    bare: String,
    angle: Option<String>,
    // What follows the angle brackets: the name of the next one, if a comma is missing.
    behind: String,
    comment: Option<String>,
}

impl Mailbox {
    fn push(&mut self, c: char) {
        if self.angle.is_some() {
            self.behind.push(c);
            return;
        }
        self.phrase.push(c);
        if !c.is_whitespace() {
            self.bare.push(c);
        }
    }

    fn word(&mut self, text: &str, is_quoted: bool) {
        if self.angle.is_some() {
            self.behind += text;
            return;
        }
        self.phrase += text;
        if is_quoted {
            self.bare.push('"');
            for c in text.chars() {
                self.bare.extend(matches!(c, '"' | '\\').then_some('\\'));
                self.bare.push(c);
            }
            self.bare.push('"');
        } else {
            self.bare += text;
        }
    }

    fn end(&mut self, list: &mut Vec<Address>, bounds: &mut Bounds<'_>) {
        let Mailbox { phrase, bare, angle, behind, comment } = std::mem::take(self);
        self.phrase = behind;
        let mut shown = |text: &str| Some(words::phrase(text, bounds)).filter(|text| !text.is_empty());
        let (name, address) = match angle {
            Some(address) => (shown(&phrase).or_else(|| shown(&comment.unwrap_or_default())), address),
            None if bare.contains('@') => (shown(&comment.unwrap_or_default()), bare),
            None => (shown(&phrase).or_else(|| shown(&comment.unwrap_or_default())), String::new()),
        };
        let address: String = address.chars().filter(|c| !c.is_control()).collect();
        if name.is_some() || !address.is_empty() {
            list.push(Address { name, address });
        }
    }
}

struct Scanner<'a> {
    rest: &'a str,
    // So that a text of quotes of which none ends is looked through once.
    no_quote_ends: bool,
}

impl Scanner<'_> {
    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        Some(c)
    }

    /// The text up to the quotes that end it. None if there are none: then those that began it are a character.
    fn quoted(&mut self) -> Option<String> {
        if self.no_quote_ends {
            return None;
        }
        let mut text = String::new();
        let mut chars = self.rest.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => {
                    self.rest = chars.as_str();
                    return Some(text);
                }
                '\\' => text.extend(chars.next()),
                c => text.push(c),
            }
        }
        self.no_quote_ends = true;
        None
    }

    /// The text up to the bracket that ends the comment, without comments' own brackets at its ends.
    fn comment(&mut self) -> Option<String> {
        let mut depth = 1_usize;
        let mut text = String::new();
        while let Some(c) = self.next() {
            match c {
                '\\' => {
                    text.extend(self.next());
                    continue;
                }
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            text.push(c);
        }
        Some(text)
    }

    /// The address up to the bracket that ends it, without a route (RFC 5322 section 4.4).
    fn angle(&mut self) -> String {
        let mut address = String::new();
        let mut is_quoted = false;
        while let Some(c) = self.rest.chars().next() {
            match c {
                '"' => is_quoted = !is_quoted,
                '\\' if is_quoted => {
                    address.push(c);
                    self.next();
                    address.extend(self.next());
                    continue;
                }
                '>' if !is_quoted => {
                    self.next();
                    break;
                }
                // The bracket is missing.
                ',' if !is_quoted && !address.starts_with('@') => break,
                '<' if !is_quoted => break,
                ':' if !is_quoted && address.starts_with('@') => {
                    address.clear();
                    self.next();
                    continue;
                }
                c if c.is_whitespace() && !is_quoted => {
                    self.next();
                    continue;
                }
                _ => {}
            }
            address.push(c);
            self.next();
        }
        address
    }

    /// A domain in brackets, with them.
    fn literal(&mut self) -> String {
        let mut text = "[".to_owned();
        while let Some(c) = self.rest.chars().next() {
            if matches!(c, ',' | '<') {
                break;
            }
            self.next();
            text.push(c);
            if c == ']' {
                break;
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::Limits;
    use super::*;

    fn read(value: &str) -> Vec<(String, String)> {
        let mut list = Vec::new();
        parse(value.as_bytes(), &mut list, &mut Bounds::new(&Limits::default()));
        list.into_iter().map(|one| (one.name.unwrap_or_default(), one.address)).collect()
    }

    #[test]
    fn one() {
        for (value, name, address) in [
            ("a@example.org", "", "a@example.org"),
            ("<a@example.org>", "", "a@example.org"),
            ("Ann <a@example.org>", "Ann", "a@example.org"),
            ("\"Ann, of \\\"B\\\"\" <a@example.org>", "Ann, of \"B\"", "a@example.org"),
            ("a@example.org (Ann (B) C)", "Ann (B) C", "a@example.org"),
            ("=?iso-8859-1?Q?Lastname=2C_J=FCrgen?= <a@example.org>", "Lastname, J\u{fc}rgen", "a@example.org"),
            ("\"=?utf-8?q?J=C3=BCrgen?=\" <a@example.org>", "J\u{fc}rgen", "a@example.org"),
            ("No reply @ Example <a@example.org>", "No reply @ Example", "a@example.org"),
            ("Ann <@x.example,@y.example:a@example.org>", "Ann", "a@example.org"),
            ("a . b @ example . org", "", "a.b@example.org"),
            ("\"a b\"@example.org", "", "\"a b\"@example.org"),
            (r#""a\"b\\ "@example.org"#, "", r#""a\"b\\ "@example.org"#),
            (r#"<"a\"b"@example.org>"#, "", r#""a\"b"@example.org"#),
            ("a@[192.0.2.1]", "", "a@[192.0.2.1]"),
            ("a@[IPv6:2001:db8::1]", "", "a@[IPv6:2001:db8::1]"),
            ("<a@[IPv6:2001:db8::1]>", "", "a@[IPv6:2001:db8::1]"),
            ("j\u{fc}rgen@example.org", "", "j\u{fc}rgen@example.org"),
            ("Postmaster", "Postmaster", ""),
            ("\"Ann <a@example.org>", "\"Ann", "a@example.org"),
            ("Ann <a@example.org", "Ann", "a@example.org"),
        ] {
            assert_eq!(read(value), [(name.to_owned(), address.to_owned())], "{value}");
        }
    }

    #[test]
    fn lists() {
        let addresses = |value: &str| read(value).into_iter().map(|(_, address)| address).collect::<Vec<_>>().join(" ");
        assert_eq!(addresses("a@x, b@x,,c@x;"), "a@x b@x c@x");
        assert_eq!(addresses("Friends: a@x, B <b@x>; c@x"), "a@x b@x c@x");
        assert_eq!(addresses("undisclosed-recipients:;"), "");
        assert_eq!(addresses("A <a@x> B <b@x>"), "a@x b@x");
        assert_eq!(read("A <a@x> B <b@x>")[1].0, "B");
        assert_eq!(addresses("A <a@x, B <b@x>"), "a@x b@x");
        assert_eq!(addresses(""), "");
        assert_eq!(addresses("<>"), "");
    }

    #[test]
    fn so_many_and_no_more() {
        let limits = Limits::default();
        for (count, cut) in [(limits.addresses, vec![]), (limits.addresses + 1, vec![Cut::Addresses])] {
            let (mut list, mut bounds) = (Vec::new(), Bounds::new(&limits));
            parse(vec!["a@x"; count].join(",").as_bytes(), &mut list, &mut bounds);
            assert_eq!((list.len(), bounds.cut), (limits.addresses, cut));
        }
    }
}
