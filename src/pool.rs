//! The worker threads: one connection each, handed over by rendezvous.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, TrySendError, bounded};
use parking_lot::{Condvar, Mutex};

/// How long a worker without a connection waits for the next one before it ends.
const IDLE: Duration = Duration::from_secs(20);

/// How long a free worker may take from one connection to the next: it only has to come round its loop.
const TURN: Duration = Duration::from_millis(10);

/// A bounded set of threads, each of which does one job at a time.
///
/// A job never waits in a queue: it goes to a thread that is idle, or to a new one, or comes back.
pub(crate) struct Pool<J> {
    jobs: Sender<J>,
    crew: Arc<Crew<J>>,
}

/// What the threads of a pool share.
struct Crew<J> {
    jobs: Receiver<J>,
    work: Box<dyn Fn(J) + Send + Sync>,
    max: usize,
    stack: usize,
    threads: Threads,
    serial: AtomicU64,
    // At most `max`.
    under_way: Arc<Jobs>,
}

/// The jobs that are under way.
#[derive(Default)]
pub(crate) struct Jobs {
    count: Mutex<usize>,
    ended: Condvar,
}

impl Jobs {
    /// Waits until there is none; false if there still is one at the deadline.
    pub fn wait_for_none(&self, deadline: Instant) -> bool {
        let mut count = self.count.lock();
        while *count > 0 {
            if self.ended.wait_until(&mut count, deadline).timed_out() {
                return *count == 0;
            }
        }
        true
    }

    fn end_one(&self) {
        *self.count.lock() -= 1;
        self.ended.notify_all();
    }
}

/// Why a job was not taken.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// As many jobs as are allowed are under way.
    Full,
    /// The system has no thread to give.
    NoThread(io::Error),
}

impl<J: Send + 'static> Pool<J> {
    /// A pool of at most `max` threads with `stack` octets of stack; no thread is started before there is a job.
    pub fn new(max: usize, stack: usize, work: impl Fn(J) + Send + Sync + 'static) -> Pool<J> {
        let (jobs, receiver) = bounded(0);
        let crew = Crew {
            jobs: receiver,
            work: Box::new(work),
            max,
            stack,
            threads: Threads::default(),
            serial: AtomicU64::new(0),
            under_way: Arc::default(),
        };
        Pool { jobs, crew: Arc::new(crew) }
    }

    /// Gives a job to a thread; it comes back if none can take it.
    pub fn submit(&self, mut job: J) -> Result<(), (J, Refusal)> {
        {
            let mut busy = self.crew.under_way.count.lock();
            if *busy >= self.crew.max {
                return Err((job, Refusal::Full));
            }
            *busy += 1;
        }
        // A seat is free, but whoever had it may still be on the way back to its loop: then a moment's wait saves a
        // thread more than there are seats.
        let patience = Instant::now() + Duration::from_secs(1);
        loop {
            match self.jobs.try_send(job) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(back) | TrySendError::Disconnected(back)) => job = back,
            }
            if self.crew.threads.count() < self.crew.max {
                return self.crew.start(job).map_err(|(job, e)| {
                    self.crew.under_way.end_one();
                    (job, Refusal::NoThread(e))
                });
            }
            match self.jobs.send_timeout(job, TURN) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Timeout(back) | SendTimeoutError::Disconnected(back)) => job = back,
            }
            if Instant::now() > patience {
                self.crew.under_way.end_one();
                return Err((job, Refusal::Full));
            }
        }
    }

    /// Waits until a job ends, or for as long.
    pub fn wait_for_end_of_a_job(&self, timeout: Duration) {
        let mut busy = self.crew.under_way.count.lock();
        self.crew.under_way.ended.wait_for(&mut busy, timeout);
    }

    /// The jobs under way, to be waited for.
    pub fn jobs(&self) -> Arc<Jobs> {
        self.crew.under_way.clone()
    }

    /// No job can come any more; threads end when they have done what they are at.
    pub fn close(self) -> Closed<J> {
        Closed(self.crew)
    }
}

/// A pool that takes no more jobs.
pub(crate) struct Closed<J>(Arc<Crew<J>>);

impl<J> Closed<J> {
    /// Waits for all threads to end; false if some have not by the deadline.
    pub fn join_by(&self, deadline: Instant) -> bool {
        self.0.threads.join_by(deadline)
    }
}

impl<J: Send + 'static> Crew<J> {
    fn start(self: &Arc<Self>, job: J) -> Result<(), (J, io::Error)> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed) + 1;
        // The job is fetched by the thread: if there will be none, it is still here.
        let (sender, receiver) = bounded(1);
        let crew = self.clone();
        let started = self.threads.spawn(
            thread::Builder::new().name(format!("pillarbox-{serial}")).stack_size(self.stack),
            move || {
                if let Ok(job) = receiver.recv() {
                    crew.run(job);
                }
            },
        );
        match started {
            Ok(()) => {
                // The thread waits for it: it cannot have gone.
                let _ = sender.send(job);
                Ok(())
            }
            Err(e) => Err((job, e)),
        }
    }

    fn run(&self, mut job: J) {
        loop {
            {
                // Counts down even if the work should panic.
                let _seat = Seat(self);
                (self.work)(job);
            }
            job = match self.jobs.recv_timeout(IDLE) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            };
        }
    }
}

