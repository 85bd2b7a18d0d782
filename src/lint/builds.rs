//! Class "builds in kustomize": what a build of each directory that Flux applies would refuse.

use std::collections::BTreeMap;

use super::rule::{Class, Rule, Severity};
use super::{Contents, Findings, Place};
use crate::flux::Root;
use crate::kustomize::{Id, Kind, Problem, Resource, build, strict};
use crate::yaml::{self, Node};

/// A text that kustomize's parser does not take.
pub(super) static BROKEN_YAML: Rule = Rule {
    id: "build-broken-yaml",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a file that a build reads is not YAML as kustomize parses it",
    verdict: "Flux says \"MalformedYAMLError\" when it builds the Kustomization, and applies none of its objects.",
    example: "data:\n\t\n  key: value   # the line above is indented with a tab\n",
    way_out: "Correct the YAML at the line that is named.",
};

/// A key that an object has twice.
pub(super) static DUPLICATE_KEY: Rule = Rule {
    id: "build-duplicate-key",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a mapping of a built object has a key twice",
    verdict: "Flux says \"mapping key already defined\" when it builds the Kustomization.",
    example: "data:\n  mode: fast\n  mode: slow\n",
    way_out: "Remove one of the two.",
};

/// A field that kustomization files do not have.
pub(super) static UNKNOWN_FIELD: Rule = Rule {
    id: "kustomization-unknown-field",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a kustomization file has a field that kustomize does not know",
    verdict: "`kustomize build` says \"unknown field\". In the directory that a Flux Kustomization names, Flux drops the field \
              in silence instead; in every other directory it refuses the build.",
    example: "resource:      # `resources` was meant\n  - web.yaml\n",
    way_out: "Correct the name of the field, or remove the field.",
};

/// A field of a kustomization file of another type.
pub(super) static FIELD_TYPE: Rule = Rule {
    id: "kustomization-field-type",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a field of a kustomization file has a value of the wrong type",
    verdict: "`kustomize build` says \"cannot unmarshal number into Go struct field … of type string\".",
    example: "images:\n  - name: nginx\n    newTag: 1.27   # a number\n",
    way_out: "Put numbers and booleans that are texts in quotes; write lists with `-`.",
};

/// A kustomization file that is none.
pub(super) static INVALID_FILE: Rule = Rule {
    id: "kustomization-invalid",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a kustomization file is not one as a whole",
    verdict: "kustomize refuses an empty file below the root, another `kind` or `apiVersion` than its own, a Component under \
              `resources` and the reverse, and several kustomization files in one directory.",
    example: "apiVersion: kustomize.toolkit.fluxcd.io/v1   # Flux's group, not kustomize's\nkind: Kustomization\n",
    way_out: "Write `apiVersion: kustomize.config.k8s.io/v1beta1` and `kind: Kustomization`.",
};

/// A file that does not exist.
pub(super) static FILE_MISSING: Rule = Rule {
    id: "build-file-missing",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a build names a file or directory that the bundle does not have",
    verdict: "Flux says \"no such file or directory\" when it builds the Kustomization, and applies none of its objects.",
    example: "resources:\n  - wbe.yaml   # the file is web.yaml\n",
    way_out: "Add the file, correct its name, or remove the ignore rule that leaves it out.",
};

/// A directory in itself.
pub(super) static CYCLE: Rule = Rule {
    id: "build-cycle",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a directory is built as part of itself",
    verdict: "kustomize says \"cycle detected\".",
    example: "resources:\n  - ..\n",
    way_out: "Move what both directories need to a directory of its own.",
};

/// A document that does not hold an object.
pub(super) static NOT_AN_OBJECT: Rule = Rule {
    id: "build-not-an-object",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a file of resources holds something that is not a Kubernetes object",
    verdict: "kustomize says \"missing Resource metadata\", \"missing kind\" or \"missing metadata.name\".",
    example: "replicas: 2   # a values file, listed under `resources`\n",
    way_out: "List only files that hold Kubernetes objects with `kind` and `metadata.name`.",
};

