//! The state of a session and of its mail transaction: which command is allowed when, and what it does.
//!
//! Nothing here reads, writes or waits. A command is first checked, which gives what it would add or the reply that
//! refuses it, and then applied: between the two the program's own hook may still refuse.

use std::sync::Arc;

use crate::config::Config;
use crate::content::store::{ContentStore, EnvelopeReservation};
use crate::envelope::{Envelope, Recipient};
use crate::session::extension::{self, Facts};
use crate::syntax::address::{ForwardPath, ReversePath};
use crate::syntax::heap::allocation;
use crate::syntax::parameter::{Body, MailParameters, Offered, RcptParameters};
use crate::syntax::reply::{Reply, Status};
use crate::syntax::xforward::Xforward;

const BAD_SEQUENCE: Status = Status::new(5, 5, 1);
const NO_GREETING: Reply = Reply::fixed(503, BAD_SEQUENCE, "Send HELO or EHLO first");
const NO_LMTP_GREETING: Reply = Reply::fixed(503, BAD_SEQUENCE, "Send LHLO first");
const NESTED_MAIL: Reply = Reply::fixed(503, BAD_SEQUENCE, "Transaction already begun");
const NO_MAIL: Reply = Reply::fixed(503, BAD_SEQUENCE, "Send MAIL first");
const BINARY_NEEDS_CHUNKS: Reply = Reply::fixed(503, BAD_SEQUENCE, "BINARYMIME needs BDAT");
const NO_RCPT: Reply = Reply::fixed(503, BAD_SEQUENCE, "No valid recipients");
/// Known from SIZE at MAIL, or at the end of the content.
pub(crate) const TOO_BIG: Reply = Reply::fixed(552, Status::new(5, 3, 4), "Message exceeds the size limit");
const NEEDS_SMTPUTF8: Reply = Reply::fixed(553, Status::new(5, 6, 7), "Address needs SMTPUTF8");
/// A refusal of a recipient that is not the client's error.
pub(crate) const TOO_MANY_RECIPIENTS: Reply = Reply::fixed(452, Status::new(4, 5, 3), "Too many recipients");
/// The other one.
pub(crate) const NO_ROOM_FOR_RECIPIENT: Reply =
    Reply::fixed(452, Status::new(4, 3, 1), "No memory for more recipients, try again later");

/// Who the client says it is.
#[derive(Clone, Debug)]
pub(crate) struct Greeting {
    pub name: Arc<str>,
    /// Whether it said EHLO.
    pub extended: bool,
}

/// A transaction between MAIL and the end of its content.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub reverse_path: ReversePath,
    pub parameters: MailParameters,
    pub recipients: Vec<Recipient>,
    /// In octets, what it takes in memory beside the room that the list of recipients has in itself.
    octets: u64,
    /// The same with the recipient for whom memory was reserved last, and who may have been refused since.
    with_next: u64,
    reservation: Option<EnvelopeReservation>,
}

impl Transaction {
    fn new(reverse_path: ReversePath, parameters: MailParameters) -> Transaction {
        let path = reverse_path.mailbox().map_or(0, |mailbox| allocation(mailbox.as_str().len()));
        // It becomes an envelope, which is counted from now on: so it need not be at the end.
        let octets = allocation(size_of::<Envelope>()) + path + parameters.heap_octets();
        Transaction { reverse_path, parameters, recipients: Vec::new(), octets, with_next: octets, reservation: None }
    }

    /// Reserves the memory of one more recipient; false if there is none.
    fn reserve(&mut self, store: &Arc<ContentStore>, recipient: &Recipient) -> bool {
        let list = allocation(self.room_for_next() * size_of::<Recipient>());
        self.with_next = self.octets + recipient.heap_octets();
        self.reservation.get_or_insert_with(|| EnvelopeReservation::of(store)).grow(self.with_next + list)
    }

    /// For how many recipients there is room once another has come.
    fn room_for_next(&self) -> usize {
        match self.recipients.capacity() {
            room if self.recipients.len() < room => room,
            // Most messages have just one.
            0 => 1,
            room => room.saturating_mul(2).max(4),
        }
    }

    /// Adds the recipient for whom memory was reserved last.
    fn add(&mut self, recipient: Recipient) {
        if self.recipients.len() == self.recipients.capacity() {
            self.recipients.reserve_exact(self.room_for_next() - self.recipients.len());
        }
        self.octets = self.with_next;
        self.recipients.push(recipient);
    }

    /// The reservation, made to fit, with so many octets that have come on top. Those are not refused: the message is here.
    pub fn take_reservation(&mut self, beside: u64) -> Option<EnvelopeReservation> {
        let mut reservation = self.reservation.take()?;
        let list = allocation(self.recipients.capacity() * size_of::<Recipient>());
        reservation.set(self.octets + list + beside);
        Some(reservation)
    }
}

