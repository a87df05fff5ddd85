//! Names and passwords as they are compared: SASLprep (RFC 4013), and how long they may be.

use std::borrow::Cow;

use zeroize::Zeroizing;

use super::AuthFailure;

/// In octets, of a name that a client gives, as it came and prepared: beyond any mail address, well below a line.
pub(super) const MAX_NAME: usize = 512;
/// In octets, of a password as it came and prepared: what a line of an exchange can carry in base64.
pub(super) const MAX_PASSWORD: usize = 9216;

/// A client's name as it is looked up: RFC 4616 section 2, RFC 4954 section 4. What is no name is nobody's.
pub(super) fn name(octets: &[u8]) -> Result<String, AuthFailure> {
    prepare_name(text(octets, MAX_NAME)?).map(Cow::into_owned).ok_or(AuthFailure::Credentials)
}

/// A client's password as it is compared. Some directories take a name without one as a visitor's, and say yes.
pub(super) fn password(octets: &[u8]) -> Result<Zeroizing<String>, AuthFailure> {
    let prepared = Zeroizing::new(prepare_password(text(octets, MAX_PASSWORD)?).into_owned());
    if (1..=MAX_PASSWORD).contains(&prepared.len()) { Ok(prepared) } else { Err(AuthFailure::Credentials) }
}

fn text(octets: &[u8], max: usize) -> Result<&str, AuthFailure> {
    if octets.len() > max {
        return Err(AuthFailure::Credentials);
    }
    str::from_utf8(octets).map_err(|_| AuthFailure::Credentials)
}

/// A name by SASLprep; none if it is no name. The length counts once it is prepared, which makes up to eleven octets of one.
pub(super) fn prepare_name(name: &str) -> Option<Cow<'_, str>> {
    stringprep::saslprep(name).ok().filter(|name| (1..=MAX_NAME).contains(&name.len()))
}

/// A password by SASLprep, or as it is if that does not take it. RFC 4013 knows the characters of Unicode 3.2 alone;
/// clients send the others, such as emoji, unprepared, as PostgreSQL's do.
pub(super) fn prepare_password(password: &str) -> Cow<'_, str> {
    stringprep::saslprep(password).unwrap_or(Cow::Borrowed(password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_count_before_and_after_preparation() {
        // U+FDFA has three octets, and becomes eighteen characters of 33.
        let long = |times: usize| "\u{fdfa}".repeat(times);
        assert_eq!(name(long(15).as_bytes()).unwrap().len(), 495);
        assert!(name(long(16).as_bytes()).is_err() && name(long(170).as_bytes()).is_err());
        // A soft hyphen becomes nothing: what is short at last may still have come too long.
        let hyphens = "\u{ad}".repeat(MAX_NAME / 2);
        assert!(
            name(format!("{}a", &hyphens[2..]).as_bytes()).is_ok() && name(format!("{hyphens}a").as_bytes()).is_err()
        );
        assert_eq!(password(long(279).as_bytes()).unwrap().len(), 9207);
        assert!(password(long(280).as_bytes()).is_err());
        assert!(password(&[b'a'; MAX_PASSWORD]).is_ok() && password(&[b'a'; MAX_PASSWORD + 1]).is_err());
        // What SASLprep does not take stays as long as it is.
        assert!(password("\u{1f511}".repeat(MAX_PASSWORD / 4).as_bytes()).is_ok());
    }

    #[test]
    fn passwords_beyond_saslprep_stay_as_they_are() {
        assert_eq!(prepare_password("\u{1f511} \u{2168}"), "\u{1f511} \u{2168}");
        // RFC 4013 section 3: compatibility forms are the same.
        assert_eq!(prepare_password("\u{2168}"), "IX");
    }
}
