//! For whom a relay relays: RFC 5321 section 7.8 leaves it to the site, and everybody else blocks those who do for all.

use crate::address::ForwardPath;
use crate::envelope::{Endpoint, Recipient};
use crate::network::Network;
use crate::reply::{Reply, Status};

pub(super) const DENIED: Reply = Reply::fixed(550, Status::new(5, 7, 1), "Relaying denied");

/// Whose mail is taken, and for whom anybody's.
#[derive(Clone, Default, Debug)]
pub(in crate::handlers) struct Policy {
    pub networks: Vec<Network>,
    pub domains: Vec<String>,
    pub is_open: bool,
}

impl Policy {
    /// Whether a client may send to anybody: from this machine, from a listed network, or authenticated.
    pub fn trusts(&self, peer: &Endpoint, identity: Option<&str>) -> bool {
        self.is_open
            || identity.is_some()
            || peer.is_loopback()
            || peer.ip().is_some_and(|ip| self.networks.iter().any(|network| network.contains(ip)))
    }

    /// Whether anybody may send to a recipient: one of a listed domain, or the postmaster, whom no server may refuse
    /// (RFC 5321 section 4.5.1).
    pub fn is_for_all(&self, to: &Recipient) -> bool {
        match to.path() {
            ForwardPath::Postmaster => true,
            ForwardPath::Mailbox(mailbox) => {
                self.domains.iter().any(|domain| domain.eq_ignore_ascii_case(mailbox.domain()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameter::RcptParameters;

    #[test]
    fn who_is_trusted() {
        let policy = Policy { networks: vec!["192.0.2.0/24".parse().unwrap()], ..Policy::default() };
        let tcp = |text: &str| Endpoint::Tcp(text.parse().unwrap());
        assert!(policy.trusts(&tcp("127.0.0.1:9"), None) && policy.trusts(&Endpoint::Unix(None), None));
        assert!(policy.trusts(&tcp("192.0.2.7:9"), None) && !policy.trusts(&tcp("192.0.3.7:9"), None));
        assert!(policy.trusts(&tcp("[::ffff:192.0.2.7]:9"), None));
        assert!(policy.trusts(&tcp("192.0.3.7:9"), Some("bob")));
        assert!(!policy.trusts(&tcp("0.0.0.0:9"), None));
        assert!(Policy { is_open: true, ..Policy::default() }.trusts(&tcp("192.0.3.7:9"), None));
    }

    #[test]
    fn who_can_be_written_to_by_all() {
        let policy = Policy { domains: vec!["example.org".into()], ..Policy::default() };
        let is_for_all =
            |path: &str| policy.is_for_all(&Recipient::new(path.parse().unwrap(), RcptParameters::default()));
        assert!(is_for_all("a@Example.ORG") && is_for_all("Postmaster"));
        assert!(!is_for_all("a@sub.example.org") && !is_for_all("a@example.com") && !is_for_all("a%example.org@b.com"));
    }
}
