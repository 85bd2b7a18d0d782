//! The traps in the verifiers of other projects, one by one. `tests/it/signed_reads.rs` asks cosign itself.

use super::*;
use crate::oci::{Descriptor, StoredClaim, StoredSignatures, StoredStatement};
use crate::trust::testing::{SigningKey, Vendor};
use crate::trust::{Claim, SignatureBundle, Statement, TrustDocument, statement_message};

const NAME: &str = "r.io/acme/charts/x";

fn digest() -> Digest {
    Digest::of(b"the chart")
}

fn claim(key: &SigningKey, digest: &Digest, name: &str) -> StoredClaim {
    let payload = Claim { reference: name.to_owned(), digest: digest.clone() }.to_bytes();
    let signature = key.sign(&payload);
    let layer = Descriptor::of("application/vnd.dev.cosign.simplesigning.v1+json", &payload);
    StoredClaim { layer, payload, signature }
}

fn signed(key: &SigningKey, payload: Vec<u8>) -> StoredStatement {
    let signature = key.sign(&statement_message(&payload));
    StoredStatement { bytes: SignatureBundle::new(payload, &key.key().id(), signature).to_bytes(), is_listed: true }
}

fn bundle(key: &SigningKey, digest: &Digest) -> StoredStatement {
    signed(key, Statement::Artifact(digest.clone()).to_payload())
}

/// A statement as other programs write it.
fn statement(predicate: &str, subjects: &[&Digest]) -> Vec<u8> {
    let subjects: Vec<String> =
        subjects.iter().map(|digest| format!("{{\"digest\":{{\"sha256\":\"{}\"}}}}", digest.hex())).collect();
    format!(
        "{{\"_type\":\"https://in-toto.io/Statement/v1\",\"subject\":[{}],\"predicateType\":\"{predicate}\",\"predicate\":{{}}}}",
        subjects.join(",")
    )
    .into_bytes()
}

struct Case {
    document: TrustDocument,
    release: SigningKey,
    other: SigningKey,
}

impl Case {
    fn new() -> Self {
        let (vendor, other) = (Vendor::new(), SigningKey::generate());
        let (mut document, release) = (vendor.document(), SigningKey::generate());
        document.release.keys.insert(release.key().id());
        document.keys.insert(release.key().id(), release.key());
        Self { document, release, other }
    }

    fn found(&self, claims: Vec<StoredClaim>, bundles: Vec<StoredStatement>) -> FoundSignatures {
        let stored = StoredSignatures { layers: claims.len(), claims, bundles };
        FoundSignatures::of(&stored, &self.document, &digest())
    }
}

fn judge(kind: NamedKind, found: &FoundSignatures) -> Vec<InField> {
    in_field(&Judged { kind, digest: &digest(), name: NAME }, found)
}

/// Returns the decision of a verifier about a chart, `+` or `-`, with its reason.
fn says(found: &FoundSignatures, verifier: &str) -> Option<String> {
    let all = judge(NamedKind::Chart, found);
    let one = all.into_iter().find(|one| one.verifier == verifier)?;
    let (_, reason) = one.text.split_once(": the chart is ").unwrap();
    let reason = reason.trim_start_matches("accepted ").trim_start_matches("refused: ");
    Some(format!("{} {reason}", if one.verdict == Verdict::Accepts { '+' } else { '-' }))
}

#[track_caller]
fn check(found: &FoundSignatures, older: Option<&str>, newer: Option<&str>) {
    assert_eq!(says(found, FLUX_OLDER).as_deref(), older, "Flux up to 2.7");
    assert_eq!(says(found, FLUX).as_deref(), newer, "Flux 2.8 and later");
    assert_eq!(says(found, COSIGN).as_deref(), newer, "cosign");
}

#[test]
fn both_forms_are_accepted_by_every_verifier() {
    let case = Case::new();
    let found = case.found(vec![claim(&case.release, &digest(), NAME)], vec![bundle(&case.release, &digest())]);
    check(&found, Some("+ by the `.sig`"), Some("+ by the signature bundle"));
}

#[test]
fn one_form_alone_is_refused_by_those_that_read_the_other_alone() {
    let case = Case::new();
    let found = case.found(Vec::new(), vec![bundle(&case.release, &digest())]);
    check(&found, Some("- the `.sig` is missing"), Some("+ by the signature bundle"));
    let found = case.found(vec![claim(&case.release, &digest(), NAME)], Vec::new());
    check(&found, Some("+ by the `.sig`"), Some("+ by the `.sig`"));
    let found = case.found(Vec::new(), Vec::new());
    check(&found, Some("- the `.sig` is missing"), Some("- a signature bundle is missing, and the `.sig` is missing"));
}

