//! The query of a request's target: each parameter is known, comes once and has a value.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::digits::parse_digits;

/// In seconds, how long a request may wait.
const MAX_WAIT: f64 = 300.0;

/// The parameters of a request.
#[derive(Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn parse(query: &str, known: &[&str]) -> Result<Query, String> {
        let mut all: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")));
            if !known.contains(&&*name) {
                let known = if known.is_empty() { "none here".to_owned() } else { known.join(", ") };
                return Err(format!("there is no parameter {name:?}: there are {known}"));
            }
            if all.iter().any(|(other, _)| *other == name) {
                return Err(format!("{name}: it can be given only once"));
            }
            if value.trim().is_empty() {
                return Err(format!("{name}: it has no value"));
            }
            all.push((name, value));
        }
        Ok(Query(all))
    }

    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A whole number.
    pub fn number(&self, name: &str, range: RangeInclusive<usize>) -> Result<Option<usize>, String> {
        let Some(text) = self.value(name) else { return Ok(None) };
        let number = parse_digits(text).filter(|number| range.contains(number));
        let (least, most) = (range.start(), range.end());
        number.map(Some).ok_or_else(|| format!("{name}: expected a number from {least} to {most}"))
    }

    /// One of some words.
    pub fn word<'a>(&self, name: &str, words: &[&'a str]) -> Result<Option<&'a str>, String> {
        let Some(text) = self.value(name) else { return Ok(None) };
        let word = words.iter().find(|word| **word == text);
        word.map(|word| Some(*word)).ok_or_else(|| format!("{name}: expected {}", words.join(" or ")))
    }

    /// A message's id.
    pub fn id(&self, name: &str) -> Result<Option<u64>, String> {
        let Some(text) = self.value(name) else { return Ok(None) };
        parse_digits(text).map(Some).ok_or_else(|| format!("{name}: expected an id"))
    }

    /// How long to wait.
    pub fn seconds(&self, name: &str, usual: f64) -> Result<Duration, String> {
        let Some(text) = self.value(name) else { return Ok(Duration::from_secs_f64(usual)) };
        let seconds = text.parse::<f64>().ok().filter(|seconds| (0.0..=MAX_WAIT).contains(seconds));
        let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        time.ok_or_else(|| format!("{name}: expected a number of seconds, at most {MAX_WAIT}"))
    }
}

/// Undoes percent encoding. What is none stays as it is, and what is not UTF-8 is replaced.
pub fn decode(text: &str) -> String {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digit = |at: usize| behind.get(at).and_then(|b| char::from(*b).to_digit(16));
        rest = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                octets.push((high * 16 + low) as u8);
                &behind[2..]
            }
            _ => {
                octets.push(*first);
                behind
            }
        };
    }
    String::from_utf8_lossy(&octets).into_owned()
}
