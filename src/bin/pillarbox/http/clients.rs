//! Who is connected, and who makes room when there are too many: whoever has asked for nothing yet, then whoever does not
//! read what was asked for.

use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// How many clients there may be beside those that are held.
pub const MAX_CLIENTS: usize = 128;

/// How many of them may be slow to read their answers. The other places are for what is answered at once, as the page is.
const MAX_SENDING: usize = 96;

/// How long a client may take no octet of its answer while others want its place.
const STUCK: Duration = Duration::from_secs(1);

/// How long a new client waits for threads to end whose clients were sent away: on a busy machine they take a moment.
const ENDING: Duration = Duration::from_secs(2);

/// All clients.
pub struct Clients {
    places: Mutex<Places>,
    ended: Condvar,
    // How many may wait on our side.
    max_held: usize,
}

#[derive(Default)]
struct Places {
    clients: HashMap<u64, Client>,
    // Counts all that there were.
    last: u64,
    held: usize,
    sending: usize,
    // More than clients, while some that had to make room are ending.
    threads: usize,
}

/// One client.
struct Client {
    stream: Arc<TcpStream>,
    doing: Doing,
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
    stream: Arc<TcpStream>,
    number: u64,
}

impl Clients {
    /// None, of whom so many may be held at the same time.
    pub fn new(max_held: usize) -> Clients {
        Clients { places: Mutex::default(), ended: Condvar::new(), max_held }
    }

    /// A place for one more client, for whom another one may have to go.
    ///
    /// # Errors
    /// The stream, if there is none.
    pub fn take(self: &Arc<Clients>, stream: TcpStream) -> Result<ConnectionPermit, TcpStream> {
        // Those who come together to be held are no reason to send each other away before their requests are read.
        let most = MAX_CLIENTS + self.max_held;
        let mut places = self.places.lock();
        if places.clients.len() >= most && !places.make_room() {
            return Err(stream);
        }
        let is_crowded = |places: &mut Places| places.threads >= most + MAX_CLIENTS;
        if self.ended.wait_while_for(&mut places, is_crowded, ENDING).timed_out() {
            return Err(stream);
        }
        let stream = Arc::new(stream);
        places.threads += 1;
        places.last += 1;
        let number = places.last;
        places.clients.insert(number, Client { stream: stream.clone(), doing: Doing::Waiting(Instant::now()) });
        Ok(ConnectionPermit { clients: self.clone(), stream, number })
    }
}

impl Places {
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
        let all = self.clients.iter().filter_map(|(number, client)| Some((since(client.doing)?, *number)));
        let Some((_, number)) = all.min() else { return false };
        if let Some(client) = self.remove(number) {
            // Its thread is told by that, and ends.
            let _ = client.stream.shutdown(Shutdown::Both);
        }
        true
    }

    fn remove(&mut self, number: u64) -> Option<Client> {
        let client = self.clients.remove(&number)?;
        self.count(client.doing, |count| count - 1);
        Some(client)
    }

    /// A client does this now, unless it was sent away.
    fn does(&mut self, number: u64, doing: Doing) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        let before = std::mem::replace(&mut client.doing, doing);
        self.count(before, |count| count - 1);
        self.count(doing, |count| count + 1);
    }

    fn count(&mut self, doing: Doing, change: impl Fn(usize) -> usize) {
        match doing {
            Doing::Held => self.held = change(self.held),
            Doing::Sending(_) => self.sending = change(self.sending),
            Doing::Waiting(_) | Doing::Answering => {}
        }
    }

    fn doing(&self, number: u64) -> Option<Doing> {
        self.clients.get(&number).map(|client| client.doing)
    }
}

impl ConnectionPermit {
    pub fn stream(&self) -> &TcpStream {
        &self.stream
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
        let mut places = self.clients.places.lock();
        let is_one = matches!(places.doing(self.number), Some(Doing::Sending(_)));
        if !is_one && places.sending >= MAX_SENDING && !places.send_stuck_away() {
            return false;
        }
        places.does(self.number, Doing::Sending(Instant::now()));
        true
    }

    /// The answer takes as long as something on our side; false if that are too many.
    pub fn is_held(&self) -> bool {
        let mut places = self.clients.places.lock();
        let is_one = matches!(places.doing(self.number), Some(Doing::Held));
        if !is_one && places.held >= self.clients.max_held {
            return false;
        }
        places.does(self.number, Doing::Held);
        true
    }

    fn does(&self, doing: Doing) {
        self.clients.places.lock().does(self.number, doing);
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut places = self.clients.places.lock();
        places.remove(self.number);
        places.threads -= 1;
        drop(places);
        self.clients.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;

    const MAX_HELD: usize = 100;

    fn clients() -> Arc<Clients> {
        Arc::new(Clients::new(MAX_HELD))
    }

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
        let clients = clients();
        let mut all: Vec<_> = (0..MAX_CLIENTS + MAX_HELD).map(|_| client(&clients).unwrap()).collect();
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
        let clients = clients();
        let mut held: Vec<_> = (0..MAX_HELD).map(|_| client(&clients).unwrap()).collect();
        assert!(held.iter().all(|(permit, _)| permit.is_held() && permit.is_held()));
        let mut others: Vec<_> = (0..MAX_CLIENTS).map(|_| client(&clients).unwrap()).collect();
        assert!(!others[0].0.is_held());
        for (permit, _) in &others[..MAX_SENDING] {
            assert!(permit.is_slow() && permit.is_slow());
        }
        assert!(!others[MAX_SENDING].0.is_slow());
        // Who reads, or has only just stopped, keeps its place.
        assert!(!is_sent_away(&mut others[0].1));
        others[0].0.does(Doing::Sending(Instant::now() - STUCK));
        assert!(others[MAX_SENDING].0.is_slow());
        assert!(is_sent_away(&mut others[0].1) && !is_sent_away(&mut others[1].1));
        others[1].0.is_answered();
        assert!(others[MAX_SENDING + 1].0.is_slow());
        // Who is held makes room for nobody, and for others who are to be once it is answered.
        held[0].0.is_answered();
        assert!(others[1].0.is_held() && !held[0].0.is_held());
        assert!(held.iter_mut().all(|(_, ours)| !is_sent_away(ours)));
        drop((held, others));
        let places = clients.places.lock();
        assert_eq!((places.clients.len(), places.held, places.sending, places.threads), (0, 0, 0, 0));
    }
}
