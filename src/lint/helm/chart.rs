//! A chart with its subcharts, parsed templates and values. Each chart is read once for all rules and HelmReleases.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::value::{Sources, Table, Unreadable, read};
use crate::lint::{ChartFiles, Located, Place};
use crate::template::{self, Template};
use crate::yaml::{self, Node};

/// Limit of the nesting of subcharts, the same as in the loader of charts.
const DEPTH_LIMIT: usize = 32;

/// A published chart or a subchart.
#[derive(Debug)]
pub(super) struct Chart<'a> {
    /// Name of the published chart that this chart is, or belongs to.
    pub(super) root: &'a str,
    /// Directory below that of the published chart: empty, `charts/NAME/`, or a deeper one.
    pub(super) directory: String,
    /// Name in the chart's own Chart.yaml.
    pub(super) name: String,
    /// Whether the type is `library`. Helm parses only the partials of a library, and renders none of its files.
    pub(super) library: bool,
    /// The parsed Chart.yaml, if it is valid.
    pub(super) metadata: Option<Node>,
    /// The entries of `dependencies`, in their order.
    pub(super) dependencies: Vec<Dependency>,
    /// The files below `templates/` that Helm parses.
    pub(super) templates: Vec<File<'a>>,
    /// Content of the other files, which templates reach through `.Files`.
    pub(super) files: Vec<&'a [u8]>,
    /// The parsed values.yaml, or an error.
    pub(super) values: Result<Table, Unreadable>,
    /// Content of values.schema.json, if it exists.
    pub(super) schema: Option<&'a [u8]>,
    /// The subcharts in the directory `charts/`.
    pub(super) subcharts: Vec<Chart<'a>>,
}

/// An entry of `dependencies` in Chart.yaml.
#[derive(Clone, Debug, Default)]
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) alias: Option<String>,
    /// Paths of values that enable or disable the dependency. The first one that is set decides.
    pub(super) conditions: Vec<String>,
    pub(super) tags: Vec<String>,
    /// Tables that the parent imports, as pairs of the path in the subchart and the path in the parent.
    pub(super) imports: Vec<(String, String)>,
}

impl Dependency {
    /// Returns the key of the subchart's values in the values of the parent.
    pub(super) fn key(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.name)
    }
}

/// A file that Helm parses as a template.
#[derive(Debug)]
pub(super) struct File<'a> {
    /// Path below the directory of the chart.
    pub(super) path: &'a str,
    pub(super) text: Cow<'a, str>,
    pub(super) parsed: Result<Template, template::Error>,
}

impl File<'_> {
    /// Reports whether Helm renders the file itself. Files that start with `_` only define templates.
    pub(super) fn is_rendered(&self) -> bool {
        !self.path.rsplit('/').next().unwrap_or_default().starts_with('_')
    }

    /// Returns the place from an offset in the file's text to the end of the line.
    pub(super) fn place(&self, chart: &Chart<'_>, at: usize) -> Place {
        let at = at.min(self.text.len());
        let start = (0..=at).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or_default();
        let end = self.text[start..].find('\n').map_or(self.text.len(), |length| start + length);
        chart.place(self.path, &self.text, start..end)
    }
}

impl<'a> Chart<'a> {
    /// Reads a published chart with its subcharts.
    pub(super) fn open(files: &'a ChartFiles, sources: &mut Sources) -> Self {
        let paths = files.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
        Self::read(&files.name, String::new(), &paths, sources, 0)
    }

