//! The query of a request's target: each parameter is known, comes once and has a value.

/// The parameters of a request.
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
