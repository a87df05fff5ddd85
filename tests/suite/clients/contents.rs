//! What is sent: messages with CRLF line ends, and how clients change them on the way.

/// Headers and two paragraphs.
pub const PLAIN: &[u8] = b"From: sender@example.org\r\nTo: recipient@example.org\r\nSubject: plain\r\n\r\n\
    One line.\r\n\r\nAnother one after an empty line.\r\n";

/// Lines that look like the end of the message, and lines that a dot too few or too many would change.
pub const DOTS: &[u8] =
    b"Subject: dots\r\n\r\n.\r\n..\r\n...\r\n.one\r\n..two\r\nin the mid.dle\r\nat the end.\r\n.\r\n\r\nend\r\n";

/// UTF-8 in the body: two, three and four octets a character.
pub const UTF8: &[u8] =
    "Subject: 8bit\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
    Gr\u{fc}\u{df}e, \u{20ac} 5, \u{1f4ee}\r\n"
        .as_bytes();

/// Nothing but dots, from the first octet on, where no line end tells a client to look for one.
pub const ONLY_DOTS: &[u8] = b".\r\n.\r\n..\r\n";

/// The last line has no line end.
pub const UNTERMINATED: &[u8] = b"Subject: unterminated\r\n\r\nThe last line ends here";

/// No header and no body.
pub const EMPTY: &[u8] = b"";

/// Every octet but CR and LF: NUL, controls, and what is not UTF-8.
pub fn octets() -> Vec<u8> {
    let all: Vec<u8> = (0..=255).filter(|octet| !b"\r\n".contains(octet)).collect();
    [b"Subject: octets\r\n\r\n", &all[..], b"\r\n"].concat()
}

/// One line, far longer than RFC 5322 allows.
pub fn long_line() -> Vec<u8> {
    [b"Subject: long\r\n\r\n", &b"0123456789"[..].repeat(10_000)[..], b"\r\n"].concat()
}

/// 30 MiB, just under the server's limit by default, dots at line ends and starts all through it.
pub fn large() -> Vec<u8> {
    const SIZE: usize = 30 * 1024 * 1024;
    let mut content = Vec::with_capacity(SIZE + 100);
    content.extend_from_slice(b"Subject: large\r\n\r\n");
    for n in 0_u64.. {
        if content.len() > SIZE - 100 {
            break;
        }
        // Of varying length, so that line ends and dots fall on every place of whatever buffer they go through.
        let dots = &"....."[..(n % 4) as usize];
        let filling = &"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"[..(n % 53) as usize];
        content.extend_from_slice(format!("{dots}{n} {filling}{dots}\r\n").as_bytes());
    }
    content.resize(SIZE - 2, b'.');
    content.extend_from_slice(b"\r\n");
    content
}

/// An attachment: every octet there is, several times over.
pub fn attachment() -> Vec<u8> {
    (0..=255).cycle().take(1000).collect()
}

/// As most clients send it: a line end is added to a last line without one.
pub fn terminated(content: &[u8]) -> Vec<u8> {
    if content.ends_with(b"\r\n") { content.to_vec() } else { with_crlf(content) }
}

/// As some clients send it: a line end is added whatever the content ends with.
pub fn with_crlf(content: &[u8]) -> Vec<u8> {
    [content, b"\r\n"].concat()
}

/// As a text file of Unix has it.
pub fn with_unix_line_ends(content: &[u8]) -> Vec<u8> {
    content.iter().copied().filter(|&octet| octet != b'\r').collect()
}

/// Base64 in lines of 76 characters, as MIME has it (RFC 2045 section 6.8).
pub fn base64(octets: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for (n, chunk) in octets.chunks(3).enumerate() {
        if n > 0 && n % 19 == 0 {
            text += "\r\n";
        }
        let bits = chunk.iter().fold(0_u32, |bits, &octet| bits << 8 | u32::from(octet)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let sextet = (bits >> (18 - 6 * place)) & 63;
            text.push(if place > chunk.len() { '=' } else { char::from(ALPHABET[sextet as usize]) });
        }
    }
    text
}

#[test]
fn base64_is_base64() {
    assert_eq!(base64(b""), "");
    assert_eq!(base64(b"f"), "Zg==");
    assert_eq!(base64(b"fo"), "Zm8=");
    assert_eq!(base64(b"foo"), "Zm9v");
    assert_eq!(base64(&[0xFF; 58]), format!("{}\r\n/w==", "/".repeat(76)));
}
