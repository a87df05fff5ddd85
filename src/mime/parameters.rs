//! `Content-Type` and `Content-Disposition`: a value, and parameters (RFC 2045 section 5.1, RFC 2231).

use super::charset::{Charset, undeclared};
use super::limits::{Bounds, Cut, MAX_TOKEN};
use super::words;

/// A field of that form. Parameters are looked up by name; those that nobody asks for are not kept.
pub(super) struct Parametrized {
    /// In lower case.
    pub value: String,
    kept: Vec<Parameter>,
}

struct Parameter {
    /// Which of [`NAMES`].
    name: &'static str,
    form: Form,
    octets: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Plain,
    /// The n-th piece, and whether its octets are percent-encoded.
    Piece(u16, bool),
    /// `name*`: percent-encoded, with a charset before it.
    Extended,
}

/// The parameters that are asked for.
const NAMES: [&str; 6] = ["boundary", "charset", "name", "filename", "type", "start"];

impl Parametrized {
    /// A media type. None for what is none: by RFC 2045 section 5.2 that is `text/plain`.
    pub fn media_type(field: &[u8], bounds: &mut Bounds<'_>) -> Option<Parametrized> {
        let mut scanner = Scanner { rest: field };
        let kind = scanner.token()?;
        scanner.skip_comments();
        scanner.rest = scanner.rest.strip_prefix(b"/")?;
        let subtype = scanner.token()?;
        scanner.skip_comments();
        if let Some(b'/' | b'@' | b'=' | b',' | b'?') = scanner.rest.first() {
            return None;
        }
        let value = format!("{kind}/{subtype}").to_ascii_lowercase();
        (value.len() <= MAX_TOKEN).then(|| Parametrized { value, kept: scanner.parameters(bounds) })
    }

    /// A disposition.
    pub fn disposition(field: &[u8], bounds: &mut Bounds<'_>) -> Option<Parametrized> {
        let mut scanner = Scanner { rest: field };
        let value = scanner.token().unwrap_or_default().to_ascii_lowercase();
        (value.len() <= MAX_TOKEN).then(|| Parametrized { value, kept: scanner.parameters(bounds) })
    }

    /// A parameter's octets, and its charset if it names one: what is extended before pieces before what is plain.
    fn octets(&self, name: &str) -> Option<(Vec<u8>, Option<Charset>)> {
        let of_name = || self.kept.iter().filter(|parameter| parameter.name == name);
        if let Some(extended) = of_name().find(|parameter| parameter.form == Form::Extended) {
            let (charset, octets) = with_charset(&extended.octets);
            return Some((percent_decoded(octets), charset));
        }
        let mut pieces: Vec<_> = of_name().filter(|parameter| parameter.form != Form::Plain).collect();
        // Of two with the same number the first counts.
        pieces.sort_by_key(|parameter| number(parameter.form));
        pieces.dedup_by_key(|parameter| number(parameter.form));
        if pieces.is_empty() {
            return of_name().next().map(|plain| (plain.octets.clone(), None));
        }
        let mut charset = None;
        let mut joined = Vec::new();
        for (at, piece) in pieces.into_iter().enumerate() {
            match piece.form {
                Form::Piece(_, true) => {
                    let mut octets = &piece.octets[..];
                    if at == 0 {
                        (charset, octets) = with_charset(octets);
                    }
                    joined.extend(percent_decoded(octets));
                }
                _ => joined.extend_from_slice(&piece.octets),
            }
        }
        Some((joined, charset))
    }

    /// A parameter as text for people; encoded words do not belong there, and are found there all the same.
    pub fn text(&self, name: &str, bounds: &mut Bounds<'_>) -> Option<String> {
        let (octets, charset) = self.octets(name)?;
        Some(match charset {
            Some(charset) => charset.decode(&octets),
            None => words::decoded(&undeclared(&octets), bounds),
        })
    }

    /// A parameter of which one word counts: a charset, a media type.
    pub fn word(&self, name: &str) -> Option<String> {
        let octets = self.octets(name)?.0;
        let octets = octets.trim_ascii();
        let end = octets.iter().position(|b| b.is_ascii_whitespace() || *b == b'(').unwrap_or(octets.len());
        let word = str::from_utf8(&octets[..end]).ok()?.trim_matches(['"', '\'']);
        (1..=MAX_TOKEN).contains(&word.len()).then(|| word.to_ascii_lowercase())
    }

