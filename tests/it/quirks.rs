//! Publishing to an imitation of each registry in use: a release is published, resolved, found unchanged, and followed
//! by the next.

use std::io::Write as _;

use crate::support::programs::{Run, Source, resolve};
use crate::support::published::put_artifact;
use crate::support::registry::{Quirks, Registry, Setup};

const USER: &str = "alice";
const TOKEN: &str = "s3cr3t-t0ken";
const RELEASES: &str = "org/alga-appliance-release";
/// The repositories that a release of the fixtures uses.
const REPOSITORIES: [&str; 7] = [
    "org/alga-appliance-config",
    RELEASES,
    "org/charts/email-service",
    "org/charts/sebastian",
    "org/charts/temporal",
    "org/charts/temporal-worker",
    "org/charts/workflow-worker",
];

/// A source tree, a registry, and the certificate to trust.
struct Place {
    source: Source,
    registry: Registry,
    certificate: tempfile::NamedTempFile,
}

impl Place {
    fn new(quirks: Quirks) -> Self {
        let source = Source::new();
        let images = std::fs::read_to_string(source.path("ee/appliance/releases/1.0.3/release.json")).expect("images");
        source.write("ee/appliance/releases/1.0.4/release.json", &images);
        // These registries require a password for every read, so the public cannot read them.
        if ["ecr", "artifactory"].contains(&quirks.name) {
            source.write("alga-release.yaml", "publicRead: false\n");
        }
        let registry = Registry::with(quirks.setup(USER, TOKEN));
        let mut certificate = tempfile::NamedTempFile::new().expect("a file");
        certificate.write_all(registry.ca()).expect("written");
        Self { source, registry, certificate }
    }

    fn store(&self) -> String {
        format!("{}/org", self.registry.address())
    }

    fn publish(&self, version: &str, more: &[&str]) -> Run {
        let store = self.store();
        let mut arguments = vec!["--version", version, "--channel", "nightly", "--store", &store];
        arguments.extend(more);
        let certificate = self.certificate.path().to_str().expect("UTF-8");
        let mut environment = vec![("ALGA_REGISTRY_USERNAME", USER), ("ALGA_REGISTRY_TOKEN", TOKEN)];
        if !self.registry.ca().is_empty() {
            environment.push(("SSL_CERT_FILE", certificate));
            // The token server of this registry is on another host.
            arguments.extend(["--auth-realm", "127.0.0.2"]);
        }
        self.source.publish_in(&arguments, &environment)
    }

    /// Checks that the channel serves this version: in the registry, and to an appliance if the public can read.
    fn serves(&self, version: &str, public: bool) {
        let (_, manifest) = self.registry.manifest(RELEASES, "nightly").expect("a channel");
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
        let digest = manifest["config"]["digest"].as_str().expect("a digest");
        let held = self.registry.blob(RELEASES, digest).expect("a blob");
        let held: serde_json::Value = serde_json::from_slice(&held).expect("JSON");
        assert_eq!(held["version"], version);
        // The resolver reads certificates from a flag that this helper does not pass.
        if public && self.registry.ca().is_empty() {
            let resolved = resolve(&["resolve", "nightly", "--store", &self.store()]).ends(0).json();
            assert_eq!(resolved["version"], version);
        }
    }

    fn writes(&self) -> usize {
        let reads = |method: &str| matches!(method, "GET" | "HEAD");
        self.registry.log().iter().filter(|received| !reads(&received.method)).count()
    }
}

