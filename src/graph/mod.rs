//! A release as a graph: the channel that serves it, the release itself, everything that it names, and what refers to that. The
//! drawings are pure functions of this value, so that a command and the report of a comparison show the same graph.

mod dot;
mod read;
mod svg;
mod text;

use std::collections::BTreeSet;

use serde::Serialize;

pub(crate) use read::{Reading, created_of};

use crate::oci::{Descriptor, Digest, Tag};
use crate::release::{MoveKind, Named, NamedKind, Resolved, Target};
use crate::text::shown;
use crate::trust::KeyId;

/// Kinds of artifacts in the order in which they are drawn, each with the heading of its group.
const GROUPS: [(NamedKind, &str); 5] = [
    (NamedKind::Chart, "charts"),
    (NamedKind::Bundle, "bundle"),
    (NamedKind::ControlPlane, "control plane"),
    (NamedKind::Image, "images"),
    (NamedKind::ExtraImage, "extra images"),
];

/// A release and everything that it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Graph {
    /// Channel that the release was reached by; `None` where it was named by version or digest.
    pub channel: Option<ServedBy>,
    /// Release manifest that the graph is about.
    pub release: Node,
    /// Charts, bundle, control plane, images and extra images, in the order of the release.
    pub artifacts: Vec<Node>,
}

/// The channel manifest that serves a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServedBy {
    /// Name of the channel.
    pub name: String,
    /// Digest of the channel manifest.
    pub manifest: Digest,
    /// Number of the move; `None`, as are the three fields below, where the channel manifest has no record.
    pub sequence: Option<u64>,
    /// Kind of the move.
    pub kind: Option<MoveKind>,
    /// Time of the move, RFC 3339.
    pub moved: Option<String>,
    /// Who moved the channel.
    pub by: Option<String>,
    /// Keys of the channel's role that signed the statement of the channel; absent when signatures were not verified.
    #[serde(rename = "signedBy", skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<BTreeSet<KeyId>>,
}

/// One artifact of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// What the artifact is in the release.
    pub kind: NamedKind,
    /// Name of the chart or the bundle's repository, key of the image, or version of the release.
    pub name: String,
    /// Version, or the tag of an image, as the release says it.
    pub version: Option<String>,
    /// `HOST/PATH@DIGEST` or `HOST/PATH:TAG`, or what the release says in the place of a reference.
    pub reference: String,
    /// Whether the release names the artifact by digest.
    pub pinned: bool,
    /// Digest of the manifest; `None` where the release names a tag and the store was not asked or does not have it.
    pub digest: Option<Digest>,
    /// Number of bytes of all manifests and blobs; `None` where the store was not asked.
    pub size: Option<u64>,
    /// Time that the artifact says it was made at, RFC 3339. Charts say none.
    pub created: Option<String>,
    /// Number of signatures, none of which is verified; `None` where the store was not asked or does not tell.
    pub signatures: Option<usize>,
    /// Keys of the role `release` that signed the artifact; absent when signatures were not verified.
    #[serde(rename = "signedBy", skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<BTreeSet<KeyId>>,
    /// Signatures, attestations and other manifests that refer to the artifact.
    pub attached: Vec<AttachedNode>,
    /// Why the artifact was not read, where that is not an error: a store is not asked for what is in another registry.
    pub note: Option<String>,
    /// Why the artifact, or what refers to it, cannot be read.
    pub problem: Option<String>,
    /// How the artifact differs from that of the release before.
    #[serde(skip)]
    pub mark: Mark,
}

/// A manifest that refers to an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachedNode {
    /// What the manifest is for.
    pub what: AttachedKind,
    /// Tag `sha256-<hex>.sig` or the like; `None` for a manifest that names its subject.
    pub tag: Option<Tag>,
    /// Media type of the artifact, where the manifest says it.
    pub artifact_type: Option<String>,
    /// Digest of the manifest.
    pub digest: Digest,
    /// Number of bytes of the manifest and its blobs.
    pub size: u64,
}

