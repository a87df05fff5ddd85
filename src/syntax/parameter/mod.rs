//! The parameters of MAIL and RCPT: RFC 5321 section 4.1.2 (`esmtp-param`), and what each extension's own RFC says of its
//! keyword.

mod dsn;
mod extension;
mod schedule;

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::syntax::heap::allocation;
use crate::syntax::number;
use crate::syntax::reply::{Reply, Status};
use crate::syntax::xtext;

use extension::{Of, is_keyword};

pub use dsn::{Notify, OriginalRecipient, Ret};
pub use extension::Extension;
pub(crate) use extension::Extensions;
pub use schedule::{DeliverBy, DeliverByMode, Hold};

/// How the client declared its content: the BODY parameter of RFC 6152 and RFC 3030.
///
/// It is only a declaration. Content without it may contain octets over 127 all the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Body {
    /// `BODY=7BIT`
    SevenBit,
    /// `BODY=8BITMIME`
    EightBitMime,
    /// `BODY=BINARYMIME`: octets without lines, which only BDAT can transfer.
    BinaryMime,
}

impl Display for Body {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Body::SevenBit => "7BIT",
            Body::EightBitMime => "8BITMIME",
            Body::BinaryMime => "BINARYMIME",
        })
    }
}

/// Which parameters may be used now; what is not offered is an unknown keyword to the client.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Offered<'a> {
    pub size: bool,
    pub eight_bit_mime: bool,
    pub binary_mime: bool,
    pub smtputf8: bool,
    pub dsn: bool,
    pub auth: bool,
    pub require_tls: bool,
    pub prdr: bool,
    pub mt_priority: bool,
    /// The least time that is promised.
    pub deliver_by: Option<Duration>,
    /// The longest time, and the time it is now.
    pub future_release: Option<(Duration, SystemTime)>,
    /// The program's own.
    pub extensions: Option<&'a Arc<Extensions>>,
    /// Whether a parameter that nobody knows is taken all the same.
    pub ignores_unknown: bool,
}

impl Offered<'_> {
    /// All of them, for what is not a client's command: whatever a server may have offered at that time.
    pub fn everything(at: SystemTime) -> Offered<'static> {
        Offered {
            size: true,
            eight_bit_mime: true,
            binary_mime: true,
            smtputf8: true,
            dsn: true,
            auth: true,
            require_tls: true,
            prdr: true,
            mt_priority: true,
            deliver_by: Some(Duration::ZERO),
            future_release: Some((Duration::MAX, at)),
            // A server's own extensions are not known here: theirs are parameters like those that it ignored.
            extensions: None,
            ignores_unknown: true,
        }
    }
}

/// Who submitted a message, as far as the client trusts that: `AUTH=` (RFC 4954 section 5).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum AuthParameter {
    /// `AUTH=<>`: the client does not know, or does not trust what it was told.
    Unknown,
    /// The identity, decoded; usually a mailbox.
    Identity(String),
}

impl AuthParameter {
    fn parse(value: &str) -> Option<AuthParameter> {
        match value {
            "<>" => Some(AuthParameter::Unknown),
            _ => xtext::decode(value).filter(|text| !text.is_empty()).map(AuthParameter::Identity),
        }
    }
}

/// The parameters of MAIL, typed and as received.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct MailParameters {
    size: Option<u64>,
    body: Option<Body>,
    smtputf8: bool,
    // Most messages have none of these.
    rare: Option<Box<Rare>>,
    options: Options,
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Rare {
    ret: Option<Ret>,
    envid: Option<String>,
    auth: Option<AuthParameter>,
    require_tls: Option<()>,
    prdr: Option<()>,
    priority: Option<i8>,
    deliver_by: Option<DeliverBy>,
    hold: Option<Hold>,
}

impl MailParameters {
    /// Reads the parameters behind a reverse-path.
    pub(crate) fn parse(text: &[u8], offered: Offered<'_>) -> Result<MailParameters, Reply> {
        let mut all = MailParameters::default();
        all.options.reserve(text);
        for parameter in Parameters(text) {
            let Parameter { keyword, value } = parameter?;
            let is = |name: &str| keyword.eq_ignore_ascii_case(name);
            if is("SIZE") && offered.size {
                set_once(&mut all.size, parse_size(value))?;
            } else if is("BODY") && offered.eight_bit_mime {
                set_once(&mut all.body, parse_body(value, offered))?;
            } else if is("SMTPUTF8") && offered.smtputf8 {
                // RFC 6531 section 3.4: it takes no value.
                if value.is_some() || all.smtputf8 {
                    return Err(BAD_VALUE);
                }
                all.smtputf8 = true;
            } else if extension::is_known(keyword) {
                let keeps_case = all.rare.get_or_insert_default().parse(keyword, value, offered)?;
                all.options.push(keyword, value, keeps_case);
                continue;
            } else {
                all.options.push_foreign(Of::Mail, keyword, value, offered)?;
                continue;
            }
            all.options.push(keyword, value, false);
        }
        Ok(all)
    }

