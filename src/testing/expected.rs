//! What a test expects of a message, and how it differs.

use std::fmt::{self, Debug, Display, Formatter, Write};
use std::sync::Arc;
use std::time::Duration;

use crate::envelope::{Envelope, Recipient};
use crate::inbox::{Arrived, Inbox, RecvError};
use crate::mime::{Address, Message, Part};
use crate::syntax::address::{ForwardPath, ReversePath};

/// So much of a text is shown at most, in characters.
const SHOWN: usize = 400;

/// What a test expects of a message: build it step by step, then [`assert`](Expected::assert) it or wait for it.
///
/// ```
/// # use std::io::Write;
/// use std::time::Duration;
///
/// use pillarbox::testing::Expected;
///
/// # let inbox = pillarbox::Server::builder().inbox("127.0.0.1:0")?;
/// # let mut client = std::net::TcpStream::connect(inbox.local_addr())?;
/// # client.write_all(b"HELO a\r\nMAIL FROM:<noreply@example.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n\
/// #     Subject: Reset your password\r\n\r\nGo to https://example.org/reset/1\r\n.\r\n")?;
/// let reset = Expected::mail()
///     .from("noreply@example.org")
///     .to(["bob@example.org"])
///     .subject("Reset your password")
///     .text_contains("https://example.org/reset/");
/// let mail = inbox.recv_timeout(Duration::from_secs(5))?;
/// reset.assert(&mail);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// If other messages may come as well, [`Inbox::recv_expected`] waits for this one. All differences are reported at once:
///
/// ```text
/// the message is not what was expected
///   subject
///     expected: "Reset your password"
///          got: "Welcome"
///   text, line 2
///     expected: "Go to https://example.org/reset/1"
///          got: "Go to https://example.com/reset/1"
/// ```
#[derive(Clone, Default)]
#[must_use = "it says what is expected, and does not look yet"]
pub struct Expected {
    expectations: Vec<Expectation>,
}

#[derive(Clone)]
enum Expectation {
    Sender(String),
    Recipients(Vec<String>),
    Recipient(String),
    Author(String),
    HeaderTo(Vec<String>),
    Subject(String),
    SubjectContains(String),
    Header(String, String),
    HeaderContains(String, String),
    NoHeader(String),
    Text(String),
    TextContains(String),
    HtmlContains(String),
    Lacks(String),
    Attachment(String, Option<Vec<u8>>),
    Attachments(Vec<String>),
    NoAttachments,
    Satisfies(String, Predicate),
}

type Predicate = Arc<dyn Fn(&Message) -> bool + Send + Sync>;

impl Expected {
    /// Any message.
    pub fn mail() -> Expected {
        Expected::default()
    }

    fn and(mut self, expectation: Expectation) -> Expected {
        self.expectations.push(expectation);
        self
    }

    /// The envelope's sender ([`Envelope::mail_from`]); empty for the null reverse-path of bounces.
    pub fn from(self, sender: impl Into<String>) -> Expected {
        self.and(Expectation::Sender(sender.into()))
    }

    /// The envelope's recipients ([`Envelope::recipients`]): exactly these, in any order.
    pub fn to<R: Into<String>>(self, recipients: impl IntoIterator<Item = R>) -> Expected {
        self.and(Expectation::Recipients(recipients.into_iter().map(Into::into).collect()))
    }

    /// One of the envelope's recipients; there may be others.
    pub fn to_among_others(self, recipient: impl Into<String>) -> Expected {
        self.and(Expectation::Recipient(recipient.into()))
    }

    /// An address in the header `From`.
    pub fn header_from(self, address: impl Into<String>) -> Expected {
        self.and(Expectation::Author(address.into()))
    }

    /// The addresses in the header `To`: exactly these, in any order.
    pub fn header_to<A: Into<String>>(self, addresses: impl IntoIterator<Item = A>) -> Expected {
        self.and(Expectation::HeaderTo(addresses.into_iter().map(Into::into).collect()))
    }

    /// The whole subject, decoded.
    pub fn subject(self, subject: impl Into<String>) -> Expected {
        self.and(Expectation::Subject(subject.into()))
    }

