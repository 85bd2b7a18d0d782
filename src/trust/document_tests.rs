use serde_json::{Value, json};

use super::*;
use crate::trust::testing::{SigningKey, Vendor};

fn document() -> Value {
    serde_json::from_slice(&Vendor::new().document().to_bytes()).unwrap()
}

fn problems(value: &Value) -> String {
    TrustDocument::parse(value.to_string().as_bytes()).unwrap_err().to_string()
}

/// Returns the document with one value replaced.
fn with(pointer: &str, value: Value) -> Value {
    let mut document = document();
    *document.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
    document
}

fn first_key(role: &Value) -> String {
    role["keys"][0].as_str().unwrap().to_owned()
}

#[test]
fn a_document_is_the_same_after_it_was_written_and_read() {
    let mut document = Vendor::new().document();
    document.withdrawn.insert(Digest::of(b"bad"));
    let bytes = document.to_bytes();
    let read = TrustDocument::parse(&bytes).unwrap();
    assert_eq!(read, document);
    assert_eq!(read.to_bytes(), bytes);
    document.check().unwrap();
}

#[test]
fn the_bytes_have_the_order_of_keys_of_the_contract() {
    let vendor = Vendor::new();
    let document = vendor.document();
    let text = String::from_utf8(document.to_bytes()).unwrap();
    let keys = document
        .keys
        .iter()
        .map(|(id, key)| format!(r#""{id}":{{"type":"ecdsa-p256","pem":{}}}"#, Value::from(key.to_pem())));
    let keys = keys.collect::<Vec<_>>().join(",");
    let list = |role: &Role| role.keys.iter().map(|id| format!("\"{id}\"")).collect::<Vec<_>>().join(",");
    let (root, release) = (list(&document.root), list(&document.release));
    let (stable, nightly) = (&document.channels["stable"], &document.channels["nightly"]);
    let refresh = list(&stable.refresh.as_ref().unwrap().role);
    let (stable, nightly) = (list(&stable.role), list(&nightly.role));
    assert_eq!(
        text,
        format!(
            r#"{{"schema":"alga.appliance.trust/v1","product":"alga-appliance","version":1,"issued":"2026-11-01T00:00:00Z","expires":"2028-11-01T00:00:00Z","keys":{{{keys}}},"roles":{{"root":{{"keys":[{root}],"threshold":2}},"release":{{"keys":[{release}],"threshold":1}},"channels":{{"nightly":{{"epoch":1,"keys":[{nightly}],"threshold":1,"maxLifetimeDays":30}},"stable":{{"epoch":1,"keys":[{stable}],"threshold":2,"maxLifetimeDays":180,"refresh":{{"keys":[{refresh}],"threshold":1,"maxLifetimeDays":14}}}}}}}},"withdrawn":[],"requires":[]}}"#
        )
    );
}

#[test]
fn keys_of_later_programs_are_ignored_but_not_what_the_document_requires() {
    let mut document = document();
    document["later"] = json!({"a": 1});
    document["roles"]["root"]["later"] = json!(1);
    TrustDocument::parse(document.to_string().as_bytes()).unwrap();
    document["requires"] = json!(["post-quantum"]);
    let error = problems(&document);
    assert!(error.contains("requires[0]: this version of the program does not know \"post-quantum\""), "{error}");
}

#[test]
fn every_rule_of_the_document_is_checked() {
    let other = SigningKey::generate().key();
    let unknown = other.id().to_string();
    let cases = [
        (
            "/schema",
            json!("alga.appliance.trust/v2"),
            "schema: expected `alga.appliance.trust/v1`, found `alga.appliance.trust/v2`",
        ),
        ("/product", json!(""), "product: expected a name of 1 to 255 characters"),
        ("/product", json!("a\u{7}"), "product: expected a name of 1 to 255 characters"),
        ("/version", json!(0), "version: expected a whole number from 1 to 9007199254740991, found 0"),
        ("/version", json!(1_u64 << 53), "version: expected a whole number"),
        ("/version", json!(1.0), "version: expected a whole number from 1 to 9007199254740991, found 1.0"),
        ("/version", json!("1"), "version: expected a whole number from 1 to 9007199254740991, found text"),
        ("/issued", json!("2026-11-01"), "issued: invalid time `2026-11-01`"),
        ("/expires", json!("2026-11-01T00:00:00Z"), "expires: expected a time after `issued`"),
        ("/keys", json!([]), "keys: expected an object, found a list"),
        ("/roles/root/keys", json!([]), "roles.root.keys: expected at least one key"),
        ("/roles/root/keys/0", json!(unknown), "roles.root.keys: `keys` of the document has no key"),
        ("/roles/root/keys/0", json!("x"), "roles.root.keys[0]: invalid key ID `x`"),
        ("/roles/root/threshold", json!(0), "roles.root.threshold: expected a whole number from 1"),
        ("/roles/root/threshold", json!(3), "roles.root.threshold: found 3, but the role has 2 keys"),
        ("/roles/release/threshold", json!(2), "roles.release.threshold: expected 1, found 2"),
        ("/roles/channels/stable/threshold", json!(4), "roles.channels.stable.threshold: found 4"),
        ("/roles/channels/stable/epoch", json!(0), "roles.channels.stable.epoch: expected a whole number from 1"),
        (
            "/roles/channels/stable/maxLifetimeDays",
            json!(0),
            "roles.channels.stable.maxLifetimeDays: expected a whole number from 1 to 3650",
        ),
        (
            "/roles/channels/stable/refresh",
            json!(null),
            "roles.channels.stable.refresh: expected an object, found null",
        ),
        (
            "/roles/channels/stable/refresh/threshold",
            json!(2),
            "roles.channels.stable.refresh.threshold: found 2, but the role has 1 key",
        ),
        (
            "/roles/channels/stable/refresh/maxLifetimeDays",
            json!(99_999),
            "refresh.maxLifetimeDays: expected a whole number",
        ),
        ("/withdrawn", json!(["sha256:AB"]), "withdrawn[0]: invalid digest `sha256:AB`"),
        ("/withdrawn", json!({}), "withdrawn: expected a list, found an object"),
        ("/requires", json!(null), "requires: expected a list, found null"),
    ];
    for (pointer, value, reason) in cases {
        let error = problems(&with(pointer, value.clone()));
        assert!(error.contains(reason), "{pointer} = {value}: {error}");
    }
}

#[test]
fn a_missing_key_of_the_json_is_named() {
    for (pointer, key) in [
        ("", "product"),
        ("", "version"),
        ("", "issued"),
        ("", "expires"),
        ("", "keys"),
        ("", "roles"),
        ("", "withdrawn"),
        ("", "requires"),
        ("/roles", "root"),
        ("/roles", "release"),
        ("/roles", "channels"),
        ("/roles/root", "threshold"),
        ("/roles/channels/stable", "epoch"),
        ("/roles/channels/stable", "maxLifetimeDays"),
    ] {
        let mut document = document();
        document.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key);
        let error = problems(&document);
        assert!(error.contains(&format!("{key}: missing")), "{pointer}/{key}: {error}");
    }
}

#[test]
fn all_problems_are_named_at_once() {
    let mut document = document();
    document["version"] = json!(-1);
    document["roles"]["root"]["threshold"] = json!(9);
    document["withdrawn"] = json!(["x"]);
    let error = TrustDocument::parse(document.to_string().as_bytes()).unwrap_err();
    let paths: Vec<&str> = error.problems().iter().map(|problem| &*problem.path).collect();
    assert_eq!(paths, ["version", "roles.root.threshold", "withdrawn[0]"]);
    assert!(error.to_string().starts_with("invalid trust document: version: "), "{error}");
    document["withdrawn"] = Value::from(vec!["x"; 30]);
    assert!(problems(&document).ends_with("; and 12 more"), "{}", problems(&document));
}

#[test]
fn a_key_is_stored_under_its_own_id_in_its_only_encoding() {
    let mut document = document();
    let (one, other) = (SigningKey::generate().key(), SigningKey::generate().key());
    let id = one.id().to_string();
    document["keys"][&id] = json!({"type": "ecdsa-p256", "pem": other.to_pem()});
    let error = problems(&document);
    assert!(
        error.contains(&format!("keys.{id}.pem: expected the key with this ID, found the key {}", other.id())),
        "{error}"
    );
    document["keys"][&id] = json!({"type": "rsa", "pem": one.to_pem()});
    assert!(problems(&document).contains(&format!("keys.{id}.type: expected `ecdsa-p256`, found `rsa`")));
    document["keys"][&id] = json!({"type": "ecdsa-p256", "pem": "-----BEGIN PRIVATE KEY-----\n"});
    assert!(problems(&document).contains("found a private key"));
    document["keys"][&id] = json!({"type": "ecdsa-p256"});
    assert!(problems(&document).contains(&format!("keys.{id}.pem: missing")));
    document["keys"].as_object_mut().unwrap().remove(&id);
    document["keys"]["X"] = json!({"type": "ecdsa-p256", "pem": one.to_pem()});
    assert!(problems(&document).contains("keys.X: invalid key ID `X`"));
}

#[test]
fn a_key_has_one_kind_of_role_and_channels_may_share_keys() {
    let places = [
        "/roles/root/keys",
        "/roles/release/keys",
        "/roles/channels/stable/keys",
        "/roles/channels/stable/refresh/keys",
    ];
    for from in places {
        for to in places.iter().filter(|to| **to != from) {
            let mut document = document();
            let key = document.pointer(from).unwrap()[0].clone();
            document.pointer_mut(to).unwrap().as_array_mut().unwrap().push(key);
            let error = problems(&document);
            assert!(error.contains("may have one kind of role, found"), "{from} {to}: {error}");
        }
    }
    let mut document = document();
    let key = first_key(&document["roles"]["channels"]["stable"]);
    document["roles"]["channels"]["nightly"]["keys"].as_array_mut().unwrap().push(json!(key));
    let read = TrustDocument::parse(document.to_string().as_bytes()).unwrap();
    assert_eq!(read.roles_of(&key.parse().unwrap()), ["channel nightly", "channel stable"]);
    document["roles"]["channels"]["nightly"]["keys"].as_array_mut().unwrap().push(json!(key));
    assert!(problems(&document).contains("occurs twice"));
}

#[test]
fn names_of_channels_are_tags_that_trust_documents_do_not_use() {
    for (name, reason) in
        [("trust-3", "may not begin with `trust-`"), ("a b", "expected a tag"), ("", "expected a tag")]
    {
        let mut document = document();
        document["roles"]["channels"][name] = document["roles"]["channels"]["stable"].clone();
        assert!(problems(&document).contains(reason), "{name}");
    }
}

#[test]
fn a_document_is_bounded() {
    let mut document = document();
    for _ in 0..=KEYS {
        let key = SigningKey::generate().key();
        document["keys"][key.id().to_string()] = json!({"type": "ecdsa-p256", "pem": key.to_pem()});
    }
    assert!(problems(&document).contains("keys: expected at most 32 keys, found "), "{}", problems(&document));
    let error = TrustDocument::parse(&vec![b' '; DOCUMENT_LIMIT + 1]).unwrap_err().to_string();
    assert_eq!(error, "invalid trust document: expected at most 65536 bytes, found 65537");
}

#[test]
fn json_that_programs_read_differently_is_refused() {
    let text = document().to_string();
    let cases = [
        text.replacen("\"product\"", "\"version\":1,\"product\"", 1),
        text.replacen("\"product\"", "\"Product\":\"x\",\"product\"", 1),
        format!("\u{feff}{text}"),
        format!("{text}{text}"),
        text.replacen("alga-appliance", "\\ud800", 1),
    ];
    for case in cases {
        assert!(TrustDocument::parse(case.as_bytes()).is_err(), "{case}");
    }
    let mut bytes = text.into_bytes();
    let at = bytes.windows(4).position(|window| window == b"alga").unwrap();
    bytes[at] = 0xff;
    assert!(TrustDocument::parse(&bytes).is_err());
}
