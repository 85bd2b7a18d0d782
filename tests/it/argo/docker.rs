//! Runs the workflows against another registry: Debian's `docker-registry`.

use super::manifests;
use super::model::Phase::{Skipped, Succeeded};
use super::model::{Cluster, Ran};
use super::stage::{NIGHTLY, RELEASE, images};
use super::suspended::{Decision, End};
use crate::support::docker_registry::DockerRegistry;
use crate::support::images::{GZIP, Image, tar};
use crate::support::programs::{Source, alga, release, resolve, run};
use crate::support::published::with_images;

struct Place {
    cluster: Cluster,
    store: String,
    _source: Source,
    _registry: DockerRegistry,
}

impl Place {
    /// Starts the registry with the images that the fixtures name. Returns `None` without such a registry or without
    /// git.
    fn new() -> Option<Self> {
        let (registry, source) = (DockerRegistry::start()?, Source::new());
        let store = format!("{}/org", registry.address());
        with_images(&source, &["1.0.4"]);
        source.commit()?;
        let archive = source.path("../image.tar");
        std::fs::write(&archive, tar(&Image::new("amd64", &[10]).layout(GZIP))).expect("written");
        for (repository, tag) in images(&source) {
            let mut push = release();
            push.args(["image", "push"]).arg(&archive).args(["--repository", &repository, "--tag", &tag]);
            run(push.args(["--store", &store])).ends(0);
        }
        let mut cluster = Cluster::new(manifests::shipped());
        cluster.sources.insert("main".to_owned(), source.path(""));
        Some(Self { cluster, store, _source: source, _registry: registry })
    }

    fn run(&self, name: &str, set: &[(&str, &str)]) -> Ran {
        let common = [("appliance-release-store", self.store.as_str()), ("registry-retry-for", "0")];
        self.cluster.run(name, &[&common[..], set].concat()).expect("inside of the model")
    }

    fn publish(&self, version: &str, more: &[(&str, &str)]) -> Ran {
        let set = [("publish-appliance-release", "true"), ("appliance-release-version", version)];
        self.run(RELEASE, &[&set[..], more].concat())
    }

    fn approve(&self) {
        let set = [("decision", "yes")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.cluster.decisions.borrow_mut().push_back(Decision {
            set: set.into(),
            end: End::ResumedBySelector,
            meanwhile: None,
        });
    }

    /// Checks the version that an appliance gets, and the move that set it.
    #[track_caller]
    fn serves(&self, channel: &str, version: &str, sequence: u64) {
        let json = resolve(&["resolve", channel, "--store", &self.store]).ends(0).json();
        assert_eq!(json["version"], version);
        let history = alga(&["history", channel, "--store", &self.store, "--output", "json"]).ends(0).json();
        assert_eq!(history["moves"][0]["sequence"], sequence, "{history:#}");
    }
}

#[test]
fn workflows_publish_promote_and_roll_back_a_release() {
    let Some(place) = Place::new() else { return };
    place.publish("1.0.3", &[]).root.is(Succeeded).task("promotion").is(Skipped);
    place.serves("nightly", "1.0.3", 1);
    place.publish("1.0.3", &[]).root.is(Succeeded);
    place.serves("nightly", "1.0.3", 1);

    place.approve();
    place.run("alga-appliance-promote", &[]).root.is(Succeeded).task("promotion.promote").is(Succeeded);
    place.serves("stable", "1.0.3", 1);
    place.approve();
    let both = place.publish("1.0.4", &[("promote-release", "true")]);
    both.root.is(Succeeded).task("promotion.promote").is(Succeeded);
    place.serves("nightly", "1.0.4", 2);
    place.serves("stable", "1.0.4", 2);

    let set = [("channel", "stable"), ("reason", "login fails"), ("store", place.store.as_str()), ("retry-for", "0")];
    place.cluster.call(RELEASE, "rollback", &set).expect("inside of the model").is(Succeeded);
    place.serves("stable", "1.0.3", 3);

    let night = place.run(NIGHTLY, &[("appliance-release-base-version", "1.0.5")]);
    night.root.is(Succeeded).task("verify").is(Succeeded);
    place.serves("nightly", "1.0.5-nightly.20261123", 3);
    place.serves("stable", "1.0.3", 3);
}
