//! One-time codes in a message, as services send them to confirm an address or a login.
//!
//! A number is a code only by what is said about it: most numbers in mail are years, prices, orders and telephone numbers. A code
//! that is missed can still be read in the text, while a wrong one fails a test in ways that are hard to see.

use super::document::Document;
use super::links::each_in_text;
use super::text::is_invisible;

mod words;

use words::Word;

/// How many codes are told about.
const MAX_CODES: usize = 20;

/// In octets, of a line in which codes are looked for, and of each text.
const MAX_LINE: usize = 2000;
const MAX_TEXT: usize = 256 * 1024;

/// How many characters, without its separators, a code has.
const LENGTHS: std::ops::RangeInclusive<usize> = 4..=8;

/// How many words may stand between a code and what calls it one.
const NEAR: usize = 6;

/// How many, if they say what it is for: "Your OTP for a transaction of Rs. 500 at Example is 482913".
const FAR: usize = 16;

/// The codes in the subject, the text and the HTML; first those that are called codes most clearly. Blanks between their digits are
/// left out, hyphens stay.
pub fn find(subject: &str, text: Option<&str>, html: Option<&Document>) -> Vec<String> {
    let bodies = [Some(subject), text, html.map(|html| html.text.as_str())];
    let lines: Vec<String> = bodies.into_iter().flatten().flat_map(lines).collect();
    let lines: Vec<Line<'_>> = lines.iter().map(|line| Line::of(line)).collect();
    let is_about_codes = lines.iter().any(|line| line.words.iter().any(|word| words::is_occasion(&word.lower)));
    let mut found: Vec<(Certainty, String)> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| &lines[before]);
        for candidate in line.candidates() {
            if let Some(certainty) = line.certainty(&candidate, before, is_about_codes)
                && !found.iter().any(|(_, code)| *code == candidate.code)
            {
                found.push((certainty, candidate.code));
            }
        }
        if found.len() >= 4 * MAX_CODES {
            break;
        }
    }
    found.sort_by_key(|(certainty, _)| *certainty);
    found.into_iter().take(MAX_CODES).map(|(_, code)| code).collect()
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Certainty {
    /// "Your code is 482913", "482913 is your code".
    Called,
    /// Alone on its line, in a message about codes.
    Alone,
    /// "Enter 482913 to sign in".
    Used,
}

