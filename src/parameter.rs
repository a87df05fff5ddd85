//! The parameters of MAIL and RCPT: RFC 5321 section 4.1.2 (`esmtp-param`), and what each extension's own RFC says of its
//! keyword.

use std::fmt::{self, Display, Formatter};

use crate::reply::{Reply, Status};

/// How the client declared its content: the BODY parameter of RFC 6152 and RFC 3030.
///
/// It is a declaration only. Content without it may hold octets over 127 all the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Body {
    /// `BODY=7BIT`
    SevenBit,
    /// `BODY=8BITMIME`
    EightBitMime,
}

impl Display for Body {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Body::SevenBit => "7BIT",
            Body::EightBitMime => "8BITMIME",
        })
    }
}

/// Which parameters may be used now; what is not offered is an unknown keyword to the client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offered {
    pub size: bool,
    pub eight_bit_mime: bool,
    pub smtputf8: bool,
}

impl Offered {
    /// What a client gets that said HELO: nothing (RFC 5321 section 4.1.1.1).
    pub const NOTHING: Offered = Offered { size: false, eight_bit_mime: false, smtputf8: false };
}

/// What followed the reverse-path in MAIL, typed and as received.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct MailParameters {
    size: Option<u64>,
    body: Option<Body>,
    smtputf8: bool,
    options: Options,
}

impl MailParameters {
    /// Reads the parameters behind a reverse-path.
    pub(crate) fn parse(text: &[u8], offered: Offered) -> Result<MailParameters, Reply> {
        let mut all = MailParameters::default();
        for parameter in Parameters(text) {
            let Parameter { keyword, value } = parameter?;
            if keyword.eq_ignore_ascii_case("SIZE") && offered.size {
                set_once(&mut all.size, parse_size(value)?)?;
            } else if keyword.eq_ignore_ascii_case("BODY") && offered.eight_bit_mime {
                set_once(&mut all.body, parse_body(value)?)?;
            } else if keyword.eq_ignore_ascii_case("SMTPUTF8") && offered.smtputf8 {
                // RFC 6531 section 3.4: it takes no value.
                if value.is_some() || all.smtputf8 {
                    return Err(BAD_VALUE);
                }
                all.smtputf8 = true;
            } else {
                return Err(UNKNOWN);
            }
            all.options.push(keyword, value);
        }
        Ok(all)
    }

    /// The size that the client announced, in octets: `SIZE=` (RFC 1870). It may be wrong.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// The kind of content that the client declared: `BODY=` (RFC 6152).
    pub fn body(&self) -> Option<Body> {
        self.body
    }

    /// Whether the message may need internationalised handling: `SMTPUTF8` (RFC 6531).
    pub fn smtputf8(&self) -> bool {
        self.smtputf8
    }

    /// Each parameter as received, in its order and in upper case: `["BODY=8BITMIME", "SMTPUTF8"]`.
    pub fn options(&self) -> impl Iterator<Item = &str> {
        self.options.iter()
    }
}

/// What followed the forward-path in RCPT.
///
/// No extension that takes part here is offered yet; until one is, a parameter is refused with `555 5.5.4` and this is empty.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct RcptParameters {
    options: Options,
}

impl RcptParameters {
    /// Reads the parameters behind a forward-path.
    pub(crate) fn parse(text: &[u8]) -> Result<RcptParameters, Reply> {
        match Parameters(text).next() {
            None => Ok(RcptParameters::default()),
            Some(parameter) => parameter.and(Err(UNKNOWN)),
        }
    }

    /// Each parameter as received, in its order.
    pub fn options(&self) -> impl Iterator<Item = &str> {
        self.options.iter()
    }
}

const SYNTAX: Reply = Reply::fixed(501, Status::new(5, 5, 4), "Bad parameter syntax");
const BAD_VALUE: Reply = Reply::fixed(501, Status::new(5, 5, 4), "Bad parameter value");
const UNKNOWN: Reply = Reply::fixed(555, Status::new(5, 5, 4), "Parameter not recognized");

/// The raw parameters, one behind the other with a blank between: a message rarely has any, and then this costs nothing.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Options(String);

impl Options {
    fn push(&mut self, keyword: &str, value: Option<&str>) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        let start = self.0.len();
        self.0.push_str(keyword);
        if let Some(value) = value {
            self.0.push('=');
            self.0.push_str(value);
        }
        self.0[start..].make_ascii_uppercase();
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split_ascii_whitespace()
    }
}

struct Parameter<'a> {
    keyword: &'a str,
    value: Option<&'a str>,
}

