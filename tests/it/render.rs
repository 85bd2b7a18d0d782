//! Renderings of the resolver: the cluster accepts them, and they contain only what the release says.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use alga_release::archive::{self, Limits};
use alga_release::yaml;
use serde_json::Value as Json;

use crate::support::cluster::Cluster;
use crate::support::definitions::{json_of, schema_errors};
use crate::support::docker_registry::DockerRegistry;
use crate::support::programs::{Run, Source, resolve, stdout};
use crate::support::published::{RELEASES, digest_of, undescribed, with_images};
use crate::support::registry::Registry;
use crate::support::{files_below, missing, require};

const PUBLISH: [&str; 4] = ["--version", "1.0.3", "--channel", "stable"];

fn published(source: &Source, more: &[&str]) {
    let layout = source.layout();
    source.publish(&[&PUBLISH[..], &["--store", &layout], more].concat()).ends(0);
}

fn render(source: &Source, more: &[&str]) -> Run {
    let layout = source.layout();
    let given: &[&str] = if more.iter().any(|flag| matches!(*flag, "--host" | "--app-url" | "--state")) {
        &[]
    } else {
        &["--host", "alga.example"]
    };
    resolve(&[&["render", "stable", "--store", &layout], given, more].concat())
}

/// Returns the objects of a stream, in order.
fn objects(stream: &str) -> Vec<Json> {
    let documents = yaml::parse(stream).unwrap_or_else(|cause| panic!("{cause}: {stream}"));
    documents.iter().filter_map(|document| document.root.as_ref().map(json_of)).collect()
}

fn of_kind<'a>(objects: &'a [Json], kind: &str) -> Vec<&'a Json> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// Returns the text of a release's values.
fn values(objects: &[Json], release: &str) -> String {
    let name = format!("appliance-values-{release}");
    let object =
        objects.iter().find(|object| object["metadata"]["name"].as_str().is_some_and(|n| n.starts_with(&name)));
    let object = object.unwrap_or_else(|| panic!("no {name}"));
    object["data"][format!("{release}.single-node.yaml")].as_str().expect("text").to_owned()
}

fn profile(source: &Source, release: &str) -> String {
    let name = format!("ee/appliance/flux/profiles/single-node/values/{release}.single-node.yaml");
    std::fs::read_to_string(source.path(&name)).expect("values")
}

#[test]
fn the_objects_are_in_a_valid_order_and_agree_with_the_release() {
    let source = Source::new();
    published(&source, &[]);
    let run = render(&source, &[]).ends(0);
    let objects = objects(&run.stdout);
    let kinds: Vec<&str> = objects.iter().map(|object| object["kind"].as_str().expect("a kind")).collect();
    let mut expected = vec!["Namespace"];
    expected.extend(["ConfigMap"; 6]);
    expected.extend(["OCIRepository", "Kustomization", "ConfigMap"]);
    assert_eq!(kinds, expected);
    let release = resolve(&["resolve", "stable", "--store", &source.layout()]).ends(0).json();
    let repository = of_kind(&objects, "OCIRepository")[0];
    assert_eq!(repository["spec"]["ref"]["digest"], release["config"]["digest"]);
    assert_eq!(repository["spec"]["url"], format!("oci://{}", release["config"]["repository"].as_str().expect("text")));
    let kustomization = &of_kind(&objects, "Kustomization")[0]["spec"];
    assert_eq!(kustomization["sourceRef"]["kind"], "OCIRepository");
    assert_eq!((&kustomization["path"], &kustomization["prune"]), (&"./base".into(), &true.into()));
    assert!(kustomization.get("postBuild").is_none());
    let selection = &objects.last().expect("a selection")["data"];
    for (key, value) in [
        ("releaseVersion", "1.0.3"),
        ("selectedChannel", "stable"),
        ("registryHost", "ghcr.io"),
        ("repository", "nine-minds/alga-appliance-release"),
        ("images.algaCore", "62cdce38"),
    ] {
        assert_eq!(selection[key], value, "{key}");
    }
    assert!(!run.stdout.contains("reconcile.fluxcd.io/watch"));
}

