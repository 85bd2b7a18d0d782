//! Class "values fit the chart's schema": validates the merged values of a HelmRelease against the values.schema.json of its chart and
//! of the enabled subcharts.

use std::collections::BTreeMap;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value as Json;

use super::chart::Chart;
use super::given::Given;
use super::value::{self, Sources, Table};
use super::values::{Enabled, NoTable};
use crate::lint::{Class, Findings, Place, Rule, Severity};

/// Rule for values that a schema refuses.
pub(super) static VALUES_SCHEMA: Rule = Rule {
    id: "values-schema",
    class: Class::Schema,
    severity: Severity::Error,
    title: "the schema of a chart refuses the values of a HelmRelease",
    verdict: "Helm reports \"values don't meet the specifications of the schema(s) in the following chart(s)\" when it installs or \
              upgrades the release. The HelmRelease stays failed. A violated `format` is a warning.",
    example: "replicas: two   # values.schema.json: {\"properties\": {\"replicas\": {\"type\": \"integer\"}}}\n",
    way_out: "change the value, or change the chart's values.schema.json",
};

/// Rule for a schema that is invalid itself.
pub(super) static SCHEMA_INVALID: Rule = Rule {
    id: "schema-invalid",
    class: Class::Schema,
    severity: Severity::Error,
    title: "the values.schema.json of a chart is not a valid JSON schema",
    verdict: "Helm compiles the schema before it renders the chart, and refuses to install the chart.",
    example: "{\"type\": \"object\", \"properties\": {\"replicas\": {\"type\": \"int\"}}}\n",
    way_out: "correct the schema; `helm lint` checks the schema too",
};

/// Rule for values or a schema that the checks cannot know.
pub(super) static SCHEMA_NOT_CHECKED: Rule = Rule {
    id: "schema-not-checked",
    class: Class::Schema,
    severity: Severity::Note,
    title: "values are not checked against the schema of their chart",
    verdict: "Helm may refuse the values when it installs the release. The checks cannot read Secrets and other objects of the cluster, and \
              they do not fetch schemas from the network, but Helm on the appliance does.",
    example: "valuesFrom:\n  - {kind: Secret, name: web-values}\n",
    way_out: "keep in Secrets only values that the schema does not require, and put the referenced schemas into the chart",
};

/// Rule for values of a subchart that are not a mapping.
pub(super) static SUBCHART_VALUES: Rule = Rule {
    id: "subchart-values",
    class: Class::Schema,
    severity: Severity::Error,
    title: "the values of a subchart are not a mapping",
    verdict: "Helm reports \"type mismatch on SUBCHART\" and renders nothing. The HelmRelease stays failed.",
    example: "postgresql: true   # where postgresql is a subchart\n",
    way_out: "write a mapping; to disable the subchart, write `SUBCHART: {enabled: false}` if Chart.yaml has that condition",
};

pub(super) static RULES: &[&Rule] = &[&VALUES_SCHEMA, &SCHEMA_INVALID, &SCHEMA_NOT_CHECKED, &SUBCHART_VALUES];

/// Limit of the findings for one chart in one HelmRelease.
const LIMIT: usize = 20;

/// The result of compiling a schema.
#[derive(Debug)]
enum Compiled {
    Valid(Box<Validator>),
    /// The schema refers to a schema on the network.
    Remote(String),
    Invalid(String),
}

/// The schemas of all charts. Each schema is compiled once.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    compiled: BTreeMap<(String, String), Compiled>,
}

/// Reports that the values of a subchart are not a table.
pub(super) fn no_table(given: &Given<'_, '_>, error: &NoTable, sources: &Sources, found: &mut Findings) {
    let place = error.value.at.as_ref().map_or_else(|| given.place(), |at| sources.place(at));
    let message = format!("`{}` contains the values of a subchart: expected a mapping", error.path.escape_debug());
    found.add(&SUBCHART_VALUES, place, message);
}

impl Schemas {
    /// Validates the values of a HelmRelease against the schemas of its chart and of the subcharts.
    pub(super) fn check(
        &mut self,
        given: &Given<'_, '_>,
        enabled: &Enabled<'_, '_>,
        values: &Table,
        sources: &Sources,
        found: &mut Findings,
    ) {
        let mut checked = Checked { given, sources, found };
        self.below(enabled, values, &mut Vec::new(), &mut checked);
    }

    fn below(
        &mut self,
        enabled: &Enabled<'_, '_>,
        values: &Table,
        path: &mut Vec<String>,
        checked: &mut Checked<'_, '_, '_>,
    ) {
        if let Some(schema) = enabled.chart.schema {
            checked.chart(enabled.chart, self.compiled(enabled.chart, schema), values, path);
        }
        for subchart in &enabled.subcharts {
            if let Some(table) = values.get(subchart.name).and_then(value::Placed::table) {
                path.push(subchart.name.to_owned());
                self.below(subchart, table, path, checked);
                path.pop();
            }
        }
    }

    fn compiled(&mut self, chart: &Chart<'_>, schema: &[u8]) -> &Compiled {
        let key = (chart.root.to_owned(), chart.directory.clone());
        self.compiled.entry(key).or_insert_with(|| compile(schema))
    }
}

