//! The result of a comparison: a value. Every rendering is made from it alone.

use serde::Serialize;

use super::chart::{ChartChange, FileChange};
use super::fields::FieldChange;
use super::lines::Change;
use super::objects::ObjectChange;
use super::risk::{Level, Risk};
use super::side::Identity;
use crate::graph::Graph;
use crate::oci::Digest;

/// Version of the JSON, `docs/schemas/diff.json`.
pub const SCHEMA: &str = "alga.appliance.diff/v1";

/// Two releases, compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diff {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Before; nothing where a channel serves nothing yet.
    pub from: Option<Identity>,
    /// After.
    pub to: Identity,
    /// Are they different releases?
    pub has_changes: bool,
    /// Everything below, counted.
    pub summary: Summary,
    /// What a person must know, the worst first.
    pub risks: Vec<Risk>,
    /// What could not be compared, and why.
    pub notes: Vec<String>,
    /// Charts that differ, by name.
    pub charts: Vec<ChartChange>,
    /// Application images that differ, by key.
    pub images: Vec<ImageChange>,
    /// Further images.
    pub extra_images: Vec<FieldChange>,
    /// The control plane, where it differs.
    pub control_plane: Option<FieldChange>,
    /// Values of the profile that differ, by file.
    pub values: Vec<FileChange>,
    /// Files of the overlay that differ.
    pub overlay: Vec<FileChange>,
    /// Objects of the overlay that differ.
    pub objects: Vec<ObjectChange>,
    /// Other keys of the release that differ: the vendor's own, the profile.
    pub other: Vec<FieldChange>,
    /// Digest of the config bundle, where it differs.
    pub bundle: Option<BundleChange>,
    /// What the cluster would get, when that was asked for.
    pub rendered: Option<Rendered>,
    /// The release after the change with everything that it names, for the HTML page; absent where nothing changes.
    #[serde(skip)]
    pub graph: Option<Graph>,
}

/// What the programs of the cluster make of both releases.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rendered {
    /// The programs with their versions.
    pub programs: Vec<String>,
    /// What was not rendered, and why.
    pub notes: Vec<String>,
    /// The objects that differ.
    pub objects: Vec<ObjectChange>,
}

/// The bundle of two releases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BundleChange {
    /// Before.
    pub from: Option<Digest>,
    /// After.
    pub to: Digest,
}

/// An application image on one side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageState {
    /// Its tag.
    pub tag: String,
    /// Of its manifest, where it was checked.
    pub digest: Option<Digest>,
    /// Where it comes from.
    pub repository: Option<String>,
}

/// An application image that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageChange {
    /// Its key in the release.
    pub key: String,
    /// What became of it.
    pub change: Change,
    /// Before.
    pub from: Option<ImageState>,
    /// After.
    pub to: Option<ImageState>,
}

/// How many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// New ones.
    pub added: usize,
    /// Those that are gone.
    pub removed: usize,
    /// Those that are others.
    pub changed: usize,
}

impl Count {
    /// All of them.
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

/// A comparison in numbers. Pins are not counted with what the author changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Charts.
    pub charts: Count,
    /// Images.
    pub images: Count,
    /// Does the control plane differ?
    pub control_plane: bool,
    /// Files of values.
    pub values: Count,
    /// Files of the overlay.
    pub overlay: Count,
    /// Objects of the overlay.
    pub objects: Count,
    /// Files and objects in which the publisher's pins alone differ.
    pub pins: usize,
}

impl Diff {
    /// Adds findings about the release after the change as risks.
    pub(crate) fn add_findings(&mut self, findings: impl Iterator<Item = (Level, String)>) {
        self.risks.extend(findings.map(|(level, text)| Risk { level, kind: "lint", text }));
        self.risks.sort();
        self.risks.dedup();
    }

    /// Counts what it holds.
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
