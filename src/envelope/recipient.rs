//! A recipient of a message.

use std::fmt::{self, Display, Formatter};

use crate::syntax::address::ForwardPath;
use crate::syntax::heap::allocation;
use crate::syntax::parameter::RcptParameters;

/// A recipient that was accepted: the forward-path and the parameters of its RCPT.
///
/// Compares with `&str` and `String` by the address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recipient {
    path: ForwardPath,
    parameters: RcptParameters,
}

impl Recipient {
    pub(crate) fn new(path: ForwardPath, parameters: RcptParameters) -> Recipient {
        Recipient { path, parameters }
    }

    /// What it takes in memory beside itself.
    pub(crate) fn heap_octets(&self) -> u64 {
        let path = self.path.mailbox().map_or(0, |mailbox| allocation(mailbox.as_str().len()));
        path + self.parameters.heap_octets()
    }

    /// The address.
    pub fn path(&self) -> &ForwardPath {
        &self.path
    }

    /// The address as text, as the client sent it.
    pub fn as_str(&self) -> &str {
        self.path.as_str()
    }

    /// The domain, as the client sent it. `<Postmaster>` has none, and neither has an address such as `<root>`, which only
    /// [`strict_syntax`](crate::Builder::strict_syntax) refuses.
    pub fn domain(&self) -> Option<&str> {
        self.path.domain()
    }

    /// What followed the address in RCPT.
    pub fn parameters(&self) -> &RcptParameters {
        &self.parameters
    }
}

impl Display for Recipient {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.path, f)
    }
}

impl PartialEq<str> for Recipient {
    fn eq(&self, other: &str) -> bool {
        self.path == *other
    }
}

impl PartialEq<&str> for Recipient {
    fn eq(&self, other: &&str) -> bool {
        self.path == **other
    }
}

impl PartialEq<String> for Recipient {
    fn eq(&self, other: &String) -> bool {
        self.path == **other
    }
}
