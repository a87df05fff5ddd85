//! The name and the type under which a browser stores an attachment.

use pillarbox::mime::Part;

use super::picture;

/// Types that nothing runs; any other is just octets. Pictures are among them: those that are documents, as SVG is, run nothing
/// where a page shows them as pictures, and are stored or have no rights where it does not.
const HARMLESS: [&str; 4] = ["application/pdf", "application/zip", "text/csv", "text/plain"];

/// As which type an attachment is sent.
pub fn harmless(part: &Part) -> String {
    let said = HARMLESS.into_iter().find(|kind| *kind == part.content_type()).map(str::to_owned);
    said.or_else(|| picture::kind(part)).unwrap_or_else(|| "application/octet-stream".to_owned())
}

/// The field Content-Disposition: RFC 6266, with RFC 8187 for what is not ASCII.
pub fn disposition(name: &str) -> String {
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let mut field = format!("attachment; filename=\"{plain}\"");
    if plain != name {
        field += "; filename*=UTF-8''";
        for b in name.bytes() {
            match b {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => field.push(char::from(b)),
                b => field += &format!("%{b:02X}"),
            }
        }
    }
    field
}

/// What needs no escape, and what no browser takes for one.
fn is_plain(c: char) -> bool {
    matches!(c, ' '..='~') && !matches!(c, '"' | '\\' | '%' | '/' | ';')
}

/// A name for what has none.
pub fn name(part: &Part, index: &str) -> String {
    part.name().map(str::to_owned).unwrap_or_else(|| {
        let extension = match part.content_type() {
            "application/pdf" => "pdf",
            "image/gif" => "gif",
            "image/jpeg" => "jpg",
            "image/png" => "png",
            "message/rfc822" => "eml",
            "text/plain" => "txt",
            _ => "bin",
        };
        format!("attachment-{index}.{extension}")
    })
}
