//! The content behind DATA: RFC 5321 sections 4.1.1.4 and 4.5.2.

use std::sync::LazyLock;

use memchr::memchr2;
use memchr::memmem::Finder;

use crate::config::LineEnds;
use crate::content::writer::ContentWriter;

/// Where in the grammar of content the last octet fed has left us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ContentState {
    /// Behind a CRLF. The one of the DATA command counts.
    LineStart,
    /// Behind CRLF and a dot, which is content no more.
    Dot,
    /// Behind CRLF, a dot and a CR.
    DotCr,
    /// Behind a lone CR or LF of which a line end was made.
    MadeLineStart,
    /// The same and a dot, which is content if the line has nothing else.
    MadeDot,
    /// Within a line.
    Text,
    /// Within a line, behind a CR that has not been passed on: what it is, the next octet says.
    Cr,
}

/// Finds the end of content, undoes the dots and sees to lone CRs and LFs, in one pass over what each read brings.
///
/// Nothing but CRLF.CRLF is the end, whatever becomes of lone CRs and LFs. Where line ends are made of them, the lines that
/// these divide have their dots undone like all others, since clients that leave a lone LF in the content double the dot
/// behind it; a line of nothing but a dot, which then is not the end, stays as it is.
#[derive(Debug)]
pub(crate) struct DataReader {
    state: ContentState,
    line_ends: LineEnds,
    // Whether a dot at the start of a line means anything.
    has_dots: bool,
    found_lone: bool,
}

impl DataReader {
    /// For content behind DATA.
    pub fn new(line_ends: LineEnds) -> DataReader {
        DataReader { state: ContentState::LineStart, line_ends, has_dots: true, found_lone: false }
    }

    /// For content whose end is known otherwise, in chunks: RFC 3030. Every octet is content.
    pub fn for_chunks(line_ends: LineEnds) -> DataReader {
        DataReader { has_dots: false, ..DataReader::new(line_ends) }
    }

    /// The content has ended: passes on what the next octet would have decided.
    pub fn finish(&mut self, to: &mut impl ContentWriter) {
        if self.state == ContentState::Cr {
            self.put_lone(b'\r', to);
            self.state = ContentState::Text;
        }
    }

    /// Whether a CR or LF stood alone in content that shall be refused for it.
    pub fn is_rejected(&self) -> bool {
        self.line_ends == LineEnds::Reject && self.found_lone
    }

    /// Takes octets up to the end of the content; says how many, and whether that end was there.
    pub fn feed(&mut self, octets: &[u8], to: &mut impl ContentWriter) -> (usize, bool) {
        let mut at = 0;
        while at < octets.len() {
            match (self.state, octets[at]) {
                (ContentState::LineStart, b'.') if self.has_dots => {
                    self.state = ContentState::Dot;
                    at += 1;
                }
                (ContentState::MadeLineStart, b'.') => {
                    self.state = ContentState::MadeDot;
                    at += 1;
                }
                (ContentState::Dot | ContentState::MadeDot, b'\n') if self.makes_lines() => {
                    to.put(b".");
                    self.state = ContentState::Text;
                }
                (ContentState::MadeDot, b'\r') => {
                    to.put(b".");
                    self.state = ContentState::Cr;
                    at += 1;
                }
                (ContentState::Dot, b'\r') => {
                    self.state = ContentState::DotCr;
                    at += 1;
                }
                (ContentState::DotCr, b'\n') => return (at + 1, true),
                (ContentState::Cr, b'\n') => {
                    to.put(b"\r\n");
                    self.state = ContentState::LineStart;
                    at += 1;
                }
                (ContentState::DotCr | ContentState::Cr, _) => {
                    if self.state == ContentState::DotCr && self.makes_lines() {
                        to.put(b".");
                    }
                    self.put_lone(b'\r', to);
                    self.state = if self.makes_lines() { ContentState::MadeLineStart } else { ContentState::Text };
                }
                (
                    ContentState::LineStart
                    | ContentState::Dot
                    | ContentState::MadeLineStart
                    | ContentState::MadeDot
                    | ContentState::Text,
                    _,
                ) => {
                    at = self.feed_text(octets, at, to);
                }
            }
        }
        (at, false)
    }

    /// Whether a lone CR or LF begins a line in which a dot means something.
    fn makes_lines(&self) -> bool {
        self.has_dots && self.line_ends == LineEnds::Normalize
    }

    /// Passes on lines from `start` up to one that begins with a dot, or to the end. Looking at each octet happens in
    /// vectorised passes only, and lines go to the to in blocks.
    fn feed_text(&mut self, octets: &[u8], start: usize, to: &mut impl ContentWriter) -> usize {
        let end = if self.has_dots { find_dot_line(octets, start) } else { None };
        let mut block = &octets[start..end.unwrap_or(octets.len())];
        let is_clean = self.line_ends == LineEnds::Keep || !has_lone(block);
        self.state = match block {
            [.., b'\r', b'\n'] => ContentState::LineStart,
            [before @ .., b'\r'] => {
                block = before;
                ContentState::Cr
            }
            _ => ContentState::Text,
        };
        match block {
            [] => {}
            _ if is_clean => to.put(block),
            _ => self.put_unclean(block, to),
        }
        end.unwrap_or(octets.len())
    }

