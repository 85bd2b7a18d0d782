//! Moves of signed channels in a store that others can write to: what a move starts from must be proven too.

use serde_json::Value;

use crate::support::programs::{Run, Source, alga};
use crate::support::published::{
    RELEASES, digest_of, manifest, publish, record, served, state, store, with_images, writes,
};
use crate::support::registry::{Action, Fault, Registry};
use crate::support::signed_channel::manifest as put_manifest;
use crate::support::trust::{Vendor, slices};

const RECORD: &str = "vnd.alga.appliance.channel.";
const STABLE: [&str; 3] = ["stable-a", "stable-b", "refresh"];

/// A vendor with a registry to which others can write.
struct Open {
    vendor: Vendor,
    source: Source,
    registry: Registry,
}

impl Open {
    /// Publishes versions to nightly, one after the other.
    fn with(versions: &[&str]) -> Self {
        let open = Self { vendor: Vendor::new(), source: Source::new(), registry: Registry::start() };
        with_images(&open.source, versions);
        for version in versions {
            open.publish(version);
        }
        open
    }

    fn publish(&self, version: &str) {
        with_images(&self.source, &[version]);
        let flags = self.vendor.flags(&["release", "nightly"]);
        publish(&self.source, &self.registry, version, "nightly", &slices(&flags)).ends(0);
    }

    fn run(&self, keys: &[&str], command: &[&str]) -> Run {
        let at = store(&self.registry);
        alga(&[command, &["--store", &at, "--retry-for", "0"], &slices(&self.vendor.flags(keys))].concat())
    }

    fn promote(&self, from: &str) -> Run {
        self.run(&STABLE, &["promote", "--from", from, "--to", "stable"])
    }

    /// Makes a channel serve what the manifest of a tag serves, without a statement, as whoever can write tags can.
    fn forge(&self, channel: &str, of: &Value, annotations: &[(&str, &str)]) {
        let mut forged = of.clone();
        forged["layers"].as_array_mut().expect("layers").truncate(1);
        for (key, value) in annotations {
            forged["annotations"][format!("{RECORD}{key}")] = (*value).into();
        }
        put_manifest(&self.registry, channel, &forged);
    }

    fn digest(&self, tag: &str) -> String {
        self.registry.tags(RELEASES)[tag].clone()
    }
}

#[test]
fn a_version_without_a_statement_that_counts_blocks_no_signed_move() {
    let open = Open::with(&["1.0.3"]);
    open.promote("nightly").ends(0);
    // Whoever can write tags makes stable serve a release with a high version.
    let mut release = served(&open.registry, "stable");
    release["version"] = "9.9.9".into();
    let json = serde_json::to_vec(&release).expect("JSON");
    open.registry.put_blob(RELEASES, &digest_of(&json), &json);
    let mut forged = manifest(&open.registry, "stable");
    for blob in ["/config", "/layers/0"] {
        let blob = forged.pointer_mut(blob).expect("a blob");
        (blob["digest"], blob["size"]) = (digest_of(&json).into(), json.len().into());
    }
    // The signatures of another statement prove nothing either.
    for layers in [1, forged["layers"].as_array().expect("layers").len()] {
        let mut forged = forged.clone();
        forged["layers"].as_array_mut().expect("layers").truncate(layers);
        forged["annotations"][format!("{RECORD}reason")] = "forged".into();
        put_manifest(&open.registry, "stable", &forged);
        let run = open.promote("nightly").ends(0);
        run.says(&["stable serves 9.9.9 without a statement that counts", "is not compared"]);
        assert_eq!(record(&open.registry, "stable", "release"), Some(open.digest("1.0.3")));
    }
    // A version that is proven is compared.
    open.publish("1.0.4");
    open.promote("nightly").ends(0);
    open.promote("1.0.3").ends(3).says(&["channel stable serves 1.0.4, which is newer than 1.0.3"]);
}

