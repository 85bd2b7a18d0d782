//! A release is rewritten to another prefix: the bundle still builds for the cluster, and no text in the bundle has the old name
//! of a copied artifact.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use alga_release::archive::{self, Limits};
use alga_release::config::Config;
use alga_release::diff::rendered::{Contents, Rendering};
use alga_release::diff::{Side, pulled};
use alga_release::oci::{
    Artifact, Location, Manifest, Options, Pinned, Prefix, ReadStore, Relocation, Repository, Selector, Store,
};
use alga_release::overlay::BundleMeta;
use alga_release::plan::copy::{self, Origin, Relocated};
use alga_release::release::{self, Release, Resolved};
use alga_release::yaml;
use serde_json::Value as Json;

use crate::store_contract::{push, tag};
use crate::support::definitions::json_of;
use crate::support::docker_registry::DockerRegistry;
use crate::support::programs::{Source, stdout};
use crate::support::{files_below, require};

const FROM: &str = "ghcr.io/nine-minds";
const IMAGES: [&str; 4] = ["alga-psa-ee", "workflow-worker", "email-service", "temporal-worker"];

/// A release in a layout with its contents, as a copy reads them.
struct Published {
    source: Source,
    store: ReadStore,
    config: Config,
    resolved: Resolved,
    files: BTreeMap<String, Vec<u8>>,
    bundle: BundleMeta,
}

impl Published {
    async fn new(configuration: &str) -> Self {
        let source = Source::new();
        source.write("alga-release.yaml", configuration);
        source.publish(&["--version", "1.0.3", "--channel", "stable", "--store", &source.layout()]).ends(0);
        let store = ReadStore::open(&Location::Layout(source.store()), Options::default()).expect("a store");
        let config = Config::parse(configuration, "alga-release.yaml").expect("a configuration");
        let selector = Selector::Tag(tag("1.0.3"));
        let resolved = release::resolve(&store, &config.repositories.release, &selector).await.expect("a release");
        let digest = Selector::Digest(resolved.release.config.digest.clone());
        let (descriptor, bytes) = store.manifest(&config.repositories.config, &digest).await.expect("a bundle");
        let manifest = Manifest::parse(&descriptor.media_type, &bytes).expect("a manifest");
        let layer = store.fetch_verified(&config.repositories.config, &manifest.layers[0], 64 << 20).await;
        let limits = Limits { total: 64 << 20, file: 16 << 20 };
        let files = archive::read(&layer.expect("a layer"), limits).expect("an archive").into_iter().collect();
        let bundle = BundleMeta::read(&manifest.annotations).expect("a bundle's annotations");
        Self { source, store, config, resolved, files, bundle }
    }

    /// Returns the new names below `to` of everything in a copy of the release, by old name.
    fn names(&self, to: &str) -> BTreeMap<String, String> {
        let repositories = &self.config.repositories;
        let charts = self.resolved.release.chart_digests.keys().map(|name| format!("{}/{name}", repositories.charts));
        let own = [&repositories.charts, &repositories.config, &repositories.release].map(ToString::to_string);
        let paths = own.into_iter().chain(charts).chain(IMAGES.map(ToOwned::to_owned));
        let mut names: BTreeMap<String, String> =
            paths.map(|path| (format!("{FROM}/{path}"), format!("{to}/{path}"))).collect();
        let external = "docker.io/temporalio/auto-setup";
        names.insert(external.to_owned(), format!("{to}/external/{external}"));
        names
    }

    fn relocated(&self, relocation: &Relocation) -> Relocated {
        let release = &self.config.repositories.release;
        let name = Pinned { repository: format!("{FROM}/{release}"), digest: self.resolved.release_digest.clone() };
        let origin = Origin { name: &name, release: &self.resolved.release, files: &self.files, bundle: &self.bundle };
        copy::relocate(origin, relocation, &self.config, false).expect("relocated")
    }
}

fn relocation(names: &BTreeMap<String, String>, to: &str) -> Relocation {
    let prefix = |text: &str| Prefix::parse(text, false).expect("a prefix");
    Relocation::new(names, prefix(FROM), prefix(to)).expect("names")
}

