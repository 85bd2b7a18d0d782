//! A release describes itself, so its reference is enough and no configuration file is needed.

use std::path::PathBuf;

use alga_release::release::Release;
use alga_release::yaml;
use serde_json::{Value, json};

use crate::support::definitions::json_of;
use crate::support::programs::{Run, Source, alga, release, resolve, run};
use crate::support::published::{RELEASES, digest_of, publish, put_release_in, record, served, state, store};
use crate::support::registry::Registry;
use crate::support::{missing, root};

/// Repository of another vendor's releases.
const PLATFORM: &str = "acme/platform-release";

/// A release of another vendor. Two HelmReleases of the same name read ConfigMaps of the same name in two namespaces.
fn platform(registry: &Registry) -> Value {
    let prefix = format!("{}/acme", registry.address());
    let reader = |namespace: &str, key: &str| {
        json!({
            "release": "web", "namespace": namespace, "configMap": "platform-web", "key": key, "file": "web.edge.yaml",
            "set": [{ "path": "image.tag", "from": "image:web" }, { "path": "size", "from": "literal:3" }]
        })
    };
    json!({
        "schema": "alga.appliance.release/v1", "version": "2.0", "channel": "edge", "valuesProfile": "edge",
        "images": { "web": "6.9.0" }, "charts": {},
        "config": { "repository": format!("{prefix}/platform-config"), "version": "2.0", "digest": digest_of(b"bundle") },
        "profileValues": { "web.edge.yaml": "image: {tag: x}\nsize: 1\n", "note.edge.yaml": "a: 1\n" },
        "product": "platform", "prefix": prefix, "chartRepository": "helm",
        "appliance": {
            "fluxNamespace": "flux-system", "sourceName": "platform",
            "selection": { "namespace": "platform-system", "name": "selected" }, "requiredImages": ["web"],
            "values": [reader("apps", "values.yaml"), reader("backoffice", "web.yaml")]
        }
    })
}

/// Publishes a release and moves the channel to the release.
fn put(registry: &Registry, json: &Value) -> String {
    let record = |key: &str, value: &str| (format!("vnd.alga.appliance.channel.{key}"), Value::from(value));
    put_release_in(registry, PLATFORM, "release", json, &json!({}));
    let moves = registry.manifest(PLATFORM, "edge").map_or(0, |(_, manifest)| {
        let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
        let sequence = manifest["annotations"]["vnd.alga.appliance.channel.sequence"].as_str().expect("a sequence");
        sequence.parse::<u64>().expect("a number")
    });
    let annotations = [
        record("name", "edge"),
        record("release", &registry.tags(PLATFORM)["release"]),
        record("sequence", &(moves + 1).to_string()),
        record("kind", "publish"),
        record("moved", "2026-11-23T10:00:00Z"),
    ];
    put_release_in(registry, PLATFORM, "edge", json, &Value::Object(annotations.into_iter().collect()));
    format!("{}/{PLATFORM}:edge", registry.address())
}

fn objects(run: &Run) -> Vec<Value> {
    let documents = yaml::parse(&run.stdout).unwrap_or_else(|cause| panic!("{cause}: {}", run.stdout));
    documents.iter().filter_map(|document| document.root.as_ref().map(json_of)).collect()
}

/// Returns kind, namespace and name of an object.
fn names(object: &Value) -> [&str; 3] {
    let metadata = &object["metadata"];
    [&object["kind"], &metadata["namespace"], &metadata["name"]].map(|text| text.as_str().unwrap_or_default())
}

