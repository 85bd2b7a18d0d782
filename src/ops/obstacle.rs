//! Hints for writes that a registry refuses, and for layouts that are broken: all commands give the same ones.

use std::path::Path;

use crate::oci::{self, Kind, Obstacle};

/// Returns the change after which the command can be repeated; `None` for an error that is not of these kinds.
pub fn way_out(error: &oci::Error) -> Option<String> {
    let obstacle = match error.kind() {
        Kind::Blocked(obstacle) => obstacle,
        // Only the files of the layout itself are named without a tag and without a digest.
        Kind::Malformed if error.reference().starts_with("oci-layout:") && !error.reference().contains('@') => {
            let place = error.repository().trim_start_matches("oci-layout:");
            return Some(format!(
                "restore {place} from a backup, or copy the releases from another store; if there is none, remove this directory and publish \
                 each version again, which loses the history of the channels"
            ));
        }
        Kind::NoStore => return Some(other_path(error.reference())),
        _ => return None,
    };
    let text = match obstacle {
        Obstacle::ImmutableTag => {
            "allow the registry to move the tags of channels: exclude `stable`, `nightly` and every other channel from its rule for immutable tags \
             (in Artifactory and Nexus, the permission or policy to overwrite)"
        }
        Obstacle::NoRepository => return Some(create(error.repository())),
        Obstacle::Quota => "free space in the registry, or raise its quota",
        Obstacle::KeepsOtherBytes => {
            "delete the blob of this digest from the storage of the registry, or run its garbage collection, and run the same command again"
        }
        Obstacle::Size => {
            "raise the limit for the size of a request in the registry, or in the proxy in front of it (nginx: `client_max_body_size`)"
        }
        Obstacle::Content => {
            "change the part that the registry refuses, or publish to a registry that accepts OCI artifacts of any media type"
        }
    };
    Some(text.to_owned())
}

/// Returns the hint for a path that does not exist, or is a directory instead of a file or the reverse.
fn other_path(store: &str) -> String {
    let (kind, path) = store.split_once(':').unwrap_or_default();
    let at = Path::new(path);
    match (kind, at.extension().is_some_and(|extension| extension == "tar")) {
        ("oci-archive", _) if at.is_dir() => format!("did you mean `oci-layout:{path}`?"),
        ("oci-layout", true) if at.is_file() => format!("did you mean `oci-archive:{path}`?"),
        ("oci-archive", _) if at.parent().is_some_and(|parent| !parent.as_os_str().is_empty() && !parent.exists()) => {
            "create the directory, or name another file".to_owned()
        }
        _ => "check the path of the store".to_owned(),
    }
}

/// Returns the hint that tells how to create the repository `HOST/PATH`.
fn create(name: &str) -> String {
    let (host, path) = name.split_once('/').unwrap_or((name, name));
    let others = "`alga-release doctor` lists every missing repository";
    if host.contains(".dkr.ecr") {
        return format!("create it first: `aws ecr create-repository --repository-name {path}`; {others}");
    }
    format!("create `{path}` in the registry first, because a push to this registry creates no repository; {others}")
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
