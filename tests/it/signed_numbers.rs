//! The number that a signed move gets, when numbers without a proof are in the store.

use serde_json::Value;

use crate::support::programs::{Run, Source, alga, release, resolve, run};
use crate::support::published::{RELEASES, manifest, publish, put_images, record, state, store, with_images};
use crate::support::registry::Registry;
use crate::support::signed_channel::{self, Offer, put_trust, statement};
use crate::support::trust::{Vendor, slices};

/// Highest sequence number that a statement can have.
const LAST: u64 = (1 << 53) - 1;
/// Highest number that counts without a proof.
const UNPROVEN: u64 = 1 << 32;

/// A vendor, a source tree and a registry.
struct Desk {
    vendor: Vendor,
    source: Source,
    registry: Registry,
}

impl Desk {
    fn new() -> Self {
        Self { vendor: Vendor::new(), source: Source::new(), registry: Registry::start() }
    }

    /// Publishes a release to nightly, signed by the named keys.
    fn publish(&self, version: &str, keys: &[&str], more: &[&str]) -> Run {
        with_images(&self.source, &[version]);
        let flags = self.vendor.flags(keys);
        publish(&self.source, &self.registry, version, "nightly", &[&slices(&flags), more].concat())
    }

    /// Publishes a release to nightly without a signature.
    fn unsigned(&self, version: &str) {
        with_images(&self.source, &[version]);
        publish(&self.source, &self.registry, version, "nightly", &[]).ends(0);
    }

    /// Whoever can write tags gives another number to what nightly serves, without a statement.
    fn forge(&self, sequence: u64) {
        let mut forged = manifest(&self.registry, "nightly");
        forged["layers"].as_array_mut().expect("layers").truncate(1);
        forged["annotations"]["vnd.alga.appliance.channel.sequence"] = sequence.to_string().into();
        signed_channel::manifest(&self.registry, "nightly", &forged);
    }

    /// Whoever has the first key of nightly signs a statement with a number.
    fn steal(&self, sequence: u64) {
        let json = manifest(&self.registry, "nightly");
        let release: String = record(&self.registry, "nightly", "release").expect("a record");
        let statement = statement(&self.vendor, "nightly", &release.parse().expect("a digest"), sequence);
        let mut offer = Offer::of(&self.vendor, "1.0.3", statement);
        let digest = json["config"]["digest"].as_str().expect("text");
        offer.json = self.registry.blob(RELEASES, digest).expect("a blob");
        offer.put(&self.registry);
    }

    /// Publishes the trust document, and then the next version of it.
    fn next_trust(&mut self, change: impl FnOnce(&mut Vendor)) {
        put_trust(&self.registry, self.vendor.document.version, &self.vendor.envelope());
        self.vendor.document.version += 1;
        change(&mut self.vendor);
        self.vendor.write();
        put_trust(&self.registry, self.vendor.document.version, &self.vendor.envelope());
    }

    /// Replaces the key of nightly by one of stable.
    fn rotate(&mut self) {
        self.next_trust(|vendor| {
            let (old, new) = (vendor.key("nightly").key().id(), vendor.key("stable-a").key().id());
            vendor.document.channels.get_mut("nightly").expect("a role").role.keys = [new].into();
            vendor.document.keys.remove(&old);
        });
    }

    fn new_epoch(&mut self) {
        self.next_trust(|vendor| vendor.document.channels.get_mut("nightly").expect("a role").epoch += 1);
    }

    fn forget(&self) {
        std::fs::remove_file(self.vendor.path("signed.json")).expect("removed");
    }

    fn number(&self) -> u64 {
        record(&self.registry, "nightly", "sequence").expect("a record").parse().expect("a number")
    }
}

#[test]
fn the_first_signed_move_goes_on_from_an_unsigned_number_only_up_to_a_limit() {
    let desk = Desk::new();
    desk.unsigned("1.0.3");
    desk.forge(UNPROVEN + 1);
    put_images(&desk.registry);
    let before = state(&desk.registry);
    let keys = ["release", "nightly"];
    for more in [&[][..], &["--dry-run"]] {
        desk.publish("1.0.4", &keys, more).ends(3).says(&[
            "cannot sign the next move of channel nightly: its last move has the number 4294967297",
            "count up to 4294967296",
            "--accept-sequence N",
        ]);
    }
    assert_eq!(state(&desk.registry), before);
    desk.publish("1.0.4", &keys, &["--accept-sequence", "7"]).ends(0);
    assert_eq!(desk.number(), 8);

    let desk = Desk::new();
    desk.unsigned("1.0.3");
    desk.forge(UNPROVEN);
    desk.publish("1.0.4", &keys, &[]).ends(0);
    assert_eq!(desk.number(), UNPROVEN + 1);
    desk.publish("1.0.5", &keys, &[]).ends(0);
    assert_eq!(desk.number(), UNPROVEN + 2, "a proven number counts however large it is");
}

