//! Who is connected, and who makes room when there are too many: whoever has asked for nothing yet, then whoever does not
//! read what was asked for.

use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How many clients there may be.
const MAX_CLIENTS: usize = 128;

/// How many of them may have answers that take time. The other places are for what is answered at once, as the page is.
const MAX_SLOW: usize = 96;

/// How long a client may take no octet of its answer while others want its place.
const STUCK: Duration = Duration::from_secs(1);

/// All clients.
#[derive(Default)]
pub struct Clients(Mutex<Permits>);

#[derive(Default)]
struct Permits {
    clients: Vec<Arc<Client>>,
    // More than clients, while some that had to make room are ending.
    threads: usize,
}

/// One client.
pub struct Client {
    pub stream: TcpStream,
    doing: Mutex<Doing>,
}

#[derive(Clone, Copy)]
enum Doing {
    /// A request is waited for, since then.
    Waiting(Instant),
    /// It is answered at once.
    Answering,
    /// It waits on our side: for a message, or for memory.
    Held,
    /// It is sent an answer that it does not take at once, and took something of it then.
    Sending(Instant),
}

/// A client's place, given back however its thread ends.
pub struct ConnectionPermit {
    clients: Arc<Clients>,
    client: Arc<Client>,
}

impl Clients {
    /// A place for one more client, for whom another one may have to go.
    ///
    /// # Errors
    /// The stream, if there is none.
    pub fn take(self: &Arc<Clients>, stream: TcpStream) -> Result<ConnectionPermit, TcpStream> {
        let mut places = self.0.lock();
        if places.clients.len() >= MAX_CLIENTS && !places.make_room() || places.threads >= 2 * MAX_CLIENTS {
            return Err(stream);
        }
        let client = Arc::new(Client { stream, doing: Mutex::new(Doing::Waiting(Instant::now())) });
        places.clients.push(client.clone());
        places.threads += 1;
        Ok(ConnectionPermit { clients: self.clone(), client })
    }
}

impl Permits {
    /// Sends one client away that has waited for longest, or else one that does not read; whether there was any.
    fn make_room(&mut self) -> bool {
        let waiting = |doing| if let Doing::Waiting(since) = doing { Some(since) } else { None };
        self.send_away(waiting) || self.send_stuck_away()
    }

    fn send_stuck_away(&mut self) -> bool {
        let now = Instant::now();
        self.send_away(|doing| match doing {
            Doing::Sending(moved) if now.duration_since(moved) >= STUCK => Some(moved),
            _ => None,
        })
    }

    /// Sends the client away for whom `since` says the earliest.
    fn send_away(&mut self, since: impl Fn(Doing) -> Option<Instant>) -> bool {
        let all = self.clients.iter().enumerate();
        let Some((_, at)) = all.filter_map(|(at, client)| Some((since(*client.doing.lock())?, at))).min() else {
            return false;
        };
        let client = self.clients.swap_remove(at);
        // Its thread is told by that, and ends.
        let _ = client.stream.shutdown(Shutdown::Both);
        true
    }
}

impl ConnectionPermit {
    pub fn stream(&self) -> &TcpStream {
        &self.client.stream
    }

    /// A request is waited for.
    pub fn waits(&self) {
        self.does(Doing::Waiting(Instant::now()));
    }

    /// A request is answered.
    pub fn is_answered(&self) {
        self.does(Doing::Answering);
    }

    /// The client took octets of a slow answer.
    pub fn moved(&self) {
        self.does(Doing::Sending(Instant::now()));
    }

    /// The answer takes as long as the client does to read it; false if that are too many.
    pub fn is_slow(&self) -> bool {
        self.is_slow_while(Doing::Sending(Instant::now()))
    }

    /// The answer takes as long as something on our side; false if that are too many.
    pub fn is_held(&self) -> bool {
        self.is_slow_while(Doing::Held)
    }

    fn is_slow_while(&self, doing: Doing) -> bool {
        let mut places = self.clients.0.lock();
        let is_slow =
            |client: &&Arc<Client>| matches!(*client.doing.lock(), Doing::Held | Doing::Sending(_)) && !self.is(client);
        if places.clients.iter().filter(is_slow).count() >= MAX_SLOW && !places.send_stuck_away() {
            return false;
        }
        self.does(doing);
        true
    }

    fn is(&self, client: &Arc<Client>) -> bool {
        Arc::ptr_eq(client, &self.client)
    }

    fn does(&self, doing: Doing) {
        *self.client.doing.lock() = doing;
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut places = self.clients.0.lock();
        places.clients.retain(|client| !self.is(client));
        places.threads -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;

    /// A client's place, and its own end.
    fn client(clients: &Arc<Clients>) -> Option<(ConnectionPermit, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        clients.take(listener.accept().unwrap().0).ok().map(|permit| (permit, ours))
    }

    fn is_sent_away(ours: &mut TcpStream) -> bool {
        ours.set_nonblocking(true).unwrap();
        matches!(ours.read(&mut [0]), Ok(0))
    }

    #[test]
    fn who_waits_longest_makes_room_and_who_is_answered_does_not() {
        let clients = Arc::default();
        let mut all: Vec<_> = (0..MAX_CLIENTS).map(|_| client(&clients).unwrap()).collect();
        all[0].0.is_answered();
        let new = client(&clients).expect("the second makes room");
        assert!(!is_sent_away(&mut all[0].1) && is_sent_away(&mut all[1].1) && !is_sent_away(&mut all[2].1));
        for (permit, _) in all.iter().chain([&new]) {
            permit.is_answered();
        }
        assert!(client(&clients).is_none());
        drop(all.pop());
        assert!(client(&clients).is_some());
    }

    #[test]
    fn places_are_kept_for_what_is_answered_at_once() {
        let clients = Arc::default();
        let mut all: Vec<_> = (0..MAX_CLIENTS).map(|_| client(&clients).unwrap()).collect();
        for (permit, _) in &all[1..MAX_SLOW] {
            assert!(permit.is_held() && permit.is_held());
        }
        assert!(all[0].0.is_slow() && all[0].0.is_slow());
        assert!(!all[MAX_SLOW].0.is_slow() && !all[MAX_SLOW].0.is_held());
        // Who reads, or has only just stopped, keeps its place.
        assert!(!is_sent_away(&mut all[0].1));
        all[0].0.does(Doing::Sending(Instant::now() - STUCK));
        assert!(all[MAX_SLOW].0.is_slow());
        assert!(is_sent_away(&mut all[0].1) && !is_sent_away(&mut all[1].1));
        all[1].0.is_answered();
        assert!(all[0].0.is_slow());
    }
}
