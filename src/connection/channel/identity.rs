//! Who the client is, and by what it can say so.

use std::sync::Arc;

use super::{Channel, Shared};
use crate::io::stream::Stream;
use crate::syntax::escaped::Escaped;

impl Shared {
    #[cfg(feature = "auth")]
    pub(super) fn can_authenticate(&self) -> bool {
        self.authenticator.is_some() || !self.sasl_mechanisms.is_empty()
    }

    #[cfg(not(feature = "auth"))]
    pub(super) fn can_authenticate(&self) -> bool {
        false
    }

    /// The names of the program's own mechanisms.
    #[cfg(feature = "auth")]
    pub(super) fn own_mechanisms(&self) -> impl Iterator<Item = &str> {
        self.sasl_mechanisms.iter().map(|own| &*own.name)
    }

    #[cfg(not(feature = "auth"))]
    pub(super) fn own_mechanisms(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }
}

impl<S: Stream> Channel<S> {
    /// Takes over who the hook that has just returned says that the client is.
    pub(super) fn take_identity(&mut self) {
        if let Some(identity) = self.context.granted.get_mut().take() {
            self.identify(identity);
            self.is_identity_from_hook = true;
        }
    }

    pub(super) fn identify(&mut self, identity: Arc<str>) {
        log::info!("[{}] authenticated as {}", self.context.connection, Escaped::new(&*identity));
        self.context.identity = Some(identity);
        self.is_identity_from_hook = false;
    }
}
