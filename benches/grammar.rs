//! The parsing cores in isolation: command lines, and the content behind DATA.
//!
//! `cargo bench --features internals --bench grammar`

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use pillarbox::LineEnds;
use pillarbox::internals::{parse_command, read_data};

fn main() {
    divan::main();
}

#[divan::bench(args = [
    "NOOP",
    "EHLO client.example",
    "MAIL FROM:<sender@bench.example>",
    "MAIL FROM:<sender@bench.example> SIZE=1024 BODY=8BITMIME",
    "RCPT TO:<rcpt@bench.example>",
    "RCPT TO:<\"quoted local part\"@[IPv6:2001:db8::1]>",
    "NONSENSE",
])]
fn command(line: &str) -> bool {
    parse_command(black_box(line.as_bytes()))
}

/// A megabyte of lines of 76 characters, of which one in 16 begins with a dot.
fn lines(line_end: &str) -> Vec<u8> {
    let mut text = String::new();
    for n in 0.. {
        if text.len() >= 1 << 20 {
            break;
        }
        text += if n % 16 == 0 { ".." } else { "" };
        text += &"x".repeat(76);
        text += line_end;
    }
    text += "\r\n.\r\n";
    text.into_bytes()
}

#[divan::bench(args = [4096, 65536])]
fn data(bencher: Bencher, piece: usize) {
    read(bencher, &lines("\r\n"), piece, LineEnds::Normalize);
}

#[divan::bench(args = [65536])]
fn data_kept(bencher: Bencher, piece: usize) {
    read(bencher, &lines("\r\n"), piece, LineEnds::Keep);
}

#[divan::bench(args = [65536])]
fn data_with_lone_line_feeds(bencher: Bencher, piece: usize) {
    read(bencher, &lines("\n"), piece, LineEnds::Normalize);
}

fn read(bencher: Bencher, text: &[u8], piece: usize, line_ends: LineEnds) {
    let mut content = Vec::with_capacity(text.len() * 2);
    bencher.counter(BytesCount::of_slice(text)).bench_local(|| {
        content.clear();
        assert!(read_data(black_box(text), piece, line_ends, &mut content));
    });
}
