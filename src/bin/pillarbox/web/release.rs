//! Sends a message on, to the one server and the recipients that the command line allows.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use pillarbox::{Envelope, Handler, Protocol, Reply, Upstream, handlers};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answers::{bad, busy, reserve, unreadable};
use super::pattern::Pattern;
use super::store::StoredMessage;
use crate::http::connection::{HttpConnection, Response};
use crate::http::memory::MemoryReservation;

/// How many recipients a message is sent on to at once.
const MAX_RECIPIENTS: usize = 100;

/// How long the server may take for each step.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Where messages are sent on to, and for whom.
pub struct Release {
    proxy: handlers::Proxy,
    patterns: Vec<Pattern>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    to: Vec<String>,
}

/// What became of a message for each recipient.
pub struct Released(Vec<(String, Reply)>);

impl Release {
    pub fn new(server: &str, patterns: Vec<Pattern>) -> Release {
        let upstream = Upstream::from(server).rustls().timeout(TIMEOUT);
        // No session of its own is at hand between two messages, so none is kept.
        Release { proxy: handlers::Proxy::to(upstream).x_peer(false).idle_connections(0), patterns }
    }

    /// Sends a message to some of its recipients or to others.
    pub fn send(
        &self,
        message: &StoredMessage,
        to: Vec<String>,
        room: &Arc<MemoryReservation>,
        client: &HttpConnection,
    ) -> Result<Released, Response> {
        if to.is_empty() || to.len() > MAX_RECIPIENTS {
            return Err(bad(format!("to: expected 1 to {MAX_RECIPIENTS} addresses")));
        }
        if let Some(other) = to.iter().find(|to| !self.allows(to)) {
            let problem = format!("to: no --release-pattern allows {other:?}");
            return Err(Response::error(403, problem));
        }
        // It may take as long as the server does.
        if !client.may_wait() {
            return Err(busy());
        }
        let _room = reserve(room, 3 * message.envelope.content().len(), client)?;
        let mail = envelope(&message.envelope, &to)?;
        let replies = match self.proxy.clone().process_message(mail) {
            pillarbox::Response::Each(replies) => replies,
            pillarbox::Response::All(reply) => vec![reply; to.len()],
            _ => Vec::new(),
        };
        Ok(Released(to.into_iter().zip(replies).collect()))
    }

    /// Whether an address is one that a message may go to. A local part that might make the server send it elsewhere is in no
    /// pattern.
    fn allows(&self, address: &str) -> bool {
        let Some((local, _)) = address.rsplit_once('@') else { return false };
        !local.contains(['@', '%', '!', ':', '"', '\\']) && self.patterns.iter().any(|pattern| pattern.matches(address))
    }
}

/// The addresses in a request's body.
pub fn recipients(body: &[u8]) -> Result<Vec<String>, Response> {
    // As a list, it would be taken for the fields' values.
    let request: Result<Request, _> =
        serde_json::from_slice::<Map<String, Value>>(body).and_then(|fields| serde_json::from_value(fields.into()));
    Ok(request.map_err(|e| bad(format!("expected {{\"to\": [addresses]}}: {e}")))?.to)
}

/// What is said without a server to release to.
pub fn unavailable() -> Response {
    Response::error(
        403,
        "messages are not released: --release-to names a server for that, and --release-pattern recipients",
    )
}

/// The message for these recipients. As by LMTP each has a reply of its own, and a refusal of one does not keep it from another.
fn envelope(mail: &Envelope, to: &[String]) -> Result<Envelope, Response> {
    let mut content = Vec::new();
    mail.content().reader().read_to_end(&mut content).map_err(unreadable)?;
    let options = mail.mail_options().into_iter().filter(|option| option.starts_with("BODY=") || *option == "SMTPUTF8");
    let copy = Envelope::builder()
        .mail_from(mail.mail_from().to_string())
        .mail_options(options.collect::<Vec<_>>().join(" "))
        .recipients(to)
        .hostname(mail.hostname())
        .protocol(Protocol::Lmtp)
        .content(content);
    copy.build().map_err(|e| {
        let cause = std::error::Error::source(&e).map(|cause| format!(": {cause}")).unwrap_or_default();
        bad(format!("to: {e}{cause}"))
    })
}

impl Released {
    pub fn json(&self) -> Value {
        let recipients = self.0.iter().map(|(address, reply)| {
            json!({
                "address": address,
                "accepted": reply.is_positive(),
                "code": reply.code(),
                "status": reply.status().map(|status| status.to_string()),
                "text": reply.text(),
            })
        });
        json!({ "recipients": recipients.collect::<Value>() })
    }

    /// The first refusal, if there is one.
    pub fn refusal(&self) -> Option<String> {
        let (address, reply) = self.0.iter().find(|(_, reply)| !reply.is_positive())?;
        Some(format!("{address}: {}", reply.to_string().trim_end()))
    }
}
