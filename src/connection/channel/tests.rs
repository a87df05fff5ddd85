//! Whole conversations over memory.

use proptest::prelude::*;

use super::memory::Outcome;
use super::*;
use crate::testing::growth::expect_linear;

fn converse(packets: &[&[u8]]) -> Outcome {
    let config = Config { hostname: "mx.example".into(), smtputf8: true, ..Config::default() };
    memory::converse(config, packets)
}

const CONVERSATION: &[u8] = b"EHLO client.example\r\nMAIL FROM:<a@b.example> SIZE=10\r\nRCPT TO:<c@d.example>\r\n\
    DATA\r\n..one\r\ntwo\r\n.\r\nRSET\r\nMAIL FROM:<>\r\nRCPT TO:<Postmaster>\r\nDATA\r\n.\r\nNONSENSE\r\nQUIT\r\n";

const REPLIES: &str = "220 mx.example ESMTP pillarbox\r\n\
    250-mx.example\r\n250-PIPELINING\r\n250-SIZE 33554432\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n\
    250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250-DSN\r\n250-LIMITS RCPTMAX=1000\r\n250 HELP\r\n\
    250 2.0.0 OK\r\n250 2.0.0 OK\r\n354 End data with <CR><LF>.<CR><LF>\r\n250 2.0.0 OK abc-1-1\r\n\
    250 2.0.0 OK\r\n\
    250 2.0.0 OK\r\n250 2.0.0 OK\r\n354 End data with <CR><LF>.<CR><LF>\r\n250 2.0.0 OK abc-1-2\r\n\
    500 5.5.2 Command not recognized\r\n221 2.0.0 Bye\r\n";

fn messages() -> Vec<memory::Message> {
    let message = |mail_from: &str, to: &str, content: &[u8]| memory::Message {
        mail_from: mail_from.into(),
        recipients: vec![to.into()],
        content: content.to_vec(),
    };
    vec![message("a@b.example", "c@d.example", b".one\r\ntwo\r\n"), message("", "Postmaster", b"")]
}

#[test]
fn a_conversation_in_one_packet_has_few_writes() {
    let outcome = converse(&[CONVERSATION]);
    assert_eq!(outcome.replies, REPLIES);
    assert_eq!(outcome.messages, messages());
    // The banner before the first read, and then everything at once.
    assert_eq!(outcome.writes, 2);
}

#[test]
fn half_a_command_does_not_hold_replies_back() {
    let outcome = converse(&[b"HELO a\r\nNOOP\r\nNO", b"OP\r\n"]);
    assert_eq!(outcome.writes, 3, "{}", outcome.replies);
}

#[test]
fn what_the_end_of_the_stream_cuts_off_has_no_effect() {
    let end = CONVERSATION.windows(5).position(|w| w == b"\r\n.\r\n").unwrap() + 5;
    for cut in 0..end {
        let outcome = converse(&[&CONVERSATION[..cut]]);
        assert_eq!(outcome.messages, [], "cut at {cut}");
        assert!(!outcome.replies.contains("abc-1-1"));
    }
    assert_eq!(converse(&[&CONVERSATION[..end]]).messages.len(), 1);
}

/// What takes a server long that looks at all of what came for each piece that comes: so many small pieces.
fn many_small_pieces(what: &str, n: usize) -> Vec<u8> {
    let begin = b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\n".to_vec();
    match what {
        "commands" => b"NOOP\r\n".repeat(n),
        "recipients" => [begin, b"RCPT TO:<a@b>\r\n".repeat(n), b"DATA\r\n.\r\n".to_vec()].concat(),
        "parameters" => [begin, b"MAIL FROM:<> SIZE=1 BODY=7BIT\r\n".repeat(n)].concat(),
        "chunks" => [begin, b"BDAT 1\r\nx".repeat(n), b"BDAT 0 LAST\r\n".to_vec()].concat(),
        "lines" => [begin, b"DATA\r\n".to_vec(), b"..\r\n\n\r".repeat(n), b"\r\n.\r\n".to_vec()].concat(),
        _ => [b"x".repeat(n), b"\r\n".to_vec()].concat(),
    }
}

#[test]
fn four_times_as_much_takes_no_sixteen_times_as_long() {
    let config = || Config { max_junk: 0, max_errors: 0, max_recipients: usize::MAX, ..Config::default() };
    // In octets: how much each packet brings.
    for (what, n, packet) in [
        ("commands", 5_000, 1460),
        ("recipients", 5_000, 1460),
        ("parameters", 5_000, 1460),
        ("chunks", 5_000, 1460),
        ("lines", 5_000, 1460),
        ("lines", 5_000, 1),
        // Up to where the server has had enough.
        ("one line", 15_000, 1),
    ] {
        expect_linear(what, n, |n| {
            let text = many_small_pieces(what, n);
            let packets: Vec<&[u8]> = text.chunks(packet).collect();
            let outcome = memory::converse(config(), &packets);
            assert!(!outcome.replies.contains("421"), "{what}");
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_into_packets_says_the_same(cuts in prop::collection::vec(0..CONVERSATION.len(), 0..8)) {
        let mut cuts = cuts;
        cuts.extend([0, CONVERSATION.len()]);
        cuts.sort_unstable();
        let packets: Vec<&[u8]> = cuts.windows(2).map(|w| &CONVERSATION[w[0]..w[1]]).collect();
        let outcome = converse(&packets);
        prop_assert_eq!(outcome.replies, REPLIES);
        prop_assert_eq!(outcome.messages, messages());
    }

    #[test]
    fn no_input_panics_or_hangs(lines in prop::collection::vec(
        prop_oneof![
            Just(b"EHLO a".to_vec()),
            Just(b"MAIL FROM:<a@b>".to_vec()),
            Just(b"RCPT TO:<a@b>".to_vec()),
            Just(b"DATA".to_vec()),
            Just(b".".to_vec()),
            Just(b"RSET".to_vec()),
            prop::collection::vec(any::<u8>(), 0..40),
        ], 0..30)) {
        let text: Vec<u8> = lines.iter().flat_map(|line| line.iter().chain(b"\r\n")).copied().collect();
        let outcome = converse(&[&text]);
        prop_assert!(!outcome.replies.contains("Local error"), "{}", outcome.replies);
        for reply in outcome.replies.split_inclusive("\r\n") {
            prop_assert!(reply.len() <= 512 && reply.ends_with("\r\n") && reply.is_ascii());
        }
    }
}
