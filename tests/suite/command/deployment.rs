//! What comes with the command: manual page, completions, systemd units; and the socket that systemd passes in.

use std::io::Write;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use crate::support;
use crate::support::client::Client;
use crate::support::command::{Running, command, without_options};

fn printed(arguments: &[&str]) -> (bool, String, String) {
    let output = command(arguments).output().expect("the command was built");
    let text = |octets| String::from_utf8(octets).expect("text");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// The long options that --help shows, and that of the subcommand.
fn options() -> Vec<String> {
    let help = [&["--help"][..], &["deliver", "--help"]].map(|arguments| printed(arguments).1).concat();
    let words = help.split_whitespace().filter_map(|word| word.strip_prefix("--"));
    let ends = |c: char| !c.is_ascii_alphanumeric() && c != '-';
    words.map(|word| word.split(ends).next().unwrap_or_default().to_owned()).collect()
}

/// What a program says of a text that it reads from a pipe.
fn checked(program: &str, arguments: &[&str], text: &str) -> (bool, String) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it is there");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_manual_page_names_every_option() {
    let (is_done, page, _) = printed(&["--generate", "man"]);
    assert!(is_done && page.contains(".TH pillarbox 1"), "{page}");
    let plain = page.replace("\\-", "-");
    for option in options() {
        assert!(plain.contains(&format!("--{option}")), "{option}");
    }
    for section in ["EXAMPLES", "SIGNALS", "EXIT STATUS"] {
        assert!(page.contains(&format!(".SH {section}\n")), "{section}");
    }
    if support::program("man").is_some() {
        let (is_read, warnings) = checked("man", &["--warnings", "--local-file", "-"], &page);
        assert!(is_read && warnings.is_empty(), "{warnings}");
    }
}

#[test]
fn the_completions_name_every_option() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (is_done, script, _) = printed(&["--generate", shell]);
        assert!(is_done, "{shell}");
        for option in options() {
            assert!(script.contains(&option), "{shell}: {option}");
        }
        if ["bash", "fish", "zsh"].contains(&shell) && support::program(shell).is_some() {
            let (is_read, errors) = checked(shell, &["-n"], &script);
            assert!(is_read && errors.is_empty(), "{shell}: {errors}");
        }
    }
    let (_, script, _) = printed(&["--generate", "bash"]);
    for values in
        ["DebuggingServer Inbox Maildir Pipe RedisStream Sink PureProxy MailmanProxy", "off offered required implicit"]
    {
        assert!(script.contains(values), "{values}");
    }
    let (is_done, _, error) = printed(&["--generate", "csh"]);
    assert!(!is_done && error.contains("csh"), "{error}");
}

/// The command with a socket as systemd passes it on: as descriptor 3, and variables that say so.
fn with_socket(socket: impl Into<OwnedFd>) -> Command {
    let mut shell = Command::new("sh");
    let run = "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" -n -c Sink systemd: 3<&0 </dev/null";
    shell.args(["-c", run, env!("CARGO_BIN_EXE_pillarbox")]).env_remove("RUST_LOG");
    shell.stdin(Stdio::from(socket.into())).stdout(Stdio::piped()).stderr(Stdio::piped());
    without_options(&mut shell);
    shell
}

#[test]
fn the_socket_that_systemd_passes_in() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("it is bound");
    let server = Running::start_command(with_socket(socket));
    assert_eq!(server.address(), address);
    let mut client = Client::ehlo(address);
    client.begin();
    client.expect("DATA", "354");
    client.expect("Subject: hello\r\n\r\nbody\r\n.", "250 2.0.0 OK ");
}

#[test]
fn a_unix_socket_that_systemd_passes_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("smtp");
    let socket = UnixListener::bind(&path).expect("a free path");
    let server = Running::start_command(with_socket(socket));
    assert_eq!(server.endpoint, format!("unix:{}", path.display()));
}

