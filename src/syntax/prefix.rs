//! The beginning of a text, by octets.

/// As much of a text as has at most so many octets, in whole characters. `str::floor_char_boundary` does it from Rust 1.91 on.
pub(crate) fn prefix(text: &str, octets: usize) -> &str {
    let mut end = text.len().min(octets);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_is_taken_apart() {
        assert_eq!((0..6).map(|octets| prefix("aé€", octets).len()).collect::<Vec<_>>(), [0, 1, 1, 3, 3, 3]);
        assert_eq!(prefix("aé€", 6), "aé€");
        assert_eq!(prefix("aé€", usize::MAX), "aé€");
    }
}
