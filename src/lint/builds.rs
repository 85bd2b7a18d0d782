//! Class "builds in kustomize": errors in the build of each directory that Flux applies.

use std::collections::BTreeMap;

use super::rule::{Class, Rule, Severity};
use super::{Contents, Findings, Place};
use crate::flux::Root;
use crate::kustomize::{Id, Kind, Problem, Resource, build, strict};
use crate::yaml::{self, Node};

/// Rule for a text that kustomize's parser refuses.
pub(super) static BROKEN_YAML: Rule = Rule {
    id: "build-broken-yaml",
    class: Class::Builds,
    severity: Severity::Error,
    title: "kustomize cannot parse a YAML file of a build",
    verdict: "Flux reports \"MalformedYAMLError\" when it builds the Kustomization, and applies none of its objects.",
    example: "data:\n\t\n  key: value   # the line above is indented with a tab\n",
    way_out: "correct the YAML at the line that the message names",
};

/// Rule for a key that occurs twice in an object.
pub(super) static DUPLICATE_KEY: Rule = Rule {
    id: "build-duplicate-key",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a mapping of a built object contains a key twice",
    verdict: "Flux reports \"mapping key already defined\" when it builds the Kustomization, and applies none of its objects.",
    example: "data:\n  mode: fast\n  mode: slow\n",
    way_out: "remove one of the two keys",
};

/// Rule for a field that kustomization files do not have.
pub(super) static UNKNOWN_FIELD: Rule = Rule {
    id: "kustomization-unknown-field",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a kustomization file has an unknown field",
    verdict: "`kustomize build` reports \"unknown field\". Flux ignores the field in the directory that a Flux Kustomization names, and \
              fails the build in every other directory.",
    example: "resource:      # `resources` is the correct name\n  - web.yaml\n",
    way_out: "correct the name of the field, or remove the field",
};

/// Rule for a field of a kustomization file with a value of the wrong type.
pub(super) static FIELD_TYPE: Rule = Rule {
    id: "kustomization-field-type",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a field of a kustomization file has a value of the wrong type",
    verdict: "`kustomize build` reports \"cannot unmarshal number into Go struct field … of type string\", and Flux applies none of the \
              objects.",
    example: "images:\n  - name: nginx\n    newTag: 1.27   # a number\n",
    way_out: "put quotes around strings that look like numbers or booleans, and write lists with `-`",
};

/// Rule for a kustomization file that is invalid as a whole.
pub(super) static INVALID_FILE: Rule = Rule {
    id: "kustomization-invalid",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a kustomization file is invalid as a whole",
    verdict: "kustomize refuses an empty file below the root, a `kind` or `apiVersion` other than its own, a Component under \
              `resources`, a Kustomization under `components`, and several kustomization files in one directory.",
    example: "apiVersion: kustomize.toolkit.fluxcd.io/v1   # Flux's group, not kustomize's\nkind: Kustomization\n",
    way_out: "write `apiVersion: kustomize.config.k8s.io/v1beta1` and `kind: Kustomization`",
};

/// Rule for a file or directory that does not exist.
pub(super) static FILE_MISSING: Rule = Rule {
    id: "build-file-missing",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a build names a file or directory that the bundle does not have",
    verdict: "Flux reports \"no such file or directory\" when it builds the Kustomization, and applies none of its objects.",
    example: "resources:\n  - wbe.yaml   # the file is web.yaml\n",
    way_out: "add the file, correct its name, or remove the ignore rule that excludes it from the bundle",
};

/// Rule for a directory that includes itself.
pub(super) static CYCLE: Rule = Rule {
    id: "build-cycle",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a directory includes itself",
    verdict: "kustomize reports \"cycle detected\", and Flux applies none of the objects.",
    example: "resources:\n  - ..\n",
    way_out: "move the files that both directories need to a third directory",
};

/// Rule for a document that is not a Kubernetes object.
pub(super) static NOT_AN_OBJECT: Rule = Rule {
    id: "build-not-an-object",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a file of resources contains something that is not a Kubernetes object",
    verdict: "kustomize reports \"missing Resource metadata\", \"missing kind\" or \"missing metadata.name\", and Flux applies none of \
              the objects.",
    example: "replicas: 2   # a values file, listed under `resources`\n",
    way_out: "list only files of Kubernetes objects with `kind` and `metadata.name`",
};

