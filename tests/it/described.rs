//! A release describes itself: whoever has its reference needs no configuration file.

use alga_release::yaml;
use serde_json::{Value, json};

use crate::support::definitions::json_of;
use crate::support::programs::{Run, Source, resolve};
use crate::support::published::{digest_of, put_release_in};
use crate::support::registry::Registry;

/// Repository of another vendor's releases.
const PLATFORM: &str = "acme/platform-release";

/// A release of another vendor, with two HelmReleases of one name that read ConfigMaps of one name in two namespaces.
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

fn put(registry: &Registry, json: &Value) -> String {
    let record = |key: &str, value: &str| (format!("vnd.alga.appliance.channel.{key}"), Value::from(value));
    let release = digest_of(json.to_string().as_bytes());
    let annotations = [
        record("name", "edge"),
        record("release", &release),
        record("sequence", "1"),
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

/// Kind, namespace and name of an object.
fn names(object: &Value) -> [&str; 3] {
    let metadata = &object["metadata"];
    [&object["kind"], &metadata["namespace"], &metadata["name"]].map(|text| text.as_str().unwrap_or_default())
}

#[test]
fn another_vendors_release_is_rendered_without_a_configuration_each_values_where_their_reader_is() {
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
    let run =
        resolve(&["render", &reference]).ends(1).says(&["apps/platform-web would hold two texts under `values.yaml`"]);
    assert_eq!(run.stdout, "");
}

#[test]
fn names_in_a_description_that_a_cluster_does_not_take_are_refused() {
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
        let run = resolve(&["render", &reference]).ends(1).says(&["not a name that a cluster takes"]);
        assert_eq!(run.stdout, "", "{pointer}");
    }
}

#[test]
fn a_configuration_that_says_otherwise_is_refused_with_both_values() {
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
    // The reference says where the release is, in the place of the prefix.
    ask("prefix: registry.example.com/acme\nappliance: {sourceName: platform}\n").ends(0);
}

#[test]
fn an_appliance_has_one_root_and_takes_another_only_where_that_is_asked_for() {
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
fn the_state_of_an_older_program_has_the_root_of_the_release_that_it_followed() {
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