#[test]
fn a_release_of_another_vendor_is_rendered_without_a_configuration() {
    let registry = Registry::start();
    let reference = put(&registry, &platform(&registry));
    let run = resolve(&["render", &reference]).ends(0);
    let objects = objects(&run);
    assert_eq!(
        objects.iter().map(names).collect::<Vec<_>>(),
        [
            ["Namespace", "", "platform-system"],
            ["Namespace", "", "apps"],
            ["Namespace", "", "backoffice"],
            ["ConfigMap", "apps", "platform-web"],
            ["ConfigMap", "backoffice", "platform-web"],
            ["OCIRepository", "flux-system", "platform"],
            ["Kustomization", "flux-system", "platform"],
            ["ConfigMap", "platform-system", "selected"],
        ]
    );
    let text = "image: {tag: \"6.9.0\"}\nsize: 3\n";
    assert_eq!((&objects[3]["data"]["values.yaml"], &objects[4]["data"]["web.yaml"]), (&text.into(), &text.into()));
    assert_eq!(objects[7]["data"]["repository"], PLATFORM);
    assert_eq!(objects[7]["data"]["selectedChannel"], "edge");
    run.says(&["profileValues.note.edge.yaml: no HelmRelease reads these values"]);
    let more = resolve(&["render", &reference, "--set", "web:size=4", "--output", "json"]).ends(0).json();
    let files: Vec<&str> =
        more["objects"].as_array().expect("a list").iter().filter_map(|o| o["file"].as_str()).collect();
    assert_eq!(files[2..5], ["namespace-backoffice.yaml", "values.apps.web.yaml", "values.backoffice.web.yaml"]);
    assert_eq!(more.to_string().matches("size: 4").count(), 2);
    resolve(&["render", &reference, "--set", "db:size=4"]).ends(9).says(&["db"]);
}

#[test]
fn two_texts_under_one_key_of_a_config_map_are_refused() {
    let registry = Registry::start();
    let mut release = platform(&registry);
    for reader in release["appliance"]["values"].as_array_mut().expect("a list") {
        (reader["namespace"], reader["key"]) = ("apps".into(), "values.yaml".into());
    }
    let reference = put(&registry, &release);
    assert_eq!(objects(&resolve(&["render", &reference]).ends(0)).len(), 6, "one ConfigMap for both");
    release["appliance"]["values"][1]["set"] = json!([]);
    let reference = put(&registry, &release);
    let run = resolve(&["render", &reference])
        .ends(1)
        .says(&["apps/platform-web would have two texts under the key `values.yaml`"]);
    assert_eq!(run.stdout, "");
}

#[test]
fn invalid_object_names_in_a_description_are_refused() {
    let registry = Registry::start();
    for pointer in [
        "/appliance/fluxNamespace",
        "/appliance/sourceName",
        "/appliance/selection/namespace",
        "/appliance/selection/name",
        "/appliance/values/1/release",
        "/appliance/values/1/namespace",
        "/appliance/values/1/configMap",
        "/appliance/values/1/key",
    ] {
        let mut release = platform(&registry);
        *release.pointer_mut(pointer).expect("a value") = "a\nkind: Secret".into();
        let reference = put(&registry, &release);
        let run = resolve(&["render", &reference]).ends(1).says(&["not a valid name of a Kubernetes object"]);
        assert_eq!(run.stdout, "", "{pointer}");
    }
}

#[test]
fn a_configuration_that_contradicts_the_release_is_refused_with_both_values() {
    let registry = Registry::start();
    let source = Source::new();
    let reference = put(&registry, &platform(&registry));
    let ask = |text: &str| {
        source.write("mine.yaml", text);
        resolve(&["render", &reference, "--config", &source.path("mine.yaml").display().to_string()])
    };
    ask("appliance: {sourceName: mine}\n").ends(9).says(&[
        "`appliance.sourceName` is `platform`",
        "`mine`",
        "mine.yaml",
    ]);
    ask("repositories: {charts: charts}\n").ends(9).says(&["`helm` in the release", "`charts` in"]);
    // The reference gives the place of the release, so the prefix is not used.
    ask("prefix: registry.example.com/acme\nappliance: {sourceName: platform}\n").ends(0);
}

