//! Signed releases name every image by its digest, and appliances run the images by these digests.

use std::path::PathBuf;

use alga_release::archive::{self, Limits};
use alga_release::signing::PrivateKey;
use alga_release::yaml;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::schemas::valid;
use crate::support::cosign::cosign;
use crate::support::definitions::{json_of, schema_errors};

use crate::support::programs::{Run, Source, alga, resolve};
use crate::support::published::{RELEASES, publish, put_image, put_images, served, state, store, writes};
use crate::support::registry::Registry;
use crate::support::trust::Vendor;
use crate::support::{missing, require};

/// Publishes 1.0.3 to nightly, signed.
fn signed(vendor: &Vendor, source: &Source, registry: &Registry, more: &[&str]) -> Run {
    let flags = vendor.flags(&["release", "nightly"]);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    publish(source, registry, "1.0.3", "nightly", &[&flags[..], more].concat())
}

/// Renders nightly, and returns the texts of all values by the names of their releases.
fn rendered(registry: &Registry, more: &[&str]) -> Value {
    let at = store(registry);
    let options = ["render", "nightly", "--store", &at, "--host", "alga.example", "--output", "json"];
    let objects = resolve(&[&options[..], more].concat()).ends(0).json()["objects"].clone();
    let objects = objects.as_array().expect("objects").iter();
    let values = objects.filter_map(|object| {
        let name = object["file"].as_str()?.strip_prefix("values-")?.strip_suffix(".yaml")?;
        Some((name.to_owned(), object["text"].clone()))
    });
    Value::Object(values.collect())
}

fn text<'v>(values: &'v Value, release: &str) -> &'v str {
    values[release].as_str().expect("values")
}

fn digest(registry: &Registry, image: &str, tag: &str) -> String {
    registry.tags(&format!("org/{image}"))[tag].clone()
}

#[test]
fn appliances_run_the_images_of_a_signed_release_by_digest() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    signed(&vendor, &source, &registry, &[]).ends(0);
    let release = served(&registry, "1.0.3");
    assert_eq!(release["appliance"]["pinned"], true);
    let values = rendered(&registry, &[]);
    let core = format!("tag: \"62cdce38@{}\"", digest(&registry, "alga-psa-ee", "62cdce38"));
    assert_eq!(text(&values, "alga-core").matches(&core).count(), 2, "{values}");
    for (name, image, tag) in [
        ("workflow-worker", "workflow-worker", "a2cbb43"),
        ("email-service", "email-service", "61e4a00e"),
        ("temporal-worker", "temporal-worker", "a2cbb43"),
    ] {
        let expected = format!("{tag}@{}", digest(&registry, image, tag));
        assert!(text(&values, name).contains(&expected), "{name}: {values}");
    }
}

#[test]
fn a_place_that_is_not_an_image_reference_has_the_tag_alone() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    source.write(
        "alga-release.yaml",
        "appliance:\n  values:\n    - {release: email-service, path: image.tag, from: 'image:emailService'}\n    \
         - {release: email-service, path: podLabels.version, from: 'image:emailService', as: tag}\n",
    );
    signed(&vendor, &source, &registry, &["--no-lint", "a test"]).ends(0);
    let release = served(&registry, "1.0.3");
    let readers = release["appliance"]["values"].as_array().expect("values").iter();
    let set = readers.filter(|reader| reader["release"] == "email-service").map(|reader| &reader["set"]).next();
    let tag = json!({ "path": "podLabels.version", "from": "image:emailService", "as": "tag" });
    assert_eq!(set.expect("a release")[1], tag);
    for more in [&[][..], &["--image-digests"]] {
        let values = rendered(&registry, more);
        let email = text(&values, "email-service");
        assert!(email.contains("version\": \"61e4a00e\"") || email.contains("version: \"61e4a00e\""), "{email}");
        assert!(email.contains("\"61e4a00e@sha256:"), "{email}");
    }
}

#[test]
fn every_image_without_a_digest_is_named_before_anything_is_written() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    put_image(&registry, "org/email-service", "61e4a00e");
    let before = state(&registry);
    for (check, why) in [("warn", "the tag was not found"), ("off", "because of `--image-check off`")] {
        registry.clear_log();
        let run = signed(&vendor, &source, &registry, &["--image-check", check]).ends(3);
        let run = run.says(&["workflow-worker:a2cbb43 (workflowWorker)", "temporal-worker:a2cbb43", why]);
        assert_eq!(run.stderr.matches("cannot pin the image").count(), if check == "off" { 4 } else { 3 }, "{run:?}");
        run.says(&["a signed release pins every image"]);
        assert_eq!((writes(&registry), state(&registry)), (0, before.clone()));
    }
    let run = signed(&vendor, &source, &registry, &["--image-check", "warn", "--dry-run"]).ends(3);
    run.says(&["cannot pin the image"]);
    // Without a trust document, the same release is published as before.
    publish(&source, &registry, "1.0.3", "nightly", &["--image-check", "warn"]).ends(0);
}

