//! The rules of publishing: unchanged artifacts are not written again, versions do not move, and the channel tag is moved
//! last and never by accident.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use alga_release::archive::{self, Limits};
use alga_release::yaml;
use serde_json::Value;

use crate::support::programs::{Run, Source, alga};
use crate::support::published::{
    RELEASES, digest_of, publish, put_artifact, record, release_json, served, state, store, with_images, writes,
};
use crate::support::registry::{Auth, Registry, Setup};

fn files(directory: &Path, found: &mut BTreeMap<String, (Vec<u8>, SystemTime)>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            let modified = path.metadata().and_then(|metadata| metadata.modified()).expect("a time");
            found.insert(path.display().to_string(), (std::fs::read(&path).expect("a file"), modified));
        }
    }
}

#[test]
fn publishing_again_reads_only() {
    let (source, registry) = (Source::new(), Registry::start());
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    // Reads of 7 tags, of the channel and of its keep-alive tags; 13 blobs in two requests each; reads and writes of 7 tags; 7
    // manifests and the release's JSON read back; two writes of the move, with reads of its tag and its keep-alive tags before
    // and after it.
    assert_eq!(registry.log().len(), 9 + 2 * 13 + 2 * 7 + 8 + 6);
    let before = state(&registry);
    registry.clear_log();
    let again = publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    assert!(again.stdout.starts_with("nothing to do"), "{}", again.stdout);
    assert_eq!((registry.log().len(), writes(&registry)), (10, 0));
    assert_eq!(state(&registry), before);
}

#[test]
fn publishing_again_does_not_touch_the_files_of_a_layout() {
    let source = Source::new();
    let layout = source.layout();
    let arguments = ["--version", "1.0.3", "--channel", "nightly", "--store", &layout];
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    source.publish(&arguments).ends(0);
    files(&source.store(), &mut before);
    let again = source.publish(&arguments).ends(0);
    files(&source.store(), &mut after);
    assert!(again.stdout.starts_with("nothing to do"), "{}", again.stdout);
    assert!(before == after);
}

#[test]
fn other_content_under_a_chart_version_is_refused() {
    let (source, registry) = (Source::new(), Registry::start());
    with_images(&source, &["1.0.4"]);
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    let (before, published) = (state(&registry), registry.tags("org/charts/sebastian")["0.0.1"].clone());
    registry.clear_log();
    source.append("helm/values.yaml", "\nanother: value\n");
    let run = publish(&source, &registry, "1.0.4", "nightly", &[]).ends(3);
    run.says(&["chart sebastian 0.0.1", &published, "the new content is sha256:", "chartVersion"]);
    assert_eq!((writes(&registry), state(&registry)), (0, before));
    publish(&source, &registry, "1.0.4", "nightly", &["--chart-version", "stamped"]).ends(0);
}

#[test]
fn other_content_under_a_release_version_is_refused() {
    let (source, registry) = (Source::new(), Registry::start());
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    let (before, published) = (state(&registry), registry.tags("org/alga-appliance-config")["1.0.3"].clone());
    registry.clear_log();
    let run = publish(&source, &registry, "1.0.3", "nightly", &["--epoch", "1700000001"]).ends(3);
    run.says(&["bundle alga-appliance-config 1.0.3", &published, "under another `--version`"]);
    let run = publish(&source, &registry, "1.0.3", "nightly", &["--image", "algaCore=other"]).ends(3);
    run.says(&["release alga-appliance-release 1.0.3", &before[RELEASES]["1.0.3"]]);
    assert_eq!((writes(&registry), state(&registry)), (0, before));
}

#[test]
fn a_stamped_version_has_the_id_of_the_content() {
    let (source, registry) = (Source::new(), Registry::start());
    publish(&source, &registry, "1.0.3", "nightly", &["--chart-version", "stamped"]).ends(0);
    let tags = registry.tags("org/charts/sebastian");
    let tag = tags.keys().next().expect("a tag");
    let id = tag.strip_prefix("0.0.1_").expect("stamped");
    assert!(id.len() == 12 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{tag}");
    let (_, bytes) = registry.manifest("org/charts/sebastian", tag).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&bytes).expect("JSON");
    let version = format!("0.0.1+{id}");
    assert_eq!(manifest["annotations"]["org.opencontainers.image.version"], *version);
    let config = registry.blob("org/charts/sebastian", manifest["config"]["digest"].as_str().expect("a digest"));
    let config: Value = serde_json::from_slice(&config.expect("a blob")).expect("JSON");
    assert_eq!(config["version"], *version);
    assert_eq!(served(&registry, "nightly")["charts"]["sebastian"], *version);
}

