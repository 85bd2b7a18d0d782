//! A signed channel gets a later expiry, and an appliance follows it on.

use alga_release::trust::{RefreshStatement, Time};
use serde_json::Value;

use crate::support::programs::{Run, alga};
use crate::support::published::{RELEASES, manifest, state, store, writes};
use crate::support::signed_channel::{Appliance, Offer, bundle, put_release, release_json, statement};
use crate::support::trust::{DAY, ago, now};

/// Returns the move of `stable` ten days ago, whose refresh lasts until a time.
fn moved_long_ago(appliance: &Appliance, refreshed_until: Time) -> Offer {
    let release = put_release(&appliance.registry, "1.0.3");
    let mut statement = statement(&appliance.vendor, "stable", &release, 5);
    (statement.issued, statement.expires) = (ago(10 * DAY), now().plus(170 * DAY));
    let mut offer = Offer::of(&appliance.vendor, "1.0.3", statement.clone());
    let issued = Time::from_seconds(refreshed_until.seconds() - 14 * DAY);
    let refresh = RefreshStatement::of(&statement, 1, issued, refreshed_until);
    offer.bundles[2] = bundle(&refresh.to_payload(), appliance.vendor.key("refresh"));
    offer
}

fn refresh(appliance: &Appliance, channel: &str, keys: &[&str], more: &[&str]) -> Run {
    let (flags, at) = (appliance.vendor.flags(keys), store(&appliance.registry));
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    alga(&[&["refresh", channel, "--store", &at, "--retry-for", "0"], &flags[..], more].concat())
}

fn layers(manifest: &Value) -> Vec<&str> {
    manifest["layers"].as_array().expect("layers").iter().map(|one| one["digest"].as_str().expect("text")).collect()
}

#[test]
fn the_refresh_key_alone_gives_a_channel_a_later_expiry() {
    let appliance = Appliance::new();
    let offer = moved_long_ago(&appliance, now().plus(4 * DAY));
    let old = offer.put(&appliance.registry);
    appliance.resolve(&[]).ends(0);
    let before = manifest(&appliance.registry, "stable");
    let report = refresh(&appliance, "stable", &["refresh"], &["--output", "json"]).ends(0).json();
    let after = manifest(&appliance.registry, "stable");
    assert_eq!(after["annotations"], before["annotations"], "sequence and record stay");
    assert_eq!(after["config"], before["config"]);
    let ([json, a, b, fresh, signed], [_, _, _, stale, _]) = (&layers(&after)[..], &layers(&before)[..]) else {
        panic!("{after}")
    };
    assert_eq!([*json, *a, *b, *signed], [0, 1, 2, 4].map(|at| layers(&before)[at]), "only the refresh is another one");
    assert_ne!(fresh, stale);
    let digest = appliance.registry.tags(RELEASES)["stable"].clone();
    assert_eq!(
        (&report["kind"], &report["sequence"], &report["manifest"]),
        (&"refresh".into(), &5.into(), &digest.clone().into())
    );
    assert_eq!(report["before"]["manifest"], old.to_string());
    let expires: Time = report["expires"].as_str().expect("a time").parse().expect("a time");
    assert!(expires > now().plus(13 * DAY), "{expires}");
    assert_eq!(appliance.registry.tags(RELEASES)[&format!("stable-5-{}", &digest[7..15])], digest);
    appliance.resolve(&[]).ends(0);

    // The older refresh again is the same statement with less time.
    offer.put(&appliance.registry);
    appliance.resolve(&[]).ends(0);
}

#[test]
fn a_refresh_far_from_the_expiry_writes_nothing() {
    let appliance = Appliance::new();
    moved_long_ago(&appliance, now().plus(8 * DAY)).put(&appliance.registry);
    let before = state(&appliance.registry);
    appliance.registry.clear_log();
    for more in [&[][..], &["--min-remaining", "7d"]] {
        refresh(&appliance, "stable", &["refresh"], more)
            .ends(0)
            .prints(&["nothing to do: stable, which serves 1.0.3"]);
    }
    refresh(&appliance, "stable", &["refresh"], &["--min-remaining", "9d", "--dry-run"])
        .ends(0)
        .prints(&["would refresh stable", "dry run: nothing was written"]);
    assert_eq!((writes(&appliance.registry), state(&appliance.registry)), (0, before));
    refresh(&appliance, "stable", &["refresh"], &["--min-remaining", "9d"]).ends(0).prints(&["refreshed stable"]);
    appliance.registry.clear_log();
    refresh(&appliance, "stable", &["refresh"], &[]).ends(0).prints(&["nothing to do"]);
    assert_eq!(writes(&appliance.registry), 0);
}

