//! Options as environment variables: `PILLARBOX_` and the option's name, in capitals and with `_` for `-`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, Command, Error};

use super::nearest::nearest;

const PREFIX: &str = "PILLARBOX_";

/// The class Pipe always sets these for its programs. Some variables of a message have the names of options, so a process that has
/// both takes no options from its environment.
const OF_A_PROGRAM: [&str; 2] = ["PILLARBOX_ID", "PILLARBOX_PROTOCOL"];

/// Between the values of an option that can be repeated: a path may have commas, and so has `--listen`. Those that take lists
/// have their commas as well.
const SEPARATOR: char = ';';

/// The arguments that are no options, and their variables.
const ADDRESSES: [(&str, &str); 2] = [("local", "PILLARBOX_LOCALADDR"), ("remote", "PILLARBOX_REMOTEADDR")];

/// The variables of the process that begin with the prefix and are not empty: an empty one is as good as none, as
/// `${NAME:-}` in a compose file makes them.
pub struct Environment(BTreeMap<String, OsString>);

/// The words of the command line, those of the environment among them.
pub struct Words {
    pub all: Vec<OsString>,
    /// Which option each variable stands for that was taken.
    taken: Vec<(String, Arg)>,
}

impl Environment {
    pub fn read() -> Environment {
        let ours = |(name, value): (OsString, OsString)| {
            let name = name.into_string().ok().filter(|name| name.starts_with(PREFIX))?;
            (!value.is_empty()).then_some((name, value))
        };
        let variables: BTreeMap<_, _> = std::env::vars_os().filter_map(ours).collect();
        let is_program = OF_A_PROGRAM.iter().all(|name| variables.contains_key(*name));
        Environment(if is_program { BTreeMap::new() } else { variables })
    }

    /// Has the addresses read from their variables: their place among the words is all that tells them apart.
    pub fn with_addresses(&self, command: Command) -> Command {
        // Not by `mut_arg`, which would put the address behind the others.
        command.mut_args(|argument| {
            let own = ADDRESSES.into_iter().find(|(id, name)| argument.get_id() == id && self.0.contains_key(*name));
            match own {
                Some((_, name)) => argument.env(name).hide_env(true),
                None => argument,
            }
        })
    }

    /// Puts the options of variables in front of the words, except those that the words give themselves.
    ///
    /// # Errors
    /// If a variable for a flag says neither yes nor no.
    pub fn add_to(&self, words: &[OsString], command: &Command) -> Result<Words, String> {
        // What is wrong with the words is told when all are parsed.
        let given = command.clone().ignore_errors(true).try_get_matches_from(words).ok();
        let is_given = |argument: &Arg| {
            let source = given.as_ref().map(|given| given.value_source(argument.get_id().as_str()));
            source.is_none_or(|source| source == Some(ValueSource::CommandLine))
        };
        let mut all: Vec<OsString> = words.iter().take(1).cloned().collect();
        let mut taken = Vec::new();
        for argument in command.get_arguments() {
            let Some((name, value)) = variable(argument).and_then(|name| self.0.get_key_value(&name)) else { continue };
            if is_given(argument) {
                continue;
            }
            if let Some(option) = argument.get_long() {
                all.extend(words_for(argument, option, value).map_err(|problem| format!("{name}: {problem}"))?);
            }
            taken.push((name.clone(), argument.clone()));
        }
        all.extend(words.iter().skip(1).cloned());
        Ok(Words { all, taken })
    }

    /// Tips for an error about options: which of them may come from a variable.
    pub fn tips(&self, command: &Command, problem: &str) -> Vec<StyledStr> {
        let is_end = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
        let is_named = |option: &str| problem.split(&format!("--{option}")).skip(1).any(is_end);
        let arguments = command.get_arguments().filter(|argument| argument.get_long().is_some_and(is_named));
        let known = arguments.filter_map(|argument| Some((variable(argument)?, argument)));
        known.filter(|(name, _)| self.0.contains_key(name)).map(|(name, argument)| tip(&name, argument)).collect()
    }

    /// Warnings of variables that belong to no option of any of these commands, which may share their environment.
    pub fn warnings(&self, commands: &[Command]) -> Vec<String> {
        let known: Vec<String> = commands.iter().flat_map(Command::get_arguments).filter_map(variable).collect();
        let unknown = self.0.iter().filter(|(name, value)| !known.contains(name) && !is_link(name, value));
        // What all begin with would make any two alike.
        let own = |name: &str| name.strip_prefix(PREFIX).unwrap_or_default().to_owned();
        let names: Vec<String> = known.iter().map(|name| own(name)).collect();
        let warning = |(name, _): (&String, &OsString)| match nearest(&own(name), names.iter().map(String::as_str)) {
            Some(meant) => format!("ignored {name} in the environment: did you mean {PREFIX}{meant}?"),
            None => format!("ignored {name} in the environment: there is no such option"),
        };
        unknown.map(warning).collect()
    }
}

