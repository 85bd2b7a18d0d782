//! The commands that read say who signed a release, and what the verifiers in the field do with its signatures.

use alga_release::oci::Digest;
use alga_release::oci::media_type::SIGSTORE_BUNDLE;
use alga_release::signing::PrivateKey;
use alga_release::trust::{ARTIFACT_PREDICATE, Claim, SignatureBundle, Statement, statement_message};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::schemas;
use crate::support::cosign::cosign;
use crate::support::programs::{Run, Source, alga};
use crate::support::published::{RELEASES, digest_of, publish, store, with_images, writes};
use crate::support::registry::{Quirks, Referrers, Registry, Setup};
use crate::support::require;
use crate::support::signed_channel::bundle;
use crate::support::trust::{Vendor, slices};

const BUNDLES: &str = "org/alga-appliance-config";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CLAIM: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

fn published(vendor: &Vendor, source: &Source, registry: &Registry) {
    publish(source, registry, "1.0.3", "nightly", &slices(&vendor.flags(&["release", "nightly"]))).ends(0);
}

fn verify(vendor: &Vendor, registry: &Registry, reference: &str, more: &[&str]) -> Run {
    let flags = ["--store", &store(registry), "--trust", &vendor.file("trust.json")];
    alga(&[&["verify", reference], &flags[..], more].concat())
}

/// Returns the checks of one aspect: kind, name, outcome.
fn checks(report: &Value, aspect: &str) -> Vec<(String, String, String)> {
    let word = |check: &Value, key: &str| check[key].as_str().expect("text").to_owned();
    let checks = report["releases"][0]["checks"].as_array().expect("checks").iter();
    let checks = checks.filter(|check| check["aspect"] == aspect);
    checks.map(|check| (word(check, "kind"), word(check, "name"), word(check, "outcome"))).collect()
}

fn bundle_digest(registry: &Registry) -> String {
    registry.tags(BUNDLES)["1.0.3"].clone()
}

#[test]
fn verification_names_the_signers_and_the_statement_of_the_channel() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    published(&vendor, &source, &registry);
    registry.clear_log();
    let run = verify(&vendor, &registry, "nightly", &["--output", "json"]).ends(0);
    let report = run.json();
    assert_eq!(writes(&registry), 0);
    schemas::valid("verify.json", &report);
    let signed = checks(&report, "signed");
    let ok = |kind: &str, name: &str| (kind.to_owned(), name.to_owned(), "ok".to_owned());
    for (kind, name) in [
        ("channel", "nightly"),
        ("release", "1.0.3"),
        ("bundle", "alga-appliance-config"),
        ("chart", "sebastian"),
        ("chart", "temporal"),
        ("chart", "temporal-worker"),
        ("chart", "workflow-worker"),
        ("chart", "email-service"),
    ] {
        assert!(signed.contains(&ok(kind, name)), "{kind} {name}: {signed:?}");
    }
    assert_eq!(checks(&report, "verifiers").len(), 7);
    let id = |key: &str| vendor.key(key).key().id().to_string();
    let statement = &report["releases"][0]["statement"];
    assert_eq!(
        (&statement["signers"], &statement["releaseSigners"]),
        (&json!([id("nightly")]), &json!([id("release")]))
    );
    assert_eq!(
        (&statement["sequence"], &statement["threshold"], &statement["epoch"]),
        (&json!(1), &json!(1), &json!(1))
    );
    let all = report["releases"][0]["checks"].as_array().expect("checks");
    let chart = all.iter().find(|check| check["kind"] == "chart" && check["aspect"] == "signed").expect("a check");
    assert_eq!(
        chart["signed"]["signers"],
        json!([{"key": id("release"), "role": "release", "forms": ["sig", "bundle"]}])
    );
    let verifiers = chart["signed"]["verifiers"].as_array().expect("verifiers");
    assert!(verifiers.iter().all(|one| one["verdict"] == "accepts") && verifiers.len() == 3, "{verifiers:?}");
    assert_eq!(report["signatures"]["trustVersion"], 1);
    let (channel, release) = (vendor.key("nightly").key().id().short(), vendor.key("release").key().id().short());
    verify(&vendor, &registry, "nightly", &[]).ends(0).prints(&[
        "  signed: statement 1 (epoch 1), issued ",
        &format!(" by {channel} (channel, 1 of 1)\n"),
        &format!("  signed: 7 artifacts by {release} (release)\n"),
    ]);
    verify(&vendor, &registry, "nightly", &["-v"]).ends(0).prints(&[
        &format!("signed by {release} (release): sig, bundle"),
        "Flux 2.8 and later: the chart is accepted by the signature bundle",
    ]);
    verify(&vendor, &registry, "1.0.3", &[]).ends(0).prints(&[&format!("signed: 7 artifacts by {release} (release)")]);
    let flags = ["--all-channels", "--store", &store(&registry), "--trust", &vendor.file("trust.json")];
    alga(&[&["verify"], &flags[..]].concat()).ends(0).prints(&["signed: statement 1"]);
}

