//! Maildirs, Unix sockets and files of keys.

#![cfg(unix)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, SystemTime};

use pillarbox::handlers::{Maildir, Sink};
use pillarbox::{Context, Error, Listener, Recipient, Reply, Server, Session};

use crate::support::client::{Client, PATIENCE};
#[cfg(feature = "cli")]
use crate::support::command;
use crate::support::wait_until;

/// Older than any file in `tmp` that is still written to.
const LONG_AGO: Duration = Duration::from_secs(37 * 3600);
/// As a Maildir calls what it writes.
const OURS: &str = "1700000000.M000001P4711Q1R0123456789abcdef.mx.example";

fn old_file(path: PathBuf) -> PathBuf {
    let file = File::create(&path).unwrap();
    file.set_modified(SystemTime::now() - LONG_AGO).unwrap();
    path
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

/// Says that a test is skipped; it fails if the environment asks for everything.
fn missing(reason: &str) {
    let required = std::env::var_os("TEST_PILLARBOX_REQUIRE_CLIENTS").is_some_and(|value| !value.is_empty());
    assert!(!required, "{reason}");
    // Not eprintln!: the test harness keeps that to itself when the test passes.
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}

/// Of a Maildir whose `tmp` was a link to another folder: its files older than 36 hours were deleted at the start.
#[test]
fn a_maildir_with_a_link_is_refused_and_what_is_behind_stays() {
    for part in ["", "tmp", "new", "cur"] {
        let folder = tempfile::tempdir().unwrap();
        let (mail, behind) = (folder.path().join("mail"), folder.path().join("behind"));
        drop(Maildir::create(if part.is_empty() { &behind } else { &mail }).unwrap());
        fs::create_dir_all(&behind).unwrap();
        let kept = [old_file(behind.join("precious")), old_file(behind.join(OURS))];
        let link = mail.join(part);
        if !part.is_empty() {
            fs::remove_dir(&link).unwrap();
        }
        symlink(&behind, mail.join(part).components().collect::<PathBuf>()).unwrap();
        // With a slash or a dot at its end a path leads through the link.
        for path in [mail.clone(), mail.join(""), mail.join(".")] {
            let error = Maildir::create(&path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{part}: {error}");
            assert!(error.to_string().contains("is a link"), "{part}: {error}");
        }
        // One that leads nowhere, and one to a file.
        let link = mail.join(part).components().collect::<PathBuf>();
        for target in [folder.path().join("nowhere"), kept[0].clone()] {
            fs::remove_file(&link).unwrap();
            symlink(target, &link).unwrap();
            assert!(Maildir::create(&mail).is_err(), "{part}");
        }
        assert!(kept.iter().all(|file| file.exists()) && !folder.path().join("nowhere").exists(), "{part}");
    }
}

/// Links above a Maildir are the administrator's: `/var/mail` is one on many systems.
#[test]
fn a_maildir_may_be_reached_through_links() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("real")).unwrap();
    symlink("real", folder.path().join("link")).unwrap();
    let server =
        Server::builder().serve("127.0.0.1:0", Maildir::create(folder.path().join("link/mail")).unwrap()).unwrap();
    store(&mut Client::ehlo(server.local_addr()), "250");
    assert_eq!(count(&folder.path().join("real/mail/new")), 1);
}

/// Of the same fault: whose folder it is was not looked at either.
#[test]
fn a_maildir_of_somebody_else_is_refused() {
    if !nix::unistd::geteuid().is_root() {
        return missing("only root can give folders away");
    }
    for part in ["", "tmp", "new", "cur"] {
        let folder = tempfile::tempdir().unwrap();
        let mail = folder.path().join("mail");
        drop(Maildir::create(&mail).unwrap());
        let kept = old_file(mail.join("tmp").join(OURS));
        let theirs = mail.join(part);
        std::os::unix::fs::chown(&theirs, Some(4711), None).unwrap();
        let error = Maildir::create(&mail).unwrap_err();
        assert!(
            error.kind() == ErrorKind::InvalidInput && error.to_string().contains("belongs to user 4711"),
            "{error}"
        );
        assert!(kept.exists());
        std::os::unix::fs::chown(&theirs, Some(0), None).unwrap();
        drop(Maildir::create(&mail).unwrap());
        assert!(!kept.exists());
    }
}

