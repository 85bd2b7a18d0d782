//! A chart or a bundle, every byte of it: its blobs, and what its archive holds.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::Value;

use crate::contents::ReadOnce;
use crate::oci::{self, Descriptor, Digest, Manifest, Repository};
use crate::release::{NamedKind, Release};
use crate::text::is_unseen;
use crate::{chart, overlay};

/// Largest blob of a chart or bundle that is read.
const BLOB_LIMIT: u64 = 128 << 20;

/// Parses the manifest of an artifact; or says why it is not a valid one.
pub(super) fn manifest(descriptor: &Descriptor, bytes: &[u8]) -> Result<Manifest, String> {
    Manifest::parse(&descriptor.media_type, bytes).map_err(|cause| format!("invalid image manifest: {cause}"))
}

/// Checks that config and layer have the media types by which Helm and Flux know a chart or a bundle.
pub(super) fn is_kind(kind: NamedKind, manifest: &Manifest) -> Result<(), String> {
    let (config, layer) = match kind {
        NamedKind::Chart => (chart::CONFIG_MEDIA_TYPE, chart::LAYER_MEDIA_TYPE),
        _ => (overlay::CONFIG_MEDIA_TYPE, overlay::LAYER_MEDIA_TYPE),
    };
    let what = if kind == NamedKind::Chart { "a Helm chart" } else { "a bundle of Flux" };
    let found: Vec<&str> = manifest.blobs().map(|blob| blob.media_type.as_str()).collect();
    if found == [config, layer] {
        return Ok(());
    }
    let found: Vec<String> = found.iter().take(4).map(|found| format!("`{}`", found.escape_debug())).collect();
    Err(format!("expected {what}, with `{config}` and one layer of `{layer}`, found {}", found.join(", ")))
}

/// Reads the blobs of an artifact, all at once and each once; or says why one of them is not as it should be.
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

/// Does it load as Helm loads it, and is it the chart that the release means, by its archive and by its config?
pub(super) fn loads(
    name: &str,
    version: &str,
    manifest: &Manifest,
    blobs: &BTreeMap<Digest, Bytes>,
) -> Result<(), String> {
    let layer = only_layer("a chart", manifest, blobs)?;
    let config = blobs.get(&manifest.config.digest).ok_or("its config was not read")?;
    let (own_name, own_version) = chart::load_archive(layer).map_err(|error| error.to_string())?;
    let config: Value = serde_json::from_slice(config).map_err(|cause| format!("its config is not JSON: {cause}"))?;
    let text = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or_default();
    for (place, found_name, found_version) in
        [("Chart.yaml", own_name.as_str(), own_version.as_str()), ("its config", text("name"), text("version"))]
    {
        if found_name != name || tag(found_version) != tag(version) {
            return Err(format!("{place} says {found_name} {found_version}, the release says {name} {version}"));
        }
    }
    Ok(())
}

/// A version as a tag.
fn tag(version: &str) -> String {
    version.replace('+', "_")
}

/// The files of a bundle, or why it does not unpack.
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
    layer.ok_or_else(|| format!("{what} has a config and one layer, this has {} layers", manifest.layers.len()))
}

/// Returns which of the release's versions and tags cannot be shown, and so cannot be compared by people.
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