#[test]
fn a_channel_whose_refresh_has_expired_is_followed_again_after_a_refresh() {
    let appliance = Appliance::following();
    moved_long_ago(&appliance, ago(DAY)).put(&appliance.registry);
    let offer = moved_long_ago(&appliance, ago(DAY));
    let mut later = offer.statement.clone();
    later.sequence = 6;
    let mut offer = Offer::of(&appliance.vendor, "1.0.3", later.clone());
    let refresh_statement = RefreshStatement::of(&later, 1, ago(9 * DAY), ago(DAY));
    offer.bundles[2] = bundle(&refresh_statement.to_payload(), appliance.vendor.key("refresh"));
    offer.put(&appliance.registry);
    appliance.refuses("refresh-expired");
    refresh(&appliance, "stable", &["refresh"], &[]).ends(0);
    appliance.resolve(&[]).ends(0);
}

#[test]
fn only_a_statement_that_appliances_accept_is_refreshed() {
    type Change = fn(&mut Appliance, &mut Offer);
    let cases: [(&str, Change); 5] = [
        ("expired", |appliance, offer| {
            let mut statement = offer.statement.clone();
            (statement.issued, statement.expires) = (ago(30 * DAY), ago(DAY));
            *offer = Offer::of(&appliance.vendor, "1.0.3", statement);
        }),
        ("signatures by 1 of the 2 keys", |_, offer| drop(offer.bundles.remove(0))),
        ("withdrawn", |appliance, offer| {
            appliance.vendor.document.version = 2;
            appliance.vendor.document.withdrawn.insert(offer.statement.release.clone());
            appliance.vendor.write();
        }),
        ("epoch", |appliance, _| {
            appliance.vendor.document.version = 2;
            appliance.vendor.document.channels.get_mut("stable").expect("a role").epoch = 2;
            appliance.vendor.write();
        }),
        ("JSON", |_, offer| offer.json = release_json("1.0.9", "stable")),
    ];
    for (word, change) in cases {
        let mut appliance = Appliance::new();
        let mut offer = moved_long_ago(&appliance, now().plus(DAY));
        change(&mut appliance, &mut offer);
        offer.put(&appliance.registry);
        let before = state(&appliance.registry);
        let run = refresh(&appliance, "stable", &["refresh"], &[]).ends(3).says(&["cannot refresh stable: "]);
        assert!(run.stderr.contains(word), "{word}: {}", run.stderr);
        assert_eq!(state(&appliance.registry), before, "{word}");
    }
}

#[test]
fn a_channel_without_statement_trust_document_or_refresh_key_is_not_refreshed() {
    let appliance = Appliance::new();
    refresh(&appliance, "stable", &["refresh"], &[]).ends(3).says(&["the channel carries no signed statement"]);
    moved_long_ago(&appliance, now().plus(DAY)).put(&appliance.registry);
    refresh(&appliance, "stable", &["stable-a", "stable-b"], &[])
        .ends(3)
        .says(&["needs signatures by 1 key of the role refresh, found 0"]);
    let at = store(&appliance.registry);
    alga(&["refresh", "stable", "--store", &at])
        .ends(9)
        .says(&["a command that signs needs a trust document", "--trust FILE"]);
    let other = ["--if-current", &format!("sha256:{}", "0".repeat(64))];
    refresh(&appliance, "stable", &["refresh"], &other).ends(3).says(&["--if-current"]);
}

#[test]
fn without_a_refresh_role_the_whole_statement_is_issued_again() {
    let appliance = Appliance::new();
    let release = put_release(&appliance.registry, "1.0.3");
    let mut old = statement(&appliance.vendor, "nightly", &release, 5);
    (old.issued, old.expires) = (ago(20 * DAY), now().plus(2 * DAY));
    let before = Offer::of(&appliance.vendor, "1.0.3", old).put(&appliance.registry);
    refresh(&appliance, "nightly", &["refresh"], &[]).ends(3).says(&["by 1 key of the role channel, found 0"]);
    let by = ["--by", "cron", "--output", "json"];
    let report = refresh(&appliance, "nightly", &["nightly"], &by).ends(0).json();
    assert_eq!((&report["sequence"], &report["kind"]), (&6.into(), &"refresh".into()));
    let manifest = manifest(&appliance.registry, "nightly");
    let record = |key: &str| manifest["annotations"][format!("vnd.alga.appliance.channel.{key}")].clone();
    assert_eq!([record("kind"), record("by"), record("sequence")], ["refresh".into(), "cron".into(), Value::from("6")]);
    assert_eq!(record("previous"), before.to_string());
    appliance.run(&["resolve", "nightly"], &[]).ends(0);
    refresh(&appliance, "nightly", &["nightly"], &[]).ends(0).prints(&["nothing to do"]);
}

