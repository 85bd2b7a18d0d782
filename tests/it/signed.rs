//! Signed releases and channels, as the publisher writes them and as cosign reads them.

use alga_release::oci::Tag;
use alga_release::trust::{self, Accepted, Offer, Position, ReadFrom, SignatureBundle, Statement, Terms, Untrusted};
use serde_json::Value;

use crate::support::cosign::cosign;
use crate::support::docker_registry::DockerRegistry;
use crate::support::programs::{Run, Source, alga};
use crate::support::published::{RELEASES, bundles, manifest, publish, state, store, with_images, writes};
use crate::support::registry::{Quirks, Referrers, Registry, Setup};
use crate::support::require;
use crate::support::signed_channel::manifest as put_manifest;
use crate::support::trust::{Vendor, now, slices};

const REPOSITORIES: [&str; 7] = [
    "charts/email-service",
    "charts/sebastian",
    "charts/temporal",
    "charts/temporal-worker",
    "charts/workflow-worker",
    "alga-appliance-config",
    "alga-appliance-release",
];

/// Publishes a signed release to nightly.
fn published(vendor: &Vendor, source: &Source, registry: &Registry, version: &str) -> Run {
    publish(source, registry, version, "nightly", &slices(&vendor.flags(&["release", "nightly"])))
}

fn promote(vendor: &Vendor, registry: &Registry, keys: &[&str], more: &[&str]) -> Run {
    let flags = vendor.flags(keys);
    let at = store(registry);
    let arguments = ["promote", "--from", "nightly", "--to", "stable", "--store", &at];
    alga(&[&arguments[..], &slices(&flags), more].concat())
}

/// Decides as an appliance does that has followed the channel to `highest`.
fn followed(
    vendor: &Vendor,
    registry: &Registry,
    channel: &str,
    highest: Option<&Position>,
) -> Result<Accepted, Untrusted> {
    let layers = bundles(registry, channel);
    let layers: Vec<&[u8]> = layers.iter().map(|layer| &layer[..]).collect();
    let at = format!("{}/org", registry.url());
    let location = alga_release::oci::Location::parse(&at, true).expect("a store");
    let reader =
        alga_release::oci::ReadStore::open(&location, alga_release::oci::Options::default()).expect("a reader");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let channel: Tag = channel.parse().expect("a tag");
    let selector = alga_release::oci::Selector::Tag(channel.clone());
    let repository = "alga-appliance-release".parse().expect("a name");
    let resolved =
        runtime.block_on(alga_release::release::resolve(&reader, &repository, &selector)).expect("a release");
    let offer = Offer { record: resolved.record.as_ref(), layers: &layers };
    let (document, source) = (&vendor.document, ReadFrom::Registry);
    trust::accept(&offer, &Terms { document, channel: &channel, highest, floor: None, now: now(), source })
}

#[test]
fn a_signed_release_has_both_forms_of_signatures_and_the_channel_its_proof() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    published(&vendor, &source, &registry, "1.0.3").ends(0);
    for repository in REPOSITORIES {
        let repository = format!("org/{repository}");
        let tags = registry.tags(&repository);
        let version = tags.iter().find(|(tag, _)| tag.chars().next().is_some_and(|first| first.is_ascii_digit()));
        let (_, digest) = version.expect("a version");
        assert!(tags.contains_key(&format!("{}.sig", digest.replace(':', "-"))), "{repository}: {tags:?}");
    }
    let accepted = followed(&vendor, &registry, "nightly", None).expect("accepted");
    assert_eq!((accepted.statement.sequence, accepted.statement.previous.clone()), (1, None));
    assert_eq!(accepted.statement.release.to_string(), registry.tags(RELEASES)["1.0.3"]);
    with_images(&source, &["1.0.4"]);
    published(&vendor, &source, &registry, "1.0.4").ends(0);
    let next = followed(&vendor, &registry, "nightly", Some(&accepted.position())).expect("accepted");
    assert_eq!((next.statement.sequence, next.statement.previous), (2, Some(accepted.payload)));
    assert!(next.newer);
}

