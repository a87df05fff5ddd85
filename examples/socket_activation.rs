//! Takes its listening socket from systemd or another parent process; without one it opens its own.
//!
//! `systemd-socket-activate -l 8025 target/debug/examples/socket_activation`, once it was built, or
//! `cargo run --example socket_activation [ADDRESS:PORT]`

use listenfd::ListenFd;
use pillarbox::{Listener, Server, handlers};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = match ListenFd::from_env().take_tcp_listener(0)? {
        Some(socket) => Listener::from(socket),
        None => Listener::from(std::env::args().nth(1).unwrap_or_else(|| "localhost:8025".to_owned())),
    };
    let server = Server::builder().serve(listener, handlers::Debugging::stdout())?;
    eprintln!("listening on {}", server.local_addr());
    server.join();
    Ok(())
}
