//! Compares two versions of a chart, each part of the chart by its own rules.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use super::fields::{self, FieldChange, value_of};
use super::lines::{self, Budget, Change, Delta};
use super::renames;
use super::side::Files;
use crate::oci::Digest;
use crate::yaml;

/// A chart as one of the two releases names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChartState {
    /// Version of the chart.
    pub version: String,
    /// Digest of the chart's manifest; `None` where the release does not say it and no manifest was read.
    pub digest: Option<Digest>,
}

/// A chart that differs between two releases.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChartChange {
    /// Name of the chart.
    pub name: String,
    /// Whether the chart is new, gone, or another.
    pub change: Change,
    /// The chart in the older release.
    pub from: Option<ChartState>,
    /// The chart in the newer release.
    pub to: Option<ChartState>,
    /// Whether the digest differs although the files are the same.
    pub repacked: bool,
    /// Whether another publisher's repository holds the chart. Its files are not compared.
    pub external: bool,
    /// Why the files could not be compared.
    pub not_compared: Option<String>,
    /// `appVersion` of `Chart.yaml`, if it differs.
    pub app_version: Option<FieldChange>,
    /// Dependencies in `Chart.yaml` or `requirements.yaml` that differ.
    pub dependencies: Vec<FieldChange>,
    /// Other fields of `Chart.yaml` that differ, but for `version`.
    pub metadata: Vec<FieldChange>,
    /// Files that differ, sorted by part and path.
    pub files: Vec<FileChange>,
}

/// The part of a chart or an overlay that a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// `Chart.yaml`, at the root of the chart.
    ChartYaml,
    /// `values.yaml` of a chart, or the values of a profile.
    Values,
    /// `values.schema.json`, which Helm checks values with.
    Schema,
    /// `Chart.lock`, `requirements.yaml`, and the directory `charts/`.
    Dependencies,
    /// The directory `crds/`: Helm installs its files and never updates them.
    Crds,
    /// The directory `templates/`, which Helm renders.
    Templates,
    /// A file of the Flux overlay.
    Overlay,
    /// Any other file of a chart.
    Other,
}

impl Part {
    /// Tells the part of a chart from a path below the chart's root.
    pub(super) fn of(path: &str) -> Self {
        match path {
            "Chart.yaml" => Self::ChartYaml,
            "values.yaml" => Self::Values,
            "values.schema.json" => Self::Schema,
            "Chart.lock" | "requirements.yaml" | "requirements.lock" => Self::Dependencies,
            _ => match path.split('/').next() {
                Some("charts") => Self::Dependencies,
                Some("crds") => Self::Crds,
                Some("templates") => Self::Templates,
                _ => Self::Other,
            },
        }
    }
}

/// A file that differs between two releases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// Path below the chart or the overlay, in the newer release if the file is there.
    pub path: String,
    /// Path in the older release, if the file was renamed. `change` is then [`Change::Changed`].
    #[serde(rename = "renamedFrom", skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<String>,
    /// The part that the file belongs to.
    pub part: Part,
    /// Whether the file is new, gone, or another.
    pub change: Change,
    /// Whether only lines that the publisher wrote differ.
    pub pin: bool,
    /// How the content differs.
    #[serde(flatten)]
    pub delta: Delta,
}

/// Returns every file that differs, sorted by part and path; a renamed file by its new path.
pub(super) fn files(from: &Files, to: &Files, part: impl Fn(&str) -> Part, budget: &mut Budget) -> Vec<FileChange> {
    let renamed = renames::of(from, to, &mut budget.renames);
    let gone: BTreeSet<&str> = renamed.values().copied().collect();
    let paths: BTreeSet<&str> = from.keys().chain(to.keys()).map(String::as_str).collect();
    let differs = |path: &&str| from.get(*path) != to.get(*path) && !gone.contains(path);
    let mut paths: Vec<(Part, &str)> = paths.into_iter().filter(differs).map(|path| (part(path), path)).collect();
    paths.sort();
    let change = |(part, path): (Part, &str)| {
        let source = renamed.get(path).copied();
        let (old, new) = (from.get(source.unwrap_or(path)), to.get(path));
        let delta = lines::compare(old.map(Vec::as_slice), new.map(Vec::as_slice), budget);
        let (path, renamed_from) = (path.to_owned(), source.map(ToOwned::to_owned));
        FileChange { path, renamed_from, part, change: Change::of(old, new), pin: false, delta }
    };
    paths.into_iter().map(change).collect()
}

