//! Packs the rewritten files into the artifact that Flux pulls.

use std::collections::BTreeMap;

use serde_json::json;

use crate::archive::{self, Limits, Refused};
use crate::oci::{Artifact, Content, media_type};

/// Media type of the config of Flux's artifacts. <https://github.com/fluxcd/pkg/blob/main/oci/constants.go>
pub(crate) const CONFIG_MEDIA_TYPE: &str = "application/vnd.cncf.flux.config.v1+json";
/// Media type of the one layer of Flux's artifacts.
pub(crate) const LAYER_MEDIA_TYPE: &str = "application/vnd.cncf.flux.content.v1.tar+gzip";

/// Size limits for an unpacked bundle, in bytes.
const LIMITS: Limits = Limits { total: 512 << 20, file: 64 << 20 };

/// The annotations that describe a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleMeta {
    /// Time of the source commit, RFC 3339, UTC.
    pub created: String,
    /// Public URL of the source repository.
    pub source: Option<String>,
    /// Revision that Flux shows, `<version>@sha1:<commit>`.
    pub revision: String,
}

impl BundleMeta {
    /// Reads the annotations of a manifest, and returns `None` when they are not those of a bundle.
    pub fn read(annotations: &BTreeMap<String, String>) -> Option<Self> {
        let text = |key: &str| annotations.get(key).cloned();
        Some(Self {
            created: text(media_type::CREATED)?,
            source: text(media_type::SOURCE),
            revision: text(media_type::REVISION)?,
        })
    }
}

/// Packs files into the config bundle. Paths are relative to the overlay.
pub fn bundle(files: &BTreeMap<String, Vec<u8>>, meta: &BundleMeta) -> Artifact {
    let mut sorted: Vec<(&String, &Vec<u8>)> = files.iter().collect();
    // Files are in the order of a directory walk: sorted by the parts of the path, not by the whole text.
    sorted.sort_by(|(a, _), (b, _)| a.split('/').cmp(b.split('/')));
    let packed = archive::write(sorted);
    let config = json!({
        "created": meta.created,
        "architecture": "",
        "os": "",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": [packed.diff_id.as_str()] },
    });
    let mut annotations = BTreeMap::new();
    annotations.insert(media_type::CREATED.to_owned(), meta.created.clone());
    annotations.insert(media_type::REVISION.to_owned(), meta.revision.clone());
    if let Some(source) = &meta.source {
        annotations.insert(media_type::SOURCE.to_owned(), source.clone());
    }
    let config = Content::new(CONFIG_MEDIA_TYPE, config.to_string());
    Artifact::pack(None, config, vec![Content::new(LAYER_MEDIA_TYPE, packed.bytes)], annotations)
}

/// Unpacks the layer of a bundle into files, by path relative to the overlay.
///
/// # Errors
/// When the layer is not a valid archive, or unpacks to more than the limit.
pub fn unpack(layer: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, Refused> {
    let files = archive::read(layer, LIMITS)?;
    Ok(files.into_iter().map(|(path, bytes)| (path.trim_start_matches("./").to_owned(), bytes)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_give_the_same_bundle_with_plain_names_at_the_top() {
        let files: BTreeMap<String, Vec<u8>> =
            [("base/a-b.yaml", "x"), ("base/a/c.yaml", "y")].map(|(path, text)| (path.to_owned(), text.into())).into();
        let meta = BundleMeta { created: "2026-01-01T00:00:00Z".into(), source: None, revision: "1@sha1:0".into() };
        let artifact = bundle(&files, &meta);
        assert_eq!(artifact, bundle(&files, &meta));
        let limits = archive::Limits { total: 1 << 20, file: 1 << 20 };
        let read = archive::read(artifact.blobs()[1].bytes().expect("in memory"), limits).expect("readable");
        let names: Vec<String> = read.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["base/a/c.yaml", "base/a-b.yaml"]);
    }

    #[test]
    fn the_description_of_a_bundle_is_read_back() {
        for source in [None, Some("https://example.com/a".to_owned())] {
            let meta = BundleMeta { created: "2026-01-01T00:00:00Z".into(), source, revision: "1@sha1:0".into() };
            let artifact = bundle(&BTreeMap::new(), &meta);
            let (media_type, bytes) = (&artifact.descriptor().media_type, artifact.manifest().bytes());
            let manifest = crate::oci::Manifest::parse(media_type, bytes).expect("a manifest");
            assert_eq!(BundleMeta::read(&manifest.annotations), Some(meta));
        }
        assert_eq!(BundleMeta::read(&BTreeMap::new()), None);
    }
}
