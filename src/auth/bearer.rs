//! Bearer tokens: OAUTHBEARER (RFC 7628), and XOAUTH2 that came before it.

use std::fmt::{self, Debug, Formatter, Write};

use super::scram::{Binding, gs2_header};
use super::{AuthFailure, Authenticator};
use crate::session::Context;

/// What a client of OAUTHBEARER or XOAUTH2 sends: a token, and what it says about it.
///
/// [`Debug`] does not show the token.
#[derive(Clone, Copy)]
pub struct Bearer<'a> {
    pub(super) user: Option<&'a str>,
    pub(super) token: &'a str,
    pub(super) host: Option<&'a str>,
    pub(super) port: Option<u16>,
}

impl<'a> Bearer<'a> {
    /// The identity that the client asks for: always present in XOAUTH2, optional in OAUTHBEARER.
    pub fn user(&self) -> Option<&'a str> {
        self.user
    }

    /// The OAuth 2.0 access token (RFC 6750), in visible ASCII.
    pub fn token(&self) -> &'a str {
        self.token
    }

    /// The server that the client means to talk to, if it says so.
    pub fn host(&self) -> Option<&'a str> {
        self.host
    }

    /// The port that the client means to talk to, if it says so.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

impl Debug for Bearer<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer")
            .field("user", &self.user)
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// A message of either mechanism.
pub(super) struct Message<'a> {
    /// As the client sent it, its escapes undone.
    pub user: Option<String>,
    /// None if there is none, or it is of another kind: well-formed, and refused as a wrong one is.
    pub token: Option<&'a str>,
    pub host: Option<&'a str>,
    pub port: Option<u16>,
}

