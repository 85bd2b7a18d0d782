//! The history of a channel, for whole and broken chains, and the manifests of it that must be kept.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::schemas::valid;
use crate::support::programs::{Run, Source, alga};
use crate::support::published::{RELEASES, digest_of, manifest, publish, store, with_images, writes};
use crate::support::registry::{Action, Auth, Fault, Quirks, Registry, Setup, at_once};
use crate::support::signed_channel::Appliance;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const RECORD: &str = "vnd.alga.appliance.channel.";

/// A registry with the moves 1.0.3, 1.0.4 and 1.0.5 of nightly.
fn three_moves() -> Registry {
    let (source, registry) = (Source::new(), Registry::start());
    with_images(&source, &["1.0.4", "1.0.5"]);
    for (version, by) in [("1.0.3", "alice"), ("1.0.4", "bob"), ("1.0.5", "carol")] {
        publish(&source, &registry, version, "nightly", &["--by", by]).ends(0);
    }
    registry
}

fn history(registry: &Registry, more: &[&str]) -> Run {
    alga(&[&["history", "nightly", "--store", &store(registry)], more].concat())
}

fn json(registry: &Registry, more: &[&str]) -> Value {
    history(registry, &[&["--output", "json"], more].concat()).ends(0).json()
}

fn sequences(history: &Value, key: &str) -> Vec<u64> {
    let moves = history[key].as_array().expect("a list");
    moves.iter().map(|one| one["sequence"].as_u64().unwrap_or_default()).collect()
}

/// Returns the keep-alive tag of a move, and the manifest that it names.
fn kept(registry: &Registry, sequence: u64) -> (String, String) {
    let start = format!("nightly-{sequence}-");
    registry.tags(RELEASES).into_iter().find(|(tag, _)| tag.starts_with(&start)).expect("a keep-alive tag")
}

/// Pushes the manifest under a tag with other records and with its own keep-alive tag. Returns its digest.
fn rewritten(registry: &Registry, tag: &str, records: &[(&str, Option<&str>)]) -> String {
    let mut manifest = manifest(registry, tag);
    let annotations = manifest["annotations"].as_object_mut().expect("annotations");
    for (key, value) in records {
        match value {
            Some(value) => drop(annotations.insert(format!("{RECORD}{key}"), (*value).into())),
            None => drop(annotations.remove(&format!("{RECORD}{key}"))),
        }
    }
    let sequence = annotations.get(&format!("{RECORD}sequence")).and_then(Value::as_str).unwrap_or("none").to_owned();
    let bytes = serde_json::to_vec(&manifest).expect("JSON");
    let digest = digest_of(&bytes);
    let keep_alive = format!("nightly-{sequence}-{}", &digest[7..15]);
    registry.put_manifest(RELEASES, Some(&keep_alive), &digest, MANIFEST, &bytes);
    digest
}

