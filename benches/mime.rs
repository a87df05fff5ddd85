//! Messages taken apart, in octets a second: what is attached is found and not decoded.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use pillarbox::mime::{Limits, Message};

fn main() {
    divan::main();
}

const LINE: &str = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAx\r\n";

/// A text, and four files of so many lines.
fn with_files(lines: usize) -> Vec<u8> {
    let mut text = "From: Ann <ann@example.org>\r\nTo: bob@example.org\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\
        Content-Type: multipart/mixed; boundary=k\r\n\r\n--k\r\n\r\nhello\r\n"
        .to_owned();
    for n in 0..4 {
        text +=
            &format!("--k\r\nContent-Type: application/pdf; name={n}.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n");
        text += &LINE.repeat(lines);
    }
    (text + "--k--\r\n").into_bytes()
}

fn text(encoding: &str) -> Vec<u8> {
    let head = format!("Subject: x\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n");
    (head + &"The quick brown fox jumps over the lazy dog, and again it does.\r\n".repeat(16_000)).into_bytes()
}

fn parse(bencher: Bencher<'_, '_>, message: &[u8]) {
    let limits = Limits::default();
    bencher.counter(BytesCount::of_slice(message)).bench(|| Message::from_octets(black_box(message), &limits));
}

#[divan::bench]
fn small(bencher: Bencher<'_, '_>) {
    parse(bencher, b"From: Ann <a@example.org>\r\nSubject: hello\r\n\r\nHello Bob\r\n");
}

#[divan::bench]
fn a_mebibyte_of_files(bencher: Bencher<'_, '_>) {
    parse(bencher, &with_files(3500));
}

#[divan::bench]
fn a_mebibyte_of_text(bencher: Bencher<'_, '_>) {
    parse(bencher, &text("8bit"));
}

#[divan::bench]
fn a_mebibyte_of_quoted_text(bencher: Bencher<'_, '_>) {
    parse(bencher, &text("quoted-printable"));
}

#[divan::bench]
fn files_decoded(bencher: Bencher<'_, '_>) {
    let message = with_files(3500);
    let mail = Message::from_octets(&message[..], &Limits::default());
    bencher
        .counter(BytesCount::of_slice(&message))
        .bench(|| mail.attachments().iter().map(|file| file.write_to(&mut std::io::sink()).unwrap_or(0)).sum::<u64>());
}
