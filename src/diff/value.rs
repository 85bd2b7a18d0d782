//! The result of a comparison. Every rendering is made from this value alone.

use serde::Serialize;

use super::chart::{ChartChange, FileChange};
use super::fields::FieldChange;
use super::lines::Change;
use super::objects::ObjectChange;
use super::random::RandomFields;
use super::risk::{Level, Risk};
use super::side::Identity;
use crate::graph::Graph;
use crate::oci::Digest;

/// Name and version of the JSON format, which `docs/schemas/diff.json` describes.
pub const SCHEMA: &str = "alga.appliance.diff/v1";

/// The difference between two releases.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diff {
    /// Always [`SCHEMA`], so that a reader of the JSON knows the format.
    pub schema: &'static str,
    /// The older release; `None` where a channel serves no release yet.
    pub from: Option<Identity>,
    /// The newer release, which a person decides on.
    pub to: Identity,
    /// Whether the two are different releases.
    pub has_changes: bool,
    /// Counts of the changes in the fields below.
    pub summary: Summary,
    /// Changes that may do harm, the worst first.
    pub risks: Vec<Risk>,
    /// Sentences that say what could not be compared, and why.
    pub notes: Vec<String>,
    /// What the signature of the newer release does not cover, sorted; `None` where the release does not pin its images, or
    /// where nothing differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_covered: Option<Vec<String>>,
    /// Charts that differ, sorted by name.
    pub charts: Vec<ChartChange>,
    /// Application images that differ, sorted by key.
    pub images: Vec<ImageChange>,
    /// Entries of `extraImages` that differ.
    pub extra_images: Vec<FieldChange>,
    /// The control-plane image, if it differs.
    pub control_plane: Option<FieldChange>,
    /// Files of the profile's values that differ.
    pub values: Vec<FileChange>,
    /// Files of the overlay that differ.
    pub overlay: Vec<FileChange>,
    /// Kubernetes objects of the overlay that differ.
    pub objects: Vec<ObjectChange>,
    /// Other keys of the release that differ: the profile's name and the vendor's own keys.
    pub other: Vec<FieldChange>,
    /// Digest of the config bundle, if it differs.
    pub bundle: Option<BundleChange>,
    /// The difference between the rendered objects, if it was asked for.
    pub rendered: Option<Rendered>,
    /// The release whose bundle cannot be read, and why, where that keeps the overlays from being compared.
    #[serde(skip)]
    pub unread: Option<(String, String)>,
    /// The newer release with everything that it names, drawn on the HTML page; `None` where nothing differs.
    #[serde(skip)]
    pub graph: Option<Graph>,
}

/// The difference between the objects that Helm and kustomize make of two releases.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rendered {
    /// Names and versions of the programs that were run; none where nothing had to be rendered.
    pub programs: Vec<String>,
    /// Sentences that say what was not rendered, and why.
    pub notes: Vec<String>,
    /// Objects that differ, without fields that are made at random.
    pub objects: Vec<ObjectChange>,
    /// Fields of the newer release that are made at random, and that are not counted as changes.
    pub random: Vec<RandomFields>,
}

/// Digests of the config bundles of two releases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BundleChange {
    /// Digest in the older release.
    pub from: Option<Digest>,
    /// Digest in the newer release.
    pub to: Digest,
}

/// An application image as one of the two releases names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageState {
    /// Tag of the image.
    pub tag: String,
    /// Digest of the image's manifest; `None` where the publisher did not check the image.
    pub digest: Option<Digest>,
    /// Host and path that the image is pulled from.
    pub repository: Option<String>,
}

/// An application image that differs between two releases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageChange {
    /// Key of the image in `images` of the release.
    pub key: String,
    /// Whether the image is new, gone, or another.
    pub change: Change,
    /// The image in the older release.
    pub from: Option<ImageState>,
    /// The image in the newer release.
    pub to: Option<ImageState>,
}

/// Counts of changes of one kind of thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Count of things that only the newer release has.
    pub added: usize,
    /// Count of things that only the older release has.
    pub removed: usize,
    /// Count of things that differ, renamed files among them.
    pub changed: usize,
}

impl Count {
    /// Returns the sum of all three counts.
    pub fn total(&self) -> usize {
        self.added + self.removed + self.changed
    }

    fn of(changes: impl Iterator<Item = Change>) -> Self {
        let mut count = Self::default();
        for change in changes {
            match change {
                Change::Added => count.added += 1,
                Change::Removed => count.removed += 1,
                Change::Changed => count.changed += 1,
            }
        }
        count
    }
}

/// Counts of everything that differs. Pins, which the publisher writes, are not counted with what the author changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Charts, whether their files could be compared or not.
    pub charts: Count,
    /// Application images, without `extraImages`.
    pub images: Count,
    /// Whether the control-plane image differs.
    pub control_plane: bool,
    /// Files of the profile's values.
    pub values: Count,
    /// Files of the overlay, without pins.
    pub overlay: Count,
    /// Objects of the overlay, without pins.
    pub objects: Count,
    /// Count of files and objects in which only pins differ.
    pub pins: usize,
}

impl Diff {
    /// Adds findings of the checks about the newer release as risks.
    pub(crate) fn add_findings(&mut self, findings: impl Iterator<Item = (Level, String)>) {
        self.risks.extend(findings.map(|(level, text)| Risk { level, kind: "lint", text }));
        self.sort_risks();
    }

    /// Sorts the risks, the worst first, and removes those that are named twice. A release that cannot be rendered comes before
    /// everything else of its level, because nothing is known of its objects.
    pub(super) fn sort_risks(&mut self) {
        self.risks.sort_by(|a, b| {
            let rank = |risk: &Risk| (risk.level, risk.kind != "not-rendered");
            rank(a).cmp(&rank(b)).then_with(|| a.cmp(b))
        });
        self.risks.dedup();
    }

    /// Counts the changes and sets the summary.
    pub(super) fn summarise(&mut self) {
        let authored = |files: &[FileChange]| Count::of(files.iter().filter(|file| !file.pin).map(|file| file.change));
        self.summary = Summary {
            charts: Count::of(self.charts.iter().map(|chart| chart.change)),
            images: Count::of(self.images.iter().map(|image| image.change)),
            control_plane: self.control_plane.is_some(),
            values: authored(&self.values),
            overlay: authored(&self.overlay),
            objects: Count::of(self.objects.iter().filter(|object| !object.pin).map(|object| object.change)),
            pins: self.objects.iter().filter(|object| object.pin).count()
                + self.overlay.iter().filter(|file| file.pin).count(),
        };
    }
}