#[test]
fn without_a_trust_document_a_signed_channel_is_whole_and_its_signatures_are_not_verified() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    published(&vendor, &source, &registry);
    let run = alga(&["verify", "nightly", "--store", &store(&registry), "--output", "json", "-v"]).ends(0);
    run.says(&["signatures of nightly: not verified: no trust document"]);
    let report = alga(&["verify", "nightly", "--store", &store(&registry), "--output", "json"]).ends(0).json();
    schemas::valid("verify.json", &report);
    assert_eq!(report["signatures"], json!({ "verified": false, "reason": "not verified: no trust document" }));
    assert!(checks(&report, "signed").is_empty());
}

#[test]
fn an_artifact_without_a_signature_by_the_release_role_fails_verification() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    let run = verify(&vendor, &registry, "nightly", &["--output", "json"]).ends(3);
    schemas::valid("verify.json", &run.json());
    let signed = checks(&run.json(), "signed");
    assert_eq!(signed.len(), 8, "{signed:?}");
    assert!(signed.iter().all(|(_, _, outcome)| outcome == "failed"), "{signed:?}");
    verify(&vendor, &registry, "nightly", &[]).ends(3).prints(&[
        "an appliance refuses it (unsigned): the channel is not signed",
        "a key of the role release did not sign the chart: it has no signature",
    ]);
    let (other, registry) = (Vendor::new(), Registry::start());
    publish(&source, &registry, "1.0.3", "nightly", &slices(&other.flags(&["release", "nightly"]))).ends(0);
    verify(&vendor, &registry, "nightly", &[]).ends(3).prints(&[
        "an appliance refuses it (unknown-key)",
        "a key of the role release did not sign the bundle: others signed it",
    ]);
}

#[test]
fn an_expired_statement_and_a_withdrawn_release_fail_verification() {
    let (mut vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    published(&vendor, &source, &registry);
    vendor.document.version = 2;
    vendor.document.withdrawn.insert(registry.tags(RELEASES)["1.0.3"].parse().expect("a digest"));
    vendor.write();
    for reference in ["nightly", "1.0.3"] {
        let run = verify(&vendor, &registry, reference, &[]).ends(3);
        run.prints(&["an appliance refuses it (withdrawn): the release sha256:"]);
    }
}

/// Stores a bundle as a referrer of the config bundle.
fn attach(registry: &Registry, bytes: &[u8]) {
    let subject = bundle_digest(registry);
    let (_, of_subject) = registry.manifest(BUNDLES, &subject).expect("a manifest");
    let blob = |media_type: &str, bytes: &[u8]| {
        registry.put_blob(BUNDLES, &digest_of(bytes), bytes);
        json!({ "mediaType": media_type, "digest": digest_of(bytes), "size": bytes.len() })
    };
    let (config, layer) = (blob("application/vnd.oci.empty.v1+json", b"{}"), blob(SIGSTORE_BUNDLE, bytes));
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": SIGSTORE_BUNDLE, "config": config, "layers": [layer],
        "subject": { "mediaType": MANIFEST, "digest": subject, "size": of_subject.len() },
        "annotations": { "dev.sigstore.bundle.content": "dsse-envelope",
                         "dev.sigstore.bundle.predicateType": ARTIFACT_PREDICATE },
    });
    let bytes = manifest.to_string().into_bytes();
    registry.put_manifest(BUNDLES, None, &digest_of(&bytes), MANIFEST, &bytes);
}

