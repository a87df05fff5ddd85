//! A client that says exactly what it is told, octet by octet.
//!
//! Its reads end after half a minute: a guard against a test that hangs, on which no result depends.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    /// Connects, and reads nothing.
    pub fn raw(server: SocketAddr) -> Client {
        Client::try_raw(server).expect("the server listens")
    }

    /// As [`raw`](Client::raw), to a server that may be gone.
    pub fn try_raw(server: SocketAddr) -> std::io::Result<Client> {
        let stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Client { stream, unread: Vec::new() })
    }

    /// Connects and reads the banner.
    pub fn connect(server: SocketAddr) -> Client {
        let mut client = Client::raw(server);
        let banner = client.reply();
        assert!(banner.starts_with("220 "), "{banner}");
        client
    }

    /// Connects and says EHLO.
    pub fn ehlo(server: SocketAddr) -> Client {
        let mut client = Client::connect(server);
        client.expect("EHLO client.example", "250");
        client
    }

    /// Connects and goes on to where DATA is next.
    pub fn envelope(server: SocketAddr) -> Client {
        let mut client = Client::ehlo(server);
        client.begin();
        client
    }

    /// MAIL and RCPT.
    pub fn begin(&mut self) {
        self.expect("MAIL FROM:<sender@client.example>", "250 2.0.0");
        self.expect("RCPT TO:<recipient@example.org>", "250 2.0.0");
    }

    pub fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.stream.write_all(octets.as_ref()).expect("the server reads");
    }

    /// As [`send`](Client::send), to a server that may have closed.
    pub fn try_send(&mut self, octets: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(octets.as_ref()).is_ok()
    }

    /// Reads one reply, its lines joined by `\n` and without their CRLFs; what was left if the server closes.
    pub fn reply(&mut self) -> String {
        let mut lines = Vec::new();
        loop {
            while let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).collect();
                // Challenges of AUTH have lines of any length.
                assert!(line.len() <= 512 || line.starts_with(b"334 "), "a reply line of {} octets", line.len());
                let line = String::from_utf8(line[..end].to_vec()).expect("replies are ASCII");
                assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)), "{line:?}");
                let last = line.as_bytes().get(3) != Some(&b'-');
                lines.push(line);
                if last {
                    return lines.join("\n");
                }
            }
            let mut octets = [0; 4096];
            match self.stream.read(&mut octets) {
                Ok(0) => return lines.join("\n") + "<closed>",
                Ok(n) => self.unread.extend_from_slice(&octets[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return lines.join("\n") + "<closed>",
                // The machine stood still for a while: a read that has a timeout does not go on by itself.
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => panic!("no reply: {e}"),
            }
        }
    }

    /// Says a line and reads its reply.
    pub fn say(&mut self, line: impl AsRef<[u8]>) -> String {
        self.send([line.as_ref(), b"\r\n"].concat());
        self.reply()
    }

    /// Says a line, whose reply must begin with this.
    pub fn expect(&mut self, line: impl AsRef<[u8]>, reply: &str) -> String {
        let line = line.as_ref();
        let said = self.say(line);
        let shown = &line[..line.len().min(200)];
        assert!(said.starts_with(reply), "{} brought {said:?}, not {reply}", shown.escape_ascii());
        said
    }

    /// Reads a reply, which must begin with this.
    pub fn expect_reply(&mut self, reply: &str) -> String {
        let said = self.reply();
        assert!(said.starts_with(reply), "{said:?}, not {reply}");
        said
    }

    /// The server has closed and said nothing more.
    pub fn expect_close(&mut self) {
        assert_eq!(self.reply(), "<closed>");
    }

    /// Whether the next command gets its own reply and no other.
    pub fn expect_in_step(&mut self) {
        self.expect("VRFY step", "252 2.5.2");
        self.expect("NOOP", "250 2.0.0 OK");
    }

    /// Reads up to the server's close, whatever comes.
    pub fn closed(&mut self) -> Vec<u8> {
        let mut octets = std::mem::take(&mut self.unread);
        // A reset is a close as well.
        let _ = self.stream.read_to_end(&mut octets);
        octets
    }

    pub fn close_writing(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("a connection");
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.stream.local_addr().expect("a TCP socket")
    }

    /// Closes so that the server gets a reset.
    pub fn reset(self) {
        let socket = socket2::Socket::from(self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("a TCP socket");
    }
}
