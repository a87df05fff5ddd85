//! Extensions of a program's own: an EHLO keyword, and the parameters of MAIL and RCPT that it brings.

use std::fmt::{self, Debug, Formatter};

/// What this crate offers itself, now or on request: RFC 5321's registry, and XCLIENT and XFORWARD.
const KEYWORDS: [&str; 19] = [
    "PIPELINING",
    "SIZE",
    "8BITMIME",
    "SMTPUTF8",
    "ENHANCEDSTATUSCODES",
    "CHUNKING",
    "BINARYMIME",
    "DSN",
    "STARTTLS",
    "AUTH",
    "REQUIRETLS",
    "XCLIENT",
    "XFORWARD",
    "PRDR",
    "MT-PRIORITY",
    "DELIVERBY",
    "FUTURERELEASE",
    "LIMITS",
    "HELP",
];

/// The parameters that this crate knows, of MAIL and of RCPT.
const PARAMETERS: [&str; 14] = [
    "SIZE",
    "BODY",
    "SMTPUTF8",
    "RET",
    "ENVID",
    "AUTH",
    "REQUIRETLS",
    "PRDR",
    "MT-PRIORITY",
    "BY",
    "HOLDFOR",
    "HOLDUNTIL",
    "NOTIFY",
    "ORCPT",
];

/// RFC 5321 section 4.5.3.1.5: a reply line has 512 octets, of which `250-` and CRLF take six.
const MAX_OFFER: usize = 506;

/// In octets, of all parameters together: what a line of AUTH may have more than other commands (RFC 4954 section 4).
const MAX_PARAMETERS: usize = 10_240;

/// RFC 5321 section 4.1.2: esmtp-keyword, and section 4.1.1.1: ehlo-keyword.
pub(super) fn is_keyword(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Whether a parameter is of an extension that this crate knows, offered or not.
pub(super) fn is_known(keyword: &str) -> bool {
    PARAMETERS.iter().any(|known| known.eq_ignore_ascii_case(keyword))
}

/// An extension of SMTP that this crate does not know, for [`Builder::extension`](crate::Builder::extension): a keyword in the
/// reply to EHLO (RFC 5321 section 4.1.1.1), and parameters of MAIL and RCPT that clients may use once they have seen it.
///
/// What the parameters say is for the program to judge: [`Session::mail`](crate::Session::mail) and
/// [`Session::rcpt`](crate::Session::rcpt) see them ([`MailParameters::get`](crate::MailParameters::get),
/// [`RcptParameters::get`](crate::RcptParameters::get)) and may refuse; handlers find them in the envelope. A verb that
/// belongs to the extension is answered by [`Session::command`](crate::Session::command).
///
/// ```
/// use pillarbox::{Context, Extension, MailParameters, Reply, ReversePath, Server, Session};
///
/// struct Tenants;
///
/// impl Session for Tenants {
///     fn mail(&mut self, _: &Context, _: &ReversePath, parameters: &MailParameters) -> Result<(), Reply> {
///         match parameters.get("XTENANT") {
///             Some("blue" | "green") | None => Ok(()),
///             Some(_) => Err(Reply::new(550, "5.7.1", "no such tenant")),
///         }
///     }
/// }
///
/// let inbox = Server::builder()
///     .extension(Extension::new("XTENANT").argument("blue green").mail_parameter("XTENANT", 32))
///     .session(|_peer| Tenants)
///     .inbox("127.0.0.1:0")?;
/// # Ok::<(), pillarbox::Error>(())
/// ```
///
/// [`handlers::Proxy`](crate::handlers::Proxy) passes a parameter on if the next server offers the extension's keyword, and
/// drops it otherwise.
///
/// The server is not started ([`SettingError::Extension`](crate::SettingError::Extension)) with a keyword that this crate has
/// itself, that comes twice, or that is not of letters, digits and hyphens, nor with an argument that is not printable ASCII or
/// too long for a reply line, nor with parameters of more than 10,240 octets together.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "it does nothing until a builder has it"]
pub struct Extension {
    keyword: String,
    argument: String,
    mail: Vec<OwnParameter>,
    rcpt: Vec<OwnParameter>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct OwnParameter {
    keyword: String,
    max_value: usize,
}

impl Extension {
    /// An extension by its EHLO keyword; case does not matter. Names of one's own begin with an X, unless they are registered.
    pub fn new(keyword: &str) -> Extension {
        Extension { keyword: keyword.to_ascii_uppercase(), argument: String::new(), mail: Vec::new(), rcpt: Vec::new() }
    }

    /// What follows the keyword in the reply to EHLO. Default: nothing.
    pub fn argument(mut self, argument: &str) -> Extension {
        argument.clone_into(&mut self.argument);
        self
    }

    /// Adds a parameter of MAIL: `KEYWORD`, or `KEYWORD=VALUE` with a value of up to `max_value` octets. A longer one is refused
    /// with `501 5.5.4`, and so is a value that is not printable ASCII, or a parameter that comes twice. A command line may be
    /// longer by as much (RFC 5321 section 2.2.1 has each extension say so).
    pub fn mail_parameter(mut self, keyword: &str, max_value: usize) -> Extension {
        self.mail.push(OwnParameter::new(keyword, max_value));
        self
    }

    /// Adds a parameter of RCPT, in the same way.
    pub fn rcpt_parameter(mut self, keyword: &str, max_value: usize) -> Extension {
        self.rcpt.push(OwnParameter::new(keyword, max_value));
        self
    }

    fn parameters(&self) -> impl Iterator<Item = &OwnParameter> {
        self.mail.iter().chain(&self.rcpt)
    }

    fn is_valid(&self) -> bool {
        let argument = self.argument.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        let fits = self.keyword.len() + 1 + self.argument.len() <= MAX_OFFER;
        let is_ours = KEYWORDS.contains(&&*self.keyword);
        let parameters = self.parameters().all(|one| is_keyword(&one.keyword) && !is_known(&one.keyword));
        is_keyword(&self.keyword) && !is_ours && argument && self.argument.trim() == self.argument && fits && parameters
    }
}

impl OwnParameter {
    fn new(keyword: &str, max_value: usize) -> OwnParameter {
        OwnParameter { keyword: keyword.to_ascii_uppercase(), max_value }
    }

    /// In octets of a command line, with the blank before it.
    fn octets(&self) -> usize {
        self.keyword.len().saturating_add(2).saturating_add(self.max_value)
    }

    fn takes(&self, value: Option<&str>) -> bool {
        value.is_none_or(|value| value.is_ascii() && value.len() <= self.max_value)
    }
}

/// Of which command a parameter is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Of {
    Mail,
    Rcpt,
}

/// The extensions of a server.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Extensions(Vec<Extension>);

impl Extensions {
    pub fn push(&mut self, extension: Extension) {
        self.0.push(extension);
    }

    /// Whether all can be offered together.
    pub fn are_valid(&self) -> bool {
        let is_once = |all: Vec<&str>| (1..all.len()).all(|at| !all[..at].contains(&all[at]));
        let of = |parameters: fn(&Extension) -> &[OwnParameter]| {
            self.0.iter().flat_map(parameters).map(|one| &*one.keyword).collect::<Vec<_>>()
        };
        self.0.iter().all(Extension::is_valid)
            && is_once(self.0.iter().map(|one| &*one.keyword).collect())
            && is_once(of(|extension| &extension.mail))
            && is_once(of(|extension| &extension.rcpt))
            && self.octets() <= MAX_PARAMETERS
    }

    /// By how many octets a command line may be longer because of their parameters.
    pub fn octets(&self) -> usize {
        let of = |parameters: fn(&Extension) -> &[OwnParameter]| {
            let all = self.0.iter().flat_map(parameters).map(OwnParameter::octets);
            all.fold(0, usize::saturating_add)
        };
        of(|extension| &extension.mail).max(of(|extension| &extension.rcpt))
    }

    /// Their lines in the reply to EHLO.
    pub fn offers(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|one| match &*one.argument {
            "" => one.keyword.clone(),
            argument => format!("{} {argument}", one.keyword),
        })
    }

    /// Whether a parameter is one of them and may have this value; `None` if it is none of them.
    pub(super) fn takes(&self, of: Of, keyword: &str, value: Option<&str>) -> Option<bool> {
        self.find(of, keyword).map(|(_, parameter)| parameter.takes(value))
    }

    /// The keyword of the extension that a parameter belongs to.
    pub(super) fn extension_of(&self, of: Of, keyword: &str) -> Option<&str> {
        self.find(of, keyword).map(|(extension, _)| &*extension.keyword)
    }

    fn find(&self, of: Of, keyword: &str) -> Option<(&Extension, &OwnParameter)> {
        self.0.iter().find_map(|extension| {
            let parameters = if of == Of::Mail { &extension.mail } else { &extension.rcpt };
            let parameter = parameters.iter().find(|one| one.keyword.eq_ignore_ascii_case(keyword))?;
            Some((extension, parameter))
        })
    }
}

