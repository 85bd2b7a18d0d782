//! The errors of the command line, in the form of all other errors: what is wrong, with the value found and the values expected.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::text::nearest;

/// A mistake in the arguments of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong, without `error:`.
    pub reason: String,
    /// Flag, command or value that was probably meant.
    pub near: Option<String>,
    /// Words of the command whose help describes the arguments, such as `alga-release image push`.
    pub command: String,
}

impl Mistake {
    /// Describes an error of clap. `is_set` says whether an environment variable is set and not empty.
    pub fn of(
        error: &clap::Error,
        program: &clap::Command,
        arguments: &[OsString],
        is_set: &dyn Fn(&str) -> bool,
    ) -> Self {
        let (command, path) = asked(program, arguments);
        let reason = reason(error, arguments, command, is_set).unwrap_or_else(|| first_line(error));
        Self { reason, near: suggestion(error, command), command: path }
    }
}

/// Returns the subcommand that the arguments name, and its whole name.
fn asked<'a>(command: &'a clap::Command, arguments: &[OsString]) -> (&'a clap::Command, String) {
    let (mut command, mut path) = (command, command.get_name().to_owned());
    for word in arguments.iter().skip(1).filter_map(|argument| argument.to_str()) {
        if let Some(inner) = command.find_subcommand(word) {
            command = inner;
            path = format!("{path} {word}");
        }
    }
    (command, path)
}

/// Returns what is wrong, for the kinds of errors whose own words have another form.
fn reason(
    error: &clap::Error,
    arguments: &[OsString],
    command: &clap::Command,
    is_set: &dyn Fn(&str) -> bool,
) -> Option<String> {
    let texts = |kind| error.get(kind).map(texts).unwrap_or_default();
    let flags: Vec<String> = texts(ContextKind::InvalidArg).iter().map(|flag| named(flag)).collect();
    let flag = flags.first().cloned().unwrap_or_default();
    let value = texts(ContextKind::InvalidValue).into_iter().next().unwrap_or_default();
    let given_by =
        variable(&flag, arguments, command, is_set).map(|name| format!(" (from {name})")).unwrap_or_default();
    Some(match error.kind() {
        ErrorKind::UnknownArgument if flag.starts_with("`-") => format!("unknown flag {flag}"),
        ErrorKind::UnknownArgument => format!("unexpected argument {flag}"),
        ErrorKind::InvalidSubcommand => {
            format!("unknown command `{}`", texts(ContextKind::InvalidSubcommand).concat())
        }
        ErrorKind::MissingSubcommand => {
            let mut known = texts(ContextKind::ValidSubcommand);
            known.retain(|name| !command.find_subcommand(name).is_some_and(clap::Command::is_hide_set));
            format!("missing command: expected {}", either(&known))
        }
        ErrorKind::InvalidValue if value.is_empty() => format!("missing value for {flag}{given_by}"),
        ErrorKind::InvalidValue => {
            format!(
                "invalid value `{value}` for {flag}{given_by}: expected {}",
                either(&texts(ContextKind::ValidValue))
            )
        }
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            let why = of_number(&why).unwrap_or(why);
            format!("invalid value `{value}` for {flag}{given_by}: {why}")
        }
        ErrorKind::MissingRequiredArgument => format!("missing {}", all(&flags)),
        ErrorKind::ArgumentConflict => {
            let others: Vec<String> = texts(ContextKind::PriorArg).iter().map(|flag| named(flag)).collect();
            if others.is_empty() || others == [flag.clone()] {
                format!("{flag} is given more than once")
            } else {
                format!("{flag} cannot be used with {}", all(&others))
            }
        }
        ErrorKind::TooManyValues => format!("unexpected value `{value}` for {flag}"),
        ErrorKind::NoEquals => format!("missing `=` between {flag} and its value"),
        ErrorKind::InvalidUtf8 => "an argument is not valid UTF-8".to_owned(),
        _ => return None,
    })
}

/// Returns in plain words what Rust says about a number: "0 is not in 1..=256", "invalid digit found in string".
fn of_number(why: &str) -> Option<String> {
    let range = why.split_once(" is not in ").and_then(|(_, range)| range.split_once("..="));
    match range {
        Some((least, most)) => Some(format!("expected a whole number from {least} to {most}")),
        None if why.contains("invalid digit") => Some("expected a whole number".to_owned()),
        None => None,
    }
}

/// Returns what clap says, without its own `error:`.
fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// Returns the flag, command or value that was probably meant.
fn suggestion(error: &clap::Error, command: &clap::Command) -> Option<String> {
    let given = |kind| error.get(kind).map(texts).and_then(|texts| texts.into_iter().next());
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let given = given(ContextKind::InvalidArg)?;
            let given = given.strip_prefix("--")?.split('=').next()?;
            let flags = command.get_arguments().filter(|flag| !flag.is_hide_set()).filter_map(clap::Arg::get_long);
            nearest(given, flags).map(|flag| format!("--{flag}"))
        }
        ErrorKind::InvalidSubcommand => {
            let names = command.get_subcommands().map(clap::Command::get_name);
            nearest(&given(ContextKind::InvalidSubcommand)?, names)
        }
        ErrorKind::InvalidValue => {
            let known = error.get(ContextKind::ValidValue).map(texts).unwrap_or_default();
            nearest(&given(ContextKind::InvalidValue)?, known.iter().map(String::as_str))
        }
        _ => None,
    }
}

/// Returns the environment variable that gives a flag its value, if the arguments do not.
fn variable(
    flag: &str,
    arguments: &[OsString],
    command: &clap::Command,
    is_set: &dyn Fn(&str) -> bool,
) -> Option<String> {
    let long = flag.strip_prefix("`--")?.split(['`', ' ']).next()?;
    let flag = command.get_arguments().find(|known| known.get_long() == Some(long))?;
    let is_given = arguments.iter().filter_map(|argument| argument.to_str()).any(|argument| {
        let short = flag.get_short().is_some_and(|short| argument.starts_with(&format!("-{short}")));
        short || argument.strip_prefix("--").is_some_and(|rest| rest.split('=').next() == Some(long))
    });
    let name = flag.get_env()?.to_str()?;
    (!is_given && is_set(name)).then(|| name.to_owned())
}

fn texts(value: &ContextValue) -> Vec<String> {
    match value {
        ContextValue::String(text) => vec![text.clone()],
        ContextValue::Strings(texts) => texts.clone(),
        _ => Vec::new(),
    }
}

/// A flag as clap writes it, `--store <STORE>`, without the name of its value.
fn named(flag: &str) -> String {
    let flag = flag.trim_end_matches("...");
    let name = if flag.starts_with('-') {
        flag.split(['[', '<', ' ']).next().unwrap_or(flag)
    } else {
        flag.trim_matches(['[', ']', '<', '>'])
    };
    format!("`{name}`")
}

fn either(words: &[String]) -> String {
    listed(&words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>(), "or")
}

fn all(words: &[String]) -> String {
    listed(words, "and")
}

fn listed(words: &[String], last: &str) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [others @ .., end] => format!("{} {last} {end}", others.join(", ")),
    }
}