    /// A parameter's octets, without blanks at the end.
    pub fn raw(&self, name: &str) -> Option<Vec<u8>> {
        let octets = self.octets(name)?.0;
        Some(octets.trim_ascii_end().to_vec())
    }
}

fn number(form: Form) -> Option<u16> {
    match form {
        Form::Piece(number, _) => Some(number),
        _ => None,
    }
}

/// `charset'language'octets`.
fn with_charset(octets: &[u8]) -> (Option<Charset>, &[u8]) {
    let mut parts = octets.splitn(3, |b| *b == b'\'');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(charset), Some(_), Some(rest)) => (str::from_utf8(charset).ok().and_then(Charset::named), rest),
        _ => (None, octets),
    }
}

fn percent_decoded(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let Some((&octet, behind)) = rest.split_first() {
        let digit = |at: usize| behind.get(at).and_then(|b| char::from(*b).to_digit(16));
        rest = behind;
        match (octet, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                rest = &behind[2..];
            }
            _ => out.push(octet),
        }
    }
    out
}

struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    /// Passes blanks and comments, which may be within each other.
    fn skip_comments(&mut self) {
        let mut depth = 0_usize;
        while let Some((&octet, behind)) = self.rest.split_first() {
            match octet {
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b'\\' if depth > 0 => {
                    self.rest = behind.get(1..).unwrap_or_default();
                    continue;
                }
                octet if depth > 0 || octet.is_ascii_whitespace() => {}
                _ => return,
            }
            self.rest = behind;
        }
    }

    /// RFC 2045's token.
    fn token(&mut self) -> Option<&'a str> {
        self.skip_comments();
        let is_part = |b: &u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(b);
        let end = self.rest.iter().position(|b| !is_part(b)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        str::from_utf8(token).ok().filter(|token| !token.is_empty())
    }

    fn parameters(&mut self, bounds: &mut Bounds<'_>) -> Vec<Parameter> {
        let mut kept = Vec::new();
        let mut seen = 0;
        loop {
            self.skip_comments();
            // A semicolon may be missing, or there may be several.
            while let Some(rest) = self.rest.strip_prefix(b";") {
                self.rest = rest;
                self.skip_comments();
            }
            if self.rest.is_empty() {
                return kept;
            }
            if seen == bounds.limits.parameters {
                bounds.cut(Cut::Parameters);
                return kept;
            }
            seen += 1;
            let name = self.token().unwrap_or_default();
            self.skip_comments();
            let Some(rest) = self.rest.strip_prefix(b"=") else {
                // No parameter: on to the next, or to a word behind this one.
                if name.is_empty() {
                    let end = memchr::memchr(b';', self.rest).unwrap_or(self.rest.len());
                    self.rest = &self.rest[end..];
                }
                continue;
            };
            self.rest = rest;
            let octets = self.value();
            if let Some((name, form)) = known(name) {
                kept.push(Parameter { name, form, octets });
            }
        }
    }

    /// In quotes, or else up to the next semicolon, for names come with blanks and no quotes.
    fn value(&mut self) -> Vec<u8> {
        self.rest = self.rest.trim_ascii_start();
        let Some(quoted) = self.rest.strip_prefix(b"\"") else {
            let end = memchr::memchr(b';', self.rest).unwrap_or(self.rest.len());
            let (value, rest) = self.rest.split_at(end);
            self.rest = rest;
            return value.trim_ascii_end().to_vec();
        };
        let mut value = Vec::new();
        self.rest = quoted;
        while let Some((&octet, behind)) = self.rest.split_first() {
            self.rest = behind;
            match (octet, behind.first()) {
                (b'"', _) => break,
                // Other backslashes are those of paths.
                (b'\\', Some(&escaped @ (b'"' | b'\\'))) => {
                    value.push(escaped);
                    self.rest = &behind[1..];
                }
                _ => value.push(octet),
            }
        }
        value
    }
}

/// Which parameter this is, and in which form: RFC 2231 sections 3 and 4.
fn known(attribute: &str) -> Option<(&'static str, Form)> {
    let (name, suffix) = attribute.split_once('*').map_or((attribute, None), |(name, suffix)| (name, Some(suffix)));
    let name = NAMES.into_iter().find(|known| known.eq_ignore_ascii_case(name))?;
    let form = match suffix {
        None => Form::Plain,
        Some("") => Form::Extended,
        Some(suffix) => {
            let (digits, is_encoded) = suffix.strip_suffix('*').map_or((suffix, false), |digits| (digits, true));
            Form::Piece(digits.parse().ok()?, is_encoded)
        }
    };
    Some((name, form))
}

