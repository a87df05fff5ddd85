//! What Linux tells of a process.

use std::fs;

/// A number of its status in the unit that it has there: `VmRSS` and `VmHWM` in KiB, `Threads`. 0 on other systems.
///
/// # Panics
/// If it has ended.
#[track_caller]
pub fn status(process: u32, field: &str) -> u64 {
    if !cfg!(target_os = "linux") {
        return 0;
    }
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it lives");
    let mut values = status.lines().filter_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let value = values.next().unwrap_or_else(|| panic!("no {field} in {status}"));
    value.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// How many nanoseconds the processor has worked for its threads: other load on the machine does not count.
pub fn processor_time(process: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("it lives").filter_map(Result::ok);
    let times = threads.filter_map(|thread| {
        let time = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        time.split(' ').next()?.parse::<u64>().ok()
    });
    times.sum()
}

/// The numbers that its next descriptors will have, in their order.
pub fn free_descriptors(process: u32) -> impl Iterator<Item = usize> {
    (0..).filter(move |number| fs::symlink_metadata(format!("/proc/{process}/fd/{number}")).is_err())
}
