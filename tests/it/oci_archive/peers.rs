//! Archives, read by the tools of other projects.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use alga_release::oci::{Artifact, Content, Document};
use serde_json::Value;

use super::{ELSEWHERE, OWN, named, platforms, write};
use crate::store_contract::artifact;
use crate::support::images::{self, GZIP, Image};
use crate::support::programs::stdout;
use crate::support::require;

struct Peers {
    skopeo: PathBuf,
    oras: PathBuf,
    umoci: PathBuf,
    buildah: PathBuf,
    scratch: tempfile::TempDir,
}

impl Peers {
    fn find() -> Option<Self> {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        fs::write(scratch.path().join("policy.json"), r#"{"default":[{"type":"insecureAcceptAnything"}]}"#)
            .expect("written");
        let [skopeo, oras, umoci, buildah] = ["skopeo", "oras", "umoci", "buildah"].map(require);
        Some(Self { skopeo: skopeo?, oras: oras?, umoci: umoci?, buildah: buildah?, scratch })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn call(&self, program: &Path, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new(program);
        stdout(command.current_dir(self.scratch.path()).env("HOME", self.scratch.path()).args(arguments))
    }
}

fn image() -> Artifact {
    let (manifest, blobs) = Image::new("amd64", &[3000, 500_000]).oci(GZIP);
    let blobs = blobs.into_iter().map(|blob| Content::new("application/octet-stream", blob)).collect();
    Artifact::of(Document::new(images::MANIFEST, manifest), Vec::new(), blobs)
}

/// Returns the digests of the manifests in a layout's index.
fn digests(layout: &Path) -> Vec<String> {
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).expect("a file")).expect("JSON");
    let entries = index["manifests"].as_array().expect("entries").iter();
    entries.map(|entry| entry["digest"].as_str().expect("a digest").to_owned()).collect()
}

#[tokio::test]
async fn other_tools_read_an_archive_by_the_names_in_it() {
    let Some(peers) = Peers::find() else { return };
    let (image, platforms, chart) = (image(), platforms(), artifact("chart"));
    let names = ["plane:1.0".to_owned(), format!("plane@{}", platforms.digest())];
    let [tagged, by_digest] = names.map(|name| format!("{ELSEWHERE}/team/{name}"));
    let all = [
        named(&format!("{ELSEWHERE}/team/plane"), Some("1.0"), image.clone()),
        named(&format!("{ELSEWHERE}/team/plane"), None, platforms.clone()),
        named(&format!("{OWN}/charts/one"), Some("1.0"), chart.clone()),
    ];
    write(&peers.path("release.tar"), &all).await.expect("written");

    let skopeo = |arguments: &[&str]| peers.call(&peers.skopeo, &[&["--policy", "policy.json"], arguments].concat());
    for (name, artifact) in [(&tagged, &image), (&by_digest, &platforms)] {
        let archive = format!("oci-archive:release.tar:{name}");
        let raw = skopeo(&["inspect", "--raw", &archive]);
        assert_eq!(raw, *artifact.manifest().bytes(), "{name}");
        skopeo(&["copy", "--all", &archive, &format!("oci:by-skopeo-{}:1", &artifact.digest().hex()[..4])]);
        let copied = peers.path(&format!("by-skopeo-{}", &artifact.digest().hex()[..4]));
        assert_eq!(digests(&copied), [artifact.digest().to_string()]);

        let fetched = peers.call(&peers.oras, &["manifest", "fetch", "--oci-layout-path", "release.tar", name]);
        assert_eq!(fetched, *artifact.manifest().bytes(), "{name}");
    }
    let chart_name = format!("{OWN}/charts/one:1.0");
    let copy = ["cp", "--from-oci-layout-path", "release.tar", &chart_name, "--to-oci-layout", "by-oras:1.0"];
    peers.call(&peers.oras, &copy);
    assert_eq!(digests(&peers.path("by-oras")), [chart.digest().to_string()]);
    let plain = format!("release.tar@{}", chart.digest());
    assert_eq!(peers.call(&peers.oras, &["manifest", "fetch", "--oci-layout", &plain]), *chart.manifest().bytes());

    let state = ["--storage-driver", "vfs", "--root", "storage", "--runroot", "run", "pull", "--signature-policy"];
    peers.call(&peers.buildah, &[&state[..], &["policy.json", &format!("oci-archive:release.tar:{tagged}")]].concat());

    fs::create_dir(peers.path("unpacked")).expect("a directory");
    stdout(Command::new("tar").arg("-xf").arg(peers.path("release.tar")).arg("-C").arg(peers.path("unpacked")));
    let listed = peers.call(&peers.umoci, &["list", "--layout", "unpacked"]);
    let listed = String::from_utf8(listed).expect("text");
    assert!(
        [&tagged, &by_digest, &chart_name].iter().all(|name| listed.lines().any(|line| line == **name)),
        "{listed}"
    );
    let fetched = peers.call(&peers.oras, &["manifest", "fetch", "--oci-layout-path", "unpacked", &tagged]);
    assert_eq!(fetched, *image.manifest().bytes());
}