    /// Passes on a block in which some CR or LF stands alone, up to where `state` is.
    fn put_unclean(&mut self, block: &[u8], to: &mut impl ContentWriter) {
        let mut rest = block;
        while let Some(at) = memchr2(b'\r', b'\n', rest) {
            if rest[at..].starts_with(b"\r\n") {
                to.put(&rest[..at + 2]);
                rest = &rest[at + 2..];
                continue;
            }
            to.put(&rest[..at]);
            self.put_lone(rest[at], to);
            rest = &rest[at + 1..];
            if !self.makes_lines() {
                continue;
            }
            match (rest, self.state) {
                ([], ContentState::Text) => self.state = ContentState::MadeLineStart,
                ([b'.'], ContentState::Text) => {
                    self.state = ContentState::MadeDot;
                    return;
                }
                // A CR follows that is held back, or a line end: there is nothing else in the line.
                ([b'.'] | [b'.', b'\r' | b'\n', ..], _) => {}
                ([b'.', text @ ..], _) => rest = text,
                _ => {}
            }
        }
        to.put(rest);
    }

    fn put_lone(&mut self, octet: u8, to: &mut impl ContentWriter) {
        self.found_lone = true;
        match self.line_ends {
            LineEnds::Normalize => to.put(b"\r\n"),
            LineEnds::Reject | LineEnds::Keep => to.put(&[octet]),
        }
    }
}

/// Where the next line begins that begins with a dot: behind a CRLF that is not before `start`.
fn find_dot_line(octets: &[u8], start: usize) -> Option<usize> {
    static LF_DOT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\n."));
    let mut from = start;
    loop {
        let lf = from + LF_DOT.find(&octets[from..])?;
        if lf > start && octets[lf - 1] == b'\r' {
            return Some(lf + 1);
        }
        from = lf + 1;
    }
}

