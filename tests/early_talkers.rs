//! Clients that speak before the server has: they are served, and the log has a line. Alone in its file, for the logger.

#[path = "support/client.rs"]
mod client;

use std::sync::Mutex;

use client::Client;
use pillarbox::{Endpoint, Listener, Server, handlers::Sink};

/// Keeps what is said of them.
struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = record.args().to_string();
        if line.contains("did not wait for the banner") {
            self.0.lock().unwrap().push(line);
        }
    }

    fn flush(&self) {}
}

#[test]
fn they_are_served_and_logged() {
    log::set_logger(&LINES).expect("the only test that logs");
    log::set_max_level(log::LevelFilter::Info);
    let listener = Listener::from("127.0.0.1:0").bind().expect("a free port");
    let Some(Endpoint::Tcp(address)) = listener.local().cloned() else { panic!("a TCP socket") };
    // They are there before the server is, so that the first has spoken for certain.
    let mut early = Client::raw(address);
    early.send("EHLO client.example\r\n");
    let mut patient = Client::raw(address);
    // It says nothing at all.
    drop(Client::raw(address));
    let server = Server::builder().serve(listener, Sink).expect("it is bound");
    early.expect_reply("220 ");
    early.expect_reply("250");
    patient.expect_reply("220 ");
    patient.expect("EHLO client.example", "250");
    assert!(server.shutdown(client::PATIENCE).joined);
    let lines = LINES.0.lock().unwrap().clone();
    assert_eq!(lines, [format!("[1] {} did not wait for the banner", early.local_addr())]);
}