/// An object without `apiVersion`.
pub(super) static WITHOUT_VERSION: Rule = Rule {
    id: "object-without-version",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "a built object has no `apiVersion`",
    verdict: "kustomize builds it; Flux fails when it applies the object, with \"Object 'apiVersion' is missing\".",
    example: "kind: ConfigMap\nmetadata:\n  name: settings\n",
    way_out: "Write the `apiVersion` of the kind.",
};

/// Two objects with one id.
pub(super) static DUPLICATE_OBJECT: Rule = Rule {
    id: "build-duplicate-object",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a build has two objects of the same kind, name and namespace",
    verdict: "kustomize says \"may not add resource with an already registered id\" or \"namespace transformation produces ID \
              conflict\".",
    example: "resources:\n  - web.yaml\n  - web.yaml\n",
    way_out: "Remove or rename one of the two.",
};

/// A patch that is none.
pub(super) static PATCH_INVALID: Rule = Rule {
    id: "patch-invalid",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a patch cannot be read, or does not say what it is for",
    verdict: "kustomize says \"unable to parse SM or JSON patch\" or \"must specify a target for JSON patch\".",
    example: "patches:\n  - patch: |\n      - {op: remove, path: /spec/timeout}   # without `target`\n",
    way_out: "Write an object with `kind` and `metadata.name`, or a list of operations and a `target`.",
};

/// A patch for an object that is not there.
pub(super) static PATCH_WITHOUT_OBJECT: Rule = Rule {
    id: "patch-without-object",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a strategic merge patch is for an object that the build does not have",
    verdict: "kustomize says \"no resource matches strategic merge patch\".",
    example: "patches:\n  - patch: |\n      apiVersion: v1\n      kind: ConfigMap\n      metadata: {name: setings}\n",
    way_out: "Write the `apiVersion`, the kind, the name and the namespace of the object.",
};

/// A target that selects nothing.
pub(super) static PATCH_SELECTS_NOTHING: Rule = Rule {
    id: "patch-selects-nothing",
    class: Class::Builds,
    severity: Severity::Warning,
    title: "the target of a patch selects no object",
    verdict: "kustomize builds, and leaves the patch out in silence.",
    example: "patches:\n  - target: {kind: HelmRelaese}\n    patch: |\n      - {op: remove, path: /spec/timeout}\n",
    way_out: "Correct the target, or remove the patch.",
};

/// A patch that does not fit its object.
pub(super) static PATCH_DOES_NOT_FIT: Rule = Rule {
    id: "patch-does-not-fit",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a patch does not fit the object that it is for",
    verdict: "kustomize says \"doc is missing path\", \"Unable to remove nonexistent key\", \"testing value failed\" or \"wrong \
              node kind\".",
    example: "- op: remove\n  path: /spec/timeuot\n",
    way_out: "Correct the path, or write a value of the type that the object has.",
};

/// A generator that cannot make its object.
pub(super) static GENERATOR_INVALID: Rule = Rule {
    id: "generator-invalid",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a generator cannot make its object",
    verdict: "kustomize says \"a configmap must have a name\", \"expected key=value\" or \"illegally repeats the key\".",
    example: "configMapGenerator:\n  - name: settings\n    literals:\n      - mode\n",
    way_out: "Write literals as `KEY=VALUE`, files as `PATH` or `KEY=PATH`, and each key once.",
};

/// A generator whose object exists, or does not.
pub(super) static GENERATOR_CLASH: Rule = Rule {
    id: "generator-clash",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a generator makes an object that exists, or changes one that does not",
    verdict: "kustomize says \"exists; can not use behavior\" or \"does not exist; cannot merge or replace\".",
    example: "configMapGenerator:\n  - name: settings   # no other ConfigMap has this name\n    behavior: merge\n",
    way_out: "Rename the object, or correct `behavior`, the name or the namespace.",
};

