//! Servers that keep few of SMTP's promises, to be found out.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use native_tls::{Identity, TlsAcceptor};

use super::tls::Certificate;

/// What a server does wrong, beside what all of these do: the end of the stream ends a line, what is refused is not read
/// off, numbers have 32 bits, nobody is Postmaster, and what was read in clear is still there within TLS.
#[derive(Clone, Copy)]
pub struct Flaws {
    /// The octets each of which ends a line, though a CRLF is one end.
    ends: &'static [u8],
    /// Where a line is cut in two.
    longest: usize,
    /// Whether any line that begins with a dot ends a message, and nothing needs a transaction.
    wild: bool,
    /// Whether it closes in place of the handshake, and takes the end of the stream for that of a message.
    deaf: bool,
    banner: &'static str,
    greeting: &'static str,
    ok: &'static str,
    accepted: &'static str,
    /// What it says to a command that it does not know, with so many dots behind it.
    unknown: &'static str,
    padding: usize,
    goodbye: &'static str,
}

impl Flaws {
    /// As servers used to be.
    pub const EASY: Flaws = Flaws {
        ends: b"\n",
        longest: usize::MAX,
        wild: false,
        deaf: false,
        banner: "220 nonconforming.example\r\n",
        greeting: "250-nonconforming.example\r\n250-PIPELINING\r\n250-SIZE 2000\r\n250-CHUNKING\r\n250 STARTTLS\r\n",
        ok: "250 OK\r\n",
        accepted: "250 OK\r\n",
        unknown: "500 What?",
        padding: 0,
        goodbye: "221 Bye\r\n",
    };

    /// Takes anything for an end, and everything for right.
    pub const WILD: Flaws = Flaws {
        ends: b"\r\n\0",
        longest: 500,
        wild: true,
        banner: "220 \r\n",
        greeting: "250-\r\n251-SIZE 2000\r\n250-SIZE 2000\r\n250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250-BINARYMIME\r\n\
                   250-PIPELINING\r\n250 AUTH PLAIN PLAIN\r\n",
        ok: "250 4.0.0 \x1b[31mOK\n",
        accepted: "250 OK\n",
        unknown: "250 OK",
        ..Flaws::EASY
    };

    /// Says too much, and hears too little.
    pub const CHATTY: Flaws = Flaws {
        deaf: true,
        accepted: "250 OK\r\n250 And thank you\r\n",
        unknown: "650-What?\r\n650 ",
        padding: 600,
        ..Flaws::EASY
    };

    /// Refuses everything.
    pub const SULKY: Flaws = Flaws { ok: "550 No\r\n", goodbye: "550 No\r\n", ..Flaws::EASY };
}

/// Where such a server listens; it ends with the test's process.
pub fn serve(certificate: &Certificate, flaws: Flaws) -> SocketAddr {
    let identity = Identity::from_pkcs8(certificate.cert.as_bytes(), certificate.key.as_bytes()).expect("PEM");
    let acceptor = TlsAcceptor::new(identity).expect("an acceptor");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let server = listener.local_addr().expect("a TCP socket");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let acceptor = acceptor.clone();
            thread::spawn(move || converse(stream, &acceptor, flaws));
        }
    });
    server
}

fn converse(mut stream: TcpStream, acceptor: &TlsAcceptor, flaws: Flaws) -> Option<()> {
    stream.write_all(flaws.banner.as_bytes()).ok()?;
    let mut conversation = Conversation { stream, unread: Vec::new(), flaws, after_cr: false };
    conversation.until_starttls()?;
    let stream = acceptor.accept(conversation.stream).ok()?;
    Conversation { stream, unread: conversation.unread, flaws, after_cr: false }.until_starttls()
}

struct Conversation<S> {
    stream: S,
    unread: Vec<u8>,
    flaws: Flaws,
    // Whether an LF would be the rest of a CRLF whose CR was an end already.
    after_cr: bool,
}

impl<S: Read + Write> Conversation<S> {
    fn until_starttls(&mut self) -> Option<()> {
        let Flaws { wild, deaf, greeting, ok, accepted, .. } = self.flaws;
        let unknown = format!("{}{}\r\n", self.flaws.unknown, ".".repeat(self.flaws.padding));
        let (mut has_mail, mut has_recipient) = (wild, wild);
        loop {
            let line = match self.line() {
                Some(line) => line.to_uppercase(),
                None if deaf && has_recipient => return self.say(accepted).ok().and(None),
                None => return None,
            };
            let reply = match line.split(' ').next().unwrap_or_default() {
                "EHLO" => greeting,
                "MAIL" => {
                    (has_mail, has_recipient) = (true, wild);
                    ok
                }
                "RCPT" if has_mail && line.ends_with('>') && !line.contains("POSTMASTER") => {
                    has_recipient = true;
                    ok
                }
                "DATA" if has_recipient => {
                    self.say("354 Go ahead\r\n").ok()?;
                    let mut octets = 0;
                    loop {
                        match self.line() {
                            None if deaf => break accepted,
                            None => return None,
                            _ if octets > 2000 => break "552 Too big\r\n",
                            Some(line) if line == "." || (wild && line.starts_with('.')) => break accepted,
                            Some(line) => octets += line.len(),
                        }
                    }
                }
                "BDAT" if has_recipient => {
                    let octets = line.split(' ').nth(1).and_then(|number| number.parse::<u128>().ok()).unwrap_or(0);
                    for _ in 0..octets as u32 {
                        self.octet()?;
                    }
                    if line.ends_with("LAST") { accepted } else { ok }
                }
                "RCPT" | "DATA" | "BDAT" => "503 Refused\r\n",
                "RSET" | "NOOP" => ok,
                "STARTTLS" if deaf => return self.say("220 Go ahead\r\n").ok().and(None),
                "STARTTLS" => return self.say("220 Go ahead\r\n").ok(),
                "QUIT" => return self.say(self.flaws.goodbye).ok().and(None),
                _ => &unknown,
            };
            self.say(reply).ok()?;
        }
    }

    fn say(&mut self, reply: &str) -> io::Result<()> {
        self.stream.write_all(reply.as_bytes())
    }

    fn octet(&mut self) -> Option<u8> {
        if self.unread.is_empty() {
            let mut octets = [0; 4096];
            let n = self.stream.read(&mut octets).ok()?;
            self.unread.extend_from_slice(&octets[..n]);
        }
        (!self.unread.is_empty()).then(|| self.unread.remove(0))
    }

    /// A line without blanks around it; what is left of one at the end of the stream.
    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        while let Some(octet) = self.octet() {
            if std::mem::take(&mut self.after_cr) && octet == b'\n' {
                continue;
            }
            let is_end = self.flaws.ends.contains(&octet);
            self.after_cr = is_end && octet == b'\r';
            if !is_end {
                line.push(octet);
            }
            if is_end || line.len() == self.flaws.longest {
                return Some(text(&line));
            }
        }
        (!line.is_empty()).then(|| text(&line))
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim().to_owned()
}
