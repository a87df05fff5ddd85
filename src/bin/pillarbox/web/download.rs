//! The name and the type under which a browser stores an attachment.

use pillarbox::mime::Part;

/// Types that nothing runs; any other is just octets.
const HARMLESS: [&str; 8] = [
    "application/pdf",
    "application/zip",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/webp",
    "text/csv",
    "text/plain",
];

pub fn harmless(kind: &str) -> &str {
    if HARMLESS.contains(&kind) { kind } else { "application/octet-stream" }
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
pub fn name(part: &Part, index: usize) -> String {
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