#[test]
fn an_unsigned_number_does_not_count_after_a_signed_statement() {
    let (desk, keys) = (Desk::new(), ["release", "nightly"]);
    desk.publish("1.0.3", &keys, &[]).ends(0);
    for (sequence, version, expected) in [(900, "1.0.4", 2), (UNPROVEN + 1, "1.0.5", 3), (LAST, "1.0.6", 4)] {
        desk.forge(sequence);
        desk.publish(version, &keys, &[]).ends(0);
        assert_eq!(desk.number(), expected, "{sequence}");
    }
}

#[test]
fn a_statement_by_a_removed_key_counts_only_up_to_a_limit() {
    for (stolen, expected) in [(900, 901), (UNPROVEN, UNPROVEN + 1), (UNPROVEN + 1, 2), (LAST, 2)] {
        let mut desk = Desk::new();
        desk.publish("1.0.3", &["release", "nightly"], &[]).ends(0);
        desk.steal(stolen);
        desk.rotate();
        let run = desk.publish("1.0.4", &["release", "stable-a"], &[]).ends(0);
        assert_eq!(desk.number(), expected, "{stolen}");
        let warning = format!("nightly has statement {stolen} in the store, which no key in force signed");
        assert_eq!(run.stderr.contains(&warning), expected == 2, "{}", run.stderr);
    }
    // Nothing else tells which number was the last.
    let mut desk = Desk::new();
    desk.publish("1.0.3", &["release", "nightly"], &[]).ends(0);
    desk.steal(LAST);
    desk.rotate();
    desk.forget();
    let keys = ["release", "stable-a"];
    desk.publish("1.0.4", &keys, &[]).ends(3).says(&["the number 9007199254740991", "--accept-sequence N"]);
    desk.publish("1.0.4", &keys, &["--accept-sequence", "1"]).ends(0);
    assert_eq!(desk.number(), 2);
}

#[test]
fn a_new_epoch_goes_on_from_the_last_number_so_that_appliances_without_a_trust_document_follow() {
    let (mut desk, keys) = (Desk::new(), ["release", "nightly"]);
    desk.publish("1.0.3", &keys, &[]).ends(0);
    desk.publish("1.0.4", &keys, &[]).ends(0);
    let at = store(&desk.registry);
    let (without, with) = (desk.vendor.file("without.json"), desk.vendor.file("with.json"));
    let baked = desk.vendor.file("baked.json");
    std::fs::copy(desk.vendor.path("trust.json"), &baked).expect("copied");
    let appliances = |version: &str| {
        for more in [&["--state", &without][..], &["--state", &with, "--trust", &baked]] {
            let followed = resolve(&[&["resolve", "nightly", "--store", &at][..], more].concat()).ends(0);
            assert_eq!(followed.json()["version"], version, "{more:?}");
        }
    };
    appliances("1.0.4");
    desk.new_epoch();
    desk.publish("1.0.5", &keys, &[]).ends(0);
    assert_eq!(desk.number(), 3);
    appliances("1.0.5");
    // What was served before the epoch counts up to the same limit.
    for (stolen, version, expected) in [(UNPROVEN, "1.0.6", UNPROVEN + 1), (LAST, "1.0.7", 1)] {
        desk.steal(stolen);
        desk.new_epoch();
        let run = desk.publish(version, &keys, &[]).ends(0);
        assert!(!run.stderr.contains("warning: nightly has statement"), "{}", run.stderr);
        assert_eq!(desk.number(), expected, "{stolen}");
    }
}

#[test]
fn the_first_statement_of_an_epoch_is_the_next_one_for_the_person_who_signs_it() {
    let mut desk = Desk::new();
    let (at, file) = (store(&desk.registry), desk.vendor.file("nightly.json"));
    desk.publish("1.0.3", &["release", "nightly"], &[]).ends(0);
    desk.steal(LAST);
    desk.new_epoch();
    with_images(&desk.source, &["1.0.4"]);
    let release = desk.vendor.flags(&["release"]);
    let only = ["--version", "1.0.4", "--no-channel", "--store", &at, "--image-check", "require"];
    desk.source.publish(&[&only[..], &slices(&release)].concat()).ends(0);
    let promote = ["promote", "--from", "1.0.4", "--to", "nightly", "--store", &at, "--prepare", &file];
    alga(&[&promote[..], &slices(&desk.vendor.flags(&[]))].concat()).ends(0);
    alga(&["diff", "--statement", &file, "--store", &at]).ends(0);
    let prepared: Value = serde_json::from_slice(&std::fs::read(&file).expect("a file")).expect("JSON");
    assert!(prepared["messages"].as_array().expect("a list").iter().any(|one| one["role"] == "channel"));
}