#[test]
fn every_registry_takes_a_release_serves_it_receives_no_repeated_write_and_takes_the_next() {
    for quirks in Quirks::all() {
        let (name, private, must_exist) = (quirks.name, quirks.private, quirks.must_exist);
        let place = Place::new(quirks);
        let public = !["ecr", "artifactory"].contains(&name);
        for repository in REPOSITORIES {
            if must_exist {
                place.registry.create(repository);
            }
            if private {
                place.registry.publish(repository);
            }
        }
        let run = place.publish("1.0.3", &[]);
        assert_eq!(run.code, Some(0), "{name}: {}", run.stderr);
        place.serves("1.0.3", public);
        place.registry.clear_log();
        let again = place.publish("1.0.3", &[]);
        assert_eq!(again.code, Some(0), "{name}: {}", again.stderr);
        assert!(again.stdout.starts_with("nothing to do"), "{name}: {}", again.stdout);
        assert_eq!(place.writes(), 0, "{name}");
        let next = place.publish("1.0.4", &[]);
        assert_eq!(next.code, Some(0), "{name}: {}", next.stderr);
        place.serves("1.0.4", public);
        assert_eq!(place.registry.uploads(), 0, "{name}: unfinished uploads");
        let log = place.registry.log();
        let storage = log.iter().filter(|received| received.elsewhere && received.path.starts_with("/storage"));
        assert!(storage.clone().all(|received| received.authorization.is_none()), "{name}");
        assert!(name != "ghcr" || storage.count() > 0, "blobs are on another host");
    }
}

#[test]
fn private_packages_stop_the_channel_until_they_are_public() {
    let place = Place::new(Quirks::ghcr());
    let stopped = place.publish("1.0.3", &["--reason", "first"]).ends(3);
    let stopped = stopped.says(&["the public cannot read 7 of the packages", "make each package public"]);
    stopped.says(&REPOSITORIES);
    let tags = place.registry.tags(RELEASES);
    assert!(tags.contains_key("1.0.3") && !tags.contains_key("nightly"), "the version stays, no channel: {tags:?}");
    for repository in REPOSITORIES {
        place.registry.publish(repository);
    }
    // The announcement that the first attempt left does not block the second attempt.
    place.publish("1.0.3", &["--reason", "second"]).ends(0);
    place.serves("1.0.3", true);
}

#[test]
fn an_image_that_only_the_publisher_can_read_stops_the_channel() {
    let place = Place::new(Quirks::ghcr());
    let images = [
        ("alga-psa-ee", "62cdce38"),
        ("workflow-worker", "a2cbb43"),
        ("email-service", "61e4a00e"),
        ("temporal-worker", "a2cbb43"),
    ];
    for (name, tag) in images {
        put_artifact(&place.registry, &format!("org/{name}"), tag);
    }
    let arguments = ["--image-check", "require"];
    place.publish("1.0.3", &arguments).ends(3).says(&["the public cannot read 11 of the packages", "org/alga-psa-ee"]);
    for repository in REPOSITORIES {
        place.registry.publish(repository);
    }
    place.publish("1.0.3", &arguments).ends(3).says(&["the public cannot read 4 of the packages", "org/alga-psa-ee"]);
    assert!(!place.registry.tags(RELEASES).contains_key("nightly"));
    for (name, _) in images {
        place.registry.publish(&format!("org/{name}"));
    }
    place.publish("1.0.3", &arguments).ends(0);
    place.serves("1.0.3", true);
}

#[test]
fn missing_repositories_that_a_push_does_not_create_are_named() {
    let place = Place::new(Quirks::ecr());
    let run = place.publish("1.0.3", &[]);
    assert!(matches!(run.code, Some(1 | 3)), "{run:?}");
    run.says(&["NAME_UNKNOWN", "org/"]);
    assert!(place.registry.repositories().is_empty());
}

#[test]
fn tokens_that_expire_after_few_requests_are_renewed() {
    for uses in [3, 7, 20] {
        let mut setup = Quirks::distribution3().setup(USER, TOKEN);
        setup.tokens.uses = Some(uses);
        let place = Place { registry: Registry::with(setup), ..Place::new(Quirks::default()) };
        let run = place.publish("1.0.3", &["--jobs", "1"]);
        assert_eq!(run.code, Some(0), "{uses}: {}", run.stderr);
        place.serves("1.0.3", true);
    }
}

#[test]
fn a_stale_read_of_a_tag_is_not_taken_for_the_new_value() {
    let source = Source::new();
    let registry = Registry::with(Setup { stale_reads: 1000, ..Setup::default() });
    let store = format!("{}/org", registry.address());
    let run = source.publish(&["--version", "1.0.3", "--channel", "nightly", "--store", &store]);
    assert!(matches!(run.code, Some(1 | 3 | 75)), "{run:?}");
    assert!(
        !registry.tags(RELEASES).contains_key("nightly"),
        "the channel does not move before the version is read back"
    );
}