/// Cuts `KEYWORD[=VALUE]` after `KEYWORD[=VALUE]` off a command's rest.
struct Parameters<'a>(&'a [u8]);

impl<'a> Iterator for Parameters<'a> {
    type Item = Result<Parameter<'a>, Reply>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.0.trim_ascii_start();
        if text.is_empty() {
            return None;
        }
        let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
        self.0 = &text[end..];
        Some(parse_parameter(&text[..end]).ok_or(SYNTAX))
    }
}

fn parse_parameter(word: &[u8]) -> Option<Parameter<'_>> {
    let word = str::from_utf8(word).ok()?;
    let (keyword, value) = match word.split_once('=') {
        Some((keyword, value)) => (keyword, Some(value)),
        None => (word, None),
    };
    let keyword_ok = keyword.starts_with(|c: char| c.is_ascii_alphanumeric())
        && keyword.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    // esmtp-value, with the UTF-8 that RFC 6531 section 3.3 adds to it.
    let value_ok = value.is_none_or(|v| !v.is_empty() && v.chars().all(|c| c > ' ' && c != '=' && !c.is_control()));
    (keyword_ok && value_ok).then_some(Parameter { keyword, value })
}

/// RFC 1870 section 3: one to twenty digits. Twenty can pass 64 bits: more than any limit all the same.
fn parse_size(value: Option<&str>) -> Result<u64, Reply> {
    let digits = value.ok_or(BAD_VALUE)?;
    if digits.len() > 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BAD_VALUE);
    }
    Ok(digits.parse().unwrap_or(u64::MAX))
}

fn parse_body(value: Option<&str>) -> Result<Body, Reply> {
    match value {
        Some(v) if v.eq_ignore_ascii_case("7BIT") => Ok(Body::SevenBit),
        Some(v) if v.eq_ignore_ascii_case("8BITMIME") => Ok(Body::EightBitMime),
        _ => Err(BAD_VALUE),
    }
}

/// No RFC gives a meaning to a parameter that comes twice.
fn set_once<T>(slot: &mut Option<T>, value: T) -> Result<(), Reply> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(BAD_VALUE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Offered = Offered { size: true, eight_bit_mime: true, smtputf8: true };

    fn parse(text: &str) -> Result<MailParameters, u16> {
        MailParameters::parse(text.as_bytes(), ALL).map_err(|r| r.code())
    }

    #[test]
    fn typed_and_raw() {
        let all = parse(" size=12 body=8bitmime SmtpUtf8").unwrap();
        assert_eq!((all.size(), all.body(), all.smtputf8()), (Some(12), Some(Body::EightBitMime), true));
        assert_eq!(all.options().collect::<Vec<_>>(), ["SIZE=12", "BODY=8BITMIME", "SMTPUTF8"]);
        assert_eq!(parse("  \t "), Ok(MailParameters::default()));
    }

    #[test]
    fn sizes_are_digits_within_reason() {
        assert_eq!(parse(" SIZE=4294967300").unwrap().size(), Some(4_294_967_300));
        assert_eq!(parse(" SIZE=99999999999999999999").unwrap().size(), Some(u64::MAX));
        for bad in ["SIZE", "SIZE=", "SIZE=+1", "SIZE=-1", "SIZE=1x", "SIZE=0x10", "SIZE=000000000000000000001"] {
            assert_eq!(parse(bad), Err(501), "{bad}");
        }
    }

    #[test]
    fn values_and_syntax() {
        for bad in ["BODY", "BODY=9BIT", "SMTPUTF8=1", "SIZE=1 SIZE=1", "=1", "-A=1", "A=b=c", "SIZE=1\u{7f}"] {
            assert_eq!(parse(bad), Err(501), "{bad}");
        }
        assert_eq!(parse("FOO=1"), Err(555));
        assert_eq!(MailParameters::parse(b"FOO=\xff", ALL).map_err(|r| r.code()), Err(501));
    }

    #[test]
    fn what_is_not_offered_is_unknown() {
        for word in ["SIZE=1", "BODY=7BIT", "SMTPUTF8"] {
            let refused = MailParameters::parse(word.as_bytes(), Offered::NOTHING).map_err(|r| r.code());
            assert_eq!(refused, Err(555), "{word}");
        }
        assert_eq!(RcptParameters::parse(b" NOTIFY=NEVER").map_err(|r| r.code()), Err(555));
        assert_eq!(RcptParameters::parse(b" NOTIFY==").map_err(|r| r.code()), Err(501));
        assert_eq!(RcptParameters::parse(b"  "), Ok(RcptParameters::default()));
    }
}