#[test]
fn an_unchanged_signed_release_is_neither_signed_nor_written_again() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    published(&vendor, &source, &registry, "1.0.3").ends(0);
    let before = state(&registry);
    registry.clear_log();
    published(&vendor, &source, &registry, "1.0.3").ends(0);
    assert_eq!((writes(&registry), state(&registry)), (0, before));
}

#[test]
fn a_signed_channel_moves_only_with_enough_signatures() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    published(&vendor, &source, &registry, "1.0.3").ends(0);
    let before = state(&registry);
    promote(&vendor, &registry, &["stable-a", "refresh"], &[])
        .ends(3)
        .says(&["the move of stable needs signatures by 2 keys of the role channel, found 1", "--sign-key"]);
    assert_eq!(state(&registry), before);
    promote(&vendor, &registry, &["stable-a", "stable-b", "refresh"], &[]).ends(0);
    let accepted = followed(&vendor, &registry, "stable", None).expect("accepted");
    assert_eq!((accepted.signers.len(), accepted.refreshed_by.len(), accepted.release_signers.len()), (2, 1, 1));
    with_images(&source, &["1.0.4"]);
    publish(&source, &registry, "1.0.4", "nightly", &[])
        .ends(3)
        .says(&["channel nightly is signed, and this move is not", "--trust FILE"]);
}

#[test]
fn a_channel_with_a_refresh_role_does_not_move_without_a_refresh() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    published(&vendor, &source, &registry, "1.0.3").ends(0);
    promote(&vendor, &registry, &["stable-a", "stable-b"], &[])
        .ends(3)
        .says(&["the move of stable needs signatures by 1 key of the role refresh, found 0"]);
    assert!(!registry.tags(RELEASES).contains_key("stable"));
}

#[test]
fn a_dry_run_signs_and_writes_nothing() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    published(&vendor, &source, &registry, "1.0.3").ends(0);
    let before = (state(&registry), std::fs::read(vendor.path("signed.json")).expect("a record"));
    promote(&vendor, &registry, &["stable-a", "stable-b"], &["--dry-run"]).ends(0);
    assert_eq!((state(&registry), std::fs::read(vendor.path("signed.json")).expect("a record")), before);
}

#[test]
fn a_number_that_was_signed_is_not_signed_again_when_the_store_has_lost_it() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    published(&vendor, &source, &registry, "1.0.3").ends(0);
    let first = followed(&vendor, &registry, "nightly", None).expect("accepted");
    for (tag, digest) in registry.tags(RELEASES) {
        if tag.starts_with("nightly") {
            registry.remove_tag(RELEASES, &tag);
            registry.remove_manifest(RELEASES, &digest);
        }
    }
    published(&vendor, &source, &registry, "1.0.3").ends(0);
    let again = followed(&vendor, &registry, "nightly", Some(&first.position())).expect("accepted");
    assert_eq!(again.statement.sequence, 2);
}

#[test]
fn nothing_is_signed_while_the_record_of_what_was_signed_is_damaged() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    published(&vendor, &source, &registry, "1.0.3").ends(0);
    with_images(&source, &["1.0.4"]);
    std::fs::write(vendor.path("signed.json"), "{").expect("written");
    let before = state(&registry);
    published(&vendor, &source, &registry, "1.0.4").ends(1).says(&["signed.json", "is damaged"]);
    assert_eq!((state(&registry), std::fs::read(vendor.path("signed.json")).expect("kept")), (before, b"{".to_vec()));
}

#[test]
fn a_damaged_entry_of_the_record_does_not_count_as_empty() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    published(&vendor, &source, &registry, "1.0.3").ends(0);
    with_images(&source, &["1.0.4"]);
    let path = vendor.path("signed.json");
    let record = std::fs::read_to_string(&path).expect("a record");
    let before = state(&registry);
    let damaged = record.replace("\"sequence\"", "\"sequenze\"");
    assert_ne!(damaged, record);
    std::fs::write(&path, &damaged).expect("written");
    published(&vendor, &source, &registry, "1.0.4").ends(1).says(&["signed.json", "cannot record the statement"]);
    assert_eq!((state(&registry), std::fs::read_to_string(&path).expect("kept")), (before, damaged));
}

