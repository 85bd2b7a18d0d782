//! Signatures that are made on another machine: what must be signed goes to a file, and comes back signed.

use std::path::Path;

use serde_json::Value;

use crate::schemas::valid;
use crate::support::images::{GZIP, Image, tar};
use crate::support::programs::{Run, Source, alga, resolve};
use crate::support::published::{RELEASES, manifest, publish, state, store, with_images, writes};
use crate::support::registry::Registry;
use crate::support::signed_channel::{Appliance, Offer, put_release, put_trust, statement};
use crate::support::trust::{DAY, Vendor, ago};

/// A change of a prepared file.
type Change<'a> = &'a dyn Fn(&mut Value);

fn slices(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

/// A vendor whose nightly channel serves 1.0.3.
fn published() -> (Vendor, Source, Registry) {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    publish(&source, &registry, "1.0.3", "nightly", &slices(&vendor.flags(&["release", "nightly"]))).ends(0);
    (vendor, source, registry)
}

/// Promotes nightly to stable with keys, and with more flags. The machine keeps its record in `record`.
fn promote(vendor: &Vendor, registry: &Registry, keys: &[&str], record: &str, more: &[&str]) -> Run {
    let (mut flags, at) = (vendor.flags(keys), store(registry));
    flags[3] = vendor.file(record);
    let arguments = ["promote", "--from", "nightly", "--to", "stable", "--store", &at];
    alga(&[&arguments[..], &slices(&flags), more].concat())
}

/// Signs a prepared file on the machine that keeps its record in `record`.
fn sign(vendor: &Vendor, file: &str, keys: &[&str], record: &str) -> Run {
    let mut flags = vendor.flags(keys);
    flags[3] = vendor.file(record);
    alga(&[&["sign", file], &slices(&flags)[..]].concat())
}

fn json(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON")
}

/// An appliance that trusts the vendor follows `stable`.
fn follows(vendor: &Vendor, registry: &Registry, version: &str) {
    let (trust, state) = (vendor.file("trust.json"), vendor.file("appliance.json"));
    let arguments = ["resolve", "stable", "--store", &store(registry), "--trust", &trust, "--state", &state];
    assert_eq!(resolve(&arguments).ends(0).json()["version"], version);
}

#[test]
fn two_people_promote_together_and_neither_has_the_key_of_the_other() {
    let (vendor, source, registry) = published();
    let (file, copy) = (vendor.file("stable.json"), vendor.file("copy.json"));
    let before = state(&registry);
    registry.clear_log();
    let by = ["--by", "alice", "--prepare", &file];
    promote(&vendor, &registry, &[], "cron.json", &by)
        .ends(0)
        .says(&["wrote 2 messages to sign to", "alga-release sign"])
        .prints(&["would move stable", "--signature"]);
    assert_eq!((writes(&registry), state(&registry)), (0, before.clone()));
    let prepared = json(&file);
    valid("prepared.json", &prepared);
    assert_eq!(prepared["messages"][0]["role"], "channel");
    assert_eq!(prepared["messages"][0]["threshold"], 2);
    assert_eq!(prepared["messages"][1]["role"], "refresh");

    std::fs::copy(&file, &copy).expect("a copy");
    let release = registry.tags(RELEASES)["1.0.3"].clone();
    sign(&vendor, &file, &["stable-a"], "alice.json")
        .ends(0)
        .says(&[
            &format!("the channel stable of alga-psa serves the release {release}"),
            "by alice, from nightly",
            "sequence 1",
        ])
        .prints(&["by the role channel: 1 of 2", "more signatures are needed"]);
    sign(&vendor, &copy, &["stable-b"], "bob.json").ends(0);

    // One of two is not enough, and the refresh is missing too.
    let short = promote(&vendor, &registry, &["refresh"], "cron.json", &["--signature", &file]).ends(3);
    let missing = vendor.key("stable-b").key().id().short();
    short.says(&["needs signatures by 2 keys of the role channel, found 1", &format!("no signature by {missing}")]);
    promote(&vendor, &registry, &[], "cron.json", &["--signature", &file, "--signature", &copy])
        .ends(3)
        .says(&["by 1 key of the role refresh, found 0"]);
    assert_eq!(state(&registry), before);

    let both = ["--signature", &file, "--signature", &copy];
    promote(&vendor, &registry, &["refresh"], "cron.json", &both).ends(0).prints(&["moved stable"]);
    let record =
        |key: &str| manifest(&registry, "stable")["annotations"][format!("vnd.alga.appliance.channel.{key}")].clone();
    assert_eq!((record("by"), record("sequence")), ("alice".into(), "1".into()));
    follows(&vendor, &registry, "1.0.3");

    // The same command again finds everything done.
    registry.clear_log();
    promote(&vendor, &registry, &["refresh"], "cron.json", &both).ends(0).prints(&["nothing to do"]);
    assert_eq!(writes(&registry), 0);

    // The next move needs signatures of its own: those of the last one are of another statement.
    with_images(&source, &["1.0.4"]);
    publish(&source, &registry, "1.0.4", "nightly", &slices(&vendor.flags(&["release", "nightly"]))).ends(0);
    promote(&vendor, &registry, &["refresh"], "cron.json", &both).ends(3).says(&[
        "the signatures are of another statement of stable",
        "sequence: signed 1, now 2",
        "prepare and sign again",
    ]);
}

#[test]
fn one_file_goes_from_signer_to_signer() {
    let (vendor, _source, registry) = published();
    let file = vendor.file("stable.json");
    promote(&vendor, &registry, &["stable-a"], "alice.json", &["--prepare", &file]).ends(0);
    assert_eq!(json(&file)["messages"][0]["signatures"].as_array().expect("a list").len(), 1);
    sign(&vendor, &file, &["stable-b"], "bob.json").ends(0).prints(&["by the role channel: 2 of 2"]);
    sign(&vendor, &file, &["stable-b"], "bob.json").ends(3).says(&["no key that is given has a role"]);
    sign(&vendor, &file, &["refresh"], "bob.json").ends(0).prints(&["nothing more must sign"]);
    sign(&vendor, &file, &["refresh"], "bob.json").ends(0).prints(&["added 0 signatures"]);
    let flags = vendor.flags(&["refresh"]);
    let report = alga(&[&["sign", &file, "--output", "json"], &slices(&flags)[..]].concat()).ends(0).json();
    valid("signed.json", &report);
    assert_eq!(report["complete"], true);
    // Alice promotes on the machine on which she prepared and signed.
    promote(&vendor, &registry, &[], "alice.json", &["--signature", &file]).ends(0);
    follows(&vendor, &registry, "1.0.3");
}

#[test]
fn a_whole_publication_is_signed_elsewhere() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    let file = vendor.file("release.json");
    let with = |keys: &[&str], more: &[&str]| {
        publish(&source, &registry, "1.0.3", "nightly", &[&slices(&vendor.flags(keys)), more].concat())
    };
    with(&[], &["--prepare", &file]).ends(0).says(&["wrote 15 messages to sign"]);
    assert_eq!(writes(&registry), 0);
    with(&[], &["--signature", &file]).ends(3).says(&["needs signatures by 1 key of the role release, found 0"]);
    assert_eq!(writes(&registry), 0);
    sign(&vendor, &file, &["release"], "a.json").ends(0);
    sign(&vendor, &file, &["nightly"], "b.json").ends(0);
    with(&[], &["--signature", &file]).ends(0);
    let trust = vendor.file("trust.json");
    resolve(&["resolve", "nightly", "--store", &store(&registry), "--trust", &trust]).ends(0);
    let signed = registry
        .tags("org/charts/sebastian")
        .keys()
        .filter(|tag| tag.starts_with("sha256-") && tag.contains('.'))
        .count();
    assert_eq!(signed, 1);
    registry.clear_log();
    with(&[], &["--signature", &file]).ends(0);
    with(&[], &[]).ends(0);
    assert_eq!(writes(&registry), 0, "what is signed needs no key");
}

