//! The resolver with a trust document: what it accepts, and each attack on a channel that it must refuse. The numbers in
//! the comments are those of the attacks that the rules were written against.

use std::time::Duration;

use alga_release::signing::PrivateKey;
use alga_release::trust::{RefreshStatement, Time};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::programs::resolve;
use crate::support::published::{RELEASES, digest_of, store};
use crate::support::registry::{Action, Fault, Registry};
use crate::support::signed_channel::{
    Appliance, BUNDLE, MANIFEST, Offer, annotations, blob, bundle, manifest, put_bundle, put_claim_layers, put_claims,
    put_release, put_trust, release_json, sign_document, statement, tag,
};
use crate::support::trust::{DAY, Vendor, ago, now};

fn text(json: &[u8]) -> String {
    String::from_utf8(json.to_vec()).expect("UTF-8")
}

#[test]
fn a_signed_channel_is_followed_and_the_facts_are_printed() {
    let appliance = Appliance::new();
    let offer = appliance.offer("1.0.3", 5);
    offer.put(&appliance.registry);
    let run = appliance.resolve(&[]).ends(0);
    assert_eq!(run.stdout, text(&offer.json));
    run.says(&["note: verified 1.0.3: signed by", "epoch 1, sequence 5, until", "image algaCore 1"]);
    let id = |key: &str| appliance.vendor.key(key).key().id().to_string();
    let mut signers = [id("stable-a"), id("stable-b")];
    signers.sort();
    let json = appliance.resolve(&["--output", "json"]).ends(0).json();
    assert_eq!(json["version"], "1.0.3");
    assert_eq!(
        json["trust"],
        json!({
            "trustVersion": 1, "signers": signers, "refreshedBy": [id("refresh")], "releaseSigners": [id("release")],
            "epoch": 1, "sequence": 5, "expires": offer.statement.expires.to_string(), "stale": null,
            "notCovered": ["image algaCore 1", "image emailService 3", "image temporalWorker 4", "image workflowWorker 2"],
        })
    );
    let text = appliance.resolve(&["--output", "text"]).ends(0);
    assert_eq!(text.stderr, "");
    text.prints(&["\ntrust    signed by ", ", until 2", "(trust document version 1)\n"]);
    let plane = ["control-plane", "stable", "--running", "r.io/p:1", "--baseline", "r.io/p:0", "--output", "json"];
    let plane = appliance.run(&plane, &[]).ends(0).json();
    assert_eq!((&plane["trust"]["sequence"], &plane["trust"]["stale"]), (&json!(5), &Value::Null));
}

#[test]
fn without_a_trust_document_nothing_is_verified_and_the_report_says_so() {
    let appliance = Appliance::new();
    let mut offer = appliance.offer("1.0.3", 5);
    offer.bundles.clear();
    offer.put(&appliance.registry);
    let store = store(&appliance.registry);
    let run = resolve(&["resolve", "stable", "--store", &store, "--output", "text"]).ends(0);
    run.prints(&["trust    not verified (pass `--trust FILE`)"]);
    let run = resolve(&["resolve", "stable", "--store", &store]).ends(0);
    assert_eq!((run.stdout, run.stderr), (text(&offer.json), String::new()));
}

/// Changes a signed move, and checks that an appliance that follows the channel refuses the move for a reason.
#[track_caller]
fn refused(reason: &str, change: impl FnOnce(&Appliance, &mut Offer)) {
    let appliance = Appliance::following();
    let mut offer = appliance.offer("1.0.4", 6);
    change(&appliance, &mut offer);
    offer.put(&appliance.registry);
    appliance.refuses(reason);
    appliance.fails_verification("stable", reason);
    // The legitimate move is followed afterwards.
    let legitimate = appliance.offer("1.0.4", 7);
    legitimate.put(&appliance.registry);
    assert_eq!(appliance.resolve(&[]).ends(0).stdout, text(&legitimate.json), "{reason}");
}

/// Signs a changed statement again, by the keys that must sign.
fn signed_again(appliance: &Appliance, offer: &mut Offer) {
    *offer = Offer::of(&appliance.vendor, "1.0.4", offer.statement.clone());
}

#[test]
fn a_move_without_enough_signatures_is_refused() {
    // A 1.
    refused("unsigned", |_, offer| offer.bundles.clear());
    // A 2.
    refused("release-unsigned", |_, offer| drop(offer.bundles.pop()));
    refused("below-threshold", |_, offer| drop(offer.bundles.remove(0)));
    refused("no-refresh", |_, offer| drop(offer.bundles.remove(2)));
    // A 3.
    refused("unknown-key", |_, offer| {
        let stranger = PrivateKey::generate();
        let payload = offer.statement.to_payload();
        offer.bundles.splice(0..2, [bundle(&payload, &stranger)]);
    });
    // A 10.
    refused("below-threshold", |appliance, offer| {
        let again = bundle(&offer.statement.to_payload(), appliance.vendor.key("stable-a"));
        offer.bundles[1] = again;
    });
    // A 14.
    refused("unsigned", |_, offer| {
        let release = offer.bundles.pop().expect("a release");
        offer.bundles = vec![release.clone(), release];
    });
}