#[test]
fn a_release_is_promoted_only_by_a_statement_of_the_channel_that_it_comes_from() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    published(&vendor, &source, &registry, "1.0.3").ends(0);
    let mut forged = manifest(&registry, "nightly");
    with_images(&source, &["1.0.4"]);
    published(&vendor, &source, &registry, "1.0.4").ends(0);
    // Whoever can write tags makes nightly serve the old release, which is signed, in a manifest without a statement.
    forged["layers"].as_array_mut().expect("layers").truncate(1);
    forged["annotations"]["vnd.alga.appliance.channel.sequence"] = "3".into();
    put_manifest(&registry, "nightly", &forged);
    let before = state(&registry);
    let keys = ["stable-a", "stable-b", "refresh"];
    promote(&vendor, &registry, &keys, &[]).ends(3).says(&["an appliance refuses it (unsigned)"]);
    assert_eq!(state(&registry), before);
}

#[test]
fn a_record_that_another_program_keeps_locked_ends_with_75_and_signs_nothing() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    let directory = std::fs::File::open(vendor.path("")).expect("the directory of the record");
    directory.lock().expect("a lock");
    published(&vendor, &source, &registry, "1.0.3").ends(75).says(&[
        "cannot record the statement before it is signed",
        "another program is writing the state",
        "run the command again",
    ]);
    assert!(!registry.tags(RELEASES).contains_key("nightly"));
    directory.unlock().expect("unlocked");
    published(&vendor, &source, &registry, "1.0.3").ends(0);
}

#[test]
fn a_withdrawn_release_is_not_promoted() {
    let (mut vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    published(&vendor, &source, &registry, "1.0.3").ends(0);
    vendor.document.version = 2;
    vendor.document.withdrawn.insert(registry.tags(RELEASES)["1.0.3"].parse().expect("a digest"));
    vendor.write();
    for more in [&[][..], &["--dry-run"]] {
        let keys = ["stable-a", "stable-b", "refresh"];
        promote(&vendor, &registry, &keys, more).ends(3).says(&["is withdrawn by the trust document"]);
    }
    assert!(!registry.tags(RELEASES).contains_key("stable"));
}

#[test]
fn a_key_without_a_role_signs_nothing() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    let stranger = Vendor::new();
    let flags = [vendor.flags(&["release"]), vec!["--sign-key".to_owned(), stranger.file("nightly.key")]].concat();
    publish(&source, &registry, "1.0.3", "nightly", &slices(&flags)).ends(3).says(&["nightly.key"]);
    assert_eq!(writes(&registry), 0);
    let flags = vendor.flags(&["nightly"]);
    publish(&source, &registry, "1.0.3", "nightly", &slices(&flags))
        .ends(3)
        .says(&["signatures by 1 key of the role release, found 0"]);
    assert_eq!(writes(&registry), 0);
}

