//! Content-Transfer-Encoding: RFC 2045 section 6, in pieces as they come.
//!
//! By hand, since what mail needs is what crates do not have: base64 (the crate), data-encoding and base64ct refuse octets
//! outside the alphabet or what follows the padding, and quoted_printable wants all of the text at once.

/// In octets, of a line behind base64's padding that may be base64 again.
const MAX_LINE: usize = 1000;

/// The decoder of one body.
#[derive(Debug)]
pub(super) enum Transfer {
    Identity,
    Base64(Base64),
    QuotedPrintable(QuotedPrintable),
}

/// What a header says of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Encoding {
    Identity,
    Base64,
    QuotedPrintable,
}

impl Encoding {
    /// By the field's value; what is unknown changes nothing.
    pub fn of(value: &[u8]) -> Encoding {
        let is_end = |b: &u8| b.is_ascii_whitespace() || matches!(b, b';' | b'(' | b',');
        let mut words = value.split(is_end).map(|word| word.trim_ascii());
        let word = words.find(|word| !word.is_empty()).unwrap_or_default();
        let word = word.strip_prefix(b"\"").and_then(|word| word.strip_suffix(b"\"")).unwrap_or(word);
        if word.eq_ignore_ascii_case(b"base64") {
            Encoding::Base64
        } else if word.eq_ignore_ascii_case(b"quoted-printable") {
            Encoding::QuotedPrintable
        } else {
            Encoding::Identity
        }
    }

    pub fn decoder(self) -> Transfer {
        match self {
            Encoding::Identity => Transfer::Identity,
            Encoding::Base64 => Transfer::Base64(Base64::default()),
            Encoding::QuotedPrintable => Transfer::QuotedPrintable(QuotedPrintable::default()),
        }
    }

    /// All of it at once.
    pub fn decode(self, octets: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.decoder().decode(octets, true, &mut out);
        out
    }
}

impl Transfer {
    /// Adds what `octets` say to `out`.
    pub fn decode(&mut self, octets: &[u8], last: bool, out: &mut Vec<u8>) {
        match self {
            Transfer::Identity => out.extend_from_slice(octets),
            Transfer::Base64(base64) => base64.decode(octets, last, out),
            Transfer::QuotedPrintable(quoted) => quoted.decode(octets, last, out),
        }
    }
}

