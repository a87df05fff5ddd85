//! Lines of a message that look like the server's: the frame around a message, and the header with the client's address.
//!
//! A line looks the same to somebody at a terminal whatever zero-width characters, kinds of blanks, dashes of Unicode,
//! case, or similar letters of other scripts it has.

/// What the frame lines say between their dashes.
const WORDS: [&[u8]; 2] = [b"messagefollows", b"endmessage"];

/// The dashes before and behind the words: ours are ten or twelve, and nobody counts them.
const DASHES: std::ops::RangeInclusive<usize> = 4..=20;

/// What a line, or as much of it as is there, reads like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reads {
    /// A frame line.
    Frame,
    /// The header `X-Peer:`.
    Peer,
    /// Something that may become one of these if the line goes on.
    Begun,
    Otherwise,
}

/// Reads a line from its beginning on. An octet that is part of no character, and a character of which not all octets are
/// there, are only known at the line's end: `is_whole` says whether this is it.
pub(super) fn read(line: &[u8], is_whole: bool) -> Reads {
    let mut frame = Frame::new();
    let mut header = Header::default();
    let mut chunks = line.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        for c in chunk.valid().chars().filter(|c| !is_unseen(*c)) {
            frame.take(c);
            header.take(c);
            if header.is_complete() {
                return Reads::Peer;
            }
            if frame.is_over && header.is_over {
                return Reads::Otherwise;
            }
        }
        let is_cut_off = !is_whole && chunks.peek().is_none() && is_begun(chunk.invalid());
        if !chunk.invalid().is_empty() && !is_cut_off {
            return Reads::Otherwise;
        }
    }
    match (is_whole, frame.is_complete()) {
        (true, true) => Reads::Frame,
        (true, false) => Reads::Otherwise,
        (false, _) => Reads::Begun,
    }
}

/// The place of the first dash of a line, and which it is.
pub(super) fn first_dash(line: &[u8]) -> Option<(usize, char)> {
    let mut start = 0;
    for chunk in line.utf8_chunks() {
        if let Some((at, dash)) = chunk.valid().char_indices().find(|(_, c)| is_dash(*c)) {
            return Some((start + at, dash));
        }
        start += chunk.valid().len() + chunk.invalid().len();
    }
    None
}

/// Whether octets are the beginning of a character, and more is to come.
fn is_begun(octets: &[u8]) -> bool {
    str::from_utf8(octets).is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
}

/// How far a line has come to be a frame.
struct Frame {
    before: usize,
    letters: usize,
    behind: usize,
    // Which of the words it still may be.
    may_be: [bool; WORDS.len()],
    is_over: bool,
}

impl Frame {
    fn new() -> Frame {
        Frame { before: 0, letters: 0, behind: 0, may_be: [true; WORDS.len()], is_over: false }
    }

    fn take(&mut self, c: char) {
        if self.is_over || c.is_whitespace() || c == '\u{2800}' {
            return;
        }
        let fits = match (is_dash(c), self.letters) {
            (true, 0) => {
                self.before += 1;
                self.before <= *DASHES.end()
            }
            (true, _) => {
                self.behind += 1;
                self.behind <= *DASHES.end() && self.says_a_word()
            }
            (false, at) => {
                for (may_be, word) in self.may_be.iter_mut().zip(WORDS) {
                    *may_be &= word.get(at).is_some_and(|letter| looks_like(c, *letter));
                }
                self.letters += 1;
                self.before >= *DASHES.start() && self.behind == 0 && self.may_be.contains(&true)
            }
        };
        self.is_over = !fits;
    }

    fn says_a_word(&self) -> bool {
        self.may_be.iter().zip(WORDS).any(|(may_be, word)| *may_be && word.len() == self.letters)
    }

    fn is_complete(&self) -> bool {
        !self.is_over && DASHES.contains(&self.behind)
    }
}

/// How far a line has come to be the header; it begins a line.
#[derive(Default)]
struct Header {
    taken: usize,
    is_over: bool,
}

impl Header {
    const NAME: &[u8] = b"x-peer:";

    fn take(&mut self, c: char) {
        let blank_before_colon = self.taken == Header::NAME.len() - 1 && c.is_whitespace();
        if self.is_over || blank_before_colon {
            return;
        }
        let fits = match Header::NAME.get(self.taken) {
            Some(b'-') => is_dash(c),
            Some(b':') => matches!(c, ':' | '\u{ff1a}' | '\u{fe55}' | '\u{a789}' | '\u{2236}'),
            Some(letter) => looks_like(c, *letter),
            None => false,
        };
        self.taken += usize::from(fits);
        self.is_over = !fits;
    }

    fn is_complete(&self) -> bool {
        self.taken == Header::NAME.len()
    }
}

/// Whether a character may be taken for a letter: that in either case, or any letter or digit of another script.
fn looks_like(c: char, letter: u8) -> bool {
    if c.is_ascii() { c.eq_ignore_ascii_case(&char::from(letter)) } else { c.is_alphanumeric() }
}

