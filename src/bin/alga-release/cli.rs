//! The command line: one variant for each command. The flags of a command are in the file of that command.

use std::ffi::{OsStr, OsString};

use alga_release::shell::Mistake;
use clap::builder::Resettable;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::failure::Failure;
use crate::flags::{ConfigurationArgs, LogArgs, StoreArgs};
use crate::{
    completions, config, copy, diff, doctor, environment, history, image, in_use, key, lint, ls, man, promote, publish,
    refresh, rollback, show, sign, trust, verify,
};

/// Publish Helm charts, a Flux overlay and a release manifest to an OCI registry, as one release.
#[derive(Debug, Parser)]
#[command(
    name = "alga-release",
    version,
    max_term_width = 100,
    after_help = include_str!("help/alga-release.txt")
)]
pub struct Cli {
    #[command(flatten)]
    pub store: StoreArgs,
    #[command(flatten)]
    pub configuration: ConfigurationArgs,
    /// Format of the result on standard output, one of those of the command
    #[arg(long, short, value_name = "FORMAT", help_heading = "Output")]
    pub output: Option<OsString>,
    #[command(flatten)]
    pub log: LogArgs,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Publish a source tree: charts, config bundle and release manifest; then move the channel
    #[command(after_help = include_str!("help/publish.txt"))]
    Publish(Box<publish::Args>),
    /// Show what changes between two releases
    #[command(after_help = include_str!("help/diff.txt"))]
    Diff(Box<diff::Args>),
    /// Find errors that would show up only on an appliance, without publishing anything
    #[command(after_help = include_str!("help/lint.txt"))]
    Lint(Box<lint::Args>),
    /// Push the image of the control plane
    Image(Box<image::Args>),
    /// Check whether you can publish: asks every repository of a release, and leaves nothing behind
    #[command(after_help = include_str!("help/doctor.txt"))]
    Doctor(doctor::Args),
    /// Move a channel to a release that is already published
    #[command(after_help = include_str!("help/promote.txt"))]
    Promote(Box<promote::Args>),
    /// Move a channel back to an older release
    #[command(after_help = include_str!("help/rollback.txt"))]
    Rollback(Box<rollback::Args>),
    /// Give a later expiry to what a signed channel serves
    #[command(after_help = include_str!("help/refresh.txt"))]
    Refresh(Box<refresh::Args>),
    /// Show what a channel has served: when, who moved it, from where, and why
    #[command(after_help = include_str!("help/history.txt"))]
    History(history::Args),
    /// List the channels and the published versions of a store
    #[command(after_help = include_str!("help/ls.txt"))]
    Ls(ls::Args),
    /// Show a release as a tree of everything that it names
    #[command(after_help = include_str!("help/show.txt"))]
    Show(show::Args),
    /// Verify a published release: every byte and every reference
    #[command(after_help = include_str!("help/verify.txt"))]
    Verify(verify::Args),
    /// List every tag and digest that the registry's retention rules must keep
    #[command(after_help = include_str!("help/in-use.txt"))]
    InUse(in_use::Args),
    /// Copy a release with everything that it names: to a mirror, to a disk, or from a disk
    #[command(after_help = include_str!("help/copy.txt"))]
    Copy(Box<copy::Args>),
    /// Sign a published release, or a file with what must be signed
    #[command(after_help = include_str!("help/sign.txt"))]
    Sign(Box<sign::Args>),
    /// Make and show keys for signatures
    Key(key::Args),
    /// Make, change, sign and publish the trust document: which keys may sign what
    #[command(after_help = include_str!("help/trust.txt"))]
    Trust(Box<trust::Args>),
    /// Print the effective configuration and where each value came from
    #[command(after_help = include_str!("help/config.txt"))]
    Config(config::Args),
    /// Print a completion script for bash, zsh or fish
    #[command(after_help = include_str!("help/completions.txt"))]
    Completions(completions::Args),
    /// Print what may follow on a command line, for the completion scripts
    #[command(hide = true)]
    Complete(completions::Words),
    /// Print manual pages, or write a page for each command into a directory
    #[command(after_help = include_str!("help/man.txt"))]
    Man(man::Args),
}

/// Parses the command line. Prints the help or the version and returns `None` if the arguments ask for one of them.
pub fn parse(arguments: &[OsString]) -> Result<Option<Cli>, Failure> {
    let mut command = without_empty_variables(Cli::command());
    match parsed(&mut command, arguments.to_vec()) {
        Ok(cli) => Ok(Some(cli)),
        Err(error) if error.use_stderr() => {
            let is_set = |name: &str| environment::variable(name).is_some();
            let Mistake { reason, near, command } = Mistake::of(&error, &command, arguments, &is_set);
            let near = near.map(|near| format!("did you mean `{near}`?"));
            Err(Failure::usage_hint(reason, near.unwrap_or_else(|| format!("see `{command} --help`"))))
        }
        Err(text) => {
            // A reader that has closed its end has seen enough.
            let _ = text.print();
            Ok(None)
        }
    }
}

fn parsed(command: &mut clap::Command, mut arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
    let mut matches = command.try_get_matches_from_mut(&arguments)?;
    if let Some(format) = matches.get_one::<OsString>("output") {
        // Each command has other formats. A format that is given before the command is therefore read again behind it.
        let mut again = OsString::from("--output=");
        again.push(format);
        let end = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
        arguments.insert(end, again);
        matches = command.try_get_matches_from_mut(arguments)?;
    }
    Cli::from_arg_matches(&matches)
}

/// Makes an empty environment variable mean the same as one that is not set.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let command = command.mut_args(|flag| match flag.get_env() {
        Some(name) if is_empty(name) => flag.env(Resettable::Reset),
        _ => flag,
    });
    command.mut_subcommands(without_empty_variables)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        super::Cli::command().debug_assert();
    }
}