    fn read(
        root: &'a str,
        directory: String,
        files: &BTreeMap<&'a str, &'a [u8]>,
        sources: &mut Sources,
        depth: usize,
    ) -> Self {
        let text = |name: &str| files.get(name).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let metadata = document(text("Chart.yaml"));
        let requirements = document(text("requirements.yaml"));
        let of = |key: &str| metadata.as_ref().and_then(|node| node.text_at(&[key]));
        let last = directory.trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty());
        let library = of("type") == Some("library");
        let name = of("name").or(last).unwrap_or(root).to_owned();
        let mut dependencies: Vec<Dependency> =
            [&metadata, &requirements].into_iter().flatten().flat_map(dependencies).collect();
        dependencies.dedup_by(|one, other| one.key() == other.key());
        let source = sources.add(Located::Chart { chart: root.to_owned(), path: format!("{directory}values.yaml") });
        let mut chart = Self {
            root,
            name,
            library,
            metadata,
            dependencies,
            templates: templates(files, library),
            files: files.iter().filter(|(path, _)| is_file(path)).map(|(_, bytes)| *bytes).collect(),
            values: read(text("values.yaml").unwrap_or_default(), source, 0),
            schema: files.get("values.schema.json").copied(),
            subcharts: Vec::new(),
            directory,
        };
        if depth < DEPTH_LIMIT {
            for (name, files) in subcharts(files) {
                let directory = format!("{}charts/{name}/", chart.directory);
                chart.subcharts.push(Self::read(root, directory, &files, sources, depth + 1));
            }
        }
        chart
    }

    /// Returns a place in one of the chart's files.
    pub(super) fn place(&self, path: &str, text: &str, span: std::ops::Range<usize>) -> Place {
        let before = text.get(..span.start).unwrap_or(text);
        let line = 1 + before.matches('\n').count();
        Place::chart(self.root, &format!("{}{path}", self.directory), line, Some(span))
    }

    /// Returns the chart and all charts below it.
    pub(super) fn all(&self) -> Vec<&Self> {
        let mut found = vec![self];
        let mut next = 0;
        while let Some(chart) = found.get(next) {
            found.extend(&chart.subcharts);
            next += 1;
        }
        found
    }

    /// Returns the templates that could be parsed.
    pub(super) fn parsed(&self) -> impl Iterator<Item = (&File<'a>, &Template)> {
        self.templates.iter().filter_map(|file| Some((file, file.parsed.as_ref().ok()?)))
    }
}

/// Returns the first document of a text that the loader of charts has checked.
fn document(text: Option<&str>) -> Option<Node> {
    yaml::parse(text?).ok()?.into_iter().next()?.root
}

fn dependencies(node: &Node) -> Vec<Dependency> {
    let items = node.get(&["dependencies"]).map(Node::items).unwrap_or_default();
    let read = |item: &Node| {
        let text = |key: &str| item.text_at(&[key]).unwrap_or_default();
        let texts = |key: &str| item.get(&[key]).map(Node::items).unwrap_or_default();
        Dependency {
            name: text("name").to_owned(),
            alias: Some(text("alias").to_owned()).filter(|alias| !alias.is_empty()),
            conditions: text("condition")
                .trim()
                .split(',')
                .filter(|path| !path.is_empty())
                .map(str::to_owned)
                .collect(),
            tags: texts("tags").iter().filter_map(Node::as_str).map(str::to_owned).collect(),
            imports: texts("import-values").iter().filter_map(import).collect(),
        }
    };
    items.iter().map(read).collect()
}

fn import(node: &Node) -> Option<(String, String)> {
    if let Some(name) = node.as_str() {
        return Some((format!("exports.{name}"), ".".to_owned()));
    }
    Some((node.text_at(&["child"])?.to_owned(), node.text_at(&["parent"])?.to_owned()))
}

/// Reports whether templates can read the file through `.Files`.
fn is_file(path: &str) -> bool {
    let special = ["Chart.yaml", "Chart.lock", "values.yaml", "values.schema.json"].contains(&path);
    !special && !path.starts_with("templates/") && !path.starts_with("charts/")
}

fn templates<'a>(files: &BTreeMap<&'a str, &'a [u8]>, library: bool) -> Vec<File<'a>> {
    let below = files.range("templates/"..).take_while(|(path, _)| path.starts_with("templates/"));
    let read = below.map(|(path, bytes)| {
        let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
        File { path, parsed: template::parse(&text), text }
    });
    read.filter(|file| !library || !file.is_rendered()).collect()
}

/// Returns the files of each subchart, by the name of its directory.
fn subcharts<'a>(files: &BTreeMap<&'a str, &'a [u8]>) -> BTreeMap<&'a str, BTreeMap<&'a str, &'a [u8]>> {
    let mut found: BTreeMap<&str, BTreeMap<&str, &[u8]>> = BTreeMap::new();
    for (path, bytes) in files.range("charts/"..).take_while(|(path, _)| path.starts_with("charts/")) {
        if let Some((name, below)) = path["charts/".len()..].split_once('/') {
            found.entry(name).or_default().insert(below, bytes);
        }
    }
    found.retain(|name, files| !name.starts_with(['_', '.']) && files.contains_key("Chart.yaml"));
    found
}