#[test]
fn an_appliance_has_one_root_and_changes_it_only_on_request() {
    let registry = Registry::start();
    let source = Source::new();
    let state = source.path("state.json").display().to_string();
    let reference = put(&registry, &platform(&registry));
    let ask = |command: &str, more: &[&str]| resolve(&[&[command, &reference, "--state", &state], more].concat());
    ask("render", &[]).ends(0);
    let mut other = platform(&registry);
    other["appliance"]["sourceName"] = "acme".into();
    put(&registry, &other);
    let words = ["flux-system/acme", "flux-system/platform", "--migrate-root"];
    assert_eq!(ask("render", &[]).ends(3).says(&words).stdout, "");
    ask("resolve", &[]).ends(3).says(&words);
    let held = ask("control-plane", &["--running", "r.io/x:1", "--baseline", "r.io/x:0"]).ends(0).says(&words[..2]);
    assert_eq!(held.stdout, "");
    ask("render", &["--migrate-root"]).ends(0);
    ask("render", &[]).ends(0);
    ask("render", &["--offline"]).ends(0);
    put(&registry, &platform(&registry));
    ask("render", &[]).ends(3).says(&["flux-system/platform", "flux-system/acme"]);
}

#[test]
fn the_state_of_an_older_program_means_the_root_of_its_followed_release() {
    let registry = Registry::start();
    let source = Source::new();
    let state = source.path("state.json").display().to_string();
    let mut release = platform(&registry);
    let reference = put(&registry, &release);
    let ask = || resolve(&["render", &reference, "--state", &state]);
    let without_root = || {
        let mut json: Value = serde_json::from_slice(&std::fs::read(&state).expect("a state")).expect("JSON");
        assert_eq!(json["root"]["namespace"], "flux-system");
        json.as_object_mut().expect("an object").remove("root");
        std::fs::write(&state, json.to_string()).expect("written");
    };
    ask().ends(0);
    without_root();
    ask().ends(0);
    without_root();
    release["appliance"]["fluxNamespace"] = "flux".into();
    put(&registry, &release);
    ask().ends(3).says(&["flux/platform", "flux-system/platform"]);
}

/// A tree of another vendor, and what a test expects of it.
struct Tree {
    root: PathBuf,
    configuration: PathBuf,
    channel: &'static str,
    image: &'static str,
    /// Namespace, name and key of each values `ConfigMap`.
    values: &'static [[&'static str; 3]],
}

impl Tree {
    /// Two HelmReleases of the same name, in two namespaces.
    fn small() -> Self {
        let values =
            &[["apps", "platform-values-web", "web.edge.yaml"], ["backoffice", "platform-values-web", "values.yaml"]];
        let tree = root("tests/trees/namespaces");
        Self { configuration: tree.join("alga-release.yaml"), root: tree, channel: "edge", image: "web=6.9.0", values }
    }

    /// The charts of a monitoring stack, if this machine has them.
    fn monitoring() -> Option<Self> {
        #[expect(clippy::disallowed_methods, reason = "tests find their data by the environment")]
        let Some(trees) = std::env::var_os("ALGA_TREES").map(PathBuf::from) else {
            missing("the tree of another vendor is missing: ALGA_TREES names a directory with monitoring/");
            return None;
        };
        let values = &[
            ["platform-system", "platform-values-alerts", "alerts.edge.yaml"],
            ["apps", "platform-values-frontend", "frontend.edge.yaml"],
            ["platform-system", "platform-values-ingress", "ingress.edge.yaml"],
        ];
        let configuration = root("tests/trees/monitoring.yaml");
        Some(Self {
            root: trees.join("monitoring"),
            configuration,
            channel: "nightly",
            image: "frontend=6.9.0",
            values,
        })
    }

