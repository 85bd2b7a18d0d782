//! How an image leaves the archive that a builder wrote, for `image push` and for a publication that carries its control plane.

use std::path::PathBuf;

use indicatif::BinaryBytes;

use super::{Context, Environment, Error};
use crate::image::Platform;
use crate::image::archive::{self, Image, Input, Layers, Settings};
use crate::oci::{Artifact, Pinned, Repository, Tag};
use crate::plan::{ArtifactKind, DesiredArtifact};

/// Reads an image archive.
///
/// # Errors
/// When the archive is damaged, is for another platform, or cannot be read.
pub(super) fn read_image(input: Input, platform: &Platform, layers: Layers, context: &Context) -> Result<Image, Error> {
    let say = |text: &str| context.note(text);
    Ok(archive::read(input, &Settings { scratch: &scratch(&context.environment), platform, layers, say: &say })?)
}

/// Returns the directory for temporary files.
pub(super) fn scratch(environment: &Environment) -> PathBuf {
    environment.path("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp"))
}

/// Returns an image as an artifact of a release.
pub(super) fn image_artifact(artifact: Artifact, repository: Repository, tag: Tag) -> DesiredArtifact {
    let name = repository.as_str().rsplit('/').next().unwrap_or_default().to_owned();
    DesiredArtifact { kind: ArtifactKind::Image, name, version: tag.to_string(), repository, tag, artifact }
}

/// Reports which image is pushed, before the first byte is sent.
pub(super) fn announce_image(image: &Image, reference: &Pinned, context: &Context) {
    let platforms: Vec<String> = image.platforms.iter().map(ToString::to_string).collect();
    context.note(&format!("image {reference}: {}, {}", BinaryBytes(image.artifact.size()), platforms.join(", ")));
    match &image.revision {
        Some(revision) => context.note(&format!("revision of the image: {revision}")),
        None => context.note("revision of the image: unknown, since it has no label org.opencontainers.image.revision"),
    }
    for warning in &image.warnings {
        context.warn(warning);
    }
}
