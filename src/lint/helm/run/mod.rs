//! Executes the templates of a chart with the values of a HelmRelease, as far as the result is certain. Execution of a file stops at the
//! first value that is not known here, and the file is then not reported.

mod data;
mod execute;
mod functions;
mod printed;

use std::collections::BTreeSet;

use super::chart::{Chart, File};
use super::given::Given;
use super::value::{Placed, Table};
use super::values::Enabled;
use crate::kustomize::strict;
use crate::lint::{Class, Findings, Rule, Severity};
use crate::text::shown;
use crate::yaml::{self, Node as Written};
use data::Data;
use execute::{Body, Run, Runner, Stop};
pub(in crate::lint) use printed::unpinned;

/// Rule for a template whose execution fails.
pub(super) static TEMPLATE_FAILS: Rule = Rule {
    id: "template-fails",
    class: Class::Templates,
    severity: Severity::Error,
    title: "a template fails with the values of a HelmRelease",
    verdict: "Helm reports \"execution error at (CHART/templates/FILE:LINE)\", \"nil pointer evaluating interface {}\" or a similar error \
              when it installs or upgrades the release. The HelmRelease stays failed.",
    example: "{{ .Values.ingress.host }}   # there are no values under `ingress`\n",
    way_out: "set the value that the template needs, or change the template so that it works without the value",
};

/// Rule for a template that renders invalid output.
pub(super) static TEMPLATE_OUTPUT: Rule = Rule {
    id: "template-output",
    class: Class::Templates,
    severity: Severity::Error,
    title: "a template renders something that is not a YAML object",
    verdict: "Helm reports \"YAML parse error on CHART/templates/FILE\" when it installs or upgrades the release. The HelmRelease stays \
              failed.",
    example: "metadata:\n  labels: {{ toYaml .Values.labels }}   # `nindent` is missing\n",
    way_out: "correct the template; `helm template --debug` shows its output",
};

pub(super) static RULES: &[&Rule] =
    &[&TEMPLATE_FAILS, &TEMPLATE_OUTPUT, &printed::DIGEST_REFUSED, &printed::DIGEST_MISSING];

/// Text that Go prints for a missing value. Helm removes it from the output.
const NO_VALUE: &str = "<no value>";

/// Executes all templates of a HelmRelease.
pub(super) fn check<'c>(given: &Given<'c, '_>, enabled: &Enabled<'c, 'c>, values: &Table, found: &mut Findings) {
    each_output(given, enabled, values, &mut |chart, file, run| match run {
        Err(Stop::Failed { place: Some(place), message }) => {
            found.add(&TEMPLATE_FAILS, place, message);
        }
        Err(_) => {}
        Ok(output) => {
            broken(chart, file, &output, found);
            printed::check(given, chart, file, &output, found);
        }
    });
}

/// Adds the images that the templates of a HelmRelease print without a digest, and the templates that may print an image
/// that is not known here.
pub(super) fn images<'c>(
    given: &Given<'c, '_>,
    enabled: &Enabled<'c, 'c>,
    values: &Table,
    found: &mut BTreeSet<String>,
) {
    let of = shown(given.chart.root);
    let is_complete = each_output(given, enabled, values, &mut |chart, file, run| {
        let certain = run.ok().filter(|output| !output.unknown);
        match certain.map(|output| output.images()) {
            _ if file.path.ends_with("NOTES.txt") => {}
            Some(images) => found.extend(images.iter().map(|image| format!("image {} (chart {of})", shown(image)))),
            None if file.text.contains("image") => {
                let path = shown(&format!("{}{}", chart.directory, file.path));
                found.insert(format!("images of chart {of} in {path}, which only the appliance knows"));
            }
            None => {}
        }
    });
    if !is_complete {
        found.insert(unknown_images(&of));
    }
}

/// Returns the entry for a chart whose values or templates are not known here.
pub(super) fn unknown_images(chart: &str) -> String {
    format!("images of chart {chart}, which only the appliance knows")
}