#[test]
fn a_statement_about_something_else_is_refused() {
    // A 4.
    refused("other-epoch", |appliance, offer| {
        offer.statement.epoch = 2;
        signed_again(appliance, offer);
    });
    // A 5.
    refused("annotations-differ", |appliance, offer| {
        offer.statement.release = put_release(&appliance.registry, "1.0.2");
        let annotations = offer.annotations.clone();
        signed_again(appliance, offer);
        offer.annotations = annotations;
    });
    // A 7.
    refused("other-product", |appliance, offer| {
        offer.statement.product = "another".to_owned();
        signed_again(appliance, offer);
    });
    // A 8: the right keys, and another channel.
    refused("other-channel", |appliance, offer| {
        let keys = ["stable-a", "stable-b"].map(|key| appliance.vendor.key(key));
        offer.statement.channel = tag("nightly");
        let payload = offer.statement.to_payload();
        offer.bundles.splice(0..2, keys.map(|key| bundle(&payload, key)));
    });
    refused("unknown-trust-version", |appliance, offer| {
        offer.statement.trust_version = 2;
        signed_again(appliance, offer);
    });
    refused("lifetime", |appliance, offer| {
        offer.statement.expires = now().plus(200 * DAY);
        signed_again(appliance, offer);
    });
}

/// Changes the text of a bundle, which is JSON.
fn changed(bundle: &[u8], change: impl Fn(&mut Value)) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(bundle).expect("JSON");
    change(&mut value);
    value.to_string().into_bytes()
}