#[cfg(test)]
mod tests {
    use super::super::limits::Limits;
    use super::*;

    fn kind(field: &str) -> Option<String> {
        let limits = Limits::default();
        Parametrized::media_type(field.as_bytes(), &mut Bounds::new(&limits)).map(|parsed| parsed.value)
    }

    fn name(field: impl AsRef<[u8]>) -> Option<String> {
        let limits = Limits::default();
        let mut bounds = Bounds::new(&limits);
        Parametrized::disposition(field.as_ref(), &mut bounds)?.text("filename", &mut bounds)
    }

    #[test]
    fn media_types() {
        for (field, expected) in [
            ("Text/HTML", Some("text/html")),
            (" text / plain ; x=y", Some("text/plain")),
            ("message(x)/(y (z))rfc822", Some("message/rfc822")),
            ("multipart/x-a+b.c; boundary=k", Some("multipart/x-a+b.c")),
            ("text/plain charset=iso-8859-1", Some("text/plain")),
            ("text", None),
            ("text/", None),
            ("/plain", None),
            ("text/plain/x", None),
            ("cannot open (No such file or directory)", None),
            ("", None),
        ] {
            assert_eq!(kind(field).as_deref(), expected, "{field}");
        }
    }

    #[test]
    fn charsets() {
        for field in [
            "text/plain; charset=utf-8",
            "text/plain;; CHARSET = \"UTF-8\" Content-Transfer-Encoding: 8bit",
            "text/plain; charset='utf-8'; x",
            "text/plain; x; charset=utf-8 (the usual)",
            "text/plain charset=utf-8",
            "text/plain; charset*=us-ascii''utf-8",
            "text/plain; charset=\"utf-8",
        ] {
            let limits = Limits::default();
            let parsed = Parametrized::media_type(field.as_bytes(), &mut Bounds::new(&limits)).expect(field);
            assert_eq!(parsed.word("charset").as_deref(), Some("utf-8"), "{field}");
        }
    }

    #[test]
    fn names() {
        for (field, expected) in [
            ("attachment; filename=a.txt", "a.txt"),
            ("attachment; filename=my report (1).pdf; size=1", "my report (1).pdf"),
            (r#"attachment; filename="a \"b\" \\ c:\d.txt""#, r#"a "b" \ c:\d.txt"#),
            ("attachment; filename*=UTF-8''%C3%9Cber.csv; filename=x", "\u{dc}ber.csv"),
            ("attachment; filename=\"x\"; filename*=\"utf-8''%C3%9Cber.csv\"", "\u{dc}ber.csv"),
            (
                "attachment; filename*0*=UTF-8''R%C3%A9sum%C3; filename*1*=%A9%20; filename*2=\"of Ann.pdf\"",
                "R\u{e9}sum\u{e9} of Ann.pdf",
            ),
            ("attachment; filename*1=b; filename*0=a; filename*1=c", "ab"),
            ("attachment; filename*0*=\"''attached%2E\"; filename*1*=\"%62\"; filename*2=at", "attached.bat"),
            ("attachment; filename*0=\"=?utf-8?q?=C3\" filename*1=\"=BC.txt?=\"", "\u{fc}.txt"),
            (
                "inline; filename*0*=ISO-2022-JP''%1B%24B%24%22%24%24%24; filename*1*=%26%24%28%24*%1B%28B.png",
                "\u{3042}\u{3044}\u{3046}\u{3048}\u{304a}.png",
            ),
            ("attachment; filename=\"=?iso-8859-1?Q?=FC?=.pdf\"", "\u{fc}.pdf"),
            ("; filename=a", "a"),
        ] {
            assert_eq!(name(field).as_deref(), Some(expected), "{field}");
        }
        assert_eq!(name(b"attachment; filename=\"gr\xfcn.txt\"").as_deref(), Some("gr\u{fc}n.txt"));
        assert_eq!(name("attachment; filename*99999999=a"), None);
    }

    #[test]
    fn so_many_and_no_more() {
        let limits = Limits::default();
        let mut bounds = Bounds::new(&limits);
        let field = format!("text/plain{};charset=x", ";a=b".repeat(limits.parameters));
        let parsed = Parametrized::media_type(field.as_bytes(), &mut bounds).unwrap();
        assert_eq!((parsed.word("charset"), &bounds.cut[..]), (None, &[Cut::Parameters][..]));
    }
}
