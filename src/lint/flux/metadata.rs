//! Metadata of all objects, and the data of ConfigMaps and Secrets: values that the API server refuses for any kind.

use crate::appliance::{is_data_key, is_object_name};
use crate::lint::{Class, Findings, Place, Rule, Severity};
use crate::text::{nearest, shown};
use crate::yaml::{Entry, Node};

use super::applied::{Applied, AppliedObject};
use super::definition::Written;

pub(super) static NAME: Rule = Rule {
    id: "object-name",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "an object has a name that Kubernetes refuses",
    verdict: "The API server refuses the object: `a lowercase RFC 1123 subdomain must consist of ...`. Flux applies nothing of the \
              Kustomization.",
    example: "kind: HelmRelease\nmetadata: {name: Web_Server}\n",
    way_out: "use lowercase letters, digits, `-` and `.`, with a letter or digit at both ends",
};

pub(super) static LABEL: Rule = Rule {
    id: "label-invalid",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "Kubernetes refuses a label or annotation",
    verdict: "The API server refuses the object: `a valid label must be an empty string or consist of alphanumeric characters`, or \
              `expected string`. Flux applies nothing of the Kustomization.",
    example: "metadata:\n  labels: {owner: \"the platform team\", critical: true}\n",
    way_out: "put quotes around values that look like numbers or booleans; a label has at most 63 letters, digits, `-`, `_` and `.`, with a \
              letter or digit at both ends; an annotation may contain any text",
};

pub(super) static FIELD: Rule = Rule {
    id: "metadata-unknown-field",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "`metadata` has an unknown field",
    verdict: "Flux uses server-side apply, and the API server answers `field not declared in schema`. Flux applies nothing of the \
              Kustomization.",
    example: "metadata:\n  lables: {app: web}\n",
    way_out: "correct the name of the field, or remove the field",
};

pub(super) static DATA: Rule = Rule {
    id: "data-invalid",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "a ConfigMap or Secret has data that Kubernetes refuses",
    verdict: "The API server refuses the object, and Flux applies nothing of the Kustomization. Keys consist of letters, digits, `-`, `_` and \
              `.`; values are strings; `data` of a Secret is base64; and all data together has at most 1 MiB.",
    example: "kind: ConfigMap\ndata:\n  replicas: 3\n",
    way_out: "put quotes around values that look like numbers or booleans; write plain texts of a Secret in `stringData`",
};

pub(super) static RULES: &[&Rule] = &[&NAME, &LABEL, &FIELD, &DATA];

/// Fields that `metadata` has for every kind.
const FIELDS: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];
/// Limit of the data in one ConfigMap or Secret, in bytes.
const DATA_LIMIT: usize = 1 << 20;

pub(super) fn check(applied: &Applied<'_>, found: &mut Findings) {
    for one in applied.each_object() {
        let substituted = applied.substitutes(one);
        let mut check = Check { one, substituted, found };
        check.name();
        for path in [
            &["metadata"][..],
            &["spec", "template", "metadata"],
            &["spec", "jobTemplate", "spec", "template", "metadata"],
        ] {
            // Only these workloads are known to have metadata of pods below `spec`.
            let workload = matches!(one.object.group(), "apps" | "batch");
            if let Some(metadata) = one.object.node.get(path).filter(|_| path.len() == 1 || workload) {
                check.metadata(metadata);
            }
        }
        if one.object.group().is_empty() && matches!(one.object.kind(), "ConfigMap" | "Secret") {
            check.data();
        }
    }
}

struct Check<'c, 'a> {
    one: &'c AppliedObject<'a>,
    substituted: bool,
    found: &'c mut Findings,
}

impl Check<'_, '_> {
    fn add(&mut self, rule: &'static Rule, node: &Node, message: String) {
        self.found.add(rule, Place::overlay(self.one.object.file, node), message);
    }

    fn is_variable(&self, text: &str) -> bool {
        self.substituted && text.contains("${")
    }

    fn name(&mut self) {
        let object = &self.one.object;
        // The API server allows colons in the names of RBAC roles and bindings.
        let roles = object.group() == "rbac.authorization.k8s.io";
        let Some(node) = object.node.get(&["metadata", "name"]).filter(|_| !roles) else { return };
        let Some(text) = node.as_str().filter(|text| !self.is_variable(text)) else { return };
        let label = matches!((object.group(), object.kind()), ("", "Namespace" | "Service"));
        let fits = if label { text.len() <= 63 && !text.contains('.') } else { true };
        if !is_object_name(text) || !fits {
            let message = format!("invalid name `{}` of a {}", shown(text), shown(object.kind()));
            let expected = if label {
                "at most 63 lowercase letters, digits and `-`"
            } else {
                "lowercase letters, digits, `-` and `.`"
            };
            self.add(&NAME, node, format!("{message}: expected {expected}"));
        } else if !matches!(Written::of(node), Written::Text | Written::Unclear) {
            self.add(
                &NAME,
                node,
                format!(
                    "the name `{}` of a {} is not a string: put quotes around it",
                    shown(text),
                    shown(object.kind())
                ),
            );
        }
    }

