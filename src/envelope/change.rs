//! Changing a message between its arrival and its delivery.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Envelope, Recipient};
use crate::content::{Content, ContentReader};
use crate::envelope::values::Values;
use crate::syntax::header::{self, HeaderError};
use crate::syntax::parameter::Body;
use crate::syntax::reply::{Reply, Status};

impl Envelope {
    /// Puts a header field before the message. Whoever reads the message after that, a handler such as
    /// [`Proxy`](crate::handlers::Proxy) or [`Maildir`](crate::handlers::Maildir) too, finds it first; the content is neither
    /// moved nor copied. A field that is put before the message later comes before this one.
    ///
    /// Long values are folded at blanks, to lines of 78 octets if possible. Nothing in `value` can begin another field: line
    /// ends and other control characters are refused, and a message that begins with a blank gets an empty line before it, as
    /// its first line would else go on with this field.
    ///
    /// # Errors
    /// [`HeaderError`], which converts to a [`Reply`] (`451 4.3.0`, and a line in the log) and to an [`io::Error`], so that `?`
    /// works in a handler.
    /// `name` must be printable ASCII without blanks and colons, and `value` ASCII too, unless the message came with SMTPUTF8.
    ///
    /// ```
    /// use pillarbox::{Envelope, Handler, Server, handlers};
    ///
    /// let mut relay = handlers::Proxy::to("mail.example.org:25");
    /// let server = Server::builder().serve("127.0.0.1:0", move |mut mail: Envelope| {
    ///     mail.prepend_header("X-Scanned", "yes")?;
    ///     Ok(relay.process_message(mail))
    /// })?;
    /// # Ok::<(), pillarbox::Error>(())
    /// ```
    pub fn prepend_header(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        let field = header::field(name, value, self.parameters.smtputf8())?;
        self.content.prepend(field.as_bytes());
        Ok(())
    }

