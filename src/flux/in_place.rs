//! What an update of an object cannot change in place, and what is lost when an object is removed: facts about kinds of Kubernetes and
//! Flux.

/// Kinds whose removal loses what cannot be had again, and what it loses.
const LOST: [(&str, &str); 6] = [
    ("PersistentVolumeClaim", "the data of the volume may be lost"),
    ("Namespace", "everything in it is deleted"),
    ("CustomResourceDefinition", "every object of that kind is deleted"),
    ("PersistentVolume", "the data of the volume may be lost"),
    ("HelmRelease", "Helm uninstalls everything of it"),
    ("Kustomization", "everything that it applied is deleted"),
];

/// Annotation that makes Flux delete and create again what cannot be changed.
pub(crate) const FORCE: &str = "kustomize.toolkit.fluxcd.io/force";

/// Fields below which the API server takes no change, by kind.
///
/// <https://kubernetes.io/docs/reference/kubernetes-api/>
const IMMUTABLE: [(&str, &[&str]); 17] = [
    ("Service", &["spec.clusterIP", "spec.clusterIPs", "spec.loadBalancerClass"]),
    ("Deployment", &["spec.selector"]),
    ("DaemonSet", &["spec.selector"]),
    ("ReplicaSet", &["spec.selector"]),
    ("Job", &["spec.template", "spec.selector", "spec.completionMode", "spec.manualSelector"]),
    ("Pod", &["spec"]),
    ("StatefulSet", &["spec"]),
    ("PersistentVolumeClaim", &["spec"]),
    ("PersistentVolume", &["spec.csi", "spec.hostPath", "spec.nfs", "spec.local", "spec.volumeMode"]),
    ("RoleBinding", &["roleRef"]),
    ("ClusterRoleBinding", &["roleRef"]),
    ("StorageClass", &["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"]),
    ("CustomResourceDefinition", &["spec.group", "spec.scope", "spec.names.kind", "spec.names.plural"]),
    ("PriorityClass", &["value", "preemptionPolicy"]),
    ("IngressClass", &["spec.controller"]),
    ("Secret", &["type"]),
    ("RuntimeClass", &["handler"]),
];

/// What may change below an immutable field.
const MUTABLE: [(&str, &[&str]); 3] = [
    (
        "StatefulSet",
        &[
            "spec.replicas",
            "spec.template",
            "spec.updateStrategy",
            "spec.ordinals",
            "spec.minReadySeconds",
            "spec.revisionHistoryLimit",
            "spec.persistentVolumeClaimRetentionPolicy",
        ],
    ),
    ("PersistentVolumeClaim", &["spec.resources", "spec.volumeAttributesClassName"]),
    ("Pod", &["spec.containers", "spec.initContainers", "spec.tolerations", "spec.activeDeadlineSeconds"]),
];

/// Returns what is lost with an object of a kind and cannot be had again.
pub(crate) fn lost(kind: &str) -> Option<&'static str> {
    LOST.iter().find(|(lost, _)| *lost == kind).map(|(_, what)| *what)
}

/// Tells whether the API server refuses another value at a path, such as `spec.selector.matchLabels.app`.
pub(crate) fn is_immutable(kind: &str, path: &str) -> bool {
    let below = |table: &[(&str, &[&str])]| {
        table.iter().filter(|(of, _)| *of == kind).any(|(_, roots)| roots.iter().any(|root| is_below(path, root)))
    };
    below(&IMMUTABLE) && !below(&MUTABLE)
}

/// Tells whether a path is that of a field, or below it.
pub(crate) fn is_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', ' ']))
}
