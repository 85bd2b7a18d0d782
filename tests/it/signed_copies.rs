//! Copies of signed releases: a signed channel is carried byte for byte through any kind of store, and copies that are
//! rewritten are signed anew or not at all.

use serde_json::{Value, json};

use crate::support::cosign::cosign;
use crate::support::programs::{Run, Source, alga, resolve};
use crate::support::published::{RELEASES, manifest, publish, state, store, with_images, writes};
use crate::support::registry::Registry;
use crate::support::require;
use crate::support::trust::{Vendor, slices};

/// A vendor whose release 1.0.3 is in nightly and in stable, as move 1 of each.
struct Origin {
    vendor: Vendor,
    source: Source,
    registry: Registry,
}

impl Origin {
    fn new() -> Self {
        let origin = Self { vendor: Vendor::new(), source: Source::new(), registry: Registry::start() };
        origin.publish("1.0.3");
        origin
    }

    fn publish(&self, version: &str) {
        with_images(&self.source, &[version]);
        let flags = self.vendor.flags(&["release", "nightly"]);
        publish(&self.source, &self.registry, version, "nightly", &slices(&flags)).ends(0);
        self.promote();
    }

    fn promote(&self) {
        let flags = self.vendor.flags(&["stable-a", "stable-b", "refresh"]);
        let at = store(&self.registry);
        let arguments = ["promote", "--from", "nightly", "--to", "stable", "--store", &at];
        alga(&[&arguments[..], &slices(&flags)].concat()).ends(0);
    }

    fn copy(&self, to: &str, more: &[&str]) -> Run {
        copy(&store(&self.registry), "stable", to, &[&["--channel", "stable"], more].concat())
    }

    fn trust(&self) -> [String; 2] {
        ["--trust".to_owned(), self.vendor.file("trust.json")]
    }

    fn archive(&self, name: &str) -> String {
        format!("oci-archive:{}", self.source.path(name).display())
    }

    fn layout(&self, name: &str) -> String {
        format!("oci-layout:{}", self.source.path(name).display())
    }
}

fn copy(from: &str, reference: &str, to: &str, more: &[&str]) -> Run {
    alga(&[&["copy", reference, to, "--store", from, "--retry-for", "0"], more].concat())
}

/// Returns the digest of the manifest of a channel.
fn channel(registry: &Registry, name: &str) -> String {
    registry.tags(RELEASES)[name].clone()
}

#[test]
fn a_signed_channel_is_carried_byte_for_byte_from_registry_to_registry_over_media() {
    let (origin, mirror) = (Origin::new(), Registry::start());
    let (archive, layout) = (origin.archive("a.tar"), origin.layout("media"));
    let trust = origin.trust();
    // No signing key is given anywhere.
    origin.copy(&archive, &[]).ends(0).prints(&["stable"]);
    copy(&archive, "stable", &layout, &["--channel", "stable"]).ends(0);
    copy(&layout, "stable", &origin.archive("b.tar"), &["--channel", "stable"]).ends(0);
    copy(&origin.archive("b.tar"), "stable", &store(&mirror), &["--channel", "stable"]).ends(0);
    let manifest_of = |registry: &Registry| registry.manifest(RELEASES, "stable").expect("a manifest");
    assert_eq!(manifest_of(&mirror), manifest_of(&origin.registry));
    let kept = |registry: &Registry| -> Vec<String> {
        registry.tags(RELEASES).into_keys().filter(|tag| tag.starts_with("stable-")).collect()
    };
    assert_eq!(kept(&mirror), kept(&origin.registry));
    // On another machine, without a network, an appliance verifies what the media say.
    let appliance = tempfile::tempdir().expect("a directory");
    for (number, store) in [&archive, &layout].into_iter().enumerate() {
        let state = appliance.path().join(format!("state-{number}.json")).display().to_string();
        let flags = ["--store", store, "--state", &state, &trust[0], &trust[1]];
        let run = resolve(&[&["resolve", "stable", "--output", "json"], &flags[..]].concat()).ends(0).json();
        assert_eq!((&run["version"], &run["trust"]["sequence"]), (&json!("1.0.3"), &json!(1)));
        alga(&["verify", "stable", "--store", store, "--offline", &trust[0], &trust[1]]).ends(0);
    }
    let at = store(&mirror);
    alga(&["verify", "stable", "--store", &at, "--prefix", &store(&origin.registry), &trust[0], &trust[1]]).ends(0);
    let flags =
        ["--store", &at, "--state", &appliance.path().join("state-0.json").display().to_string(), &trust[0], &trust[1]];
    let resolved = resolve(&[&["resolve", "stable"], &flags[..]].concat()).ends(0);
    assert!(resolved.stdout.contains(&format!("{}/alga-appliance-config", store(&origin.registry))));
}

