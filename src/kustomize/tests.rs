use super::*;
use crate::flux::{Files, Kustomization, Root};

const SETTINGS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: v\n  l: [x]\n";

fn files(list: &[(&str, &str)]) -> Files {
    let mut files = Files::default();
    for (path, text) in list {
        files.insert((*path).to_owned(), text.as_bytes().to_vec()).ok();
    }
    files
}

/// Returns the problems of a build of the root as `KIND FILE:LINE`.
fn problems(list: &[(&str, &str)]) -> Vec<String> {
    let built = build(&files(list), &Root { directory: String::new(), kustomization: None });
    let line = |one: &Problem| format!("{:?} {}:{}", one.kind, one.place.file, one.place.line);
    built.problems.iter().map(line).collect()
}

/// Returns the objects of a build as `KIND NAMESPACE/NAME`.
fn objects(files: &Files, kustomization: Option<&Kustomization<'_>>) -> Vec<String> {
    let built = build(files, &Root { directory: String::new(), kustomization });
    assert_eq!(built.problems, []);
    let ids = built.resources.iter().map(Resource::id);
    ids.map(|id| format!("{} {}/{}", id.kind, id.namespace.unwrap_or_default(), id.name)).collect()
}

fn patched(patches: &str) -> Vec<String> {
    let file = format!("resources: [a.yaml]\n{patches}");
    problems(&[("kustomization.yaml", &file), ("a.yaml", SETTINGS)])
}

#[test]
fn json_patch_operations_apply_as_in_the_library_that_kustomize_uses() {
    let fits = |operation: &str| {
        patched(&format!("patches:\n- target: {{kind: ConfigMap}}\n  patch: |\n    - {operation}\n")).is_empty()
    };
    for (operation, expected) in [
        ("{op: replace, path: /data/x, value: 1}", true),
        ("{op: replace, path: /foo/x, value: 1}", false),
        ("{op: add, path: /data/x, value: 1}", true),
        ("{op: add, path: /foo/x, value: 1}", false),
        ("{op: add, path: /data/k/x, value: 1}", false),
        ("{op: add, path: data/k, value: 1}", true),
        ("{op: add, path: /data/q}", true),
        ("{op: add, value: 1}", false),
        ("{op: remove, path: /data/k}", true),
        ("{op: remove, path: /data/x}", false),
        ("{op: remove, path: /metadata/name}", false),
        ("{op: test, path: /data/k, value: v}", true),
        ("{op: test, path: /data/k, value: w}", false),
        ("{op: copy, from: /data/k, path: /data/x}", true),
        ("{op: move, from: /data/x, path: /data/y}", false),
        ("{op: add, path: /data/l/-, value: 1}", true),
        ("{op: add, path: /data/l/1, value: 1}", true),
        ("{op: add, path: /data/l/2, value: 1}", false),
        ("{op: replace, path: /data/l/-1, value: 1}", true),
        ("{op: replace, path: /data/l/1, value: 1}", false),
        ("{op: merge, path: /data/k}", false),
        ("{path: /data/k}", false),
    ] {
        assert_eq!(fits(operation), expected, "{operation}");
    }
}

#[test]
fn a_strategic_merge_patch_names_an_object_and_has_its_types() {
    let patch = |text: &str| patched(&format!("patches:\n- patch: |\n    {text}\n"));
    let object = "apiVersion: v1, kind: ConfigMap, metadata: {name: a}";
    for (text, expected) in [
        (format!("{{{object}, data: {{l: [y]}}}}"), None),
        (format!("{{{object}, data: {{k: ~}}}}"), None),
        (format!("{{{object}, $patch: delete}}"), None),
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: default}}".to_owned(), None),
        (format!("{{{object}, data: {{l: y}}}}"), Some("PatchDoesNotFit")),
        (format!("{{{object}, data: text}}"), Some("PatchDoesNotFit")),
        (format!("{{{object}, data: {{$patch: remove}}}}"), Some("PatchDoesNotFit")),
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}".to_owned(), Some("PatchWithoutObject")),
        ("{apiVersion: v2, kind: ConfigMap, metadata: {name: a}}".to_owned(), Some("PatchWithoutObject")),
        ("{apiVersion: v1, kind: ConfigMap}".to_owned(), Some("InvalidPatch")),
    ] {
        let expected: Vec<String> = expected.map(|kind| format!("{kind} kustomization.yaml:4")).into_iter().collect();
        assert_eq!(patch(&text), expected, "{text}");
    }
}

