//! A pool of threads that take one job each, such as a connection.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// How long a worker without a connection waits for the next one before it ends.
const IDLE: Duration = Duration::from_secs(20);

/// How many of the workers without a connection take turns at the next one; those that have waited longer are left to end.
///
/// Linux wakes a thread on the processor where it ran last, if that is idle. So one worker alone may stay on another than its
/// client, and each exchange wakes a processor that sleeps; workers that take turns have run on several. `benches/README.md` has
/// figures.
const IN_TURN: usize = 8;

/// A bounded set of threads, each of which does one job at a time.
///
/// A job never waits in a queue: it goes to one of the threads that became idle last, to a new one, or comes back.
///
/// Each thread waits on a condition of its own. With one channel for all, each would poll before it sleeps, and be
/// searched for among all the others: that cost a third more calls into the scheduler.
pub(crate) struct Pool<J: Send + 'static> {
    crew: Arc<Crew<J>>,
}

/// What one thread does with its jobs. It may keep something from one to the next.
pub(crate) type Work<J> = Box<dyn FnMut(J)>;

/// What the threads of a pool share.
struct Crew<J> {
    hire: Box<dyn Fn() -> Work<J> + Send + Sync>,
    patience: Duration,
    max: usize,
    stack: usize,
    threads: Threads,
    serial: AtomicU64,
    staff: Arc<Staff<J>>,
}

/// Who works and who waits, apart from the work itself, so that a reference to it does not keep alive what the work
/// needs.
struct Staff<J> {
    now: Mutex<Now<J>>,
    a_job_ended: Condvar,
}

struct Now<J> {
    // Who waits longest is first.
    idle: Vec<Arc<IdleThread<J>>>,
    // The jobs under way, at most `max`; all other threads are idle.
    busy: usize,
    is_dismissed: bool,
}

/// Where an idle thread waits.
struct IdleThread<J> {
    next: Mutex<Next<J>>,
    changed: Condvar,
}

/// What a thread does next.
enum Next<J> {
    Wait,
    Work(J),
    Leave,
}

impl<J> IdleThread<J> {
    fn tell(&self, next: Next<J>) {
        *self.next.lock() = next;
        self.changed.notify_one();
    }
}

/// The jobs of a pool that are under way.
pub(crate) struct Jobs<J>(Arc<Staff<J>>);

impl<J> Jobs<J> {
    /// Waits until there is none; false if there still is one at the deadline.
    pub fn wait_for_none(&self, deadline: Instant) -> bool {
        let mut now = self.0.now.lock();
        while now.busy > 0 {
            if self.0.a_job_ended.wait_until(&mut now, deadline).timed_out() {
                return now.busy == 0;
            }
        }
        true
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
        Pool::with_patience(IDLE, max, stack, sharing(work))
    }

    /// As [`new`](Pool::new), where each thread has work of its own: `hire` is asked in each for what that does.
    pub fn hiring(max: usize, stack: usize, hire: impl Fn() -> Work<J> + Send + Sync + 'static) -> Pool<J> {
        Pool::with_patience(IDLE, max, stack, hire)
    }

    fn with_patience(
        patience: Duration,
        max: usize,
        stack: usize,
        hire: impl Fn() -> Work<J> + Send + Sync + 'static,
    ) -> Pool<J> {
        let crew = Crew {
            hire: Box::new(hire),
            patience,
            max,
            stack,
            threads: Threads::default(),
            serial: AtomicU64::new(0),
            staff: Arc::new(Staff {
                now: Mutex::new(Now { idle: Vec::new(), busy: 0, is_dismissed: false }),
                a_job_ended: Condvar::new(),
            }),
        };
        Pool { crew: Arc::new(crew) }
    }

    /// Gives a job to a thread; it comes back if none can take it.
    pub fn submit(&self, job: J) -> Result<(), (J, Refusal)> {
        let mut now = self.crew.staff.now.lock();
        if now.busy >= self.crew.max {
            return Err((job, Refusal::Full));
        }
        now.busy += 1;
        let next = now.idle.len().saturating_sub(IN_TURN);
        let idle = (next < now.idle.len()).then(|| now.idle.remove(next));
        drop(now);
        if let Some(thread) = idle {
            thread.tell(Next::Work(job));
            return Ok(());
        }
        self.crew.start(job).map_err(|(job, e)| {
            self.crew.staff.end_a_job(None);
            (job, Refusal::NoThread(e))
        })
    }