/// Removes every bundle that refers to the config bundle.
fn detach(registry: &Registry) {
    let subject = bundle_digest(registry);
    for digest in registry.manifests(BUNDLES) {
        let (_, bytes) = registry.manifest(BUNDLES, &digest).expect("a manifest");
        let manifest: Value = serde_json::from_slice(&bytes).expect("JSON");
        if manifest["subject"]["digest"] == subject.as_str() {
            registry.remove_manifest(BUNDLES, &digest);
        }
    }
}

fn sig_tag(registry: &Registry) -> String {
    format!("{}.sig", bundle_digest(registry).replace(':', "-"))
}

/// Stores claims as the signatures of the older form.
fn put_claims(registry: &Registry, layers: &[(Vec<u8>, Vec<u8>)]) {
    let layers: Vec<Value> = layers
        .iter()
        .map(|(payload, signature)| {
            registry.put_blob(BUNDLES, &digest_of(payload), payload);
            json!({ "mediaType": CLAIM, "digest": digest_of(payload), "size": payload.len(),
                    "annotations": { "dev.cosignproject.cosign/signature": BASE64_STANDARD.encode(signature) } })
        })
        .collect();
    let config = br#"{"architecture":"","os":"","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#;
    registry.put_blob(BUNDLES, &digest_of(config), config);
    let config = json!({ "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(config), "size": config.len() });
    let image = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
    let bytes = image.to_string().into_bytes();
    registry.put_manifest(BUNDLES, Some(&sig_tag(registry)), &digest_of(&bytes), MANIFEST, &bytes);
}

fn claim(key: &PrivateKey, digest: &Digest) -> (Vec<u8>, Vec<u8>) {
    let payload = Claim { reference: "r.io/x".to_owned(), digest: digest.clone() }.to_bytes();
    let signature = key.sign(&payload);
    (payload, signature)
}

/// A statement about several artifacts, which this project never writes.
fn statement(predicate: &str, digests: &[&Digest]) -> Vec<u8> {
    let subjects: Vec<Value> = digests.iter().map(|digest| json!({ "digest": { "sha256": digest.hex() } })).collect();
    json!({ "_type": "https://in-toto.io/Statement/v1", "subject": subjects, "predicateType": predicate, "predicate": {} })
        .to_string()
        .into_bytes()
}

/// One state of the signatures of the config bundle, what `verify` says about it, and what cosign must say.
struct Trap {
    name: &'static str,
    set: fn(&Vendor, &Registry),
    /// Whether a key of the role release signed, by our rules.
    signed: bool,
    /// The decision about newer versions of Flux and cosign; `None` where none is told.
    newer: Option<bool>,
}

const TRAPS: [Trap; 9] = [
    Trap { name: "both forms", set: |_, _| {}, signed: true, newer: Some(true) },
    Trap { name: "the older form alone", set: |_, registry| detach(registry), signed: true, newer: Some(true) },
    Trap {
        name: "the bundle alone",
        set: |_, registry| registry.remove_tag(BUNDLES, &sig_tag(registry)),
        signed: true,
        newer: Some(true),
    },
    Trap {
        name: "a bundle by another key, and ours",
        set: |_, registry| {
            let digest = bundle_digest(registry).parse().expect("a digest");
            attach(registry, &bundle(&Statement::Artifact(digest).to_payload(), &PrivateKey::generate()));
        },
        signed: true,
        newer: Some(true),
    },
    Trap {
        name: "a bundle by another key, and the older form by ours",
        set: |_, registry| {
            detach(registry);
            let digest = bundle_digest(registry).parse().expect("a digest");
            attach(registry, &bundle(&Statement::Artifact(digest).to_payload(), &PrivateKey::generate()));
        },
        signed: true,
        newer: Some(false),
    },
    Trap {
        name: "a bundle with the ID of our key",
        set: |vendor, registry| {
            detach(registry);
            let digest = bundle_digest(registry).parse().expect("a digest");
            let ours = bundle(&Statement::Artifact(digest).to_payload(), vendor.key("release"));
            let id = vendor.key("release").key().id();
            let ours =
                String::from_utf8(ours).expect("text").replace("{\"sig\"", &format!("{{\"keyid\":\"{id}\",\"sig\""));
            attach(registry, ours.as_bytes());
        },
        signed: true,
        newer: Some(false),
    },
    Trap {
        name: "an attestation by our key alone",
        set: |vendor, registry| {
            detach(registry);
            registry.remove_tag(BUNDLES, &sig_tag(registry));
            let digest = bundle_digest(registry).parse().expect("a digest");
            attach(registry, &bundle(&statement("https://slsa.dev/provenance/v1", &[&digest]), vendor.key("release")));
        },
        signed: false,
        newer: None,
    },
    Trap {
        name: "a bundle about another artifact",
        set: |vendor, registry| {
            detach(registry);
            attach(registry, &bundle(&Statement::Artifact(Digest::of(b"x")).to_payload(), vendor.key("release")));
        },
        signed: true,
        newer: Some(false),
    },
    Trap {
        name: "more layers than are read",
        set: |vendor, registry| {
            detach(registry);
            let digest = bundle_digest(registry).parse().expect("a digest");
            put_claims(registry, &vec![claim(vendor.key("release"), &digest); 1001]);
        },
        signed: true,
        newer: Some(false),
    },
];

#[test]
fn what_is_said_about_verifiers_in_the_field_is_what_cosign_does() {
    let cosign3 = require("cosign3");
    let (vendor, source) = (Vendor::new(), Source::new());
    for trap in TRAPS {
        let Trap { name, set, signed, newer } = trap;
        let registry = Registry::start();
        published(&vendor, &source, &registry);
        set(&vendor, &registry);
        let run = verify(&vendor, &registry, "1.0.3", &["--output", "json"]);
        let report = run.json();
        let all = report["releases"][0]["checks"].as_array().expect("checks");
        let of_bundle = |aspect: &str| all.iter().find(|check| check["kind"] == "bundle" && check["aspect"] == aspect);
        let check = of_bundle("signed").expect("a check");
        assert_eq!(check["outcome"] == "ok", signed, "{name}: {check}");
        let cosign = cosign3.as_ref().map(|program| {
            let reference = format!("{}/{BUNDLES}@{}", registry.address(), bundle_digest(&registry));
            cosign(program, "verify", &vendor.file("release.pub"), &[&reference])
        });
        let verifiers = check["signed"]["verifiers"].as_array().cloned().unwrap_or_default();
        let said: Vec<&Value> = verifiers.iter().filter(|one| one["verifier"] == "cosign 2.6 and later").collect();
        assert_eq!(said.first().map(|one| one["verdict"] == "accepts"), newer, "{name}: {verifiers:?}");
        if let (Some(cosign), Some(newer)) = (cosign, newer) {
            assert_eq!(cosign.is_ok(), newer, "{name}: {cosign:?}");
        }
        let refused = of_bundle("verifiers").is_some_and(|check| check["outcome"] == "failed");
        let missing = name == "the bundle alone";
        assert_eq!(refused, newer == Some(false) || missing, "{name}: {report}");
        assert_eq!(run.code, Some(if signed && !refused { 0 } else { 3 }), "{name}");
    }
}

#[test]
fn a_refusal_by_flux_says_why() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    published(&vendor, &source, &registry);
    detach(&registry);
    let digest = bundle_digest(&registry).parse().expect("a digest");
    attach(&registry, &bundle(&Statement::Artifact(digest).to_payload(), &PrivateKey::generate()));
    verify(&vendor, &registry, "nightly", &[]).ends(3).prints(&[
        "Flux 2.8 and later: the bundle is refused: a signature bundle by another key is attached and ours is not, so the \
         `.sig` is not looked for",
    ]);
}

#[test]
fn attestations_and_signatures_of_several_artifacts_do_not_count() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    published(&vendor, &source, &registry);
    let digest: Digest = bundle_digest(&registry).parse().expect("a digest");
    for payload in [
        statement("https://slsa.dev/provenance/v1", &[&digest]),
        statement(ARTIFACT_PREDICATE, &[&Digest::of(b""), &digest]),
    ] {
        detach(&registry);
        let signature = vendor.key("release").sign(&statement_message(&payload));
        attach(&registry, &SignatureBundle::new(payload, &vendor.key("release").key().id(), signature).to_bytes());
        let report = verify(&vendor, &registry, "1.0.3", &["--output", "json"]).ends(0).json();
        let all = report["releases"][0]["checks"].as_array().expect("checks");
        let check = all.iter().find(|check| check["kind"] == "bundle" && check["aspect"] == "signed").expect("a check");
        assert_eq!(check["signed"]["signers"][0]["forms"], json!(["sig"]));
    }
}

