//! A session within TLS: RFC 3207 and RFC 8314.

use std::time::Instant;

use super::client::{Client, ClientError, LOGGED, Verified};
use super::settings::{Upstream, UpstreamTls};
use crate::io::stream::Stream;

impl Upstream {
    /// A session, past EHLO and STARTTLS.
    pub(super) fn begin(&self, hostname: &str, deadline: Instant) -> Result<Client, ClientError> {
        match self.converse(hostname, deadline, self.tls) {
            // RFC 7435: encryption that cannot be had must not keep mail from flowing where it is not asked for.
            Err(ClientError::Insecure(why)) if self.tls == UpstreamTls::WhenOffered => {
                log::warn!("no TLS with {}, going on in clear: {why}", self.name());
                self.converse(hostname, deadline, UpstreamTls::Off)
            }
            result => result,
        }
    }

    fn converse(&self, hostname: &str, deadline: Instant, tls: UpstreamTls) -> Result<Client, ClientError> {
        let mut client = self.reach(deadline)?;
        if tls == UpstreamTls::Implicit {
            self.handshake(&mut client, true, deadline)?;
        }
        client.welcome()?;
        self.greet(&mut client, hostname)?;
        let is_offered = client.offers("STARTTLS");
        match tls {
            UpstreamTls::Required if !is_offered => {
                return Err(ClientError::Insecure("STARTTLS is not offered".to_owned()));
            }
            UpstreamTls::Required | UpstreamTls::WhenOffered if is_offered => {
                let reply = client.command("STARTTLS")?;
                if reply.code() != 220 {
                    let reply = reply.shortened(LOGGED);
                    return Err(ClientError::Insecure(format!("STARTTLS was answered {reply}")));
                }
                self.handshake(&mut client, tls == UpstreamTls::Required, deadline)?;
                // RFC 3207 section 4.2: what was learnt in clear is forgotten.
                self.greet(&mut client, hostname)?;
            }
            _ => {}
        }
        Ok(client)
    }

    fn handshake(&self, client: &mut Client, is_verified: bool, deadline: Instant) -> Result<(), ClientError> {
        // What came in clear behind the 220 would be taken for something said within TLS.
        if !client.input.buffered().is_empty() {
            return Err(ClientError::Unintelligible);
        }
        let insecure = |e: Box<dyn std::error::Error + Send + Sync>| ClientError::Insecure(e.to_string());
        let (tls, is_verified) = match &self.tls_client {
            Some(tls) => (tls.clone(), true),
            None if is_verified => (self.library.verifying().map_err(insecure)?, true),
            None => (self.library.unverifying().map_err(insecure)?, false),
        };
        let stream = client.input.stream_mut();
        stream.set_read_deadline(deadline);
        stream.set_write_deadline(deadline);
        let tls = match tls.connect(&self.host(), stream.transport().clone()) {
            Ok(tls) => tls,
            // The transport waits by itself, up to the deadline.
            Err(_) if Instant::now() >= deadline => {
                return Err(ClientError::Connect(std::io::ErrorKind::TimedOut.into()));
            }
            Err(e) => return Err(ClientError::Insecure(e.to_string())),
        };
        stream.set_tls(tls);
        client.tls = Some(Verified(is_verified));
        Ok(())
    }
}
