//! `-c RedisStream` and `pillarbox deliver`: messages go through a real Redis.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use crate::support;
use crate::support::chain::Member;
use crate::support::client::Client;
use crate::support::command::command;
use crate::support::prometheus;
use crate::support::redis::Redis;
use crate::support::wait_until;
use pillarbox::Server;
use pillarbox::testing::Authority;

/// The exit status and stderr of a command that is not to run.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let output = command(arguments).output().expect("the command was built");
    assert!(output.stdout.is_empty());
    (output.status.code(), String::from_utf8(output.stderr).expect("text"))
}

fn send(receiver: &Member, content: &str, reply: &str) {
    let mut client = Client::envelope(receiver.address());
    client.expect("DATA", "354");
    client.expect(format!("{content}\r\n."), reply);
}

/// The content of the files in the Maildir's new.
fn stored(maildir: &Path) -> Vec<String> {
    let files = fs::read_dir(maildir.join("new")).into_iter().flatten();
    files.map(|file| fs::read_to_string(file.expect("an entry").path()).expect("text")).collect()
}

#[test]
fn words_that_contradict_each_other() {
    let secret = "redis://bob:sesame@localhost:99999/";
    for (arguments, expected) in [
        (&["-n", "-c", "RedisStream"][..], "-c RedisStream needs --redis URL"),
        (&["-n", "-c", "RedisStream", "--redis", secret], "invalid URL in --redis"),
        (
            &["-n", "-c", "RedisStream", "--redis", "redis://x", "--redis-ca", "x"],
            "--redis-ca is for a URL with rediss://",
        ),
        (&["-n", "-c", "RedisStream", "--redis", "rediss://x", "--redis-cert", "x"], "--redis-key"),
        (&["-n", "-c", "Sink", "--redis", "redis://bob:sesame@x"], "--redis is for -c RedisStream, not for -c Sink"),
        (&["-n", "-c", "RedisStream", "--redis", "redis://x", "--stream-length", "0"], "expected a number above 0"),
        (&["deliver"], "--maildir <DIR>"),
        (&["deliver", "--maildir", "x"], "pillarbox deliver needs --redis URL"),
        (&["deliver", "--maildir", "x", "--redis", secret], "invalid URL in --redis"),
        (&["deliver", "--redis", "redis://bob:sesame@x", "--maildir", "x", "--relay", "b:1"], "cannot be used with"),
        (&["deliver", "--redis", "redis://bob:sesame@x", "--maildir", "x", "--lf"], "--lf is for -- PROGRAM"),
        (&["deliver", "--redis", "redis://x", "--no-x-peer", "--", "cat"], "--no-x-peer is for --relay"),
        (&["deliver", "--redis", "redis://x", "--maildir", "x", "localhost:8025"], "unexpected argument"),
        (&["deliver", "--redis", "redis://x", "--maildir", "x", "--dead-letters", "pillarbox"], "for ever"),
        (&["deliver", "--redis", "redis://x", "--maildir", "x", "--consumer", ""], "a value is required"),
        (&["-n", "-c", "RedisStream", "--redis", "redis://x", "--stream", ""], "a value is required"),
        // Where something else begins, it is an address to listen at, and none.
        (&["-n", "deliver"], "expected HOST:PORT"),
    ] {
        let (code, error) = refused(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {error}");
        assert!(error.contains(expected) && !error.contains("sesame"), "{arguments:?}: {error}");
    }
    let mut by_variable = command(&["deliver", "--maildir", "x"]);
    let output = by_variable.env("PILLARBOX_REDIS", secret).output().expect("the command was built");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("PILLARBOX_REDIS in the environment") && !error.contains("sesame"), "{error}");
    let (code, error) =
        refused(&["-n", "-c", "RedisStream", "--redis", "rediss://x", "--redis-ca", "/nowhere", "127.0.0.1:0"]);
    assert!(code == Some(1) && error.contains("cannot read /nowhere: No such file"), "{error}");
    let (code, error) =
        refused(&["deliver", "-n", "--redis", "rediss://x", "--redis-ca", "Cargo.toml", "--maildir", "x"]);
    assert!(code == Some(1) && error.contains("Cargo.toml: "), "{error}");
    let (code, error) = refused(&["deliver", "-n", "--redis", "redis://x", "--", "/nowhere/program"]);
    assert!(code == Some(1) && error.contains("cannot run /nowhere/program"), "{error}");
}

