use super::*;

fn release(name: &str, namespace: &str) -> String {
    format!(
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: {name}{namespace}}}\n\
         spec: {{chart: {{spec: {{chart: {name}}}}}}}\n"
    )
}

fn child(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: {name}}}\n\
         spec: {{path: ./{name}{spec}}}\n"
    )
}

fn files(files: &[(&str, &str)]) -> Files {
    let mut found = Files::default();
    for (path, text) in files {
        found.insert((*path).to_owned(), text.as_bytes().to_vec()).expect("valid YAML");
    }
    found
}

/// The applied HelmReleases as `FILE NAME NAMESPACE`, with `base` and the Kustomizations of the files as roots.
fn applied(files: &Files) -> Vec<String> {
    let objects = files.objects();
    let kustomizations = Kustomization::all(&objects);
    let mut roots = vec![Root { directory: "base".to_owned(), kustomization: None }];
    roots.extend(
        kustomizations
            .iter()
            .map(|one| Root { directory: one.directory().expect("a directory"), kustomization: Some(one) }),
    );
    let build = build(files, &roots).expect("a build");
    let applied = build.applied(&HelmRelease::all(&objects));
    let line = |one: &AppliedRelease<'_>| {
        let namespace = one.namespace.as_deref().unwrap_or("-");
        format!("{} {} {namespace}", one.release.object.file, one.release.object.name())
    };
    applied.iter().map(line).collect()
}

#[test]
fn a_release_keeps_its_own_namespace_where_no_file_sets_another() {
    let found = applied(&files(&[
        ("base/a.yaml", &release("a", ", namespace: own")),
        ("base/b.yaml", &release("b", "")),
        ("elsewhere/c.yaml", &release("c", ", namespace: own")),
    ]));
    assert_eq!(found, ["base/a.yaml a own", "base/b.yaml b -"], "no root applies elsewhere/");
}

#[test]
fn the_outermost_kustomization_file_with_a_namespace_sets_that_of_a_release() {
    let found = applied(&files(&[
        ("base/kustomization.yaml", "resources: [inner, a.yaml]\n"),
        ("base/a.yaml", &release("a", ", namespace: own")),
        ("base/inner/kustomization.yaml", "namespace: inner\nresources: [deep, b.yaml]\n"),
        ("base/inner/b.yaml", &release("b", ", namespace: own")),
        ("base/inner/deep/kustomization.yaml", "namespace: deep\nresources: [c.yaml]\n"),
        ("base/inner/deep/c.yaml", &release("c", "")),
    ]));
    assert_eq!(found, ["base/a.yaml a own", "base/inner/b.yaml b inner", "base/inner/deep/c.yaml c inner"]);
}

#[test]
fn a_target_namespace_overrides_every_kustomization_file() {
    let found = applied(&files(&[
        ("base/child.yaml", &child("apps", ", targetNamespace: target")),
        ("base/other.yaml", &child("tools", "")),
        ("apps/kustomization.yaml", "namespace: own\nresources: [a.yaml]\n"),
        ("apps/a.yaml", &release("a", ", namespace: x")),
        ("tools/b.yaml", &release("b", ", namespace: x")),
    ]));
    assert_eq!(found, ["apps/a.yaml a target", "tools/b.yaml b x"]);
}

#[test]
fn a_release_that_two_kustomizations_apply_to_different_namespaces_is_listed_twice() {
    let list = "resources: [../all/a.yaml]\n";
    let found = applied(&files(&[
        ("base/one.yaml", &child("one", ", targetNamespace: first")),
        ("base/two.yaml", &child("two", ", targetNamespace: second")),
        ("one/kustomization.yaml", list),
        ("two/kustomization.yaml", list),
        ("all/a.yaml", &release("a", "")),
    ]));
    assert_eq!(found, ["all/a.yaml a first", "all/a.yaml a second"]);
}

