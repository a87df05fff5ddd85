//! Whole conversations over memory.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::thread;

use crossbeam_channel::{Receiver, bounded};
use proptest::prelude::*;

use super::*;
use crate::delivery::Delivery;
use crate::shutdown::Shutdown;
use crate::tls::TlsAcceptor;
use crate::tls_info::TlsInfo;

/// A client that has sent what it will ever send, in packets, and closes behind it.
struct Memory {
    packets: VecDeque<Vec<u8>>,
    written: Vec<Vec<u8>>,
}

impl Read for Memory {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(packet) = self.packets.front_mut() else {
            return Ok(0);
        };
        let n = packet.len().min(buf.len());
        buf[..n].copy_from_slice(&packet[..n]);
        packet.drain(..n);
        if packet.is_empty() {
            self.packets.pop_front();
        }
        Ok(n)
    }
}

impl Write for Memory {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.written.push(buf.to_vec());
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for &mut Memory {
    fn set_read_deadline(&mut self, _: Instant) {}

    fn set_write_deadline(&mut self, _: Instant) {}

    fn close_writing(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn close_reading(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn start_tls(&mut self, _: &dyn TlsAcceptor) -> io::Result<TlsInfo> {
        Err(ErrorKind::Unsupported.into())
    }
}

/// What came of a conversation.
#[derive(PartialEq, Eq, Debug)]
struct Outcome {
    replies: String,
    writes: usize,
    messages: Vec<(String, Vec<u8>)>,
}

fn converse(packets: &[&[u8]]) -> Outcome {
    let config = Config { hostname: "mx.example".into(), smtputf8: true, ..Config::default() };
    let shared = Arc::new(Shared {
        budget: Budget::new(config.buffer_budget),
        config: Arc::new(config),
        counters: Counters::default(),
        server: 0xabc,
        tls: None,
        #[cfg(feature = "auth")]
        authenticator: None,
    });
    let (deliveries, receiver): (_, Receiver<Delivery>) = bounded(0);
    let consumer = thread::spawn(move || {
        let mut messages = Vec::new();
        for delivery in receiver {
            let mail = delivery.envelope();
            messages.push((mail.mail_from().to_string(), mail.bytes().unwrap().into_owned()));
            delivery.accept();
        }
        messages
    });
    let dispatch = Dispatch::new(deliveries);
    let activity = Arc::new(Activity::new(Arc::<Shutdown>::default(), dispatch.canceller()));
    let ends = (Endpoint::Unix(None), Endpoint::Unix(None));
    let packets = packets.iter().filter(|p| !p.is_empty()).map(|p| p.to_vec()).collect();
    let mut memory = Memory { packets, written: Vec::new() };
    let mut channel = Channel::new(shared, &mut memory, Box::new(()), ends, 1, dispatch, activity);
    channel.run(false);
    drop(channel);
    Outcome {
        replies: String::from_utf8(memory.written.concat()).unwrap(),
        writes: memory.written.len(),
        messages: consumer.join().unwrap(),
    }
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

fn messages() -> Vec<(String, Vec<u8>)> {
    vec![("a@b.example".into(), b".one\r\ntwo\r\n".to_vec()), (String::new(), Vec::new())]
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
