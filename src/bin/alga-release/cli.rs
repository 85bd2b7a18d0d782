//! The commands, as people write them. Each command's own flags are in its file.

use clap::{Parser, Subcommand};

use crate::{config, copy, diff, doctor, history, image, in_use, lint, promote, publish, rollback, verify};

/// Publish Helm charts, a Flux overlay and a release manifest to an OCI registry, as one release.
#[derive(Debug, Parser)]
#[command(
    name = "alga-release",
    version,
    max_term_width = 100,
    after_help = "\
Exit codes: 0 done or nothing to do, 1 failed, 2 changes (with --detailed-exitcode alone),
3 refused by a rule, 4 authentication or permission, 9 usage or configuration,
75 temporary (try again later), 130 and 143 signals."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Publish a source tree: charts, config bundle, release manifest, and last the channel
    #[command(after_help = "\
Examples:
  # into a directory of OCI layouts: no server, no account
  alga-release publish . --version 1.0.3 --channel nightly --store oci-layout:out

  # what would be published, with every digest; writes nothing
  alga-release publish . --version 1.0.3 --channel nightly --dry-run

  # to a registry, with a token from a file
  ALGA_REGISTRY_TOKEN_FILE=/run/secrets/token ALGA_REGISTRY_USERNAME=me \\
    alga-release publish . --version 1.0.3 --channel nightly --store ghcr.io/nine-minds

  # other image tags than the tree's release.json says
  alga-release publish . --version 1.0.4-rc1 --channel nightly --image algaCore=62cdce38")]
    Publish(Box<publish::Args>),
    /// Show what changes from one release to another
    #[command(after_help = "\
A and B are a channel, a version, a digest (sha256:…) or a source tree (./path, with --version).

Examples:
  # what customers of stable would get
  alga-release diff stable nightly

  # what publishing this tree would change, as a comment for a pull request
  alga-release diff nightly ./ --version 1.0.4 --output markdown

  # for a workflow: files to read, and exit code 2 when something changes
  alga-release diff stable nightly --output-dir out --detailed-exitcode

  # the same version in two stores
  alga-release diff 1.0.3 1.0.3 --store ghcr.io/nine-minds --other-store oci-layout:mirror")]
    Diff(Box<diff::Args>),
    /// Find what an appliance would refuse, without publishing it
    #[command(after_help = "\
Examples:
  # the source tree in this directory; no request is sent
  alga-release lint

  # and what an upgrade of the appliances that follow stable would break
  alga-release lint --against stable

  # for a code scanner, or beside the lines of a pull request
  alga-release lint --output sarif > lint.sarif
  alga-release lint --output github

  # what a rule is about
  alga-release lint --explain values-broken

Exit codes: 0 no errors, 3 an error was found.")]
    Lint(Box<lint::Args>),
    /// Container images: the control plane's
    Image(Box<image::Args>),
    /// Can I publish? Asks each repository of a release, without leaving anything behind
    #[command(after_help = "\
Examples:
  # the repositories of the tree in this directory
  alga-release doctor --store ghcr.io/nine-minds

  # those of the release that a channel serves, for a program
  alga-release doctor --channel stable --output json

Exit codes: 0 all is well, 1 it is no registry, 3 something may not be written, or not be read by the
public, 4 not authenticated, 75 the registry cannot be reached.")]
    Doctor(doctor::Args),
    /// Let a channel serve a release that is published already
    #[command(after_help = "\
Examples:
  # what would move; the plan's digest and the channel's are what an approval speaks of
  alga-release promote --from nightly --to stable --dry-run

  # exactly that, and nothing that changed since
  alga-release promote --from nightly --to stable --if-plan sha256:… --if-current sha256:…

  # only what nightly has served for a day
  alga-release promote --from nightly --to stable --min-age 24h

  # from the registry of the builds to the one that customers read
  alga-release promote --from nightly --to stable --store ci.example.com/alga \\
    --to-store ghcr.io/nine-minds --rewrite-prefix")]
    Promote(Box<promote::Args>),
    /// Take a channel back to a release, deliberately
    #[command(after_help = "\
Examples:
  alga-release rollback stable --to previous --reason 'login fails'
  alga-release rollback stable --to 1.0.3 --reason 'login fails' --dry-run")]
    Rollback(Box<rollback::Args>),
    /// Show what a channel has served: when, by whom, from where, why
    #[command(after_help = "\
Examples:
  alga-release history stable
  alga-release history stable --to-time 2026-11-20T17:00:00Z
  alga-release history stable --moves 100 --output json")]
    History(history::Args),
    /// Read a release back: every byte and every reference
    #[command(after_help = "\
Examples:
  alga-release verify stable
  alga-release verify 1.0.3 --store oci-layout:/media/release --offline
  alga-release verify --all-channels --output json")]
    Verify(verify::Args),
    /// List every tag and digest that retention rules of the registry must keep
    #[command(after_help = "\
Examples:
  alga-release in-use --moves 10
  alga-release in-use --format keep-list > keep.txt
  alga-release in-use --moves 10 --prune-plan")]
    InUse(in_use::Args),
    /// Copy a whole release with everything that it names: to a mirror, to a disk, from a disk
    #[command(after_help = "\
REF is what --store serves; STORE is where it goes.

Examples:
  # onto a disk, every digest as it is
  alga-release copy stable oci-archive:/media/release.tar

  # from there to a registry that appliances without internet read, and let its channel serve it
  alga-release copy 1.0.3 mirror.local:5000/alga --store oci-archive:/media/release.tar \\
    --rewrite-prefix --channel stable

  # how much would move
  alga-release copy stable oci-layout:mirror --platform linux/amd64 --dry-run")]
    Copy(Box<copy::Args>),
    /// Print the effective configuration and where each value came from
    #[command(after_help = "\
Examples:
  alga-release config
  alga-release config path/to/tree --output json")]
    Config(config::Args),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  alga-release completions bash > /etc/bash_completion.d/alga-release")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    #[command(after_help = "Example:\n  alga-release man | man -l -")]
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
