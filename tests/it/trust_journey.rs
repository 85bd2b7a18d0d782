//! The journey of `docs/trust.md`, in its order: from the first key to a verified release on the other side of an air gap.

use std::path::Path;

use alga_release::oci::media_type::SIGSTORE_BUNDLE;
use alga_release::release::MoveKind;
use alga_release::signing::{KeyFile, PrivateKey};
use alga_release::trust::{ChannelStatement, RefreshStatement, SignatureBundle, Statement};
use serde_json::Value;

use crate::support::cosign::cosign;
use crate::support::programs::{Run, Source, release, resolving, run};
use crate::support::published::{RELEASES, bundles, manifest, publish, store, with_images};
use crate::support::registry::Registry;
use crate::support::require;
use crate::support::signed_channel::{self, Offer, annotations, blob, bundle};
use crate::support::trust::{DAY, ago};
use crate::trust_commands::Desk;

/// Highest sequence number that a statement can have.
const LAST: u64 = (1 << 53) - 1;

/// The vendor's desk, the registry, and an appliance with the first trust document.
struct Journey {
    desk: Desk,
    source: Source,
    registry: Registry,
}

impl Journey {
    fn new() -> Self {
        let (desk, source, registry) = (Desk::signed(), Source::new(), Registry::start());
        std::fs::copy(desk.path("trust.json"), desk.path("baked.json")).expect("a copy");
        Self { desk, source, registry }
    }

    /// Runs `alga-release` with keys, in the directory of the keys.
    fn run(&self, arguments: &[&str], keys: &[&str]) -> Run {
        let flags = self.desk.flags(keys);
        self.read(&[arguments, &flags.iter().map(String::as_str).collect::<Vec<_>>()].concat())
    }

    /// Runs `alga-release` without keys, in the directory of the keys.
    fn read(&self, arguments: &[&str]) -> Run {
        run(release().args(arguments).current_dir(self.desk.path("")).env("ALGA_RETRY_FOR", "0"))
    }

    /// The same in the registry.
    fn in_registry(&self, arguments: &[&str], keys: &[&str]) -> Run {
        self.run(&[arguments, &["--store", &store(&self.registry)]].concat(), keys)
    }

    fn publish(&self, version: &str, keys: &[&str]) {
        with_images(&self.source, &[version]);
        let flags = self.desk.flags(keys);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        publish(&self.source, &self.registry, version, "nightly", &flags).ends(0);
    }

    /// One person prepares and signs, another one reads and signs, and the refresh key completes the move.
    fn promote(&self) {
        let prepared = self.desk.path("stable.json");
        let file = prepared.display().to_string();
        let promote = ["promote", "--from", "nightly", "--to", "stable"];
        self.in_registry(&[&promote[..], &["--prepare", &file]].concat(), &["stable-a"]).ends(0);
        self.read(&["diff", "--statement", &file, "--store", &store(&self.registry)]).ends(0);
        self.run(&["sign", &file], &["stable-b"]).ends(0);
        self.in_registry(&[&promote[..], &["--signature", &file]].concat(), &["refresh"]).ends(0);
        std::fs::remove_file(prepared).expect("removed");
    }

    /// Runs the appliance with the baked trust document.
    fn appliance(&self, what: &str, more: &[&str]) -> Run {
        self.machine("state.json", &store(&self.registry), what, more)
    }

    /// Runs an appliance with a state of its own, from any store.
    fn machine(&self, state: &str, store: &str, what: &str, more: &[&str]) -> Run {
        let (trust, state) = (self.desk.file("baked.json"), self.desk.file(state));
        let arguments = ["resolve", what, "--store", store, "--trust", &trust, "--state", &state];
        run(&mut resolving(&[&arguments[..], more].concat()))
    }

    /// Checks which release the appliance gets.
    #[track_caller]
    fn gets(&self, what: &str, version: &str) {
        assert_eq!(self.appliance(what, &[]).ends(0).json()["version"], version, "{what}");
    }

    /// Checks that the appliance refuses what is served, and keeps its release.
    #[track_caller]
    fn refuses(&self, what: &str, reason: &str) {
        let before = self.appliance("stable", &["--offline"]).stdout;
        let refused = self.appliance(what, &[]).ends(3).says(&[&format!("refused ({reason})")]);
        assert_eq!(refused.stdout, "");
        assert_eq!(self.appliance("stable", &["--offline"]).stdout, before);
    }

    fn key(&self, name: &str) -> PrivateKey {
        let pem = std::fs::read(self.desk.path(&format!("{name}.key"))).expect("a key");
        KeyFile::parse(&pem).and_then(|file| file.unlock(&String::new().into())).expect("a private key")
    }