impl Debug for Extensions {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn are_valid(all: &[Extension]) -> bool {
        Extensions(all.to_vec()).are_valid()
    }

    #[test]
    fn what_can_be_offered() {
        let good = |extension: Extension| are_valid(&[extension]);
        assert!(
            good(Extension::new("XFOO")) && good(Extension::new("x-1").argument("a b=c")) && good(Extension::new("1"))
        );
        for keyword in ["", "-X", "X Y", "X=Y", "X_Y", "X\r\nSTARTTLS", "\u{c4}", "size", "XCLIENT", "Help"] {
            assert!(!good(Extension::new(keyword)), "{keyword}");
        }
        for argument in [" x", "x ", "a\tb", "a\r\nb", "\u{e4}", &"x".repeat(502)] {
            assert!(!good(Extension::new("XFOO").argument(argument)), "{argument}");
        }
        assert!(good(Extension::new("XFOO").argument(&"x".repeat(501))));
        for keyword in ["", "X Y", "body", "NOTIFY", "X="] {
            assert!(!good(Extension::new("XFOO").mail_parameter(keyword, 1)), "{keyword}");
            assert!(!good(Extension::new("XFOO").rcpt_parameter(keyword, 1)), "{keyword}");
        }
        assert!(good(Extension::new("XFOO").mail_parameter("XFOO", 10_234).rcpt_parameter("XFOO", 1)));
        assert!(!good(Extension::new("XFOO").mail_parameter("XFOO", 10_235)));
        assert!(!good(Extension::new("XFOO").mail_parameter("XFOO", usize::MAX).mail_parameter("XBAR", usize::MAX)));
    }

    #[test]
    fn nothing_comes_twice() {
        let one = Extension::new("XONE").mail_parameter("XP", 1);
        assert!(are_valid(&[one.clone(), Extension::new("XTWO").rcpt_parameter("XP", 1)]));
        assert!(!are_valid(&[one.clone(), Extension::new("xone")]));
        assert!(!are_valid(&[one.clone(), Extension::new("XTWO").mail_parameter("xp", 1)]));
        assert!(!are_valid(&[one.rcpt_parameter("XQ", 1).rcpt_parameter("XQ", 1)]));
    }
}
