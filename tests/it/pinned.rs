//! Signed releases name every image by its digest, and appliances run the images by these digests.

use serde_json::{Value, json};

use crate::support::programs::{Run, Source, alga, resolve};
use crate::support::published::{RELEASES, publish, put_image, put_images, served, state, store, writes};
use crate::support::registry::Registry;
use crate::support::trust::Vendor;

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
    assert_eq!(printed["signing.trust"], json!({ "value": "release-trust.json", "from": "alga-release.yaml:2" }));
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