    /// Reads the statement that a channel carries.
    fn statement(&self, channel: &str) -> ChannelStatement {
        let bundles = bundles(&self.registry, channel);
        let found = bundles.iter().find_map(|bytes| match Self::parsed(bytes) {
            Statement::Channel(statement) => Some(*statement),
            _ => None,
        });
        found.expect("a statement")
    }

    fn parsed(bundle: &[u8]) -> Statement {
        Statement::parse(SignatureBundle::parse(bundle).expect("a bundle").payload()).expect("a statement")
    }

    /// Returns the JSON that a channel serves.
    fn json(&self, channel: &str) -> Vec<u8> {
        let manifest = manifest(&self.registry, channel);
        self.registry.blob(RELEASES, manifest["config"]["digest"].as_str().expect("text")).expect("a blob")
    }

    fn digest(&self, tag: &str) -> String {
        self.registry.tags(RELEASES)[tag].clone()
    }

    /// The refresh of `stable` runs out.
    fn let_the_refresh_expire(&self) {
        let statement = self.statement("stable");
        let refresh = RefreshStatement::of(&statement, statement.trust_version, ago(2 * 3600), ago(3600));
        let expired = bundle(&refresh.to_payload(), &self.key("refresh"));
        let mut served = manifest(&self.registry, "stable");
        let old = bundles(&self.registry, "stable");
        let at = old.iter().position(|bytes| matches!(Self::parsed(bytes), Statement::Refresh(_))).expect("a refresh");
        served["layers"][at + 1] = blob(&self.registry, SIGSTORE_BUNDLE, &expired);
        signed_channel::manifest(&self.registry, "stable", &served);
    }

    /// Whoever has the key of `nightly` and can write to the registry moves it with the last sequence number.
    fn thief(&self) {
        let honest = self.statement("nightly");
        let stolen = ChannelStatement { sequence: LAST, previous: None, kind: MoveKind::Publish, ..honest };
        let payload = stolen.to_payload();
        let of_release = bundles(&self.registry, "nightly")
            .into_iter()
            .find(|one| matches!(Self::parsed(one), Statement::Artifact(_)));
        let bundles = vec![bundle(&payload, &self.key("nightly")), of_release.expect("the release is signed")];
        let (json, annotations) = (self.json("nightly"), annotations(&stolen));
        Offer { channel: "nightly", json, bundles, annotations, statement: stolen }.put(&self.registry);
    }

    /// The statement of `stable` on a medium that was stored for months.
    fn age(&self) {
        let (issued, expires) = (ago(170 * DAY), ago(DAY));
        let aged = ChannelStatement { issued, expires, ..self.statement("stable") };
        let payload = aged.to_payload();
        let mut layers: Vec<Vec<u8>> = ["stable-a", "stable-b"].map(|name| bundle(&payload, &self.key(name))).to_vec();
        layers.extend(
            bundles(&self.registry, "stable")
                .into_iter()
                .filter(|one| matches!(Self::parsed(one), Statement::Artifact(_))),
        );
        let (json, annotations) = (self.json("stable"), annotations(&aged));
        Offer { channel: "stable", json, bundles: layers, annotations, statement: aged }.put(&self.registry);
    }
}

