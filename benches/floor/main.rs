//! What a message costs this server beside a responder of the same shape that understands nothing: the floor.
//!
//! `cargo bench --bench floor`, or with less patience `cargo bench --bench floor -- --rounds 3 --seconds 1`; words behind
//! that choose workloads by their names.
//!
//! Both run as processes of their own, one after the other in random order, for some rounds; each figure is the median of
//! the rounds' ratios, so that it holds whatever else the machine does, as long as it does it for both.

#[cfg(target_os = "linux")]
mod client;
#[cfg(target_os = "linux")]
mod ratios;
#[cfg(target_os = "linux")]
mod responder;

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    ratios::run()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("floor: processor time is read from Linux's /proc");
}
