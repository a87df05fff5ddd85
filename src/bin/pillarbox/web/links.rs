//! Where a message leads: links of its HTML, and what looks like one in its text.

use linkify::{LinkFinder, LinkKind};
use serde_json::{Value, json};

use super::document::Document;
use super::text::prefix;

/// How many links are told about, and in octets what they take.
const MAX_LINKS: usize = 10_000;
const MAX_OCTETS: usize = 1024 * 1024;

/// Schemes without `//` that are known in a text.
const SCHEMES: &[&str] = &["mailto:", "tel:", "sms:", "sip:", "sips:", "xmpp:", "geo:", "magnet:", "urn:"];

/// In octets, of a word in which a link is looked for.
const MAX_WORD: usize = 16 * 1024;

/// Links, in order: those of the text, then those of the HTML.
#[derive(Default)]
pub struct Links {
    pub all: Vec<Value>,
    pub is_cut: bool,
    octets: usize,
}

impl Links {
    pub fn of(text: Option<&str>, html: Option<&Document>) -> Links {
        let mut links = Links::default();
        each_in_text(text.unwrap_or_default(), &mut |_, url| links.add(url, url, "text"));
        if let Some(document) = html {
            links.add_document(document);
        }
        links
    }

    /// The anchors, and between them what the text shows.
    fn add_document(&mut self, document: &Document) {
        let mut at = 0;
        for anchor in &document.anchors {
            self.add_shown(document.text.get(at..anchor.begin));
            self.add(&anchor.url, &anchor.label, "html");
            at = at.max(anchor.end);
        }
        self.add_shown(document.text.get(at..));
    }

    fn add_shown(&mut self, text: Option<&str>) {
        each_in_text(text.unwrap_or_default(), &mut |_, url| self.add(url, url, "html"));
    }

    fn add(&mut self, url: &str, text: &str, source: &str) -> bool {
        self.octets += url.len() + text.len();
        self.is_cut |= self.all.len() >= MAX_LINKS || self.octets > MAX_OCTETS;
        if !self.is_cut {
            self.all.push(json!({ "url": url, "text": text, "source": source }));
        }
        !self.is_cut
    }
}

/// Gives all links in a text, with where they begin, until `found` wants no more.
pub fn each_in_text(text: &str, found: &mut impl FnMut(usize, &str) -> bool) {
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Url]);
    let mut at = 0;
    // Word by word, for what is no link may be looked at again and again.
    for word in text.split(is_between_words) {
        let begin = at;
        at += word.len() + text[at + word.len()..].chars().next().map_or(0, char::len_utf8);
        if !word.contains(':') {
            continue;
        }
        let word = prefix(word, MAX_WORD);
        let mut goes_on = true;
        if let Some((behind, link)) = without_slashes(word).or_else(|| at_ipv6(word)) {
            goes_on = found(begin + behind, link);
        } else {
            for link in finder.links(word) {
                goes_on &= found(begin + link.start(), without_bracket(link.as_str()));
            }
        }
        if !goes_on {
            return;
        }
    }
}

/// Whether no link goes on with it: scripts without blanks have only their own punctuation behind one.
fn is_between_words(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '<' | '>' | '"' | '“' | '”' | '„' | '«' | '»' | '…')
        || matches!(c, '、' | '。' | '，' | '；' | '！' | '？' | '「' | '」' | '『' | '』' | '【' | '】' | '《' | '》')
}

/// Without a wide bracket that is opened before the link.
fn without_bracket(link: &str) -> &str {
    if link.contains('（') { link } else { link.split('）').next().unwrap_or(link) }
}

/// A link like `mailto:bob@example.org`, and where in the word it begins.
fn without_slashes(word: &str) -> Option<(usize, &str)> {
    let begin = word.find(|c: char| c.is_alphanumeric())?;
    let link = &word[begin..];
    let is_known = |scheme: &&&str| {
        link.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme)) && link.len() > scheme.len()
    };
    SCHEMES.iter().find(is_known)?;
    Some((begin, trimmed(link)))
}

/// A link like `http://[::1]:3000/`, and where in the word it begins.
fn at_ipv6(word: &str) -> Option<(usize, &str)> {
    let slashes = word.find("://[")?;
    let begin = word[..slashes].char_indices().rev().take_while(|(_, c)| c.is_ascii_alphanumeric()).last()?.0;
    Some((begin, trimmed(&word[begin..])))
}