#[test]
fn a_kustomization_file_is_read_as_yaml_1_1_with_the_fields_of_kustomize() {
    let nested = |text: &str| {
        problems(&[("kustomization.yaml", "resources: [x]\n"), ("x/kustomization.yaml", text), ("x/a.yaml", SETTINGS)])
    };
    for (text, expected) in [
        ("RESOURCES: [a.yaml]\nnamePrefix: ~\n", None),
        ("resources: [a.yaml]\nnamePrefix: 5\n", Some("FieldType x/kustomization.yaml:2")),
        ("resources: [a.yaml]\ncommonLabels: {a: yes}\n", Some("FieldType x/kustomization.yaml:2")),
        ("resources: a.yaml\n", Some("FieldType x/kustomization.yaml:1")),
        ("resources: [a.yaml]\nresource: [b.yaml]\n", Some("UnknownField x/kustomization.yaml:2")),
        ("resources: [a.yaml]\nresources: [b.yaml]\n", Some("RepeatedField x/kustomization.yaml:2")),
        ("", Some("InvalidFile x/kustomization.yaml:1")),
        ("text\n", Some("InvalidFile x/kustomization.yaml:1")),
        ("kind: Component\nresources: [a.yaml]\n", Some("InvalidFile kustomization.yaml:1")),
        ("apiVersion: kustomize.toolkit.fluxcd.io/v1\n", Some("InvalidFile x/kustomization.yaml:1")),
        ("resources: [..]\n", Some("Cycle x/kustomization.yaml:1")),
        ("resources: [../../a.yaml]\n", Some("Missing x/kustomization.yaml:1")),
        ("resources: ['']\n", Some("Missing x/kustomization.yaml:1")),
        ("resources: ['git::https://example.com/x']\n", Some("Unchecked x/kustomization.yaml:1")),
    ] {
        let found = nested(text);
        match expected {
            Some(expected) => assert!(found.contains(&expected.to_owned()), "{text}: {found:?}"),
            None => assert_eq!(found, [] as [&str; 0], "{text}"),
        }
    }
}

#[test]
fn a_document_must_be_an_object_with_a_kind_and_a_name() {
    let read = |text: &str| problems(&[("kustomization.yaml", "resources: [a.yaml]\n"), ("a.yaml", text)]);
    for (text, expected) in [
        ("# nothing\n---\n---\n{}\n", None),
        ("kind: List\napiVersion: v1\nitems: [{apiVersion: v1, kind: A, metadata: {name: a}}]\n", None),
        ("a: b\n", Some("NotAnObject a.yaml:1")),
        ("- a\n", Some("NotAnObject a.yaml:1")),
        ("apiVersion: v1\nkind: A\nmetadata: text\n", Some("NotAnObject a.yaml:1")),
        ("apiVersion: v1\nkind: A\nmetadata: {name: a}\n--- {b: c}\n", Some("NotAnObject a.yaml:4")),
        ("kind: List\napiVersion: v1\nitems: [{kind: A}]\n", Some("NotAnObject a.yaml:3")),
        ("apiVersion: v1\nkind: A\nmetadata: {name: a}\n\t# tab\n", Some("BrokenYaml a.yaml:4")),
        ("apiVersion: v1\nkind: A\nmetadata: {name: a}\n:\n", Some("BrokenYaml a.yaml:4")),
        ("kind: A\nmetadata: {name: a}\n", Some("WithoutVersion a.yaml:1")),
        ("apiVersion: v1\nkind: A\nmetadata: {name: a, name: b}\n", Some("DuplicateKey a.yaml:3")),
    ] {
        assert_eq!(read(text), expected.into_iter().collect::<Vec<_>>(), "{text}");
    }
}

