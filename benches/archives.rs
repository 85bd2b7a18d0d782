//! A large image, and the archives of it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use alga_release::oci::{Digest, Hasher};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

/// How many layers the image has, if nothing else is asked for.
pub const LAYERS: u64 = 4;
/// Bytes of all layers.
pub const SIZE: u64 = 1 << 30;

/// The same image, once with packed and once with bare layers.
#[allow(dead_code, reason = "shared with another bench")]
pub struct Archives {
    pub layout: PathBuf,
    pub oci: PathBuf,
    pub saved: PathBuf,
}

impl Archives {
    pub fn new(scratch: &Path, count: u64) -> Self {
        let layers = layers(scratch, count, SIZE);
        let layout = layout(scratch, &layers);
        let oci = scratch.join("oci.tar");
        let mut names = vec!["oci-layout".to_owned(), "index.json".to_owned()];
        let blobs = fs::read_dir(layout.join("blobs/sha256")).expect("a directory");
        names.extend(blobs.map(|blob| format!("blobs/sha256/{}", blob.expect("a blob").file_name().display())));
        archive(&oci, names.iter().map(|name| (name.clone(), layout.join(name))));
        let saved = saved(scratch, &layers);
        Self { layout, oci, saved }
    }
}

/// So many layers, together of about `size` bytes.
pub fn layers(scratch: &Path, count: u64, size: u64) -> Vec<Layer> {
    (0..count).map(|seed| Layer::write(scratch, seed, size / count)).collect()
}

fn config(layers: &[Layer]) -> Vec<u8> {
    let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
    let rootfs = json!({ "type": "layers", "diff_ids": diff_ids });
    json!({ "architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs }).to_string().into_bytes()
}

fn describe(media_type: &str, digest: &Digest, size: u64) -> Value {
    json!({ "mediaType": media_type, "digest": digest.as_str(), "size": size })
}

/// A directory that holds it with packed layers, which are moved there.
pub fn layout(scratch: &Path, layers: &[Layer]) -> PathBuf {
    let config = &config(layers)[..];
    let layout = scratch.join("layout");
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("a directory");
    let put = |bytes: &[u8]| fs::write(blobs.join(Digest::of(bytes).hex()), bytes).expect("written");
    let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
    let described: Vec<Value> = layers.iter().map(|layer| describe(gzip, &layer.digest, layer.size)).collect();
    let config_type = "application/vnd.oci.image.config.v1+json";
    let media_type = alga_release::oci::media_type::IMAGE_MANIFEST;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type,
        "config": describe(config_type, &Digest::of(config), config.len() as u64), "layers": described,
    });
    let manifest = manifest.to_string().into_bytes();
    put(config);
    put(&manifest);
    for layer in layers {
        fs::rename(&layer.packed, blobs.join(layer.digest.hex())).expect("renamed");
    }
    let entry = describe(media_type, &Digest::of(&manifest), manifest.len() as u64);
    let index = json!({ "schemaVersion": 2, "manifests": [entry] });
    fs::write(layout.join("index.json"), index.to_string()).expect("written");
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("written");
    layout
}

fn saved(scratch: &Path, layers: &[Layer]) -> PathBuf {
    let config = &config(layers)[..];
    let names: Vec<String> = layers.iter().map(|layer| format!("{}/layer.tar", layer.diff_id.hex())).collect();
    let name = format!("{}.json", Digest::of(config).hex());
    let manifest = json!([{ "Config": name, "RepoTags": ["bench:1"], "Layers": names }]);
    let (config_file, manifest_file) = (scratch.join("config"), scratch.join("manifest"));
    fs::write(&config_file, config).expect("written");
    fs::write(&manifest_file, manifest.to_string()).expect("written");
    let bare = names.into_iter().zip(layers.iter().map(|layer| layer.bare.clone()));
    let files = bare.chain([(name, config_file), ("manifest.json".to_owned(), manifest_file)]);
    let saved = scratch.join("saved.tar");
    archive(&saved, files);
    saved
}

fn archive(path: &Path, files: impl Iterator<Item = (String, PathBuf)>) {
    let mut builder = tar::Builder::new(BufWriter::new(File::create(path).expect("a file")));
    for (name, file) in files {
        builder.append_path_with_name(file, name).expect("written");
    }
    builder.into_inner().and_then(|mut file| file.flush()).expect("written");
}

/// One layer: half of it noise, as binaries are, half of it words.
pub struct Layer {
    bare: PathBuf,
    diff_id: Digest,
    /// Hardly compressed, so that the packed image is as large.
    packed: PathBuf,
    digest: Digest,
    size: u64,
}

impl Layer {
    fn write(scratch: &Path, seed: u64, size: u64) -> Self {
        let (bare, packed) = (scratch.join(format!("bare{seed}")), scratch.join(format!("packed{seed}")));
        let content = scratch.join("content");
        let mut file = BufWriter::new(File::create(&content).expect("a file"));
        let mut state = seed + 1;
        let mut page = vec![0_u8; 4096];
        for at in 0..size / 4096 {
            for (index, byte) in page.iter_mut().enumerate() {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let noise = state.to_le_bytes()[3];
                *byte = if at % 2 == 0 { noise } else { b"words of a layer "[(index + usize::from(noise & 1)) % 17] };
            }
            file.write_all(&page).expect("written");
        }
        file.flush().expect("written");
        archive(&bare, std::iter::once((format!("data{seed}"), content)));
        let mut encoder = GzEncoder::new(File::create(&packed).expect("a file"), Compression::none());
        io::copy(&mut File::open(&bare).expect("a file"), &mut encoder).expect("packed");
        encoder.finish().expect("packed");
        let size = fs::metadata(&packed).expect("a file").len();
        Self { diff_id: digest_of(&bare), digest: digest_of(&packed), bare, packed, size }
    }
}

fn digest_of(path: &Path) -> Digest {
    let mut hasher = Hasher::new();
    io::copy(&mut File::open(path).expect("a file"), &mut hasher).expect("readable");
    hasher.finish()
}
