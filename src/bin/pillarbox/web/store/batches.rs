//! Jobs of several threads that one of them does together.

use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;

/// Jobs that wait while others are done. Whoever is next does all that have come meanwhile.
pub struct Batches<J, R> {
    waiting: Mutex<Vec<Arc<Ticket<J, R>>>>,
    turn: Mutex<()>,
}

struct Ticket<J, R> {
    job: Mutex<Option<J>>,
    result: Mutex<Option<R>>,
}

impl<J, R> Default for Batches<J, R> {
    fn default() -> Batches<J, R> {
        Batches { waiting: Mutex::default(), turn: Mutex::default() }
    }
}

impl<J, R> Batches<J, R> {
    /// Has a job done by `work`, of this thread or of another, which gives a result for each of the jobs in order. Only one
    /// works at a time. `None` if `work` gave too few, or has panicked.
    pub fn run(&self, job: J, work: impl FnOnce(Vec<J>) -> Vec<R>) -> Option<R> {
        let own = Arc::new(Ticket { job: Mutex::new(Some(job)), result: Mutex::default() });
        self.waiting.lock().push(own.clone());
        let _turn = self.turn.lock();
        if own.job.lock().is_some() {
            let tickets = mem::take(&mut *self.waiting.lock());
            let jobs = tickets.iter().filter_map(|ticket| ticket.job.lock().take()).collect();
            for (ticket, result) in tickets.iter().zip(work(jobs)) {
                *ticket.result.lock() = Some(result);
            }
        }
        own.result.lock().take()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use crossbeam_channel::bounded;

    use super::*;

    #[test]
    fn what_comes_while_one_works_is_done_together() {
        let batches = Batches::default();
        let (begun, begins) = bounded(1);
        let (release, gate) = bounded::<()>(1);
        let double = |jobs: Vec<usize>| {
            let count = jobs.len();
            jobs.into_iter().map(|job| (2 * job, count)).collect()
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                batches.run(0, |jobs| {
                    begun.send(()).unwrap();
                    gate.recv().unwrap();
                    double(jobs)
                })
            });
            begins.recv().unwrap();
            let batches = &batches;
            let others: Vec<_> = (1..=10).map(|job| (job, scope.spawn(move || batches.run(job, double)))).collect();
            while batches.waiting.lock().len() < 10 {
                thread::yield_now();
            }
            release.send(()).unwrap();
            for (job, other) in others {
                assert_eq!(other.join().unwrap(), Some((2 * job, 10)));
            }
        });
    }

    #[test]
    fn a_panic_leaves_nobody_waiting() {
        let batches = Batches::<u8, u8>::default();
        let panicked =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| batches.run(1, |_| panic!("on purpose"))));
        assert!(panicked.is_err());
        assert_eq!(batches.run(2, |jobs| jobs), Some(2));
        assert_eq!(batches.run(3, |_| Vec::new()), None);
    }
}
