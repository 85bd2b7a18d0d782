use super::*;
use crate::oci::Prefix;

const FROM: &str = "ghcr.io/a";
const TO: &str = "mirror:5000/b";

fn relocation(from: &str, to: &str, plain_http: bool) -> Relocation {
    let own = ["web", "charts", "charts/web", "config"].map(|name| (format!("{from}/{name}"), format!("{to}/{name}")));
    let external = ["docker.io/library/redis", "docker.io/temporalio/auto-setup"];
    let external = external.map(|name| (name.to_owned(), format!("{to}/external/{name}")));
    let names = own.into_iter().chain(external).collect();
    let prefix = |text: &str, plain| Prefix::parse(text, plain).expect("a prefix");
    Relocation::new(&names, prefix(from, false), prefix(to, plain_http)).expect("names")
}

fn usual() -> Relocation {
    relocation(FROM, TO, false)
}

/// Relocates one file, and returns its text with the warnings.
fn one(path: &str, text: &str, relocation: &Relocation) -> (String, Vec<String>) {
    let files = BTreeMap::from([(path.to_owned(), text.as_bytes().to_vec())]);
    let relocated = relocate(&files, relocation, false);
    let again = relocate(&relocated.files, relocation, false);
    assert_eq!(again.files, relocated.files, "relocated twice: {text}");
    let warnings = relocated.warnings.iter().map(ToString::to_string).collect();
    (String::from_utf8(relocated.files[path].clone()).expect("text"), warnings)
}

fn yaml(text: &str) -> String {
    let (after, warnings) = one("base/x.yaml", text, &usual());
    assert_eq!(warnings, Vec::<String>::new(), "{text}");
    after
}

#[test]
fn full_names_are_replaced_in_values_scripts_comments_and_keys() {
    let text = "# from ghcr.io/a/web, see docker.io/redis\r\nimage: &i \"ghcr.io/a/web:1\"   # kept\r\nother: *i\r\n\
                flow: {repository: 'docker.io/library/redis', tag: \"7\"}\r\nscript: |\r\n  docker pull ghcr.io/a/web:$TAG\r\n  \
                crane copy docker://ghcr.io/a/web@sha256:0 x\r\nghcr.io/a/web: [oci://ghcr.io/a/charts/web]\r\n";
    let expected = text
        .replace("docker.io/redis", "docker.io/library/redis")
        .replace("docker.io/library/redis", "mirror:5000/b/external/docker.io/library/redis")
        .replace("ghcr.io/a/", "mirror:5000/b/");
    assert_eq!(yaml(text), expected);
    for path in ["profiles/p/values/x.yaml", "scripts/run.sh", "README.md", "base/kustomization.yaml"] {
        assert_eq!(one(path, text, &usual()).0, expected, "{path}");
    }
}

#[test]
fn short_names_of_docker_hub_are_replaced_only_under_the_keys_of_images() {
    let new = "mirror:5000/b/external/docker.io/library/redis";
    let setup = "mirror:5000/b/external/docker.io/temporalio/auto-setup";
    for (before, after) in [
        ("image: redis\n", format!("image: \"{new}\"\n")),
        ("image: redis:7.4 # cache\n", format!("image: \"{new}:7.4\" # cache\n")),
        ("- image: 'library/redis@sha256:0'\n", format!("- image: '{new}@sha256:0'\n")),
        ("image: temporalio/auto-setup:1\n", format!("image: \"{setup}:1\"\n")),
        ("image: {repository: redis}\n", format!("image: {{repository: \"{new}\"}}\n")),
        ("initImage:\n  repository: redis\n", format!("initImage:\n  repository: \"{new}\"\n")),
        ("db:\n  repository: redis\n  tag: 7\n", format!("db:\n  repository: \"{new}\"\n  tag: 7\n")),
        ("a: {repository: redis, pullPolicy: Always}\n", format!("a: {{repository: \"{new}\", pullPolicy: Always}}\n")),
        ("a: {registry: '', image: redis}\n", format!("a: {{registry: '', image: \"{new}\"}}\n")),
        ("name: &r redis\nimage: *r\n", format!("name: &r redis\nimage: \"{new}\"\n")),
        ("a: {image: &r redis}\nb: {image: *r}\n", format!("a: {{image: &r \"{new}\"}}\nb: {{image: *r}}\n")),
        ("{\"image\": \"redis\"}", format!("{{\"image\": \"{new}\"}}")),
    ] {
        assert_eq!(yaml(before), after);
    }
    for text in [
        "name: redis\n",
        "repository: redis\n",
        "images: [{name: redis}]\n",
        "image: other/redis\n",
        "image: redis-stack\n",
        "image: quay.io/library/redis\n",
        "image: web\n",
        "image: [redis]\n",
        "image: {name: redis}\n",
        "text: redis:7\n",
        "registry: quay.io\nrepository: library/redis\n",
        "registry: quay.io\nimage: redis\n",
    ] {
        assert_eq!(yaml(text), text);
    }
    let (text, _) = one("base/kustomization.yaml", "images:\n- {name: redis, newName: library/redis}\n", &usual());
    assert_eq!(text, format!("images:\n- {{name: \"{new}\", newName: \"{new}\"}}\n"));
}