#[test]
fn a_signed_release_pins_its_charts_by_digest() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    signed(&vendor, &source, &registry, &["--chart-pin", "version"]).ends(9).says(&[
        "chartPin",
        "expected `digest`, found `version`",
        "--chart-pin digest",
    ]);
    assert_eq!(writes(&registry), 0);
}

#[test]
fn what_the_signature_does_not_cover_is_listed() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    let pooler = "image docker.io/edoburu/pgbouncer:v1.23.1-p3 (chart sebastian)";
    let tools = "image ghcr.io/nine-minds/alga-appliance-tools:1.4.0 (base/core/status.yaml)";
    let printed = signed(&vendor, &source, &registry, &["--dry-run"]).ends(0);
    let line = printed.stdout.lines().find(|line| line.starts_with("not covered by the signature: "));
    let line = line.unwrap_or_else(|| panic!("{printed:?}"));
    assert!(["chart cert-manager v1.16.2", pooler, tools].iter().all(|open| line.contains(open)), "{line}");

    let report = signed(&vendor, &source, &registry, &["--output", "json"]).ends(0).json();
    let open = report["notCovered"].clone();
    let entries: Vec<&str> = open.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert!(["chart cert-manager v1.16.2", pooler, tools].iter().all(|one| entries.contains(one)), "{entries:?}");
    // Appliances run the images of the release by their digests.
    assert!(!open.to_string().contains("alga-psa-ee"), "{open}");
    valid("report.json", &report);
    assert_eq!(served(&registry, "1.0.3").get("notCovered"), None);

    let images = std::fs::read_to_string(source.path("ee/appliance/releases/1.0.3/release.json")).expect("a file");
    source.write("ee/appliance/releases/1.0.4/release.json", &images.replace("1.0.3", "1.0.4"));
    let flags = vendor.flags(&["release"]);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let next = |more: &[&str]| publish(&source, &registry, "1.0.4", "nightly", &[&flags[..], more].concat()).ends(0);
    let planned = next(&["--no-channel", "--dry-run", "--output", "json"]).json();
    assert_eq!((&planned["notCovered"], &planned["diff"]["notCovered"]), (&open, &open));
    next(&["--no-channel"]);
    let at = store(&registry);
    let diff = |to: &str, output: &str| alga(&["diff", "1.0.3", to, "--store", &at, "--output", output]).ends(0);
    let json = diff("1.0.4", "json").json();
    assert_eq!(json["notCovered"], open);
    valid("diff.json", &json);
    for output in ["text", "markdown", "html"] {
        diff("1.0.4", output).prints(&["Not covered by the signature", "edoburu/pgbouncer:v1.23.1"]);
    }
    assert_eq!(diff("1.0.3", "json").json().get("notCovered"), None);
}

#[test]
fn a_release_without_signatures_has_no_list_of_what_they_cover() {
    let (source, registry) = (Source::new(), Registry::start());
    put_images(&registry);
    let report = publish(&source, &registry, "1.0.3", "nightly", &["--dry-run", "--output", "json"]).ends(0).json();
    assert_eq!((report.get("notCovered"), report["diff"].get("notCovered")), (None, None));
    assert_eq!(report["diff"]["hasChanges"], true);
}

#[test]
fn names_of_values_depend_on_the_digests_of_their_images() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    source.write("alga-release.yaml", "valuesNames: hashed\n");
    signed(&vendor, &source, &registry, &[]).ends(0);
    let names = served(&registry, "1.0.3")["valuesConfigMaps"].clone();
    alga(&["verify", "1.0.3", "--store", &store(&registry)]).ends(0);

    // The same tags name other images.
    let other = Registry::start();
    for (name, tag) in crate::support::release_with_images::IMAGES {
        let image = crate::support::images::Image::new("amd64", &[100]);
        crate::support::release_with_images::put(&other, &format!("org/{name}"), Some(tag), &image);
    }
    let flags = vendor.flags(&["release", "nightly"]);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    std::fs::remove_file(vendor.path("signed.json")).expect("removed");
    let prefix = store(&registry);
    let more = ["--image-check", "require", "--prefix", &prefix, "--plain-http"];
    publish(&source, &other, "1.0.3", "nightly", &[&flags[..], &more].concat()).ends(0);
    let others = served(&other, "1.0.3")["valuesConfigMaps"].clone();
    for (of, has_image) in [("alga-core", true), ("email-service", true), ("temporal", false)] {
        assert_eq!(names[of] != others[of], has_image, "{of}: {names} {others}");
    }
}

