//! OCI layouts, as a directory or in a tar: digests are kept, unless a bare layer is compressed.
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

/// By which builders mark what they say about an image beside it.
const ATTESTATION: (&str, &str) = ("vnd.docker.reference.type", "attestation-manifest");
/// Where containerd keeps the whole name.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Reads the one image of a layout.
pub(super) fn read(members: &Members, marker: &[u8], settings: &Settings<'_>) -> Result<Image, Error> {
    let marker: Option<Value> = serde_json::from_slice(marker).ok();
    if marker.as_ref().and_then(|marker| marker.get("imageLayoutVersion")?.as_str()) != Some("1.0.0") {
        return Err(Error::damaged("its `oci-layout` file does not say version 1.0.0"));
    }
    let index = members.json("index.json")?.ok_or_else(|| Error::damaged("its `index.json` is missing"))?;
    let index = parse_index(media_type::IMAGE_INDEX, &index, "index.json")?;
    let root = only(&index)?;
    let mut reader = Reader { members, settings, done: Done::default() };
    let mut image = match root.media_type.as_str() {
        media_type::IMAGE_INDEX | media_type::DOCKER_MANIFEST_LIST => reader.index(root)?,
        _ => reader.single(root)?,
    };
    // `only` saw to it that all entries are of this image.
    let names = index.manifests.iter().flat_map(|entry| {
        [CONTAINERD_NAME, media_type::REF_NAME].into_iter().filter_map(|key| entry.annotations.get(key))
    });
    image.names = names.cloned().collect();
    Ok(image)
}

fn parse_index(media_type: &str, bytes: &[u8], name: &str) -> Result<Index, Error> {
    Index::parse(media_type, bytes).map_err(|cause| Error::damaged(format!("its `{name}` is broken: {cause}")))
}

/// The one image of a layout, under however many names.
fn only(index: &Index) -> Result<&Descriptor, Error> {
    let Some(first) = index.manifests.first() else {
        return Err(Error::refused("it holds no image"));
    };
    if index.manifests.iter().all(|other| other.digest == first.digest) {
        return Ok(first);
    }
    let name = |entry: &Descriptor| match entry.annotations.get(media_type::REF_NAME) {
        Some(name) => name.escape_debug().to_string(),
        None => entry.digest.to_string(),
    };
    let names: Vec<String> = index.manifests.iter().map(name).collect();
    Err(Error::refused(format!("it holds {} images, want one: {}", names.len(), names.join(", "))))
}