#[test]
fn one_release_serves_two_channels() {
    let (source, registry) = (Source::new(), Registry::start());
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    let release = registry.tags(RELEASES)["1.0.3"].clone();
    publish(&source, &registry, "1.0.3", "stable", &[]).ends(0);
    assert_eq!(registry.tags(RELEASES)["1.0.3"], release);
    let (nightly, mut stable) = (served(&registry, "nightly"), served(&registry, "stable"));
    assert_eq!(stable["channel"], "stable");
    stable["channel"] = "nightly".into();
    assert_eq!(nightly, stable);
    for channel in ["nightly", "stable"] {
        assert_eq!(record(&registry, channel, "release"), Some(release.clone()));
    }
}

#[test]
fn a_move_has_a_record_and_a_keep_alive_tag() {
    let (source, registry) = (Source::new(), Registry::start());
    publish(&source, &registry, "1.0.3", "nightly", &["--by", "alice", "--reason", "why not"]).ends(0);
    let first = registry.tags(RELEASES)["nightly"].clone();
    let known = [("name", "nightly"), ("sequence", "1"), ("kind", "publish"), ("by", "alice"), ("reason", "why not")];
    for (key, value) in &known {
        assert_eq!(record(&registry, "nightly", key).as_deref(), Some(*value));
    }
    assert_eq!(record(&registry, "nightly", "release"), registry.tags(RELEASES).get("1.0.3").cloned());
    assert_eq!(record(&registry, "nightly", "previous"), None);
    assert!(record(&registry, "nightly", "moved").is_some_and(|moved| moved.ends_with('Z')));
    publish(&source, &registry, "1.0.4", "nightly", &["--image", "algaCore=other"]).ends(9);
    source.write("ee/appliance/releases/1.0.4/release.json", &release_json(&source));
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    let tags = registry.tags(RELEASES);
    assert_eq!(record(&registry, "nightly", "previous"), Some(first.clone()));
    assert_eq!(record(&registry, "nightly", "sequence").as_deref(), Some("2"));
    assert_eq!(tags[&format!("nightly-1-{}", &first[7..15])], first);
    assert_eq!(tags[&format!("nightly-2-{}", &tags["nightly"][7..15])], tags["nightly"]);
}

#[test]
fn a_channel_does_not_move_to_an_older_or_unordered_version() {
    let (source, registry) = (Source::new(), Registry::start());
    with_images(&source, &["1.0.2", "spring"]);
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    let before = registry.tags(RELEASES);
    publish(&source, &registry, "1.0.2", "nightly", &[]).ends(3).says(&["serves 1.0.3", "newer than 1.0.2"]);
    publish(&source, &registry, "spring", "nightly", &[]).ends(3).says(&["cannot tell", "--allow-unordered"]);
    assert_eq!(registry.tags(RELEASES), before);
    publish(&source, &registry, "spring", "nightly", &["--allow-unordered"]).ends(0);
    assert_eq!(served(&registry, "nightly")["version"], "spring");
}

#[test]
fn a_publication_without_a_channel_writes_no_channel() {
    let (source, registry) = (Source::new(), Registry::start());
    source.publish(&["--version", "1.0.3", "--no-channel", "--store", &store(&registry)]).ends(0);
    assert_eq!(registry.tags(RELEASES).into_keys().collect::<Vec<_>>(), ["1.0.3"]);
}

