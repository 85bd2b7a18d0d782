//! Each directory of `tests/cases/rewrite` tests one rule: `in/` is rewritten to `out/`, or refused with the text in `stderr`.
//!
//! The optional file `settings` has lines such as `style version`, `style content`, `prefix http://localhost:5000`,
//! `former ghcr.io/old`, `directory deploy`, `values RELEASE NAME` and `verify SECRET`.
//! With `ALGA_UPDATE=1` in the environment, `out/` and `stderr` are written instead of compared.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use alga_release::oci::{Digest, Prefix};
use alga_release::overlay::{ChartSource, Overlay, Pin, PinStyle, Pins, Rewritten, Settings, load, rewrite};
use alga_release::source::{Error, Tree};

use crate::support::files_below;

struct Case {
    style: PinStyle,
    prefix: Prefix,
    /// Another prefix of this publisher, which nothing is published to.
    former: Option<Prefix>,
    directory: String,
    source_name: String,
    values: BTreeMap<String, String>,
    /// Secret by whose keys Flux verifies the charts.
    verify: Option<String>,
}

impl Default for Case {
    fn default() -> Self {
        let prefix = Prefix::parse("ghcr.io/nine-minds", false).expect("valid");
        let values = BTreeMap::new();
        let (directory, source_name) = ("flux".into(), "source".into());
        Self { style: PinStyle::Digest, prefix, former: None, directory, source_name, values, verify: None }
    }
}

impl Case {
    fn read(path: &Path) -> Self {
        let mut case = Self::default();
        for line in fs::read_to_string(path.join("settings")).unwrap_or_default().lines() {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["style", "version"] => case.style = PinStyle::Version,
                ["style", "content"] => case.style = PinStyle::Content,
                ["prefix", prefix] => case.prefix = Prefix::parse(prefix, false).expect("a prefix"),
                ["former", prefix] => case.former = Some(Prefix::parse(prefix, false).expect("a prefix")),
                ["directory", directory] => directory.clone_into(&mut case.directory),
                ["values", release, name] => {
                    case.values.insert(release.to_owned(), name.to_owned());
                }
                ["verify", secret] => case.verify = Some(secret.to_owned()),
                _ => panic!("{}: unknown setting `{line}`", path.display()),
            }
        }
        case
    }

    fn load(&self, root: &Path) -> Result<Overlay, Error> {
        let prefixes: Vec<Prefix> = std::iter::once(self.prefix.clone()).chain(self.former.clone()).collect();
        let settings = Settings {
            directory: &self.directory,
            source_name: &self.source_name,
            charts_repository: "charts",
            helm_repository: "alga-charts",
            namespace: "flux-system",
            prefixes: &prefixes,
            values_prefix: "appliance-values-",
            verify: self.verify.as_deref(),
        };
        load(&Tree::open(root)?, &settings)
    }

    fn run(&self, root: &Path) -> Result<(Overlay, Rewritten), Error> {
        let overlay = self.load(root)?;
        let charts = pins(&overlay)?;
        let pins = Pins { charts: &charts, style: self.style, prefix: &self.prefix, values_names: &self.values };
        let rewritten = rewrite(overlay.clone(), &pins)?;
        Ok((overlay, rewritten))
    }
}

/// Returns pins that depend only on the charts' names.
fn pins(overlay: &Overlay) -> Result<BTreeMap<ChartSource, Pin>, Error> {
    let found = overlay.discover()?;
    Ok(found
        .charts
        .into_iter()
        .map(|chart| {
            let name = match &chart.source {
                ChartSource::Path(path) if path.is_empty() => "root".to_owned(),
                ChartSource::Path(path) => path.rsplit('/').next().unwrap_or_default().replace(' ', "-"),
                ChartSource::Name(name) => name.clone(),
            };
            let pin = Pin { version: "1.2.3".into(), digest: Digest::of(name.as_bytes()), name };
            (chart.source, pin)
        })
        .collect())
}

fn told(error: &Error) -> String {
    let hint = error.way_out().map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
    format!("{error}\n{hint}")
}