    /// A part of the subject.
    pub fn subject_contains(self, text: impl Into<String>) -> Expected {
        self.and(Expectation::SubjectContains(text.into()))
    }

    /// The first header of this name, decoded.
    pub fn header(self, name: impl Into<String>, value: impl Into<String>) -> Expected {
        self.and(Expectation::Header(name.into(), value.into()))
    }

    /// A part of the first header of this name, decoded.
    pub fn header_contains(self, name: impl Into<String>, part: impl Into<String>) -> Expected {
        self.and(Expectation::HeaderContains(name.into(), part.into()))
    }

    /// No header of this name, for example `Bcc`.
    pub fn no_header(self, name: impl Into<String>) -> Expected {
        self.and(Expectation::NoHeader(name.into()))
    }

    /// The whole text, except for white space at its end.
    pub fn text(self, text: impl Into<String>) -> Expected {
        self.and(Expectation::Text(text.into()))
    }

    /// A part of the text.
    pub fn text_contains(self, text: impl Into<String>) -> Expected {
        self.and(Expectation::TextContains(text.into()))
    }

    /// A part of the HTML source.
    pub fn html_contains(self, html: impl Into<String>) -> Expected {
        self.and(Expectation::HtmlContains(html.into()))
    }

    /// A text that must not occur in subject, text or HTML, for example a password or another customer's name.
    pub fn nowhere(self, text: impl Into<String>) -> Expected {
        self.and(Expectation::Lacks(text.into()))
    }

    /// An attachment of this name.
    pub fn attachment(self, name: impl Into<String>) -> Expected {
        self.and(Expectation::Attachment(name.into(), None))
    }

    /// An attachment of this name with these octets.
    pub fn attachment_with(self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Expected {
        self.and(Expectation::Attachment(name.into(), Some(bytes.into())))
    }

    /// Exactly the attachments of these names, in any order. One without a name, such as an inline picture, counts as
    /// `(no name)`.
    pub fn attachments<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Expected {
        self.and(Expectation::Attachments(names.into_iter().map(Into::into).collect()))
    }

    /// No attachment at all.
    pub fn no_attachments(self) -> Expected {
        self.and(Expectation::NoAttachments)
    }

    /// Any other condition, for example a regular expression; `what` describes it in the report if it does not hold.
    ///
    /// ```
    /// use pillarbox::testing::Expected;
    ///
    /// let expected = Expected::mail().satisfies("exactly one link", |mail| mail.links().len() == 1);
    /// ```
    pub fn satisfies(
        self,
        what: impl Into<String>,
        predicate: impl Fn(&Message) -> bool + Send + Sync + 'static,
    ) -> Expected {
        self.and(Expectation::Satisfies(what.into(), Arc::new(predicate)))
    }

    /// Compares a message.
    ///
    /// # Errors
    /// [`Mismatch`], with all that is not as expected; also if it cannot be read from disk.
    pub fn check(&self, mail: &Envelope) -> Result<(), Mismatch> {
        let mut differences: Vec<Difference> =
            self.expectations.iter().filter_map(|expectation| expectation.difference_of_envelope(mail)).collect();
        if self.expectations.iter().any(Expectation::is_of_content) {
            match mail.parsed() {
                Ok(message) => differences
                    .extend(self.expectations.iter().filter_map(|expectation| expectation.difference(&message))),
                Err(e) => differences.push(Difference::new("message", "one that can be read", &e.to_string())),
            }
        }
        if differences.is_empty() { Ok(()) } else { Err(Mismatch { differences }) }
    }

    /// Panics unless a message is as expected.
    ///
    /// # Panics
    /// With all differences.
    #[track_caller]
    pub fn assert(&self, mail: &Envelope) {
        if let Err(mismatch) = self.check(mail) {
            panic!("{mismatch}");
        }
    }
}

impl<M: AsRef<Envelope>> Inbox<M> {
    /// Takes the oldest message that is as expected. Waits up to `timeout` for one if there is none. The others stay, in their
    /// order.
    ///
    /// ```
    /// # use std::io::Write;
    /// # use std::time::Duration;
    /// # use pillarbox::testing::Expected;
    /// # let inbox = pillarbox::Server::builder().inbox("127.0.0.1:0")?;
    /// # let mut client = std::net::TcpStream::connect(inbox.local_addr())?;
    /// # client.write_all(b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nSubject: Welcome\r\n\r\n.\r\n")?;
    /// inbox.recv_expected(&Expected::mail().to(["bob@example.org"]).subject("Welcome"), Duration::from_secs(5))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`recv_matching`](Inbox::recv_matching); they also show how the closest message differs.
    pub fn recv_expected(&self, expected: &Expected, timeout: Duration) -> Result<M, RecvError> {
        let mut nearest: Option<(usize, String)> = None;
        let is_expected = |mail: &Envelope| {
            let Err(Mismatch { differences }) = expected.check(mail) else { return true };
            if nearest.as_ref().is_none_or(|(fewest, _)| differences.len() < *fewest) {
                let mut text = format!("nearest comes the one {}", Arrived::of(mail));
                differences.iter().for_each(|difference| text += &difference.to_string());
                nearest = Some((differences.len(), text));
            }
            false
        };
        let received = self.recv_matching(is_expected, timeout);
        received.map_err(|mut e| {
            if let (RecvError::Timeout(_, report) | RecvError::Closed(report), Some((_, text))) = (&mut e, nearest) {
                report.set_nearest(text);
            }
            e
        })
    }
}

impl Debug for Expected {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expected").field("expectations", &self.expectations.len()).finish()
    }
}