#[test]
fn a_list_of_image_tags_is_compared_with_the_release_and_the_configuration() {
    let (source, registry) = (Source::new(), Registry::start());
    let (own, text) = ("ee/appliance/releases/1.0.3/release.json", release_json(&source));
    let dry = |more: &[&str]| publish(&source, &registry, "1.0.3", "nightly", &[&["--dry-run"], more].concat());
    // A duplicate key, with its line.
    source.write(
        own,
        &text.replacen("\"algaCore\": \"62cdce38\",", "\"algaCore\": \"62cdce38\",\n\"algaCore\": \"00000000\",", 1),
    );
    dry(&[]).ends(9).says(&[&format!("{own}:10: duplicate key `algaCore`"), "hint: remove one"]);
    // Another version, an unknown key.
    source.write(
        own,
        &text
            .replace("\"version\": \"1.0.3\"", "\"version\": \"1.0.2\"")
            .replace("\"emailService\"", "\"worker\": \"1\",\n\"emailService\""),
    );
    let words = ["it states the version `1.0.2`, and the release is 1.0.3", "unknown image `worker`"];
    dry(&[]).ends(0).says(&words.map(|words| format!("warning: {own}: {words}")).each_ref().map(String::as_str));
    // All keys without a tag at once.
    source.write(own, "{\"app\":{\"images\":{\"algaCore\":\"1\"}}}");
    let words = ["tags of the images `emailService`, `temporalWorker`, `workflowWorker`", "--image emailService=TAG"];
    dry(&[]).ends(9).says(&words);
    // A file beside the tree's own.
    source.write(own, &text);
    let file = source.path("../images.json").display().to_string();
    std::fs::write(&file, "{\"algaCore\":\"1\",\"algaCoer\":\"2\"}").expect("written");
    let run = dry(&["--images", &file]).ends(0);
    run.says(&[
        &format!(
            "{file}: unknown image `algaCoer`: the configuration has no image of this name; did you mean `algaCore`?"
        ),
        &format!("{file}: missing image `emailService`: the tag `61e4a00e` is taken from {own}"),
    ]);
    dry(&["--image", "algaCoer=1"]).ends(9).says(&["unknown image key `algaCoer`", "did you mean `algaCore`?"]);
}

#[test]
fn a_tree_without_images_and_without_a_list_of_them_is_published_and_says_so_once() {
    let tree = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = tree.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        std::fs::write(path, text).expect("written");
    };
    write("charts/web/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n");
    write("flux/base/kustomization.yaml", "resources: [web.yaml]\n");
    write(
        "flux/base/web.yaml",
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web, namespace: shop}\nspec:\n  interval: 10m\n  \
         chart:\n    spec:\n      chart: ./charts/web\n      sourceRef: {kind: GitRepository, name: shop, namespace: flux-system}\n",
    );
    write("flux/profiles/single-node/kustomization.yaml", "resources: [../../base]\n");
    let (registry, root) = (Registry::start(), tree.path().display().to_string());
    let store = store(&registry);
    let publish = || {
        let arguments = ["publish", &root, "--version", "1.0.0", "--channel", "nightly", "--store", &store];
        alga(&[&arguments[..], &["--source-commit", &"a".repeat(40), "--epoch", "1700000000"]].concat())
    };
    publish().ends(9).says(&["ee/appliance/flux: the overlay does not exist", "set `overlay` in alga-release.yaml"]);
    write("alga-release.yaml", "overlay: flux\n");
    let run = publish().ends(0).says(&["warning: the release has no application images", "lists no `images`"]);
    assert_eq!(run.stderr.matches("application images").count(), 1, "{}", run.stderr);
    let required = &served(&registry, "nightly")["appliance"]["requiredImages"];
    assert_eq!(required, &serde_json::json!([]), "{required}");
    alga(&["verify", "nightly", "--store", &store]).ends(0);
}

#[test]
fn a_version_that_has_the_name_of_a_channel_is_refused() {
    let (source, registry) = (Source::new(), Registry::start());
    for version in ["nightly", "stable", "nightly-1", "stable-2-01234567"] {
        publish(&source, &registry, version, "nightly", &[]).ends(9).says(&[version]);
    }
    assert_eq!(registry.log().len(), 0);
}

/// Moves a channel to a version as another tool would, without a record.
fn moved_by_another_tool(registry: &Registry, channel: &str, version: &str) -> String {
    let (media_type, bytes) = registry.manifest(RELEASES, version).expect("a manifest");
    let digest = digest_of(&bytes);
    registry.put_manifest(RELEASES, Some(channel), &digest, &media_type, &bytes);
    digest
}

#[test]
fn after_a_move_by_another_tool_the_sequence_continues_from_the_highest_known_number() {
    let (source, registry) = (Source::new(), Registry::start());
    with_images(&source, &["1.0.4", "1.0.5"]);
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    let previous = moved_by_another_tool(&registry, "nightly", "1.0.3");
    publish(&source, &registry, "1.0.5", "nightly", &[]).ends(0);
    assert_eq!(record(&registry, "nightly", "sequence").as_deref(), Some("3"));
    assert_eq!(record(&registry, "nightly", "previous"), Some(previous));
}