    /// Replaces the whole content, headers included, by what a reader gives. Lone CRs and LFs become CRLF, unless the message
    /// was declared [`BINARYMIME`](Body::BinaryMime).
    ///
    /// The new content is kept in memory or on disk as the old one was, and counts against the same budgets of its server.
    /// [`mail_parameters`](Envelope::mail_parameters) stay what the client has declared; a relay that begins with the changed
    /// message tells the next server what its content is now.
    ///
    /// # Errors
    /// Those of the reader, [`StorageFull`](io::ErrorKind::StorageFull) if the budgets or the disk have no room for the new
    /// content beside the old, and others of writing to disk.
    ///
    /// ```
    /// # use pillarbox::Envelope;
    /// # fn handle(mail: Envelope) -> Result<(), Box<dyn std::error::Error>> {
    /// let upper = mail.text()?.to_uppercase();
    /// let mail = mail.with_content(upper.as_bytes())?;
    /// # assert_eq!(mail.bytes()?, &b"SUBJECT: X\r\n\r\nHELLO\r\n"[..]);
    /// # Ok(())
    /// # }
    /// # handle(Envelope::builder().recipient("b@example.org").content("Subject: x\n\nhello\n").build()?)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_content(mut self, mut content: impl Read) -> io::Result<Envelope> {
        self.rewrite(|_, to| io::copy(&mut content, to).map(drop))?;
        Ok(self)
    }

    /// The same message with its content in a file that you keep: for a program that stores messages and [rebuilds](Envelope::builder)
    /// them later.
    ///
    /// The content is the octets `range` of the file, unchanged; their line ends should be CRLF. The file is opened when the content
    /// is read. Until then it takes neither memory nor a file descriptor, and counts against no budget. Reading fails if the file is
    /// gone or has become too short by then.
    ///
    /// ```
    /// use pillarbox::Envelope;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// let file = folder.path().join("message");
    /// std::fs::write(&file, "alice@example.org\nSubject: hello\r\n\r\nHello!\r\n")?;
    ///
    /// let length = std::fs::metadata(&file)?.len();
    /// let mail = Envelope::builder().recipient("alice@example.org").build()?.with_content_in(&file, 18..length);
    /// assert_eq!(mail.bytes()?, &b"Subject: hello\r\n\r\nHello!\r\n"[..]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_content_in(mut self, file: impl Into<PathBuf>, range: Range<u64>) -> Envelope {
        self.content = Content::in_file(file.into(), range);
        self
    }

    /// As [`with_content`](Envelope::with_content), for content that is made from the old one while that is read: a filter
    /// needs neither of them in memory.
    ///
    /// # Errors
    /// Those of `change`, and those of [`with_content`](Envelope::with_content). The old content is then still there.
    ///
    /// ```
    /// use std::io::{BufRead, Write};
    ///
    /// # use pillarbox::Envelope;
    /// # fn handle(mail: &mut Envelope) -> std::io::Result<()> {
    /// mail.rewrite(|from, to| {
    ///     for line in from.split(b'\n') {
    ///         let line = line?;
    ///         if !line.starts_with(b"X-Spam") {
    ///             to.write_all(&line)?;
    ///             to.write_all(b"\n")?;
    ///         }
    ///     }
    ///     Ok(())
    /// })?;
    /// # Ok(())
    /// # }
    /// # let mut mail = Envelope::builder().recipient("b@c.example").content("X-Spam: no\r\nSubject: x\r\n").build()?;
    /// # handle(&mut mail)?;
    /// # assert_eq!(mail.bytes()?, &b"Subject: x\r\n"[..]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rewrite(
        &mut self,
        change: impl FnOnce(ContentReader<'_>, &mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let binary = self.parameters.body() == Some(Body::BinaryMime);
        self.content = self.content.rewritten(binary, change)?;
        Ok(())
    }

    /// The same message for these recipients, of whom some or all may be others than it came for; `None` without any. The
    /// content is not copied: it is there until the last envelope is dropped. [`values`](Envelope::values) stay with this
    /// envelope.
    ///
    /// This is how a handler gives one message to several others:
    ///
    /// ```
    /// use pillarbox::{Envelope, Recipient};
    ///
    /// # fn handle(mut mail: Envelope) {
    /// let (local, remote): (Vec<Recipient>, Vec<Recipient>) =
    ///     mail.recipients().iter().cloned().partition(|to| to.domain() == Some("example.org"));
    /// let local: Option<Envelope> = mail.for_recipients(local);
    /// let remote: Option<Envelope> = mail.for_recipients(remote);
    /// # assert!(remote.is_none());
    /// # assert_eq!(local.unwrap().bytes().unwrap(), mail.bytes().unwrap());
    /// # }
    /// # handle(Envelope::builder().recipient("b@example.org").content("Subject: x\n\nhello\n").build()?);
    /// # Ok::<(), pillarbox::EnvelopeError>(())
    /// ```
    pub fn for_recipients(&mut self, recipients: impl Into<Vec<Recipient>>) -> Option<Envelope> {
        let recipients: Vec<Recipient> = recipients.into();
        if recipients.is_empty() {
            return None;
        }
        Some(Envelope {
            id: self.id,
            peer: self.peer.clone(),
            local: self.local.clone(),
            hostname: self.hostname.clone(),
            helo: self.helo.clone(),
            protocol: self.protocol,
            tls: self.tls.clone(),
            identity: self.identity.clone(),
            xforward: self.xforward.clone(),
            reverse_path: self.reverse_path.clone(),
            parameters: self.parameters.clone(),
            recipients,
            content: self.content.share(),
            received_at: self.received_at,
            values: Values::default(),
            connection_values: Arc::clone(&self.connection_values),
            transcript: self.transcript.clone(),
            reservation: None,
        })
    }
}

