//! Container images that are built in memory, and archives of them.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use alga_release::oci::Digest;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

pub const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const BARE: &str = "application/vnd.oci.image.layer.v1.tar";

/// Names and contents of the files of an archive, in order.
pub type Files = Vec<(String, Vec<u8>)>;

/// An image: its config and its uncompressed layers.
#[derive(Clone, Debug)]
pub struct Image {
    pub config: Vec<u8>,
    pub layers: Vec<Vec<u8>>,
}

impl Image {
    /// Returns an image for a platform, with layers of about these sizes in bytes.
    pub fn new(architecture: &str, sizes: &[usize]) -> Self {
        let layers: Vec<Vec<u8>> = (0..).zip(sizes).map(|(at, size)| layer(at, *size)).collect();
        let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
        let config = json!({
            "architecture": architecture, "os": "linux",
            "config": { "Cmd": ["/bin/true"], "Labels": { "org.opencontainers.image.revision": REVISION } },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": sizes.iter().map(|_| json!({ "created_by": "by hand" })).collect::<Vec<_>>(),
        });
        Self { config: config.to_string().into_bytes(), layers }
    }

    /// Returns the manifest with layers of `media_type`, and all blobs.
    pub fn oci(&self, media_type: &str) -> (Vec<u8>, Vec<Vec<u8>>) {
        let packed = |layer: &Vec<u8>| if media_type.ends_with("gzip") { gzip(layer) } else { layer.clone() };
        let layers: Vec<Vec<u8>> = self.layers.iter().map(packed).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": describe(CONFIG, &self.config),
            "layers": layers.iter().map(|layer| describe(media_type, layer)).collect::<Vec<_>>(),
            "annotations": { "org.example.kept": "as it is" },
        });
        let manifest = serde_json::to_vec_pretty(&manifest).expect("JSON");
        (manifest, std::iter::once(self.config.clone()).chain(layers).collect())
    }

    /// Returns the files of an OCI layout with the image.
    pub fn layout(&self, media_type: &str) -> Files {
        let (manifest, mut blobs) = self.oci(media_type);
        let mut entry = describe(MANIFEST, &manifest);
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": "1.0" });
        blobs.push(manifest);
        layout(&[entry], &blobs)
    }

    /// Returns the files that `docker save` wrote until version 24. A layer that occurs twice is a link.
    pub fn docker_save(&self) -> Files {
        let name = |bytes: &[u8]| Digest::of(bytes).hex().to_owned();
        let layers: Vec<String> = self.layers.iter().map(|layer| format!("{}/layer.tar", name(layer))).collect();
        let config = format!("{}.json", name(&self.config));
        let manifest = json!([{ "Config": config, "RepoTags": ["registry.example/team/plane:2.0"], "Layers": layers }]);
        let mut files = vec![(config, self.config.clone())];
        for (path, layer) in layers.into_iter().zip(&self.layers) {
            files.push((path.replace("layer.tar", "VERSION"), b"1.0".to_vec()));
            files.push((path, layer.clone()));
        }
        files.push(("manifest.json".to_owned(), manifest.to_string().into_bytes()));
        files
    }
}

/// Returns the files of a layout with these entries in its index.
pub fn layout(entries: &[Value], blobs: &[Vec<u8>]) -> Files {
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
    let mut files = vec![
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ("index.json".to_owned(), index.to_string().into_bytes()),
    ];
    files.extend(blobs.iter().map(|blob| (blob_name(blob), blob.clone())));
    files
}

pub fn blob_name(blob: &[u8]) -> String {
    format!("blobs/sha256/{}", Digest::of(blob).hex())
}

pub fn describe(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(bytes).as_str(), "size": bytes.len() })
}

/// Returns a tar archive with one file, half of which is random bytes.
fn layer(seed: u32, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let content = (0..size).map(|at| if at / 4096 % 2 == 0 { next() } else { b"words of an image "[at % 18] });
    tar(&[(format!("data/{seed}.bin"), content.collect())])
}

pub fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, &bytes[..]).expect("memory");
    }
    builder.into_inner().expect("memory")
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(1));
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// Returns the uncompressed content of a gzip stream.
pub fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut read = Vec::new();
    std::io::Read::read_to_end(&mut flate2::bufread::GzDecoder::new(bytes), &mut read).expect("gzip");
    read
}

/// Writes files below a directory.
pub fn write(directory: &Path, files: &[(String, Vec<u8>)]) {
    for (name, bytes) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, bytes).expect("written");
    }
}
