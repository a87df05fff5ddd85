//! Whatever octets a client or an upstream sends: what the command prints, logs and stores is text of its own making, in
//! which theirs stand out as theirs.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

use crate::support::client::{Client, PATIENCE};
use crate::support::command::{Process, Running};
use crate::support::scripted::{Act, Scripted};
use base64ct::{Base64, Encoding};
use socket2::{Domain, SockAddr, Socket, Type};

/// What drives a terminal, ends a line where none ends, or turns text around; each as it is sent and as it may be shown.
const EVIL: [(&[u8], &str); 16] = [
    (b"\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
    (b"\0", "\\x00"),
    (b"\x08", "\\x08"),
    (b"\r", "\\r"),
    (b"\n", "\\n"),
    (b"\x0b\x0c", "\\x0b\\x0c"),
    (b"\x7f", "\\x7f"),
    (b"\x9b31m", "\\x9b31m"),
    (b"\xc2\x9b31m", "\\u{9b}31m"),
    (b"\xc2\x85", "\\u{85}"),
    (b"\xe2\x80\xa8", "\\u{2028}"),
    (b"\xe2\x80\xae", "\\u{202e}"),
    (b"\xe2\x81\xa6", "\\u{2066}"),
    (b"\xd8\x9c", "\\u{61c}"),
    (b"\xff\xfe", "\\xff\\xfe"),
    // Overlong: an escape and a line end, for a decoder that is not strict.
    (b"\xc0\x9b\xc0\x8a", "\\xc0\\x9b\\xc0\\x8a"),
];

const HEAD: &str = "---------- MESSAGE FOLLOWS ----------";
const FOOT: &str = "------------ END MESSAGE ------------";

/// The command with `--debug`, whose outputs are read while it runs.
struct Loud {
    process: Process,
    endpoint: String,
    outputs: [JoinHandle<Vec<u8>>; 2],
}

impl Loud {
    fn start(arguments: &[&str]) -> Loud {
        let Running { process, endpoint, stdout, stderr, .. } = Running::start(&[&["-n", "-d"], arguments].concat());
        let read = |mut from: Box<dyn Read + Send>| {
            thread::spawn(move || {
                let mut all = Vec::new();
                from.read_to_end(&mut all).expect("a pipe");
                all
            })
        };
        Loud { process, endpoint, outputs: [read(Box::new(stdout)), read(Box::new(stderr))] }
    }

    fn address(&self) -> SocketAddr {
        self.endpoint.parse().expect("an address")
    }

    /// Ends it. What it printed and what it logged, in both of which there is nothing but text.
    fn end(mut self) -> (String, String) {
        self.process.signal("TERM");
        let [out, err] = self.outputs.map(|output| harmless(output.join().expect("no panic")));
        assert_eq!(self.process.0.wait().expect("a child").code(), Some(0));
        // No line begins as another's: not even one that a message brought in.
        assert!(err.lines().all(|line| line.starts_with("pillarbox: ")), "{err}");
        (out, err)
    }
}

/// # Panics
/// If it is not UTF-8, or there is a character in it that does something.
fn harmless(octets: Vec<u8>) -> String {
    let text = String::from_utf8(octets).unwrap_or_else(|e| panic!("{}", e.as_bytes().escape_ascii()));
    let does_something = |c: char| {
        c.is_control() && c != '\n'
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if let Some(at) = text.find(does_something) {
        let line = text[..at].rsplit('\n').next().unwrap_or_default();
        panic!("{line:?} and then {:?}", &text[at..].chars().next());
    }
    text
}

/// A client of a proxy, since each connection begins with what the proxy says.
fn connect(address: SocketAddr) -> Client {
    let mut client = Client::raw(address);
    client.send("PROXY TCP4 192.0.2.1 198.51.100.2 1234 25\r\n");
    client.expect_reply("220 ");
    client.expect("EHLO client.example", "250");
    client
}

#[test]
fn commands_on_stderr() {
    let users = tempfile::NamedTempFile::new().unwrap();
    fs::write(users.path(), "bob:builder\n").unwrap();
    let users = users.path().to_str().unwrap();
    let server = Loud::start(&["-u", "-c", "Sink", "--users", users, "--proxy-protocol=127.0.0.1", "127.0.0.1:0"]);
    // Wherever a client may say something. The commands before are there so that it is looked at.
    const MAIL: &str = "MAIL FROM:<a@client.example> SMTPUTF8";
    let places: [(&[&str], &str, &str); 16] = [
        (&[], "", ""),
        (&[], "NOOP ", ""),
        (&[], "HELO ", ""),
        (&[], "EHLO a", ".example"),
        (&[], "VRFY <", "@client.example>"),
        (&[], "EXPN ", ""),
        (&[], "HELP ", ""),
        (&[], "STARTTLS ", ""),
        (&[], "XCLIENT ADDR=", ""),
        (&[], "MAIL FROM:<a", "@client.example> SMTPUTF8"),
        (&[], "MAIL FROM:<\"a", "\"@client.example> SMTPUTF8"),
        (&[], "MAIL FROM:<a@client.example> BODY=", ""),
        (&[MAIL], "RCPT TO:<b", "@example.org>"),
        (&[MAIL], "RCPT TO:<b@exa", "mple.org>"),
        (&[MAIL], "RCPT TO:<b@example.org> ORCPT=rfc822;", ""),
        (&[MAIL, "RCPT TO:<b@example.org>"], "BDAT ", " LAST"),
    ];
    for (before, start, end) in places {
        for (evil, _) in EVIL {
            let mut client = connect(server.address());
            before.iter().for_each(|command| drop(client.expect(command, "250")));
            client.say([start.as_bytes(), evil, end.as_bytes()].concat());
        }
    }
    for (evil, _) in EVIL {
        // In the place of what the proxy says, and within it: no word comes back.
        for header in [[evil, b"\r\n"].concat(), [b"PROXY TCP4 192.0.2.1", evil, b" 198.51.100.2 1 25\r\n"].concat()] {
            let mut client = Client::raw(server.address());
            client.send(header);
            client.close_writing();
            client.expect_close();
        }
    }
    let address = server.address();
    let guess = move |evil: &[u8]| {
        // From this machine, for which the proxy speaks too.
        let mut client = Client::raw(address);
        client.send("PROXY TCP4 127.0.0.1 127.0.0.1 1 25\r\n");
        client.expect_reply("220 ");
        client.expect("EHLO client.example", "250");
        // A name that nobody has, a response that is not Base64, and a mechanism that is none.
        client.expect(format!("AUTH PLAIN {}", Base64::encode_string(&[b"\0", evil, b"\0x"].concat())), "5");
        client.expect("AUTH LOGIN", "334");
        client.expect([b"x", evil].concat(), "501");
        client.expect([b"AUTH ", evil].concat(), "50");
    };
    // Each failure is answered late: all at once.
    let guesses = EVIL.map(|(evil, _)| thread::spawn(move || guess(evil)));
    guesses.into_iter().for_each(|guess| guess.join().expect("each is refused"));
    let (_, err) = server.end();
    // It was there to be seen, in every place.
    for (_, start, end) in places {
        for (_, shown) in EVIL {
            assert!(err.contains(&format!("] C: {start}{shown}{end}\n")), "{start}{shown}{end}");
        }
    }
}

#[test]
fn messages_on_stdout() {
    let server = Loud::start(&["-u", "--proxy-protocol=127.0.0.1", "127.0.0.1:0"]);
    let frames = format!("{FOOT}\r\n{HEAD}\r\nX-Peer: 203.0.113.9\r\n");
    let mut messages = 0;
    let mut send = |client: &mut Client, content: &[u8]| {
        // By chunks, where even line ends that are none are kept.
        client.expect("MAIL FROM:<a@client.example> BODY=BINARYMIME", "250");
        client.expect("RCPT TO:<b@example.org>", "250");
        client.send([format!("BDAT {} LAST\r\n", content.len()).as_bytes(), content].concat());
        client.expect_reply("250 2.0.0 OK");
        client.expect("MAIL FROM:<a@client.example>", "250");
        client.expect("RCPT TO:<b@example.org>", "250");
        client.expect("DATA", "354");
        client.expect([content, b"\r\n."].concat(), "250 2.0.0 OK");
        messages += 2;
    };
    for (evil, _) in EVIL {
        let mut client = connect(server.address());
        send(&mut client, &[b"Subject: ", evil, b"\r\n\r\nbody ", evil, b"\r\n", evil].concat());
        send(&mut client, &[evil, frames.as_bytes(), evil, frames.as_bytes()].concat());
        send(&mut client, &[frames.as_bytes(), evil, b"\r\n\r\n", frames.as_bytes(), evil, FOOT.as_bytes()].concat());
    }
    let frames = frames.replace("\r\n", "\n");
    send(&mut connect(server.address()), frames.as_bytes());
    send(&mut connect(server.address()), frames.replace('\n', "\r").as_bytes());
    send(&mut connect(server.address()), FOOT.as_bytes());
    let (out, _) = server.end();
    let mut lines = out.lines();
    for n in 0..messages {
        assert_eq!(lines.next(), Some(HEAD), "{n}");
        let message: Vec<&str> = lines.by_ref().take_while(|line| *line != FOOT).collect();
        assert!(!message.contains(&HEAD), "{n}: {message:?}");
        // What others say of themselves stands below it.
        let peer = message.iter().position(|line| line.starts_with("X-Peer"));
        assert_eq!(peer.map(|at| message[at]), Some("X-Peer: 192.0.2.1"), "{n}: {message:?}");
        let headers = message.iter().position(|line| line.is_empty()).unwrap_or(message.len());
        assert!(peer.is_some_and(|at| at < headers), "{n}: {message:?}");
    }
    assert_eq!(lines.next(), None);
    for (evil, shown) in EVIL {
        // Those that end a line, or may, are changed on their way.
        assert!(matches!(evil, b"\r" | b"\n") || out.contains(&format!("\nbody {shown}\n{shown}\n")), "{shown}");
    }
}

#[test]
fn headers_of_stored_messages() {
    let folder = tempfile::tempdir().unwrap();
    let maildir = folder.path().join("mail");
    let path = maildir.to_str().unwrap();
    let server = Loud::start(&["-u", "-c", "Maildir", "--maildir", path, "--proxy-protocol=127.0.0.1", "127.0.0.1:0"]);
    let mut stored = 0;
    for (evil, _) in
        EVIL.into_iter().chain([(&b"\r\nX-Forged: yes"[..], ""), (b") by evil.example (", ""), (b"\t", "")])
    {
        let commands = [
            [b"EHLO a", evil, b".example"].concat(),
            [b"MAIL FROM:<\"a", evil, b"\"@client.example> SMTPUTF8"].concat(),
            b"MAIL FROM:<a@client.example> SMTPUTF8".to_vec(),
            [b"RCPT TO:<\"b", evil, b"\"@example.org>"].concat(),
            [b"RCPT TO:<b@exa", evil, b"mple.org>"].concat(),
            b"RCPT TO:<b@example.org>".to_vec(),
        ];
        let mut client = connect(server.address());
        client.send([&commands.join(&b"\r\n"[..])[..], b"\r\nNOOP\r\nVRFY end\r\n"].concat());
        // Whichever of them are taken: some only split into two of which neither is.
        while !client.reply().starts_with("252 ") {}
        let data = client.say("DATA");
        if data.starts_with("354") {
            client.expect("Subject: x\r\n\r\nbody\r\n.", "250");
            stored += 1;
        }
    }
    server.end();
    let files: Vec<_> = fs::read_dir(maildir.join("new")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(stored >= EVIL.len() && files.len() == stored, "{} of {stored}", files.len());
    for file in files {
        let text = fs::read_to_string(&file).expect("UTF-8");
        // How an address is shown is the reader's affair; that it is one address on one line is not.
        assert!(!text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')), "{text:?}");
        let (head, _) = text.split_once("Subject: x\n\nbody\n").expect("it ends as it was sent");
        let names: Vec<_> =
            head.lines().filter(|line| !line.starts_with('\t')).map(|line| line.split(' ').next()).collect();
        assert_eq!(names.first(), Some(&Some("Return-Path:")), "{head}");
        assert_eq!(names.last(), Some(&Some("Received:")), "{head}");
        let between = &names[1..names.len() - 1];
        assert!(!between.is_empty() && between.iter().all(|name| *name == Some("Delivered-To:")), "{head}");
        // The one thing in it that says where it came from is what the proxy said.
        let (_, received) = head.split_once("Received: from ").expect("a line");
        let (from, _) = received.split_once("\n\tby ").expect("a server");
        let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.');
        let name = from.strip_suffix(" ([192.0.2.1])");
        assert!(from == "[192.0.2.1]" || name.is_some_and(is_name), "{head}");
    }
}

#[test]
fn a_path_for_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let place = format!("unix:{}", folder.path().join("socket").display());
    let server = Loud::start(&[&place]);
    let own = folder.path().join(format!("\x1b[2J\n{FOOT}\n\u{202e}"));
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    socket.bind(&SockAddr::unix(&own).unwrap()).unwrap();
    socket.connect(&SockAddr::unix(folder.path().join("socket")).unwrap()).unwrap();
    let mut stream = UnixStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert!(said.contains("\r\n250 2.0.0 OK "), "{said}");
    let (out, err) = server.end();
    let shown = format!("unix:{}/\\x1b[2J\\n{FOOT}\\n\\u{{202e}}", folder.path().display());
    assert!(out.contains(&format!("\nX-Peer: {shown}\n")), "{out}");
    assert!(err.contains(&format!("connection from {shown}\n")), "{err}");
}

#[test]
fn what_an_upstream_says() {
    for (evil, shown) in EVIL {
        let text =
            |before: &str| Act::Say(String::from_utf8_lossy(&[before.as_bytes(), evil, b"\r\n"].concat()).into_owned());
        let upstream = Scripted::start(move |line| match line.split(' ').next()? {
            "CONNECT" => Some(text("220 upstream.example ")),
            "EHLO" => Some(text("250-upstream.example\r\n250 X")),
            "RCPT" => Some(text("550 5.1.1 no ")),
            _ => None,
        });
        let server = Loud::start(&["-c", "PureProxy", "127.0.0.1:0", &upstream.address.to_string()]);
        let mut client = Client::ehlo(server.address());
        let mail = client.say("MAIL FROM:<a@client.example>");
        // The client's own reading sees to it that replies are of printable ASCII.
        let refused = if mail.starts_with("250") { client.say("RCPT TO:<b@example.org>") } else { mail };
        let (_, err) = server.end();
        let is_kept = refused.starts_with("550 5.1.1 no ");
        assert!(is_kept || refused.starts_with("451 4."), "{refused}");
        if let (true, Ok(_)) = (is_kept, str::from_utf8(evil)) {
            assert!(err.contains(&format!("550 5.1.1 no {shown}")), "{shown}: {err}");
        }
    }
}
