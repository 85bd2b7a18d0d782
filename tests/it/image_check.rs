//! The images that a release names have to be built for the appliance's platform.

use serde_json::json;

use crate::support::images::{GZIP, INDEX, Image, MANIFEST, describe};
use crate::support::programs::{Run, Source};
use crate::support::published::{digest_of, publish, served, store, writes};
use crate::support::registry::{Action, Fault, Registry};

const CORE: &str = "org/alga-psa-ee";

/// Stores an image in the registry and returns its manifest.
fn put(registry: &Registry, repository: &str, tag: Option<&str>, architecture: &str) -> Vec<u8> {
    let (manifest, blobs) = Image::new(architecture, &[100]).oci(GZIP);
    for blob in blobs {
        registry.put_blob(repository, &digest_of(&blob), &blob);
    }
    registry.put_manifest(repository, tag, &digest_of(&manifest), MANIFEST, &manifest);
    manifest
}

/// Stores an index of images for these architectures and of one attestation, and returns the digest of the index.
fn put_index(registry: &Registry, repository: &str, tag: &str, architectures: &[&str]) -> String {
    let mut entries: Vec<_> = architectures
        .iter()
        .map(|architecture| {
            let mut entry = describe(MANIFEST, &put(registry, repository, None, architecture));
            entry["platform"] = json!({ "os": "linux", "architecture": architecture });
            entry
        })
        .collect();
    let mut statement = describe(MANIFEST, b"a statement");
    statement["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
    entries.push(statement);
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }).to_string();
    registry.put_manifest(repository, Some(tag), &digest_of(index.as_bytes()), INDEX, index.as_bytes());
    digest_of(index.as_bytes())
}

/// Starts a registry with all application images for `linux/amd64`, except the core image.
fn with_others() -> (Source, Registry) {
    let (source, registry) = (Source::new(), Registry::start());
    for (name, tag) in [("workflow-worker", "a2cbb43"), ("temporal-worker", "a2cbb43"), ("email-service", "61e4a00e")] {
        put(&registry, &format!("org/{name}"), Some(tag), "amd64");
    }
    (source, registry)
}

fn check(source: &Source, registry: &Registry, more: &[&str]) -> Run {
    publish(source, registry, "1.0.3", "nightly", &[&["--image-check", "require"], more].concat())
}

#[test]
fn everything_that_keeps_a_release_from_being_published_is_one_error() {
    let (source, registry) = (Source::new(), Registry::start());
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    crate::support::published::with_images(&source, &["1.0.4"]);
    for chart in ["ee/helm/email-service", "helm"] {
        source.append(&format!("{chart}/values.yaml"), "\nchanged: true\n");
    }
    registry.clear_log();
    let required = ["--image-check", "require"];
    for more in [&[][..], &["--dry-run"]] {
        let run = publish(&source, &registry, "1.0.4", "nightly", &[&required, more].concat()).ends(3);
        let run = run.says(&["6 problems keep the release from being published"]);
        let lines: Vec<&str> = run.stderr.lines().filter(|line| line.starts_with("  because: ")).collect();
        let missing = lines
            .iter()
            .filter(|line| line.contains("missing image ") && line.contains("the tag was not found"))
            .count();
        let other = lines.iter().filter(|line| line.contains("is already published with other content")).count();
        assert_eq!((lines.len(), missing, other), (6, 4, 2), "{}", run.stderr);
        let hints: Vec<&str> = run.stderr.lines().filter(|line| line.starts_with("hint: ")).collect();
        assert!(hints.len() == 1 && hints[0].contains("--image") && hints[0].contains("Chart.yaml"), "{hints:?}");
    }
    // Without the images, both charts are still named.
    let run = publish(&source, &registry, "1.0.4", "nightly", &[]).ends(3);
    run.says(&["2 problems keep", "chart email-service", "chart sebastian"]);
    assert_eq!(writes(&registry), 0);
}

#[test]
fn an_index_with_the_platform_is_pinned_as_the_index() {
    let (source, registry) = with_others();
    let digest = put_index(&registry, CORE, "62cdce38", &["arm64", "amd64"]);
    check(&source, &registry, &[]).ends(0);
    assert_eq!(
        served(&registry, "nightly")["imageDigests"]["algaCore"],
        format!("{}/alga-psa-ee@{digest}", store(&registry))
    );
}