#[test]
fn no_statement_is_signed_where_no_file_records_it() {
    let desk = Desk::new();
    desk.publish("1.0.3", &["release", "nightly"], &[]).ends(0);
    let (before, at, file) = (state(&desk.registry), store(&desk.registry), desk.vendor.file("stable.json"));
    let bare = |arguments: &[&str], keys: &[&str]| {
        let flags = desk.vendor.flags(keys);
        let flags: Vec<&str> = slices(&flags)
            .into_iter()
            .filter(|flag| *flag != "--signing-record" && !flag.ends_with("signed.json"))
            .collect();
        let mut command = release();
        command.env_clear().args(arguments).args(["--store", &at, "--retry-for", "0"]).args(flags);
        run(&mut command)
    };
    let promote = ["promote", "--from", "nightly", "--to", "stable"];
    let keys = ["stable-a", "stable-b", "refresh"];
    let says = ["cannot sign a statement of stable", "--signing-record FILE", "ALGA_SIGNING_RECORD"];
    bare(&promote, &keys).ends(9).says(&says);
    assert_eq!(state(&desk.registry), before, "nothing is written");
    // What signs no statement needs no record.
    bare(&[&promote[..], &["--dry-run"]].concat(), &keys).ends(0);
    bare(&[&promote[..], &["--prepare", &file]].concat(), &[]).ends(0);
    bare(&["sign", &file], &["stable-a"]).ends(9).says(&says);
    bare(&["sign", &file], &["refresh"]).ends(0);
    bare(&["sign", "1.0.3"], &["release"]).ends(0);
    let record = desk.vendor.file("elsewhere/signed.json");
    bare(&[&promote[..], &["--signing-record", &record]].concat(), &keys).ends(0);
    assert!(std::path::Path::new(&record).exists());
}

#[test]
fn a_trust_document_that_is_older_than_the_one_that_signed_is_refused() {
    let mut desk = Desk::new();
    let old = desk.vendor.document.clone();
    desk.publish("1.0.3", &["release", "nightly"], &[]).ends(0);
    desk.next_trust(|vendor| vendor.document.expires = vendor.document.expires.plus(60));
    desk.publish("1.0.4", &["release", "nightly"], &[]).ends(0);
    // Whoever can write to the store hides version 2 from a machine that has version 1.
    let second = std::mem::replace(&mut desk.vendor.document, old);
    desk.vendor.write();
    desk.registry.remove_tag(RELEASES, "trust-2");
    put_images(&desk.registry);
    let (before, at, file) = (state(&desk.registry), store(&desk.registry), desk.vendor.file("stable.json"));
    let says = ["trust document version 1 is older than version 2", "pass version 2 or a later one"];
    for keys in [&["release", "nightly"][..], &["release"]] {
        desk.publish("1.0.5", keys, &[]).ends(3).says(&says);
    }
    let promote = ["promote", "--from", "nightly", "--to", "stable", "--store", &at, "--prepare", &file];
    alga(&[&promote[..], &slices(&desk.vendor.flags(&[]))].concat()).ends(3).says(&says);
    assert_eq!(state(&desk.registry), before);
    // Another version 2 is reported.
    desk.vendor.document = second;
    desk.vendor.write();
    let warning = "another trust document of version 2 was used here before";
    desk.publish("1.0.5", &["release", "nightly"], &[]).ends(3);
    put_trust(&desk.registry, 2, &desk.vendor.envelope());
    let run = desk.publish("1.0.5", &["release", "nightly"], &[]).ends(0);
    assert!(!run.stderr.contains(warning), "{}", run.stderr);
    desk.vendor.document.expires = desk.vendor.document.expires.plus(60);
    desk.vendor.write();
    put_trust(&desk.registry, 2, &desk.vendor.envelope());
    desk.publish("1.0.6", &["release", "nightly"], &[]).ends(0).says(&[warning]);
}

#[test]
fn a_file_that_is_not_a_record_is_not_overwritten() {
    let desk = Desk::new();
    for text in [r#"{"name": "a package"}"#, "[]", r#"{"positions": {"alga-psa/nightly": 7}}"#] {
        std::fs::write(desk.vendor.path("signed.json"), text).expect("written");
        desk.publish("1.0.3", &["release", "nightly"], &[]).ends(1).says(&["signed.json", "cannot record"]);
        assert_eq!(std::fs::read_to_string(desk.vendor.path("signed.json")).expect("kept"), text);
    }
    // Keys of newer programs stay.
    std::fs::write(
        desk.vendor.path("signed.json"),
        r#"{"positions": {"other/nightly": {"epoch": 1, "sequence": 4}}, "new": 1}"#,
    )
    .expect("written");
    desk.publish("1.0.3", &["release", "nightly"], &[]).ends(0);
    let record: Value =
        serde_json::from_slice(&std::fs::read(desk.vendor.path("signed.json")).expect("a record")).expect("JSON");
    assert_eq!((&record["new"], &record["positions"]["other/nightly"]["sequence"]), (&1.into(), &4.into()));
    assert_eq!(record["positions"]["alga-psa/nightly"]["sequence"], 1);
    let digest = alga_release::oci::Digest::of(&desk.vendor.document.to_bytes()).to_string();
    assert_eq!(record["documents"], serde_json::json!({"alga-psa": {"version": 1, "payload": digest}}));
}
