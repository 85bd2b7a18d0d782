//! Which versions of Kubernetes serve which API versions, for all API versions removed since Kubernetes 1.16.
//!
//! <https://kubernetes.io/docs/reference/using-api/deprecation-guide/>

/// The minor versions of Kubernetes 1 that a product supports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    oldest: u32,
    newest: u32,
}

impl Range {
    /// Parses `1.29`, `1.29-1.33` or `1.29+`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let minor = |text: &str| text.trim().strip_prefix("1.")?.parse::<u32>().ok();
        let (oldest, newest) = match (text.split_once('-'), text.strip_suffix('+')) {
            (Some((oldest, newest)), _) => (minor(oldest)?, minor(newest)?),
            (None, Some(oldest)) => (minor(oldest)?, u32::MAX),
            (None, None) => (minor(text)?, minor(text)?),
        };
        (oldest <= newest).then_some(Self { oldest, newest })
    }
}

/// A removed API version: the version, its kinds (all kinds if the list is empty), the first minor version without it, the replacement,
/// and the first minor version that serves the replacement.
type Removed = (&'static str, &'static [&'static str], u32, &'static str, u32);
const REMOVED: &[Removed] = &[
    ("extensions/v1beta1", &["Ingress"], 22, "networking.k8s.io/v1", 19),
    ("extensions/v1beta1", &["NetworkPolicy"], 16, "networking.k8s.io/v1", 8),
    ("extensions/v1beta1", &["PodSecurityPolicy"], 16, "pod security admission", 25),
    ("extensions/v1beta1", &["Deployment", "DaemonSet", "ReplicaSet"], 16, "apps/v1", 9),
    ("apps/v1beta1", &[], 16, "apps/v1", 9),
    ("apps/v1beta2", &[], 16, "apps/v1", 9),
    (
        "admissionregistration.k8s.io/v1beta1",
        &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"],
        22,
        "admissionregistration.k8s.io/v1",
        16,
    ),
    ("apiextensions.k8s.io/v1beta1", &["CustomResourceDefinition"], 22, "apiextensions.k8s.io/v1", 16),
    ("apiregistration.k8s.io/v1beta1", &["APIService"], 22, "apiregistration.k8s.io/v1", 10),
    ("authentication.k8s.io/v1beta1", &["TokenReview"], 22, "authentication.k8s.io/v1", 6),
    ("authorization.k8s.io/v1beta1", &[], 22, "authorization.k8s.io/v1", 6),
    ("certificates.k8s.io/v1beta1", &["CertificateSigningRequest"], 22, "certificates.k8s.io/v1", 19),
    ("coordination.k8s.io/v1beta1", &["Lease"], 22, "coordination.k8s.io/v1", 14),
    ("networking.k8s.io/v1beta1", &["Ingress", "IngressClass"], 22, "networking.k8s.io/v1", 19),
    ("rbac.authorization.k8s.io/v1beta1", &[], 22, "rbac.authorization.k8s.io/v1", 8),
    ("scheduling.k8s.io/v1beta1", &["PriorityClass"], 22, "scheduling.k8s.io/v1", 14),
    (
        "storage.k8s.io/v1beta1",
        &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment"],
        22,
        "storage.k8s.io/v1",
        19,
    ),
    ("batch/v1beta1", &["CronJob"], 25, "batch/v1", 21),
    ("discovery.k8s.io/v1beta1", &["EndpointSlice"], 25, "discovery.k8s.io/v1", 21),
    ("events.k8s.io/v1beta1", &["Event"], 25, "events.k8s.io/v1", 19),
    ("autoscaling/v2beta1", &["HorizontalPodAutoscaler"], 25, "autoscaling/v2", 23),
    ("policy/v1beta1", &["PodDisruptionBudget"], 25, "policy/v1", 21),
    ("policy/v1beta1", &["PodSecurityPolicy"], 25, "pod security admission", 25),
    ("node.k8s.io/v1beta1", &["RuntimeClass"], 25, "node.k8s.io/v1", 20),
    ("autoscaling/v2beta2", &["HorizontalPodAutoscaler"], 26, "autoscaling/v2", 23),
    ("flowcontrol.apiserver.k8s.io/v1beta1", &[], 26, "flowcontrol.apiserver.k8s.io/v1", 29),
    ("storage.k8s.io/v1beta1", &["CSIStorageCapacity"], 27, "storage.k8s.io/v1", 24),
    ("flowcontrol.apiserver.k8s.io/v1beta2", &[], 29, "flowcontrol.apiserver.k8s.io/v1", 29),
    ("flowcontrol.apiserver.k8s.io/v1beta3", &[], 32, "flowcontrol.apiserver.k8s.io/v1", 29),
];

/// Explains why some of the Kubernetes versions do not serve an object. Returns `None` if all of them do, or if the kind is not known.
pub(crate) fn not_served(range: Range, version: &str, kind: &str) -> Option<String> {
    let of = |(removed, kinds, ..): &&Removed| *removed == version && (kinds.is_empty() || kinds.contains(&kind));
    if let Some((_, _, without, instead, _)) = REMOVED.iter().find(of).filter(|removed| range.newest >= removed.2) {
        return Some(format!("Kubernetes 1.{without} and later do not serve {kind} in {version}: use {instead}"));
    }
    let new = |(_, kinds, _, instead, _): &&Removed| *instead == version && kinds.contains(&kind);
    let (_, _, _, _, since) = REMOVED.iter().find(new).filter(|removed| range.oldest < removed.4)?;
    Some(format!("Kubernetes before 1.{since} does not serve {kind} in {version}"))
}

/// Built-in kinds of Kubernetes that do not belong to a namespace.
const CLUSTER_WIDE: [&str; 19] = [
    "APIService",
    "CSIDriver",
    "CSINode",
    "ClusterIssuer",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "FlowSchema",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "PriorityLevelConfiguration",
    "RuntimeClass",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingWebhookConfiguration",
];

/// Reports whether objects of a kind do not belong to a namespace.
pub(crate) fn is_cluster_wide(kind: &str) -> bool {
    CLUSTER_WIDE.contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_versions_is_parsed_and_an_api_version_outside_of_it_is_found() {
        let range = |text| Range::parse(text).expect("a range");
        assert_eq!(range("1.29-1.33"), Range { oldest: 29, newest: 33 });
        for text in ["", "29", "1.x", "1.33-1.29", "1.29-", "2.1"] {
            assert_eq!(Range::parse(text), None, "{text}");
        }
        let served = |versions, version, kind| not_served(range(versions), version, kind).is_none();
        assert!(!served("1.29+", "policy/v1beta1", "PodDisruptionBudget"));
        assert!(!served("1.20-1.25", "policy/v1beta1", "PodDisruptionBudget"));
        assert!(served("1.20-1.24", "policy/v1beta1", "PodDisruptionBudget"));
        assert!(!served("1.20-1.24", "policy/v1", "PodDisruptionBudget"), "since 1.21");
        assert!(served("1.21", "policy/v1", "PodDisruptionBudget"));
        assert!(served("1.29", "example.com/v1beta1", "Ingress"));
        assert!(!served("1.32", "flowcontrol.apiserver.k8s.io/v1beta3", "FlowSchema"));
    }
}