#[test]
fn a_history_has_version_time_person_and_digests_of_each_move() {
    let registry = three_moves();
    let told = json(&registry, &[]);
    assert_eq!(sequences(&told, "moves"), [3, 2, 1]);
    assert_eq!((&told["end"]["why"], told["apart"].as_array().map(Vec::len)), (&"beginning".into(), Some(0)));
    let newest = &told["moves"][0];
    let tags = registry.tags(RELEASES);
    for (key, expected) in [
        ("version", "1.0.5"),
        ("release", &tags["1.0.5"]),
        ("manifest", &tags["nightly"]),
        ("kind", "publish"),
        ("by", "carol"),
        ("keptBy", &kept(&registry, 3).0),
    ] {
        assert_eq!(newest[key], expected, "{key}");
    }
    let text = history(&registry, &[]).ends(0).stdout;
    for word in ["1.0.3", "1.0.4", "1.0.5", "by alice", &tags["1.0.4"], "first move"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert_eq!(sequences(&json(&registry, &["--moves", "2"]), "moves"), [3, 2]);
    assert_eq!(json(&registry, &["--moves", "2"])["end"]["why"], "limit");
    assert_eq!(json(&registry, &["--moves", "2"])["apart"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_history_is_read_concurrently_up_to_a_limit() {
    let registry = three_moves();
    registry.clear_log();
    json(&registry, &[]);
    // Requests: the channel, its JSON and the tags; for each move its keep-alive tag and its JSON.
    assert_eq!(registry.log().len(), 3 + 2 * 3, "{:#?}", registry.lines());
    assert!(registry.lines().iter().all(|line| !line.contains("/manifests/sha256:")), "{:#?}", registry.lines());
    // None of these requests waits for the answer of another one.
    at_once(&registry, "/manifests/nightly-", 3, || drop(json(&registry, &[])));
    registry.clear_log();
    json(&registry, &["--moves", "1"]);
    assert_eq!(registry.log().len(), 3 + 2, "{:#?}", registry.lines());
}

#[test]
fn a_history_without_keep_alive_tags_follows_the_digests() {
    let registry = three_moves();
    registry.fail(Fault::every("GET", "/tags/list", Action::status(405, "")));
    let told = json(&registry, &[]);
    assert_eq!(sequences(&told, "moves"), [3, 2, 1]);
    assert_eq!(told["moves"][0]["keptBy"], Value::Null);
    registry.heal();
    for sequence in 1..=3 {
        registry.remove_tag(RELEASES, &kept(&registry, sequence).0);
    }
    assert_eq!(sequences(&json(&registry, &[]), "moves"), [3, 2, 1]);
}

#[test]
fn a_history_begins_with_the_first_move_after_a_publication_that_was_not_public() {
    for (next, expected) in [("1.0.3", vec![1]), ("1.0.4", vec![2, 1])] {
        let user = ("alice", "s3cret-token");
        let auth = Auth::Token { realm: None, user: Some((user.0.to_owned(), user.1.to_owned())) };
        let quirks = Quirks { private: true, ..Quirks::default() };
        let registry = Registry::with(Setup { auth, quirks, ..Setup::default() });
        let (source, store) = (Source::new(), store(&registry));
        with_images(&source, &["1.0.4"]);
        let environment = [("ALGA_REGISTRY_USERNAME", user.0), ("ALGA_REGISTRY_TOKEN", user.1)];
        let publish = |version: &str, by: &str| {
            let arguments = ["--version", version, "--channel", "nightly", "--store", &store, "--by", by];
            source.publish_in(&arguments, &environment)
        };
        publish("1.0.3", "alice").ends(3).says(&["the public cannot read"]);
        assert!(!registry.tags(RELEASES).contains_key("nightly"));
        registry.repositories().iter().for_each(|name| registry.publish(name));
        publish(next, "bob").ends(0);
        let told = json(&registry, &[]);
        assert_eq!((sequences(&told, "moves"), &told["end"]["why"]), (expected, &"beginning".into()), "{next}");
        let first = manifest(&registry, &kept(&registry, 1).0);
        assert_eq!(first["annotations"].get(format!("{RECORD}previous")), None, "{next}");
        assert!(history(&registry, &[]).ends(0).stdout.contains("this was the channel's first move"), "{next}");
    }
}

#[test]
fn the_history_of_a_channel_without_its_tag_is_shown_and_fails() {
    let registry = three_moves();
    registry.remove_tag(RELEASES, "nightly");
    let gone = history(&registry, &["--output", "json"]).ends(1);
    let told =
        gone.says(&["cannot tell what nightly serves in", "the channel has no tag", "its history continues"]).json();
    assert_eq!((&told["end"]["why"], sequences(&told, "apart")), (&"gone".into(), vec![3, 2, 1]));
    let text = history(&registry, &[]).ends(1).stdout;
    assert!(text.contains("the channel has no tag") && text.contains("1.0.5"), "{text}");
}

#[test]
fn a_store_whose_index_cannot_be_read_fails_history_and_ls() {
    let source = Source::new();
    let store = source.layout();
    source.publish(&["--version", "1.0.3", "--channel", "nightly", "--store", &store]).ends(0);
    let index = source.store().join("alga-appliance-release/index.json");
    std::fs::write(index, "{").expect("written");
    for command in [&["history", "nightly"][..], &["ls", "nightly"], &["ls"]] {
        let run = alga(&[command, &["--store", &store]].concat()).ends(1);
        run.says(&["error: ", "invalid `index.json`"]);
    }
}

#[test]
fn a_deleted_manifest_ends_the_chain_and_older_moves_are_listed_separately() {
    let registry = three_moves();
    let (_, second) = kept(&registry, 2);
    registry.remove_manifest(RELEASES, &second);
    let told = json(&registry, &[]);
    assert_eq!((sequences(&told, "moves"), sequences(&told, "apart")), (vec![3], vec![1]));
    assert_eq!(told["end"]["why"], "missing");
    let text = history(&registry, &[]).ends(0).stdout;
    for word in ["the history ends here", &second, "older than the end of the chain", "1.0.3"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn a_move_by_another_tool_ends_the_chain_and_is_reported() {
    let registry = three_moves();
    // The channel tag names the release itself, which has no record.
    registry.tag(RELEASES, "nightly", &registry.tags(RELEASES)["1.0.4"]);
    let told = json(&registry, &[]);
    assert_eq!(told["end"]["why"], "no-record");
    let newest = &told["moves"][0];
    assert_eq!(
        (&newest["version"], &newest["kind"], &newest["sequence"]),
        (&"1.0.4".into(), &Value::Null, &Value::Null)
    );
    assert_eq!(sequences(&told, "apart"), [3, 2, 1]);
}

#[test]
fn a_lost_move_is_shown_as_lost() {
    let registry = three_moves();
    let other = rewritten(&registry, &kept(&registry, 3).0, &[("by", Some("mallory"))]);
    let interrupted = rewritten(&registry, &kept(&registry, 3).0, &[("sequence", Some("4")), ("by", Some("dave"))]);
    let told = json(&registry, &[]);
    assert_eq!(sequences(&told, "moves"), [3, 2, 1]);
    let apart = told["apart"].as_array().expect("a list");
    let shown: Vec<_> = apart.iter().map(|one| (one["move"]["manifest"].clone(), one["move"]["by"].clone())).collect();
    assert_eq!(shown, [(interrupted.into(), "dave".into()), (other.into(), "mallory".into())]);
    assert!(apart[1]["why"].as_str().is_some_and(|why| why.starts_with("lost")), "{apart:#?}");
    assert!(apart[0]["why"].as_str().is_some_and(|why| why.contains("interrupted")), "{apart:#?}");
    let text = history(&registry, &[]).ends(0).stdout;
    assert!(text.contains("kept, but not in this chain") && text.contains("by mallory"), "{text}");
}

#[test]
fn sequence_numbers_that_do_not_fall_end_the_chain() {
    let registry = three_moves();
    let newest = registry.tags(RELEASES)["nightly"].clone();
    let loops = rewritten(&registry, "nightly", &[("previous", Some(&newest))]);
    registry.tag(RELEASES, "nightly", &loops);
    let told = json(&registry, &[]);
    assert_eq!((sequences(&told, "moves"), &told["end"]["why"]), (vec![3], &"not-falling".into()));
    let orphan = rewritten(&registry, "nightly", &[("previous", None)]);
    registry.tag(RELEASES, "nightly", &orphan);
    assert_eq!(json(&registry, &[])["end"]["why"], "no-previous");
    registry.put_manifest(RELEASES, Some("nightly"), &digest_of(b"[]"), MANIFEST, b"[]");
    let told = history(&registry, &["--output", "json"]).ends(1).says(&["cannot tell what nightly serves in"]).json();
    assert_eq!((sequences(&told, "moves").len(), &told["end"]["why"]), (0, &"unreadable".into()));
}

#[test]
fn a_history_goes_on_across_a_new_epoch_whose_numbers_begin_again() {
    let mut appliance = Appliance::new();
    let first = appliance.offer("1.0.3", 7).put(&appliance.registry).to_string();
    let flags = ["history", "stable", "--store", &store(&appliance.registry)];
    let told = || alga(&[&flags[..], &["--output", "json"]].concat()).ends(0).json();
    let follow = |appliance: &Appliance| {
        let mut offer = appliance.offer("1.0.4", 1);
        offer.annotations[format!("{RECORD}previous")] = first.clone().into();
        offer.put(&appliance.registry);
    };
    // A lower number in the same epoch is not a move after the other one.
    follow(&appliance);
    assert_eq!((sequences(&told(), "moves"), &told()["end"]["why"]), (vec![1], &"not-falling".into()));
    appliance.vendor.document.channels.get_mut("stable").expect("a role").epoch = 2;
    follow(&appliance);
    let history = told();
    valid("history.json", &history);
    assert_eq!((sequences(&history, "moves"), &history["end"]["why"]), (vec![1, 7], &"no-previous".into()));
    assert_eq!((&history["moves"][0]["beginsEpoch"], &history["moves"][1]["beginsEpoch"]), (&2.into(), &Value::Null));
    alga(&flags).ends(0).prints(&["epoch 2 of the channel begins with this move"]);
}

#[test]
fn the_chain_continues_after_a_missing_release() {
    let registry = three_moves();
    let json_of = manifest(&registry, &kept(&registry, 2).0)["config"]["digest"].as_str().expect("a digest").to_owned();
    registry.remove_blob(RELEASES, &json_of);
    let told = json(&registry, &[]);
    assert_eq!((sequences(&told, "moves"), &told["moves"][1]["version"]), (vec![3, 2, 1], &Value::Null));
}

#[test]
fn the_release_at_a_time_is_that_of_the_last_move_before() {
    let registry = three_moves();
    let (_, first) = kept(&registry, 1);
    let second = rewritten(
        &registry,
        &kept(&registry, 2).0,
        &[("moved", Some("2026-11-20T12:00:00Z")), ("previous", Some(&first))],
    );
    let third =
        rewritten(&registry, "nightly", &[("moved", Some("2026-11-21T12:00:00Z")), ("previous", Some(&second))]);
    registry.tag(RELEASES, "nightly", &third);
    let at = |time: &str| json(&registry, &["--to-time", time])["at"]["served"]["version"].clone();
    assert_eq!(at("2026-11-21T12:00:00Z"), "1.0.5");
    assert_eq!(at("2026-11-21T11:59:59Z"), "1.0.4");
    assert_eq!(at("2026-11-20T13:00:00+01:00"), "1.0.4");
    let early = "2001-01-01T00:00:00Z";
    assert_eq!(at(early), Value::Null);
    assert!(history(&registry, &["--to-time", early]).ends(0).stdout.contains("nothing"), "said");
    history(&registry, &["--to-time", early, "--moves", "1"])
        .ends(3)
        .says(&["cannot tell what nightly served", "--moves"]);
    history(&registry, &["--to-time", "yesterday"]).ends(9);
    registry.remove_manifest(RELEASES, &second);
    history(&registry, &["--to-time", early])
        .ends(3)
        .says(&["cannot tell what nightly served", "does not have the previous manifest"]);
}

#[test]
fn control_characters_in_a_record_do_not_reach_the_terminal() {
    let registry = three_moves();
    let evil = "\u{1b}[2Jgone\r\n\u{202e}txt";
    let forged = rewritten(&registry, "nightly", &[("reason", Some(evil)), ("by", Some(evil)), ("moved", Some(evil))]);
    registry.tag(RELEASES, "nightly", &forged);
    let text = history(&registry, &[]).ends(0).stdout;
    assert!(!text.contains('\u{1b}') && !text.contains('\r') && !text.contains('\u{202e}'), "{text:?}");
    assert!(text.contains("\\u{1b}[2Jgone"), "{text}");
    assert_eq!(json(&registry, &[])["moves"][0]["reason"], evil);
}

/// Returns every `REPOSITORY:TAG` and `REPOSITORY@DIGEST` that must be kept.
fn keep_list(registry: &Registry, more: &[&str]) -> BTreeSet<String> {
    let run = alga(&[&["in-use", "--output", "keep-list", "--store", &store(registry)], more].concat()).ends(0);
    run.stdout.lines().map(ToOwned::to_owned).collect()
}

/// Deletes everything in a registry that need not be kept.
fn collect(registry: &Registry, keep: &BTreeSet<String>) {
    for repository in registry.repositories() {
        let name = format!("{}/{repository}", registry.address());
        let tags = registry.tags(&repository);
        for (tag, _) in tags.iter().filter(|(tag, _)| !keep.contains(&format!("{name}:{tag}"))) {
            registry.remove_tag(&repository, tag);
        }
        for digest in tags.values().filter(|digest| !keep.contains(&format!("{name}@{digest}"))) {
            registry.remove_manifest(&repository, digest);
        }
    }
}

#[test]
fn the_list_of_in_use_is_enough_to_verify_and_roll_back_every_channel() {
    let (source, registry) = (Source::new(), Registry::start());
    with_images(&source, &["1.0.4", "1.0.5"]);
    for version in ["1.0.3", "1.0.4", "1.0.5"] {
        source.append("helm/values.yaml", "\n# changed\n");
        publish(&source, &registry, version, "nightly", &["--chart-version", "stamped"]).ends(0);
    }
    let store = store(&registry);
    alga(&["promote", "--from", "1.0.4", "--to", "stable", "--store", &store]).ends(0);
    registry.clear_log();
    let keep = keep_list(&registry, &["--moves", "2"]);
    assert_eq!(writes(&registry), 0);
    let has = |word: &str| keep.iter().any(|line| line.contains(word));
    for word in
        ["release:1.0.4", "release:1.0.5", "release:nightly", "config:1.0.4", "psa-ee:62cdce38", "worker:a2cbb43"]
    {
        assert!(has(word), "{word}: {keep:#?}");
    }
    assert!(!has("release:1.0.3") && !has("config:1.0.3"), "{keep:#?}");
    let before = registry.tags("org/charts/sebastian").len();
    collect(&registry, &keep);
    assert_eq!((before, registry.tags("org/charts/sebastian").len()), (3, 2));
    alga(&["verify", "--all-channels", "--store", &store]).ends(0);
    alga(&["rollback", "nightly", "--to", "previous", "--store", &store, "--reason", "it fails"]).ends(0);
    assert!(!registry.tags(RELEASES).contains_key("1.0.3"));
}

/// Deletes what a retention job deletes: tags, and with `manifests` the manifests that they name.
fn prune(registry: &Registry, moves: &str, manifests: bool) -> Vec<String> {
    let plan = alga(&["in-use", "--prune-plan", "--moves", moves, "--store", &store(registry), "--output", "json"]);
    let plan = plan.ends(0).json();
    let plan = plan["prune"].as_array().expect("a plan").iter().map(|one| {
        let (tag, digest) = (one["tag"].as_str().expect("a tag"), one["digest"].as_str().expect("a digest"));
        registry.remove_tag(RELEASES, tag);
        if manifests {
            registry.remove_manifest(RELEASES, digest);
        }
        tag.split('-').take(2).collect::<Vec<_>>().join("-")
    });
    plan.collect()
}

#[test]
fn history_verify_and_rollback_work_after_a_prune_plan_is_carried_out() {
    for manifests in [false, true] {
        let (source, registry) = (Source::new(), Registry::start());
        let versions = ["1.0.3", "1.0.4", "1.0.5", "1.0.6"];
        with_images(&source, &["1.0.4", "1.0.5", "1.0.6", "1.0.7"]);
        for version in versions {
            publish(&source, &registry, version, "nightly", &[]).ends(0);
            let arguments = ["promote", "--from", "nightly", "--to", "stable", "--store", &store(&registry)];
            alga(&arguments).ends(0);
        }
        registry.clear_log();
        assert_eq!(prune(&registry, "4", manifests), [""; 0]);
        assert_eq!(prune(&registry, "2", manifests), ["nightly-1", "nightly-2", "stable-1", "stable-2"]);
        assert_eq!(writes(&registry), 0);
        assert_eq!(sequences(&json(&registry, &["--moves", "2"]), "moves"), [4, 3]);
        let whole = json(&registry, &[]);
        assert_eq!(sequences(&whole, "moves"), if manifests { vec![4, 3] } else { vec![4, 3, 2, 1] });
        assert_eq!(whole["end"]["why"], if manifests { "missing" } else { "beginning" });
        assert_eq!(prune(&registry, "2", manifests), [""; 0]);
        alga(&["verify", "--all-channels", "--store", &store(&registry)]).ends(0);
        let back = ["rollback", "stable", "--to", "previous", "--reason", "it fails", "--store", &store(&registry)];
        alga(&back).ends(0);
        publish(&source, &registry, "1.0.7", "nightly", &[]).ends(0);
        assert_eq!(sequences(&json(&registry, &["--moves", "2"]), "moves"), [5, 4]);
    }
}

#[test]
fn a_prune_plan_names_only_moves_that_need_not_be_kept() {
    let registry = three_moves();
    let (tags, first, second) = (registry.tags(RELEASES), kept(&registry, 1), kept(&registry, 2));
    // Tags that look like those of the first move name the served manifest, a release, and a move that never happens.
    let served = format!("nightly-1-{}", &tags["nightly"][7..15]);
    registry.tag(RELEASES, &served, &tags["nightly"]);
    registry.tag(RELEASES, "nightly-1-0123abcd", &tags["1.0.3"]);
    registry.tag(RELEASES, "nightly-18446744073709551615-deadbeef", &tags["1.0.3"]);
    let text = alga(&["in-use", "--prune-plan", "--moves", "2", "--store", &store(&registry)]).ends(0).stdout;
    assert!(text.starts_with("1 keep-alive tags may be deleted"), "{text}");
    assert!(text.contains(&first.0) && text.contains(&first.1), "{text}");
    registry.remove_manifest(RELEASES, &second.1);
    let run = alga(&["in-use", "--prune-plan", "--moves", "2", "--store", &store(&registry)]).ends(3);
    assert!(run.stdout.starts_with("nothing may be deleted"), "{}", run.stdout);
    run.says(&["do not delete anything"]);
}

#[test]
fn an_incomplete_list_of_what_is_in_use_allows_no_deletion() {
    let registry = three_moves();
    let store = store(&registry);
    let complete = alga(&["in-use", "--store", &store, "--output", "json"]).ends(0).json();
    assert_eq!((&complete["complete"], complete["problems"].as_array().map(Vec::len)), (&true.into(), Some(0)));
    let text = alga(&["in-use", "--store", &store]).ends(0).stdout;
    assert!(text.contains("release 1.0.5: chart temporal"), "{text}");
    registry.remove_manifest(RELEASES, &kept(&registry, 2).1);
    let run = alga(&["in-use", "--store", &store, "--output", "json"]).ends(3);
    assert_eq!(run.json()["complete"], false);
    run.says(&["history of nightly ends early", "do not delete anything"]);
    let empty = alga(&["in-use", "--output", "keep-list", "--store", &format!("{store}/typo")]).ends(3);
    assert_eq!(empty.stdout, "");
    empty.says(&["no channel serves anything"]);
}