fn objects(stream: &[u8]) -> Vec<Json> {
    let documents = yaml::parse(std::str::from_utf8(stream).expect("UTF-8")).expect("YAML");
    documents.iter().filter_map(|document| document.root.as_ref().map(json_of)).collect()
}

/// Builds the root and everything that its Kustomizations apply with flux and, where possible, with kubectl.
pub fn built(flux: &Path, kubectl: &Path, bundle: &Path) -> Vec<Json> {
    let (mut left, mut seen, mut all) = (vec!["base".to_owned()], BTreeSet::new(), Vec::new());
    while let Some(path) = left.pop().filter(|path| seen.insert(path.clone())) {
        let own = objects(&stdout(Command::new(flux).arg("build").arg(bundle).arg(&path)));
        for object in own.iter().filter(|object| object["kind"] == "Kustomization") {
            left.push(object["spec"]["path"].as_str().expect("a path").trim_start_matches("./").to_owned());
        }
        all.extend(own);
        if bundle.join(&path).join("kustomization.yaml").exists() {
            all.extend(objects(&stdout(
                Command::new(kubectl)
                    .args(["kustomize", "--load-restrictor", "LoadRestrictionsNone"])
                    .arg(bundle.join(&path)),
            )));
        }
    }
    assert!(seen.len() > 2, "no child was built");
    all
}

#[tokio::test]
async fn a_relocated_bundle_builds_and_has_no_old_name_of_a_copied_artifact() {
    let (Some(flux), Some(kubectl), Some(registry)) =
        (require("flux-artifact"), require("kubectl"), DockerRegistry::start())
    else {
        return;
    };
    let to = format!("{}/alga", registry.address());
    for pin in ["digest", "version"] {
        let published = Published::new(&format!("valuesNames: hashed\nchartPin: {pin}\n")).await;
        let relocation = relocation(&published.names(&to), &to);
        let relocated = published.relocated(&relocation);
        let location = Location::parse(&to, false).expect("a registry");
        let store = Store::open(&location, Options::default()).expect("a store");
        let own: Repository = published.config.repositories.config.clone();
        push(&store, &own, relocated.bundle.as_ref().expect("a new bundle"), Some(&tag("1.0.3"))).await;
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let bundle = scratch.path().join("bundle");
        stdout(Command::new(&flux).arg("pull").arg(format!("{to}/{own}:1.0.3")).arg(&bundle));
        assert_eq!(files_below(&bundle), relocated.files);
        let objects = built(&flux, &kubectl, &bundle);
        for object in &objects {
            assert_eq!(relocation.matches(&object.to_string()), [], "{object}");
        }
        sources_and_values_are_those_of(&relocated.release, &objects, &to);
        let left: Vec<&str> = relocated.warnings.iter().map(|warning| warning.text.as_str()).collect();
        assert_eq!(left, [format!("the line still names the old prefix: {FROM}/alga-appliance-tools:1.4.0")], "{pin}");
    }
}

fn sources_and_values_are_those_of(release: &Release, objects: &[Json], to: &str) {
    let of_kind = |kind: &'static str| objects.iter().filter(move |object| object["kind"] == kind);
    let url = |object: &Json| object["spec"]["url"].as_str().expect("a url").to_owned();
    let ours: Vec<&Json> = of_kind("OCIRepository")
        .chain(of_kind("HelmRepository"))
        .filter(|source| url(source).starts_with(&format!("oci://{to}/charts")))
        .collect();
    assert!(!ours.is_empty(), "no source is below the new prefix");
    assert!(ours.iter().all(|source| source["spec"]["insecure"] == true), "{ours:?}");
    let mut read = BTreeSet::new();
    for installed in of_kind("HelmRelease") {
        let from = installed["spec"]["valuesFrom"].as_array().into_iter().flatten();
        read.extend(from.filter_map(|one| one["name"].as_str().map(ToOwned::to_owned)));
    }
    let named: BTreeSet<String> = release.values_config_maps.values().cloned().collect();
    assert_eq!(read, named, "releases read the ConfigMaps that the appliance makes");
}