#[test]
fn no_socket_is_passed_in() {
    let (is_done, _, error) = printed(&["-n", "systemd:"]);
    assert!(!is_done && error.contains("no socket was passed in"), "{error}");
    let file = std::fs::File::open("/dev/null").expect("it is there");
    let output = with_socket(file).output().expect("a shell");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("no listening socket"), "{error}");
}

#[test]
fn the_units_are_valid() {
    if support::program("systemd-analyze").is_none() {
        return;
    }
    // It looks for the program, too: where it will be installed there is none.
    let folder = tempfile::tempdir().expect("a folder");
    let units = [
        "pillarbox.service",
        "pillarbox.socket",
        "pillarbox-submission.service",
        "pillarbox-submission.socket",
        "pillarbox-submissions.socket",
        "pillarbox-receiver.service",
        "pillarbox-receiver.socket",
        "pillarbox-deliver.service",
    ];
    for unit in units {
        let text = std::fs::read_to_string(format!("examples/deploy/{unit}")).expect("a unit");
        let text = text.replace("/usr/local/bin/pillarbox", env!("CARGO_BIN_EXE_pillarbox"));
        std::fs::write(folder.path().join(unit), text).expect("room");
    }
    let verify = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(units)
        .current_dir(folder.path())
        .output()
        .expect("it is there");
    let told = String::from_utf8_lossy(&verify.stderr);
    assert!(verify.status.success() && !told.contains("pillarbox"), "{told}");
}

/// What the inbox's image sets, and how it is asked for its health.
fn image() -> (Vec<(String, String)>, Vec<String>) {
    let file = std::fs::read_to_string("examples/deploy/Dockerfile.inbox").expect("a Dockerfile");
    let file = file.replace("\\\n", " ");
    let instruction = |name: &str| {
        let mut lines = file.lines().filter_map(|line| line.strip_prefix(name));
        lines.next_back().unwrap_or_else(|| panic!("{name}")).trim().to_owned()
    };
    let variables = instruction("ENV ");
    let variables = variables.split_whitespace().map(|pair| {
        let (name, value) = pair.split_once('=').expect("a value");
        (name.to_owned(), value.to_owned())
    });
    let health = instruction("HEALTHCHECK ");
    let (_, words) = health.split_once("CMD ").expect("a command");
    (variables.collect(), serde_json::from_str(words).expect("a list"))
}

/// The image itself can be built only where its base can be had. What it runs can be run here.
#[test]
fn the_inbox_of_the_image_takes_mail_and_is_healthy() {
    let (variables, health) = image();
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = command(&["-n"]);
    for (name, value) in variables {
        let value = match name.as_str() {
            "PILLARBOX_INBOX_DIR" => folder.path().to_str().expect("text").to_owned(),
            // Whoever runs the tests may have servers at these ports.
            _ => value.replace(":8025", ":0").replace(":8026", ":0"),
        };
        command.env(name, value);
    }
    let mut server = Running::start_command(command);
    let mut line = String::new();
    std::io::BufRead::read_line(&mut server.stderr, &mut line).expect("text");
    let (_, port) = line.trim_end().trim_end_matches('/').rsplit_once(':').expect("a port");
    let is_healthy = || {
        let words = health.iter().map(|word| word.replace("8026", port));
        let words: Vec<String> = words.collect();
        Command::new(&words[0]).args(&words[1..]).stderr(Stdio::null()).status().expect("bash is there").success()
    };
    assert!(is_healthy());
    let smtp = (std::net::Ipv4Addr::LOCALHOST, server.address().port()).into();
    let mut client = Client::ehlo(smtp);
    client.expect("AUTH PLAIN AGJvYgBidWlsZGVy", "235 2.7.0");
    client.begin();
    client.expect("DATA", "354");
    client.expect("Subject: hello\r\n\r\nbody\r\n.", "250 2.0.0 OK ");
    assert!(std::fs::read_dir(folder.path()).expect("it is there").count() > 0);
    server.signal("TERM");
    assert_eq!(server.finish().0.code(), Some(0));
    assert!(!is_healthy());
}
