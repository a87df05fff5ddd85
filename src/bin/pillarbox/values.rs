//! Values that several options of the command line take: addresses, numbers, permissions.

use std::net::SocketAddrV6;
use std::time::Duration;

#[cfg(unix)]
use crate::digits::is_digits;
use crate::digits::parse_digits;

/// HOST:PORT with an IPv6 address in brackets; no host is localhost, as smtpd had it.
pub fn parse_tcp(text: &str) -> Result<String, String> {
    const FORM: &str = "expected HOST:PORT, such as localhost:8025 or [::1]:25";
    let (host, port) = text.rsplit_once(':').ok_or(FORM)?;
    let _: u16 = parse_digits(port).ok_or(FORM)?;
    let is_valid = match host.contains([':', '[', ']']) {
        true => text.parse::<SocketAddrV6>().is_ok(),
        false => !host.contains(char::is_whitespace),
    };
    match host {
        _ if !is_valid => Err(FORM.to_owned()),
        "" => Ok(format!("localhost:{port}")),
        _ => Ok(text.to_owned()),
    }
}

/// What [`parse_tcp`] takes, or unix:PATH.
pub fn parse_local(text: &str) -> Result<String, String> {
    match text.strip_prefix("unix:") {
        Some("") => Err("expected unix:PATH".to_owned()),
        Some(_) => Ok(text.to_owned()),
        None => parse_tcp(text),
    }
}

pub fn parse_size(text: &str) -> Result<u64, String> {
    parse_digits(text).ok_or_else(|| "expected a number of octets, in digits only".to_owned())
}

/// As [`parse_size`], where nothing is no size.
pub fn parse_octets(text: &str) -> Result<u64, String> {
    parse_size(text)
        .ok()
        .filter(|octets| *octets > 0)
        .ok_or_else(|| "expected a number of octets above 0, in digits only".to_owned())
}

/// A number with a unit, or of seconds.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let (digits, unit) = text.split_at(text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len());
    let seconds: Option<u64> = match unit {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        "d" => Some(24 * 3600),
        "w" => Some(7 * 24 * 3600),
        _ => None,
    };
    let count = parse_digits::<u64>(digits).filter(|count| *count > 0);
    let time = seconds.zip(count).and_then(|(seconds, count)| seconds.checked_mul(count));
    // A clock that has so many seconds.
    time.filter(|seconds| *seconds <= u64::from(u32::MAX))
        .map(Duration::from_secs)
        .ok_or_else(|| "expected a number with s, m, h, d or w, such as 12h".to_owned())
}

/// Permission bits in octal.
#[cfg(unix)]
pub fn parse_mode(text: &str) -> Result<u32, String> {
    let mode = is_digits(text).then(|| u32::from_str_radix(text, 8).ok()).flatten();
    mode.filter(|mode| *mode <= 0o777).ok_or_else(|| "expected permissions in octal, such as 660".to_owned())
}

/// A host's name without a port.
pub fn parse_name(text: &str) -> Result<String, String> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    match !text.is_empty() && text.bytes().all(is_name) {
        true => Ok(text.to_owned()),
        false => Err("expected a name without a port".to_owned()),
    }
}

pub fn parse_positive(text: &str) -> Result<usize, String> {
    parse_digits(text).filter(|n| *n > 0).ok_or_else(|| "expected a number above 0".to_owned())
}

pub fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .filter(|time| *time >= Duration::from_millis(1))
        .ok_or_else(|| "expected a number of seconds above 0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, seconds) in
            [("90", 90), ("90s", 90), ("30m", 1800), ("12h", 43_200), ("7d", 604_800), ("2w", 1_209_600)]
        {
            assert_eq!(parse_time(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "0",
            "0d",
            "s",
            "-1",
            "+1h",
            "1.5h",
            "1 d",
            "1D",
            "1y",
            "1dd",
            "99999999999",
            "18446744073709551615w",
            "1ü",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
