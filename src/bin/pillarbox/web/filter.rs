//! Which messages a request is about.

use std::ops::RangeInclusive;

use memchr::memmem::Finder;

use super::query::Query;
use super::store::StoredMessage;
use super::summary::{ADDRESS, Field};
use super::text::fold;

/// How many words a search may have, and in octets how long a value may be.
const MAX_WORDS: usize = 16;
const MAX_VALUE: usize = 1000;

/// The fields of a search.
const FIELDS: [(&str, RangeInclusive<Field>); 8] = [
    ("from", Field::From..=Field::From),
    ("to", Field::To..=Field::Bcc),
    ("cc", Field::Cc..=Field::Cc),
    ("bcc", Field::Bcc..=Field::Bcc),
    ("addressed", Field::From..=Field::ReplyTo),
    ("reply-to", Field::ReplyTo..=Field::ReplyTo),
    ("subject", Field::Subject..=Field::Subject),
    ("message-id", Field::MessageId..=Field::MessageId),
];

/// Conditions that a message meets all of.
#[derive(Default)]
pub struct Filter(Vec<Condition>);

struct Condition {
    is_negated: bool,
    what: What,
}

enum What {
    Occurs(Box<Finder<'static>>, RangeInclusive<Field>),
    HasAttachment,
    IsRead(bool),
}

impl Filter {
    /// # Errors
    /// What is wrong with a parameter, in a sentence.
    pub fn of(query: &Query) -> Result<Filter, String> {
        let mut filter = Filter::default();
        for (name, field) in [("to", Field::To..=Field::Bcc), ("from", Field::From..=Field::From)] {
            if let Some(value) = query.value(name) {
                filter.push(What::Occurs(address(name, value)?, field));
            }
        }
        if let Some(value) = query.value("subject") {
            filter.push(What::Occurs(finder("subject", value)?, Field::Subject..=Field::Subject));
        }
        if let Some(search) = query.value("search") {
            filter.0.extend(Filter::search("search", search)?.0);
        }
        Ok(filter)
    }

    /// The conditions of a search: words that all occur, in a field or anywhere.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence that begins with the parameter's name.
    pub fn search(parameter: &str, search: &str) -> Result<Filter, String> {
        let mut filter = Filter::default();
        if search.len() > MAX_VALUE {
            return Err(format!("{parameter}: at most {MAX_VALUE} octets"));
        }
        for Term { is_negated, field, text } in terms(search) {
            let what = match field.to_ascii_lowercase().as_str() {
                "has" if text.eq_ignore_ascii_case("attachment") => What::HasAttachment,
                "is" if text.eq_ignore_ascii_case("read") => What::IsRead(true),
                "is" if text.eq_ignore_ascii_case("unread") => What::IsRead(false),
                "has" => return Err(format!("{parameter}: there is no has:{text}: there is has:attachment")),
                "is" => return Err(format!("{parameter}: there is no is:{text}: there are is:read and is:unread")),
                "" => What::Occurs(finder(parameter, &text)?, Field::Subject..=Field::Text),
                field => {
                    let known = FIELDS.iter().find(|(name, _)| *name == field);
                    let fields = known.map_or(Field::Subject..=Field::Text, |(_, fields)| fields.clone());
                    What::Occurs(finder(&format!("{parameter}: {field}"), &text)?, fields)
                }
            };
            filter.0.push(Condition { is_negated, what });
            if filter.0.len() > MAX_WORDS {
                return Err(format!("{parameter}: at most {MAX_WORDS} words"));
            }
        }
        if filter.0.is_empty() {
            return Err(format!("{parameter}: it has no word"));
        }
        Ok(filter)
    }

    /// Whether a message meets all conditions.
    pub fn matches(&self, message: &StoredMessage) -> bool {
        let summary = &message.summary;
        self.0.iter().all(|Condition { is_negated, what }| {
            let is_met = match what {
                What::Occurs(finder, fields) => {
                    finder.find(summary.searched(*fields.start(), *fields.end()).as_bytes()).is_some()
                }
                What::HasAttachment => summary.facts.count > 0,
                What::IsRead(read) => message.is_read() == *read,
            };
            is_met != *is_negated
        })
    }

    fn push(&mut self, what: What) {
        self.0.push(Condition { is_negated: false, what });
    }
}

/// What finds a text wherever it is.
fn finder(parameter: &str, text: &str) -> Result<Box<Finder<'static>>, String> {
    let text = checked(parameter, text)?;
    Ok(Box::new(Finder::new(text.as_bytes()).into_owned()))
}