    /// Waits until a job ends, up to `timeout`.
    pub fn wait_for_end_of_a_job(&self, timeout: Duration) {
        let staff = &self.crew.staff;
        staff.a_job_ended.wait_for(&mut staff.now.lock(), timeout);
    }

    /// The jobs under way, to be waited for.
    pub fn jobs(&self) -> Jobs<J> {
        Jobs(self.crew.staff.clone())
    }

    /// No job can come any more; threads end when they have done what they are at.
    pub fn close(self) -> Closed<J> {
        Closed(self.crew.clone())
    }
}

impl<J: Send + 'static> Drop for Pool<J> {
    fn drop(&mut self) {
        let mut now = self.crew.staff.now.lock();
        now.is_dismissed = true;
        let idle = mem::take(&mut now.idle);
        drop(now);
        idle.iter().for_each(|thread| thread.tell(Next::Leave));
    }
}

/// Work that all threads do alike.
fn sharing<J: 'static>(work: impl Fn(J) + Send + Sync + 'static) -> impl Fn() -> Work<J> + Send + Sync + 'static {
    let work = Arc::new(work);
    move || {
        let work = work.clone();
        Box::new(move |job| work(job))
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
        let thread = Arc::new(IdleThread { next: Mutex::new(Next::Wait), changed: Condvar::new() });
        let builder = thread::Builder::new().name(format!("pillarbox-{serial}")).stack_size(self.stack);
        let (crew, own) = (self.clone(), thread.clone());
        match self.threads.spawn(builder, move || crew.run(&own)) {
            Ok(()) => {
                thread.tell(Next::Work(job));
                Ok(())
            }
            Err(e) => Err((job, e)),
        }
    }

    fn run(&self, thread: &Arc<IdleThread<J>>) {
        let mut work = None;
        while let Some(job) = self.staff.wait(thread, self.patience) {
            let panics = EndsByPanic(&self.staff);
            work.get_or_insert_with(&self.hire)(job);
            mem::forget(panics);
            if !self.staff.end_a_job(Some(thread)) {
                return;
            }
        }
    }
}

impl<J> Staff<J> {
    /// A job has ended, and its thread can be found from now on; false if nobody looks any more.
    fn end_a_job(&self, thread: Option<&Arc<IdleThread<J>>>) -> bool {
        let mut now = self.now.lock();
        now.busy -= 1;
        let stays = !now.is_dismissed;
        if stays {
            now.idle.extend(thread.cloned());
        }
        drop(now);
        self.a_job_ended.notify_all();
        stays
    }

    /// The next job, if one comes in time.
    #[inline(never)]
    fn wait(&self, thread: &Arc<IdleThread<J>>, patience: Duration) -> Option<J> {
        let end = Instant::now() + patience;
        let mut is_bored = false;
        let mut next = thread.next.lock();
        loop {
            match mem::replace(&mut *next, Next::Wait) {
                Next::Work(job) => return Some(job),
                Next::Leave => return None,
                // Whoever has started or found this thread is about to say why.
                Next::Wait if is_bored => thread.changed.wait(&mut next),
                Next::Wait => is_bored = thread.changed.wait_until(&mut next, end).timed_out(),
            }
            if is_bored && self.stand_up(thread) {
                return None;
            }
        }
    }

    /// The thread cannot be found from now on; false if it was found before.
    fn stand_up(&self, thread: &Arc<IdleThread<J>>) -> bool {
        let mut now = self.now.lock();
        let at = now.idle.iter().position(|idle| Arc::ptr_eq(idle, thread));
        at.map(|at| now.idle.remove(at)).is_some()
    }
}

/// Ends a job that panics, and its thread.
struct EndsByPanic<'a, J>(&'a Staff<J>);

