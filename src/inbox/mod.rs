//! A server that accepts everything and lets a test look at it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::FOREVER;
use crate::envelope::Envelope;
use crate::envelope::transcript::Transcript;
use crate::server::Server;

mod error;
mod queue;

pub use error::{Arrived, RecvError, Report};
pub(crate) use queue::{Keep, MessageQueue};

/// A running server that accepts every message at once and keeps it for a test to take: made by
/// [`Builder::inbox`](crate::Builder::inbox).
///
/// The code under test never waits for the test: its message is accepted before the test looks. Once the client has its
/// 250, the message is here, and nowhere else. Dropping the inbox deletes what is left, ends its threads and cuts its
/// connections, even in the middle of a message or of a slow fault.
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
/// If a message does not come, [`RecvError`] shows what came instead, and the conversation on each connection.
///
/// If the test itself must answer a message, use [`Builder::manual_inbox`](crate::Builder::manual_inbox): it makes an
/// `Inbox<Delivery>`, which returns each message with the answer that its client waits for.
///
/// An inbox holds [`inbox_capacity`](crate::Builder::inbox_capacity) messages, as far as
/// [`memory_budget`](crate::Builder::memory_budget) and [`buffer_budget`](crate::Builder::buffer_budget) have room for them
/// with their recipients and conversations; further ones are refused with `452 4.3.1`.
/// It can be shared by reference between threads; each message goes to one of those that wait.
#[derive(Debug)]
#[must_use = "an inbox ends when it is dropped"]
pub struct Inbox<M = Envelope> {
    server: Server,
    store: Arc<MessageQueue<M>>,
}

impl<M: AsRef<Envelope>> Inbox<M> {
    pub(crate) fn new(server: Server, store: Arc<MessageQueue<M>>) -> Inbox<M> {
        Inbox { server, store }
    }

    /// The address that it listens on: see [`Server::local_addr`].
    ///
    /// # Panics
    /// If it listens on Unix sockets only, as that does.
    #[track_caller]
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// The address that it listens on, as a URL: see [`Server::url`].
    ///
    /// ```
    /// use lettre::SmtpTransport;
    ///
    /// let inbox = pillarbox::Server::builder().inbox("127.0.0.1:0")?;
    /// let client = SmtpTransport::from_url(&inbox.url())?.build();
    /// assert!(client.test_connection()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// If it listens on Unix sockets only, as that does.
    #[track_caller]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The server that fills it.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Takes the oldest message. Waits for one if there is none.
    ///
    /// # Errors
    /// [`RecvError::Closed`] once the server was shut down and no message is left.
    pub fn recv(&self) -> Result<M, RecvError> {
        self.recv_timeout(FOREVER)
    }