#[test]
fn a_registry_and_the_repository_beside_it_are_replaced_together() {
    let path = "b/external/docker.io/library/redis";
    for (before, after) in [
        (
            "registry: docker.io\nrepository: library/redis\ntag: 7\n",
            format!("registry: \"mirror:5000\"\nrepository: {path}\ntag: 7\n"),
        ),
        (
            "{repository: redis, registry: index.docker.io}",
            format!("{{repository: {path}, registry: \"mirror:5000\"}}"),
        ),
        ("registry: docker.io/library\nname: redis\n", format!("registry: \"mirror:5000\"\nname: {path}\n")),
        ("registry: 'docker.io/'\nimage: redis:7\n", format!("registry: 'mirror:5000'\nimage: \"{path}:7\"\n")),
        ("registry: ghcr.io\nrepository: a/web\n", "registry: \"mirror:5000\"\nrepository: b/web\n".to_owned()),
        ("registry: ghcr.io/a\nrepository: web\n", "registry: \"mirror:5000\"\nrepository: b/web\n".to_owned()),
        (
            "a: &a {registry: docker.io, repository: redis}\nb: *a\n",
            format!("a: &a {{registry: \"mirror:5000\", repository: {path}}}\nb: *a\n"),
        ),
        (
            "r: &r docker.io\na: {registry: *r, repository: redis}\nb: {registry: *r, repository: x/y}\n",
            format!(
                "r: &r docker.io\na: {{registry: \"mirror:5000\", repository: {path}}}\nb: {{registry: *r, repository: x/y}}\n"
            ),
        ),
    ] {
        assert_eq!(yaml(before), after);
    }
    for text in [
        "registry: docker.io\nrepository: x/y\n",
        "registry: docker.io\nname: {first: redis}\n",
        "registry: docker.io\n",
    ] {
        assert_eq!(yaml(text), text);
    }
}

#[test]
fn a_name_that_an_anchor_or_merge_shares_with_another_value_is_kept_with_a_warning() {
    for (line, text) in [
        (2, "a: {registry: &r docker.io, repository: redis}\nb: {registry: *r, repository: x/y}\n"),
        (2, "a: &a {registry: docker.io, repository: redis}\nb: {<<: *a, repository: x/y}\n"),
        (2, "a: &a {registry: docker.io}\nb: {<<: *a, repository: redis}\n"),
        (2, "a: {image: &r redis}\nname: *r\n"),
    ] {
        let (after, warnings) = one("base/x.yaml", text, &usual());
        assert_eq!(after, text);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].starts_with(&format!("base/x.yaml:{line}: an anchor or `<<` shares an image's registry")),
            "{warnings:?}"
        );
    }
}

