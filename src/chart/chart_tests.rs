use std::fs;

use super::*;
use crate::source::Kind;

struct Disk(tempfile::TempDir);

impl Disk {
    fn new(files: &[(&str, &str)]) -> Self {
        let disk = Self(tempfile::tempdir().expect("temporary directory"));
        for (path, text) in files {
            disk.write(path, text.as_bytes());
        }
        disk
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("temporary directory");
        fs::write(path, bytes).expect("a file");
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("temporary directory");
        std::os::unix::fs::symlink(target, path).expect("a link");
    }

    fn tree(&self) -> Tree {
        Tree::open(self.0.path()).expect("the tree")
    }

    fn load(&self) -> Result<Chart, Error> {
        load(&self.tree(), "c")
    }

    fn names(&self) -> Vec<String> {
        let tree = self.tree();
        let packed = load(&tree, "c").expect("a chart").pack(&tree, Versions::AsWritten).expect("packed");
        let limits = crate::archive::Limits { total: files::TOTAL_LIMIT, file: files::FILE_LIMIT };
        let read =
            crate::archive::read(packed.artifact.blobs()[1].bytes().expect("in memory"), limits).expect("own archive");
        read.into_iter().map(|(path, _)| path).collect()
    }
}

const CHART: &str = "apiVersion: v2\nname: c\nversion: 1.2.3\n";

fn chart_yaml(text: &str) -> Result<Chart, Error> {
    Disk::new(&[("c/Chart.yaml", text)]).load()
}

