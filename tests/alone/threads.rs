//! A server that was dropped leaves no thread behind.

use crate::support::client::Client;
use crate::support::{wait_for, wait_until};
use pillarbox::Server;

fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("pillarbox")).collect()
}

#[test]
fn none_is_left() {
    let _turn = crate::turn();
    for _ in 0..20 {
        let inbox = Server::builder().listen("127.0.0.1:0").inbox("127.0.0.1:0").expect("free ports");
        let idle: Vec<Client> = (0..5).map(|_| Client::ehlo(inbox.local_addr())).collect();
        let mut client = Client::envelope(inbox.local_addr());
        client.expect("DATA", "354");
        client.expect(".", "250");
        // Two listeners, a consumer, and a worker for each client; one that has just been started may not be listed yet.
        wait_until("some are not started", || threads().len() >= 9);
        drop(inbox);
        // A thread that was joined may still be in the kernel's list for a moment.
        wait_for(|| if threads().is_empty() { Ok(()) } else { Err(format!("{:?}", threads())) });
        drop(idle);
    }
}