/// Rule for an object without `apiVersion`.
pub(super) static WITHOUT_VERSION: Rule = Rule {
    id: "object-without-version",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "a built object has no `apiVersion`",
    verdict: "kustomize builds the object, but Flux fails to apply it: \"Object 'apiVersion' is missing\".",
    example: "kind: ConfigMap\nmetadata:\n  name: settings\n",
    way_out: "add the `apiVersion` of the kind",
};

/// Rule for two objects with the same kind, name and namespace.
pub(super) static DUPLICATE_OBJECT: Rule = Rule {
    id: "build-duplicate-object",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a build has two objects of the same kind, name and namespace",
    verdict: "kustomize reports \"may not add resource with an already registered id\" or \"namespace transformation produces ID \
              conflict\", and Flux applies none of the objects.",
    example: "resources:\n  - web.yaml\n  - web.yaml\n",
    way_out: "remove or rename one of the two objects",
};

/// Rule for a patch that is invalid.
pub(super) static PATCH_INVALID: Rule = Rule {
    id: "patch-invalid",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a patch cannot be parsed, or does not name its target",
    verdict: "kustomize reports \"unable to parse SM or JSON patch\" or \"must specify a target for JSON patch\", and Flux applies none \
              of the objects.",
    example: "patches:\n  - patch: |\n      - {op: remove, path: /spec/timeout}   # without `target`\n",
    way_out: "write either an object with `kind` and `metadata.name`, or a list of operations and a `target`",
};

/// Rule for a patch whose object does not exist.
pub(super) static PATCH_WITHOUT_OBJECT: Rule = Rule {
    id: "patch-without-object",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a strategic merge patch is for an object that the build does not have",
    verdict: "kustomize reports \"no resource matches strategic merge patch\", and Flux applies none of the objects.",
    example: "patches:\n  - patch: |\n      apiVersion: v1\n      kind: ConfigMap\n      metadata: {name: setings}\n",
    way_out: "correct the `apiVersion`, kind, name and namespace in the patch",
};

/// Rule for a patch target that selects no object.
pub(super) static PATCH_SELECTS_NOTHING: Rule = Rule {
    id: "patch-selects-nothing",
    class: Class::Builds,
    severity: Severity::Warning,
    title: "the target of a patch selects no object",
    verdict: "kustomize builds the directory and ignores the patch without a message.",
    example: "patches:\n  - target: {kind: HelmRelaese}\n    patch: |\n      - {op: remove, path: /spec/timeout}\n",
    way_out: "correct the target, or remove the patch",
};

/// Rule for a patch that cannot be applied to its object.
pub(super) static PATCH_DOES_NOT_FIT: Rule = Rule {
    id: "patch-does-not-fit",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a patch cannot be applied to its object",
    verdict: "kustomize reports \"doc is missing path\", \"Unable to remove nonexistent key\", \"testing value failed\" or \"wrong \
              node kind\", and Flux applies none of the objects.",
    example: "- op: remove\n  path: /spec/timeuot\n",
    way_out: "correct the path, or write a value of the type that the object has",
};

/// Rule for a generator with invalid input.
pub(super) static GENERATOR_INVALID: Rule = Rule {
    id: "generator-invalid",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a generator cannot create its object",
    verdict: "kustomize reports \"a configmap must have a name\", \"expected key=value\" or \"illegally repeats the key\", and Flux \
              applies none of the objects.",
    example: "configMapGenerator:\n  - name: settings\n    literals:\n      - mode\n",
    way_out: "write literals as `KEY=VALUE`, files as `PATH` or `KEY=PATH`, and each key once",
};

/// Rule for a generator whose `behavior` contradicts the existing objects.
pub(super) static GENERATOR_CLASH: Rule = Rule {
    id: "generator-clash",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a generator creates an object that exists already, or changes one that does not exist",
    verdict: "kustomize reports \"exists; can not use behavior\" or \"does not exist; cannot merge or replace\", and Flux applies none \
              of the objects.",
    example: "configMapGenerator:\n  - name: settings   # no other ConfigMap has this name\n    behavior: merge\n",
    way_out: "rename the object, or correct `behavior`, the name or the namespace",
};