/// A replacement without source or target.
pub(super) static REPLACEMENT_INVALID: Rule = Rule {
    id: "replacement-invalid",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a replacement or variable finds no object or no field",
    verdict: "kustomize says \"nothing selected by\", \"fieldPath is missing for replacement source\" or \"unable to find field\".",
    example: "replacements:\n  - source: {kind: ConfigMap, name: settings, fieldPath: data.hots}\n    targets: []\n",
    way_out: "Write the kind and name of one object, and a path of keys that it has.",
};

/// An item of `replicas` for nothing.
pub(super) static REPLICAS_WITHOUT_OBJECT: Rule = Rule {
    id: "replicas-without-object",
    class: Class::Builds,
    severity: Severity::Error,
    title: "an item of `replicas` names an object that the build does not have",
    verdict: "kustomize says \"resource with name … does not match a config with the following GVK\".",
    example: "replicas:\n  - name: wbe\n    count: 2\n",
    way_out: "Write the name of a Deployment, StatefulSet, ReplicaSet or ReplicationController of the build.",
};

/// An object in two builds.
pub(super) static APPLIED_TWICE: Rule = Rule {
    id: "object-applied-twice",
    class: Class::Reconciles,
    severity: Severity::Warning,
    title: "two Kustomizations apply the same object",
    verdict: "Flux accepts it. Each of the two overwrites what the other applied, and the object is deleted when one of \
              them with `prune: true` no longer has it.",
    example: "spec: {path: ./base}   # `base` lists the directory that another Kustomization applies\n",
    way_out: "Let one Kustomization apply the object.",
};

/// Values in a `ConfigMap` that Helm cannot read.
pub(super) static VALUES_UNREADABLE: Rule = Rule {
    id: "values-from-unreadable",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "a ConfigMap of the overlay holds values that are not a YAML mapping",
    verdict: "helm-controller says \"unable to parse values\" and does not install the HelmRelease.",
    example: "configMapGenerator:\n  - name: web-values\n    literals: [\"values.yaml=a: [\"]\n",
    way_out: "Correct the text under the key that the HelmRelease reads.",
};

/// What is not covered.
pub(super) static NOT_CHECKED: Rule = Rule {
    id: "build-not-checked",
    class: Class::Builds,
    severity: Severity::Note,
    title: "a build uses a feature of kustomize that is not checked",
    verdict: "The build may succeed or fail; what depends on the feature is not checked either.",
    example: "resources:\n  - https://example.com/crds.yaml   # fetched when Flux builds\n",
    way_out: "Build the directory with `kustomize build`, or let `--render` ask the real programs.",
};

pub(super) static RULES: &[&Rule] = &[
    &BROKEN_YAML,
    &DUPLICATE_KEY,
    &UNKNOWN_FIELD,
    &FIELD_TYPE,
    &INVALID_FILE,
    &FILE_MISSING,
    &CYCLE,
    &NOT_AN_OBJECT,
    &WITHOUT_VERSION,
    &DUPLICATE_OBJECT,
    &PATCH_INVALID,
    &PATCH_WITHOUT_OBJECT,
    &PATCH_SELECTS_NOTHING,
    &PATCH_DOES_NOT_FIT,
    &GENERATOR_INVALID,
    &GENERATOR_CLASH,
    &REPLACEMENT_INVALID,
    &REPLICAS_WITHOUT_OBJECT,
    &APPLIED_TWICE,
    &VALUES_UNREADABLE,
    &NOT_CHECKED,
];

/// Builds each directory that Flux applies.
pub(super) fn check(contents: &Contents<'_>, found: &mut Findings) {
    let mut applied: BTreeMap<Id, (usize, String)> = BTreeMap::new();
    for (at, (kustomization, directory)) in super::flux::roots(contents).into_iter().enumerate() {
        let built = build(contents.files, &Root { directory, kustomization });
        for problem in built.problems {
            report(contents, problem, found);
        }
        values(&built.resources, found);
        // Those with a `kubeConfig` are for another cluster.
        if kustomization.is_some_and(|one| one.object.node.get(&["spec", "kubeConfig"]).is_some()) {
            continue;
        }
        for resource in built.resources {
            let (id, place) = (resource.id(), resource.place);
            match applied.get(&id).filter(|(by, _)| *by != at) {
                Some((_, first)) => {
                    let message = format!("{} is applied from {first} by another Kustomization", id.described());
                    found.add(&APPLIED_TWICE, Place::overlay_line(&place.file, place.line), message);
                }
                None => drop(applied.insert(id, (at, format!("{}:{}", place.file.escape_debug(), place.line)))),
            }
        }
    }
}

