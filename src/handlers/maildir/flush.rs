//! Flushing a folder once for all who have put something into it meanwhile.

use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

/// Several threads that each need a folder flushed, by as few flushes as will do.
///
/// A flush that was under way when somebody asks may have come too early for it. So it waits for the next one, together
/// with all who ask meanwhile: one of them does it.
#[derive(Default)]
pub(super) struct GroupFlush {
    state: Mutex<FlushState>,
}

#[derive(Default)]
struct FlushState {
    is_running: bool,
    // The flush that has not begun yet.
    next: Arc<Flush>,
}

#[derive(Default)]
struct Flush {
    outcome: Mutex<Option<Outcome>>,
    // That it may begin, for one who waits for it; that it has ended, for all.
    changed: Condvar,
}

/// What an `io::Error` says, for all who waited for it.
#[derive(Clone, Copy)]
struct Outcome(Result<(), (Option<i32>, io::ErrorKind)>);

impl Outcome {
    fn of(result: &io::Result<()>) -> Outcome {
        Outcome(result.as_ref().copied().map_err(|e| (e.raw_os_error(), e.kind())))
    }

    fn into_result(self) -> io::Result<()> {
        self.0.map_err(|(code, kind)| code.map_or_else(|| kind.into(), io::Error::from_raw_os_error))
    }
}

impl GroupFlush {
    /// Returns when a flush has ended that began after this was called, with what became of it.
    pub fn wait(&self, flush: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut state = self.state.lock();
        let own = state.next.clone();
        loop {
            if let Some(outcome) = *own.outcome.lock() {
                return outcome.into_result();
            }
            if !state.is_running {
                break;
            }
            own.changed.wait(&mut state);
        }
        state.is_running = true;
        state.next = Arc::default();
        drop(state);
        let running = Running { group: self, flush: &own };
        let result = flush();
        *own.outcome.lock() = Some(Outcome::of(&result));
        drop(running);
        result
    }
}

/// A flush under way. However it ends, nobody waits for it any longer.
struct Running<'a> {
    group: &'a GroupFlush,
    flush: &'a Flush,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let failed = Outcome(Err((None, io::ErrorKind::Other)));
        self.flush.outcome.lock().get_or_insert(failed);
        let next = {
            let mut state = self.group.state.lock();
            state.is_running = false;
            state.next.clone()
        };
        self.flush.changed.notify_all();
        // One begins it; the others would only wait again.
        next.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use crossbeam_channel::bounded;

    use super::*;

    #[test]
    fn all_who_ask_during_a_flush_share_the_next() {
        let group = GroupFlush::default();
        let count = AtomicUsize::new(0);
        let (begun, begins) = bounded(1);
        let (release, gate) = bounded::<()>(1);
        thread::scope(|scope| {
            scope.spawn(|| {
                group.wait(|| {
                    begun.send(()).unwrap();
                    gate.recv().unwrap();
                    Ok(())
                })
            });
            begins.recv().unwrap();
            let asking: Vec<_> = (0..10)
                .map(|_| {
                    scope.spawn(|| {
                        group.wait(|| {
                            count.fetch_add(1, Ordering::Relaxed);
                            Err(io::Error::from_raw_os_error(28))
                        })
                    })
                })
                .collect();
            // Each holds the flush that has not begun; the state does, and this test.
            let next = group.state.lock().next.clone();
            while Arc::strong_count(&next) < 12 {
                thread::yield_now();
            }
            release.send(()).unwrap();
            for asked in asking {
                let error = asked.join().unwrap().unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            }
        });
        assert_eq!(count.load(Ordering::Relaxed), 1);
        assert!(group.wait(|| Ok(())).is_ok());
    }

    #[test]
    fn nobody_is_passed_over_or_served_by_a_flush_from_before() {
        let group = GroupFlush::default();
        let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let before = begun.load(Ordering::SeqCst);
                        let flush = || {
                            let own = begun.fetch_add(1, Ordering::SeqCst) + 1;
                            thread::yield_now();
                            ended.store(own, Ordering::SeqCst);
                            Ok(())
                        };
                        group.wait(flush).unwrap();
                        assert!(ended.load(Ordering::SeqCst) > before);
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_leaves_nobody_waiting() {
        let group = GroupFlush::default();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| group.wait(|| panic!("on purpose"))));
        assert!(panicked.is_err());
        assert!(group.wait(|| Ok(())).is_ok());
    }
}