    /// Takes the oldest message. Waits up to `timeout` for one if there is none.
    ///
    /// # Errors
    /// [`RecvError::Timeout`], and [`RecvError::Closed`] once the server was shut down and no message is left.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<M, RecvError> {
        self.wait("a message", timeout, |_| true)
    }

    /// Takes the oldest message without waiting.
    ///
    /// # Errors
    /// [`RecvError::Empty`], and [`RecvError::Closed`] once the server was shut down and no message is left.
    pub fn try_recv(&self) -> Result<M, RecvError> {
        match self.store.take(|_| true, Instant::now()) {
            Ok(mail) => Ok(mail),
            Err(queue::Absent::Late) => Err(RecvError::Empty),
            Err(queue::Absent::Closed) => Err(RecvError::Closed(self.report("a message"))),
        }
    }

    /// Takes the oldest message for which `matches` returns true. Waits up to `timeout` for one if there is none. The others
    /// stay, in their order.
    ///
    /// `matches` sees each message once. It must not use this inbox, which is locked meanwhile.
    ///
    /// ```
    /// # use std::io::Write;
    /// # use std::time::Duration;
    /// # let inbox = pillarbox::Server::builder().inbox("127.0.0.1:0")?;
    /// # let mut client = std::net::TcpStream::connect(inbox.local_addr())?;
    /// # client.write_all(b"HELO a\r\n")?;
    /// # for to in ["ann", "bob"] {
    /// #   client.write_all(format!("MAIL FROM:<>\r\nRCPT TO:<{to}@example.org>\r\nDATA\r\n.\r\n").as_bytes())?;
    /// # }
    /// // Ann's came before, and is left for later.
    /// let mail = inbox.recv_matching(|mail| mail.recipients() == ["bob@example.org"], Duration::from_secs(5))?;
    /// assert_eq!(mail.recipients(), ["bob@example.org"]);
    /// assert_eq!(inbox.try_recv()?.recipients(), ["ann@example.org"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`RecvError::Timeout`], and [`RecvError::Closed`] once the server was shut down and no message matches.
    pub fn recv_matching(&self, matches: impl FnMut(&Envelope) -> bool, timeout: Duration) -> Result<M, RecvError> {
        self.wait("a message that matches", timeout, matches)
    }

    /// Takes the `n` oldest messages once that many are there. Waits up to `timeout` for all of them together. If they do not
    /// come, the ones that did stay.
    ///
    /// # Errors
    /// [`RecvError::Timeout`], and [`RecvError::Closed`] once the server was shut down and fewer are left.
    pub fn recv_n(&self, n: usize, timeout: Duration) -> Result<Vec<M>, RecvError> {
        let deadline = Instant::now() + timeout.min(FOREVER);
        self.store.take_n(n, deadline).map_err(|absent| self.error(absent, &format!("{n} messages"), timeout))
    }

    /// Waits up to `timeout` until no client is connected: then nothing is on its way to this inbox. It does not wait for a
    /// client that is about to connect.
    ///
    /// # Errors
    /// [`RecvError::Busy`].
    pub fn wait_until_idle(&self, timeout: Duration) -> Result<(), RecvError> {
        if self.server.wait_until_idle(Instant::now() + timeout.min(FOREVER)) {
            Ok(())
        } else {
            Err(RecvError::Busy(timeout, self.report("the end of all connections")))
        }
    }

    /// Panics if there is a message, or if one comes in this time.
    ///
    /// # Panics
    /// If a message arrived; the text shows it.
    #[track_caller]
    pub fn assert_empty(&self, time: Duration) {
        if self.store.wait_for_any(Instant::now() + time.min(FOREVER)) {
            panic!("no message was to come, but\n{}", self.report("no message"));
        }
    }

    /// Takes messages as they come. The iterator ends when the server was shut down and no message is left.
    pub fn iter(&self) -> Messages<'_, M> {
        Messages(self)
    }

    /// Takes the messages that are there now.
    pub fn try_iter(&self) -> impl Iterator<Item = M> {
        std::iter::from_fn(|| self.try_recv().ok())
    }

    /// Discards the messages that are there now, for example those of a test's preparation. Deliveries are answered
    /// `451 4.3.0`.
    pub fn clear(&self) {
        self.store.clear();
    }

    /// How many messages are waiting.
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether no message is waiting.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The conversations of the last hundred connections, the oldest first: see [`Server::transcripts`].
    pub fn transcripts(&self) -> Vec<Transcript> {
        self.server.transcripts()
    }

    fn wait(
        &self,
        wanted: &str,
        timeout: Duration,
        mut matches: impl FnMut(&Envelope) -> bool,
    ) -> Result<M, RecvError> {
        let deadline = Instant::now() + timeout.min(FOREVER);
        self.store.take(|mail| matches(mail.as_ref()), deadline).map_err(|absent| self.error(absent, wanted, timeout))
    }

    fn error(&self, absent: queue::Absent, wanted: &str, timeout: Duration) -> RecvError {
        match absent {
            queue::Absent::Late => RecvError::Timeout(timeout, self.report(wanted)),
            queue::Absent::Closed => RecvError::Closed(self.report(wanted)),
        }
    }

    fn report(&self, wanted: &str) -> Box<Report> {
        Box::new(Report::new(wanted, self.store.describe(), &self.server))
    }
}

impl<M> Drop for Inbox<M> {
    fn drop(&mut self) {
        // Before the server ends: nothing is accepted that can no longer be looked at, and so nobody is waited for.
        self.store.close();
        self.store.clear();
        self.server.shutdown(Duration::ZERO);
    }
}

impl<'a, M: AsRef<Envelope>> IntoIterator for &'a Inbox<M> {
    type Item = M;
    type IntoIter = Messages<'a, M>;

    fn into_iter(self) -> Messages<'a, M> {
        self.iter()
    }
}

/// Takes messages out of an [`Inbox`] as they come: see [`Inbox::iter`].
#[derive(Debug)]
pub struct Messages<'a, M = Envelope>(&'a Inbox<M>);

impl<M: AsRef<Envelope>> Iterator for Messages<'_, M> {
    type Item = M;

    fn next(&mut self) -> Option<M> {
        self.0.recv().ok()
    }
}
