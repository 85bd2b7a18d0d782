use proptest::prelude::*;

use super::*;
use crate::oci::media_type::{DOCKER_MANIFEST_LIST, IMAGE_INDEX, IMAGE_MANIFEST};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn index(more: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{IMAGE_MANIFEST}","digest":"{DIGEST}","size":0}}]{more}}}"#
    )
}

fn refusal(json: &str) -> String {
    match Index::parse(IMAGE_INDEX, json.as_bytes()) {
        Ok(_) => panic!("accepted: {json}"),
        Err(cause) => cause.to_string(),
    }
}

#[test]
fn an_index_keeps_the_fields_that_it_does_not_know() {
    let json = index(r#","annotations":{"manifests":"x","Manifests":"y"},"own":{"Layers":1}"#);
    let parsed = Index::parse(IMAGE_INDEX, json.as_bytes()).expect("an index");
    assert_eq!(
        serde_json::to_string(&parsed).expect("JSON"),
        json.replace(r#""manifests":"x","Manifests":"y""#, r#""Manifests":"y","manifests":"x""#)
    );
}

#[test]
fn a_duplicate_key_is_refused_in_every_object() {
    for json in [
        index(r#","manifests":[]"#),
        index(r#","annotations":{"a":"1","a":"2"}"#),
        index("").replace(r#""size":0"#, r#""size":0,"size":0"#),
        index("").replace(r#""size":0"#, r#""size":0,"platform":{"os":"a","os":"b"}"#),
    ] {
        assert!(refusal(&json).starts_with("duplicate key `"), "{json}: {}", refusal(&json));
    }
}

#[test]
fn a_key_that_differs_from_a_field_in_case_only_is_refused_with_and_without_the_field() {
    for (json, named) in [
        (r#"{"schemaVersion":2,"Manifests":[]}"#.to_owned(), "`Manifests`: expected `manifests`"),
        (index(r#","manifest\u017f":[]"#), "`manifestſ`: expected `manifests`"),
        (index("").replace(r#""size":0"#, r#""size":0,"Size":1"#), "`Size`: expected `size`"),
    ] {
        let refusal = refusal(&json);
        assert!(refusal.starts_with(&format!("invalid key {named}")), "{json}: {refusal}");
    }
}

#[test]
fn an_index_that_is_also_an_image_manifest_is_refused() {
    for key in ["config", "layers", "Config", "layer\u{17f}"] {
        let refusal = refusal(&index(&format!(r#","{key}":null"#)));
        assert!(refusal.contains("both an image manifest and an index"), "{refusal}");
    }
}

#[test]
fn an_index_must_have_the_media_type_that_it_is_served_as() {
    let (bare, docker) = (index(""), index(&format!(r#","mediaType":"{DOCKER_MANIFEST_LIST}""#)));
    for (media_type, json) in [(IMAGE_INDEX, &bare), (DOCKER_MANIFEST_LIST, &bare), (DOCKER_MANIFEST_LIST, &docker)] {
        assert!(Index::parse(media_type, json.as_bytes()).is_ok(), "{media_type}: {json}");
    }
    assert!(refusal(&docker).starts_with("invalid `mediaType`: expected"), "{}", refusal(&docker));
    for media_type in [IMAGE_MANIFEST, "application/json", ""] {
        let error = Index::parse(media_type, bare.as_bytes()).expect_err("it is served as something else");
        assert!(error.to_string().contains("expected that of an image index"), "{error}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, text: String) {
        let _ = Index::parse(IMAGE_INDEX, &bytes);
        let _ = Index::parse(&text, text.as_bytes());
    }

    /// Generates text close to an index, so that it reaches the later checks.
    #[test]
    fn no_key_or_value_panics(key: String, value in prop_oneof![".*", Just("{}".to_owned()), "[0-9\\[\\]{}\",:a-z]*"]) {
        let key = serde_json::to_string(&key).expect("JSON");
        let _ = Index::parse(IMAGE_INDEX, index(&format!(",{key}:{value}")).as_bytes());
    }
}
