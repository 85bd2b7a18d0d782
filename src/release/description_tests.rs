use super::*;
use crate::config::Config;
use crate::oci::Digest;
use serde_json::json;

fn described() -> Value {
    json!({
        "schema": super::super::SCHEMA, "version": "1", "channel": "stable", "valuesProfile": "p",
        "images": { "web": "7" }, "charts": {},
        "config": { "repository": "r.io/acme/config", "version": "1", "digest": Digest::of(b"").to_string() },
        "profileValues": { "web.p.yaml": "a: 1\n" },
        "product": "acme", "prefix": "r.io/acme", "chartRepository": "charts",
        "appliance": {
            "fluxNamespace": "flux-system", "sourceName": "acme",
            "selection": { "namespace": "acme", "name": "selected" }, "requiredImages": ["web"],
            "values": [{
                "release": "web", "namespace": "apps", "configMap": "values-web", "key": "values.yaml", "file": "web.p.yaml",
                "set": [{ "path": "image.tag", "from": "image:web", "later": 1 }], "later": [2]
            }],
            "later": { "a": 3 }
        },
        "agent": "x"
    })
}

/// A change of a release's JSON, and the start of the error that the change causes.
type Wrong = (fn(&mut Value), &'static str);

fn parse(json: &Value) -> Result<Release, String> {
    Release::parse(json.to_string().as_bytes()).map_err(|cause| cause.to_string())
}

#[test]
fn a_description_is_read_and_its_unknown_keys_are_kept() {
    let release = parse(&described()).expect("a release");
    let description = release.description.as_ref().expect("a description");
    assert_eq!((description.product.as_deref(), description.prefix.as_str()), (Some("acme"), "r.io/acme"));
    assert_eq!(description.appliance.values[0].values_of("p"), Some("web"));
    assert_eq!(release.extra.keys().collect::<Vec<_>>(), ["agent"]);
    #[cfg(feature = "publish")]
    {
        let written: Value = serde_json::from_slice(&release.to_json()).expect("JSON");
        assert_eq!(written, described());
    }
}

#[test]
fn keys_with_another_form_belong_to_the_vendor_and_are_kept() {
    let change: [fn(&mut Value); 5] = [
        |json| drop(json.as_object_mut().expect("an object").remove("appliance")),
        |json| json["appliance"] = "on the roof".into(),
        |json| json["prefix"] = json!(["x"]),
        |json| json["appliance"]["values"] = json!({}),
        |json| drop(json["appliance"]["selection"].as_object_mut().expect("an object").remove("name")),
    ];
    for change in change {
        let mut json = described();
        change(&mut json);
        let release = parse(&json).expect("a release");
        assert_eq!(release.description, None, "{json}");
        for key in KEYS {
            assert_eq!(release.extra.get(key), json.get(key), "{key}");
        }
    }
}

#[test]
fn a_description_that_contradicts_its_release_is_invalid() {
    let change: [Wrong; 4] = [
        (
            |json| json["prefix"] = "r.io/ac".into(),
            "config.repository: `r.io/acme/config` is not below the prefix `r.io/ac`",
        ),
        (|json| json["prefix"] = "https://r.io/acme".into(), "prefix: invalid prefix `https://r.io/acme`"),
        (
            |json| json["valuesConfigMaps"] = json!({ "web": "other" }),
            "appliance.values[0].configMap: `values-web` differs from `other`",
        ),
        (
            |json| json["appliance"]["values"][0]["set"][0]["from"] = "7".into(),
            "appliance.values[0].set[0].from: expected `image:<key>`",
        ),
    ];
    for (change, message) in change {
        let mut json = described();
        change(&mut json);
        let error = parse(&json).expect_err("invalid");
        assert!(error.starts_with(message), "{error}");
    }
    let mut json = described();
    json["valuesConfigMaps"] = json!({ "web": "values-web" });
    assert!(parse(&json).is_ok(), "both places have the same name");
    json["appliance"]["requiredImages"] = json!(["web", "db"]);
    let incomplete = parse(&json).expect("a release").require_images(&Config::default()).expect_err("incomplete");
    assert_eq!(incomplete.to_string(), "images.db: missing");
}

#[test]
fn the_source_of_a_value_is_the_same_after_a_round_trip() {
    for text in ["image:web", "app-url", "host", "domain-suffix", "literal:3", "literal:", "literal:host"] {
        assert_eq!(ValueSource::parse(text).map(|source| source.to_string()).as_deref(), Some(text));
        assert_eq!(ValueSource::configured(text).to_string(), text);
    }
    assert_eq!(ValueSource::parse("3"), None);
    assert_eq!(ValueSource::configured("http://x"), ValueSource::Literal("http://x"));
}
