//! The reports of the operations that write, as text for people.

use std::fmt::Write as _;

use indicatif::BinaryBytes;

use super::checks::{count, table};
use super::{CopyChannel, CopyReport, ImageReport, MoveReport, PublishReport};
use crate::plan::copy::Cost;
use crate::plan::{ArtifactReport, Outcome};
use crate::release::MoveKind;
use crate::text::{clean, shown};

impl PublishReport {
    /// Returns the report for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let head = match (self.has_changes, self.dry_run) {
            (false, _) => "nothing to do: already published",
            (true, true) => "would publish",
            (true, false) => "published",
        };
        let _ = writeln!(text, "{head} {} {}", self.version, self.digest);
        let _ = writeln!(text, "  store   {}", self.store);
        let _ = writeln!(text, "  read as {}", self.prefix);
        text += &artifacts(&self.artifacts);
        for (key, pinned) in &self.images {
            let _ = writeln!(text, "  image   {key} {pinned}");
        }
        if let Some(pinned) = &self.control_plane {
            let _ = writeln!(text, "  control plane {pinned}");
        }
        let _ = writeln!(text, "  checks  {}", self.lint.summary());
        if let Some(reason) = &self.lint.ignored_because {
            let _ = writeln!(text, "  errors do not refuse the release: {}", shown(reason));
        }
        self.channel_text(&mut text);
        if self.dry_run {
            let _ = writeln!(text, "plan {}; nothing was written", self.plan_digest);
        }
        if !self.has_changes && !self.bytes_were_read {
            text += "the bytes in the store were not read: `alga-release verify` reads them, `publish --repair` sends again what is missing or wrong\n";
        }
        clean(&text)
    }

    fn channel_text(&self, text: &mut String) {
        let Some(channel) = &self.channel else {
            let _ = writeln!(text, "no channel was asked to move");
            return;
        };
        let (name, version) = (&channel.name, &self.version);
        let from = channel.from.as_deref().unwrap_or("nothing");
        let _ = match (channel.moves, self.dry_run) {
            (false, _) => writeln!(text, "channel {name} serves {version} (move {})", channel.sequence),
            (true, true) => {
                writeln!(text, "channel {name} would move from {from} to {version} (move {})", channel.sequence)
            }
            (true, false) => {
                writeln!(text, "channel {name} moved from {from} to {version} (move {})", channel.sequence)
            }
        };
        if !self.dry_run {
            let _ = writeln!(text, "next: alga-resolve resolve {name} --store {}", self.store);
        }
    }
}

impl MoveReport {
    /// Returns the report for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let (channel, version, digest) = (&self.channel, shown(&self.version), &self.digest);
        let before = self.before.as_ref().map_or_else(|| "nothing".to_owned(), |before| shown(&before.version));
        let word = match (self.kind, self.dry_run) {
            (MoveKind::Rollback, true) => "would be taken back",
            (MoveKind::Rollback, false) => "was taken back",
            (_, true) => "would move",
            (_, false) => "moved",
        };
        if !self.has_changes {
            let _ = writeln!(text, "nothing to do: {channel} serves {version} {digest} (move {})", self.sequence);
            return clean(&text);
        }
        let _ = writeln!(text, "{channel} {word} from {before} to {version} {digest} (move {})", self.sequence);
        let _ = writeln!(text, "  store   {}", self.store);
        let _ = writeln!(text, "  from    {}", shown(&self.from));
        let current = self.before.as_ref().map_or_else(|| "none".to_owned(), |before| before.manifest.to_string());
        let _ = writeln!(text, "  current {current}");
        if let Some(manifest) = &self.manifest {
            let _ = writeln!(text, "  now     {manifest}");
        }
        let _ = writeln!(text, "checked: {}", count(&self.checks));
        text += &table(self.checks.iter().filter(|check| !check.is_ok()));
        if self.dry_run {
            let _ = writeln!(text, "plan {}; nothing was written", self.plan_digest);
            let _ = writeln!(text, "next: the same with --if-plan {} --if-current {current}", self.plan_digest);
        } else {
            let _ = writeln!(text, "next: alga-resolve resolve {channel} --store {}", self.store);
        }
        clean(&text)
    }
}

