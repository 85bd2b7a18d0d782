//! What a person must know before they let a release go: in words, the worst first.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde::Serialize;

use super::chart::ChartChange;
use super::lines::Change;
use super::name;
use super::objects::{ComparedObject, Id, ObjectChange, Role};
use super::value::{ImageChange, ImageState};
use crate::flux::{FORCE, is_below, is_immutable, lost};
use crate::release::{Named, NamedKind, compare_versions};

/// How bad it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something may be lost, or the update may fail.
    Danger,
    /// Somebody should look.
    Warning,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Risk {
    /// How bad.
    pub level: Level,
    /// Which one: a word for programs.
    pub kind: &'static str,
    /// In words; names stand between backticks, and hold none.
    pub text: String,
}

impl Risk {
    pub(super) fn danger(kind: &'static str, text: String) -> Self {
        Self { level: Level::Danger, kind, text }
    }

    pub(super) fn warning(kind: &'static str, text: String) -> Self {
        Self { level: Level::Warning, kind, text }
    }
}

/// Of objects that are applied: what is removed, what cannot be changed in place.
pub(super) fn of_objects(changes: &[ObjectChange], from: &[ComparedObject], to: &[ComparedObject]) -> Vec<Risk> {
    let still: BTreeSet<&Id> = to.iter().map(|object| &object.id).collect();
    let mut risks = Vec::new();
    for change in changes {
        match change.change {
            Change::Added => {}
            Change::Removed if change.pin || still.contains(&change.id) => {}
            Change::Removed => {
                let object = from.iter().find(|object| object.id == change.id && object.file == change.file);
                risks.extend(object.and_then(removed));
            }
            Change::Changed => {
                let same = || to.iter().chain(from).filter(|object| object.id == change.id);
                // Helm makes its hooks anew each time; Flux does so with what says it.
                let anew = same().any(|object| {
                    let says = |key: &str| object.annotation(key);
                    says("helm.sh/hook").is_some()
                        || says(FORCE).is_some_and(|force| force.eq_ignore_ascii_case("enabled"))
                });
                if !anew {
                    risks.extend(immutable_fields(change, same().any(|object| object.value["immutable"] == true)));
                }
            }
        }
    }
    risks
}

/// Flux deletes what it applied and no longer finds, unless the object says otherwise.
///
/// <https://fluxcd.io/flux/components/kustomize/kustomizations/#controlling-garbage-collection>
pub(super) fn removed(object: &ComparedObject) -> Option<Risk> {
    if is_kept(object) {
        return None;
    }
    let id = name(&object.id.to_string());
    if object.role == (Role::Kustomization { prunes: false }) {
        return Some(Risk::warning(
            "removed-object",
            format!("{id} is removed; without `prune`, what it applied stays"),
        ));
    }
    Some(match lost(&object.id.kind) {
        Some(what) => Risk::danger("removed-object", format!("{id} is removed and will be deleted: {what}")),
        None => Risk::warning("removed-object", format!("{id} is removed and will be deleted")),
    })
}

/// Does it outlive that nobody applies it any more?
pub(super) fn is_kept(object: &ComparedObject) -> bool {
    let keeps = |key: &str| {
        object.annotation(key).is_some_and(|value| matches!(value.to_lowercase().as_str(), "disabled" | "keep"))
    };
    let hook = object.annotation("helm.sh/hook").is_some();
    hook || keeps("kustomize.toolkit.fluxcd.io/prune") || keeps("helm.sh/resource-policy")
}

/// What makes Flux uninstall a release and install it anew.
const REINSTALLS: [&str; 3] = ["spec.releaseName", "spec.targetNamespace", "spec.storageNamespace"];

