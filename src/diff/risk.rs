//! Risks: the changes that a person must know of before the release goes to customers, as sentences, the worst first.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde::Serialize;

use super::chart::{ChartChange, FileChange, Part};
use super::lines::Change;
use super::name;
use super::objects::{ComparedObject, Id, ObjectChange, Role};
use super::value::{ImageChange, ImageState};
use crate::flux::{FORCE, is_below, is_immutable, lost};
use crate::release::{Named, NamedKind, compare_versions};

/// How serious a risk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Data may be lost, or the update may fail.
    Danger,
    /// A person should check the change.
    Warning,
}

/// A change that may do harm.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Risk {
    /// How serious the risk is.
    pub level: Level,
    /// The kind of risk, for programs: one of `docs/schemas/diff.json`.
    pub kind: &'static str,
    /// A sentence. Names are between backticks and contain none.
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

/// Returns the risks of objects that are removed, and of fields that cannot be changed in place.
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
                // Helm creates its hooks anew each time, and Flux recreates objects that have its annotation.
                let recreated = same().any(|object| {
                    let says = |key: &str| object.annotation(key);
                    says("helm.sh/hook").is_some()
                        || says(FORCE).is_some_and(|force| force.eq_ignore_ascii_case("enabled"))
                });
                if !recreated {
                    risks.extend(immutable_fields(change, same().any(|object| object.value["immutable"] == true)));
                }
            }
        }
    }
    risks
}

/// Returns the risk of an object that the newer release does not have: Flux deletes objects that it applied and no longer finds,
/// unless an annotation of the object keeps it.
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
            format!("{id} is removed; it does not prune, so the objects that it applied stay"),
        ));
    }
    Some(match lost(&object.id.kind) {
        Some(what) => Risk::danger("removed-object", format!("{id} is removed and will be deleted: {what}")),
        None => Risk::warning("removed-object", format!("{id} is removed and will be deleted")),
    })
}

/// Reports whether an object stays in the cluster when it is no longer applied.
pub(super) fn is_kept(object: &ComparedObject) -> bool {
    let keeps = |key: &str| {
        object.annotation(key).is_some_and(|value| matches!(value.to_lowercase().as_str(), "disabled" | "keep"))
    };
    let hook = object.annotation("helm.sh/hook").is_some();
    hook || keeps("kustomize.toolkit.fluxcd.io/prune") || keeps("helm.sh/resource-policy")
}

/// Fields of a `HelmRelease` whose change makes Flux uninstall the release and install it again.
const REINSTALLS: [&str; 3] = ["spec.releaseName", "spec.targetNamespace", "spec.storageNamespace"];

fn immutable_fields(change: &ObjectChange, declared: bool) -> Vec<Risk> {
    let kind = change.id.kind.as_str();
    let id = name(&change.id.to_string());
    let mut risks = Vec::new();
    for field in &change.fields {
        let path = field.path.as_str();
        let content = ["data", "binaryData", "stringData"].iter().any(|root| is_below(path, root));
        if kind == "HelmRelease" && REINSTALLS.contains(&path) {
            let text = format!("{id}: {} changes: Flux uninstalls the release and installs it again", name(path));
            risks.push(Risk::danger("reinstall", text));
        } else if (declared && content) || is_immutable(kind, path) {
            let text = format!("{id}: {} cannot be changed in place: the update will be refused", name(path));
            risks.push(Risk::danger("immutable-field", text));
        }
    }
    risks
}

/// Returns the risks of a chart: an older version, other content under the same version, changed CRDs.
pub(super) fn of_chart(chart: &ChartChange) -> Vec<Risk> {
    let mut risks = Vec::new();
    let id = name(&chart.name);
    if let (Some(from), Some(to)) = (&chart.from, &chart.to) {
        if compare_versions(&to.version, &from.version) == Some(Ordering::Less) {
            let text = format!("chart {id} is downgraded from {} to {}", name(&from.version), name(&to.version));
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
    let is_crd = |path: &str| Part::of(path) == Part::Crds;
    let was_crd = |file: &FileChange| is_crd(file.renamed_from.as_ref().unwrap_or(&file.path));
    if chart.files.iter().any(|file| was_crd(file) && file.change != Change::Added) {
        let text = format!("chart {id} changes its CRDs: Helm does not update CRDs unless the HelmRelease says so");
        risks.push(Risk::warning("crds", text));
    }
    risks
}

/// Tags that are usually pushed again for each new image.
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

/// Returns the risks of an image: an older version, or another image under the same tag.
pub(super) fn of_image(image: &ImageChange) -> Vec<Risk> {
    let (Some(from), Some(to)) = (&image.from, &image.to) else { return Vec::new() };
    let id = name(&image.key);
    let mut risks = Vec::new();
    // A tag without a dot may be a commit that consists of digits, which has no order.
    let versions = from.tag.contains('.') && to.tag.contains('.');
    if versions && compare_versions(&to.tag, &from.tag) == Some(Ordering::Less) {
        let text = format!("image {id} is downgraded from {} to {}", name(&from.tag), name(&to.tag));
        risks.push(Risk::danger("downgrade", text));
    }
    if from.tag == to.tag && from.digest.is_some() && to.digest.is_some() && from.digest != to.digest {
        let text = format!(
            "image {id} has the same tag {} and another digest: nodes that have pulled the old image keep it",
            name(&to.tag)
        );
        risks.push(Risk::warning("moved-tag", text));
    }
    risks
}

/// Returns the risk of a tag that may be pushed again, for an image of the newer release, whether it differs or not.
pub(super) fn of_tag(key: &str, image: &ImageState) -> Option<Risk> {
    let text = format!(
        "image {} is deployed by the tag {}, which may be pushed again with another image",
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
