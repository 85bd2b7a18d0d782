//! A release repository may hold a hundred thousand tags, in whatever way its registry lists them.

use alga_release::oci::{Digest, Kind, Location, Options, ReadStore, media_type};

use crate::store_contract::repository;
use crate::support::programs::{Source, alga, resolve};
use crate::support::published::{RELEASES, publish, store, with_images};
use crate::support::registry::{Quirks, Registry, Setup, Tags};

const MANY: usize = 100_000;

/// Returns `count` different versions.
fn versions(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("0.{}.{}", number / 1000, number % 1000))
}

/// Returns a registry whose repository `org/x` has tags of two channels among `count` versions. The channel `beta` does
/// not exist.
fn holding(count: usize, quirks: Quirks) -> Registry {
    let registry = Registry::with(Setup { quirks, ..Setup::default() });
    let digest = Digest::of(b"{}");
    registry.put_manifest("org/x", None, digest.as_str(), media_type::IMAGE_MANIFEST, b"{}");
    let kept = (1..=20).flat_map(|number| ["nightly", "stable"].map(|channel| format!("{channel}-{number}-0123abcd")));
    let others = ["stable", "nightly", "stabl", "stable0", "stable.1", "zebra", "Stable-1-0123abcd"].map(str::to_owned);
    registry.tag_all("org/x", versions(count).chain(kept).chain(others), digest.as_str());
    registry
}

fn reader(registry: &Registry) -> ReadStore {
    let location = Location::parse(&format!("{}/org", registry.url()), false).expect("a location");
    ReadStore::open(&location, Options::default()).expect("a store")
}

/// Lists the tags of `org/x` that start with `prefix`, and counts the requests.
async fn listed(registry: &Registry, prefix: &str) -> (Vec<String>, usize) {
    registry.clear_log();
    let tags = reader(registry).tags_with_prefix(&repository("x"), prefix).await.expect("tags");
    (tags.iter().map(ToString::to_string).collect(), registry.log().len())
}

fn kept(channel: &str) -> Vec<String> {
    let mut tags: Vec<String> = (1..=20).map(|number| format!("{channel}-{number}-0123abcd")).collect();
    tags.sort();
    tags
}

#[tokio::test]
async fn the_tags_of_a_channel_are_listed_in_one_request_among_any_number_of_others() {
    for count in [10, MANY] {
        let registry = holding(count, Quirks::default());
        for channel in ["nightly", "stable"] {
            assert_eq!(listed(&registry, &format!("{channel}-")).await, (kept(channel), 1), "{count}");
            assert_eq!(registry.log()[0].query, format!("n=1000&last={channel}"));
        }
        // For a channel after the last tag, the registry sends an empty list. One more request shows that the registry
        // sorts its tags.
        assert_eq!(listed(&registry, "zulu-").await, (Vec::new(), 2), "{count}");
    }
}

#[tokio::test]
async fn a_registry_that_lists_tags_in_another_way_still_gives_the_right_tags() {
    let quirks = |tags| Quirks { tags, ..Quirks::default() };
    for (what, quirks) in [
        ("without `last`", quirks(Tags::WithoutLast)),
        ("a `last` that must be a tag", quirks(Tags::KnownLast)),
        ("no order", quirks(Tags::Unordered)),
        ("digests among the tags", Quirks { digests_as_tags: true, ..Quirks::default() }),
        ("GitHub's", Quirks { private: false, ..Quirks::ghcr() }),
    ] {
        for count in [0, 10, 5000] {
            let registry = holding(count, quirks.clone());
            for (prefix, expected) in
                [("stable-", kept("stable")), ("nightly-", kept("nightly")), ("beta-", Vec::new())]
            {
                assert_eq!(listed(&registry, prefix).await.0, expected, "{what}, {count}, {prefix}");
            }
            // The channel tag is removed, and its keep-alive tags stay.
            registry.remove_tag("org/x", "stable");
            assert_eq!(listed(&registry, "stable-").await.0, kept("stable"), "{what}, {count}, no channel");
            assert_eq!(listed(&registry, "").await.0.len(), count + 46, "{what}, {count}, all");
        }
    }
}

