//! What becomes of messages: the classes of the command line.

use super::named::Named;

/// The headings of the help that have the options of one class, or of two.
pub const INBOX: &str = "The class Inbox";
pub const MAILDIR: &str = "The class Maildir";
#[cfg(unix)]
pub const PIPE: &str = "The class Pipe";
pub const MAILMAN: &str = "The class MailmanProxy";
pub const REDIS: &str = "The class RedisStream";
pub const RELAY: &str = "The classes PureProxy and MailmanProxy";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Debugging,
    Inbox,
    Sink,
    Maildir,
    #[cfg(unix)]
    Pipe,
    RedisStream,
    PureProxy,
    MailmanProxy,
}

pub const CLASS: Named<Class> = Named { names: CLASSES, parse: parse_class };

#[cfg(unix)]
const CLASSES: &[&str] =
    &["DebuggingServer", "Inbox", "Maildir", "Pipe", "RedisStream", "Sink", "PureProxy", "MailmanProxy"];
#[cfg(not(unix))]
const CLASSES: &[&str] = &["DebuggingServer", "Inbox", "RedisStream", "Sink", "PureProxy", "MailmanProxy"];

fn parse_class(name: &str) -> Result<Class, String> {
    // smtpd took the name of a module before that of its class.
    match name.rsplit_once('.').map_or(name, |(_, class)| class).to_ascii_lowercase().as_str() {
        "debuggingserver" => Ok(Class::Debugging),
        "inbox" => Ok(Class::Inbox),
        "sink" => Ok(Class::Sink),
        "maildir" => Ok(Class::Maildir),
        #[cfg(unix)]
        "pipe" => Ok(Class::Pipe),
        "redisstream" => Ok(Class::RedisStream),
        "pureproxy" => Ok(Class::PureProxy),
        "mailmanproxy" => Ok(Class::MailmanProxy),
        _ => {
            Err("the classes are DebuggingServer, Inbox, Sink, Maildir, Pipe, RedisStream, PureProxy and MailmanProxy"
                .to_owned())
        }
    }
}
