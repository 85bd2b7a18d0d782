use proptest::prelude::*;

use super::*;
use crate::oci::media_type::{DOCKER_MANIFEST, IMAGE_INDEX, IMAGE_MANIFEST};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn descriptor(more: &str) -> String {
    format!(r#"{{"mediaType":"x/y","digest":"{DIGEST}","size":0{more}}}"#)
}

fn manifest(more: &str) -> String {
    format!(r#"{{"schemaVersion":2,"config":{},"layers":[{}]{more}}}"#, descriptor(""), descriptor(""))
}

fn refusal(json: &str) -> String {
    match Manifest::parse(IMAGE_MANIFEST, json.as_bytes()) {
        Ok(_) => panic!("accepted: {json}"),
        Err(cause) => cause.to_string(),
    }
}

#[test]
fn a_manifest_with_every_field_of_the_specification_is_accepted() {
    let more = descriptor(
        r#","urls":["https://a.example/"],"data":"","artifactType":"a/b","annotations":{"size":"x","Size":"y"},
           "platform":{"os":"linux","architecture":"arm64","variant":"v8","os.version":"1","os.features":[],"features":[]}"#,
    );
    let json = manifest(&format!(
        r#","mediaType":"{IMAGE_MANIFEST}","artifactType":"a/b","subject":{more},"annotations":{{"layers":"x","Layers":"y"}},"own":1"#
    ));
    let parsed = Manifest::parse(IMAGE_MANIFEST, json.as_bytes()).expect("a manifest");
    assert_eq!(parsed.blobs().count(), 2);
    assert_eq!(parsed.annotations["Layers"], "y");
    assert_eq!(parsed.subject.expect("a subject").annotations["Size"], "y");
}

#[test]
fn a_manifest_that_this_program_writes_is_read_back() {
    let config = Descriptor::of("x/y", b"");
    let annotations = BTreeMap::from([("key".to_owned(), "value".to_owned())]);
    let written = Manifest::new(config.clone(), vec![config], annotations);
    let bytes = serde_json::to_vec(&written).expect("JSON");
    assert_eq!(Manifest::parse(IMAGE_MANIFEST, &bytes).expect("a manifest"), written);
}

#[test]
fn a_duplicate_key_is_refused_in_every_object() {
    for json in [
        manifest(r#","layers":[]"#),
        manifest(r#","own":{"a":[{"b":1,"b":1}]}"#),
        manifest(r#","annotations":{"a":"1","\u0061":"2"}"#),
        manifest(&format!(r#","subject":{}"#, descriptor(r#","size":0"#))),
        manifest(&format!(r#","subject":{}"#, descriptor(r#","platform":{"os":"a","os":"b"}"#))),
    ] {
        assert!(refusal(&json).starts_with("duplicate key `"), "{json}: {}", refusal(&json));
    }
}

#[test]
fn a_key_that_differs_from_a_field_in_case_only_is_refused_with_and_without_the_field() {
    let without_layers = format!(r#"{{"schemaVersion":2,"config":{},"Layers":[]}}"#, descriptor(""));
    for (json, named) in [
        (without_layers, "`Layers`: expected `layers`"),
        (manifest(r#","LAYERS":[]"#), "`LAYERS`: expected `layers`"),
        (manifest(r#","layer\u017f":[]"#), "`layerſ`: expected `layers`"),
        (manifest(r#","Mediatype":"x/y""#), "`Mediatype`: expected `mediaType`"),
        (manifest(r#","subject":{"Digest":""}"#), "`Digest`: expected `digest`"),
        (manifest(&format!(r#","subject":{}"#, descriptor(r#","platform":{"OS":""}"#))), "`OS`: expected `os`"),
    ] {
        let refusal = refusal(&json);
        assert!(refusal.starts_with(&format!("invalid key {named}")), "{json}: {refusal}");
    }
}

#[test]
fn a_manifest_that_is_also_an_index_is_refused() {
    for key in ["manifests", "Manifests", "manifest\u{17f}"] {
        let refusal = refusal(&manifest(&format!(r#","{key}":null"#)));
        assert!(refusal.contains("both an image manifest and an index"), "{refusal}");
    }
}

#[test]
fn a_manifest_must_have_the_media_type_that_it_is_served_as() {
    let (bare, docker) = (manifest(""), manifest(&format!(r#","mediaType":"{DOCKER_MANIFEST}""#)));
    for (media_type, json) in [(IMAGE_MANIFEST, &bare), (DOCKER_MANIFEST, &bare), (DOCKER_MANIFEST, &docker)] {
        assert!(Manifest::parse(media_type, json.as_bytes()).is_ok(), "{media_type}: {json}");
    }
    assert!(refusal(&docker).starts_with("invalid `mediaType`: expected"), "{}", refusal(&docker));
    for media_type in [IMAGE_INDEX, "application/json", ""] {
        let error = Manifest::parse(media_type, bare.as_bytes()).expect_err("it is served as something else");
        assert!(error.to_string().contains("expected that of an image manifest"), "{error}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, text: String) {
        let _ = Manifest::parse(IMAGE_MANIFEST, &bytes);
        let _ = Manifest::parse(&text, text.as_bytes());
    }

    /// Generates text close to a manifest, so that it reaches the later checks.
    #[test]
    fn no_key_or_value_panics(key: String, value in prop_oneof![".*", Just("{}".to_owned()), "[0-9\\[\\]{}\",:a-z]*"]) {
        let key = serde_json::to_string(&key).expect("JSON");
        let _ = Manifest::parse(IMAGE_MANIFEST, manifest(&format!(",{key}:{value}")).as_bytes());
    }
}
