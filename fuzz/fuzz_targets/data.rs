//! Content, in any pieces, beside a reference that sees it whole.

#![no_main]

use arbitrary::Arbitrary;
use pillarbox::LineEnds;
use pillarbox::internals::{read_chunks, read_pieces, stuff};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    octets: &'a [u8],
    cuts: Vec<u8>,
}

/// What stands before the first CRLF.CRLF, the command's own CRLF counted.
fn reference(octets: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        if octets[at..].starts_with(b".\r\n") {
            return Some(&octets[..at]);
        }
        let end = octets[at..].windows(2).position(|pair| pair == b"\r\n")?;
        at += end + 2;
    }
}

/// Lines without the dot that each begins with which has anything else.
fn undone(mut lines: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while !lines.is_empty() {
        let end = lines.windows(2).position(|pair| pair == b"\r\n").map_or(lines.len(), |end| end + 2);
        let line = &lines[..end];
        content.extend_from_slice(if line == b".\r\n" { line } else { line.strip_prefix(b".").unwrap_or(line) });
        lines = &lines[end..];
    }
    content
}

/// CRLF for each CR and LF that stands alone.
fn normalized(octets: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    for (at, octet) in octets.iter().enumerate() {
        match octet {
            b'\r' if octets.get(at + 1) == Some(&b'\n') => {}
            b'\r' | b'\n' => lines.extend_from_slice(b"\r\n"),
            other => lines.push(*other),
        }
    }
    lines
}

libfuzzer_sys::fuzz_target!(|input: Input| {
    let mut pieces = Vec::new();
    let mut rest = input.octets;
    for cut in &input.cuts {
        let (piece, behind) = rest.split_at(usize::from(*cut).min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);

    for line_ends in [LineEnds::Keep, LineEnds::Normalize, LineEnds::Reject] {
        let mut content = Vec::new();
        let taken = read_pieces(pieces.iter().copied(), line_ends, &mut content);
        match reference(input.octets) {
            Some(expected) => {
                assert_eq!(taken, Some(expected.len() + 3));
                match line_ends {
                    LineEnds::Keep => assert_eq!(content, undone(expected)),
                    LineEnds::Normalize => assert_eq!(content, undone(&normalized(expected))),
                    _ => {}
                }
            }
            None => assert_eq!(taken, None),
        }
    }
    assert_eq!(read_chunks(pieces.iter().copied(), LineEnds::Keep), input.octets);
    assert_eq!(read_chunks(pieces.iter().copied(), LineEnds::Normalize), normalized(input.octets));

    // What a client sends arrives, whole and once.
    let wire = stuff(pieces.iter().copied());
    let mut content = Vec::new();
    assert_eq!(read_pieces([&wire[..]], LineEnds::Keep, &mut content), Some(wire.len()));
    let mut expected = normalized(input.octets);
    if !expected.is_empty() && !expected.ends_with(b"\r\n") {
        expected.extend_from_slice(b"\r\n");
    }
    assert_eq!(content, expected);
});
