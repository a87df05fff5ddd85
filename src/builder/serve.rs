//! Where the server listens, and the ways to start it.

use crossbeam_channel::Receiver;

use super::Builder;
use crate::delivery::Delivery;
use crate::delivery::handler::Handler;
use crate::envelope::Envelope;
use crate::error::{Error, SettingError};
use crate::inbox::{Inbox, Keep, MessageQueue};
use crate::server::Server;
use crate::server::listener::Listener;

/// # Starting
///
/// Where the server listens, and the ways to start it.
impl Builder {
    /// Adds a listener to the one that the server is started with. Call it for each further one. Each can have
    /// [a policy of its own](Listener#a-policy-of-its-own). Default: none.
    pub fn listen(mut self, at: impl Into<Listener>) -> Builder {
        self.listeners.push(at.into());
        self
    }

    /// Whether TCP listeners are bound with SO_REUSEPORT, so that several processes can share a port. A listener that is bound
    /// already stays as it is: see [`Listener::reuse_port`]. Default: false.
    pub fn reuse_port(mut self, reuse: bool) -> Builder {
        self.config.reuse_port = reuse;
        self
    }

    /// Starts the server, with one handler on one consumer thread.
    ///
    /// # Errors
    /// [`Error::Address`], [`Error::Resolve`] and [`Error::Bind`] for a place that cannot be listened at,
    /// [`Error::Setting`] for settings that cannot be, among them more than one consumer, and [`Error::Thread`].
    ///
    /// # Panics
    /// If [`Handler::session`] panics; nothing has been started then.
    pub fn serve(self, at: impl Into<Listener>, handler: impl Handler + 'static) -> Result<Server, Error> {
        if self.config.consumers != 1 {
            return Err(Error::Setting(SettingError::ConsumersNeedServeWith));
        }
        self.start(at.into(), vec![Box::new(handler)]).map(|(server, _)| server)
    }

    /// Starts the server, with as many handlers as there are [`consumers`](Builder::consumers), each made by `make` and
    /// on a thread of its own. Which of them gets a message is unspecified.
    ///
    /// # Errors
    /// As [`serve`](Builder::serve).
    ///
    /// # Panics
    /// If `make` or [`Handler::session`] panics; nothing has been started then.
    pub fn serve_with<H: Handler + 'static>(
        self,
        at: impl Into<Listener>,
        mut make: impl FnMut() -> H,
    ) -> Result<Server, Error> {
        let handlers = (0..self.config.consumers).map(|_| Box::new(make()) as Box<dyn Handler>).collect();
        self.start(at.into(), handlers).map(|(server, _)| server)
    }

    /// Starts the server without a handler, and returns the channel that messages come out of, for a loop of your own. They
    /// wait there, and their clients with them, up to [`handler_timeout`](Builder::handler_timeout). The channel ends
    /// when the server does. If you drop the receiver, messages are answered `451 4.3.0`. The receiver is that of
    /// crossbeam-channel 0.5, which [`crossbeam_channel`](crate::crossbeam_channel) is, so you can `select!` over it.
    ///
    /// [`Server::shutdown`] waits for messages that were handed over: answer the one at hand before you call it from the
    /// loop, or call [`Server::begin_shutdown`].
    ///
    /// # Errors
    /// As [`serve`](Builder::serve).
    pub fn deliveries(self, at: impl Into<Listener>) -> Result<(Server, Receiver<Delivery>), Error> {
        self.start(at.into(), Vec::new())
    }

    /// Starts the server with an [`Inbox`], which accepts each message and keeps it for a test to take.
    ///
    /// # Errors
    /// As [`serve`](Builder::serve).
    pub fn inbox(self, at: impl Into<Listener>) -> Result<Inbox, Error> {
        self.keep(at)
    }

    /// Starts the server with an [`Inbox`] that accepts nothing by itself: the test takes each [`Delivery`], looks at it, and
    /// answers it. The client waits meanwhile, up to [`handler_timeout`](Builder::handler_timeout). Deliveries left
    /// unanswered when the inbox is dropped are answered `451 4.3.0`.
    ///
    /// ```
    /// # use std::io::{Read, Write};
    /// # use std::time::Duration;
    /// use pillarbox::Reply;
    ///
    /// let inbox = pillarbox::Server::builder().manual_inbox("127.0.0.1:0")?;
    /// # let mut client = std::net::TcpStream::connect(inbox.local_addr())?;
    /// # client.write_all(b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n.\r\n")?;
    /// // ... the code under test sends, on a thread of its own
    /// let delivery = inbox.recv_timeout(Duration::from_secs(5))?;
    /// assert_eq!(delivery.envelope().recipients(), ["b@example.org"]);
    /// delivery.respond(Reply::new(552, "5.2.2", "mailbox full"));
    /// # client.write_all(b"QUIT\r\n")?;
    /// # let mut replies = String::new();
    /// # client.read_to_string(&mut replies)?;
    /// # assert!(replies.contains("552 5.2.2 mailbox full"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`serve`](Builder::serve).
    pub fn manual_inbox(self, at: impl Into<Listener>) -> Result<Inbox<Delivery>, Error> {
        self.keep(at)
    }

    fn keep<M: AsRef<Envelope>>(self, at: impl Into<Listener>) -> Result<Inbox<M>, Error>
    where
        Keep<M>: Handler + 'static,
    {
        if self.config.inbox_capacity == 0 {
            return Err(Error::Setting(SettingError::InboxCapacity));
        }
        let store = MessageQueue::new(self.config.inbox_capacity);
        let builder = Builder { transcripts: self.transcripts.or(Some(true)), ..self };
        builder.serve(at, Keep(store.clone())).map(|server| Inbox::new(server, store))
    }
}
