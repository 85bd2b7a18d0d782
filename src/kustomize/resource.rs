//! The objects of a build, with the ids that kustomize identifies them by.

use crate::yaml::{Entry, Node, Style, Value};

use super::problem::Place;

/// Kinds that kustomize treats as cluster-scoped, by `apiVersion`.
const CLUSTER_KINDS: [(&str, &[&str]); 14] = [
    ("admissionregistration.k8s.io/v1", &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"]),
    ("admissionregistration.k8s.io/v1beta1", &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"]),
    ("apiextensions.k8s.io/v1", &["CustomResourceDefinition"]),
    ("apiextensions.k8s.io/v1beta1", &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io/v1", &["APIService"]),
    ("certificates.k8s.io/v1", &["CertificateSigningRequest"]),
    ("flowcontrol.apiserver.k8s.io/v1beta1", &["FlowSchema", "PriorityLevelConfiguration"]),
    ("networking.k8s.io/v1", &["IngressClass"]),
    ("node.k8s.io/v1", &["RuntimeClass"]),
    ("policy/v1beta1", &["PodSecurityPolicy"]),
    ("rbac.authorization.k8s.io/v1", &["ClusterRole", "ClusterRoleBinding"]),
    ("scheduling.k8s.io/v1", &["PriorityClass"]),
    ("storage.k8s.io/v1", &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment"]),
    ("v1", &["ComponentStatus", "Namespace", "Node", "PersistentVolume"]),
];

/// Namespace of objects that do not set one.
const DEFAULT_NAMESPACE: &str = "default";

/// The identity of an object in kustomize.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    /// API group, empty for the core group.
    pub group: String,
    /// API version without its group.
    pub version: String,
    /// Kind of the object.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// Namespace: `default` where the object does not set one. Absent for cluster-scoped kinds.
    pub namespace: Option<String>,
}

impl Id {
    pub(super) fn of(node: &Node) -> Self {
        let text = |path: &[&str]| node.text_at(path).unwrap_or_default().to_owned();
        let version = text(&["apiVersion"]);
        let kind = text(&["kind"]);
        let cluster = CLUSTER_KINDS.iter().any(|(of, kinds)| *of == version && kinds.contains(&kind.as_str()));
        let namespace = Some(text(&["metadata", "namespace"])).filter(|namespace| !namespace.is_empty());
        let namespace = (!cluster).then(|| namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()));
        let (group, version) = match version.split_once('/') {
            Some((group, version)) => (group.to_owned(), version.to_owned()),
            None => (String::new(), version),
        };
        Self { group, version, kind, name: text(&["metadata", "name"]), namespace }
    }

    /// Returns the id in words for messages.
    pub(crate) fn described(&self) -> String {
        let kind = if self.kind.is_empty() { "an object without kind" } else { &self.kind };
        let namespace = self.namespace.as_ref().map_or(String::new(), |one| format!(" in namespace `{one}`"));
        format!("{kind} `{}`{namespace}", self.name).escape_debug().to_string()
    }
}

/// The action of a generator where the object exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behavior {
    Create,
    Merge,
    Replace,
}

/// An object with its history in a build.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    /// Start of the object in its file, or of the generator's item that makes the object.
    pub place: Place,
    /// The object with all changes, aliases and merge keys resolved. Values from a patch have the line of the value they replace.
    pub node: Node,
    /// Earlier ids of the object, the oldest first.
    pub(super) previous: Vec<Id>,
    /// Whether a hash of the content is appended to the name.
    pub(super) hashed: bool,
}

impl Resource {
    /// Returns the current id of the object.
    pub(crate) fn id(&self) -> Id {
        Id::of(&self.node)
    }

    /// Returns the earlier ids and the current id.
    pub(super) fn ids(&self) -> impl Iterator<Item = Id> {
        self.previous.iter().cloned().chain(std::iter::once(self.id()))
    }

    /// Returns the id that the object had when it was read.
    pub(super) fn original(&self) -> Id {
        self.previous.first().cloned().unwrap_or_else(|| self.id())
    }

    pub(super) fn remember(&mut self) {
        let id = self.id();
        if !self.previous.contains(&id) {
            self.previous.push(id);
        }
    }

    /// Restores a text that a patch must not change. An empty second key means that the path has one key.
    pub(super) fn restore(&mut self, before: &Node, [key, below]: [&str; 2]) {
        let path = if below.is_empty() { vec![key] } else { vec![key, below] };
        if let Some(text) = before.text_at(&path) {
            self.set(&path, text);
        } else if let Some(entries) = entries_mut(&mut self.node) {
            let mapping = entries.iter_mut().find(|entry| entry.key.as_str() == Some(key));
            if let Some(entries) = mapping.and_then(|entry| entries_mut(&mut entry.value)) {
                entries.retain(|entry| entry.key.as_str() != Some(below));
            }
        }
    }