#[test]
fn from_a_client_into_a_maildir() {
    let Some(redis) = Redis::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let maildir = folder.path().join("mail");
    // As an environment has it.
    let mut words = command(&["-n", "-c", "RedisStream", "--stream", "mail", "127.0.0.1:0"]);
    words.env("PILLARBOX_REDIS", redis.url());
    let receiver = Member::start(words, false);
    send(&receiver, "Subject: early\r\n\r\nhello", "250 2.0.0 OK");
    let options =
        ["--stream", "mail", "--group", "stores", "--consumer", "one", "--maildir", maildir.to_str().unwrap()];
    let worker = Member::worker(&redis.url(), &options);
    assert!(worker.said().contains("delivering from the stream mail at "), "{}", worker.said());
    send(&receiver, "Subject: late\r\n\r\nhello", "250 2.0.0 OK");
    wait_until("it is not delivered", || redis.say::<usize>("XLEN mail") == 0);
    let mail = stored(&maildir);
    assert!(mail.len() == 2 && mail.iter().any(|text| text.contains("\nSubject: early\n")), "{mail:?}");
    assert!(mail[0].contains("Delivered-To: recipient@example.org\n") && mail[0].contains("\nReceived: "), "{mail:?}");
    let groups: redis::Value = redis.say("XINFO GROUPS mail");
    assert!(format!("{groups:?}").contains("stores"), "{groups:?}");
    let said = worker.end();
    assert_eq!(said.lines().count(), 1, "{said}");
    receiver.end();
}

#[test]
fn a_relay_and_a_program() {
    let Some(redis) = Redis::start(&[]) else { return };
    let inbox = Server::builder().inbox("127.0.0.1:0").unwrap();
    let receiver = Member::receiver(&redis.url(), &["--xclient", "127.0.0.1"], "127.0.0.1:0");
    // From far away: whether it is relayed was decided when it was received.
    let mut client = Client::ehlo(receiver.address());
    client.expect("XCLIENT ADDR=192.0.2.1", "220");
    client.expect("EHLO far.example", "250");
    client.begin();
    client.expect("DATA", "354");
    client.expect("Subject: relayed\r\n\r\nhello\r\n.", "250");
    let worker = Member::worker(&redis.url(), &["--relay", &inbox.local_addr().to_string(), "--no-x-peer"]);
    let mail = inbox.recv_timeout(support::client::PATIENCE).expect("it is relayed");
    let text = mail.text().unwrap();
    assert!(text.starts_with("Received: ") && text.contains("far.example") && !text.contains("X-Peer"), "{text}");
    wait_until("it is not deleted", || redis.say::<usize>("XLEN pillarbox") == 0);
    worker.end();

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let script = format!("cat >> {0}; echo \"$PILLARBOX_SENDER\" >> {0}", out.display());
    let worker = Member::worker(&redis.url(), &["--lf", "--", "sh", "-c", &script]);
    send(&receiver, "Subject: program", "250");
    wait_until("it is not deleted", || redis.say::<usize>("XLEN pillarbox") == 0);
    assert_eq!(fs::read_to_string(&out).unwrap(), "Subject: program\nsender@client.example\n");
    worker.end();

    // What is refused for good goes where somebody looks at it.
    let options = ["--dead-letters", "lost", "--", "sh", "-c", "cat > /dev/null; echo 550 5.7.1 no; exit 1"];
    let worker = Member::worker(&redis.url(), &options);
    send(&receiver, "Subject: refused", "250");
    wait_until("it is no dead letter", || redis.say::<usize>("XLEN lost") == 1);
    wait_until("it is not deleted", || redis.say::<usize>("XLEN pillarbox") == 0);
    worker.end();
}

