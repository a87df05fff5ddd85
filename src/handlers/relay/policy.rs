//! Who may relay. RFC 5321 section 7.8 leaves it to the site; open relays are blocked everywhere.

use crate::envelope::{Endpoint, Recipient};
use crate::syntax::address::ForwardPath;
use crate::syntax::network::Network;
use crate::syntax::reply::{Reply, Status};

pub(super) const DENIED: Reply = Reply::fixed(550, Status::new(5, 7, 1), "Relaying denied");

/// Which clients may send to anybody, and which recipients anybody may send to.
#[derive(Clone, Default, Debug)]
pub(in crate::handlers) struct Policy {
    pub networks: Vec<Network>,
    pub domains: Vec<String>,
    pub is_open: bool,
}

impl Policy {
    /// Whether a client may send to anybody: from this machine, from a listed network, or authenticated.
    pub fn trusts(&self, peer: &Endpoint, identity: Option<&str>) -> bool {
        self.is_open || identity.is_some() || peer.is_loopback() || peer.is_in(&self.networks)
    }

    /// Lists domains that anybody may send to.
    pub fn add_domains(&mut self, domains: impl Iterator<Item = String>) {
        let named = domains.map(|domain| without_root(domain.trim()).to_owned());
        self.domains.extend(named.filter(|domain| !domain.is_empty()));
    }

    /// Whether anybody may send to a recipient: one of a listed domain, or the postmaster, whom no server may refuse
    /// (RFC 5321 section 4.5.1).
    pub fn is_for_all(&self, to: &Recipient) -> bool {
        let is_listed = |domain: &str| self.domains.iter().any(|listed| listed.eq_ignore_ascii_case(domain));
        match to.path() {
            ForwardPath::Postmaster => true,
            ForwardPath::Mailbox(_) => to.domain().is_some_and(|to| is_listed(without_root(to))) && !has_route(to),
        }
    }
}

/// A domain without the final dot that stands for the root of the DNS.
fn without_root(domain: &str) -> &str {
    domain.strip_suffix('.').unwrap_or(domain)
}

/// Whether the local part may name another address to whoever takes the message next: `user%domain`, `host!user`,
/// `"user@domain"` and `"@host:user@domain"`, which some servers follow for whoever may relay through them, as we may.
///
/// A quoted string says the same without its quotes and backslashes, none of which takes one of these octets away: so
/// they are looked for in the text as sent. The others are what Unicode's compatibility forms (NFKC) make the same of.
pub(super) fn has_route(to: &Recipient) -> bool {
    const SIGNS: [char; 18] = [
        '@', '%', '!', ':', '\u{203c}', '\u{2048}', '\u{2049}', '\u{2a74}', '\u{fe13}', '\u{fe15}', '\u{fe55}',
        '\u{fe57}', '\u{fe6a}', '\u{fe6b}', '\u{ff01}', '\u{ff05}', '\u{ff1a}', '\u{ff20}',
    ];
    to.path().mailbox().is_some_and(|mailbox| mailbox.local_part().contains(SIGNS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::parameter::RcptParameters;

    #[test]
    fn who_is_trusted() {
        let policy = Policy { networks: vec!["192.0.2.0/24".parse().unwrap()], ..Policy::default() };
        let tcp = |text: &str| Endpoint::Tcp(text.parse().unwrap());
        assert!(policy.trusts(&tcp("127.0.0.1:9"), None) && policy.trusts(&Endpoint::Unix(None), None));
        assert!(policy.trusts(&tcp("192.0.2.7:9"), None) && !policy.trusts(&tcp("192.0.3.7:9"), None));
        assert!(policy.trusts(&tcp("[::ffff:192.0.2.7]:9"), None));
        assert!(policy.trusts(&tcp("192.0.3.7:9"), Some("bob")));
        assert!(!policy.trusts(&tcp("0.0.0.0:9"), None) && !policy.trusts(&Endpoint::Unknown, None));
        let everybody = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
        assert!(!Policy { networks: everybody, ..Policy::default() }.trusts(&Endpoint::Unknown, None));
        assert!(Policy { is_open: true, ..Policy::default() }.trusts(&tcp("192.0.3.7:9"), None));
    }

    #[test]
    fn local_parts_that_lead_elsewhere() {
        let leads = |path: &str| has_route(&Recipient::new(path.parse().unwrap(), RcptParameters::default()));
        for local in [
            "u%v.example",
            "U%25V",
            "v.example!u",
            "\"u@v.example\"",
            "\"u\\@v.example\"",
            "\"u\\\\@v.example\"",
            "\"@v.example:u@w.example\"",
            "\"v.example:u\"",
            "\"\\\"u@v.example\\\"\"",
            "\"a b\\%c\"",
            "u\u{ff05}v.example",
            "u\u{ff20}v.example",
            "u\u{fe6b}v.example",
            "v.example\u{ff01}u",
        ] {
            assert!(leads(&format!("{local}@b.example")), "{local}");
        }
        for local in
            ["u", "u+tag", "u/dept", "|u", "u=v.example", "#u", "\"u v\"", "\"u\\+v\"", "\"u,v\"", "gr\u{fc}n", "{u}"]
        {
            assert!(!leads(&format!("{local}@b.example")), "{local}");
        }
        assert!(!leads("Postmaster") && !leads("<@a.example,@b.example:u@c.example>"));
    }

    #[test]
    fn who_can_be_written_to_by_all() {
        let mut policy = Policy::default();
        policy.add_domains(["example.org", "", " .", " Dotted.example. "].into_iter().map(str::to_owned));
        assert_eq!(policy.domains, ["example.org", "Dotted.example"]);
        let is_for_all =
            |path: &str| policy.is_for_all(&Recipient::new(path.parse().unwrap(), RcptParameters::default()));
        assert!(is_for_all("a@Example.ORG") && is_for_all("Postmaster"));
        assert!(is_for_all("a@dotted.EXAMPLE"));
        assert!(!is_for_all("a@sub.example.org") && !is_for_all("a@example.com") && !is_for_all("a%example.org@b.com"));
    }
}
