//! Reads OCI layouts, as a directory or in a tar. Digests do not change unless an uncompressed layer is compressed.
//!
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;

use super::config::{self, Config};
use super::layer::{Done, Packing, packing};
use super::members::{Members, whole};
use super::{Error, Image, Settings};
use crate::image::Platform;
use crate::oci::{Artifact, Content, Descriptor, Digest, Document, FileRange, Index, Manifest, media_type};

/// Annotation that marks an attestation in the index of an image.
const ATTESTATION: (&str, &str) = ("vnd.docker.reference.type", "attestation-manifest");
/// Annotation in which containerd keeps the full name of an image.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Reads the one image that a layout holds.
pub(super) fn read(members: &Members, marker: &[u8], settings: &Settings<'_>) -> Result<Image, Error> {
    let marker: Option<Value> = serde_json::from_slice(marker).ok();
    if marker.as_ref().and_then(|marker| marker.get("imageLayoutVersion")?.as_str()) != Some("1.0.0") {
        return Err(Error::damaged("invalid `oci-layout` file: expected `imageLayoutVersion` 1.0.0"));
    }
    let index = members.json("index.json")?.ok_or_else(|| Error::damaged("missing `index.json`"))?;
    let index = parse_index(media_type::IMAGE_INDEX, &index, "index.json")?;
    let root = only(&index)?;
    let mut reader = Reader { members, settings, done: Done::default() };
    let mut image = match root.media_type.as_str() {
        media_type::IMAGE_INDEX | media_type::DOCKER_MANIFEST_LIST => reader.index(root)?,
        _ => reader.single(root)?,
    };
    // `only` has checked that all entries of the index are of this image.
    let names = index.manifests.iter().flat_map(|entry| {
        [CONTAINERD_NAME, media_type::REF_NAME].into_iter().filter_map(|key| entry.annotations.get(key))
    });
    image.names = names.cloned().collect();
    Ok(image)
}

fn parse_index(media_type: &str, bytes: &[u8], name: &str) -> Result<Index, Error> {
    Index::parse(media_type, bytes).map_err(|cause| Error::damaged(format!("invalid `{name}`: {cause}")))
}

/// Returns the one image of a layout, which may have several names.
fn only(index: &Index) -> Result<&Descriptor, Error> {
    let Some(first) = index.manifests.first() else {
        return Err(Error::damaged("expected one image, found none"));
    };
    if index.manifests.iter().all(|other| other.digest == first.digest) {
        return Ok(first);
    }
    let name = |entry: &Descriptor| match entry.annotations.get(media_type::REF_NAME) {
        Some(name) => name.escape_debug().to_string(),
        None => entry.digest.to_string(),
    };
    let names: Vec<String> = index.manifests.iter().map(name).collect();
    Err(Error::refused(format!("expected one image, found {}: {}", names.len(), names.join(", "))))
}

/// A manifest with the blobs that it names.
struct Built {
    manifest: Document,
    blobs: Vec<Content>,
    /// The config of an image. Absent for an attestation.
    config: Option<Config>,
    annotations: BTreeMap<String, String>,
}

struct Reader<'a> {
    members: &'a Members,
    settings: &'a Settings<'a>,
    done: Done,
}

