//! HTML as text, for searches and lists.

use memchr::memmem;

/// Elements whose content is not shown.
const HIDDEN: [&str; 4] = ["script", "style", "title", "template"];

/// Elements after which a line ends.
const LINES: [&str; 14] =
    ["br", "p", "div", "tr", "li", "table", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre"];

/// The text of some HTML, without tags, comments, scripts and styles, and with entities decoded. Use it to search or
/// list, and do not show it as HTML again: it is not escaped.
///
/// ```
/// assert_eq!(pillarbox::mime::html_to_text("<p>Gr&uuml;&#223;e, <b>Bob</b>&nbsp;!</p>").trim(), "Gr\u{fc}\u{df}e, Bob\u{a0}!");
/// ```
pub fn html_to_text(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    // So that a document of tags or comments of which none ends is looked through once.
    let (mut no_tag_ends, mut no_comment_ends) = (false, false);
    while let Some(at) = memchr::memchr(b'<', rest.as_bytes()) {
        let (before, tag) = rest.split_at(at);
        text += before;
        let is_tag = tag[1..].starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'));
        if !is_tag || no_tag_ends {
            text.push('<');
            rest = &tag[1..];
            continue;
        }
        let comment = tag.strip_prefix("<!--").filter(|_| !no_comment_ends);
        let comment_end = comment.and_then(|comment| memmem::find(comment.as_bytes(), b"-->")).map(|at| at + 7);
        no_comment_ends |= comment.is_some() && comment_end.is_none();
        let Some(end) = comment_end.or_else(|| memchr::memchr(b'>', tag.as_bytes()).map(|at| at + 1)) else {
            no_tag_ends = true;
            rest = tag;
            continue;
        };
        let name = tag[1..end].trim_start_matches('/');
        let name = &name[..name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len())];
        rest = &tag[end..];
        if LINES.iter().any(|line| line.eq_ignore_ascii_case(name)) {
            text.push('\n');
        } else if matches!(name, "td" | "th" | "TD" | "TH") {
            text.push(' ');
        }
        if !tag.starts_with("</") && HIDDEN.iter().any(|hidden| hidden.eq_ignore_ascii_case(name)) {
            rest = behind(rest, name);
        }
    }
    text += rest;
    html_escape::decode_html_entities(&text).into_owned()
}

/// What follows the tag that ends an element; nothing if there is none.
fn behind<'a>(rest: &'a str, name: &str) -> &'a str {
    let octets = rest.as_bytes();
    let begins = |at: &usize| {
        octets[at + 2..].get(..name.len()).is_some_and(|other| other.eq_ignore_ascii_case(name.as_bytes()))
    };
    memmem::find_iter(octets, b"</").find(begins).map_or("", |at| &rest[at..])
}

/// The characters that entities stand for.
pub(super) fn unescaped(text: &str) -> String {
    html_escape::decode_html_entities(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_html() {
        for (html, expected) in [
            ("<p title=hidden>Hello <b>W&ouml;rld</b></p>", "\nHello W\u{f6}rld\n"),
            ("a<style>p { }</style>b<SCRIPT>1 < 2</SCRIPT >c", "abc"),
            ("a<!-- <b> -->b<!-- c", "ab<!-- c"),
            ("1 < 2 <b", "1 < 2 <b"),
            ("a<br/>b<td>c", "a\nb c"),
            ("&lt;b&gt; &#x20ac; &unknown; &", "<b> \u{20ac} &unknown; &"),
            ("a<style>b", "a"),
        ] {
            assert_eq!(html_to_text(html), expected, "{html}");
        }
    }
}
