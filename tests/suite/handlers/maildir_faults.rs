//! The command's Maildir where the disk, the system or whoever runs it gets in its way: what clients read, what stderr
//! says, and that it is over with its cause.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::support;
use crate::support::client::Client;
use crate::support::command::{Process, Running};
use crate::support::disk::SmallDisk;
use crate::support::process::free_descriptors;

// To the letter: neither a path nor what the system said is the client's business.
const FULL: &str = "452 4.3.1 Insufficient storage, try again later";
const FAILED: &str = "451 4.3.0 Cannot store the message, try again later";

const CLIENTS: usize = 4;

/// The command with a Maildir in a folder.
struct Maildir {
    server: Running,
    path: PathBuf,
}

impl Maildir {
    fn serve(path: PathBuf) -> Maildir {
        Maildir::serve_with(&["-n"], path)
    }

    fn serve_with(options: &[&str], path: PathBuf) -> Maildir {
        let folder = ["-c", "Maildir", "--maildir", path.to_str().expect("UTF-8"), "127.0.0.1:0"];
        let server = Running::start(&[options, &folder].concat());
        Maildir { server, path }
    }

    fn files(&self, part: &str) -> usize {
        fs::read_dir(self.path.join(part)).expect("a folder").count()
    }

    /// Several clients at once read this for each message, and are in step behind it.
    fn refuses(&self, reply: &str) {
        let address = self.server.address();
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    let mut client = Client::ehlo(address);
                    for content in ["Subject: x\r\n\r\nsmall\r\n".to_owned(), "x".repeat(100_000) + "\r\n"] {
                        assert_eq!(by_data(&mut client, &content), reply);
                        client.expect_in_step();
                        assert_eq!(by_chunks(&mut client, &content), reply);
                        client.expect_in_step();
                    }
                });
            }
        });
    }

    fn accepts(&self) {
        let mut client = Client::ehlo(self.server.address());
        let before = self.files("new");
        let said = by_data(&mut client, "x\r\n");
        assert!(said.starts_with("250 2.0.0 OK "), "{said}");
        assert_eq!((self.files("new"), self.files("tmp")), (before + 1, 0));
    }

    /// While `fault` lasts each message is refused and nothing is left of it; the log has a line for its begin and one for
    /// its end, however many messages there are.
    fn outlives(self, reply: &str, fault: impl Fn(), mend: impl Fn()) {
        self.accepts();
        for _ in 0..2 {
            fault();
            self.refuses(reply);
            mend();
            assert_eq!(self.files("tmp"), 0);
            self.accepts();
            self.accepts();
        }
        assert_eq!(self.files("new"), 5);
        self.server.signal("TERM");
        let (status, _, err) = self.server.finish();
        assert_eq!(status.code(), Some(0));
        let name = self.path.display();
        let begin = format!("pillarbox: cannot store messages in {name}: ");
        let end = format!("pillarbox: {name} can be written to again");
        let lines: Vec<_> = err.lines().collect();
        assert_eq!(lines.len(), 4, "{err}");
        assert!(lines.chunks(2).all(|pair| pair[0].starts_with(&begin) && pair[1] == end), "{err}");
    }
}

fn by_data(client: &mut Client, content: &str) -> String {
    client.begin();
    client.expect("DATA", "354");
    client.say(format!("{content}."))
}

fn by_chunks(client: &mut Client, content: &str) -> String {
    client.begin();
    let (first, rest) = content.split_at(content.len() / 2);
    client.send(format!("BDAT {}\r\n{first}BDAT {} LAST\r\n{rest}", first.len(), rest.len()));
    client.expect_reply("250 2.0.0");
    client.reply()
}

#[test]
fn a_full_disk() {
    let Some(disk) = SmallDisk::mount() else { return };
    let ballast = disk.path().join("ballast");
    Maildir::serve(disk.path().join("mail")).outlives(
        FULL,
        || disk.fill("ballast"),
        || fs::remove_file(&ballast).unwrap(),
    );
}

#[test]
fn a_disk_without_room_for_a_name() {
    // Enough for the folders and for what is accepted.
    let Some(disk) = SmallDisk::mount_with("size=1m,nr_inodes=40") else { return };
    let maildir = Maildir::serve(disk.path().join("mail"));
    let ballast = disk.path().join("ballast");
    let fill = || {
        fs::create_dir(&ballast).unwrap();
        let full = (0..).find_map(|n| File::create(ballast.join(format!("{n}"))).err()).expect("an end");
        assert_eq!(full.kind(), ErrorKind::StorageFull);
    };
    maildir.outlives(FULL, fill, || fs::remove_dir_all(&ballast).unwrap());
}

#[test]
fn a_disk_that_cannot_be_written_to() {
    let Some(disk) = SmallDisk::mount() else { return };
    Maildir::serve(disk.path().join("mail")).outlives(FAILED, || disk.remount("ro"), || disk.remount("rw"));
}

#[test]
fn a_folder_that_goes_away_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let away = folder.path().join("away");
    // All of it, where messages are written, and where they are to be seen.
    for part in ["", "tmp", "new"] {
        let maildir = Maildir::serve(folder.path().join("mail"));
        let gone = maildir.path.join(part);
        let (leave, come) = (|| fs::rename(&gone, &away).unwrap(), || fs::rename(&away, &gone).unwrap());
        maildir.outlives(FAILED, leave, come);
        fs::remove_dir_all(folder.path().join("mail")).unwrap();
    }
}

