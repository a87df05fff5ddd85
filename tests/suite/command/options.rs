//! Options: as words and as environment variables, and what is said of those that are wrong.

use std::io::BufRead;
use std::process::Command;

use crate::support::client::Client;
use crate::support::command::{Running, command};

/// The command with variables in its environment.
fn with(variables: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = command(arguments);
    command.envs(variables.iter().copied());
    command
}

/// What a command says that must not start.
fn refused(command: &mut Command) -> String {
    let output = command.output().expect("the command was built");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{command:?}: {said}");
    said
}

#[test]
fn every_kind_of_option_as_a_variable() {
    let folder = tempfile::tempdir().expect("a folder");
    let mail = folder.path().join("a; mail");
    let variables = [
        ("PILLARBOX_LOCALADDR", "127.0.0.1:0"),
        ("PILLARBOX_NOSETUID", "Yes"),
        ("PILLARBOX_SMTPUTF8", "1"),
        ("PILLARBOX_LMTP", "false"),
        ("PILLARBOX_CLASS", "Maildir"),
        ("PILLARBOX_MAILDIR", mail.to_str().expect("text")),
        ("PILLARBOX_SIZE", "1000"),
        // As a compose file has it for a variable that is not set.
        ("PILLARBOX_HOSTNAME", ""),
        ("PILLARBOX_TIMEOUT", "60"),
        ("PILLARBOX_SELF_SIGNED", "true"),
        ("PILLARBOX_PROXY_PROTOCOL", "192.0.2.0/24,::1"),
        ("PILLARBOX_XCLIENT", "192.0.2.1; 127.0.0.1,::1"),
        ("PILLARBOX_LISTEN", "127.0.0.1:0,lmtp;\n127.0.0.1:0,size=7\n"),
    ];
    let mut server = Running::start_command(with(&variables, &[]));
    assert_eq!(server.before, "");
    let reply = Client::connect(server.address()).say("EHLO client.example");
    for line in ["SIZE 1000\n", "SMTPUTF8\n", "STARTTLS\n", "XCLIENT "] {
        assert!(reply.contains(line), "{reply}");
    }
    assert!(mail.join("new").is_dir());
    let mut others = Vec::new();
    for _ in 0..2 {
        let mut line = String::new();
        server.stderr.read_line(&mut line).expect("text");
        let address = line.trim_end().strip_prefix("pillarbox: listening on ").expect("another listener");
        others.push(address.parse().expect("an address"));
    }
    Client::connect(others[0]).expect("LHLO client.example", "250");
    assert!(Client::connect(others[1]).say("EHLO client.example").contains("SIZE 7\n"));
}

#[test]
fn the_command_line_wins() {
    let variables = [
        ("PILLARBOX_SIZE", "not even a number"),
        ("PILLARBOX_LOCALADDR", "nowhere"),
        ("PILLARBOX_LISTEN", "nowhere;either"),
        ("PILLARBOX_SELF_SIGNED", "/no/such/folder/ca.pem"),
        ("PILLARBOX_CLASS", "NoSuchServer"),
        ("PILLARBOX_RELAY_DOMAINS", "a.example,b.example"),
    ];
    let words = ["-n", "-s", "7", "--self-signed", "-c", "PureProxy", "--relay-domains", "c.example"];
    let words = [&words[..], &["-l", "127.0.0.1:0", "127.0.0.1:0"]].concat();
    let server = Running::start_command(with(&variables, &words));
    assert!(Client::connect(server.address()).say("EHLO client.example").contains("SIZE 7\n"));
}

#[test]
fn errors_name_the_variable() {
    for (name, value, words, hint) in [
        ("PILLARBOX_SIZE", "many", &["-n"][..], "digits"),
        ("PILLARBOX_SIZE", "-1", &["-n"], "digits"),
        ("PILLARBOX_NOSETUID", "perhaps", &[], "true or false"),
        ("PILLARBOX_LOCALADDR", "nowhere", &["-n"], "HOST:PORT"),
        ("PILLARBOX_REMOTEADDR", "nowhere", &["-n", "-c", "PureProxy"], "HOST:PORT"),
        ("PILLARBOX_REMOTEADDR", "a.example:25", &["-n"], "for -c PureProxy"),
        ("PILLARBOX_CLASS", "Inbx", &["-n"], "did you mean Inbox?"),
        ("PILLARBOX_LISTEN", "127.0.0.1:0;127.0.0.1:0,tsl", &["-n"], "tsl"),
        ("PILLARBOX_MAILDIR", "mail", &["-n", "-c", "Sink"], "for -c Maildir"),
        ("PILLARBOX_PROXY_PROTOCOL", "somewhere", &["-n"], "not a network"),
        ("PILLARBOX_TLS_CERT", "cert.pem", &["-n"], "--tls-key"),
        ("PILLARBOX_TLS_CERT", "cert.pem", &["-n", "--self-signed"], "cannot be used with"),
        ("PILLARBOX_REQUIRE_AUTH", "yes", &["-n"], "--users"),
        ("PILLARBOX_REQUIRE_TLS", "yes", &["-n"], "needs a certificate"),
        ("PILLARBOX_SOCKET_MODE", "660", &["-n"], "unix:PATH"),
    ] {
        let said = refused(&mut with(&[(name, value)], words));
        assert!(said.contains(name) && said.contains(hint), "{name}: {said}");
    }
    // What is wrong in the words has nothing to do with the environment.
    let said = refused(&mut with(&[("PILLARBOX_SIZE", "5")], &["-n", "--timeout", "never"]));
    assert!(!said.contains("PILLARBOX_"), "{said}");
}