#[test]
fn values_are_the_publishers_text_with_only_tags_and_address_changed() {
    let source = Source::new();
    published(&source, &[]);
    let objects = objects(&render(&source, &["--app-url", "https://desk.example:8443"]).ends(0).stdout);
    let core = profile(&source, "alga-core")
        .replace("appUrl: https://alga.local", "appUrl: \"https://desk.example:8443\"")
        .replace("host: alga.local\n", "host: \"desk.example\"\n")
        .replace("domainSuffix: .alga.local", "domainSuffix: \".desk.example\"")
        .replace("tag: \"latest\"", "tag: \"62cdce38\"")
        .replace("tag: latest", "tag: \"62cdce38\"");
    assert_eq!(values(&objects, "alga-core"), core);
    for (release, from, to) in [
        ("workflow-worker", "tag: \"latest\"", "tag: \"a2cbb43\""),
        ("email-service", "tag: \"latest\"", "tag: \"61e4a00e\""),
        ("temporal-worker", "tag: ''", "tag: 'a2cbb43'"),
        ("temporal", "", ""),
        ("pgbouncer", "", ""),
    ] {
        assert_eq!(values(&objects, release), profile(&source, release).replace(from, to), "{release}");
    }
}

#[test]
fn the_same_release_and_options_give_the_same_bytes() {
    let source = Source::new();
    published(&source, &[]);
    let first = render(&source, &[]).ends(0).stdout;
    assert_eq!(render(&source, &[]).ends(0).stdout, first);
    let by_version =
        resolve(&["render", "1.0.3", "--store", &source.layout(), "--host", "alga.example"]).ends(0).stdout;
    let but_selection = |stream: &str| stream.rsplit_once("---\n").expect("documents").0.to_owned();
    assert_eq!(but_selection(&by_version), but_selection(&first));
}

#[test]
fn without_an_address_nothing_is_rendered_and_the_kept_one_is_used_again() {
    let source = Source::new();
    published(&source, &[]);
    let layout = source.layout();
    let state = source.path("state.json").display().to_string();
    let ask = |more: &[&str]| resolve(&[&["render", "stable", "--store", &layout, "--state", &state], more].concat());
    let run = ask(&[]).ends(9).says(&["address", "--host"]);
    assert_eq!(run.stdout, "");
    let first = ask(&["--host", "alga.example"]).ends(0).stdout;
    assert_eq!(ask(&[]).ends(0).stdout, first);
    let moved = ask(&["--app-url", "https://new.example/login"]).ends(0).stdout;
    assert!(moved.contains("appUrl: \"https://new.example/login\"") && moved.contains("host: \"new.example\""));
    assert_eq!(ask(&[]).ends(0).stdout, moved);
    for host in ["a b", "$(reboot)", "a\nb"] {
        ask(&["--host", host]).ends(9);
    }
}

#[test]
fn set_adds_values_by_their_paths() {
    let source = Source::new();
    published(&source, &[]);
    let sets = [
        "--set",
        "alga-core:server.replicas=3",
        "--set",
        "temporal:ui.note=a: \"b\"\n",
        "--set",
        r"alga-core:x.a\.b=1.0.3",
    ];
    let objects = objects(&render(&source, &sets).ends(0).stdout);
    assert!(values(&objects, "alga-core").contains("\n  replicas: 3\n"));
    assert!(values(&objects, "alga-core").ends_with("x: {\"a.b\": \"1.0.3\"}\n"));
    assert!(values(&objects, "temporal").contains("ui: {enabled: true, note: \"a: \\\"b\\\"\\n\"}"));
    render(&source, &["--set", "missing:a=1"]).ends(9).says(&["--set missing"]);
    render(&source, &["--set", "alga-core:server=1"]).ends(1).says(&["alga-core.single-node.yaml:", "`server`"]);
    for wrong in ["x", "alga-core:a", "alga-core:a..b=1"] {
        render(&source, &["--set", wrong]).ends(9).says(&["for `--set`: expected `RELEASE:PATH=VALUE`"]);
    }
}

