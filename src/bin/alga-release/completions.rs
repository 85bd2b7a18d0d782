//! The command `alga-release completions`, and `complete`, which the scripts that it prints call for every word.

use std::time::Duration;

use alga_release::ops::{self, Access, Connection, StoreNames, StoreRequest};
use alga_release::shell::{Shell, Values, complete};
use clap::{Command, CommandFactory as _, Parser};

use crate::connect;
use crate::failure::Failure;
use crate::flags::{ConfigurationArgs, StoreArgs};
use crate::log::Log;
use crate::{output, system};

/// Longest time that a person waits for the names of a store.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Shell whose script is printed
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub struct Words {
    /// Words after the name of the program, up to the cursor
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// The store that a command line names, as far as it is written.
#[derive(Debug, Parser)]
struct Place {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    configuration: ConfigurationArgs,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    output::write_stdout(args.shell.script().as_bytes())
}

/// Prints what may follow on a command line. A store that does not answer adds nothing.
pub fn complete_line(program: &Command, line: &Words, log: &Log) -> Result<(), Failure> {
    let mut completed = complete(program, &line.words);
    if let Some(wanted) = completed.values.as_ref().and_then(wanted) {
        completed.files |= wanted.trees;
        if wanted.channels || wanted.versions {
            let StoreNames { channels, versions } =
                place(&completed.flags).and_then(|place| names(&place, log)).unwrap_or_default();
            let words = wanted.words.iter().map(|word| (*word).to_owned());
            let channels = channels.into_iter().filter(|_| wanted.channels);
            completed.add(words.chain(channels).chain(versions.into_iter().filter(|_| wanted.versions)));
        } else {
            completed.add(wanted.words.iter().map(|word| (*word).to_owned()));
        }
    }
    output::write_stdout(completed.lines().as_bytes())
}

/// What the value of an argument may be.
#[derive(Clone, Copy, Default)]
struct Wanted {
    channels: bool,
    versions: bool,
    /// Whether a source tree is a value, too.
    trees: bool,
    words: &'static [&'static str],
}

fn wanted(values: &Values) -> Option<Wanted> {
    let command = values.command.last().map_or("", String::as_str);
    let channels = Wanted { channels: true, ..Wanted::default() };
    let releases = Wanted { versions: true, ..channels };
    Some(match (command, values.argument.as_str()) {
        ("rollback", "to") => Wanted { versions: true, words: &["previous"], ..Wanted::default() },
        ("diff", "from" | "to") | ("lint", "subject") => Wanted { trees: true, ..releases },
        (_, "channel" | "channels") | ("promote", "to") => channels,
        (_, "reference" | "against") | ("promote", "from") => releases,
        (_, "store" | "other_store" | "to_store" | "target") => {
            Wanted { words: &["oci-layout:", "oci-archive:"], ..Wanted::default() }
        }
        _ => return None,
    })
}

/// Reads the flags of a command line that name a store. Others, and a password, are left out.
fn place(flags: &[(String, Option<String>)]) -> Option<Place> {
    let known = Place::command();
    let is_place = |long: &str| {
        let mut flags = known.get_arguments().filter_map(clap::Arg::get_long);
        flags.any(|known| known == long) && !matches!(long, "username" | "password-stdin" | "retry-for")
    };
    let flags = flags.iter().filter(|(long, _)| is_place(long)).map(|(long, value)| match value {
        Some(value) => format!("--{long}={value}"),
        None => format!("--{long}"),
    });
    Place::try_parse_from(std::iter::once("complete".to_owned()).chain(flags)).ok()
}

/// Asks a store for its channels and versions. Where the store does not answer in time, the channels of the configuration are known.
fn names(place: &Place, log: &Log) -> Option<StoreNames> {
    let config = place.configuration.load().ok()?;
    let request =
        StoreRequest { retry_for: Some(Duration::ZERO), public_read: false, ..place.store.request(&config).ok()? };
    let work = async {
        let connection = Connection::open(&request, Access::Read, &system::silent()).await?;
        Ok(ops::names(&config, &connection).await?)
    };
    let found = connect::block_on(log, None, async {
        tokio::time::timeout(PATIENCE, work).await.map_err(|cause| Failure::io("to complete in time", cause))?
    });
    let channels = config.channels.iter().map(ToString::to_string).collect();
    Some(found.unwrap_or(StoreNames { channels, versions: Vec::new() }))
}
