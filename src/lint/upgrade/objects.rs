//! Changes of the overlay's objects: removed objects, which Flux deletes, and changed objects, which Kubernetes may refuse.

use std::collections::{BTreeMap, BTreeSet};

use super::{node_at, place_of_removed};
use crate::flux::{FORCE, HELM, Object, is_below, is_immutable, lost};
use crate::lint::flux::{Applied, AppliedObject};
use crate::lint::{Class, Findings, Place, Rule, Severity};
use crate::text::shown;
use crate::yaml::Node;

pub(super) static REMOVED: Rule = Rule {
    id: "upgrade-object-lost",
    class: Class::Upgrade,
    severity: Severity::Error,
    title: "an upgrade deletes something that cannot be restored",
    verdict: "Flux deletes an object that it applied and that the release no longer contains. A Namespace is deleted with everything in it, \
              a PersistentVolumeClaim with its data, and a CustomResourceDefinition with every object of its kind.",
    example: "# the running release contains a Namespace `data`; this release does not\n",
    way_out: "keep the object, or first publish a release that sets `kustomize.toolkit.fluxcd.io/prune: disabled` on it, and remove it in the \
              release after that; if the loss is intended, allow the finding with a reason",
};

pub(super) static NEEDED: Rule = Rule {
    id: "upgrade-object-needed",
    class: Class::Upgrade,
    severity: Severity::Error,
    title: "an upgrade deletes an object that is still used",
    verdict: "Flux deletes an object that it applied and that the release no longer contains. Pods that use the object no longer start, and \
              objects in a deleted namespace are not applied.",
    example: "# the running release has a ConfigMap `settings`; this release does not, but a Deployment still mounts it\n",
    way_out: "keep the object, or remove the references to it",
};

pub(super) static IMMUTABLE: Rule = Rule {
    id: "upgrade-immutable-field",
    class: Class::Upgrade,
    severity: Severity::Error,
    title: "an upgrade changes a field that Kubernetes does not allow to change",
    verdict: "The API server answers `field is immutable`, and Flux applies nothing of the Kustomization on appliances that run the older \
              release.",
    example: "kind: Deployment\nspec:\n  selector: {matchLabels: {app: web, tier: front}}   # `tier` is new\n",
    way_out: "keep the value, give the object another name, or set the annotation `kustomize.toolkit.fluxcd.io/force: Enabled`, so that \
              Flux deletes the object and creates it again",
};

pub(super) static RULES: &[&Rule] = &[&REMOVED, &NEEDED, &IMMUTABLE];

type Id = (String, String, String, String);

fn id(one: &AppliedObject<'_>) -> Id {
    let namespace = one.namespace.clone().unwrap_or_default();
    [one.object.group(), one.object.kind(), &namespace, one.object.name()].map(ToOwned::to_owned).into()
}

fn named(object: &Object<'_>) -> String {
    format!("{} `{}`", shown(object.kind()), shown(object.name()))
}

pub(super) fn check(from: &Applied<'_>, to: &Applied<'_>, found: &mut Findings) {
    if from.renamed.is_some() || to.renamed.is_some() {
        return;
    }
    let mut new: BTreeMap<Id, &AppliedObject<'_>> = BTreeMap::new();
    new.extend(to.objects.iter().map(|one| (id(one), one)));
    let mut seen = BTreeSet::new();
    for one in from.objects.iter().filter(|one| seen.insert(id(one))) {
        match new.get(&id(one)) {
            Some(now) => changed(one, now, to, found),
            None if is_deleted(from, one) => removed(one, to, found),
            None => {}
        }
    }
}

/// Reports whether Flux deletes the object when no Kustomization contains it any more.
fn is_deleted(from: &Applied<'_>, one: &AppliedObject<'_>) -> bool {
    let keeps = |key: &str, value: &str| {
        let of = |part: &str| one.object.node.text_at(&["metadata", part, key]);
        [of("annotations"), of("labels")].into_iter().flatten().any(|found| found.eq_ignore_ascii_case(value))
    };
    // The appliance's own Kustomization has `prune: true`.
    let prunes = from.appliers[one.by].kustomization.is_none_or(|kustomization| {
        kustomization.prune && kustomization.object.node.text_at(&["spec", "deletionPolicy"]) != Some("Orphan")
    });
    prunes && !keeps("kustomize.toolkit.fluxcd.io/prune", "disabled")
}

