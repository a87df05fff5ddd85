//! The web inbox as a process of a test, and a client of its own that says exactly what it is told.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{Client, PATIENCE};
use super::command::Running;

/// A web inbox that is ready.
pub struct Inbox {
    pub server: Running,
    /// Where it can be looked at.
    pub web: SocketAddr,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Inbox {
    pub fn start() -> Inbox {
        Inbox::start_with(&[])
    }

    pub fn start_with(options: &[&str]) -> Inbox {
        Inbox::start_at("127.0.0.1:0", options)
    }

    /// With another place to take mail at.
    pub fn start_at(place: &str, options: &[&str]) -> Inbox {
        let base = ["-n", "-c", "Inbox", "--http", "127.0.0.1:0"];
        let mut server = Running::start(&[&base, options, &[place]].concat());
        let mut line = String::new();
        server.stderr.read_line(&mut line).expect("text");
        let address = line.trim_end().strip_prefix("pillarbox: inbox at http://").and_then(|url| url.strip_suffix('/'));
        let web = address.unwrap_or_else(|| panic!("{line}")).parse().expect("an address");
        Inbox { server, web }
    }

    /// A client of SMTP that is ready for a message.
    pub fn client(&self) -> Client {
        Client::ehlo(self.server.address())
    }

    /// Sends a message as it is, and gives its id.
    pub fn receive(&self, message: impl AsRef<[u8]>) -> String {
        let before = self.get("/api/server").json()["last_id"].as_str().expect("a text").to_owned();
        deliver(&mut self.client(), message.as_ref());
        self.get(&format!("/api/next?after={before}")).json()["id"].as_str().expect("a text").to_owned()
    }

    /// Of all messages, the newest first.
    pub fn ids(&self) -> Vec<String> {
        let mut all = self.found("/api/messages?limit=1000");
        while let Some(last) = all.last() {
            let more = self.found(&format!("/api/messages?limit=1000&before={last}"));
            if more.is_empty() {
                break;
            }
            all.extend(more);
        }
        all
    }

    /// Waits until these messages are there and no others, the newest first.
    #[track_caller]
    pub fn wait_for_ids(&self, ids: &[&str]) {
        let begun = Instant::now();
        while self.ids() != ids {
            assert!(begun.elapsed() < PATIENCE, "{:?}, not {ids:?}", self.ids());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Of the messages that a request brings.
    pub fn found(&self, target: &str) -> Vec<String> {
        let ids = self.list(target).into_iter();
        ids.map(|message| message["id"].as_str().expect("a text").to_owned()).collect()
    }

    /// The messages that a request brings.
    pub fn list(&self, target: &str) -> Vec<Value> {
        let answer = self.get(target).json();
        answer["messages"].as_array().unwrap_or_else(|| panic!("{target}: {answer}")).clone()
    }

    /// All there is to know about a message.
    pub fn message(&self, id: &str) -> Value {
        self.get(&format!("/api/messages/{id}")).json()
    }

    pub fn get(&self, target: &str) -> Answer {
        let answer = self.request("GET", target, "", "");
        assert!(matches!(answer.status, 200 | 204), "{target}: {answer:?}");
        answer
    }

    /// With further fields, each with its CRLF.
    pub fn request(&self, method: &str, target: &str, fields: &str, body: &str) -> Answer {
        let host = format!("Host: {}\r\nContent-Length: {}\r\n", self.web, body.len());
        self.say(format!("{method} {target} HTTP/1.1\r\n{host}Connection: close\r\n{fields}\r\n{body}"))
    }

    /// Sends octets, and reads the answer up to the server's close.
    pub fn say(&self, octets: impl AsRef<[u8]>) -> Answer {
        let mut stream = self.connect();
        // It may answer before it has read all.
        let _ = stream.write_all(octets.as_ref());
        Answer::read(&mut stream)
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.web).expect("the inbox listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream
    }
}

impl Answer {
    /// What comes up to the server's close.
    pub fn read(stream: &mut TcpStream) -> Answer {
        let mut octets = Vec::new();
        stream.read_to_end(&mut octets).expect("an answer and a close");
        Answer::parse(&octets)
    }

    /// What comes up to the end that its length says, from a server that may not close.
    pub fn receive(stream: TcpStream) -> std::io::Result<Answer> {
        let mut stream = BufReader::new(stream);
        let mut octets = Vec::new();
        while !octets.ends_with(b"\r\n\r\n") {
            if stream.read_until(b'\n', &mut octets)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let (status, head) = Answer::head(&octets);
        let mut answer = Answer { status, head, body: Vec::new() };
        stream.take(answer.length()).read_to_end(&mut answer.body)?;
        Ok(answer)
    }

    fn head(octets: &[u8]) -> (u16, String) {
        let head = String::from_utf8(octets.to_vec()).expect("a head is ASCII");
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest[..3].parse().ok()).expect("a status");
        (status, head)
    }

    fn length(&self) -> u64 {
        self.field("Content-Length").map_or(0, |length| length.parse().expect("a number"))
    }

    pub fn parse(octets: &[u8]) -> Answer {
        let end = octets.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = octets.split_at(end.unwrap_or_else(|| panic!("no answer: {}", octets.escape_ascii())) + 4);
        let (status, head) = Answer::head(head);
        let answer = Answer { status, head, body: body.to_vec() };
        assert_eq!(answer.body.len() as u64, answer.length(), "{}", answer.head);
        answer
    }

    /// # Panics
    /// If the field came more than once.
    pub fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let mut values = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
        let value = values.next();
        assert!(values.next().is_none(), "{name} twice: {}", self.head);
        value
    }

    pub fn json(&self) -> Value {
        assert_eq!(self.field("Content-Type"), Some("application/json"), "{self:?}");
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("text")
    }

    /// What it says is wrong.
    pub fn error(&self) -> String {
        self.json()["error"].as_str().expect("a text").to_owned()
    }
}

/// Sends many messages as [`deliver`] does, without a wait for each reply.
pub fn deliver_all(client: &mut Client, messages: impl Iterator<Item = String>) {
    let commands = messages.map(|message| {
        let envelope = "MAIL FROM:<sender@client.example>\r\nRCPT TO:<recipient@example.org>\r\n";
        format!("{envelope}BDAT {} LAST\r\n{message}", message.len())
    });
    for batch in commands.collect::<Vec<_>>().chunks(50) {
        client.send(batch.concat());
        for _ in batch {
            (0..3).for_each(|_| drop(client.expect_reply("250 2.0.0")));
        }
    }
}

/// Sends a message as it is, without a change to its dots and lines.
pub fn deliver(client: &mut Client, message: &[u8]) {
    client.begin();
    client.send(format!("BDAT {} LAST\r\n", message.len()));
    client.send(message);
    client.expect_reply("250 2.0.0");
}
