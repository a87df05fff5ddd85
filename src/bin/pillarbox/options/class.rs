//! The classes of the command line, which decide what happens to messages, and the options that only some classes use.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::named::Named;
use super::nearest::nearest;

// The headings of the help for the options that not every class uses.
pub const INBOX: &str = "The class Inbox";
pub const MAILDIR: &str = "The class Maildir";
#[cfg(unix)]
pub const PIPE: &str = "The class Pipe";
pub const MAILMAN: &str = "The class MailmanProxy";
pub const REDIS: &str = "The class RedisStream";
pub const RELAY: &str = "The classes PureProxy and MailmanProxy";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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

const NAMES: &[(&str, Class)] = &[
    ("DebuggingServer", Class::Debugging),
    ("Inbox", Class::Inbox),
    ("Maildir", Class::Maildir),
    #[cfg(unix)]
    ("Pipe", Class::Pipe),
    ("RedisStream", Class::RedisStream),
    ("Sink", Class::Sink),
    ("PureProxy", Class::PureProxy),
    ("MailmanProxy", Class::MailmanProxy),
];

impl Class {
    fn name(self) -> &'static str {
        NAMES.iter().find(|(_, class)| *class == self).map_or("", |(name, _)| name)
    }
}

pub const CLASS: Named<Class> = Named {
    names: &[
        "DebuggingServer",
        "Inbox",
        "Maildir",
        #[cfg(unix)]
        "Pipe",
        "RedisStream",
        "Sink",
        "PureProxy",
        "MailmanProxy",
    ],
    parse,
};

fn parse(text: &str) -> Result<Class, String> {
    // smtpd took the name of a module before that of its class.
    let wanted = text.rsplit_once('.').map_or(text, |(_, class)| class);
    if let Some((_, class)) = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)) {
        return Ok(*class);
    }
    let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
    let meant = nearest(wanted, names.iter().copied());
    let meant = meant.map_or_else(String::new, |name| format!("did you mean {name}? "));
    Err(format!("{meant}The classes are {}", names.join(", ")))
}

/// The classes that use an argument; none if all do.
fn users_of(argument: &Arg) -> Option<&'static [Class]> {
    const RELAYS: &[Class] = &[Class::PureProxy, Class::MailmanProxy];
    match (argument.get_help_heading(), argument.get_id().as_str()) {
        (Some(INBOX), _) => Some(&[Class::Inbox]),
        (Some(MAILDIR), _) => Some(&[Class::Maildir]),
        #[cfg(unix)]
        (Some(PIPE), _) | (_, "program") => Some(&[Class::Pipe]),
        (Some(REDIS), _) => Some(&[Class::RedisStream]),
        (Some(MAILMAN), _) => Some(&[Class::MailmanProxy]),
        (Some(RELAY), _) | (_, "remote") => Some(RELAYS),
        _ => None,
    }
}

/// Checks that the class uses every argument that was given. `name` is how an argument was given: as an option or a variable.
///
/// # Errors
/// A message about the first that it does not use.
pub fn check(class: Class, command: &Command, given: &ArgMatches, name: impl Fn(&Arg) -> String) -> Result<(), String> {
    let is_given = |argument: &&Arg| {
        let source = given.value_source(argument.get_id().as_str());
        matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    };
    for argument in command.get_arguments().filter(is_given) {
        match users_of(argument) {
            Some(users) if !users.contains(&class) => {
                let users: Vec<_> = users.iter().map(|user| format!("-c {}", user.name())).collect();
                return Err(format!("{} is for {}, not for -c {}", name(argument), users.join(" and "), class.name()));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::command;
    use super::*;

    /// What is said if an argument is given to a class, if anything.
    fn problem(argument: &Arg, class: Class) -> Option<String> {
        let words = match argument.get_long() {
            Some(option) if argument.get_action().takes_values() => vec![format!("--{option}=1")],
            Some(option) => vec![format!("--{option}")],
            None if argument.is_last_set() => vec!["--".to_owned(), "program".to_owned()],
            None if argument.get_id() == "local" => vec!["local:1".to_owned()],
            None => vec!["local:1".to_owned(), "remote:1".to_owned()],
        };
        // Whether the value is one is not asked for here.
        let command = command().mut_args(|other| other.value_parser(clap::value_parser!(std::ffi::OsString)));
        let words = ["pillarbox".to_owned()].into_iter().chain(words);
        let given = command.clone().ignore_errors(true).try_get_matches_from(words).expect("words");
        check(class, &command, &given, |argument| argument.get_id().to_string()).err()
    }

    #[test]
    fn every_argument_is_for_every_class_or_for_those_of_its_heading() {
        let command = command();
        for argument in
            command.get_arguments().filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()))
        {
            let (id, heading) = (argument.get_id().as_str(), argument.get_help_heading().unwrap_or_default());
            let is_own = heading.starts_with("The class") || ["remote", "program"].contains(&id);
            for (name, class) in NAMES {
                let is_used = match id {
                    "remote" => name.ends_with("Proxy"),
                    "program" => *name == "Pipe",
                    _ => !is_own || heading.split(' ').any(|word| word == *name),
                };
                let problem = problem(argument, *class);
                assert_eq!(problem.is_none(), is_used, "{id} for {name}: {problem:?}");
            }
        }
    }

    #[test]
    fn options_that_classes_do_not_use() {
        for (id, used) in [
            ("maildir", &["Maildir"][..]),
            ("http", &["Inbox"]),
            ("http_public", &["Inbox"]),
            ("http_host", &["Inbox"]),
            #[cfg(unix)]
            ("lf", &["Pipe"]),
            #[cfg(unix)]
            ("pipe_timeout", &["Pipe"]),
            ("redis", &["RedisStream"]),
            ("stream_octets", &["RedisStream"]),
            ("redis_ca", &["RedisStream"]),
            ("mailman", &["MailmanProxy"]),
            ("relay_networks", &["PureProxy", "MailmanProxy"]),
            ("relay_domains", &["PureProxy", "MailmanProxy"]),
            ("open_relay", &["PureProxy", "MailmanProxy"]),
            ("upstream_tls", &["PureProxy", "MailmanProxy"]),
            ("upstream_timeout", &["PureProxy", "MailmanProxy"]),
            ("no_x_peer", &["PureProxy", "MailmanProxy"]),
        ] {
            let command = command();
            let argument = command.get_arguments().find(|argument| argument.get_id() == id).expect(id);
            for (name, class) in NAMES {
                assert_eq!(problem(argument, *class).is_none(), used.contains(name), "{id} for {name}");
            }
        }
    }
}