#[test]
fn ids_have_the_default_namespace_unless_the_kind_is_cluster_scoped() {
    let twice = |one: &str, other: &str| {
        let object = |text: &str| format!("apiVersion: v1\n{text}\n");
        let text = format!("{}---\n{}", object(one), object(other));
        problems(&[("kustomization.yaml", "resources: [a.yaml]\n"), ("a.yaml", &text)]).len()
    };
    let config = "kind: ConfigMap\nmetadata: {name: a}";
    assert_eq!(twice(config, "kind: ConfigMap\nmetadata: {name: a, namespace: default}"), 1);
    assert_eq!(twice(config, "kind: ConfigMap\nmetadata: {name: a, namespace: b}"), 0);
    assert_eq!(twice(config, "kind: Secret\nmetadata: {name: a}"), 0);
    let namespace = "kind: Namespace\nmetadata: {name: a}";
    assert_eq!(twice(namespace, "kind: Namespace\nmetadata: {name: a, namespace: b}"), 1);
}

#[test]
fn objects_get_the_same_names_as_in_kustomize() {
    let release = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web}\n\
                   spec: {valuesFrom: [{kind: ConfigMap, name: values}]}\n";
    let config = "nameReference:\n- kind: ConfigMap\n  fieldSpecs: [{path: spec/valuesFrom/name, kind: HelmRelease}]\n";
    let file = "namespace: apps\nnamePrefix: x-\nresources: [web.yaml, ns.yaml]\nconfigurations: [config.yaml]\n\
                configMapGenerator: [{name: values, literals: [a=b]}]\n";
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n";
    let files =
        files(&[("kustomization.yaml", file), ("web.yaml", release), ("ns.yaml", namespace), ("config.yaml", config)]);
    assert_eq!(
        objects(&files, None),
        ["HelmRelease apps/x-web", "Namespace /apps", "ConfigMap apps/x-values-4h2mbtbbt6"]
    );
    let built = build(&files, &Root { directory: String::new(), kustomization: None });
    let name = built.resources[0].node.get(&["spec", "valuesFrom"]).expect("a list").items()[0].text_at(&["name"]);
    assert_eq!(name, Some("x-values-4h2mbtbbt6"));
}

#[test]
fn a_flux_kustomization_overrides_the_kustomization_file_of_its_directory() {
    let child = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: child}\n\
                 spec:\n  targetNamespace: target\n  nameSuffix: -x\n  components: [more, none]\n\
                 \x20 ignoreMissingComponents: true\n";
    let flux = files(&[("child.yaml", child)]);
    let kustomizations = flux.objects();
    let kustomizations = Kustomization::all(&kustomizations);
    let files = files(&[
        ("kustomization.yaml", "namespace: own\nresources: [a.yaml]\n"),
        ("a.yaml", SETTINGS),
        (
            "more/kustomization.yaml",
            "kind: Component\nconfigMapGenerator: [{name: g, options: {disableNameSuffixHash: true}}]\n",
        ),
    ]);
    assert_eq!(objects(&files, kustomizations.first()), ["ConfigMap target/a-x", "ConfigMap target/g-x"]);
}

#[test]
fn a_refused_input_gives_no_further_problems_in_its_dependents() {
    let file = "resources: [a.yaml, b.yaml]\npatches:\n- target: {kind: Secret}\n  patch: '[]'\n\
                replicas: [{name: b, count: 1}]\n";
    assert_eq!(problems(&[("kustomization.yaml", file), ("a.yaml", SETTINGS)]), ["Missing kustomization.yaml:1"]);
}

#[test]
fn a_build_of_hostile_files_is_bounded() {
    let copies = "    - {op: copy, from: /data, path: /data/d}\n".repeat(200);
    let found = patched(&format!("patches:\n- target: {{kind: ConfigMap}}\n  patch: |\n{copies}"));
    assert!(found.iter().all(|problem| problem.starts_with("Unchecked")), "{found:?}");
    let mut list = vec![("kustomization.yaml".to_owned(), "resources: [d0, e0]\n".to_owned())];
    for at in 0..40 {
        for name in ["d", "e"] {
            let text = format!("resources: [../d{next}, ../e{next}]\n", next = at + 1);
            list.push((format!("{name}{at}/kustomization.yaml"), text));
        }
    }
    let list: Vec<(&str, &str)> = list.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    assert!(problems(&list).iter().any(|problem| problem.starts_with("Unchecked")));
}
