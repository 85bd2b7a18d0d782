use std::collections::BTreeMap;

use super::super::lines::Budget;
use super::super::objects::{Pins, compare, read};
use super::*;
use crate::oci::Digest;
use crate::release::Target;

fn risks(old: &str, new: &str) -> Vec<String> {
    let objects = |text: &str| {
        let files: BTreeMap<String, Vec<u8>> = [("a.yaml".to_owned(), text.as_bytes().to_vec())].into();
        read(&files, &mut Vec::new())
    };
    let (old, new) = (objects(old), objects(new));
    let changes = compare(&old, &new, &Pins::default(), &mut Budget::default());
    let mut risks = of_objects(&changes, &old, &new);
    risks.sort();
    risks.into_iter().map(|risk| risk.text).collect()
}

fn object(kind: &str, rest: &str) -> String {
    format!("---\napiVersion: x/v1\nkind: {kind}\nmetadata: {{name: n, namespace: ns}}\n{rest}\n")
}

#[test]
fn objects_that_prune_would_delete_are_risks_and_those_with_data_come_first() {
    let all = ["Service", "PersistentVolumeClaim", "Namespace", "HelmRelease"].map(|kind| object(kind, "")).concat();
    let found = risks(&all, "");
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!(found[3], "`Service ns/n` is removed and will be deleted");
    assert!(found[2].starts_with("`PersistentVolumeClaim ns/n` is removed and will be deleted: the data"), "{found:?}");
    let kept =
        object("Namespace", "").replace("ns}", "ns, annotations: {kustomize.toolkit.fluxcd.io/prune: disabled}}");
    assert_eq!(risks(&kept, ""), [""; 0]);
    assert_eq!(risks("", &all), [""; 0]);
    let twice = object("Service", "spec: {a: 1}") + &object("Service", "spec: {b: 1}");
    assert_eq!(risks(&twice, &object("Service", "spec: {b: 1}")), [""; 0], "a patch is not an object");
}

#[test]
fn changes_of_immutable_fields_are_risks() {
    for (kind, old, new, path) in [
        ("Service", "spec: {clusterIP: 10.0.0.1}", "spec: {clusterIP: 10.0.0.2}", Some("spec.clusterIP")),
        ("Service", "spec: {ports: [{name: a, port: 1}]}", "spec: {ports: [{name: a, port: 2}]}", None),
        (
            "Deployment",
            "spec: {selector: {matchLabels: {a: b}}}",
            "spec: {selector: {matchLabels: {a: c}}}",
            Some("spec.selector.matchLabels.a"),
        ),
        (
            "StatefulSet",
            "spec: {replicas: 1, serviceName: a}",
            "spec: {replicas: 2, serviceName: b}",
            Some("spec.serviceName"),
        ),
        ("StatefulSet", "spec: {replicas: 1}", "spec: {replicas: 2}", None),
        ("Job", "spec: {template: {spec: {x: 1}}}", "spec: {template: {spec: {x: 2}}}", Some("spec.template.spec.x")),
        (
            "PersistentVolumeClaim",
            "spec: {storageClassName: a}",
            "spec: {storageClassName: b}",
            Some("spec.storageClassName"),
        ),
        (
            "PersistentVolumeClaim",
            "spec: {resources: {requests: {storage: 1}}}",
            "spec: {resources: {requests: {storage: 2}}}",
            None,
        ),
        ("ConfigMap", "immutable: true\ndata: {a: '1'}", "immutable: true\ndata: {a: '2'}", Some("data.a")),
        ("ConfigMap", "data: {a: '1'}", "data: {a: '2'}", None),
    ] {
        let expected: Vec<String> = path
            .map(|path| format!("`{kind} ns/n`: `{path}` cannot be changed in place: the update will be refused"))
            .into_iter()
            .collect();
        assert_eq!(risks(&object(kind, old), &object(kind, new)), expected, "{kind} {new}");
    }
    let release =
        risks(&object("HelmRelease", "spec: {releaseName: a}"), &object("HelmRelease", "spec: {releaseName: b}"));
    assert_eq!(
        release,
        ["`HelmRelease ns/n`: `spec.releaseName` changes: Flux uninstalls the release and installs it again"]
    );
}

#[test]
fn downgraded_images_and_tags_that_may_be_pushed_again_are_risks() {
    let image = |tag: &str, digest: Option<&[u8]>| ImageState {
        tag: tag.to_owned(),
        digest: digest.map(crate::oci::Digest::of),
        repository: None,
    };
    let change = |from: ImageState, to: ImageState| {
        let image = ImageChange { key: "core".to_owned(), change: Change::Changed, from: Some(from), to: Some(to) };
        of_image(&image).into_iter().map(|risk| risk.kind).collect::<Vec<_>>()
    };
    assert_eq!(change(image("1.2.0", None), image("1.10.0", None)), [""; 0]);
    assert_eq!(change(image("1.10.0", None), image("1.2.0", None)), ["downgrade"]);
    assert_eq!(change(image("7654321", None), image("1234567", None)), [""; 0], "commits have no order");
    assert_eq!(change(image("1.0", Some(b"a")), image("1.0", Some(b"b"))), ["moved-tag"]);
    assert!(of_tag("core", &image("Latest", None)).is_some() && of_tag("core", &image("62cdce38", None)).is_none());
}

#[test]
fn a_control_plane_without_a_digest_is_a_risk() {
    let of = |selector: &str| {
        let selector = selector.parse().expect("a selector");
        let repository = "r.io/control".parse().expect("a repository");
        let target = Target::At { repository, selector };
        let (name, reference) = ("controlPlane".to_owned(), "r.io/control:1".to_owned());
        of_control_plane(&Named { kind: NamedKind::ControlPlane, name, version: None, tag: None, reference, target })
    };
    assert_eq!(of("1").expect("a risk").text, "the control plane `r.io/control:1` is not pinned by digest");
    assert!(of(Digest::of(b"").as_str()).is_none());
}
