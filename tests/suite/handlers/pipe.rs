//! Programs that answer for messages, well-behaved and not.

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::support::client::{Client, PATIENCE};
use crate::support::process::runs;
use crate::support::{assert_same_bytes, logged, missing, wait_until};
use log::LevelFilter;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pillarbox::handlers::Pipe;
use pillarbox::{Builder, Envelope, Handler, Response, Server};
use tempfile::TempDir;

/// A script that a shell runs, with a folder for what it leaves.
fn shell(script: &str, folder: &TempDir) -> Pipe {
    // Not a file of its own: one that was just written cannot be run while another thread starts a program.
    Pipe::new("/bin/sh").arg("-c").arg(script).env("OUT", folder.path())
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn serve(pipe: Pipe) -> Server {
    Server::builder().serve("127.0.0.1:0", pipe).expect("a free port")
}

fn say_data(client: &mut Client, content: &[u8]) -> String {
    client.expect("DATA", "354");
    client.say([content, b"."].concat())
}

fn send(server: &Server, content: &[u8]) -> String {
    say_data(&mut Client::envelope(server.local_addr()), content)
}

/// What the client reads if this script runs.
fn answer(script: &str) -> String {
    let folder = folder();
    send(&serve(shell(script, &folder)), b"Subject: x\r\n\r\nbody\r\n")
}

/// The numbers that a script wrote to a file, one a line.
fn numbers(folder: &TempDir, file: &str) -> Vec<i32> {
    let text = fs::read_to_string(folder.path().join(file)).unwrap_or_default();
    // The last line may be on its way.
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')?.trim().parse().ok()).collect()
}

#[track_caller]
fn expect_ended(processes: &[i32]) {
    assert!(!processes.is_empty());
    // Killed as they are, the system may take a moment.
    wait_until(&format!("{processes:?} still run"), || !processes.iter().any(|process| runs(*process)));
}

#[test]
fn it_gets_the_message_and_the_envelope() {
    let folder = folder();
    let pipe = shell("cat > $OUT/mail; env > $OUT/env; pwd > $OUT/pwd", &folder).env("MORE", "a b").current_dir("/");
    let server = Server::builder().hostname("mx.example").smtputf8(true).serve("127.0.0.1:0", pipe).unwrap();
    let mut client = Client::ehlo(server.local_addr());
    client.expect("MAIL FROM:<a@client.example> BODY=8BITMIME", "250");
    client.expect("RCPT TO:<b@example.org> NOTIFY=NEVER", "250");
    client.expect("RCPT TO:<c@example.org>", "250");
    let reply = say_data(&mut client, b"Subject: x\r\n\r\n..dotted\r\nlast\r\n");
    let id = reply.strip_prefix("250 2.0.0 OK ").unwrap_or_else(|| panic!("{reply}"));
    let read = |file: &str| fs::read_to_string(folder.path().join(file)).unwrap();
    assert_eq!(read("mail"), "Subject: x\r\n\r\n.dotted\r\nlast\r\n");
    assert_eq!(read("pwd"), "/\n");
    let env = read("env");
    for line in [
        &*format!("PILLARBOX_ID={id}"),
        "PILLARBOX_SENDER=a@client.example",
        "PILLARBOX_SENDER_OPTIONS=BODY=8BITMIME",
        "PILLARBOX_RECIPIENTS=b@example.org",
        "c@example.org",
        "PILLARBOX_RECIPIENT_OPTIONS=NOTIFY=NEVER",
        &*format!("PILLARBOX_PEER={}", client.local_addr()),
        "PILLARBOX_PEER_ADDRESS=127.0.0.1",
        &*format!("PILLARBOX_LOCAL={}", server.local_addr()),
        "PILLARBOX_HELO=client.example",
        "PILLARBOX_PROTOCOL=ESMTP",
        "PILLARBOX_IDENTITY=",
        "PILLARBOX_TLS=",
        "PILLARBOX_TLS_CIPHER=",
        "PILLARBOX_TLS_SERVER_NAME=",
        "PILLARBOX_SIZE=29",
        "PILLARBOX_HOSTNAME=mx.example",
        "MORE=a b",
    ] {
        assert!(env.lines().any(|other| other == line), "{line} is not in\n{env}");
    }
    // Cargo sets this for the tests.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some() && !env.contains("CARGO"), "{env}");
}

#[cfg(all(feature = "tls", feature = "auth"))]
#[test]
fn it_knows_of_tls_and_the_user() {
    use crate::support::tls::{Certificate, TlsClient};
    let folder = folder();
    let pipe = shell("env > $OUT/env", &folder);
    let certificate = Certificate::new();
    let users = pillarbox::Users::new().add("bob", "builder").unwrap();
    let builder = Server::builder().tls(certificate.tls()).authenticator(users).smtputf8(true);
    let server = builder.serve("127.0.0.1:0", pipe).unwrap();
    let mut client = TlsClient::connect(server.local_addr());
    client.expect_reply("220 ");
    client.expect("EHLO client.example", "250");
    client.expect("STARTTLS", "220 2.0.0");
    let mut client = client.handshake(&certificate);
    client.expect("EHLO client.example", "250");
    client.expect("AUTH PLAIN AGJvYgBidWlsZGVy", "235");
    client.expect("MAIL FROM:<> SMTPUTF8", "250");
    client.expect("RCPT TO:<gr\u{fc}n@example.org>", "250");
    client.expect("DATA", "354");
    client.expect("x\r\n.", "250");
    let env = fs::read_to_string(folder.path().join("env")).unwrap();
    for line in [
        "PILLARBOX_TLS=TLS",
        "PILLARBOX_IDENTITY=bob",
        "PILLARBOX_PROTOCOL=UTF8SMTPSA",
        "PILLARBOX_SENDER=",
        "PILLARBOX_RECIPIENTS=gr\u{fc}n@example.org",
    ] {
        assert!(env.lines().any(|other| other == line), "{line} is not in\n{env}");
    }
}

#[test]
fn a_client_at_a_unix_socket_has_no_address() {
    let folder = folder();
    let pipe = shell("env > $OUT/env", &folder);
    let path = folder.path().join("socket");
    let _server = Server::builder().serve(path.as_path(), pipe).unwrap();
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    use std::io::Write;
    stream.write_all(b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n.\r\nQUIT\r\n").unwrap();
    let mut replies = String::new();
    stream.read_to_string(&mut replies).unwrap();
    assert!(replies.contains("250 2.0.0 OK "), "{replies}");
    let env = fs::read_to_string(folder.path().join("env")).unwrap();
    for line in ["PILLARBOX_PEER=unix:", "PILLARBOX_PEER_ADDRESS=", "PILLARBOX_PROTOCOL=SMTP", "PILLARBOX_SIZE=0"] {
        assert!(env.lines().any(|other| other == line), "{line} is not in\n{env}");
    }
}

#[test]
fn line_ends_as_wanted_and_from_disk_too() {
    let content =
        b"From: x\r\n\r\n".iter().chain(b"line\r\n".iter().cycle().take(600_000)).copied().collect::<Vec<u8>>();
    for (lf, spool) in [(false, false), (true, false), (false, true), (true, true)] {
        let folder = folder();
        let pipe = shell("cat > $OUT/mail", &folder).lf(lf);
        let threshold = if spool { 1 } else { 1 << 30 };
        let server = Server::builder().spool_threshold(threshold).serve("127.0.0.1:0", pipe).unwrap();
        assert_eq!(&send(&server, &content)[..4], "250 ");
        let expected =
            if lf { String::from_utf8(content.clone()).unwrap().replace("\r\n", "\n").into() } else { content.clone() };
        assert_same_bytes(&fs::read(folder.path().join("mail")).unwrap(), &expected);
    }
}

#[test]
fn exit_status_and_last_line_decide() {
    for (script, reply) in [
        ("exit 0", "250 2.0.0 OK "),
        ("exit 75", "451 4.3.0 "),
        ("exit 1", "554 5.0.0 "),
        ("exit 255", "554 5.0.0 "),
        ("kill -9 $$", "451 4.3.0 "),
        ("kill -TERM $$", "451 4.3.0 "),
        ("echo working; echo '250 2.6.0 queued as 7'", "250 2.6.0 queued as 7"),
        ("echo '550 5.7.1 no spam'; exit 1", "550 5.7.1 no spam"),
        ("echo '452 4.2.2 full'; exit 1", "452 4.2.2 full"),
        ("echo '450 4.7.1 later'; echo; echo; exit 75", "450 4.7.1 later"),
        // A refusal counts whatever the exit status, and only exit status 0 accepts.
        ("echo '550 5.7.1 no spam'", "550 5.7.1 no spam"),
        ("echo '250 2.0.0 fine'; exit 1", "554 5.0.0 "),
        ("echo '250 2.0.0 fine'; exit 75", "451 4.3.0 "),
        ("echo '250 2.0.0 fine'; kill -9 $$", "451 4.3.0 "),
        ("echo '250 2.0.0 fine'; exec 1>&-; exit 9", "554 5.0.0 "),
        // These would end the connection, or be no answer.
        ("echo '421 4.3.2 bye'; exit 75", "451 4.3.2 bye"),
        ("echo '221 2.0.0 bye'", "250 2.0.0 OK "),
        ("echo '354 go on'", "250 2.0.0 OK "),
        ("printf '550 5.7.1 a\\033[2Jb\\n'; exit 1", "554 5.0.0 "),
        ("echo '550 5.7.1 no'; echo done", "250 2.0.0 OK "),
    ] {
        let answer = answer(script);
        assert!(answer.starts_with(reply), "{script}: {answer}");
    }
}

#[test]
fn it_may_leave_the_message_unread_and_write_more_than_anybody_reads() {
    let large: Vec<u8> = b"0123456789abcdef0123456789abcde\r\n".iter().cycle().take(33 * 120_000).copied().collect();
    for script in [
        "exit 0",
        "exec 0<&-; exit 0",
        "head -c 1 > /dev/null",
        // Would block for ever if its output were not read meanwhile.
        "cat",
        "cat >&2",
        "cat; cat /dev/zero | head -c 9000000; echo; echo 250 done",
        "yes | head -c 9000000 >&2",
    ] {
        let folder = folder();
        let server = serve(shell(script, &folder));
        let mut client = Client::envelope(server.local_addr());
        let reply = say_data(&mut client, &large);
        assert!(reply.starts_with("250 "), "{script}: {reply}");
        client.expect_in_step();
    }
}

#[test]
fn whoever_takes_too_long_is_ended_with_all_that_it_started() {
    let scripts = [
        "sleep 1000 & echo $! >> $OUT/pids; wait",
        "sleep 1000",
        // SIGTERM does not end these.
        "trap '' TERM; sleep 1000 & echo $! >> $OUT/pids; while :; do wait; done",
        "kill -STOP $$",
        // Its output is still read while it is to end.
        "trap '' TERM; while :; do yes 250 2.0.0 fine | head -c 100000; sleep 0.1; done",
        "while :; do yes error | head -c 100000 >&2; sleep 0.1; done",
        // Waits for the end of the message, which comes when it has the whole message; it has closed its output.
        "cat > /dev/null; exec 1>&- 2>&-; sleep 1000 & echo $! >> $OUT/pids; wait",
        // Accepts when it is told to end: too late.
        "trap 'exit 0' TERM; sleep 1000 & wait",
    ];
    thread::scope(|scope| {
        for script in scripts {
            scope.spawn(move || {
                let folder = folder();
                let script = format!("echo $$ >> $OUT/pids; {script}");
                let server = serve(shell(&script, &folder).timeout(Duration::from_secs(2)));
                let mut client = Client::envelope(server.local_addr());
                let reply = say_data(&mut client, b"x\r\n");
                assert!(reply.starts_with("451 4.3.0 Processing took too long"), "{script}: {reply}");
                client.expect_in_step();
                expect_ended(&numbers(&folder, "pids"));
            });
        }
    });
}

#[test]
fn a_program_that_is_ended_sees_no_end_of_a_message_that_it_has_not_read() {
    let large = vec![b'x'; 2_000_000];
    let large: Vec<u8> = large.chunks(70).flat_map(|line| [line, b"\r\n"].concat()).collect();
    let folder = folder();
    // Reads on when it is told to end; what it would store if it saw an end is never stored.
    let script = "trap '' TERM; echo > $OUT/started; sleep 2; cat > $OUT/part; mv $OUT/part $OUT/whole";
    let server = serve(shell(script, &folder).timeout(Duration::from_secs(1)));
    assert!(send(&server, &large).starts_with("451 "));
    assert!(folder.path().join("started").exists() && !folder.path().join("whole").exists());
}

#[test]
fn what_is_left_in_the_background_delays_nobody() {
    let folder = folder();
    // Holds all three pipes open.
    let server = serve(shell("sleep 1000 & echo $! >> $OUT/pids; echo 250 2.0.0 fine", &folder));
    assert_eq!(send(&server, b"x\r\n"), "250 2.0.0 fine");
    expect_ended(&numbers(&folder, "pids"));
    if crate::support::program("setsid").is_none() {
        return;
    }
    // A daemon has left the group: it goes on, and the client does not wait for it.
    let script = "setsid sh -c 'echo $$ >> $OUT/daemon; exec sleep 1000' & \
                  while [ ! -s $OUT/daemon ]; do sleep 0.01; done; echo 250 2.0.0 fine";
    let server = serve(shell(script, &folder));
    assert_eq!(send(&server, b"x\r\n"), "250 2.0.0 fine");
    let daemon = numbers(&folder, "daemon");
    assert!(runs(daemon[0]));
    kill(Pid::from_raw(daemon[0]), Signal::SIGKILL).unwrap();
}

#[test]
fn what_cannot_be_run_is_known_at_the_start_and_451_later() {
    let folder = folder();
    let file = |name: &str, text: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let plain = file("plain", "#!/bin/sh\n", 0o644);
    let no_interpreter = file("no-interpreter", "exit 0\n", 0o755);
    let missing_interpreter = file("missing-interpreter", "#!/nowhere/python\n", 0o755);
    let windows = file("windows", "#!/bin/sh\r\nexit 0\r\n", 0o755);
    let empty = file("empty", "", 0o755);
    for (program, why) in [
        (folder.path().join("missing"), "No such file"),
        (folder.path().to_owned(), "it is not a file"),
        (plain, "denied"),
        (no_interpreter, "it does not begin with #!"),
        (missing_interpreter, "its interpreter is not there: /nowhere/python"),
        (windows, r"its interpreter is not there: /bin/sh\r"),
        (empty, "it does not begin with #!"),
        ("no-such-program-anywhere".into(), "it is not in PATH"),
        ("".into(), "it is not in PATH"),
    ] {
        let pipe = Pipe::new(&program);
        let error = pipe.check().unwrap_err().to_string();
        assert!(error.contains(why), "{}: {error}", program.display());
        let server = serve(pipe);
        let mut client = Client::envelope(server.local_addr());
        let reply = say_data(&mut client, b"x\r\n");
        assert_eq!(reply, "451 4.3.0 Local error in processing", "{}", program.display());
        client.expect_in_step();
    }
    Pipe::new("sh").check().unwrap();
    let error = Pipe::new("sh").current_dir(folder.path().join("missing")).check().unwrap_err();
    assert_eq!(error.to_string(), "its working folder is not there");
}

/// An address as long as they get.
fn long_address(number: usize) -> String {
    let label = "x".repeat(60);
    let address = format!("{}{number:04}@{label}.{label}.{label}.exa", "l".repeat(60));
    assert!((248..=254).contains(&address.len()), "{}", address.len());
    address
}

fn send_to_many(builder: Builder, pipe: Pipe, address: impl Fn(usize) -> String) -> String {
    let server = builder.serve("127.0.0.1:0", pipe).unwrap();
    let mut client = Client::ehlo(server.local_addr());
    client.expect("MAIL FROM:<>", "250");
    for number in 0..1000 {
        client.expect(format!("RCPT TO:<{}>", address(number)), "250");
    }
    say_data(&mut client, b"x\r\n")
}

#[test]
fn a_thousand_recipients_of_any_length() {
    const SCRIPT: &str = "echo \"$PILLARBOX_RECIPIENTS\" >> $OUT/all; echo >> $OUT/runs";
    for (address, most) in [((|n| format!("{n}@example.org")) as fn(usize) -> String, 1), (long_address, 3)] {
        let folder = folder();
        let reply = send_to_many(Server::builder(), shell(SCRIPT, &folder), address);
        assert!(reply.starts_with("250 "), "{reply}");
        let all = fs::read_to_string(folder.path().join("all")).unwrap();
        let expected: Vec<String> = (0..1000).map(address).collect();
        assert_eq!(all.lines().collect::<Vec<_>>(), expected);
        assert!(fs::read(folder.path().join("runs")).unwrap().len() <= most);
    }
    // One run refuses its part: the client keeps the message for all.
    let folder = folder();
    let refusing = "case $PILLARBOX_RECIPIENTS in *l0999@*) exit 75;; esac";
    assert!(send_to_many(Server::builder(), shell(refusing, &folder), long_address).starts_with("451 "));
}

/// A program whose arguments and environment have so much room left, on Linux.
#[cfg(target_os = "linux")]
fn with_room(mut pipe: Pipe, room: u64) -> Pipe {
    use nix::sys::resource::{Resource, getrlimit};
    let (stack, _) = getrlimit(Resource::RLIMIT_STACK).unwrap();
    let mut rest = (stack / 4).min(6 * 1024 * 1024) - room;
    for number in 0.. {
        let fill = rest.min(100_000);
        if fill < 100 {
            break;
        }
        pipe = pipe.env(format!("FILL{number}"), "x".repeat(fill as usize - 20));
        rest -= fill;
    }
    pipe
}

#[cfg(target_os = "linux")]
#[test]
fn little_room_takes_more_runs_and_none_is_451() {
    const SCRIPT: &str = "echo \"$PILLARBOX_RECIPIENTS\" >> $OUT/all; echo >> $OUT/runs";
    let folder = folder();
    let pipe = with_room(shell(SCRIPT, &folder), 64 * 1024);
    let reply = send_to_many(Server::builder(), pipe, long_address);
    assert!(reply.starts_with("250 "), "{reply}");
    let all = fs::read_to_string(folder.path().join("all")).unwrap();
    assert_eq!(all.lines().collect::<Vec<_>>(), (0..1000).map(long_address).collect::<Vec<_>>());
    assert!(fs::read(folder.path().join("runs")).unwrap().len() > 3);
    logged::listen(LevelFilter::Warn);
    let reply = send(&serve(with_room(shell(SCRIPT, &folder), 0)), b"x\r\n");
    assert!(reply.starts_with("451 4.3.0 "), "{reply}");
    assert!(!logged::lines("Argument list too long").is_empty());
}

#[test]
fn each_recipient_has_its_own_run_and_in_lmtp_its_own_reply() {
    const SCRIPT: &str = "echo $PILLARBOX_RECIPIENTS >> $OUT/all; cat >> $OUT/mail
        case $PILLARBOX_RECIPIENTS in full@*) echo 452 4.2.2 full; exit 75;; none@*) exit 67;; esac";
    let folder = folder();
    let server =
        Server::builder().lmtp(true).serve("127.0.0.1:0", shell(SCRIPT, &folder).each_recipient(true)).unwrap();
    let mut client = Client::connect(server.local_addr());
    client.expect("LHLO client.example", "250");
    client.expect("MAIL FROM:<a@client.example>", "250");
    for to in ["one", "full", "none", "two"] {
        client.expect(format!("RCPT TO:<{to}@example.org>"), "250");
    }
    client.expect("DATA", "354");
    client.expect("x\r\n.", "250 2.0.0");
    client.expect_reply("452 4.2.2 full");
    client.expect_reply("554 5.0.0");
    client.expect_reply("250 2.0.0");
    assert_eq!(fs::read_to_string(folder.path().join("mail")).unwrap(), "x\r\n".repeat(4));
    let all = fs::read_to_string(folder.path().join("all")).unwrap();
    assert_eq!(all, "one@example.org\nfull@example.org\nnone@example.org\ntwo@example.org\n");
    // Without it there is one run with one answer for all.
    let server = Server::builder().lmtp(true).serve("127.0.0.1:0", shell("exit 75", &folder)).unwrap();
    let mut client = Client::connect(server.local_addr());
    client.expect("LHLO client.example", "250");
    client.expect("MAIL FROM:<a@client.example>", "250");
    client.expect("RCPT TO:<one@example.org>", "250");
    client.expect("RCPT TO:<two@example.org>", "250");
    client.expect("DATA", "354");
    client.expect("x\r\n.", "451 4.3.0");
    client.expect_reply("451 4.3.0");
    client.expect_in_step();
}