#[test]
fn those_who_watch_them() {
    let Some(mut redis) = Redis::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let maildir = folder.path().to_str().unwrap().to_owned();
    let metrics = ["--metrics", "127.0.0.1:0"];
    let receiver = Member::receiver(&redis.url(), &metrics, "127.0.0.1:0");
    let worker = Member::worker(&redis.url(), &[&metrics[..], &["--maildir", &maildir]].concat());
    let is_ready = |member: &Member| member.get("/readyz").status == 200;
    wait_until("the receiver is not ready", || is_ready(&receiver));
    wait_until("the worker is not ready", || is_ready(&worker));
    send(&receiver, "Subject: one", "250");
    wait_until("it is not deleted", || redis.say::<usize>("XLEN pillarbox") == 0);
    let numbers = worker.get("/metrics");
    assert_eq!(numbers.field("Content-Type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    for member in [&receiver, &worker] {
        let Some(samples) = prometheus::samples(member.get("/metrics").text(), true) else { continue };
        assert_eq!(samples.get("pillarbox_redis_up{}"), Some(&1.0), "{samples:#?}");
    }
    wait_until("the delivery is not counted", || {
        worker.get("/metrics").text().contains("\npillarbox_deliveries_total{outcome=\"delivered\"} 1\n")
    });
    for name in
        ["stream_entries", "stream_bytes", "stream_lag_entries", "stream_pending_entries", "dead_letter_entries"]
    {
        let value = format!("\npillarbox_{name} ");
        wait_until(name, || worker.get("/metrics").text().contains(&value));
    }

    redis.kill();
    wait_until("the receiver is ready without Redis", || !is_ready(&receiver));
    wait_until("the worker is ready without Redis", || !is_ready(&worker));
    for member in [&receiver, &worker] {
        assert_eq!(member.get("/livez").status, 200);
        assert!(member.get("/metrics").text().contains("\npillarbox_redis_up 0\n"));
        wait_until("nobody says why", || member.said().contains(" at ") && member.said().contains(": cannot "));
    }
    redis.restart();
    wait_until("the receiver does not come back", || is_ready(&receiver));
    wait_until("the worker does not come back", || is_ready(&worker));
    send(&receiver, "Subject: two", "250");
    wait_until("it is not delivered", || stored(folder.path()).len() == 2);
    receiver.end();
    worker.end();
}

/// A Redis that wants certificates of its clients, and an authority's files.
fn with_tls(folder: &Path) -> Option<(Redis, String, Authority)> {
    let authority = Authority::new().expect("certificates");
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).expect("room");
        path.display().to_string()
    };
    let (cert, key) = authority.pem_for(["localhost"]).expect("a certificate");
    let (cert, key) = (file("server.pem", &cert), file("server.key", &key));
    let ca = file("ca.pem", authority.pem());
    let (client_cert, client_key) = authority.pem_for(["mx.example"]).expect("a certificate");
    file("client.pem", &client_cert);
    file("client.key", &client_key);
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port().to_string();
    let settings = ["--tls-port", &port, "--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
    Some((Redis::start(&settings)?, format!("rediss://localhost:{port}"), authority))
}

#[test]
fn certificates_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let Some((redis, url, authority)) = with_tls(folder.path()) else { return };
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (ca, cert, key, mail) = (path("ca.pem"), path("client.pem"), path("client.key"), path("mail"));
    let files = ["--redis-ca", &*ca, "--redis-cert", &cert, "--redis-key", &key];
    let receiver = Member::receiver(&url, &files, "127.0.0.1:0");
    send(&receiver, "Subject: secure", "250");
    let worker = Member::worker(&url, &[&files[..], &["--maildir", &mail]].concat());
    wait_until("it is not delivered", || redis.say::<usize>("XLEN pillarbox") == 0);
    assert_eq!(stored(&folder.path().join("mail")).len(), 1);

    // What is wrong with the files or with Redis is told at the start.
    for (options, hint) in [
        (&["--redis-ca", &*ca][..], "certificate of this client"),
        (&["--redis-cert", &cert, "--redis-key", &key], "nobody who is trusted vouches for Redis's certificate"),
    ] {
        let other = Member::receiver(&url, options, "127.0.0.1:0");
        wait_until(hint, || other.said().contains(hint));
        other.end();
    }
    let other = Member::receiver(&url.replace("localhost", "127.0.0.1"), &files, "127.0.0.1:0");
    wait_until("it does not say why", || other.said().contains("for another name than the URL's"));

    // A certificate that Redis does not take is replaced while it runs.
    let (strange_cert, strange_key) =
        Authority::new().expect("certificates").pem_for(["mx.example"]).expect("a certificate");
    let (own_cert, own_key) = (path("own.pem"), path("own.key"));
    fs::write(&own_cert, strange_cert).unwrap();
    fs::write(&own_key, strange_key).unwrap();
    let own = ["--redis-ca", &*ca, "--redis-cert", &own_cert, "--redis-key", &own_key, "--metrics", "127.0.0.1:0"];
    let stranger = Member::receiver(&url, &own, "127.0.0.1:0");
    wait_until("the stranger is let in", || stranger.said().contains("certificate of this client"));
    assert_eq!(stranger.get("/readyz").status, 503);
    fs::copy(&cert, &own_cert).unwrap();
    fs::copy(&key, &own_key).unwrap();
    stranger.signal("HUP");
    wait_until("the new certificate is not used", || stranger.get("/readyz").status == 200);
    stranger.end();

    // Certificates are read again at SIGHUP; what cannot be used stays as it was.
    let (renewed_cert, renewed_key) = authority.pem_for(["mx.example"]).expect("a certificate");
    fs::write(&cert, "nothing").unwrap();
    for member in [&receiver, &worker] {
        member.signal("HUP");
        wait_until("it does not say what is wrong", || {
            member.said().contains("the certificates for Redis stay as they were")
        });
    }
    fs::write(&cert, renewed_cert).unwrap();
    fs::write(&key, renewed_key).unwrap();
    for member in [&receiver, &worker] {
        member.signal("HUP");
    }
    send(&receiver, "Subject: again", "250");
    wait_until("it is not delivered", || stored(&folder.path().join("mail")).len() == 2);
    receiver.end();
    worker.end();
}