#[test]
fn the_configuration_names_the_trust_document() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    put_images(&registry);
    std::fs::copy(vendor.path("trust.json"), source.path("release-trust.json")).expect("copied");
    source.append("alga-release.yaml", "signing:\n  trust: release-trust.json\n");
    let check = ["--image-check", "require", "--signing-record", &vendor.file("signed.json")];
    let keys: Vec<String> = vendor.flags(&["release", "nightly"])[4..].to_vec();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    publish(&source, &registry, "1.0.3", "nightly", &check)
        .ends(3)
        .says(&["needs signatures by 1 key of the role release, found 0", "--sign-key FILE"]);
    assert_eq!(writes(&registry), 0);
    publish(&source, &registry, "1.0.3", "nightly", &[&check[..], &keys].concat()).ends(0);
    let tags = registry.tags(RELEASES);
    assert!(tags.contains_key(&format!("{}.sig", tags["1.0.3"].replace(':', "-"))), "{tags:?}");

    let tree = source.path("").display().to_string();
    let printed = alga(&["config", &tree, "--output", "json"]).ends(0).json();
    assert_eq!(printed["signing.trust"], json!({ "value": "release-trust.json", "from": "alga-release.yaml:4" }));
    assert_eq!(printed["signing.secretName"], json!({ "value": "alga-release-keys", "from": "default" }));
}

#[test]
fn keys_without_a_trust_document_are_refused() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    publish(&source, &registry, "1.0.3", "nightly", &["--sign-key", &vendor.file("release.key")]).ends(9).says(&[
        "need a trust document",
        "--trust FILE",
        "signing.trust",
    ]);
}

/// Name of the Secret with the release keys.
const KEYS: &str = "alga-release-keys";

/// A vendor whose releases Flux verifies, and its registry.
struct Verified {
    vendor: Vendor,
    source: Source,
    registry: Registry,
}

impl Verified {
    /// Publishes 1.0.3 to nightly.
    fn new(configuration: &str) -> Self {
        let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
        source.append("alga-release.yaml", &format!("signing: {{flux: true}}\n{configuration}"));
        signed(&vendor, &source, &registry, &[]).ends(0);
        Self { vendor, source, registry }
    }

    fn render(&self, more: &[&str]) -> Run {
        let at = store(&self.registry);
        resolve(&[&["render", "nightly", "--store", &at, "--host", "alga.example"], more].concat())
    }

    /// Returns the objects that an appliance with the trust document renders, in order.
    fn objects(&self) -> Vec<Value> {
        objects(&self.render(&["--trust", &self.vendor.file("trust.json")]).ends(0).stdout)
    }

    /// Returns the files of the bundle.
    fn bundle(&self) -> Vec<(String, String)> {
        let (_, manifest) = self.registry.manifest("org/alga-appliance-config", "1.0.3").expect("a bundle");
        let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
        let layer = manifest["layers"][0]["digest"].as_str().expect("a digest");
        let layer = self.registry.blob("org/alga-appliance-config", layer).expect("a blob");
        let files = archive::read(&layer, Limits { total: 64 << 20, file: 16 << 20 }).expect("an archive");
        files.into_iter().map(|(name, text)| (name, String::from_utf8(text).expect("UTF-8"))).collect()
    }

    /// Returns the sources of charts in the bundle.
    fn chart_sources(&self) -> Vec<Value> {
        let files = self.bundle().into_iter().filter(|(name, _)| name.starts_with("base/"));
        let all = files.flat_map(|(_, text)| objects(&text));
        let all: Vec<Value> = all.filter(|object| object["kind"] == "OCIRepository").collect();
        assert!(!all.is_empty());
        all
    }
}

fn objects(stream: &str) -> Vec<Value> {
    let documents = yaml::parse(stream).unwrap_or_else(|cause| panic!("{cause}: {stream}"));
    documents.iter().filter_map(|document| document.root.as_ref().map(json_of)).collect()
}

/// Returns the public keys in a Secret, as PEM.
fn keys_of(secret: &Value) -> Vec<String> {
    let entries = secret["data"].as_object().expect("data").iter();
    let keys = entries.map(|(name, value)| {
        assert!(name.strip_suffix(".pub").is_some(), "{name}");
        let pem = BASE64_STANDARD.decode(value.as_str().expect("text")).expect("base64");
        String::from_utf8(pem).expect("text")
    });
    keys.collect()
}

fn secrets(objects: &[Value]) -> Vec<&Value> {
    objects.iter().filter(|object| object["kind"] == "Secret").collect()
}