/// Of the same fault: all that was old was deleted, by whomever it was put there.
#[test]
fn only_files_of_our_own_naming_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    drop(Maildir::create(folder.path()).unwrap());
    let tmp = folder.path().join("tmp");
    let elsewhere = old_file(folder.path().join("elsewhere"));
    let names =
        ["precious", "1700000000.M123456P4711.mx.example", "1700000000.4711_0.mx.example", ".nfs0000000000001234"];
    let kept: Vec<PathBuf> = names.iter().map(|name| old_file(tmp.join(name))).collect();
    let young = File::create(tmp.join(OURS.replace("Q1", "Q2"))).unwrap();
    let (link, within) = (tmp.join(OURS.replace("Q1", "Q3")), tmp.join(OURS.replace("Q1", "Q4")));
    symlink(&elsewhere, &link).unwrap();
    fs::create_dir(&within).unwrap();
    old_file(within.join(OURS));
    File::open(&within).unwrap().set_modified(SystemTime::now() - LONG_AGO).unwrap();
    let ours = old_file(tmp.join(OURS));
    drop(Maildir::create(folder.path()).unwrap());
    assert!(!ours.exists() && kept.iter().all(|file| file.exists()) && elsewhere.exists());
    assert!(link.is_symlink() && within.join(OURS).exists() && young.metadata().unwrap().is_file());
    assert_eq!(count(&tmp), names.len() + 3);
}

/// Takes a message, or does not.
fn store(client: &mut Client, reply: &str) {
    client.begin();
    client.expect("DATA", "354");
    client.expect("Subject: x\r\n\r\n.", reply);
}

/// Of the same fault, later: a link put in a folder's place led messages elsewhere while the server ran.
#[test]
fn a_link_that_comes_while_the_server_runs_leads_no_message_away() {
    for part in ["tmp", "new"] {
        let folder = tempfile::tempdir().unwrap();
        let (mail, behind) = (folder.path().join("mail"), folder.path().join("behind"));
        fs::create_dir(&behind).unwrap();
        for once in [false, true] {
            let server = Server::builder().serve("127.0.0.1:0", Maildir::create(&mail).unwrap().once(once)).unwrap();
            let mut client = Client::ehlo(server.local_addr());
            store(&mut client, "250");
            let before = count(&mail.join("new"));
            fs::rename(mail.join(part), folder.path().join("away")).unwrap();
            symlink(&behind, mail.join(part)).unwrap();
            store(&mut client, "451 4.3.0");
            store(&mut client, "451 4.3.0");
            assert_eq!(count(&behind), 0, "{part}");
            fs::remove_file(mail.join(part)).unwrap();
            fs::rename(folder.path().join("away"), mail.join(part)).unwrap();
            // What was refused while its folder could be seen elsewhere is not there, but where a name is the message's own.
            let refused = count(&mail.join("new")) - before;
            assert!(refused == 0 || once, "{part}");
            store(&mut client, "250");
            assert_eq!((count(&mail.join("new")), count(&mail.join("tmp"))), (before + refused + 1, 0), "{part}");
        }
    }
}

/// Of folders held open: what was made anew in their place has to be found.
#[test]
fn folders_that_were_made_anew_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let mail = folder.path().join("mail");
    let server = Server::builder().serve("127.0.0.1:0", Maildir::create(&mail).unwrap()).unwrap();
    let mut client = Client::ehlo(server.local_addr());
    store(&mut client, "250");
    for _ in 0..2 {
        fs::remove_dir_all(&mail).unwrap();
        drop(Maildir::create(&mail).unwrap());
        // The first message finds out.
        store(&mut client, "451 4.3.0");
        store(&mut client, "250");
        assert_eq!((count(&mail.join("new")), count(&mail.join("tmp"))), (1, 0));
    }
}