/// What a session has learnt from its commands.
#[derive(Default, Debug)]
pub(crate) struct SessionState {
    pub greeting: Option<Greeting>,
    pub transaction: Option<Transaction>,
    /// Where the next message came from, or that of the transaction, as the client says: no other's.
    pub xforward: Option<Box<Xforward>>,
}

impl SessionState {
    /// HELO and EHLO: also the end of any transaction (RFC 5321 section 4.1.4).
    pub fn greet(&mut self, name: &str, extended: bool) {
        self.reset();
        // Clients that repeat themselves repeat the name too.
        let name = match self.greeting.take() {
            Some(before) if *before.name == *name => before.name,
            _ => Arc::from(name),
        };
        self.greeting = Some(Greeting { name, extended });
    }

    /// Whether MAIL is allowed, and its parameters are good: RFC 5321 section 4.1.1.2, RFC 1870 section 6, RFC 6531
    /// section 3.
    pub fn check_mail(
        &self,
        config: &Config,
        facts: Facts,
        path: &ReversePath,
        parameters: &[u8],
    ) -> Result<MailParameters, Reply> {
        let no_greeting = if config.lmtp { NO_LMTP_GREETING } else { NO_GREETING };
        let greeting = self.greeting.as_ref().ok_or(no_greeting)?;
        if self.transaction.is_some() {
            return Err(NESTED_MAIL);
        }
        let offered = if greeting.extended { extension::offered(config, facts) } else { Offered::default() };
        let parameters = MailParameters::parse(parameters, offered)?;
        let ascii = path.mailbox().is_none_or(|mailbox| mailbox.is_ascii());
        if !ascii && !parameters.smtputf8() {
            return Err(NEEDS_SMTPUTF8);
        }
        if parameters.size().is_some_and(|size| config.is_too_big(size)) {
            return Err(TOO_BIG);
        }
        Ok(parameters)
    }

    /// MAIL is accepted.
    pub fn begin(&mut self, reverse_path: ReversePath, parameters: MailParameters) {
        self.transaction = Some(Transaction::new(reverse_path, parameters));
    }

    /// Whether RCPT is allowed, and its parameters are good: RFC 5321 section 4.1.1.3.
    pub fn check_rcpt(
        &self,
        config: &Config,
        facts: Facts,
        path: ForwardPath,
        parameters: &[u8],
    ) -> Result<Recipient, Reply> {
        let transaction = self.transaction.as_ref().ok_or(NO_MAIL)?;
        let extended = self.greeting.as_ref().is_some_and(|greeting| greeting.extended);
        let offered = if extended { extension::offered(config, facts) } else { Offered::default() };
        let parameters = RcptParameters::parse(parameters, offered, transaction.parameters.smtputf8())?;
        if !path.is_ascii() && !transaction.parameters.smtputf8() {
            return Err(NEEDS_SMTPUTF8);
        }
        if transaction.recipients.len() >= config.max_recipients {
            return Err(TOO_MANY_RECIPIENTS);
        }
        Ok(Recipient::new(path, parameters))
    }

    /// Reserves the memory that a recipient takes, which was checked and may be added: before a hook is asked, since one that
    /// has accepted a recipient is not to be refused it.
    pub fn reserve(&mut self, store: &Arc<ContentStore>, recipient: &Recipient) -> Result<(), Reply> {
        let transaction = self.transaction.as_mut().ok_or(NO_MAIL)?;
        if transaction.reserve(store, recipient) { Ok(()) } else { Err(NO_ROOM_FOR_RECIPIENT) }
    }

    /// RCPT is accepted, of the recipient for whom memory was reserved last.
    pub fn add(&mut self, recipient: Recipient) {
        if let Some(transaction) = &mut self.transaction {
            transaction.add(recipient);
        }
    }

    /// Whether DATA is allowed, or in `chunks` BDAT: RFC 5321 section 4.1.1.4, RFC 3030 section 2.
    pub fn check_data(&self, chunks: bool) -> Result<(), Reply> {
        match &self.transaction {
            None => Err(NO_MAIL),
            Some(transaction) if transaction.recipients.is_empty() => Err(NO_RCPT),
            // RFC 3030 section 3: without lines there is no line to end it.
            Some(transaction) if transaction.parameters.body() == Some(Body::BinaryMime) && !chunks => {
                Err(BINARY_NEEDS_CHUNKS)
            }
            Some(_) => Ok(()),
        }
    }

