//! Numbers without a sign, which std's parsers would take.

use std::str::FromStr;

/// At least one digit, and nothing else.
pub fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Digits and nothing else, if the number fits its type.
pub fn parse_digits<N: FromStr>(text: &str) -> Option<N> {
    is_digits(text).then(|| text.parse().ok()).flatten()
}
