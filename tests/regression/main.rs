//! A test for each input that failed once, its origin named above it.

// Runs first, since it waits for the longest limit in time.
mod answers;
mod api;
mod disk;
mod memory;
mod mime;
mod relay;
mod sasl;
#[path = "../support/mod.rs"]
mod support;
mod web;
mod wire;

/// A figure of another process's memory, in octets.
#[cfg(all(feature = "cli", target_os = "linux"))]
fn memory_of_process(id: u32, figure: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it lives");
    let mut figures = status.lines().filter_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
    let kib = figures.next().and_then(|figure| figure.trim().strip_suffix(" kB")).expect("Linux tells it");
    kib.parse::<u64>().expect("a number") * 1024
}