/// Runs until the file `go` is there.
const GATED: &str = "echo $$ >> $OUT/pids; mkdir $OUT/run.$$; ls -d $OUT/run.* | wc -l >> $OUT/counts
    while [ ! -e $OUT/go ]; do sleep 0.01; done; rmdir $OUT/run.$$";

#[test]
fn so_many_at_once_and_others_wait() {
    let folder = folder();
    let server = serve(shell(GATED, &folder).processes(2));
    let address = server.local_addr();
    let clients: Vec<_> =
        (0..6).map(|_| thread::spawn(move || say_data(&mut Client::envelope(address), b"x\r\n"))).collect();
    // Two at once: a program that takes long holds up no consumer.
    wait_until("two programs run", || numbers(&folder, "counts").contains(&2));
    Client::connect(address).expect_in_step();
    fs::write(folder.path().join("go"), "").unwrap();
    for client in clients {
        assert!(client.join().unwrap().starts_with("250 "));
    }
    let counts = numbers(&folder, "counts");
    assert!(counts.len() == 6 && counts.iter().all(|count| *count <= 2), "{counts:?}");
}

/// An envelope that no server waits for.
fn envelope() -> Envelope {
    let (server, deliveries) = Server::builder().deliveries("127.0.0.1:0").unwrap();
    let mut client = Client::envelope(server.local_addr());
    client.expect("DATA", "354");
    client.send("x\r\n.\r\n");
    let (mail, answer) = deliveries.recv().unwrap().take();
    answer.respond(());
    mail
}