#[test]
fn flux_verifies_bundle_and_charts_by_the_release_keys_alone() {
    let verified = Verified::new("");
    let verify = json!({ "provider": "cosign", "secretRef": { "name": KEYS } });
    for source in verified.chart_sources() {
        assert_eq!(source["spec"]["verify"], verify, "{source}");
    }
    let release = served(&verified.registry, "1.0.3");
    let expected = json!({ "secretName": KEYS, "namespaces": ["flux-system"] });
    assert_eq!(release["appliance"]["verify"], expected);

    let objects = verified.objects();
    let root = objects.iter().position(|object| object["kind"] == "OCIRepository").expect("a source");
    assert_eq!(objects[root]["spec"]["verify"], verify);
    let secret = objects.iter().position(|object| object["kind"] == "Secret").expect("a Secret");
    assert!(secret < root, "the Secret is applied before what needs it");
    assert_eq!(secrets(&objects).len(), 1);
    let metadata = &objects[secret]["metadata"];
    assert_eq!((&metadata["name"], &metadata["namespace"]), (&json!(KEYS), &json!("flux-system")));
    assert_eq!(keys_of(&objects[secret]), [verified.vendor.key("release").key().to_pem()]);
}

#[test]
fn the_definitions_of_flux_accept_sources_that_verify() {
    #[expect(clippy::disallowed_methods, reason = "tests find their data by the environment")]
    let Some(crds) = std::env::var_os("ALGA_CRDS").map(PathBuf::from) else {
        return missing("Flux's resource definitions are missing: ALGA_CRDS names a directory with flux/*.yaml");
    };
    let verified = Verified::new("");
    let rendered = verified.objects().into_iter().filter(|object| object["kind"] == "OCIRepository");
    for source in rendered.chain(verified.chart_sources()) {
        assert_eq!(schema_errors(&crds.join("flux"), "OCIRepository", &source), Vec::<String>::new());
    }
}

#[test]
fn during_a_rotation_both_release_keys_are_in_the_secret() {
    let mut verified = Verified::new("");
    let next = PrivateKey::generate();
    let document = &mut verified.vendor.document;
    document.keys.insert(next.key().id(), *next.key());
    document.release.keys.insert(next.key().id());
    verified.vendor.write();
    let mut expected = [verified.vendor.key("release").key().to_pem(), next.key().to_pem()];
    let mut found = keys_of(secrets(&verified.objects())[0]);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);

    let Some(program) = require("cosign3") else { return };
    let digest = served(&verified.registry, "1.0.3")["chartDigests"]["sebastian"].clone();
    let reference = format!("{}/charts/sebastian@{}", store(&verified.registry), digest.as_str().expect("a digest"));
    let signed_by = found.iter().filter(|pem| {
        std::fs::write(verified.vendor.path("rendered.pub"), pem).expect("written");
        cosign(&program, "verify", &verified.vendor.file("rendered.pub"), &[&reference]).is_ok()
    });
    assert_eq!(signed_by.count(), 1, "a verifier accepts the chart by the key that signed it");
}

#[test]
fn each_namespace_with_a_verified_source_has_the_secret() {
    let (vendor, source, registry) = (Vendor::new(), Source::new(), Registry::start());
    source.append("alga-release.yaml", "signing: {flux: true}\n");
    let file = "ee/appliance/flux/base/background/kustomization.yaml";
    let text = std::fs::read_to_string(source.path(file)).expect("a kustomization file");
    source.write(file, &format!("{text}namespace: workflows\n"));
    signed(&vendor, &source, &registry, &["--no-lint", "a test"]).ends(0);
    let verified = Verified { vendor, source, registry };
    let release = served(&verified.registry, "1.0.3");
    assert_eq!(release["appliance"]["verify"]["namespaces"], json!(["flux-system", "workflows"]));
    let objects = verified.objects();
    let places: Vec<&Value> = secrets(&objects).into_iter().map(|secret| &secret["metadata"]["namespace"]).collect();
    assert_eq!(places, [&json!("flux-system"), &json!("workflows")]);
    let at = |kind: &str, key: &str, name: &str| {
        let is_it = |object: &Value| object["kind"] == kind && object["metadata"][key] == name;
        objects.iter().position(is_it).unwrap_or_else(|| panic!("{kind} {name}"))
    };
    assert!(at("Namespace", "name", "workflows") < at("Secret", "namespace", "workflows"));
}

#[test]
fn without_a_trust_document_a_release_that_flux_verifies_is_not_rendered() {
    let verified = Verified::new("");
    let run = verified.render(&[]).ends(3).says(&["no trust document says by which keys", "--trust FILE"]);
    assert_eq!(run.stdout, "");
    // Everything else works as before.
    resolve(&["resolve", "nightly", "--store", &store(&verified.registry)]).ends(0);
    drop(verified.source);
}
