//! Name resolution with a deadline, which the system's has not.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// Looks a name up on a separate thread, one at a time however many wait for the answer: a resolver that hangs blocks
/// that thread, and callers go on at their deadline.
#[derive(Default, Debug)]
pub(crate) struct Resolver {
    under_way: Mutex<Option<Arc<Question>>>,
}

/// The addresses, or what there is of an error that many can be told.
type Answer = Result<Vec<SocketAddr>, (ErrorKind, String)>;

#[derive(Default, Debug)]
struct Question {
    answer: Mutex<Option<Answer>>,
    answered: Condvar,
}

impl Resolver {
    pub fn look_up(self: &Arc<Self>, host: &str, port: u16, deadline: Instant) -> io::Result<Vec<SocketAddr>> {
        let question = self.ask(host, port)?;
        let mut answer = question.answer.lock();
        while answer.is_none() {
            if question.answered.wait_until(&mut answer, deadline).timed_out() {
                return Err(ErrorKind::TimedOut.into());
            }
        }
        match answer.as_ref() {
            Some(Ok(addresses)) => Ok(addresses.clone()),
            Some(Err((kind, text))) => Err(io::Error::new(*kind, text.clone())),
            None => Err(ErrorKind::TimedOut.into()),
        }
    }

    /// The look-up that is running, or a new one.
    fn ask(self: &Arc<Self>, host: &str, port: u16) -> io::Result<Arc<Question>> {
        let mut under_way = self.under_way.lock();
        if let Some(question) = &*under_way {
            return Ok(question.clone());
        }
        let question = Arc::new(Question::default());
        let (asked, resolver, host) = (question.clone(), self.clone(), host.to_owned());
        thread::Builder::new().name("pillarbox resolver".to_owned()).spawn(move || {
            let found = (host.as_str(), port).to_socket_addrs();
            // Who asks from now on has not waited for this.
            *resolver.under_way.lock() = None;
            *asked.answer.lock() = Some(found.map(Iterator::collect).map_err(|e| (e.kind(), e.to_string())));
            asked.answered.notify_all();
        })?;
        *under_way = Some(question.clone());
        Ok(question)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn many_who_ask_get_the_answer() {
        let resolver = Arc::new(Resolver::default());
        let ask = |resolver: Arc<Resolver>| resolver.look_up("localhost", 25, Instant::now() + Duration::from_secs(30));
        let others: Vec<_> = (0..20)
            .map(|_| {
                thread::spawn({
                    let resolver = resolver.clone();
                    move || ask(resolver)
                })
            })
            .collect();
        let all = others.into_iter().map(|other| other.join().unwrap().unwrap());
        assert!(all.flatten().all(|address| address.ip().is_loopback() && address.port() == 25));
        assert!(resolver.look_up("no host", 25, Instant::now() + Duration::from_secs(30)).is_err());
    }

    #[test]
    fn who_asks_waits_no_longer_than_its_deadline() {
        let resolver = Arc::new(Resolver::default());
        // One that is never answered.
        *resolver.under_way.lock() = Some(Arc::default());
        let late = resolver.look_up("localhost", 25, Instant::now() + Duration::from_millis(20));
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
