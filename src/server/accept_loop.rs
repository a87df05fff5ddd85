//! What a listener thread does: accepts connections and hands each to a worker, or says why not.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::connection::channel::Shared;
use crate::connection::shutdown::Shutdown;
use crate::envelope::Endpoint;
use crate::limits::clients::ClientPermit;
use crate::server::listener::Bound;
use crate::server::pool::{Pool, Refusal};
use crate::server::worker::{AcceptedConnection, Live, is_proxy};
use crate::stats::pulse::Pulse;
use crate::syntax::reply::{Reply, Status};

const TOO_MANY: Reply = Reply::fixed(421, Status::new(4, 3, 2), "Too many connections, try again later");
const NO_THREAD: Reply = Reply::fixed(421, Status::new(4, 3, 2), "Out of resources, try again later");

/// What a listener thread needs to give connections to workers.
pub(crate) struct AcceptLoop {
    pub bound: Arc<Bound>,
    pub shared: Arc<Shared>,
    pub shutdown: Arc<Shutdown>,
    pub pool: Arc<Pool<AcceptedConnection>>,
    pub live: Arc<Live>,
    pub serial: Arc<AtomicU64>,
    pub pulse: Arc<Pulse>,
}

impl AcceptLoop {
    pub fn run(&self) {
        const SHORTEST: Duration = Duration::from_millis(5);
        const LONGEST: Duration = Duration::from_millis(250);
        const LOG_INTERVAL: Duration = Duration::from_secs(10);
        let mut pause = SHORTEST;
        let mut logged: Option<Instant> = None;
        let _end = self.pulse.until_dropped();
        while !self.shutdown.is_closing() {
            match self.bound.accept() {
                Ok(_) if self.shutdown.is_closing() => return,
                Ok((socket, peer)) => {
                    pause = SHORTEST;
                    self.pulse.beat();
                    self.hand_over(socket, peer);
                    self.pulse.beat();
                }
                Err(e) if is_of_one_connection(&e) => {}
                Err(_) if self.shutdown.is_closing() => return,
                Err(e) => {
                    // Most likely no file descriptor is left. The connection stays in the kernel's queue; asking for it
                    // again and again would take a processor and help nobody.
                    if logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
                        log::warn!("cannot accept connections at {}: {e}", self.bound.local());
                        logged = Some(Instant::now());
                    }
                    self.pool.wait_for_end_of_a_job(pause);
                    pause = (pause * 2).min(LONGEST);
                }
            }
        }
    }

    fn hand_over(&self, socket: Socket, peer: Endpoint) {
        let id = self.serial.fetch_add(1, Ordering::Relaxed) + 1;
        // A proxy's connections are counted as its clients', once it has told whose they are.
        let is_proxy = is_proxy(&self.shared.config, &peer);
        let permit = if is_proxy { Ok(ClientPermit::default()) } else { self.shared.addresses.take(&peer) };
        let permit = match permit {
            Ok(permit) => permit,
            Err(why) => {
                why.counter(&self.shared.counters).add(1);
                return self.refuse(&socket, &peer, &why.reply());
            }
        };
        let local = self.bound.local_of(&socket);
        let stress_permit = self.shared.stress.enter();
        // Others need to end only if there is somebody who comes.
        if let Some(earliest) = self.shared.stress.search() {
            self.live.give_up_waiting(earliest);
        }
        match self.pool.submit(AcceptedConnection {
            id,
            socket,
            peer,
            local,
            shared: self.shared.clone(),
            permit,
            stress_permit,
        }) {
            Ok(()) => {}
            Err((connection, Refusal::Full)) => {
                self.shared.counters.refused_connections.too_many.add(1);
                self.refuse(&connection.socket, &connection.peer, &TOO_MANY);
            }
            Err((connection, Refusal::NoThread(e))) => {
                log::warn!("cannot start a thread for a connection: {e}");
                self.shared.counters.refused_connections.no_thread.add(1);
                self.refuse(&connection.socket, &connection.peer, &NO_THREAD);
            }
        }
    }

    /// Says why and lets go. The listener never waits for a client: what one write cannot send stays unsaid.
    fn refuse(&self, socket: &Socket, peer: &Endpoint, reply: &Reply) {
        log::info!("connection from {peer} refused: {reply}");
        let mut text = Vec::new();
        reply.render(&mut text);
        let said = socket.set_nonblocking(true).and_then(|()| socket.send(&text));
        // The client may have gone: then nobody misses it.
        let _ = said.and_then(|_| socket.shutdown(std::net::Shutdown::Write));
    }
}

/// Whether an error of accept is about a connection that has ended before it was accepted, or a signal: the next one may be
/// accepted at once. Linux passes on what happened to the connection's network as well.
fn is_of_one_connection(error: &io::Error) -> bool {
    // It has no kind of its own.
    const EPROTO: i32 = 71;
    let is_protocol = cfg!(target_os = "linux") && error.raw_os_error() == Some(EPROTO);
    is_protocol
        || matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::Interrupted
                | io::ErrorKind::NetworkDown
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::HostUnreachable
        )
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn errors_of_one_connection_and_of_all() {
        // EINTR, EPROTO, ENETDOWN, ENETUNREACH, ECONNABORTED, EHOSTUNREACH
        for code in [4, 71, 100, 101, 103, 113] {
            assert!(is_of_one_connection(&io::Error::from_raw_os_error(code)), "{code}");
        }
        // EBADF, EAGAIN, ENOMEM, EINVAL, ENFILE, EMFILE, ENOBUFS
        for code in [9, 11, 12, 22, 23, 24, 105] {
            assert!(!is_of_one_connection(&io::Error::from_raw_os_error(code)), "{code}");
        }
    }
}
