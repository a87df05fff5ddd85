//! Logins that succeed whatever the client sends, for tests of software that insists on one.
//!
//! SCRAM and DIGEST-MD5 are missing: with these the server has to prove that it knows the password.

use std::time::{SystemTime, UNIX_EPOCH};

use pillarbox::{AuthFailure, Builder, Context, SaslExchange, SaslMechanism, SaslStep};

/// In octets, the limit of [`Users`](pillarbox::Users).
const MAX_NAME: usize = 512;

/// The identity of clients that give no name.
const NOBODY: &str = "anonymous";

/// The mechanisms that need nothing but what the client sends. One that does not choose takes the first that it knows.
const ALL: [Kind; 5] = [Kind::Plain, Kind::Login, Kind::CramMd5, Kind::XOAuth2, Kind::OAuthBearer];

#[derive(Clone, Copy)]
enum Kind {
    Plain,
    Login,
    CramMd5,
    XOAuth2,
    OAuthBearer,
}

/// A server that takes any login, in clear as well.
pub fn accept(builder: Builder) -> Builder {
    ALL.into_iter().fold(builder.clear_text_auth(true), Builder::sasl_mechanism)
}

impl SaslMechanism for Kind {
    fn name(&self) -> &str {
        match self {
            Kind::Plain => "PLAIN",
            Kind::Login => "LOGIN",
            Kind::CramMd5 => "CRAM-MD5",
            Kind::XOAuth2 => "XOAUTH2",
            Kind::OAuthBearer => "OAUTHBEARER",
        }
    }

    fn is_client_first(&self) -> bool {
        !matches!(self, Kind::CramMd5)
    }

    fn prompt(&self) -> &[u8] {
        match self {
            Kind::Login => b"Username:",
            _ => b"",
        }
    }

    fn start(&self, _: &Context) -> Box<dyn SaslExchange> {
        Box::new(Exchange { kind: *self, user: None, is_challenged: false })
    }
}

struct Exchange {
    kind: Kind,
    /// LOGIN: whose password comes next.
    user: Option<String>,
    /// CRAM-MD5: whether the client's answer comes next.
    is_challenged: bool,
}

impl SaslExchange for Exchange {
    fn step(&mut self, context: &Context, response: &[u8]) -> Result<SaslStep, AuthFailure> {
        let name = match self.kind {
            // RFC 4616 section 2: a client may want to act as somebody else, and it is that who it is then.
            Kind::Plain => match response.split(|octet| *octet == 0).collect::<Vec<_>>()[..] {
                [b"", user, _] | [user, _, _] => identity(user),
                _ => return Err(AuthFailure::Malformed),
            },
            Kind::Login => match self.user.take() {
                Some(user) => user,
                None => {
                    self.user = Some(identity(response));
                    return Ok(SaslStep::Challenge(b"Password:".to_vec()));
                }
            },
            // RFC 2195 section 2: a name, a blank and a digest.
            Kind::CramMd5 if self.is_challenged => {
                let end = memchr::memrchr(b' ', response).ok_or(AuthFailure::Malformed)?;
                identity(&response[..end])
            }
            Kind::CramMd5 => {
                self.is_challenged = true;
                return Ok(SaslStep::Challenge(challenge(context)));
            }
            Kind::XOAuth2 => identity(after(response, b"user=", 1).ok_or(AuthFailure::Malformed)?),
            // RFC 7628 section 3.1: the name is optional.
            Kind::OAuthBearer => {
                let header = &response[..memchr::memchr(1, response).unwrap_or(response.len())];
                identity(after(header, b"a=", b',').unwrap_or_default())
            }
        };
        Ok(SaslStep::Authenticated(name))
    }
}

/// What stands between a word and the next octet of a kind.
fn after<'a>(message: &'a [u8], word: &[u8], end: u8) -> Option<&'a [u8]> {
    let from = memchr::memmem::find(message, word)? + word.len();
    let length = memchr::memchr(end, &message[from..])?;
    Some(&message[from..from + length])
}

/// RFC 2195 section 2. Nothing depends on that nobody can foretell it.
fn challenge(context: &Context) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("<{}.{}@{}>", context.connection_id(), now.as_nanos(), context.hostname()).into_bytes()
}

/// A name as an identity: text on one line, and not too long.
fn identity(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(&name[..name.len().min(MAX_NAME)]);
    let visible: String = text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    if visible.is_empty() { NOBODY.to_owned() } else { visible }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_text_on_one_line() {
        for (name, expected) in [
            (&b"bob"[..], "bob"),
            (b"", NOBODY),
            (b"bob\r\nX: y", "bob\u{fffd}\u{fffd}X: y"),
            (b"\xff", "\u{fffd}"),
            ("Zo\u{eb} ".as_bytes(), "Zo\u{eb} "),
        ] {
            assert_eq!(identity(name), expected);
        }
        assert_eq!(identity(&[b'x'; 9000]).len(), MAX_NAME);
        assert!(identity(&[0; 9000]).len() <= 3 * MAX_NAME);
    }

    #[test]
    fn names_within_messages() {
        assert_eq!(after(b"user=bob\x01auth=Bearer x\x01\x01", b"user=", 1), Some(&b"bob"[..]));
        assert_eq!(after(b"n,a=bob,\x01auth=Bearer x\x01\x01", b"a=", b','), Some(&b"bob"[..]));
        assert_eq!(after(b"user=bob", b"user=", 1), None);
        assert_eq!(after(b"n,,\x01", b"a=", b','), None);
    }
}