    /// What they take in memory beside themselves.
    pub(crate) fn heap_octets(&self) -> u64 {
        let rare = self.rare.as_ref().map_or(0, |rare| allocation(size_of_val(&**rare)) + rare.heap_octets());
        rare + self.options.heap_octets()
    }

    /// The size that the client announced, in octets: `SIZE=` (RFC 1870). It may be wrong.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// The kind of content that the client declared: `BODY=` (RFC 6152, RFC 3030).
    pub fn body(&self) -> Option<Body> {
        self.body
    }

    /// Whether the message may need internationalised handling: `SMTPUTF8` (RFC 6531).
    pub fn smtputf8(&self) -> bool {
        self.smtputf8
    }

    /// How much of the message a notice returns: `RET=` (RFC 3461 section 4.3).
    pub fn ret(&self) -> Option<Ret> {
        self.rare.as_ref()?.ret
    }

    /// The sender's identifier of this message, for notices: `ENVID=` (RFC 3461 section 4.4), decoded.
    pub fn envid(&self) -> Option<&str> {
        self.rare.as_ref()?.envid.as_deref()
    }

    /// Who submitted the message, according to the client: `AUTH=` (RFC 4954 section 5). Trust it as much as the client.
    pub fn auth(&self) -> Option<&AuthParameter> {
        self.rare.as_ref()?.auth.as_ref()
    }

    /// Whether the message may be sent on only over TLS: `REQUIRETLS` (RFC 8689).
    pub fn require_tls(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.require_tls.is_some())
    }

    /// Whether the client wants a reply for each recipient: `PRDR`.
    pub fn prdr(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.prdr.is_some())
    }

    /// How urgent the message is, from -9 to 9: `MT-PRIORITY=` (RFC 6710).
    pub fn priority(&self) -> Option<i8> {
        self.rare.as_ref()?.priority
    }

    /// The deadline for delivery: `BY=` (RFC 2852).
    pub fn deliver_by(&self) -> Option<DeliverBy> {
        self.rare.as_ref()?.deliver_by
    }

    /// How long to hold the message back: `HOLDFOR=` and `HOLDUNTIL=` (RFC 4865).
    pub fn hold(&self) -> Option<Hold> {
        self.rare.as_ref()?.hold
    }

    /// Each parameter as received, in its order: `["BODY=8BITMIME", "SMTPUTF8"]`. It is in upper case, but for values in
    /// which that would change the meaning.
    pub fn options(&self) -> impl Iterator<Item = &str> {
        self.options.iter()
    }

    /// The value of a parameter as in [`options`](MailParameters::options), by its keyword in whichever case: empty if it came
    /// without one, `None` if it did not come. It is the way to the parameters of an [`Extension`] of the program's own.
    pub fn get(&self, keyword: &str) -> Option<&str> {
        self.options.get(keyword)
    }

    /// The parameters of the program's own extensions, each with the keyword of its extension.
    pub(crate) fn own(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options.own(Of::Mail)
    }
}

impl Rare {
    fn heap_octets(&self) -> u64 {
        let auth = match &self.auth {
            Some(AuthParameter::Identity(identity)) => allocation(identity.capacity()),
            Some(AuthParameter::Unknown) | None => 0,
        };
        auth + self.envid.as_ref().map_or(0, |envid| allocation(envid.capacity()))
    }

