//! Chart versions in fields that Kubernetes does not allow to change. Flux appends the digest to the version of a chart that is pinned
//! by digest, so such a field differs in every release.

use std::collections::{BTreeMap, BTreeSet};

use crate::lint::contents::ChartFiles;
use crate::lint::{Class, Contents, Findings, Place, Rule, Severity};
use crate::template::{self, Operand, Template, Term, operands};
use crate::text::shown;

pub(super) static CHART_VERSION: Rule = Rule {
    id: "chart-version-immutable",
    class: Class::Upgrade,
    severity: Severity::Warning,
    title: "a template uses the chart's version in a field that cannot change",
    verdict: "The chart's version differs in every release, because Flux appends the digest. The API server answers `field is immutable`, \
              and every upgrade of the HelmRelease fails.",
    example: "kind: Deployment\nspec:\n  selector:\n    matchLabels:\n      helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}\n",
    way_out: "use labels without the version (name and instance) in selectors, volume claims and templates of Jobs",
};

pub(super) static RULES: &[&Rule] = &[&CHART_VERSION];

/// Limit of the rounds in which definitions that render the version are searched.
const MOST_STEPS: usize = 1000;

pub(in crate::lint) fn check(contents: &Contents<'_>, found: &mut Findings) {
    for chart in contents.charts.values() {
        let templates = Templates::of(chart);
        let own = templates.parsed.iter().filter(|(path, _)| path.starts_with("templates/"));
        for (path, (text, template)) in own {
            let mut lines = BTreeSet::new();
            for at in templates.versions(&template.body) {
                let line = text.as_bytes()[..at].split(|b| *b == b'\n').count() - 1;
                let Some(field) = immutable_field(text, line).filter(|_| lines.insert(line)) else { continue };
                let message = format!("{field} contains the version of the chart `{}`", shown(&chart.name));
                found.add(&CHART_VERSION, Place::chart(&chart.name, path, line + 1, None), message);
            }
        }
    }
}

/// The templates of a chart and its subcharts, and the names of the definitions that render the chart's version.
struct Templates<'c> {
    parsed: BTreeMap<&'c str, (&'c str, Template)>,
    with_version: BTreeSet<String>,
}

impl<'c> Templates<'c> {
    fn of(chart: &'c ChartFiles) -> Self {
        let mut parsed = BTreeMap::new();
        let mut texts = chart.files.keys().filter_map(|path| chart.text(path));
        if !texts.any(|text| text.contains(".Chart.Version")) {
            return Self { parsed, with_version: BTreeSet::new() };
        }
        for path in chart.files.keys().filter(|path| path.starts_with("templates/") || path.contains("/templates/")) {
            let Some(text) = chart.text(path).filter(|text| is_of_interest(text)) else { continue };
            if let Ok(template) = template::parse(text) {
                parsed.insert(path.as_str(), (text, template));
            }
        }
        let mut templates = Self { parsed, with_version: BTreeSet::new() };
        for _ in 0..MOST_STEPS {
            let definitions = templates.parsed.values().flat_map(|(_, template)| &template.definitions);
            let new = definitions.filter(|one| !templates.with_version.contains(&one.name));
            let new: Vec<String> =
                new.filter(|one| !templates.versions(&one.body).is_empty()).map(|one| one.name.clone()).collect();
            if new.is_empty() {
                break;
            }
            templates.with_version.extend(new);
        }
        templates
    }

    /// Returns the byte offsets at which a body renders the chart's version, directly or through an included template.
    fn versions(&self, body: &[template::Node]) -> Vec<usize> {
        let mut found = Vec::new();
        let mut after_include = false;
        operands(body, &mut |operand: &Operand| {
            let includes = matches!(&operand.term, Term::Function(name) if name == "include");
            let direct = operand.fields.ends_with(&["Chart".to_owned(), "Version".to_owned()]);
            let by_name =
                after_include && matches!(&operand.term, Term::Text(name) if self.with_version.contains(name));
            if direct || by_name {
                found.push(operand.span.start);
            }
            after_include = includes;
        });
        found.extend(self.uses(body));
        found
    }

    /// Returns the byte offsets of `{{ template }}` actions, whose name is not an operand.
    fn uses(&self, body: &[template::Node]) -> Vec<usize> {
        let mut open = vec![body];
        let mut found = Vec::new();
        while let Some(body) = open.pop() {
            for node in body {
                match node {
                    template::Node::Template { name, span, .. } if self.with_version.contains(name) => {
                        found.push(span.start);
                    }
                    template::Node::If(branch) | template::Node::With(branch) | template::Node::Range(branch) => {
                        open.extend(branch.arms.iter().map(|arm| arm.body.as_slice()));
                        open.push(&branch.otherwise);
                    }
                    _ => {}
                }
            }
        }
        found
    }
}

/// Reports whether a template may contain definitions or a field that cannot change.
fn is_of_interest(text: &str) -> bool {
    ["define", "block", "selector:", "volumeClaimTemplates:", "kind: Job"].iter().any(|word| text.contains(word))
}

