//! Images of a signed release in the objects that an executed template prints: a digest in a place where Kubernetes
//! refuses it, and an image reference without a digest.

use super::{NO_VALUE, Output, documents};
use crate::lint::flux::{is_label_key, is_label_value};
use crate::lint::helm::chart::{Chart, File};
use crate::lint::helm::given::{Given, Injected};
use crate::lint::{Class, Findings, Rule, Severity};
use crate::text::shown;
use crate::yaml::{self, Entry, Node};

/// Rule for a digest in a label or a name.
pub(super) static DIGEST_REFUSED: Rule = Rule {
    id: "image-digest-refused",
    class: Class::Templates,
    severity: Severity::Error,
    title: "a template of a signed release prints the digest of an image into a label or a name",
    verdict: "In a signed release, the value of `from: image:<key>` is `TAG@sha256:…`. The API server refuses the object when Helm installs \
              or upgrades the release: `a valid label must be an empty string or consist of alphanumeric characters`, or `a lowercase RFC \
              1123 subdomain must consist of ...`. The HelmRelease stays failed.",
    example: "metadata:\n  labels: {app.kubernetes.io/version: {{ .Values.image.tag | quote }}}\n",
    way_out: "add an entry for the image with `as: tag` and a path of its own to `appliance.values`, and print that value in this place",
};

/// Rule for an image reference from a value that has the tag alone.
pub(super) static DIGEST_MISSING: Rule = Rule {
    id: "image-digest-missing",
    class: Class::Meaning,
    severity: Severity::Warning,
    title: "a template of a signed release prints a value with `as: tag` as an image reference",
    verdict: "The appliance runs what the tag names at that time. The signature of the release does not cover that image.",
    example: "image: \"web:{{ .Values.version }}\"   # the entry for `version` in `appliance.values` has `as: tag`\n",
    way_out: "remove `as: tag` from the entry of this value in `appliance.values`, and give each place that needs the tag alone a value of \
              its own",
};

/// Meaning of a place in an object, which decides the texts that Kubernetes accepts there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    LabelValue,
    /// Key of a label or annotation.
    Key,
    Name,
    Image,
}

/// A text in an object, with its meaning.
struct Printed<'n> {
    role: Role,
    node: &'n Node,
    /// Key of the text in its mapping.
    key: &'n str,
}

/// Checks the output of one file with the images that the appliance writes into the values.
pub(super) fn check(given: &Given<'_, '_>, chart: &Chart<'_>, file: &File<'_>, output: &Output, found: &mut Findings) {
    if given.images.is_empty() || file.path.ends_with("NOTES.txt") {
        return;
    }
    let text = output.text.replace(NO_VALUE, "");
    let mut begin = 0;
    for document in documents(&text) {
        let start = begin;
        begin += document.len();
        if !given.images.iter().any(|image| image.is_in(document)) {
            continue;
        }
        for root in yaml::parse(document).unwrap_or_default().iter().filter_map(|document| document.root.as_ref()) {
            for printed in all(root) {
                let Some((rule, message)) = wrong(&printed, &given.images) else { continue };
                let at = output.source_of(output.with_no_value(start + printed.node.span.start));
                found.add(rule, file.place(chart, at), message);
            }
        }
    }
}

fn wrong(printed: &Printed<'_>, images: &[Injected]) -> Option<(&'static Rule, String)> {
    let text = printed.node.resolved().as_str()?;
    if printed.role == Role::Image {
        let is_tag = |image: &&Injected| image.digest.is_none() && text.ends_with(&format!(":{}", image.tag));
        let image = images.iter().find(is_tag).filter(|_| !text.contains('@'))?;
        let message = format!("the image `{}` has the tag of `{}` without its digest", shown(text), shown(&image.key));
        return Some((&DIGEST_MISSING, message));
    }
    let image = images.iter().find(|image| image.is_pinned_in(text))?;
    let key = shown(printed.key);
    let (refused, place, expected) = match printed.role {
        Role::LabelValue => {
            (!is_label_value(text), format!("label `{key}`"), "at most 63 letters, digits, `-`, `_` and `.`")
        }
        Role::Key => (
            !is_label_key(text),
            "key of a label or annotation".to_owned(),
            "at most 63 letters, digits, `-`, `_` and `.` after an optional prefix",
        ),
        Role::Name | Role::Image => (
            // No kind of name may contain one of these, except for names of RBAC objects, which are not here.
            text.contains(['@', ':']),
            format!("name in `{key}`"),
            "lowercase letters, digits, `-` and `.`",
        ),
    };
    let message = format!("the {place} contains the digest of the image `{}`: expected {expected}", shown(&image.key));
    refused.then_some((&DIGEST_REFUSED, message))
}

/// Returns the image references of an object that have no digest. A ConfigMap or Secret runs no image.
pub(in crate::lint) fn unpinned(root: &Node) -> Vec<String> {
    if matches!(root.text_at(&["kind"]), Some("ConfigMap" | "Secret")) {
        return Vec::new();
    }
    let images = all(root).into_iter().filter(|printed| printed.role == Role::Image);
    let texts = images.filter_map(|printed| printed.node.resolved().as_str().map(str::trim));
    // A text with a space in it is a sentence, not a reference.
    let open = texts.filter(|text| !text.is_empty() && !text.contains('@') && !text.contains(char::is_whitespace));
    open.map(str::to_owned).collect()
}

