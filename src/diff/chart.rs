//! Two versions of a chart: the parts of it that mean different things are told apart.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use super::fields::{self, FieldChange, value_of};
use super::lines::{self, Budget, Change, Delta};
use super::side::Files;
use crate::oci::Digest;
use crate::yaml;

/// A chart on one side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChartState {
    /// Its version.
    pub version: String,
    /// Of its manifest, where it is known.
    pub digest: Option<Digest>,
}

/// A chart that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChartChange {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub change: Change,
    /// Before.
    pub from: Option<ChartState>,
    /// After.
    pub to: Option<ChartState>,
    /// Has it another digest, and the same files?
    pub repacked: bool,
    /// Does it come from somebody else's repository? Its files are not looked at.
    pub external: bool,
    /// Why its files were not compared.
    pub not_compared: Option<String>,
    /// The version of the application, where it differs.
    pub app_version: Option<FieldChange>,
    /// What it depends on.
    pub dependencies: Vec<FieldChange>,
    /// Other fields of Chart.yaml.
    pub metadata: Vec<FieldChange>,
    /// The files that differ.
    pub files: Vec<FileChange>,
}

/// What a file is to a chart, or to an overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Chart.yaml.
    ChartYaml,
    /// values.yaml, or a profile's values.
    Values,
    /// values.schema.json.
    Schema,
    /// Chart.lock, requirements, charts/.
    Dependencies,
    /// crds/: Helm installs them and never brings them up to date.
    Crds,
    /// templates/.
    Templates,
    /// Of a Flux overlay.
    Overlay,
    /// Anything else.
    Other,
}

impl Part {
    fn of(path: &str) -> Self {
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

/// A file that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// Below the chart or the overlay.
    pub path: String,
    /// What it is.
    pub part: Part,
    /// What became of it.
    pub change: Change,
    /// Is all that differs the publisher's own writing?
    pub pin: bool,
    /// How it differs.
    #[serde(flatten)]
    pub delta: Delta,
}

/// Every file that differs, sorted by part and path.
pub(super) fn files(from: &Files, to: &Files, part: impl Fn(&str) -> Part, budget: &mut Budget) -> Vec<FileChange> {
    let paths: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    let mut paths: Vec<(Part, &String)> =
        paths.into_iter().filter(|path| from.get(*path) != to.get(*path)).map(|path| (part(path), path)).collect();
    paths.sort();
    let change = |(part, path): (Part, &String)| {
        let (old, new) = (from.get(path), to.get(path));
        let delta = lines::compare(old.map(Vec::as_slice), new.map(Vec::as_slice), budget);
        FileChange { path: path.clone(), part, change: Change::of(old, new), pin: false, delta }
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

    /// Fills in how the files differ.
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

/// Chart.yaml as data; requirements.yaml of older charts holds the dependencies.
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

/// What the templates of a chart no longer ask of its values.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    /// Words that stood in the templates before, and stand there nowhere now.
    words: BTreeSet<String>,
    /// Paths that the templates take as a whole now: what lies below them is read.
    whole: BTreeSet<String>,
}

impl Dropped {
    pub(super) fn of(from: &Files, to: &Files) -> Self {
        // A word can only be gone from a file that differs.
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

    /// The paths of `values` that were read before and are not read now.
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

/// The text of a file that may ask for values.
fn template<'f>(path: &str, bytes: &'f [u8]) -> Option<Cow<'f, str>> {
    let reads = path.starts_with("templates/") || path.contains("/templates/") || path.ends_with("Chart.yaml");
    reads.then(|| String::from_utf8_lossy(bytes))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    text.split(move |c| !is_word(c)).map(|word| word.trim_matches('-')).filter(|word| !word.is_empty())
}

/// Every path of values as it is written: what it ends at is taken as a whole.
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
    fn the_parts_of_a_chart_are_told_apart() {
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
    fn values_that_no_template_reads_any_more_are_found() {
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
