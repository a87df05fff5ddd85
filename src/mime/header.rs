//! The header of a message or a part, line by line: RFC 5322 section 2.2.

use super::limits::{Bounds, Cut, MAX_PART_FIELD};

/// The fields of a part that say something of its body.
const OF_PARTS: [&str; 4] = ["Content-Type", "Content-Disposition", "Content-Transfer-Encoding", "Content-ID"];

/// In octets, of a field's name.
const MAX_FIELD_NAME: usize = 1000;

/// A field, unfolded and not decoded.
#[derive(Debug)]
pub(super) struct Field {
    pub name: Vec<u8>,
    pub value: Vec<u8>,
}

impl Field {
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// A header that is being read.
#[derive(Debug)]
pub(super) struct Header {
    is_message: bool,
    is_first: bool,
    fields: Vec<Field>,
    // Whether what follows belongs to the last of the fields, or to one that is not kept.
    is_kept: bool,
    // Whether there is a field that can go on, and has to, for its value ends with a semicolon.
    can_go_on: bool,
    goes_on: bool,
    octets: usize,
}

impl Header {
    /// That of a message, of which all fields are kept.
    pub fn of_message() -> Header {
        Header { is_message: true, ..Header::of_part() }
    }

    pub fn of_part() -> Header {
        Header {
            is_message: false,
            is_first: true,
            fields: Vec::new(),
            is_kept: false,
            can_go_on: false,
            goes_on: false,
            octets: 0,
        }
    }

    pub fn into_fields(self) -> Vec<Field> {
        self.fields
    }

    /// Adds a line, or the beginning of a long one, without its end. Whether it belongs to the header: one that does not
    /// begins the body.
    pub fn line(&mut self, line: &[u8], bounds: &mut Bounds<'_>) -> bool {
        let is_first = std::mem::replace(&mut self.is_first, false);
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            if self.can_go_on {
                self.more(line, bounds);
            }
            return self.can_go_on;
        }
        // The first line of a message in an mbox.
        if is_first && self.is_message && (line.starts_with(b"From ") || line.starts_with(b">From ")) {
            return true;
        }
        if line.starts_with(b"--") {
            return false;
        }
        let colon = memchr::memchr(b':', line);
        let name = colon.map(|colon| line[..colon].trim_ascii_end());
        match (name, colon) {
            (Some(name), Some(colon)) if !name.is_empty() && name.iter().all(u8::is_ascii_graphic) => {
                self.begin(name, &line[colon + 1..], bounds);
                true
            }
            // A parameter whose line should have begun with a blank.
            _ if self.goes_on && line.contains(&b'=') => {
                self.more(b" ", bounds);
                self.more(line, bounds);
                true
            }
            _ => false,
        }
    }

    /// Adds the next octets of a long line.
    pub fn more(&mut self, octets: &[u8], bounds: &mut Bounds<'_>) {
        self.goes_on = octets.trim_ascii_end().ends_with(b";");
        let most = if self.is_message { bounds.limits.field } else { MAX_PART_FIELD };
        let Some(field) = self.fields.last_mut().filter(|_| self.is_kept) else { return };
        let room = most.saturating_sub(field.value.len()).min(bounds.limits.header.saturating_sub(self.octets));
        let taken = &octets[..octets.len().min(room)];
        field.value.extend_from_slice(taken);
        self.octets += taken.len();
        if taken.len() < octets.len() {
            bounds.cut(Cut::Field);
            self.is_kept = false;
        }
    }

    fn begin(&mut self, name: &[u8], value: &[u8], bounds: &mut Bounds<'_>) {
        self.can_go_on = true;
        self.goes_on = value.trim_ascii_end().ends_with(b";");
        self.is_kept = false;
        let is_known = || OF_PARTS.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name));
        if !self.is_message && (!is_known() || self.fields.iter().any(|field| field.name.eq_ignore_ascii_case(name))) {
            return;
        }
        if self.fields.len() >= bounds.limits.fields {
            return bounds.cut(Cut::Fields);
        }
        if self.octets + name.len() >= bounds.limits.header {
            return bounds.cut(Cut::Header);
        }
        if name.len() > MAX_FIELD_NAME {
            return bounds.cut(Cut::Field);
        }
        self.octets += name.len();
        self.fields.push(Field { name: name.to_vec(), value: Vec::new() });
        self.is_kept = true;
        self.more(value, bounds);
    }
}
