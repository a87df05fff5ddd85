//! The field `Date`: RFC 5322 section 3.3, with the obsolete forms of 4.3.
//!
//! By hand: httpdate reads the one form of HTTP, and the crates for calendars (chrono, time) bring a hundred times this for
//! RFC 2822 dates and refuse the comments and zones that mail has.

use std::time::SystemTime;

use crate::syntax::date::{MONTHS, days_since_epoch, from_epoch};
use crate::syntax::number::parse_short;

/// In words, of a date; a comment may have any number.
const MAX_WORDS: usize = 8;

/// None if it is no date, or before 1970.
pub(super) fn parse(value: &str) -> Option<SystemTime> {
    let text = without_comments(value);
    let mut words = text.split([' ', '\t', ',']).filter(|word| !word.is_empty()).take(MAX_WORDS).peekable();
    words.next_if(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()));
    let day: i64 = parse_short(words.next()?, 2)?;
    let month = words.next()?.get(..3)?;
    let month = MONTHS.iter().position(|known| known.eq_ignore_ascii_case(month))? as i64 + 1;
    let year = words.next()?;
    let year = match (parse_short(year, 4)?, year.len()) {
        (year @ 0..50, ..=2) => year + 2000,
        (year, ..=3) => year + 1900,
        (year, _) => year,
    };
    let mut time = words.next()?.splitn(3, [':', '.']).map(|part| parse_short(part, 2));
    let (hours, minutes, seconds) = (time.next()??, time.next()??, time.next().unwrap_or(Some(0))?);
    if !(1..=31).contains(&day) || hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let zone = zone(words.next().unwrap_or("-0000"));
    from_epoch(days_since_epoch(year, month, day) * 86_400 + hours * 3600 + minutes * 60 + seconds - zone)
}

fn without_comments(text: &str) -> String {
    let mut depth = 0_usize;
    let outside = text.chars().filter_map(|c| {
        match c {
            '(' => depth += 1,
            ')' if depth > 0 => {
                depth -= 1;
                return Some(' ');
            }
            _ => {}
        }
        (depth == 0).then_some(c)
    });
    outside.collect()
}

/// In seconds east of UTC; what is unknown is UTC.
fn zone(text: &str) -> i64 {
    let (sign, digits) = match text.split_at_checked(1) {
        Some(("+", digits)) => (1, digits),
        Some(("-", digits)) => (-1, digits),
        _ => (0, text),
    };
    if sign != 0 {
        let digits = digits.replace(':', "");
        return parse_short(&digits, 4).map_or(0, |number: i64| sign * (number / 100 * 3600 + number % 100 * 60));
    }
    let hours = match text.to_ascii_uppercase().as_str() {
        "EDT" => -4,
        "EST" | "CDT" => -5,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        // RFC 5322 section 4.3: the letters of the military were used the wrong way round, and mean nothing.
        _ => 0,
    };
    hours * 3600
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (text, expected) in [
            ("Mon, 23 Nov 2026 10:00:00 +0100", Some(1_795_424_400)),
            ("23 Nov 2026 09:00 GMT", Some(1_795_424_400)),
            ("Mon,23 nov 26 09:00:00 UT", Some(1_795_424_400)),
            ("Mon (the first), 23 November 2026 10:00:00 +0100 (CET (winter))", Some(1_795_424_400)),
            ("Mon, 23 Nov 2026 04:00:00 EST", Some(1_795_424_400)),
            ("Mon, 23 Nov 2026 09:00:00 Z", Some(1_795_424_400)),
            ("Mon, 23 Nov 2026 09:00:00", Some(1_795_424_400)),
            ("Mon, 23 Nov 126 09:00:00 +0000", Some(1_795_424_400)),
            ("Thu, 29 Feb 2024 23:59:60 +0000", Some(1_709_251_200)),
            ("Thu, 01 Jan 1970 00:00:00 +0000", Some(0)),
            ("Mon, 23 Nov 1900 10:00:00 +0000", None),
            ("Mon, 32 Nov 2026 10:00:00 +0000", None),
            ("yesterday", None),
            ("1 \u{e9}\u{e9} 2026 10:00", None),
            ("", None),
        ] {
            let seconds = parse(text).map(|time| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs());
            assert_eq!(seconds, expected, "{text}");
        }
    }
}
