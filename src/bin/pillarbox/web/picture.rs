//! Which parts of a message are pictures, and of which type for a browser.

use pillarbox::mime::Part;

/// How browsers call a type, and how else mail calls it or its files.
const TYPES: [(&str, &[&str], &[&str]); 8] = [
    ("image/gif", &[], &["gif"]),
    ("image/jpeg", &["image/jpg", "image/pjpeg", "image/jpe"], &["jpg", "jpeg", "jpe", "jfif"]),
    ("image/png", &["image/x-png", "image/apng"], &["png", "apng"]),
    ("image/webp", &[], &["webp"]),
    ("image/avif", &[], &["avif"]),
    ("image/bmp", &["image/x-bmp", "image/x-ms-bmp", "image/x-windows-bmp"], &["bmp"]),
    ("image/svg+xml", &["image/svg", "image/svg-xml"], &["svg"]),
    ("image/x-icon", &["image/vnd.microsoft.icon", "image/ico", "image/icon"], &["ico"]),
];

/// Types that say nothing, so that a file's name counts.
const UNSAID: [&str; 6] = [
    "application/octet-stream",
    "application/x-unknown",
    "application/binary",
    "binary/octet-stream",
    "image/*",
    "image/unknown",
];

/// As which picture a browser shows a part, if it is one: by its type, or by its name where the type says nothing. A
/// type that is not known here may be known to the browser.
///
/// As a picture, none of them runs anything or loads anything, SVG included.
pub fn kind(part: &Part) -> Option<String> {
    let said = part.content_type();
    if UNSAID.contains(&said) {
        let extension = part.name()?.rsplit_once('.')?.1.to_ascii_lowercase();
        let known = TYPES.iter().find(|(_, _, extensions)| extensions.contains(&&*extension));
        return known.map(|(kind, ..)| (*kind).to_owned());
    }
    if let Some((kind, ..)) = TYPES.iter().find(|(_, others, _)| others.contains(&said)) {
        return Some((*kind).to_owned());
    }
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-');
    let is_picture = said.strip_prefix("image/").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_plain));
    is_picture.then(|| said.to_owned())
}