#[test]
fn a_dry_run_reads_only_and_names_every_digest() {
    let (source, registry) = (Source::new(), Registry::start());
    let dry = publish(&source, &registry, "1.0.3", "nightly", &["--dry-run", "--output", "json"]).ends(0).json();
    assert_eq!((writes(&registry), registry.repositories().len()), (0, 0));
    assert!(dry["planDigest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")));
    let text = publish(&source, &registry, "1.0.3", "nightly", &["--dry-run", "-v"]).ends(0).stdout;
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    for artifact in dry["artifacts"].as_array().expect("a list") {
        let word = |key: &str| artifact[key].as_str().expect("text");
        assert!(text.contains(word("digest")), "{artifact}");
        let published = registry.tags(&format!("org/{}", word("repository")));
        assert_eq!(published[word("tag")], word("digest"));
    }
}

#[test]
fn a_dry_run_into_a_layout_creates_nothing() {
    let source = Source::new();
    source.publish(&["--version", "1.0.3", "--channel", "nightly", "--store", &source.layout(), "--dry-run"]).ends(0);
    assert!(!source.store().exists());
}

fn for_alice() -> Registry {
    let user = Some(("alice".to_owned(), "s3cr3t-t0ken".to_owned()));
    Registry::with(Setup { auth: Auth::Token { realm: None, user }, ..Setup::default() })
}

fn publish_as(source: &Source, registry: &Registry, token: &str) -> Run {
    let store = store(registry);
    let arguments = ["--version", "1.0.3", "--channel", "nightly", "--store", &store];
    source.publish_in(&arguments, &[("ALGA_REGISTRY_USERNAME", "alice"), ("ALGA_REGISTRY_TOKEN", token)])
}

#[test]
fn a_token_is_used_and_never_shown() {
    let (source, registry) = (Source::new(), for_alice());
    let run = publish_as(&source, &registry, "s3cr3t-t0ken").ends(0);
    assert!(!run.stdout.contains("s3cr3t") && !run.stderr.contains("s3cr3t"), "{run:?}");
    let run = publish_as(&source, &registry, "wr0ng-t0ken").ends(4);
    assert!(!run.stdout.contains("wr0ng") && !run.stderr.contains("wr0ng"), "{run:?}");
}

#[test]
fn a_missing_image_stops_the_release() {
    let (source, registry) = (Source::new(), Registry::start());
    publish(&source, &registry, "1.0.3", "nightly", &["--image-check", "require"])
        .ends(3)
        .says(&["missing image ", ": the tag was not found"]);
    assert_eq!((writes(&registry), registry.repositories().len()), (0, 0));
    with_images(&source, &["1.0.3"]);
    source.write("ee/appliance/releases/1.0.3/release.json", "{\"app\":{\"images\":{}}}");
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(9).says(&["algaCore", "release.json", "missing tag"]);
}

#[test]
fn the_control_plane_is_pinned_by_digest() {
    let (source, registry) = (Source::new(), Registry::start());
    let repository = "org/alga-appliance-control-plane";
    let digest = put_artifact(&registry, repository, "abc");
    let check = ["--image-check", "warn", "--control-plane"];
    publish(&source, &registry, "1.0.3", "nightly", &[&check[..], &["none"]].concat()).ends(3).says(&["control plane"]);
    publish(&source, &registry, "1.0.3", "nightly", &[&check[..], &["abc"]].concat()).ends(0);
    let expected = format!("{}/{repository}@{digest}", registry.address());
    assert_eq!(served(&registry, "nightly")["controlPlane"], *expected);
}

/// Returns the `HelmRelease`s of the published bundle with the names in their `valuesFrom`.
fn values_from(registry: &Registry, version: &str) -> BTreeMap<String, Vec<String>> {
    let repository = "org/alga-appliance-config";
    let (_, manifest) = registry.manifest(repository, version).expect("the bundle");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let layer =
        registry.blob(repository, manifest["layers"][0]["digest"].as_str().expect("a digest")).expect("a layer");
    let mut found = BTreeMap::new();
    for (path, bytes) in archive::read(&layer, Limits { total: 64 << 20, file: 16 << 20 }).expect("an archive") {
        let yaml = Path::new(&path).extension().is_some_and(|extension| extension == "yaml");
        let text = String::from_utf8(bytes).expect("UTF-8");
        let documents = if yaml { yaml::parse(&text).expect("YAML") } else { Vec::new() };
        for root in documents.iter().filter_map(|document| document.root.as_ref()) {
            if root.text_at(&["kind"]) == Some("HelmRelease") {
                let from = root.get(&["spec", "valuesFrom"]).map(yaml::Node::items).unwrap_or_default();
                let names = from.iter().map(|one| one.text_at(&["name"]).expect("a name").to_owned()).collect();
                found.insert(root.text_at(&["metadata", "name"]).expect("a name").to_owned(), names);
            }
        }
    }
    found
}

