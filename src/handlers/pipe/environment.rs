//! What a program is told of a message: the environment that it is started with.

use std::ffi::OsString;
use std::fmt::Write;

use crate::envelope::{Envelope, Recipient};

/// What a program gets of the server's own environment: where things are, and how people here write.
const INHERITED: [&str; 9] = ["PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "TZ"];

/// The longest list of recipients, and of their parameters, in octets. Linux has room for 131,072 in a variable.
const MAX_LIST: usize = 96 * 1024;

/// A value has a control character, so that a program might take it for several, or not get all of it.
#[derive(Debug)]
pub(super) struct ControlCharacter(pub &'static str);

/// The server's variables that a program gets.
pub(super) fn inherited() -> impl Iterator<Item = (&'static str, OsString)> {
    INHERITED.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}

/// How many of the recipients one run can be told of: one at least.
pub(super) fn fitting(recipients: &[Recipient]) -> usize {
    let (mut addresses, mut options) = (0, 0);
    let fits = |to: &&Recipient| {
        addresses += to.as_str().len() + 1;
        options += to.parameters().options().map(|option| option.len() + 1).sum::<usize>() + 1;
        addresses <= MAX_LIST && options <= MAX_LIST
    };
    recipients.iter().take_while(fits).count().max(1)
}

/// The variables about a message and these of its recipients. Each is there, and empty if there is nothing to say.
pub(super) fn variables(
    mail: &Envelope,
    recipients: &[Recipient],
) -> Result<Vec<(&'static str, String)>, ControlCharacter> {
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let tls = mail.tls();
    let variables = vec![
        ("PILLARBOX_ID", mail.id().to_string()),
        ("PILLARBOX_SIZE", mail.content().len().to_string()),
        ("PILLARBOX_SENDER", mail.mail_from().as_str().to_owned()),
        ("PILLARBOX_SENDER_OPTIONS", mail.mail_options().join(" ")),
        ("PILLARBOX_RECIPIENTS", lines(recipients, |line, to| line.push_str(to.as_str()))),
        ("PILLARBOX_RECIPIENT_OPTIONS", lines(recipients, put_options)),
        ("PILLARBOX_PEER", mail.peer().to_string()),
        ("PILLARBOX_PEER_ADDRESS", mail.peer().ip().map(|ip| ip.to_string()).unwrap_or_default()),
        ("PILLARBOX_LOCAL", mail.local().to_string()),
        ("PILLARBOX_HELO", mail.helo().to_owned()),
        ("PILLARBOX_PROTOCOL", mail.protocol().to_string()),
        ("PILLARBOX_IDENTITY", text(mail.identity())),
        ("PILLARBOX_TLS", tls.map_or_else(String::new, |tls| tls.version.clone().unwrap_or_else(|| "TLS".into()))),
        ("PILLARBOX_TLS_CIPHER", text(tls.and_then(|tls| tls.cipher.as_deref()))),
        ("PILLARBOX_TLS_SERVER_NAME", text(tls.and_then(|tls| tls.server_name.as_deref()))),
        ("PILLARBOX_HOSTNAME", mail.hostname().to_owned()),
    ];
    let is_list = |name: &str| name.starts_with("PILLARBOX_RECIPIENT");
    let is_harmful = |name: &str, c: char| c.is_control() && !(c == '\n' && is_list(name));
    match variables.iter().find(|(name, value)| value.chars().any(|c| is_harmful(name, c))) {
        Some((name, _)) => Err(ControlCharacter(name)),
        None => Ok(variables),
    }
}

/// A line for each recipient.
fn lines(recipients: &[Recipient], mut put: impl FnMut(&mut String, &Recipient)) -> String {
    let mut lines = String::new();
    for (number, to) in recipients.iter().enumerate() {
        if number > 0 {
            lines.push('\n');
        }
        put(&mut lines, to);
    }
    lines
}

fn put_options(line: &mut String, to: &Recipient) {
    for (number, option) in to.parameters().options().enumerate() {
        // Writing to a string does not fail.
        let _ = write!(line, "{}{option}", if number > 0 { " " } else { "" });
    }
}