#[test]
fn a_refresh_is_signed_elsewhere() {
    let appliance = Appliance::new();
    let (vendor, registry) = (&appliance.vendor, &appliance.registry);
    let mut old = statement(vendor, "nightly", &put_release(registry, "1.0.3"), 5);
    (old.issued, old.expires) = (ago(20 * DAY), ago(20 * DAY).plus(22 * DAY));
    Offer::of(vendor, "1.0.3", old).put(registry);
    let (file, flags, at) = (vendor.file("nightly.json"), vendor.flags(&[]), store(registry));
    let run = |more: &[&str]| alga(&[&["refresh", "nightly", "--store", &at], &slices(&flags)[..], more].concat());
    run(&["--prepare", &file]).ends(0).says(&["wrote 1 message to sign"]);
    sign(vendor, &file, &["nightly"], "a.json").ends(0).says(&["(refresh, by tester@bench)"]);
    run(&["--signature", &file]).ends(0).prints(&["refreshed nightly", "move 6"]);
    appliance.run(&["resolve", "nightly"], &[]).ends(0);
}

#[test]
fn a_command_line_that_differs_from_the_prepared_one_is_refused() {
    let (vendor, _source, registry) = published();
    let file = vendor.file("stable.json");
    promote(&vendor, &registry, &[], "a.json", &["--reason", "tested", "--prepare", &file]).ends(0);
    sign(&vendor, &file, &["stable-a", "stable-b", "refresh"], "b.json").ends(0).says(&["reason: tested"]);
    let before = state(&registry);
    for (more, says) in [
        (&["--signature", &file][..], "reason: signed tested, now none"),
        (&["--signature", &file, "--reason", "other"], "reason: signed tested, now other"),
        (&["--signature", &file, "--reason", "tested", "--by", "eve"], "by: signed tester@bench, now eve"),
    ] {
        promote(&vendor, &registry, &[], "a.json", more).ends(3).says(&["of another statement of stable", says]);
    }
    assert_eq!(state(&registry), before);
    promote(&vendor, &registry, &[], "a.json", &["--signature", &file, "--reason", "tested"]).ends(0);
}