/// The lines of a text: without links and addresses, digits and blanks as those of ASCII, single characters below each other as one
/// line.
fn lines(text: &str) -> Vec<String> {
    let mut text: String = super::text::prefix(text, MAX_TEXT).to_owned();
    let mut links = Vec::new();
    each_in_text(&text, &mut |at, link| {
        links.push(at..at + link.len());
        true
    });
    for link in links.into_iter().rev() {
        text.replace_range(link, "\u{fffc}");
    }
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let line: String =
            super::text::prefix(line, MAX_LINE).chars().filter(|c| !is_invisible(*c)).map(plain).collect();
        let line = line.trim();
        let is_single = line.chars().count() == 1 && line.chars().all(|c| c.is_ascii_alphanumeric());
        match lines.last_mut() {
            Some(last)
                if is_single && last.len() < 2 * LENGTHS.end() && last.split(' ').all(|part| part.len() == 1) =>
            {
                last.push(' ');
                last.push_str(line);
            }
            _ if line.is_empty() => {}
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

/// The character of ASCII that a reader would type.
fn plain(c: char) -> char {
    let digit = |zero: u32| char::from_digit(u32::from(c) - zero, 10).unwrap_or(c);
    match c {
        '\u{660}'..='\u{669}' => digit(0x660),
        '\u{6f0}'..='\u{6f9}' => digit(0x6f0),
        '\u{966}'..='\u{96f}' => digit(0x966),
        '\u{ff10}'..='\u{ff19}' => digit(0xff10),
        '\u{ff21}'..='\u{ff3a}' | '\u{ff41}'..='\u{ff5a}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{ff1a}' => ':',
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{ff0d}' => '-',
        c if c.is_whitespace() => ' ',
        c => c,
    }
}

/// A line, taken apart.
struct Line<'a> {
    text: &'a str,
    words: Vec<Word<'a>>,
    is_offer: bool,
}

/// What may be a code: some words of a line.
struct Candidate {
    code: String,
    first: usize,
    last: usize,
    shape: Shape,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Digits,
    /// Digits in groups of one length, or single ones.
    Groups,
    /// Digits and letters in upper case, or groups with a hyphen.
    Mixed,
    /// What would be a word, or a name, if nothing said that it is a code.
    Doubtful,
}

impl<'a> Line<'a> {
    fn of(text: &'a str) -> Line<'a> {
        let words = words::split(text);
        let is_offer = words.iter().any(|word| words::is_offer(&word.lower));
        Line { text, words, is_offer }
    }

    fn candidates(&self) -> Vec<Candidate> {
        let mut all = Vec::new();
        let mut at = 0;
        while at < self.words.len() {
            let candidate = self.spaced(at).or_else(|| self.single(at));
            at = candidate.as_ref().map_or(at, |candidate| candidate.last) + 1;
            all.extend(candidate);
        }
        all
    }

    /// `123 456`, `4 8 2 9 1 3`.
    fn spaced(&self, first: usize) -> Option<Candidate> {
        let length = self.words[first].text.len();
        let is_next = |at: usize| {
            let Some(word) = self.words.get(at) else { return false };
            word.text.len() == length && self.between(at - 1, at) == " " && is_part(word.text, length)
        };
        if length > 4 || !is_part(self.words[first].text, length) {
            return None;
        }
        let longest = first + 1 + LENGTHS.end();
        let last = (first + 1..self.words.len().min(longest)).take_while(|at| is_next(*at)).last()?;
        let parts: Vec<&str> = self.words[first..=last].iter().map(|word| word.text).collect();
        let code = parts.concat();
        // A group more is that of a telephone number, or of a card.
        let is_longer = |word: Option<&Word<'_>>, blank: &str| {
            blank == " " && word.is_some_and(|word| word.text.bytes().all(|b| b.is_ascii_digit()))
        };
        let after = self.words.get(last + 1).map_or("", |_| self.between(last, last + 1));
        let before = first.checked_sub(1).map_or("", |before| self.between(before, first));
        let is_partial = is_longer(self.words.get(last + 1), after)
            || is_longer(first.checked_sub(1).and_then(|before| self.words.get(before)), before);
        let has_digit = code.bytes().any(|b| b.is_ascii_digit());
        let shape = if has_digit { Shape::Groups } else { Shape::Doubtful };
        (LENGTHS.contains(&code.len()) && !is_partial).then_some(Candidate { code, first, last, shape })
    }

    fn single(&self, at: usize) -> Option<Candidate> {
        let text = self.words[at].text;
        let characters = text.bytes().filter(|b| *b != b'-').count();
        if !LENGTHS.contains(&characters) || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return None;
        }
        let has_digit = text.bytes().any(|b| b.is_ascii_digit());
        let has_letter = text.bytes().any(|b| b.is_ascii_alphabetic());
        let is_upper = !text.bytes().any(|b| b.is_ascii_lowercase());
        let groups: Vec<usize> = text.split('-').map(str::len).collect();
        let is_even = groups.iter().all(|length| *length == groups[0]);
        let shape = match (groups.len(), has_digit, has_letter) {
            (1, true, false) => Shape::Digits,
            (1, true, true) if is_upper => Shape::Mixed,
            (2, true, false) if is_even => Shape::Groups,
            (2, true, true) if is_upper => Shape::Mixed,
            // A date, or a part of a telephone number.
            (_, true, false) => return None,
            (1..=3, ..) if is_upper || has_digit => Shape::Doubtful,
            _ => return None,
        };
        Some(Candidate { code: text.to_owned(), first: at, last: at, shape })
    }

    fn between(&self, word: usize, next: usize) -> &str {
        &self.text[self.words[word].end..self.words[next].begin]
    }

    fn certainty(&self, candidate: &Candidate, before: Option<&Line<'_>>, is_about_codes: bool) -> Option<Certainty> {
        if self.is_other(candidate) {
            return None;
        }
        let Candidate { first, last, shape, ref code } = *candidate;
        // What is all in upper case may be any word.
        let is_shouted = shape == Shape::Doubtful
            && code.bytes().all(|b| b.is_ascii_uppercase() || b == b'-')
            && self.words.len() > last - first + 1
            && !self.text.bytes().any(|b| b.is_ascii_lowercase());
        // "Use code SPRING25 at the checkout".
        let is_offered = self.is_offer && code.starts_with(|c: char| c.is_ascii_uppercase());
        if is_shouted || is_offered {
            return None;
        }
        let is_alone = first == 0 && last + 1 == self.words.len();
        let is_called = self.is_called_before(first, shape)
            || shape != Shape::Doubtful && (self.is_called_behind(last) || self.is_headed(candidate))
            || is_alone && before.is_some_and(|line| line.calls_next());
        if is_called {
            return Some(Certainty::Called);
        }
        if shape == Shape::Doubtful || words::is_year(code) {
            return None;
        }
        if is_alone && is_about_codes {
            return Some(Certainty::Alone);
        }
        let is_used = first > 0
            && words::is_use(&self.words[first - 1].lower)
            && self.between(first - 1, first).trim().is_empty();
        let is_occasion = || self.words[last + 1..].iter().any(|word| words::is_occasion(&word.lower));
        (is_used && is_occasion()).then_some(Certainty::Used)
    }

    /// Whether what stands around it says that it is something else.
    fn is_other(&self, candidate: &Candidate) -> bool {
        let (begin, end) = (self.words[candidate.first].begin, self.words[candidate.last].end);
        let mut before = self.text[..begin].chars().rev();
        let mut behind = self.text[end..].chars();
        let (previous, next) = (before.next(), behind.next());
        let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        let is_attached = matches!(
            previous,
            Some('+' | '#' | '$' | '€' | '£' | '¥' | '₹' | '@' | '/' | '\\' | '_' | '=' | '&' | '~')
        ) || matches!(previous, Some('.' | ',' | ':' | '\'')) && is_digit(before.next())
            || matches!(next, Some('%' | '°' | '€' | '$' | '£' | '¥' | '₹' | '@' | '/' | '\\' | '_' | '=' | '&'))
            || matches!(next, Some('.' | ',' | ':' | '\'')) && behind.next().is_some_and(|c| c.is_ascii_alphanumeric());
        // `(0171) 482913`, `EUR 1200`.
        let is_counted = self.words.get(candidate.last + 1).is_some_and(|word| words::is_unit(&word.lower))
            && self.between(candidate.last, candidate.last + 1).trim().is_empty();
        let is_number = candidate.first > 0 && words::is_number_of(&self.words[candidate.first - 1].lower);
        is_attached || is_counted || is_number && !self.is_called_before(candidate.first, candidate.shape)
    }

    /// "Your code is", "code:".
    fn is_called_before(&self, first: usize, shape: Shape) -> bool {
        // Behind "is" or a colon the name of whoever sends it may be in between: "Your code for Example is".
        let is_said_to_be = first > 0 && self.is_verb(first - 1);
        let is_introduced =
            is_said_to_be || first > 0 && self.between(first - 1, first).trim_end().ends_with([':', '：']);
        for (words, at) in (0..first).rev().enumerate() {
            let word = &self.words[at];
            let behind = self.between(at, at + 1);
            if self.ends_sentence(at) || words == if is_said_to_be { FAR } else { NEAR } {
                return false;
            }
            let is_far = words > NEAR && !words::is_purpose(&self.words[at + 1].lower);
            if word.is_code() && !self.is_another_code(at) && !is_far {
                // Behind the short name in "passcode (OTP):".
                let said = behind.trim().trim_start_matches([')', ']']);
                let signs = [':', '=', '-', '>', '|', '"', '\'', '`', '(', '[', '*', '「', '【'];
                let is_said = words > 0 || said.starts_with(signs);
                let is_adjoined = words == 0 && (said.is_empty() && shape != Shape::Doubtful);
                return is_said || is_adjoined;
            }
            let goes_on = if is_introduced {
                !words::is_of_time(&word.lower)
            } else if shape == Shape::Doubtful {
                words::is_copula(&word.lower)
            } else {
                words::is_filler(&word.lower)
            };
            if !goes_on {
                return false;
            }
        }
        false
    }

    /// "482913 is your code".
    fn is_called_behind(&self, last: usize) -> bool {
        for at in last + 1..self.words.len().min(last + 2 + NEAR) {
            let word = &self.words[at];
            if self.ends_sentence(at - 1) {
                return false;
            }
            if at == last + 1 && !words::is_copula(&word.lower) && !word.is_code() && !word.is_foreign() {
                return false;
            }
            if word.is_code() && !self.is_another_code(at) {
                return true;
            }
        }
        false
    }

    /// "[482913] Verification code".
    fn is_headed(&self, candidate: &Candidate) -> bool {
        let behind = &self.words[candidate.last + 1..];
        candidate.first == 0
            && !words::is_year(&candidate.code)
            && behind.len() <= NEAR
            && behind.last().is_some_and(|word| word.is_code() && !self.is_another_code(self.words.len() - 1))
            && self.between(candidate.last, candidate.last + 1).trim().starts_with([']', ')', ':', '-', '|'])
    }

    /// Whether a line ends so that the next one is the code.
    fn calls_next(&self) -> bool {
        let from = self.words.len().saturating_sub(2 * NEAR);
        let is_code = |at: usize| self.words[at].is_code() && !self.is_another_code(at);
        let is_short = self.words.len() <= NEAR;
        (self.text.ends_with(':') || is_short) && (from..self.words.len()).any(is_code)
    }

    fn is_verb(&self, at: usize) -> bool {
        let word = &self.words[at].lower;
        // Finnish, where it is right behind the code's name.
        words::is_verb(word) && (word != "on" || at > 0 && self.words[at - 1].is_code())
    }

    /// Whether a word is the last one of a sentence.
    fn ends_sentence(&self, at: usize) -> bool {
        let behind = self.between(at, at + 1);
        let is_dot = behind.contains(". ") && !words::is_abbreviation(&self.words[at].lower);
        behind.contains(['!', '?', '。', ';', '\u{fffc}']) || is_dot
    }

    /// A postal code, a discount code.
    fn is_another_code(&self, at: usize) -> bool {
        let behind = self.words.get(at + 1..).unwrap_or_default();
        let kind = match behind {
            [article, kind, ..] if matches!(&*article.lower, "de" | "di" | "of") => Some(kind),
            _ => behind.first(),
        };
        at > 0 && words::is_other_kind(&self.words[at - 1].lower)
            || kind.is_some_and(|kind| words::is_other_kind_behind(&kind.lower))
            || behind.first().is_some_and(|next| next.lower == "of" && self.words[at].lower == "code")
    }
}

/// Whether a part of a code in groups, or a single character of one.
fn is_part(text: &str, length: usize) -> bool {
    match length {
        1 => text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()),
        _ => text.bytes().all(|b| b.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests;