#[test]
fn a_signature_that_was_copied_from_another_artifact_fails_verification() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    published(&vendor, &source, &registry);
    let digest: Digest = bundle_digest(&registry).parse().expect("a digest");
    let (ours, other) = (claim(vendor.key("release"), &digest), claim(vendor.key("release"), &Digest::of(b"other")));
    for layers in [vec![other.clone()], vec![ours, other]] {
        put_claims(&registry, &layers);
        verify(&vendor, &registry, "nightly", &[])
            .ends(3)
            .prints(&["the tag of its signatures has a signature of another artifact, sha256:"]);
    }
}

#[test]
fn a_list_of_referrers_without_types_hides_the_bundles() {
    let (vendor, source) = (Vendor::new(), Source::new());
    let quirks = Quirks { referrers: Referrers::WithoutType, ..Quirks::default() };
    let registry = Registry::with(Setup { quirks, ..Setup::default() });
    published(&vendor, &source, &registry);
    verify(&vendor, &registry, "nightly", &[]).ends(0);
    registry.remove_tag(BUNDLES, &sig_tag(&registry));
    verify(&vendor, &registry, "nightly", &[])
        .ends(3)
        .prints(&["the bundle is refused: the `.sig` is missing", "names the signature bundle without its type"]);
}

#[test]
fn a_version_tag_that_points_to_another_release_fails_verification() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    published(&vendor, &source, &registry);
    let release = registry.tags(RELEASES)["1.0.3"].clone();
    registry.tag(RELEASES, "1.0.2", &release);
    verify(&vendor, &registry, "1.0.2", &[]).ends(3).prints(&["expected the release 1.0.2, found version `1.0.3`"]);
}