#[test]
fn names_that_contain_escapes_are_replaced() {
    for (before, after) in [
        (r#"{"image": "ghcr.io\/a\/web:1"}"#, r#"{"image": "mirror:5000/b/web:1"}"#),
        ("a: \"x\\nghcr.io/a/web\\n\"\n", "a: \"x\\nmirror:5000/b/web\\n\"\n"),
        ("a: \"ghcr.io/\\\n  a/web\"\n", "a: \"mirror:5000/b/web\"\n"),
        ("a: \"\\x67hcr.io/a/web\"\n", "a: \"mirror:5000/b/web\"\n"),
    ] {
        assert_eq!(yaml(before), after);
    }
}

const SOURCES: &str = "apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: web}
spec:
  interval: 10m
  url: oci://ghcr.io/a/charts/web # the chart
  ref: {tag: \"1\"}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata: {name: charts}
spec: {type: oci, url: oci://ghcr.io/a/charts/}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata: {name: other}
spec:
  url: oci://quay.io/charts
  insecure: true
";

#[test]
fn only_rewritten_sources_become_insecure_with_a_plain_http_prefix() {
    let (plain, _) = one("base/s.yaml", SOURCES, &relocation(FROM, TO, true));
    let expected = SOURCES
        .replace(
            "oci://ghcr.io/a/charts/web # the chart\n",
            "oci://mirror:5000/b/charts/web # the chart\n  insecure: true\n",
        )
        .replace("oci://ghcr.io/a/charts/}", "oci://mirror:5000/b/charts/, insecure: true}");
    assert_eq!(plain, expected);
    let (back, _) = one("base/s.yaml", &plain, &relocation(TO, FROM, false));
    assert_eq!(back, SOURCES, "relocating back restores the text");
    for written in ["insecure: false", "insecure: true", "insecure: \"true\""] {
        let text = SOURCES.replace("  ref: {tag: \"1\"}\n", &format!("  ref: {{tag: \"1\"}}\n  {written} # so\n"));
        let (plain, _) = one("base/s.yaml", &text, &relocation(FROM, TO, true));
        assert_eq!(plain.matches("insecure: true").count() + plain.matches("insecure: \"true\"").count(), 3, "{plain}");
        let (safe, _) = one("base/s.yaml", &text, &usual());
        assert_eq!(safe, SOURCES.replace("ghcr.io/a/", "mirror:5000/b/"), "{written}");
    }
}

#[test]
fn sources_in_json_and_in_lists_are_rewritten() {
    let json = r#"{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "OCIRepository", "spec": {"url": "oci://ghcr.io/a/config"}}]}"#;
    let (plain, _) = one("base/s.json", json, &relocation(FROM, TO, true));
    assert_eq!(plain, json.replace("ghcr.io/a/config\"", "mirror:5000/b/config\", \"insecure\": true"));
}

#[test]
fn text_that_still_names_the_old_prefix_is_a_warning_with_file_and_line() {
    let text = "a: ghcr.io/a/web\nb: |\n  ghcr.io/a/tools:1.4.0\n  for c in x; do oci://ghcr.io/a/charts/$c; done\n";
    let (after, warnings) = one("base/x.yaml", text, &usual());
    assert_eq!(after, text.replacen("ghcr.io/a/web", "mirror:5000/b/web", 1));
    let expected = [
        "3: the line still names the old prefix: ghcr.io/a/tools:1.4.0",
        "4: the line still names the old prefix: ghcr.io/a/charts/",
    ];
    assert_eq!(warnings, expected.map(|text| format!("base/x.yaml:{text}")));
}

#[test]
fn binary_files_are_kept_and_invalid_yaml_is_rewritten_as_plain_text() {
    let binary = b"\x00\xffghcr.io/a/web".to_vec();
    let files = BTreeMap::from([("base/logo.png".to_owned(), binary.clone()), ("base/b".to_owned(), vec![0xff, 0])]);
    let relocated = relocate(&files, &usual(), false);
    assert_eq!(relocated.files, files);
    let said: Vec<String> = relocated.warnings.iter().map(|warning| warning.place.to_string()).collect();
    assert_eq!(said, ["base/logo.png"]);
    let (text, warnings) = one("base/x.yaml", "a: [ghcr.io/a/web, image: redis\n", &usual());
    assert_eq!(text, "a: [mirror:5000/b/web, image: redis\n");
    assert!(warnings[0].contains("invalid YAML"), "{warnings:?}");
}

#[test]
fn the_same_prefix_changes_nothing() {
    let relocation = relocation(FROM, FROM, false);
    let files = BTreeMap::from([("base/s.yaml".to_owned(), SOURCES.as_bytes().to_vec())]);
    let names = BTreeMap::from([(format!("{FROM}/web"), format!("{FROM}/web"))]);
    let same = Relocation::new(&names, relocation.from().clone(), relocation.to().clone()).expect("names");
    let relocated = relocate(&files, &same, false);
    assert_eq!((relocated.files, relocated.warnings), (files, Vec::new()));
}

#[test]
fn releases_read_their_values_from_the_renamed_config_maps() {
    let text = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web}\nspec:\n  valuesFrom:\n  \
                - {kind: ConfigMap, name: values-web-1} # hashed\n  - {kind: Secret, name: values-web-1}\n  \
                - kind: ConfigMap\n    name: \"values-web-1\"\n  - {kind: ConfigMap, name: values-web-12}\n";
    let files = BTreeMap::from([("base/r.yaml".to_owned(), text.as_bytes().to_vec())]);
    let names = BTreeMap::from([("values-web-1".to_owned(), "values-web-2".to_owned())]);
    let expected = text
        .replace("ConfigMap, name: values-web-1}", "ConfigMap, name: values-web-2}")
        .replace("\"values-web-1\"", "\"values-web-2\"");
    let renamed = rename_values(files.clone(), &names);
    assert_eq!(String::from_utf8_lossy(&renamed["base/r.yaml"]), expected);
    assert_eq!(rename_values(files.clone(), &BTreeMap::new()), files);
}

#[test]
fn rewritten_sources_lose_their_verification_only_where_signatures_are_given_up() {
    let source = |url: &str| {
        format!(
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {{name: web}}\nspec:\n  url: {url}\n  \
             verify:\n    provider: cosign\n    secretRef: {{name: keys}}\n  interval: 10m # kept\n"
        )
    };
    let text = source("oci://ghcr.io/a/charts/web") + "---\n" + &source("oci://quay.io/other/chart");
    let files = BTreeMap::from([("base/s.yaml".to_owned(), text.clone().into_bytes())]);
    let rewritten = |drops_verify: bool| {
        let relocated = relocate(&files, &usual(), drops_verify);
        String::from_utf8(relocated.files["base/s.yaml"].clone()).expect("text")
    };
    let renamed = text.replace("ghcr.io/a", "mirror:5000/b");
    assert_eq!(rewritten(false), renamed);
    let verify = "  verify:\n    provider: cosign\n    secretRef: {name: keys}\n";
    assert_eq!(rewritten(true), renamed.replacen(verify, "", 1));
}
