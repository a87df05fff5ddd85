//! The floor: what a server of pillarbox's shape costs if it understands nothing. A listener, a pool of threads, and each
//! message over a bounded channel to one consumer and back; line ends and the end of the content are looked for, and of a
//! command the first letter. It is no SMTP server.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use memchr::{memchr, memmem};
use pillarbox::crossbeam_channel::{Receiver, Sender, bounded};
use socket2::{Domain, Socket, Type};

/// As pillarbox's, so that a burst of connections is served and not lost.
const BACKLOG: i32 = 4096;
const STACK: usize = 128 * 1024;
const BUFFER: usize = 16 * 1024;

struct Message {
    content: Vec<u8>,
    answer: Sender<usize>,
}

/// Serves on threads of its own, for as long as the process lives.
pub fn start() -> io::Result<SocketAddr> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let address = listener.local_addr()?;
    let (messages, to_consume) = bounded::<Message>(1024);
    thread::spawn(move || {
        for message in to_consume {
            // A connection that has ended needs no answer.
            let _ = message.answer.send(message.content.len());
        }
    });
    thread::spawn(move || listen(&listener, &messages));
    Ok(address)
}

fn listen(listener: &TcpListener, messages: &Sender<Message>) {
    let (hand_over, connections) = bounded::<TcpStream>(0);
    while let Ok((stream, _)) = listener.accept() {
        let Err(no_thread) = hand_over.try_send(stream) else { continue };
        let (connections, messages) = (connections.clone(), messages.clone());
        // A thread that cannot be started is a connection that is not served: the client will say so.
        let _ = thread::Builder::new().stack_size(STACK).spawn(move || {
            for stream in std::iter::once(no_thread.into_inner()).chain(connections) {
                // An error ends the connection; there is nobody to tell.
                let _ = Conversation::new(stream, &messages).hold();
            }
        });
    }
}

struct Conversation<'a> {
    stream: TcpStream,
    buffer: Vec<u8>,
    // What was read and not used yet.
    start: usize,
    end: usize,
    replies: Vec<u8>,
    messages: &'a Sender<Message>,
    answers: (Sender<usize>, Receiver<usize>),
}

impl<'a> Conversation<'a> {
    fn new(stream: TcpStream, messages: &'a Sender<Message>) -> Conversation<'a> {
        let (buffer, replies) = (vec![0; BUFFER], b"220 floor\r\n".to_vec());
        Conversation { stream, buffer, start: 0, end: 0, replies, messages, answers: bounded(1) }
    }

    fn hold(&mut self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        loop {
            let Some(length) = memchr(b'\n', &self.buffer[self.start..self.end]) else {
                self.refill()?;
                continue;
            };
            let line = self.start..self.start + length;
            self.start += length + 1;
            match self.buffer[line.start] {
                b'E' => self.replies.extend_from_slice(b"250-floor\r\n250-PIPELINING\r\n250 CHUNKING\r\n"),
                b'D' => {
                    self.replies.extend_from_slice(b"354 go on\r\n");
                    let content = self.data()?;
                    self.deliver(content)?;
                }
                b'B' => {
                    let octets =
                        str::from_utf8(&self.buffer[line]).ok().and_then(|line| line.split(' ').nth(1)?.parse().ok());
                    let content = self.chunk(octets.unwrap_or(0))?;
                    self.deliver(content)?;
                }
                b'Q' => {
                    self.replies.extend_from_slice(b"221 bye\r\n");
                    return self.stream.write_all(&self.replies);
                }
                _ => self.replies.extend_from_slice(b"250 OK\r\n"),
            }
        }
    }

    /// Sends the replies that wait and reads on, behind what was not used.
    fn refill(&mut self) -> io::Result<()> {
        if !self.replies.is_empty() {
            self.stream.write_all(&self.replies)?;
            self.replies.clear();
        }
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        match self.stream.read(&mut self.buffer[self.end..])? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            octets => {
                self.end += octets;
                Ok(())
            }
        }
    }

    /// Content up to its end. Dots are undone but where a read's end cuts the beginning of a line: this measures, it
    /// delivers nothing.
    fn data(&mut self) -> io::Result<Vec<u8>> {
        let (end_of_data, stuffed) = (memmem::Finder::new(b"\r\n.\r\n"), memmem::Finder::new(b"\r\n.."));
        let mut content = Vec::new();
        loop {
            let found = end_of_data.find(&self.buffer[self.start..self.end]);
            // Without one, the last four octets may be the beginning of one.
            let mut octets = match found {
                Some(at) => &self.buffer[self.start..self.start + at + 2],
                None => &self.buffer[self.start..self.end.saturating_sub(4).max(self.start)],
            };
            self.start += octets.len();
            while let Some(at) = stuffed.find(octets) {
                content.extend_from_slice(&octets[..at + 3]);
                octets = &octets[at + 4..];
            }
            content.extend_from_slice(octets);
            if found.is_some() {
                self.start += 3;
                return Ok(content);
            }
            self.refill()?;
        }
    }

    fn chunk(&mut self, octets: usize) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        loop {
            let taken = (octets - content.len()).min(self.end - self.start);
            content.extend_from_slice(&self.buffer[self.start..self.start + taken]);
            self.start += taken;
            if content.len() == octets {
                return Ok(content);
            }
            self.refill()?;
        }
    }

    fn deliver(&mut self, content: Vec<u8>) -> io::Result<()> {
        let message = Message { content, answer: self.answers.0.clone() };
        self.messages.send(message).map_err(|_| ErrorKind::BrokenPipe)?;
        self.answers.1.recv().map_err(|_| ErrorKind::BrokenPipe)?;
        self.replies.extend_from_slice(b"250 OK\r\n");
        Ok(())
    }
}