/// Returns all texts with a meaning in an object.
fn all(root: &Node) -> Vec<Printed<'_>> {
    let kind = root.text_at(&["kind"]).unwrap_or_default();
    let is_rbac = root.text_at(&["apiVersion"]).is_some_and(|api| api.starts_with("rbac.authorization.k8s.io/"));
    let mut found = Vec::new();
    // Each node with its key in the mapping above it, and the key of that mapping.
    let mut open = vec![(root, "", "")];
    while let Some((node, within, above)) = open.pop() {
        open.extend(node.items().iter().map(|item| (item, within, above)));
        for entry in node.entries().iter().filter(|entry| !entry.is_merge()) {
            let Some(key) = entry.key.as_str() else { continue };
            let is_service = matches!(kind, "Service" | "ReplicationController") && above == "spec";
            let is_label = match within {
                "labels" => above == "metadata",
                "selector" => is_service,
                other => matches!(other, "matchLabels" | "nodeSelector"),
            };
            found.extend(roles(entry, key, within, is_label, is_rbac));
            if !is_label {
                open.push((&entry.value, key, within));
            }
        }
    }
    found
}

fn roles<'n>(
    entry: &'n Entry,
    key: &'n str,
    within: &str,
    is_label: bool,
    is_rbac: bool,
) -> impl Iterator<Item = Printed<'n>> {
    let role = match (within, key) {
        _ if is_label => Some(Role::LabelValue),
        ("metadata", "name" | "generateName") if !is_rbac => Some(Role::Name),
        ("metadata", "namespace")
        | ("containers" | "initContainers" | "volumes" | "volumeMounts" | "ports", "name")
        | (_, "serviceAccountName" | "secretName" | "claimName") => Some(Role::Name),
        (_, "image") => Some(Role::Image),
        _ => None,
    };
    let of_key = (is_label || within == "annotations").then_some(Role::Key);
    let texts = [(role, &entry.value), (of_key, &entry.key)];
    texts.into_iter().filter_map(move |(role, node)| Some(Printed { role: role?, node, key }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;

    fn found(object: &str) -> Vec<(&'static str, String)> {
        let digest = Digest::of(b"web");
        let image = |digest| Injected { key: "web".to_owned(), tag: "1.0.0".to_owned(), digest };
        let images = [image(Some(digest.clone())), image(None)];
        let object = object.replace("VALUE", &format!("1.0.0@{digest}")).replace("HEX", digest.hex());
        let documents = yaml::parse(&object).unwrap();
        let root = documents[0].root.as_ref().unwrap();
        let wrong = |printed: Printed<'_>| wrong(&printed, &images);
        all(root).into_iter().filter_map(wrong).map(|(rule, message)| (rule.id, message)).collect()
    }

    fn ids(object: &str) -> Vec<&'static str> {
        found(object).into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn a_digest_is_refused_wherever_kubernetes_expects_a_label_or_a_name() {
        let one = ["image-digest-refused"];
        for object in [
            "metadata: {labels: {version: \"VALUE\"}}",
            "metadata: {labels: {version: 1.0.0-HEX}}",
            "metadata: {labels: {version: \"1.0.0@sha\"}}",
            "metadata: {labels: {\"VALUE\": a}}",
            "metadata: {annotations: {\"VALUE\": a}}",
            "metadata: {name: \"web-VALUE\"}",
            "spec: {template: {metadata: {labels: {version: \"VALUE\"}}}}",
            "spec: {selector: {matchLabels: {version: \"VALUE\"}}}",
            "{kind: Service, spec: {selector: {version: \"VALUE\"}}}",
            "spec: {template: {spec: {containers: [{name: \"web-VALUE\"}]}}}",
            "spec: {volumes: [{secret: {secretName: \"VALUE\"}}]}",
        ] {
            assert_eq!(ids(object), one, "{object}");
        }
        let (_, message) = &found("metadata: {labels: {a.b/version: \"VALUE\"}}")[0];
        let expected = "expected at most 63 letters, digits, `-`, `_` and `.`";
        assert_eq!(*message, format!("the label `a.b/version` contains the digest of the image `web`: {expected}"));
    }

    #[test]
    fn a_digest_is_accepted_where_any_text_is_valid() {
        for object in [
            "metadata: {annotations: {version: \"VALUE\"}}",
            "metadata: {labels: {version: 1.0.0}}",
            "{kind: ConfigMap, data: {labels: \"VALUE\", name: \"VALUE\"}}",
            "spec: {template: {spec: {containers: [{image: \"r.io/web:VALUE\", env: [{name: V, value: \"VALUE\"}]}]}}}",
            "{apiVersion: rbac.authorization.k8s.io/v1, metadata: {name: \"VALUE\"}}",
            "spec: {groups: [{rules: [{labels: {version: \"VALUE\"}}]}]}",
            "metadata: {name: web-HEX}",
        ] {
            assert_eq!(ids(object), [""; 0], "{object}");
        }
    }

    #[test]
    fn an_image_reference_with_the_tag_alone_is_not_covered() {
        let image = |image: &str| ids(&format!("spec: {{containers: [{{image: \"{image}\"}}]}}"));
        assert_eq!(image("r.io/web:1.0.0"), ["image-digest-missing"]);
        for covered in ["r.io/web:VALUE", "r.io/web:1.0.0@sha256:HEX", "r.io/web:1.0.1", "r.io/web"] {
            assert_eq!(image(covered), [""; 0], "{covered}");
        }
    }
}
