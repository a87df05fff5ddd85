//! Web addresses in a text.

use super::limits::MAX_LINKS;

/// By their look.
pub(super) fn find(body: &str) -> Vec<&str> {
    let mut links = Vec::new();
    let mut rest = body;
    while let Some(at) = memchr::memmem::find(rest.as_bytes(), b"http")
        && links.len() < MAX_LINKS
    {
        rest = &rest[at..];
        let end = rest.find(|c: char| c.is_whitespace() || "\"'<>".contains(c)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end.max("http".len()));
        rest = behind;
        let link = word.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']']);
        let address = link.strip_prefix("https://").or(link.strip_prefix("http://"));
        if address.is_some_and(|address| !address.is_empty()) {
            links.push(link);
        }
    }
    links
}