#[test]
fn a_bundle_by_another_key_hides_the_older_form() {
    let case = Case::new();
    let ours = || vec![claim(&case.release, &digest(), NAME)];
    let found = case.found(ours(), vec![bundle(&case.other, &digest())]);
    let reason = "- a signature bundle by another key is attached and ours is not, so the `.sig` is not looked for";
    check(&found, Some("+ by the `.sig`"), Some(reason));
    let found = case.found(ours(), vec![bundle(&case.other, &digest()), bundle(&case.release, &digest())]);
    check(&found, Some("+ by the `.sig`"), Some("+ by the signature bundle"));
    let found = case.found(Vec::new(), vec![bundle(&case.other, &digest())]);
    check(
        &found,
        Some("- the `.sig` is missing"),
        Some("- a signature bundle by another key is attached and ours is not"),
    );
}

#[test]
fn an_attestation_and_several_subjects_pass_elsewhere_and_do_not_count_here() {
    let case = Case::new();
    let attestation = signed(&case.release, statement("https://slsa.dev/provenance/v1", &[&digest()]));
    let found = case.found(Vec::new(), vec![attestation]);
    assert!(found.of_bundles().is_empty());
    check(
        &found,
        Some("- the `.sig` is missing"),
        Some("+ by an attestation of the type `https://slsa.dev/provenance/v1`, which it takes for a signature"),
    );
    let several = signed(&case.release, statement(crate::trust::ARTIFACT_PREDICATE, &[&Digest::of(b""), &digest()]));
    let found = case.found(Vec::new(), vec![several]);
    assert!(found.of_bundles().is_empty());
    check(&found, Some("- the `.sig` is missing"), Some("+ by a signature bundle with several subjects"));
}

#[test]
fn a_signature_of_another_artifact_counts_nowhere() {
    let case = Case::new();
    let other = Digest::of(b"another chart");
    let found = case.found(vec![claim(&case.release, &other, NAME)], vec![bundle(&case.release, &other)]);
    assert_eq!((found.of_claims(&digest()), found.of_bundles()), Default::default());
    assert_eq!(found.misplaced(&digest()), [&other].into());
    check(&found, None, Some("- a bundle by a release key is attached that is about another artifact"));
}

#[test]
fn a_bundle_that_nothing_verifies_hides_the_older_form_too() {
    let case = Case::new();
    let text = |bundle: StoredStatement| String::from_utf8(bundle.bytes).unwrap();
    let id = case.release.key().id();
    let ours = text(bundle(&case.release, &digest()));
    let signature = format!("{{\"sig\"{}", ours.split("{\"sig\"").nth(1).unwrap().split(']').next().unwrap());
    for (bytes, reason) in [
        (ours.replace("{\"sig\"", &format!("{{\"keyid\":\"{id}\",\"sig\"")), "keyid"),
        (ours.replace(&signature, &format!("{signature},{signature}")), "expected one signature, found 2"),
        (ours.replace("publicKey", "certificate"), "expected the signature of a key"),
    ] {
        let bundle = StoredStatement { bytes: bytes.into_bytes(), is_listed: true };
        let found = case.found(vec![claim(&case.release, &digest(), NAME)], vec![bundle]);
        let said = says(&found, FLUX).unwrap();
        let start = "- a bundle is attached that does not verify: ";
        assert!(said.starts_with(start) && said.contains(reason) && said.ends_with("is not looked for"), "{said}");
    }
    let no_bundle = StoredStatement { bytes: b"{}".to_vec(), is_listed: true };
    let found = case.found(vec![claim(&case.release, &digest(), NAME)], vec![no_bundle]);
    check(&found, Some("+ by the `.sig`"), Some("+ by the `.sig`"));
}

#[test]
fn a_bundle_that_is_listed_without_its_type_is_not_found() {
    let case = Case::new();
    let unlisted = || StoredStatement { is_listed: false, ..bundle(&case.release, &digest()) };
    let found = case.found(Vec::new(), vec![unlisted()]);
    check(
        &found,
        Some("- the `.sig` is missing"),
        Some("- the list of referrers names the signature bundle without its type"),
    );
    let found = case.found(vec![claim(&case.release, &digest(), NAME)], vec![unlisted()]);
    check(&found, Some("+ by the `.sig`"), Some("+ by the `.sig`"));
}

#[test]
fn more_than_a_thousand_layers_are_refused() {
    let case = Case::new();
    let found = case.found(vec![claim(&case.release, &digest(), NAME)], Vec::new());
    let found = FoundSignatures { layers: 1001, ..found };
    let reason = "- the `.sig` has 1001 layers, and the limit is 1000";
    check(&found, Some(reason), Some(reason));
}

#[test]
fn policies_for_images_compare_the_name() {
    let case = Case::new();
    let verdict = |name: &str| {
        let found = case.found(vec![claim(&case.release, &digest(), name)], Vec::new());
        let all = judge(NamedKind::ControlPlane, &found);
        assert!(all.iter().all(|one| !one.verifier.contains("Flux")), "{all:?}");
        all.into_iter().find(|one| one.verifier == PODMAN).map(|one| one.verdict)
    };
    assert_eq!(verdict(NAME), Some(Verdict::Accepts));
    assert_eq!(verdict("mirror.io/x"), Some(Verdict::UnderAnotherName));
}
