//! Container images out of the archives that builders write: `docker save`, old and new, OCI archives and OCI layouts, with gzip or
//! zstd around them. What is compressed stays as it is, so that digests survive; bare layers are compressed once. Nothing is
//! unpacked: contents are parts of the archive's file.

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

/// What becomes of bare layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    /// They are compressed.
    Compressed,
    /// They stay as they are: their digests are the diff IDs.
    AsTheyAre,
}

/// How an archive is read.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    /// Where temporary files may lie.
    pub scratch: &'a Path,
    /// On what the image shall run.
    pub platform: &'a Platform,
    /// What becomes of bare layers.
    pub layers: Layers,
    /// Hears what takes time or disk space.
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

/// An image, ready to be pushed.
#[derive(Debug)]
pub struct Image {
    /// The image, or the index of all its platforms.
    pub artifact: Artifact,
    /// The names that the archive gives it: references, with or without a host, or tags alone.
    pub names: Vec<String>,
    /// `org.opencontainers.image.revision`, where the image says it.
    pub revision: Option<String>,
    /// What it runs on, one for each image of an index.
    pub platforms: Vec<Platform>,
    /// What people should know.
    pub warnings: Vec<String>,
}

/// Reads the image of an archive.
///
/// # Errors
/// Whatever is wrong with the archive; when it holds several images, or none for the platform.
pub fn read(input: Input, settings: &Settings<'_>) -> Result<Image, Error> {
    let name = input.name();
    read_from(input, settings).map_err(|error| error.of(name))
}

fn read_from(input: Input, settings: &Settings<'_>) -> Result<Image, Error> {
    let members = Members::of(input::open(input, settings.scratch, settings.say)?)?;
    // Newer `docker save` writes both: the layout keeps the digests.
    if let Some(marker) = members.json("oci-layout")? {
        return layout::read(&members, &marker, settings);
    }
    match members.json("manifest.json")? {
        Some(manifest) => docker::read(&members, &manifest, settings),
        None => Err(Error::damaged("it holds neither an OCI layout nor a `manifest.json` of `docker save`")),
    }
}
