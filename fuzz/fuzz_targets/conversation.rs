//! Whole conversations, beside a reference that knows what has to be delivered and how many replies there are.

#![no_main]

use arbitrary::Arbitrary;
use pillarbox::LineEnds;
use pillarbox::internals::{Message, converse};

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Ehlo,
    Helo,
    Mail(u8),
    Rcpt(u8),
    Data(&'a [u8]),
    Bdat(&'a [u8], bool),
    Rset,
    /// With whatever behind it.
    Noop(&'a [u8]),
    /// A verb that is none, with whatever behind it.
    Junk(&'a [u8]),
}

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    keep: bool,
    steps: Vec<Step<'a>>,
    /// Where packets end, beside those places where the client has to wait.
    cuts: Vec<u8>,
}

const SENDERS: [(&str, Option<&str>); 6] = [
    ("<>", Some("")),
    ("<a@b.example>", Some("a@b.example")),
    ("<\"x y\"@b.example> BODY=8BITMIME", Some("\"x y\"@b.example")),
    ("<@r.example:a@b.example> SIZE=10", Some("a@b.example")),
    ("<a@b.example", None),
    ("<a@b.example> NONSENSE=1", None),
];
const RECIPIENTS: [(&str, Option<&str>); 5] = [
    ("<c@d.example>", Some("c@d.example")),
    ("<Postmaster>", Some("Postmaster")),
    ("<e@[127.0.0.1]> NOTIFY=NEVER", Some("e@[127.0.0.1]")),
    ("<>", None),
    ("<c@d.example> NOTIFY=SOMETIMES", None),
];

/// What a server has to know, in the least number of words.
#[derive(Default)]
struct Reference {
    is_extended: bool,
    has_greeted: bool,
    mail: Option<(String, Vec<String>)>,
    chunks: Option<Vec<u8>>,
    messages: Vec<Message>,
    /// The first digit of each reply; `?` where any will do.
    replies: String,
}

impl Reference {
    fn deliver(&mut self, content: Vec<u8>) {
        if let Some((mail_from, recipients)) = self.mail.take() {
            self.messages.push(Message { mail_from, recipients, content });
        }
    }

    fn has_recipients(&self) -> bool {
        self.mail.as_ref().is_some_and(|(_, recipients)| !recipients.is_empty())
    }

    fn forget(&mut self) {
        self.mail = None;
        self.chunks = None;
    }
}

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

/// A dot before each that begins a line.
fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    for (at, octet) in content.iter().enumerate() {
        if *octet == b'.' && (at == 0 || content[..at].ends_with(b"\r\n")) {
            wire.push(b'.');
        }
        wire.push(*octet);
    }
    wire
}

/// What stays within its line, and does not make it HTTP's.
fn argument(octets: &[u8]) -> Vec<u8> {
    let mut text = octets[..octets.len().min(500)].to_vec();
    while let Some(at) = text.windows(2).position(|pair| pair == b"\r\n") {
        text.remove(at);
    }
    text.iter_mut().filter(|octet| **octet == b'/').for_each(|slash| *slash = b'|');
    // It would make a line end together with ours.
    while text.last() == Some(&b'\r') {
        text.pop();
    }
    text
}

libfuzzer_sys::fuzz_target!(|input: Input| {
    let line_ends = if input.keep { LineEnds::Keep } else { LineEnds::Normalize };
    let read = |octets: Vec<u8>| if input.keep { octets } else { normalized(&octets) };
    let mut reference = Reference { replies: "2".to_owned(), ..Reference::default() };
    // What the client sends in one go, up to where it has to wait for a reply.
    let mut turns: Vec<Vec<u8>> = vec![Vec::new()];
    let line = |turns: &mut Vec<Vec<u8>>, text: &[u8]| {
        let turn = turns.last_mut().expect("never empty");
        turn.extend_from_slice(text);
        turn.extend_from_slice(b"\r\n");
    };
    for step in &input.steps {
        match step {
            Step::Ehlo | Step::Helo => {
                reference.is_extended = matches!(step, Step::Ehlo);
                reference.has_greeted = true;
                reference.forget();
                line(&mut turns, if reference.is_extended { b"EHLO c.example" } else { b"HELO c.example" });
                reference.replies += "2";
            }
            Step::Mail(which) => {
                let (text, path) = SENDERS[usize::from(*which) % SENDERS.len()];
                line(&mut turns, format!("MAIL FROM:{text}").as_bytes());
                let has_parameters = text.contains("> ");
                let path = path.filter(|_| reference.has_greeted && reference.mail.is_none());
                let path = path.filter(|_| reference.is_extended || !has_parameters);
                if let Some(path) = path {
                    reference.mail = Some((path.to_owned(), Vec::new()));
                }
                reference.replies += if path.is_some() { "2" } else { "5" };
            }
            Step::Rcpt(which) => {
                let (text, path) = RECIPIENTS[usize::from(*which) % RECIPIENTS.len()];
                line(&mut turns, format!("RCPT TO:{text}").as_bytes());
                let path = path.filter(|_| reference.is_extended || !text.contains("> "));
                match (&mut reference.mail, path) {
                    (Some((_, recipients)), Some(path)) if reference.chunks.is_none() && recipients.len() < 1000 => {
                        recipients.push(path.to_owned());
                        reference.replies += "2";
                    }
                    (Some((_, recipients)), Some(_)) if recipients.len() >= 1000 => reference.replies += "?",
                    _ => reference.replies += "5",
                }
            }
            Step::Data(content) => {
                line(&mut turns, b"DATA");
                turns.push(Vec::new());
                if reference.has_recipients() && reference.chunks.is_none() {
                    reference.replies += "32";
                    let mut content = content.to_vec();
                    if !content.is_empty() && !content.ends_with(b"\r\n") {
                        content.extend_from_slice(b"\r\n");
                    }
                    let turn = turns.last_mut().expect("never empty");
                    let wire = stuffed(&content);
                    turn.extend_from_slice(&wire);
                    turn.extend_from_slice(b".\r\n");
                    reference.deliver(undone(&read(wire)));
                } else {
                    reference.replies += "5";
                }
            }
            Step::Bdat(chunk, is_last) => {
                let last = if *is_last { " LAST" } else { "" };
                line(&mut turns, format!("BDAT {}{last}", chunk.len()).as_bytes());
                turns.last_mut().expect("never empty").extend_from_slice(chunk);
                if reference.has_recipients() {
                    reference.replies += "2";
                    reference.chunks.get_or_insert_default().extend_from_slice(chunk);
                    if *is_last {
                        let content = reference.chunks.take().unwrap_or_default();
                        reference.deliver(read(content));
                    }
                } else {
                    reference.replies += "5";
                }
            }
            Step::Rset => {
                line(&mut turns, b"RSET");
                reference.forget();
                reference.replies += "2";
            }
            Step::Noop(octets) => {
                line(&mut turns, &[b"NOOP ", &argument(octets)[..]].concat());
                reference.replies += "?";
            }
            Step::Junk(octets) => {
                line(&mut turns, &[b"XJ", &argument(octets)[..]].concat());
                reference.replies += "5";
            }
        }
    }
    line(&mut turns, b"QUIT");
    reference.replies += "2";

    let mut packets: Vec<&[u8]> = Vec::new();
    let mut cuts = input.cuts.iter();
    for turn in &turns {
        let mut rest = &turn[..];
        while let Some(cut) = cuts.next().filter(|_| !rest.is_empty()) {
            let (packet, behind) = rest.split_at(usize::from(*cut).min(rest.len()));
            packets.push(packet);
            rest = behind;
        }
        packets.push(rest);
    }
    let outcome = converse(&packets, line_ends);
    assert_eq!(outcome.messages, reference.messages);

    let lines: Vec<&str> = outcome.replies.split_inclusive("\r\n").collect();
    assert!(lines.iter().all(|line| line.len() <= 512 && line.ends_with("\r\n") && line.is_ascii()));
    let replies: Vec<&str> = lines.into_iter().filter(|line| line.as_bytes()[3] == b' ').collect();
    assert_eq!(replies.len(), reference.replies.len(), "{replies:?} for {}", reference.replies);
    for (reply, expected) in replies.iter().zip(reference.replies.chars()) {
        assert!(expected == '?' || reply.starts_with(expected), "{replies:?} for {}", reference.replies);
    }
});
