//! Prints each message that arrives: what `python -m smtpd -n -c DebuggingServer` did.
//!
//! `cargo run --example debugging_server [ADDRESS:PORT]`

use pillarbox::{Error, Server, handlers};

fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "localhost:8025".to_owned());
    let server = Server::builder().serve(address, handlers::Debugging::stdout())?;
    eprintln!("listening on {}", server.local_addr());
    server.join();
    Ok(())
}
