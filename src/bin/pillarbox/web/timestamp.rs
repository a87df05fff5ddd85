//! Points in time as text.

use std::time::SystemTime;

/// RFC 3339, in UTC, with milliseconds.
pub fn timestamp(time: SystemTime) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let millis = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_millis());
    // As in `Sun, 06 Nov 1994 08:49:37 GMT`, each part of which has a fixed length.
    let http = httpdate::fmt_http_date(time.max(SystemTime::UNIX_EPOCH));
    let month = MONTHS.iter().position(|month| *month == &http[8..11]).unwrap_or_default() + 1;
    format!("{}-{month:02}-{}T{}.{millis:03}Z", &http[12..16], &http[5..7], &http[17..25])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timestamps() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.005Z"),
            (951_782_399, "2000-02-28T23:59:59.005Z"),
            (951_782_400, "2000-02-29T00:00:00.005Z"),
            (951_868_800, "2000-03-01T00:00:00.005Z"),
            (1_795_424_400, "2026-11-23T09:00:00.005Z"),
            (4_107_542_399, "2100-02-28T23:59:59.005Z"),
            (4_107_542_400, "2100-03-01T00:00:00.005Z"),
        ] {
            assert_eq!(timestamp(SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 5)), expected);
        }
    }
}
