//! Waiting at a channel for what comes from another thread of this process.

use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Select, TryRecvError};

/// How often others have their turn before a thread sleeps.
const TURNS: usize = 2;

/// As [`Receiver::recv_deadline`], for what the threads of this server wait for: it comes at once, or only when other threads
/// have had their turn.
///
/// So this gives others some turns and then sleeps. The channel's own way is to look seven times first, with longer and longer
/// pauses, which lets nobody else work: where all processors are in use, that takes up to a fifth more processor time for each
/// message. Without any turns, each message would have to wake its consumer and each answer its worker.
pub(crate) fn receive<T>(from: &Receiver<T>, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
    for turns_left in (0..=TURNS).rev() {
        match from.try_recv() {
            Ok(value) => return Ok(value),
            Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) if turns_left == 0 => {}
            Err(TryRecvError::Empty) => thread::yield_now(),
        }
    }
    // To select among operations, even if there is just one, is to wait without that prelude.
    let mut wait = Select::new_biased();
    wait.recv(from);
    let ready = match deadline {
        Some(deadline) => wait.select_deadline(deadline).map_err(|_| RecvTimeoutError::Timeout)?,
        None => wait.select(),
    };
    ready.recv(from).map_err(|_| RecvTimeoutError::Disconnected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::bounded;
    use std::time::Duration;

    #[test]
    fn what_is_there_and_what_comes() {
        for capacity in [0, 1] {
            let (sender, receiver) = bounded(capacity);
            thread::scope(|scope| {
                scope.spawn(|| (1..=100).for_each(|n| sender.send(n).unwrap()));
                for n in 1..=100 {
                    let deadline = (n % 2 == 0).then(|| Instant::now() + Duration::from_secs(60));
                    assert_eq!(receive(&receiver, deadline), Ok(n));
                }
            });
        }
    }

    #[test]
    fn what_does_not_come() {
        let (sender, receiver) = bounded::<u8>(1);
        let deadline = Some(Instant::now() + Duration::from_millis(1));
        assert_eq!(receive(&receiver, deadline), Err(RecvTimeoutError::Timeout));
        drop(sender);
        for deadline in [None, deadline] {
            assert_eq!(receive(&receiver, deadline), Err(RecvTimeoutError::Disconnected));
        }
    }

    #[test]
    fn a_sender_that_goes_ends_the_wait() {
        let (sender, receiver) = bounded::<u8>(1);
        thread::scope(|scope| {
            scope.spawn(|| receive(&receiver, None));
            drop(sender);
        });
        assert_eq!(receive(&receiver, None), Err(RecvTimeoutError::Disconnected));
    }
}
