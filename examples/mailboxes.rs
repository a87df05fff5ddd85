//! The last step of delivery: takes mail by LMTP, and stores it in a Maildir for each recipient, who has a quota.
//!
//! `cargo run --example mailboxes -- 127.0.0.1:8024 mail`
//!
//! You make a mailbox by making its folder: `mkdir -p mail/example.org/bob`.

use std::path::Path;

use pillarbox::Server;
use pillarbox::handlers::{Mailboxes, Quota};

fn serve(address: &str, root: &Path, quota: Quota) -> Result<Server, Box<dyn std::error::Error>> {
    let mailboxes = Mailboxes::below(root)?.quota(quota).extension('+');
    Ok(Server::builder().lmtp(true).serve(address, mailboxes)?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "localhost:8024".to_owned());
    let root = arguments.next().unwrap_or_else(|| "mail".to_owned());
    let server = serve(&address, Path::new(&root), Quota::octets(1 << 30))?;
    eprintln!("listening on {}", server.local_addr());
    server.join();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn one_of_three_is_full() {
        let root = tempfile::tempdir().unwrap();
        let mailbox = |user: &str| root.path().join("example.org").join(user);
        for user in ["alice", "bob", "carol"] {
            fs::create_dir_all(mailbox(user).join("cur")).unwrap();
        }
        fs::write(mailbox("bob").join("cur/1.kept:2,S"), "x".repeat(9_990)).unwrap();
        let server = serve("127.0.0.1:0", root.path(), Quota::octets(10_000)).unwrap();
        let mut client = TcpStream::connect(server.local_addr()).unwrap();
        client.write_all(b"LHLO client.example\r\nMAIL FROM:<a@client.example>\r\n").unwrap();
        for user in ["alice", "bob", "carol+lists"] {
            write!(client, "RCPT TO:<{user}@example.org>\r\n").unwrap();
        }
        client.write_all(b"DATA\r\nSubject: hello\r\n\r\nHello!\r\n.\r\nQUIT\r\n").unwrap();
        let replies: Vec<String> = BufReader::new(client).lines().map(Result::unwrap).collect();
        let verdicts: Vec<&str> = replies[replies.len() - 4..].iter().map(|reply| &reply[..9]).collect();
        assert_eq!(verdicts, ["250 2.0.0", "452 4.2.2", "250 2.0.0", "221 2.0.0"], "{replies:?}");
        let stored = |user: &str| fs::read_dir(mailbox(user).join("new")).unwrap().count();
        assert_eq!((stored("alice"), stored("bob"), stored("carol")), (1, 0, 1));
    }
}
