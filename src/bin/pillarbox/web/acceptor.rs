//! A thread for each client, up to a number; beyond it whoever has asked for nothing yet makes room.

use std::io::{self, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::api::Api;
use super::http::{Connection, Ended};

/// How many clients there may be.
const MAX_CLIENTS: usize = 128;

/// In octets. What is large is on the heap.
const STACK: usize = 512 * 1024;

/// How long it waits when there is no descriptor or thread left.
const PAUSE: Duration = Duration::from_millis(100);

/// How often that is said.
const SAY_AGAIN: Duration = Duration::from_secs(10);

const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

#[derive(Default)]
struct Clients(Mutex<Places>);

#[derive(Default)]
struct Places {
    clients: Vec<Arc<Client>>,
    // More than clients, while some that had to make room are ending.
    threads: usize,
}

struct Client {
    stream: TcpStream,
    // Since when the request that is to come is waited for; none while one is answered.
    waits_since: Mutex<Option<Instant>>,
}

/// Answers clients for as long as the process lives.
pub fn start(listener: TcpListener, api: Arc<Api>) -> io::Result<()> {
    thread::Builder::new().name("web".to_owned()).spawn(move || accept(&listener, &api)).map(drop)
}

fn accept(listener: &TcpListener, api: &Arc<Api>) {
    let clients = Arc::new(Clients::default());
    let mut said: Option<Instant> = None;
    loop {
        let begun = listener.accept().and_then(|(stream, _)| clients.begin(stream, api));
        if let Err(e) = begun {
            if said.is_none_or(|said| said.elapsed() > SAY_AGAIN) {
                log::warn!("the inbox cannot take a client: {e}");
                said = Some(Instant::now());
            }
            thread::sleep(PAUSE);
        }
    }
}

impl Clients {
    fn begin(self: &Arc<Clients>, stream: TcpStream, api: &Arc<Api>) -> io::Result<()> {
        if !self.make_room() {
            // It fits into the socket's buffer; whether anybody reads it is not waited for.
            stream.set_nonblocking(true)?;
            let _ = (&stream).write(BUSY);
            return Ok(());
        }
        // Neither matters if the client is gone already.
        let _ = stream.set_nodelay(true);
        let client = Arc::new(Client { stream, waits_since: Mutex::new(Some(Instant::now())) });
        let mut places = self.0.lock();
        places.clients.push(client.clone());
        places.threads += 1;
        drop(places);
        let (clients, ours, api) = (self.clone(), client.clone(), api.clone());
        let serve = move || {
            let place = Place(&clients, &ours);
            place.1.serve(&api);
        };
        let spawned = thread::Builder::new().name("web".to_owned()).stack_size(STACK).spawn(serve);
        spawned.map(drop).inspect_err(|_| self.end(&client))
    }

    /// Whether one more client can be taken.
    fn make_room(&self) -> bool {
        let mut places = self.0.lock();
        let clients = &mut places.clients;
        if clients.len() < MAX_CLIENTS {
            return true;
        }
        let waiting =
            clients.iter().enumerate().filter_map(|(at, client)| Some((*client.waits_since.lock().as_ref()?, at)));
        let Some((_, longest)) = waiting.min() else { return false };
        let client = clients.remove(longest);
        // Its thread is told by that, and ends.
        let _ = client.stream.shutdown(Shutdown::Both);
        places.threads < 2 * MAX_CLIENTS
    }

    fn end(&self, client: &Arc<Client>) {
        let mut places = self.0.lock();
        places.clients.retain(|other| !Arc::ptr_eq(other, client));
        places.threads -= 1;
    }
}

/// A client's place, given back however its thread ends.
struct Place<'a>(&'a Clients, &'a Arc<Client>);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.end(self.1);
    }
}

impl Client {
    fn serve(&self, api: &Api) {
        let mut connection = Connection::new(&self.stream);
        loop {
            *self.waits_since.lock() = Some(Instant::now());
            let request = connection.request();
            *self.waits_since.lock() = None;
            let goes_on = match request {
                Ok(request) => {
                    let response = api.answer(&request, &connection);
                    connection.respond(Some(&request), response)
                }
                Err(Ended::With(response)) => connection.respond(None, response),
                Err(Ended::Quietly) => return,
            };
            match goes_on {
                Ok(true) => {}
                Ok(false) => {
                    *self.waits_since.lock() = Some(Instant::now());
                    return connection.close();
                }
                Err(_) => return,
            }
        }
    }
}