#[test]
fn previous_is_the_newest_earlier_release_whose_move_is_proven() {
    let open = Open::with(&["1.0.3", "1.0.4", "1.0.5"]);
    let tags = open.registry.tags(RELEASES);
    let kept = |number: &str| {
        let tag = tags.keys().find(|tag| tag.starts_with(&format!("nightly-{number}-"))).expect("a kept move");
        (tags[tag].clone(), manifest(&open.registry, tag))
    };
    let ((_, first), (second, _)) = (kept("1"), kept("2"));
    // A release that was signed once comes between the moves, without a statement.
    open.forge("nightly", &first, &[("sequence", "3"), ("previous", &second)]);
    open.publish("1.0.6");
    let back = |more: &[&str]| {
        let command = ["rollback", "nightly", "--to", "previous", "--reason", "broken"];
        open.run(&["nightly"], &[&command, more].concat())
    };
    back(&["--dry-run"])
        .ends(0)
        .says(&[
            "the history of nightly names 1.0.3 as the previous release, but the statement of that move does not count",
            "1.0.4 is the newest earlier release whose statement counts",
        ])
        .prints(&["would roll back nightly from 1.0.6 to 1.0.4"]);
    // A roll-back that is forged is not one that was made already.
    open.forge("nightly", &first, &[("sequence", "5"), ("kind", "rollback"), ("reason", "broken")]);
    let before = state(&open.registry);
    back(&[]).ends(3).says(&["cannot find a previous release of nightly"]);
    assert_eq!(state(&open.registry), before);
}

#[test]
fn a_release_that_no_proven_move_served_is_not_the_previous_one() {
    let open = Open { vendor: Vendor::new(), source: Source::new(), registry: Registry::start() };
    publish(&open.source, &open.registry, "1.0.3", "nightly", &[]).ends(0);
    open.publish("1.0.4");
    let command = ["rollback", "nightly", "--to", "previous", "--reason", "broken"];
    open.run(&["nightly"], &command).ends(3).says(&[
        "cannot find a previous release of nightly: its history names 1.0.3",
        "no earlier move of the channel has a statement that counts",
        "--to VERSION",
    ]);
}

#[test]
fn a_tag_that_points_to_another_version_is_not_moved_to_copied_signed_or_withdrawn() {
    let open = Open::with(&["1.0.3", "1.0.4"]);
    open.promote("nightly").ends(0);
    let old = manifest(&open.registry, "1.0.3");
    let channel = manifest(&open.registry, &{
        let tags = open.registry.tags(RELEASES);
        tags.into_keys().find(|tag| tag.starts_with("nightly-1-")).expect("a kept move")
    });
    let mut named = channel.clone();
    named["annotations"][format!("{RECORD}name")] = "1.0.4".into();
    let expected = ["1.0.4: expected the release of this version, found version `1.0.3`", "find out who wrote the tag"];
    // The old release itself, a move that served it, and a move of a channel that has the name of the version.
    for forged in [&old, &channel, &named] {
        put_manifest(&open.registry, "1.0.4", forged);
        let before = state(&open.registry);
        open.promote("1.0.4").ends(3).says(&expected);
        let back = ["rollback", "stable", "--to", "1.0.4", "--reason", "x"];
        open.run(&STABLE, &back).ends(3).says(&expected);
        let layout = open.source.path("media");
        let target = format!("oci-layout:{}", layout.display());
        open.run(&[], &["copy", "1.0.4", &target]).ends(3).says(&expected);
        assert!(!layout.exists() || std::fs::read_dir(&layout).expect("a directory").next().is_none());
        open.registry.clear_log();
        open.run(&["release"], &["sign", "1.0.4"]).ends(3).says(&expected);
        let (at, trust) = (store(&open.registry), open.vendor.file("trust.json"));
        let withdraw = ["trust", "withdraw", "1.0.4", "--reason", "x", "--trust", &trust, "--store", &at];
        alga(&withdraw).ends(3).says(&expected);
        assert!(!open.vendor.path("trust.next.json").exists());
        alga(&["verify", "1.0.4", "--store", &at, "--trust", &trust]).ends(3).says(&["1.0.4"]);
        assert_eq!((writes(&open.registry), state(&open.registry)), (0, before));
    }
    // The tags that keep the moves of a channel name no version.
    let kept = open.registry.tags(RELEASES).into_keys().find(|tag| tag.starts_with("nightly-2-"));
    open.promote(&kept.expect("a kept move")).ends(0);
}

#[test]
fn a_release_is_copied_from_a_channel_only_by_the_statement_of_the_channel() {
    let open = Open::with(&["1.0.3"]);
    let first = manifest(&open.registry, "nightly");
    open.publish("1.0.4");
    open.forge("nightly", &first, &[("sequence", "3")]);
    let layout = open.source.path("media");
    let target = format!("oci-layout:{}", layout.display());
    let keys = ["stable-a", "stable-b", "release"];
    for more in [&[][..], &["--channel", "stable"]] {
        let run = open.run(&keys, &[&["copy", "nightly", &target], more].concat());
        run.ends(3).says(&["channel nightly", "an appliance refuses it (unsigned)"]);
        assert!(!layout.join("alga-appliance-release").exists());
    }
}