impl From<HeaderError> for Reply {
    /// `451 4.3.0`: the fault is the server's own. What the error says is logged.
    fn from(error: HeaderError) -> Reply {
        log::error!("a message is refused for now: {error}");
        Reply::fixed(451, Status::new(4, 3, 0), "Local error in processing")
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;

    use super::*;

    fn envelope(content: &str) -> Envelope {
        Envelope::builder().recipient("b@example.org").content(content).build().unwrap()
    }

    fn text(mail: &Envelope) -> String {
        let text = String::from_utf8(mail.bytes().unwrap().into_owned()).unwrap();
        let (mut whole, mut pieces) = (String::new(), Vec::new());
        mail.content().reader().read_to_string(&mut whole).unwrap();
        let mut reader = mail.content().reader();
        while let Some(octet) = reader.fill_buf().unwrap().first().copied() {
            pieces.push(octet);
            reader.consume(1);
        }
        assert!(whole == text && pieces == text.as_bytes() && mail.content().len() == text.len() as u64);
        text
    }

    #[test]
    fn the_last_header_comes_first() {
        let mut mail = envelope("Subject: x\r\n\r\nbody\r\n");
        mail.prepend_header("A", "1").unwrap();
        mail.prepend_header("B", "2").unwrap();
        assert_eq!(text(&mail), "B: 2\r\nA: 1\r\nSubject: x\r\n\r\nbody\r\n");
        assert_eq!(mail.prepend_header("C", "3\r\nD: 4"), Err(HeaderError::Control));
        assert!(!text(&mail).contains("C:"));
    }

    #[test]
    fn content_cannot_go_on_with_a_header() {
        for blank in [" ", "\t"] {
            let mut mail = envelope(&format!("{blank}and more\r\nSubject: x\r\n"));
            mail.prepend_header("X-Scanned", "yes").unwrap();
            mail.prepend_header("A", "1").unwrap();
            assert_eq!(text(&mail), format!("A: 1\r\nX-Scanned: yes\r\n\r\n{blank}and more\r\nSubject: x\r\n"));
        }
        let mut empty = envelope("");
        empty.prepend_header("A", "1").unwrap();
        assert_eq!(text(&empty), "A: 1\r\n");
    }

    #[test]
    fn utf8_needs_smtputf8() {
        let mut plain = envelope("");
        assert_eq!(plain.prepend_header("X", "gr\u{fc}n"), Err(HeaderError::NotAscii));
        let mut utf8 = Envelope::builder().recipient("gr\u{fc}n@example.org").build().unwrap();
        utf8.prepend_header("X", "gr\u{fc}n").unwrap();
        assert_eq!(text(&utf8), "X: gr\u{fc}n\r\n");
        assert!(utf8.content().is_utf8().unwrap());
    }

    #[test]
    fn a_new_content_takes_the_place_of_all_of_the_old() {
        let mut mail = envelope("Subject: x\r\n");
        mail.prepend_header("A", "1").unwrap();
        let mut mail = mail.with_content(&b"Subject: y\nend\r"[..]).unwrap();
        assert_eq!(text(&mail), "Subject: y\r\nend\r\n");
        let failed = mail.rewrite(|_, to| {
            to.write_all(b"half")?;
            Err(io::Error::other("on purpose"))
        });
        assert!(failed.is_err());
        assert_eq!(text(&mail), "Subject: y\r\nend\r\n");
    }

    #[test]
    fn one_message_for_several() {
        let mut mail = envelope("Subject: x\r\n");
        mail.prepend_header("A", "1").unwrap();
        let mut other = mail.for_recipients(["c@example.org".parse().unwrap()]).unwrap();
        other.prepend_header("B", "2").unwrap();
        assert_eq!(
            (text(&mail), text(&other)),
            ("A: 1\r\nSubject: x\r\n".into(), "B: 2\r\nA: 1\r\nSubject: x\r\n".into())
        );
        assert_eq!(
            (mail.recipients(), other.recipients()),
            (&["b@example.org".parse().unwrap()][..], &["c@example.org".parse().unwrap()][..])
        );
        assert!(other.for_recipients([]).is_none() && other.id() == mail.id());
        drop(mail);
        assert_eq!(text(&other), "B: 2\r\nA: 1\r\nSubject: x\r\n");
    }
}
