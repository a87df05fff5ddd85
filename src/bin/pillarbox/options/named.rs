//! Values that have names.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, TypedValueParser};

/// A function that parses, and the names that completions offer for what it takes.
#[derive(Clone)]
pub struct Named<T> {
    pub names: &'static [&'static str],
    pub parse: fn(&str) -> Result<T, String>,
}

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Named<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        self.parse.parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.names.iter().map(PossibleValue::new)))
    }
}
