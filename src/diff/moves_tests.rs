use super::*;
use crate::contents::{Applied, Bundle};
use crate::diff::side::Files;

const CLAIM: &str = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: files, namespace: msp}\n";

fn child(name: &str, prune: bool) -> String {
    format!(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: {name}, namespace: flux-system}}\n\
         spec: {{prune: {prune}, path: ./base/{name}, sourceRef: {{kind: OCIRepository, name: appliance}}}}\n"
    )
}

fn list(files: &str) -> String {
    format!("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [{files}]\n")
}

/// A bundle whose children `a` and `b` list these files of `base/all/`.
fn bundle(of_root: &str, of_a: &str, of_b: &str, objects: &[(&str, &str)]) -> Files {
    let mut files: Files = [
        ("base/kustomization.yaml", list(&format!("a.yaml, b.yaml{of_root}"))),
        ("base/a.yaml", child("a", true)),
        ("base/b.yaml", child("b", false)),
        ("base/a/kustomization.yaml", list(of_a)),
        ("base/b/kustomization.yaml", list(of_b)),
    ]
    .into_iter()
    .map(|(path, text)| (path.to_owned(), text.into_bytes()))
    .collect();
    files.extend(objects.iter().map(|(path, text)| (format!("base/all/{path}"), text.as_bytes().to_vec())));
    files
}

fn found(from: &Files, to: &Files) -> Vec<String> {
    let root = Applier { namespace: "flux-system".to_owned(), name: "appliance".to_owned(), prunes: true };
    let objects = |files: &Files| crate::diff::objects::read(files, &mut Vec::new());
    let (old, new) = (objects(from), objects(to));
    let applied = |files: &Files| -> Applied { Bundle::open(files.clone()).applied(&root).expect("a bundle") };
    let (before, after) = (applied(from), applied(to));
    let mut risks =
        risks(&AppliedObjects::new(&old, &before), &AppliedObjects::new(&new, &after), &new, &Pins::default());
    risks.sort();
    risks.into_iter().map(|risk| format!("{:?} {}: {}", risk.level, risk.kind, risk.text)).collect()
}

#[test]
fn an_object_that_leaves_a_kustomization_that_prunes_may_be_deleted() {
    let bundle = |root: &str, a: &str, b: &str| bundle(root, a, b, &[("claim.yaml", CLAIM)]);
    let (none, file, of_root) = ("", "../all/claim.yaml", ", all/claim.yaml");
    let danger = |from: &str, to: &str| {
        vec![format!(
            "Danger moved-object: `PersistentVolumeClaim msp/files` moves from Kustomization `{from}` to `{to}`: if `{from}` is \
             reconciled first, it deletes what `{to}` has not taken over yet, and the data of the volume may be lost"
        )]
    };
    let in_a = bundle(none, file, none);
    assert_eq!(found(&in_a, &in_a), [""; 0]);
    assert_eq!(found(&in_a, &bundle(none, none, file)), danger("a", "b"));
    assert_eq!(found(&bundle(of_root, none, none), &in_a), danger("appliance", "a"));
    assert_eq!(found(&in_a, &bundle(of_root, none, none)), danger("a", "appliance"));
    assert_eq!(found(&bundle(none, none, file), &in_a), [""; 0], "`b` deletes nothing");
    assert_eq!(found(&in_a, &bundle(none, file, file)), [""; 0], "`a` still applies it");
    let unlisted = found(&in_a, &bundle(none, none, none));
    let gone = "Danger removed-object: `PersistentVolumeClaim msp/files` is removed and will be deleted: the data of the volume may be lost";
    assert_eq!(unlisted, [gone], "a file that no kustomization lists is not applied");
    assert_eq!(found(&bundle(none, none, none), &in_a), [""; 0]);
}

#[test]
fn a_moved_file_and_an_object_that_flux_keeps_are_not_risks() {
    let from = bundle("", "../all/claim.yaml", "", &[("claim.yaml", CLAIM)]);
    let elsewhere = bundle("", "../all/data/claim.yaml", "", &[("data/claim.yaml", CLAIM)]);
    assert_eq!(found(&from, &elsewhere), [""; 0]);
    let kept = CLAIM.replace("msp}", "msp, annotations: {kustomize.toolkit.fluxcd.io/prune: disabled}}");
    let kept = |a: &str, b: &str| bundle("", a, b, &[("claim.yaml", &kept)]);
    assert_eq!(found(&kept("../all/claim.yaml", ""), &kept("", "../all/claim.yaml")), [""; 0]);
    assert_eq!(
        found(&from, &kept("", "../all/claim.yaml")).len(),
        1,
        "the object in the cluster does not have the annotation yet"
    );
}

#[test]
fn moved_objects_without_data_are_one_risk() {
    let objects = ["x", "y", "z"]
        .map(|name| format!("---\n{}", CLAIM.replace("PersistentVolumeClaim", "Service").replace("files", name)));
    let bundle = |a: &str, b: &str| bundle("", a, b, &[("services.yaml", &objects.concat())]);
    let said = found(&bundle("../all/services.yaml", ""), &bundle("", "../all/services.yaml"));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with(
            "Warning moved-object: `Service msp/x` and 2 other objects move from Kustomization `a` to `b`"
        ),
        "{said:?}"
    );
}
