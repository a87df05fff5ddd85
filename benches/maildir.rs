//! How many messages a second a Maildir takes, each on disk before it is accepted, beside files that are written and flushed
//! one after another.
//!
//! `cargo bench --bench maildir`; `-- --folder DIR` for another disk than that of the current folder.
//!
//! Figures are ratios of one run, medians of some rounds. Nothing is removed before the end: where files were deleted just
//! now, some file systems take long to make new ones.

#[cfg(unix)]
#[path = "floor/client.rs"]
#[allow(dead_code, reason = "the other benchmark needs more of it")]
mod client;

#[cfg(unix)]
fn main() -> std::io::Result<()> {
    rates::run()
}

#[cfg(not(unix))]
fn main() {
    println!("maildir: there is none on this system");
}

#[cfg(unix)]
mod rates {
    use std::env;
    use std::fs::{self, File};
    use std::io::{self, ErrorKind, Write};
    use std::path::{Path, PathBuf};
    use std::thread;
    use std::time::{Duration, Instant};

    use pillarbox::{Server, handlers::Maildir};

    use crate::client::{self, Content, Habit};

    const CONNECTIONS: [usize; 3] = [1, 8, 64];
    const OCTETS: usize = 1024;

    pub fn run() -> io::Result<()> {
        let mut arguments = env::args().skip_while(|argument| argument != "--folder");
        let folder = arguments.nth(1).map_or_else(|| Path::new(".").to_owned(), PathBuf::from);
        // `cargo test` only wants to know whether it runs.
        let is_trial = !env::args().any(|argument| argument == "--bench");
        let (rounds, time) = if is_trial { (1, Duration::from_millis(100)) } else { (5, Duration::from_secs(2)) };
        let scratch = tempfile::Builder::new().prefix("maildir-bench-").tempdir_in(folder)?;
        let mut all = vec![Vec::new(); CONNECTIONS.len()];
        for round in 0..rounds {
            let alone = one_after_another(&scratch.path().join(format!("alone-{round}")), time)?;
            for (connections, ratios) in CONNECTIONS.into_iter().zip(&mut all) {
                let folder = scratch.path().join(format!("maildir-{round}-{connections}"));
                ratios.push(server(&folder, connections, time)? / alone);
            }
        }
        println!("messages a second, of those written and flushed one after another:");
        for (connections, ratios) in CONNECTIONS.into_iter().zip(&mut all) {
            ratios.sort_by(f64::total_cmp);
            let (least, median, most) = (ratios[0], ratios[ratios.len() / 2], ratios[ratios.len() - 1]);
            println!("{connections:>4} connections  {median:>6.2}  ({least:.2} to {most:.2})");
        }
        Ok(())
    }

    /// What a Maildir promises of each message, without a server: the rate of one who does it for one after another.
    fn one_after_another(folder: &Path, time: Duration) -> io::Result<f64> {
        let (tmp, new) = (folder.join("tmp"), folder.join("new"));
        fs::create_dir_all(&tmp)?;
        fs::create_dir(&new)?;
        let content = [b'x'; OCTETS];
        let (begun, mut count) = (Instant::now(), 0);
        while begun.elapsed() < time {
            let name = count.to_string();
            let mut file = File::create_new(tmp.join(&name))?;
            file.write_all(&content)?;
            file.sync_all()?;
            fs::rename(tmp.join(&name), new.join(&name))?;
            File::open(&new)?.sync_all()?;
            count += 1;
        }
        Ok(f64::from(count) / begun.elapsed().as_secs_f64())
    }

    fn server(folder: &Path, connections: usize, time: Duration) -> io::Result<f64> {
        let server = Server::builder().serve("127.0.0.1:0", Maildir::create(folder)?).map_err(io::Error::other)?;
        let content = Content::new(OCTETS);
        let begun = Instant::now();
        let send = || client::send(server.local_addr(), Habit::Serial, &content, begun + time);
        let messages: usize = thread::scope(|scope| {
            let all: Vec<_> = (0..connections).map(|_| scope.spawn(send)).collect();
            all.into_iter().map(|client| Ok(client.join().map_err(|_| ErrorKind::Other)??.len())).sum::<io::Result<_>>()
        })?;
        Ok(messages as f64 / begun.elapsed().as_secs_f64())
    }
}
