//! The web inbox: messages, to be looked at in a browser or by a test in any language.

use std::net::{SocketAddr, TcpListener};
#[cfg(unix)]
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use pillarbox::testing::Faults;
use pillarbox::{Builder, Handler, Server};

mod answers;
mod api;
mod assets;
mod away;
mod changes;
mod codes;
mod connections;
mod content;
mod document;
mod download;
mod facts;
mod filter;
mod guard;
mod html;
mod intake;
mod international;
mod links;
mod mail;
mod mailpit;
mod markup;
mod messages;
mod nested;
mod openapi;
mod password;
mod pattern;
mod picture;
mod query;
mod release;
mod routes;
mod rules;
mod scheme;
mod store;
mod summary;
mod text;
mod timestamp;
mod waiting;

use api::Api;
use connections::Connections;
use guard::Guard;
use intake::Intake;
pub use password::Passwords;
pub use pattern::Pattern;
use release::Release;
use rules::Rules;
use store::MessageStore;
pub use store::{Room, WhenFull};

use crate::http;
use crate::http::accept_loop;

/// An inbox whose socket is bound, and which nobody can look at yet.
pub struct Web {
    listener: TcpListener,
    address: SocketAddr,
    is_public: bool,
    names: Vec<String>,
    store: Arc<MessageStore>,
    faults: Faults,
    connections: Arc<Connections>,
    authority: Option<String>,
    passwords: Option<Arc<Passwords>>,
    max_waiting: usize,
    release: Option<Release>,
}

/// How many clients may wait for a message at the same time.
pub const MAX_WAITING: usize = 1024;

/// Why there is no inbox.
pub enum Refused {
    /// The address is not of this machine alone, and that was not asked for.
    Public(SocketAddr),
    Bind(std::io::Error),
}

impl Web {
    /// Binds the first of the place's addresses that this machine has, IPv4 before IPv6.
    pub fn bind(place: &str, is_public: bool, names: Vec<String>) -> Result<Web, Refused> {
        let addresses = http::addresses(place).map_err(Refused::Bind)?;
        let is_loopback = |address: &&SocketAddr| address.ip().to_canonical().is_loopback();
        if let Some(address) = addresses.iter().find(|address| !is_public && !is_loopback(address)) {
            return Err(Refused::Public(*address));
        }
        let listener = TcpListener::bind(&addresses[..]).map_err(Refused::Bind)?;
        let address = listener.local_addr().map_err(Refused::Bind)?;
        Ok(Web {
            listener,
            address,
            is_public,
            names,
            store: Arc::default(),
            faults: Faults::new(),
            connections: Arc::default(),
            authority: None,
            passwords: None,
            max_waiting: MAX_WAITING,
            release: None,
        })
    }

    /// Keeps as many messages as there is room for, in memory.
    pub fn keep(self, room: Room) -> Web {
        Web { store: Arc::new(MessageStore::new(room)), ..self }
    }

    /// Keeps as many messages as there is room for in a folder, with those that are there.
    ///
    /// # Errors
    /// If the folder cannot be used, or another process does.
    #[cfg(unix)]
    pub fn keep_in(self, folder: &Path, room: Room) -> std::io::Result<Web> {
        Ok(Web { store: Arc::new(MessageStore::open(room, folder)?), ..self })
    }

    /// Lets no more than so many clients wait for a message. By default and at most [`MAX_WAITING`].
    pub fn waiting(self, max_waiting: usize) -> Web {
        Web { max_waiting, ..self }
    }

    /// Lets messages be sent on to a server, for recipients that one of the patterns allows.
    pub fn release(self, server: &str, patterns: Vec<Pattern>) -> Web {
        Web { release: Some(Release::new(server, patterns)), ..self }
    }

    /// With the authority of the server's certificate, in PEM, for whoever is to trust it.
    pub fn authority(self, authority: Option<String>) -> Web {
        Web { authority, ..self }
    }

    /// With the users who may look.
    pub fn passwords(self, passwords: Option<Arc<Passwords>>) -> Web {
        Web { passwords, ..self }
    }

    /// Whether everybody who reaches this machine may look.
    pub fn is_open(&self) -> bool {
        self.passwords.is_none() && !self.address.ip().to_canonical().is_loopback()
    }

    /// What the server of the messages needs beside its other settings.
    pub fn prepare(&self, builder: Builder) -> Builder {
        // The budgets are for messages on their way: those in the inbox count there.
        builder.transcripts(true).faults(self.faults.clone()).observer(self.connections.clone())
    }

    /// Takes every message for which there is room.
    pub fn handler(&self) -> impl Handler + 'static {
        Intake::new(self.store.clone())
    }

    /// Lets the inbox be looked at. Gives its address for a browser.
    pub fn start(self, server: &Server) -> std::io::Result<String> {
        let url = format!("http://{}/", self.address);
        self.store.start_expiry()?;
        let api = Api {
            store: self.store,
            rules: Mutex::new(Rules::new(self.faults)),
            guard: Guard::new(self.address, self.is_public, self.names),
            passwords: self.passwords,
            endpoints: server.local_endpoints().iter().map(ToString::to_string).collect(),
            room: Arc::default(),
            connections: self.connections,
            server: server.handle(),
            authority: self.authority,
            release: self.release,
            begun: Instant::now(),
        };
        accept_loop::start("inbox", self.listener, self.max_waiting, Arc::new(api))?;
        Ok(url)
    }
}
