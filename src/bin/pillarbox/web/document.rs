//! What a reader sees of HTML: its text, and where it leads.

use html5gum::emitters::default::DefaultEmitter;
use html5gum::{HtmlString, StartTag, Token, Tokenizer};

use super::text::prefix;

/// In octets, of a link's text.
const MAX_LABEL: usize = 500;

/// Elements whose content is not shown.
const HIDDEN: &[&[u8]] = &[b"script", b"style", b"title", b"template", b"noframes", b"noembed", b"iframe"];

/// Elements that stand in a line. What any other begins or ends is on a line of its own.
const INLINE: &[&[u8]] = &[
    b"a", b"abbr", b"acronym", b"b", b"bdi", b"bdo", b"big", b"button", b"cite", b"code", b"data", b"del", b"dfn",
    b"em", b"font", b"i", b"img", b"input", b"ins", b"kbd", b"label", b"map", b"area", b"mark", b"nobr", b"o:p",
    b"output", b"q", b"s", b"samp", b"small", b"span", b"strike", b"strong", b"sub", b"sup", b"time", b"tt", b"u",
    b"var", b"wbr", b"svg", b"path",
];

/// A document as it is read.
#[derive(Default)]
pub struct Document {
    /// A line for each block, with single blanks; entities are characters.
    pub text: String,
    /// In their order.
    pub anchors: Vec<Anchor>,
}

/// A link, a place in an image that is one, or where a form is sent.
pub struct Anchor {
    /// As it was written, without blanks and line ends.
    pub url: String,
    pub label: String,
    /// Where its text is in the document's.
    pub begin: usize,
    pub end: usize,
}

impl Document {
    pub fn of(html: &str) -> Document {
        let mut emitter = DefaultEmitter::default();
        emitter.naively_switch_states(true);
        let mut reader = Reader::default();
        // It reads from memory, which cannot fail.
        for token in Tokenizer::new_with_emitter(html, emitter).flatten() {
            reader.read(&token);
        }
        reader.end_anchor();
        reader.document
    }
}

#[derive(Default)]
struct Reader {
    document: Document,
    // The element that hides what is in it.
    hidden: Option<Vec<u8>>,
    // The link that has begun, and the description of a picture in it.
    anchor: Option<Anchor>,
    is_preformatted: bool,
}

impl Reader {
    fn read(&mut self, token: &Token) {
        match token {
            Token::StartTag(tag) => self.start(tag),
            Token::EndTag(tag) => self.end(&tag.name),
            Token::String(text) if self.hidden.is_none() => self.text(&String::from_utf8_lossy(text)),
            _ => {}
        }
    }

    fn start(&mut self, tag: &StartTag<()>) {
        if self.hidden.is_some() {
            return;
        }
        if HIDDEN.contains(&&tag.name[..]) {
            self.hidden = (!tag.self_closing || &tag.name[..] != b"template").then(|| tag.name.to_vec());
            return;
        }
        self.separate(&tag.name);
        match &tag.name[..] {
            b"a" => {
                self.end_anchor();
                self.anchor = attribute(tag, b"href").and_then(|url| self.anchor_to(&url, ""));
            }
            b"area" => {
                let label = attribute(tag, b"alt").unwrap_or_default();
                let area = attribute(tag, b"href").and_then(|url| self.anchor_to(&url, &label));
                self.document.anchors.extend(area);
            }
            b"form" => {
                let form = attribute(tag, b"action").and_then(|url| self.anchor_to(&url, ""));
                self.document.anchors.extend(form);
            }
            b"img" => {
                if let (Some(anchor), Some(alt)) = (&mut self.anchor, attribute(tag, b"alt")) {
                    anchor.label = prefix(&alt, MAX_LABEL).to_owned();
                }
            }
            b"pre" => self.is_preformatted = true,
            _ => {}
        }
    }

    fn end(&mut self, name: &HtmlString) {
        if let Some(hidden) = &self.hidden {
            if *hidden == name[..] {
                self.hidden = None;
            }
            return;
        }
        match &name[..] {
            b"a" => self.end_anchor(),
            b"pre" => self.is_preformatted = false,
            _ => {}
        }
        self.separate(name);
    }