#[test]
fn an_image_for_another_platform_is_refused_by_name_or_is_a_warning() {
    let reference = |registry: &Registry| format!("{}/alga-psa-ee:62cdce38 (algaCore)", store(registry));
    let (source, registry) = with_others();
    put(&registry, CORE, Some("62cdce38"), "arm64");
    let said = format!("wrong platform of the image {}: expected linux/amd64, found linux/arm64", reference(&registry));
    check(&source, &registry, &[]).ends(3).says(&[&said, "--image-check warn"]);
    assert_eq!(writes(&registry), 0);
    publish(&source, &registry, "1.0.3", "nightly", &["--image-check", "warn"]).ends(0).says(&[&said]);
    assert!(
        served(&registry, "nightly")["imageDigests"]["algaCore"].is_string(),
        "the image exists, so its digest is known"
    );

    let (source, registry) = with_others();
    put_index(&registry, CORE, "62cdce38", &["arm64", "s390x"]);
    let said = format!(
        "wrong platform of the image {}: expected linux/amd64, found linux/arm64, linux/s390x",
        reference(&registry)
    );
    check(&source, &registry, &[]).ends(3).says(&[&said]);
    check(&source, &registry, &["--platform", "linux/arm64"])
        .ends(3)
        .says(&["expected linux/arm64, found linux/amd64"]);
    check(&source, &registry, &["--platform", "amd64"]).ends(9);
    publish(&source, &registry, "1.0.3", "nightly", &["--image-check", "off"]).ends(0);
}

#[test]
fn the_control_plane_is_checked_for_the_platform_too() {
    let (source, registry) = with_others();
    put(&registry, CORE, Some("62cdce38"), "amd64");
    let plane = put(&registry, "org/alga-appliance-control-plane", Some("7"), "riscv64");
    let run = check(&source, &registry, &["--control-plane", "7"]).ends(3);
    run.says(&["alga-appliance-control-plane:7 (controlPlane): expected linux/amd64, found linux/riscv64"]);
    let pinned = digest_of(&plane);
    check(&source, &registry, &["--control-plane", &pinned]).ends(3).says(&["found linux/riscv64"]);
}

#[test]
fn an_image_with_a_missing_config_is_refused_by_name() {
    let (source, registry) = with_others();
    let (manifest, _) = Image::new("amd64", &[100]).oci(GZIP);
    registry.put_manifest(CORE, Some("62cdce38"), &digest_of(&manifest), MANIFEST, &manifest);
    let run = check(&source, &registry, &[]);
    assert_ne!(run.code, Some(0));
    run.says(&["cannot check the image", "alga-psa-ee:62cdce38 (algaCore)"]);
    assert_eq!(writes(&registry), 0);
}

#[test]
fn a_tag_that_was_not_looked_up_is_not_reported_as_missing() {
    let (source, registry) = with_others();
    put(&registry, "org/alga-appliance-control-plane", Some("1"), "amd64");
    let publish = |more: &[&str]| publish(&source, &registry, "1.0.3", "nightly", more);
    let off = publish(&["--image-check", "off", "--control-plane", "1"]).ends(3);
    let off = off.says(&["cannot pin the control plane", "the tag was not looked up because of `--image-check off`"]);
    assert!(!off.stderr.contains("not found") && !off.stderr.contains("not there"), "{}", off.stderr);
    let asked = |registry: &Registry| registry.lines().iter().any(|line| line.contains("control-plane"));
    assert!(!asked(&registry), "{:?}", registry.lines());
    let denied = Action::status(403, r#"{"errors":[{"code":"DENIED","message":"ask alice"}]}"#);
    registry.fail(Fault::every("GET", "alga-psa-ee/manifests", denied));
    let warned = publish(&["--image-check", "warn", "--dry-run"]).ends(0);
    let warned = warned.says(&[
        "1 image is known by tag only",
        "alga-psa-ee:62cdce38 (algaCore)",
        "could not be read",
        "ask alice",
    ]);
    assert!(!warned.stderr.contains("was not found"), "{}", warned.stderr);
    registry.heal();
    publish(&["--image-check", "warn", "--dry-run"])
        .ends(0)
        .says(&["1 image is known by tag only (the tag was not found): ", "(algaCore)"]);
    registry.clear_log();
    publish(&["--image-check", "off"]).ends(0);
    assert!(!registry.lines().iter().any(|line| line.contains("org/email-service/")), "{:?}", registry.lines());
}

#[test]
fn a_directory_reports_that_tags_of_other_registries_were_not_looked_up() {
    let source = Source::new();
    source.write("alga-release.yaml", "images: {algaCore: ghcr.io/acme/core, workflowWorker: ghcr.io/acme/w, emailService: ghcr.io/acme/e, temporalWorker: ghcr.io/acme/t}\n");
    let layout = source.layout();
    let arguments = ["--version", "1.0.3", "--channel", "nightly", "--store", &layout, "--image-check", "warn"];
    let run = source.publish(&arguments).ends(0);
    let run = run.says(&[
        "ghcr.io/acme/core:62cdce38 (algaCore)",
        "the store does not keep the image, and the tag was not looked up in the image's registry",
    ]);
    assert!(!run.stderr.contains("was not found"), "{}", run.stderr);
    let plane = ["--control-plane", "ghcr.io/acme/plane:1"];
    source
        .publish(&[&arguments[..], &plane].concat())
        .ends(3)
        .says(&["ghcr.io/acme/plane:1", "the tag was not looked up in the image's registry"]);
}