#[test]
fn a_signer_signs_no_second_statement_with_a_number() {
    let (vendor, _source, registry) = published();
    let (first, second) = (vendor.file("first.json"), vendor.file("second.json"));
    promote(&vendor, &registry, &[], "a.json", &["--prepare", &first]).ends(0);
    promote(&vendor, &registry, &[], "a.json", &["--reason", "another", "--prepare", &second]).ends(0);
    sign(&vendor, &first, &["stable-a"], "b.json").ends(0);
    let before = std::fs::read(&second).expect("a file");
    sign(&vendor, &second, &["stable-a"], "b.json")
        .ends(3)
        .says(&["statement 1 of stable (epoch 1) is not signed: 1 was signed here before", "--accept-sequence 1"])
        .says(&["hint: prepare the move again"]);
    assert_eq!(std::fs::read(&second).expect("a file"), before);
    let next = ["--reason", "another", "--accept-sequence", "1", "--prepare", &second];
    promote(&vendor, &registry, &[], "a.json", &next).ends(0);
    sign(&vendor, &second, &["stable-a", "stable-b", "refresh"], "b.json").ends(0).says(&["sequence 2"]);
    let next = ["--reason", "another", "--accept-sequence", "1", "--signature", &second];
    promote(&vendor, &registry, &[], "a.json", &next).ends(0);
    follows(&vendor, &registry, "1.0.3");
}

#[test]
fn the_second_person_sees_what_a_statement_brings() {
    let (vendor, source, registry) = published();
    let (file, at) = (vendor.file("stable.json"), store(&registry));
    let keys = ["stable-a", "stable-b", "refresh"];
    promote(&vendor, &registry, &keys, "a.json", &[]).ends(0);
    let nightly = slices(&vendor.flags(&["release", "nightly"])).iter().map(ToString::to_string).collect::<Vec<_>>();
    with_images(&source, &["1.0.4", "1.0.5"]);
    publish(&source, &registry, "1.0.4", "nightly", &slices(&nightly)).ends(0);
    promote(&vendor, &registry, &["stable-a"], "a.json", &["--prepare", &file]).ends(0);
    let diff = || alga(&["diff", "--statement", &file, "--store", &at, "--output", "json"]);
    let shown = diff().ends(0).json();
    assert_eq!((&shown["from"]["version"], &shown["to"]["version"]), (&"1.0.3".into(), &"1.0.4".into()));
    let release = registry.tags(RELEASES)["1.0.4"].clone();
    diff().says(&[
        &format!("the statement says: the channel stable of alga-psa serves the release {release} (promote, by "),
        "sequence 2 of epoch 1, after the statement sha256:",
        ", expires at ",
    ]);
    sign(&vendor, &file, &["stable-b", "refresh"], "b.json").ends(0);
    promote(&vendor, &registry, &[], "a.json", &["--signature", &file]).ends(0);
    assert_eq!(diff().ends(0).json()["hasChanges"], false, "the channel carries the statement");
    diff().says(&["stable carries this statement already, so nothing is left to approve"]);
    assert_eq!(diff().json()["risks"], serde_json::json!([]));
    publish(&source, &registry, "1.0.5", "nightly", &slices(&nightly)).ends(0);
    promote(&vendor, &registry, &keys, "a.json", &[]).ends(0);
    diff().ends(3).says(&["statement 2 of stable does not follow what the channel serves now: statement 3"]);
    alga(&["diff", "--statement", &vendor.file("trust.json"), "--store", &at]).ends(9).says(&["prepared file"]);
    alga(&["diff", "--statement", &file, "nightly", "stable", "--store", &at]).ends(9);
    alga(&["diff", "nightly", "--store", &at]).ends(9);
}

