//! Puts mail into a Redis stream. Any number of such processes may do so, on one machine or on many. `redis_worker` reads the
//! stream.
//!
//! `cargo run --features redis --example redis_server ADDRESS:PORT URL [--stream KEY] [--capacity ENTRIES]
//! [--wait-replicas COUNT] [--proxy NETWORK] [--reuse-port]`
//!
//! `--proxy` names the network from which HAProxy connects, which then must send the PROXY protocol; `--reuse-port` lets
//! several processes listen on one port.

use std::io;
use std::time::Duration;

use pillarbox::{Network, Server, handlers::RedisStream};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Prints the library's warnings: what is wrong with Redis, and what to do about it.
struct Stderr;

impl log::Log for Stderr {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("{}: {}", record.level(), record.args());
    }

    fn flush(&self) {}
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    log::set_logger(&Stderr).map_err(|e| e.to_string())?;
    log::set_max_level(log::LevelFilter::Warn);

    let usage = || io::Error::other("an ADDRESS:PORT, the URL of a Redis, and options as the source has them");
    let mut arguments = std::env::args().skip(1);
    let (address, url) = (arguments.next().ok_or_else(usage)?, arguments.next().ok_or_else(usage)?);
    let mut stream = RedisStream::new(&url)?;
    let mut builder = Server::builder();
    let mut proxies = Vec::new();
    while let Some(option) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(usage);
        match option.as_str() {
            "--stream" => stream = stream.stream(value()?),
            "--capacity" => stream = stream.capacity(value()?.parse()?),
            "--wait-replicas" => stream = stream.wait_replicas(value()?.parse()?, Duration::from_secs(5)),
            "--proxy" => proxies.push(value()?.parse::<Network>()?),
            "--reuse-port" => builder = builder.reuse_port(true),
            _ => return Err(usage().into()),
        }
    }

    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let server = builder.proxy_protocol(proxies).serve(address, stream)?;
    eprintln!("listening on {}", server.local_addr());
    signals.forever().next();
    // Whoever is in the middle of a message may finish it.
    server.shutdown(Duration::from_secs(15));
    Ok(())
}