impl Reader<'_> {
    fn single(&mut self, descriptor: &Descriptor) -> Result<Image, Error> {
        let built = self.image(descriptor)?;
        let Some(config) = built.config else {
            return Err(Error::refused("expected a container image, found an attestation"));
        };
        if !config.platform.fits(self.settings.platform) {
            let reason = format!("expected an image for {}, found one for {}", self.settings.platform, config.platform);
            return Err(Error::refused(reason));
        }
        Ok(Image {
            artifact: Artifact::of(built.manifest, Vec::new(), built.blobs),
            names: Vec::new(),
            revision: config.revision.or_else(|| built.annotations.get(media_type::REVISION).cloned()),
            platforms: vec![config.platform],
            warnings: Vec::new(),
        })
    }

    /// Reads an index with the images of all its platforms.
    fn index(&mut self, descriptor: &Descriptor) -> Result<Image, Error> {
        let bytes = self.json(descriptor)?;
        let index = parse_index(&descriptor.media_type, &bytes, descriptor.digest.as_str())?;
        let is_index = |child: &&Descriptor| {
            matches!(child.media_type.as_str(), media_type::IMAGE_INDEX | media_type::DOCKER_MANIFEST_LIST)
        };
        if let Some(child) = index.manifests.iter().find(is_index) {
            return Err(Error::refused(format!(
                "the index names another index, {}, which container runtimes do not follow",
                child.digest
            )));
        }
        if let Some(image) = self.only_one_there(&index)? {
            return Ok(image);
        }
        let mut built = Vec::new();
        for child in &index.manifests {
            built.push(self.image(child)?);
        }
        self.joined(descriptor, &bytes, &index, built)
    }

    /// Returns the only image of the index that the archive holds. `docker save` keeps the whole index of an image even where
    /// only one platform was pulled.
    fn only_one_there(&mut self, index: &Index) -> Result<Option<Image>, Error> {
        let mut there = Vec::new();
        for child in &index.manifests {
            if self.members.file(&blob_name(&child.digest))?.is_some() {
                there.push(child);
            }
        }
        let images: Vec<_> = there.iter().filter(|child| !is_attestation(child)).collect();
        match (&images[..], there.len() == index.manifests.len()) {
            ([image], false) => {
                let mut image = self.single(image)?;
                let left = index.manifests.len() - there.len();
                image.warnings.push(format!("the index names {left} manifests that the archive does not hold: the one image that it holds is used"));
                Ok(Some(image))
            }
            _ => Ok(None),
        }
    }

    /// Returns the index and its images. The index is rewritten where a manifest has changed.
    fn joined(&self, descriptor: &Descriptor, bytes: &[u8], index: &Index, built: Vec<Built>) -> Result<Image, Error> {
        let platforms: Vec<Platform> =
            built.iter().filter_map(|one| Some(one.config.as_ref()?.platform.clone())).collect();
        let wanted = self.settings.platform;
        let image = built.iter().find_map(|one| one.config.as_ref().filter(|config| config.platform.fits(wanted)));
        let Some(image) = image else {
            let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
            return Err(Error::refused(format!(
                "expected an image for {wanted}, found images for {}",
                names.join(", ")
            )));
        };
        let revision = image.revision.clone().or_else(|| index.annotations.get(media_type::REVISION).cloned());
        let mut json: Value = serde_json::from_slice(bytes).map_err(|cause| Error::damaged(cause.to_string()))?;
        let mut changed = false;
        for (at, one) in built.iter().enumerate() {
            changed |= describe(&mut json["manifests"][at], one.manifest.descriptor());
        }
        let bytes = if changed { json.to_string().into_bytes() } else { bytes.to_vec() };
        let (mut manifests, mut blobs) = (Vec::new(), Vec::new());
        for one in built {
            manifests.push(one.manifest);
            blobs.extend(one.blobs);
        }
        let artifact = Artifact::of(Document::new(&descriptor.media_type, bytes), manifests, blobs);
        Ok(Image { artifact, names: Vec::new(), revision, platforms, warnings: Vec::new() })
    }

    /// Reads a manifest with its blobs.
    fn image(&mut self, descriptor: &Descriptor) -> Result<Built, Error> {
        if !matches!(descriptor.media_type.as_str(), media_type::IMAGE_MANIFEST | media_type::DOCKER_MANIFEST) {
            let media_type = descriptor.media_type.escape_debug();
            return Err(Error::refused(format!("unknown media type of {}: `{media_type}`", descriptor.digest)));
        }
        let bytes = self.json(descriptor)?;
        let broken = |cause| Error::damaged(format!("invalid manifest {}: {cause}", descriptor.digest));
        let manifest = Manifest::parse(&descriptor.media_type, &bytes).map_err(broken)?;
        let json = Bytes::from(self.json(&manifest.config)?);
        let content = Content::new(&manifest.config.media_type, json.clone());
        if is_attestation(descriptor) {
            return self.attestation(descriptor, bytes, content, &manifest);
        }
        if !config::is_of_image(&manifest.config.media_type) {
            let media_type = manifest.config.media_type.escape_debug();
            return Err(Error::refused(format!(
                "expected a container image, found an artifact with a config of `{media_type}`: {}",
                descriptor.digest
            )));
        }
        let config = Config::parse(&json, manifest.layers.len())?;
        let (bytes, layers) = self.layers(bytes, &manifest, &config)?;
        let blobs = std::iter::once(content).chain(layers).collect();
        let annotations = manifest.annotations;
        Ok(Built { manifest: Document::new(&descriptor.media_type, bytes), blobs, config: Some(config), annotations })
    }

    /// Reads the layers, and returns them with the manifest. The manifest is rewritten where layers were compressed.
    fn layers(
        &mut self,
        bytes: Vec<u8>,
        manifest: &Manifest,
        config: &Config,
    ) -> Result<(Vec<u8>, Vec<Content>), Error> {
        let packings = manifest.layers.iter().map(|layer| packing(&layer.media_type)).collect::<Result<Vec<_>, _>>()?;
        let ranges = manifest.layers.iter().map(|layer| self.blob(layer)).collect::<Result<Vec<_>, _>>()?;
        let mut json: Value = serde_json::from_slice(&bytes).map_err(|cause| Error::damaged(cause.to_string()))?;
        let (mut layers, mut changed) = (Vec::new(), false);
        for (at, (layer, range)) in manifest.layers.iter().zip(ranges).enumerate() {
            let content = match packings[at] {
                Packing::Packed => Content::in_file(layer.clone(), range),
                Packing::Bare(_) if layer.digest != config.diff_ids[at] => {
                    return Err(Error::damaged(format!(
                        "wrong digest of an uncompressed layer: expected {} as in the config, found {}",
                        config.diff_ids[at], layer.digest
                    )));
                }
                Packing::Bare(media_type) => self.done.bare(layer, &range, media_type, self.settings)?,
            };
            changed |= describe(&mut json["layers"][at], content.descriptor());
            layers.push(content);
        }
        Ok((if changed { json.to_string().into_bytes() } else { bytes }, layers))
    }

    /// Reads an attestation, which is published unchanged.
    fn attestation(
        &self,
        descriptor: &Descriptor,
        bytes: Vec<u8>,
        config: Content,
        manifest: &Manifest,
    ) -> Result<Built, Error> {
        let mut blobs = vec![config];
        for layer in &manifest.layers {
            blobs.push(Content::in_file(layer.clone(), self.blob(layer)?));
        }
        let manifest = Document::new(&descriptor.media_type, bytes);
        Ok(Built { manifest, blobs, config: None, annotations: BTreeMap::new() })
    }

    /// Returns the byte range of a blob, whose size must be the described one.
    fn blob(&self, descriptor: &Descriptor) -> Result<FileRange, Error> {
        let digest = &descriptor.digest;
        let range = self.members.file(&blob_name(digest))?;
        let range = range.ok_or_else(|| Error::damaged(format!("missing blob {digest}")))?;
        if range.length() == descriptor.size {
            return Ok(range);
        }
        let (found, size) = (range.length(), descriptor.size);
        Err(Error::damaged(format!("wrong size of the blob {digest}: expected {size} bytes, found {found}")))
    }

    /// Reads a small blob and verifies its digest.
    fn json(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        let bytes = whole(&self.blob(descriptor)?, descriptor.digest.as_str())?;
        let found = Digest::of(&bytes);
        if found == descriptor.digest {
            return Ok(bytes);
        }
        Err(Error::damaged(format!("wrong digest of the blob {}: found {found}", descriptor.digest)))
    }
}

fn is_attestation(descriptor: &Descriptor) -> bool {
    descriptor.annotations.get(ATTESTATION.0).is_some_and(|kind| kind == ATTESTATION.1)
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Writes the descriptor `now` into an entry of a manifest, and reports whether the entry has changed.
fn describe(entry: &mut Value, now: &Descriptor) -> bool {
    let changed = entry["digest"] != now.digest.as_str();
    if changed {
        entry["mediaType"] = now.media_type.clone().into();
        entry["digest"] = now.digest.as_str().into();
        entry["size"] = now.size.into();
    }
    changed
}
