//! A thread for each client, up to a number.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::clients::{Clients, ConnectionPermit};
use super::connection::{Ended, HttpConnection, Request, Response};

/// In octets. What is large is on the heap.
const STACK: usize = 512 * 1024;

/// In octets, what a client may have been sent and not taken yet; the kernel makes it twice as much. A part of it has to be
/// taken before a write goes on, so with the megabytes that the kernel would grow it to, a slow reader looks like none.
const SEND_BUFFER: usize = 128 * 1024;

/// How many clients the system holds until they are accepted.
const BACKLOG: i32 = 1024;

/// How long it waits when there is no descriptor or thread left.
const PAUSE: Duration = Duration::from_millis(100);

/// How often that is said.
const SAY_AGAIN: Duration = Duration::from_secs(10);

const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// What is served.
pub trait Service: Send + Sync + 'static {
    /// The answer to a request.
    fn answer(&self, request: &Request, client: &HttpConnection) -> Response;
}

/// Answers clients for as long as the process lives, by threads with this name. So many of them may be held: wait for
/// something on our side.
///
/// # Errors
/// If there is no thread.
pub fn start(name: &'static str, listener: TcpListener, max_held: usize, service: Arc<impl Service>) -> io::Result<()> {
    // What std asks for is less than those who may come at once.
    let _ = SockRef::from(&listener).listen(BACKLOG);
    let clients = Arc::new(Clients::new(max_held));
    let accept = move || accept(name, &listener, &clients, &service);
    thread::Builder::new().name(name.to_owned()).spawn(accept).map(drop)
}

fn accept(name: &'static str, listener: &TcpListener, clients: &Arc<Clients>, service: &Arc<impl Service>) {
    let mut said: Option<Instant> = None;
    loop {
        let begun = listener.accept().and_then(|(stream, _)| begin(name, clients, stream, service));
        if let Err(e) = begun {
            if said.is_none_or(|said| said.elapsed() > SAY_AGAIN) {
                log::warn!("{name}: cannot take a client: {e}");
                said = Some(Instant::now());
            }
            thread::sleep(PAUSE);
        }
    }
}

fn begin(name: &'static str, clients: &Arc<Clients>, stream: TcpStream, service: &Arc<impl Service>) -> io::Result<()> {
    // Neither matters if the client is gone already.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER);
    let permit = match clients.take(stream) {
        Ok(permit) => permit,
        Err(stream) => {
            // It fits into the socket's buffer; whether anybody reads it is not waited for.
            stream.set_nonblocking(true)?;
            let _ = (&stream).write(BUSY);
            return Ok(());
        }
    };
    let service = service.clone();
    let thread = thread::Builder::new().name(name.to_owned()).stack_size(STACK);
    thread.spawn(move || serve(&permit, &*service)).map(drop)
}

fn serve(permit: &ConnectionPermit, service: &impl Service) {
    let mut connection = HttpConnection::new(permit);
    loop {
        permit.waits();
        let request = connection.request();
        permit.is_answered();
        let goes_on = match request {
            Ok(request) => {
                let response = service.answer(&request, &connection);
                connection.respond(Some(&request), response)
            }
            Err(Ended::With(response)) => connection.respond(None, response),
            Err(Ended::Quietly) => return,
        };
        match goes_on {
            Ok(true) => {}
            Ok(false) => {
                permit.waits();
                return connection.close();
            }
            Err(_) => return,
        }
    }
}
