//! A thousand inboxes at once, as tests that run in parallel have them.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::{Client, PATIENCE};
use crate::support::wait_until;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use pillarbox::{Inbox, Server};

const INBOXES: usize = 1000;

/// Threads of the library's.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("pillarbox")).count()
}

fn start() -> Inbox {
    Server::builder().inbox("127.0.0.1:0").expect("a free port")
}

fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let begun = Instant::now();
    let made = work();
    let time = begun.elapsed();
    drop(made);
    time
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn a_thousand_at_once() {
    let _turn = crate::turn();
    // Each listens, and both ends of a connection are in this process; many systems allow no more than 1024 files.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("Unix");
    setrlimit(Resource::RLIMIT_NOFILE, most.min(65_536), most).expect("no more than is allowed");
    let inboxes: Vec<Inbox> = (0..INBOXES).map(|_| start()).collect();
    thread::scope(|scope| {
        for some in inboxes.chunks(INBOXES / 4) {
            scope.spawn(move || {
                for inbox in some {
                    let mut client = Client::envelope(inbox.local_addr());
                    client.expect("DATA", "354");
                    client.expect(format!("{}\r\n.", inbox.local_addr()), "250");
                    let mail = inbox.recv_timeout(PATIENCE).expect("its own message");
                    assert_eq!(mail.text().unwrap(), format!("{}\n", inbox.local_addr()));
                    assert!(inbox.is_empty());
                }
            });
        }
    });
    drop(inboxes);
    // A thread that was joined may still be in the kernel's list for a moment.
    wait_until("threads are left", || threads() == 0);
    // Starting one takes little more than what it is made of. Both are measured in turn, so what else goes on slows both.
    let (mut parts, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..51 {
        parts.push(time(|| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            (listener, [(); 2].map(|()| thread::spawn(|| {})))
        }));
        whole.push(time(start));
    }
    let (parts, whole) = (median(parts), median(whole));
    assert!(whole < 20 * parts, "{whole:?}, and {parts:?} for a listener and two threads");
}