/// Writes the outcome into the case. `out/` holds only files that differ from `in/`.
fn changed(overlay: &Overlay, rewritten: &Rewritten) -> BTreeMap<String, Vec<u8>> {
    let same = |path: &String, bytes: &Vec<u8>| overlay.files().get(path) == Some(bytes);
    rewritten.overlay.files().clone().into_iter().filter(|(path, bytes)| !same(path, bytes)).collect()
}

fn outcome(case: &Path) -> (BTreeMap<String, Vec<u8>>, String) {
    match Case::read(case).run(&case.join("in")) {
        Ok((overlay, rewritten)) => {
            assert!(overlay.files().keys().all(|path| rewritten.overlay.files().contains_key(path)));
            let warnings =
                rewritten.warnings.iter().map(|warning| format!("warning: {}: {}\n", warning.place, warning.text));
            (changed(&overlay, &rewritten), warnings.collect())
        }
        Err(error) => (BTreeMap::new(), told(&error)),
    }
}

fn bless(case: &Path, files: &BTreeMap<String, Vec<u8>>, stderr: &str) {
    let _ = fs::remove_dir_all(case.join("out"));
    for (path, bytes) in files {
        let path = case.join("out").join(path);
        fs::create_dir_all(path.parent().expect("below out")).expect("created");
        fs::write(path, bytes).expect("written");
    }
    let _ = fs::remove_file(case.join("stderr"));
    if !stderr.is_empty() {
        fs::write(case.join("stderr"), stderr).expect("written");
    }
}

fn compare(name: &str, expected: &[u8], found: &[u8], report: &mut String) {
    if expected == found {
        return;
    }
    let _ = writeln!(report, "  {name}");
    let [expected, found] = [expected, found].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let [expected, found] = [&expected, &found].map(|text| text.split('\n').collect::<Vec<_>>());
    for at in 0..expected.len().max(found.len()) {
        let (old, new) = (expected.get(at), found.get(at));
        if old != new {
            let _ = writeln!(report, "    {}: expected {old:?}\n    {}: found {new:?}", at + 1, at + 1);
        }
    }
}

#[test]
fn every_case_gives_the_files_or_the_error_of_its_directory() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/rewrite");
    let mut cases: Vec<PathBuf> = fs::read_dir(root).expect("cases").flatten().map(|entry| entry.path()).collect();
    cases.sort();
    let update = std::env::vars().any(|(key, _)| key == "ALGA_UPDATE");
    let mut failures = String::new();
    for case in &cases {
        let (files, stderr) = outcome(case);
        if update {
            bless(case, &files, &stderr);
        }
        // A refused case has no `out/`.
        let out = case.join("out");
        let expected = if out.exists() { files_below(&out) } else { BTreeMap::new() };
        let mut report = String::new();
        for name in expected.keys().chain(files.keys()).collect::<std::collections::BTreeSet<_>>() {
            let empty = Vec::new();
            let [old, new] = [&expected, &files].map(|files| files.get(name).unwrap_or(&empty));
            compare(name, old, new, &mut report);
        }
        let wanted = fs::read(case.join("stderr")).unwrap_or_default();
        compare("stderr", &wanted, stderr.as_bytes(), &mut report);
        if !report.is_empty() {
            let _ = write!(failures, "{}\n{report}", case.display());
        }
    }
    assert!(cases.len() > 20, "the cases are gone");
    assert!(failures.is_empty(), "\n{failures}");
}

fn trees() -> Vec<(PathBuf, &'static str, &'static str)> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut trees = vec![
        (here.join("charts-fixtures"), "ee/appliance/flux", "alga-appliance"),
        (here.join("tests/trees/ugly"), "flux", "source"),
    ];
    if let Some((_, more)) = std::env::vars().find(|(key, _)| key == "ALGA_TREES") {
        trees.push((Path::new(&more).join("monitoring"), "deploy/flux", "platform"));
    }
    trees
}