fn promote(vendor: &Vendor, registry: &Registry, from: &str, more: &[&str]) -> Run {
    let (flags, at) = (vendor.flags(&["stable-a", "stable-b", "refresh"]), store(registry));
    let arguments = ["promote", "--from", from, "--to", "stable", "--store", &at];
    alga(&[&arguments[..], &slices(&flags), more].concat())
}

#[test]
fn the_tree_of_a_release_names_the_signers() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    published(&vendor, &source, &registry);
    let (at, trust) = (store(&registry), vendor.file("trust.json"));
    let flags = ["show", "nightly", "--store", &at, "--trust", &trust];
    let (channel, release) = (vendor.key("nightly").key().id(), vendor.key("release").key().id());
    alga(&flags)
        .ends(0)
        .prints(&[&format!("signed by {})", channel.short()), &format!("2, signed by {}", release.short())]);
    let json = alga(&[&flags[..], &["--output", "json"]].concat()).ends(0).json();
    schemas::valid("show.json", &json);
    assert_eq!(json["channel"]["signedBy"], json!([channel.to_string()]));
    assert_eq!(json["release"]["signedBy"], json!([release.to_string()]));
    let charts = json["artifacts"].as_array().expect("a list").iter().filter(|node| node["kind"] == "chart");
    assert_eq!(charts.filter(|chart| chart["signedBy"] == json!([release.to_string()])).count(), 5);
    let without = alga(&["show", "nightly", "--store", &at, "--output", "json"]).ends(0).json();
    assert_eq!((&without["channel"]["signedBy"], &without["release"]["signatures"]), (&Value::Null, &json!(2)));
    let other = Vendor::new();
    alga(&["show", "nightly", "--store", &at, "--trust", &other.file("trust.json")])
        .ends(0)
        .prints(&["not signed by enough of its keys", "2, signed by others"]);
}

