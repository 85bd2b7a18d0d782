//! What to do about a write that a registry does not take: the same for a publication that meets it and for `doctor`, which looks for it.

use crate::oci::{self, Kind, Obstacle};

/// Returns what to change before the write is tried again; nothing for any other error.
pub fn way_out(error: &oci::Error) -> Option<String> {
    let Kind::Blocked(obstacle) = error.kind() else { return None };
    let text = match obstacle {
        Obstacle::ImmutableTag => {
            "let the registry move the tags of channels: exclude `stable`, `nightly` and every other channel from its rule for immutable tags. \
             Artifactory and Nexus name it the permission, or the policy, to overwrite"
        }
        Obstacle::NoRepository => return Some(create(error.repository())),
        Obstacle::Quota => "free space in the registry, or have its quota raised",
        Obstacle::KeepsOtherBytes => {
            "remove what the registry keeps under this digest from its storage, or have it collected there, and run the same command again"
        }
        Obstacle::Size => {
            "raise the largest request that the registry, or the proxy in front of it, takes (nginx: `client_max_body_size`)"
        }
        Obstacle::Content => {
            "change what the registry finds fault with, or publish to a registry that takes OCI artifacts of any media type"
        }
    };
    Some(text.to_owned())
}

/// Returns how to make a repository, `HOST/PATH`.
fn create(name: &str) -> String {
    let (host, path) = name.split_once('/').unwrap_or((name, name));
    let others = "`alga-release doctor` names every repository that is missing";
    if host.contains(".dkr.ecr") {
        return format!("create it first: `aws ecr create-repository --repository-name {path}`; {others}");
    }
    format!("create `{path}` in the registry first, which makes no repository for a push; {others}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_to_create_is_named_without_its_host_and_tag() {
        let hint = |reference: &str| {
            let error = oci::Error::new(Kind::Blocked(Obstacle::NoRepository), "push", reference, "404");
            way_out(&error).unwrap()
        };
        for reference in ["r.io:5000/org/x", "r.io:5000/org/x:1.0", "r.io/org/x@sha256:00"] {
            assert!(hint(reference).starts_with("create `org/x` in the registry first"), "{reference}");
        }
        let ecr = hint("123456789012.dkr.ecr.eu-central-1.amazonaws.com/org/charts/x:1");
        assert!(ecr.contains("aws ecr create-repository --repository-name org/charts/x`"), "{ecr}");
        assert_eq!(way_out(&oci::Error::new(Kind::Denied, "push", "r.io/x", "403")), None);
    }
}
