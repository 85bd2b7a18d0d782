//! The report of a command that publishes, moves or copies, with the commands that come next: the one that carries out a dry run,
//! and those that read what was published.

use std::path::Path;

use alga_release::diff::{Diff, render};
use alga_release::oci::Digest;
use alga_release::ops::Outcome;
use alga_release::shell::{carrying_out, quoted};

use crate::failure::Failure;
use crate::flags::{Common, Format};
use crate::log::Log;
use crate::outputs::Outputs;
use crate::{output, pager};

/// What a command that publishes, moves or copies came to.
#[derive(Debug)]
pub struct Finished<'a> {
    pub outcome: Outcome,
    /// What a dry run compared.
    pub diff: Option<&'a Diff>,
    /// Lines that are printed with `-v`.
    pub details: String,
    pub text: String,
    pub dry_run: bool,
    /// Channel or version that is read next.
    pub name: &'a str,
    /// Store that the next commands read.
    pub store: &'a str,
    /// Trust document by which the next commands verify.
    pub trust: Option<&'a Path>,
}

impl Finished<'_> {
    /// Writes the files for the next step of a workflow, then the report: as JSON, or as text with the commands that come next.
    pub fn write(&self, common: &Common, outputs: &Outputs, log: &Log) -> Result<(), Failure> {
        outputs.write(&self.outcome)?;
        if common.output.output == Format::Json {
            return output::write_stdout(&self.outcome.changes);
        }
        let diff = self.diff.map(|diff| render::text(diff, pager::style()) + "\n").unwrap_or_default();
        let details = if log.is_verbose() { self.details.as_str() } else { "" };
        output::write_text(&(diff + details + &self.text + &self.next(common)))
    }

    /// Returns the commands that come next: nothing when nothing changed.
    fn next(&self, common: &Common) -> String {
        match &self.outcome.plan_digest {
            _ if !self.outcome.has_changes => String::new(),
            Some(plan) if self.dry_run => carry_out(plan, self.outcome.channel_digest.as_deref()),
            _ => self.read(common),
        }
    }

    /// Returns the commands that verify the channel or version in the store, and that an appliance runs, with the flags that
    /// reach it.
    fn read(&self, common: &Common) -> String {
        let verify = ["alga-release", "verify", self.name].map(str::to_owned).into_iter();
        let resolve = ["alga-resolve", "resolve", self.name].map(str::to_owned).into_iter();
        let (verify, resolve) = (verify.chain(self.flags(common, false)), resolve.chain(self.flags(common, true)));
        format!("next:\n  {}\n  {}\n", quoted(verify), quoted(resolve))
    }

    fn flags(&self, common: &Common, for_resolver: bool) -> Vec<String> {
        let args = &common.store;
        let mut flags = vec!["--store".to_owned(), self.store.to_owned()];
        let mut flag = |name: &str, value: Option<String>| {
            flags.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
        };
        let path = |path: &Path| path.display().to_string();
        flag("--trust", self.trust.map(path));
        flag("--config", common.configuration.config.as_deref().map(path));
        flag("--ca-file", args.ca_file.as_deref().map(path));
        if !for_resolver {
            flag("--prefix", args.prefix.clone());
            args.auth_realm.iter().for_each(|realm| flag("--auth-realm", Some(realm.clone())));
        }
        flags.extend(args.plain_http.then(|| "--plain-http".to_owned()));
        flags.extend((args.insecure && !for_resolver).then(|| "--insecure".to_owned()));
        flags
    }
}

/// Returns this run's own command line without `--dry-run`, bound to the plan and to what the channel serves.
fn carry_out(plan: &Digest, current: Option<&str>) -> String {
    let typed: Vec<String> = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    format!("carry it out with:\n  {}\n", quoted(carrying_out(typed, plan.as_str(), current)))
}
