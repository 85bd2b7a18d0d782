//! Applies the changes that a kustomization file makes to all of its objects: kustomize's transformers, in their order.

use super::accumulated::Accumulated;
use super::build::{Builder, Layer};
use super::problem::{Kind, Place};
use super::shape::{field, items, text};

/// Kinds whose objects get no prefix or suffix.
const UNPREFIXED: [&str; 2] = ["CustomResourceDefinition", "Namespace"];
/// Kinds that `replicas` changes.
const SCALED: [&str; 4] = ["Deployment", "ReplicationController", "ReplicaSet", "StatefulSet"];

impl Builder<'_> {
    pub(super) fn changes(&mut self, layer: &Layer<'_>, into: &mut Accumulated) {
        self.strategic_merge(layer, into);
        self.patches(layer, into);
        self.namespace(layer, into);
        rename(layer, into);
        label(layer, into);
        self.json_patches(layer, into);
        self.replicas(layer, into);
        self.replacements(layer, into);
        into.reindex();
        let order = layer.root.and_then(|root| text(field(root, "sortOptions")?, "order"));
        if let Some(order) = order.filter(|order| !matches!(*order, "legacy" | "fifo")) {
            let reason =
                format!("invalid `sortOptions.order`: expected `legacy` or `fifo`, found `{}`", order.escape_debug());
            self.problem(Kind::InvalidFile, layer.place("sortOptions"), reason, "write `legacy` or `fifo`");
        }
        for key in ["transformers", "validators"] {
            if !layer.items(key).is_empty() {
                into.complete = false;
                self.unchecked(layer.place(key), format!("not checked: this program does not run `{key}`"));
            }
        }
        self.variables(layer, into);
    }

    fn namespace(&mut self, layer: &Layer<'_>, into: &mut Accumulated) {
        let Some(namespace) = layer.text("namespace", "targetNamespace") else { return };
        for resource in &mut into.resources {
            resource.remember();
            let id = resource.id();
            if id.namespace.is_some() {
                resource.set(&["metadata", "namespace"], namespace);
            }
            if id.kind == "Namespace" && id.group.is_empty() && id.version == "v1" {
                resource.set(&["metadata", "name"], namespace);
            }
        }
        let at = layer.place("namespace");
        into.refuse_doubles(&at, self);
    }

    fn replicas(&mut self, layer: &Layer<'_>, into: &mut Accumulated) {
        for (file, item) in layer.items("replicas") {
            let name = text(item, "name").unwrap_or_default();
            let scaled = |id: super::resource::Id| id.name == name && SCALED.contains(&id.kind.as_str());
            if into.complete && !into.resources.iter().any(|resource| resource.ids().any(scaled)) {
                let reason = format!("`replicas` names `{}`, which is not in the build", name.escape_debug());
                let way_out = "write the name of a Deployment, StatefulSet, ReplicaSet or ReplicationController";
                self.problem(Kind::ReplicasWithoutObject, Place::new(file, item.line), reason, way_out);
            }
        }
    }
}

fn rename(layer: &Layer<'_>, into: &mut Accumulated) {
    let prefix = layer.text("namePrefix", "namePrefix").unwrap_or_default();
    let suffix = layer.text("nameSuffix", "nameSuffix").unwrap_or_default();
    if prefix.is_empty() && suffix.is_empty() {
        return;
    }
    for resource in &mut into.resources {
        let id = resource.original();
        let api_service = id.kind == "APIService" && id.group == "apiregistration.k8s.io";
        if api_service || UNPREFIXED.contains(&id.kind.as_str()) {
            continue;
        }
        resource.remember();
        let name = format!("{prefix}{}{suffix}", resource.id().name);
        resource.set(&["metadata", "name"], &name);
    }
}

/// Sets labels and annotations in the metadata, because later patches may select objects by them.
fn label(layer: &Layer<'_>, into: &mut Accumulated) {
    let Some(root) = layer.root else { return };
    let mut pairs: Vec<(&str, &str, &str)> = Vec::new();
    let pairs_of = |list: &'_ crate::yaml::Node| -> Vec<(String, String)> {
        let pair =
            |entry: &crate::yaml::Entry| Some((entry.key.as_str()?.to_owned(), entry.value.as_str()?.to_owned()));
        list.entries().iter().filter_map(pair).collect()
    };
    let mut labels: Vec<(String, String)> =
        items(root, "labels").iter().filter_map(|one| field(one, "pairs")).flat_map(pairs_of).collect();
    labels.extend(field(root, "commonLabels").map(pairs_of).unwrap_or_default());
    let annotations = field(root, "commonAnnotations").map(pairs_of).unwrap_or_default();
    pairs.extend(labels.iter().map(|(key, value)| ("labels", key.as_str(), value.as_str())));
    pairs.extend(annotations.iter().map(|(key, value)| ("annotations", key.as_str(), value.as_str())));
    for resource in &mut into.resources {
        for (kind, key, value) in &pairs {
            resource.set(&["metadata", kind, key], value);
        }
    }
}
