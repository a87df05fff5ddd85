//! The web inbox: messages, to be looked at in a browser or by a test in any language.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use parking_lot::Mutex;
use pillarbox::testing::Faults;
use pillarbox::{Builder, Envelope, Handler, Server};

mod api;
mod download;
mod guard;
mod html;
mod mail;
mod markup;
mod password;
mod query;
mod rules;
mod store;
mod summary;

use api::Api;
use guard::Guard;
pub use password::Passwords;
use rules::Rules;
use store::MessageStore;

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
    authority: Option<String>,
    passwords: Option<Arc<Passwords>>,
}

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
            authority: None,
            passwords: None,
        })
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
        builder.transcripts(true).faults(self.faults.clone())
    }

    /// Takes every message for which there is room.
    pub fn handler(&self) -> impl Handler + 'static {
        let store = self.store.clone();
        move |mail: Envelope| store.push(mail)
    }

    /// Lets the inbox be looked at. Gives its address for a browser.
    pub fn start(self, server: &Server) -> std::io::Result<String> {
        let url = format!("http://{}/", self.address);
        let api = Api {
            store: self.store,
            rules: Mutex::new(Rules::new(self.faults)),
            guard: Guard::new(self.address, self.is_public, self.names),
            passwords: self.passwords,
            endpoints: server.local_endpoints().iter().map(ToString::to_string).collect(),
            room: Arc::default(),
            waiting: 0.into(),
            server: server.handle(),
            authority: self.authority,
        };
        accept_loop::start("inbox", self.listener, Arc::new(api))?;
        Ok(url)
    }
}
