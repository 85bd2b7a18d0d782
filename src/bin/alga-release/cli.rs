//! The command line: one variant for each command. The flags of a command are in the file of that command.

use clap::{Parser, Subcommand};

use crate::{config, copy, diff, doctor, history, image, in_use, lint, promote, publish, rollback, verify};

/// Publish Helm charts, a Flux overlay and a release manifest to an OCI registry, as one release.
#[derive(Debug, Parser)]
#[command(
    name = "alga-release",
    version,
    max_term_width = 100,
    after_help = include_str!("help/alga-release.txt")
)]
pub struct Cli {
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
    /// Show what a channel has served: when, who moved it, from where, and why
    #[command(after_help = include_str!("help/history.txt"))]
    History(history::Args),
    /// Verify a published release: every byte and every reference
    #[command(after_help = include_str!("help/verify.txt"))]
    Verify(verify::Args),
    /// List every tag and digest that the registry's retention rules must keep
    #[command(after_help = include_str!("help/in-use.txt"))]
    InUse(in_use::Args),
    /// Copy a release with everything that it names: to a mirror, to a disk, or from a disk
    #[command(after_help = include_str!("help/copy.txt"))]
    Copy(Box<copy::Args>),
    /// Print the effective configuration and where each value came from
    #[command(after_help = include_str!("help/config.txt"))]
    Config(config::Args),
    /// Print a completion script for a shell
    #[command(after_help = include_str!("help/completions.txt"))]
    Completions {
        /// Shell to print the script for
        shell: clap_complete::Shell,
    },
    /// Print the manual page in roff
    #[command(after_help = include_str!("help/man.txt"))]
    Man,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        super::Cli::command().debug_assert();
    }
}