    /// Publishes the tree with its configuration. Returns the name of its channel, which needs no configuration.
    fn publish(&self, registry: &Registry, version: &str, more: &[&str]) -> String {
        let prefix = format!("{}/acme", registry.address());
        let mut command = release();
        command.arg("publish").arg(&self.root).arg("--config").arg(&self.configuration).args(["--store", &prefix]);
        command.args(["--version", version, "--channel", self.channel, "--image", self.image, "--image-check", "off"]);
        command.args(["--source-commit", &"a".repeat(40), "--epoch", "1700000000"]).args(more);
        run(&mut command).ends(0);
        format!("{prefix}/platform-release:{}", self.channel)
    }

    /// Returns namespace, name and key of each rendered `ConfigMap` of values, after a check that each namespace comes
    /// before its objects.
    fn rendered(reference: &str) -> Vec<[String; 3]> {
        let objects = objects(&resolve(&["render", reference]).ends(0));
        let mut made = Vec::new();
        let mut values = Vec::new();
        for object in &objects {
            let [kind, namespace, name] = names(object).map(ToOwned::to_owned);
            if kind == "Namespace" {
                made.push(name.clone());
            }
            if object["metadata"]["labels"]["app.kubernetes.io/component"] == "values" {
                assert!(made.contains(&namespace), "{namespace} comes after {name}");
                let key = object["data"].as_object().expect("data").keys().next().expect("a key").clone();
                values.push([namespace, name, key]);
            }
        }
        values
    }
}

#[test]
fn a_published_tree_is_resolved_and_rendered_without_its_configuration() {
    for tree in std::iter::once(Tree::small()).chain(Tree::monitoring()) {
        for names in [&[][..], &["--chart-pin", "version"]] {
            let registry = Registry::start();
            let reference = tree.publish(&registry, "2.0", names);
            let release = resolve(&["resolve", &reference]).ends(0).json();
            assert_eq!(release["prefix"], format!("{}/acme", registry.address()));
            assert_eq!(Tree::rendered(&reference), tree.values);
        }
    }
    let registry = Registry::start();
    let tree = Tree::small();
    let reference = tree.publish(&registry, "2.0", &[]);
    let release = resolve(&["resolve", &reference]).ends(0).json();
    assert_eq!((&release["product"], &release["chartRepository"]), (&"platform".into(), &"helm".into()));
    let appliance = &release["appliance"];
    assert_eq!(appliance["requiredImages"], json!(["web"]));
    assert_eq!(appliance["selection"], json!({ "namespace": "platform-system", "name": "platform-selection" }));
    let set = json!([{ "path": "image.tag", "from": "image:web" }, { "path": "size", "from": "literal:3" }]);
    assert!(appliance["values"].as_array().expect("a list").iter().all(|reader| reader["set"] == set));
    let text = resolve(&["render", &reference]).ends(0).stdout;
    assert_eq!(text.matches("  tag: \"6.9.0\" # set when the appliance installs").count(), 2, "{text}");
}

#[test]
fn hashed_names_are_used_everywhere_and_depend_on_literal_values() {
    let source = Source::new();
    let mut tree = Tree::small();
    let text = std::fs::read_to_string(&tree.configuration).expect("a configuration");
    tree.configuration = source.path("hashed.yaml");
    let mut published = Vec::new();
    for size in ["3", "4"] {
        let registry = Registry::start();
        let changed = text.replace("literal:3", &format!("literal:{size}"));
        source.write("hashed.yaml", &format!("{changed}\nvaluesNames: hashed\n"));
        let reference = tree.publish(&registry, "2.0", &[]);
        let release = resolve(&["resolve", &reference]).ends(0).json();
        let name = release["valuesConfigMaps"]["web"].as_str().expect("a name").to_owned();
        let readers = release["appliance"]["values"].as_array().expect("a list").clone();
        assert!(readers.len() == 2 && readers.iter().all(|reader| reader["configMap"] == *name), "{readers:?}");
        assert!(Tree::rendered(&reference).iter().all(|values| values[1] == name));
        published.push(name);
    }
    assert_ne!(published[0], published[1]);
}

