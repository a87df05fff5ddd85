//! Sockets that systemd has opened: see sd_listen_fds(3).

use std::io;

use listenfd::ListenFd;
use pillarbox::Listener;

/// Those that nobody has taken yet.
pub struct PassedIn {
    sockets: ListenFd,
    /// What the socket units call them; empty where they do not say.
    names: Vec<String>,
    is_taken: Vec<bool>,
}

impl PassedIn {
    pub fn from_env() -> PassedIn {
        // Before the other variables are gone: it belongs to them.
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let sockets = ListenFd::from_env();
        let mut names: Vec<String> = names.split(':').map(str::to_owned).collect();
        names.resize(sockets.len(), String::new());
        PassedIn { is_taken: vec![false; sockets.len()], sockets, names }
    }

    /// The next socket of this name, or the next one if there is none.
    pub fn take(&mut self, name: &str) -> Result<Listener, String> {
        let is_wanted = |at: &usize| !self.is_taken[*at] && (name.is_empty() || self.names[*at] == name);
        let at = (0..self.sockets.len()).find(is_wanted).ok_or_else(|| self.no_socket(name))?;
        self.is_taken[at] = true;
        listening(&mut self.sockets, at)
            .map_err(|e| format!("what was passed in is no listening socket: {e}"))?
            .ok_or_else(|| self.no_socket(name))
    }

    fn no_socket(&self, name: &str) -> String {
        if self.names.is_empty() {
            return "no socket was passed in: start it from a systemd socket unit".to_owned();
        }
        let names = self.names.join(", ");
        match name {
            "" => format!("fewer sockets were passed in than are asked for; those that were: {names}"),
            _ => format!("no other socket of the name {name} was passed in; those that were: {names}"),
        }
    }
}

fn listening(sockets: &mut ListenFd, at: usize) -> io::Result<Option<Listener>> {
    match sockets.take_tcp_listener(at) {
        Ok(socket) => Ok(socket.map(Listener::from)),
        #[cfg(unix)]
        Err(_) => Ok(sockets.take_unix_listener(at)?.map(Listener::from)),
        #[cfg(not(unix))]
        Err(e) => Err(e),
    }
}
