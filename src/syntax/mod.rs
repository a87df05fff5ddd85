//! The grammar of SMTP and of what surrounds it: pure functions and types, without input or output, threads or clocks.

pub(crate) mod address;
pub(crate) mod command;
pub(crate) mod date;
pub(crate) mod escaped;
pub(crate) mod heap;
pub(crate) mod network;
pub(crate) mod number;
pub(crate) mod parameter;
pub(crate) mod prefix;
pub(crate) mod proxy_protocol;
pub(crate) mod reply;
pub(crate) mod xclient;
pub(crate) mod xtext;