fn removed(one: &AppliedObject<'_>, to: &Applied<'_>, found: &mut Findings) {
    let what = lost(one.object.kind()).filter(|_| one.object.group() != HELM && one.object.kind() != "Kustomization");
    if let Some(user) = to.objects.iter().find_map(|user| names(user, one)) {
        let (user, node) = user;
        let message = format!("the upgrade deletes {}, but {} still uses it", named(&one.object), named(&user.object));
        found.add(&NEEDED, Place::overlay(user.object.file, node), message);
    } else if let Some(what) = what {
        let message = format!("the upgrade deletes {}: {what}", named(&one.object));
        found.add(&REMOVED, place_of_removed(&one.object, to.contents), message);
    }
}

/// Keys that name an object of a kind in the same namespace, in a mapping with `name` or directly.
const REFERENCES: [(&str, &[&str]); 4] = [
    ("ConfigMap", &["configMap", "configMapRef", "configMapKeyRef"]),
    ("Secret", &["secretName", "secretRef", "secretKeyRef", "certSecretRef"]),
    ("ServiceAccount", &["serviceAccountName"]),
    ("PersistentVolumeClaim", &["claimName"]),
];

/// Returns the node at which an object refers to another one.
fn names<'o, 'a>(user: &'o AppliedObject<'a>, one: &AppliedObject<'_>) -> Option<(&'o AppliedObject<'a>, &'a Node)> {
    let (kind, name) = (one.object.kind(), one.object.name());
    if kind == "Namespace" {
        let target = user.object.node.get(&["spec", "targetNamespace"]).filter(|node| node.as_str() == Some(name));
        let own = user.object.node.get(&["metadata", "name"]).filter(|_| user.namespace.as_deref() == Some(name));
        return Some((user, target.or(own)?));
    }
    let keys = REFERENCES.iter().find(|(of, _)| *of == kind && one.object.group().is_empty())?.1;
    if user.namespace != one.namespace {
        return None;
    }
    let entries = user.object.node.walk().into_iter().filter(|node| !node.is_alias()).flat_map(Node::entries);
    let mut values =
        entries.filter(|entry| entry.key.as_str().is_some_and(|key| keys.contains(&key))).filter_map(|entry| {
            let inner = entry.value.get(&["name"]);
            let is_optional = entry.value.text_at(&["optional"]) == Some("true");
            inner.or(Some(&entry.value)).filter(|_| !is_optional)
        });
    Some((user, values.find(|node| node.as_str() == Some(name))?))
}

fn changed(one: &AppliedObject<'_>, now: &AppliedObject<'_>, to: &Applied<'_>, found: &mut Findings) {
    let force = |node: &Node| {
        node.text_at(&["metadata", "annotations", FORCE]).is_some_and(|value| value.eq_ignore_ascii_case("enabled"))
    };
    let forced =
        to.appliers[now.by].kustomization.is_some_and(|by| by.object.node.text_at(&["spec", "force"]) == Some("true"));
    if forced || force(now.object.node) || to.substitutes(now) {
        return;
    }
    // A finished Job with a time to live is deleted and created again.
    let short_lived = one.object.node.get(&["spec", "ttlSecondsAfterFinished"]).is_some();
    if one.object.kind() == "Job" && short_lived {
        return;
    }
    let fixed = one.object.node.text_at(&["immutable"]) == Some("true");
    for path in one.object.node.differences(now.object.node) {
        let content =
            fixed && ["data", "binaryData", "stringData", "immutable"].iter().any(|root| is_below(&path, root));
        if content || is_immutable(one.object.kind(), &path) && !is_default(&path, one.object.node, now.object.node) {
            let message =
                format!("the upgrade changes the immutable field `{}` of {}", shown(&path), named(&now.object));
            found.add(&IMMUTABLE, Place::overlay(now.object.file, node_at(now.object.node, &path)), message);
        }
    }
}

/// Default values that Kubernetes sets when a field is not written.
const DEFAULTS: [(&str, &str); 7] = [
    ("type", "Opaque"),
    ("reclaimPolicy", "Delete"),
    ("volumeBindingMode", "Immediate"),
    ("preemptionPolicy", "PreemptLowerPriority"),
    ("spec.volumeMode", "Filesystem"),
    ("spec.podManagementPolicy", "OrderedReady"),
    ("spec.completionMode", "NonIndexed"),
];

/// Reports whether a field is absent on one side and has its default value on the other.
fn is_default(path: &str, from: &Node, to: &Node) -> bool {
    let keys: Vec<&str> = path.split('.').collect();
    let Some((_, default)) = DEFAULTS.iter().find(|(of, _)| *of == path) else { return false };
    [from, to].iter().all(|node| node.text_at(&keys).is_none_or(|text| text == *default))
}
