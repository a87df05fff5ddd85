//! Suggestions for misspelt names.

/// The least similarity of a suggestion, from 0 to 1.
const ALIKE: f64 = 0.8;

/// The name that is most similar to a misspelt one; `None` if none is similar enough.
pub fn nearest<'a>(misspelt: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let misspelt = misspelt.to_ascii_lowercase();
    let likeness = |name: &str| strsim::jaro(&misspelt, &name.to_ascii_lowercase());
    let alike = names.into_iter().map(|name| (likeness(name), name)).filter(|(likeness, _)| *likeness > ALIKE);
    alike.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_were_meant() {
        let names = ["DebuggingServer", "Inbox", "Maildir", "Pipe", "Sink", "PureProxy", "MailmanProxy"];
        for (misspelt, meant) in [
            ("inbx", Some("Inbox")),
            ("Imbox", Some("Inbox")),
            ("MailDirs", Some("Maildir")),
            ("Debugging", Some("DebuggingServer")),
            ("pureproxi", Some("PureProxy")),
            ("", None),
            ("Postfix", None),
        ] {
            assert_eq!(nearest(misspelt, names), meant, "{misspelt}");
        }
    }
}