#[test]
fn a_value_from_an_unknown_image_is_refused_before_a_request() {
    let source = Source::new();
    source.write("alga-release.yaml", "appliance: {values: [{release: alga-core, path: a, from: 'image:unknown'}]}\n");
    let layout = source.layout();
    let run = source.publish(&["--version", "1.0.3", "--channel", "stable", "--store", &layout]).ends(3);
    run.says(&["image:unknown", "no `unknown` under `images`"]);
    source.write("alga-release.yaml", "manifest: {extra: {prefix: x}}\n");
    let run = source.publish(&["--version", "1.0.3", "--channel", "stable", "--store", &layout]).ends(9);
    run.says(&["manifest.extra.prefix", "the publisher writes this key itself"]);
}

#[test]
fn a_version_that_was_published_without_a_description_is_kept() {
    let (source, registry) = (Source::new(), Registry::start());
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    let (_, manifest) = registry.manifest(RELEASES, "1.0.3").expect("a manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let config = manifest["config"]["digest"].as_str().expect("a digest");
    let mut older = Release::parse(&registry.blob(RELEASES, config).expect("a blob")).expect("a release");
    assert!(older.description.take().is_some());
    let artifact = Release::artifact(older.to_json());
    for blob in artifact.blobs() {
        registry.put_blob(RELEASES, blob.descriptor().digest.as_str(), blob.bytes().expect("in memory"));
    }
    let digest = artifact.digest().to_string();
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    registry.put_manifest(RELEASES, Some("1.0.3"), &digest, media_type, artifact.manifest().bytes());
    registry.tag(RELEASES, "nightly", &digest);
    let before = state(&registry);
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0).prints(&["nothing to do"]);
    assert_eq!(state(&registry), before);
    // Another channel serves the published release, not the one that would be published now.
    publish(&source, &registry, "1.0.3", "stable", &[]).ends(0);
    assert_eq!(record(&registry, "stable", "release"), Some(digest.clone()));
    assert_eq!(registry.tags(RELEASES)["1.0.3"], digest);
    assert!(served(&registry, "stable").get("appliance").is_none());
    alga(&["verify", "stable", "--store", &store(&registry)]).ends(0);
    // Any other difference is refused.
    source.append("ee/appliance/flux/profiles/single-node/values/temporal.single-node.yaml", "# more\n");
    publish(&source, &registry, "1.0.3", "stable", &[]).ends(3).says(&["already published with other content"]);
}

#[test]
fn verify_diff_and_history_need_no_configuration() {
    for tree in std::iter::once(Tree::small()).chain(Tree::monitoring()) {
        let registry = Registry::start();
        tree.publish(&registry, "2.0", &[]);
        let reference = tree.publish(&registry, "2.1", &[]);
        let before = state(&registry);
        alga(&["verify", &reference]).ends(0).prints(&["2.1"]);
        alga(&["history", &reference]).ends(0).prints(&["2.1", "2.0"]);
        let version = reference.replace(&format!(":{}", tree.channel), ":2.0");
        let diff = alga(&["diff", &version, &reference, "--output", "json"]).ends(0).json();
        assert_eq!((&diff["from"]["version"], &diff["to"]["version"]), (&"2.0".into(), &"2.1".into()));
        assert!(diff["notes"].as_array().is_none_or(Vec::is_empty), "{diff:#}");
        assert_eq!(
            alga(&["diff", &version, tree.channel, "--output", "json"]).ends(0).json()["to"]["digest"],
            diff["to"]["digest"]
        );
        let listed = alga(&["in-use", &reference, "--output", "keep-list"]).ends(0).stdout;
        for (repository, tags) in &before {
            for tag in tags.keys() {
                let name = format!("{}/{repository}:{tag}", registry.address());
                assert!(listed.lines().any(|line| line == name), "{name}: {listed}");
            }
        }
        assert_eq!(state(&registry), before);
    }
}

