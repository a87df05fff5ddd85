//! What the settings come to when the server is started, and what cannot be.

use std::time::Duration;

use crossbeam_channel::Receiver;

use super::Builder;
use crate::config::{Config, FOREVER};
use crate::delivery::Delivery;
use crate::delivery::handler::Handler;
use crate::error::{Error, SettingError};
use crate::server::Server;
use crate::server::listener::{Listener, Means};
use crate::server::start::Settings;
use crate::session::chained;
use crate::syntax::address::is_helo_name;

impl Builder {
    pub(super) fn start(
        mut self,
        at: Listener,
        handlers: Vec<Box<dyn Handler>>,
    ) -> Result<(Server, Receiver<Delivery>), Error> {
        self.check()?;
        let means = Means { tls: self.tls.is_some(), auth: self.can_authenticate(), session: self.session.is_some() };
        let config = &mut self.config;
        for timeout in [&mut config.command_timeout, &mut config.data_timeout, &mut config.handler_timeout] {
            *timeout = (*timeout).min(FOREVER);
        }
        config.hostname = match self.hostname.take() {
            Some(name) if is_helo_name(name.as_bytes()) => name.into(),
            Some(_) => return Err(Error::Setting(SettingError::Hostname)),
            None => machine_name().into(),
        };
        self.session = chained(self.session.take(), handlers.first().and_then(|handler| handler.session()));
        let mut listeners = vec![at];
        listeners.append(&mut self.listeners);
        for listener in &listeners {
            listener.policy().check(&self.config, means).map_err(Error::Setting)?;
        }
        let settings = Settings {
            config: self.config,
            session: self.session,
            transcripts: self.transcripts.unwrap_or(false),
            faults: self.faults,
            observer: self.observer,
            tls: self.tls,
            #[cfg(feature = "auth")]
            authenticator: self.authenticator,
            #[cfg(feature = "auth")]
            sasl_mechanisms: self.sasl_mechanisms,
        };
        Server::start(settings, listeners, handlers)
    }

    /// What the server has as a whole; what each listener has is for its policy to check.
    fn check(&self) -> Result<(), Error> {
        let Config { command_timeout, data_timeout, handler_timeout, stress_timeout, .. } = self.config;
        let Config { max_connections_per_address, max_connections_per_network, .. } = self.config;
        let mut timeouts = [command_timeout, data_timeout, handler_timeout].into_iter().chain(stress_timeout);
        let rates = [self.config.max_connection_rate, self.config.max_error_rate];
        let problem = if timeouts.any(|timeout| timeout < Duration::from_millis(1)) {
            SettingError::Timeout
        } else if self.config.max_connections == 0
            || [max_connections_per_address, max_connections_per_network].contains(&Some(0))
        {
            SettingError::MaxConnections
        } else if rates.into_iter().flatten().any(|rate| rate.max == 0 || rate.per.is_zero()) {
            SettingError::Rate
        } else if self.config.max_recipients == 0 {
            SettingError::MaxRecipients
        } else if self.config.max_errors == 0 {
            SettingError::MaxErrors
        } else if self.config.max_junk == 0 {
            SettingError::MaxJunk
        } else if self.allows_no_auth_failure() {
            SettingError::MaxAuthFailures
        } else if self.config.spool_folder.as_ref().is_some_and(|folder| !folder.is_dir()) {
            SettingError::SpoolFolder
        } else if !self.config.extensions.are_valid() {
            SettingError::Extension
        } else if self.has_bad_sasl_mechanism() {
            SettingError::SaslMechanism
        } else if self.config.consumers == 0 {
            SettingError::Consumers
        } else {
            return Ok(());
        };
        Err(Error::Setting(problem))
    }
}

impl Builder {
    #[cfg(feature = "auth")]
    fn can_authenticate(&self) -> bool {
        self.authenticator.is_some() || !self.sasl_mechanisms.is_empty()
    }

    /// Whether a name is invalid, or comes twice.
    #[cfg(feature = "auth")]
    fn has_bad_sasl_mechanism(&self) -> bool {
        let all = &self.sasl_mechanisms;
        let comes_before = |at: usize| all[..at].iter().any(|other| other.name == all[at].name);
        (0..all.len()).any(|at| !all[at].has_valid_name() || comes_before(at))
    }

    #[cfg(not(feature = "auth"))]
    fn has_bad_sasl_mechanism(&self) -> bool {
        false
    }

    #[cfg(feature = "auth")]
    fn allows_no_auth_failure(&self) -> bool {
        self.config.max_auth_failures == 0
    }

    #[cfg(not(feature = "auth"))]
    fn allows_no_auth_failure(&self) -> bool {
        false
    }

    #[cfg(not(feature = "auth"))]
    fn can_authenticate(&self) -> bool {
        false
    }
}

fn machine_name() -> String {
    gethostname::gethostname()
        .into_string()
        .ok()
        .filter(|name| is_helo_name(name.as_bytes()))
        .unwrap_or_else(|| "localhost".to_owned())
}