fn compile(schema: &[u8]) -> Compiled {
    let schema = schema.strip_prefix(b"\xef\xbb\xbf").unwrap_or(schema);
    let schema: Json = match serde_json::from_slice(schema) {
        Ok(schema) => schema,
        Err(cause) => return Compiled::Invalid(cause.to_string()),
    };
    // Go's regular expressions have no look-around, so patterns with look-around are invalid.
    let options = jsonschema::options().offline().with_pattern_options(PatternOptions::regex());
    match options.build(&schema) {
        Ok(validator) => Compiled::Valid(Box::new(validator)),
        Err(error) => match error.kind() {
            ValidationErrorKind::Referencing(cause) => match remote(&schema) {
                Some(address) => Compiled::Remote(address),
                None => Compiled::Invalid(cause.to_string()),
            },
            _ => Compiled::Invalid(format!("`{}`: {error}", error.instance_path())),
        },
    }
}

/// Returns the first reference or dialect of a schema that is an address on the network.
fn remote(schema: &Json) -> Option<String> {
    let mut open = vec![schema];
    while let Some(node) = open.pop() {
        match node {
            Json::Object(map) => {
                for key in ["$ref", "$dynamicRef", "$schema"] {
                    if let Some(Json::String(text)) = map.get(key)
                        && text.contains(':')
                        && !text.contains("json-schema.org")
                    {
                        return Some(text.clone());
                    }
                }
                open.extend(map.values());
            }
            Json::Array(items) => open.extend(items),
            _ => {}
        }
    }
    None
}

struct Checked<'r, 'c, 'a> {
    given: &'r Given<'c, 'a>,
    sources: &'r Sources,
    found: &'r mut Findings,
}

impl Checked<'_, '_, '_> {
    fn chart(&mut self, chart: &Chart<'_>, compiled: &Compiled, values: &Table, path: &[String]) {
        let file = || Place::chart(chart.root, &format!("{}values.schema.json", chart.directory), 1, None);
        match compiled {
            Compiled::Invalid(reason) => {
                self.found.add(&SCHEMA_INVALID, file(), format!("invalid JSON schema: {}", one_line(reason)));
            }
            Compiled::Remote(address) => {
                let message = format!(
                    "the values are not checked: the schema refers to `{}`, which is not fetched",
                    address.escape_debug()
                );
                self.found.add(&SCHEMA_NOT_CHECKED, file(), message);
            }
            Compiled::Valid(_) if self.given.unknown.is_some() => {
                let reason = self.given.unknown.as_deref().unwrap_or_default();
                let name = chart.name.escape_debug();
                let message = format!("the values are not checked against the schema of `{name}`: {reason}");
                self.found.add(&SCHEMA_NOT_CHECKED, self.given.place(), message);
            }
            Compiled::Valid(validator) => {
                let json = Json::Object(value::json(values));
                for error in validator.iter_errors(&json).take(LIMIT) {
                    self.error(chart, &error, values, path);
                }
            }
        }
    }

    fn error(&mut self, chart: &Chart<'_>, error: &ValidationError<'_>, values: &Table, path: &[String]) {
        use ValidationErrorKind::{ContentEncoding, ContentMediaType, Format, FromUtf8};
        // Helm does not check these keywords.
        if matches!(error.kind(), ContentEncoding { .. } | ContentMediaType { .. } | FromUtf8 { .. }) {
            return;
        }
        let mut keys = keys(error.instance_path().as_str());
        if self.is_placeholder(path, &keys) || error.instance().as_str().is_some_and(|text| text.contains("${")) {
            return;
        }
        let unexpected = match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => unexpected.first(),
            _ => None,
        };
        keys.extend(unexpected.cloned());
        let place = place(values, &keys).map_or_else(|| self.given.place(), |at| self.sources.place(at));
        let shown: Vec<&str> = path.iter().chain(&keys).map(String::as_str).collect();
        let what = if shown.is_empty() { "the values".to_owned() } else { format!("`{}`", shown.join(".")) };
        let reason = one_line(&error.masked_with("the value").to_string());
        let message = format!("the schema of `{}` refuses {what}: {reason}", chart.name.escape_debug());
        let finding = self.found.add(&VALUES_SCHEMA, place, message);
        if matches!(error.kind(), Format { .. }) {
            finding.severity(Severity::Warning);
        }
    }

    /// Reports whether the value, or one above it, is known only on an appliance.
    fn is_placeholder(&self, path: &[String], keys: &[String]) -> bool {
        let full: Vec<&String> = path.iter().chain(keys).collect();
        self.given.placeholders.iter().any(|placeholder| {
            let length = placeholder.len();
            full.len() >= length && placeholder.iter().zip(&full).all(|(one, other)| one == *other)
        })
    }
}

/// Returns the keys in a JSON pointer.
fn keys(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~")).collect()
}

/// Returns the place of the value at a path, or of the nearest value above it with a place.
fn place<'v>(values: &'v Table, keys: &[String]) -> Option<&'v value::At> {
    let (first, rest) = keys.split_first()?;
    let mut value = values.get(first)?;
    let mut nearest = value.at.as_ref();
    for key in rest {
        let next = match &value.content {
            value::Content::Table(table) => table.get(key),
            value::Content::List(items) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        };
        let Some(next) = next else { break };
        value = next;
        nearest = value.at.as_ref().or(nearest);
    }
    nearest
}

fn one_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(300).collect()
}