#[test]
fn what_nobody_waits_for_any_longer_is_not_run() {
    let folder = folder();
    let pipe = shell(GATED, &folder).processes(1);
    let mut clone = pipe.clone();
    let first = thread::spawn(move || clone.process_message(envelope()));
    wait_until("a program runs", || !numbers(&folder, "pids").is_empty());
    let builder = Server::builder().handler_timeout(Duration::from_millis(500));
    let server = builder.serve("127.0.0.1:0", pipe.clone()).unwrap();
    let address = server.local_addr();
    let others: Vec<_> =
        (0..4).map(|_| thread::spawn(move || say_data(&mut Client::envelope(address), b"x\r\n"))).collect();
    for client in others {
        assert!(client.join().unwrap().starts_with("451 "));
    }
    fs::write(folder.path().join("go"), "").unwrap();
    assert_eq!(first.join().unwrap(), Response::from(()));
    let server = Server::builder().serve("127.0.0.1:0", pipe).unwrap();
    assert!(send(&server, b"x\r\n").starts_with("250 "));
    assert_eq!(numbers(&folder, "pids").len(), 2);
}

#[test]
fn a_program_whose_client_does_not_wait_any_longer_is_ended() {
    let folder = folder();
    let builder = Server::builder().handler_timeout(Duration::from_secs(2));
    let server = builder.serve("127.0.0.1:0", shell(GATED, &folder)).unwrap();
    assert!(send(&server, b"x\r\n").starts_with("451 "));
    expect_ended(&numbers(&folder, "pids"));
}