/// What finds an address as a whole, all addresses of a domain, or a part of an address or a name.
fn address(parameter: &str, text: &str) -> Result<Box<Finder<'static>>, String> {
    let text = text.trim();
    let text = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
    if text.is_empty() {
        // The null reverse-path.
        return Ok(Box::new(Finder::new(&format!("{ADDRESS}\n")).into_owned()));
    }
    let folded = checked(parameter, text)?;
    let sought = match folded.rsplit_once('@') {
        Some(("", _)) => format!("{folded}\n"),
        // A plus that nobody has encoded came as a blank, which no address has but in quotes.
        Some((local, _)) if !local.contains('"') => format!("{ADDRESS}{}\n", folded.replace(' ', "+")),
        Some(_) => format!("{ADDRESS}{folded}\n"),
        None => folded,
    };
    Ok(Box::new(Finder::new(sought.as_bytes()).into_owned()))
}

fn checked(parameter: &str, text: &str) -> Result<String, String> {
    if text.len() > MAX_VALUE {
        return Err(format!("{parameter}: at most {MAX_VALUE} octets"));
    }
    let folded: String = fold(text).chars().filter(|c| *c != ADDRESS).collect();
    if folded.is_empty() { Err(format!("{parameter}: it has no word")) } else { Ok(folded) }
}

/// A word of a search.
struct Term {
    is_negated: bool,
    /// Empty if it is none of those that are known.
    field: String,
    text: String,
}

/// The words of a search; what is in quotes is one word.
fn terms(search: &str) -> Vec<Term> {
    let mut terms = Vec::new();
    let mut rest = search.trim_start();
    while !rest.is_empty() {
        let is_negated = rest.starts_with(['-', '!'])
            && rest[1..].starts_with(|c: char| !c.is_whitespace() && !matches!(c, '-' | '!'));
        if is_negated {
            rest = &rest[1..];
        }
        let field = field(rest);
        rest = &rest[if field.is_empty() { 0 } else { field.len() + 1 }..];
        let (text, behind) = match rest.strip_prefix('"').and_then(|quoted| quoted.split_once('"')) {
            Some((text, behind)) => (text, behind),
            None => rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())),
        };
        // Quotes alone are no word, but a field has to have one.
        if !text.trim().is_empty() || !field.is_empty() {
            terms.push(Term { is_negated, field: field.to_owned(), text: text.to_owned() });
        }
        rest = behind.trim_start();
    }
    terms
}

/// Whether a word of a search begins with this, a minus before it or not.
pub fn begins_a_word(search: &str, begin: &str) -> bool {
    terms(search).iter().any(|Term { field, text, .. }| {
        let word = if field.is_empty() { text.clone() } else { format!("{field}:{text}") };
        word.get(..begin.len()).is_some_and(|found| found.eq_ignore_ascii_case(begin))
    })
}

/// The name of a field that a word begins with. Any other colon is one of the word's characters, as in `12:30`.
fn field(word: &str) -> &str {
    let Some((name, _)) = word.split_once(':') else { return "" };
    let is_known =
        FIELDS.iter().map(|(field, _)| *field).chain(["has", "is"]).any(|field| field.eq_ignore_ascii_case(name));
    if is_known { name } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(search: &str) -> Vec<(bool, String, String)> {
        terms(search).into_iter().map(|term| (term.is_negated, term.field, term.text)).collect()
    }

    #[test]
    fn words_fields_and_quotes() {
        let term = |is_negated: bool, field: &str, text: &str| (is_negated, field.to_owned(), text.to_owned());
        for (search, expected) in [
            ("one  two", vec![term(false, "", "one"), term(false, "", "two")]),
            ("\"two words\" x", vec![term(false, "", "two words"), term(false, "", "x")]),
            ("from:ann TO:\"Bob B\"", vec![term(false, "from", "ann"), term(false, "TO", "Bob B")]),
            ("-has:attachment !is:read", vec![term(true, "has", "attachment"), term(true, "is", "read")]),
            ("-\"a b\" -x", vec![term(true, "", "a b"), term(true, "", "x")]),
            ("12:30 http://a", vec![term(false, "", "12:30"), term(false, "", "http://a")]),
            (
                "- -- !! a-b",
                vec![term(false, "", "-"), term(false, "", "--"), term(false, "", "!!"), term(false, "", "a-b")],
            ),
            ("\"open", vec![term(false, "", "\"open")]),
            ("\"\" from:", vec![term(false, "from", "")]),
            ("a\"b c\"", vec![term(false, "", "a\"b"), term(false, "", "c\"")]),
        ] {
            assert_eq!(parsed(search), expected, "{search}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (search, problem) in [
            ("", "search: it has no word"),
            ("\"\"", "search: it has no word"),
            ("\u{200b}", "search: it has no word"),
            ("from:", "search: from: it has no word"),
            ("has:stars", "search: there is no has:stars: there is has:attachment"),
            ("is:new", "search: there is no is:new: there are is:read and is:unread"),
        ] {
            assert_eq!(Filter::search("search", search).err().as_deref(), Some(problem), "{search}");
        }
        assert!(Filter::search("search", &"a ".repeat(16)).is_ok());
        assert_eq!(Filter::search("search", &"a ".repeat(17)).err().as_deref(), Some("search: at most 16 words"));
        assert!(Filter::search("search", &"a".repeat(1001)).is_err());
    }
}