#[test]
fn known_image_digests_are_written() {
    let source = Source::new();
    published(&source, &[]);
    // No image was checked at publication, so only tags are known.
    assert_eq!(render(&source, &["--image-digests"]).ends(0).stdout, render(&source, &[]).ends(0).stdout);
    let mut release = resolve(&["resolve", "stable", "--store", &source.layout()]).ends(0).json();
    let digest = digest_of(b"image");
    release["imageDigests"] = serde_json::json!({ "algaCore": format!("ghcr.io/nine-minds/alga-psa-ee@{digest}") });
    let registry = Registry::start();
    put(&registry, &release);
    let store = format!("{}/org", registry.address());
    let ask = |more: &[&str]| {
        let run = resolve(&[&["render", "stable", "--store", &store, "--host", "alga.example"], more].concat()).ends(0);
        assert!(!run.stdout.contains("insecure"), "ghcr.io is read over TLS");
        objects(&run.stdout)
    };
    let pinned = ask(&["--image-digests"]);
    assert_eq!(values(&pinned, "alga-core").matches(&format!("tag: \"62cdce38@{digest}\"")).count(), 2);
    assert!(values(&pinned, "email-service").contains("tag: \"61e4a00e\""));
    assert_eq!(values(&ask(&[]), "alga-core").matches("tag: \"62cdce38\"").count(), 2);
}

#[test]
fn hashed_names_come_from_the_release() {
    let source = Source::new();
    source.write("alga-release.yaml", "valuesNames: hashed\n");
    published(&source, &[]);
    let release = resolve(&["resolve", "stable", "--store", &source.layout()]).ends(0).json();
    let objects = objects(&render(&source, &[]).ends(0).stdout);
    let names: BTreeMap<&str, &Json> = of_kind(&objects, "ConfigMap")
        .into_iter()
        .filter_map(|map| {
            Some((map["metadata"]["labels"]["app.kubernetes.io/instance"].as_str()?, &map["metadata"]["name"]))
        })
        .collect();
    let expected = release["valuesConfigMaps"].as_object().expect("names");
    assert_eq!(names, expected.iter().map(|(release, name)| (release.as_str(), name)).collect());
}