#[test]
fn rights_and_passwords() {
    let Some(redis) = Redis::start(&["--requirepass", "sesame"]) else { return };
    let url = |query: &str| format!("{}?{query}", redis.url());
    for (query, hint) in [
        ("", "Redis wants a password"),
        ("user=bob&pass=sesame", "does not know the user and password"),
        ("pass=sesame&db=99", "Redis has no database of the URL's number"),
    ] {
        let receiver = Member::receiver(&url(query), &[], "127.0.0.1:0");
        wait_until(hint, || receiver.said().contains(hint));
        assert!(!receiver.said().contains("sesame"), "{}", receiver.said());
        send_refused(&receiver);
        let folder = tempfile::tempdir().unwrap();
        let worker = Member::worker(&url(query), &["--maildir", folder.path().to_str().unwrap()]);
        wait_until(hint, || worker.said().contains(hint));
        assert!(!worker.end().contains("sesame"));
    }
    let receiver = Member::receiver(&url("pass=sesame"), &[], "127.0.0.1:0");
    send(&receiver, "Subject: let in", "250");
}

/// Refused before the content, or after.
fn send_refused(receiver: &Member) {
    let mut client = Client::ehlo(receiver.address());
    let said = client.say("MAIL FROM:<a@client.example>");
    if said.starts_with("250") {
        client.expect("RCPT TO:<b@example.org>", "250");
        client.expect("DATA", "354");
        client.expect("x\r\n.", "451 4.3.0");
    } else {
        assert!(said.starts_with("451 4.3.0"), "{said}");
    }
}

#[test]
fn a_worker_that_is_told_to_end_finishes_what_it_has() {
    let Some(redis) = Redis::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let script = format!(
        "touch {}; until [ -e {} ]; do sleep 0.01; done; cat > {}",
        path("begun").display(),
        path("go").display(),
        path("done").display()
    );
    let receiver = Member::receiver(&redis.url(), &[], "127.0.0.1:0");
    let worker = Member::worker(&redis.url(), &["--lf", "--", "sh", "-c", &script]);
    send(&receiver, "Subject: x", "250");
    wait_until("the program does not run", || path("begun").exists());
    worker.signal("TERM");
    // What comes from now on is for others.
    send(&receiver, "Subject: y", "250");
    fs::write(path("go"), "").unwrap();
    assert_eq!(worker.wait().lines().count(), 1);
    assert_eq!(fs::read_to_string(path("done")).unwrap(), "Subject: x\n");
    assert_eq!(redis.say::<usize>("XLEN pillarbox"), 1);
    receiver.end();
}

#[test]
fn a_worker_that_is_killed_leaves_what_it_has_to_others() {
    let Some(redis) = Redis::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let receiver = Member::receiver(&redis.url(), &[], "127.0.0.1:0");
    let begun = folder.path().join("begun");
    let script = format!("touch {}; exec sleep 100", begun.display());
    let worker = Member::worker(&redis.url(), &["--", "sh", "-c", &script]);
    send(&receiver, "Subject: x", "250");
    wait_until("the program does not run", || begun.exists());
    worker.signal("TERM");
    // It has fifteen seconds; whoever cannot wait says so again.
    worker.signal("TERM");
    drop(worker);
    let mail = folder.path().join("mail");
    let other = Member::worker(&redis.url(), &["--take-over-after", "1", "--maildir", mail.to_str().unwrap()]);
    wait_until("it is not taken over", || stored(&mail).len() == 1);
    wait_until("it is not deleted", || redis.say::<usize>("XLEN pillarbox") == 0);
    other.end();
    receiver.end();
}

#[cfg(target_os = "linux")]
#[test]
fn systemd_is_told_of_a_worker() {
    use std::os::unix::net::UnixDatagram;
    let Some(redis) = Redis::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(support::client::PATIENCE)).unwrap();
    let told = || {
        let mut octets = [0; 1024];
        let length = socket.recv(&mut octets).expect("something is told");
        String::from_utf8(octets[..length].to_vec()).expect("text")
    };
    let mail = folder.path().join("mail");
    let mut words = command(&["deliver", "-n", "--redis", &redis.url(), "--maildir", mail.to_str().unwrap()]);
    words.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000").env_remove("WATCHDOG_PID");
    let worker = Member::start(words, false);
    let first: Vec<String> = (0..4).map(|_| told()).collect();
    assert!(first.contains(&"READY=1".to_owned()) && first.contains(&"WATCHDOG=1".to_owned()), "{first:?}");
    worker.end();
    let mut last = told();
    while last == "WATCHDOG=1" {
        last = told();
    }
    assert_eq!(last, "STOPPING=1");
}
