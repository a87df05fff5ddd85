//! What files of a Maildir are called.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::envelope::Envelope;

/// A name that nobody else makes, now or ever: the time, the process, a counter and chance.
pub(super) fn unique(host: &str) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let chance = RandomState::new().build_hasher().finish();
    format!(
        "{}.M{:06}P{}Q{}R{chance:016x}.{host}",
        now.as_secs(),
        now.subsec_micros(),
        std::process::id(),
        COUNTER.fetch_add(1, Ordering::Relaxed),
    )
}

/// Whether a name is one that [`unique`] makes, on this machine or on another that has the same Maildir.
pub(super) fn is_ours(name: &[u8]) -> bool {
    /// What follows a letter and then some digits.
    fn field<'a>(name: &'a [u8], letter: &str, digits: std::ops::RangeInclusive<usize>) -> Option<&'a [u8]> {
        let rest = name.strip_prefix(letter.as_bytes())?;
        let length = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        digits.contains(&length).then(|| &rest[length..])
    }
    let host = || {
        let rest = field(name, "", 1..=20)?;
        let rest = field(rest, ".M", 6..=6)?;
        let rest = field(rest, "P", 1..=10)?;
        let rest = field(rest, "Q", 1..=20)?.strip_prefix(b"R")?;
        let (chance, host) = rest.split_at_checked(16)?;
        let is_hex = chance.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        is_hex.then_some(host)?.strip_prefix(b".")
    };
    host().is_some()
}

/// The same name with the file's size, as Maildir++ has it: who counts a mailbox need not look at each file.
pub(super) fn with_size(unique: &str, octets: u64) -> String {
    format!("{unique},S={octets}")
}

/// The size in a name, whoever made it.
pub(super) fn size(name: &[u8]) -> Option<u64> {
    let end = memchr::memchr(b':', name).unwrap_or(name.len());
    let mut fields = name[..end].split(|octet| *octet == b',').skip(1);
    let digits = fields.find_map(|field| field.strip_prefix(b"S="))?;
    // Digits only, since `parse` would take a sign.
    let digits = str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok())
}

/// What a message is called wherever it is stored. The id alone might hardly ever be another's from another machine: the
/// nanosecond and that machine's name leave nothing to chance.
pub(super) fn of_message(mail: &Envelope) -> String {
    let at = mail.received_at().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{}.N{:09}I{}.{}", at.as_secs(), at.subsec_nanos(), mail.id(), shortened(of_host(mail.hostname())))
}

/// A host's name so short that a file's name has room for it, and for the flags and sizes that readers add: a long one as its
/// beginning and a hash of all of it.
fn shortened(host: String) -> String {
    const MAX: usize = 100;
    const KEPT: usize = 60;
    if host.len() <= MAX {
        return host;
    }
    // FNV-1a: the same on any machine, in any version. The name has a time and an id besides, so nothing hangs on its strength.
    let hash = host.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, octet| {
        (hash ^ u128::from(octet)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    let kept = host.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= KEPT).last();
    format!("{}~{hash:032x}", &host[..kept.unwrap_or(0)])
}

/// A host's name as maildir(5) has it in a file's.
pub(super) fn of_host(host: &str) -> String {
    host.replace('/', "\\057").replace(':', "\\072")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_in_names() {
        let unique = unique("mx.example");
        assert!(size(with_size(&unique, 1234).as_bytes()) == Some(1234) && is_ours(with_size(&unique, 1).as_bytes()));
        assert_eq!(size(b"1.M2P3.mx,S=1234,W=1250:2,S"), Some(1234));
        assert_eq!(size(b"1.M2P3.mx,W=1250,S=0:2,"), Some(0));
        for none in
            [&b"1.M2P3.mx:2,S=5"[..], b"1.M2P3.mx,S=:2,", b"1.M2P3.mx,S=+5", b"1.M2P3.mx,S=99999999999999999999", b""]
        {
            assert_eq!(size(none), None, "{}", none.escape_ascii());
        }
    }

    #[test]
    fn long_hosts_fit_and_stay_apart() {
        let named = |host: &str| {
            let mut mail = Envelope::builder().recipient("b@example.org").content("x").build().unwrap();
            mail.hostname = host.into();
            of_message(&mail).split_once(".N").unwrap().1.split_once('.').unwrap().1.to_owned()
        };
        assert_eq!(named("mx.example"), "mx.example");
        assert_eq!(named(&"a".repeat(100)), "a".repeat(100));
        let (one, other) = (format!("{}.x", "a".repeat(240)), format!("{}.y", "a".repeat(240)));
        assert_eq!(named(&one), named(&one));
        assert_ne!(named(&one), named(&other));
        for long in [one, "\u{fc}".repeat(126), format!("[{}]", "0:".repeat(120)), "a".repeat(101)] {
            assert!(named(&long).len() <= 100 && named(&long).contains('~'), "{long}");
        }
        // As it will always be.
        assert_eq!(shortened("b".repeat(200)), format!("{}~{}", "b".repeat(60), "1471d38d28d11dd9fc16d4b63da0190d"));
    }

    #[test]
    fn we_know_our_own_names_and_no_others() {
        assert!(is_ours(unique("mx.example").as_bytes()) && is_ours(unique("").as_bytes()));
        assert!(is_ours(b"1700000000.M000001P1Q0R0123456789abcdef.host"));
        // Of Dovecot, Postfix, Courier, Python; and what is nearly ours.
        for name in [
            &b"1700000000.M123456P4711.mx.example"[..],
            b"1700000000.Vfd01I2a3M123456.mx.example",
            b"1700000000.M123456P4711V000000000000FD01I0000000000ABCDEF_0.mx.example,S=1234",
            b"1700000000.M123456P4711Q1.mx.example",
            b"1700000000.M00001P1Q0R0123456789abcdef.host",
            b"1700000000.M000001P1Q0R0123456789abcdeF.host",
            b"1700000000.M000001P1Q0R0123456789abcde.host",
            b"1700000000.M000001P1Q0R0123456789abcdef",
            b"+1700000000.M000001P1Q0R0123456789abcdef.host",
            b".M000001P1Q0R0123456789abcdef.host",
            b"old",
            b"",
        ] {
            assert!(!is_ours(name), "{}", name.escape_ascii());
        }
    }
}
