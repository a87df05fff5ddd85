//! A connection to the server that is examined, in clear or within TLS. No wait is longer than a few seconds.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use native_tls::{TlsConnector, TlsStream};

use super::probe::{Stop, Target, fail, skip};
use super::reply::{Reply, shown};

/// How long a server may take for a reply, and for taking what it is sent.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between octets that shall arrive in packets of their own. If some arrive together all the same, a check may see less,
/// but says nothing wrong.
const PAUSE: Duration = Duration::from_millis(3);

/// How long a client waits that has got a refusal and goes on all the same: longer than a packet is under way.
const LATER: Duration = Duration::from_millis(150);

/// What the test messages begin with.
pub const HEADER: &[u8] = b"Subject: smtp_check\r\n\r\nA harmless message that tests the server's wire.\r\n";

/// What no server may run or answer where it is not a command. Should one do it all the same, nothing comes of it.
pub const SMUGGLED: &[u8] = b"MAIL FROM:<>\r\nRSET\r\nNOOP\r\n";

enum Stream {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

pub struct Connection {
    target: Target,
    stream: Stream,
    unread: Vec<u8>,
    /// What EHLO brought, line by line and in upper case.
    pub keywords: Vec<String>,
}

impl Connection {
    /// Connects, and reads nothing.
    pub fn raw(target: &Target) -> Result<Connection, Stop> {
        let connect = || -> io::Result<TcpStream> {
            let stream = TcpStream::connect_timeout(&target.address, PATIENCE)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        match connect() {
            Ok(stream) => Ok(Connection {
                target: target.clone(),
                stream: Stream::Clear(stream),
                unread: Vec::new(),
                keywords: Vec::new(),
            }),
            Err(e) => fail(format!("no connection: {e}")),
        }
    }

    /// Connects and reads the banner.
    pub fn open(target: &Target) -> Result<Connection, Stop> {
        let mut connection = Connection::raw(target)?;
        match connection.reply()? {
            banner if banner.code == 220 => Ok(connection),
            banner => skip(format!("not served now: {banner}")),
        }
    }

    /// Connects and says EHLO.
    pub fn ehlo(target: &Target) -> Result<Connection, Stop> {
        let mut connection = Connection::open(target)?;
        connection.greet()?;
        Ok(connection)
    }

    /// Connects and goes on to an open transaction.
    pub fn mail(target: &Target) -> Result<Connection, Stop> {
        let mut connection = Connection::ehlo(target)?;
        connection.begin()?;
        Ok(connection)
    }

    /// Connects and goes on to where DATA is next.
    pub fn envelope(target: &Target) -> Result<Connection, Stop> {
        // Asked for first, so that nothing is said in vain.
        let rcpt = rcpt(target)?;
        let mut connection = Connection::mail(target)?;
        connection.or_skip(&rcpt, 2)?;
        Ok(connection)
    }

    /// Connects and goes on to where the content is next.
    pub fn content(target: &Target) -> Result<Connection, Stop> {
        let mut connection = Connection::envelope(target)?;
        connection.or_skip("DATA", 3)?;
        Ok(connection)
    }

    /// A further transaction, up to where the content is next.
    pub fn content_again(&mut self) -> Result<(), Stop> {
        self.begin()?;
        self.or_skip(&rcpt(&self.target)?, 2)?;
        self.or_skip("DATA", 3)
    }

    /// MAIL, which a server may have its own reasons to refuse.
    pub fn begin(&mut self) -> Result<(), Stop> {
        self.or_skip(&format!("MAIL FROM:<{}>", self.target.sender), 2)
    }

    fn or_skip(&mut self, line: &str, class: u16) -> Result<(), Stop> {
        match self.say(line)? {
            reply if reply.class() == class => Ok(()),
            reply if reply.is(&[4, 5]) => skip(format!("{line}: {reply}")),
            reply => fail(format!("{line}: {reply}")),
        }
    }

    /// EHLO, which every server has to know.
    pub fn greet(&mut self) -> Result<(), Stop> {
        let reply = self.expect("EHLO [127.0.0.1]", &[250])?;
        self.keywords = reply.texts().skip(1).map(|text| text.to_ascii_uppercase()).collect();
        Ok(())
    }

    /// The parameters of an extension, if the server offers it.
    pub fn offers(&self, keyword: &str) -> Option<&str> {
        self.keywords.iter().find_map(|line| {
            let (name, parameters) = line.split_once(' ').unwrap_or((line, ""));
            (name == keyword).then_some(parameters)
        })
    }

    /// As [`offers`](Connection::offers); without the extension the check is skipped.
    pub fn needs(&self, keyword: &str) -> Result<&str, Stop> {
        match self.offers(keyword) {
            Some(parameters) => Ok(parameters),
            None => skip(format!("{keyword} is not offered")),
        }
    }

    /// Sends octets. A server that has closed or reads no more shows when its reply is read.
    pub fn send(&mut self, octets: impl AsRef<[u8]>) {
        let octets = octets.as_ref();
        let _ = match &mut self.stream {
            Stream::Clear(stream) => stream.write_all(octets),
            Stream::Tls(stream) => stream.write_all(octets),
        };
    }

    /// Sends octets in packets of their own.
    pub fn drip(&mut self, octets: impl AsRef<[u8]>) {
        for octet in octets.as_ref() {
            thread::sleep(PAUSE);
            self.send([*octet]);
        }
        thread::sleep(PAUSE);
    }

    /// Sends octets that are not there yet when the server looks for more.
    pub fn send_later(&mut self, octets: impl AsRef<[u8]>) {
        thread::sleep(LATER);
        self.send(octets);
    }

    /// Ends what is sent, and reads whatever is still answered.
    pub fn end(&mut self) -> Result<Vec<Reply>, Stop> {
        let stream = match &mut self.stream {
            Stream::Clear(stream) => stream,
            Stream::Tls(stream) => stream.get_ref(),
        };
        // A server that has closed already is read to its end all the same.
        let _ = stream.shutdown(Shutdown::Write);
        let mut replies = Vec::new();
        while let Some(reply) = self.answer()? {
            replies.push(reply);
        }
        Ok(replies)
    }

    /// Reads one reply; none if the server closes instead.
    pub fn answer(&mut self) -> Result<Option<Reply>, Stop> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(reply) = Reply::take(&mut self.unread)? {
                return Ok(Some(reply));
            }
            let mut octets = [0; 4096];
            match self.read(&mut octets, deadline) {
                // Whatever a server that closes has left half said is no reply.
                Ok(0) => return Ok(None),
                Ok(n) => self.unread.extend_from_slice(&octets[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return fail(format!("no reply within {} s", PATIENCE.as_secs()));
                }
                // A reset is a close as well, and within TLS so is an end that was not announced.
                Err(_) => return Ok(None),
            }
        }
    }