/// What a manifest that refers to another one is for, as far as its tag or its media type tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AttachedKind {
    /// A signature of cosign, Notation or Sigstore.
    Signature,
    /// A statement about how the artifact was made.
    Attestation,
    /// A bill of materials.
    Sbom,
    /// Any other manifest that names a subject.
    Referrer,
}

impl AttachedKind {
    /// Returns the kind as it is written in the JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Attestation => "attestation",
            Self::Sbom => "sbom",
            Self::Referrer => "referrer",
        }
    }
}

/// How an artifact differs between two releases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// The same artifact is in both, or only one release is shown.
    #[default]
    None,
    /// Only the release after the change names it.
    Added,
    /// Only the release before the change names it.
    Removed,
    /// Both name it, with another reference or version.
    Changed,
}

impl Mark {
    /// Returns the mark as a word; empty for [`Mark::None`].
    fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

impl Graph {
    /// Builds the graph of what a release names, without asking a store: sizes, times and signatures are unknown.
    pub(crate) fn of(version: &str, reference: String, digest: Digest, named: &[Named]) -> Self {
        let release = Node::new(NamedKind::Release, version.to_owned(), None, reference, Some(digest));
        Self { channel: None, release, artifacts: named.iter().map(Node::of).collect() }
    }

    /// Marks how each artifact differs from what another release names, and adds the artifacts that only the other release names.
    pub(crate) fn compared_to(mut self, before: &[Named]) -> Self {
        let before: Vec<Node> = before.iter().map(Node::of).collect();
        for node in &mut self.artifacts {
            node.mark = match before.iter().find(|old| old.is_in_place_of(node)) {
                None => Mark::Added,
                Some(old) if (&old.reference, &old.version) != (&node.reference, &node.version) => Mark::Changed,
                Some(_) => Mark::None,
            };
        }
        for mut old in before {
            if !self.artifacts.iter().any(|node| old.is_in_place_of(node)) {
                old.mark = Mark::Removed;
                self.artifacts.push(old);
            }
        }
        self
    }

    /// Returns the groups that have artifacts, in order, each with its heading.
    fn groups(&self) -> Vec<(&'static str, Vec<&Node>)> {
        let of_kind = |kind| self.artifacts.iter().filter(|node| node.kind == kind).collect::<Vec<_>>();
        let groups = GROUPS.into_iter().map(|(kind, heading)| (heading, of_kind(kind)));
        groups.filter(|(_, nodes)| !nodes.is_empty()).collect()
    }

    /// Returns the artifacts that cannot be read.
    pub fn unread(&self) -> impl Iterator<Item = &Node> {
        std::iter::once(&self.release).chain(&self.artifacts).filter(|node| node.problem.is_some())
    }
}

impl ServedBy {
    /// Returns the channel that a release was resolved by; `channel` is the name where the manifest has no record.
    pub(crate) fn of(resolved: &Resolved, channel: Option<&Tag>) -> Option<Self> {
        let record = resolved.record.as_ref();
        let name = channel.map(Tag::to_string).or_else(|| record.map(|record| record.name.clone()))?;
        Some(Self {
            name,
            manifest: resolved.manifest.clone(),
            sequence: record.map(|record| record.sequence),
            kind: record.map(|record| record.kind),
            moved: record.map(|record| record.moved.clone()),
            by: record.and_then(|record| record.by.clone()),
            signed_by: None,
        })
    }

    /// Returns how the channel came to the release, in a few words; empty where that is not recorded.
    fn words(&self) -> String {
        let mut words = Vec::new();
        if let Some(sequence) = self.sequence {
            words.push(format!("move {sequence}"));
        }
        words.extend(self.moved.as_deref().map(shown));
        words.extend(self.by.as_deref().map(|by| format!("by {}", shown(by))));
        words.extend(self.signed_by.as_ref().map(|keys| signers(keys, "not signed by enough of its keys")));
        words.join(", ")
    }
}

impl Node {
    /// Creates a node that no store was asked about. It is pinned when its digest is known.
    fn new(kind: NamedKind, name: String, version: Option<String>, reference: String, digest: Option<Digest>) -> Self {
        Self {
            kind,
            name,
            version,
            reference,
            pinned: digest.is_some(),
            digest,
            size: None,
            created: None,
            signatures: None,
            signed_by: None,
            attached: Vec::new(),
            note: None,
            problem: None,
            mark: Mark::None,
        }
    }