fn with_signature(bundle: &[u8], change: impl Fn(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    changed(bundle, |value| {
        let signature = &mut value["dsseEnvelope"]["signatures"][0]["sig"];
        let der = BASE64_STANDARD.decode(signature.as_str().expect("base64")).expect("base64");
        *signature = BASE64_STANDARD.encode(change(der)).into();
    })
}

#[test]
fn changed_payloads_and_signatures_are_refused() {
    // A 6: the expiry is a digit later.
    refused("unknown-key", |_, offer| {
        let mut later = offer.statement.clone();
        later.expires = later.expires.plus(1);
        for at in [0, 1] {
            let payload = BASE64_STANDARD.encode(later.to_payload());
            offer.bundles[at] =
                changed(&offer.bundles[at], |value| value["dsseEnvelope"]["payload"] = payload.as_str().into());
        }
    });
    // A 9.
    refused("unsigned", |_, offer| {
        for at in [0, 1] {
            offer.bundles[at] =
                changed(&offer.bundles[at], |value| value["dsseEnvelope"]["payloadType"] = "text/plain".into());
        }
    });
    // A 12: a truncated signature, and one of another curve by its length.
    for cut in [1, 8, 40] {
        refused("unknown-key", |_, offer| {
            for at in [0, 1] {
                offer.bundles[at] = with_signature(&offer.bundles[at], |der| der[..der.len() - cut].to_vec());
            }
        });
    }
    refused("unsigned", |_, offer| {
        for at in [0, 1] {
            offer.bundles[at] = with_signature(&offer.bundles[at], |_| {
                let half = [&[2, 48][..], &[1; 48]].concat();
                [&[0x30, 100][..], &half, &half].concat()
            });
        }
    });
    // C 32.
    refused("unsigned", |appliance, offer| {
        let payload = text(&offer.statement.to_payload());
        let expires = format!("\"expires\":\"{}\",", offer.statement.expires);
        let payload = payload.replace(&expires, "").into_bytes();
        let keys = ["stable-a", "stable-b"].map(|key| bundle(&payload, appliance.vendor.key(key)));
        offer.bundles.splice(0..2, keys);
    });
}

#[test]
fn one_valid_signature_among_garbage_is_enough_for_one_key() {
    // A 11.
    let appliance = Appliance::new();
    let mut offer = appliance.offer_in("nightly", "1.0.3", 1);
    let garbage = with_signature(&offer.bundles[0], |mut der| {
        der[10] ^= 1;
        der
    });
    offer.bundles.insert(0, garbage);
    offer.bundles.insert(0, b"not JSON".to_vec());
    offer.put(&appliance.registry);
    assert_eq!(appliance.run(&["resolve", "nightly"], &[]).ends(0).stdout, text(&offer.json));
}

#[test]
fn malformed_bundles_are_refused_within_their_limits() {
    let deep = format!("{{\"mediaType\":{}", "[".repeat(30_000));
    for garbage in [
        deep.into_bytes(),
        b"\xef\xbb\xbf{}".to_vec(),
        b"{\"mediaType\":\"\xff\"}".to_vec(),
        b"{\"mediaType\":\"a\",\"mediaType\":\"a\"}".to_vec(),
    ] {
        // F 54.
        refused("unsigned", |_, offer| offer.bundles = vec![garbage, offer.bundles.pop().expect("a release")]);
    }
    // F 55: a digest in upper case, and of another algorithm.
    for (from, to) in [("\"sha256\":\"", "\"sha256\":\"A"), ("\"sha256\":", "\"sha512\":")] {
        refused("unsigned", |appliance, offer| {
            let payload = text(&offer.statement.to_payload()).replacen(from, to, 1).into_bytes();
            let keys = ["stable-a", "stable-b"].map(|key| bundle(&payload, appliance.vendor.key(key)));
            offer.bundles.splice(0..2, keys);
        });
    }
    refused("too-many-layers", |_, offer| {
        let one = offer.bundles[0].clone();
        let many = (0..200).map(|number| [one.clone(), vec![b' '; number]].concat());
        offer.bundles = many.collect();
    });
    refused("too-many-layers", |_, offer| {
        let one = offer.bundles[0].clone();
        let many = (0..16).map(|number| [one.clone(), vec![b' '; number]].concat());
        offer.bundles.extend(many);
    });
    // A manifest with 10,000 layers is larger than any release.
    let appliance = Appliance::following();
    let mut offer = appliance.offer("1.0.4", 6);
    offer.bundles = vec![offer.bundles[0].clone(); 10_000];
    offer.put(&appliance.registry);
    appliance.resolve(&[]).ends(3).says(&["is not a release: the manifest has", "the limit is 1048576"]);
}

#[test]
fn layers_of_the_wrong_size_are_not_read() {
    // F 47: larger than the limit. F 48 and 49: longer and shorter than the descriptor says.
    for (claimed, actual) in [(40_000_u64, 40_000), (1 << 40, 500), (500, 600), (600, 500)] {
        let appliance = Appliance::following();
        let before = appliance.remembered();
        let offer = appliance.offer("1.0.4", 6);
        let bytes = vec![b' '; actual];
        let mut served = offer.manifest(|media_type, bytes| blob(&appliance.registry, media_type, bytes));
        served["layers"][1] = blob(&appliance.registry, BUNDLE, &bytes);
        served["layers"][1]["size"] = claimed.into();
        manifest(&appliance.registry, "stable", &served);
        let run = appliance.resolve(&[]).ends(1).says(&[&digest_of(&bytes)]);
        assert_eq!((run.stdout.as_str(), appliance.remembered()), ("", before));
        appliance.does_not_verify("stable");
    }
}

#[test]
fn older_moves_are_refused_also_under_another_store() {
    let appliance = Appliance::following();
    // B 15, B 19 and C 30.
    let old = appliance.offer("1.0.2", 4);
    old.put(&appliance.registry);
    appliance.refuses("replay");
    // B 16.
    appliance.offer("1.0.4", 5).put(&appliance.registry);
    appliance.refuses("equivocation");
    let mirror = Registry::start();
    let release = put_release(&mirror, "1.0.2");
    Offer::of(&appliance.vendor, "1.0.2", statement(&appliance.vendor, "stable", &release, 4)).put(&mirror);
    let run = appliance.resolve(&["--store", &store(&mirror)]).ends(3).says(&["refused (replay)"]);
    assert_eq!(run.stdout, "");
    // B 20: a rollback is a later move to an older release.
    let rollback = appliance.offer("1.0.2", 6);
    rollback.put(&appliance.registry);
    assert_eq!(appliance.resolve(&[]).ends(0).stdout, text(&rollback.json));
}

#[test]
fn the_same_move_again_changes_nothing() {
    // B 17.
    let appliance = Appliance::following();
    let before = std::fs::read(appliance.state_path()).expect("a state");
    let first = appliance.resolve(&[]).ends(0);
    assert_eq!(first.stdout, appliance.resolve(&[]).ends(0).stdout);
    assert_eq!(std::fs::read(appliance.state_path()).expect("a state"), before);
    // A refresh keeps the position, and only the expiry is later.
    let release = put_release(&appliance.registry, "1.0.3");
    let mut offer = Offer::of(&appliance.vendor, "1.0.3", statement(&appliance.vendor, "stable", &release, 6));
    offer.put(&appliance.registry);
    appliance.resolve(&[]).ends(0);
    let held = appliance.state();
    let refresh = RefreshStatement::of(&offer.statement, 1, ago(30), now().plus(6 * DAY));
    offer.bundles.insert(3, bundle(&refresh.to_payload(), appliance.vendor.key("refresh")));
    offer.put(&appliance.registry);
    appliance.resolve(&[]).ends(0);
    let root = |state: &Value| state["trust"].as_object().expect("roots").values().next().expect("a root").clone();
    assert_eq!(root(&held)["positions"], root(&appliance.state())["positions"]);
}

#[test]
fn an_older_move_is_refused_after_the_accepted_one_has_expired() {
    // B 22.
    let appliance = Appliance::following();
    appliance.change_state(|root| {
        root["releases"]["alga-psa/stable"]["verified"]["expires"] = ago(DAY).to_string().into();
    });
    appliance.offer("1.0.2", 4).put(&appliance.registry);
    appliance.refuses("replay");
    let run = appliance.resolve(&["--offline"]).ends(0);
    run.says(&["warning: the release 1.0.3 is stale: the statement of the channel expired at"]);
    let json = appliance.resolve(&["--offline", "--output", "json"]).ends(0).json();
    assert!(json["trust"]["stale"].as_str().expect("a reason").contains("expired"), "{json}");
}

#[test]
fn only_the_json_of_the_signed_release_is_used() {
    // B 18: the channel's JSON is that of an older release, and the statement is new.
    refused("json-differs", |_, offer| offer.json = release_json("1.0.3", "stable"));
    // E 38: another digest in the channel's JSON. E 46: one byte more.
    refused("json-differs", |_, offer| {
        offer.json = text(&offer.json).replace("sha256:00", "sha256:01").into_bytes();
    });
    refused("json-differs", |_, offer| offer.json.push(b'\n'));
    refused("json-differs", |_, offer| offer.json = release_json("1.0.4", "nightly"));
}

#[test]
fn an_accepted_move_counts_even_if_its_release_then_fails() {
    let appliance = Appliance::following();
    let mut offer = appliance.offer("1.0.4", 9);
    offer.json = release_json("1.0.5", "stable");
    offer.put(&appliance.registry);
    appliance.refuses("json-differs");
    appliance.offer("1.0.4", 8).put(&appliance.registry);
    appliance.refuses("replay");
    // E 39: a release that names another registry, with a later move.
    let appliance = Appliance::following();
    appliance.offer("1.0.4", 9).put(&appliance.registry);
    let run = appliance.resolve(&["--allow-registry", "r.io/vendor"]).ends(3).says(&["not allowed"]);
    assert_eq!(run.stdout, "");
    appliance.offer("1.0.4", 8).put(&appliance.registry);
    appliance.refuses("replay");
}

#[test]
fn a_manifest_of_another_kind_is_not_a_release() {
    type Change = fn(&mut Value);
    let changes: [(Change, &str); 5] = [
        // E 41.
        (|served| served["config"]["mediaType"] = "application/json".into(), MANIFEST),
        (|served| served["artifactType"] = "application/vnd.other".into(), MANIFEST),
        // E 42.
        (|served| *served = json!({ "schemaVersion": 2, "manifests": [] }), "application/vnd.oci.image.index.v1+json"),
        // E 43.
        (|served| served["manifests"] = json!([]), MANIFEST),
        // E 44.
        (|served| served["mediaType"] = "application/vnd.docker.distribution.manifest.v2+json".into(), MANIFEST),
    ];
    for (change, media_type) in changes {
        let appliance = Appliance::following();
        let before = appliance.remembered();
        let offer = appliance.offer("1.0.4", 6);
        let mut served = offer.manifest(|media_type, bytes| blob(&appliance.registry, media_type, bytes));
        change(&mut served);
        let bytes = served.to_string().into_bytes();
        appliance.registry.put_manifest(RELEASES, Some("stable"), &digest_of(&bytes), media_type, &bytes);
        let run = appliance.resolve(&[]).ends(3).says(&["is not a release"]);
        assert_eq!((run.stdout.as_str(), appliance.remembered()), ("", before));
        appliance.does_not_verify("stable");
    }
}

#[test]
fn a_release_that_is_not_the_named_one_is_refused() {
    let appliance = Appliance::following();
    let offer = appliance.offer("1.0.4", 6);
    offer.put(&appliance.registry);
    let release = offer.statement.release.to_string();
    appliance.registry.lose_manifest(RELEASES, &release);
    let run = appliance.resolve(&[]).ends(3).says(&["records the release"]);
    assert_eq!(run.stdout, "");
    let (media_type, bytes) = appliance.registry.manifest(RELEASES, "1.0.3").expect("a manifest");
    appliance.registry.put_manifest(RELEASES, None, &release, &media_type, &bytes);
    let run = appliance.resolve(&[]).ends(1).says(&["digest mismatch"]);
    assert_eq!(run.stdout, "");
}

#[test]
fn a_channel_that_the_trust_document_does_not_name_is_refused() {
    let appliance = Appliance::new();
    let release = put_release(&appliance.registry, "1.0.3");
    let mut offer = appliance.offer("1.0.3", 1);
    offer.statement.channel = tag("beta");
    offer.annotations = annotations(&statement(&appliance.vendor, "beta", &release, 1));
    let served = offer.manifest(|media_type, bytes| blob(&appliance.registry, media_type, bytes));
    manifest(&appliance.registry, "beta", &served);
    appliance.refuses_pinned("beta", "unknown-channel");
    // A release manifest under a channel's tag has no statement, however it is signed.
    let (media_type, bytes) = appliance.registry.manifest(RELEASES, "1.0.3").expect("a manifest");
    appliance.registry.put_manifest(RELEASES, Some("stable"), &digest_of(&bytes), &media_type, &bytes);
    put_claims(&appliance.registry, &release, &[appliance.vendor.key("release")]);
    appliance.refuses_pinned("stable", "unsigned");
    appliance.fails_verification("stable", "unsigned");
}

#[test]
fn a_version_and_a_digest_are_verified_by_the_release_role() {
    let appliance = Appliance::new();
    let release = put_release(&appliance.registry, "1.0.3");
    let digest = release.to_string();
    for reference in ["1.0.3", &digest] {
        appliance.refuses_pinned(reference, "release-unsigned");
    }
    // A 5: a signature that was copied from another digest.
    let other = put_release(&appliance.registry, "1.0.2");
    put_claims(&appliance.registry, &other, &[appliance.vendor.key("release")]);
    let copied = format!("sha256-{}.sig", other.hex());
    let claims = appliance.registry.tags(RELEASES)[&copied].clone();
    appliance.registry.tag(RELEASES, &format!("sha256-{}.sig", release.hex()), &claims);
    appliance.refuses_pinned("1.0.3", "release-unsigned");
    // Keys of other roles do not count.
    put_claims(&appliance.registry, &release, &["stable-a", "root", "refresh"].map(|key| appliance.vendor.key(key)));
    appliance.refuses_pinned("1.0.3", "release-unsigned");
    put_claims(&appliance.registry, &release, &[appliance.vendor.key("release")]);
    for reference in ["1.0.3", &digest] {
        let run = appliance.run(&["resolve", reference, "--output", "json"], &[]).ends(0);
        let trust = &run.json()["trust"];
        let id = appliance.vendor.key("release").key().id().to_string();
        assert_eq!((&trust["releaseSigners"], &trust["epoch"]), (&json!([id]), &Value::Null));
    }
    assert_eq!(
        appliance.run(&["resolve", "1.0.3"], &["--offline"]).ends(0).stdout,
        text(&release_json("1.0.3", "nightly"))
    );
    // Bundles count where the claims prove nothing: none, claims by strangers, or claims of another digest.
    for key in ["stable-a", "release"] {
        let release = put_release(&appliance.registry, "1.0.9");
        appliance.refuses_pinned("1.0.9", "release-unsigned");
        put_claims(&appliance.registry, &release, &[appliance.vendor.key("nightly")]);
        put_bundle(&appliance.registry, &release, appliance.vendor.key(key));
        match key {
            "release" => drop(appliance.run(&["resolve", "1.0.9"], &[]).ends(0)),
            _ => appliance.refuses_pinned("1.0.9", "release-unsigned"),
        }
    }
    // Another version under the tag, signed by the right key.
    appliance.registry.tag(RELEASES, "1.0.3", other.as_str());
    appliance.refuses_pinned("1.0.3", "other-version");
}

#[test]
fn a_signature_image_of_a_thousand_layers_is_read_up_to_the_limit() {
    // A 13.
    let appliance = Appliance::new();
    let release = put_release(&appliance.registry, "1.0.3");
    let layers = (0..1001).map(|number| {
        let mut layer = blob(
            &appliance.registry,
            "application/vnd.dev.cosign.simplesigning.v1+json",
            format!("claim {number}").as_bytes(),
        );
        layer["annotations"] = json!({ "dev.cosignproject.cosign/signature": "MAA=" });
        layer
    });
    put_claim_layers(&appliance.registry, &release, &layers.collect::<Vec<_>>());
    appliance.registry.clear_log();
    appliance.refuses_pinned("1.0.3", "release-unsigned");
    assert!(appliance.registry.log().len() < 75, "{}", appliance.registry.log().len());
    appliance.registry.clear_log();
    appliance.does_not_verify("1.0.3");
    let claims = appliance.registry.log().iter().filter(|one| one.method == "GET").count();
    assert!(claims < 150, "{claims} reads");
}

#[test]
fn a_withdrawn_release_is_refused_and_the_current_one_stays() {
    let mut appliance = Appliance::following();
    let offer = appliance.offer("1.0.4", 6);
    offer.put(&appliance.registry);
    put_claims(&appliance.registry, &offer.statement.release, &[appliance.vendor.key("release")]);
    appliance.vendor.document.version = 2;
    appliance.vendor.document.withdrawn.insert(offer.statement.release.clone());
    put_trust(&appliance.registry, 2, &appliance.vendor.envelope());
    appliance.refuses("withdrawn");
    appliance.refuses_pinned("1.0.4", "withdrawn");
    appliance.fails_verification("stable", "withdrawn");
    appliance.fails_verification("1.0.4", "withdrawn");
    let later = appliance.offer("1.0.3", 7);
    later.put(&appliance.registry);
    assert_eq!(appliance.resolve(&[]).ends(0).stdout, text(&later.json));
}

/// Changes the times of a signed move, and signs it again.
#[track_caller]
fn refused_at(reason: &str, issued: Time, expires: Time) {
    refused(reason, |appliance, offer| {
        (offer.statement.issued, offer.statement.expires) = (issued, expires);
        signed_again(appliance, offer);
    });
}

#[test]
fn a_statement_counts_only_within_its_time() {
    // C 25, and C 29: the clock is far ahead.
    refused_at("expired", ago(3 * DAY), ago(1));
    refused_at("expired", ago(170 * DAY), ago(165 * DAY));
    // C 27.
    refused_at("clock-fault", now().plus(2 * 3600), now().plus(DAY));
    // C 30: a registry that serves the same move for ever.
    refused("refresh-expired", |appliance, offer| {
        let refresh = RefreshStatement::of(&offer.statement, 1, ago(5 * DAY), ago(DAY));
        offer.bundles[2] = bundle(&refresh.to_payload(), appliance.vendor.key("refresh"));
    });
}

#[test]
fn a_clock_that_is_set_back_is_reported_until_an_operator_resets_the_floor() {
    // C 28.
    let appliance = Appliance::following();
    let ahead = now().plus(2 * DAY);
    appliance.change_state(|root| root["floor"] = ahead.to_string().into());
    appliance.refuses("clock-fault").says(&[&ahead.to_string(), "--reset-time-floor"]);
    let run = appliance.resolve(&["--fallback-to-state"]).ends(0).says(&["answered from the state: 1.0.3"]);
    assert_eq!(run.stdout, appliance.remembered());
    appliance.resolve(&["--reset-time-floor", " "]).ends(9).says(&["expected a reason"]);
    appliance.resolve(&["--reset-time-floor", "the battery was empty"]).ends(0);
    let decision = &appliance.state()["decisions"][0];
    assert_eq!(
        (&decision["option"], &decision["reason"]),
        (&json!("reset-time-floor"), &json!("the battery was empty"))
    );
    appliance.resolve(&[]).ends(0);
}

#[test]
fn a_clock_that_steps_back_by_less_than_an_hour_stops_nothing() {
    let appliance = Appliance::following();
    let floor = |seconds: u64| {
        let floor = now().plus(seconds);
        appliance.change_state(|root| root["floor"] = floor.to_string().into());
        floor
    };
    floor(2 * 3600);
    appliance.refuses("clock-fault");
    appliance.refuses_pinned("1.0.3", "clock-fault");
    let ahead = floor(1800);
    appliance.resolve(&[]).ends(0);
    appliance.offer("1.0.4", 6).put(&appliance.registry);
    appliance.resolve(&[]).ends(0);
    let root = appliance.state()["trust"].as_object().expect("roots").values().next().expect("a root").clone();
    assert_eq!(root["floor"], ahead.to_string(), "the floor does not fall");
}

#[test]
fn an_expired_trust_document_changes_nothing() {
    // C 31.
    let mut appliance = Appliance::following();
    appliance.offer("1.0.4", 6).put(&appliance.registry);
    appliance.vendor.document.version = 2;
    appliance.vendor.document.issued = ago(10 * DAY);
    appliance.vendor.document.expires = ago(DAY);
    put_trust(&appliance.registry, 2, &appliance.vendor.envelope());
    appliance.refuses("trust-expired");
    appliance.fails_verification("stable", "trust-expired");
    appliance.fails_verification("1.0.4", "trust-expired");
    // The expiry of a document in the middle of the chain does not count.
    appliance.vendor.document.version = 3;
    appliance.vendor.document.expires = now().plus(DAY);
    put_trust(&appliance.registry, 3, &appliance.vendor.envelope());
    appliance.resolve(&[]).ends(0);
}

#[test]
fn expiry_and_removed_keys_do_not_stop_the_rendering_of_what_was_accepted() {
    let mut appliance = Appliance::following();
    let held = appliance.remembered();
    let mut expired = appliance.offer("1.0.4", 6);
    (expired.statement.issued, expired.statement.expires) = (ago(9 * DAY), ago(DAY));
    signed_again(&appliance, &mut expired);
    expired.put(&appliance.registry);
    appliance.refuses("expired");
    let run =
        appliance.resolve(&["--fallback-to-state"]).ends(0).says(&["refused (expired)", "answered from the state"]);
    assert_eq!(run.stdout, held);
    // The keys of the accepted move are removed from the role.
    let appliance_offer = appliance.offer("1.0.3", 7);
    appliance_offer.put(&appliance.registry);
    appliance.resolve(&[]).ends(0);
    let (held, fresh) = (appliance.remembered(), PrivateKey::generate());
    appliance.vendor.document.version = 2;
    let id = fresh.key().id();
    appliance.vendor.document.keys.insert(id, *fresh.key());
    let role = &mut appliance.vendor.document.channels.get_mut("stable").expect("a role").role;
    (role.keys, role.threshold) = ([id].into(), 1);
    put_trust(&appliance.registry, 2, &appliance.vendor.envelope());
    appliance.refuses("unknown-key");
    let run = appliance.resolve(&["--fallback-to-state"]).ends(0);
    assert_eq!(run.stdout, held);
    run.says(&["is stale: the trust document no longer has enough of the keys"]);
    // Another move by the removed keys is an attack, and is not answered from the state.
    appliance.offer("1.0.4", 8).put(&appliance.registry);
    assert_eq!(appliance.resolve(&["--fallback-to-state"]).ends(3).stdout, "");
}

#[test]
fn a_stolen_channel_key_is_recovered_from_by_a_new_epoch() {
    // D 33 and D 34.
    let mut appliance = Appliance::following();
    appliance.offer("6.6.6", (1 << 53) - 1).put(&appliance.registry);
    appliance.resolve(&[]).ends(0);
    appliance.offer("1.0.5", 6).put(&appliance.registry);
    appliance.refuses("replay");
    let (old, stranger) = (appliance.vendor.document.clone(), PrivateKey::generate());
    appliance.vendor.document.version = 2;
    appliance.vendor.document.channels.get_mut("stable").expect("a role").epoch = 2;
    // D 35: the next document is signed by a new root key only.
    let mut taken = appliance.vendor.document.clone();
    taken.keys.insert(stranger.key().id(), *stranger.key());
    taken.root.keys = [stranger.key().id()].into();
    put_trust(&appliance.registry, 2, &sign_document(&taken, &[&stranger]));
    appliance.refuses("trust-document");
    appliance.verify("stable").ends(3).says(&["the next trust document in the store is refused"]);
    // D 36: by the old and the new one.
    put_trust(&appliance.registry, 2, &sign_document(&taken, &[&stranger, appliance.vendor.key("root")]));
    let offer = appliance.offer("1.0.5", 1);
    offer.put(&appliance.registry);
    assert_eq!(appliance.resolve(&[]).ends(0).stdout, text(&offer.json));
    // Moves of the old epoch are replays. D 37: the epoch does not fall.
    appliance.vendor.document = old;
    appliance.offer("6.6.6", (1 << 53) - 1).put(&appliance.registry);
    appliance.refuses("other-epoch");
    appliance.fails_verification("stable", "other-epoch");
    let mut back = taken;
    (back.version, back.channels.get_mut("stable").expect("a role").epoch) = (3, 1);
    put_trust(&appliance.registry, 3, &sign_document(&back, &[&stranger]));
    appliance.refuses("trust-document").says(&["the epoch of the channel stable falls from 2 to 1"]);
}

#[test]
fn each_trust_document_is_stored_before_the_next_is_asked_for() {
    let mut appliance = Appliance::following();
    let held = |appliance: &Appliance| {
        let state = appliance.state();
        let root = state["trust"].as_object().expect("roots").values().next().expect("a root").clone();
        let envelope: Option<Value> = root["document"].as_str().map(|text| serde_json::from_str(text).expect("JSON"));
        envelope.map(|envelope| {
            let payload = BASE64_STANDARD.decode(envelope["payload"].as_str().expect("a payload")).expect("base64");
            serde_json::from_slice::<Value>(&payload).expect("JSON")["version"].as_u64().expect("a version")
        })
    };
    assert_eq!(held(&appliance), None);
    for version in 2..5 {
        appliance.vendor.document.version = version;
        put_trust(&appliance.registry, version, &appliance.vendor.envelope());
    }
    // Only a missing document ends the chain. Any other answer ends the run.
    appliance.registry.fail(Fault::every("GET", "/manifests/trust-4", Action::status(500, "")));
    let run = appliance.resolve(&["--timeout", "2"]).ends(75);
    assert_eq!((run.stdout.as_str(), held(&appliance)), ("", Some(3)));
    appliance.registry.heal();
    appliance.resolve(&[]).ends(0);
    assert_eq!(held(&appliance), Some(4));
    // The next run asks for version 5 alone, and the state never goes back to the baked document.
    appliance.registry.clear_log();
    appliance.resolve(&[]).ends(0);
    let asked: Vec<String> = appliance.registry.lines().into_iter().filter(|line| line.contains("trust-")).collect();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked.iter().any(|line| line.ends_with("trust-5")), "{asked:?}");
}