#[test]
fn a_copy_follows_the_source_and_never_goes_back() {
    let (origin, mirror) = (Origin::new(), Registry::start());
    let at = store(&mirror);
    let old = origin.archive("old.tar");
    origin.copy(&old, &[]).ends(0);
    origin.copy(&at, &[]).ends(0);
    mirror.clear_log();
    origin.copy(&at, &[]).ends(0).prints(&["nothing to do"]);
    assert_eq!(writes(&mirror), 0);
    origin.publish("1.0.4");
    origin.copy(&at, &["--dry-run"]).ends(0);
    assert_ne!(channel(&mirror, "stable"), channel(&origin.registry, "stable"));
    origin.copy(&at, &[]).ends(0);
    assert_eq!(channel(&mirror, "stable"), channel(&origin.registry, "stable"));
    let before = state(&mirror);
    copy(&old, "stable", &at, &["--channel", "stable"])
        .ends(3)
        .says(&["channel stable of the target has statement 2 of epoch 1, and the copy has statement 1 of epoch 1"]);
    assert_eq!(state(&mirror), before);
    let report = origin.copy(&at, &["--output", "json"]).ends(0).json();
    assert_eq!((&report["channel"]["moves"], &report["channel"]["sequence"]), (&json!(false), &json!(2)));
}

#[test]
fn two_statements_with_one_number_are_reported() {
    let (origin, mirror) = (Origin::new(), Registry::start());
    origin.copy(&store(&mirror), &[]).ends(0);
    let before = state(&mirror);
    // The publisher has lost its record and the tags of the channel, and signs move 1 a second time.
    for (tag, digest) in origin.registry.tags(RELEASES) {
        if tag.starts_with("stable") {
            origin.registry.remove_tag(RELEASES, &tag);
            origin.registry.remove_manifest(RELEASES, &digest);
        }
    }
    std::fs::remove_file(origin.vendor.path("signed.json")).expect("removed");
    let flags = origin.vendor.flags(&["stable-a", "stable-b", "refresh"]);
    let at = store(&origin.registry);
    let arguments = ["promote", "--from", "nightly", "--to", "stable", "--store", &at, "--reason", "again"];
    alga(&[&arguments[..], &slices(&flags)].concat()).ends(0);
    origin
        .copy(&store(&mirror), &[])
        .ends(3)
        .says(&["channel stable of the target has another statement with the number 1 of epoch 1", "may be stolen"]);
    assert_eq!(state(&mirror), before);
}

#[test]
fn with_a_trust_document_a_copy_verifies_the_source_first() {
    let (mut origin, mirror) = (Origin::new(), Registry::start());
    let other = Vendor::new();
    let at = store(&mirror);
    let stranger = ["--trust".to_owned(), other.file("trust.json")];
    origin.copy(&at, &slices(&stranger)).ends(3).says(&["the channel stable of the source is refused (unknown-key)"]);
    copy(&store(&origin.registry), "1.0.3", &at, &slices(&stranger))
        .ends(3)
        .says(&["a key of the role release did not sign the chart"]);
    assert!(mirror.repositories().is_empty());
    let trust = origin.trust();
    origin.copy(&at, &slices(&trust)).ends(0);
    origin.vendor.document.version = 2;
    origin.vendor.document.withdrawn.insert(origin.registry.tags(RELEASES)["1.0.3"].parse().expect("a digest"));
    origin.vendor.write();
    origin.copy(&store(&Registry::start()), &slices(&trust)).ends(3).says(&["refused (withdrawn)"]);
}

#[test]
fn an_unsigned_channel_and_a_channel_of_another_name_are_copied_as_a_move() {
    let (source, registry, mirror) = (Source::new(), Registry::start(), Registry::start());
    publish(&source, &registry, "1.0.3", "stable", &[]).ends(0);
    let archive = format!("oci-archive:{}", source.path("x.tar").display());
    copy(&store(&registry), "stable", &archive, &["--channel", "stable"]).ends(9).says(&["no channels"]);
    let target = source.layout();
    copy(&store(&registry), "stable", &target, &["--channel", "stable"]).ends(0);
    let origin = Origin::new();
    let report = copy(
        &store(&origin.registry),
        "nightly",
        &origin.layout("other"),
        &["--channel", "stable", "--output", "json"],
    );
    assert_eq!(
        report.ends(0).json()["plan"]["actions"].as_array().expect("a list").last().expect("a move")["kind"],
        "copy"
    );
    origin.copy(&store(&mirror), &[]).ends(0);
    // A version is not a move of the source, so the move has to be signed.
    let rewritten =
        copy(&store(&origin.registry), "1.0.3", &store(&mirror), &["--channel", "stable", "--rewrite-prefix"]);
    rewritten.ends(3);
}

