//! Channels and versions are listed as they are, with few requests.

use serde_json::{Value, json};

use crate::schemas::valid;
use crate::support::programs::{Run, Source, alga};
use crate::support::published::{RELEASES, publish, store, with_images, writes};
use crate::support::registry::{Action, Fault, Registry};

/// The versions 1.0.3, 1.0.4 and 1.0.5 in nightly, by alice, and 1.0.3 in stable.
fn published() -> (Source, Registry) {
    let (source, registry) = (Source::new(), Registry::start());
    with_images(&source, &["1.0.4", "1.0.5"]);
    publish(&source, &registry, "1.0.3", "nightly", &["--by", "alice"]).ends(0);
    let promote = ["promote", "--from", "nightly", "--to", "stable", "--by", "bob", "--store", &store(&registry)];
    alga(&promote).ends(0);
    for version in ["1.0.4", "1.0.5"] {
        publish(&source, &registry, version, "nightly", &["--by", "alice"]).ends(0);
    }
    (source, registry)
}

fn ls(registry: &Registry, more: &[&str]) -> Run {
    alga(&[&["ls", "--retry-for", "0", "--store", &store(registry)], more].concat())
}

fn listed(registry: &Registry, more: &[&str]) -> Value {
    let listed = ls(registry, &[&["--output", "json"], more].concat()).ends(0).json();
    valid("ls.json", &listed);
    listed
}

fn names<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    list.as_array().expect("a list").iter().map(|one| one[key].as_str().expect("text")).collect()
}