impl Expectation {
    /// Whether it asks for more than the envelope, which is there whatever the message looks like.
    fn is_of_content(&self) -> bool {
        !matches!(self, Expectation::Sender(_) | Expectation::Recipients(_) | Expectation::Recipient(_))
    }

    fn difference_of_envelope(&self, mail: &Envelope) -> Option<Difference> {
        let got = || mail.recipients().iter().map(Recipient::to_string).collect();
        match self {
            Expectation::Sender(sender) if *mail.mail_from() != *sender => {
                Some(Difference::new("sender", sender, &mail.mail_from().to_string()))
            }
            Expectation::Recipients(recipients) => {
                Difference::unless_same("recipients", recipients, got(), |expected, got| {
                    got.parse::<ForwardPath>().is_ok_and(|got| got == *expected)
                })
            }
            Expectation::Recipient(recipient) if !mail.recipients().iter().any(|one| one == recipient) => {
                Some(Difference::new("recipients, among them", recipient, &got().join(", ")))
            }
            _ => None,
        }
    }

    fn difference(&self, message: &Message) -> Option<Difference> {
        match self {
            Expectation::Sender(_) | Expectation::Recipients(_) | Expectation::Recipient(_) => None,
            Expectation::Author(address) => author(message, address),
            Expectation::HeaderTo(addresses) => header_to(message, addresses),
            Expectation::Subject(expected) => Difference::unless_equal("subject", expected, message.subject()),
            Expectation::SubjectContains(part) => Difference::unless_in("subject", part, message.subject()),
            Expectation::Header(name, value) => {
                Difference::unless_equal(&format!("header {name}"), value, message.header(name))
            }
            Expectation::HeaderContains(name, part) => {
                Difference::unless_in(&format!("header {name}"), part, message.header(name))
            }
            Expectation::NoHeader(name) => no_header(message, name),
            Expectation::Text(text) => match message.text() {
                Some(got) => first_line(text.trim_end(), got.trim_end()),
                None => Some(Difference::missing("text", text)),
            },
            Expectation::TextContains(part) => Difference::unless_in("text", part, message.text()),
            Expectation::HtmlContains(part) => Difference::unless_in("HTML", part, message.html()),
            Expectation::Lacks(text) => nowhere(message, text),
            Expectation::Attachment(name, None) => named(message, name).err(),
            Expectation::Attachment(name, Some(bytes)) => attachment(message, name, bytes),
            Expectation::Attachments(names) => attachments(message, names),
            Expectation::NoAttachments => no_attachments(message),
            Expectation::Satisfies(what, predicate) => {
                (!predicate(message)).then(|| Difference::new("message", what, "one of which that is not true"))
            }
        }
    }
}

