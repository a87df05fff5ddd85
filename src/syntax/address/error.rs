//! Why text is not an address.

use std::fmt::{self, Display, Formatter};

/// Why text is not an address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum AddressError {
    /// It is empty.
    Empty,
    /// An angle bracket is missing.
    MissingBracket,
    /// The local part is neither a dot-string nor a quoted string, or has no domain where it needs one.
    LocalPart,
    /// The domain is missing or malformed.
    Domain,
    /// The text in square brackets is not an address literal.
    Literal,
    /// The source route before the address is invalid.
    Route,
    /// Something else follows directly behind the address.
    Trailing,
    /// The local part has more than 64 octets, where the grammar is strict; otherwise more than a path can hold.
    LocalPartTooLong,
    /// The domain has more than 255 octets, or one of its labels more than 63.
    DomainTooLong,
    /// The path has more than 256 octets, with its brackets even if it was sent without.
    PathTooLong,
    /// The octets are not UTF-8.
    NotUtf8,
    /// It contains a control character.
    ControlCharacter,
}

impl Display for AddressError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AddressError::Empty => "no address",
            AddressError::MissingBracket => "missing angle bracket",
            AddressError::LocalPart => "bad local part",
            AddressError::Domain => "bad domain",
            AddressError::Literal => "bad address literal",
            AddressError::Route => "bad source route",
            AddressError::Trailing => "unexpected text behind the address",
            AddressError::LocalPartTooLong => "local part too long",
            AddressError::DomainTooLong => "domain too long",
            AddressError::PathTooLong => "path too long",
            AddressError::NotUtf8 => "not UTF-8",
            AddressError::ControlCharacter => "control character",
        })
    }
}

impl std::error::Error for AddressError {}