fn immutable_fields(change: &ObjectChange, declared: bool) -> Vec<Risk> {
    let kind = change.id.kind.as_str();
    let id = name(&change.id.to_string());
    let mut risks = Vec::new();
    for field in &change.fields {
        let path = field.path.as_str();
        let content = ["data", "binaryData", "stringData"].iter().any(|root| is_below(path, root));
        if kind == "HelmRelease" && REINSTALLS.contains(&path) {
            let text = format!("{id}: {} changes: Flux uninstalls the release and installs it anew", name(path));
            risks.push(Risk::danger("reinstall", text));
        } else if (declared && content) || is_immutable(kind, path) {
            let text = format!("{id}: {} cannot be changed in place: the update will be refused", name(path));
            risks.push(Risk::danger("immutable-field", text));
        }
    }
    risks
}

/// Of a chart: it goes back, or its version changed hands.
pub(super) fn of_chart(chart: &ChartChange) -> Vec<Risk> {
    let mut risks = Vec::new();
    let id = name(&chart.name);
    if let (Some(from), Some(to)) = (&chart.from, &chart.to) {
        if compare_versions(&to.version, &from.version) == Some(Ordering::Less) {
            let text = format!("chart {id} goes back, from {} to {}", name(&from.version), name(&to.version));
            risks.push(Risk::danger("downgrade", text));
        }
        if from.version == to.version && !chart.repacked && !chart.external {
            let text = format!("chart {id} has other content under the same version, {}", name(&to.version));
            risks.push(Risk::warning("same-version", text));
        }
    }
    if let Some(reason) = &chart.not_compared {
        risks.push(Risk::warning(
            "not-compared",
            format!("the files of chart {id} were not compared: {}", name(reason)),
        ));
    }
    if chart.files.iter().any(|file| file.part == super::chart::Part::Crds && file.change != Change::Added) {
        let text =
            format!("chart {id} changes its CRDs: Helm does not bring them up to date unless the release says so");
        risks.push(Risk::warning("crds", text));
    }
    risks
}

/// Tags that name another image tomorrow.
const MUTABLE_TAGS: [&str; 16] = [
    "latest",
    "main",
    "master",
    "trunk",
    "head",
    "nightly",
    "stable",
    "edge",
    "canary",
    "dev",
    "develop",
    "development",
    "snapshot",
    "staging",
    "test",
    "current",
];

/// Of an image: it goes back, its tag can move, or did.
pub(super) fn of_image(image: &ImageChange) -> Vec<Risk> {
    let (Some(from), Some(to)) = (&image.from, &image.to) else { return Vec::new() };
    let id = name(&image.key);
    let mut risks = Vec::new();
    // Without a dot it is a commit that happens to have digits alone.
    let versions = from.tag.contains('.') && to.tag.contains('.');
    if versions && compare_versions(&to.tag, &from.tag) == Some(Ordering::Less) {
        let text = format!("image {id} goes back, from {} to {}", name(&from.tag), name(&to.tag));
        risks.push(Risk::danger("downgrade", text));
    }
    if from.tag == to.tag && from.digest.is_some() && to.digest.is_some() && from.digest != to.digest {
        let text = format!(
            "image {id} is another one under the same tag, {}: nodes that hold the old one keep it",
            name(&to.tag)
        );
        risks.push(Risk::warning("moved-tag", text));
    }
    risks
}

/// Of an image of the release that is decided on, changed or not.
pub(super) fn of_tag(key: &str, image: &ImageState) -> Option<Risk> {
    let text = format!(
        "image {} is deployed by the tag {}, which may name another image tomorrow",
        name(key),
        name(&image.tag)
    );
    MUTABLE_TAGS.contains(&image.tag.to_lowercase().as_str()).then(|| Risk::warning("mutable-tag", text))
}

/// Returns the risk of a control plane that is not pinned by digest.
pub(super) fn of_control_plane(named: &Named) -> Option<Risk> {
    let text = format!("the control plane {} is not pinned by digest", name(&named.reference));
    let risky = named.kind == NamedKind::ControlPlane && named.digest().is_none();
    risky.then(|| Risk::warning("mutable-tag", text))
}

#[cfg(test)]
#[path = "risk_tests.rs"]
mod tests;
