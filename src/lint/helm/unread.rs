//! Values that no template reads. Most of them are misspelt.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::chart::Chart;
use super::follow::{Read, follow};
use super::given::Given;
use super::known::Known;
use super::reads::{How, Step};
use super::value::{At, Content, Placed, Sources, Table};
use crate::lint::{Class, Findings, Located, Rule, Severity};
use crate::text::nearest;

/// Rule for a key that no template reads.
pub(super) static VALUES_UNREAD_KEY: Rule = Rule {
    id: "values-unread-key",
    class: Class::Meaning,
    severity: Severity::Warning,
    title: "neither a template nor the schema of the chart uses a value",
    verdict: "Helm installs the release and ignores the value, so the appliance runs with the chart's default instead.",
    example: "replicaCounts: 3   # the chart reads .Values.replicaCount\n",
    way_out: "correct the key, or remove it",
};

pub(super) static RULES: &[&Rule] = &[&VALUES_UNREAD_KEY];

/// A key that the chart does not read.
struct Unread {
    at: At,
    message: String,
    near: Option<String>,
}

/// Checks the values of each HelmRelease. A file that several HelmReleases use may contain keys for each of their charts.
pub(super) fn check(charts: &[Chart<'_>], all: &[Given<'_, '_>], sources: &Sources, found: &mut Findings) {
    let mut uses: BTreeMap<&Located, usize> = BTreeMap::new();
    let mut unread: BTreeMap<(&Located, Vec<String>), Vec<Unread>> = BTreeMap::new();
    for chart in charts {
        let given: Vec<&Given<'_, '_>> = all.iter().filter(|given| std::ptr::eq(given.chart, chart)).collect();
        let written = || given.iter().flat_map(|given| &given.written);
        if written().all(|(_, table)| table.is_empty()) {
            continue;
        }
        let checked = Checked::new(chart, written().map(|(_, table)| table));
        for (source, table) in written() {
            let file = sources.file(*source);
            *uses.entry(file).or_default() += 1;
            let Some(checked) = &checked else { continue };
            for (path, one) in checked.unread(table) {
                unread.entry((file, path)).or_default().push(one);
            }
        }
    }
    for ((file, _), mut of_key) in unread {
        if of_key.len() < uses[file] {
            continue;
        }
        let Some(Unread { at, message, near }) = of_key.pop() else { continue };
        let finding = found.add(&VALUES_UNREAD_KEY, sources.place(&at), message);
        if let Some(near) = near {
            finding.help(format!("did you mean `{near}`?"));
        }
    }
}

/// A published chart with all keys that it reads or declares.
struct Checked<'c, 'a> {
    name: &'c str,
    read: Read<'c, 'a>,
    schemas: Vec<Option<Json>>,
}

impl<'c, 'a> Checked<'c, 'a> {
    /// Follows the templates of a chart. Returns `None` if they cannot be followed, or if they read all values.
    fn new<'t>(chart: &'c Chart<'a>, given: impl Iterator<Item = &'t Table>) -> Option<Self> {
        let mut texts: Vec<&str> = Vec::new();
        let own: Vec<&Chart<'_>> = chart.all();
        let own = own.iter().filter_map(|chart| chart.values.as_ref().ok());
        for value in own.flat_map(BTreeMap::values) {
            value.texts(&mut |text| texts.extend(text.contains("{{").then_some(text)));
        }
        let mut more: Vec<&str> = Vec::new();
        for value in given.flat_map(BTreeMap::values) {
            value.texts(&mut |text| more.extend(text.contains("{{").then_some(text)));
        }
        let texts: Vec<&str> = texts.into_iter().chain(more).collect();
        let mut read = follow(chart, &texts)?;
        if read.reads[0].is_whole() {
            return None;
        }
        switches(&mut read);
        let schemas = read.charts.iter().map(|chart| serde_json::from_slice(chart.schema?).ok()).collect();
        Some(Self { name: &chart.name, read, schemas })
    }

    fn unread(&self, table: &Table) -> Vec<(Vec<String>, Unread)> {
        let mut found = Vec::new();
        self.below(table, &Known::root(&self.read, &self.schemas), &mut Vec::new(), &mut found);
        found
    }

    fn below(
        &self,
        table: &Table,
        known: &Known<'_, '_, '_>,
        path: &mut Vec<String>,
        found: &mut Vec<(Vec<String>, Unread)>,
    ) {
        if known.is_opaque() {
            return;
        }
        for (key, value) in table.iter().filter(|(_, value)| !value.is_null()) {
            path.push(key.clone());
            let next = known.go(Some(key));
            if next.is_known() {
                self.value(value, &next, path, found);
            } else if let Some(at) = &value.at {
                let near = nearest(key, known.keys().into_iter()).filter(|_| key.len() > 2);
                let name = self.name.escape_debug();
                let message = format!("no template of `{name}` reads `{}`", path.join(".").escape_debug());
                found.push((path.clone(), Unread { at: at.clone(), message, near }));
            }
            path.pop();
        }
    }

    fn value(
        &self,
        value: &Placed,
        known: &Known<'_, '_, '_>,
        path: &mut Vec<String>,
        found: &mut Vec<(Vec<String>, Unread)>,
    ) {
        match &value.content {
            Content::Table(table) => self.below(table, known, path, found),
            Content::List(items) if known.has_items() && !known.is_opaque() => {
                let item = known.go(None);
                for (index, one) in items.iter().enumerate() {
                    path.push(index.to_string());
                    self.value(one, &item, path, found);
                    path.pop();
                }
            }
            _ => {}
        }
    }
}

/// Records the values that Helm itself reads: conditions, tags, and imports of the parent chart.
fn switches(read: &mut Read<'_, '_>) {
    let steps = |path: &str| -> Vec<Step> { path.split('.').map(|key| Step::Key(key.to_owned())).collect() };
    for (index, chart) in read.charts.iter().enumerate() {
        for dependency in &chart.dependencies {
            for condition in &dependency.conditions {
                read.reads[index].mark(&steps(condition), How::Whole);
            }
            if !dependency.tags.is_empty() {
                read.reads[0].mark(&steps("tags"), How::Whole);
            }
            for (child, _) in &dependency.imports {
                read.reads[index].mark(&steps(&format!("{}.{child}", dependency.key())), How::Whole);
            }
        }
    }
}

#[cfg(test)]
#[path = "unread_tests.rs"]
mod tests;