#[test]
fn a_shutdown_leaves_no_program() {
    let folder = folder();
    let script = "trap '' TERM; sleep 1000 & echo $! >> $OUT/pids; echo $$ >> $OUT/pids; while :; do wait; done";
    let server = serve(shell(script, &folder).processes(2));
    let address = server.local_addr();
    let mut clients: Vec<_> = (0..4)
        .map(|_| {
            let mut client = Client::envelope(address);
            client.expect("DATA", "354");
            client.send("x\r\n.\r\n");
            client
        })
        .collect();
    wait_until("two programs run", || numbers(&folder, "pids").len() == 4);
    let report = server.shutdown(Duration::from_millis(100));
    assert_eq!(report.cut, 4);
    expect_ended(&numbers(&folder, "pids"));
    assert_eq!(numbers(&folder, "pids").len(), 4);
    for client in &mut clients {
        client.expect_reply("421 ");
    }
}

#[test]
fn a_shutdown_lets_a_program_finish() {
    let folder = folder();
    let server = serve(shell(GATED, &folder));
    let mut client = Client::envelope(server.local_addr());
    client.expect("DATA", "354");
    client.send("x\r\n.\r\n");
    wait_until("a program runs", || !numbers(&folder, "counts").is_empty());
    let ending = thread::spawn(move || server.shutdown(PATIENCE));
    fs::write(folder.path().join("go"), "").unwrap();
    client.expect_reply("250 ");
    assert_eq!(ending.join().unwrap().cut, 0);
}