    /// Takes one parameter; true if its value is not to be put in upper case.
    fn parse(&mut self, keyword: &str, value: Option<&str>, offered: Offered<'_>) -> Result<bool, Reply> {
        let is = |name: &str| keyword.eq_ignore_ascii_case(name);
        let text = value.unwrap_or("");
        if is("RET") && offered.dsn {
            set_once(&mut self.ret, Ret::parse(text))?;
        } else if is("ENVID") && offered.dsn {
            set_once(&mut self.envid, value.and_then(dsn::parse_envid))?;
            return Ok(true);
        } else if is("AUTH") && offered.auth {
            set_once(&mut self.auth, AuthParameter::parse(text))?;
            return Ok(true);
        } else if is("REQUIRETLS") && offered.require_tls {
            set_once(&mut self.require_tls, value.is_none().then_some(()))?;
        } else if is("PRDR") && offered.prdr {
            set_once(&mut self.prdr, value.is_none().then_some(()))?;
        } else if is("MT-PRIORITY") && offered.mt_priority {
            set_once(&mut self.priority, schedule::parse_priority(text))?;
        } else if is("BY")
            && let Some(min) = offered.deliver_by
        {
            set_once(&mut self.deliver_by, DeliverBy::parse(text, min))?;
        } else if is("HOLDFOR")
            && let Some((max, _)) = offered.future_release
        {
            set_once(&mut self.hold, Hold::parse_for(text, max))?;
        } else if is("HOLDUNTIL")
            && let Some((max, now)) = offered.future_release
        {
            set_once(&mut self.hold, Hold::parse_until(text, max, now))?;
        } else {
            return Err(UNKNOWN);
        }
        Ok(false)
    }
}

/// The parameters of RCPT, typed and as received.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct RcptParameters {
    notify: Option<Notify>,
    orcpt: Option<Box<OriginalRecipient>>,
    options: Options,
}

impl RcptParameters {
    /// Reads the parameters behind a forward-path, in a transaction with or without SMTPUTF8.
    pub(crate) fn parse(text: &[u8], offered: Offered<'_>, smtputf8: bool) -> Result<RcptParameters, Reply> {
        let mut all = RcptParameters::default();
        all.options.reserve(text);
        for parameter in Parameters(text) {
            let Parameter { keyword, value } = parameter?;
            let text = value.unwrap_or("");
            if keyword.eq_ignore_ascii_case("NOTIFY") && offered.dsn {
                set_once(&mut all.notify, Notify::parse(text))?;
                all.options.push(keyword, value, false);
            } else if keyword.eq_ignore_ascii_case("ORCPT") && offered.dsn {
                set_once(&mut all.orcpt, OriginalRecipient::parse(text, smtputf8).map(Box::new))?;
                all.options.push(keyword, value, true);
            } else {
                all.options.push_foreign(Of::Rcpt, keyword, value, offered)?;
            }
        }
        Ok(all)
    }

    /// What they take in memory beside themselves.
    pub(crate) fn heap_octets(&self) -> u64 {
        let orcpt = self.orcpt.as_ref().map_or(0, |orcpt| allocation(size_of_val(&**orcpt)) + orcpt.heap_octets());
        orcpt + self.options.heap_octets()
    }

    /// When the sender wants a notice: `NOTIFY=` (RFC 3461 section 4.1).
    pub fn notify(&self) -> Option<Notify> {
        self.notify
    }

    /// The address that the sender wrote to: `ORCPT=` (RFC 3461 section 4.2).
    pub fn orcpt(&self) -> Option<&OriginalRecipient> {
        self.orcpt.as_deref()
    }

    /// Each parameter as received, in its order, with its keyword in upper case.
    pub fn options(&self) -> impl Iterator<Item = &str> {
        self.options.iter()
    }

    /// The value of a parameter, as [`MailParameters::get`].
    pub fn get(&self, keyword: &str) -> Option<&str> {
        self.options.get(keyword)
    }

    /// As [`MailParameters::own`].
    pub(crate) fn own(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options.own(Of::Rcpt)
    }
}

const SYNTAX: Reply = Reply::fixed(501, Status::new(5, 5, 4), "Bad parameter syntax");
const BAD_VALUE: Reply = Reply::fixed(501, Status::new(5, 5, 4), "Bad parameter value");
const UNKNOWN: Reply = Reply::fixed(555, Status::new(5, 5, 4), "Parameter not recognized");

/// The raw parameters, one behind the other with a blank between: a message rarely has any, and then this costs nothing.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Options {
    text: String,
    // Only if one of their parameters is there.
    extensions: Option<Arc<Extensions>>,
}

impl Options {
    /// Makes room for all parameters of a command at once, and for no more: one that grows takes twice what it holds.
    fn reserve(&mut self, command: &[u8]) {
        self.text.reserve_exact(command.trim_ascii().len());
    }