/// Rule for a replacement whose source or target is missing.
pub(super) static REPLACEMENT_INVALID: Rule = Rule {
    id: "replacement-invalid",
    class: Class::Builds,
    severity: Severity::Error,
    title: "a replacement or variable matches no object or no field",
    verdict: "kustomize reports \"nothing selected by\", \"fieldPath is missing for replacement source\" or \"unable to find field\", \
              and Flux applies none of the objects.",
    example: "replacements:\n  - source: {kind: ConfigMap, name: settings, fieldPath: data.hots}\n    targets: []\n",
    way_out: "write the kind and name of one object, and a path of keys that exists in it",
};

/// Rule for an item of `replicas` that matches no object.
pub(super) static REPLICAS_WITHOUT_OBJECT: Rule = Rule {
    id: "replicas-without-object",
    class: Class::Builds,
    severity: Severity::Error,
    title: "an item of `replicas` names an object that the build does not have",
    verdict: "kustomize reports \"resource with name … does not match a config with the following GVK\", and Flux applies none of the \
              objects.",
    example: "replicas:\n  - name: wbe\n    count: 2\n",
    way_out: "write the name of a Deployment, StatefulSet, ReplicaSet or ReplicationController of the build",
};

/// Rule for an object that two Kustomizations apply.
pub(super) static APPLIED_TWICE: Rule = Rule {
    id: "object-applied-twice",
    class: Class::Reconciles,
    severity: Severity::Warning,
    title: "two Kustomizations apply the same object",
    verdict: "Flux accepts this, but the two Kustomizations overwrite each other's changes. When one of them with `prune: true` no \
              longer contains the object, Flux deletes it.",
    example: "spec: {path: ./base}   # `base` lists the directory that another Kustomization applies\n",
    way_out: "leave the object in only one of the two Kustomizations",
};

/// Rule for values in a `ConfigMap` that Helm cannot parse.
pub(super) static VALUES_UNREADABLE: Rule = Rule {
    id: "values-from-unreadable",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "a ConfigMap of the overlay contains values that are not a YAML mapping",
    verdict: "helm-controller reports \"unable to parse values\" and does not install the HelmRelease.",
    example: "configMapGenerator:\n  - name: web-values\n    literals: [\"values.yaml=a: [\"]\n",
    way_out: "correct the text under the key that the HelmRelease reads",
};

/// Rule for features of kustomize that the checks do not support.
pub(super) static NOT_CHECKED: Rule = Rule {
    id: "build-not-checked",
    class: Class::Builds,
    severity: Severity::Note,
    title: "a build uses a feature of kustomize that is not checked",
    verdict: "The build may succeed or fail on the appliance. Everything that depends on the feature is not checked either.",
    example: "resources:\n  - https://example.com/crds.yaml   # fetched when Flux builds\n",
    way_out: "build the directory with `kustomize build`, or run `alga-release lint --render require`, which runs the real programs",
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

/// Builds each directory that Flux applies, and reports the problems of the builds.
pub(super) fn check(contents: &Contents<'_>, found: &mut Findings) {
    let mut applied: BTreeMap<Id, (usize, String)> = BTreeMap::new();
    for (at, (kustomization, directory)) in super::flux::roots(contents).into_iter().enumerate() {
        let built = build(contents.files, &Root { directory, kustomization });
        for problem in built.problems {
            report(contents, problem, found);
        }
        values(&built.resources, found);
        // A Kustomization with `kubeConfig` applies its objects to another cluster.
        if kustomization.is_some_and(|one| one.object.node.get(&["spec", "kubeConfig"]).is_some()) {
            continue;
        }
        for resource in built.resources {
            let (id, place) = (resource.id(), resource.place);
            match applied.get(&id).filter(|(by, _)| *by != at) {
                Some((_, first)) => {
                    let message = format!("another Kustomization also applies {}, from {first}", id.described());
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
            let (key, name) = (key.escape_debug(), name.escape_debug());
            let message = format!("invalid values under the key `{key}` of the ConfigMap `{name}`: {reason}");
            found.add(&VALUES_UNREADABLE, Place::overlay_line(&held.place.file, held.place.line), message);
        }
    }
}

fn readable(text: &str) -> Result<(), String> {
    let documents = yaml::parse(text).map_err(|error| format!("line {}: {}", error.line, error.reason))?;
    strict(text, &documents).map_err(|(line, reason)| format!("line {line}: {reason}"))?;
    match documents.first().and_then(|document| document.root.as_ref()) {
        Some(root) if !root.is_mapping() && !root.is_null() => Err("expected a YAML mapping".to_owned()),
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

/// Returns the rule for a kind of problem, or `None` if packing reports the problem itself.
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
