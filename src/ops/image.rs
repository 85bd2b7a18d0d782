//! Pushing a container image out of the archive that a builder wrote.

use std::sync::Arc;

use serde::Serialize;

use super::archive::{announce_image, image_artifact, read_image};
use super::pack::on_thread;
use super::{Connection, Context, Error, Signing};
use crate::image::Platform;
use crate::image::archive::{Image, Input, Layers};
use crate::oci::{Digest, Pinned, Repository, Tag};
use crate::plan::{self, Attachment, DesiredArtifact, Executor, Outcome, Subject};

/// Version of the report's JSON, `docs/schemas/image.json`.
const SCHEMA: &str = "alga.release.image/v1";
/// Number of digits of a revision that make a tag.
const SHORT_REVISION: usize = 8;

/// Which image is pushed, and where.
#[derive(Debug)]
pub struct ImageRequest {
    /// A file, a directory or a pipe.
    pub input: Input,
    /// Platform that the image must be for.
    pub platform: Platform,
    /// Treatment of layers that are not compressed.
    pub layers: Layers,
    /// Tag of the image; `None` for the archive's own tag, else the first digits of the revision.
    pub tag: Option<Tag>,
    /// Repository below the store's prefix.
    pub repository: Repository,
    /// What signs the image; `None` pushes it without a signature.
    pub signing: Option<Arc<Signing>>,
}

/// Result of pushing an image, for people and programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageReport {
    schema: &'static str,
    /// Whether this is the report of a dry run.
    pub dry_run: bool,
    /// Whether the image was pushed, or a dry run would push it.
    pub has_changes: bool,
    /// Store that the image is pushed to.
    pub store: String,
    /// Reference of the image by its digest.
    pub reference: Pinned,
    /// Repository below the store's prefix.
    pub repository: Repository,
    /// Tag of the image.
    pub tag: Tag,
    /// Digest of the image.
    pub digest: Digest,
    /// Size of all manifests and blobs of the image, in bytes.
    pub size: u64,
    /// Platforms that the image is for.
    pub platforms: Vec<String>,
    /// Revision of the source that the image was built from, as the image says it.
    pub revision: Option<String>,
    /// Whether the image was pushed, would be pushed, or was there already.
    pub outcome: Outcome,
    /// Warnings for people, a line each.
    pub warnings: Vec<String>,
}

/// Pushes an image. With a store that was opened for reading, this is a dry run.
///
/// # Errors
/// When the archive is damaged, the tag holds another image, or the store fails.
pub async fn push_image(request: ImageRequest, target: &Connection, context: &Context) -> Result<ImageReport, Error> {
    let ImageRequest { input, platform, layers, tag, repository, signing } = request;
    if let Some(signing) = &signing {
        signing.check_file(context)?;
    }
    let reading = context.clone();
    let image = on_thread(move || read_image(input, &platform, layers, &reading)).await?;
    let tag = tag.map_or_else(|| own_tag(&image), Ok)?;
    let digest = image.artifact.digest().clone();
    let reference = Pinned { repository: target.prefix.name_of(&repository), digest: digest.clone() };
    announce_image(&image, &reference, context);
    let desired = image_artifact(image.artifact, repository, tag);
    let found = plan::present(target.read(), &desired).await?;
    let attachments = match &signing {
        Some(signing) if target.store().is_some() || signing.is_preparing() => {
            signed(signing, &desired, target).await?
        }
        _ => Vec::new(),
    };
    if let Some(signing) = &signing {
        signing.write_prepared(context)?;
    }
    let plan = plan::push(&desired, found.as_ref(), &attachments)?;
    let outcome = match target.store() {
        _ if plan.is_empty() => Outcome::Present,
        None => Outcome::WouldPush,
        Some(store) => {
            let executor = Executor::new(store, &*context.clock, target.retry_for());
            plan::execute_push(&plan, &desired, &attachments, &executor, &*context.progress).await?;
            Outcome::Pushed
        }
    };
    Ok(ImageReport {
        schema: SCHEMA,
        dry_run: target.store().is_none(),
        has_changes: outcome != Outcome::Present,
        store: target.location.to_string(),
        reference,
        size: desired.artifact.size(),
        repository: desired.repository,
        tag: desired.tag,
        digest,
        platforms: image.platforms.iter().map(ToString::to_string).collect(),
        revision: image.revision,
        outcome,
        warnings: image.warnings,
    })
}

/// Signs the image, and returns the signatures that the store lacks.
async fn signed(signing: &Signing, image: &DesiredArtifact, target: &Connection) -> Result<Vec<Attachment>, Error> {
    let subject = Subject::of(image, &target.prefix);
    let attached = signing.sign_subjects(&[subject], target.read()).await?;
    let mut lacking = Vec::new();
    for (repository, attached) in &attached {
        lacking.extend(plan::attachments(target.read(), repository, attached).await?);
    }
    Ok(lacking)
}

/// Returns the archive's own tag unless that is `latest`, which moves; otherwise the first digits of the revision.
fn own_tag(image: &Image) -> Result<Tag, Error> {
    let mut tags = image.names.iter().filter_map(|name| tag_in(name));
    let revision = || image.revision.as_deref()?.get(..SHORT_REVISION)?.parse().ok();
    tags.find(|tag| tag.as_str() != "latest").or_else(revision).ok_or(Error::NoImageTag)
}

/// Returns the tag of `HOST/PATH:TAG`, of `PATH:TAG` as docker writes it, or the whole name if it is a tag alone.
fn tag_in(name: &str) -> Option<Tag> {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    let last = name.rsplit('/').next()?;
    match last.rsplit_once(':') {
        Some((_, tag)) => tag.parse().ok(),
        None if last.len() == name.len() => name.parse().ok(),
        None => None,
    }
}
