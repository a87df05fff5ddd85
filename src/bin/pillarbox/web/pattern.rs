//! Which addresses are meant: `*@example.org`.

/// An address in which `*` stands for any characters, and `?` for one. The case of letters does not matter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern(Vec<char>);

impl Pattern {
    /// # Errors
    /// If no address could match.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        if text.matches('@').count() != 1 && text != "*" || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err("expected an address in which * stands for any characters, such as *@example.org".to_owned());
        }
        Ok(Pattern(text.to_lowercase().chars().collect()))
    }

    pub fn matches(&self, address: &str) -> bool {
        let address: Vec<char> = address.to_lowercase().chars().collect();
        let (mut at, mut ours) = (0, 0);
        // Where the last star is, and up to where it stands for characters.
        let mut star: Option<(usize, usize)> = None;
        while at < address.len() {
            match self.0.get(ours) {
                Some('*') => {
                    star = Some((ours, at));
                    ours += 1;
                }
                Some(c) if *c == '?' || *c == address[at] => {
                    (at, ours) = (at + 1, ours + 1);
                }
                _ => {
                    let Some((begin, end)) = star else { return false };
                    star = Some((begin, end + 1));
                    (at, ours) = (end + 1, begin + 1);
                }
            }
        }
        self.0[ours..].iter().all(|c| *c == '*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_meant() {
        for (pattern, address, is_meant) in [
            ("*@example.org", "bob@example.org", true),
            ("*@example.org", "BOB@EXAMPLE.ORG", true),
            ("*@example.org", "bob@sub.example.org", false),
            ("*@example.org", "bob@example.org.evil.example", false),
            ("*@example.org", "@example.org", true),
            ("*@*.example.org", "bob@sub.example.org", true),
            ("bob@example.org", "bob@example.org", true),
            ("bob@example.org", "xbob@example.org", false),
            ("test-*@example.org", "test-1@example.org", true),
            ("test-*@example.org", "test@example.org", false),
            ("b?b@example.org", "bub@example.org", true),
            ("b?b@example.org", "bb@example.org", false),
            ("*a*b*@example.org", "xaybz@example.org", true),
            ("*", "bob@example.org", true),
            ("*@müller.example", "a@MÜLLER.example", true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(address), is_meant, "{pattern} {address}");
        }
        for text in ["", "example.org", "a@b@c", "*@exa mple.org", "**"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn stars_take_no_longer_than_a_product() {
        let pattern = Pattern::parse(&format!("{}@x", "*a".repeat(60))).unwrap();
        assert!(!pattern.matches(&format!("{}@y", "a".repeat(250))));
    }
}
