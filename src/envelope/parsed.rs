//! What the message in an envelope says.

use super::Envelope;
use crate::mime::{Limits, Message, MimeError};

impl Envelope {
    /// The message taken apart: subject, addresses, bodies and attachments. A message without a header, or of no octets at
    /// all, is a message too.
    ///
    /// It takes time each time that it is called, linear in the message's octets. What is in memory is copied once, so that
    /// the [`Message`] lives by itself; what is on disk is read once from the start to the end through 64 KiB, stays there,
    /// and takes a file descriptor for as long as the message or one of its parts is kept. Text and HTML are decoded into
    /// memory, attachments when they are read.
    ///
    /// # Errors
    /// [`MimeError::Io`]; never for content in memory.
    pub fn parsed(&self) -> Result<Message, MimeError> {
        self.parsed_within(&Limits::default())
    }

    /// As [`parsed`](Envelope::parsed), with limits of your own.
    ///
    /// # Errors
    /// [`MimeError::Io`]; never for content in memory.
    pub fn parsed_within(&self, limits: &Limits) -> Result<Message, MimeError> {
        Message::of(self.content(), limits)
    }
}
