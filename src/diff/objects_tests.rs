use super::*;

fn objects(files: &[(&str, &str)]) -> Vec<ComparedObject> {
    let files: BTreeMap<String, Vec<u8>> =
        files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    let mut notes = Vec::new();
    let objects = read(&files, &mut notes);
    assert!(notes.is_empty(), "{notes:?}");
    objects
}

fn changes(old: &[(&str, &str)], new: &[(&str, &str)]) -> Vec<ObjectChange> {
    let pins = Pins {
        charts: ["web".to_owned()].into(),
        repository: "charts".to_owned(),
        values: ["values-web-1".to_owned(), "values-web-2".to_owned()].into(),
        ..Pins::default()
    };
    compare(&objects(old), &objects(new), &pins, &mut Budget::default())
}

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: a}\nspec: {type: ClusterIP}\n";

#[test]
fn an_object_that_moves_to_another_file_or_into_a_list_is_not_a_change() {
    let list = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Service, metadata: {namespace: a, name: web}, spec: {type: ClusterIP}}\n";
    assert_eq!(changes(&[("a.yaml", SERVICE)], &[("b/c.yml", SERVICE)]), []);
    assert_eq!(changes(&[("a.yaml", SERVICE)], &[("b.yaml", list)]), []);
    let written = SERVICE.replace("{type: ClusterIP}", "\n  # said otherwise\n  type: 'ClusterIP'");
    assert_eq!(changes(&[("a.yaml", SERVICE)], &[("a.yaml", &written)]), []);
}

#[test]
fn objects_are_told_apart_by_kind_namespace_and_name() {
    let other = SERVICE.replace("namespace: a", "namespace: b");
    let found = changes(&[("a.yaml", SERVICE)], &[("a.yaml", &other)]);
    let said: Vec<String> = found.iter().map(|change| format!("{:?} {}", change.change, change.id)).collect();
    assert_eq!(said, ["Removed Service a/web", "Added Service b/web"]);
    let newer = SERVICE.replace("v1", "example.com/v1");
    assert_eq!(
        changes(&[("a.yaml", &newer)], &[("a.yaml", &newer.replace("/v1", "/v2"))])[0].fields[0].path,
        "apiVersion"
    );
    let kustomization = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";
    assert_eq!(changes(&[], &[("kustomization.yaml", kustomization), ("values.yaml", "kind: of\n")]), []);
}

#[test]
fn a_patch_is_not_compared_with_the_object_that_it_patches() {
    let patch = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: a}\nspec: {type: NodePort}\n";
    let old = [("base/a.yaml", SERVICE), ("profiles/p.yaml", patch)];
    let found = changes(&old, &[("base/z.yaml", SERVICE)]);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].change, found[0].file.as_str()), (Change::Removed, "profiles/p.yaml"));
}

const RELEASE: &str = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web, namespace: a}\nspec:\n  \
     chartRef: {kind: OCIRepository, name: web}\n  valuesFrom:\n  - {kind: ConfigMap, name: values-web-1}\n";
const SOURCE: &str = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {name: web, namespace: f}\nspec:\n  \
     url: oci://r.io/x/charts/web\n  ref: {tag: '1', digest: 'sha256:0'}\n";

#[test]
fn pins_are_told_from_changes_of_the_author() {
    let pinned = |old: &str, from: &str, to: &str| {
        let found = changes(&[("a.yaml", old)], &[("a.yaml", &old.replace(from, to))]);
        assert!(!found.is_empty(), "{from} {to}");
        found.iter().all(|change| change.pin)
    };
    assert!(pinned(SOURCE, "sha256:0", "sha256:1"));
    assert!(pinned(RELEASE, "values-web-1", "values-web-2"));
    assert!(!pinned(RELEASE, "values-web-1", "values-mine"));
    assert!(!pinned(&RELEASE.replace("web}\n  values", "other}\n  values"), "name: other", "name: web"));
    assert!(!pinned(SOURCE, "charts/web", "charts/other"));
    let foreign = SOURCE.replace("charts/web", "elsewhere/web");
    assert!(!pinned(&foreign, "sha256:0", "sha256:1"));
    let version =
        RELEASE.replace("chartRef: {kind: OCIRepository, name: web}", "chart: {spec: {chart: web, version: '1'}}");
    assert!(pinned(&version, "'1'", "'2'"));
    let style = changes(&[("a.yaml", &version)], &[("a.yaml", RELEASE)]);
    assert!(style[0].pin, "{style:?}");
    assert!(changes(&[], &[("a.yaml", SOURCE)])[0].pin);
    let both = RELEASE.replace("values-web-1", "values-web-2") + "  interval: 5m\n";
    let mixed = changes(&[("a.yaml", RELEASE)], &[("a.yaml", &both)]);
    assert!(!mixed[0].pin);
    let pins: Vec<(&str, bool)> = mixed[0].fields.iter().map(|field| (field.path.as_str(), field.pin)).collect();
    assert_eq!(pins, [("spec.interval", false), ("spec.valuesFrom[0].name", true)]);
}

#[test]
fn a_file_that_is_not_yaml_is_named() {
    let files: BTreeMap<String, Vec<u8>> = [("a.yaml".to_owned(), b"a: [".to_vec())].into();
    let mut notes = Vec::new();
    assert!(read(&files, &mut notes).is_empty());
    assert!(notes[0].starts_with("objects of `a.yaml` were not compared: `"), "{notes:?}");
}
