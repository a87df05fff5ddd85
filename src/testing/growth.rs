//! For tests: how what work costs grows with its size, whatever else the machine does.

use std::time::Duration;

/// Times that each size is measured: an odd number, for the median.
const ROUNDS: usize = 5;

/// # Panics
/// If work four times as large takes more than eight times the processor time: linear work takes four times, quadratic
/// sixteen. What counts is the median, and time that others have on the processor is not counted.
#[track_caller]
pub(crate) fn expect_linear(what: &str, size: usize, mut work: impl FnMut(usize)) {
    let mut cost = |size| {
        let before = processor_time();
        work(size);
        (processor_time() - before).as_secs_f64()
    };
    let mut ratios: Vec<f64> = (0..ROUNDS).map(|_| cost(4 * size) / cost(size)).collect();
    ratios.sort_by(f64::total_cmp);
    assert!(ratios[ROUNDS / 2] < 8.0, "{what}: four times as much costs {ratios:.1?} times as much");
}

/// What this thread has had of a processor.
#[cfg(unix)]
fn processor_time() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).expect("POSIX").into()
}

/// Elsewhere the time that has passed.
#[cfg(not(unix))]
fn processor_time() -> Duration {
    static BEGUN: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    BEGUN.elapsed()
}