#[test]
fn values_that_cannot_be_edited_are_refused_with_file_and_line() {
    let source = Source::new();
    let name = "ee/appliance/flux/profiles/single-node/values/email-service.single-node.yaml";
    for (text, message) in [
        ("- a\n", "email-service.single-node.yaml:1: expected a mapping"),
        ("a: 1\nimage: &i {tag: x}\nother: *i\n", "email-service.single-node.yaml:2: `other.tag` would change too"),
        ("image:\n  tag: [x]\n", "email-service.single-node.yaml:2: "),
    ] {
        source.write(name, text);
        std::fs::remove_dir_all(source.store()).ok();
        published(&source, &["--no-lint", "a test"]);
        let run = render(&source, &[]).ends(1).says(&[message]);
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn values_that_exceed_the_limit_of_a_config_map_are_refused() {
    let source = Source::new();
    let name = "ee/appliance/flux/profiles/single-node/values/temporal.single-node.yaml";
    source.append(name, &format!("# {}\n", "x".repeat(300 << 10)));
    published(&source, &["--no-lint", "a test"]);
    render(&source, &[]).ends(0).says(&["values-temporal.yaml is larger than 256 KiB", "--server-side"]);
    source.append(name, &format!("# {}\n", "x".repeat(1 << 20)));
    std::fs::remove_dir_all(source.store()).expect("a store");
    published(&source, &["--no-lint", "a test"]);
    assert_eq!(render(&source, &[]).ends(1).says(&["profileValues.temporal", "1048576"]).stdout, "");
}

#[test]
fn a_directory_has_one_rendering_and_no_files_of_the_previous_one() {
    let source = Source::new();
    published(&source, &[]);
    let directory = source.path("out");
    let out = directory.display().to_string();
    assert_eq!(render(&source, &["--output-dir", &out]).ends(0).stdout, "");
    let first = files_below(&directory);
    render(&source, &["--output-dir", &out, "--host", "other.example"]).ends(0);
    let second = files_below(&directory);
    assert_eq!(first.len(), second.len());
    assert_ne!(first, second);
    let index = String::from_utf8(second["kustomization.yaml"].clone()).expect("UTF-8");
    let listed: Vec<&str> =
        index.lines().filter_map(|line| line.strip_prefix("  - ")).map(|name| name.trim_matches('"')).collect();
    assert_eq!(listed, second.keys().filter(|name| *name != "kustomization.yaml").collect::<Vec<_>>());
    let stream: String = listed
        .iter()
        .flat_map(|name| ["---\n".to_owned(), String::from_utf8(second[*name].clone()).expect("UTF-8")])
        .collect();
    assert_eq!(stream, render(&source, &["--host", "other.example"]).ends(0).stdout);
    std::fs::write(directory.join("notes.txt"), "mine").expect("written");
    render(&source, &["--output-dir", &out]).ends(1).says(&["notes.txt"]);
}

#[test]
fn kubectl_and_the_definitions_of_flux_accept_every_object() {
    let Some(kubectl) = require("kubectl") else { return };
    #[expect(clippy::disallowed_methods, reason = "tests find their data by the environment")]
    let Some(crds) = std::env::var_os("ALGA_CRDS").map(PathBuf::from) else {
        return missing("Flux's resource definitions are missing: ALGA_CRDS names a directory with flux/*.yaml");
    };
    for names in ["plain", "hashed"] {
        let source = Source::new();
        source.write("alga-release.yaml", &format!("valuesNames: {names}\n"));
        published(&source, &[]);
        let directory = source.path("out");
        render(&source, &["--output-dir", &directory.display().to_string()]).ends(0);
        let built = stdout(Command::new(&kubectl).arg("kustomize").arg(&directory));
        let mut built = objects(&String::from_utf8(built).expect("UTF-8"));
        let mut streamed = objects(&render(&source, &[]).ends(0).stdout);
        for object in &streamed {
            let kind = object["kind"].as_str().expect("a kind");
            if object["apiVersion"].as_str().is_some_and(|api| api.contains(".toolkit.fluxcd.io/")) {
                let errors = schema_errors(&crds.join("flux"), kind, object);
                assert!(errors.is_empty(), "{errors:?}");
            }
        }
        let by_name = |object: &Json| format!("{} {}", object["kind"], object["metadata"]["name"]);
        built.sort_by_key(by_name);
        streamed.sort_by_key(by_name);
        assert_eq!(built, streamed);
    }
}

#[test]
fn kubectl_applies_the_stream_and_each_file() {
    let Some(kubectl) = require("kubectl") else { return };
    let cluster = Cluster::start();
    for names in ["plain", "hashed"] {
        let source = Source::new();
        source.write("alga-release.yaml", &format!("valuesNames: {names}\n"));
        published(&source, &[]);
        let (stream, directory) = (source.path("stream.yaml"), source.path("out"));
        std::fs::write(&stream, render(&source, &[]).ends(0).stdout).expect("written");
        let all = named(&objects(&std::fs::read_to_string(&stream).expect("a stream")));
        let taken = cluster.apply(&kubectl, &stream).ends(0).stdout;
        assert_eq!(taken.lines().collect::<Vec<_>>(), all);
        render(&source, &["--output-dir", &directory.display().to_string()]).ends(0);
        let mut files = files_below(&directory);
        files.remove("kustomization.yaml");
        let each = files.keys().map(|name| cluster.apply(&kubectl, &directory.join(name)).ends(0).stdout);
        assert_eq!(each.map(|taken| taken.trim().to_owned()).collect::<Vec<_>>(), all);
    }
}

#[test]
fn kubectl_refuses_an_unknown_kind() {
    let Some(kubectl) = require("kubectl") else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("object.yaml");
    for object in [
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata:\n  name: a\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n",
        "kind: ConfigMap\n",
    ] {
        std::fs::write(&file, object).expect("written");
        assert_ne!(Cluster::start().apply(&kubectl, &file).code, Some(0), "{object}");
    }
}

/// Returns every object in order, by kind and name, as kubectl prints the objects that it applied.
fn named(objects: &[Json]) -> Vec<String> {
    let name = |object: &Json| {
        let kind = object["kind"].as_str().expect("a kind").to_lowercase();
        let group =
            object["apiVersion"].as_str().and_then(|api| api.split_once('/')).map(|(group, _)| format!(".{group}"));
        format!("{kind}{}/{}", group.unwrap_or_default(), object["metadata"]["name"].as_str().expect("a name"))
    };
    objects.iter().map(name).collect()
}

/// Publishes the fixtures with standard tools: helm for the charts, flux for the overlay, oras for the release.
fn by_hand(source: &Source, prefix: &str, overlay: &std::path::Path) -> Option<()> {
    let (helm, flux, oras) = (require("helm")?, require("flux-artifact")?, require("oras")?);
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let call = |program: &PathBuf, arguments: &[&str]| {
        let mut command = Command::new(program);
        for name in ["HOME", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(name, scratch.path());
        }
        String::from_utf8(stdout(command.current_dir(scratch.path()).args(arguments))).expect("UTF-8")
    };
    let path = |name: &str| source.path(name).display().to_string();
    for chart in
        ["helm", "ee/helm/temporal", "ee/helm/temporal-worker", "ee/helm/workflow-worker", "ee/helm/email-service"]
    {
        let packed = call(&helm, &["package", &path(chart)]);
        let file = packed.trim().rsplit(' ').next().expect("a path");
        call(&helm, &["push", file, &format!("oci://{prefix}/charts"), "--plain-http"]);
    }
    let bundle = format!("{prefix}/alga-appliance-config:1.0.3");
    call(&flux, &["push", &bundle, &overlay.display().to_string(), "by hand", "1.0.3@sha1:7"]);
    let descriptor = call(&oras, &["manifest", "fetch", "--plain-http", "--descriptor", &bundle]);
    let digest = serde_json::from_str::<Json>(&descriptor).expect("JSON")["digest"].clone();
    let images = std::fs::read_to_string(source.path("ee/appliance/releases/1.0.3/release.json")).expect("a file");
    let images = serde_json::from_str::<Json>(&images).expect("JSON")["app"]["images"].clone();
    let releases = ["alga-core", "email-service", "pgbouncer", "temporal", "temporal-worker", "workflow-worker"];
    let values: BTreeMap<String, String> =
        releases.iter().map(|name| (format!("{name}.single-node.yaml"), profile(source, name))).collect();
    let json = serde_json::json!({
        "schema": "alga.appliance.release/v1", "version": "1.0.3", "channel": "stable", "valuesProfile": "single-node",
        "images": images, "profileValues": values, "charts": { "sebastian": "0.0.1" },
        "config": { "repository": format!("{prefix}/alga-appliance-config"), "version": "1.0.3", "digest": digest }
    });
    std::fs::write(scratch.path().join("release-manifest.json"), json.to_string()).expect("written");
    let media_type = "application/vnd.alga.appliance.release.config.v1+json";
    let typed = format!("release-manifest.json:{media_type}");
    let artifact_type = "application/vnd.alga.appliance.release.v1";
    let reference = format!("{prefix}/alga-appliance-release:1.0.3,stable");
    call(&oras, &["push", "--plain-http", "--artifact-type", artifact_type, "--config", &typed, &reference, &typed]);
    Some(())
}

#[test]
fn a_release_made_with_standard_tools_gives_the_same_objects() {
    let Some(registry) = DockerRegistry::start() else { return };
    let source = Source::new();
    // A name with a hash cannot be made by hand.
    source.write("alga-release.yaml", "valuesNames: plain\n");
    let (ours, hand) = (format!("{}/ours", registry.address()), format!("{}/hand", registry.address()));
    source.publish(&[&PUBLISH[..], &["--store", &ours]].concat()).ends(0);
    if by_hand(&source, &hand, &source.path("ee/appliance/flux")).is_none() {
        return;
    }
    let render =
        |store: &str| resolve(&["render", "stable", "--store", store, "--host", "alga.example"]).ends(0).stdout;
    // The tools do not produce the same bytes of a bundle, so the digests differ.
    let alike = |stream: String, name: &str| {
        let lines = stream.replace(&format!("/{name}/"), "/prefix/").replace(&format!("\"{name}/"), "\"prefix/");
        let digest = |line: &str| line.contains("igest: ") && line.contains("sha256:");
        let lines = lines.lines().map(|line| if digest(line) { line.split_once(": ").expect("a key").0 } else { line });
        lines.collect::<Vec<_>>().join("\n")
    };
    let ours = alike(render(&ours), "ours");
    assert_eq!(alike(render(&hand), "hand"), ours);
    assert!(ours.contains("\n  insecure: true\n"), "the registry on the loopback address is read without TLS");
    assert_eq!(ours.matches("igest\n").count(), 3, "bundle, manifest and release: {ours}");
}

#[test]
fn ten_thousand_values_are_rendered_and_invalid_names_are_refused() {
    let source = Source::new();
    published(&source, &[]);
    let mut release = resolve(&["resolve", "stable", "--store", &source.layout()]).ends(0).json();
    undescribed(&mut release);
    let registry = Registry::start();
    let ask = |change: &dyn Fn(&mut Json)| {
        let mut release = release.clone();
        change(&mut release);
        put(&registry, &release);
        resolve(&["render", "stable", "--store", &format!("{}/org", registry.address()), "--host", "alga.example"])
    };
    let many = ask(&|release| {
        for number in 0..10_000 {
            release["profileValues"][format!("r{number}.single-node.yaml")] = "a: 1\n".into();
        }
    });
    assert_eq!(many.ends(0).stdout.matches("\nkind: ConfigMap\n").count(), 10_007);
    for name in ["../../x", "a b", "a\nkind: Secret", "$(reboot)", "A", "-a", &"a".repeat(64)] {
        let run = ask(&|release| release["profileValues"][format!("{name}.single-node.yaml")] = "a: 1\n".into());
        assert_eq!(run.ends(1).says(&["not a valid name of a Kubernetes object"]).stdout, "", "{name}");
        let run =
            ask(&|release| release["valuesConfigMaps"] = serde_json::json!({ "alga-core": name.to_owned() + "/" }));
        assert_eq!(run.ends(1).says(&["valuesConfigMaps.alga-core"]).stdout, "", "{name}");
        let run = ask(&|release| release["images"]["evil\n"] = name.to_owned().into());
        assert_ne!(run.code, Some(0), "{name}");
        assert_eq!(run.stdout, "");
    }
    // Text that looks like the end of a block or the start of an object stays in the value.
    let text = "a: 1\n---\napiVersion: v1\nkind: Secret\n";
    let run = ask(&|release| release["profileValues"]["x.single-node.yaml"] = text.into()).ends(1);
    assert_eq!(run.says(&["x.single-node.yaml:3: unexpected second document"]).stdout, "");
    let text = "# ---\r\na: \"\\x07\"\n# \u{2028}\n";
    let run = ask(&|release| release["profileValues"]["x.single-node.yaml"] = text.into()).ends(0);
    assert_eq!(values(&objects(&run.stdout), "x"), text);
    let old = ask(&|release| drop(release.as_object_mut().expect("an object").remove("profileValues"))).ends(1);
    assert_eq!(old.says(&["profileValues: missing", "too old"]).stdout, "");
}

/// Pushes a release as some publisher wrote it, under the tag `stable`.
fn put(registry: &Registry, release: &Json) {
    let json = serde_json::to_vec(release).expect("JSON");
    registry.put_blob(RELEASES, &digest_of(&json), &json);
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let config = serde_json::json!({ "mediaType": "application/vnd.alga.appliance.release.config.v1+json",
        "digest": digest_of(&json), "size": json.len() });
    let manifest = serde_json::json!({ "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [] });
    let manifest = serde_json::to_vec(&manifest).expect("JSON");
    registry.put_manifest(RELEASES, Some("stable"), &digest_of(&manifest), media_type, &manifest);
}

/// Returns the `ConfigMap`s that the releases of a bundle read, from its archive in the layout.
fn read_by_releases(source: &Source, version: &str) -> BTreeMap<String, String> {
    let layout = source.store().join("alga-appliance-config");
    let blob = |digest: &Json| {
        let digest = digest.as_str().expect("a digest").replace(':', "/");
        std::fs::read(layout.join("blobs").join(digest)).expect("a blob")
    };
    let json = |bytes: Vec<u8>| serde_json::from_slice::<Json>(&bytes).expect("JSON");
    let index = json(std::fs::read(layout.join("index.json")).expect("an index"));
    let tagged = |entry: &&Json| entry["annotations"]["org.opencontainers.image.ref.name"] == version;
    let manifest = index["manifests"].as_array().expect("manifests").iter().find(tagged).expect("the bundle");
    let manifest = json(blob(&manifest["digest"]));
    let limits = Limits { total: 64 << 20, file: 16 << 20 };
    let files = archive::read(&blob(&manifest["layers"][0]["digest"]), limits).expect("an archive");
    let mut read = BTreeMap::new();
    for (_, text) in files.into_iter().filter(|(name, _)| name.starts_with("base/releases/")) {
        for release in objects(&String::from_utf8(text).expect("UTF-8")) {
            if let Some(from) = release["spec"]["valuesFrom"][0]["name"].as_str() {
                read.insert(release["metadata"]["name"].as_str().expect("a name").to_owned(), from.to_owned());
            }
        }
    }
    read
}

#[test]
fn chart_values_and_image_change_together_under_hashed_names() {
    let source = Source::new();
    source.write("alga-release.yaml", "valuesNames: hashed\n");
    let layout = source.layout();
    let made = || -> BTreeMap<String, String> {
        let objects = objects(&render(&source, &[]).ends(0).stdout);
        let instance = |map: &&Json| Some(map["metadata"]["labels"]["app.kubernetes.io/instance"].as_str()?.to_owned());
        let maps = of_kind(&objects, "ConfigMap").into_iter();
        let named = maps.filter_map(|map| Some((instance(&map)?, map["metadata"]["name"].as_str()?.to_owned())));
        named.collect()
    };
    published(&source, &[]);
    let before = made();
    // The release provides no values for cert-manager.
    assert_eq!(read_by_releases(&source, "1.0.3"), before);
    source.append("ee/helm/email-service/values.yaml", "replicas: 2\n");
    source.append("ee/appliance/flux/profiles/single-node/values/email-service.single-node.yaml", "replicas: 2\n");
    with_images(&source, &["1.0.4"]);
    let images = ["--image", "workflowWorker=b3ccc54", "--chart-version", "stamped"];
    source.publish(&[&["--version", "1.0.4", "--channel", "stable", "--store", &layout][..], &images].concat()).ends(0);
    let after = made();
    assert_eq!(read_by_releases(&source, "1.0.4"), after);
    let changed: Vec<&str> =
        after.iter().filter(|(key, name)| before[*key] != **name).map(|(key, _)| key.as_str()).collect();
    assert_eq!(changed, ["email-service", "workflow-worker"], "only the releases with new values or a new image");
}
