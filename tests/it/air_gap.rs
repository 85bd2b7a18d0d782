//! A release crosses an air gap: from the registry to a disk, from the disk to the customer's registry. Everything that
//! the customer's cluster reads comes from that registry.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::relocate::built;
use crate::support::docker_registry::DockerRegistry;
use crate::support::files_below;
use crate::support::images::{self, GZIP, Image};
use crate::support::programs::{Source, alga, resolve, stdout};
use crate::support::published::digest_of;
use crate::support::registry::Registry;
use crate::support::release_with_images::{IMAGES, put};
use crate::support::require;

/// Replaces `old` with `new` in everything below a directory.
fn rename(directory: &Path, old: &str, new: &str) {
    for (name, bytes) in files_below(directory) {
        let Ok(text) = String::from_utf8(bytes) else { continue };
        if text.contains(old) {
            fs::write(directory.join(name), text.replace(old, new)).expect("written");
        }
    }
}

/// Publishes 1.0.3 to nightly of `store`, with all images, some tools of a cron job, and redis from another registry.
fn published(source: &Source, store: &str, elsewhere: &Registry) {
    let overlay = source.path("ee/appliance/flux");
    rename(&overlay, "ghcr.io/nine-minds", store);
    let own = IMAGES.into_iter().chain([("alga-appliance-tools", "1.4.0")]);
    let mut tools = String::new();
    for (at, (repository, tag)) in own.enumerate() {
        let layout = source.path(&format!("images/{repository}"));
        images::write(&layout, &Image::new("amd64", &[5000 + at, 70_000]).layout(GZIP));
        let (layout, more) = (layout.display().to_string(), ["--store", store, "--output", "json"]);
        let arguments = ["image", "push", &layout, "--repository", repository, "--tag", tag];
        let pushed = alga(&[&arguments[..], &more].concat()).ends(0).json();
        tools = format!("{store}/{repository}:{tag}@{}", pushed["digest"].as_str().expect("a digest"));
    }
    let redis = put(elsewhere, "library/redis", Some("7.4.1-alpine"), &Image::new("amd64", &[9000]));
    let redis = format!("{}/library/redis:7.4.1-alpine@{redis}", elsewhere.address());
    source.write("alga-release.yaml", &format!("extraImages:\n  - {tools}\n  - {redis}\nvaluesNames: hashed\n"));
    let values = "ee/appliance/flux/profiles/single-node/values/pgbouncer.single-node.yaml";
    source.append(values, &format!("\nsidecar:\n  image: {}/library/redis:7.4.1-alpine\n", elsewhere.address()));
    let plane = source.path("plane");
    images::write(&plane, &Image::new("amd64", &[100_000]).layout(GZIP));
    let plane = plane.display().to_string();
    let arguments = ["--version", "1.0.3", "--channel", "nightly", "--store", store, "--image-check", "require"];
    source.publish(&[&arguments[..], &["--control-plane-archive", &plane]].concat()).ends(0);
}

/// Pulls each chart by its version, and compares it with the digest in the release.
fn helm_pulls_every_chart(helm: &Path, crane: &Path, source: &Source, to: &str, release: &serde_json::Value) {
    let home = source.path("home");
    let charts = release["charts"].as_object().expect("charts").iter();
    for (name, version) in charts.filter(|(name, _)| *name != "cert-manager") {
        let (version, out) = (version.as_str().expect("a version"), source.path("").display().to_string());
        let url = format!("oci://{to}/charts/{name}");
        let arguments = ["pull", &url, "--version", version, "--plain-http", "-d", &out];
        stdout(Command::new(helm).args(arguments).env("HOME", &home));
        let pulled = fs::read(source.path(&format!("{name}-{version}.tgz"))).expect("a chart");
        let pinned = format!("{to}/charts/{name}@{}", release["chartDigests"][name].as_str().expect("a digest"));
        let manifest = stdout(Command::new(crane).args(["manifest", "--insecure", &pinned]));
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
        assert_eq!(manifest["layers"][0]["digest"], digest_of(&pulled));
    }
}

#[test]
fn a_release_crosses_an_air_gap_and_nothing_in_the_cluster_names_its_origin() {
    let (Some(helm), Some(flux), Some(kubectl), Some(crane)) =
        (require("helm"), require("flux-artifact"), require("kubectl"), require("crane"))
    else {
        return;
    };
    let (Some(first), elsewhere, source) = (DockerRegistry::start(), Registry::start(), Source::new()) else { return };
    let from = format!("{}/org", first.address());
    let origins = [first.address().to_owned(), elsewhere.address()];
    published(&source, &from, &elsewhere);
    let archive = format!("oci-archive:{}", source.path("disk/release.tar").display());
    fs::create_dir(source.path("disk")).expect("a directory");
    alga(&["copy", "nightly", &archive, "--store", &from]).ends(0);
    drop((first, elsewhere));

    // The disk is mounted at another path, and the origin is not reachable.
    fs::create_dir(source.path("customer")).expect("a directory");
    fs::rename(source.path("disk/release.tar"), source.path("customer/release.tar")).expect("carried");
    let archive = format!("oci-archive:{}", source.path("customer/release.tar").display());
    let directory = format!("oci-layout:{}", source.path("customer/store").display());
    alga(&["copy", "1.0.3", &directory, "--store", &archive]).ends(0);
    alga(&["verify", "1.0.3", "--store", &directory, "--offline"]).ends(0);
    let Some(second) = DockerRegistry::start() else { return };
    let to = format!("{}/mirror/alga", second.address());
    let copied =
        alga(&["copy", "1.0.3", &to, "--store", &directory, "--rewrite-prefix", "--channel", "stable"]).ends(0);
    assert!(!copied.stderr.contains("not copied: image"), "{}", copied.stderr);
    alga(&["verify", "stable", "--store", &to]).ends(0);

    let release = resolve(&["resolve", "stable", "--store", &to]).ends(0).json();
    let rendered = resolve(&["render", "stable", "--store", &to, "--host", "alga.example"]).ends(0).stdout;
    for origin in &origins {
        assert!(!rendered.contains(origin), "{origin} in {rendered}");
    }
    helm_pulls_every_chart(&helm, &crane, &source, &to, &release);
    let bundle = source.path("bundle");
    let reference = format!(
        "{}@{}",
        release["config"]["repository"].as_str().expect("text"),
        release["config"]["digest"].as_str().expect("text")
    );
    stdout(Command::new(&flux).arg("pull").arg(&reference).arg(&bundle));
    let objects = built(&flux, &kubectl, &bundle);
    for object in &objects {
        let text = object.to_string();
        assert!(origins.iter().all(|origin| !text.contains(origin)), "{text}");
    }
    // All these images exist in the registry.
    let pulled = ["alga-appliance-tools:1.4.0", "alga-psa-ee:62cdce38"].map(|image| format!("{to}/{image}"));
    let redis = format!("{to}/external/{}/library/redis:7.4.1-alpine", origins[1].replace(':', "_"));
    for image in pulled.iter().chain([&redis, &release["controlPlane"].as_str().expect("text").to_owned()]) {
        stdout(Command::new(&crane).args(["validate", "--insecure", "--remote", image]));
    }
    assert!(objects.iter().any(|object| object.to_string().contains(&pulled[0])), "the cron job's image");
    assert!(rendered.contains(&redis) && rendered.contains(&format!("{to}/alga-psa-ee")), "{rendered}");
}