#[test]
fn dropping_the_last_clone_ends_the_programs() {
    let folder = folder();
    let pipe = shell("echo $$ >> $OUT/pids; exec sleep 1000", &folder);
    let (server, deliveries) = Server::builder().deliveries("127.0.0.1:0").unwrap();
    let mut client = Client::envelope(server.local_addr());
    client.expect("DATA", "354");
    client.send("x\r\n.\r\n");
    let mut clone = pipe.clone();
    clone.process_delivery(deliveries.recv().unwrap());
    drop(clone);
    wait_until("a program runs", || !numbers(&folder, "pids").is_empty());
    assert!(runs(numbers(&folder, "pids")[0]));
    pipe.stop();
    expect_ended(&numbers(&folder, "pids"));
    client.expect_reply("451 4.3.0");
    // And starts no more.
    client.begin();
    client.expect("DATA", "354");
    client.send("x\r\n.\r\n");
    let (mail, answer) = deliveries.recv().unwrap().take();
    let response = pipe.clone().process_message(mail);
    assert!(matches!(&response, Response::All(reply) if reply.code() == 451));
    answer.respond(response);
    client.expect_reply("451 4.3.0");
    assert_eq!(numbers(&folder, "pids").len(), 1);
}

#[test]
fn nothing_of_the_servers_is_open_blocked_or_ignored() {
    if !Path::new("/proc/self/fd").exists() {
        return missing("this system has no /proc/self/fd");
    }
    let folder = folder();
    // Descriptors of all kinds while it runs: listeners, connections, a spool file, another program's pipes.
    // The shell itself reads its status: while it starts another program, it blocks signals.
    let script = "ls -l /proc/$$/fd > $OUT/fds
        while read -r line; do echo \"$line\"; done < /proc/$$/status > $OUT/status
        cat > /dev/null";
    let pipe = shell(script, &folder);
    let passed_in = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let builder = Server::builder().spool_threshold(1).listen(passed_in);
    let server = builder.serve("127.0.0.1:0", pipe).unwrap();
    let others: Vec<_> = (0..3).map(|_| Client::connect(server.local_addr())).collect();
    assert!(send(&server, &b"0123456789\r\n".repeat(10_000)).starts_with("250 "));
    drop(others);
    let fds = fs::read_to_string(folder.path().join("fds")).unwrap();
    let open: HashSet<&str> =
        fds.lines().filter_map(|line| line.split(" -> ").next()?.rsplit(' ').next()).filter(|fd| *fd != "0").collect();
    // The shell may have one of its own for the redirection.
    let foreign: Vec<&str> = fds.lines().filter(|line| line.contains("socket:") || line.contains("deleted")).collect();
    assert!(foreign.is_empty() && open.contains("2"), "{fds}");
    let status = fs::read_to_string(folder.path().join("status")).unwrap();
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    assert_eq!((mask("SigBlk:"), mask("SigIgn:") & (1 << 12)), (0, 0), "{status}");
}