#[test]
fn the_journey_of_the_page_about_trust() {
    let journey = Journey::new();
    let at = store(&journey.registry);
    let desk = &journey.desk;
    desk.trust(&["publish", "--store", &at]).ends(0);

    // A signed release, promoted by two people, on an appliance.
    journey.publish("1.0.3", &["release", "nightly"]);
    journey.promote();
    journey.gets("stable", "1.0.3");
    let first = journey.digest("stable");

    // The release key is replaced: the new one comes first, and what the old one alone signed is signed again.
    desk.trust(&["add-key", "--role", "release", "release-2.pub"]).ends(0);
    desk.put_into_force(&at);
    journey.in_registry(&["sign", "--all"], &["release-2"]).ends(0);
    desk.trust(&["remove-key", "--role", "release", "release.pub", "--store", &at]).ends(0);
    desk.put_into_force(&at);
    journey.publish("1.0.4", &["release-2", "nightly"]);
    journey.promote();
    journey.gets("stable", "1.0.4");

    // The refresh expires, and the refresh key alone gives a new one.
    journey.let_the_refresh_expire();
    journey.refuses("stable", "refresh-expired");
    journey.in_registry(&["refresh", "stable"], &["refresh"]).ends(0);
    journey.gets("stable", "1.0.4");

    // Whoever can write to the registry serves the first move again.
    let current = journey.digest("stable");
    journey.registry.tag(RELEASES, "stable", &first);
    journey.refuses("stable", "replay");
    journey.registry.tag(RELEASES, "stable", &current);

    // The key of nightly is stolen. A new epoch recovers the channel.
    journey.gets("nightly", "1.0.4");
    journey.thief();
    journey.gets("nightly", "1.0.4");
    assert_eq!(journey.statement("nightly").sequence, LAST);
    desk.trust(&["add-key", "--role", "channel:nightly", "nightly-2.pub"]).ends(0);
    desk.trust(&["remove-key", "--role", "channel:nightly", "nightly.pub", "--store", &at]).ends(0);
    desk.trust(&["new-epoch", "nightly"]).ends(0);
    desk.put_into_force(&at);
    journey.refuses("nightly", "other-epoch");
    journey.publish("1.0.5", &["release-2", "nightly-2"]);
    journey.gets("nightly", "1.0.5");
    let statement = journey.statement("nightly");
    assert_eq!((statement.epoch, statement.sequence), (2, 3));

    // A release is withdrawn; the channel goes on with the next one.
    desk.trust(&["withdraw", "1.0.4", "--reason", "loses data", "--store", &at]).ends(0);
    desk.put_into_force(&at);
    journey.refuses("stable", "withdrawn");
    journey.refuses("1.0.4", "withdrawn");
    journey.promote();
    journey.gets("stable", "1.0.5");

    journey.crosses_an_air_gap();
    journey.is_verified_by_cosign();
}

impl Journey {
    fn crosses_an_air_gap(&self) {
        let archive = format!("oci-archive:{}", self.desk.file("release.tar"));
        let layout = format!("oci-layout:{}", self.desk.file("customer"));
        self.in_registry(&["copy", "stable", &archive, "--channel", "stable"], &[]).ends(0);
        self.run(&["copy", "stable", &layout, "--channel", "stable", "--store", &archive], &[]).ends(0);
        let index = std::fs::read(self.desk.path("customer/alga-appliance-release/index.json")).expect("an index");
        let index: Value = serde_json::from_slice(&index).expect("JSON");
        let entries = index["manifests"].as_array().expect("manifests");
        let named = |tag: &str| {
            entries.iter().find(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == tag).cloned()
        };
        assert_eq!(named("stable").expect("the channel")["digest"], self.digest("stable"), "byte for byte");
        self.read(&["verify", "stable", "--store", &layout, "--trust", "trust.json"]).ends(0);
        let there = self.machine("offline.json", &layout, "stable", &[]).ends(0);
        assert_eq!(there.json()["version"], "1.0.5");

        // A disk that was in a drawer until its statement had expired.
        self.age();
        let old = format!("oci-layout:{}", self.desk.file("old"));
        let aged = self.digest("stable");
        self.read(&["copy", "stable", &old, "--channel", "stable", "--store", &store(&self.registry)]).ends(0);
        self.machine("late.json", &old, "stable", &[]).ends(3).says(&["refused (expired)"]);
        let accepted = self.statement("stable").release.to_string();
        let more = ["--accept-expired", accepted.as_str(), "--reason", "the disk was late"];
        self.machine("late.json", &old, "stable", &more).ends(0);
        self.registry.tag(RELEASES, "stable", &aged);
    }

    fn is_verified_by_cosign(&self) {
        let (Some(second), Some(third)) = (require("cosign2"), require("cosign3")) else { return };
        let root = self.desk.path("root.json");
        std::fs::write(&root, r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#)
            .expect("written");
        let root = root.display().to_string();
        let key = self.desk.file("release-2.pub");
        // Application images are signed by those who build them.
        let is_ours = |name: &String| name.contains("/charts/") || name.contains("/alga-appliance-");
        for repository in self.registry.repositories().into_iter().filter(is_ours) {
            let tags = self.registry.tags(&repository);
            let versions = tags.iter().filter(|(tag, _)| tag.starts_with(|first: char| first.is_ascii_digit()));
            for (_, digest) in versions {
                let reference = format!("{}/{repository}@{digest}", self.registry.address());
                let verified = |program: &Path, more: &[&str]| {
                    cosign(program, "verify", &key, &[&[reference.as_str()], more].concat())
                };
                assert_eq!(verified(&second, &["--trusted-root", &root]), Ok(()), "{reference}");
                assert_eq!(verified(&third, &[]), Ok(()), "{reference}");
            }
        }
    }
}
