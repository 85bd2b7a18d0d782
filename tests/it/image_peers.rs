//! Archives that skopeo, buildah, umoci and crane made of one image are pushed, and the same programs pull them back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use alga_release::oci::Digest;
use serde_json::Value;

use crate::support::docker_registry::DockerRegistry;
use crate::support::images::{self, BARE, GZIP, Image, gunzip};
use crate::support::programs::{release, run, stdout};
use crate::support::require;

const PLANE: &str = "alga-appliance-control-plane";

/// The programs that make and read archives, with a directory for their files.
struct Peers {
    skopeo: PathBuf,
    buildah: PathBuf,
    umoci: PathBuf,
    crane: PathBuf,
    scratch: tempfile::TempDir,
}

impl Peers {
    fn find() -> Option<Self> {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        fs::write(scratch.path().join("policy.json"), r#"{"default":[{"type":"insecureAcceptAnything"}]}"#)
            .expect("written");
        Some(Self {
            skopeo: require("skopeo")?,
            buildah: require("buildah")?,
            umoci: require("umoci")?,
            crane: require("crane")?,
            scratch,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn call(&self, program: &Path, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new(program);
        command.current_dir(self.scratch.path()).env("HOME", self.scratch.path());
        stdout(command.args(arguments))
    }

    fn skopeo(&self, from: &str, to: &str) {
        let flags = ["copy", "--policy", "policy.json", "--src-tls-verify=false", "--dest-tls-verify=false"];
        self.call(&self.skopeo, &[&flags[..], &[from, to]].concat());
    }

    fn buildah(&self, arguments: &[&str]) {
        let state = ["--storage-driver", "vfs", "--root", "storage", "--runroot", "run"];
        self.call(&self.buildah, &[&state[..], arguments].concat());
    }
}

/// A pulled image: the config and the uncompressed layers.
#[derive(Debug, PartialEq, Eq)]
struct Contents {
    config: Value,
    layers: Vec<Digest>,
}

/// Reads the only manifest of a layout.
fn contents(layout: &Path) -> (Digest, Contents, Vec<String>) {
    let json = |path: PathBuf| serde_json::from_slice::<Value>(&fs::read(path).expect("a file")).expect("JSON");
    let text = |value: &Value| value["digest"].as_str().expect("a digest").to_owned();
    let blob = |digest: &str| layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
    let digest = text(&json(layout.join("index.json"))["manifests"][0]);
    let manifest = json(blob(&digest));
    let named: Vec<String> = manifest["layers"].as_array().expect("layers").iter().map(text).collect();
    let bare = named.iter().map(|digest| {
        let bytes = fs::read(blob(digest)).expect("a layer");
        Digest::of(&if bytes.starts_with(&[0x1f, 0x8b]) { gunzip(&bytes) } else { bytes })
    });
    let contents = Contents { config: json(blob(&text(&manifest["config"]))), layers: bare.collect() };
    (digest.parse().expect("a digest"), contents, named)
}

/// Pushes an archive, pulls the image with skopeo and with crane, and returns the image, which is the same for both.
fn there_and_back(peers: &Peers, registry: &DockerRegistry, archive: &str) -> (Digest, Contents, Vec<String>) {
    let prefix = format!("{}/{archive}", registry.address());
    let mut command = release();
    command.args(["image", "push"]).arg(peers.path(archive)).args(["--tag", "1", "--store", &prefix]);
    let report = run(command.args(["--output", "json"])).ends(0).json();
    let reference = format!("{prefix}/{PLANE}:1");
    let (by_skopeo, by_crane) = (format!("{archive}.by-skopeo"), format!("{archive}.by-crane"));
    peers.skopeo(&format!("docker://{reference}"), &format!("oci:{by_skopeo}:1"));
    peers.call(&peers.crane, &["pull", "--insecure", "--format", "oci", &reference, &by_crane]);
    let crane = contents(&peers.path(&by_crane));
    assert_eq!(contents(&peers.path(&by_skopeo)), crane, "{archive}");
    assert_eq!(report["digest"], crane.0.as_str(), "{archive}");
    // umoci can unpack the layers.
    let bundle = format!("{archive}.bundle");
    peers.call(&peers.umoci, &["unpack", "--image", &format!("{by_skopeo}:1"), &bundle]);
    assert!(peers.path(&bundle).join("rootfs/data/0.bin").is_file(), "{archive}");
    peers.buildah(&["pull", "--signature-policy", "policy.json", "--tls-verify=false", &reference]);
    crane
}

#[test]
fn archives_of_other_programs_are_pushed_and_pulled_back_unchanged() {
    let (Some(peers), Some(registry)) = (Peers::find(), DockerRegistry::start()) else { return };
    let image = Image::new("amd64", &[700_000, 1 << 20]);
    let expected = Contents {
        config: serde_json::from_slice(&image.config).expect("JSON"),
        layers: image.layers.iter().map(|layer| Digest::of(layer)).collect(),
    };
    images::write(&peers.path("source"), &image.layout(GZIP));
    images::write(&peers.path("bare"), &image.layout(BARE));
    let (source, _, packed) = contents(&peers.path("source"));

    peers.skopeo("oci:source:1.0", "oci:skopeo-layout:1.0");
    peers.skopeo("oci:source:1.0", "oci-archive:skopeo-oci.tar:1.0");
    peers.skopeo("oci:source:1.0", "docker-archive:skopeo-docker.tar:team/plane:1.0");
    peers.buildah(&["pull", "--signature-policy", "policy.json", "oci:source:1.0"]);
    let policy = ["push", "--signature-policy", "policy.json"];
    let stored =
        String::from_utf8(peers.call(
            &peers.buildah,
            &["--storage-driver", "vfs", "--root", "storage", "--runroot", "run", "images", "-q"],
        ));
    let stored = stored.expect("text").trim().to_owned();
    for (kind, file) in [("docker-archive", "buildah-docker.tar"), ("oci-archive", "buildah-oci.tar")] {
        peers.buildah(&[&policy[..], &[&stored, &format!("{kind}:{file}:team/plane:1.0")]].concat());
    }
    let reference = format!("{}/seed:1", registry.address());
    peers.call(&peers.crane, &["push", "--insecure", "source", &reference]);
    for (format, file) in [("tarball", "crane-saved.tar"), ("legacy", "crane-legacy.tar"), ("oci", "crane-layout")] {
        peers.call(&peers.crane, &["pull", "--insecure", "--format", format, &reference, file]);
    }

    let same = ["skopeo-layout", "skopeo-oci.tar", "crane-layout"];
    let packed_alike = ["crane-saved.tar", "buildah-oci.tar"];
    let bare = ["skopeo-docker.tar", "bare", "buildah-docker.tar", "crane-legacy.tar"];
    let mut of_bare = Vec::new();
    for archive in same.iter().chain(&packed_alike).chain(&bare) {
        let (digest, found, layers) = there_and_back(&peers, &registry, archive);
        assert_eq!(found, expected, "{archive}");
        if same.contains(archive) {
            assert_eq!((digest, &layers), (source.clone(), &packed), "{archive}");
        } else if bare.contains(archive) {
            of_bare.push(layers);
        }
    }
    assert!(of_bare.windows(2).all(|pair| pair[0] == pair[1]), "{of_bare:#?}");
}

#[test]
fn an_image_made_by_umoci_is_pushed_unchanged() {
    for registry in DockerRegistry::each() {
        let Some(peers) = Peers::find() else { return };
        let umoci = |arguments: &[&str]| peers.call(&peers.umoci, arguments);
        umoci(&["init", "--layout", "umoci"]);
        umoci(&["new", "--image", "umoci:1"]);
        fs::create_dir_all(peers.path("files")).expect("a directory");
        fs::write(peers.path("files/0.bin"), vec![7; 100_000]).expect("written");
        umoci(&["insert", "--image", "umoci:1", "files", "/data"]);
        umoci(&["config", "--image", "umoci:1", "--os", "linux", "--architecture", "amd64"]);
        let before = contents(&peers.path("umoci"));
        assert_eq!(there_and_back(&peers, &registry, "umoci"), before);
        // This is how `tar` packs a directory.
        let mut pack = Command::new("tar");
        stdout(pack.current_dir(peers.path("umoci")).args(["-czf", "../umoci.tar.gz", "."]));
        assert_eq!(there_and_back(&peers, &registry, "umoci.tar.gz"), before);
    }
}
