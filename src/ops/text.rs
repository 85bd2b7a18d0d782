//! The reports of the operations that write, as text for people: a line for each thing that changed, then one that sums up. `text`
//! is what every run prints; `details` are the rest, with whole digests.

use std::fmt::Write as _;

use indicatif::BinaryBytes;

use super::checks::{table, verified};
use super::signing::SignedBy;
use super::{CopyChannel, CopyReport, ImageReport, MoveReport, PublishReport};
use crate::oci::{Digest, Tag};
use crate::plan::copy::Cost;
use crate::plan::{ArtifactReport, Outcome};
use crate::release::MoveKind;
use crate::text::{self, clean, shown};

impl PublishReport {
    /// Returns a line for each artifact that was pushed, one for the channel if it moved, and a summary.
    pub fn text(&self) -> String {
        let mut text = changed(&self.artifacts);
        let (version, store) = (&self.version, &self.store);
        let release = format!("{version} ({})", self.digest.short());
        if let Some(channel) = self.channel.as_ref().filter(|channel| channel.moves) {
            let moved = Moved {
                kind: MoveKind::Publish,
                channel: &channel.name,
                from: channel.from.as_deref(),
                to: version,
                digest: &self.digest,
                sequence: channel.sequence,
            };
            let _ = writeln!(text, "{}", moved.line(self.dry_run));
        }
        if let Some(reason) = &self.lint.ignored_because {
            let found = self.lint.summary();
            let _ = writeln!(text, "the checks found {found}, which --no-lint ignores: {}", shown(reason));
        }
        if let Some(open) = self.not_covered.as_ref().filter(|open| !open.is_empty()) {
            let _ = writeln!(text, "not covered by the signature: {}", open.join(", "));
        }
        let serves = match &self.channel {
            Some(channel) if !channel.moves => format!("; {} serves it (move {})", channel.name, channel.sequence),
            Some(_) => String::new(),
            None => "; no channel moves".to_owned(),
        };
        let _ = match (self.has_changes, self.dry_run) {
            (false, _) => writeln!(text, "nothing to do: {release} is already published in {store}{serves}"),
            (true, true) => writeln!(text, "would publish {release} to {store}: {}{serves}", counted(&self.artifacts)),
            (true, false) => writeln!(text, "published {release} to {store}: {}{serves}", counted(&self.artifacts)),
        };
        text += &SignedBy::line(&self.signed_by);
        if !self.has_changes && !self.bytes_were_read {
            text += "the bytes in the store were not read again; `publish --repair` reads them and pushes what is missing or wrong\n";
        }
        clean(&text) + &plan(self.dry_run, &self.plan_digest)
    }

    /// Returns every artifact and image with its whole digest, and what the checks found.
    pub fn details(&self) -> String {
        let mut text = format!("release {}\n", self.digest);
        let _ = writeln!(text, "  store   {}\n  prefix  {}", self.store, self.prefix);
        text += &table_of(&self.artifacts);
        for (key, pinned) in &self.images {
            let _ = writeln!(text, "  image   {key} {pinned}");
        }
        if let Some(pinned) = &self.control_plane {
            let _ = writeln!(text, "  control plane {pinned}");
        }
        let _ = writeln!(text, "  checks  {}", self.lint.summary());
        clean(&text)
    }
}

impl MoveReport {
    /// Returns one line: what the channel served and serves, and how many checks the release passed.
    pub fn text(&self) -> String {
        let (channel, version, sequence) = (&self.channel, shown(&self.version), self.sequence);
        let digest = self.digest.short();
        if self.kind == MoveKind::Refresh {
            return clean(&(self.refreshed() + &SignedBy::line(&self.signed_by)));
        }
        if !self.has_changes {
            return clean(&format!("nothing to do: {channel} already serves {version} ({digest}, move {sequence})\n"));
        }
        let from = self.before.as_ref().map(|before| before.version.as_str());
        let moved = Moved { kind: self.kind, channel, from, to: &self.version, digest: &self.digest, sequence };
        let text = format!("{}; {}\n", moved.line(self.dry_run), verified(&self.checks));
        let text = text + &SignedBy::line(&self.signed_by);
        clean(&text) + &plan(self.dry_run, &self.plan_digest)
    }