/// Checks the values that HelmReleases read from ConfigMaps of the same build.
fn values(built: &[Resource], found: &mut Findings) {
    let of = |kind: &'static str| built.iter().filter(move |one| one.node.text_at(&["kind"]) == Some(kind));
    for release in of("HelmRelease") {
        let namespace = release.id().namespace;
        for item in release.node.get(&["spec", "valuesFrom"]).map(Node::items).unwrap_or_default() {
            let (Some("ConfigMap"), Some(name), None) =
                (item.text_at(&["kind"]), item.text_at(&["name"]), item.get(&["targetPath"]))
            else {
                continue;
            };
            let key = item.text_at(&["valuesKey"]).unwrap_or("values.yaml");
            let named = |one: &&Resource| one.id().name == name && one.id().namespace == namespace;
            let Some(held) = of("ConfigMap").find(named) else { continue };
            let Some(Err(reason)) = held.node.text_at(&["data", key]).map(readable) else { continue };
            let message = format!("the values under `{}` of `{}`: {reason}", key.escape_debug(), name.escape_debug());
            found.add(&VALUES_UNREADABLE, Place::overlay_line(&held.place.file, held.place.line), message);
        }
    }
}

fn readable(text: &str) -> Result<(), String> {
    let documents = yaml::parse(text).map_err(|error| format!("line {}: {}", error.line, error.reason))?;
    strict(text, &documents).map_err(|(line, reason)| format!("line {line}: {reason}"))?;
    match documents.first().and_then(|document| document.root.as_ref()) {
        Some(root) if !root.is_mapping() && !root.is_null() => Err("expected a mapping".to_owned()),
        _ => Ok(()),
    }
}

fn report(contents: &Contents<'_>, problem: Problem, found: &mut Findings) {
    let Problem { place, kind, reason, way_out } = problem;
    let known = contents.broken.iter().any(|error| error.at.file == place.file);
    let Some(rule) = rule(kind).filter(|_| !(known && matches!(kind, Kind::BrokenYaml | Kind::DuplicateKey))) else {
        return;
    };
    found.add(rule, Place::overlay_line(&place.file, place.line), reason).help(way_out);
}

/// Returns the rule of a kind of problem; nothing for what packing refuses already.
fn rule(kind: Kind) -> Option<&'static Rule> {
    Some(match kind {
        Kind::BrokenYaml => &BROKEN_YAML,
        Kind::DuplicateKey => &DUPLICATE_KEY,
        Kind::RepeatedField => return None,
        Kind::UnknownField => &UNKNOWN_FIELD,
        Kind::FieldType => &FIELD_TYPE,
        Kind::InvalidFile => &INVALID_FILE,
        Kind::Missing => &FILE_MISSING,
        Kind::Cycle => &CYCLE,
        Kind::NotAnObject => &NOT_AN_OBJECT,
        Kind::WithoutVersion => &WITHOUT_VERSION,
        Kind::DuplicateId => &DUPLICATE_OBJECT,
        Kind::InvalidPatch => &PATCH_INVALID,
        Kind::PatchWithoutObject => &PATCH_WITHOUT_OBJECT,
        Kind::PatchSelectsNothing => &PATCH_SELECTS_NOTHING,
        Kind::PatchDoesNotFit => &PATCH_DOES_NOT_FIT,
        Kind::InvalidGenerator => &GENERATOR_INVALID,
        Kind::GeneratorClash => &GENERATOR_CLASH,
        Kind::InvalidReplacement => &REPLACEMENT_INVALID,
        Kind::ReplicasWithoutObject => &REPLICAS_WITHOUT_OBJECT,
        Kind::Unchecked => &NOT_CHECKED,
    })
}
