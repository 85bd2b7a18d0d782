//! Hints for errors of stores, credentials, images and channels.

use alga_release::ops::{Verdict, way_out};
use alga_release::{credentials, image, oci};

/// Hint for a server that does not speak the distribution API.
const NOT_A_REGISTRY: &str = "check the host, the port and the proxy of the store: below `https://HOST/v2/`, the server must speak the OCI \
                              distribution API";
/// Hint for a user whom the registry does not know, or who may not do what was asked for.
const LOG_IN: &str =
    "log in with docker or podman, pass `--username` with `--password-stdin`, or set `ALGA_REGISTRY_TOKEN`";

/// Returns the hint for an error of a store.
pub fn of_store(error: &oci::Error) -> Option<String> {
    let hint = match error.kind() {
        oci::Kind::Denied => return Some(format!("{LOG_IN}, as a user who may push there")),
        oci::Kind::Unavailable => {
            "check the host, the port, the network and the proxy, or run the same command again later"
        }
        oci::Kind::Untrusted => {
            "if you trust this certificate, pass its CA with `--ca-file` or `SSL_CERT_FILE`; otherwise the connection may be intercepted"
        }
        oci::Kind::NotRegistry => NOT_A_REGISTRY,
        oci::Kind::Mismatch if error.reference().starts_with("oci-layout:") => {
            "publish the version again with `--repair`, which replaces corrupted blobs"
        }
        oci::Kind::Conflict => "check what the tag names now, then run the same command again",
        oci::Kind::Io => "check the free space and the permissions of the directory, then run the same command again",
        _ => return way_out(error),
    };
    Some(hint.to_owned())
}

/// Returns the hint for what `doctor` has found.
pub fn of_verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Unreachable => "check the name, the network and the proxy, or try again later",
        Verdict::Unauthenticated => LOG_IN,
        Verdict::Failed => NOT_A_REGISTRY,
        Verdict::Refused | Verdict::Blocked | Verdict::Private | Verdict::Ready | Verdict::Absent => {
            "follow the hint of each repository in the list"
        }
    }
}

/// Returns the hint for an image that cannot be pinned.
pub fn of_image(error: &image::Error) -> Option<String> {
    let hint = match error {
        image::Error::Store { source, .. } => return of_store(source),
        image::Error::Missing { .. } => {
            "build and push each missing image, pass another tag with `--image KEY=TAG`, or publish with `--image-check warn`"
        }
        image::Error::Platform { .. } => {
            "build the image for that platform too, pass another platform with `--platform`, or publish with `--image-check warn`"
        }
        image::Error::NoDigest { why: image::Unknown::NotFound | image::Unknown::NotKept, .. } => {
            "push the image to the store first, or pass another tag with `--image KEY=TAG`: a signed release pins every image"
        }
        image::Error::NoDigest { .. } => {
            "publish with `--image-check require` where the registry of the image can be read: a signed release pins every image"
        }
        image::Error::Unpinned { why: image::Unknown::NotFound, .. } => {
            "push the image first, or name it by digest: `--control-plane sha256:…`"
        }
        image::Error::Unpinned { .. } => {
            "name the image by digest (`--control-plane sha256:…`), or publish with an `--image-check` other than `off`"
        }
    };
    Some(hint.to_owned())
}

/// Returns the hint for credentials that cannot be read.
pub fn of_credentials(error: &credentials::Error) -> Option<String> {
    let hint = match error {
        credentials::Error::File { .. } => {
            "repair or remove the file, or name another one with `DOCKER_CONFIG` (docker) or `REGISTRY_AUTH_FILE` (podman)"
        }
        credentials::Error::Named { .. } => "correct or unset REGISTRY_AUTH_FILE",
        credentials::Error::Entry { .. } => "log in again with docker or podman, or remove the entry from the file",
        credentials::Error::Helper { program, server, .. } => {
            return Some(format!(
                "run `echo {server} | {program} get` to see what the helper says, or pass `--username` with `--password-stdin`"
            ));
        }
        credentials::Error::Given { .. } => return None,
    };
    Some(hint.to_owned())
}

/// Returns the hint for an unknown channel.
pub fn of_channels(known: &[oci::Tag], creates: bool) -> String {
    let known: Vec<&str> = known.iter().map(oci::Tag::as_str).collect();
    let other = if creates {
        "pass `--new-channel` to create the channel"
    } else {
        "add the channel to `channels` in alga-release.yaml"
    };
    format!("use one of {}, or {other}", known.join(", "))
}

/// Returns the hint for a release that a copy cannot read whole.
pub fn of_missing(version: &str, failed: &[String]) -> String {
    let without =
        if failed.iter().any(|line| line.starts_with("image ")) { "; or pass `--without-images`" } else { "" };
    format!(
        "push what is missing again from the commit of the release: `alga-release publish --version {version} --no-channel --repair`{without}"
    )
}