    fn read(&mut self, octets: &mut [u8], deadline: Instant) -> io::Result<usize> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        match &mut self.stream {
            Stream::Clear(stream) => {
                stream.set_read_timeout(Some(left))?;
                stream.read(octets)
            }
            Stream::Tls(stream) => {
                stream.get_ref().set_read_timeout(Some(left))?;
                stream.read(octets)
            }
        }
    }

    /// Reads one reply, in whose place the server may not close.
    pub fn reply(&mut self) -> Result<Reply, Stop> {
        match self.answer()? {
            Some(reply) => Ok(reply),
            None => fail("closed without a reply"),
        }
    }

    /// Says a line and reads its reply.
    pub fn say(&mut self, line: impl AsRef<[u8]>) -> Result<Reply, Stop> {
        self.send([line.as_ref(), b"\r\n"].concat());
        self.reply()
    }

    /// Says a line, whose reply must have one of these codes; one digit stands for its class.
    pub fn expect(&mut self, line: impl AsRef<[u8]>, codes: &[u16]) -> Result<Reply, Stop> {
        let line = line.as_ref();
        match self.say(line)? {
            reply if reply.is(codes) => Ok(reply),
            reply => wrong(&shown(line), &reply),
        }
    }

    /// Sends commands in one packet, if the server offers PIPELINING, and reads a reply to each. A server that refuses one
    /// may close instead of answering the rest.
    pub fn group(&mut self, group: &[(&str, &[u16])]) -> Result<(), Stop> {
        let pipelined = self.offers("PIPELINING").is_some();
        if pipelined {
            self.send(group.iter().map(|(line, _)| format!("{line}\r\n")).collect::<String>());
        }
        let mut refused = false;
        for (line, codes) in group {
            if !pipelined {
                self.send(format!("{line}\r\n"));
            }
            match self.answer()? {
                None if refused => return Ok(()),
                None => return fail(format!("{line}: closed without a reply")),
                Some(reply) if reply.is(&[421, 521]) => return Ok(()),
                Some(reply) if !reply.is(codes) => return wrong(line, &reply),
                Some(reply) => refused |= reply.is(&[4, 5]),
            }
        }
        Ok(())
    }

