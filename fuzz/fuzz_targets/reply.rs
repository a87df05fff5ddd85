//! Replies of an upstream: what is taken is bounded, and can be said to a client.

#![no_main]

use arbitrary::Arbitrary;
use pillarbox::internals::parse_replies;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    lines: Vec<&'a [u8]>,
    repeated: u16,
}

libfuzzer_sys::fuzz_target!(|input: Input| {
    let repeated = input.lines.iter().cycle().take(input.lines.len() * usize::from(input.repeated % 600 + 1));
    for (reply, said) in parse_replies(repeated.copied()) {
        assert!((200..=599).contains(&reply.code()));
        assert!(reply.text().len() <= 64 * 1024 * 3);
        let text = String::from_utf8(said).expect("replies are ASCII");
        assert!(text.ends_with("\r\n"));
        for line in text.split_inclusive("\r\n") {
            assert!(line.len() <= 512 && line.trim_end_matches("\r\n").bytes().all(|b| (b' '..=b'~').contains(&b)));
        }
    }
});
