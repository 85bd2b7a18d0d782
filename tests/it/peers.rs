//! What is published is read back by the programs that others use: helm, Flux's own libraries, kubectl, oras, crane, skopeo.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use alga_release::archive::{self, Limits};
use alga_release::oci::Digest;
use alga_release::yaml::{self, Node};
use serde_json::Value as Json;

use crate::support::docker_registry::DockerRegistry;
use crate::support::programs::{publish, stdout};
use crate::support::{files_below, missing, require, root};

const COMMIT: &str = "7777777777777777777777777777777777777777";

/// The programs that read.
struct Peers {
    helm: PathBuf,
    oras: PathBuf,
    crane: PathBuf,
    flux: PathBuf,
    kubectl: PathBuf,
    skopeo: PathBuf,
}

impl Peers {
    fn find() -> Option<Self> {
        Some(Self {
            helm: require("helm")?,
            oras: require("oras")?,
            crane: require("crane")?,
            flux: require("flux-artifact")?,
            kubectl: require("kubectl")?,
            skopeo: require("skopeo")?,
        })
    }
}

fn call<I: AsRef<OsStr>>(program: &Path, home: &Path, arguments: impl IntoIterator<Item = I>) -> Vec<u8> {
    let mut command = Command::new(program);
    for name in ["HOME", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(name, home);
    }
    stdout(command.args(arguments))
}

/// A tree, published to a registry and to a layout, and the programs that read it there.
struct Published<'a> {
    peers: &'a Peers,
    scratch: tempfile::TempDir,
    prefix: String,
    report: Json,
    crds: Option<PathBuf>,
}