    /// Between two cells there is a blank, and between two blocks a line's end.
    fn separate(&mut self, name: &[u8]) {
        let text = &mut self.document.text;
        if matches!(name, b"td" | b"th") {
            if !text.is_empty() && !text.ends_with([' ', '\n']) {
                text.push(' ');
            }
        } else if !INLINE.contains(&name) && !text.is_empty() && !text.ends_with('\n') {
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
    }

    fn text(&mut self, more: &str) {
        let text = &mut self.document.text;
        for c in more.chars() {
            match c {
                '\n' if self.is_preformatted => text.push('\n'),
                ' ' | '\t' | '\n' | '\r' | '\u{c}' => {
                    if !text.is_empty() && !text.ends_with([' ', '\n']) {
                        text.push(' ');
                    }
                }
                c => text.push(c),
            }
        }
    }

    fn anchor_to(&self, url: &str, label: &str) -> Option<Anchor> {
        let url: String = url.trim().chars().filter(|c| !matches!(c, '\t' | '\n' | '\r')).collect();
        let at = self.document.text.len();
        (!url.is_empty()).then(|| Anchor { url, label: prefix(label, MAX_LABEL).to_owned(), begin: at, end: at })
    }

    fn end_anchor(&mut self) {
        let Some(mut anchor) = self.anchor.take() else { return };
        let text = &self.document.text;
        // A block within it may have taken the blank before it away.
        anchor.begin = anchor.begin.min(text.len());
        anchor.end = text.len();
        let label = text.get(anchor.begin..).unwrap_or_default().trim();
        if !label.is_empty() {
            anchor.label = prefix(label, MAX_LABEL).replace('\n', " ");
        }
        self.document.anchors.push(anchor);
    }
}

fn attribute(tag: &StartTag<()>, name: &[u8]) -> Option<String> {
    tag.attributes.get(name).map(|value| String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_that_is_shown() {
        for (html, expected) in [
            ("<p title='hidden>'>Hello <b>W&ouml;rld</b></p>", "Hello Wörld\n"),
            ("a<style>p { }</style>b<SCRIPT>1 < 2</SCRIPT >c", "abc"),
            ("<title>not this</title>a<!-- <b> -->b<!-- c", "ab"),
            ("a<br/>b<td>c<td>d", "a\nb c d"),
            ("<span>4</span><span>8</span>\n<i>2</i>", "48 2"),
            ("<div>a</div>\n  <div> b </div>", "a\nb\n"),
            ("<pre>a\n  b</pre>", "a\nb\n"),
            ("&lt;b&gt; &#x20ac; &unknown; & &nbsp;", "<b> € &unknown; & \u{a0}"),
            ("a<style>b", "a"),
            ("<textarea>a<b>c</textarea>", "a<b>c\n"),
        ] {
            assert_eq!(Document::of(html).text, expected, "{html}");
        }
    }

    #[test]
    fn where_it_leads() {
        let links = |html: &str| -> Vec<(String, String)> {
            Document::of(html).anchors.into_iter().map(|anchor| (anchor.url, anchor.label)).collect()
        };
        for (html, url, label) in [
            (
                "<a href='https://a.example/?a=1&amp;b=2'>Reset <b>now</b></a>",
                "https://a.example/?a=1&b=2",
                "Reset now",
            ),
            ("<A HREF=/reset>x</A>", "/reset", "x"),
            ("<a href=\" java\nscript:x \">x", "javascript:x", "x"),
            ("<a href=mailto:a@b.example><img alt='Write to us' src=x></a>", "mailto:a@b.example", "Write to us"),
            ("<a href=x><div>a</div><div>b</div></a>", "x", "a b"),
            ("<map><area href='?x' alt=there></map>", "?x", "there"),
            ("<form action='//a.example/vote'><button>Yes</button></form>", "//a.example/vote", ""),
            ("<a x=\"<a href=y>\" href='app://open'>x</a>", "app://open", "x"),
        ] {
            assert_eq!(links(html), [(url.to_owned(), label.to_owned())], "{html}");
        }
        assert!(links("<a>x</a><a href=''>y</a><!-- <a href=x> --><script>'<a href=x>'</script>").is_empty());
        let two: Vec<_> = links("<a href=1>a<a href=2>b").into_iter().map(|(url, label)| url + &label).collect();
        assert_eq!(two, ["1a", "2b"]);
    }
}
