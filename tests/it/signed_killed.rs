//! Signed moves and refreshes that are killed at any request: an appliance with a trust document sees the whole old or
//! the whole new release, and no number is signed for two statements.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use alga_release::trust::{RefreshStatement, SignatureBundle, Statement};

use crate::killed::{for_each, kill_at, say};
use crate::support::programs::{Source, release, resolve, run};
use crate::support::published::{RELEASES, store};
use crate::support::registry::{Fault, Registry, Setup};
use crate::support::signed_channel::{Offer, bundle, put_release, statement};
use crate::support::trust::{DAY, Vendor, ago, now};

/// A command that writes to a signed channel, and the registry before it.
struct Scene<'a> {
    vendor: &'a Vendor,
    before: &'a Registry,
    channel: &'static str,
    arguments: Vec<String>,
    keys: &'a [&'a str],
    /// Versions that an appliance may see before, and after the command has ended.
    versions: [&'static str; 2],
}

impl Scene<'_> {
    fn command(&self, registry: &Registry, record: &Path) -> Command {
        let mut command = release();
        command.args(&self.arguments).args(["--store", &store(registry), "--retry-for", "0"]);
        let mut flags = self.vendor.flags(self.keys);
        flags[3] = record.display().to_string();
        command.args(flags);
        command
    }

    /// Asks as an appliance that has followed the channel so far.
    #[track_caller]
    fn sees(&self, registry: &Registry, state: &Path, versions: &[&str], what: &str) {
        let (trust, state, at) = (self.vendor.file("trust.json"), state.display().to_string(), store(registry));
        let seen = resolve(&["resolve", self.channel, "--store", &at, "--trust", &trust, "--state", &state]);
        assert_eq!(seen.code, Some(0), "{what}: {}", seen.stderr);
        let version = seen.json()["version"].clone();
        assert!(versions.iter().any(|one| version == *one), "{what}: {version}");
    }

    fn killed_everywhere(&self, what: &str) {
        let directory = tempfile::tempdir().expect("a directory");
        let undisturbed = Registry::copy_of(self.before, Setup::default());
        run(&mut self.command(&undisturbed, &directory.path().join("record"))).ends(0);
        let requests = undisturbed.log().len();
        for_each(2 * requests, |number| {
            let (index, after) = (number / 2, number % 2 == 1);
            let what = format!("{what}, killed {} request {index}", if after { "after" } else { "before" });
            // Programs that write to one directory wait for each other.
            let place = directory.path().join(number.to_string());
            let (record, state) = (place.join("record/signed.json"), place.join("state/state.json"));
            let registry = Registry::copy_of(self.before, Setup::default());
            self.sees(&registry, &state, &self.versions[..1], &what);
            let command = self.command(&registry, &record);
            kill_at(command, &registry, after, |action| Fault::after(index, action));
            self.sees(&registry, &state, &self.versions, &what);
            run(&mut self.command(&registry, &record)).ends(0);
            self.sees(&registry, &state, &self.versions[1..], &what);
            self.no_number_has_two_statements(&registry, &what);
        });
        say(&format!("killed {} times, before and after each of {requests} requests of {what}", 2 * requests));
    }

    /// Reads the statements of all manifests of the channel that have a tag.
    #[track_caller]
    fn no_number_has_two_statements(&self, registry: &Registry, what: &str) {
        let mut numbers: BTreeMap<u64, BTreeSet<Vec<u8>>> = BTreeMap::new();
        for (tag, digest) in registry.tags(RELEASES) {
            if !tag.starts_with(self.channel) {
                continue;
            }
            let (_, manifest) = registry.manifest(RELEASES, &digest).expect("a manifest");
            let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
            for layer in manifest["layers"].as_array().expect("layers") {
                let blob = registry.blob(RELEASES, layer["digest"].as_str().expect("text")).expect("a blob");
                let Ok(bundle) = SignatureBundle::parse(&blob) else { continue };
                if let Ok(Statement::Channel(statement)) = Statement::parse(bundle.payload()) {
                    numbers.entry(statement.sequence).or_default().insert(bundle.payload().to_vec());
                }
            }
        }
        assert!(!numbers.is_empty(), "{what}");
        for (number, payloads) in numbers {
            assert_eq!(payloads.len(), 1, "{what}: number {number}");
        }
    }
}

fn words(line: &[&str]) -> Vec<String> {
    line.iter().map(ToString::to_string).collect()
}

/// A registry whose nightly channel serves 1.0.3, and a tree with the next version.
fn published(vendor: &Vendor) -> (Source, Registry) {
    let (source, registry) = (Source::new(), Registry::start());
    source.without_images();
    let mut first = release();
    first.args(publication(&source, "1.0.3")).args(["--store", &store(&registry)]);
    run(first.args(vendor.flags(&["release", "nightly"]))).ends(0);
    (source, registry)
}

fn publication(source: &Source, version: &str) -> Vec<String> {
    let tree = source.path("").display().to_string();
    let commit = "a".repeat(40);
    let line = ["publish", &tree, "--version", version, "--channel", "nightly", "--source-commit", &commit];
    words(&[&line[..], &["--epoch", "1700000000", "--prefix", "registry.example.com/org"]].concat())
}

#[test]
fn a_signed_publish_killed_at_any_request_never_shows_a_pointer_without_its_proof() {
    let vendor = Vendor::new();
    let (source, before) = published(&vendor);
    let arguments = publication(&source, "1.0.4");
    let keys = &["release", "nightly"];
    let versions = ["1.0.3", "1.0.4"];
    Scene { vendor: &vendor, before: &before, channel: "nightly", arguments, keys, versions }
        .killed_everywhere("a signed publish");
}

#[test]
fn a_signed_promotion_killed_at_any_request_never_shows_a_pointer_without_its_proof() {
    let vendor = Vendor::new();
    let (source, before) = published(&vendor);
    let keys = &["stable-a", "stable-b", "refresh"];
    let promotion = words(&["promote", "--from", "nightly", "--to", "stable", "--prefix", "registry.example.com/org"]);
    let mut first = release();
    run(first.args(&promotion).args(["--store", &store(&before)]).args(vendor.flags(keys))).ends(0);
    let mut next = release();
    next.args(publication(&source, "1.0.4")).args(["--store", &store(&before)]);
    run(next.args(vendor.flags(&["release", "nightly"]))).ends(0);
    let versions = ["1.0.3", "1.0.4"];
    Scene { vendor: &vendor, before: &before, channel: "stable", arguments: promotion, keys, versions }
        .killed_everywhere("a signed promotion");
}

#[test]
fn a_refresh_killed_at_any_request_leaves_a_channel_that_appliances_follow() {
    let (vendor, before) = (Vendor::new(), Registry::start());
    let mut old = statement(&vendor, "stable", &put_release(&before, "1.0.3"), 5);
    (old.issued, old.expires) = (ago(10 * DAY), now().plus(170 * DAY));
    let mut offer = Offer::of(&vendor, "1.0.3", old.clone());
    let refresh = RefreshStatement::of(&old, 1, old.issued, now().plus(3 * DAY));
    offer.bundles[2] = bundle(&refresh.to_payload(), vendor.key("refresh"));
    offer.put(&before);
    let (arguments, keys) = (words(&["refresh", "stable"]), &["refresh"]);
    let versions = ["1.0.3", "1.0.3"];
    Scene { vendor: &vendor, before: &before, channel: "stable", arguments, keys, versions }
        .killed_everywhere("a refresh");
}