fn author(message: &Message, address: &str) -> Option<Difference> {
    let is_there = message.from().iter().any(|one| one == address);
    let got = || message.from().iter().map(Address::to_string).collect::<Vec<_>>().join(", ");
    (!is_there).then(|| Difference::new("header From", address, &got()))
}

fn header_to(message: &Message, addresses: &[String]) -> Option<Difference> {
    let got = message.to().iter().map(|one| one.address().to_owned()).collect();
    Difference::unless_same("header To", addresses, got, |expected, got| {
        got.parse::<ReversePath>().map_or(got == expected, |got| got == *expected)
    })
}

fn no_header(message: &Message, name: &str) -> Option<Difference> {
    let got = message.header(name)?.to_owned();
    Some(Difference { what: format!("header {name}"), expected: None, got: Some(got) })
}

fn nowhere(message: &Message, text: &str) -> Option<Difference> {
    let places = [("subject", message.subject()), ("text", message.text()), ("HTML", message.html())];
    let (place, there) = places.into_iter().find(|(_, there)| there.is_some_and(|there| there.contains(text)))?;
    Some(Difference::new(&format!("{place}, nowhere"), text, there.unwrap_or_default()))
}

/// The attachments of this name, of which there is one at least.
fn named<'a>(message: &'a Message, name: &str) -> Result<Vec<&'a Part>, Difference> {
    let named: Vec<_> = message.attachments().iter().filter(|one| one.name() == Some(name)).collect();
    if named.is_empty() {
        return Err(Difference::new("attachments, among them", name, &attachment_names(message).join(", ")));
    }
    Ok(named)
}

fn attachment(message: &Message, name: &str, bytes: &[u8]) -> Option<Difference> {
    let named = match named(message, name) {
        Ok(named) => named,
        Err(difference) => return Some(difference),
    };
    let what = format!("attachment {name}");
    let mut first = None;
    for one in named {
        match one.bytes() {
            Ok(octets) if octets == bytes => return None,
            Ok(octets) => first = first.or(Some(octets)),
            Err(e) => return Some(Difference::new(&what, "one that can be read", &e.to_string())),
        }
    }
    let show = |bytes: &[u8]| format!("{} octets: {}", bytes.len(), String::from_utf8_lossy(bytes));
    Some(Difference::new(&what, &show(bytes), &show(&first.unwrap_or_default())))
}

fn attachments(message: &Message, names: &[String]) -> Option<Difference> {
    let got = attachment_names(message).into_iter().map(str::to_owned).collect();
    Difference::unless_same("attachments", names, got, |expected, got| expected == got)
}

fn no_attachments(message: &Message) -> Option<Difference> {
    let names = attachment_names(message);
    let first = names.first()?;
    Some(Difference::new("attachments", "none", &format!("{}, {first} first", names.len())))
}

fn attachment_names(message: &Message) -> Vec<&str> {
    message.attachments().iter().map(|one| one.name().unwrap_or("(no name)")).collect()
}

/// The first line in which two texts differ.
fn first_line(expected: &str, got: &str) -> Option<Difference> {
    let (mut expected, mut got) = (expected.lines(), got.lines());
    let mut number = 0;
    loop {
        number += 1;
        match (expected.next(), got.next()) {
            (None, None) => return None,
            (expected, got) if expected == got => {}
            (expected, got) => {
                let own = |line: Option<&str>| line.map(str::to_owned);
                return Some(Difference {
                    what: format!("text, line {number}"),
                    expected: own(expected),
                    got: own(got),
                });
            }
        }
    }
}

/// How a message differs from what was [`Expected`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    differences: Vec<Difference>,
}

/// `None` is nothing at all.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Difference {
    what: String,
    expected: Option<String>,
    got: Option<String>,
}

