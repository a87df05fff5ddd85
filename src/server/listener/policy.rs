//! Which settings a listener has of its own, and what then holds for its connections.

use std::sync::Arc;

use crate::config::Config;
use crate::error::SettingError;
use crate::io::tls::Tls;

/// What a server has that a listener's policy may need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Means {
    pub tls: bool,
    /// An authenticator, or a SASL mechanism of the program's own.
    pub auth: bool,
    /// It may know who its client is: [`Context::authenticate`](crate::Context::authenticate).
    pub session: bool,
}

/// What a listener does otherwise than the builder says: `None` is what the builder says.
#[derive(Clone, Default, Debug)]
pub(crate) struct Policy {
    pub name: Option<Arc<str>>,
    pub tls: Option<Tls>,
    pub implicit_tls: bool,
    pub require_tls: Option<bool>,
    pub offer_auth: Option<bool>,
    pub require_auth: Option<bool>,
    pub smtputf8: Option<bool>,
    pub data_size_limit: Option<u64>,
    pub lmtp: Option<bool>,
}

impl Policy {
    /// The settings of the listener's connections.
    pub fn apply(&self, config: &Config) -> Config {
        Config {
            require_tls: self.require_tls.unwrap_or(config.require_tls),
            require_auth: self.require_auth.unwrap_or(config.require_auth),
            smtputf8: self.smtputf8.unwrap_or(config.smtputf8),
            data_size_limit: self.data_size_limit.unwrap_or(config.data_size_limit),
            lmtp: self.lmtp.unwrap_or(config.lmtp),
            ..config.clone()
        }
    }

    /// Whether clients are offered AUTH where the server has an authenticator or a mechanism of its own.
    pub fn offers_auth(&self) -> bool {
        self.offer_auth.unwrap_or(true)
    }

    /// Finds what cannot be true together, on a server that has these means.
    pub fn check(&self, config: &Config, means: Means) -> Result<(), SettingError> {
        let config = self.apply(config);
        let has_tls = means.tls || self.tls.is_some();
        let problem = if config.decode_data && config.smtputf8 {
            SettingError::DecodeDataWithSmtputf8
        } else if config.require_tls && !has_tls {
            SettingError::RequireTlsWithoutTls
        } else if self.implicit_tls && !has_tls {
            SettingError::ImplicitTlsWithoutTls
        } else if config.require_auth && !means.auth && !means.session {
            SettingError::RequireAuthWithoutAuthenticator
        } else if self.offer_auth == Some(true) && !means.auth {
            SettingError::OfferAuthWithoutAuthenticator
        } else if config.require_auth && !self.offers_auth() && !means.session {
            SettingError::RequireAuthWithoutOffer
        } else {
            return Ok(());
        };
        Err(problem)
    }
}