/// One manifest and what it names.
struct Built {
    manifest: Document,
    blobs: Vec<Content>,
    /// Of an image, not of what is said about one.
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
        let Some(config) = built.config else { return Err(Error::refused("it holds no container image")) };
        if !config.platform.fits(self.settings.platform) {
            let reason = format!("its image is for {}, not for {}", config.platform, self.settings.platform);
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

    /// All platforms.
    fn index(&mut self, descriptor: &Descriptor) -> Result<Image, Error> {
        let bytes = self.json(descriptor)?;
        let index = parse_index(&descriptor.media_type, &bytes, descriptor.digest.as_str())?;
        let is_index = |child: &&Descriptor| {
            matches!(child.media_type.as_str(), media_type::IMAGE_INDEX | media_type::DOCKER_MANIFEST_LIST)
        };
        if let Some(child) = index.manifests.iter().find(is_index) {
            return Err(Error::refused(format!(
                "its index names another index, {}: no runtime follows it",
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

    /// `docker save` of an image of which one platform alone was pulled names the others too, without having them.
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
                image.warnings.push(format!("its index names {left} manifests that are not in it: one image is taken"));
                Ok(Some(image))
            }
            _ => Ok(None),
        }
    }

    /// The index, rewritten where a manifest is another one now.
    fn joined(&self, descriptor: &Descriptor, bytes: &[u8], index: &Index, built: Vec<Built>) -> Result<Image, Error> {
        let platforms: Vec<Platform> =
            built.iter().filter_map(|one| Some(one.config.as_ref()?.platform.clone())).collect();
        let wanted = self.settings.platform;
        let image = built.iter().find_map(|one| one.config.as_ref().filter(|config| config.platform.fits(wanted)));
        let Some(image) = image else {
            let names: Vec<String> = platforms.iter().map(ToString::to_string).collect();
            return Err(Error::refused(format!("it holds no image for {wanted}, but for {}", names.join(", "))));
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

    /// One manifest with its blobs.
    fn image(&mut self, descriptor: &Descriptor) -> Result<Built, Error> {
        if !matches!(descriptor.media_type.as_str(), media_type::IMAGE_MANIFEST | media_type::DOCKER_MANIFEST) {
            let media_type = descriptor.media_type.escape_debug();
            return Err(Error::refused(format!("{} has an unknown media type: `{media_type}`", descriptor.digest)));
        }
        let bytes = self.json(descriptor)?;
        let broken = |cause| Error::damaged(format!("the manifest {} is broken: {cause}", descriptor.digest));
        let manifest = Manifest::parse(&descriptor.media_type, &bytes).map_err(broken)?;
        let json = Bytes::from(self.json(&manifest.config)?);
        let content = Content::new(&manifest.config.media_type, json.clone());
        if is_attestation(descriptor) {
            return self.attestation(descriptor, bytes, content, &manifest);
        }
        if !config::is_of_image(&manifest.config.media_type) {
            let media_type = manifest.config.media_type.escape_debug();
            return Err(Error::refused(format!("{} is no container image, but `{media_type}`", descriptor.digest)));
        }
        let config = Config::parse(&json, manifest.layers.len())?;
        let (bytes, layers) = self.layers(bytes, &manifest, &config)?;
        let blobs = std::iter::once(content).chain(layers).collect();
        let annotations = manifest.annotations;
        Ok(Built { manifest: Document::new(&descriptor.media_type, bytes), blobs, config: Some(config), annotations })
    }

    /// The layers, and the manifest, rewritten where bare ones were compressed.
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
                    return Err(Error::damaged(format!("the bare layer {} is not what its config says", layer.digest)));
                }
                Packing::Bare(media_type) => self.done.bare(layer, &range, media_type, self.settings)?,
            };
            changed |= describe(&mut json["layers"][at], content.descriptor());
            layers.push(content);
        }
        Ok((if changed { json.to_string().into_bytes() } else { bytes }, layers))
    }

    /// What builders say about an image: kept as it is.
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

    /// Where a blob lies; its size is as it is described.
    fn blob(&self, descriptor: &Descriptor) -> Result<FileRange, Error> {
        let digest = &descriptor.digest;
        let range = self.members.file(&blob_name(digest))?;
        let range = range.ok_or_else(|| Error::damaged(format!("the blob {digest} is missing in it")))?;
        if range.length() == descriptor.size {
            return Ok(range);
        }
        let (found, size) = (range.length(), descriptor.size);
        Err(Error::damaged(format!("the blob {digest} has {found} bytes, not the {size} it should have")))
    }

    /// A small blob, held against its digest.
    fn json(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        let bytes = whole(&self.blob(descriptor)?, descriptor.digest.as_str())?;
        let found = Digest::of(&bytes);
        if found == descriptor.digest {
            return Ok(bytes);
        }
        Err(Error::damaged(format!("the blob {} has the digest {found}", descriptor.digest)))
    }
}

fn is_attestation(descriptor: &Descriptor) -> bool {
    descriptor.annotations.get(ATTESTATION.0).is_some_and(|kind| kind == ATTESTATION.1)
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Writes what `now` is into a manifest's entry; was it something else?
fn describe(entry: &mut Value, now: &Descriptor) -> bool {
    let changed = entry["digest"] != now.digest.as_str();
    if changed {
        entry["mediaType"] = now.media_type.clone().into();
        entry["digest"] = now.digest.as_str().into();
        entry["size"] = now.size.into();
    }
    changed
}
