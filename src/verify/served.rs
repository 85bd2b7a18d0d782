//! Checks that the release behind a channel, a version or a digest exists, and that the channel agrees with it.

use bytes::Bytes;

use super::{Aspect, Check, Subject};
use crate::contents::ReadOnce;
use crate::oci::{self, Digest, Manifest, Repository, Selector};
use crate::release::{self, CONFIG_LIMIT, NamedKind, Resolved};

/// The release behind the resolved manifest.
#[derive(Clone, Debug)]
pub struct Served {
    /// Digest of the release manifest.
    pub release: Digest,
    /// Check that the release exists and agrees with the channel.
    pub check: Check,
}

/// Reads the release manifest and compares it with the channel manifest, which is a copy of it.
///
/// # Errors
/// Returns an error when the store cannot be reached.
pub async fn served(
    reads: &ReadOnce<'_>,
    repository: &Repository,
    resolved: &Resolved,
    in_channel: bool,
) -> Result<Served, oci::Error> {
    let selector = resolved.release_selector(in_channel);
    let reference = match &selector {
        Selector::Tag(tag) => format!("{repository}:{tag}"),
        Selector::Digest(digest) => format!("{repository}@{digest}"),
    };
    let subject = Subject { kind: NamedKind::Release, name: &resolved.release.version, reference: &reference };
    let result = same(reads, repository, resolved, &selector).await?;
    Ok(match (result, selector) {
        (Ok(release), _) => Served { release, check: subject.ok(Aspect::Manifest) },
        (Err(reason), Selector::Tag(_)) => {
            let reason = format!("an older publisher wrote this channel, and the version has other content: {reason}");
            Served { release: resolved.manifest.clone(), check: subject.not_checked(Aspect::Manifest, reason) }
        }
        (Err(reason), Selector::Digest(release)) => {
            let check = subject.failed(Aspect::Manifest, reason);
            let help = "find out who wrote the channel, and move it: `alga-release rollback CHANNEL --to VERSION --reason TEXT`";
            Served { release, check: Check { help: Some(help.to_owned()), ..check } }
        }
    })
}

/// Returns the digest of the release under `selector`, if it differs from the resolved one only in the channel.
async fn same(
    reads: &ReadOnce<'_>,
    repository: &Repository,
    resolved: &Resolved,
    selector: &Selector,
) -> Result<Result<Digest, String>, oci::Error> {
    Ok(match own_json(reads, repository, selector).await? {
        Ok((release, json)) if release::equal_but_for_channel(&json, &resolved.json) => Ok(release),
        Ok(_) => Err("the release differs from the JSON of the channel that serves it".to_owned()),
        Err(reason) => Err(reason),
    })
}

/// Reads the digest and the JSON of a release manifest, or returns why they cannot be read.
///
/// # Errors
/// When the store cannot be reached.
pub(super) async fn own_json(
    reads: &ReadOnce<'_>,
    repository: &Repository,
    selector: &Selector,
) -> Result<Result<(Digest, Bytes), String>, oci::Error> {
    let (descriptor, bytes) = match reads.manifest(repository, selector).await {
        Ok(read) => read,
        Err(unread) => return unread.reason().map(Err),
    };
    let manifest = match Manifest::parse(&descriptor.media_type, &bytes) {
        Ok(manifest) => manifest,
        Err(cause) => return Ok(Err(format!("invalid image manifest: {cause}"))),
    };
    match reads.fetch(repository, &manifest.config, CONFIG_LIMIT).await {
        Ok(json) => Ok(Ok((descriptor.digest, json))),
        Err(unread) => unread.reason().map(Err),
    }
}
