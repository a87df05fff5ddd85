//! The header of a message or of a part: which fields there are, and what they say.

use mail_parser::parsers::MessageStream;
use mail_parser::{ContentType, HeaderValue};
use memchr::memchr;

/// In octets, of one field's value; the rest of it is left out.
const MAX_FIELD: usize = 16 * 1024;

/// In octets, of a value with parameters: the work that they make grows with the square of it.
const MAX_PARAMETERS: usize = 4 * 1024;

/// How many fields are looked at.
const MAX_FIELDS: usize = 1000;

/// In octets, of the fields that are looked at.
const MAX_HEADER: usize = 256 * 1024;

/// The fields in their order, neither decoded nor unfolded.
pub struct Header<'a>(Vec<Field<'a>>);

struct Field<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

impl<'a> Header<'a> {
    /// The header, and the body behind it. A line that is no field ends the header as an empty one does.
    pub fn split(octets: &'a [u8]) -> (Header<'a>, &'a [u8]) {
        let mut fields = Vec::new();
        let mut looked_at = 0;
        let mut rest = octets;
        while !rest.is_empty() {
            let mut end = line(rest);
            if matches!(&rest[..end], b"\r\n" | b"\n") {
                return (Header(fields), &rest[end..]);
            }
            let Some(colon) = memchr(b':', &rest[..end]) else { break };
            while let Some(b' ' | b'\t') = rest.get(end) {
                end += line(&rest[end..]);
            }
            if fields.len() < MAX_FIELDS && looked_at < MAX_HEADER {
                let value = &rest[colon + 1..end];
                let value = &value[..value.len().min(MAX_FIELD)];
                let name = rest[..colon].trim_ascii();
                fields.push(Field { name: &name[..name.len().min(MAX_FIELD)], value });
                looked_at += end.min(2 * MAX_FIELD);
            }
            rest = &rest[end..];
        }
        (Header(fields), rest)
    }

    /// Names and values as text.
    pub fn decoded(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().map(|field| (String::from_utf8_lossy(field.name).into_owned(), decoded(field.value)))
    }

    /// The value of the first field of this name, as text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.find(name).map(decoded)
    }

    /// The value of the first field of this name, of the form that Content-Type and Content-Disposition have.
    pub fn parameters(&self, name: &str) -> Option<ContentType<'static>> {
        let value = self.find(name)?;
        let value = &value[..value.len().min(MAX_PARAMETERS)];
        match MessageStream::new(&[value, b"\n"].concat()).parse_content_type().into_owned() {
            HeaderValue::ContentType(parsed) => Some(parsed),
            _ => None,
        }
    }

    fn find(&self, name: &str) -> Option<&'a [u8]> {
        self.0.iter().find(|field| field.name.eq_ignore_ascii_case(name.as_bytes())).map(|field| field.value)
    }
}

/// Text unfolded, encoded words decoded (RFC 2047), without control characters.
pub fn decoded(value: &[u8]) -> String {
    match MessageStream::new(&[value, b"\n"].concat()).parse_unstructured() {
        HeaderValue::Text(text) => text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        _ => String::new(),
    }
}

/// The octets of the first line, its end among them.
pub fn line(octets: &[u8]) -> usize {
    memchr(b'\n', octets).map_or(octets.len(), |end| end + 1)
}