#[test]
fn signatures_that_do_not_count_are_refused_before_anything_is_written() {
    let (vendor, _source, registry) = published();
    let file = vendor.file("stable.json");
    promote(&vendor, &registry, &[], "a.json", &["--prepare", &file]).ends(0);
    sign(&vendor, &file, &["stable-a", "refresh"], "b.json").ends(0);
    let (before, signed) = (state(&registry), json(&file));
    let key = |name: &str| vendor.key(name).key().id().to_string();
    let cases: [(&str, Change<'_>, i32); 6] = [
        ("is not in the role", &|file| file["messages"][0]["signatures"][0]["key"] = key("nightly").into(), 3),
        (
            "is not a signature of the message",
            &|file| file["messages"][0]["signatures"][0]["key"] = key("stable-b").into(),
            3,
        ),
        ("its payload was changed", &|file| file["messages"][0]["payload"] = file["messages"][1]["payload"].clone(), 9),
        (
            "found 1",
            &|file| {
                let one = file["messages"][0]["signatures"][0].clone();
                file["messages"][0]["signatures"] = vec![one.clone(), one].into();
            },
            3,
        ),
        ("found 0", &|file| file["messages"][0]["signatures"] = Vec::<Value>::new().into(), 3),
        ("invalid JSON of a prepared file", &|file| *file = "x".into(), 9),
    ];
    for (says, change, code) in cases {
        let mut changed = signed.clone();
        change(&mut changed);
        std::fs::write(&file, changed.to_string()).expect("written");
        promote(&vendor, &registry, &[], "a.json", &["--signature", &file]).ends(code).says(&[says]);
        assert_eq!(state(&registry), before, "{says}");
    }
    promote(&vendor, &registry, &[], "a.json", &["--signature", &vendor.file("none.json")])
        .ends(9)
        .says(&["none.json"]);
    let other = Vendor::new();
    std::fs::write(&file, signed.to_string()).expect("written");
    sign(&other, &file, &["stable-a"], "c.json").ends(3).says(&["does not count"]);
}

#[test]
fn signatures_count_by_the_trust_document_of_the_store_and_not_by_an_older_file() {
    let (mut vendor, _source, registry) = published();
    let (file, early, at) = (vendor.file("stable.json"), vendor.file("early.json"), store(&registry));
    let first = vendor.envelope();
    let at_store = |vendor: &Vendor, keys: &[&str]| {
        alga(&[&["sign", file.as_str(), "--store", &at], &slices(&vendor.flags(keys))[..]].concat())
    };
    promote(&vendor, &registry, &[], "a.json", &["--prepare", &early]).ends(0);
    sign(&vendor, &early, &["stable-b", "refresh"], "bob.json").ends(0);
    // Version 2 gives the place of one key to another.
    put_trust(&registry, 1, &first);
    let (old, new) = (vendor.key("stable-b").key().id(), vendor.key("nightly").key().id());
    vendor.document.version = 2;
    let keys = &mut vendor.document.channels.get_mut("stable").expect("a role").role.keys;
    assert!(keys.remove(&old) && keys.insert(new));
    vendor.document.keys.remove(&old);
    put_trust(&registry, 2, &vendor.envelope());
    std::fs::write(vendor.path("trust.json"), first).expect("written");

    promote(&vendor, &registry, &[], "a.json", &["--signature", &early])
        .ends(3)
        .says(&["does not count", "the key is not in the role"]);
    promote(&vendor, &registry, &[], "a.json", &["--prepare", &file]).ends(0).says(&["version 2"]);
    let keys = ["stable-a", "nightly", "refresh"];
    sign(&vendor, &file, &keys, "b.json").ends(3).says(&["it needs trust document version 2, found 1"]);
    at_store(&vendor, &keys).ends(0).says(&["version 2"]).prints(&["nothing more must sign"]);
    promote(&vendor, &registry, &[], "a.json", &["--signature", &file]).ends(0);
    vendor.write();
    follows(&vendor, &registry, "1.0.3");
    // A message of an older version is signed only with a warning, and by an expired document not at all.
    sign(&vendor, &early, &["stable-a"], "b.json").ends(3).says(&["does not count"]);
    let mut unsigned = json(&early);
    unsigned["messages"][0]["signatures"] = Vec::<Value>::new().into();
    std::fs::write(&early, unsigned.to_string()).expect("written");
    sign(&vendor, &early, &["refresh"], "b.json")
        .ends(3)
        .says(&["prepared with trust document version 1, and version 2 is in force"]);
    (vendor.document.issued, vendor.document.expires) = (ago(3600), ago(60));
    vendor.write();
    sign(&vendor, &file, &["stable-a"], "b.json").ends(3).says(&["trust document version 2 expired at"]);
}

#[test]
fn published_releases_are_signed_afterwards() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    with_images(&source, &["1.0.4"]);
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    let at = store(&registry);
    let run = |keys: &[&str], more: &[&str]| {
        alga(&[&["sign", "--store", &at][..], &slices(&vendor.flags(keys)), more].concat())
    };
    registry.clear_log();
    run(&["release"], &["--all", "--dry-run"])
        .ends(0)
        .prints(&["would sign 9 artifacts of 2 releases", "nothing was written"]);
    run(&["nightly"], &["1.0.3"]).ends(3).says(&["by 1 key of the role release, found 0"]);
    assert_eq!(writes(&registry), 0);
    valid("sign.json", &run(&["release"], &["--all", "--dry-run", "--output", "json"]).ends(0).json());
    run(&["release"], &["1.0.3"]).ends(0).prints(&["signed 7 artifacts of 1 release (1.0.3), 0 signed before"]);
    run(&["release"], &["--all"]).ends(0).prints(&["signed 2 artifacts of 2 releases", "7 signed before"]);
    registry.clear_log();
    run(&["release"], &["--all"]).ends(0).prints(&["nothing to do: 2 releases"]);
    run(&["release"], &["nightly"]).ends(0).prints(&["nothing to do: 1 release (1.0.4)"]);
    assert_eq!(writes(&registry), 0);
    // Signed elsewhere: the release first, then the move of the channel by its own key.
    run(&["release"], &["9.9.9"]).ends(9);
    alga(&["sign", "1.0.3", "--store", &at]).ends(9).says(&["needs a trust document"]);
    let flags = vendor.flags(&["stable-a", "stable-b", "refresh"]);
    let promote = ["promote", "--from", "1.0.3", "--to", "stable", "--store", &at];
    alga(&[&promote[..], &slices(&flags)].concat()).ends(0);
    follows(&vendor, &registry, "1.0.3");
}

#[test]
fn an_image_is_signed_as_it_is_pushed() {
    let (vendor, registry, source) = (Vendor::new(), Registry::start(), Source::new());
    let archive = source.path("image.tar");
    std::fs::write(&archive, tar(&Image::new("amd64", &[100]).layout(GZIP))).expect("written");
    let (at, archive) = (store(&registry), archive.display().to_string());
    let run = |keys: &[&str], more: &[&str]| {
        let arguments = ["image", "push", &archive, "--tag", "1", "--store", &at];
        alga(&[&arguments[..], &slices(&vendor.flags(keys)), more].concat())
    };
    run(&["nightly"], &[]).ends(3).says(&["by 1 key of the role release, found 0"]);
    assert_eq!(writes(&registry), 0);
    run(&["release"], &[]).ends(0);
    let tags = registry.tags("org/alga-appliance-control-plane");
    let name = format!("{}.sig", tags["1"].replace(':', "-"));
    assert!(tags.contains_key(&name), "{tags:?}");
    registry.clear_log();
    run(&["release"], &[]).ends(0);
    assert_eq!(writes(&registry), 0);
}