impl<'a> Published<'a> {
    fn new(peers: &'a Peers, registry: &DockerRegistry, name: &str, tree: &Path, arguments: &[&str]) -> Self {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let prefix = format!("{}/{name}", registry.address());
        let layout = format!("oci-layout:{}", scratch.path().join("layout").display());
        let common = ["--source-commit", COMMIT, "--epoch", "1700000000", "--image-check", "off", "--prefix", &prefix];
        let [report, again] = [&prefix, &layout]
            .map(|store| publish(tree, common.iter().chain(arguments).copied().chain(["--store", store.as_str()])));
        assert_eq!(report["digest"], again["digest"], "the same release in both stores");
        #[expect(clippy::disallowed_methods, reason = "tests find their data by the environment")]
        let crds = std::env::var_os("ALGA_CRDS").map(PathBuf::from);
        if crds.is_none() {
            missing("Flux's resource definitions are missing: ALGA_CRDS names a directory with flux/*.yaml");
        }
        Self { peers, scratch, prefix, report, crds }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn artifacts(&self, kind: &str) -> Vec<(String, String, String)> {
        let text = |artifact: &Json, key: &str| artifact[key].as_str().expect("text").to_owned();
        let all = self.report["artifacts"].as_array().expect("artifacts");
        let of_kind = all.iter().filter(|artifact| artifact["kind"] == kind);
        of_kind.map(|one| (text(one, "repository"), text(one, "tag"), text(one, "digest"))).collect()
    }

    fn helm_reads_every_chart(&self) {
        for (repository, tag, _) in self.artifacts("chart") {
            let (helm, home) = (&self.peers.helm, self.scratch.path());
            let url = format!("oci://{}/{repository}", self.prefix);
            let version = tag.replace('_', "+");
            let out = self.path("pulled").join(&repository);
            fs::create_dir_all(&out).expect("a directory");
            let pulled = [
                OsStr::new("pull"),
                url.as_ref(),
                "--plain-http".as_ref(),
                "--version".as_ref(),
                version.as_ref(),
                "-d".as_ref(),
                out.as_os_str(),
            ];
            call(helm, home, pulled);
            let archive = fs::read_dir(&out).expect("output").next().expect("a chart").expect("a chart").path();
            let manifest = self.manifest(&repository, &tag);
            let digest = Digest::of(&fs::read(&archive).expect("the chart"));
            assert_eq!(manifest["layers"][0]["digest"], digest.as_str(), "{repository}");
            call(helm, home, [OsStr::new("template"), "x".as_ref(), archive.as_os_str()]);
            call(helm, home, [OsStr::new("show"), "all".as_ref(), archive.as_os_str()]);
        }
    }

    fn manifest(&self, repository: &str, tag: &str) -> Json {
        let reference = format!("{}/{repository}:{tag}", self.prefix);
        let bytes = call(&self.peers.oras, self.scratch.path(), ["manifest", "fetch", "--plain-http", &reference]);
        serde_json::from_slice(&bytes).expect("a manifest")
    }

    /// Every artifact is there as reported, for a registry's reader and for a layout's; crane checks every byte of it.
    fn others_read_every_artifact(&self) {
        let home = self.scratch.path();
        for kind in ["chart", "bundle", "release"] {
            for (repository, tag, digest) in self.artifacts(kind) {
                let reference = format!("{}/{repository}:{tag}", self.prefix);
                let found = call(&self.peers.crane, home, ["digest", "--insecure", &reference]);
                assert_eq!(String::from_utf8_lossy(&found).trim(), digest, "{reference}");
                let manifest = call(&self.peers.crane, home, ["manifest", "--insecure", &reference]);
                let layout = format!("oci:{}:{tag}", self.path("layout").join(&repository).display());
                let raw = call(&self.peers.skopeo, home, ["inspect", "--raw", &layout]);
                assert_eq!(raw, manifest, "{reference}");
                call(&self.peers.crane, home, ["validate", "--insecure", "--remote", &reference]);
            }
        }
    }

    fn the_release_is_one_json_for_everybody(&self) {
        let (repository, tag, digest) = self.artifacts("release").remove(0);
        let out = self.path("release");
        let reference = format!("{}/{repository}:{tag}", self.prefix);
        call(
            &self.peers.oras,
            self.scratch.path(),
            ["pull", "--plain-http", &reference, "-o", &out.display().to_string()],
        );
        let json = fs::read(out.join("release-manifest.json")).expect("the release");
        let config =
            call(&self.peers.oras, self.scratch.path(), ["manifest", "fetch-config", "--plain-http", &reference]);
        assert_eq!(config.trim_ascii_end(), json.trim_ascii_end());
        let configuration = self.path("alga-release.yaml");
        fs::write(&configuration, format!("repositories: {{release: {repository}}}\nimages: {{}}\n")).expect("written");
        for store in [self.prefix.clone(), format!("oci-layout:{}", self.path("layout").display())] {
            let mut resolve = Command::new(env!("CARGO_BIN_EXE_alga-resolve"));
            resolve.args(["resolve", &digest, "--store", &store, "--config"]).arg(&configuration);
            assert_eq!(stdout(&mut resolve), json, "{store}");
        }
    }

    /// The bundle as the cluster unpacks it; every path that a Kustomization names builds, and every object is one of Flux's.
    fn flux_builds_the_bundle(&self) {
        let (repository, tag, _) = self.artifacts("bundle").remove(0);
        let unpacked = self.path("bundle");
        let reference = format!("{}/{repository}:{tag}", self.prefix);
        call(&self.peers.flux, self.scratch.path(), ["pull", &reference, &unpacked.display().to_string()]);
        let manifest = self.manifest(&repository, &tag);
        let layer = manifest["layers"][0]["digest"].as_str().expect("a digest").replace(':', "/");
        let layer = fs::read(self.path("layout").join(&repository).join("blobs").join(layer)).expect("the layer");
        let limits = Limits { total: 64 << 20, file: 16 << 20 };
        let ours: BTreeMap<String, Vec<u8>> = archive::read(&layer, limits).expect("an archive").into_iter().collect();
        assert_eq!(files_below(&unpacked), ours);
        let (mut left, mut built) = (vec!["base".to_owned()], BTreeSet::new());
        while let Some(path) = left.pop().filter(|path| built.insert(path.clone())) {
            let text = call(&self.peers.flux, self.scratch.path(), ["build", &unpacked.display().to_string(), &path]);
            left.extend(self.check_objects(&String::from_utf8(text).expect("UTF-8")));
            let directory = unpacked.join(&path);
            if directory.join("kustomization.yaml").exists() || directory.join("kustomization.yml").exists() {
                let directory = directory.display().to_string();
                let arguments = ["kustomize", "--load-restrictor", "LoadRestrictionsNone", &directory];
                call(&self.peers.kubectl, self.scratch.path(), arguments);
            }
        }
        assert!(built.len() > 1, "no child was built");
    }

    /// The paths of the Kustomizations among the objects.
    fn check_objects(&self, text: &str) -> Vec<String> {
        let mut children = Vec::new();
        for document in yaml::parse(text).expect("YAML") {
            let Some(object) = document.root.as_ref().map(json_of) else { continue };
            let kind = object["kind"].as_str().expect("a kind").to_owned();
            assert_ne!(kind, "GitRepository");
            let api = object["apiVersion"].as_str().expect("an API version");
            if let (true, Some(crds)) = (api.contains(".toolkit.fluxcd.io/"), &self.crds) {
                let errors = schema_errors(&crds.join("flux"), &kind, &object);
                assert!(errors.is_empty(), "{kind}: {errors:?}\n{object}");
            }
            if api.starts_with("kustomize.toolkit.fluxcd.io/") {
                assert_eq!(object["spec"]["sourceRef"]["kind"], "OCIRepository");
                children.push(object["spec"]["path"].as_str().expect("a path").trim_start_matches("./").to_owned());
            }
        }
        children
    }

    fn is_read_by_all(&self) {
        self.helm_reads_every_chart();
        self.others_read_every_artifact();
        self.the_release_is_one_json_for_everybody();
        self.flux_builds_the_bundle();
    }
}

pub fn json_of(node: &Node) -> Json {
    let node = node.resolved();
    if !node.entries().is_empty() {
        let entry = |entry: &yaml::Entry| (entry.key.as_str().expect("a key").to_owned(), json_of(&entry.value));
        return Json::Object(node.entries().iter().map(entry).collect());
    }
    if !node.items().is_empty() {
        return Json::Array(node.items().iter().map(json_of).collect());
    }
    let Some(text) = node.as_str() else { return Json::Object(serde_json::Map::new()) };
    if node.is_string() { text.into() } else { serde_json::from_str(text).unwrap_or_else(|_| text.into()) }
}

/// What is wrong with an object by its resource definition, fields that it does not name refused.
pub fn schema_errors(crds: &Path, kind: &str, object: &Json) -> Vec<String> {
    let file = fs::read_dir(crds).expect("ALGA_CRDS/flux").map(|entry| entry.expect("an entry").path());
    let plural = if kind.ends_with('y') { format!("_{}ies", kind.trim_end_matches('y')) } else { format!("_{kind}s") };
    let plural = plural.to_lowercase();
    let file =
        file.into_iter().find(|path| path.to_string_lossy().contains(&plural)).unwrap_or_else(|| panic!("{kind}"));
    let text = fs::read_to_string(file).expect("a definition");
    let definition = yaml::parse(&text).expect("YAML").iter().find_map(|document| document.root.as_ref().map(json_of));
    let definition = definition.expect("a definition");
    let version = object["apiVersion"].as_str().and_then(|api| api.split('/').nth(1)).expect("a version");
    let versions = definition["spec"]["versions"].as_array().expect("versions");
    let version = versions.iter().find(|one| one["name"] == version).expect("a version that Flux serves");
    let mut schema = version["schema"]["openAPIV3Schema"].clone();
    strict(&mut schema);
    schema["properties"]["metadata"] = serde_json::json!({ "type": "object" });
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    validator.iter_errors(object).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn strict(schema: &mut Json) {
    let Json::Object(fields) = schema else { return };
    fields.remove("description");
    let open =
        fields.contains_key("additionalProperties") || fields.contains_key("x-kubernetes-preserve-unknown-fields");
    if fields.get("properties").is_some_and(Json::is_object) && !open {
        fields.insert("additionalProperties".to_owned(), Json::Bool(false));
    }
    if fields.contains_key("x-kubernetes-int-or-string") {
        fields.insert("type".to_owned(), serde_json::json!(["integer", "string"]));
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get_mut(key) {
            strict(inner);
        }
    }
    if let Some(Json::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(strict);
    }
}

#[test]
fn the_fixtures_are_read_by_all() {
    let (Some(peers), Some(registry)) = (Peers::find(), DockerRegistry::start()) else { return };
    for pin in ["digest", "version"] {
        let arguments = ["--version", "1.0.3", "--channel", "nightly", "--chart-pin", pin];
        Published::new(&peers, &registry, &format!("fixtures-{pin}"), &root("charts-fixtures"), &arguments)
            .is_read_by_all();
    }
}

#[test]
fn the_ugly_tree_is_read_by_all() {
    let (Some(peers), Some(registry)) = (Peers::find(), DockerRegistry::start()) else { return };
    for pin in ["digest", "version"] {
        let arguments = ["--version", "1.0", "--channel", "edge", "--chart-pin", pin];
        Published::new(&peers, &registry, &format!("ugly-{pin}"), &root("tests/trees/ugly"), &arguments)
            .is_read_by_all();
    }
}

#[test]
fn another_vendors_tree_is_read_by_all_in_both_profiles() {
    #[expect(clippy::disallowed_methods, reason = "tests find their data by the environment")]
    let Some(trees) = std::env::var_os("ALGA_TREES").map(PathBuf::from) else {
        return missing("the tree of another vendor is missing: ALGA_TREES names a directory with monitoring/");
    };
    let (Some(peers), Some(registry)) = (Peers::find(), DockerRegistry::start()) else { return };
    let configuration = root("tests/trees/monitoring.yaml").display().to_string();
    for (profile, pin) in [("edge", "digest"), ("datacenter", "version")] {
        let common =
            ["--version", "2.0", "--channel", "nightly", "--image", "frontend=6.9.0", "--config", &configuration];
        let arguments: Vec<&str> = common.into_iter().chain(["--profile", profile, "--chart-pin", pin]).collect();
        let name = format!("monitoring-{profile}");
        Published::new(&peers, &registry, &name, &trees.join("monitoring"), &arguments).is_read_by_all();
    }
}

#[test]
fn the_strict_check_refuses_a_field_that_flux_does_not_know() {
    let unknown = serde_json::json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "OCIRepository", "metadata": { "name": "x" },
        "spec": { "interval": "10m", "url": "oci://example.com/x", "digst": "sha256:0" }
    });
    #[expect(clippy::disallowed_methods, reason = "tests find their data by the environment")]
    let Some(crds) = std::env::var_os("ALGA_CRDS") else {
        return missing("Flux's resource definitions are missing: ALGA_CRDS names a directory with flux/*.yaml");
    };
    let errors = schema_errors(&PathBuf::from(crds).join("flux"), "OCIRepository", &unknown);
    assert!(errors.iter().any(|error| error.contains("digst")), "{errors:?}");
}