#[test]
fn a_chart_that_helm_refuses_is_refused_with_the_file_named() {
    for (text, expected) in [
        ("", "missing `name`"),
        ("name: c\n", "missing `version`"),
        ("version: 1.0.0\n", "missing `name`"),
        ("name: ..\nversion: 1.0.0\n", "does not allow"),
        ("name: a/b\nversion: 1.0.0\n", "must not contain"),
        ("name: c\nversion: latest\n", "expected a semantic version"),
        ("name: c\nversion: 1.0.0\ntype: Library\n", "expected `application` or `library`"),
        ("name: c\nversion: 1.0.0\napiVersion: v3\n", "expected `v1` or `v2`"),
        ("name: c\nversion: 1.0.0\nmaintainers: [~]\n", "empty entry in `maintainers`"),
        ("name: c\nversion: 1.0.0\nmaintainers: me\n", "expected a list"),
        ("name: c\nversion: 1.0.0\ndeprecated: \"true\"\n", "expected `true`"),
        ("name: c\nversion: 1.0.0\nhome: [x]\n", "expected a string"),
        ("name: c\nversion: 1.0.0\nannotations: {a: [x]}\n", "expected a string"),
        ("name: c\nversion: 1.0.0\nappVersion: .inf\n", "expected a string"),
        ("name: c\nversion: 1.0.0\nname: d\n", "duplicate key `name`"),
        ("- name: c\n", "expected a mapping"),
        ("name: [\n", ""),
        ("apiVersion: v2\nname: c\nversion: 1.0.0\ndependencies: [{name: x}]\n", "missing dependencies in charts/: x"),
        ("name: c\nversion: 1.0.0\ndependencies: [{name: x}, {name: x}]\n", "duplicate dependency"),
        ("name: c\nversion: 1.0.0\ndependencies: [{name: x, alias: 'a b'}]\n", "alias"),
    ] {
        let error = chart_yaml(text).expect_err(text);
        assert_eq!(error.place().path, "c/Chart.yaml", "{text}");
        assert!(error.to_string().contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_chart_that_helm_could_not_push_or_would_damage_is_refused_with_its_line() {
    for (text, line) in [
        ("name: c\nversion: 1.10\n", 2),
        ("name: c\n# a comment\nversion: 1\n", 3),
        ("name: Shouting\nversion: 1.0.0\n", 1),
        ("name: c d\nversion: 1.0.0\n", 1),
        (&format!("name: c\nversion: 1.0.0-{}\n", "x".repeat(130)), 2),
    ] {
        let error = chart_yaml(text).expect_err(text);
        assert_eq!((error.kind(), error.place()), (Kind::Refused, &Place::line("c/Chart.yaml", line)), "{text}");
    }
    assert_eq!(chart_yaml("name: c\nversion: '1.10'\n").expect("quoted").version(), "1.10");
}

#[test]
fn text_that_helm_would_change_is_a_warning() {
    let chart = chart_yaml("name: c\nversion: 1.0.0\nappVersion: 1.10\nkeywords: [yes]\n").expect("a chart");
    let lines: Vec<_> = chart.warnings().iter().map(|warning| warning.place.line).collect();
    assert_eq!(lines, [Some(3), Some(4)]);
    assert!(chart.warnings()[0].text.contains("Helm reads `1.10` as `1.1`"), "{:?}", chart.warnings());
}

#[test]
fn keys_are_merged_and_folded_and_aliases_resolved_as_in_helm() {
    let text = "x: &x {name: merged, description: d}\n<<: *x\nname: c\nVERSION: 1.0.0\nversion: ~\n---\nname: [\n";
    let text = text.rsplit_once("---").expect("two").0;
    let chart = chart_yaml(text).expect("a chart");
    assert_eq!((chart.name(), chart.version()), ("c", "1.0.0"));
    assert_eq!(chart.root.metadata.description, "d");
}

#[test]
fn text_fields_are_sanitised_as_in_helm() {
    let chart =
        chart_yaml("name: c\nversion: 1.0.0\ndescription: \"a\\tb\\x07c\\u2028d\\u200be🧯ä\"\n").expect("a chart");
    assert_eq!(chart.root.metadata.description, "a bc de🧯ä");
}

#[test]
fn values_must_be_a_mapping_and_duplicate_keys_are_warnings() {
    for (values, fits) in
        [("", true), ("# nothing\n", true), ("{}", true), ("- a\n", false), ("text", false), ("a: [", false)]
    {
        let disk = Disk::new(&[("c/Chart.yaml", CHART), ("c/values.yaml", values)]);
        assert_eq!(disk.load().is_ok(), fits, "{values}");
    }
    let disk = Disk::new(&[("c/Chart.yaml", CHART), ("c/values.yaml", "a: 1\nb: 2\na: 3\n")]);
    assert_eq!(disk.load().expect("a chart").warnings()[0].place, Place::line("c/values.yaml", 3));
    let disk = Disk::new(&[("c/Chart.yaml", CHART), ("c/values.schema.json", "")]);
    assert!(disk.load().is_err());
}

#[test]
fn a_link_that_leaves_the_chart_dangles_or_loops_is_refused_unless_ignored() {
    let outside = Disk::new(&[("c/Chart.yaml", CHART), ("secret", "s")]);
    outside.link("c/x", "../secret");
    assert_eq!(outside.load().expect_err("outside").kind(), Kind::Refused);
    outside.write("c/.helmignore", b"x\n");
    assert_eq!(outside.names(), ["c/Chart.yaml", "c/.helmignore"]);

    let absolute = Disk::new(&[("c/Chart.yaml", CHART)]);
    absolute.link("c/x", "/etc/hostname");
    assert_eq!(absolute.load().expect_err("outside").place().path, "c/x");

    for target in ["nowhere", "x", "Chart.yaml/x", "."] {
        let disk = Disk::new(&[("c/Chart.yaml", CHART)]);
        disk.link("c/x", target);
        assert_eq!(disk.load().expect_err(target).place().path.split("/x").next(), Some("c"), "{target}");
        disk.write("c/.helmignore", b"x\n");
        assert!(disk.load().is_ok(), "{target}");
    }
}

#[test]
fn a_chart_directory_below_a_link_is_refused() {
    let disk = Disk::new(&[("real/c/Chart.yaml", CHART)]);
    disk.link("linked", "real");
    assert_eq!(load(&disk.tree(), "linked/c").expect_err("a link").kind(), Kind::Refused);
    assert!(load(&disk.tree(), "real/d").is_err());
}

#[test]
fn large_files_are_refused_before_they_are_read() {
    let disk = Disk::new(&[("c/Chart.yaml", CHART)]);
    disk.write("c/large", &vec![0; 5 * 1024 * 1024]);
    assert!(disk.load().is_ok());
    disk.write("c/large", &vec![0; 5 * 1024 * 1024 + 1]);
    assert_eq!(disk.load().expect_err("large").kind(), Kind::Refused);
    disk.write("c/.helmignore", b"large");
    assert!(disk.load().is_ok());
}

#[test]
fn subcharts_are_sorted_by_name_and_stray_files_refused() {
    let sub = |name: &str| format!("name: {name}\nversion: 1.0.0\n");
    let (z, a) = (sub("z"), sub("a"));
    let disk = Disk::new(&[
        ("c/Chart.yaml", CHART),
        ("c/charts/one/Chart.yaml", &z),
        ("c/charts/two/Chart.yaml", &a),
        ("c/charts/_three/x", ""),
        ("c/charts/one/x.prov", ""),
        ("c/templates/x.yaml", ""),
        ("c/a", ""),
        ("c/values.yaml", ""),
    ]);
    let expected = [
        "c/Chart.yaml",
        "c/values.yaml",
        "c/templates/x.yaml",
        "c/a",
        "c/charts/one/x.prov",
        "c/charts/a/Chart.yaml",
        "c/charts/z/Chart.yaml",
    ];
    assert_eq!(disk.names(), expected);
    disk.write("c/charts/three/Chart.yaml", z.as_bytes());
    assert!(disk.load().expect_err("twice").to_string().contains("two subcharts"));
    let disk = Disk::new(&[("c/Chart.yaml", CHART), ("c/charts/README.md", "")]);
    assert_eq!(disk.load().expect_err("stray").place().path, "c/charts/README.md");
}

#[test]
fn a_deleted_file_counts_as_part_of_the_chart_it_was_in() {
    let disk = Disk::new(&[("c/Chart.yaml", CHART), ("c/.helmignore", "*.md\ntmp/\n")]);
    let chart = disk.load().expect("a chart");
    assert!(chart.would_pack("c/templates/gone.yaml"));
    for path in ["c", "cc/x", "d/x", "c/README.md", "c/tmp/x", "c/templates/.x"] {
        assert!(!chart.would_pack(path), "{path}");
    }
}

#[test]
fn a_stamp_keeps_the_quotes_of_the_version() {
    for (version, expected) in
        [("1.2.3", ""), ("'1.2.3'", "'"), ("\"1.2.3\"", "\""), ("!!str 1.2.3", ""), ("&v 1.2.3", "")]
    {
        let disk = Disk::new(&[("c/Chart.yaml", &format!("name: c\nversion: {version} # kept\n"))]);
        let (tree, chart) = (disk.tree(), disk.load().expect("a chart"));
        let stamped = chart.pack(&tree, Versions::Stamped).expect("packed");
        let written = chart.pack(&tree, Versions::AsWritten).expect("packed");
        assert_eq!(stamped.version, format!("1.2.3+{}", written.artifact.digest().short_hex()));
        assert_eq!(stamped.tag().as_str(), stamped.version.replace('+', "_"));
        let metadata = metadata::Metadata { version: stamped.version.clone(), ..chart.root.metadata.clone() };
        let text = chart.stamped_text(&metadata).expect("a text");
        assert!(text.contains(&format!("{expected}{}{expected} # kept", stamped.version)), "{text}");
    }
    let shared = Disk::new(&[("c/Chart.yaml", "name: c\nversion: &v 1.2.3\nappVersion: *v\n")]);
    let chart = shared.load().expect("a chart");
    assert!(chart.pack(&shared.tree(), Versions::Stamped).is_err());
}

#[test]
fn values_that_are_a_directory_are_refused_wherever_the_chart_is() {
    for path in ["c/values.yaml/x", "c/charts/one/values.yaml/x", "c/charts/one/charts/two/values.yaml/x"] {
        let error = Disk::new(&[("c/Chart.yaml", CHART), (path, "a: 1\n")]).load().expect_err("a directory");
        let place = path.trim_end_matches("/x");
        let expected = format!("{place}: values.yaml is a directory: Helm would pack a chart without values");
        assert_eq!(error.to_string(), expected);
    }
    let disk = Disk::new(&[("c/Chart.yaml", CHART), ("c/files/values.yaml/x", "")]);
    assert_eq!(disk.names(), ["c/Chart.yaml", "c/files/values.yaml/x"]);
}

#[test]
fn a_chart_at_the_root_of_the_tree_is_packed_without_git_and_ignored_files() {
    let disk = Disk::new(&[
        ("Chart.yaml", CHART),
        (".helmignore", "flux/\n"),
        (".git/HEAD", "ref: refs/heads/main\n"),
        ("flux/base/kustomization.yaml", "resources: []\n"),
        ("templates/a.yaml", "a: 1\n"),
    ]);
    let tree = disk.tree();
    let chart = load(&tree, "").expect("a chart");
    let packed = chart.pack(&tree, Versions::AsWritten).expect("packed");
    let limits = crate::archive::Limits { total: files::TOTAL_LIMIT, file: files::FILE_LIMIT };
    let read =
        crate::archive::read(packed.artifact.blobs()[1].bytes().expect("in memory"), limits).expect("own archive");
    let names: Vec<_> = read.into_iter().map(|(path, _)| path).collect();
    assert_eq!(names, ["c/Chart.yaml", "c/templates/a.yaml", "c/.helmignore"]);
    assert!(chart.would_pack("templates/a.yaml") && !chart.would_pack("flux/base/kustomization.yaml"));
}