#[test]
fn another_trust_document_of_the_version_in_use_is_reported() {
    let appliance = Appliance::following();
    put_trust(&appliance.registry, 1, &appliance.vendor.envelope());
    assert!(!appliance.resolve(&[]).ends(0).stderr.contains("another trust document"));
    let other = Vendor::new();
    put_trust(&appliance.registry, 1, &other.envelope());
    appliance.resolve(&[]).ends(0).says(&["the store serves another trust document of version 1 than the one in use"]);
    put_trust(&appliance.registry, 2, b"{}");
    appliance.refuses("trust-document");
    put_trust(&appliance.registry, 2, &other.envelope());
    appliance.refuses("trust-document").says(&["expected version 2, found version 1"]);
}

#[test]
fn text_in_a_statement_is_escaped_where_people_read_it() {
    // G 64.
    let appliance = Appliance::following();
    let mut offer = appliance.offer("1.0.4", 6);
    offer.statement.reason = Some("\u{1b}[31m<script>".to_owned());
    offer.statement.product = "\u{202e}other".to_owned();
    signed_again(&appliance, &mut offer);
    offer.put(&appliance.registry);
    let run = appliance.refuses("other-product");
    assert!(!run.stderr.contains(['\u{1b}', '\u{202e}']), "{}", run.stderr);
}