#[test]
fn a_folder_that_nobody_may_write_to() {
    let folder = tempfile::tempdir().unwrap();
    let permit = |path: &Path, mode: u32| fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    // Root may do everything, and so becomes the user nobody, who has to be let in.
    permit(folder.path(), 0o777);
    for (n, part) in ["tmp", "new"].into_iter().enumerate() {
        let maildir = Maildir::serve_with(&[], folder.path().join(format!("mail{n}")));
        let part = maildir.path.join(part);
        maildir.outlives(FAILED, || permit(&part, 0o500), || permit(&part, 0o700));
    }
}

#[test]
fn a_message_that_is_larger_than_files_may_be() {
    let Some(prlimit) = support::program("prlimit") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mail");
    let mut limited = Command::new(prlimit);
    limited.args(["--fsize=20000", env!("CARGO_BIN_EXE_pillarbox"), "-n", "-c", "Maildir", "127.0.0.1:0", "--maildir"]);
    limited.arg(&path).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env_remove("RUST_LOG");
    let maildir = Maildir { server: Running::start_command(limited), path };
    let mut client = Client::ehlo(maildir.server.address());
    for _ in 0..2 {
        assert_eq!(by_data(&mut client, &("x".repeat(100_000) + "\r\n")), FAILED);
        client.expect_in_step();
        assert!(by_data(&mut client, "x\r\n").starts_with("250"));
    }
    assert_eq!((maildir.files("new"), maildir.files("tmp")), (2, 0));
}

#[test]
fn no_descriptor_for_a_file() {
    let Some(prlimit) = support::program("prlimit") else { return };
    let folder = tempfile::tempdir().unwrap();
    let maildir = Maildir::serve(folder.path().join("mail"));
    let mut client = Client::ehlo(maildir.server.address());
    assert!(by_data(&mut client, "x\r\n").starts_with("250"));
    let process = maildir.server.process.0.id();
    let limit = |descriptors: usize| {
        let limit = format!("--nofile={descriptors}:");
        let set = Command::new(&prlimit).args(["--pid", &process.to_string(), &limit]).status();
        assert!(set.expect("it starts").success());
    };
    limit(free_descriptors(process).next().expect("there is no end to them"));
    for _ in 0..3 {
        assert_eq!(by_data(&mut client, "x\r\n"), FULL);
        client.expect_in_step();
    }
    limit(1024);
    assert!(by_data(&mut client, "x\r\n").starts_with("250"));
    assert_eq!((maildir.files("new"), maildir.files("tmp")), (2, 0));
}

/// Lets system calls of a process fail.
struct Injection(Process);

impl Injection {
    /// None, and it says so, if it cannot be.
    fn start(strace: &Path, process: u32, fault: &str) -> Option<Injection> {
        let mut tracer = Process::start(
            Command::new(strace)
                .args(["-f", "-o", "/dev/null", "-e", "trace=fsync,/^rename", "-e", &format!("inject={fault}")])
                .args(["-p", &process.to_string()])
                .stdin(Stdio::null())
                .stderr(Stdio::piped()),
        );
        let mut line = String::new();
        let mut said = BufReader::new(tracer.0.stderr.take().expect("piped"));
        said.read_line(&mut line).expect("text");
        // It says more, of each thread, and must be able to.
        thread::spawn(move || said.lines().for_each(drop));
        if line.contains("attached") {
            return Some(Injection(tracer));
        }
        support::missing(&format!("this process may not be traced: {}", line.trim_end()));
        None
    }

    /// From here on the process is left alone.
    fn end(mut self) {
        self.0.signal("TERM");
        self.0.0.wait().expect("our own child");
    }
}

#[test]
fn a_flush_that_fails() {
    let Some(strace) = support::program("strace") else { return };
    // A message's first flush is that of its file, its second that of the folder in which it can be seen by then.
    for (fault, reply) in [
        ("fsync:error=EIO:when=1", FAILED),
        ("fsync:error=EIO:when=2", FAILED),
        ("fsync:error=ENOSPC:when=1", FULL),
        ("fsync:error=EDQUOT:when=2", FULL),
        ("/^rename:error=EIO:when=1", FAILED),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let maildir = Maildir::serve(folder.path().join("mail"));
        let mut client = Client::ehlo(maildir.server.address());
        let Some(injection) = Injection::start(&strace, maildir.server.process.0.id(), fault) else { return };
        assert_eq!(by_data(&mut client, "x\r\n"), reply, "{fault}");
        assert_eq!((maildir.files("new"), maildir.files("tmp")), (0, 0), "{fault}");
        client.expect_in_step();
        // Strace counts for each thread, and the next message may be another's.
        injection.end();
        assert!(by_data(&mut client, "x\r\n").starts_with("250"), "{fault}");
        assert_eq!((maildir.files("new"), maildir.files("tmp")), (1, 0), "{fault}");
    }
}

// As the command calls what it writes.
const OLD: &str = "1700000000.M000001P4711Q1R0123456789abcdef.mx.example";
const YOUNG: &str = "1700000000.M000001P4711Q2R0123456789abcdef.mx.example";

#[test]
fn what_a_crash_left_behind_is_removed_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let tmp = folder.path().join("tmp");
    fs::create_dir(&tmp).unwrap();
    for (name, hours) in [(OLD, 37), (YOUNG, 35)] {
        let age = Duration::from_secs(hours * 3600);
        File::create(tmp.join(name)).unwrap().set_modified(SystemTime::now() - age).unwrap();
    }
    let maildir = Maildir::serve(folder.path().to_owned());
    assert!(!tmp.join(OLD).exists() && tmp.join(YOUNG).exists());
    assert_eq!(maildir.files("new"), 0);
}