/// The command says what is wrong, and does not start.
#[cfg(feature = "cli")]
#[test]
fn the_command_refuses_such_a_maildir() {
    let folder = tempfile::tempdir().unwrap();
    let mail = folder.path().join("mail");
    drop(Maildir::create(&mail).unwrap());
    fs::remove_dir(mail.join("tmp")).unwrap();
    symlink(folder.path(), mail.join("tmp")).unwrap();
    let refused =
        command::command(&["-n", "-c", "Maildir", "--maildir", mail.to_str().unwrap(), "127.0.0.1:0"]).output();
    let refused = refused.unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.contains("mail/tmp is a link"), "{said}");
}

fn answers(path: &Path) -> bool {
    let mut line = String::new();
    UnixStream::connect(path).and_then(|client| BufReader::new(client).read_line(&mut line)).is_ok()
        && line.starts_with("220 ")
}

/// Of a server that was replaced by a new one at the same path: when the old one ended it took the new one's socket away.
#[test]
fn a_socket_that_another_server_has_bound_anew_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mail.sock");
    let serve = || Server::builder().serve(Listener::unix(&path), Sink).unwrap();
    let mut old = serve();
    for _ in 0..5 {
        fs::remove_file(&path).unwrap();
        let new = serve();
        drop(std::mem::replace(&mut old, new));
        assert!(answers(&path));
    }
    // By its end, and by a shutdown; neither a file nor a link is ever taken away.
    fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    assert!(old.handle().shutdown(PATIENCE).joined);
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    drop(other);
    fs::remove_file(&path).unwrap();
    let server = serve();
    let moved = folder.path().join("moved.sock");
    fs::rename(&path, &moved).unwrap();
    symlink(&moved, &path).unwrap();
    drop(server);
    assert!(path.is_symlink() && moved.exists());
    fs::remove_file(&moved).unwrap();
    fs::remove_file(&path).unwrap();
    let bound = Listener::unix(&path).bind().unwrap();
    fs::remove_file(&path).unwrap();
    File::create(&path).unwrap();
    drop(bound);
    assert!(path.is_file());
}