#[test]
fn a_registry_that_fails_at_any_request_changes_nothing() {
    // G 62: on each step of a run.
    let appliance = Appliance::following();
    let before = appliance.remembered();
    appliance.offer("1.0.4", 6).put(&appliance.registry);
    let requests = 10;
    for status in [401, 403, 429, 500, 502] {
        for skip in 0..requests {
            let denied = br#"{"errors":[{"code":"DENIED","message":"denied"}]}"#.to_vec();
            let action = Action::Status(status, Vec::new(), denied);
            appliance.registry.fail(Fault { skip, times: usize::MAX, ..Fault::first("GET", "", action) });
            let run = appliance.resolve(&["--timeout", "0.5"]);
            appliance.registry.heal();
            assert!(matches!(run.code, Some(1 | 3 | 4 | 75)), "{status} at {skip}: {run:?}");
            assert_eq!((run.stdout.as_str(), appliance.remembered()), ("", before.clone()), "{status} at {skip}");
        }
    }
    // F 50 and F 51, G 60 and G 63.
    let slow = Action::Drip(Duration::from_secs(1));
    for action in [Action::Endless, Action::CorruptBody, Action::Longer(100), slow, Action::RedirectToItself] {
        for path in ["/manifests/", "/blobs/"] {
            appliance.registry.fail(Fault::every("GET", path, action.clone()));
            let run = appliance.resolve(&["--timeout", "1s"]);
            let verified = appliance.verify_with("stable", &["--timeout", "1s"]);
            appliance.registry.heal();
            assert_ne!(run.code, Some(0), "{action:?}: {run:?}");
            assert_ne!(verified.code, Some(0), "{action:?}: {verified:?}");
            assert_eq!((run.stdout.as_str(), appliance.remembered()), ("", before.clone()), "{action:?}");
        }
    }
    appliance.resolve(&[]).ends(0);
}

