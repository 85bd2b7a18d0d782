//! Reads container images from the archives that builders write: `docker save` (both forms), OCI archives and OCI layouts,
//! plain or compressed with gzip or zstd. Compressed layers stay as they are, so their digests do not change. Uncompressed
//! layers are compressed once. Nothing is unpacked: contents are byte ranges of the archive's file.

mod compress;
mod config;
mod docker;
mod error;
mod input;
mod layer;
mod layout;
mod members;

use std::path::Path;

use self::members::Members;
use super::Platform;
use crate::oci::Artifact;

pub(super) use config::is_of_image;
pub use error::{Error, Kind};
pub use input::Input;

/// How uncompressed layers are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    /// Uncompressed layers are compressed with gzip.
    Compressed,
    /// Uncompressed layers stay as they are, and their digests are the diff IDs.
    AsTheyAre,
}

/// Settings for reading an image archive.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    /// Directory for temporary files.
    pub scratch: &'a Path,
    /// Platform that the image has to run on.
    pub platform: &'a Platform,
    /// How uncompressed layers are treated.
    pub layers: Layers,
    /// Called with a message before a step that takes time or disk space.
    pub say: &'a dyn Fn(&str),
}

impl std::fmt::Debug for Settings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { scratch, platform, layers, .. } = self;
        f.debug_struct("Settings")
            .field("scratch", scratch)
            .field("platform", platform)
            .field("layers", layers)
            .finish()
    }
}

/// An image that is ready to be pushed.
#[derive(Debug)]
pub struct Image {
    /// The image, or the index of all its platforms.
    pub artifact: Artifact,
    /// Names that the archive gives the image: references with or without a host, or tags.
    pub names: Vec<String>,
    /// Source commit: the image's label or annotation `org.opencontainers.image.revision`.
    pub revision: Option<String>,
    /// Platforms of the image, one for each image of an index.
    pub platforms: Vec<Platform>,
    /// Warnings about the archive that did not prevent reading it.
    pub warnings: Vec<String>,
}

/// Reads the one image that an archive holds.
///
/// # Errors
/// When the archive cannot be read or is damaged, holds several images, or holds no image for the platform.
pub fn read(input: Input, settings: &Settings<'_>) -> Result<Image, Error> {
    let name = input.name();
    read_from(input, settings).map_err(|error| error.of(name))
}

fn read_from(input: Input, settings: &Settings<'_>) -> Result<Image, Error> {
    let members = Members::of(input::open(input, settings.scratch, settings.say)?)?;
    // Newer versions of `docker save` write both forms. The layout has the original digests, so it is preferred.
    if let Some(marker) = members.json("oci-layout")? {
        return layout::read(&members, &marker, settings);
    }
    match members.json("manifest.json")? {
        Some(manifest) => docker::read(&members, &manifest, settings),
        None => Err(Error::damaged("expected an OCI layout or the `manifest.json` of `docker save`, found neither")),
    }
}