#[test]
fn hashed_names_are_the_same_in_the_release_and_in_the_bundle() {
    let (source, registry) = (Source::new(), Registry::start());
    source.write("alga-release.yaml", "valuesNames: hashed\n");
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    let release = served(&registry, "nightly");
    let names = release["valuesConfigMaps"].as_object().expect("names");
    assert_eq!(names.len(), 6);
    let bundle = values_from(&registry, "1.0.3");
    for (release, name) in names {
        let name = name.as_str().expect("a name");
        let hash = name.strip_prefix(&format!("appliance-values-{release}-")).expect("hashed");
        assert!(hash.len() == 12 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{name}");
        assert_eq!(bundle[release], [name], "{release}");
    }
    let without: Vec<_> = bundle.iter().filter(|(release, _)| !names.contains_key(*release)).collect();
    assert!(without.iter().all(|(_, names)| names.is_empty()), "{without:?}");
}

#[test]
fn existing_images_are_pinned_and_missing_ones_stop_the_release() {
    let (source, registry) = (Source::new(), Registry::start());
    let image = |name: &str, tag: &str| put_artifact(&registry, &format!("org/{name}"), tag);
    let core = image("alga-psa-ee", "62cdce38");
    let plane = image("alga-appliance-control-plane", "62cdce38");
    for (name, tag) in [("workflow-worker", "a2cbb43"), ("temporal-worker", "a2cbb43")] {
        image(name, tag);
    }
    let check = ["--image-check", "require", "--control-plane", "62cdce38"];
    publish(&source, &registry, "1.0.3", "nightly", &check).ends(3).says(&["emailService", "email-service:61e4a00e"]);
    assert_eq!(writes(&registry), 0);
    image("email-service", "61e4a00e");
    publish(&source, &registry, "1.0.3", "nightly", &check).ends(0);
    let release = served(&registry, "nightly");
    let store = store(&registry);
    assert_eq!(release["imageDigests"]["algaCore"], format!("{store}/alga-psa-ee@{core}"));
    assert_eq!(release["controlPlane"], format!("{store}/alga-appliance-control-plane@{plane}"));
    let unknown = ["--image-check", "warn", "--control-plane", "nowhere"];
    publish(&source, &registry, "1.0.4", "nightly", &[&unknown[..], &["--images", &images_file(&source)]].concat())
        .ends(3);
}

/// Writes a file with the image tags of the fixtures and returns its path.
fn images_file(source: &Source) -> String {
    source.path("ee/appliance/releases/1.0.3/release.json").display().to_string()
}

#[test]
fn a_package_that_the_public_cannot_read_stops_the_channel_but_not_the_version() {
    let (username, password) = ("alice".to_owned(), "s3cret-token".to_owned());
    let auth = Auth::Basic { username: username.clone(), password: password.clone() };
    let registry = Registry::with(Setup { auth, ..Setup::default() });
    let (source, store) = (Source::new(), store(&registry));
    let environment = [("ALGA_REGISTRY_USERNAME", username.as_str()), ("ALGA_REGISTRY_TOKEN", password.as_str())];
    let arguments = ["--version", "1.0.3", "--channel", "nightly", "--store", &store];
    let run = source.publish_in(&arguments, &environment).ends(3).says(&["public"]);
    assert!(!run.stderr.contains(&password) && !run.stdout.contains(&password));
    let tags = registry.tags(RELEASES);
    assert!(tags.contains_key("1.0.3") && !tags.contains_key("nightly"), "{tags:?}");
    source.write("alga-release.yaml", "valuesNames: hashed\npublicRead: false\n");
    source.publish_in(&arguments, &environment).ends(0);
    assert!(registry.tags(RELEASES).contains_key("nightly"));
}
