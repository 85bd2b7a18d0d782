//! Writes that a registry refuses until a person changes something: the error shows the registry's own words and the
//! way out, and the write is not repeated.

use std::collections::BTreeSet;

use crate::image_push::{Archive, PLANE, push};
use crate::schemas::valid;
use crate::support::images::{GZIP, Image, tar};
use crate::support::programs::{Run, Source, alga};
use crate::support::published::{RELEASES, publish, store, with_images};
use crate::support::registry::{Action, Fault, Immutable, Quirks, Registry, Setup};

const RULES: [Immutable; 5] =
    [Immutable::HARBOR, Immutable::ECR, Immutable::QUAY, Immutable::ARTIFACTORY, Immutable::BARE];

fn registry(quirks: Quirks) -> Registry {
    Registry::with(Setup { quirks, ..Setup::default() })
}

fn immutable(rule: Immutable) -> Registry {
    registry(Quirks { immutable: Some(rule), ..Quirks::default() })
}

fn source() -> Source {
    let source = Source::new();
    with_images(&source, &["1.0.4"]);
    source
}

/// Checks that the run prints these words, and does not suggest another attempt.
#[track_caller]
fn is_final(run: Run, words: &[&str]) {
    let run = run.says(words);
    assert!(!run.stderr.contains("again") && !run.stderr.contains("retry"), "{}", run.stderr);
}

/// Returns the paths of the requests with a method whose path contains `part`.
fn sent(registry: &Registry, method: &str, part: &str) -> Vec<String> {
    let log = registry.log().into_iter();
    log.filter(|one| one.method == method && one.path.contains(part)).map(|one| one.path).collect()
}

#[test]
fn moving_a_channel_with_an_immutable_tag_is_refused_once_and_leaves_the_channel() {
    for rule in RULES {
        let (source, registry) = (source(), immutable(rule.of_channels()));
        publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
        let before = registry.tags(RELEASES)["nightly"].clone();
        registry.clear_log();
        let run = publish(&source, &registry, "1.0.4", "nightly", &[]).ends(3);
        is_final(run, &[&rule.words(RELEASES, "nightly"), "no channel moved", "exclude `stable`, `nightly`"]);
        assert_eq!(sent(&registry, "PUT", "/manifests/nightly").len(), 2, "the announcement and the channel: {rule:?}");
        let tags = registry.tags(RELEASES);
        assert_eq!(tags["nightly"], before);
        assert!(tags.contains_key("1.0.4") && !tags.keys().any(|tag| tag.starts_with("nightly-2-")), "{tags:?}");
    }
}

#[test]
fn promoting_and_copying_to_a_channel_with_an_immutable_tag_are_refused_in_the_same_way() {
    let rule = Immutable::HARBOR.of_channels();
    let (source, registry) = (source(), immutable(rule));
    let store = store(&registry);
    publish(&source, &registry, "1.0.3", "stable", &[]).ends(0);
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    let words = rule.words(RELEASES, "stable");
    let before = registry.tags(RELEASES)["stable"].clone();
    let promote = ["promote", "--from", "nightly", "--to", "stable", "--store", &store];
    is_final(alga(&promote).ends(3), &[&words, "exclude `stable`"]);
    let copy = ["copy", "1.0.4", &store, "--channel", "stable", "--store"];
    let layout = source.layout();
    source.publish(&["--version", "1.0.4", "--channel", "nightly", "--store", &layout, "--prefix", &store]).ends(0);
    is_final(alga(&[&copy[..], &[layout.as_str()]].concat()).ends(3), &[&words, "exclude `stable`"]);
    assert_eq!(registry.tags(RELEASES)["stable"], before);
}

#[test]
fn version_tags_may_be_immutable() {
    for rule in RULES {
        let (source, registry) = (source(), immutable(rule));
        for version in ["1.0.3", "1.0.4"] {
            publish(&source, &registry, version, "nightly", &[]).ends(0);
            publish(&source, &registry, version, "nightly", &[]).ends(0).prints(&["nothing to do"]);
        }
    }
}

