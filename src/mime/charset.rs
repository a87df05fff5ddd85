//! Octets to text. What is declared is often misspelt, missing or wrong, and mail is read all the same.

use encoding_rs::{Decoder, Encoding, ISO_2022_JP, UTF_8, WINDOWS_1252};
use memchr::memmem;

/// A charset that can be decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Charset {
    Standard(&'static Encoding),
    /// RFC 2152, which encoding_rs leaves out since no browser reads it; mail has it.
    Utf7,
}

impl Charset {
    /// The charset of this name. None for one that is unknown, and for those that say nothing: who declares US-ASCII and
    /// sends 8-bit octets means something else.
    pub fn named(name: &str) -> Option<Charset> {
        let name = name.trim_matches(|c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\'' | '`' | ';' | ','));
        // A language may follow in an encoded word: RFC 2231 section 5.
        let name = name.split('*').next().unwrap_or_default();
        let squeezed: String =
            name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).take(40).collect();
        match squeezed.as_str() {
            "" | "usascii" | "ascii" | "ansix341968" | "ansix341986" | "iso646us" | "unknown8bit" | "xunknown"
            | "unknown" | "default" | "8bit" | "7bit" | "binary" | "ansi" => return None,
            "utf7" | "unicode11utf7" | "csutf7" | "csunicode11utf7" => return Some(Charset::Utf7),
            _ => {}
        }
        let standard = Encoding::for_label_no_replacement(name.as_bytes())
            .or_else(|| Encoding::for_label_no_replacement(alias(&squeezed).as_bytes()));
        standard.map(Charset::Standard)
    }

    /// Whether it has 7 bits: where there are 8, something else was sent under its name, UTF-8 most likely.
    pub fn is_7bit(self) -> bool {
        matches!(self, Charset::Utf7) || self == Charset::Standard(ISO_2022_JP)
    }

    pub fn decoder(self) -> TextDecoder {
        match self {
            Charset::Standard(encoding) => TextDecoder::Standard(encoding.new_decoder()),
            Charset::Utf7 => TextDecoder::Utf7(Utf7::default()),
        }
    }

    /// All of it at once.
    pub fn decode(self, octets: &[u8]) -> String {
        let mut text = String::new();
        self.decoder().decode(octets, true, &mut text);
        text
    }
}

/// The Encoding Standard's name for what is written otherwise; it is given with nothing but letters and digits.
fn alias(squeezed: &str) -> String {
    let number = squeezed.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let family = &squeezed[..squeezed.len() - number.len()];
    match (family, number) {
        ("cp" | "xcp" | "win" | "windows" | "xwindows" | "ms" | "xwin", "932" | "31j") => "shift_jis".to_owned(),
        ("cp" | "xcp" | "ms" | "win" | "windows", "936") => "gbk".to_owned(),
        ("cp" | "xcp" | "ms" | "win" | "windows", "949") => "euc-kr".to_owned(),
        ("cp" | "xcp" | "ms" | "win" | "windows", "950") => "big5".to_owned(),
        ("cp" | "xcp", "65001") => "utf-8".to_owned(),
        ("cp" | "xcp" | "win" | "windows" | "xwindows" | "ms" | "xwin", number) => format!("windows-{number}"),
        ("latin", number) => format!("latin{number}"),
        ("iso", number) if number.starts_with("8859") => {
            let part = number["8859".len()..].trim_start_matches('0');
            let digits = part.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            match &part[digits.len()..] {
                "" => format!("iso-8859-{digits}"),
                suffix => format!("iso-8859-{digits}-{suffix}"),
            }
        }
        ("iso", number) if number.starts_with("2022jp") => "iso-2022-jp".to_owned(),
        ("xsjis" | "sjis" | "shiftjis" | "xshiftjis", _) => "shift_jis".to_owned(),
        ("eucjp", _) => "euc-jp".to_owned(),
        ("euckr", _) => "euc-kr".to_owned(),
        ("gb" | "xgb", "2312" | "231280") => "gbk".to_owned(),
        ("koi", "8u") => "koi8-u".to_owned(),
        ("koi", _) => "koi8-r".to_owned(),
        ("utf", "8mb4") => "utf-8".to_owned(),
        ("big", _) => "big5".to_owned(),
        ("macroman" | "xmacroman", _) => "macintosh".to_owned(),
        ("utf", number) => format!("utf-{number}"),
        _ => squeezed.to_owned(),
    }
}

/// Decodes a text that comes in pieces.
pub(super) enum TextDecoder {
    Standard(Decoder),
    Utf7(Utf7),
}

