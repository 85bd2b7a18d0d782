//! Checks the names in a release that an appliance acts on: each must be valid and in an allowed registry.

use crate::config::Config;
use crate::oci::{Prefix, Reference, Tag};
use crate::release::{NamedKind, Release, bare_tag};
use crate::text::shown;

/// An invalid name in a release, or a name in a registry that is not allowed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct NotAllowed {
    path: String,
    reason: String,
    /// Whether the name is valid but in a registry that is not allowed.
    pub refused: bool,
}

/// Checks every name of an image or a repository. `allowed` are registries with or without a path; an empty list allows
/// all.
///
/// # Errors
/// Returns the key and the reason of the first name that is invalid or not allowed.
pub fn check_names(release: &Release, allowed: &[Prefix]) -> Result<(), NotAllowed> {
    let wrong = |path: &str, reason: String| Err(NotAllowed { path: path.to_owned(), reason, refused: false });
    for (key, tag) in &release.images {
        if tag.parse::<Tag>().is_err() {
            return wrong(&format!("images.{}", shown(key)), format!("invalid tag `{}`", shown(tag)));
        }
    }
    let bundle = &release.config.repository;
    if bundle.contains("://") || !bundle.contains('/') || bundle.ends_with('/') || Prefix::parse(bundle, false).is_err()
    {
        return wrong("config.repository", format!("invalid repository `{}`: expected HOST/PATH", shown(bundle)));
    }
    let mut named = vec![("config.repository".to_owned(), bundle.as_str())];
    named
        .extend(release.image_digests.iter().map(|(key, pinned)| (format!("imageDigests.{key}"), &*pinned.repository)));
    let images = release.extra_images.iter().enumerate();
    let images = images.map(|(at, image)| (format!("extraImages[{at}]"), image));
    // A bare tag names no registry, so there is nothing to check.
    let control_plane = release.control_plane.iter().filter(|image| bare_tag(image).is_none());
    for (path, image) in control_plane.map(|image| ("controlPlane".to_owned(), image)).chain(images) {
        if let Err(cause) = image.parse::<Reference>() {
            return wrong(&path, cause.to_string());
        }
        named.push((path, image));
    }
    let elsewhere =
        named.into_iter().find(|(_, name)| !allowed.is_empty() && !allowed.iter().any(|one| is_below(one, name)));
    elsewhere.map_or(Ok(()), |(path, name)| {
        let path = shown(&path);
        Err(NotAllowed {
            path,
            reason: format!("`{}` is in a registry that is not allowed", shown(name)),
            refused: true,
        })
    })
}

/// Returns what a release names by tag or version only, so that a signature of the release does not cover its content.
/// `digests` says whether application images are used by their digests where the release has them.
pub fn not_covered(release: &Release, config: &Config, digests: bool) -> Vec<String> {
    let Ok(prefix) = release.prefix_or_configured(config) else { return Vec::new() };
    let digests = digests || release.is_pinned();
    let named = release.named(&prefix, config).into_iter();
    let open = named.filter(|one| {
        one.digest().is_none() || (!digests && release.images.contains_key(&one.name) && one.kind == NamedKind::Image)
    });
    open.map(|one| match (one.kind, release.images.get(&one.name)) {
        (NamedKind::Image, Some(tag)) => format!("image {} {}", shown(&one.name), shown(tag)),
        _ => format!("{} {}", one.kind.as_str(), shown(&one.reference)),
    })
    .collect()
}

fn is_below(allowed: &Prefix, name: &str) -> bool {
    name.strip_prefix(&allowed.to_string()).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(change: impl Fn(&mut serde_json::Value)) -> Release {
        let mut json = serde_json::json!({
            "schema": "alga.appliance.release/v1", "version": "1", "channel": "stable", "valuesProfile": "p",
            "images": { "a": "1" }, "charts": {}, "controlPlane": "r.io/a/control@sha256:".to_owned() + &"0".repeat(64),
            "config": { "repository": "r.io/a/config", "version": "1", "digest": format!("sha256:{}", "0".repeat(64)) }
        });
        change(&mut json);
        Release::parse(&serde_json::to_vec(&json).unwrap()).unwrap()
    }

    fn prefixes(names: &[&str]) -> Vec<Prefix> {
        names.iter().map(|name| Prefix::parse(name, false).unwrap()).collect()
    }

    #[test]
    fn an_allowed_registry_matches_only_whole_parts_of_a_path() {
        for allowed in [&[][..], &["r.io"], &["r.io/a"], &["x.io", "r.io/a"]] {
            assert_eq!(check_names(&release(|_| {}), &prefixes(allowed)), Ok(()), "{allowed:?}");
        }
        for allowed in ["r.i", "r.io/ab", "x.io", "r.io:5000"] {
            let error = check_names(&release(|_| {}), &prefixes(&[allowed])).unwrap_err();
            assert!(error.refused && error.to_string().starts_with("config.repository: "), "{error}");
        }
        let elsewhere = release(|json| json["extraImages"] = serde_json::json!(["evil.io/x:1"]));
        let error = check_names(&elsewhere, &prefixes(&["r.io"])).unwrap_err();
        assert_eq!(error.to_string(), "extraImages[0]: `evil.io/x:1` is in a registry that is not allowed");
    }

    #[test]
    fn invalid_names_are_refused_with_their_key() {
        for (pointer, value) in [
            ("/images/a", "1; reboot"),
            ("/config/repository", "r.io"),
            ("/config/repository", "http://r.io/x"),
            ("/config/repository", "r.io/x\n  y"),
            ("/controlPlane", "r.io/x@sha256:0"),
            ("/controlPlane", "$(reboot)"),
        ] {
            let release = release(|json| *json.pointer_mut(pointer).unwrap() = value.into());
            let error = check_names(&release, &[]).unwrap_err();
            assert!(!error.refused && error.to_string().starts_with(&pointer[1..].replace('/', ".")), "{error}");
        }
        assert_eq!(
            check_names(&release(|json| json["controlPlane"] = "62cdce38".into()), &prefixes(&["r.io"])),
            Ok(())
        );
    }
}