    /// Says QUIT, to which the next reply must be: any other is one too many. A server may have closed instead.
    pub fn in_step(&mut self) -> Result<&'static str, Stop> {
        self.send("QUIT\r\n");
        match self.answer()? {
            None => Ok("closed"),
            Some(reply) if reply.code == 221 => Ok("in step"),
            // The ways to say that the connection ends.
            Some(reply) if reply.is(&[421, 521]) && self.answer()?.is_none() => Ok("closed"),
            Some(reply) => fail(format!("one reply too many: {reply}")),
        }
    }

    /// Reads one reply to what was sent, which must have one of these codes, and sees that nothing more is answered. A server
    /// may close instead.
    pub fn one_reply(&mut self, codes: &[u16]) -> Result<String, Stop> {
        match self.answer()? {
            None => Ok("closed".to_owned()),
            Some(reply) if reply.is(&[421, 521]) || reply.is(codes) => Ok(format!("{reply}, then {}", self.in_step()?)),
            Some(reply) => wrong("replied", &reply),
        }
    }

    /// Octets that came already, in clear, where none may have.
    pub fn early(&mut self) -> Result<Vec<u8>, Stop> {
        let mut octets = [0; 1024];
        match self.read(&mut octets, Instant::now() + Duration::from_millis(200)) {
            Ok(n) => self.unread.extend_from_slice(&octets[..n]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(e) => return fail(format!("connection lost: {e}")),
        }
        Ok(std::mem::take(&mut self.unread))
    }

    /// The handshake behind STARTTLS. Whoever the server is, its certificate is taken: it is the wire that is examined.
    pub fn handshake(self) -> Result<Connection, Stop> {
        let Stream::Clear(stream) = self.stream else { return fail("within TLS already") };
        let connect = || -> Result<TlsStream<TcpStream>, Box<dyn std::error::Error>> {
            stream.set_read_timeout(Some(PATIENCE))?;
            let connector = TlsConnector::builder()
                .danger_accept_invalid_certs(true)
                .danger_accept_invalid_hostnames(true)
                .build()?;
            Ok(connector.connect(&self.target.host, stream)?)
        };
        match connect() {
            Ok(stream) => Ok(Connection {
                target: self.target,
                stream: Stream::Tls(Box::new(stream)),
                unread: Vec::new(),
                keywords: Vec::new(),
            }),
            Err(e) => fail(format!("no handshake: {e}")),
        }
    }
}

/// A reply that breaks the rule, unless it says that the server wants TLS or authentication before anything else.
pub fn wrong<T>(to: &str, reply: &Reply) -> Result<T, Stop> {
    if reply.code == 530 { skip(reply.to_string()) } else { fail(format!("{to}: {reply}")) }
}

/// RCPT for the recipient, if there is one.
fn rcpt(target: &Target) -> Result<String, Stop> {
    match &target.recipient {
        Some(recipient) => Ok(format!("RCPT TO:<{recipient}>")),
        None => skip("needs --rcpt"),
    }
}
