//! A server that accepts everything and lets a test look at it.

use std::fmt::{self, Display, Formatter};
use std::net::SocketAddr;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, TrySendError, bounded};

use crate::consumer::Handler;
use crate::delivery::Response;
use crate::envelope::Envelope;
use crate::reply::Reply;
use crate::server::Server;

/// A running server that accepts every message at once and keeps it until it is asked for: made by
/// [`Builder::inbox`](crate::Builder::inbox).
///
/// The code under test never waits for the test: its message is accepted before anybody looks. When the client has read
/// its 250, the message is here. Nothing is stored anywhere else, and what is left is gone with the inbox.
///
/// ```
/// use std::time::Duration;
///
/// fn send_welcome_mail(to: std::net::SocketAddr) {
///     // ... the code under test
/// #   use std::io::Write;
/// #   let mut client = std::net::TcpStream::connect(to).unwrap();
/// #   client.write_all(b"HELO a\r\nMAIL FROM:<noreply@example.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n\
/// #       Subject: Welcome\r\n\r\nWelcome!\r\n.\r\n").unwrap();
/// }
///
/// let inbox = pillarbox::Server::builder().inbox("127.0.0.1:0")?;
/// send_welcome_mail(inbox.local_addr());
/// let mail = inbox.recv_timeout(Duration::from_secs(5))?;
/// assert_eq!(mail.recipients(), ["bob@example.org"]);
/// assert!(mail.text()?.contains("Welcome"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// An inbox holds [`inbox_capacity`](crate::Builder::inbox_capacity) messages; further ones are refused with `452 4.3.1`.
/// It can be shared by reference between threads; each message goes to one of those that wait.
#[derive(Debug)]
pub struct Inbox {
    // First, so that it is dropped first: nothing is accepted that can no longer be kept.
    server: Server,
    messages: Receiver<Envelope>,
}

impl Inbox {
    pub(crate) fn new(server: Server, messages: Receiver<Envelope>) -> Inbox {
        Inbox { server, messages }
    }

    /// Where it listens: see [`Server::local_addr`].
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// The server that fills it.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Takes the oldest message; waits for one if there is none.
    ///
    /// # Errors
    /// [`RecvError::Closed`] once the server was shut down and no message is left.
    pub fn recv(&self) -> Result<Envelope, RecvError> {
        self.messages.recv().map_err(|_| RecvError::Closed)
    }

    /// Takes the oldest message; waits as long for one if there is none.
    ///
    /// # Errors
    /// [`RecvError::Timeout`], and [`RecvError::Closed`] once the server was shut down and no message is left.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Envelope, RecvError> {
        self.messages.recv_timeout(timeout).map_err(|e| match e {
            RecvTimeoutError::Timeout => RecvError::Timeout(timeout),
            RecvTimeoutError::Disconnected => RecvError::Closed,
        })
    }

    /// Takes the oldest message that is there now.
    ///
    /// # Errors
    /// [`RecvError::Empty`], and [`RecvError::Closed`] once the server was shut down and no message is left.
    pub fn try_recv(&self) -> Result<Envelope, RecvError> {
        self.messages.try_recv().map_err(|e| match e {
            TryRecvError::Empty => RecvError::Empty,
            TryRecvError::Disconnected => RecvError::Closed,
        })
    }

    /// Takes messages as they come; ends once the server was shut down and no message is left.
    pub fn iter(&self) -> impl Iterator<Item = Envelope> {
        self.messages.iter()
    }

    /// Takes the messages that are there now.
    pub fn try_iter(&self) -> impl Iterator<Item = Envelope> {
        self.messages.try_iter()
    }

    /// How many messages are waiting.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether no message is waiting.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

/// Why an [`Inbox`] gave no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RecvError {
    /// None was there.
    Empty,
    /// None came in this time.
    Timeout(Duration),
    /// The server was shut down, and every message was taken.
    Closed,
}

impl Display for RecvError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Empty => f.write_str("no message is there"),
            RecvError::Timeout(time) => write!(f, "no message came within {time:?}"),
            RecvError::Closed => f.write_str("the server was shut down"),
        }
    }
}

impl std::error::Error for RecvError {}

/// The handler behind an inbox: accepts what it can keep.
pub(crate) struct Keep(Sender<Envelope>);

impl Keep {
    pub fn new(capacity: usize) -> (Keep, Receiver<Envelope>) {
        let (sender, receiver) = bounded(capacity);
        (Keep(sender), receiver)
    }
}

impl Handler for Keep {
    fn process_message(&mut self, mail: Envelope) -> Response {
        Response::All(match self.0.try_send(mail) {
            Ok(()) => Reply::ok(),
            Err(TrySendError::Full(_)) => Reply::new(452, "4.3.1", "Inbox is full"),
            Err(TrySendError::Disconnected(_)) => Reply::new(451, "4.3.0", "Inbox is gone"),
        })
    }
}