#[test]
fn cosign_verifies_every_artifact_and_the_statement_of_the_channel() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    let (Some(second), Some(third), Some(docker)) = (require("cosign2"), require("cosign3"), DockerRegistry::start())
    else {
        return;
    };
    let (key, other) = (vendor.file("release.pub"), vendor.file("nightly.pub"));
    // cosign 2 asks for a root of trust wherever it finds a bundle, also when the key is given.
    let empty = r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#;
    std::fs::write(vendor.path("root.json"), empty).expect("written");
    let root = vendor.file("root.json");
    let root = ["--trusted-root", &root];
    source.without_images();
    // The first lists referrers, the second needs a tag that lists them.
    for address in [registry.address(), docker.address().to_owned()] {
        let (flags, at) = (vendor.flags(&["release", "nightly"]), format!("{address}/org"));
        let arguments = ["--version", "1.0.3", "--channel", "nightly", "--store", &at];
        let report = source.publish(&[&arguments[..], &["--output", "json"], &slices(&flags)].concat()).ends(0).json();
        let artifacts = report["artifacts"].as_array().expect("a list");
        assert_eq!(artifacts.len(), REPOSITORIES.len());
        for artifact in artifacts {
            let text = |key: &str| artifact[key].as_str().expect("text");
            let reference = format!("{at}/{}@{}", text("repository"), text("digest"));
            for (program, more) in [(&second, &root[..]), (&third, &[])] {
                let verifies = |key: &str| cosign(program, "verify", key, &[&[reference.as_str()], more].concat());
                assert_eq!(verifies(&key), Ok(()), "{reference}");
                assert!(verifies(&other).is_err(), "{reference}");
            }
        }
    }
    std::fs::write(vendor.path("statement.json"), &bundles(&registry, "nightly")[0]).expect("written");
    let (bundle, release) = (vendor.file("statement.json"), registry.tags(RELEASES)["1.0.3"].clone());
    let statement = |digest: &str| {
        let predicate = ["--type", trust::CHANNEL_PREDICATE, "--digest", digest, "--digestAlg", "sha256"];
        cosign(&third, "verify-blob-attestation", &other, &[&["--bundle", &bundle], &predicate[..]].concat())
    };
    assert_eq!(statement(&release[7..]), Ok(()));
    assert!(statement(&"0".repeat(64)).is_err(), "cosign 3 verifies the statement for another release");
}

#[test]
fn cosign_verifies_the_older_form_where_no_bundle_is_listed() {
    let (vendor, source) = (Vendor::new(), Source::new());
    let quirks = Quirks { referrers: Referrers::Absent, ..Quirks::default() };
    let registry = Registry::with(Setup { quirks, ..Setup::default() });
    let (Some(second), Some(third)) = (require("cosign2"), require("cosign3")) else { return };
    published(&vendor, &source, &registry, "1.0.3").ends(0);
    let digest = registry.tags(RELEASES)["1.0.3"].clone();
    let reference = format!("{}@{digest}", format_args!("{}/{RELEASES}", registry.address()));
    let listed = digest.replace(':', "-");
    assert!(registry.tags(RELEASES).contains_key(&listed), "the registry lists no referrers itself");
    registry.remove_tag(RELEASES, &listed);
    for program in [&second, &third] {
        assert_eq!(cosign(program, "verify", &vendor.file("release.pub"), &[&reference]), Ok(()));
        assert!(cosign(program, "verify", &vendor.file("nightly.pub"), &[&reference]).is_err());
    }
}

#[test]
fn the_statements_of_a_channel_are_in_the_order_of_the_key_ids() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    published(&vendor, &source, &registry, "1.0.3").ends(0);
    promote(&vendor, &registry, &["stable-b", "stable-a", "refresh"], &[]).ends(0);
    let layers = bundles(&registry, "stable");
    let kinds: Vec<Statement> = layers
        .iter()
        .map(|bytes| Statement::parse(SignatureBundle::parse(bytes).expect("a bundle").payload()).expect("a statement"))
        .collect();
    let [Statement::Channel(first), Statement::Channel(second), Statement::Refresh(_), Statement::Artifact(_)] =
        &kinds[..]
    else {
        panic!("{kinds:?}")
    };
    assert_eq!(first, second);
    let hint = |bytes: &[u8]| -> Value {
        serde_json::from_slice::<Value>(bytes).expect("JSON")["verificationMaterial"].clone()
    };
    let keys = ["stable-a", "stable-b"].map(|name| vendor.key(name).key().id());
    let mut sorted = keys;
    sorted.sort();
    for (layer, key) in layers.iter().zip(sorted) {
        assert_eq!(hint(layer)["publicKey"]["hint"], key.to_hint());
    }
}
