//! Texts in lists and searches: shortened, on one line, without their case.

/// As many octets of a text as there may be, up to the end of a character.
pub fn prefix(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Adds a text with single blanks for all that separates words, and without what cannot be seen.
pub fn add_line(text: &str, line: &mut String) {
    for c in text.chars() {
        match c {
            c if is_invisible(c) => {}
            c if c.is_whitespace() || c.is_control() => {
                if !line.is_empty() && !line.ends_with([' ', '\n']) {
                    line.push(' ');
                }
            }
            c => line.push(c),
        }
    }
}

/// A text on one line.
pub fn line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    add_line(text, &mut line);
    line.truncate(line.trim_end().len());
    line
}

/// A text as it is compared: on one line, and without its case, so that `ß` is `ss`, and a sigma is one wherever it stands.
pub fn fold(text: &str) -> String {
    let mut line = line(text);
    if line.is_ascii() {
        line.make_ascii_lowercase();
        return line;
    }
    // The upper case of a character tells more of them apart than its lower case does, and may be several characters.
    let upper = line.to_uppercase();
    upper.to_lowercase().chars().filter(|c| *c != COMBINING_DOT).map(|c| if c == 'ς' { 'σ' } else { c }).collect()
}

/// What the lower case of the Turkish İ has besides an i.
const COMBINING_DOT: char = '\u{307}';

/// Hyphens that are not shown, blanks without a width, joiners, marks of direction.
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compared_has_no_case() {
        for (one, other) in [
            ("Hello  World\r\n", "hello world"),
            ("STRASSE", "straße"),
            ("ΟΔΟΣ", "οδος"),
            ("ΟΔΟΣ", "οδοσ"),
            ("ﬁne", "FINE"),
            ("İstanbul", "istanbul"),
            ("ISPARTA", "ısparta"),
            ("ÄÖÜ", "äöü"),
            ("ver\u{ad}ifi\u{200b}ca\u{2060}tion", "VERIFICATION"),
            ("a\u{a0}b\u{2003}c\t\n d", "a b c d"),
        ] {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
        assert_ne!(fold("a"), fold("ä"));
        assert_eq!(fold(" \u{200b}\n"), "");
    }

    #[test]
    fn a_prefix_ends_with_a_character() {
        assert_eq!([prefix("aé", 3), prefix("aé", 2), prefix("aé", 1), prefix("aé", 9)], ["aé", "a", "a", "aé"]);
    }
}
