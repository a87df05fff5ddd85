//! The handler of the examples for another broker: what was acknowledged is in the stream of a real NATS, as an entry.

use std::net::SocketAddr;
use std::process::Child;
use std::thread;

use crate::support::client::Client;
use crate::support::nats::Nats;
use crate::support::{example, serve, wait_until};
use base64ct::{Base64, Encoding};
use pillarbox::Envelope;
use pillarbox::handlers::RedisStream;

#[path = "../../../examples/nats/connection.rs"]
mod connection;
use connection::{Event, Reader, Writer, connect};

/// The example.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(nats: &Nats) -> Option<Server> {
        let mut command = example("nats")?;
        command.args(["127.0.0.1:0", &nats.address, "mail"]);
        let (process, address) = serve(command);
        Some(Server { process, address })
    }

    fn send(&self, content: &str) -> String {
        let mut client = Client::envelope(self.address);
        client.expect("DATA", "354");
        client.say(format!("{content}\r\n."))
    }

    #[track_caller]
    fn assert_sent(&self, content: &str, reply: &str) {
        let said = self.send(content);
        assert!(said.starts_with(reply), "{said:?}, not {reply}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Who asks NATS about its streams.
struct Api {
    writer: Writer,
    reader: Reader,
}

impl Api {
    fn of(nats: &Nats) -> Api {
        let (mut writer, reader, _) = connect(&nats.address).expect("it runs");
        writer.subscribe("_INBOX.test").expect("it reads");
        Api { writer, reader }
    }

    fn ask(&mut self, what: &str, json: &str) -> String {
        self.writer.publish(&format!("$JS.API.STREAM.{what}.MAIL"), "_INBOX.test", json.as_bytes()).expect("it reads");
        loop {
            match self.reader.next().expect("an answer") {
                Event::Message { subject, payload } => {
                    assert_eq!(subject, "_INBOX.test");
                    return String::from_utf8(payload).expect("text");
                }
                Event::Ping => self.writer.pong().expect("it reads"),
                Event::Silence => panic!("no answer"),
            }
        }
    }

    fn create_stream(&mut self, more: &str) {
        let created = self.ask("CREATE", &format!(r#"{{"name":"MAIL","subjects":["mail"],"storage":"file"{more}}}"#));
        assert!(created.contains("\"created\":"), "{created}");
    }

    /// A message of the stream, counted from 1; none if there are no more.
    fn message(&mut self, number: usize) -> Option<Envelope> {
        let answer = self.ask("MSG.GET", &format!(r#"{{"seq":{number}}}"#));
        let data = answer.split_once("\"data\":\"")?.1.split('"').next()?;
        let payload = Base64::decode_vec(data).expect("base64");
        let mut strings = netstrings(&payload);
        let mut entry = Vec::new();
        while let Some(name) = strings.next() {
            entry.push((name, strings.next().expect("a value")));
        }
        Some(RedisStream::read(entry).expect("a message"))
    }
}

fn netstrings(mut octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let colon = octets.iter().position(|octet| *octet == b':')?;
        let length: usize = std::str::from_utf8(&octets[..colon]).ok()?.parse().ok()?;
        let (string, rest) = octets[colon + 1..].split_at(length);
        octets = rest.strip_prefix(b",").expect("a comma");
        Some(string)
    })
}

#[test]
fn what_nats_acknowledges_is_in_its_stream() {
    let Some(nats) = Nats::start() else { return };
    let Some(server) = Server::start(&nats) else { return };
    // There is no stream yet that takes the subject.
    server.assert_sent("early", "451 4.3.0");
    let mut api = Api::of(&nats);
    api.create_stream(r#","discard":"new","max_msgs":3"#);
    server.assert_sent("Subject: first\r\n\r\nna\u{ef}ve\0", "250 2.0.0");
    let mail = api.message(1).expect("it is there");
    assert_eq!(mail.bytes().unwrap(), "Subject: first\r\n\r\nna\u{ef}ve\0\r\n".as_bytes());
    assert!(mail.mail_from() == "sender@client.example" && mail.helo() == "client.example");
    assert_eq!(mail.recipients(), ["recipient@example.org"]);
    assert_eq!(mail.local().socket_addr(), Some(server.address));

    // NATS takes messages of at most 1 MiB, if it is not told otherwise.
    server.assert_sent(&"0123456789abcdef\r\n".repeat(65_536), "552 5.3.4");
    server.assert_sent("second", "250 2.0.0");
    server.assert_sent("third", "250 2.0.0");
    server.assert_sent("too many", "452 4.3.1");
    assert!(api.message(4).is_none());
}

#[test]
fn what_nats_acknowledged_outlives_it() {
    let Some(mut nats) = Nats::start() else { return };
    let Some(server) = Server::start(&nats) else { return };
    Api::of(&nats).create_stream("");
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        thread::scope(|scope| {
            let senders: Vec<_> = (0..8)
                .map(|sender| {
                    let server = &server;
                    // Until one is refused, which happens when NATS is gone.
                    let send = move || {
                        (0..10_000)
                            .map(|number| format!("{round}-{sender}-{number}"))
                            .take_while(|content| server.send(content).starts_with("250 "))
                            .collect::<Vec<_>>()
                    };
                    scope.spawn(send)
                })
                .collect();
            let mut api = Api::of(&nats);
            wait_until("nothing arrives", || api.message(acknowledged.len() + 40).is_some());
            nats.kill();
            senders.into_iter().for_each(|sender| acknowledged.extend(sender.join().expect("no panic")));
        });
        nats.restart();
        wait_until("it does not come back", || server.send("again").starts_with("250 "));
    }
    let mut api = Api::of(&nats);
    let stored: Vec<String> = (1..)
        .map_while(|number| api.message(number))
        .map(|mail| mail.text().expect("text").trim_end().to_owned())
        .collect();
    let lost: Vec<_> = acknowledged.iter().filter(|content| !stored.contains(content)).collect();
    assert!(lost.is_empty() && acknowledged.len() >= 100, "{lost:?} of {} were lost", acknowledged.len());
}