/// Of the same fault, at the start: two that replace what a killed server has left must not replace each other.
#[test]
fn one_of_many_gets_an_abandoned_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mail.sock");
    for _ in 0..100 {
        drop(UnixListener::bind(&path).unwrap());
        // A process that another test starts has it as well until it becomes its program.
        wait_until("nobody listens there", || UnixStream::connect(&path).is_err());
        let together = Barrier::new(8);
        let bound: Vec<Result<Listener, Error>> = thread::scope(|scope| {
            let bind = || {
                together.wait();
                Listener::unix(&path).bind()
            };
            let all: Vec<_> = (0..8).map(|_| scope.spawn(bind)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let (got, refused): (Vec<_>, Vec<_>) = bound.into_iter().partition(Result::is_ok);
        assert_eq!((got.len(), refused.len()), (1, 7));
        assert!(UnixStream::connect(&path).is_ok());
        drop(got);
        assert!(!path.exists());
    }
}

/// A server that is too busy to take connections is not gone.
#[cfg(target_os = "linux")]
#[test]
fn a_socket_with_a_full_backlog_is_taken() {
    use socket2::{Domain, SockAddr, Socket, Type};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mail.sock");
    let address = SockAddr::unix(&path).unwrap();
    let busy = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    busy.bind(&address).unwrap();
    busy.listen(0).unwrap();
    let mut waiting = Vec::new();
    loop {
        let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        match client.connect(&address) {
            Ok(()) => waiting.push(client),
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) => panic!("{e}"),
        }
    }
    assert!(
        matches!(Listener::unix(&path).bind(), Err(Error::Bind { source, .. }) if source.kind() == ErrorKind::AddrInUse)
    );
    assert!(path.exists());
}

/// Asked for by those whose clients run as another user: the umask alone said who may connect.
#[test]
fn a_socket_has_its_mode_before_anybody_can_connect() {
    let folder = tempfile::tempdir().unwrap();
    let mode_of = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    for mode in [0o660, 0o600, 0o666, 0o777, 0o222] {
        for round in 0..20 {
            let path = folder.path().join(format!("{mode:o}-{round}.sock"));
            thread::scope(|scope| {
                // Whoever gets through finds it as it was asked for.
                let seen = scope.spawn(|| {
                    while UnixStream::connect(&path).is_err() {}
                    mode_of(&path)
                });
                let bound = Listener::unix(&path).mode(mode).bind();
                assert_eq!(seen.join().unwrap(), mode);
                drop(bound.unwrap());
            });
        }
        let path = folder.path().join("mail.sock");
        let server = Server::builder().serve(Listener::unix(&path).mode(mode), Sink).unwrap();
        assert!(answers(&path) && mode_of(&path) == mode);
        drop(server);
    }
    let path = folder.path().join("refused.sock");
    for listener in [
        Listener::unix(&path).mode(0o1777),
        Listener::from("127.0.0.1:0").mode(0o660),
        Listener::from("localhost:0").mode(0o660),
        Listener::from(UnixListener::bind(folder.path().join("passed-in.sock")).unwrap()).mode(0o660),
    ] {
        assert!(matches!(listener.bind(), Err(Error::Setting(_))));
    }
    assert!(!path.exists());
}

/// The same, step by step: with `listen` before `chmod` there would be a moment that few tests hit.
#[cfg(all(feature = "cli", target_os = "linux"))]
#[test]
fn a_socket_has_its_mode_before_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    let (path, trace) = (folder.path().join("mail.sock"), folder.path().join("trace"));
    let mut strace = std::process::Command::new("strace");
    strace.args([
        "-f",
        "-o",
        trace.to_str().unwrap(),
        "-e",
        "trace=bind,listen,/chmod",
        "--",
        env!("CARGO_BIN_EXE_pillarbox"),
    ]);
    strace.args(["-n", "-c", "Sink", "--socket-mode", "660", &format!("unix:{}", path.display())]);
    strace.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let Ok(child) = command::without_options(&mut strace).spawn() else { return missing("strace is not installed") };
    let mut process = command::Process::of(child);
    let mut said = String::new();
    BufReader::new(process.0.stderr.take().unwrap()).read_line(&mut said).unwrap();
    if !said.contains("listening on") {
        return missing(&format!("processes may not be traced: {said}"));
    }
    let calls = fs::read_to_string(&trace).unwrap();
    // strace itself ends with what it traces, and not by a signal.
    let traced = calls.split_once(' ').unwrap().0.parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(traced), nix::sys::signal::Signal::SIGTERM).unwrap();
    process.0.wait().unwrap();
    // Behind each line's process.
    let calls =
        calls.lines().filter_map(|line| Some(line.split_once(' ')?.1.trim_start().split_once('(')?.0.to_owned()));
    let calls: Vec<String> = calls.collect();
    let at = |name: &str| calls.iter().position(|call| call.contains(name)).unwrap_or_else(|| panic!("{calls:?}"));
    assert!(at("bind") < at("chmod") && at("chmod") < at("listen"), "{calls:?}");
}

/// The same on the command line, whatever the umask.
#[cfg(feature = "cli")]
#[test]
fn the_commands_socket_has_its_mode() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mail.sock");
    let local = format!("unix:{}", path.display());
    for umask in ["000", "077", "777"] {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_pillarbox")]);
        shell.args(["-n", "-c", "Sink", "--socket-mode", "660", &local]);
        shell.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let server = command::Running::start_command(shell);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o660);
        assert!(answers(&path));
        server.signal("TERM");
        assert!(server.finish().0.success() && !path.exists());
    }
    for (mode, local) in [("888", &*local), ("1777", &local), ("+660", &local), ("", &local), ("660", "127.0.0.1:0")] {
        let refused = command::command(&["-n", "-c", "Sink", "--socket-mode", mode, local]).output().unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(refused.status.code() == Some(2) && said.contains("socket-mode"), "{mode} {local}: {said}");
    }
}

/// A key and its certificate in a folder, with permissions.
#[cfg(feature = "cli")]
fn key_files(folder: &Path, of_folder: u32, of_key: u32) -> [String; 2] {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.join(name));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&key, PermissionsExt::from_mode(of_key)).unwrap();
    fs::set_permissions(folder, PermissionsExt::from_mode(of_folder)).unwrap();
    [cert, key].map(|path| path.to_str().unwrap().to_owned())
}