    /// Returns one line that says until when a channel is accepted.
    fn refreshed(&self) -> String {
        let verb = match (self.has_changes, self.dry_run) {
            (false, _) => "nothing to do:",
            (true, true) => "would refresh",
            (true, false) => "refreshed",
        };
        let (version, digest, until) = (shown(&self.version), self.digest.short(), self.expires.as_deref());
        let until = until.unwrap_or("an unknown time");
        let line = format!("{verb} {}, which serves {version} ({digest}, move {})", self.channel, self.sequence);
        let note = if self.has_changes && self.dry_run { "dry run: nothing was written\n" } else { "" };
        format!("{line}; appliances accept it until {until}\n{note}")
    }

    /// Returns the digests of release and channel, and every check.
    pub fn details(&self) -> String {
        let mut text = format!("release {}\n  store   {}\n  from    {}\n", self.digest, self.store, shown(&self.from));
        let current = self.before.as_ref().map_or_else(|| "none".to_owned(), |before| before.manifest.to_string());
        let _ = writeln!(text, "  channel before {current}");
        if let Some(manifest) = &self.manifest {
            let _ = writeln!(text, "  channel now    {manifest}");
        }
        clean(&(text + &table(&self.checks, true)))
    }
}

impl CopyReport {
    /// Returns a line for each artifact that was copied, one for the channel if it moved, and a summary.
    pub fn text(&self) -> String {
        let mut text = changed(&self.artifacts);
        let release = format!("{} ({})", shown(&self.version), self.digest.short());
        if self.attached > 0 {
            let referrers =
                text::counted(self.attached, "signature or other referrer", "signatures and other referrers");
            let _ = writeln!(text, "{} {referrers}", done(Outcome::Pushed, self.dry_run));
        }
        let mut serves = String::new();
        match &self.channel {
            Some(CopyChannel { name, moves: false, sequence, .. }) => {
                serves = format!("; {name} serves it (move {sequence})");
            }
            Some(CopyChannel { name, from, sequence, .. }) => {
                let (from, to) = (from.as_deref(), self.version.as_str());
                let moved = Moved {
                    kind: MoveKind::Promote,
                    channel: name,
                    from,
                    to,
                    digest: &self.digest,
                    sequence: *sequence,
                };
                let _ = writeln!(text, "{}", moved.line(self.dry_run));
            }
            None => {}
        }
        let (from, store) = (&self.from, &self.store);
        let _ = match (self.has_changes, self.dry_run) {
            (false, _) => writeln!(text, "nothing to do: {store} already has {release}{serves}"),
            (true, true) => writeln!(text, "would copy {release} from {from} to {store}: {}", counted(&self.artifacts)),
            (true, false) => writeln!(text, "copied {release} from {from} to {store}: {}", counted(&self.artifacts)),
        };
        text += &SignedBy::line(&self.signed_by);
        if self.rewritten {
            let (origin, prefix) = (self.origin.digest.short(), &self.prefix);
            let _ =
                writeln!(text, "the copy names {prefix} in place of the origin, so {origin} became {}", self.digest);
        }
        if let Some(Cost { bytes, blobs, requests }) = self.cost {
            let requests = if requests > 0 { format!(", {requests} write requests") } else { String::new() };
            let _ = writeln!(
                text,
                "to send: {} in {}{requests}",
                BinaryBytes(bytes),
                text::counted(usize::try_from(blobs).unwrap_or(usize::MAX), "blob", "blobs")
            );
        }
        if !self.elsewhere.is_empty() {
            text += "still pulled from elsewhere:\n";
            for line in &self.elsewhere {
                let _ = writeln!(text, "  {}", shown(line));
            }
        }
        clean(&text) + &plan(self.dry_run, &self.plan_digest)
    }

    /// Returns every artifact with its whole digest.
    pub fn details(&self) -> String {
        let (store, prefix) = (&self.store, &self.prefix);
        let text =
            format!("release {}\n  origin  {}\n  store   {store}\n  prefix  {prefix}\n", self.digest, self.origin);
        clean(&(text + &table_of(&self.artifacts)))
    }
}