    /// RSET, and the end of a transaction either way.
    pub fn reset(&mut self) {
        self.transaction = None;
        self.xforward = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(state: &SessionState, path: &str, parameters: &str) -> Result<MailParameters, u16> {
        let config = Config { data_size_limit: 1000, smtputf8: true, ..Config::default() };
        state.check_mail(&config, Facts::default(), &path.parse().unwrap(), parameters.as_bytes()).map_err(|r| r.code())
    }

    fn rcpt(state: &SessionState, path: &str) -> Result<Recipient, u16> {
        let config = Config { max_recipients: 2, ..Config::default() };
        state.check_rcpt(&config, Facts::default(), path.parse().unwrap(), b"").map_err(|r| r.code())
    }

    #[test]
    fn order() {
        let mut state = SessionState::default();
        assert_eq!(mail(&state, "<a@b.example>", ""), Err(503));
        state.greet("c.example", true);
        assert_eq!(rcpt(&state, "a@b.example").unwrap_err(), 503);
        assert_eq!(state.check_data(false).map_err(|r| r.code()), Err(503));
        state.begin(ReversePath::Null, mail(&state, "<>", "").unwrap());
        assert_eq!(mail(&state, "<>", ""), Err(503));
        assert_eq!(state.check_data(false).map_err(|r| r.code()), Err(503));
        state.add(rcpt(&state, "a@b.example").unwrap());
        assert_eq!(state.check_data(false), Ok(()));
        state.add(rcpt(&state, "a@b.example").unwrap());
        assert_eq!(rcpt(&state, "a@b.example").unwrap_err(), 452);
        state.reset();
        assert!(state.greeting.is_some() && mail(&state, "<>", "").is_ok());
        state.begin(ReversePath::Null, MailParameters::default());
        state.greet("c.example", false);
        assert!(state.transaction.is_none());
    }

    #[test]
    fn recipients_are_counted_and_given_back() {
        let store = ContentStore::new(&Config { memory_budget: 4 * 1024 * 1024, ..Config::default() });
        let mut state = SessionState::default();
        state.greet("c.example", true);
        let config = Config { max_recipients: usize::MAX, ..Config::default() };
        let orcpt = format!(" ORCPT=rfc822;{} NOTIFY=SUCCESS", "x".repeat(480));
        let recipient = |state: &SessionState| {
            let path = "recipient@b.example".parse().unwrap();
            state.check_rcpt(&config, Facts::default(), path, orcpt.as_bytes()).unwrap()
        };
        state.begin(ReversePath::Null, MailParameters::default());
        let mut taken = 0;
        let refusal = loop {
            let recipient = recipient(&state);
            match state.reserve(&store, &recipient) {
                Ok(()) => state.add(recipient),
                Err(refusal) => break refusal,
            }
            taken += 1;
            assert!(taken < 10_000);
        };
        // A quarter of the budget; each is a little over 1,000 octets.
        assert_eq!(refusal, NO_ROOM_FOR_RECIPIENT);
        assert!((600..1000).contains(&taken), "{taken}");
        assert!(store.in_memory() <= 1024 * 1024);
        let transaction = state.transaction.as_mut().unwrap();
        let reservation = transaction.take_reservation(5).unwrap();
        let list = transaction.recipients.capacity() * size_of::<Recipient>();
        let heap: u64 = transaction.recipients.iter().map(Recipient::heap_octets).sum();
        let whole = allocation(size_of::<Envelope>()) + heap + allocation(list) + 5;
        assert_eq!(store.in_memory(), whole);
        state.reset();
        assert_eq!(store.in_memory(), whole);
        drop(reservation);
        assert_eq!(store.in_memory(), 0);
        state.begin(ReversePath::Null, MailParameters::default());
        let again = recipient(&state);
        state.reserve(&store, &again).unwrap();
        assert!(store.in_memory() > 1000);
        state.greet("c.example", true);
        assert_eq!(store.in_memory(), 0);
    }

    #[test]
    fn parameters_need_ehlo_and_sizes_a_limit() {
        let mut state = SessionState::default();
        state.greet("c.example", false);
        assert_eq!(mail(&state, "<>", " SIZE=1"), Err(555));
        state.greet("c.example", true);
        assert!(mail(&state, "<>", " SIZE=1000").is_ok());
        assert_eq!(mail(&state, "<>", " SIZE=1001"), Err(552));
        assert_eq!(mail(&state, "<>", " SIZE=99999999999999999999"), Err(552));
    }

    #[test]
    fn utf8_addresses_need_smtputf8() {
        let mut state = SessionState::default();
        state.greet("c.example", true);
        assert_eq!(mail(&state, "<\u{fc}@b.example>", ""), Err(553));
        let parameters = mail(&state, "<\u{fc}@b.example>", " SMTPUTF8").unwrap();
        state.begin(ReversePath::Null, MailParameters::default());
        assert_eq!(rcpt(&state, "\u{fc}@b.example").unwrap_err(), 553);
        state.reset();
        state.begin(ReversePath::Null, parameters);
        assert!(rcpt(&state, "\u{fc}@b.example").is_ok());
    }
}
