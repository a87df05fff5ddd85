//! The page between a message and where one of its links leads: it shows the address, and whoever follows it comes there
//! without a word about where from.
//!
//! The page of the inbox asks in a dialog instead. This one is for whoever opens a link in a tab of its own at once, and for
//! browsers in which the page learns nothing of clicks in a frame.

use std::fmt::Write;

/// Links that may be followed; others, such as `javascript:`, lead nowhere.
const SCHEMES: [&str; 6] = ["http://", "https://", "mailto:", "tel:", "sms:", "ftp://"];

/// In octets, of an address.
const MAX_ADDRESS: usize = 16 * 1024;

/// What the page may do.
pub const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// The address in a link's attribute, if it is one that may be followed: with character references decoded, and without the
/// line ends and blanks that browsers leave out.
pub fn address(value: &str) -> Option<String> {
    if value.len() > MAX_ADDRESS {
        return None;
    }
    let decoded = html_escape::decode_html_entities(value);
    let address: String = decoded.chars().filter(|c| !matches!(c, '\t' | '\n' | '\r')).collect();
    let address = address.trim_matches(|c: char| c <= ' ');
    let address = if address.starts_with("//") { format!("https:{address}") } else { address.to_owned() };
    may_be_followed(&address).then_some(address)
}

fn may_be_followed(address: &str) -> bool {
    SCHEMES.iter().any(|scheme| {
        address.len() > scheme.len() && address.as_bytes()[..scheme.len()].eq_ignore_ascii_case(scheme.as_bytes())
    })
}

/// The path of the page that leads to an address.
pub fn link(address: &str) -> String {
    let mut link = "/away?to=".to_owned();
    for b in address.bytes() {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => {
                link.push(char::from(b))
            }
            // Writing to a string cannot fail.
            b => drop(write!(link, "%{b:02X}")),
        }
    }
    link
}

/// The page itself, if the address may be followed.
pub fn page(address: &str) -> Option<String> {
    if address.len() > MAX_ADDRESS || !may_be_followed(address) {
        return None;
    }
    let address = html_escape::encode_double_quoted_attribute(address);
    Some(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<title>A link in a message – pillarbox</title>\n\
         <link rel=\"icon\" href=\"/icon.svg\" type=\"image/svg+xml\">\n<link rel=\"stylesheet\" href=\"/app.css\">\n\
         </head>\n<body class=\"away\">\n<main>\n<h1>A link in a message leads to</h1>\n<p class=\"address\">{address}</p>\n\
         <p><a id=\"follow\" class=\"button primary\" href=\"{address}\" rel=\"noopener noreferrer\" \
         referrerpolicy=\"no-referrer\">Open it</a></p>\n</main>\n</body>\n</html>\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_addresses_are_followed() {
        for (value, expected) in [
            ("https://a.example/?a=1&amp;b=2#c", Some("https://a.example/?a=1&b=2#c")),
            ("&#104;ttp://a.example/", Some("http://a.example/")),
            (" HTTPS://a.example/\n", Some("HTTPS://a.example/")),
            ("ht\ntps://a.example", Some("https://a.example")),
            ("//a.example/b", Some("https://a.example/b")),
            ("mailto:a@example.org", Some("mailto:a@example.org")),
            ("https://", None),
            ("javascript:alert(1)", None),
            ("java\nscript:alert(1)", None),
            ("&#1;javascript:alert(1)", None),
            ("data:text/html,x", None),
            ("/relative", None),
            ("#inside", None),
            ("", None),
        ] {
            assert_eq!(address(value).as_deref(), expected, "{value:?}");
        }
    }

    #[test]
    fn a_link_and_its_page() {
        assert_eq!(link("https://a.example/?b=\"c d\"#e"), "/away?to=https://a.example/%3Fb%3D%22c%20d%22%23e");
        let page = page("https://a.example/\"><script>&amp;").expect("it may be followed");
        assert!(
            !page.contains("<script>") && page.contains("https://a.example/&quot;&gt;&lt;script&gt;&amp;amp;"),
            "{page}"
        );
        assert!(super::page("javascript:alert(1)").is_none());
    }
}
