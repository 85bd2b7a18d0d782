//! The release key is exchanged, and no channel moves for it.

use std::fs;

use serde_json::Value;

use crate::support::programs::{Run, Source, alga, resolve};
use crate::support::published::{RELEASES, publish, record, store};
use crate::support::registry::Registry;
use crate::support::trust::slices;
use crate::trust_commands::Desk;

/// A vendor whose `nightly` and `stable` serve 1.0.3, and appliances with the first version of the trust document.
struct Rotation {
    desk: Desk,
    registry: Registry,
}

impl Rotation {
    fn new() -> Self {
        let (desk, source, registry) = (Desk::signed(), Source::new(), Registry::start());
        let rotation = Self { desk, registry };
        let (desk, at) = (&rotation.desk, rotation.at());
        desk.trust(&["publish", "--store", &at]).ends(0);
        fs::copy(desk.path("trust.json"), desk.path("baked.json")).expect("a copy");
        publish(&source, &rotation.registry, "1.0.3", "nightly", &slices(&desk.flags(&["release", "nightly"]))).ends(0);
        rotation.run(&["promote", "--from", "nightly", "--to", "stable"], &["stable-a", "stable-b", "refresh"]).ends(0);
        rotation
    }

    fn at(&self) -> String {
        store(&self.registry)
    }

    fn run(&self, arguments: &[&str], keys: &[&str]) -> Run {
        let (flags, at) = (self.desk.flags(keys), self.at());
        alga(&[arguments, &slices(&flags), &["--store", &at, "--retry-for", "0"]].concat())
    }

    /// The second release key joins the first one.
    fn add(&self) {
        self.desk.trust(&["add-key", "--role", "release", "release-2.pub"]).ends(0);
        self.desk.put_into_force(&self.at());
    }

    fn remove(&self) -> Run {
        self.desk.trust(&["remove-key", "--role", "release", "release.pub", "--store", &self.at()]).ends(0)
    }

    /// Resolves a channel on a new appliance, which follows the trust document from its first version.
    fn appliance(&self, channel: &str, state: &str) -> Run {
        let (trust, state) = (self.desk.file("baked.json"), self.desk.file(state));
        resolve(&["resolve", channel, "--store", &self.at(), "--trust", &trust, "--state", &state, "--output", "json"])
    }

    fn sequences(&self) -> [Option<String>; 2] {
        ["nightly", "stable"].map(|channel| record(&self.registry, channel, "sequence"))
    }
}

#[test]
fn the_release_key_is_exchanged_by_the_documented_steps_and_no_channel_moves() {
    let rotation = Rotation::new();
    for channel in ["nightly", "stable"] {
        rotation.appliance(channel, "follows.json").ends(0);
    }
    let before = rotation.sequences();
    rotation.add();
    rotation.run(&["sign", "--all"], &["release-2"]).ends(0);
    rotation.run(&["refresh", "nightly"], &[]).ends(0).prints(&["refreshed nightly"]);
    rotation.run(&["refresh", "stable"], &["refresh"]).ends(0).prints(&["refreshed stable"]);
    for (channel, keys) in [("nightly", &[][..]), ("stable", &["refresh"])] {
        rotation.run(&["refresh", channel], keys).ends(0).prints(&["nothing to do"]);
    }
    let removed = rotation.remove();
    assert!(!removed.stderr.contains("warning"), "the old key alone signed nothing: {}", removed.stderr);
    rotation.desk.put_into_force(&rotation.at());
    assert_eq!(rotation.sequences(), before, "no channel has moved");
    for channel in ["nightly", "stable"] {
        for state in ["follows.json", "new.json"] {
            let resolved: Value = rotation.appliance(channel, state).ends(0).json();
            assert_eq!(
                (&resolved["version"], &resolved["trust"]["trustVersion"]),
                (&"1.0.3".into(), &3.into()),
                "{resolved}"
            );
        }
        let trust = rotation.desk.file("trust.json");
        alga(&["verify", channel, "--store", &rotation.at(), "--trust", &trust]).ends(0);
    }
}

