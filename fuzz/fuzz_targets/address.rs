//! Addresses: what is taken is taken again as it prints, is equal to itself, and has nothing in it that could end a line.

#![no_main]

use std::hash::{DefaultHasher, Hash, Hasher};

use pillarbox::{AddressLiteral, ForwardPath, Mailbox, ReversePath};

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    let is_clean = |text: &str| !text.chars().any(char::is_control);
    if let Ok(mailbox) = text.parse::<Mailbox>() {
        let again: Mailbox = mailbox.to_string().parse().expect("what was printed");
        assert_eq!(again, mailbox);
        assert_eq!(hash(&again), hash(&mailbox));
        assert!(is_clean(mailbox.as_str()));
        let domain = mailbox.domain();
        let whole = if domain.is_empty() { String::new() } else { format!("@{domain}") };
        assert_eq!(format!("{}{whole}", mailbox.local_part()), mailbox.as_str());
        let upper = format!("{}@{}", mailbox.local_part(), mailbox.domain().to_ascii_uppercase());
        if let Ok(upper) = upper.parse::<Mailbox>() {
            assert_eq!(upper, mailbox);
            assert_eq!(hash(&upper), hash(&mailbox));
        }
        let _ = mailbox.domain_literal();
        let _ = mailbox.unquoted_local_part();
    }
    if let Ok(path) = text.parse::<ReversePath>() {
        assert_eq!(path.to_string().parse::<ReversePath>(), Ok(path.clone()));
        assert_eq!(format!("<{path}>").parse::<ReversePath>(), Ok(path));
    }
    if let Ok(path) = text.parse::<ForwardPath>() {
        assert_eq!(format!("<{path}>").parse::<ForwardPath>(), Ok(path.clone()));
        assert!(is_clean(path.as_str()));
    }
    let _ = text.parse::<AddressLiteral>();
});
