//! Namespaces: each object needs one, and something must create each namespace.

use std::collections::BTreeSet;

use crate::flux::HelmRelease;
use crate::lint::{Class, Findings, Place, Rule, Severity};
use crate::text::shown;

use super::applied::{Applied, AppliedObject};

pub(super) static UNSET: Rule = Rule {
    id: "namespace-unset",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "an object has no namespace",
    verdict: "Flux reports `namespace not specified` and applies nothing of the Kustomization.",
    example: "kind: HelmRelease\nmetadata: {name: web}   # and no kustomization file sets a namespace\n",
    way_out: "write `metadata.namespace`, or set `namespace` in the kustomization file",
};

pub(super) static MISSING: Rule = Rule {
    id: "namespace-missing",
    class: Class::Reconciles,
    severity: Severity::Warning,
    title: "the overlay does not create a namespace that it uses",
    verdict: "Unless something outside of the overlay creates the namespace, the API server answers `namespaces \"NAME\" not found`. Then \
              Flux applies nothing of the Kustomization, or Helm does not install the release.",
    example: "kind: HelmRelease\nspec:\n  targetNamespace: web   # the overlay has no Namespace `web`\n",
    way_out: "add the Namespace, or set `install.createNamespace: true` in the HelmRelease; if the cluster has the namespace without the \
              overlay, add `Namespace/NAME` to `lint.external` in the configuration",
};

pub(super) static RULES: &[&Rule] = &[&UNSET, &MISSING];

/// Groups with their kinds that belong to a namespace.
static NAMESPACED: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "ConfigMap",
            "Secret",
            "Service",
            "ServiceAccount",
            "Pod",
            "PersistentVolumeClaim",
            "ReplicationController",
            "Endpoints",
            "LimitRange",
            "ResourceQuota",
        ],
    ),
    ("apps", &["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"]),
    ("batch", &["Job", "CronJob"]),
    ("rbac.authorization.k8s.io", &["Role", "RoleBinding"]),
    ("networking.k8s.io", &["Ingress", "NetworkPolicy"]),
    ("policy", &["PodDisruptionBudget"]),
    ("autoscaling", &["HorizontalPodAutoscaler"]),
    ("helm.toolkit.fluxcd.io", &["HelmRelease"]),
    ("kustomize.toolkit.fluxcd.io", &["Kustomization"]),
    ("source.toolkit.fluxcd.io", &["OCIRepository", "HelmRepository", "HelmChart", "GitRepository", "Bucket"]),
];

/// Reports whether the object belongs to a namespace. An object of an unknown kind does not.
fn is_namespaced(one: &AppliedObject<'_>) -> bool {
    let (group, kind) = (one.object.group(), one.object.kind());
    NAMESPACED.iter().any(|(of, kinds)| *of == group && kinds.contains(&kind))
}

pub(super) fn check(applied: &Applied<'_>, found: &mut Findings) {
    let created = created(applied);
    let mut reported = BTreeSet::new();
    for one in applied.objects.iter().filter(|one| is_namespaced(one)) {
        let Some(namespace) = one.namespace.as_deref() else {
            if applied.may_be_patched(one) {
                continue;
            }
            let node = one.object.node.get(&["metadata", "name"]).unwrap_or(one.object.node);
            let message = format!("{} `{}` has no namespace", one.object.kind(), shown(one.object.name()));
            found.add(&UNSET, Place::overlay(one.object.file, node), message);
            continue;
        };
        if is_absent(applied, &created, namespace) && reported.insert(namespace.to_owned()) {
            let node = one.object.node.get(&["metadata", "namespace"]).unwrap_or(one.object.node);
            let message = format!("the overlay does not create the namespace `{}`", shown(namespace));
            found.add(&MISSING, Place::overlay(one.object.file, node), message);
        }
    }
    for (one, release) in applied.releases() {
        let Some(node) = one.object.node.get(&["spec", "targetNamespace"]) else { continue };
        let namespace = release.target_namespace.unwrap_or_default();
        if is_absent(applied, &created, namespace) && reported.insert(namespace.to_owned()) {
            let message = format!("neither the overlay nor Helm creates the target namespace `{}`", shown(namespace));
            found.add(&MISSING, Place::overlay(one.object.file, node), message);
        }
    }
}

fn is_absent(applied: &Applied<'_>, created: &BTreeSet<&str>, namespace: &str) -> bool {
    let variable = namespace.is_empty() || namespace.contains("${");
    !variable && !created.contains(namespace) && !applied.is_external("Namespace", None, namespace)
}

/// Returns the namespaces that the overlay, its Helm releases, the appliance or the cluster creates.
fn created<'a>(applied: &'a Applied<'_>) -> BTreeSet<&'a str> {
    let mut created = BTreeSet::from(["default", "kube-system", "kube-public", "kube-node-lease"]);
    created.insert(applied.flux_namespace());
    created.insert(&applied.contents.config.appliance.namespace);
    if let Some(installation) = &applied.installation {
        created.insert(&installation.selection.namespace);
    }
    created.extend(applied.values().iter().map(|reader| reader.namespace.as_str()));
    let is_namespace = |one: &&AppliedObject<'_>| one.object.is("", "Namespace");
    created.extend(applied.objects.iter().filter(is_namespace).map(|one| one.object.name()));
    let makes_its_own = |release: &&HelmRelease<'_>| release.creates_namespace;
    let releases = applied.releases().map(|(_, release)| release).filter(makes_its_own);
    created.extend(releases.filter_map(|release| release.target_namespace.or(release.object.namespace())));
    created
}
