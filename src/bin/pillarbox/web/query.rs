//! The query of a request's target.

/// The value of a name that came, its escapes undone; of several the first.
pub fn value(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(key, _)| decode(key) == name).map(|(_, value)| decode(&value.replace('+', " ")))
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