    fn of(named: &Named) -> Self {
        let (note, problem) = match &named.target {
            Target::At { .. } => (None, None),
            Target::Unplaced(reason) => (Some(reason.clone()), None),
            Target::Invalid(reason) => (None, Some(reason.clone())),
        };
        let (name, version, reference) = (named.name.clone(), named.version.clone(), named.reference.clone());
        Self { note, problem, ..Self::new(named.kind, name, version, reference, named.digest().cloned()) }
    }

    fn is_in_place_of(&self, other: &Self) -> bool {
        (self.kind, &self.name) == (other.kind, &other.name)
    }

    /// Returns name and version for people, in one line.
    fn title(&self) -> String {
        // An extra image is named by its whole reference.
        let name = match (self.kind, self.name.split_once('@')) {
            (NamedKind::ExtraImage, Some((name, _))) => name,
            _ => &self.name,
        };
        let version = self.version.as_deref().map(|version| format!(" {}", shown(version)));
        format!("{}{}", shown(name), version.unwrap_or_default())
    }

    /// Returns the first hex digits of the digest, or what is known instead.
    fn short_digest(&self) -> String {
        self.digest.as_ref().map_or_else(|| "-".to_owned(), |digest| digest.short().to_owned())
    }

    /// Returns why the artifact was not read, if it was not.
    fn reason(&self) -> Option<String> {
        self.problem.as_deref().or(self.note.as_deref()).map(shown)
    }

    /// Returns the number of signatures in words.
    fn signed(&self) -> String {
        let count = match self.signatures {
            None => return "-".to_owned(),
            Some(0) => return "none".to_owned(),
            Some(count) => count.to_string(),
        };
        match &self.signed_by {
            None => count,
            Some(keys) => format!("{count}, {}", signers(keys, "signed by others")),
        }
    }
}

/// Returns the keys that signed in a few words, or `none` in place of them.
fn signers(keys: &BTreeSet<KeyId>, none: &str) -> String {
    let short: Vec<String> = keys.iter().map(KeyId::short).collect();
    if short.is_empty() { none.to_owned() } else { format!("signed by {}", short.join(", ")) }
}

/// Returns the day of an RFC 3339 time.
fn day(time: &str) -> &str {
    time.get(..10).unwrap_or(time)
}

/// Returns what a manifest that is hung on another one by this tag is for.
fn kind_of_tag(tag: &Tag) -> AttachedKind {
    match tag.as_str().rsplit_once('.') {
        Some((_, "sig")) => AttachedKind::Signature,
        Some((_, "att")) => AttachedKind::Attestation,
        Some((_, "sbom")) => AttachedKind::Sbom,
        _ => AttachedKind::Referrer,
    }
}

/// Returns what a referrer is for, by the media type of its artifact.
fn kind_of_referrer(descriptor: &Descriptor) -> AttachedKind {
    let artifact_type = descriptor.artifact_type.as_deref().unwrap_or_default();
    let is = |starts: &[&str]| starts.iter().any(|start| artifact_type.starts_with(start));
    let signatures = [
        "application/vnd.dev.cosign.artifact.sig",
        "application/vnd.dev.sigstore.bundle",
        "application/vnd.cncf.notary.signature",
    ];
    match () {
        () if is(&signatures) => AttachedKind::Signature,
        () if is(&["application/vnd.in-toto", "application/vnd.dsse"]) => AttachedKind::Attestation,
        () if is(&["application/spdx", "application/vnd.cyclonedx", "text/spdx"]) => AttachedKind::Sbom,
        () => AttachedKind::Referrer,
    }
}

#[cfg(test)]
#[path = "graph_tests.rs"]
mod tests;