impl TextDecoder {
    /// Adds what `octets` say to `out`. A byte order mark at the start decides over what was declared.
    pub fn decode(&mut self, octets: &[u8], last: bool, out: &mut String) {
        match self {
            TextDecoder::Standard(decoder) => {
                let room = decoder.max_utf8_buffer_length(octets.len()).unwrap_or(octets.len());
                out.reserve(room);
                let (_, _, _) = decoder.decode_to_string(octets, out, last);
            }
            TextDecoder::Utf7(utf7) => utf7.decode(octets, last, out),
        }
    }
}

/// RFC 2152.
#[derive(Default)]
pub(super) struct Utf7 {
    is_shifted: bool,
    // Nothing has come since the shift: "+-" is a plus.
    is_fresh: bool,
    bits: u32,
    count: u32,
    high: Option<u16>,
}

impl Utf7 {
    fn decode(&mut self, octets: &[u8], last: bool, out: &mut String) {
        for &octet in octets {
            if !self.is_shifted {
                match octet {
                    b'+' => (self.is_shifted, self.is_fresh, self.bits, self.count) = (true, true, 0, 0),
                    octet => out.push(char::from(octet)),
                }
                continue;
            }
            match sextet(octet) {
                Some(value) => {
                    self.is_fresh = false;
                    self.bits = (self.bits << 6 | u32::from(value)) & 0x3f_ffff;
                    self.count += 6;
                    if self.count >= 16 {
                        self.count -= 16;
                        self.unit((self.bits >> self.count) as u16, out);
                    }
                }
                None => {
                    self.end(out);
                    match octet {
                        b'-' if self.is_fresh => out.push('+'),
                        b'-' => {}
                        octet => out.push(char::from(octet)),
                    }
                    self.is_shifted = false;
                }
            }
        }
        if last {
            self.end(out);
        }
    }

    fn unit(&mut self, unit: u16, out: &mut String) {
        let pair = self.high.take().into_iter().chain([unit]);
        for one in char::decode_utf16(pair) {
            match one {
                Ok(c) => out.push(c),
                Err(e) if (0xd800..0xdc00).contains(&e.unpaired_surrogate()) && e.unpaired_surrogate() == unit => {
                    self.high = Some(unit);
                }
                Err(_) => out.push(char::REPLACEMENT_CHARACTER),
            }
        }
    }

