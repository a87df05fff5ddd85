//! A handler for another broker: publishes each message to a JetStream of NATS, and answers 250 when the stream has it.
//!
//! `cargo run --features redis --example nats ADDRESS:PORT NATS-HOST:PORT SUBJECT`
//!
//! It overrides `process_delivery`: one thread publishes, another reads acknowledgements and answers the clients, so that any
//! number of messages is under way at once. `RedisStream::entry` makes the payload, as one netstring for each name and value in turn;
//! `guide::entry_format` documents the fields.
//!
//! JetStream acknowledges a message when it is in the stream's file, so it outlives a kill of the NATS server. Whether it outlives the
//! machine depends on the stream: with three replicas (`num_replicas`) two machines have it, and NATS 2.10 and later flush to
//! the disk first if `sync_interval` is `always`.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use pillarbox::handlers::RedisStream;
use pillarbox::{Delivery, Envelope, Handler, Reply, Response, Server};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

mod connection;
use connection::{Event, Reader, Writer, connect};

/// Messages under way; more wait for their turn.
const MAX_PENDING: usize = 1000;

/// What answers a client. Dropped without a call, it is a 451.
type Answer = Box<dyn FnOnce(Response) + Send>;

struct Nats {
    server: String,
    subject: String,
    link: Option<Arc<Link>>,
    next: u64,
}

/// A connection, and whom its acknowledgements answer.
struct Link {
    inbox: String,
    max_payload: usize,
    writer: Mutex<Writer>,
    /// None once the connection is lost.
    pending: Mutex<Option<HashMap<u64, Answer>>>,
}

impl Nats {
    fn publish(&mut self, mail: &Envelope, answer: Answer) {
        // If it fails, the answer is dropped: the client keeps its copy and tries again.
        if let Err(e) = self.try_to_publish(mail, answer) {
            eprintln!("cannot publish {}: {e}", mail.id());
            self.link = None;
        }
    }

    fn try_to_publish(&mut self, mail: &Envelope, answer: Answer) -> io::Result<()> {
        let payload = netstrings(RedisStream::entry(mail)?);
        let link = match self.link.take().filter(|link| lock(&link.pending).is_some()) {
            Some(link) => link,
            None => Link::open(&self.server, &mail.id().to_string())?,
        };
        let link = self.link.insert(link);
        if payload.len() > link.max_payload {
            answer(Reply::new(552, "5.3.4", "the broker takes no message of this size").into());
            return Ok(());
        }
        self.next += 1;
        match &mut *lock(&link.pending) {
            Some(pending) if pending.len() < MAX_PENDING => pending.insert(self.next, answer),
            // Dropped.
            _ => return Ok(()),
        };
        lock(&link.writer).publish(&self.subject, &format!("{}.{}", link.inbox, self.next), &payload)
    }
}

impl Link {
    fn open(server: &str, name: &str) -> io::Result<Arc<Link>> {
        let (mut writer, reader, max_payload) = connect(server)?;
        let inbox = format!("_INBOX.{name}");
        writer.subscribe(&format!("{inbox}.*"))?;
        let pending = Mutex::new(Some(HashMap::new()));
        let link = Arc::new(Link { inbox, max_payload, writer: Mutex::new(writer), pending });
        let reading = link.clone();
        thread::Builder::new().name("nats".to_owned()).spawn(move || {
            let Err(e) = reading.read(reader);
            eprintln!("the connection to NATS is lost: {e}");
            // All who still wait read 451. What NATS took without saying so arrives twice when it is sent again.
            lock(&reading.pending).take();
        })?;
        Ok(link)
    }

    fn read(&self, mut reader: Reader) -> io::Result<std::convert::Infallible> {
        loop {
            match reader.next()? {
                Event::Message { subject, payload } => {
                    let number = subject.rsplit('.').next().and_then(|number| number.parse().ok());
                    let answer = number.and_then(|number| lock(&self.pending).as_mut()?.remove(&number));
                    if let Some(answer) = answer {
                        answer(verdict(&payload).into());
                    }
                }
                Event::Ping => lock(&self.writer).pong()?,
                Event::Silence if lock(&self.pending).as_ref().is_some_and(HashMap::is_empty) => {}
                Event::Silence => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }
}

/// What an acknowledgement means for the client: `{"stream":"MAIL","seq":1}`, or an error, or nothing if no stream takes the subject.
fn verdict(acknowledgement: &[u8]) -> Reply {
    let text = String::from_utf8_lossy(acknowledgement);
    if text.contains("\"seq\":") && !text.contains("\"error\":") {
        return Reply::ok();
    }
    eprintln!("NATS refuses a message: {}", if text.is_empty() { "no stream takes the subject" } else { &*text });
    // Of a stream that discards new messages, not old ones: `max_msgs`, `max_bytes`.
    if text.contains("maximum") {
        Reply::new(452, "4.3.1", "the queue is full")
    } else {
        Reply::temporary("not queued")
    }
}

fn netstrings(entry: Vec<(&'static str, Vec<u8>)>) -> Vec<u8> {
    let mut payload = Vec::new();
    for (name, value) in entry {
        for octets in [name.as_bytes(), &value] {
            payload.extend_from_slice(format!("{}:", octets.len()).as_bytes());
            payload.extend_from_slice(octets);
            payload.push(b',');
        }
    }
    payload
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Handler for Nats {
    fn process_delivery(&mut self, delivery: Delivery) {
        let (mail, answer) = delivery.take();
        self.publish(&mail, Box::new(move |response| answer.respond(response)));
    }

    /// For whoever calls this handler from another one.
    fn process_message(&mut self, mail: Envelope) -> Response {
        let (sender, receiver) = mpsc::channel();
        self.publish(&mail, Box::new(move |response| drop(sender.send(response))));
        receiver.recv().unwrap_or_else(|_| Reply::temporary("not queued").into())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("an ADDRESS:PORT, the HOST:PORT of a NATS server, and a SUBJECT");
    let (address, server, subject) = (next()?, next()?, next()?);
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let server = Server::builder().serve(address, Nats { server, subject, link: None, next: 0 })?;
    eprintln!("listening on {}", server.local_addr());
    signals.forever().next();
    server.shutdown(Duration::from_secs(15));
    Ok(())
}
