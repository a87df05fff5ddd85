//! Who may speak for other clients.

use super::Builder;
use crate::syntax::network::Network;

/// # Trust
///
/// Who may speak for other clients.
impl Builder {
    /// The proxies whose connections begin with a PROXY protocol header, of version 1 or 2: the client that it names is
    /// then the peer. A header that names nobody (`UNKNOWN`, `UNSPEC`, `AF_UNIX`, or `LOCAL`, a proxy's health check) makes the
    /// peer [`Endpoint::Unknown`](crate::Endpoint::Unknown): the proxy's own address, and what is trusted because of it, is
    /// not the client's. What else a header of version 2 says is [`Context::proxy`](crate::Context::proxy). A proxy that sends no header within ten seconds is disconnected; other clients send none, and if they
    /// do it is a bad command. Default: nobody.
    pub fn proxy_protocol(mut self, proxies: impl IntoIterator<Item = Network>) -> Builder {
        self.config.proxies = proxies.into_iter().collect();
        self
    }

    /// The clients that may say, with Postfix's XCLIENT, for whom they speak: limits for an address or a network are those of
    /// whom they name, and not their own. A client whose address they say is unavailable is
    /// [`Endpoint::Unknown`](crate::Endpoint::Unknown): on no list, and without such limits. Default: nobody.
    pub fn xclient(mut self, clients: impl IntoIterator<Item = Network>) -> Builder {
        self.config.xclient = clients.into_iter().collect();
        self
    }

    /// The clients that may say, with Postfix's XFORWARD, where a message came from before them: a mail server whose content
    /// filter this is, or a filter before it. What they say is [`Context::xforward`](crate::Context::xforward) and
    /// [`Envelope::xforward`](crate::Envelope::xforward) of one message; it gives nobody any rights, and limits stay those of
    /// the client itself. After XCLIENT, whom it names must be listed. Default: nobody.
    pub fn xforward(mut self, clients: impl IntoIterator<Item = Network>) -> Builder {
        self.config.xforward = clients.into_iter().collect();
        self
    }
}