    fn metadata(&mut self, metadata: &Node) {
        for entry in metadata.entries().iter().filter(|entry| !entry.is_merge()) {
            let Some(key) = entry.key.as_str().filter(|key| !FIELDS.contains(key)) else { continue };
            let near = nearest(key, FIELDS.into_iter());
            let place = Place::overlay(self.one.object.file, &entry.key);
            let finding = self.found.add(&FIELD, place, format!("unknown field `{}` in `metadata`", shown(key)));
            near.map(|near| finding.help(format!("did you mean `{near}`?")));
        }
        for (part, labels) in [("labels", true), ("annotations", false)] {
            for entry in metadata.get(&[part]).map(Node::entries).unwrap_or_default() {
                self.label(entry, labels);
            }
        }
    }

    fn label(&mut self, entry: &Entry, is_label: bool) {
        let Some(key) = entry.key.as_str().filter(|key| !entry.is_merge() && !self.is_variable(key)) else { return };
        let word = if is_label { "label" } else { "annotation" };
        if !is_label_key(key) {
            self.add(&LABEL, &entry.key, format!("invalid key `{}` of a {word}", shown(key)));
        }
        let Some(value) = entry.value.as_str() else {
            if !entry.value.is_null() {
                self.add(&LABEL, &entry.value, format!("the value of the {word} `{}` is not a string", shown(key)));
            }
            return;
        };
        if self.is_variable(value) {
            return;
        }
        if !matches!(Written::of(&entry.value), Written::Text | Written::Unclear) {
            let message = format!("the value of the {word} `{}` is not a string: put quotes around it", shown(key));
            self.add(&LABEL, &entry.value, message);
        } else if is_label && !value.is_empty() && !is_label_value(value) {
            self.add(&LABEL, &entry.value, format!("invalid value `{}` of the label `{}`", shown(value), shown(key)));
        }
    }

    fn data(&mut self) {
        let (node, kind) = (self.one.object.node, self.one.object.kind());
        let mut size = 0;
        for part in ["data", "binaryData", "stringData"] {
            for entry in node.get(&[part]).map(Node::entries).unwrap_or_default() {
                let Some(key) = entry.key.as_str().filter(|_| !entry.is_merge()) else { continue };
                size += entry.value.as_str().map_or(0, str::len);
                if !is_data_key(key) && !self.is_variable(key) {
                    self.add(&DATA, &entry.key, format!("invalid key `{}` in `{part}` of a {kind}", shown(key)));
                }
                self.value(part, key, &entry.value);
            }
        }
        if size > DATA_LIMIT {
            self.add(&DATA, node, format!("the {kind} has {size} bytes of data: at most {DATA_LIMIT} are allowed"));
        }
    }

    fn value(&mut self, part: &str, key: &str, value: &Node) {
        if value.is_null() || value.as_str().is_some_and(|text| self.is_variable(text)) {
            return;
        }
        if value.as_str().is_none() || !matches!(Written::of(value), Written::Text | Written::Unclear) {
            self.add(&DATA, value, format!("the value of `{}` in `{part}` is not a string", shown(key)));
            return;
        }
        let encoded = part == "binaryData" || part == "data" && self.one.object.kind() == "Secret";
        let encrypted = self.one.object.node.get(&["sops"]).is_some();
        let text = value.as_str().unwrap_or_default();
        if encoded && !encrypted && !is_base64(text) {
            self.add(&DATA, value, format!("the value of `{}` in `{part}` is not base64", shown(key)));
        }
    }
}

/// Reports whether Go's decoder accepts the text. The decoder ignores line ends.
fn is_base64(text: &str) -> bool {
    let bytes: Vec<u8> = text.bytes().filter(|b| !matches!(b, b'\n' | b'\r')).collect();
    let padding = bytes.iter().rev().take_while(|b| **b == b'=').count();
    let valid = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    bytes.len().is_multiple_of(4) && padding <= 2 && bytes[..bytes.len() - padding].iter().all(valid)
}

/// Reports whether the API server accepts the text, which is not empty, as the value of a label.
pub(in crate::lint) fn is_label_value(text: &str) -> bool {
    let inside = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let end = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    text.len() <= 63 && text.bytes().all(inside) && end(text.bytes().next()) && end(text.bytes().next_back())
}

/// Reports whether the API server accepts the text as the key of a label or annotation.
pub(in crate::lint) fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_object_name(&prefix.to_ascii_lowercase()) && is_label_value(name),
        None => is_label_value(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_data_are_valid_if_the_api_server_accepts_them() {
        for key in ["app", "app.kubernetes.io/name", "a_b-c.d"] {
            assert!(is_label_key(key), "{key}");
        }
        for key in ["", "/a", "a/", "a/b/c", "-a", "a b", "a_b.io/x y"] {
            assert!(!is_label_key(key), "{key}");
        }
        assert!(is_label_value("v1.2.3_x-y") && !is_label_value("1.2.3+x") && !is_label_value(&"a".repeat(64)));
        assert!(
            is_base64("") && is_base64("YQ==") && is_base64("YWJj\nYWJj") && !is_base64("YQ") && !is_base64("a b=")
        );
    }
}