fn is_dash(c: char) -> bool {
    matches!(
        c,
        '-' | '\u{ad}'
            | '\u{af}'
            | '\u{2c9}'
            | '\u{2cd}'
            | '\u{2d7}'
            | '\u{58a}'
            | '\u{5be}'
            | '\u{6d4}'
            | '\u{1806}'
            | '\u{2010}'
            ..='\u{2015}'
                | '\u{2043}'
                | '\u{2053}'
                | '\u{207b}'
                | '\u{208b}'
                | '\u{2212}'
                | '\u{23af}'
                | '\u{2500}'
                | '\u{2501}'
                | '\u{2504}'
                | '\u{2505}'
                | '\u{2508}'
                | '\u{2509}'
                | '\u{254c}'
                | '\u{254d}'
                | '\u{2574}'
                | '\u{2576}'
                | '\u{2578}'
                | '\u{257a}'
                | '\u{2796}'
                | '\u{2e3a}'
                | '\u{2e3b}'
                | '\u{2e40}'
                | '\u{301c}'
                | '\u{3030}'
                | '\u{30a0}'
                | '\u{30fc}'
                | '\u{fe31}'
                | '\u{fe32}'
                | '\u{fe58}'
                | '\u{fe63}'
                | '\u{ff0d}'
                | '\u{ff70}'
                | '\u{10ead}'
    )
}

/// Whether a character takes no room: those that Unicode calls default ignorable, what else is of the category
/// "format", and marks that stand on the character before.
fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{300}'..='\u{36f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{20d0}'..='\u{20ff}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{13438}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "---------- MESSAGE FOLLOWS ----------";
    const FOOT: &str = "------------ END MESSAGE ------------";

    fn whole(line: &str) -> Reads {
        read(line.as_bytes(), true)
    }

    #[test]
    fn what_reads_like_a_frame() {
        for frame in [HEAD, FOOT] {
            assert_eq!(whole(frame), Reads::Frame);
            for unseen in [
                " ",
                "\t",
                "  \t ",
                "\u{a0}",
                "\u{3000}",
                "\u{2800}",
                "\u{200b}",
                "\u{ad}",
                "\u{2060}",
                "\u{feff}",
                "\u{200d}",
                "\u{34f}",
                "\u{180e}",
                "\u{fe0f}",
                "\u{e0020}",
                "\u{200b}\u{feff} ",
            ] {
                assert_eq!(whole(&format!("{frame}{unseen}")), Reads::Frame, "{unseen:?} behind");
                assert_eq!(whole(&format!("{unseen}{frame}")), Reads::Frame, "{unseen:?} before");
                for at in [3, 14, 18, 30] {
                    let (start, end) = frame.split_at(at);
                    assert_eq!(whole(&format!("{start}{unseen}{end}")), Reads::Frame, "{unseen:?} at {at}");
                }
            }
            assert_eq!(whole(&frame.replace('-', "\u{2010}")), Reads::Frame);
            assert_eq!(whole(&frame.replace('E', "\u{415}")), Reads::Frame);
            assert_eq!(whole(&frame.replacen("--", "-", 1)), Reads::Frame);
            assert_eq!(whole(&frame.to_lowercase()), Reads::Frame);
            // Cut off anywhere, it is none yet.
            let marked = format!("\u{feff}{frame}");
            for end in 0..marked.len() {
                assert_eq!(read(&marked.as_bytes()[..end], false), Reads::Begun, "{end}");
            }
        }
    }

    #[test]
    fn what_does_not() {
        for line in [
            "",
            "-- ",
            "--------------------",
            "---------- Forwarded message ----------",
            "-----BEGIN PGP MESSAGE-----",
            "-----END PGP MESSAGE-----",
            "END MESSAGE",
            "-- END MESSAGE --",
            "------------ END MESSAGES ------------",
            "------------ END MESSAGE ------------x",
            "x------------ END MESSAGE ------------",
            "> ------------ END MESSAGE ------------",
            "X-Peers: a",
            " X-Peer: a",
        ] {
            assert_eq!(whole(line), Reads::Otherwise, "{line}");
        }
        assert_eq!(read(b"------------ \xff END MESSAGE ------------", true), Reads::Otherwise);
        assert_eq!(read("-".repeat(21).as_bytes(), false), Reads::Otherwise);
    }

    #[test]
    fn what_reads_like_the_clients_address() {
        for line in
            ["X-Peer: a", "x-PEER:a", "X-Peer :", "\u{feff}X\u{ad}-Peer\u{200b}:", "X\u{2011}Peer:", "\u{425}-Peer:"]
        {
            assert_eq!(whole(line), Reads::Peer, "{line}");
        }
        assert_eq!(read(b"X-Pe", false), Reads::Begun);
    }

    #[test]
    fn first_dashes() {
        assert_eq!(first_dash("\u{feff} \u{2010}-".as_bytes()), Some((4, '\u{2010}')));
        assert_eq!(first_dash(b"\xff-"), Some((1, '-')));
        assert_eq!(first_dash(b"a"), None);
    }
}
