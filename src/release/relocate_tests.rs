use super::*;
use crate::oci::Prefix;
use crate::release::values_names;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn release() -> Release {
    let json = serde_json::json!({
        "schema": super::super::SCHEMA, "version": "1.0.3", "channel": "stable", "valuesProfile": "single-node",
        "images": {"algaCore": "62cdce38"},
        "controlPlane": format!("ghcr.io/a/control-plane@{DIGEST}"),
        "config": {"repository": "ghcr.io/a/config", "version": "1.0.3", "tag": "1.0.3", "digest": DIGEST},
        "charts": {"web": "0.0.1"}, "chartDigests": {"web": DIGEST},
        "imageDigests": {
            "algaCore": format!("ghcr.io/a/web@{DIGEST}"), "other": format!("quay.io/x/y@{DIGEST}"),
            "left": format!("ghcr.io/a/left@{DIGEST}"),
        },
        "profileValues": {"alga-core.single-node.yaml": "image: ghcr.io/a/web\n", "db.single-node.yaml": "a: 1\n"},
        "valuesConfigMaps": {"alga-core": "appliance-values-alga-core-111111111111", "db": "appliance-values-db-222222222222"},
        "extraImages": [format!("docker.io/library/redis@{DIGEST}"), format!("docker.io/library/left@{DIGEST}")],
        "agent": {"ghcr.io/a/web": ["see ghcr.io/a/agent:1", 1.5]},
    });
    Release::parse(json.to_string().as_bytes()).expect("a release")
}

fn relocation() -> Relocation {
    let names = [
        ("ghcr.io/a/config", "mirror:5000/b/config"),
        ("ghcr.io/a/control-plane", "mirror:5000/b/control-plane"),
        ("ghcr.io/a/web", "mirror:5000/b/web"),
        ("docker.io/library/redis", "mirror:5000/b/external/docker.io/library/redis"),
    ];
    let names = names.map(|(old, new)| (old.to_owned(), new.to_owned())).into();
    let prefix = |text: &str| Prefix::parse(text, false).expect("a prefix");
    Relocation::new(&names, prefix("ghcr.io/a"), prefix("mirror:5000/b")).expect("names")
}

fn moved(release: &Release) -> Release {
    let relocation = relocation();
    let values =
        release.profile_values.iter().map(|(file, text)| (file.clone(), relocation.replaced(text).into_owned()));
    release.relocated(&relocation, values.collect(), &Config::default())
}

#[test]
fn copied_artifacts_get_their_new_names_and_the_rest_stays() {
    let before = release();
    let mut after = moved(&before);
    let origin = format!("ghcr.io/a/release@{DIGEST}");
    after.comes_from(&origin.clone().try_into().expect("pinned"), Digest::of(b"bundle"));
    assert_eq!(after.config.repository, "mirror:5000/b/config");
    assert_eq!(after.config.digest, Digest::of(b"bundle"));
    assert_eq!(after.copied_from.as_deref(), Some(origin.as_str()));
    assert_eq!(after.control_plane.as_deref(), Some(format!("mirror:5000/b/control-plane@{DIGEST}").as_str()));
    let images: Vec<String> = after.image_digests.values().map(ToString::to_string).collect();
    let expected = ["mirror:5000/b/web", "ghcr.io/a/left", "quay.io/x/y"].map(|name| format!("{name}@{DIGEST}"));
    assert_eq!(images, expected);
    let redis = format!("mirror:5000/b/external/docker.io/library/redis@{DIGEST}");
    assert_eq!(after.extra_images, [redis, format!("docker.io/library/left@{DIGEST}")]);
    assert_eq!(after.profile_values["alga-core.single-node.yaml"], "image: mirror:5000/b/web\n");
    for same in [(&before.charts, &after.charts), (&before.images, &after.images)] {
        assert_eq!(same.0, same.1);
    }
    assert_eq!((&before.chart_digests, &before.extra), (&after.chart_digests, &after.extra));
    assert_eq!((&before.version, &before.channel), (&after.version, &after.channel));
    let json = after.to_json();
    assert_eq!(Release::parse(&json).expect("a release").to_json(), json);
}