#[test]
fn remove_key_lists_the_channels_without_a_signature_of_their_release_and_the_commands_in_their_order() {
    let rotation = Rotation::new();
    rotation.add();
    let trust = "--trust trust.json";
    rotation.remove().says(&[
        "no remaining key of the role release signed release 1.0.3",
        "no remaining key of the role release signed what nightly carries",
        "no remaining key of the role release signed what stable carries",
        &format!(
            "run in this order: `alga-release sign --all {trust} --sign-key FILE` with a remaining key (of a \
             program: `--signer 'release@KEYID=COMMAND'`), then `alga-release refresh \
             nightly {trust}`, then `alga-release refresh stable {trust} --sign-key FILE` with its refresh key, then `alga-release \
             trust sign` and `alga-release trust publish` for this version"
        ),
    ]);
    // Signed artifacts alone do not prove a channel.
    rotation.run(&["sign", "--all"], &["release-2"]).ends(0);
    fs::remove_file(rotation.desk.path("trust.next.json")).expect("removed");
    let removed =
        rotation.remove().says(&["signed what nightly carries", "run in this order: `alga-release refresh nightly"]);
    assert!(!removed.stderr.contains("sign --all"), "{}", removed.stderr);
    // Whoever publishes nevertheless is refused by appliances until the channel is refreshed.
    rotation.desk.put_into_force(&rotation.at());
    for channel in ["nightly", "stable"] {
        rotation.appliance(channel, "state.json").ends(3).says(&["refused (release-unsigned)"]);
    }
    rotation.run(&["refresh", "nightly"], &[]).ends(0);
    rotation.run(&["refresh", "stable"], &["refresh"]).ends(0);
    for channel in ["nightly", "stable"] {
        rotation.appliance(channel, "state.json").ends(0);
    }
}

#[test]
fn a_key_that_appliances_do_not_know_yet_signs_after_its_version_is_published() {
    let rotation = Rotation::new();
    rotation.desk.trust(&["add-key", "--role", "release", "release-2.pub"]).ends(0);
    rotation.remove().says(&["run in this order: `alga-release trust sign` and `alga-release trust publish`"]);
}

#[test]
fn a_copy_brings_the_signatures_of_the_new_key_to_a_channel_with_the_same_statement() {
    let rotation = Rotation::new();
    let old = Registry::start();
    rotation.run(&["copy", "nightly", &store(&old), "--channel", "nightly"], &[]).ends(0);
    rotation.add();
    rotation.run(&["sign", "--all"], &["release-2"]).ends(0);
    rotation.run(&["refresh", "nightly"], &[]).ends(0);
    let trust = rotation.desk.file("trust.json");
    for flags in [&["--trust", &trust][..], &[]] {
        let mirror = Registry::start();
        let copy = |from: &str, flags: &[&str]| {
            let to = store(&mirror);
            let copy = ["copy", "nightly", &to, "--channel", "nightly", "--store", from];
            alga(&[&copy[..], flags].concat()).ends(0);
            mirror.tags(RELEASES)["nightly"].clone()
        };
        copy(&store(&old), &[]);
        let new = copy(&rotation.at(), flags);
        assert_eq!(new, rotation.registry.tags(RELEASES)["nightly"], "{flags:?}");
        assert_eq!(copy(&store(&old), &[]), new, "the old signatures do not come back: {flags:?}");
    }
}

#[test]
fn a_program_signs_with_the_key_that_it_names_what_another_key_has_signed() {
    let rotation = Rotation::new();
    rotation.add();
    let (id, key) = (rotation.desk.id("release-2"), rotation.desk.file("release-2.key"));
    let signer = |role: &str| format!("{role}=openssl dgst -sha256 -sign {key}");
    let sign = |role: &str| rotation.run(&["sign", "--all", "--signer", &signer(role)], &[]);
    sign("release").ends(0).prints(&["nothing to do"]);
    sign("release@01234567").ends(3).says(&["the signer for release names the key 01234567", "0 of the keys"]);
    sign("release@0123").ends(9).says(&["expected 8 to 64 lowercase hex digits"]);
    sign(&format!("release@{}", &id[..8])).ends(0).prints(&["signed alga-appliance-release@"]);
    sign(&format!("release@{id}")).ends(0).prints(&["nothing to do"]);
    rotation.run(&["refresh", "nightly"], &[]).ends(0);
    rotation.run(&["refresh", "stable"], &["refresh"]).ends(0);
    assert!(!rotation.remove().stderr.contains("warning"));
}

#[test]
fn messages_are_prepared_for_the_keys_that_have_not_signed() {
    let rotation = Rotation::new();
    let prepared = rotation.desk.file("prepared.json");
    let messages = || -> Vec<Value> {
        rotation.run(&["sign", "--all", "--prepare", &prepared], &[]).ends(0);
        let file: Value = serde_json::from_slice(&fs::read(&prepared).expect("a file")).expect("JSON");
        file["messages"].as_array().expect("messages").clone()
    };
    assert_eq!(messages(), [] as [Value; 0], "the only key of the role has signed");
    rotation.add();
    let new = messages();
    assert!(!new.is_empty() && new.iter().all(|one| one["keys"] == serde_json::json!([rotation.desk.id("release-2")])));
    let flags = rotation.desk.flags(&["release-2"]);
    alga(&[&["sign", &prepared][..], &slices(&flags)].concat()).ends(0);
    rotation.run(&["sign", "--all", "--signature", &prepared], &[]).ends(0).prints(&["signed alga-appliance-release@"]);
    assert_eq!(messages(), [] as [Value; 0], "both keys have signed");
}
