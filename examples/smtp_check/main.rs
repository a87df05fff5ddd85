//! Checks whether a server that you own keeps the rules of SMTP: where messages and commands end, that nothing of a refused
//! message runs, that nothing sent in clear gets into TLS, and the order and form of commands and replies.
//!
//! `cargo run --example smtp_check HOST:PORT [--rcpt ADDRESS] [--from ADDRESS]` prints a line for each check: `pass`, `FAIL`
//! or `skip`, the rule, where it is written, and what was seen. The recipient gets a few dozen test messages; without a
//! recipient, the checks that send messages are skipped. Without a sender they use the null reverse-path, so that nobody
//! gets a bounce. It exits with 1 if a check failed, and with 2 if it could not start.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

mod auth;
mod chunks;
mod commands;
mod connection;
mod ends;
mod order;
mod probe;
mod refusals;
mod replies;
mod reply;
mod starttls;

use probe::{Check, Stop, Target};

const USAGE: &str = "usage: smtp_check HOST:PORT [--rcpt ADDRESS] [--from ADDRESS]";

fn main() -> ExitCode {
    match run(std::env::args().skip(1), &mut io::stdout()) {
        Ok(code) => code.into(),
        // Nobody reads what is printed any more.
        Err(_) => 2.into(),
    }
}

/// Does what the arguments ask and gives the exit code.
pub fn run(arguments: impl Iterator<Item = String>, out: &mut dyn Write) -> io::Result<u8> {
    let target = match target(arguments) {
        Ok(target) => target,
        Err(problem) => {
            writeln!(out, "{problem}")?;
            return Ok(2);
        }
    };
    writeln!(out, "Examining {} at {}: only do this to a server that you own.", target.host, target.address)?;
    match &target.recipient {
        Some(recipient) => writeln!(out, "Harmless test messages go to <{recipient}> from <{}>.\n", target.sender)?,
        None => writeln!(out, "No message is sent, since no --rcpt was given.\n")?,
    }
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for check in checks() {
        let (verdict, seen, count) = match check.run(&target) {
            Ok(seen) => ("pass", seen, &mut passed),
            Err(Stop::Fail(seen)) => ("FAIL", seen, &mut failed),
            Err(Stop::Skip(reason)) => ("skip", reason, &mut skipped),
        };
        *count += 1;
        writeln!(out, "{verdict}  {:<72}  {:<18}  {seen}", check.name, check.section)?;
    }
    writeln!(out, "\n{passed} passed, {failed} failed, {skipped} skipped")?;
    Ok(u8::from(failed > 0))
}

/// Every check, area by area.
pub fn checks() -> Vec<Check> {
    [
        ends::checks(),
        commands::checks(),
        refusals::checks(),
        chunks::checks(),
        starttls::checks(),
        order::checks(),
        replies::checks(),
        auth::checks(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Who is examined, if the arguments say so and the server is there.
fn target(mut arguments: impl Iterator<Item = String>) -> Result<Target, String> {
    let (mut server, mut recipient, mut sender) = (None, None, None);
    while let Some(argument) = arguments.next() {
        let place = match argument.as_str() {
            "--rcpt" => &mut recipient,
            "--from" => &mut sender,
            option if option.starts_with('-') => return Err(USAGE.to_owned()),
            _ => &mut server,
        };
        let value = if argument.starts_with("--") { arguments.next() } else { Some(argument) };
        if place.is_some() || value.is_none() {
            return Err(USAGE.to_owned());
        }
        *place = value;
    }
    let server = server.ok_or(USAGE)?;
    if [&recipient, &sender].into_iter().flatten().any(|address| !address.bytes().all(|b| matches!(b, b'!'..=b'~'))) {
        return Err("an address has to be of printable ASCII".to_owned());
    }
    let addresses = server.to_socket_addrs().map_err(|e| format!("{server}: {e}\n{USAGE}"))?;
    let address = first_that_listens(addresses).map_err(|e| format!("{server}: {e}"))?;
    let host = server.rsplit_once(':').map_or(&*server, |(host, _)| host).trim_matches(['[', ']']).to_owned();
    Ok(Target { address, host, sender: sender.unwrap_or_default(), recipient })
}

fn first_that_listens(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<SocketAddr> {
    let mut problem = io::ErrorKind::AddrNotAvailable.into();
    for address in addresses {
        match TcpStream::connect_timeout(&address, Duration::from_secs(5)) {
            Ok(_) => return Ok(address),
            Err(e) => problem = e,
        }
    }
    Err(problem)
}