#[test]
fn a_missing_answer_and_a_wrong_header_never_give_another_release() {
    let appliance = Appliance::following();
    let before = appliance.remembered();
    let offer = appliance.offer("1.0.4", 6);
    offer.put(&appliance.registry);
    // G 62: 404 on each step. Where it ends the chain of trust documents, the release is the right one all the same.
    for skip in 0..10 {
        let missing = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}"#.to_vec();
        let action = Action::Status(404, Vec::new(), missing);
        appliance.registry.fail(Fault { skip, times: 1, ..Fault::first("GET", "", action) });
        let run = appliance.resolve(&["--timeout", "2"]);
        appliance.registry.heal();
        if run.code == Some(0) {
            assert_eq!(run.stdout, text(&offer.json), "at {skip}");
        } else {
            assert_eq!(run.stdout, "", "{skip}: {run:?}");
        }
    }
    // G 63: a header that names another digest than that of the body.
    let appliance = Appliance::following();
    assert_eq!(appliance.remembered(), before);
    let offer = appliance.offer("1.0.4", 6);
    offer.put(&appliance.registry);
    for path in ["/manifests/stable", "/manifests/sha256", "/blobs/"] {
        appliance.registry.fail(Fault::every("GET", path, Action::WrongDigestHeader));
        let run = appliance.resolve(&["--timeout", "2"]);
        appliance.registry.heal();
        if run.code == Some(0) {
            assert_eq!(run.stdout, text(&offer.json), "{path}");
        } else {
            assert_eq!(run.stdout, "", "{path}: {run:?}");
        }
    }
}

#[test]
fn layers_that_are_missing_or_too_large_are_left_out_and_the_others_suffice() {
    let appliance = Appliance::following();
    let offer = appliance.offer("1.0.4", 6);
    let mut served = offer.manifest(|media_type, bytes| blob(&appliance.registry, media_type, bytes));
    let bytes = vec![b' '; 40_000];
    let large = blob(&appliance.registry, BUNDLE, &bytes);
    let mut missing = large.clone();
    (missing["digest"], missing["size"]) = (format!("sha256:{}", "ab".repeat(32)).into(), 2.into());
    let layers = served["layers"].as_array_mut().expect("layers");
    layers.extend([large, missing]);
    manifest(&appliance.registry, "stable", &served);
    let resolved = appliance.resolve(&["--output", "json"]).ends(0).json();
    assert_eq!(resolved["version"], "1.0.4");
    // Without the proof itself, the layer that cannot be read is the cause.
    served["layers"].as_array_mut().expect("layers").remove(1);
    manifest(&appliance.registry, "stable", &served);
    appliance.resolve(&[]).ends(1).says(&[&digest_of(&bytes)]);
}