#[test]
fn channels_and_versions_are_listed_with_release_time_person_and_channels() {
    let (_, registry) = published();
    let tags = registry.tags(RELEASES);
    let (writes_before, listed) = (writes(&registry), listed(&registry, &[]));
    assert_eq!(writes(&registry), writes_before);
    let channel = |name: &str| {
        let channels = listed["channels"].as_array().expect("channels");
        channels.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name}: {listed:#}")).clone()
    };
    for (name, version, by, kind) in [("nightly", "1.0.5", "alice", "publish"), ("stable", "1.0.3", "bob", "promote")] {
        let found = channel(name);
        assert_eq!((&found["version"], &found["by"], &found["kind"]), (&json!(version), &json!(by), &json!(kind)));
        assert_eq!(found["release"], tags[version], "{name}");
        assert!(found["moved"].is_string(), "{name}");
    }
    let versions = &listed["versions"];
    assert_eq!(names(versions, "version"), ["1.0.5", "1.0.4", "1.0.3"]);
    for (at, channels) in [json!(["nightly"]), json!([]), json!(["stable"])].into_iter().enumerate() {
        assert_eq!(versions[at]["channels"], channels, "{at}");
        assert_eq!(versions[at]["created"], "2023-11-14T22:13:20Z");
        assert_eq!(versions[at]["served"], Value::Null);
    }
    let text = ls(&registry, &[]).ends(0).stdout;
    let short = &tags["1.0.5"][.."sha256:".len() + 12];
    assert!(text.contains(short) && !text.contains(&tags["1.0.5"]), "{text}");
    for word in ["CHANNEL", "nightly", "alice", "CREATED", "2023-11-14T22:13:20Z", "1.0.4"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn one_channel_is_listed_with_the_versions_that_it_has_served() {
    let (_, registry) = published();
    let back = ["rollback", "nightly", "--to", "1.0.4", "--reason", "it fails", "--by", "carol"];
    alga(&[&back[..], &["--store", &store(&registry)]].concat()).ends(0);
    let nightly = listed(&registry, &["nightly"]);
    assert_eq!(names(&nightly["channels"], "name"), ["nightly"]);
    // Each release once, by the last time that it was served.
    let versions = &nightly["versions"];
    assert_eq!(names(versions, "version"), ["1.0.4", "1.0.5", "1.0.3"]);
    assert_eq!(versions[0]["channels"], json!(["nightly"]));
    assert_eq!((&versions[0]["served"]["by"], &versions[0]["served"]["until"]), (&json!("carol"), &Value::Null));
    assert_eq!(versions[1]["served"]["until"], versions[0]["served"]["since"]);
    assert_eq!(nightly["more"], 0);
    let some = listed(&registry, &["nightly", "--limit", "2"]);
    assert_eq!((names(&some["versions"], "version"), &some["more"]), (vec!["1.0.4", "1.0.5"], &Value::Null));
    ls(&registry, &["nightly"]).ends(0).prints(&["UNTIL", "now", "carol"]);
    // A channel is named by its whole name, too.
    let whole = format!("{}/alga-appliance-release:nightly", store(&registry));
    alga(&["ls", &whole]).ends(0).prints(&["1.0.4", "carol"]);
}

#[test]
fn an_old_version_that_a_channel_serves_is_listed_beyond_the_limit() {
    let (_, registry) = published();
    let listed = listed(&registry, &["--limit", "1"]);
    assert_eq!((names(&listed["versions"], "version"), &listed["more"]), (vec!["1.0.5", "1.0.3"], &json!(1)));
    ls(&registry, &["--limit", "1"]).ends(0).prints(&["1 older versions are not shown", "--limit"]);
}

#[test]
fn ten_thousand_versions_cost_a_request_for_each_thousand_and_for_those_that_are_shown() {
    let (_, registry) = published();
    let digest = registry.tags(RELEASES)["1.0.3"].clone();
    let count = |registry: &Registry| {
        registry.clear_log();
        let listed = listed(registry, &["--limit", "3"]);
        (registry.log().len(), listed["more"].as_u64().expect("a number"))
    };
    let (few, none) = count(&registry);
    assert_eq!(none, 0);
    registry.tag_all(RELEASES, (0..10_000).map(|number| format!("0.{}.{}", number / 1000, number % 1000)), &digest);
    let (many, more) = count(&registry);
    assert_eq!(more, 10_000);
    assert!(many <= few + 11, "{few}, then {many}");
}

#[test]
fn tags_that_are_not_versions_are_left_out_and_channels_of_other_configurations_are_listed() {
    let (source, registry) = published();
    let (media_type, manifest) = registry.manifest(RELEASES, "1.0.3").expect("a release");
    let digest = registry.tags(RELEASES)["1.0.3"].clone();
    let latest = format!("sha256-{}.sig", &digest[7..]);
    for tag in ["latest", &latest] {
        registry.put_manifest(RELEASES, Some(tag), &digest, &media_type, &manifest);
    }
    source.write("other.yaml", "valuesNames: hashed\nchannels: [edge]\n");
    let other = source.path("other.yaml").display().to_string();
    publish(&source, &registry, "1.0.3", "edge", &["--config", &other]).ends(0);
    let listed = listed(&registry, &[]);
    assert_eq!(names(&listed["versions"], "version"), ["1.0.5", "1.0.4", "1.0.3"]);
    let channels = names(&listed["channels"], "name");
    assert!(channels.contains(&"edge") && !channels.contains(&"latest"), "{channels:?}");
    assert_eq!(listed["versions"][2]["channels"], json!(["edge", "stable"]));
}

#[test]
fn channels_are_listed_where_the_registry_does_not_list_its_tags() {
    let (_, registry) = published();
    registry.fail(Fault::every("GET", "/tags/list", Action::status(403, "")));
    let listed = listed(&registry, &[]);
    assert!(names(&listed["channels"], "name").contains(&"stable"));
    // Without a list, the versions that the channels serve are known all the same.
    assert_eq!((names(&listed["versions"], "version"), &listed["more"]), (vec!["1.0.5", "1.0.3"], &Value::Null));
    assert_eq!(listed["notes"].as_array().map(Vec::len), Some(1));
    registry.fail(Fault::every("GET", "/manifests/", Action::status(503, "")));
    ls(&registry, &[]).ends(75);
}

#[test]
fn an_empty_store_and_an_unknown_channel_are_said() {
    let registry = Registry::start();
    ls(&registry, &[]).ends(3).says(&["no channel serves anything", &store(&registry)]);
    ls(&registry, &["nigthly"]).ends(9).says(&["nightly"]);
    ls(&registry, &["nightly"]).ends(9);
}

#[test]
fn what_is_listed_from_a_directory_is_the_same() {
    let source = Source::new();
    let layout = source.layout();
    source.publish(&["--version", "1.0.3", "--channel", "nightly", "--store", &layout]).ends(0);
    let listed = alga(&["ls", "--store", &layout, "--output", "json"]).ends(0).json();
    valid("ls.json", &listed);
    assert_eq!(names(&listed["versions"], "version"), ["1.0.3"]);
    assert_eq!(listed["versions"][0]["channels"], json!(["nightly"]));
}