#[test]
fn a_rewritten_copy_of_a_signed_release_is_signed_anew_or_not_at_all() {
    let (origin, mirror) = (Origin::new(), Registry::start());
    let (from, at) = (store(&origin.registry), format!("{}/mirror", mirror.address()));
    let rewrite =
        |more: &[&str]| copy(&from, "stable", &at, &[&["--rewrite-prefix", "--channel", "stable"], more].concat());
    rewrite(&[]).ends(3).says(&[
        "the release is signed, and `--rewrite-prefix` changes",
        "--sign-key FILE",
        "--drop-signatures",
    ]);
    assert!(mirror.repositories().is_empty());
    let own = Vendor::new();
    let flags = own.flags(&["release", "stable-a", "stable-b", "refresh"]);
    rewrite(&slices(&flags)).ends(3).says(&["no trust document of the source verifies it", "--source-trust FILE"]);
    assert!(mirror.repositories().is_empty());
    let source_trust = ["--source-trust", &origin.vendor.file("trust.json")];
    rewrite(&[&slices(&flags)[..], &source_trust].concat()).ends(0);
    let trust = ["--trust".to_owned(), own.file("trust.json")];
    alga(&[&["verify", "stable", "--store", &at], &slices(&trust)[..]].concat()).ends(0);
    let resolved = resolve(&[&["resolve", "stable", "--store", &at], &slices(&trust)[..]].concat()).ends(0);
    assert!(resolved.stdout.contains(&format!("{at}/alga-appliance-config")), "{}", resolved.stdout);
    let unsigned = Registry::start();
    let to = format!("{}/mirror", unsigned.address());
    copy(&from, "stable", &to, &["--rewrite-prefix", "--channel", "stable", "--drop-signatures"]).ends(0);
    alga(&["verify", "stable", "--store", &to]).ends(0);
    assert_eq!(layers(&unsigned), 1);
}

#[test]
fn the_source_is_verified_before_its_signatures_are_replaced_or_dropped() {
    let (origin, mirror) = (Origin::new(), Registry::start());
    let (own, stranger) = (Vendor::new(), Vendor::new());
    let (from, at) = (store(&origin.registry), format!("{}/mirror", mirror.address()));
    let keys = own.flags(&["release", "stable-a", "stable-b", "refresh"]);
    let trust = |flag: &str, vendor: &Vendor| vec![flag.to_owned(), vendor.file("trust.json")];
    let rewrite = |reference: &str, more: &[String]| {
        let flags = ["--rewrite-prefix", "--channel", "stable"];
        copy(&from, reference, &at, &[&flags, &slices(more)[..]].concat())
    };
    let dropped = |more: Vec<String>| [vec!["--drop-signatures".to_owned()], more].concat();
    let promote = |more: &[String]| {
        let flags = ["--from", "stable", "--to", "stable", "--store", &from, "--to-store", &at, "--rewrite-prefix"];
        alga(&[&["promote"], &flags[..], &slices(more)].concat())
    };
    let by_stranger = [keys.clone(), trust("--source-trust", &stranger)].concat();
    for more in [by_stranger.clone(), dropped(trust("--source-trust", &stranger)), dropped(trust("--trust", &stranger))]
    {
        rewrite("stable", &more).ends(3).says(&["an appliance refuses it (unknown-key)"]);
        rewrite("1.0.3", &more).ends(3).says(&["a key of the role release did not sign the chart"]);
        promote(&more).ends(3).says(&["an appliance refuses it (unknown-key)"]);
    }
    promote(&keys).ends(3).says(&["no trust document of the source verifies it", "--source-trust FILE"]);
    assert!(mirror.repositories().is_empty());
    promote(&dropped(trust("--trust", &origin.vendor))).ends(0);
    assert_eq!(layers(&mirror), 1);
}

#[test]
fn dropping_the_signatures_removes_their_check_under_the_same_prefix_too() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    source.append("alga-release.yaml", "signing: {flux: true}\n");
    let flags = vendor.flags(&["release", "nightly"]);
    publish(&source, &registry, "1.0.3", "nightly", &slices(&flags)).ends(0);
    let (from, to) = (store(&registry), format!("oci-layout:{}", source.path("media").display()));
    let prefix = format!("--rewrite-prefix={from}");
    copy(&from, "nightly", &to, &[&prefix, "--channel", "nightly", "--drop-signatures"]).ends(0);
    let rendered = resolve(&["render", "nightly", "--store", &to, "--host", "alga.example"]).ends(0).stdout;
    assert!(rendered.contains(&format!("{from}/alga-appliance-config")), "{rendered}");
    assert!(!rendered.contains("verify:") && !rendered.contains("kind: Secret"), "{rendered}");
    alga(&["verify", "nightly", "--store", &to]).ends(0);
}

