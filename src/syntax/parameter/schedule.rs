//! When and how urgently a message is to be delivered: the parameters of RFC 2852, RFC 4865 and RFC 6710.

use std::time::{Duration, SystemTime};

use crate::syntax::number;

/// By when a message is to be delivered: `BY=` (RFC 2852).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DeliverBy {
    /// Seconds from now; none or fewer are only allowed where a notice is all that is wanted.
    pub seconds: i32,
    /// What is to be done when the time is over.
    pub mode: DeliverByMode,
    /// Whether the sender wants to be told of each relay that cannot promise this.
    pub trace: bool,
}

/// What is to be done with a message whose time is over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DeliverByMode {
    /// `N`: tell the sender, and go on.
    Notify,
    /// `R`: give it back.
    Return,
}

impl DeliverBy {
    /// RFC 2852 section 4: `by-time ";" by-mode [by-trace]`, of which the time has at most nine digits. `min` is the least
    /// time that the server promises.
    pub(super) fn parse(value: &str, min: Duration) -> Option<DeliverBy> {
        let (time, mode) = value.split_once(';')?;
        let digits = time.strip_prefix(['-', '+']).unwrap_or(time);
        if digits.len() > 9 || !number::is_digits(digits) {
            return None;
        }
        let seconds: i32 = time.parse().ok()?;
        let (mode, trace) = match mode.to_ascii_uppercase().as_str() {
            "N" => (DeliverByMode::Notify, false),
            "NT" => (DeliverByMode::Notify, true),
            "R" => (DeliverByMode::Return, false),
            "RT" => (DeliverByMode::Return, true),
            _ => return None,
        };
        // What is to be given back when its time is over must have some.
        let in_time =
            mode == DeliverByMode::Notify || (seconds > 0 && Duration::from_secs(seconds.unsigned_abs().into()) >= min);
        in_time.then_some(DeliverBy { seconds, mode, trace })
    }
}

/// Until when a message is to be held back: `HOLDFOR=` and `HOLDUNTIL=` (RFC 4865).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Hold {
    /// For so long.
    For(Duration),
    /// Until then.
    Until(SystemTime),
}

impl Hold {
    /// `1*9DIGIT`, of seconds, at most `max`.
    pub(super) fn parse_for(value: &str, max: Duration) -> Option<Hold> {
        let time = Duration::from_secs(number::parse_short(value, 9)?);
        (!time.is_zero() && time <= max).then_some(Hold::For(time))
    }

    /// A date and time of RFC 3339, at most `max` from `now`.
    pub(super) fn parse_until(value: &str, max: Duration, now: SystemTime) -> Option<Hold> {
        let until = parse_date_time(value)?;
        (until.duration_since(now).unwrap_or_default() <= max).then_some(Hold::Until(until))
    }
}

/// `-9` to `9`, of which more is more urgent: `MT-PRIORITY=` (RFC 6710 section 2).
pub(super) fn parse_priority(value: &str) -> Option<i8> {
    let digit = value.strip_prefix('-').unwrap_or(value);
    (digit.len() == 1 && number::is_digits(digit)).then(|| value.parse().ok()).flatten()
}

/// RFC 3339 section 5.6, as in `2026-11-23T14:37:00Z` and `2026-11-23T14:37:00+01:00`.
fn parse_date_time(text: &str) -> Option<SystemTime> {
    let (date, time) = text.split_once(['T', 't'])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = time.split_at(zone);
    let time = match time.split_once('.') {
        Some((time, fraction)) if number::is_digits(fraction) => time,
        Some(_) => return None,
        None => time,
    };
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let [hours, minutes] = numbers(&zone[1..], ':', [2, 2])?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 3600 + minutes * 60) * if zone.starts_with('-') { -1 } else { 1 }
        }
    };
    // 60 is a leap second.
    if hour > 23 || minute > 59 || second > 60 || !(1..=12).contains(&month) || day == 0 || day > days_in(year, month) {
        return None;
    }
    let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// A time as RFC 3339 writes it, in UTC and without fractions.
pub(crate) fn date_time(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let mut days = i64::try_from(seconds / 86_400).unwrap_or(i64::MAX);
    let mut year = 1970;
    while days >= 365 + i64::from(is_leap(year)) && year < 9999 {
        days -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    while days >= days_in(year, month) && month < 12 {
        days -= days_in(year, month);
        month += 1;
    }
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
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

/// Days from 1970-01-01 to a date after it.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let leap_years = |year: i64| year / 4 - year / 100 + year / 400;
    let years = (year - 1970) * 365 + leap_years(year - 1) - leap_years(1969);
    years + (1..month).map(|month| days_in(year, month)).sum::<i64>() + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn deliver_by() {
        let parse = |value| DeliverBy::parse(value, Duration::from_secs(60));
        let by = |seconds, mode, trace| Some(DeliverBy { seconds, mode, trace });
        assert_eq!(parse("120;R"), by(120, DeliverByMode::Return, false));
        assert_eq!(parse("-10;nt"), by(-10, DeliverByMode::Notify, true));
        assert_eq!(parse("+999999999;RT"), by(999_999_999, DeliverByMode::Return, true));
        for bad in ["120", "120;", "120;X", "120;TR", "0;R", "-1;R", "59;R", "1000000000;N", "--1;N", ";N", "1.5;N"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn holding_back() {
        assert_eq!(Hold::parse_for("3600", DAY), Some(Hold::For(Duration::from_secs(3600))));
        for bad in ["", "0", "86401", "-1", "1000000000", "1h"] {
            assert_eq!(Hold::parse_for(bad, DAY), None, "{bad}");
        }
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let until = |text| match Hold::parse_until(text, DAY, at(1_795_443_000)) {
            Some(Hold::Until(time)) => Some(time),
            _ => None,
        };
        // Monday, 23 November 2026, 14:10:00 UTC is 1,795,443,000.
        assert_eq!(until("2026-11-23T14:37:00Z"), Some(at(1_795_444_620)));
        assert_eq!(until("2026-11-23T15:37:00.25+01:00"), Some(at(1_795_444_620)));
        assert_eq!(until("2026-11-23T09:37:00-05:00"), Some(at(1_795_444_620)));
        assert_eq!(until("2000-02-29T00:00:00Z"), Some(at(951_782_400)));
        for bad in [
            "2026-11-24T14:37:00Z",
            "2026-11-23 14:37:00Z",
            "2026-11-23T14:37:00",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T14:37Z",
            "1969-12-31T23:59:59Z",
            "2026-11-23T14:37:00+25:00",
        ] {
            assert_eq!(until(bad), None, "{bad}");
        }
    }

    #[test]
    fn dates_there_and_back() {
        for text in ["1970-01-01T00:00:00Z", "2000-02-29T23:59:59Z", "2026-11-23T14:37:00Z", "2100-03-01T00:00:00Z"] {
            assert_eq!(parse_date_time(text).map(date_time).as_deref(), Some(text));
        }
    }

    #[test]
    fn priorities() {
        assert_eq!([parse_priority("-9"), parse_priority("0"), parse_priority("9")], [Some(-9), Some(0), Some(9)]);
        for bad in ["", "-", "10", "+1", "--1", "x"] {
            assert_eq!(parse_priority(bad), None, "{bad}");
        }
    }
}
