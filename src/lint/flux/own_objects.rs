//! Objects that the appliance creates itself, objects that no Kustomization applies, Secrets that Flux does not decrypt, and files
//! whose names differ only in case.

use std::collections::{BTreeMap, BTreeSet};

use crate::flux::{HELM, KUSTOMIZE, PatchContent, SOURCE};
use crate::lint::{Class, Findings, Place, Rule, Severity};
use crate::path::{below, parent};
use crate::text::shown;

use super::applied::{Applied, AppliedObject};

pub(super) static APPLIANCE_OBJECT: Rule = Rule {
    id: "appliance-object",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "the overlay contains an object that the appliance creates itself",
    verdict: "Flux and the appliance both apply the object and undo each other's changes. When a later release no longer contains the \
              object, `prune` deletes it, although the appliance needs it.",
    example: "kind: OCIRepository\nmetadata: {name: alga-appliance, namespace: flux-system}\n",
    way_out: "remove the object from the overlay; the appliance creates it from the release",
};

pub(super) static UNAPPLIED: Rule = Rule {
    id: "object-unapplied",
    class: Class::Reconciles,
    severity: Severity::Warning,
    title: "no Kustomization applies a HelmRelease or Kustomization of the overlay",
    verdict: "The object does not reach the cluster, because no kustomization file that Flux builds lists its file.",
    example: "# base/apps/kustomization.yaml does not list web.yaml, which has a HelmRelease\n",
    way_out: "list the file in the kustomization file of a directory that Flux applies, or remove the file",
};

pub(super) static ENCRYPTED: Rule = Rule {
    id: "secret-not-decrypted",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "a Kustomization without decryption applies an encrypted Secret",
    verdict: "Flux reports `is SOPS encrypted, configuring decryption is required` and applies nothing of the Kustomization.",
    example: "kind: Secret\nsops: {version: 3.9.0}   # its Kustomization has no `decryption`\n",
    way_out: "add `decryption: {provider: sops, secretRef: {name: ...}}` to the Kustomization; the appliance's own Kustomization of `base` \
              does not decrypt, so move the Secret to another one",
};

pub(super) static FILE_NAME: Rule = Rule {
    id: "file-name-case",
    class: Class::Reconciles,
    severity: Severity::Warning,
    title: "the names of two files of the overlay differ only in case",
    verdict: "Nothing fails in Flux. But a file system that ignores case holds only one of the two files, so publishing from such a checkout \
              produces a different release.",
    example: "base/web.yaml\nbase/Web.yaml\n",
    way_out: "rename one of the files",
};

pub(super) static RULES: &[&Rule] = &[&APPLIANCE_OBJECT, &UNAPPLIED, &ENCRYPTED, &FILE_NAME];

pub(super) fn check(applied: &Applied<'_>, found: &mut Findings) {
    for one in applied.each_object() {
        if is_appliances(applied, one) {
            let node = one.object.node.get(&["metadata", "name"]).unwrap_or(one.object.node);
            let message =
                format!("the appliance itself creates the {} `{}`", one.object.kind(), shown(one.object.name()));
            found.add(&APPLIANCE_OBJECT, Place::overlay(one.object.file, node), message);
        }
    }
    encrypted(applied, found);
    unapplied(applied, found);
    file_names(applied, found);
}

fn is_appliances(applied: &Applied<'_>, one: &AppliedObject<'_>) -> bool {
    let (object, namespace) = (&one.object, one.namespace.as_deref());
    let named = |of: &str, name: &str| namespace == Some(of) && object.name() == name;
    if object.is(SOURCE, "OCIRepository") || object.is(KUSTOMIZE, "Kustomization") {
        return named(applied.flux_namespace(), applied.source_name());
    }
    let Some(installation) = applied.installation.as_ref().filter(|_| object.is("", "ConfigMap")) else { return false };
    let selection = &installation.selection;
    named(&selection.namespace, &selection.name)
        || installation.values.iter().any(|reader| named(&reader.namespace, &reader.config_map))
}

fn encrypted(applied: &Applied<'_>, found: &mut Findings) {
    for one in applied.objects.iter().filter(|one| one.object.is("", "Secret")) {
        let Some(sops) = one.object.node.get(&["sops"]).filter(|node| !node.is_null()) else { continue };
        let by = &applied.appliers[one.by];
        if !by.kustomization.is_some_and(|kustomization| kustomization.decrypts) {
            let (name, owner) = (shown(one.object.name()), shown(&by.name));
            let message = format!("the Kustomization `{owner}` does not decrypt the Secret `{name}`");
            found.add(&ENCRYPTED, Place::overlay(one.object.file, sops), message);
        }
    }
}

fn unapplied(applied: &Applied<'_>, found: &mut Findings) {
    let contents = applied.contents;
    let mut reached: BTreeSet<String> = applied.objects.iter().map(|one| one.object.file.to_owned()).collect();
    for file in contents.files.kustomization_files() {
        let named = file.loaded().into_iter().filter_map(|node| node.as_str());
        let patches = file.patches();
        let patches = patches.iter().filter_map(|patch| match patch.content {
            PatchContent::File(path) => Some(path),
            PatchContent::Inline(_) | PatchContent::Replacement(_) => None,
        });
        let directory = parent(file.file);
        reached.extend(named.chain(patches).filter_map(|text| below(directory, text.rsplit('=').next()?)));
    }
    let mut seen = BTreeSet::new();
    for object in &contents.parts.objects {
        let of_flux = object.is(HELM, "HelmRelease") || object.is(KUSTOMIZE, "Kustomization");
        if of_flux
            && !reached.contains(object.file)
            && !object.file.starts_with("profiles/")
            && seen.insert(object.file)
        {
            let node = object.node.get(&["metadata", "name"]).unwrap_or(object.node);
            let message = format!("no Kustomization applies the {} `{}`", shown(object.kind()), shown(object.name()));
            found.add(&UNAPPLIED, Place::overlay(object.file, node), message);
        }
    }
}

fn file_names(applied: &Applied<'_>, found: &mut Findings) {
    let mut lower: BTreeMap<String, &str> = BTreeMap::new();
    for path in applied.contents.files.bytes().keys() {
        if let Some(other) = lower.insert(path.to_lowercase(), path) {
            let message = format!("the names `{}` and `{}` differ only in case", shown(other), shown(path));
            found.add(&FILE_NAME, Place::overlay_line(path, 1), message);
        }
    }
}