    /// Takes a parameter that this module does not know, if somebody does or it may be ignored.
    fn push_foreign(&mut self, of: Of, keyword: &str, value: Option<&str>, offered: Offered<'_>) -> Result<(), Reply> {
        let own = offered.extensions.and_then(|own| Some((own, own.takes(of, keyword, value)?)));
        match own {
            Some((own, true)) if self.get(keyword).is_none() => self.extensions = Some(own.clone()),
            Some(_) => return Err(BAD_VALUE),
            // A known one that is not offered asks for what would then not be done.
            None if !offered.ignores_unknown || extension::is_known(keyword) => return Err(UNKNOWN),
            // RFC 5321 section 4.1.2, but for a second equals sign.
            None if value.is_some_and(|value| value.is_empty() || !value.bytes().all(|b| b.is_ascii_graphic())) => {
                return Err(BAD_VALUE);
            }
            None => {}
        }
        self.push(keyword, value, true);
        Ok(())
    }

    fn push(&mut self, keyword: &str, value: Option<&str>, keeps_case: bool) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        let start = self.text.len();
        self.text.push_str(keyword);
        let end = self.text.len();
        if let Some(value) = value {
            self.text.push('=');
            self.text.push_str(value);
        }
        let upper = if keeps_case { start..end } else { start..self.text.len() };
        self.text[upper].make_ascii_uppercase();
    }

    fn heap_octets(&self) -> u64 {
        allocation(self.text.capacity())
    }

    fn get(&self, keyword: &str) -> Option<&str> {
        self.iter().find_map(|option| {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            name.eq_ignore_ascii_case(keyword).then_some(value)
        })
    }

    fn own(&self, of: Of) -> impl Iterator<Item = (&str, &str)> {
        let extensions = self.extensions.as_deref();
        extensions.into_iter().flat_map(move |all| {
            let extension = move |option: &str| all.extension_of(of, option.split('=').next()?);
            self.iter().filter_map(move |option| Some((option, extension(option)?)))
        })
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        self.text.split_ascii_whitespace()
    }
}

struct Parameter<'a> {
    keyword: &'a str,
    value: Option<&'a str>,
}

/// Cuts `KEYWORD[=VALUE]` after `KEYWORD[=VALUE]` off a command's rest.
struct Parameters<'a>(&'a [u8]);

impl<'a> Iterator for Parameters<'a> {
    type Item = Result<Parameter<'a>, Reply>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.0.trim_ascii_start();
        if text.is_empty() {
            return None;
        }
        let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
        self.0 = &text[end..];
        Some(parse_parameter(&text[..end]).ok_or(SYNTAX))
    }
}

fn parse_parameter(word: &[u8]) -> Option<Parameter<'_>> {
    let word = str::from_utf8(word).ok()?;
    let (keyword, value) = match word.split_once('=') {
        Some((keyword, value)) => (keyword, Some(value)),
        None => (word, None),
    };
    // esmtp-value, with the UTF-8 that RFC 6531 section 3.3 adds to it.
    let value_ok = value.is_none_or(|v| !v.is_empty() && v.chars().all(|c| c > ' ' && c != '=' && !c.is_control()));
    (is_keyword(keyword) && value_ok).then_some(Parameter { keyword, value })
}

/// RFC 1870 section 3: one to twenty digits. Twenty can pass 64 bits: more than any limit all the same.
fn parse_size(value: Option<&str>) -> Option<u64> {
    let digits = value.filter(|digits| digits.len() <= 20 && number::is_digits(digits))?;
    Some(digits.parse().unwrap_or(u64::MAX))
}

fn parse_body(value: Option<&str>, offered: Offered<'_>) -> Option<Body> {
    match value? {
        v if v.eq_ignore_ascii_case("7BIT") => Some(Body::SevenBit),
        v if v.eq_ignore_ascii_case("8BITMIME") => Some(Body::EightBitMime),
        v if v.eq_ignore_ascii_case("BINARYMIME") && offered.binary_mime => Some(Body::BinaryMime),
        _ => None,
    }
}

