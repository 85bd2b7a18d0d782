//! Facts about kinds of Kubernetes and Flux: the fields that an update cannot change, and the data that is lost when an object
//! is removed.

/// Kinds whose removal deletes something that cannot be restored, with a description of the loss.
const LOST: [(&str, &str); 6] = [
    ("PersistentVolumeClaim", "the data of the volume may be lost"),
    ("Namespace", "everything in the namespace is deleted"),
    ("CustomResourceDefinition", "every object of that kind is deleted"),
    ("PersistentVolume", "the data of the volume may be lost"),
    ("HelmRelease", "Helm uninstalls everything that it installed"),
    ("Kustomization", "everything that it applied is deleted"),
];

/// Annotation that makes Flux delete and recreate an object whose immutable fields change.
pub(crate) const FORCE: &str = "kustomize.toolkit.fluxcd.io/force";

/// Immutable fields by kind: the API server refuses changes of these fields and of everything below them.
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

/// Fields below an immutable field that may change.
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

/// Returns the loss that the removal of an object of this kind causes, if there is one.
pub(crate) fn lost(kind: &str) -> Option<&'static str> {
    LOST.iter().find(|(lost, _)| *lost == kind).map(|(_, what)| *what)
}

/// Reports whether the API server refuses a change of the value at a path, such as `spec.selector.matchLabels.app`.
pub(crate) fn is_immutable(kind: &str, path: &str) -> bool {
    let below = |table: &[(&str, &[&str])]| {
        table.iter().filter(|(of, _)| *of == kind).any(|(_, roots)| roots.iter().any(|root| is_below(path, root)))
    };
    below(&IMMUTABLE) && !below(&MUTABLE)
}

/// Reports whether a path is the path of a field or below it.
pub(crate) fn is_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', ' ']))
}