/// Passes the output of each template of a HelmRelease to `visit`. Returns `false`, and executes nothing, where the values
/// or the templates are not known.
fn each_output<'c>(
    given: &Given<'c, '_>,
    enabled: &Enabled<'c, 'c>,
    values: &Table,
    visit: &mut impl FnMut(&Chart<'c>, &File<'c>, Run<Output>),
) -> bool {
    let charts = given.chart.all();
    if given.unknown.is_some() || charts.iter().any(|chart| chart.templates.iter().any(|file| file.parsed.is_err())) {
        return false;
    }
    below(&mut Runner::new(&charts), given, enabled, (values, true), visit);
    true
}

fn below<'c>(
    runner: &mut Runner<'c>,
    given: &Given<'c, '_>,
    enabled: &Enabled<'c, 'c>,
    (values, is_root): (&Table, bool),
    visit: &mut impl FnMut(&Chart<'c>, &File<'c>, Run<Output>),
) {
    let chart = enabled.chart;
    let data = Data::of(values);
    for (file, parsed) in chart.parsed().filter(|(file, _)| !chart.library && file.is_rendered()) {
        let root = root(given, enabled, data.clone(), is_root, file.path);
        let body = Body { text: &file.text, nodes: &parsed.body, file: Some((chart, file)) };
        visit(chart, file, runner.file(body, root));
    }
    for subchart in &enabled.subcharts {
        if let Some(table) = values.get(subchart.name).and_then(Placed::table) {
            below(runner, given, subchart, (table, false), visit);
        }
    }
}

fn broken(chart: &Chart<'_>, file: &File<'_>, output: &Output, found: &mut Findings) {
    if let Some((at, reason)) = output.broken(file.path) {
        found.add(&TEMPLATE_OUTPUT, file.place(chart, output.source_of(at)), reason);
    }
}

/// Returns the root object that Helm passes to a template.
fn root(given: &Given<'_, '_>, enabled: &Enabled<'_, '_>, values: Data, is_root: bool, path: &str) -> Data {
    let text = |text: &str| Data::text(text);
    let table = |entries: Vec<(&str, Data)>| {
        Data::map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    };
    let release = &given.release;
    let namespace = release.target_namespace.or(release.object.namespace());
    let metadata = enabled.chart.metadata.as_ref();
    let of = |key: &str| metadata.and_then(|node| node.text_at(&[key])).map_or(Data::text(""), Data::text);
    let mut chart = vec![
        ("Name", text(enabled.name)),
        ("Version", of("version")),
        ("AppVersion", of("appVersion")),
        ("Type", of("type")),
        ("IsRoot", Data::Bool(is_root)),
    ];
    let others =
        ["APIVersion", "Annotations", "Condition", "Dependencies", "Deprecated", "Description", "Home", "Icon"];
    let more = ["Keywords", "KubeVersion", "Maintainers", "Sources", "Tags"];
    chart.extend(others.into_iter().chain(more).map(|key| (key, Data::Unknown)));
    let base = format!("{}/{}templates", given.chart.name, enabled.chart.directory);
    let file = format!("{}/{}{path}", given.chart.name, enabled.chart.directory);
    let release = vec![
        ("Name", text(&release.helm_name())),
        ("Namespace", namespace.map_or(Data::Unknown, text)),
        ("Service", text("Helm")),
        ("IsInstall", Data::Bool(true)),
        ("IsUpgrade", Data::Bool(false)),
        ("Revision", Data::Int(1)),
    ];
    table(vec![
        ("Values", values),
        ("Chart", table(chart)),
        ("Release", table(release)),
        ("Template", table(vec![("Name", text(&file)), ("BasePath", text(&base))])),
        ("Capabilities", Data::Unknown),
        ("Files", Data::Unknown),
        ("Subcharts", Data::Unknown),
    ])
}

/// The output of an executed file.
#[derive(Debug, Default)]
struct Output {
    text: String,
    /// Pairs of a byte offset in the output and the byte offset in the template that it comes from.
    marks: Vec<(usize, usize)>,
    /// Whether the output contains something unknown.
    unknown: bool,
}