#[test]
fn a_given_configuration_must_agree_and_a_found_one_causes_a_note() {
    let (source, registry) = (Source::new(), Registry::start());
    let reference = Tree::small().publish(&registry, "2.0", &[]);
    source.write("alga-release.yaml", "repositories: {charts: charts}\n");
    let file = source.path("alga-release.yaml").display().to_string();
    let words = ["`repositories.charts` is `helm` in the release, but `charts` in"];
    alga(&["verify", &reference, "--config", &file]).ends(9).says(&words);
    run(release().current_dir(source.path("")).args(["verify", &reference]))
        .ends(0)
        .says(&words)
        .says(&["the release's value is used"]);
    let other = ["`prefix` is `", "but `mirror.example.com/acme` in --prefix"];
    alga(&["verify", &reference, "--prefix", "mirror.example.com/acme"]).ends(9).says(&other);
    alga(&["verify", "a/b/release"]).ends(9).says(&["invalid release `a/b/release`: expected CHANNEL"]);
}

#[test]
fn promote_rollback_and_copy_need_no_configuration() {
    for tree in std::iter::once(Tree::small()).chain(Tree::monitoring()) {
        let (source, registry) = (Source::new(), Registry::start());
        let reference = tree.publish(&registry, "2.0", &[]);
        let other = reference.replace(&format!(":{}", tree.channel), ":general");
        alga(&["promote", "--from", &reference, "--to", "general"]).ends(9).says(&["there is no channel `general`"]);
        alga(&["promote", "--from", &reference, "--to", "general", "--new-channel"]).ends(0);
        assert_eq!(Tree::rendered(&other), tree.values);
        tree.publish(&registry, "2.1", &[]);
        // The channel exists now, as its record shows.
        alga(&["promote", "--from", &reference, "--to", "general"]).ends(0);
        alga(&["rollback", &other, "--to", "previous", "--reason", "it fails"]).ends(0);
        assert_eq!(resolve(&["resolve", &other]).ends(0).json()["version"], "2.0");
        alga(&["verify", &other]).ends(0).prints(&["2.0"]);
        let layout = source.layout();
        run(release().args(["copy", &other, &layout])).ends(0);
        let offline = resolve(&["render", "platform-release:2.0", "--store", &layout]).ends(0).stdout;
        assert!(offline.contains("kind: OCIRepository"));
        alga(&["verify", "platform-release:2.0", "--store", &layout, "--offline"]).ends(0);
        let mirror = Registry::start();
        let target = format!("{}/mirror", mirror.address());
        let copy = ["copy", &other, &target, "--rewrite-prefix", "--channel", "general", "--new-channel"];
        run(release().args(copy)).ends(0);
        let mirrored = format!("{target}/platform-release:general");
        assert_eq!(Tree::rendered(&mirrored), tree.values);
        assert_eq!(resolve(&["resolve", &mirrored]).ends(0).json()["prefix"], target);
        alga(&["verify", &mirrored]).ends(0);
    }
}

#[test]
fn a_release_repository_with_a_path_is_named_below_its_store() {
    let (source, registry) = (Source::new(), Registry::start());
    let mut tree = Tree::small();
    let text = std::fs::read_to_string(&tree.configuration).expect("a configuration");
    tree.configuration = source.path("nested.yaml");
    source.write("nested.yaml", &text.replace("release: platform-release", "release: releases/platform-release"));
    let reference = tree.publish(&registry, "2.0", &[]).replace("/acme/", "/acme/releases/");
    let store = format!("{}/acme", registry.address());
    let hint = format!("name the release as `releases/platform-release:TAG` and pass `--store {store}`");
    alga(&["verify", &reference]).ends(9).says(&[&hint]);
    alga(&["verify", "releases/platform-release:edge", "--store", &store]).ends(0);
    assert_eq!(Tree::rendered(&reference), tree.values);
}