impl<J> Drop for EndsByPanic<'_, J> {
    fn drop(&mut self) {
        self.0.end_a_job(None);
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
    pub fn spawn(&self, builder: thread::Builder, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        // Held until the handle is in the table, where the thread looks for it when it ends.
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
    use std::collections::HashSet;

    use crossbeam_channel::bounded;

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
        // The thread becomes free at some moment; until then the job comes back.
        let mut job = 4;
        while let Err((back, _)) = pool.submit(job) {
            pool.wait_for_end_of_a_job(Duration::from_millis(100));
            job = back;
        }
        assert_eq!(starts.recv(), Ok(4));
        assert_eq!(pool.crew.threads.roll.handles.lock().live.len(), 2);
        release.send(()).unwrap();
        release.send(()).unwrap();
        assert!(pool.close().join_by(Instant::now() + Duration::from_secs(30)));
    }

    #[test]
    fn some_idle_threads_take_turns_and_the_others_wait() {
        let (started, starts) = bounded(IN_TURN + 2);
        let (release, gate) = bounded::<()>(IN_TURN + 2);
        let pool = Pool::new(IN_TURN + 2, 64 * 1024, move |()| {
            started.send(thread::current().id()).unwrap();
            gate.recv().unwrap();
        });
        let jobs = pool.jobs();
        let is_done = || jobs.wait_for_none(Instant::now() + Duration::from_secs(30));
        (0..IN_TURN + 2).for_each(|_| pool.submit(()).unwrap());
        (0..IN_TURN + 2).for_each(|_| release.send(()).unwrap());
        assert!(is_done());
        let all: HashSet<_> = starts.try_iter().collect();
        assert_eq!(all.len(), IN_TURN + 2);
        let turns: Vec<_> = (0..3 * IN_TURN)
            .map(|_| {
                pool.submit(()).unwrap();
                release.send(()).unwrap();
                assert!(is_done());
                starts.recv().unwrap()
            })
            .collect();
        assert_eq!(turns[..IN_TURN].iter().collect::<HashSet<_>>().len(), IN_TURN);
        assert_eq!(turns[..IN_TURN], turns[IN_TURN..2 * IN_TURN]);
        assert_eq!(turns[..IN_TURN], turns[2 * IN_TURN..]);
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
    fn threads_that_are_bored_lose_no_job() {
        let done = Arc::new(AtomicU64::new(0));
        let count = done.clone();
        let work = sharing(move |()| _ = count.fetch_add(1, Ordering::Relaxed));
        let pool = Pool::with_patience(Duration::from_micros(50), 4, 64 * 1024, work);
        let mut taken = 0;
        for turn in 0..2000 {
            taken += u64::from(pool.submit(()).is_ok());
            // About as long as they wait: some are found as they leave.
            thread::sleep(Duration::from_micros(turn % 100));
        }
        assert!(taken > 0 && pool.jobs().wait_for_none(Instant::now() + Duration::from_secs(30)));
        assert_eq!(done.load(Ordering::Relaxed), taken);
        assert!(pool.close().join_by(Instant::now() + Duration::from_secs(30)));
    }

    #[test]
    fn each_thread_keeps_its_own_from_job_to_job() {
        let (done, counts) = bounded(1);
        let pool = Pool::hiring(1, 64 * 1024, move || {
            let (done, mut count) = (done.clone(), 0);
            Box::new(move |add: u32| {
                count += add;
                done.send(count).unwrap();
            })
        });
        for (add, count) in [(1, 1), (2, 3), (3, 6)] {
            pool.submit(add).unwrap();
            assert_eq!(counts.recv(), Ok(count));
            assert!(pool.jobs().wait_for_none(Instant::now() + Duration::from_secs(30)));
        }
    }

    #[test]
    fn who_waits_for_jobs_keeps_nothing_alive_that_they_need() {
        let (needed, is_gone) = bounded::<()>(0);
        let pool = Pool::new(1, 64 * 1024, move |()| assert_eq!(needed.len(), 0));
        let jobs = pool.jobs();
        pool.submit(()).unwrap();
        drop(pool);
        assert!(jobs.wait_for_none(Instant::now() + Duration::from_secs(30)));
        assert!(is_gone.recv_timeout(Duration::from_secs(30)).unwrap_err().is_disconnected());
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
