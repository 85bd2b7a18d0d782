//! The life of a trust document, as a release engineer runs it: made, signed by two people, published, changed, followed
//! by appliances.

use std::fs;
use std::path::PathBuf;

use alga_release::signing::PrivateKey;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::schemas::valid;
use crate::support::programs::{Run, Source, alga, release, resolve, run};
use crate::support::published::{RELEASES, publish, put_artifact, record, state, store, with_images};
use crate::support::registry::Registry;
use crate::support::signed_channel::put_trust;
use crate::support::trust::{self, DAY, Vendor, ago, now};

const NAMES: [&str; 10] =
    ["root-a", "root-b", "root-c", "release", "release-2", "nightly", "nightly-2", "stable-a", "stable-b", "refresh"];

/// A directory with keys and a trust document, in which the commands run.
pub struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let desk = Self(tempfile::tempdir().expect("a directory"));
        for name in NAMES {
            let key = PrivateKey::generate();
            let path = desk.path(&format!("{name}.key"));
            fs::write(&path, key.to_pem().expose_secret()).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("permissions");
            fs::write(desk.path(&format!("{name}.pub")), key.key().to_pem()).expect("written");
        }
        desk
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn file(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Runs `alga-release trust` in the directory.
    pub fn trust(&self, arguments: &[&str]) -> Run {
        run(release().arg("trust").args(arguments).current_dir(self.0.path()).env("ALGA_RETRY_FOR", "0"))
    }

    fn show(&self) -> Value {
        let shown = self.trust(&["show", "--output", "json"]).ends(0).json();
        valid("trust.json", &shown);
        shown
    }

    pub fn id(&self, name: &str) -> String {
        let pem = fs::read(self.path(&format!("{name}.pub"))).expect("a key");
        alga_release::trust::Key::from_pem(&pem).expect("a key").id().to_string()
    }

    /// Makes the first version: two root keys must sign, `stable` needs two keys and a refresh.
    fn init(&self, more: &[&str]) -> Run {
        let arguments = [
            "init",
            "--product",
            "alga-psa",
            "--key",
            "root=root-a.pub",
            "--key",
            "root=root-b.pub",
            "--threshold",
            "root=2",
            "--key",
            "release=release.pub",
            "--key",
            "channel:nightly=nightly.pub",
            "--key",
            "refresh:stable=refresh.pub",
            "--key",
            "channel:stable=stable-a.pub",
            "--key",
            "channel:stable=stable-b.pub",
            "--threshold",
            "channel:stable=2",
            "--lifetime",
            "channel:nightly=30d",
        ];
        self.trust(&[&arguments[..], more].concat())
    }

    /// Makes the first version, signed by both root keys.
    pub fn signed() -> Self {
        let desk = Self::new();
        desk.init(&["--sign-key", "root-a.key", "--sign-key", "root-b.key"]).ends(0);
        desk
    }

    /// Signs the next version by both root keys, and publishes it.
    pub fn put_into_force(&self, store: &str) {
        self.trust(&["sign", "--sign-key", "root-a.key", "--sign-key", "root-b.key"]).ends(0);
        self.trust(&["publish", "--store", store]).ends(0);
        assert!(!self.path("trust.next.json").exists());
    }

    pub fn flags(&self, keys: &[&str]) -> Vec<String> {
        trust::flags(self.0.path(), keys)
    }

    /// Publishes a release to nightly, signed by these keys.
    fn publish(&self, source: &Source, registry: &Registry, version: &str, keys: &[&str]) -> Run {
        let flags = self.flags(keys);
        publish(source, registry, version, "nightly", &flags.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// An appliance with the first version baked in.
fn follow(registry: &Registry, baked: &str, state: &str, what: &str) -> Run {
    resolve(&["resolve", what, "--store", &store(registry), "--trust", baked, "--state", state, "--output", "json"])
}

#[test]
fn a_trust_document_lives_from_its_first_signature_to_a_withdrawn_release() {
    let (desk, source, registry) = (Desk::new(), Source::new(), Registry::start());
    let at = store(&registry);
    // Two people sign, each on a machine of their own.
    desk.init(&[])
        .ends(0)
        .prints(&["trust.json: version 1 of alga-psa", "signed by 0 of the 2 root keys of version 1"]);
    desk.trust(&["publish", "--store", &at])
        .ends(3)
        .says(&["signed by 0 of the 2 root keys", "alga-release trust sign"]);
    desk.trust(&["sign", "--sign-key", "root-a.key"]).ends(0).prints(&["signed by 1 of the 2", &desk.id("root-b")]);
    desk.trust(&["publish", "--store", &at]).ends(3).says(&["signed by 1 of the 2 root keys", &desk.id("root-b")]);
    desk.trust(&["sign", "--sign-key", "root-b.key"]).ends(0).prints(&["signed by 2 of the 2"]);
    desk.trust(&["publish", "--store", &at]).ends(0).prints(&["published: version 1"]);
    let before = state(&registry);
    desk.trust(&["publish", "--store", &at]).ends(0);
    assert_eq!(state(&registry), before, "nothing to do");
    let baked = desk.file("baked.json");
    fs::copy(desk.path("trust.json"), &baked).expect("copied");
    let appliance = desk.file("state.json");

    desk.publish(&source, &registry, "1.0.3", &["release", "nightly"]).ends(0);
    follow(&registry, &baked, &appliance, "nightly").ends(0);

    // The release key is rotated: the new key first, the old one later.
    desk.trust(&["add-key", "--role", "release", "release-2.pub", "--sign-key", "root-a.key"])
        .ends(0)
        .prints(&[&format!("release: + {}", desk.id("release-2"))]);
    desk.trust(&["publish", "--store", &at]).ends(3).says(&["version 2", "signed by 1 of the 2 root keys of version"]);
    desk.trust(&["sign", "--sign-key", "root-b.key"])
        .ends(0)
        .says(&["signing version 2 of alga-psa", &format!("release: + {}", desk.id("release-2"))]);
    desk.trust(&["publish", "--store", &at]).ends(0).prints(&["published: version 2"]);
    desk.trust(&["remove-key", "--role", "release", &desk.id("release"), "--store", &at])
        .ends(0)
        .says(&["warning: no remaining key of the role release signed release 1.0.3", "signed bundle"]);
    desk.trust(&["new-epoch", "nightly"]).ends(0).prints(&["channel:nightly: epoch 1 -> 2"]);
    desk.put_into_force(&at);
    assert_eq!(desk.show()["documents"][0]["version"], 3, "both changes are one version");

    let stays = follow(&registry, &baked, &appliance, "nightly").ends(3);
    assert!(stays.stderr.contains("epoch"), "{}", stays.stderr);
    with_images(&source, &["1.0.4"]);
    desk.publish(&source, &registry, "1.0.4", &["release-2", "nightly"]).ends(0);
    let followed = follow(&registry, &baked, &appliance, "nightly").ends(0).json();
    assert_eq!((&followed["trust"]["trustVersion"], &followed["trust"]["epoch"]), (&3.into(), &2.into()));

    desk.trust(&["withdraw", "1.0.4", "--reason", "loses data", "--store", &at])
        .ends(0)
        .prints(&["withdrawn: + sha256:", "is withdrawn: loses data"])
        .says(&["nightly serves the withdrawn release"]);
    desk.put_into_force(&at);
    let fresh = desk.file("fresh.json");
    follow(&registry, &baked, &fresh, "1.0.4").ends(3).says(&["withdrawn"]);
    follow(&registry, &baked, &fresh, "nightly").ends(3).says(&["withdrawn"]);
    desk.trust(&["verify", "--store", &at]).ends(0).prints(&["serves version 4"]);
}

#[test]
fn a_directory_has_the_same_document_as_a_registry() {
    let desk = Desk::signed();
    let at = format!("oci-layout:{}", desk.file("store"));
    desk.trust(&["publish", "--store", &at, "--dry-run"]).ends(0).prints(&["would publish: version 1"]);
    desk.trust(&["publish", "--store", &at, "--output", "json"]).ends(0);
    desk.trust(&["threshold", "--role", "root", "1"]).ends(0).prints(&["root: threshold 2 -> 1"]);
    desk.trust(&["sign", "--sign-key", "root-a.key"]).ends(0).prints(&["root keys of version 1 that must sign; not"]);
    desk.put_into_force(&at);
    let report = desk.trust(&["verify", "--store", &at, "--output", "json"]).ends(0).json();
    valid("trust.json", &report);
    assert_eq!(report["store"]["version"], 2);
}

#[test]
fn a_key_that_signed_is_not_asked_again_and_a_change_needs_all_signatures_again() {
    let desk = Desk::new();
    desk.init(&["--sign-key", "root-a.key"]).ends(0);
    let once = fs::read(desk.path("trust.json")).expect("a file");
    desk.trust(&["sign", "--sign-key", "root-a.key"]).ends(0).says(&["signed already"]);
    // A program is asked, and its signature does not count twice.
    desk.trust(&["sign", "--signer", "root=openssl dgst -sha256 -sign root-a.key"]).ends(0);
    assert_eq!(fs::read(desk.path("trust.json")).expect("a file"), once);
    desk.trust(&["sign", "--sign-key", "release.key"]).ends(3).says(&["is not a root key of the trust document"]);
    desk.trust(&["lifetime", "--role", "refresh:stable", "7d"]).ends(0).says(&["sign it again"]);
    let shown = desk.show();
    assert_eq!(shown["documents"][0]["signatures"][0]["signed"], serde_json::json!([]));
    assert_eq!(shown["documents"][0]["version"], 1);
}

#[test]
fn a_version_that_enough_keys_signed_is_not_changed_and_never_replaced_in_a_store() {
    let desk = Desk::signed();
    let registry = Registry::start();
    let at = store(&registry);
    desk.trust(&["publish", "--store", &at]).ends(0);
    desk.trust(&["renew", "--expires", "400d", "--sign-key", "root-a.key", "--sign-key", "root-b.key"]).ends(0);
    desk.trust(&["threshold", "--role", "root", "1"])
        .ends(3)
        .says(&["cannot change version 2", "alga-release trust publish"]);
    let first = (desk.path("trust.json"), desk.path("trust.next.json"));
    let kept = [fs::read(&first.0).expect("a file"), fs::read(&first.1).expect("a file")];
    desk.trust(&["publish", "--store", &at]).ends(0);
    let before = state(&registry);
    // Another person prepared another version 2 at the same time.
    fs::write(&first.0, &kept[0]).expect("written");
    desk.trust(&["renew", "--expires", "500d", "--sign-key", "root-a.key", "--sign-key", "root-b.key"]).ends(0);
    desk.trust(&["publish", "--store", &at]).ends(3).says(&["serves another version 2 of the trust document"]);
    desk.trust(&["verify", "--store", &at]).ends(3).says(&["serves another version 2"]);
    assert_eq!(state(&registry), before);
    fs::remove_file(&first.1).expect("removed");
    desk.trust(&["verify", "--store", &at]).ends(0).says(&["serves version 2", "alga-release trust update"]);
    desk.trust(&["update", "--store", &at]).ends(0);
    assert_eq!(fs::read(&first.0).expect("a file"), kept[1], "the version of the store");
}

#[test]
fn a_version_without_its_predecessor_is_not_published() {
    let desk = Desk::signed();
    let (first, other) = (Registry::start(), Registry::start());
    desk.trust(&["publish", "--store", &store(&first)]).ends(0);
    desk.trust(&["renew", "--expires", "400d"]).ends(0);
    desk.put_into_force(&store(&first));
    desk.trust(&["publish", "--store", &store(&other)]).ends(3).says(&["does not have version 1", "alga-release copy"]);
    assert!(!other.tags(RELEASES).contains_key("trust-2"));
    desk.trust(&["publish", "--store", &store(&other)])
        .ends(3)
        .says(&["publish the file with version 1 first: `alga-release trust publish --trust FILE`"]);
}

#[test]
fn a_version_that_was_lost_is_published_again_also_when_it_has_expired() {
    let (mut vendor, registry, empty) = (Vendor::new(), Registry::start(), Registry::start());
    let (desk, at) = (Desk::new(), store(&registry));
    let lost = vendor.file("lost.json");
    (vendor.document.issued, vendor.document.expires) = (ago(DAY * 400), ago(DAY * 30));
    fs::write(&lost, vendor.envelope()).expect("written");
    (vendor.document.version, vendor.document.issued) = (2, ago(DAY * 31));
    vendor.document.expires = now().plus(DAY * 100);
    put_trust(&registry, 2, &vendor.envelope());
    let publish = |trust: &str, at: &str| desk.trust(&["publish", "--trust", trust, "--store", at]);
    let run = publish(&lost, &at).ends(0).prints(&["published: version 1", "serves version 2"]);
    assert!(!run.stderr.contains("renew"), "{}", run.stderr);
    assert!(registry.tags(RELEASES).contains_key("trust-1"));
    publish(&lost, &store(&empty)).ends(3).says(&["trust document version 1 expired at "]);
    // The later version of the store must follow.
    let mut other = Vendor::new();
    other.document.version = 2;
    put_trust(&empty, 2, &other.envelope());
    publish(&lost, &store(&empty)).ends(3).says(&["the next trust document in the store is refused"]);
    assert!(!empty.tags(RELEASES).contains_key("trust-1"));
}

#[test]
fn other_artifacts_under_similar_tags_are_neither_copied_nor_kept() {
    let (desk, source, registry) = (Desk::signed(), Source::new(), Registry::start());
    let at = store(&registry);
    desk.trust(&["publish", "--store", &at]).ends(0);
    desk.publish(&source, &registry, "1.0.3", &["release", "nightly"]).ends(0);
    for tag in ["trust-01", "trust-2", "trust-me", "trust-18446744073709551616"] {
        put_artifact(&registry, RELEASES, tag);
    }
    let kept = alga(&["in-use", "--store", &at, "--output", "keep-list"]).ends(0).stdout;
    let kept: Vec<&str> = kept.lines().filter(|line| line.contains(":trust-")).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let mirror = Registry::start();
    alga(&["copy", "1.0.3", &store(&mirror), "--store", &at, "--without-images"]).ends(0);
    let tags = mirror.tags(RELEASES);
    let copied: Vec<&String> = tags.keys().filter(|tag| tag.starts_with("trust-")).collect();
    assert_eq!(copied, ["trust-1"]);
}

#[test]
fn the_first_refresh_role_of_a_channel_is_a_warning_with_the_order_of_the_commands() {
    let desk = Desk::signed();
    let added = desk.trust(&["add-key", "--role", "refresh:nightly", "--new-role", "root-c.pub"]).ends(0);
    added.says(&[
        "appliances refuse nightly from the publication of this version on, until the first refresh",
        "run `alga-release trust publish`, and then at once `alga-release refresh nightly --trust trust.json --sign-key FILE`",
    ]);
    let added = desk.trust(&["add-key", "--role", "refresh:stable", "nightly-2.pub"]).ends(0);
    assert!(!added.stderr.contains("first refresh"), "{}", added.stderr);
}

#[test]
fn the_next_step_names_the_file_that_the_command_was_given() {
    let desk = Desk::new();
    for (file, named) in [("k/t.json", "k/t.json"), ("my keys.json", "'my keys.json'"), ("trust.json", "")] {
        fs::create_dir_all(desk.path("k")).expect("a directory");
        let flag = if named.is_empty() { String::new() } else { format!(" --trust {named}") };
        desk.init(&["--trust", file])
            .ends(0)
            .prints(&[&format!("next: `alga-release trust sign --sign-key FILE{flag}`")]);
        let keys = ["--sign-key", "root-a.key", "--sign-key", "root-b.key", "--trust", file];
        desk.trust(&[&["sign"], &keys[..]].concat())
            .ends(0)
            .prints(&[&format!("next: `alga-release trust publish{flag}`")]);
        let change = [&["add-key", "--role", "release", "release-2.pub"], &keys[..]].concat();
        desk.trust(&change).ends(0).prints(&[&format!("next: `alga-release trust publish{flag}`")]);
        let next = file.replace(".json", ".next.json");
        let again = [&["remove-key", "--role", "release", "release.pub"], &keys[..]].concat();
        desk.trust(&again).ends(3).says(&[&format!("if it must not be published, remove {next}")]);
    }
}

#[test]
fn the_root_keys_are_rotated_by_the_old_and_the_new_ones() {
    let desk = Desk::signed();
    let registry = Registry::start();
    let at = store(&registry);
    desk.trust(&["publish", "--store", &at]).ends(0);
    desk.trust(&["add-key", "--role", "root", "root-c.pub"]).ends(0);
    desk.trust(&["remove-key", "--role", "root", "root-a.pub", "--store", &at]).ends(0);
    desk.trust(&["sign", "--sign-key", "root-b.key", "--sign-key", "root-c.key"])
        .ends(0)
        .prints(&["signed by 1 of the 2 root keys of version 1", "signed by 2 of the 2 root keys of version 2"]);
    desk.trust(&["publish", "--store", &at]).ends(3).says(&[&desk.id("root-a")]);
    desk.put_into_force(&at);
    desk.trust(&["verify", "--store", &at]).ends(0);
}

#[test]
fn rules_about_keys_are_said_before_anything_is_written() {
    let desk = Desk::signed();
    let before = fs::read(desk.path("trust.json")).expect("a file");
    let store = format!("oci-layout:{}", desk.file("store"));
    let release = desk.id("release");
    let cases: [(&[&str], i32, &str); 9] = [
        (&["remove-key", "--role", "release", &release], 3, "cannot remove the last key of the role release"),
        (&["remove-key", "--role", "root", "root-a.pub"], 3, "the role root would have 1 key, and 2 must sign"),
        (&["remove-key", "--role", "root", "0123456789"], 9, "the role root has no key 0123456789"),
        (&["threshold", "--role", "channel:stable", "3"], 3, "would have 2 keys, and 3 must sign"),
        (&["threshold", "--role", "release", "2"], 3, "the role release would have 1 key, and 2 must sign"),
        (&["add-key", "--role", "release", "root-a.pub"], 3, "may have one kind of role, found root, release"),
        (&["add-key", "--role", "channel:beta", "root-c.pub"], 9, "the trust document has no role channel:beta"),
        (&["add-key", "--role", "release", "release-2.key"], 9, "found a private key"),
        (&["renew", "--expires", "2001-01-01"], 9, "which is in the past"),
    ];
    for (arguments, code, reason) in cases {
        let more: &[&str] = if arguments[0] == "remove-key" { &["--store", &store] } else { &[] };
        desk.trust(&[arguments, more].concat()).ends(code).says(&[reason]);
    }
    assert_eq!(fs::read(desk.path("trust.json")).expect("a file"), before);
    assert!(!desk.path("trust.next.json").exists());
    desk.init(&[]).ends(3).says(&["cannot write trust.json: the file exists"]);
}

#[test]
fn a_key_whose_point_is_not_on_the_curve_is_refused() {
    let desk = Desk::signed();
    let text = fs::read_to_string(desk.path("release-2.pub")).expect("a key");
    // The last digits are of the second coordinate.
    let end = text.find("==\n").expect("padding");
    let changed = if &text[end - 4..end - 2] == "AA" { "BB" } else { "AA" };
    let text = format!("{}{changed}{}", &text[..end - 4], &text[end - 2..]);
    fs::write(desk.path("off.pub"), text).expect("written");
    desk.trust(&["add-key", "--role", "release", "off.pub"]).ends(9).says(&["the point is not on the curve P-256"]);
}

#[test]
fn a_document_that_expires_soon_is_a_warning_and_an_expired_one_is_not_verified() {
    let desk = Desk::new();
    desk.init(&["--expires", "20d", "--sign-key", "root-a.key", "--sign-key", "root-b.key"]).ends(0);
    let registry = Registry::start();
    let at = store(&registry);
    let warning = ["trust document version 1 expires at ", "alga-release trust renew"];
    desk.trust(&["show"]).ends(0).says(&warning).prints(&[" days left)"]);
    desk.trust(&["publish", "--store", &at]).ends(0).says(&warning);
    desk.trust(&["verify", "--offline"]).ends(0).says(&warning);
    let mut vendor = Vendor::new();
    (vendor.document.issued, vendor.document.expires) = (ago(DAY * 400), ago(60));
    vendor.write();
    let expired = ["trust document version 1 expired at "];
    let file = vendor.file("trust.json");
    desk.trust(&["show", &file]).ends(0).says(&expired).prints(&["(expired)"]);
    desk.trust(&["verify", "--offline", &file]).ends(3).says(&expired);
    let empty = Registry::start();
    desk.trust(&["publish", "--trust", &file, "--store", &store(&empty)]).ends(3).says(&expired);
}

#[test]
fn the_publisher_follows_the_document_of_the_store_and_keeps_the_sequence_over_a_rotation() {
    let (desk, source, registry) = (Desk::signed(), Source::new(), Registry::start());
    let at = store(&registry);
    desk.trust(&["publish", "--store", &at]).ends(0);
    desk.publish(&source, &registry, "1.0.3", &["release", "nightly"]).ends(0);
    let old = fs::read(desk.path("trust.json")).expect("a file");
    // Another machine rotates both keys.
    desk.trust(&["add-key", "--role", "channel:nightly", "root-c.pub"]).ends(0);
    desk.trust(&["add-key", "--role", "release", "release-2.pub"]).ends(0);
    for (role, key) in [("channel:nightly", "nightly.pub"), ("release", "release.pub")] {
        desk.trust(&["remove-key", "--role", role, key, "--store", &at]).ends(0);
    }
    desk.put_into_force(&at);
    let new = fs::read(desk.path("trust.json")).expect("a file");
    with_images(&source, &["1.0.4", "1.0.5"]);

    fs::write(desk.path("trust.json"), &old).expect("written");
    desk.publish(&source, &registry, "1.0.4", &["release", "nightly"])
        .ends(3)
        .says(&["has no role in the trust document"]);
    desk.publish(&source, &registry, "1.0.4", &["release-2", "root-c"])
        .ends(0)
        .says(&["trust document version 2 of", "is used: it follows version 1 in"]);
    assert_eq!(record(&registry, "nightly", "sequence").as_deref(), Some("2"));

    // The newer file knows the removed key no more; the store tells who had it.
    fs::write(desk.path("trust.json"), &new).expect("written");
    fs::remove_file(desk.path("signed.json")).expect("removed");
    let second = Registry::start();
    fs::write(desk.path("trust.json"), &old).expect("written");
    desk.trust(&["publish", "--store", &store(&second)]).ends(0);
    desk.publish(&source, &second, "1.0.4", &["release", "nightly"]).ends(0);
    desk.publish(&source, &second, "1.0.5", &["release", "nightly"]).ends(0);
    fs::remove_file(desk.path("signed.json")).expect("removed");
    fs::write(desk.path("trust.next.json"), &new).expect("written");
    desk.trust(&["publish", "--store", &store(&second)]).ends(0);
    with_images(&source, &["1.0.6"]);
    desk.publish(&source, &second, "1.0.6", &["release-2", "root-c"]).ends(0);
    assert_eq!(record(&second, "nightly", "sequence").as_deref(), Some("3"));
}

#[test]
fn nothing_is_signed_by_a_document_that_appliances_cannot_find() {
    let (desk, source, registry) = (Desk::signed(), Source::new(), Registry::start());
    let at = store(&registry);
    desk.trust(&["publish", "--store", &at]).ends(0);
    let old = fs::read(desk.path("trust.json")).expect("a file");
    let sign = ["--sign-key", "root-a.key", "--sign-key", "root-b.key"];
    desk.trust(&[&["add-key", "--role", "release", "release-2.pub"][..], &sign].concat()).ends(0);
    let draft = fs::read(desk.path("trust.next.json")).expect("a file");
    fs::write(desk.path("trust.json"), &draft).expect("written");
    let before = registry.tags(RELEASES);
    desk.publish(&source, &registry, "1.0.3", &["release-2", "nightly"])
        .ends(3)
        .says(&["version 2 of the trust document is not published in", "alga-release trust publish"]);
    assert_eq!(registry.tags(RELEASES), before);
    // In a store without any version, appliances were built with this one.
    let empty = Registry::start();
    desk.publish(&source, &empty, "1.0.3", &["release-2", "nightly"])
        .ends(0)
        .says(&["has no version of the trust document"]);
    // The store has another document under the version of the file.
    fs::write(desk.path("trust.json"), &old).expect("written");
    fs::remove_file(desk.path("trust.next.json")).expect("removed");
    let forked = Desk::signed();
    fs::copy(forked.path("trust.json"), desk.path("trust.json")).expect("copied");
    desk.publish(&source, &registry, "1.0.3", &["release", "nightly"]).ends(3).says(&["serves another version 1"]);
}

#[test]
fn a_copy_carries_every_version_and_retention_keeps_it() {
    let (desk, source, registry) = (Desk::signed(), Source::new(), Registry::start());
    let at = store(&registry);
    desk.trust(&["publish", "--store", &at]).ends(0);
    desk.publish(&source, &registry, "1.0.3", &["release", "nightly"]).ends(0);
    desk.trust(&["renew", "--expires", "400d"]).ends(0);
    desk.put_into_force(&at);
    let kept = alga(&["in-use", "--store", &at, "--output", "keep-list"]).ends(0);
    kept.prints(&["alga-appliance-release:trust-1\n", "alga-appliance-release:trust-2\n"]);
    let listed = alga(&["ls", "--store", &at]).ends(0);
    assert!(!listed.stdout.contains("trust-"), "{}", listed.stdout);

    for target in [format!("oci-layout:{}", desk.file("mirror")), format!("oci-archive:{}", desk.file("mirror.tar"))] {
        alga(&["copy", "1.0.3", &target, "--store", &at, "--without-images"]).ends(0);
        desk.trust(&["verify", "--store", &target]).ends(0).prints(&["serves version 2"]);
        let again = alga(&["copy", "1.0.3", &target, "--store", &at, "--without-images", "--output", "json"]).ends(0);
        assert_eq!(again.json()["hasChanges"], false);
    }
    let (forked, other) = (Desk::signed(), Registry::start());
    forked.trust(&["publish", "--store", &store(&other)]).ends(0);
    let before = state(&other);
    alga(&["copy", "1.0.3", &store(&other), "--store", &at, "--without-images"])
        .ends(3)
        .says(&["cannot copy trust-1", "has another trust document under this tag"]);
    assert_eq!(state(&other), before);
}