impl ChartChange {
    pub(super) fn new(name: &str, from: Option<ChartState>, to: Option<ChartState>) -> Self {
        Self {
            name: name.to_owned(),
            change: Change::of(from.as_ref(), to.as_ref()),
            from,
            to,
            repacked: false,
            external: false,
            not_compared: None,
            app_version: None,
            dependencies: Vec::new(),
            metadata: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Compares the files of both versions, and the fields of `Chart.yaml`.
    pub(super) fn compare(&mut self, from: &Files, to: &Files, budget: &mut Budget) {
        self.repacked = from == to;
        self.files = files(from, to, Part::of, budget);
        let changes = fields::compare(&metadata(from), &metadata(to), budget);
        for change in changes {
            match change.path.split(['.', '[']).next() {
                Some("version") => {}
                Some("appVersion") => self.app_version = Some(change),
                Some("dependencies") => self.dependencies.push(change),
                _ => self.metadata.push(change),
            }
        }
    }
}

/// Returns the fields of `Chart.yaml`, and those of `requirements.yaml`, which holds the dependencies of older charts.
fn metadata(files: &Files) -> Value {
    let read = |name: &str| {
        let text = std::str::from_utf8(files.get(name)?).ok()?;
        let documents = yaml::parse(text).ok()?;
        documents.iter().find_map(|document| document.root.as_ref()).map(value_of)
    };
    let mut metadata = read("Chart.yaml").unwrap_or_else(|| Value::Object(Map::new()));
    if let (Value::Object(map), Some(Value::Object(requirements))) = (&mut metadata, read("requirements.yaml")) {
        map.extend(requirements);
    }
    metadata
}

/// Keys of values that the templates of a chart no longer mention.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    /// Words that only the older templates contain.
    words: BTreeSet<String>,
    /// Paths of values that the newer templates read as a whole, with everything below them.
    whole: BTreeSet<String>,
}

impl Dropped {
    pub(super) fn of(from: &Files, to: &Files) -> Self {
        // A file that is the same on both sides still contains its words.
        let gone = from.iter().filter(|(path, bytes)| to.get(*path) != Some(*bytes));
        let texts: Vec<_> = gone.filter_map(|(path, bytes)| template(path, bytes)).collect();
        let mut words: BTreeSet<&str> = texts.iter().flat_map(|text| words(text)).collect();
        let mut whole = BTreeSet::new();
        for text in to.iter().filter_map(|(path, bytes)| template(path, bytes)) {
            for word in self::words(&text) {
                words.remove(word);
            }
            whole.extend(values_paths(&text));
        }
        Self { words: words.into_iter().map(ToOwned::to_owned).collect(), whole }
    }

    /// Returns the paths of `values` that the older templates read and the newer templates do not.
    pub(super) fn unread(&self, values: &Value) -> Vec<String> {
        let mut found = Vec::new();
        if !self.words.is_empty() && !self.whole.contains("") {
            self.walk("", values, &mut found);
        }
        found
    }

    fn walk(&self, path: &str, value: &Value, found: &mut Vec<String>) {
        for (key, value) in value.as_object().into_iter().flatten() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            if self.words.contains(key) {
                found.push(path);
            } else if !self.whole.contains(&path) {
                self.walk(&path, value, found);
            }
        }
    }
}

/// Returns the text of a file that may read values.
fn template<'f>(path: &str, bytes: &'f [u8]) -> Option<Cow<'f, str>> {
    let reads = path.starts_with("templates/") || path.contains("/templates/") || path.ends_with("Chart.yaml");
    reads.then(|| String::from_utf8_lossy(bytes))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    text.split(move |c| !is_word(c)).map(|word| word.trim_matches('-')).filter(|word| !word.is_empty())
}

