//! Where to listen and with which policy, as one word: ADDR,OPTION,…

use std::path::PathBuf;

use crate::values::{parse_local, parse_size};

/// In front of the name of a socket that the parent process has opened.
pub const PASSED_IN: &str = "systemd:";

/// What may follow an address, for messages.
#[cfg(unix)]
const OPTIONS: &str =
    "tls, require-tls, require-auth, no-auth, lmtp, smtputf8, size=BYTES, mode=MODE, cert=PEM and key=PEM";
#[cfg(not(unix))]
const OPTIONS: &str = "tls, require-tls, require-auth, no-auth, lmtp, smtputf8, size=BYTES, cert=PEM and key=PEM";

/// An address, and what holds for it beside what holds for all.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct Listen {
    /// HOST:PORT, unix:PATH, or systemd: with a name or without.
    pub address: String,
    pub tls: bool,
    pub require_tls: bool,
    pub require_auth: bool,
    pub no_auth: bool,
    pub lmtp: bool,
    pub smtputf8: bool,
    pub size: Option<u64>,
    #[cfg(unix)]
    pub mode: Option<u32>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

impl Listen {
    /// Where it listens if it is told nothing: as smtpd.
    pub fn usual() -> Listen {
        Listen { address: "localhost:8025".to_owned(), ..Listen::default() }
    }

    pub fn parse(text: &str) -> Result<Listen, String> {
        let mut parts = text.split(',');
        let address = parse_address(parts.next().unwrap_or_default())?;
        let mut listen = Listen { address, ..Listen::default() };
        let mut given = Vec::new();
        for option in parts {
            let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
            if given.contains(&name) {
                return Err(format!("{name} is given twice"));
            }
            given.push(name);
            listen.set(name, value)?;
        }
        listen.check()?;
        Ok(listen)
    }

    fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), String> {
        match name {
            "size" => self.size = Some(parse_size(needed(name, "BYTES", value)?)?),
            #[cfg(unix)]
            "mode" => self.mode = Some(crate::values::parse_mode(needed(name, "MODE", value)?)?),
            "cert" => self.cert = Some(needed(name, "PEM", value)?.into()),
            "key" => self.key = Some(needed(name, "PEM", value)?.into()),
            _ => {
                let flag = self.flag(name)?;
                if value.is_some() {
                    return Err(format!("{name} takes no value"));
                }
                *flag = true;
            }
        }
        Ok(())
    }

    fn flag(&mut self, name: &str) -> Result<&mut bool, String> {
        match name {
            "tls" => Ok(&mut self.tls),
            "require-tls" => Ok(&mut self.require_tls),
            "require-auth" => Ok(&mut self.require_auth),
            "no-auth" => Ok(&mut self.no_auth),
            "lmtp" => Ok(&mut self.lmtp),
            "smtputf8" => Ok(&mut self.smtputf8),
            _ => Err(format!("there is no option {name:?} for a listener: the options are {OPTIONS}")),
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.require_auth && self.no_auth {
            return Err("require-auth and no-auth exclude each other".to_owned());
        }
        match (&self.cert, &self.key) {
            (Some(_), None) => return Err("cert=PEM needs key=PEM".to_owned()),
            (None, Some(_)) => return Err("key=PEM needs cert=PEM".to_owned()),
            _ => {}
        }
        #[cfg(unix)]
        if self.mode.is_some() && !self.is_unix() {
            return Err("mode=MODE is for unix:PATH".to_owned());
        }
        Ok(())
    }

    /// Whether it makes a Unix socket.
    #[cfg(unix)]
    pub fn is_unix(&self) -> bool {
        self.address.starts_with("unix:")
    }
}

/// What [`parse_local`] takes, or a socket that is open already.
fn parse_address(text: &str) -> Result<String, String> {
    if text.starts_with(PASSED_IN) { Ok(text.to_owned()) } else { parse_local(text) }
}

fn needed<'a>(name: &str, what: &str, value: Option<&'a str>) -> Result<&'a str, String> {
    value.filter(|value| !value.is_empty()).ok_or_else(|| format!("{name} needs a value: {name}={what}"))
}
