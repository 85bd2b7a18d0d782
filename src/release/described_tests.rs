use super::*;
use crate::oci::Digest;
use serde_json::json;

fn release(described: bool) -> Release {
    let mut json = json!({
        "schema": super::super::SCHEMA, "version": "1", "channel": "stable", "valuesProfile": "p",
        "images": { "web": "7" }, "charts": {},
        "config": { "repository": "r.io/acme/platform", "version": "1", "digest": Digest::of(b"").to_string() },
        "profileValues": { "alga-core.p.yaml": "a: 1\n", "note.txt": "" }
    });
    if described {
        json["prefix"] = "r.io/acme".into();
        json["chartRepository"] = "helm".into();
        json["appliance"] = json!({
            "fluxNamespace": "flux", "sourceName": "acme", "selection": { "namespace": "acme-system", "name": "selected" },
            "requiredImages": [], "values": [{
                "release": "core", "namespace": "apps", "configMap": "v", "key": "values.yaml", "file": "alga-core.p.yaml",
                "set": [{ "path": "size", "from": "literal:3" }]
            }]
        });
    }
    Release::parse(json.to_string().as_bytes()).expect("a release")
}

#[test]
fn the_values_of_the_release_override_the_defaults() {
    let described = release(true).described(&Config::default()).expect("no disagreement");
    let config = &described.config;
    assert_eq!(described.notes, Vec::<String>::new());
    let names = [
        config.prefix.as_str(),
        config.repositories.charts.as_str(),
        config.repositories.config.as_str(),
        &config.appliance.flux_namespace,
        &config.appliance.source_name,
        &config.appliance.namespace,
        &config.appliance.selection_name,
    ];
    assert_eq!(names, ["r.io/acme", "helm", "platform", "flux", "acme", "acme-system", "selected"]);
    let set = Injection {
        release: "alga-core".to_owned(),
        path: "size".to_owned(),
        from: "literal:3".to_owned(),
        form: None,
    };
    assert_eq!(config.appliance.values, [set]);
    assert_eq!(described.installation.values[0].namespace, "apps");
    assert_eq!(config.product, "alga-appliance", "the release does not state its product");
}

#[test]
fn a_given_configuration_must_agree_and_one_that_was_only_found_causes_a_note() {
    let release = release(true);
    for (text, message) in [
        ("prefix: r.io/b\n", "`prefix` is `r.io/acme` in the release, but `r.io/b` in x.yaml"),
        ("repositories: {charts: charts}\n", "`repositories.charts` is `helm` in the release, but `charts` in x.yaml"),
        ("appliance: {namespace: b}\n", "`appliance.namespace` is `acme-system` in the release, but `b` in x.yaml"),
        (
            "appliance: {values: [{release: alga-core, path: size, from: '4'}]}\n",
            "`appliance.values: alga-core:size` is `literal:3` in the release, but `literal:4` in x.yaml",
        ),
        (
            "appliance: {values: []}\n",
            "`appliance.values: alga-core:size` is `literal:3` in the release, but `not set` in x.yaml",
        ),
    ] {
        let found = Config::parse(text, "x.yaml").expect("valid");
        let noted = release.described(&found).expect("only noted");
        assert_eq!(noted.notes, [format!("{message}; the release's value is used")]);
        assert_eq!(noted.config.prefix, "r.io/acme");
        let refused = release.described(&found.named_by_the_caller()).expect_err("refused");
        assert_eq!(refused.to_string(), message);
    }
    let agrees = "prefix: r.io/acme\nappliance: {sourceName: acme, values: [{release: alga-core, path: size, from: 3},\
                  {release: gone, path: a, from: b}]}\n";
    let agrees = Config::parse(agrees, "x.yaml").expect("valid").named_by_the_caller();
    assert_eq!(release.described(&agrees).expect("agrees").notes, Vec::<String>::new());
}

#[test]
fn the_configuration_describes_a_release_of_an_older_publisher() {
    let described = release(false).described(&Config::default()).expect("nothing to disagree with");
    assert_eq!(described.config, Config::default());
    let installation = &described.installation;
    let (namespace, root) = (&installation.selection.namespace, &installation.source_name);
    assert_eq!((namespace.as_str(), root.as_str()), ("alga-system", "alga-appliance"));
    let reader = &installation.values[0];
    assert_eq!(installation.values.len(), 1, "a file with another name pattern has no reader");
    assert_eq!((reader.release.as_str(), reader.config_map.as_str()), ("alga-core", "appliance-values-alga-core"));
    assert_eq!((reader.namespace.as_str(), reader.key.as_str()), ("alga-system", "alga-core.p.yaml"));
    assert_eq!(reader.set.len(), 5);
}