impl CopyReport {
    /// Returns the report for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let (version, store) = (shown(&self.version), &self.store);
        let head = match (self.has_changes, self.dry_run) {
            (false, _) => "nothing to do: already there:",
            (true, true) => "would copy",
            (true, false) => "copied",
        };
        let _ = writeln!(text, "{head} {version}");
        let _ = writeln!(text, "  from    {}", self.from);
        let _ = writeln!(text, "  store   {store}");
        let _ = writeln!(text, "  digest  {}", self.digest);
        if self.rewritten {
            let _ = writeln!(text, "  was     {}", self.origin);
            let _ = writeln!(text, "  prefix  {}", self.prefix);
        }
        text += &artifacts(&self.artifacts);
        if self.attached > 0 {
            let _ = writeln!(text, "{} signatures and other manifests that refer to these", self.attached);
        }
        if let Some(Cost { bytes, blobs, requests }) = self.cost {
            let requests = if requests > 0 { format!(", {requests} requests that write") } else { String::new() };
            let _ = writeln!(text, "to send: {} in {blobs} blobs{requests}", BinaryBytes(bytes));
        }
        if !self.elsewhere.is_empty() {
            let _ = writeln!(text, "still pulled from elsewhere:");
            for line in &self.elsewhere {
                let _ = writeln!(text, "  {}", shown(line));
            }
        }
        text += &self.next();
        clean(&text)
    }

    /// The channel, and what comes next.
    fn next(&self) -> String {
        let (mut text, store) = (String::new(), &self.store);
        let before = self.channel.as_ref().and_then(|channel| channel.before.as_ref());
        let before = before.map_or_else(|| "none".to_owned(), ToString::to_string);
        match &self.channel {
            Some(CopyChannel { name, moves: false, sequence, .. }) => {
                let _ = writeln!(text, "{name} serves it already (move {sequence})");
            }
            Some(CopyChannel { name, from, sequence, .. }) => {
                let from = from.as_ref().map_or_else(|| "nothing".to_owned(), |from| shown(from));
                let word = if self.dry_run { "would move" } else { "moved" };
                let _ = writeln!(text, "{name} {word} from {from} to {} (move {sequence})", shown(&self.version));
            }
            None => {}
        }
        if self.dry_run {
            let _ = writeln!(text, "plan {}; nothing was written", self.plan_digest);
            if self.channel.is_some() {
                let _ = writeln!(text, "next: the same with --if-plan {} --if-current {before}", self.plan_digest);
            }
        } else {
            let _ = writeln!(text, "next: alga-release verify {} --store {store}", shown(&self.version));
        }
        text
    }
}

impl ImageReport {
    /// Returns the report for people.
    pub fn text(&self) -> String {
        let head = match self.outcome {
            Outcome::Pushed => "pushed",
            Outcome::Present => "nothing to do: already there",
            Outcome::WouldPush => "would push",
        };
        let mut text = format!("{head} {}\n", self.reference);
        let _ = writeln!(text, "  tag       {}", self.tag);
        let _ = writeln!(text, "  size      {}", BinaryBytes(self.size));
        let _ = writeln!(text, "  platform  {}", self.platforms.join(", "));
        let _ = writeln!(text, "  revision  {}", self.revision.as_deref().unwrap_or("not said"));
        clean(&text)
    }
}

/// What became of each artifact, a line each.
fn artifacts(artifacts: &[ArtifactReport]) -> String {
    let mut text = String::new();
    let name_width = artifacts.iter().map(|artifact| artifact.repository.as_str().len()).max().unwrap_or(0);
    let version_width = artifacts.iter().map(|artifact| artifact.version.len()).max().unwrap_or(0);
    for artifact in artifacts {
        let kind = artifact.kind.as_str();
        let outcome = match artifact.outcome {
            Outcome::Pushed => "pushed",
            Outcome::Present => "already there",
            Outcome::WouldPush => "would be pushed",
        };
        let (repository, version, digest) = (artifact.repository.as_str(), &artifact.version, &artifact.digest);
        let size = BinaryBytes(artifact.size);
        let _ = writeln!(
            text,
            "  {kind:7} {repository:name_width$} {version:version_width$} {digest} {size:>11}  {outcome}"
        );
    }
    text
}
