//! The clients: libraries that send several messages in one process, and programs that send one each.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lettre::{Message, SmtpTransport, Transport};

use super::Outcome;

const FROM: &str = "sender@bench.example";
const TO: &str = "rcpt@bench.example";

/// A client that is installed.
pub struct Client {
    pub name: &'static str,
    how: How,
}

enum How {
    /// lettre, with one connection for all messages or one each.
    Lettre { is_kept: bool },
    /// A program that sends messages as its arguments say (address, port, file, number, `kept` or `new`), and prints how many
    /// seconds each has taken.
    Script { command: Vec<String>, is_kept: bool },
    /// A program that sends one message.
    Program(Send),
}

/// How a program sends the message of a file to a server.
type Send = fn(SocketAddr, &Path) -> Command;

/// A message's text, in memory and in a file.
pub struct Octets {
    pub count: usize,
    text: String,
    file: PathBuf,
}

impl Octets {
    pub fn write(folder: &Path, count: usize) -> Outcome<Octets> {
        let text = "a line of text, as long as lines in messages are\r\n".repeat(count / 50);
        let file = folder.join(format!("message-{count}"));
        fs::write(&file, format!("From: {FROM}\r\nTo: {TO}\r\nSubject: bench\r\n\r\n{text}"))?;
        Ok(Octets { count, text, file })
    }
}

impl Client {
    /// How many messages it sends where libraries send so many.
    pub fn messages(&self, of_library: usize) -> usize {
        if matches!(self.how, How::Program(_)) { of_library.div_ceil(4) } else { of_library }
    }

    /// Sends messages, and gives how long each has taken.
    pub fn send(&self, server: SocketAddr, octets: &Octets, messages: usize) -> Outcome<Vec<Duration>> {
        match &self.how {
            How::Lettre { is_kept } => by_lettre(server, *is_kept, &octets.text, messages),
            How::Program(command) => (0..messages)
                .map(|_| {
                    let begun = Instant::now();
                    run(&mut command(server, &octets.file))?;
                    Ok(begun.elapsed())
                })
                .collect(),
            How::Script { command, is_kept } => {
                let (program, arguments) = command.split_first().ok_or("an empty command")?;
                let mut command = Command::new(program);
                command.args(arguments).args([server.ip().to_string(), server.port().to_string()]);
                command.arg(&octets.file).args([&*messages.to_string(), if *is_kept { "kept" } else { "new" }]);
                let printed = run(&mut command)?;
                printed.lines().map(|line| Ok(Duration::try_from_secs_f64(line.trim().parse()?)?)).collect()
            }
        }
    }
}

/// Runs a program to its end, and gives what it prints.
fn run(command: &mut Command) -> Outcome<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn by_lettre(server: SocketAddr, is_kept: bool, text: &str, messages: usize) -> Outcome<Vec<Duration>> {
    let message = Message::builder().from(FROM.parse()?).to(TO.parse()?).body(text.to_owned())?;
    let transport = || SmtpTransport::builder_dangerous(server.ip().to_string()).port(server.port()).build();
    let kept = transport();
    if is_kept {
        kept.send(&message)?;
    }
    (0..messages)
        .map(|_| {
            let begun = Instant::now();
            if is_kept {
                kept.send(&message)?
            } else {
                transport().send(&message)?
            };
            Ok(begun.elapsed())
        })
        .collect()
}

/// Those that are installed; what has to be built for them goes to a folder.
pub fn installed(scratch: &Path) -> Outcome<Vec<Client>> {
    let mut clients = Vec::new();
    let mut add = |kept: &'static str, new: &'static str, command: Option<Vec<String>>| {
        for (name, is_kept) in [(kept, true), (new, false)] {
            let how = match &command {
                Some(command) => How::Script { command: command.clone(), is_kept },
                None => How::Lettre { is_kept },
            };
            clients.push(Client { name, how });
        }
    };
    let script = |name: &str, source: &str| -> Outcome<String> {
        let path = scratch.join(name);
        fs::write(&path, source)?;
        Ok(path.display().to_string())
    };
    add("lettre, one connection", "lettre, a connection each", None);
    if answers("python3", &["-c", "import smtplib"]) {
        let command = vec!["python3".into(), script("client.py", include_str!("client.py"))?];
        add("smtplib, one connection", "smtplib, a connection each", Some(command));
    } else {
        println!("smtplib: not measured, since python3 is not installed");
    }
    let go = script("client.go", include_str!("client.go"))?;
    let built = scratch.join("go-client").display().to_string();
    if !answers("go", &["version"]) {
        println!("net/smtp: not measured, since Go is not installed");
    } else if !answers("go", &["build", "-o", &built, &go]) {
        println!("net/smtp: not measured, since Go cannot build its client here");
    } else {
        add("Go net/smtp, one connection", "Go net/smtp, a connection each", Some(vec![built]));
    }
    if answers("node", &["-e", "require('nodemailer')"]) {
        let command = vec!["node".into(), script("client.cjs", include_str!("client.cjs"))?];
        add("nodemailer, one connection", "nodemailer, a connection each", Some(command));
    } else {
        println!("nodemailer: not measured, since node is not installed or does not find it (NODE_PATH)");
    }
    let programs: [(_, _, Send); 3] = [
        ("msmtp", "msmtp, a process each", msmtp),
        ("curl", "curl, a process each", curl),
        ("swaks", "swaks, a process each", swaks),
    ];
    for (program, name, command) in programs {
        if answers(program, &["--version"]) {
            clients.push(Client { name, how: How::Program(command) });
        } else {
            println!("{program}: not measured, since it is not installed");
        }
    }
    Ok(clients)
}

fn answers(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn msmtp(server: SocketAddr, message: &Path) -> Command {
    // It reads the message from its standard input only, which a shell gives it.
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "exec msmtp --host=\"$1\" --port=\"$2\" --from=\"$3\" --tls=off --auth=off -- \"$4\" <\"$5\"",
        "sh",
    ]);
    command.args([&server.ip().to_string(), &server.port().to_string(), FROM, TO]).arg(message);
    command
}

fn curl(server: SocketAddr, message: &Path) -> Command {
    let mut command = Command::new("curl");
    command.args(["-q", "-sS", &format!("smtp://{server}/client.example"), "--mail-from", FROM, "--mail-rcpt", TO]);
    command.arg("--upload-file").arg(message);
    command
}

fn swaks(server: SocketAddr, message: &Path) -> Command {
    let mut command = Command::new("swaks");
    command.args(["--config", "--server", &server.to_string(), "--ehlo", "client.example", "--from", FROM, "--to", TO]);
    command.args(["--data", &format!("@{}", message.display())]);
    command
}
