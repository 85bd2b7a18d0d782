//! The environment of a workflow: a source in git, a registry with the images that the source names, and a cluster with
//! the manifests.

use serde_json::Value;

use super::manifests;
use super::model::{Cluster, Model, Ran};
use crate::support::images::{GZIP, Image, MANIFEST};
use crate::support::programs::{Source, release, stdout};
use crate::support::published::{digest_of, release_json, store, with_images};
use crate::support::registry::{Registry, Setup};

pub const RELEASE: &str = "alga-appliance-release";
pub const NIGHTLY: &str = "alga-appliance-nightly";

pub struct Stage {
    pub source: Source,
    pub registry: Registry,
    pub cluster: Cluster,
    store: String,
}

impl Stage {
    /// Creates a stage. Returns `None` without git.
    pub fn new() -> Option<Self> {
        Self::with(Setup::default())
    }

    pub fn with(setup: Setup) -> Option<Self> {
        let (source, registry) = (Source::new(), Registry::with(setup));
        with_images(&source, &["1.0.4", "1.0.5"]);
        source.commit()?;
        for (repository, tag) in images(&source) {
            put_image(&registry, &repository, &tag);
        }
        let mut cluster = Cluster::new(manifests::shipped());
        cluster.sources.insert("main".to_owned(), source.path(""));
        let store = store(&registry);
        Some(Self { source, registry, cluster, store })
    }

    /// Runs the release workflow without a wait for a failing registry.
    pub fn run(&self, set: &[(&str, &str)]) -> Ran {
        self.try_run(RELEASE, set).expect("inside of the model")
    }

    pub fn try_run(&self, name: &str, set: &[(&str, &str)]) -> Model<Ran> {
        let common = [("appliance-release-store", self.store.as_str()), ("registry-retry-for", "0")];
        self.cluster.run(name, &[&common[..], set].concat())
    }

    /// Publishes a version by a workflow.
    pub fn publish(&self, version: &str, more: &[(&str, &str)]) -> Ran {
        let set = [("publish-appliance-release", "true"), ("appliance-release-version", version)];
        self.run(&[&set[..], more].concat())
    }

    pub fn tag(&self, tag: &str) -> Option<String> {
        self.registry.tags(crate::support::published::RELEASES).get(tag).cloned()
    }

    /// Adds a second work tree with other content, which git gives for a revision.
    pub fn other_source(&mut self, revision: &str) -> Source {
        let other = Source::new();
        with_images(&other, &["1.0.4", "1.0.5"]);
        other.append("helm/values.yaml", "\nother: content\n");
        other.commit().expect("git was available before");
        self.cluster.sources.insert(revision.to_owned(), other.path(""));
        other
    }
}

/// Returns repositories and tags of the images that the fixtures name, from the effective configuration.
pub fn images(source: &Source) -> Vec<(String, String)> {
    let config = stdout(release().arg("config").arg(source.path("")).args(["--output", "json"]));
    let config: Value = serde_json::from_slice(&config).expect("JSON");
    let tags: Value = serde_json::from_str(&release_json(source)).expect("JSON");
    let repositories = config["images"]["value"].as_object().expect("images").iter();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    repositories.map(|(key, repository)| (text(repository), text(&tags["app"]["images"][key]))).collect()
}

fn put_image(registry: &Registry, repository: &str, tag: &str) {
    let (manifest, blobs) = Image::new("amd64", &[100]).oci(GZIP);
    let repository = format!("org/{repository}");
    for blob in blobs {
        registry.put_blob(&repository, &digest_of(&blob), &blob);
    }
    registry.put_manifest(&repository, Some(tag), &digest_of(&manifest), MANIFEST, &manifest);
}