#[test]
fn a_copy_without_signatures_is_rendered_without_a_trust_document() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    source.append("alga-release.yaml", "signing: {flux: true}\n");
    let flags = vendor.flags(&["release", "nightly"]);
    publish(&source, &registry, "1.0.3", "nightly", &slices(&flags)).ends(0);
    let render = |at: &str| resolve(&["render", "nightly", "--store", at, "--host", "alga.example"]);
    render(&store(&registry)).ends(3).says(&["no trust document says by which keys"]);
    let mirror = Registry::start();
    let to = format!("{}/mirror", mirror.address());
    let more = ["--rewrite-prefix", "--channel", "nightly", "--drop-signatures"];
    copy(&store(&registry), "nightly", &to, &more).ends(0);
    let rendered = render(&to).ends(0).stdout;
    assert!(rendered.contains(&format!("{to}/alga-appliance-config")), "{rendered}");
    assert!(!rendered.contains("verify:") && !rendered.contains("kind: Secret"), "{rendered}");
    // Verification passes, because the release and the sources of the bundle agree.
    alga(&["verify", "nightly", "--store", &to]).ends(0);
}

/// Reports whether a publication signs the artifacts of a repository. Images are signed by their builders.
fn is_signed(repository: &str) -> bool {
    repository.contains("charts/") || repository.ends_with("-config") || repository.ends_with("-release")
}

/// Counts the layers of stable below `mirror/`.
fn layers(registry: &Registry) -> usize {
    let (_, bytes) = registry.manifest("mirror/alga-appliance-release", "stable").expect("a manifest");
    let manifest: Value = serde_json::from_slice(&bytes).expect("JSON");
    manifest["layers"].as_array().expect("layers").len()
}

#[test]
fn a_copy_is_signed_beside_the_signatures_that_it_carries_and_cosign_verifies_both() {
    let (origin, mirror) = (Origin::new(), Registry::start());
    let (own, at) = (Vendor::new(), store(&mirror));
    let flags = [own.flags(&["release"]), vec!["--sign".to_owned()]].concat();
    copy(&store(&origin.registry), "1.0.3", &at, &slices(&flags)).ends(0);
    let before = state(&mirror);
    copy(&store(&origin.registry), "1.0.3", &at, &slices(&flags)).ends(0).prints(&["nothing to do"]);
    assert_eq!(state(&mirror), before);
    for vendor in [&origin.vendor, &own] {
        let trust = ["--trust".to_owned(), vendor.file("trust.json")];
        let prefix = store(&origin.registry);
        alga(&[&["verify", "1.0.3", "--store", &at, "--prefix", &prefix], &slices(&trust)[..]].concat()).ends(0);
    }
    let (Some(second), Some(third)) = (require("cosign2"), require("cosign3")) else { return };
    // cosign 2 asks for a root of trust wherever it finds a bundle, also when the key is given.
    let empty = r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#;
    std::fs::write(own.path("root.json"), empty).expect("written");
    let root = own.file("root.json");
    for repository in mirror.repositories().into_iter().filter(|name| is_signed(name)) {
        let digest =
            mirror.tags(&repository).into_iter().find(|(tag, _)| tag.starts_with(|first: char| first.is_ascii_digit()));
        let reference = format!("{}/{repository}@{}", mirror.address(), digest.expect("a version").1);
        for vendor in [&origin.vendor, &own] {
            let key = vendor.file("release.pub");
            assert_eq!(cosign(&second, "verify", &key, &[&reference, "--trusted-root", &root]), Ok(()), "{reference}");
            assert_eq!(cosign(&third, "verify", &key, &[&reference]), Ok(()), "{reference}");
        }
    }
}

#[test]
fn a_copied_channel_keeps_its_signatures_for_cosign() {
    let (origin, mirror) = (Origin::new(), Registry::start());
    origin.copy(&store(&mirror), &[]).ends(0);
    let Some(third) = require("cosign3") else { return };
    let key = origin.vendor.file("release.pub");
    for repository in mirror.repositories().into_iter().filter(|name| is_signed(name)) {
        let digest =
            mirror.tags(&repository).into_iter().find(|(tag, _)| tag.starts_with(|first: char| first.is_ascii_digit()));
        let reference = format!("{}/{repository}@{}", mirror.address(), digest.expect("a version").1);
        assert_eq!(cosign(&third, "verify", &key, &[&reference]), Ok(()), "{reference}");
    }
    assert_eq!(manifest(&mirror, "stable"), manifest(&origin.registry, "stable"));
}
