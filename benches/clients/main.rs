//! How long a message takes from mail clients that others wrote, one message after another, with this server and with others.
//!
//!     cargo bench --bench clients
//!     cargo bench --bench clients -- --rounds 3 lettre msmtp        # clients by their names
//!     cargo bench --bench clients -- --server 'mine=./my-server --port {port}'
//!
//! Where a client's system holds small packets back until what was sent before is acknowledged (Nagle's algorithm), a server
//! that acknowledges late costs each message 40 ms.
//!
//! Each server is a process of its own, started afresh for each cell, in a random order each round. Clients and servers that
//! are not installed are left out, and a sentence says so: nothing is installed here. `PATH` says which Python is used, and
//! `NODE_PATH` where nodemailer is.

mod client;
mod server;

use std::collections::BTreeMap;
use std::env;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use client::{Client, Octets};
use server::Server;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What the command line asks for.
struct Options {
    rounds: usize,
    messages: usize,
    sizes: Vec<usize>,
    servers: Vec<(String, String)>,
    clients: Vec<String>,
}

fn options() -> Outcome<Options> {
    // `cargo test` only wants to know whether it runs.
    let is_trial = !env::args().any(|argument| argument == "--bench");
    let (rounds, messages) = if is_trial { (1, 1) } else { (5, 20) };
    let sizes = if is_trial { vec![1 << 10] } else { vec![1 << 10, 100 << 10, 1 << 20] };
    let mut options = Options { rounds, messages, sizes, servers: Vec::new(), clients: Vec::new() };
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match &*word {
            "--rounds" => options.rounds = value()?.parse()?,
            "--messages" => options.messages = value()?.parse()?,
            "--server" => {
                let named = value()?;
                let (name, command) = named.split_once('=').ok_or("--server is NAME=COMMAND")?;
                options.servers.push((name.to_owned(), command.to_owned()));
            }
            // What cargo adds.
            word if word.starts_with("--") => {}
            client => options.clients.push(client.to_owned()),
        }
    }
    Ok(options)
}

fn main() -> Outcome<()> {
    if let Some(port) = server::port_to_serve_at() {
        return server::serve(port);
    }
    let options = options()?;
    let scratch = tempfile::tempdir()?;
    let mut servers = server::installed();
    servers.extend(options.servers.iter().map(|(name, command)| Server::named(name, command)));
    let mut clients = client::installed(scratch.path())?;
    clients.retain(|client| options.clients.is_empty() || options.clients.iter().any(|own| client.name.contains(own)));
    let sizes =
        options.sizes.iter().map(|octets| Octets::write(scratch.path(), *octets)).collect::<Outcome<Vec<_>>>()?;
    let mut times: BTreeMap<(usize, usize, usize), Vec<Duration>> = BTreeMap::new();
    for _ in 0..options.rounds {
        for cell in shuffled(sizes.len() * clients.len() * servers.len()) {
            let (size, rest) = (cell % sizes.len(), cell / sizes.len());
            let (client, server) = (rest % clients.len(), rest / clients.len());
            match measure(&clients[client], &servers[server], &sizes[size], options.messages) {
                Ok(taken) => times.entry((size, client, server)).or_default().extend(taken),
                Err(e) => eprintln!("{} with {}: {e}", clients[client].name, servers[server].name),
            }
        }
    }
    for (size, octets) in sizes.iter().enumerate() {
        println!("\n{} octets, milliseconds a message (median):", octets.count);
        print!("{:<28}", "");
        servers.iter().for_each(|server| print!(" {:>10}", server.name));
        for (client, named) in clients.iter().enumerate() {
            print!("\n{:<28}", named.name);
            for server in 0..servers.len() {
                match times.get_mut(&(size, client, server)) {
                    Some(times) => print!(" {:>10.2}", median(times).as_secs_f64() * 1000.0),
                    None => print!(" {:>10}", "-"),
                }
            }
        }
        println!();
    }
    Ok(())
}

fn measure(client: &Client, server: &Server, octets: &Octets, messages: usize) -> Outcome<Vec<Duration>> {
    let running = server.start()?;
    // What is done for the first time takes longer.
    client.send(running.address, octets, 1)?;
    client.send(running.address, octets, client.messages(messages))
}

fn shuffled(count: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..count).collect();
    let chance = RandomState::new();
    all.sort_by_cached_key(|n| chance.hash_one(n));
    all
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
