//! Numbers as protocols write them: digits and nothing else, where std's parsers would take a sign.

use std::str::FromStr;

/// Whether it is `1*DIGIT`.
pub(crate) fn is_digits(text: impl AsRef<[u8]>) -> bool {
    let text = text.as_ref();
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// `1*DIGIT`, if the number fits its type.
pub(crate) fn parse<N: FromStr>(text: &str) -> Option<N> {
    is_digits(text).then(|| text.parse().ok()).flatten()
}

/// At least one digit and at most so many.
pub(crate) fn parse_short<N: FromStr>(text: &str, most: usize) -> Option<N> {
    Some(text).filter(|text| text.len() <= most).and_then(parse)
}

/// A number in the one form that it has without leading zeros.
pub(crate) fn parse_canonical<N: FromStr>(text: &str) -> Option<N> {
    Some(text).filter(|text| *text == "0" || !text.starts_with('0')).and_then(parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_nothing_else() {
        for text in ["", "+1", "-1", " 1", "1 ", "1.", "\u{661}", "0x1"] {
            assert!(!is_digits(text), "{text:?}");
            assert_eq!(parse::<u64>(text), None, "{text:?}");
            assert_eq!(parse::<i64>(text), None, "{text:?}");
        }
        assert!(is_digits("99999999999999999999999"));
        assert_eq!((parse("007"), parse::<u8>("256")), (Some(7_u8), None));
    }

    #[test]
    fn how_long_and_how_written() {
        assert_eq!((parse_short("999", 3), parse_short::<u16>("0999", 3)), (Some(999_u16), None));
        assert_eq!(parse_short::<u16>("", 3), None);
        assert_eq!((parse_canonical("0"), parse_canonical("10")), (Some(0_u8), Some(10_u8)));
        assert_eq!([parse_canonical::<u8>(""), parse_canonical("00"), parse_canonical("010")], [None; 3]);
    }
}
