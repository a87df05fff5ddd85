//! What a connection knows of the script of a server's faults.

use std::time::{Duration, Instant};

use crate::config::FOREVER;
use crate::faults::{Do, Faults, Foreseen, Moment};
use crate::io::tls::Tls;
use crate::syntax::address::{ForwardPath, ReversePath};

/// A connection's part in the script of a server's faults.
pub(super) struct Scripted {
    pub faults: Faults,
    // The number of the transaction on the server.
    pub message: u64,
    // What is known of the acceptance of the message that was handed on.
    pub foreseen: Option<Foreseen>,
    pub manner: Option<Manner>,
    pub progress: Progress,
    pub verdicts: Option<Verdicts>,
    pub bandwidth: Option<Bandwidth>,
}

/// How much of a message's content has come.
#[derive(Default)]
pub(super) struct Progress {
    // In octets as they were sent.
    pub octets: u64,
    // At how many of them the script was asked last.
    pub asked: Option<u64>,
    // Whether the script has answered the message, whose rest is only read off.
    pub is_answered: bool,
}

/// Whom a message was for that is with its handler now.
pub(super) struct Verdicts {
    pub from: Option<ReversePath>,
    pub recipients: Vec<ForwardPath>,
}

/// How many octets a connection carries in a second.
pub(super) struct Bandwidth {
    rate: u64,
    // Of the script that said so; it holds as long as that one.
    epoch: u64,
    free_at: Instant,
}

/// So many times a second something may be carried, if it is not an octet that takes longer.
const SLICES: u64 = 20;

impl Bandwidth {
    /// How many octets may be carried at once.
    fn slice(&self) -> usize {
        usize::try_from((self.rate / SLICES).max(1)).unwrap_or(usize::MAX)
    }

    /// Notes that octets were carried, and says when the next may be.
    fn carry(&mut self, octets: usize, now: Instant) -> Instant {
        let nanoseconds = octets as u128 * 1_000_000_000 / u128::from(self.rate);
        let time = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX)).min(FOREVER);
        self.free_at = self.free_at.max(now) + time;
        self.free_at
    }
}

/// How the next reply goes out.
#[derive(Default)]
pub(super) struct Manner {
    // Sent instead of the reply.
    pub octets: Option<Vec<u8>>,
    pub without: Vec<String>,
    pub drip: Option<Duration>,
    pub end: Option<(Moment, End)>,
    pub certificate: Option<Tls>,
}

/// How a connection ends.
#[derive(Clone, Copy)]
pub(super) enum End {
    Close,
    Reset,
}

impl Scripted {
    #[inline(never)]
    pub fn new(faults: Faults) -> Box<Scripted> {
        Box::new(Scripted {
            faults,
            message: 0,
            foreseen: None,
            manner: None,
            progress: Progress::default(),
            verdicts: None,
            bandwidth: None,
        })
    }

    pub fn manner(&mut self) -> &mut Manner {
        self.manner.get_or_insert_default()
    }
    /// From now on no more than this many octets in a second.
    pub fn slow_down(&mut self, rate: u64) {
        let epoch = self.faults.epoch();
        self.bandwidth = Some(Bandwidth { rate: rate.max(1), epoch, free_at: Instant::now() });
    }

    /// How many octets may be carried at once.
    pub fn slice(&mut self) -> usize {
        self.current_bandwidth().map_or(usize::MAX, |bandwidth| bandwidth.slice())
    }

    /// Notes that octets were carried, and says when the next may be, if they have to wait.
    pub fn carry(&mut self, octets: usize) -> Option<Instant> {
        self.current_bandwidth().map(|bandwidth| bandwidth.carry(octets, Instant::now()))
    }

    fn current_bandwidth(&mut self) -> Option<&mut Bandwidth> {
        let epoch = self.faults.epoch();
        self.bandwidth.take_if(|bandwidth| bandwidth.epoch != epoch);
        self.bandwidth.as_mut()
    }
}

impl Manner {
    /// Takes on what an action says of the next reply, if it says anything.
    pub fn set(&mut self, what: Do) {
        match what {
            Do::Garbage(octets) => self.octets = Some(octets),
            Do::Drip(pause) => self.drip = Some(pause),
            Do::Without(keywords) => self.without.extend(keywords),
            Do::Certificate(tls) => self.certificate = Some(tls),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_take_their_time_whatever_they_come_in() {
        let now = Instant::now();
        for (rate, piece, slice) in [(1, 1, 1), (1000, 50, 50), (1000, 7, 50), (u64::MAX, 50, 922_337_203_685_477_580)]
        {
            let mut bandwidth = Bandwidth { rate, epoch: 0, free_at: now };
            let free_at = (0..2100 / piece).map(|_| bandwidth.carry(piece, now)).last().unwrap();
            assert_eq!(bandwidth.slice(), slice);
            let time = Duration::from_nanos((2_100_000_000_000_u128 / u128::from(rate)) as u64);
            assert_eq!(free_at - now, time, "{rate}");
        }
    }

    #[test]
    fn time_in_which_nothing_came_is_not_made_up_for() {
        let now = Instant::now();
        let mut bandwidth = Bandwidth { rate: 10, epoch: 0, free_at: now };
        let later = now + Duration::from_secs(100);
        assert_eq!(bandwidth.carry(5, later), later + Duration::from_millis(500));
        assert!(bandwidth.carry(usize::MAX, later) >= later + FOREVER);
    }

    #[test]
    fn bandwidth_ends_with_the_script() {
        let mut scripted = Scripted::new(Faults::new());
        assert_eq!((scripted.slice(), scripted.carry(1)), (usize::MAX, None));
        scripted.slow_down(0);
        assert_eq!(scripted.slice(), 1);
        assert!(scripted.carry(1).is_some());
        scripted.faults.clear();
        assert_eq!((scripted.slice(), scripted.carry(1)), (usize::MAX, None));
    }
}