#[test]
fn a_missing_repository_that_a_push_does_not_create_is_named_with_the_way_out() {
    let (source, target) = (source(), registry(Quirks { must_exist: true, ..Quirks::default() }));
    let words = ["NAME_UNKNOWN", "does not exist in the registry with id '123456789012'", "create `org/", "doctor"];
    is_final(publish(&source, &target, "1.0.3", "nightly", &[]).ends(1), &words);
    let other = Registry::start();
    publish(&source, &other, "1.0.3", "nightly", &[]).ends(0);
    is_final(alga(&["copy", "1.0.3", &store(&target), "--store", &store(&other)]).ends(1), &words);
    let image = Archive::new(&tar(&Image::new("amd64", &[10]).layout(GZIP)));
    let run = push(&target, &image.path(), &["--retry-for", "1m"]).ends(1);
    is_final(run, &[&format!("create `{PLANE}`"), "NAME_UNKNOWN"]);
    assert!(target.repositories().is_empty());
    // Each upload is started at most twice, with a mount and without. No blob is retried.
    let starts = sent(&target, "POST", "/blobs/uploads/");
    let repositories: BTreeSet<&String> = starts.iter().collect();
    assert!(repositories.len() <= 8 && starts.len() <= 60, "{starts:?}");
}

#[test]
fn a_refused_write_is_reported_in_the_words_of_the_registry_and_sent_once() {
    let error =
        |code: &str, message: &str| serde_json::json!({ "errors": [{ "code": code, "message": message }] }).to_string();
    let harbor = "adding 5.0 MiB of storage resource, which when updated to current usage of 9.0 MiB will exceed the configured \
                  upper limit of 10.0 MiB.";
    let cases = [
        (
            400,
            error("MANIFEST_INVALID", "manifest invalid: config type unknown"),
            1,
            "config type unknown",
            "the part that the registry refuses",
        ),
        (413, "<html><h1>413 Request Entity Too Large</h1></html>".to_owned(), 1, "Too Large", "client_max_body_size"),
        (403, error("DENIED", harbor), 4, "upper limit of 10.0 MiB", "free space"),
        (403, error("DENIED", "Quota has been exceeded on namespace"), 4, "Quota has been exceeded", "free space"),
        (403, error("DENIED", "storage quota exceeded"), 4, "storage quota", "free space"),
        (507, error("UNKNOWN", "no space left"), 4, "no space left", "free space"),
    ];
    for (status, body, code, words, hint) in cases {
        for part in ["/manifests/", "/blobs/uploads/"] {
            let (source, registry) = (source(), Registry::start());
            registry.fail(Fault::every("PUT", part, Action::status(status, &body)));
            let run = publish(&source, &registry, "1.0.3", "nightly", &[]).ends(code);
            is_final(run, &[words, hint]);
            let sent = sent(&registry, "PUT", part);
            let different: BTreeSet<&String> = sent.iter().collect();
            assert_eq!(sent.len(), different.len(), "{status} {part}: {sent:?}");
            assert!(registry.tags(RELEASES).is_empty(), "{status} {part}");
        }
    }
}

#[test]
fn doctor_finds_what_prevents_a_push_and_leaves_nothing_behind() {
    let (source, missing) = (source(), registry(Quirks { must_exist: true, ..Quirks::default() }));
    let full = Registry::start();
    let quota = r#"{"errors":[{"code":"DENIED","message":"Quota has been exceeded on namespace"}]}"#;
    full.fail(Fault::every("POST", "/blobs/uploads/", Action::status(403, quota)));
    let tree = source.path("").display().to_string();
    for (registry, reason, hint) in [(&missing, "NAME_UNKNOWN", "create `org/"), (&full, "Quota", "free space")] {
        let run = alga(&["doctor", &tree, "--store", &store(registry), "--output", "json"]).ends(1);
        let diagnosis = run.json();
        valid("doctor.json", &diagnosis);
        let blocked = diagnosis["repositories"].as_array().expect("a list").iter();
        let blocked: Vec<_> = blocked.filter(|one| one["verdict"] == "blocked").collect();
        assert_eq!(blocked.len(), 7, "every repository that a publication writes to: {diagnosis}");
        for one in blocked {
            let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
            assert!(one["mayPush"] == false && text("reason").contains(reason) && text("hint").contains(hint), "{one}");
        }
        assert_eq!((registry.repositories().len(), registry.uploads()), (0, 0));
    }
    // After the repositories have been created, they are ready.
    let run = alga(&["doctor", &tree, "--store", &store(&missing), "--output", "json"]).ends(1);
    for one in run.json()["repositories"].as_array().expect("a list") {
        let name = one["repository"].as_str().expect("a name");
        missing.create(name.split_once('/').expect("a host").1);
    }
    alga(&["doctor", &tree, "--store", &store(&missing)]).ends(0);
    publish(&source, &missing, "1.0.3", "nightly", &[]).ends(0);
}
