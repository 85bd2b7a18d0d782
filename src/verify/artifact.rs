//! A chart or a bundle, every byte of it: its blobs, and what its archive holds.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::Value;

use super::{Aspect, Check, Subject};
use crate::chart;
use crate::contents::Reader;
use crate::oci::{self, Descriptor, Manifest, Repository};

/// Largest blob of a chart or bundle that is read.
const BLOB_LIMIT: u64 = 128 << 20;

/// Parses the manifest of an artifact; or says why it is not a valid one.
pub(super) fn manifest(descriptor: &Descriptor, bytes: &[u8]) -> Result<Manifest, String> {
    Manifest::parse(&descriptor.media_type, bytes).map_err(|cause| format!("invalid image manifest: {cause}"))
}

/// Reads the blobs of an artifact, all at once: the config first, then the layers; or says why one of them is not as it should be.
pub(super) async fn blobs(
    reader: &Reader<'_>,
    repository: &Repository,
    manifest: &Manifest,
) -> Result<Result<Vec<Bytes>, String>, oci::Error> {
    let reads = join_all(manifest.blobs().map(|blob| reader.fetch(repository, blob, BLOB_LIMIT))).await;
    let (mut blobs, mut reasons) = (Vec::new(), Vec::new());
    for read in reads {
        match read {
            Ok(bytes) => blobs.push(bytes),
            Err(unread) => reasons.push(unread.reason()?),
        }
    }
    Ok(if reasons.is_empty() { Ok(blobs) } else { Err(reasons.join("; ")) })
}

/// Does it load as Helm loads it, and is it the chart that the release means, by its archive and by its config?
pub(super) fn loads(subject: &Subject<'_>, name: &str, version: &str, blobs: &[Bytes]) -> Check {
    subject.judge(Aspect::Loads, chart(name, version, blobs))
}

fn chart(name: &str, version: &str, blobs: &[Bytes]) -> Result<(), String> {
    let [config, layer] = blobs else {
        return Err(format!("a chart has a config and one layer, this has {} blobs", blobs.len()));
    };
    let (own_name, own_version) = chart::load_archive(layer).map_err(|error| error.to_string())?;
    let config: Value = serde_json::from_slice(config).map_err(|cause| format!("its config is no JSON: {cause}"))?;
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
pub(super) fn unpack(blobs: &[Bytes]) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let [_, layer] = blobs else {
        return Err(format!("a bundle has a config and one layer, this has {} blobs", blobs.len()));
    };
    crate::overlay::unpack(layer).map_err(|refused| refused.to_string())
}