impl Words {
    /// What an argument was given as.
    pub fn name(&self, argument: &Arg) -> String {
        let taken = self.taken.iter().find(|(_, taken)| taken.get_id() == argument.get_id());
        match (taken, argument.get_long()) {
            (Some((variable, _)), _) => variable.clone(),
            (None, Some(option)) => format!("--{option}"),
            (None, None) if argument.is_last_set() => "-- PROGRAM".to_owned(),
            (None, None) => {
                argument.get_value_names().and_then(|names| names.first()).map_or("", |name| name).to_owned()
            }
        }
    }

    /// The error with the variables that it is about.
    pub fn explain(&self, mut error: Error) -> Error {
        if error.kind() == ErrorKind::UnknownArgument {
            // That it could be a word for PROGRAM is not what somebody wants to know who has misspelt an option.
            error.remove(ContextKind::Suggested);
        }
        let about: Vec<&str> = [ContextKind::InvalidArg, ContextKind::PriorArg]
            .into_iter()
            .flat_map(|kind| match error.get(kind) {
                Some(ContextValue::String(name)) => vec![name.as_str()],
                Some(ContextValue::Strings(names)) => names.iter().map(String::as_str).collect(),
                _ => Vec::new(),
            })
            .collect();
        // Of what is missing it is not said which one asks for it.
        let is_missing = error.kind() == ErrorKind::MissingRequiredArgument;
        let is_meant = |(_, argument): &&(String, Arg)| is_missing || about.contains(&&*argument.to_string());
        let tips: Vec<StyledStr> =
            self.taken.iter().filter(is_meant).map(|(variable, argument)| tip(variable, argument)).collect();
        if !tips.is_empty() {
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
        }
        error
    }
}

fn tip(variable: &str, argument: &Arg) -> StyledStr {
    let argument = argument.get_long().map_or_else(|| argument.to_string(), |option| format!("--{option}"));
    format!("{variable} in the environment stands for {argument}").into()
}

/// The variable of an argument; none for what only prints something.
fn variable(argument: &Arg) -> Option<String> {
    let Some(option) = argument.get_long() else {
        let address = ADDRESSES.iter().find(|(id, _)| argument.get_id() == id);
        return address.map(|(_, name)| (*name).to_owned());
    };
    let is_setting = matches!(argument.get_action(), ArgAction::SetTrue | ArgAction::Set | ArgAction::Append);
    let name = option.to_ascii_uppercase().replace('-', "_");
    (is_setting && !argument.is_hide_set()).then(|| format!("{PREFIX}{name}"))
}

/// An option with a variable's value, as the command line would have it.
fn words_for(argument: &Arg, option: &str, value: &OsStr) -> Result<Vec<OsString>, String> {
    let flag = || OsString::from(format!("--{option}"));
    let with = |value: &OsStr| {
        let mut word = OsString::from(format!("--{option}="));
        word.push(value);
        word
    };
    let text = value.to_str();
    let is_optional = argument.get_num_args().is_some_and(|values| values.min_values() == 0);
    Ok(match (argument.get_action(), text.and_then(parse_switch)) {
        (ArgAction::SetTrue, Some(is_on)) => is_on.then(flag).into_iter().collect(),
        (ArgAction::SetTrue, None) => return Err("expected true or false".to_owned()),
        (_, Some(is_on)) if is_optional => is_on.then(flag).into_iter().collect(),
        (ArgAction::Append, _) => match text {
            Some(text) => {
                let values = text.split([SEPARATOR, '\n']).map(str::trim).filter(|value| !value.is_empty());
                values.map(|value| with(OsStr::new(value))).collect()
            }
            None => vec![with(value)],
        },
        _ => vec![with(value)],
    })
}

/// Whether a flag is to be set.
fn parse_switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// Whether Kubernetes or Docker has set a variable for a service whose name begins with ours.
fn is_link(name: &str, value: &OsStr) -> bool {
    let is_url = value.to_str().is_some_and(|value| value.starts_with("tcp://") || value.starts_with("udp://"));
    is_url || ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT_"].iter().any(|part| name.contains(part))
}
