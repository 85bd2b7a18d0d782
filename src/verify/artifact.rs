//! Checks a chart or a bundle in full: its blobs, and the content of its archive.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::Value;

use crate::contents::ReadOnce;
use crate::oci::{self, Descriptor, Digest, Manifest, Repository};
use crate::release::{NamedKind, Release};
use crate::text::is_unseen;
use crate::{chart, overlay};

/// Largest blob of a chart or bundle that is read, in bytes.
const BLOB_LIMIT: u64 = 128 << 20;

/// Parses the manifest of an artifact. The error is the reason why the manifest is invalid.
pub(super) fn manifest(descriptor: &Descriptor, bytes: &[u8]) -> Result<Manifest, String> {
    Manifest::parse(&descriptor.media_type, bytes).map_err(|cause| format!("invalid image manifest: {cause}"))
}

/// Checks that config and layer have the media types by which Helm and Flux recognize a chart or a bundle.
pub(super) fn is_kind(kind: NamedKind, manifest: &Manifest) -> Result<(), String> {
    let (config, layer) = match kind {
        NamedKind::Chart => (chart::CONFIG_MEDIA_TYPE, chart::LAYER_MEDIA_TYPE),
        _ => (overlay::CONFIG_MEDIA_TYPE, overlay::LAYER_MEDIA_TYPE),
    };
    let what = if kind == NamedKind::Chart { "a Helm chart" } else { "a Flux bundle" };
    let found: Vec<&str> = manifest.blobs().map(|blob| blob.media_type.as_str()).collect();
    if found == [config, layer] {
        return Ok(());
    }
    let found: Vec<String> = found.iter().take(4).map(|found| format!("`{}`", found.escape_debug())).collect();
    Err(format!("expected {what} with the config `{config}` and one layer `{layer}`, found {}", found.join(", ")))
}

/// Reads the blobs of an artifact concurrently, each once. The inner error is the reason why a blob is not valid.
pub(super) async fn blobs(
    reads: &ReadOnce<'_>,
    repository: &Repository,
    manifest: &Manifest,
) -> Result<Result<BTreeMap<Digest, Bytes>, String>, oci::Error> {
    let each: BTreeMap<&Digest, &Descriptor> = manifest.blobs().map(|blob| (&blob.digest, blob)).collect();
    let read = join_all(each.values().map(|blob| reads.fetch(repository, blob, BLOB_LIMIT))).await;
    let (mut blobs, mut reasons) = (BTreeMap::new(), Vec::new());
    for (digest, read) in each.into_keys().zip(read) {
        match read {
            Ok(bytes) => drop(blobs.insert(digest.clone(), bytes)),
            Err(unread) => reasons.push(unread.reason()?),
        }
    }
    Ok(if reasons.is_empty() { Ok(blobs) } else { Err(reasons.join("; ")) })
}

/// Checks that the chart loads as Helm loads it, and that its archive and its config have the name and version in the
/// release.
pub(super) fn loads(
    name: &str,
    version: &str,
    manifest: &Manifest,
    blobs: &BTreeMap<Digest, Bytes>,
) -> Result<(), String> {
    let layer = only_layer("a chart", manifest, blobs)?;
    let config = blobs.get(&manifest.config.digest).ok_or("the config was not read")?;
    let (own_name, own_version) = chart::load_archive(layer).map_err(|error| error.to_string())?;
    let config: Value =
        serde_json::from_slice(config).map_err(|cause| format!("the config is not valid JSON: {cause}"))?;
    let text = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or_default();
    for (place, found_name, found_version) in
        [("Chart.yaml", own_name.as_str(), own_version.as_str()), ("the config", text("name"), text("version"))]
    {
        if found_name != name || tag(found_version) != tag(version) {
            return Err(format!(
                "{place} has {found_name} {found_version}, expected {name} {version} as in the release"
            ));
        }
    }
    Ok(())
}

/// Returns the version as a tag, with `_` in place of `+`.
fn tag(version: &str) -> String {
    version.replace('+', "_")
}

/// Returns the files of a bundle. The error is the reason why the archive does not unpack.
pub(super) fn unpack(
    manifest: &Manifest,
    blobs: &BTreeMap<Digest, Bytes>,
) -> Result<BTreeMap<String, Vec<u8>>, String> {
    overlay::unpack(only_layer("a bundle", manifest, blobs)?).map_err(|refused| refused.to_string())
}

fn only_layer<'a>(what: &str, manifest: &Manifest, blobs: &'a BTreeMap<Digest, Bytes>) -> Result<&'a Bytes, String> {
    let layer = match &manifest.layers[..] {
        [layer] => blobs.get(&layer.digest),
        _ => None,
    };
    layer.ok_or_else(|| format!("expected {what} with one layer, found {} layers", manifest.layers.len()))
}

/// Returns the versions and tags of the release that contain unprintable characters. People cannot compare such texts.
pub(super) fn unprintable(release: &Release) -> impl Iterator<Item = String> {
    let named = |what: &'static str, texts: &BTreeMap<String, String>| {
        let name = |(key, text): (&String, &String)| (format!("{what} `{}`", key.escape_debug()), text.clone());
        texts.iter().map(name).collect::<Vec<_>>()
    };
    let mut texts = vec![
        ("the version".to_owned(), release.version.clone()),
        ("the channel".to_owned(), release.channel.clone()),
        ("the version of the bundle".to_owned(), release.config.version.clone()),
    ];
    texts.extend(release.config.tag.iter().map(|tag| ("the tag of the bundle".to_owned(), tag.clone())));
    texts.extend(release.control_plane.iter().map(|image| ("the control plane".to_owned(), image.clone())));
    texts.extend(named("the version of chart", &release.charts));
    texts.extend(named("the tag of image", &release.images));
    let unprintable = |(what, text): (String, String)| {
        let bad = text.chars().any(is_unseen);
        bad.then(|| format!("{what} is not printable: `{}`", text.escape_debug()))
    };
    texts.into_iter().filter_map(unprintable)
}