/// Returns every path after `.Values` in a template, up to the last key that is written out.
fn values_paths(text: &str) -> impl Iterator<Item = String> {
    text.match_indices(".Values").map(|(at, matched)| {
        let rest = &text[at + matched.len()..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).unwrap_or(rest.len());
        rest[..end].trim_matches('.').to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Files {
        files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn files_of_a_chart_are_sorted_by_their_part() {
        let old = tree(&[
            ("Chart.yaml", "name: a\nversion: 1.0.0\nappVersion: '1'\ndependencies: [{name: db, version: '1'}]\n"),
            ("values.yaml", "a: 1\n"),
            ("templates/a.yaml", "a\n"),
            ("charts/db-1.tgz", "\0"),
        ]);
        let mut new = old.clone();
        let chart =
            "name: a\nversion: 1.0.1\nappVersion: '2'\ndescription: x\ndependencies: [{name: db, version: '2'}]\n";
        new.extend(tree(&[
            ("Chart.yaml", chart),
            ("values.yaml", "a: 2\n"),
            ("crds/x.yaml", "x\n"),
            ("README.md", "\n"),
        ]));
        new.remove("templates/a.yaml");
        let mut change = ChartChange::new("a", None, None);
        change.compare(&old, &new, &mut Budget::default());
        let files: Vec<(Part, &str, Change)> =
            change.files.iter().map(|f| (f.part, f.path.as_str(), f.change)).collect();
        assert_eq!(
            files,
            [
                (Part::ChartYaml, "Chart.yaml", Change::Changed),
                (Part::Values, "values.yaml", Change::Changed),
                (Part::Crds, "crds/x.yaml", Change::Added),
                (Part::Templates, "templates/a.yaml", Change::Removed),
                (Part::Other, "README.md", Change::Added),
            ]
        );
        assert_eq!(change.app_version.as_ref().and_then(|field| field.to.as_deref()), Some("\"2\""));
        assert_eq!(change.dependencies[0].path, "dependencies[db].version");
        assert_eq!(change.metadata.iter().map(|field| field.path.as_str()).collect::<Vec<_>>(), ["description"]);
        assert!(!change.repacked);
        change.compare(&old, &old, &mut Budget::default());
        assert!(change.repacked && change.files.is_empty());
    }

    #[test]
    fn a_renamed_file_is_one_change_with_both_of_its_paths() {
        let old = tree(&[("templates/a.yaml", "1\n2\n3\n4\n"), ("crds/a.yaml", "kind: x\n")]);
        let new = tree(&[("templates/b.yaml", "1\n2\n3\nfour\n"), ("templates/crd.yaml", "kind: x\n")]);
        let mut change = ChartChange::new("a", None, None);
        change.compare(&old, &new, &mut Budget::default());
        let files = change.files.iter().map(|file| (file.renamed_from.as_deref(), file.path.as_str(), file.change));
        let expected = [
            (Some("templates/a.yaml"), "templates/b.yaml", Change::Changed),
            (Some("crds/a.yaml"), "templates/crd.yaml", Change::Changed),
        ];
        assert_eq!(files.collect::<Vec<_>>(), expected);
        assert!(matches!(change.files[0].delta, Delta::Text { added: 1, removed: 1, .. }));
        assert!(change.files[1].delta.is_same());
        let crds: Vec<&str> = super::super::risk::of_chart(&change).iter().map(|risk| risk.kind).collect();
        assert_eq!(crds, ["crds"], "a file that leaves `crds/` is no longer installed as a CRD");
    }

    #[test]
    fn values_that_only_the_older_templates_read_are_found() {
        let old = tree(&[(
            "templates/a.yaml",
            "{{ .Values.server.image.tag }} {{ .Values.oldKey }} {{ toYaml .Values.probe }}",
        )]);
        let new = tree(&[("templates/a.yaml", "{{ .Values.app.image.tag }} {{- toYaml .Values.probe | nindent 2 }}")]);
        let dropped = Dropped::of(&old, &new);
        let values = serde_json::json!({"server": {"image": {"tag": 1}}, "app": {"oldKey": 1}, "probe": {"oldKey": 2}, "never": 3});
        assert_eq!(dropped.unread(&values), ["app.oldKey", "server"]);
        assert!(Dropped::of(&old, &old).unread(&values).is_empty());
        let all = tree(&[("templates/a.yaml", "{{ toYaml .Values }}")]);
        assert!(Dropped::of(&old, &all).unread(&values).is_empty());
    }
}