#[test]
fn only_changed_values_get_another_name() {
    let (before, after) = (release(), moved(&release()));
    assert_eq!(after.values_config_maps["db"], before.values_config_maps["db"]);
    let expected =
        values_names(&Config::default(), "single-node", &after.profile_values, after.image_values())["alga-core"]
            .clone();
    assert_eq!(after.values_config_maps["alga-core"], expected);
    assert_ne!(expected, before.values_config_maps["alga-core"]);
    let plain = Release { values_config_maps: BTreeMap::new(), ..before };
    assert!(moved(&plain).values_config_maps.is_empty(), "plain names stay plain");
}

#[test]
fn a_value_that_still_names_the_origin_is_reported_with_its_path() {
    let mut after = moved(&release());
    let origin = format!("ghcr.io/a/release@{DIGEST}");
    after.comes_from(&origin.try_into().expect("pinned"), Digest::of(b""));
    let left: Vec<String> =
        after.left(&relocation()).into_iter().map(|(path, mention)| format!("{path}: {}", mention.text)).collect();
    let image = format!("imageDigests.left: ghcr.io/a/left@{DIGEST}");
    assert_eq!(
        left,
        ["agent.ghcr.io/a/web: ghcr.io/a/web", "agent.ghcr.io/a/web[0]: ghcr.io/a/agent:1", image.as_str()]
    );
}

#[test]
fn a_second_relocation_changes_nothing() {
    let once = moved(&release());
    assert_eq!(moved(&once), once);
}

/// The same release with a description of itself.
fn described() -> Release {
    let mut json: Value = serde_json::from_slice(&release().to_json()).expect("JSON");
    let reader = |of: &str, namespace: &str, set: Value| {
        let file = format!("{of}.single-node.yaml");
        let map = json["valuesConfigMaps"][of].clone();
        serde_json::json!({"release": of, "namespace": namespace, "configMap": map, "key": file, "file": file, "set": set, "x": 1})
    };
    let literal =
        serde_json::json!([{"path": "mirror", "from": "literal:ghcr.io/a/web"}, {"path": "url", "from": "app-url"}]);
    let values = [
        reader("alga-core", "a", Value::Array(Vec::new())),
        reader("db", "a", literal.clone()),
        reader("db", "b", literal),
    ];
    json["appliance"] = serde_json::json!({
        "fluxNamespace": "flux-system", "sourceName": "s", "selection": {"namespace": "a", "name": "b"}, "requiredImages": [],
        "values": values, "later": "ghcr.io/a/other"
    });
    (json["prefix"], json["chartRepository"]) = ("ghcr.io/a".into(), "charts".into());
    Release::parse(json.to_string().as_bytes()).expect("a release")
}

#[test]
fn a_description_is_relocated_and_its_config_maps_keep_the_names_of_the_values() {
    let (before, after) = (described(), moved(&described()));
    let description = after.description.as_ref().expect("a description");
    assert_eq!(description.prefix, "mirror:5000/b");
    let [core, db, other] = &description.appliance.values[..] else { panic!("three readers") };
    assert_eq!(db.set[0].from, "literal:mirror:5000/b/web");
    assert_eq!(db.set[1].from, "app-url");
    // The text of `db` is unchanged, but its settings changed.
    for (reader, of) in [(core, "alga-core"), (db, "db"), (other, "db")] {
        assert_eq!(reader.config_map, after.values_config_maps[of]);
        assert_ne!(reader.config_map, before.values_config_maps[of]);
        assert!(reader.config_map.starts_with(&format!("appliance-values-{of}-")));
        assert_eq!(reader.extra["x"], 1);
    }
    assert_eq!((db.namespace.as_str(), other.namespace.as_str()), ("a", "b"));
    assert_eq!(description.appliance.extra["later"], "ghcr.io/a/other");
    let json = after.to_json();
    assert_eq!(Release::parse(&json).expect("a release").to_json(), json);
    assert_eq!(moved(&after), after);
}
