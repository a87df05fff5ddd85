//! A password that a client has sent is not to be found in the server's memory afterwards.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};

use crate::support::client::Client;
use crate::support::command::without_options;
use base64ct::{Base64, Encoding};
use pillarbox::ScramVerifier;

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where in the process's memory the text is, by the names of the mappings.
fn find(process: u32, text: &[u8]) -> Vec<String> {
    let memory = File::open(format!("/proc/{process}/mem")).expect("our own child");
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).expect("our own child");
    let mut found = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (range, _) = line.split_once(' ').expect("an address range");
        let (start, end) = range.split_once('-').expect("an address range");
        let address = |hex: &str| u64::from_str_radix(hex, 16).expect("an address");
        let mut octets = vec![0; (address(end) - address(start)) as usize];
        // Some ranges cannot be read; what is there is no memory of the program's.
        let read = memory.read_at(&mut octets, address(start)).unwrap_or(0);
        if memchr::memmem::find(&octets[..read], text).is_some() {
            found.push(line.to_owned());
        }
    }
    found
}

#[test]
fn passwords_do_not_stay() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    // Put together so that the test finds it nowhere but where it was sent; the file has no password either.
    let password = ["correct", "horse", "battery", "staple"].join("-");
    let verifier = ScramVerifier::generate(&password, 4096).unwrap();
    fs::write(&users, format!("bob:{}\n", verifier.encode())).unwrap();
    let mut server = Killed(
        without_options(&mut Command::new(env!("CARGO_BIN_EXE_pillarbox")))
            .args(["-n", "-c", "Sink", "--users", users.to_str().unwrap(), "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut line = String::new();
    BufReader::new(server.0.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("pillarbox: listening on ").unwrap().parse().unwrap();

    let plain = Base64::encode_string(format!("\0bob\0{password}").as_bytes());
    let secrets = [password.clone(), plain.clone(), Base64::encode_string(password.as_bytes())];
    let mut clients = [(); 4].map(|()| Client::ehlo(address));
    clients[0].expect(format!("AUTH PLAIN {plain}"), "235");
    clients[1].expect("AUTH PLAIN", "334");
    clients[1].expect(&plain, "235");
    clients[2].expect("AUTH LOGIN", "334");
    clients[2].expect(Base64::encode_string(b"bob"), "334");
    clients[2].expect(Base64::encode_string(password.as_bytes()), "235");
    // One that goes on although it was refused.
    clients[3].expect("AUTH CRAM-MD5", "504");
    clients[3].expect(&plain, "500");
    let _open = Client::envelope(address);
    // That the search finds what is there: the sender of a transaction that is open.
    assert!(!find(server.0.id(), b"sender@client.example").is_empty());
    for secret in secrets {
        assert_eq!(find(server.0.id(), secret.as_bytes()), Vec::<String>::new());
    }
}