/// Octets outside the alphabet are ignored (RFC 2045 section 6.8). Behind the padding, or behind a line that has nothing of
/// the alphabet, comes what a mailing list or a gateway has added: it ends there, unless what follows is base64 once more.
#[derive(Default, Debug)]
pub(super) struct Base64 {
    bits: u32,
    sextets: u8,
    // Of this line.
    known: bool,
    foreign: u8,
    end: End,
    line: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum End {
    #[default]
    NotYet,
    /// Padding has come, and the line that follows decides.
    Padded,
    Ended,
}

const FOREIGN: u8 = 0xff;

const SEXTETS: [u8; 256] = {
    let mut table = [FOREIGN; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut at = 0;
    while at < alphabet.len() {
        table[alphabet[at] as usize] = at as u8;
        at += 1;
    }
    table
};

impl Base64 {
    fn decode(&mut self, octets: &[u8], last: bool, out: &mut Vec<u8>) {
        out.reserve(octets.len() / 4 * 3 + 6);
        let mut rest = octets;
        while let Some((&octet, behind)) = rest.split_first() {
            // Four at a time, as nearly all are.
            if let (End::NotYet, 0, Some((group, behind))) = (self.end, self.sextets, rest.split_first_chunk::<4>()) {
                let [a, b, c, d] = group.map(|octet| SEXTETS[usize::from(octet)]);
                if (a | b | c | d) & 0xc0 == 0 {
                    out.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
                    self.known = true;
                    rest = behind;
                    continue;
                }
            }
            match self.end {
                End::NotYet => self.octet(octet, out),
                End::Padded => self.behind_padding(octet, out),
                End::Ended => return,
            }
            rest = behind;
        }
        if last {
            if self.end == End::Padded {
                self.behind_padding(b'\n', out);
            }
            self.flush(out);
        }
    }

    fn octet(&mut self, octet: u8, out: &mut Vec<u8>) {
        match (SEXTETS[usize::from(octet)], octet) {
            (FOREIGN, b'\n') => {
                if !self.known && self.foreign > 1 {
                    self.end = End::Ended;
                }
                (self.known, self.foreign) = (false, 0);
            }
            (FOREIGN, b'=') if self.sextets > 1 => {
                self.flush(out);
                self.end = End::Padded;
                self.line.clear();
            }
            (FOREIGN, octet) if octet.is_ascii_whitespace() => {}
            (FOREIGN, _) => self.foreign = self.foreign.saturating_add(1),
            (sextet, _) => {
                self.known = true;
                self.bits = self.bits << 6 | u32::from(sextet);
                self.sextets += 1;
                if self.sextets == 4 {
                    out.extend_from_slice(&self.bits.to_be_bytes()[1..]);
                    (self.bits, self.sextets) = (0, 0);
                }
            }
        }
    }

    fn behind_padding(&mut self, octet: u8, out: &mut Vec<u8>) {
        match octet {
            b'\n' => {
                let line = std::mem::take(&mut self.line);
                let code = line.trim_ascii();
                // More padding may follow the first.
                let code = code.iter().position(|b| *b != b'=').map_or(&b""[..], |begin| &code[begin..]);
                if code.is_empty() {
                    return;
                }
                let padding = code.iter().rev().take_while(|b| **b == b'=').count().min(2);
                let is_code = code[..code.len() - padding].iter().all(|b| SEXTETS[usize::from(*b)] != FOREIGN);
                if !is_code || code.len() % 4 != 0 {
                    self.end = End::Ended;
                    return;
                }
                (self.end, self.bits, self.sextets) = (End::NotYet, 0, 0);
                code.iter().for_each(|octet| {
                    if self.end == End::NotYet {
                        self.octet(*octet, out)
                    }
                });
                (self.known, self.foreign) = (false, 0);
            }
            _ if self.line.len() == MAX_LINE => self.end = End::Ended,
            octet => self.line.push(octet),
        }
    }

    /// What is left of a group that does not become full.
    fn flush(&mut self, out: &mut Vec<u8>) {
        let bits = self.bits << (6 * (4 - u32::from(self.sextets)));
        let octets = &bits.to_be_bytes()[1..];
        out.extend_from_slice(&octets[..usize::from(self.sextets.saturating_sub(1))]);
        (self.bits, self.sextets) = (0, 0);
    }
}

/// What is malformed stays as it is (RFC 2045 section 6.7); blanks at a line's end are none of the text.
#[derive(Default, Debug)]
pub(super) struct QuotedPrintable {
    // An equals sign with what has come behind it, or blanks that may be at a line's end.
    held: Vec<u8>,
}

/// In octets, of blanks that are held back.
const MAX_BLANKS: usize = 4096;

impl QuotedPrintable {
    fn decode(&mut self, octets: &[u8], last: bool, out: &mut Vec<u8>) {
        out.reserve(octets.len());
        let mut rest = octets;
        while !rest.is_empty() {
            if !self.held.is_empty() {
                self.octet(rest[0], out);
                rest = &rest[1..];
                continue;
            }
            let (plain, behind) = match memchr::memchr2(b'=', b'\n', rest) {
                Some(at) if rest[at] == b'=' => {
                    self.held.push(b'=');
                    (&rest[..at], &rest[at + 1..])
                }
                Some(at) => {
                    let (line, end) = match &rest[..at] {
                        [line @ .., b'\r'] => (line, &b"\r\n"[..]),
                        line => (line, &b"\n"[..]),
                    };
                    out.extend_from_slice(without_blanks(line));
                    (end, &rest[at + 1..])
                }
                None => {
                    let plain = without_blanks(rest.strip_suffix(b"\r").unwrap_or(rest)).len();
                    out.extend_from_slice(&rest[..plain]);
                    rest[plain..].iter().for_each(|octet| self.octet(*octet, out));
                    break;
                }
            };
            out.extend_from_slice(plain);
            rest = behind;
        }
        if last {
            // A soft line break, whose line end was the delimiter's, or blanks at the end.
            if self.held.first() == Some(&b'=') && self.held[1..].iter().any(|b| !b.is_ascii_whitespace()) {
                out.extend_from_slice(&self.held);
            }
            self.held.clear();
        }
    }

    fn octet(&mut self, octet: u8, out: &mut Vec<u8>) {
        let is_blank = matches!(octet, b' ' | b'\t');
        match (&self.held[..], octet) {
            ([], b'=') => self.held.push(octet),
            ([], _) if is_blank => self.held.push(octet),
            ([], _) => out.push(octet),
            ([b'=', .., b'\r'], b'\n') | ([b'='], b'\n') | ([b'=', b' ' | b'\t', ..], b'\n') => self.held.clear(),
            ([b'='], _) if octet.is_ascii_hexdigit() || octet == b'\r' || is_blank => self.held.push(octet),
            ([b'=', digit], _) if digit.is_ascii_hexdigit() && octet.is_ascii_hexdigit() => {
                out.push(value(*digit) << 4 | value(octet));
                self.held.clear();
            }
            ([b'=', b' ' | b'\t', .., last], _) | ([b'=', last @ (b' ' | b'\t')], _)
                if *last != b'\r' && (is_blank || octet == b'\r') && self.held.len() < MAX_BLANKS =>
            {
                self.held.push(octet);
            }
            // Blanks.
            ([b' ' | b'\t', .., b'\r'] | [b'\r'], b'\n') | ([b' ' | b'\t', ..], b'\n') => {
                out.extend_from_slice(if self.held.ends_with(b"\r") { b"\r\n" } else { b"\n" });
                self.held.clear();
            }
            ([b' ' | b'\t', .., last] | [last @ (b' ' | b'\t')], _)
                if *last != b'\r' && (is_blank || octet == b'\r') && self.held.len() < MAX_BLANKS =>
            {
                self.held.push(octet);
            }
            _ => {
                out.append(&mut self.held);
                self.octet(octet, out);
            }
        }
    }
}

fn without_blanks(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|b| !matches!(b, b' ' | b'\t')).map_or(0, |at| at + 1);
    &line[..end]
}

fn value(digit: u8) -> u8 {
    char::from(digit).to_digit(16).unwrap_or(0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(encoding: Encoding, text: &str) -> String {
        let whole = encoding.decode(text.as_bytes());
        for size in 1..7 {
            let (mut decoder, mut out) = (encoding.decoder(), Vec::new());
            text.as_bytes().chunks(size).for_each(|piece| decoder.decode(piece, false, &mut out));
            decoder.decode(b"", true, &mut out);
            assert!(out == whole, "{text} in pieces of {size}: {}", out.escape_ascii());
        }
        String::from_utf8_lossy(&whole).into_owned()
    }

    #[test]
    fn base64() {
        for (code, expected) in [
            ("SGVsbG8=", "Hello"),
            ("SGVsbG8", "Hello"),
            ("S\r\nG\r\nV\r\ns\r\nb\r\nG\r\n8\r\n=\r\n", "Hello"),
            ("SGVs!bG8\u{1}=", "Hello"),
            ("SGVs bG8 =", "Hello"),
            ("SGVsbG8=\r\nSGVsbG8=\r\n", "HelloHello"),
            ("SGVsbG8=SGVsbG8=", "HelloHello"),
            ("SGVsbA==\r\n__________\r\nants mailing list\r\n", "Hell"),
            ("SGVs\r\n__________\r\nants mailing list\r\n", "Hel"),
            ("SGVs\r\n-- \r\nants\r\n", "Hel"),
            ("SGVsbA==\r\n\r\nants mailing list\r\n", "Hell"),
            ("=SGVs", "Hel"),
            ("S", ""),
            ("SGVsS=", "Hel"),
            ("", ""),
        ] {
            assert_eq!(decode(Encoding::Base64, code), expected, "{code}");
        }
    }

    #[test]
    fn quoted_printable() {
        for (code, expected) in [
            ("Stra=C3=9Fe", "Stra\u{df}e"),
            ("Stra=c3=9fe", "Stra\u{df}e"),
            ("a=\r\nb=\nc= \t\r\nd=\t\ne", "abcde"),
            ("q=Zz =3D=3 =", "q=Zz ==3 "),
            ("a  \r\nb\t\nc  d  ", "a\r\nb\nc  d"),
            ("a=\rb a \rb", "a=\rb a \rb"),
            ("==3D= x", "=== x"),
            ("a=,b", "a=,b"),
            ("a=0", "a=0"),
        ] {
            assert_eq!(decode(Encoding::QuotedPrintable, code), expected, "{code:?}");
        }
    }

    #[test]
    fn what_a_header_says() {
        for (value, expected) in [
            (" Base64 ", Encoding::Base64),
            ("base64;", Encoding::Base64),
            ("base64 some text", Encoding::Base64),
            ("\"quoted-printable\"", Encoding::QuotedPrintable),
            ("QUOTED-PRINTABLE (x)", Encoding::QuotedPrintable),
            ("8bit", Encoding::Identity),
            ("x-uuencode", Encoding::Identity),
            ("", Encoding::Identity),
        ] {
            assert_eq!(Encoding::of(value.as_bytes()), expected, "{value}");
        }
    }
}
