//! Dates as the protocols write them: RFC 3339 and RFC 5322.
//!
//! httpdate knows the calendar for what is written; it reads no other form than HTTP's, and the crates for calendars (chrono,
//! time) bring a hundred times what is here.

use std::time::{Duration, SystemTime};

use crate::syntax::number;

/// The months as RFC 5322 abbreviates them.
pub(crate) const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The end of the year 9999, after which no date has a text. In seconds since the epoch.
const LAST: u64 = 253_402_300_799;

/// As in `Sun, 06 Nov 1994 08:49:37 +0000`: RFC 5322 section 3.3, in UTC.
pub(crate) fn rfc5322(time: SystemTime) -> String {
    http(time).replace("GMT", "+0000")
}

/// As in `1994-11-06T08:49:37Z`: RFC 3339, in UTC and without fractions.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let http = http(time);
    let month = MONTHS.iter().position(|month| *month == &http[8..11]).unwrap_or_default() + 1;
    format!("{}-{month:02}-{}T{}Z", &http[12..16], &http[5..7], &http[17..25])
}

/// As in `Sun, 06 Nov 1994 08:49:37 GMT`, each part of which has a fixed length.
fn http(time: SystemTime) -> String {
    // Other times than these have no such text.
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(LAST);
    httpdate::fmt_http_date(time.clamp(SystemTime::UNIX_EPOCH, last))
}

/// RFC 3339 section 5.6, as in `2026-11-23T14:37:00Z` and `2026-11-23T14:37:00+01:00`.
pub(crate) fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    let (date, time) = text.split_once(['T', 't'])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (time, zone) = time.split_at(time.find(['Z', 'z', '+', '-'])?);
    let [hour, minute, second] = numbers(without_fraction(time)?, ':', [2, 2, 2])?;
    // 60 is a leap second.
    let is_time = hour <= 23 && minute <= 59 && second <= 60;
    let is_date = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    if !is_time || !is_date {
        return None;
    }
    from_epoch(days_since_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset(zone)?)
}

/// A time with its fraction of a second, of which only the form matters.
fn without_fraction(time: &str) -> Option<&str> {
    match time.split_once('.') {
        Some((time, fraction)) => number::is_digits(fraction).then_some(time),
        None => Some(time),
    }
}

/// `Z`, `+01:00` or `-05:00`: in seconds east of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("Z") {
        return Some(0);
    }
    let [hours, minutes] = numbers(&zone[1..], ':', [2, 2])?;
    let seconds = hours * 3600 + minutes * 60;
    (hours <= 23 && minutes <= 59).then_some(if zone.starts_with('-') { -seconds } else { seconds })
}

/// As many numbers, of so many digits each, with `between` between them.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(between);
    let mut all = [0; N];
    for (found, digits) in all.iter_mut().zip(digits) {
        *found = parts.next().filter(|part| part.len() == digits).and_then(number::parse)?;
    }
    parts.next().is_none().then_some(all)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date, in the Gregorian calendar.
pub(crate) fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the day that may be missing is the last.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The time so many seconds after the epoch; `None` if that is before it.
pub(crate) fn from_epoch(seconds: i64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2000-02-28T23:59:59Z",
            "2000-02-29T23:59:59Z",
            "2026-11-23T14:37:00Z",
            "2100-03-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
        ] {
            assert_eq!(parse_rfc3339(text).map(rfc3339).as_deref(), Some(text));
        }
    }

    #[test]
    fn times_that_have_no_text() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        let after = SystemTime::UNIX_EPOCH + Duration::from_secs(LAST + 1);
        assert_eq!((rfc3339(before), rfc3339(after)), ("1970-01-01T00:00:00Z".into(), "9999-12-31T23:59:59Z".into()));
        assert_eq!(rfc5322(before), "Thu, 01 Jan 1970 00:00:00 +0000");
    }
}