impl<'a> Message<'a> {
    /// RFC 7628 section 3.1: a gs2-header, then `key=value` pairs, each behind a `^A`, then two of them.
    pub fn oauthbearer(message: &'a [u8]) -> Result<Message<'a>, AuthFailure> {
        let message = str::from_utf8(message).map_err(|_| AuthFailure::Malformed)?;
        let (binding, user, rest) = gs2_header(message)?;
        // Section 3.1 leaves channel binding to a mechanism of another name.
        if matches!(binding, Binding::Type(_)) {
            return Err(AuthFailure::Malformed);
        }
        let pairs = rest.strip_suffix("\x01\x01").ok_or(AuthFailure::Malformed)?;
        let pairs = match pairs.strip_prefix('\x01') {
            Some(pairs) => pairs,
            None if pairs.is_empty() => pairs,
            None => return Err(AuthFailure::Malformed),
        };
        let mut found = Message { user, token: None, host: None, port: None };
        for pair in pairs.split_terminator('\x01') {
            let (key, value) = pair.split_once('=').ok_or(AuthFailure::Malformed)?;
            match key {
                "auth" if found.token.is_some() => return Err(AuthFailure::Malformed),
                "auth" => found.token = token(value),
                "host" => found.host = Some(value),
                "port" => found.port = Some(value.parse().map_err(|_| AuthFailure::Malformed)?),
                // Section 3.1: whatever else there is, is passed over.
                _ => {}
            }
        }
        Ok(found)
    }

    /// `user=` NAME `^A` `auth=Bearer ` TOKEN `^A^A`.
    pub fn xoauth2(message: &'a [u8]) -> Result<Message<'a>, AuthFailure> {
        let message = str::from_utf8(message).map_err(|_| AuthFailure::Malformed)?;
        let mut parts = message.split('\x01');
        let user = parts.next().and_then(|part| part.strip_prefix("user="));
        let auth = parts.next().and_then(|part| part.strip_prefix("auth="));
        let (Some(user), Some(auth), Some(""), Some(""), None) = (user, auth, parts.next(), parts.next(), parts.next())
        else {
            return Err(AuthFailure::Malformed);
        };
        Ok(Message { user: Some(user.to_owned()), token: token(auth), host: None, port: None })
    }
}

/// The token behind `Bearer `, a word in whichever case (RFC 7628 section 3.1, RFC 7235 section 2.1).
fn token(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    let good = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    (good && scheme.eq_ignore_ascii_case("Bearer")).then_some(token)
}

/// RFC 7628 section 3.2.2: why a token was refused, for the client's software to read.
pub(super) fn oauthbearer_error(authenticator: &dyn Authenticator, context: &Context) -> String {
    let mut json = String::from(r#"{"status":"invalid_token""#);
    member(&mut json, "scope", authenticator.bearer_scope(context));
    member(&mut json, "openid-configuration", authenticator.openid_configuration(context));
    json + "}"
}

/// The same as XOAUTH2 has it.
pub(super) fn xoauth2_error(authenticator: &dyn Authenticator, context: &Context) -> String {
    let mut json = String::from(r#"{"status":"401","schemes":"Bearer""#);
    member(&mut json, "scope", authenticator.bearer_scope(context));
    json + "}"
}

fn member(json: &mut String, name: &str, value: Option<&str>) {
    let Some(value) = value else { return };
    let _ = write!(json, r#","{name}":""#);
    for c in value.chars() {
        let _ = match c {
            '"' | '\\' => write!(json, "\\{c}"),
            c if c.is_control() => write!(json, "\\u{:04x}", c as u32),
            c => json.write_char(c),
        };
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oauthbearer_messages() {
        // RFC 7628 section 4.1, and its SMTP form in section 4.4.
        let message = b"n,a=user@example.com,\x01host=server.example.com\x01port=587\x01\
                        auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01";
        let found = Message::oauthbearer(message).unwrap();
        assert_eq!(found.user.as_deref(), Some("user@example.com"));
        assert_eq!(found.token, Some("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="));
        assert_eq!((found.host, found.port), (Some("server.example.com"), Some(587)));

        let token =
            |message: &str| Message::oauthbearer(message.as_bytes()).map(|found| found.token.map(str::to_owned));
        let some = |token: &str| Some(token.to_owned());
        assert_eq!(token("y,,\x01auth=bearer  t\x01x=y=z\x01\x01").unwrap(), some("t"));
        // Section 4.3: nothing is known yet, and the server is asked what it wants.
        assert_eq!(token("n,a=u,\x01host=h\x01port=143\x01auth=\x01\x01").unwrap(), None);
        assert_eq!(token("n,,\x01\x01").unwrap(), None);
        assert_eq!(token("n,,\x01auth=Basic dDp0\x01\x01").unwrap(), None);
        assert_eq!(token("n,,\x01auth=Bearer a b\x01\x01").unwrap(), None);
        for bad in [
            "",
            "\x01",
            "n,,",
            "n,,\x01",
            "n,\x01auth=Bearer t\x01\x01",
            "n,,auth=Bearer t\x01\x01",
            "n,,\x01auth=Bearer t\x01",
            "n,,\x01auth\x01\x01",
            "n,,\x01port=65536\x01auth=Bearer t\x01\x01",
            "n,,\x01auth=Bearer t\x01auth=Bearer u\x01\x01",
            "p=tls-exporter,,\x01auth=Bearer t\x01\x01",
            "n,a=\x01,\x01auth=Bearer t",
        ] {
            assert!(matches!(token(bad), Err(AuthFailure::Malformed)), "{bad:?}");
        }
    }

    #[test]
    fn xoauth2_messages() {
        // The example of Google's documentation.
        let message = b"user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\x01\x01";
        let found = Message::xoauth2(message).unwrap();
        assert_eq!(found.user.as_deref(), Some("someuser@example.com"));
        assert_eq!(found.token, Some("ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"));
        for bad in [
            "",
            "user=u",
            "user=u\x01auth=Bearer t",
            "user=u\x01auth=Bearer t\x01",
            "user=u\x01auth=Bearer t\x01\x01\x01",
            "auth=Bearer t\x01user=u\x01\x01",
            "user=u\x01\x01auth=Bearer t\x01",
        ] {
            assert!(Message::xoauth2(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn errors_are_json() {
        struct Realm;
        impl Authenticator for Realm {
            fn bearer_scope(&self, _: &Context) -> Option<&str> {
                Some("a \"b\" \\ \n")
            }
        }
        let context = Context::of_nobody();
        assert_eq!(oauthbearer_error(&Realm, &context), r#"{"status":"invalid_token","scope":"a \"b\" \\ \u000a"}"#);
        assert_eq!(xoauth2_error(&|_: &str, _: &str| false, &context), r#"{"status":"401","schemes":"Bearer"}"#);
    }

    #[test]
    fn debug_has_no_token() {
        let bearer = Bearer { user: Some("u"), token: "verysecret", host: None, port: None };
        assert!(!format!("{bearer:?}").contains("verysecret"));
    }
}