/// Without what ends a sentence.
fn trimmed(link: &str) -> &str {
    link.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', '}', '\'', '*', '_', '。', '，'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn in_text(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        each_in_text(text, &mut |at, url| {
            assert_eq!(&text[at..at + url.len()], url);
            all.push(url.to_owned());
            true
        });
        all
    }

    #[test]
    fn links_in_text() {
        for (text, expected) in [
            (
                "Go to https://a.example/reset?token=a.b-c_d~e%20&x=[1].",
                "https://a.example/reset?token=a.b-c_d~e%20&x=[1]",
            ),
            ("(see http://a.example/x_(y)), please", "http://a.example/x_(y)"),
            ("<https://a.example/a>b", "https://a.example/a"),
            ("\"https://a.example/a\"", "https://a.example/a"),
            ("[Reset](https://a.example/a)", "https://a.example/a"),
            ("**https://a.example/a**", "https://a.example/a"),
            ("open myapp://reset/42#x!", "myapp://reset/42#x"),
            ("com.shop.app+x://verify?c=1", "com.shop.app+x://verify?c=1"),
            ("http://localhost:3000/#/reset/abc", "http://localhost:3000/#/reset/abc"),
            ("http://127.0.0.1:8080/a http", "http://127.0.0.1:8080/a"),
            ("(http://[::1]:3000/a).", "http://[::1]:3000/a"),
            ("ftp://a.example/a", "ftp://a.example/a"),
            ("HTTPS://A.EXAMPLE/A", "HTTPS://A.EXAMPLE/A"),
            ("https://müller.example/grün", "https://müller.example/grün"),
            ("Write (mailto:bob@a.example?subject=x).", "mailto:bob@a.example?subject=x"),
            ("tel:+491234567, or so", "tel:+491234567"),
            ("https://a.example/a?b=c&amp;d", "https://a.example/a?b=c&amp;d"),
            ("请点击https://a.example/a，谢谢", "https://a.example/a"),
            ("リンク：https://a.example/日本。次の", "https://a.example/日本"),
            ("「https://a.example/a」", "https://a.example/a"),
            ("（https://a.example/a）を", "https://a.example/a"),
            ("https://a.example/東京（曖昧さ回避）", "https://a.example/東京（曖昧さ回避）"),
            ("„https://a.example/a“ …", "https://a.example/a"),
            ("https://a.example/a… and", "https://a.example/a"),
        ] {
            assert_eq!(in_text(text), [expected], "{text}");
        }
        assert!(in_text("12:30, a: b://, bob@a.example, note:this https:// C:\\x").is_empty());
        assert_eq!(in_text("http://a.example/1\nhttp://a.example/2"), ["http://a.example/1", "http://a.example/2"]);
    }

    #[test]
    fn links_of_both_bodies_in_order() {
        let html =
            Document::of("https://a.example/bare <a href=/x>https://a.example/shown</a> <a href='a:b'>c</a> tel:1");
        let links = Links::of(Some("http://a.example/text"), Some(&html));
        let all: Vec<_> =
            links.all.iter().map(|link| (link["url"].as_str().unwrap(), link["source"].as_str().unwrap())).collect();
        let expected = [
            ("http://a.example/text", "text"),
            ("https://a.example/bare", "html"),
            ("/x", "html"),
            ("a:b", "html"),
            ("tel:1", "html"),
        ];
        assert_eq!(all, expected);
        assert_eq!(links.all[2]["text"], "https://a.example/shown");
    }

    #[test]
    fn what_is_expensive_takes_no_longer_for_each_octet() {
        // Not by the clock: a quadratic search of eight megabytes would take hours.
        let begun = Instant::now();
        for piece in [
            "http://*",
            "a://",
            "mailto:",
            "://",
            "a@",
            "http://a.",
            "((((",
            "a://a((",
            "<a href=x>",
            "x:",
            "@a:",
            "&amp;",
            "a.b:",
            "x://[",
            "a:b://",
            "http://-",
            "[a://",
            "'a://'",
            "http://a:",
            "<p a=\"",
            "<!--",
            "<a href=\"",
        ] {
            let text = piece.repeat(1024 * 1024 / piece.len());
            Links::of(Some(&text), Some(&Document::of(&text)));
        }
        assert!(begun.elapsed().as_secs() < 300);
    }

    #[test]
    fn so_many_and_no_more() {
        let links = Links::of(Some(&"http://a.example/ ".repeat(MAX_LINKS + 1)), None);
        assert_eq!((links.all.len(), links.is_cut), (MAX_LINKS, true));
        assert!(!Links::of(Some("http://a.example/"), None).is_cut);
    }
}