impl ImageReport {
    /// Returns one line that says what was pushed.
    pub fn text(&self) -> String {
        let (reference, size) = (&self.reference, BinaryBytes(self.size));
        let platforms = self.platforms.join(", ");
        let text = match self.outcome {
            Outcome::Present => format!("nothing to do: {reference} is already there"),
            outcome => format!("{} {reference}", done(outcome, outcome == Outcome::WouldPush)),
        };
        clean(&format!("{text} (tag {}, {platforms}, {size})\n", self.tag))
    }
}

/// A channel that moved, or in a dry run would move.
struct Moved<'a> {
    kind: MoveKind,
    channel: &'a Tag,
    /// Version that the channel served before; absent when it served nothing.
    from: Option<&'a str>,
    to: &'a str,
    digest: &'a Digest,
    sequence: u64,
}

impl Moved<'_> {
    fn line(&self, dry_run: bool) -> String {
        let verb = match (self.kind, dry_run) {
            (MoveKind::Rollback, true) => "would roll back",
            (MoveKind::Rollback, false) => "rolled back",
            (_, true) => "would move",
            (_, false) => "moved",
        };
        let from = self.from.map_or_else(|| "nothing".to_owned(), shown);
        let Self { channel, sequence, .. } = self;
        format!("{verb} {channel} from {from} to {} ({}, move {sequence})", shown(self.to), self.digest.short())
    }
}

/// Returns the words for an artifact's outcome.
fn done(outcome: Outcome, dry_run: bool) -> &'static str {
    match (outcome, dry_run) {
        (Outcome::Present, _) => "unchanged",
        (_, true) => "would push",
        (_, false) => "pushed",
    }
}

/// Returns the last line of a dry run; nothing for other runs.
fn plan(dry_run: bool, digest: &Digest) -> String {
    if dry_run { format!("dry run: nothing was written; the plan is {digest}\n") } else { String::new() }
}

/// Returns a line for each artifact that was, or would be, pushed.
fn changed(artifacts: &[ArtifactReport]) -> String {
    let changed = || artifacts.iter().filter(|artifact| artifact.outcome != Outcome::Present);
    let name = |artifact: &ArtifactReport| format!("{}:{}", artifact.repository, artifact.tag);
    let width = changed().map(|artifact| name(artifact).len()).max().unwrap_or(0);
    let mut text = String::new();
    for artifact in changed() {
        let verb = done(artifact.outcome, artifact.outcome == Outcome::WouldPush);
        let (name, digest, size) = (name(artifact), artifact.digest.short(), BinaryBytes(artifact.size));
        let _ = writeln!(text, "{verb} {name:width$} {digest} {size:>11}");
    }
    text
}

/// Returns how many artifacts were pushed, and how many were there: `2 artifacts pushed, 5 unchanged`.
fn counted(artifacts: &[ArtifactReport]) -> String {
    let unchanged = artifacts.iter().filter(|artifact| artifact.outcome == Outcome::Present).count();
    let pushed = text::counted(artifacts.len() - unchanged, "artifact", "artifacts");
    if unchanged == 0 { pushed } else { format!("{pushed}, {unchanged} unchanged") }
}

/// Returns every artifact with its whole digest, a line each.
fn table_of(artifacts: &[ArtifactReport]) -> String {
    let names = artifacts.iter().map(|artifact| artifact.repository.as_str().len()).max().unwrap_or(0);
    let versions = artifacts.iter().map(|artifact| artifact.version.len()).max().unwrap_or(0);
    let mut text = String::new();
    for artifact in artifacts {
        let ArtifactReport { kind, repository, version, digest, outcome, .. } = artifact;
        let (kind, repository, size) = (kind.as_str(), repository.as_str(), BinaryBytes(artifact.size));
        let outcome = done(*outcome, *outcome == Outcome::WouldPush);
        let _ = writeln!(text, "  {kind:7} {repository:names$} {version:versions$} {digest} {size:>11}  {outcome}");
    }
    text
}
