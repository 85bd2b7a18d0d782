//! Pushing an image of 1 GiB out of its archive, against skopeo and crane on the same files and registry, in the same
//! run. Prints seconds and the largest resident size; judges nothing.
//!
//! `cargo bench --bench image [-- LAYERS]`, four layers if nothing is said; needs the programs that `tests/peers/install --system` brings, and 5 GiB in `TMPDIR`.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a bench talks to people")]

mod memory;
#[allow(dead_code, reason = "shared with another bench")]
mod peers;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use alga_release::oci::{Digest, Hasher};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use memory::measured;
use peers::{Registry, which};

/// Rounds of each; the median is printed.
const ROUNDS: usize = 3;
const LAYERS: u64 = 4;
/// Bytes of all layers.
const SIZE: u64 = 1 << 30;

fn main() {
    let programs = (which("skopeo"), which("crane"), which("docker-registry"));
    let (Some(skopeo), Some(crane), Some(_)) = programs else {
        println!("skipped: skopeo, crane or docker-registry are missing: tests/peers/install --system");
        return;
    };
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let layers = std::env::args().find_map(|word| word.parse().ok()).filter(|layers| *layers > 0).unwrap_or(LAYERS);
    let archives = Archives::new(scratch.path(), layers);
    let release = PathBuf::from(env!("CARGO_BIN_EXE_alga-release"));
    let ours = |archive: &Path, store: &str| {
        let mut command = Command::new(&release);
        command.args(["image", "push"]).arg(archive).args(["--tag", "1", "--quiet", "--store", store]);
        command
    };
    let skopeo = |from: &str, archive: &Path, store: &str| {
        let mut command = Command::new(&skopeo);
        command.args(["copy", "--insecure-policy", "--dest-tls-verify=false"]);
        command.arg(format!("{from}:{}", archive.display()));
        command.arg(format!("docker://{store}/alga-appliance-control-plane:1"));
        command
    };
    let crane = |archive: &Path, store: &str| {
        let mut command = Command::new(&crane);
        command.args(["push", "--insecure"]).arg(archive).arg(format!("{store}/alga-appliance-control-plane:1"));
        command
    };
    println!("{ROUNDS} rounds, medians; an image of {} MiB in {layers} layers", SIZE >> 20);
    println!("from an OCI archive or layout");
    show("  image push, archive", |store| ours(&archives.oci, store));
    show("  image push, layout", |store| ours(&archives.layout, store));
    show("  skopeo copy, archive", |store| skopeo("oci-archive", &archives.oci, store));
    show("  crane push, layout", |store| crane(&archives.layout, store));
    println!("from what docker save writes");
    show("  image push", |store| ours(&archives.saved, store));
    show("  skopeo copy", |store| skopeo("docker-archive", &archives.saved, store));
    show("  crane push", |store| crane(&archives.saved, store));
}

/// The same registry, empty for each round; the second number is of pushing what is there.
fn show(name: &str, command: impl Fn(&str) -> Command) {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let registry = Registry::start(directory.path());
        let store = format!("{}/bench", registry.address);
        rounds.push((quietly(command(&store)), quietly(command(&store))));
    }
    rounds.sort_by_key(|((seconds, _), _)| *seconds);
    let ((first, memory), (again, _)) = rounds[ROUNDS / 2];
    println!("{name:24} {:6.2} s {memory:4.0} MiB   again {:6.2} s", first.as_secs_f64(), again.as_secs_f64());
}

/// How long it took, and its largest resident size in MiB.
fn quietly(mut command: Command) -> (Duration, f64) {
    measured(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

/// The same image, once with packed and once with bare layers.
struct Archives {
    layout: PathBuf,
    oci: PathBuf,
    saved: PathBuf,
}

impl Archives {
    fn new(scratch: &Path, layers: u64) -> Self {
        let layers: Vec<Layer> = (0..layers).map(|seed| Layer::write(scratch, seed, SIZE / layers)).collect();
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = config.to_string().into_bytes();
        let layout = layout(scratch, &config, &layers);
        let oci = scratch.join("oci.tar");
        let mut names = vec!["oci-layout".to_owned(), "index.json".to_owned()];
        let blobs = fs::read_dir(layout.join("blobs/sha256")).expect("a directory");
        names.extend(blobs.map(|blob| format!("blobs/sha256/{}", blob.expect("a blob").file_name().display())));
        archive(&oci, names.iter().map(|name| (name.clone(), layout.join(name))));
        let saved = saved(scratch, &config, &layers);
        Self { layout, oci, saved }
    }
}

fn describe(media_type: &str, digest: &Digest, size: u64) -> Value {
    json!({ "mediaType": media_type, "digest": digest.as_str(), "size": size })
}

fn layout(scratch: &Path, config: &[u8], layers: &[Layer]) -> PathBuf {
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

fn saved(scratch: &Path, config: &[u8], layers: &[Layer]) -> PathBuf {
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
struct Layer {
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