#[test]
fn a_command_that_signs_says_who_signed() {
    let open = Open { vendor: Vendor::new(), source: Source::new(), registry: Registry::start() };
    let id = |name: &str| open.vendor.key(name).key().id();
    let line = |keys: &[(&str, &str)]| {
        let names = keys.iter().map(|(name, role)| format!("{} ({role})", id(name).short()));
        format!("signed by {}\n", names.collect::<Vec<_>>().join(", "))
    };
    let flags = open.vendor.flags(&["release", "nightly"]);
    let publish = || publish(&open.source, &open.registry, "1.0.3", "nightly", &slices(&flags)).ends(0);
    publish().prints(&[&line(&[("release", "release"), ("nightly", "channel")])]);
    assert!(!publish().stdout.contains("signed by"), "nothing is signed again");
    assert!(
        !open
            .run(&STABLE, &["promote", "--from", "nightly", "--to", "stable", "--dry-run"])
            .stdout
            .contains("signed by")
    );
    let mut stable = ["stable-a", "stable-b"];
    stable.sort_by_key(|name| id(name));
    let report =
        open.run(&STABLE, &["promote", "--from", "nightly", "--to", "stable", "--output", "json"]).ends(0).json();
    let by = |name: &str, role: &str| serde_json::json!({"role": role, "key": id(name).to_string()});
    assert_eq!(
        report["signedBy"],
        serde_json::json!([by(stable[0], "channel"), by(stable[1], "channel"), by("refresh", "refresh")])
    );
    crate::schemas::valid("move.json", &report);
}

/// Returns the statement that a verification found, if it passed.
fn verified(run: &Run) -> Option<Value> {
    let report: Value = serde_json::from_str(&run.stdout).unwrap_or_default();
    (run.code == Some(0)).then(|| report["releases"][0]["statement"].clone())
}

#[test]
fn a_registry_that_fails_never_makes_a_verification_pass_with_another_answer() {
    let open = Open::with(&["1.0.3"]);
    let (at, trust) = (store(&open.registry), open.vendor.file("trust.json"));
    let verify = || {
        let flags = ["--store", &at, "--trust", &trust, "--output", "json", "--retry-for", "0", "--timeout", "5s"];
        alga(&[&["verify", "nightly"], &flags[..]].concat())
    };
    open.registry.clear_log();
    let expected = verified(&verify().ends(0)).expect("a statement");
    assert_eq!(expected["sequence"], 1);
    let requests = open.registry.log().len();
    assert!(requests > 20, "{requests}");
    // Attack 62: each status from each step on, and a missing answer at each step.
    let answer = |status: u16| Action::Status(status, Vec::new(), br#"{"errors":[{"code":"DENIED"}]}"#.to_vec());
    let statuses = [401, 403, 429, 500, 502];
    for skip in 0..requests - 1 {
        let status = statuses[skip % statuses.len()];
        open.registry.fail(Fault { skip, times: usize::MAX, ..Fault::first("GET", "", answer(status)) });
        let run = verify();
        open.registry.heal();
        assert!(run.code != Some(0) || verified(&run).as_ref() == Some(&expected), "{status} at {skip}: {run:?}");
        open.registry.fail(Fault { skip, times: 1, ..Fault::first("GET", "", answer(404)) });
        let run = verify();
        open.registry.heal();
        assert!(run.code != Some(0) || verified(&run).as_ref() == Some(&expected), "404 at {skip}: {run:?}");
    }
    for status in statuses {
        for path in ["/manifests/nightly", "/blobs/", "/manifests/sha256"] {
            open.registry.fail(Fault::every("GET", path, answer(status)));
            let run = verify();
            open.registry.heal();
            assert!(matches!(run.code, Some(1 | 3 | 4 | 75)), "{status} for {path}: {run:?}");
        }
    }
    // Attack 63: a header that names another digest than that of the body, and another body under the digest.
    for path in ["/manifests/nightly", "/manifests/sha256", "/blobs/"] {
        open.registry.fail(Fault::every("GET", path, Action::WrongDigestHeader));
        let run = verify();
        open.registry.heal();
        assert!(run.code != Some(0) || verified(&run).as_ref() == Some(&expected), "{path}: {run:?}");
        open.registry.fail(Fault::every("GET", path, Action::CorruptBody));
        let run = verify();
        open.registry.heal();
        assert!(matches!(run.code, Some(1 | 3)), "{path}: {run:?}");
    }
}