    /// Sets the text at a path, and creates missing mappings on the path.
    pub(super) fn set(&mut self, path: &[&str], text: &str) {
        let line = self.place.line;
        let mut node = &mut self.node;
        for key in path {
            if !matches!(node.value, Value::Mapping { .. }) {
                node.value = Value::Mapping { entries: Vec::new(), flow: false };
            }
            let Some(entries) = entries_mut(node) else { return };
            let at = entries.iter().position(|entry| entry.key.as_str() == Some(key)).unwrap_or_else(|| {
                entries.push(Entry { key: scalar(key, line), value: mapping(Vec::new(), line) });
                entries.len() - 1
            });
            node = &mut entries[at].value;
        }
        *node = scalar(text, node.line);
    }
}

/// Returns the entries of a mapping that is not an alias.
pub(super) fn entries_mut(node: &mut Node) -> Option<&mut Vec<Entry>> {
    match &mut node.value {
        Value::Mapping { entries, .. } => Some(entries),
        _ => None,
    }
}

/// Creates a scalar that is not part of any text.
pub(super) fn scalar(text: &str, line: usize) -> Node {
    let value = Value::Scalar { text: text.to_owned(), style: Style::Double };
    Node { value, span: 0..0, line, anchor: None, tag: None }
}

/// Creates a mapping that is not part of any text.
pub(super) fn mapping(entries: Vec<Entry>, line: usize) -> Node {
    Node { value: Value::Mapping { entries, flow: false }, span: 0..0, line, anchor: None, tag: None }
}

/// Returns a copy with aliases and merge keys resolved. The parser limits the depth and the size.
pub(super) fn resolved(node: &Node) -> Node {
    let from = node.resolved();
    let value = match &from.value {
        Value::Mapping { flow, .. } => Value::Mapping { entries: resolved_entries(from), flow: *flow },
        Value::Sequence { items, flow } => Value::Sequence { items: items.iter().map(resolved).collect(), flow: *flow },
        value => value.clone(),
    };
    Node { value, span: from.span.clone(), line: from.line, anchor: None, tag: from.tag.clone() }
}

fn resolved_entries(mapping: &Node) -> Vec<Entry> {
    let own = mapping.entries().iter().filter(|entry| !entry.is_merge());
    let copy = |entry: &Entry| Entry { key: resolved(&entry.key), value: resolved(&entry.value) };
    let mut entries: Vec<Entry> = own.map(copy).collect();
    for merged in mapping.merged() {
        for entry in resolved_entries(merged.resolved()) {
            if !entries.iter().any(|one| one.key.as_str() == entry.key.as_str()) {
                entries.push(entry);
            }
        }
    }
    entries
}

/// Returns a copy of a node of another file. The copy has the given line and no byte range.
pub(super) fn moved(node: &Node, line: usize) -> Node {
    let value = match &node.value {
        Value::Mapping { entries, flow } => {
            let copy = |entry: &Entry| Entry { key: moved(&entry.key, line), value: moved(&entry.value, line) };
            Value::Mapping { entries: entries.iter().map(copy).collect(), flow: *flow }
        }
        Value::Sequence { items, flow } => {
            Value::Sequence { items: items.iter().map(|item| moved(item, line)).collect(), flow: *flow }
        }
        value => value.clone(),
    };
    Node { value, span: 0..0, line, anchor: None, tag: node.tag.clone() }
}

/// Returns the number of nodes and the depth of a tree.
pub(super) fn size(node: &Node) -> (usize, usize) {
    let mut count = 0;
    let mut deepest = 0;
    let mut stack = vec![(node, 1)];
    while let Some((node, depth)) = stack.pop() {
        count += 1;
        deepest = deepest.max(depth);
        match &node.value {
            Value::Mapping { entries, .. } => stack.extend(entries.iter().map(|entry| (&entry.value, depth + 1))),
            Value::Sequence { items, .. } => stack.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Scalar { .. } | Value::Alias { .. } => {}
        }
    }
    (count, deepest)
}

/// Returns a copy that keeps only the last of the entries with the same key, as kustomize reads a kustomization file.
pub(super) fn last_of_each(node: &Node) -> Node {
    let mut copy = resolved(node);
    last_wins(&mut copy);
    copy
}

fn last_wins(node: &mut Node) {
    match &mut node.value {
        Value::Mapping { entries, .. } => {
            let mut seen = std::collections::BTreeSet::new();
            entries.reverse();
            entries.retain(|entry| entry.key.as_str().is_none_or(|key| seen.insert(key.to_owned())));
            entries.reverse();
            for entry in entries.iter_mut() {
                last_wins(&mut entry.value);
            }
        }
        Value::Sequence { items, .. } => {
            for item in items {
                last_wins(item);
            }
        }
        Value::Scalar { .. } | Value::Alias { .. } => {}
    }
}
