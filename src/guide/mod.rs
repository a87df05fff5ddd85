//! Pages without code: how to get here from another server, how to run one, and why it behaves as it does.
//!
//! | read | to |
//! |---|---|
//! | [`from_smtpd`] | port a program from Python's `smtpd`, or replace `python -m smtpd` |
//! | [`from_aiosmtpd`] | port a program from Python's `aiosmtpd`, hook by hook |
//! | [`threat_model`] | put a server on the Internet: a checklist first, then who may attack and what happens |
//! | [`guarantees`] | know what you can rely on, with the numbers |
//! | [`defaults`] | look up a setting's default, its unit, and the reason for both |
//! | [`inbox`] | test programs in any language by the mail that they send |
//! | [`operations`] | watch a server: numbers, health checks, systemd |
//! | [`scaling_out`] | run more than one process or machine, and know what is lost when one fails |
//! | [`entry_format`] | write a worker in any language, or a handler for another broker than Redis |
//! | [`comparison`] | decide between pillarbox and another server |

pub mod comparison;
pub mod defaults;
pub mod entry_format;
pub mod from_aiosmtpd;
pub mod from_smtpd;
pub mod guarantees;
pub mod inbox;
pub mod operations;
pub mod scaling_out;
pub mod threat_model;