struct Seat<'a, J: Send + 'static>(&'a Crew<J>);

impl<J: Send + 'static> Drop for Seat<'_, J> {
    fn drop(&mut self) {
        self.0.under_way.end_one();
    }
}

/// Threads that can be waited for together, with a deadline, and of which none is left behind unjoined.
#[derive(Default)]
pub(crate) struct Threads {
    roll: Arc<Roll>,
}

#[derive(Default)]
struct Roll {
    handles: Mutex<Handles>,
    changed: Condvar,
}

#[derive(Default)]
struct Handles {
    next: u64,
    live: HashMap<u64, JoinHandle<()>>,
    // Those that are at their end: joining them takes no time.
    ended: Vec<JoinHandle<()>>,
}

impl Threads {
    pub fn count(&self) -> usize {
        self.roll.handles.lock().live.len()
    }

    pub fn spawn(&self, builder: thread::Builder, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        // Held until the handle is in its place: the thread looks for it there at its end.
        let mut handles = self.roll.handles.lock();
        let key = handles.next;
        let roll = self.roll.clone();
        let handle = builder.spawn(move || {
            // Made here: if there is no thread, nothing leaves.
            let _leave = Leave { roll, key };
            work();
        })?;
        handles.next += 1;
        handles.live.insert(key, handle);
        Ok(())
    }

    /// Waits for all of them; false if some have not ended by the deadline.
    pub fn join_by(&self, deadline: Instant) -> bool {
        let mut handles = self.roll.handles.lock();
        while !handles.live.is_empty() {
            if self.roll.changed.wait_until(&mut handles, deadline).timed_out() {
                break;
            }
        }
        let ended = std::mem::take(&mut handles.ended);
        let all = handles.live.is_empty();
        drop(handles);
        join(ended);
        all
    }
}

/// Takes a thread off the roll at its end.
struct Leave {
    roll: Arc<Roll>,
    key: u64,
}

impl Drop for Leave {
    fn drop(&mut self) {
        let mut handles = self.roll.handles.lock();
        let Some(own) = handles.live.remove(&self.key) else {
            return;
        };
        // Who ends joins those that ended before, so that at most one waits for it at any time.
        let before = std::mem::replace(&mut handles.ended, vec![own]);
        self.roll.changed.notify_all();
        drop(handles);
        join(before);
    }
}

fn join(handles: Vec<JoinHandle<()>>) {
    for handle in handles {
        // A panic was told by the panic hook already.
        let _ = handle.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_over_the_limit_come_back_and_seats_are_used_again() {
        let (started, starts) = bounded(10);
        let (release, gate) = bounded::<()>(10);
        let pool = Pool::new(2, 64 * 1024, move |job: u32| {
            started.send(job).unwrap();
            gate.recv().unwrap();
        });
        pool.submit(1).unwrap();
        pool.submit(2).unwrap();
        starts.recv().unwrap();
        starts.recv().unwrap();
        assert!(matches!(pool.submit(3), Err((3, Refusal::Full))));
        release.send(()).unwrap();
        // The seat becomes free at some moment; until then the job comes back.
        let mut job = 4;
        while let Err((back, _)) = pool.submit(job) {
            pool.wait_for_end_of_a_job(Duration::from_millis(100));
            job = back;
        }
        assert_eq!(starts.recv(), Ok(4));
        assert!(pool.crew.threads.count() <= 2);
        release.send(()).unwrap();
        release.send(()).unwrap();
        assert!(pool.close().join_by(Instant::now() + Duration::from_secs(30)));
    }

    #[test]
    fn a_panicking_job_frees_its_seat() {
        let pool = Pool::new(1, 64 * 1024, |panics: bool| assert!(!panics, "on purpose"));
        pool.submit(true).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while pool.submit(false).is_err() {
            assert!(Instant::now() < deadline);
            pool.wait_for_end_of_a_job(Duration::from_millis(10));
        }
        assert!(pool.close().join_by(deadline));
    }

    #[test]
    fn without_threads_jobs_come_back_and_seats_stay_free() {
        // More stack than any machine has addresses for.
        let pool = Pool::new(1, 1 << 56, |()| {});
        for _ in 0..3 {
            assert!(matches!(pool.submit(()), Err(((), Refusal::NoThread(_)))));
        }
        assert!(pool.close().join_by(Instant::now()));
    }

    #[test]
    fn the_end_of_a_job_ends_the_wait_for_one() {
        let pool = Arc::new(Pool::new(1, 64 * 1024, |()| {}));
        let waiting = thread::spawn({
            let pool = pool.clone();
            move || pool.wait_for_end_of_a_job(Duration::from_secs(3600))
        });
        let deadline = Instant::now() + Duration::from_secs(30);
        while !waiting.is_finished() {
            assert!(Instant::now() < deadline);
            // Refused while the one before is not at its end.
            let _ = pool.submit(());
        }
    }

    #[test]
    fn waiting_ends_at_the_deadline() {
        let threads = Threads::default();
        let (release, gate) = bounded::<()>(0);
        threads.spawn(thread::Builder::new(), move || assert!(gate.recv().is_err())).unwrap();
        assert!(!threads.join_by(Instant::now()));
        drop(release);
        assert!(threads.join_by(Instant::now() + Duration::from_secs(30)));
    }
}