impl Difference {
    fn new(what: &str, expected: &str, got: &str) -> Difference {
        Difference { what: what.to_owned(), expected: Some(expected.to_owned()), got: Some(got.to_owned()) }
    }

    fn missing(what: &str, expected: &str) -> Difference {
        Difference { what: what.to_owned(), expected: Some(expected.to_owned()), got: None }
    }

    fn unless_equal(what: &str, expected: &str, got: Option<&str>) -> Option<Difference> {
        match got {
            Some(got) => (expected != got).then(|| Difference::new(what, expected, got)),
            None => Some(Difference::missing(what, expected)),
        }
    }

    /// Unless each that is expected is there, and nothing else, in any order.
    fn unless_same(
        what: &str,
        expected: &[String],
        got: Vec<String>,
        is_same: impl Fn(&str, &str) -> bool,
    ) -> Option<Difference> {
        let mut surplus: Vec<&String> = got.iter().collect();
        let all_there = expected.iter().all(|wanted| {
            let at = surplus.iter().position(|one| is_same(wanted, one));
            at.map(|at| surplus.remove(at)).is_some()
        });
        let sorted = |list: &[String]| {
            let mut list = list.to_vec();
            list.sort_unstable();
            (!list.is_empty()).then(|| list.join(", "))
        };
        (!all_there || !surplus.is_empty()).then(|| Difference {
            what: what.to_owned(),
            expected: sorted(expected),
            got: sorted(&got),
        })
    }

    fn unless_in(what: &str, part: &str, got: Option<&str>) -> Option<Difference> {
        let what = format!("{what}, somewhere");
        match got {
            Some(got) => (!got.contains(part)).then(|| Difference::new(&what, part, got)),
            None => Some(Difference::missing(&what, part)),
        }
    }
}

impl Display for Mismatch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("the message is not what was expected")?;
        self.differences.iter().try_for_each(|difference| Display::fmt(difference, f))
    }
}

impl Display for Difference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "\n  {}\n    expected: ", self.what)?;
        show(f, self.expected.as_deref())?;
        f.write_str("\n         got: ")?;
        show(f, self.got.as_deref())
    }
}

impl std::error::Error for Mismatch {}

/// In quotes; each line of a longer text on one of its own, and no control characters.
fn show(f: &mut Formatter<'_>, text: Option<&str>) -> fmt::Result {
    let Some(text) = text else { return f.write_str("nothing") };
    f.write_char('"')?;
    let mut is_cut = false;
    for (at, c) in text.chars().enumerate() {
        is_cut = at == SHOWN;
        match c {
            _ if is_cut => break,
            '\n' => f.write_str("\\n\n               ")?,
            // Joiners are part of writing.
            '\'' | '\u{200c}' | '\u{200d}' => f.write_char(c)?,
            c => write!(f, "{}", c.escape_debug())?,
        }
    }
    f.write_char('"')?;
    if is_cut { f.write_str(" and more") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(difference: Difference) -> String {
        Mismatch { differences: vec![difference] }.to_string()
    }

    #[test]
    fn what_is_shown_is_short_and_has_no_control_characters() {
        let long = shown(Difference::new("text", &"x".repeat(1000), "a\x1b[2Jb\nc"));
        assert!(long.contains(&format!("{}\" and more", "x".repeat(SHOWN))), "{long}");
        assert!(!long.contains(&"x".repeat(SHOWN + 1)));
        assert!(long.contains("got: \"a\\u{1b}[2Jb\\n\n               c\""), "{long}");
        assert!(!shown(Difference::new("text", &"x".repeat(SHOWN), "")).contains("and more"));
    }

    #[test]
    fn the_first_line_that_differs() {
        assert_eq!(first_line("a\nb", "a\nb"), None);
        assert_eq!(first_line("a\nb", "a\nc"), Some(Difference::new("text, line 2", "b", "c")));
        assert_eq!(first_line("a\nb", "a"), Some(Difference::missing("text, line 2", "b")));
        let more = shown(first_line("a", "a\nb").unwrap());
        assert!(more.ends_with("text, line 2\n    expected: nothing\n         got: \"b\""), "{more}");
    }
}