#[test]
fn variables_that_are_no_options() {
    let variables = [
        ("PILLARBOX_HTPP", "1"),
        ("PILLARBOX_COLOUR_OF_THE_SKY", "blue"),
        ("PILLARBOX_GENERATE", "man"),
        ("PILLARBOX_VERSION", "1"),
    ];
    let server = Running::start_command(with(&variables, &["-n", "127.0.0.1:0"]));
    let none = "in the environment: there is no such option";
    for line in [
        "PILLARBOX_HTPP in the environment: did you mean PILLARBOX_HTTP?",
        &format!("SKY {none}"),
        "PILLARBOX_GENERATE",
        &format!("PILLARBOX_VERSION {none}"),
    ] {
        assert!(server.before.contains(line), "{}", server.before);
    }
    assert_eq!(server.before.lines().count(), 4);
    // What Kubernetes sets for services called pillarbox and pillarbox-http.
    let links = [
        ("PILLARBOX_SERVICE_HOST", "10.0.0.1"),
        ("PILLARBOX_SERVICE_PORT", "25"),
        ("PILLARBOX_SERVICE_PORT_SMTP", "25"),
        ("PILLARBOX_PORT", "tcp://10.0.0.1:25"),
        ("PILLARBOX_PORT_25_TCP", "tcp://10.0.0.1:25"),
        ("PILLARBOX_PORT_25_TCP_ADDR", "10.0.0.1"),
        ("PILLARBOX_HTTP_SERVICE_HOST", "10.0.0.1"),
        ("PILLARBOX_HTTP_PORT", "tcp://10.0.0.1:80"),
    ];
    let server = Running::start_command(with(&links, &["-n", "127.0.0.1:0"]));
    assert_eq!(server.before, "");
}

/// A program of the class Pipe gets its message in variables, two of which have the names of options.
#[test]
fn a_program_of_the_class_pipe_may_run_the_command() {
    let print =
        "test -n \"$PILLARBOX_SIZE\" && test -n \"$PILLARBOX_HOSTNAME\" && \"$0\" -c Sink -n 127.0.0.1:0 2>\"$1\"";
    let folder = tempfile::tempdir().expect("a folder");
    let said = folder.path().join("said");
    // Without an address that it could listen at, it ends by itself.
    let print = print.replace("127.0.0.1:0", "192.0.2.1:1");
    let words = ["sh", "-c", &print, env!("CARGO_BIN_EXE_pillarbox"), said.to_str().expect("text")];
    let server = Running::start(&[&["-n", "-c", "Pipe", "127.0.0.1:0", "--"], &words[..]].concat());
    let mut client = Client::envelope(server.address());
    client.expect("DATA", "354");
    client.expect("x\r\n.", "5");
    let said = std::fs::read_to_string(said).expect("it has run");
    assert!(said.contains("192.0.2.1:1") && !said.contains("PILLARBOX_"), "{said}");
}

#[test]
fn messages_that_help() {
    let empty = tempfile::NamedTempFile::new().expect("a file");
    let file = empty.path().to_str().expect("text");
    for (words, hint) in [
        (&["--sise", "5"][..], "--size"),
        (&["--relay-network", "10.0.0.0/8"], "--relay-networks"),
        (&["--self-singed"], "--self-signed"),
        (&["-c", "Imbox"], "did you mean Inbox?"),
        (&["-c", "smtpd.DebugingServer"], "did you mean DebuggingServer?"),
        (&["-s", "-1"], "octets, in digits"),
        (&["--timeout", "-1"], "above 0"),
        (&["--max-connections", "-5"], "above 0"),
        (&["-n", "-c", "Sink", "localhost:0", "localhost:25"], "REMOTEADDR is for -c PureProxy and -c MailmanProxy"),
        (&["-n", "--lmtp", "127.0.0.1:25"], "RFC 2033"),
        (&["-n", "-l", "127.0.0.1:25,lmtp"], "RFC 2033"),
        (&["-n", "--lmtp", "[::1]:25"], "RFC 2033"),
        (&["-n", "-c", "PureProxy", "--accept-any-login", "127.0.0.1:0"], "open relay"),
        (&["-n", "--accept-any-login", "--users", file, "127.0.0.1:0"], "cannot be used with"),
        (&["-n", "--clear-text-auth", "127.0.0.1:0"], "--users"),
    ] {
        let said = refused(&mut command(words));
        assert!(said.contains(hint), "{words:?}: {said}");
    }
    for text in ["", "# nobody\n\n"] {
        std::fs::write(empty.path(), text).expect("room");
        let output = command(&["-n", "--users", file, "127.0.0.1:0"]).output().expect("the command was built");
        let said = String::from_utf8(output.stderr).expect("text");
        assert!(
            output.status.code() == Some(1) && said.contains("no users in ") && said.contains("USER:SECRET"),
            "{said}"
        );
    }
}