#[test]
fn the_keys_of_the_channel_issue_a_statement_again_before_it_expires() {
    let appliance = Appliance::new();
    let mut offer = moved_long_ago(&appliance, now().plus(4 * DAY));
    let mut statement = offer.statement.clone();
    statement.expires = now().plus(5 * DAY);
    let refreshed = RefreshStatement::of(&statement, 1, ago(9 * DAY), now().plus(5 * DAY));
    offer = Offer::of(&appliance.vendor, "1.0.3", statement);
    offer.bundles[2] = bundle(&refreshed.to_payload(), appliance.vendor.key("refresh"));
    offer.put(&appliance.registry);
    refresh(&appliance, "stable", &["refresh"], &[])
        .ends(0)
        .prints(&["nothing to do"])
        .says(&["a refresh cannot reach beyond it", "--reissue"]);
    let keys = ["stable-a", "stable-b", "refresh"];
    refresh(&appliance, "stable", &keys, &["--reissue"]).ends(0).prints(&["refreshed stable", "move 6"]);
    appliance.resolve(&[]).ends(0);
    refresh(&appliance, "stable", &keys, &["--reissue"]).ends(0).prints(&["nothing to do"]);
}

#[test]
fn a_promotion_goes_on_from_a_refreshed_channel() {
    let appliance = Appliance::following();
    let offer = moved_long_ago(&appliance, now().plus(DAY));
    let mut later = offer.statement.clone();
    later.sequence = 6;
    let mut offer = Offer::of(&appliance.vendor, "1.0.3", later.clone());
    let short = RefreshStatement::of(&later, 1, ago(10 * DAY), now().plus(DAY));
    offer.bundles[2] = bundle(&short.to_payload(), appliance.vendor.key("refresh"));
    offer.put(&appliance.registry);
    refresh(&appliance, "stable", &["refresh"], &[]).ends(0);
    let refreshed = appliance.registry.tags(RELEASES)["stable"].clone();
    let keys = ["stable-a", "stable-b"];
    let report = refresh(
        &appliance,
        "stable",
        &[&keys[..], &["refresh"]].concat(),
        &["--reissue", "--min-remaining", "400d", "--output", "json"],
    );
    let report = report.ends(0).json();
    assert_eq!(report["sequence"], 7);
    let manifest = manifest(&appliance.registry, "stable");
    assert_eq!(manifest["annotations"]["vnd.alga.appliance.channel.previous"], refreshed);
    let history =
        alga(&["history", "stable", "--store", &store(&appliance.registry), "--output", "json"]).ends(0).json();
    assert_eq!(history["moves"].as_array().expect("moves").len(), 2, "{history}");
    appliance.resolve(&[]).ends(0);
}

#[test]
fn the_warning_about_a_short_refresh_names_what_limits_it() {
    let appliance = Appliance::new();
    moved_long_ago(&appliance, now().plus(4 * DAY)).put(&appliance.registry);
    let by_role = ["--min-remaining", "20d", "--dry-run"];
    let run = refresh(&appliance, "stable", &["refresh"], &by_role).ends(0);
    let run = run.says(&["the role refresh:stable of the trust document", "`alga-release trust lifetime`"]);
    assert!(!run.stderr.contains("--reissue"), "{}", run.stderr);
    let release = put_release(&appliance.registry, "1.0.3");
    let mut statement = statement(&appliance.vendor, "stable", &release, 6);
    (statement.issued, statement.expires) = (ago(10 * DAY), now().plus(5 * DAY));
    let mut offer = Offer::of(&appliance.vendor, "1.0.3", statement.clone());
    let short = RefreshStatement::of(&statement, 1, ago(10 * DAY), now().plus(DAY));
    offer.bundles[2] = bundle(&short.to_payload(), appliance.vendor.key("refresh"));
    offer.put(&appliance.registry);
    let run = refresh(&appliance, "stable", &["refresh"], &["--dry-run"]).ends(0);
    let expires = statement.expires.to_string();
    let run = run.says(&["the statement of stable expires at", &expires, "`--reissue` and the keys of the channel"]);
    assert!(!run.stderr.contains("lifetime"), "{}", run.stderr);
}

#[test]
fn a_history_has_a_move_once_and_shows_its_manifest_before_the_refresh_on_request() {
    let appliance = Appliance::new();
    let old = moved_long_ago(&appliance, now().plus(4 * DAY)).put(&appliance.registry).to_string();
    let kept = format!("stable-5-{}", &old[7..15]);
    appliance.registry.tag(RELEASES, &kept, &old);
    refresh(&appliance, "stable", &["refresh"], &[]).ends(0);
    let history =
        |more: &[&str]| alga(&[&["history", "stable", "--store", &store(&appliance.registry)], more].concat()).ends(0);
    let text = history(&[]).stdout;
    assert!(!text.contains(&kept) && !text.contains("not in this chain"), "{text}");
    let text = history(&["-v"]).stdout;
    assert!(text.contains(&format!("{kept}: the same move before it was refreshed")), "{text}");
    let json = history(&["--output", "json"]).json();
    assert_eq!((json["moves"].as_array().map(Vec::len), &json["apart"][0]["tag"]), (Some(1), &kept.into()));
}