    fn end(&mut self, out: &mut String) {
        if self.high.take().is_some() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

fn sextet(octet: u8) -> Option<u8> {
    match octet {
        b'A'..=b'Z' => Some(octet - b'A'),
        b'a'..=b'z' => Some(octet - b'a' + 26),
        b'0'..=b'9' => Some(octet - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Finds out what text is of which nobody says it: UTF-8 if it can be, ISO-2022-JP by its escapes, else windows-1252.
#[derive(Default)]
pub(super) struct Guess {
    // The beginning of a character or of an escape whose end has not come.
    held: Vec<u8>,
    is_not_utf8: bool,
    has_escapes: bool,
    has_8bit: bool,
}

impl Guess {
    pub fn look_at(&mut self, octets: &[u8]) {
        self.has_8bit |= !octets.is_ascii();
        self.held.extend_from_slice(octets);
        const ESCAPES: [&[u8]; 4] = [b"\x1b$B", b"\x1b$@", b"\x1b(J", b"\x1b(I"];
        let may_have_escapes = !self.has_escapes && memchr::memchr(0x1b, &self.held).is_some();
        self.has_escapes |= may_have_escapes && ESCAPES.iter().any(|escape| memmem::find(&self.held, escape).is_some());
        let looked_at = match str::from_utf8(&self.held) {
            Ok(_) => self.held.len(),
            Err(e) if e.error_len().is_none() => e.valid_up_to(),
            Err(_) => {
                self.is_not_utf8 = true;
                self.held.len()
            }
        };
        // Two octets of an escape may have come of three.
        let begins = self.held.iter().rev().take(2).position(|octet| *octet == 0x1b).map(|at| self.held.len() - 1 - at);
        self.held.drain(..looked_at.min(begins.unwrap_or(looked_at)));
    }

    /// Whether there is more than a charset of 7 bits can have.
    pub fn has_8bit(&self) -> bool {
        self.has_8bit
    }

    /// Whether nothing that follows changes it.
    pub fn is_certain(&self) -> bool {
        self.is_not_utf8
    }

    pub fn charset(self) -> Charset {
        let rest = str::from_utf8(&self.held).is_ok();
        Charset::Standard(match (self.has_escapes, self.is_not_utf8 || !rest) {
            (true, false) => ISO_2022_JP,
            (false, false) => UTF_8,
            (_, true) => WINDOWS_1252,
        })
    }
}

/// Text of which nobody says in which charset it is.
pub(super) fn undeclared(octets: &[u8]) -> String {
    if memchr::memchr(0x1b, octets).is_none()
        && let Ok(text) = str::from_utf8(octets)
    {
        return text.to_owned();
    }
    let mut guess = Guess::default();
    guess.look_at(octets);
    guess.charset().decode(octets)
}

/// The charset that HTML gives for itself in its first octets, as browsers look for it.
pub(super) fn of_html(begin: &[u8]) -> Option<Charset> {
    let begin = begin.to_ascii_lowercase();
    memmem::find_iter(&begin, b"<meta").find_map(|at| {
        let tag = &begin[at..];
        let tag = &tag[..memchr::memchr(b'>', tag).unwrap_or(tag.len())];
        let value = tag[memmem::find(tag, b"charset")? + "charset".len()..].trim_ascii_start();
        let value = value.strip_prefix(b"=")?.trim_ascii_start();
        let value = value.strip_prefix(b"\"").or(value.strip_prefix(b"'")).unwrap_or(value);
        let end = value.iter().position(|b| matches!(b, b'"' | b'\'' | b';' | b'/' | b' ' | b'\t' | b'\r' | b'\n'));
        match Charset::named(str::from_utf8(&value[..end.unwrap_or(value.len())]).ok()?)? {
            // It could not have been read.
            Charset::Standard(encoding) if !encoding.is_ascii_compatible() => Some(Charset::Standard(UTF_8)),
            charset => Some(charset),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_odd_forms() {
        for (names, expected) in [
            (
                &[
                    "utf8",
                    "UTF-8",
                    "\"utf-8\"",
                    "'utf-8'",
                    "unicode-1-1-utf-8",
                    "utf-8*de",
                    "cp65001",
                    "utf_8",
                    "utf8mb4",
                ][..],
                "UTF-8",
            ),
            (
                &[
                    "iso-8859-1",
                    "ISO8859-1",
                    "iso_8859_1",
                    "latin1",
                    "latin-1",
                    "cp1252",
                    "win-1252",
                    "Windows1252",
                    "cp-1252",
                ],
                "windows-1252",
            ),
            (&["cp1251", "windows-1251", "WIN1251", "x-cp1251"], "windows-1251"),
            (&["iso-8859-8-i", "iso8859-8i"], "ISO-8859-8-I"),
            (&["gb2312", "GB2312_80", "cp936", "gbk", "x-gbk"], "GBK"),
            (&["cp932", "shift-jis", "Shift_JIS", "sjis", "windows-31j"], "Shift_JIS"),
            (&["iso-2022-jp", "ISO-2022-JP-1", "iso2022jp", "iso-2022-jp-ms"], "ISO-2022-JP"),
            (&["koi8-r", "koi8r"], "KOI8-R"),
            (&["ks_c_5601-1987", "cp949", "euckr"], "EUC-KR"),
            (&["big5", "cp950", "Big-5"], "Big5"),
        ] {
            for name in names {
                let charset = Charset::named(name);
                assert!(matches!(charset, Some(Charset::Standard(e)) if e.name() == expected), "{name}: {charset:?}");
            }
        }
        for name in ["", "us-ascii", "ANSI_X3.4-1968", "x-unknown", "no such", "iso-2022-kr", "''"] {
            assert_eq!(Charset::named(name), None, "{name}");
        }
    }

    #[test]
    fn utf7() {
        let decode = |text: &str| Charset::named("unicode-1-1-utf-7").unwrap().decode(text.as_bytes());
        assert_eq!(decode("Gr+APwA3w-e, 1 +- 1, +2D3eAA!"), "Gr\u{fc}\u{df}e, 1 + 1, \u{1f600}!");
        assert_eq!(decode("+2D0-x"), "\u{fffd}x");
    }

    #[test]
    fn guesses_do_not_depend_on_pieces() {
        let japanese = b"abc \x1b$B$3$s\x1b(B";
        for (octets, expected) in [
            (&japanese[..], "ISO-2022-JP"),
            ("gr\u{fc}n \u{20ac}".as_bytes(), "UTF-8"),
            (b"gr\xfcn", "windows-1252"),
            (b"gr\xc3", "windows-1252"),
        ] {
            for size in 1..8 {
                let mut guess = Guess::default();
                octets.chunks(size).for_each(|piece| guess.look_at(piece));
                assert!(
                    matches!(guess.charset(), Charset::Standard(e) if e.name() == expected),
                    "{expected} by {size}"
                );
            }
        }
    }

    #[test]
    fn what_html_says_of_itself() {
        for html in [
            "<meta charset=windows-1251>",
            "<META http-equiv='Content-Type' content='text/html; charset=windows-1251'>",
            "<meta name=x><meta charset = \"windows-1251\"/>",
        ] {
            assert_eq!(of_html(html.as_bytes()), Charset::named("windows-1251"), "{html}");
        }
        assert_eq!(of_html(b"<meta charset=utf-16>"), Charset::named("utf-8"));
        assert_eq!(of_html(b"<meta charset=><p charset=windows-1251>"), None);
    }
}