#[test]
fn a_component_sets_the_namespace_of_everything_its_kustomization_file_lists() {
    let component = |namespace: &str| format!("kind: Component\n{namespace}resources: [c.yaml]\n");
    let tree = |outer: &str, own: &str| {
        applied(&files(&[
            ("base/kustomization.yaml", &format!("{outer}resources: [a.yaml]\ncomponents: [part]\n")),
            ("base/a.yaml", &release("a", ", namespace: own")),
            ("base/part/kustomization.yaml", &component(own)),
            ("base/part/c.yaml", &release("c", "")),
        ]))
    };
    assert_eq!(tree("", "namespace: moved\n"), ["base/a.yaml a moved", "base/part/c.yaml c moved"]);
    assert_eq!(tree("namespace: outer\n", "namespace: moved\n"), ["base/a.yaml a outer", "base/part/c.yaml c outer"]);
    assert_eq!(tree("", ""), ["base/a.yaml a own", "base/part/c.yaml c -"]);
}

#[test]
fn components_that_flux_adds_are_built_with_the_directory() {
    let tree = |spec: &str, own: &str| {
        files(&[
            ("base/child.yaml", &child("apps", spec)),
            ("apps/kustomization.yaml", &format!("{own}resources: [a.yaml]\n")),
            ("apps/a.yaml", &release("a", ", namespace: x")),
            ("part/kustomization.yaml", "kind: Component\nnamespace: moved\nresources: [c.yaml]\n"),
            ("part/c.yaml", &release("c", "")),
        ])
    };
    let added = ", components: [../part]";
    assert_eq!(applied(&tree(added, "")), ["apps/a.yaml a moved", "part/c.yaml c moved"]);
    assert_eq!(applied(&tree(added, "namespace: own\n")), ["apps/a.yaml a own", "part/c.yaml c own"]);
    let target = format!("{added}, targetNamespace: target");
    assert_eq!(applied(&tree(&target, "namespace: own\n")), ["apps/a.yaml a target", "part/c.yaml c target"]);
    let missing = ", components: [../none], ignoreMissingComponents: true";
    assert_eq!(applied(&tree(missing, "")), ["apps/a.yaml a x"]);
}

#[test]
fn releases_in_lists_and_later_documents_count_and_other_groups_do_not() {
    let item = |name: &str, group: &str| {
        format!("{{apiVersion: {group}, kind: HelmRelease, metadata: {{name: {name}, namespace: x}}}}")
    };
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {}\n- {}\n---\n{}\n",
        item("a", "helm.toolkit.fluxcd.io/v2beta1"),
        item("b", "example.com/v1"),
        item("c", "helm.toolkit.fluxcd.io/v2"),
    );
    assert_eq!(applied(&files(&[("base/all.yaml", &list)])), ["base/all.yaml a x", "base/all.yaml c x"]);
}

#[test]
fn config_map_keys_default_as_in_flux_and_secrets_are_left_out() {
    let files = files(&[(
        "base/a.yaml",
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: a}\nspec:\n  valuesFrom:\n  \
         - {kind: ConfigMap, name: one}\n  - {kind: Secret, name: two}\n  \
         - {kind: ConfigMap, name: three, valuesKey: v.yaml, targetPath: a.b, optional: true}\n",
    )]);
    let objects = files.objects();
    let releases = HelmRelease::all(&objects);
    let key = |name: &str, key: &str, target_path: Option<&str>, optional| crate::flux::helm_release::ConfigMapKey {
        name: name.to_owned(),
        key: key.to_owned(),
        target_path: target_path.map(ToOwned::to_owned),
        optional,
    };
    let expected = [key("one", "values.yaml", None, false), key("three", "v.yaml", Some("a.b"), true)];
    assert_eq!(releases[0].config_maps().collect::<Vec<_>>(), expected);
}

#[test]
fn a_build_that_enters_too_many_directories_is_refused() {
    let mut tree = vec![("base/kustomization.yaml".to_owned(), "resources: [d0/a, d0/b]\n".to_owned())];
    for depth in 0..20 {
        for side in ["a", "b"] {
            let text = format!("resources: [../../d{0}/a, ../../d{0}/b]\n", depth + 1);
            tree.push((format!("base/d{depth}/{side}/kustomization.yaml"), text));
        }
    }
    for side in ["a", "b"] {
        tree.push((format!("base/d20/{side}/kustomization.yaml"), "resources: []\n".to_owned()));
    }
    let tree: Vec<(&str, &str)> = tree.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let error = build(&files(&tree), &[Root { directory: "base".to_owned(), kustomization: None }]);
    assert!(error.is_err_and(|error| error.reason.contains("100000 directories")));
}
