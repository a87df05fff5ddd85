//! What the system tells of a process.

use std::fs;
use std::process::Command;

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

/// Whether it runs: one that has ended and that nobody has reaped yet does not.
pub fn runs(process: i32) -> bool {
    let state = if cfg!(target_os = "linux") {
        stat(process.to_string().as_ref()).map(|stat| stat.state)
    } else {
        let state = Command::new("ps").args(["-o", "stat=", "-p", &process.to_string()]).output().expect("ps is there");
        String::from_utf8_lossy(&state.stdout).trim().chars().next()
    };
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Its children on Linux, reaped ones aside: what the system tells of each.
pub fn children(process: u32) -> Vec<String> {
    let all = fs::read_dir("/proc").expect("Linux").filter_map(|entry| stat(&entry.ok()?.file_name()));
    all.filter(|stat| stat.parent == process).map(|stat| stat.text).collect()
}

struct Stat {
    state: char,
    parent: u32,
    text: String,
}

/// None for one that has been reaped.
fn stat(process: &std::ffi::OsStr) -> Option<Stat> {
    let text = fs::read_to_string(std::path::Path::new("/proc").join(process).join("stat")).ok()?;
    // The name stands in brackets, and may have any characters.
    let (_, fields) = text.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let (state, parent) = (fields.next()?.chars().next()?, fields.next()?.parse().ok()?);
    Some(Stat { state, parent, text })
}