#[test]
fn stderr_is_logged_escaped_and_bounded() {
    logged::listen(LevelFilter::Warn);
    let folder = folder();
    let script = "printf 'unique-a \\033[2J\\n' >&2; yes unique-b | head -n 100000 >&2
        head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1";
    assert!(send(&serve(shell(script, &folder)), b"x\r\n").starts_with("554 "));
    let first = logged::lines("unique-a");
    assert!(first.len() == 1 && first[0].ends_with(r"/bin/sh: unique-a \x1b[2J"), "{first:?}");
    assert_eq!(logged::lines("unique-b").len(), 99);
    let id = first[0].split(' ').nth(1).unwrap();
    assert!(logged::lines(id).iter().any(|line| line.ends_with("99902 more lines")), "{:?}", logged::lines(id).last());
    // A line without an end, and not all of it.
    let script = "printf unique-c >&2; head -c 100000 /dev/zero | tr '\\0' x >&2";
    send(&serve(shell(script, &folder)), b"x\r\n");
    let lines = logged::lines("unique-c");
    assert!(lines.len() == 1 && lines[0].len() < 1200 && lines[0].ends_with("99008 more octets"), "{lines:?}");
}

#[test]
fn values_that_clients_choose_are_values_and_nothing_else() {
    let folder = folder();
    let server = serve(shell("printf '%s\\n' \"$PILLARBOX_SENDER\" \"$PILLARBOX_HELO\" > $OUT/values", &folder));
    let mut client = Client::connect(server.local_addr());
    client.expect("EHLO $(touch$IFS$OUT/harm)", "250");
    client.expect("MAIL FROM:<\"a;touch $OUT/harm\"@`id`.example>", "501");
    client.expect("MAIL FROM:<\"a;touch $OUT/harm\"@client.example>", "250");
    client.expect("RCPT TO:<-rf@example.org>", "250");
    assert!(say_data(&mut client, b"x\r\n").starts_with("250 "));
    let mut values = String::new();
    fs::File::open(folder.path().join("values")).unwrap().read_to_string(&mut values).unwrap();
    assert_eq!(values, "\"a;touch $OUT/harm\"@client.example\n$(touch$IFS$OUT/harm)\n");
    assert!(!folder.path().join("harm").exists());
}