impl Output {
    fn source_of(&self, at: usize) -> usize {
        let after = self.marks.partition_point(|(out, _)| *out <= at);
        let Some((out, source)) = self.marks[..after].last() else { return 0 };
        // Inside of copied text, the distance to the mark is the same. Output of an action belongs to the action.
        let next = self.marks.get(after).map_or(usize::MAX, |(_, source)| *source);
        (source + (at - out)).min(next)
    }

    /// Returns the offset in the output that an offset in the output without [`NO_VALUE`] has.
    fn with_no_value(&self, at: usize) -> usize {
        let removed = self.text.match_indices(NO_VALUE);
        removed.fold(at, |at, (index, _)| if index <= at { at + NO_VALUE.len() } else { at })
    }

    /// Returns the images without a digest in all objects of the output.
    fn images(&self) -> Vec<String> {
        let text = self.text.replace(NO_VALUE, "");
        let documents = documents(&text).into_iter().filter_map(|document| yaml::parse(document).ok()).flatten();
        documents.filter_map(|document| document.root).flat_map(|root| unpinned(&root)).collect()
    }

    /// Returns the offset at which the output stops being YAML objects, and the reason.
    fn broken(&self, path: &str) -> Option<(usize, String)> {
        if self.unknown || path.ends_with("NOTES.txt") {
            return None;
        }
        let text = self.text.replace(NO_VALUE, "");
        let exact = text.len() == self.text.len();
        let mut start = 0;
        for document in documents(&text) {
            let begin = start;
            start += document.len();
            if document.trim().is_empty() {
                continue;
            }
            if let Some((line, reason)) = wrong(document) {
                let before: usize = document.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
                return Some((if exact { begin + before } else { 0 }, reason));
            }
        }
        None
    }
}

/// Returns the parts of an output between lines that start with `---`.
fn documents(text: &str) -> Vec<&str> {
    let (mut found, mut start, mut at) = (Vec::new(), 0, 0);
    for line in text.split_inclusive('\n') {
        if line.starts_with("---") {
            found.push(&text[start..at]);
            start = at;
        }
        at += line.len();
    }
    found.push(&text[start..]);
    found
}

fn wrong(document: &str) -> Option<(usize, String)> {
    let documents = match yaml::parse(document) {
        Ok(documents) => documents,
        Err(cause) => {
            return Some((cause.line, format!("the output of the template is not valid YAML: {}", cause.reason)));
        }
    };
    if let Err((line, reason)) = strict(document, &documents) {
        return Some((line, format!("the output of the template is not valid YAML: {reason}")));
    }
    let root = documents.into_iter().find_map(|document| document.root)?;
    if root.is_null() {
        return None;
    }
    if !root.is_mapping() {
        return Some((root.line, "the output of the template is not a mapping".to_owned()));
    }
    let metadata = root.get(&["metadata"]).filter(|node| !node.is_null());
    if let Some(node) = metadata.filter(|node| !node.is_mapping()) {
        return Some((node.line, "`metadata` in the output of the template is not a mapping".to_owned()));
    }
    let texts = [&["apiVersion"][..], &["kind"], &["metadata", "name"]];
    let bad = texts.into_iter().filter_map(|path| root.get(path)).find(|node| is_other(node));
    if let Some(node) = bad {
        return Some((
            node.line,
            "the name, kind or apiVersion in the output of the template is not a string".to_owned(),
        ));
    }
    let annotations = root.get(&["metadata", "annotations"]).map(Written::entries).unwrap_or_default();
    let bad = annotations.iter().find(|entry| !entry.is_merge() && is_other(&entry.value));
    bad.map(|entry| (entry.value.line, "an annotation in the output of the template is not a string".to_owned()))
}

/// Reports whether the node is a table or a list. Helm accepts every scalar as a string here.
fn is_other(node: &Written) -> bool {
    crate::chart::scalar(node).is_none()
}