#[tokio::test]
async fn a_relocated_release_agrees_with_its_bundle_names_its_origin_and_is_reproducible() {
    let to = "mirror.example:5000/alga";
    let published = Published::new("valuesNames: hashed\n").await;
    let relocation = relocation(&published.names(to), to);
    let relocated = published.relocated(&relocation);
    let (before, after) = (&published.resolved.release, &relocated.release);
    for (name, text) in &after.profile_values {
        let file = &relocated.files[&format!("profiles/single-node/values/{name}")];
        assert_eq!(std::str::from_utf8(file), Ok(text.as_str()), "{name}");
    }
    assert_ne!(before.profile_values, after.profile_values);
    let changed = |of: &str| before.values_config_maps[of] != after.values_config_maps[of];
    assert!(changed("alga-core") && !changed("pgbouncer"), "names follow the text: {:?}", after.values_config_maps);
    assert_eq!(after.config.repository, format!("{to}/alga-appliance-config"));
    assert_eq!(Some(&after.config.digest), relocated.bundle.as_ref().map(Artifact::digest));
    let origin = format!("{FROM}/alga-appliance-release@{}", published.resolved.release_digest);
    assert_eq!(after.copied_from.as_ref(), Some(&origin));
    assert_eq!(
        (&before.charts, &before.chart_digests, &before.images),
        (&after.charts, &after.chart_digests, &after.images)
    );
    let again = published.relocated(&relocation);
    assert_eq!((&again.json, &again.bundle), (&relocated.json, &relocated.bundle));
    let once_more = Published { resolved: Resolved { release: after.clone(), ..published.resolved }, ..published };
    let once_more = Published { files: relocated.files.clone(), ..once_more };
    let twice = once_more.relocated(&relocation);
    assert_eq!((twice.bundle, twice.json), (None, None), "relocating again changes nothing");
    assert!(once_more.source.store().exists());
}

#[tokio::test]
async fn exactly_the_images_that_charts_pull_from_elsewhere_are_listed() {
    let Some(helm) = require("helm") else { return };
    let to = "mirror.example:5000/alga";
    let published = Published::new("").await;
    let relocated = published.relocated(&relocation(&published.names(to), to));
    let Published { store, config, resolved, .. } = published;
    let side = Side::read(&store, &config, "1.0.3", resolved);
    let contents = side.contents_of(&relocated.release, relocated.files).await.expect("contents");
    let rendering = Rendering { documents: templates(&helm, &contents), ..Rendering::default() };
    let mut notes = Vec::new();
    let prefix = Prefix::parse(to, false).expect("a prefix");
    let images = pulled::elsewhere(&rendering, &BTreeMap::new(), &prefix, &mut notes);
    assert_eq!(notes, Vec::<String>::new());
    let images: BTreeSet<String> =
        images.iter().map(|one| one.image.rsplit_once(':').expect("a tag").0.to_owned()).collect();
    // Charts keep their bytes. Images that only the charts' own values name are therefore still pulled from the old registry.
    let expected = ["edoburu/pgbouncer", "library/redis", "temporalio/auto-setup", "temporalio/ui"];
    let expected: BTreeSet<String> = expected.map(|name| format!("docker.io/{name}")).into();
    assert_eq!(images, expected);
}

/// Renders every HelmRelease with helm.
fn templates(helm: &Path, contents: &Contents) -> BTreeMap<String, Vec<u8>> {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut documents = BTreeMap::new();
    for one in &contents.installations {
        let archive = scratch.path().join(format!("{}.tgz", one.chart));
        std::fs::write(&archive, &contents.charts[&one.chart]).expect("written");
        let mut command = Command::new(helm);
        command.env("HOME", scratch.path()).args(["template", &one.release]).arg(&archive);
        for (weight, values) in one.values.iter().enumerate() {
            let file = scratch.path().join(format!("{}-{weight}.json", one.release));
            std::fs::write(&file, values.to_string()).expect("written");
            command.arg("--values").arg(file);
        }
        documents.insert(format!("helm {}", one.release), stdout(&mut command));
    }
    assert!(documents.len() > 3, "{:?}", documents.keys());
    documents
}
