//! Kinds and API versions that recent releases of Flux and Kubernetes serve.

use crate::flux::{HELM, KUSTOMIZE, SOURCE};
use crate::lint::{Class, Findings, Place, Rule, Severity};
use crate::text::{nearest, shown};

use super::applied::{Applied, AppliedObject};

pub(super) static UNKNOWN: Rule = Rule {
    id: "flux-version-unknown",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "an object has a kind or version that Flux does not serve",
    verdict: "The API server answers `no matches for kind`, and Flux applies nothing of the Kustomization.",
    example: "apiVersion: helm.toolkit.fluxcd.io/v3\nkind: HelmRelease\n",
    way_out: "correct `apiVersion` and `kind`; Flux 2.6 and later serve sources and Kustomizations as `v1`, and HelmReleases as `v2`",
};

pub(super) static OLD: Rule = Rule {
    id: "flux-version-old",
    class: Class::Reconciles,
    severity: Severity::Warning,
    title: "an object has a version that Flux 2.8 and later do not serve",
    verdict: "With Flux 2.8 and later, the API server answers `no matches for kind`, and Flux applies nothing of the Kustomization. The \
              fields of such an object are not checked.",
    example: "apiVersion: source.toolkit.fluxcd.io/v1beta2\nkind: OCIRepository\n",
    way_out: "write `v1` for sources and Kustomizations and `v2` for HelmReleases, which Flux serves since 2.6",
};

pub(super) static KUBERNETES: Rule = Rule {
    id: "kubernetes-kind-unknown",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "an object has a kind that Kubernetes does not have in its group",
    verdict: "The API server answers `no matches for kind`, and Flux applies nothing of the Kustomization.",
    example: "apiVersion: v1\nkind: ConfigMapp\n",
    way_out: "correct `kind`, or the group in `apiVersion`",
};

pub(super) static RULES: &[&Rule] = &[&UNKNOWN, &OLD, &KUBERNETES];

/// A group, a kind, the versions that every Flux since 2.6 serves, and the versions that only 2.6 and 2.7 serve.
type Served = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

static SERVED: &[Served] = &[
    (HELM, "HelmRelease", &["v2"], &["v2beta2", "v2beta1"]),
    (KUSTOMIZE, "Kustomization", &["v1"], &["v1beta2", "v1beta1"]),
    (SOURCE, "OCIRepository", &["v1"], &["v1beta2"]),
    (SOURCE, "HelmRepository", &["v1"], &["v1beta2", "v1beta1"]),
    (SOURCE, "HelmChart", &["v1"], &["v1beta2", "v1beta1"]),
    (SOURCE, "GitRepository", &["v1"], &["v1beta2", "v1beta1"]),
    (SOURCE, "Bucket", &["v1"], &["v1beta2", "v1beta1"]),
    (SOURCE, "ExternalArtifact", &["v1"], &[]),
];

pub(super) fn check(applied: &Applied<'_>, found: &mut Findings) {
    for one in applied.each_object() {
        let Some(api) = one.object.node.get(&["apiVersion"]) else { continue };
        let text = api.as_str().unwrap_or_default();
        let Some((group, version)) = text.split_once('/') else {
            kubernetes(one, "", found);
            continue;
        };
        let (kind, file) = (one.object.kind(), one.object.file);
        let of_group = SERVED.iter().filter(|served| served.0 == group);
        if of_group.clone().next().is_none() {
            kubernetes(one, group, found);
            other_group(group, kind, &Place::overlay(file, api), found);
            continue;
        }
        let Some(served) = of_group.clone().find(|served| served.1 == kind) else {
            let node = one.object.node.get(&["kind"]).unwrap_or(api);
            let message = format!("`{group}` has no kind `{}`", shown(kind));
            let near = nearest(kind, of_group.map(|served| served.1));
            let finding = found.add(&UNKNOWN, Place::overlay(file, node), message);
            near.map(|near| finding.help(format!("did you mean `{near}`?")));
            continue;
        };
        if served.3.contains(&version) {
            let message = format!("Flux 2.8 and later do not serve {kind} in `{version}`");
            found.add(&OLD, Place::overlay(file, api), message).help(format!("write `{group}/{}`", served.2[0]));
        } else if !served.2.contains(&version) {
            let message = format!("Flux does not serve {kind} in `{}`", shown(version));
            found.add(&UNKNOWN, Place::overlay(file, api), message).help(format!("write `{group}/{}`", served.2[0]));
        }
    }
}

/// Reports a group that is a misspelt group of Flux.
fn other_group(group: &str, kind: &str, place: &Place, found: &mut Findings) {
    let served = SERVED.iter().filter(|served| served.1 == kind).map(|served| served.0);
    let edits_allowed = group.contains("fluxcd") || group.contains("toolkit");
    if let Some(near) = nearest(group, served).filter(|_| edits_allowed) {
        let message = format!("unknown group `{}` of the kind `{}`", shown(group), shown(kind));
        found.add(&UNKNOWN, place.clone(), message).help(format!("did you mean `{near}`?"));
    }
}

/// The built-in groups of Kubernetes with their kinds.
static KINDS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "ConfigMap",
            "Secret",
            "Service",
            "ServiceAccount",
            "Namespace",
            "Pod",
            "PodTemplate",
            "PersistentVolume",
            "PersistentVolumeClaim",
            "ReplicationController",
            "Endpoints",
            "Event",
            "LimitRange",
            "Node",
            "ResourceQuota",
        ],
    ),
    ("apps", &["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ControllerRevision"]),
    ("batch", &["Job", "CronJob"]),
    ("rbac.authorization.k8s.io", &["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"]),
    ("networking.k8s.io", &["Ingress", "IngressClass", "NetworkPolicy"]),
    ("policy", &["PodDisruptionBudget"]),
    ("autoscaling", &["HorizontalPodAutoscaler"]),
    ("storage.k8s.io", &["StorageClass"]),
    ("scheduling.k8s.io", &["PriorityClass"]),
    ("apiextensions.k8s.io", &["CustomResourceDefinition"]),
];

/// Reports a kind that is a misspelt kind of Kubernetes. Other unknown kinds may belong to a newer Kubernetes.
fn kubernetes(one: &AppliedObject<'_>, group: &str, found: &mut Findings) {
    let kind = one.object.kind();
    let Some((_, kinds)) = KINDS.iter().find(|(of, kinds)| *of == group && !kinds.contains(&kind)) else { return };
    let elsewhere = KINDS.iter().find(|(_, kinds)| kinds.contains(&kind));
    let near =
        nearest(kind, kinds.iter().copied()).filter(|near| near.len().abs_diff(kind.len()) <= 2 && near.len() > 4);
    let (expected, help) = match (elsewhere, near) {
        (Some((group, _)), _) => (
            true,
            if group.is_empty() {
                "write `apiVersion: v1`; the kind belongs to the core group".to_owned()
            } else {
                format!("correct `apiVersion`; the kind belongs to the group `{group}`")
            },
        ),
        (None, Some(near)) => (true, format!("did you mean `{near}`?")),
        (None, None) => (false, String::new()),
    };
    if expected && one.object.node.text_at(&["apiVersion"]).is_some() {
        let of = if group.is_empty() { "the core group".to_owned() } else { format!("`{group}`") };
        let node = one.object.node.get(&["kind"]).unwrap_or(one.object.node);
        let message = format!("{of} has no kind `{}`", shown(kind));
        found.add(&KUBERNETES, Place::overlay(one.object.file, node), message).help(help);
    }
}