/// Takes a value, if it is one and the first: no RFC gives a meaning to a parameter that comes twice.
fn set_once<T>(slot: &mut Option<T>, value: Option<T>) -> Result<(), Reply> {
    match slot.replace(value.ok_or(BAD_VALUE)?) {
        None => Ok(()),
        Some(_) => Err(BAD_VALUE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Offered<'_> = Offered {
        size: true,
        eight_bit_mime: true,
        binary_mime: true,
        smtputf8: true,
        dsn: true,
        auth: true,
        require_tls: true,
        prdr: true,
        mt_priority: true,
        deliver_by: Some(Duration::from_secs(1)),
        future_release: Some((Duration::from_secs(1000), SystemTime::UNIX_EPOCH)),
        extensions: None,
        ignores_unknown: false,
    };

    fn parse(text: &str) -> Result<MailParameters, u16> {
        MailParameters::parse(text.as_bytes(), ALL).map_err(|r| r.code())
    }

    #[test]
    fn typed_and_raw() {
        let all = parse(" size=12 body=8bitmime SmtpUtf8").unwrap();
        assert_eq!((all.size(), all.body(), all.smtputf8()), (Some(12), Some(Body::EightBitMime), true));
        assert_eq!(all.options().collect::<Vec<_>>(), ["SIZE=12", "BODY=8BITMIME", "SMTPUTF8"]);
        assert_eq!(parse("  \t "), Ok(MailParameters::default()));
    }

    #[test]
    fn sizes_are_digits_within_reason() {
        assert_eq!(parse(" SIZE=4294967300").unwrap().size(), Some(4_294_967_300));
        assert_eq!(parse(" SIZE=99999999999999999999").unwrap().size(), Some(u64::MAX));
        for bad in ["SIZE", "SIZE=", "SIZE=+1", "SIZE=-1", "SIZE=1x", "SIZE=0x10", "SIZE=000000000000000000001"] {
            assert_eq!(parse(bad), Err(501), "{bad}");
        }
    }

    #[test]
    fn values_and_syntax() {
        for bad in ["BODY", "BODY=9BIT", "SMTPUTF8=1", "SIZE=1 SIZE=1", "=1", "-A=1", "A=b=c", "SIZE=1\u{7f}"] {
            assert_eq!(parse(bad), Err(501), "{bad}");
        }
        assert_eq!(parse("FOO=1"), Err(555));
        assert_eq!(MailParameters::parse(b"FOO=\xff", ALL).map_err(|r| r.code()), Err(501));
    }

    #[test]
    fn what_is_not_offered_is_unknown() {
        for word in
            ["SIZE=1", "BODY=7BIT", "SMTPUTF8", "RET=FULL", "AUTH=<>", "REQUIRETLS", "BY=9;N", "HOLDFOR=9", "PRDR"]
        {
            let refused = MailParameters::parse(word.as_bytes(), Offered::default()).map_err(|r| r.code());
            assert_eq!(refused, Err(555), "{word}");
        }
        let rcpt = |text: &[u8], offered| RcptParameters::parse(text, offered, false).map_err(|r| r.code());
        assert_eq!(rcpt(b" NOTIFY=NEVER", Offered::default()), Err(555));
        assert_eq!(rcpt(b" NOTIFY==", ALL), Err(501));
        assert_eq!(rcpt(b" NOTIFY=NEVER NOTIFY=NEVER", ALL), Err(501));
        assert_eq!(rcpt(b"  ", ALL), Ok(RcptParameters::default()));
    }

    #[test]
    fn rare_ones_typed_and_raw() {
        let all = parse(
            "ret=hdrs ENVID=QQ+2Bx auth=bob+40example.org REQUIRETLS prdr mt-priority=-3 by=120;rt holduntil=1970-01-01T00:10:00Z",
        )
        .unwrap();
        assert_eq!((all.ret(), all.envid(), all.priority()), (Some(Ret::Headers), Some("QQ+x"), Some(-3)));
        assert_eq!(all.auth(), Some(&AuthParameter::Identity("bob@example.org".into())));
        assert!(all.require_tls() && all.prdr());
        assert_eq!(all.deliver_by().map(|by| by.seconds), Some(120));
        assert_eq!(all.hold(), Some(Hold::Until(SystemTime::UNIX_EPOCH + Duration::from_secs(600))));
        let options: Vec<&str> = all.options().collect();
        assert_eq!(options[..4], ["RET=HDRS", "ENVID=QQ+2Bx", "AUTH=bob+40example.org", "REQUIRETLS"]);
        assert_eq!(parse("AUTH=<>").unwrap().auth(), Some(&AuthParameter::Unknown));
        for bad in [
            "RET=SOME",
            "ENVID",
            "AUTH=",
            "REQUIRETLS=1",
            "PRDR=1",
            "MT-PRIORITY=10",
            "BY=0;R",
            "HOLDFOR=1001",
            "HOLDFOR=1 HOLDUNTIL=1970-01-01T00:10:00Z",
            "RET=FULL RET=FULL",
        ] {
            assert_eq!(parse(bad), Err(501), "{bad}");
        }
        let rcpt = RcptParameters::parse(b" notify=success,failure orcpt=rfc822;Bob@Example.org", ALL, false).unwrap();
        assert_eq!(rcpt.options().collect::<Vec<_>>(), ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;Bob@Example.org"]);
        assert!(rcpt.notify().is_some_and(Notify::on_success) && rcpt.orcpt().is_some());
    }
}
