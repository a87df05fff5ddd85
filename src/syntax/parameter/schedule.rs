//! When and how urgently a message is to be delivered: the parameters of RFC 2852, RFC 4865 and RFC 6710.

use std::time::{Duration, SystemTime};

use crate::syntax::{date, number};

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
        let until = date::parse_rfc3339(value)?;
        (until.duration_since(now).unwrap_or_default() <= max).then_some(Hold::Until(until))
    }
}

/// `-9` to `9`, of which more is more urgent: `MT-PRIORITY=` (RFC 6710 section 2).
pub(super) fn parse_priority(value: &str) -> Option<i8> {
    let digit = value.strip_prefix('-').unwrap_or(value);
    (digit.len() == 1 && number::is_digits(digit)).then(|| value.parse().ok()).flatten()
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
    fn priorities() {
        assert_eq!([parse_priority("-9"), parse_priority("0"), parse_priority("9")], [Some(-9), Some(0), Some(9)]);
        for bad in ["", "-", "10", "+1", "--1", "x"] {
            assert_eq!(parse_priority(bad), None, "{bad}");
        }
    }
}
