//! Which parameters of a transaction are passed on to the next server, and what is refused because they cannot be.

use super::survey::Survey;
use crate::envelope::Recipient;
use crate::syntax::address::ReversePath;
use crate::syntax::parameter::{Body, DeliverByMode, MailParameters};
use crate::syntax::reply::{Reply, Status};
use crate::upstream::Client;

/// Octets for the headers that are added: SIZE is an estimate (RFC 1870 section 6.1).
const ADDED: u64 = 512;

const NO_BINARY: Reply = Reply::fixed(554, Status::new(5, 6, 3), "The next mail server does not take BINARYMIME");
const NO_UTF8: Reply = Reply::fixed(553, Status::new(5, 6, 7), "The next mail server does not take SMTPUTF8");
const NO_TLS: Reply = Reply::fixed(550, Status::new(5, 7, 10), "No verified TLS to the next mail server");
const NO_REQUIRETLS: Reply =
    Reply::fixed(550, Status::new(5, 7, 30), "The next mail server does not support REQUIRETLS");
const NO_SCHEDULE: Reply = Reply::fixed(550, Status::new(5, 3, 3), "The next mail server cannot keep such times");

/// What the next server accepts in a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Carried {
    /// Octets above 127 in the content.
    pub eight_bit: bool,
    /// The same in its headers.
    pub utf8_headers: bool,
    /// Content that is not made of lines.
    pub binary: bool,
}

/// What a message's content is, as it was announced or as it was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Declared {
    pub size: Option<u64>,
    pub body: Option<Body>,
}

impl Declared {
    /// As the client announced it, before the content is there.
    pub fn announced(parameters: &MailParameters) -> Declared {
        Declared { size: parameters.size().map(|size| size.saturating_add(ADDED)), body: parameters.body() }
    }

    /// As it is: it may have been changed since its client announced it.
    pub fn found(parameters: &MailParameters, octets: u64, survey: &Survey) -> Declared {
        let body = match parameters.body() {
            None | Some(Body::SevenBit) if survey.eight_bit => Some(Body::EightBitMime),
            body => body,
        };
        Declared { size: Some(octets), body }
    }

    fn is_binary(self) -> bool {
        self.body == Some(Body::BinaryMime)
    }
}

/// The MAIL command for the next server, or the refusal that an RFC has where it cannot do what the message needs.
pub(super) fn mail(
    client: &Client,
    from: &ReversePath,
    parameters: &MailParameters,
    declared: Declared,
) -> Result<(String, Carried), Reply> {
    check(client, from, parameters, declared)?;
    let mut line = format!("MAIL FROM:<{from}>");
    push_own_options(&mut line, client, parameters, declared);
    let carried = [
        ("RET", "DSN"),
        ("ENVID", "DSN"),
        ("MT-PRIORITY", "MT-PRIORITY"),
        ("BY", "DELIVERBY"),
        ("HOLDFOR", "FUTURERELEASE"),
        ("HOLDUNTIL", "FUTURERELEASE"),
    ];
    push_options(&mut line, parameters.options(), &carried, client);
    push_extensions(&mut line, parameters.own(), client);
    let binary = declared.is_binary();
    Ok((
        line,
        Carried {
            eight_bit: binary || client.offers("8BITMIME"),
            utf8_headers: !parameters.smtputf8() || client.offers("SMTPUTF8"),
            binary,
        },
    ))
}

/// Refuses what must not be ignored by a server that does not offer it.
fn check(client: &Client, from: &ReversePath, parameters: &MailParameters, declared: Declared) -> Result<(), Reply> {
    let has = |keyword: &str| client.offers(keyword);
    // RFC 6531 section 3.5. Without such an address only the headers can still need it, which are not there yet.
    if !from.is_ascii() && !has("SMTPUTF8") {
        return Err(NO_UTF8);
    }
    // RFC 3030 section 3.
    if declared.is_binary() && !(has("BINARYMIME") && has("CHUNKING")) {
        return Err(NO_BINARY);
    }
    // RFC 8689 section 4.2.1.
    if parameters.require_tls() && !client.is_verified() {
        return Err(NO_TLS);
    }
    if parameters.require_tls() && !has("REQUIRETLS") {
        return Err(NO_REQUIRETLS);
    }
    // RFC 2852 section 4.1.4, RFC 4865 section 4.
    let must_return = parameters.deliver_by().is_some_and(|by| by.mode == DeliverByMode::Return);
    if (must_return && !has("DELIVERBY")) || (parameters.hold().is_some() && !has("FUTURERELEASE")) {
        return Err(NO_SCHEDULE);
    }
    Ok(())
}

/// Appends the options that are not passed on literally.
fn push_own_options(line: &mut String, client: &Client, parameters: &MailParameters, declared: Declared) {
    // RFC 6152 section 3.
    if let Some(body) = declared.body
        && (client.offers("8BITMIME") || body == Body::BinaryMime)
    {
        *line += &format!(" BODY={body}");
    }
    if parameters.smtputf8() && client.offers("SMTPUTF8") {
        *line += " SMTPUTF8";
    }
    if let Some(size) = declared.size
        && client.offers("SIZE")
    {
        *line += &format!(" SIZE={size}");
    }
    if parameters.require_tls() {
        *line += " REQUIRETLS";
    }
}

/// The RCPT command for the next server, or the refusal of RFC 6531 section 3.5.
pub(super) fn rcpt(client: &Client, to: &Recipient) -> Result<String, Reply> {
    if !to.path().is_ascii() && !client.offers("SMTPUTF8") {
        return Err(NO_UTF8);
    }
    let mut line = format!("RCPT TO:<{to}>");
    push_options(&mut line, to.parameters().options(), &[("NOTIFY", "DSN"), ("ORCPT", "DSN")], client);
    push_extensions(&mut line, to.parameters().own(), client);
    Ok(line)
}

/// Appends the parameters of the program's own extensions that the server offers too.
fn push_extensions<'a>(line: &mut String, own: impl Iterator<Item = (&'a str, &'a str)>, client: &Client) {
    for (option, extension) in own {
        if client.offers(extension) {
            *line += " ";
            *line += option;
        }
    }
}

/// Appends those of the options that the server knows.
fn push_options<'a>(
    line: &mut String,
    options: impl Iterator<Item = &'a str>,
    carried: &[(&str, &str)],
    client: &Client,
) {
    let utf8 = client.offers("SMTPUTF8");
    for option in options {
        let keyword = option.split('=').next().unwrap_or_default();
        let is_known = carried.iter().any(|(name, extension)| *name == keyword && client.offers(extension));
        if is_known && (option.is_ascii() || utf8) {
            *line += " ";
            *line += option;
        }
    }
}
