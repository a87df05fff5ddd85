//! The conversation, octet by octet.