/// Of a key that only root can read: the server started, became nobody, and at SIGHUP kept its old certificate with a line in
/// the log that was read when the certificate had expired.
#[cfg(feature = "cli")]
#[test]
fn a_key_that_cannot_be_read_again_is_told_at_the_start() {
    if !nix::unistd::geteuid().is_root() {
        return missing("only root can read what others cannot");
    }
    for (of_folder, of_key) in [(0o755, 0o600), (0o700, 0o644)] {
        let folder = tempfile::tempdir().unwrap();
        let [cert, key] = key_files(folder.path(), of_folder, of_key);
        let tls = ["-c", "Sink", "--tls-cert", &cert, "--tls-key", &key, "127.0.0.1:0"];
        let refused = command::command(&tls).output().unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("pem again as the user nobody, as SIGHUP asks for: Permission denied"), "{said}");
        assert!(said.contains("stay root with -n"), "{said}");
        // Who stays root can read it again.
        command::Running::start(&[&["-n"], &tls[..]].concat());
    }
}

/// Of the same key, made readable: a renewal is seen, also of files that are replaced by others.
#[cfg(feature = "cli")]
#[test]
fn a_key_that_nobody_can_read_is_renewed_after_root_is_given_up() {
    use std::net::TcpStream;
    let folder = tempfile::tempdir().unwrap();
    let [cert, key] = key_files(folder.path(), 0o755, 0o644);
    let server =
        command::Running::start(&["-c", "Sink", "--smtps", "--tls-cert", &cert, "--tls-key", &key, "127.0.0.1:0"]);
    let other = tempfile::tempdir().unwrap();
    let [new_cert, new_key] = key_files(other.path(), 0o755, 0o644);
    let root = native_tls::Certificate::from_pem(&fs::read(&new_cert).unwrap()).unwrap();
    let connector = native_tls::TlsConnector::builder().add_root_certificate(root).build().unwrap();
    let is_renewed = || connector.connect("localhost", TcpStream::connect(server.address()).unwrap()).is_ok();
    assert!(!is_renewed());
    fs::rename(&new_cert, &cert).unwrap();
    fs::rename(&new_key, &key).unwrap();
    server.signal("HUP");
    let deadline = std::time::Instant::now() + PATIENCE;
    while !is_renewed() {
        assert!(std::time::Instant::now() < deadline);
    }
}

/// Calls itself until it has taken so much stack, whatever a frame takes in this build.
#[inline(never)]
fn deep(octets: usize, from: Option<usize>) -> usize {
    let frame = std::hint::black_box([1_u8; 1024]);
    let here = std::ptr::from_ref(&frame).addr();
    let from = from.unwrap_or(here);
    let deeper = if from.abs_diff(here) < octets { deep(octets, Some(from)) } else { 0 };
    deeper + usize::from(std::hint::black_box(&frame)[7])
}

const HALF_A_MEBIBYTE: usize = 512 * 1024;

struct Deep;

impl Session for Deep {
    fn rcpt(&mut self, _: &Context, _: &Recipient) -> Result<(), Reply> {
        std::hint::black_box(deep(HALF_A_MEBIBYTE, None));
        Ok(())
    }
}

/// Reported by those who called a parser in a hook: with more than 256 KiB of stack the whole process ended.
#[test]
fn hooks_may_take_half_a_mebibyte_of_stack() {
    let make = |_: &_| {
        std::hint::black_box(deep(HALF_A_MEBIBYTE, None));
        Deep
    };
    let builder = Server::builder().session(make);
    #[cfg(feature = "auth")]
    let builder = builder.authenticator(|_: &str, _: &str| deep(HALF_A_MEBIBYTE, None) > 0);
    let inbox = builder.inbox("127.0.0.1:0").unwrap();
    let mut client = Client::ehlo(inbox.local_addr());
    #[cfg(feature = "auth")]
    client.expect("AUTH PLAIN AGJvYgBidWlsZGVy", "235");
    store(&mut client, "250");
}