#[test]
fn the_history_of_a_channel_names_the_signers_and_what_is_missing() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    published(&vendor, &source, &registry);
    for version in ["1.0.4", "1.0.5"] {
        with_images(&source, &[version]);
        publish(&source, &registry, version, "nightly", &slices(&vendor.flags(&["release", "nightly"]))).ends(0);
    }
    let (at, trust) = (store(&registry), vendor.file("trust.json"));
    let id = vendor.key("nightly").key().id();
    let flags = ["history", "nightly", "--store", &at];
    alga(&flags).ends(0).prints(&["2 signatures, not verified"]);
    let with = [&flags[..], &["--trust", &trust]].concat();
    let run = alga(&with).ends(0).prints(&[&format!("signed by {}", id.short())]);
    assert!(!run.stdout.contains("gap: "), "{}", run.stdout);
    let json = alga(&[&with[..], &["--output", "json"]].concat()).ends(0).json();
    schemas::valid("history.json", &json);
    assert_eq!(
        json["moves"][2]["signatures"],
        json!({"count": 2, "verified": true, "signers": [id.to_string()], "epoch": 1, "sequence": 1})
    );
    assert_eq!(json["trustVersion"], 1);
    let other = Vendor::new();
    let run =
        alga(&["history", "nightly", "--store", &at, "--trust", &other.file("trust.json"), "--output", "json"]).ends(0);
    let problem = run.json()["moves"][0]["signatures"]["problem"].as_str().expect("a reason").to_owned();
    assert!(problem.contains("is not signed by a key of the channel's role"), "{problem}");
}

#[test]
fn a_comparison_names_lost_signatures_and_other_keys() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    published(&vendor, &source, &registry);
    promote(&vendor, &registry, "nightly", &[]).ends(0);
    with_images(&source, &["1.0.4"]);
    let at = store(&registry);
    source.publish(&["--version", "1.0.4", "--no-channel", "--store", &at]).ends(0);
    let json = alga(&["diff", "stable", "1.0.4", "--store", &at, "--output", "json"]).ends(0).json();
    schemas::valid("diff.json", &json);
    let risks = json["risks"].as_array().expect("risks");
    assert!(risks.iter().any(|risk| risk["kind"] == "unsigned" && risk["level"] == "danger"), "{risks:?}");
    let text = "the older release is signed and the newer one is not: appliances that verify releases refuse it";
    for format in ["text", "markdown", "html"] {
        let run = alga(&["diff", "stable", "1.0.4", "--store", &at, "--output", format]);
        assert!(run.stdout.contains(text), "{format}: {}", run.stdout);
    }
}

#[test]
fn a_source_that_the_release_role_did_not_sign_is_not_promoted() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    registry.clear_log();
    let run = promote(&vendor, &registry, "nightly", &[]).ends(3);
    // Every artifact is named at once.
    for name in ["chart sebastian", "chart temporal-worker", "bundle alga-appliance-config", "release 1.0.3"] {
        assert!(run.stderr.contains(name), "{name}: {}", run.stderr);
    }
    run.says(&["a key of the role release did not sign the chart", "alga-release sign REF --trust FILE"]);
    assert_eq!(registry.tags(RELEASES).keys().filter(|tag| tag.starts_with("stable")).count(), 0);
}