#[tokio::test]
async fn an_empty_list_is_only_trusted_from_a_registry_that_sorts() {
    let registry = holding(10, Quirks { tags: Tags::Unordered, ..Quirks::default() });
    // The last tag in the registry's own order, so that a list after it is empty.
    registry.remove_tag("org/x", "zebra");
    registry.tag_all("org/x", ["beta-zz".to_owned(), "beta".to_owned()], Digest::of(b"{}").as_str());
    registry.tag_all("org/x", ["zz".to_owned()], Digest::of(b"{}").as_str());
    assert_eq!(listed(&registry, "zz").await.0, ["zz"]);
    assert_eq!(listed(&registry, "beta-").await.0, ["beta-zz"]);
}

#[tokio::test]
async fn a_list_that_repeats_runs_backwards_or_never_ends_is_refused() {
    for (tags, kind, requests) in [
        (Tags::Repeated, Kind::Malformed, 4),
        (Tags::Backwards, Kind::Malformed, 4),
        (Tags::Circle, Kind::Malformed, 5),
        (Tags::Endless, Kind::TooLarge, 10_001),
    ] {
        let registry = holding(5000, Quirks { tags, ..Quirks::default() });
        let error = reader(&registry).tags_with_prefix(&repository("x"), "zulu-").await.expect_err("no list");
        assert_eq!(error.kind(), kind, "{tags:?}: {error}");
        assert!(error.to_string().contains("org/x"), "{error}");
        assert!(registry.log().len() <= requests, "{tags:?}: {}", registry.log().len());
        if tags == Tags::Endless {
            continue;
        }
        let all = reader(&registry).tags(&repository("x")).await.expect_err("no list");
        assert_eq!(all.kind(), kind, "{tags:?}: {all}");
    }
}

#[tokio::test]
async fn a_missing_repository_is_not_found_in_one_request() {
    let registry = Registry::start();
    let error = reader(&registry).tags_with_prefix(&repository("x"), "stable-").await.expect_err("none");
    assert_eq!((error.kind(), registry.log().len()), (Kind::NotFound, 1));
}

/// Counts the requests of a publication, a promotion, a resolution, a history, a rollback and a mistyped version, in a
/// repository with `count` other versions.
fn requests_of_a_day(count: usize) -> Vec<(&'static str, usize)> {
    let (source, registry) = (Source::new(), Registry::start());
    let store = store(&registry);
    with_images(&source, &["1.0.4"]);
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    let promote = ["promote", "--from", "nightly", "--to", "stable", "--store", &store];
    alga(&promote).ends(0);
    let digest = registry.tags(RELEASES)["1.0.3"].clone();
    registry.tag_all(RELEASES, versions(count), &digest);
    let counted = |what: &'static str, run: &dyn Fn()| {
        registry.clear_log();
        run();
        (what, registry.log().len())
    };
    vec![
        counted("publish", &|| drop(publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0))),
        counted("promote", &|| drop(alga(&promote).ends(0))),
        counted("resolve", &|| drop(resolve(&["resolve", "stable", "--store", &store]).ends(0))),
        counted("history", &|| drop(alga(&["history", "stable", "--store", &store]).ends(0))),
        counted("in use", &|| drop(alga(&["in-use", "--prune-plan", "--moves", "1", "--store", &store]).ends(0))),
        counted("to a new channel", &|| {
            drop(alga(&[&promote[..3], &["--to", "beta", "--new-channel"], &promote[5..]].concat()).ends(0));
        }),
        counted("back", &|| {
            drop(alga(&["rollback", "stable", "--to", "previous", "--reason", "it fails", "--store", &store]).ends(0));
        }),
        counted("a typing error", &|| drop(alga(&["verify", "1.0.44", "--store", &store]).ends(9).says(&["`1.0.4`"]))),
    ]
}

#[test]
fn the_number_of_requests_does_not_depend_on_the_number_of_tags() {
    assert_eq!(requests_of_a_day(10), requests_of_a_day(MANY));
}