/// Returns the name of the workload's immutable field that a line, counted from 0, belongs to, or `None`. The indentation decides,
/// because a template is not YAML yet.
fn immutable_field(text: &str, line: usize) -> Option<&'static str> {
    let lines: Vec<&str> = text.lines().collect();
    let is_separator = |line: &&str| line.starts_with("---");
    let first = lines[..line].iter().rposition(is_separator).map_or(0, |at| at + 1);
    let last = lines[line..].iter().position(is_separator).map_or(lines.len(), |at| line + at);
    let document = &lines[first..last];
    let kind = document.iter().find_map(|line| line.strip_prefix("kind:"))?.trim().trim_matches(['"', '\'']);
    // Helm deletes hooks and creates them again.
    if document.iter().any(|line| line.contains("helm.sh/hook\"") || line.contains("helm.sh/hook:")) {
        return None;
    }
    let path = path_of(document, line - first);
    match (kind, path.as_slice()) {
        ("Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet", ["spec", "selector", ..]) => Some("the selector"),
        ("StatefulSet", ["spec", "volumeClaimTemplates", ..]) => Some("a volume claim of a StatefulSet"),
        ("Job", ["spec", "template", ..]) => Some("the template of a Job"),
        _ => None,
    }
}

/// Returns the keys above a line of a template, from the outermost one.
fn path_of<'t>(lines: &[&'t str], at: usize) -> Vec<&'t str> {
    let line = lines[at];
    // A block that a function indents belongs to the keys with less indentation.
    let indented = line.split_once("indent ").and_then(|(_, rest)| {
        let digits = rest.trim_start();
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits[..end].parse::<usize>().ok()
    });
    let key_of = |line: &'t str| {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        let (indent, bare) = bare.strip_prefix("- ").map_or((indent, bare), |rest| (indent + 2, rest));
        let key = bare
            .split_once(':')
            .map(|(key, _)| key)
            .filter(|key| !key.is_empty() && !key.contains(['{', ' ', '#', '"']));
        key.map(|key| (indent, key))
    };
    let own = key_of(line);
    let mut below = indented.or(own.map(|(indent, _)| indent + 1)).unwrap_or(line.len() - line.trim_start().len());
    let mut path = Vec::new();
    for line in lines[..=at].iter().rev() {
        if let Some((indent, key)) = key_of(line).filter(|(indent, _)| *indent < below) {
            path.push(key);
            below = indent;
        }
    }
    path.reverse();
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<usize> {
        let helpers = "{{ define \"all\" }}chart: {{ .Chart.Version | quote }}\n{{ include \"some\" . }}{{ end }}\
                       {{ define \"outer\" }}{{ template \"all\" . }}{{ end }}{{ define \"some\" }}app: x{{ end }}";
        let mut chart = ChartFiles { name: "web".to_owned(), ..ChartFiles::default() };
        chart.files.insert("templates/_helpers.tpl".to_owned(), helpers.as_bytes().to_vec());
        chart.files.insert(path.to_owned(), text.as_bytes().to_vec());
        let templates = Templates::of(&chart);
        let (text, template) = &templates.parsed[path];
        let line = |at: usize| text[..at].matches('\n').count();
        let lines = templates.versions(&template.body).into_iter().map(line);
        lines.filter(|line| immutable_field(text, *line).is_some()).map(|line| line + 1).collect()
    }

    #[test]
    fn the_version_is_found_only_in_selectors_claims_and_jobs() {
        let deployment = "kind: Deployment\nmetadata:\n  labels:\n    {{- include \"all\" . | nindent 4 }}\nspec:\n  selector:\n    \
                          matchLabels:\n      {{- include \"outer\" . | nindent 6 }}\n  template:\n    metadata:\n      labels:\n        \
                          {{- include \"all\" . | nindent 8 }}\n";
        assert_eq!(found("templates/a.yaml", deployment), [8]);
        assert_eq!(found("templates/a.yaml", &deployment.replace("\"outer\"", "\"some\"")), Vec::<usize>::new());
        assert_eq!(found("templates/a.yaml", &deployment.replace("Deployment", "Service")), Vec::<usize>::new());
        let claims = "kind: StatefulSet\nspec:\n  volumeClaimTemplates:\n    - metadata:\n        labels:\n          v: {{ $.Chart.Version }}\n";
        assert_eq!(found("templates/a.yaml", claims), [6]);
        let job = "kind: Job\nmetadata:\n  name: x\nspec:\n  template:\n    metadata:\n      labels: {v: \"{{ .Chart.Version }}\"}\n";
        assert_eq!(found("templates/a.yaml", job), [7]);
        let hook = job.replace("  name: x", "  annotations:\n    helm.sh/hook: pre-install");
        assert_eq!(found("templates/a.yaml", &hook), Vec::<usize>::new());
        assert_eq!(found("templates/a.yaml", &format!("kind: Service\nspec: {{}}\n---\n{job}")), [10]);
    }
}