#[test]
fn rewriting_whole_trees_changes_only_references_to_git_in_every_style() {
    for (root, directory, source_name) in trees() {
        for style in [PinStyle::Digest, PinStyle::Content, PinStyle::Version] {
            let case = Case { style, directory: directory.into(), source_name: source_name.into(), ..Case::default() };
            let (overlay, rewritten) = case.run(&root).unwrap_or_else(|error| panic!("{}", told(&error)));
            if let Some((_, keep)) = std::env::vars().find(|(key, _)| key == "ALGA_KEEP") {
                let name = root.file_name().expect("named").display().to_string();
                let to = Path::new(&keep).join(format!("{name}-{style:?}"));
                for (path, bytes) in rewritten.overlay.files() {
                    let path = to.join(path);
                    fs::create_dir_all(path.parent().expect("below")).expect("created");
                    fs::write(path, bytes).expect("written");
                }
            }
            let again = case.run(&root).expect("as before").1;
            assert_eq!(again.overlay.files(), rewritten.overlay.files());
            let text: String =
                rewritten.overlay.files().values().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
            assert!(!text.contains("kind: GitRepository") && !text.contains("reconcileStrategy: Revision"));
            assert!(rewritten.overlay.files().len() > overlay.files().len());
        }
    }
}

#[test]
fn a_link_is_refused_unless_sourceignore_leaves_it_out() {
    let tree = tempfile::tempdir().expect("a directory");
    let base = tree.path().join("flux/base");
    fs::create_dir_all(&base).expect("created");
    fs::write(base.join("kustomization.yaml"), "resources: []\n").expect("written");
    std::os::unix::fs::symlink("kustomization.yaml", base.join("link.yaml")).expect("linked");
    let refused = Case::default().load(tree.path()).map(|_| ()).expect_err("a link");
    assert!(
        told(&refused).contains("flux/base/link.yaml: cannot publish a symbolic link (to `kustomization.yaml`)"),
        "{refused}"
    );
    fs::write(base.join(".sourceignore"), "link.yaml\n").expect("written");
    let overlay = Case::default().load(tree.path()).expect("left out");
    assert_eq!(overlay.files().keys().collect::<Vec<_>>(), ["base/.sourceignore", "base/kustomization.yaml"]);
}

#[test]
fn an_overlay_lists_its_profiles_and_the_files_it_would_keep() {
    let (root, directory, source_name) = trees().remove(0);
    let case = Case { directory: directory.into(), source_name: source_name.into(), ..Case::default() };
    let overlay = case.load(&root).expect("valid");
    let values = overlay.profile_values("single-node").expect("there");
    let path = root.join(directory).join("profiles/single-node/values/temporal.single-node.yaml");
    assert_eq!(values.len(), 6);
    assert_eq!(values.get("temporal.single-node.yaml"), fs::read_to_string(path).ok().as_ref());
    let missing = overlay.profile_values("cluster").expect_err("no such profile");
    assert_eq!(missing.way_out(), Some("choose one of: single-node"));
    assert!(overlay.would_keep("ee/appliance/flux/base/new.yaml"));
    assert!(!overlay.would_keep("ee/appliance/flux/base/new.png") && !overlay.would_keep("helm/Chart.yaml"));
}

#[test]
fn a_chart_that_several_releases_share_is_found_once() {
    let (root, directory, source_name) = trees().remove(0);
    let case = Case { directory: directory.into(), source_name: source_name.into(), ..Case::default() };
    let found = case.load(&root).expect("valid").discover().expect("valid");
    let helm = found.charts.iter().find(|chart| chart.source == ChartSource::Path("helm".into())).expect("found");
    assert_eq!(helm.releases, ["alga-core", "pgbouncer"]);
    assert_eq!(helm.place.to_string(), "ee/appliance/flux/base/releases/alga-core.yaml:17");
    assert_eq!(found.charts.len(), 5);
    let external: Vec<_> = found.external.iter().map(|chart| (chart.name.as_str(), chart.version.as_str())).collect();
    assert_eq!(external, [("cert-manager", "v1.16.2")]);
}