/// Whether any LF has no CR before it, or any CR but the very last octet no LF behind it. Written without a branch, so
/// that the compiler makes it look at many octets at once.
fn has_lone(block: &[u8]) -> bool {
    let pairs = block.iter().zip(block.get(1..).unwrap_or_default());
    let lone = pairs.fold(0, |lone, (a, b)| lone | (u8::from(*a == b'\r') ^ u8::from(*b == b'\n')));
    lone != 0 || block.first() == Some(&b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The content found in `pieces`, how many octets were taken, and whether the end was there.
    fn read(pieces: &[&[u8]], line_ends: LineEnds) -> (Vec<u8>, usize, bool) {
        let mut reader = DataReader::new(line_ends);
        let mut content = Vec::new();
        let mut total = 0;
        for piece in pieces {
            let (taken, end) = reader.feed(piece, &mut content);
            total += taken;
            if end {
                return (content, total, true);
            }
            assert_eq!(taken, piece.len());
        }
        (content, total, false)
    }

    fn whole(text: &[u8]) -> Vec<u8> {
        let (content, taken, end) = read(&[text], LineEnds::Normalize);
        assert!(end && taken == text.len(), "{:?}", text.escape_ascii().to_string());
        content
    }

    #[test]
    fn ends_and_dots() {
        assert_eq!(whole(b".\r\n"), b"");
        assert_eq!(whole(b"\r\n.\r\n"), b"\r\n");
        assert_eq!(whole(b"a\r\n.\r\n"), b"a\r\n");
        assert_eq!(whole(b"..\r\n.\r\n"), b".\r\n");
        assert_eq!(whole(b"...\r\n.a\r\n..b\r\n.\r\n"), b"..\r\na\r\n.b\r\n");
        assert_eq!(whole(b"a.\r\n.\r\n"), b"a.\r\n");
        // What follows the end is not taken.
        assert_eq!(read(&[b"a\r\n.\r\nQUIT\r\n"], LineEnds::Normalize), (b"a\r\n".to_vec(), 6, true));
    }

    #[test]
    fn nothing_else_ends_content() {
        for text in [
            &b"a\n.\n"[..],
            b"a\n.\r\n",
            b"a\r\n.\n",
            b"a\r.\r",
            b"a\r\n.\r",
            b"a\r\r.\r\r",
            b"a\r\n.\r\r\n",
            b"a\r\n.\0\r\n",
            b"a\r\n. \r\n",
            b"a\r\n..\r\n",
            b"a\r.\r\n",
            b"a\r\n\n.\r\n",
            b"\n.\r\n",
            b"\r.\r\n",
            b".\n",
            b".\r.\r\n",
        ] {
            for line_ends in [LineEnds::Normalize, LineEnds::Reject, LineEnds::Keep] {
                let (_, _, end) = read(&[text], line_ends);
                assert!(!end, "{}", text.escape_ascii());
            }
        }
    }

    #[test]
    fn policies_for_lone_crs_and_lfs() {
        let text = b"a\nb\rc\r\r\nd\n\r\n.e\r.\r\n.\r\n";
        let (normal, _, end) = read(&[text], LineEnds::Normalize);
        assert!(end);
        assert_eq!(normal, b"a\r\nb\r\nc\r\n\r\nd\r\n\r\ne\r\n.\r\n");
        assert_eq!(read(&[text], LineEnds::Keep).0, b"a\nb\rc\r\r\nd\n\r\ne\r.\r\n");
        // Dots behind lone line ends are undone with the line ends that are made of these, and only with them.
        let text = b"a\n..b\n.c\r..d\r.e\n...\n.\nf\n.\r.\r\n..g\r\n.\n.\rh\r\n.\r\r\n..\n..\r\n.\r\n";
        let undone = "a .b c .d e .. . f . . .g . . h .  . .".replace(' ', "\r\n") + "\r\n";
        assert_eq!(
            read(&[text], LineEnds::Normalize).0.escape_ascii().to_string(),
            undone.escape_default().to_string()
        );
        assert_eq!(
            read(&[text], LineEnds::Keep).0,
            b"a\n..b\n.c\r..d\r.e\n...\n.\nf\n.\r.\r\n.g\r\n\n.\rh\r\n\r\r\n.\n..\r\n"
        );
        for (text, rejected) in [(&b"a\r\n.\r\n"[..], false), (b"a\n\r\n.\r\n", true), (b"a\rb\r\n.\r\n", true)] {
            let mut reader = DataReader::new(LineEnds::Reject);
            assert!(reader.feed(text, &mut Vec::new()).1);
            assert_eq!(reader.is_rejected(), rejected);
        }
    }

    #[test]
    fn chunks_have_no_dots_and_no_end() {
        let text = b".\r\n..a\r\n.\r\nb\nc\r";
        for cut in 0..=text.len() {
            let mut reader = DataReader::for_chunks(LineEnds::Normalize);
            let mut content = Vec::new();
            for piece in [&text[..cut], &text[cut..]] {
                assert_eq!(reader.feed(piece, &mut content), (piece.len(), false));
            }
            reader.finish(&mut content);
            assert_eq!(content, b".\r\n..a\r\n.\r\nb\r\nc\r\n", "cut at {cut}");
        }
    }

    /// Says the same as the reader, straight from the RFC's words: first the end, then the lines, then their dots.
    fn reference(text: &[u8], line_ends: LineEnds) -> (Vec<u8>, usize, bool) {
        let behind_data = [b"\r\n", text].concat();
        let Some(end) = behind_data.windows(5).position(|octets| octets == b"\r\n.\r\n") else {
            panic!("it is ended for certain");
        };
        let text = String::from_utf8(text[..end].to_vec()).unwrap();
        let text = match line_ends {
            LineEnds::Normalize => text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n"),
            _ => text,
        };
        let undone = text.split_inclusive("\r\n").map(|line| match line.strip_prefix('.') {
            Some("\r\n") => line,
            undone => undone.unwrap_or(line),
        });
        (undone.collect::<String>().into_bytes(), end + 3, true)
    }

    proptest! {
        #[test]
        fn any_split_says_what_the_reference_says(
            text in "[a.\r\n\0]{0,40}|([a-z.]{0,5}(\r\n|\n|\r|\r\n\\.|\n\\.\\.|\r\\.|)){0,30}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
            keep in any::<bool>(),
        ) {
            let line_ends = if keep { LineEnds::Keep } else { LineEnds::Normalize };
            // Ended for certain, so that the octet held back at the end of a piece has come out.
            let text = [text.as_bytes(), b"x\r\n.\r\n"].concat();
            let mut at: Vec<usize> = cuts.iter().map(|c| c.index(text.len() + 1)).collect();
            at.extend([0, text.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|w| &text[w[0]..w[1]]).collect();
            prop_assert_eq!(read(&pieces, line_ends), reference(&text, line_ends));
        }

        #[test]
        fn stuffed_content_comes_out_as_it_was(lines in prop::collection::vec("[ -~]{0,20}|\\.{1,3}[a-z]{0,2}", 0..20)) {
            let content: String = lines.iter().map(|l| format!("{l}\r\n")).collect();
            let stuffed: String = lines.iter().map(|l| if l.starts_with('.') { format!(".{l}\r\n") } else { format!("{l}\r\n") }).collect();
            let sent = stuffed + ".\r\n";
            prop_assert_eq!(read(&[sent.as_bytes()], LineEnds::Reject), (content.into_bytes(), sent.len(), true));
        }
    }
}
