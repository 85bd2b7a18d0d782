//! Class "templates parse and run": templates of a chart that Helm cannot parse, and templates that use undefined ones.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::Reached;
use super::chart::{Chart, File};
use crate::lint::{Class, Findings, Rule, Severity};
use crate::template::{self, Known, Name, Node, Term};
use crate::text::nearest;

/// Rule for a template that Go refuses.
pub(super) static TEMPLATE_INVALID: Rule = Rule {
    id: "template-invalid",
    class: Class::Templates,
    severity: Severity::Error,
    title: "a template of a chart cannot be parsed",
    verdict: "Helm reports \"parse error at (CHART/templates/FILE:LINE)\" when it installs or upgrades the release, even if the template \
              is not rendered. The HelmRelease stays failed.",
    example: "{{- if .Values.ingress.enabled }}\nkind: Ingress\n",
    way_out: "correct the template at the line that the message names",
};

/// Rule for the use of a template that no file defines.
pub(super) static TEMPLATE_UNDEFINED: Rule = Rule {
    id: "template-undefined",
    class: Class::Templates,
    severity: Severity::Error,
    title: "a template uses another template that is not defined",
    verdict: "Helm reports `error calling include: template: no template \"NAME\" associated with template \"gotpl\"` when it renders the \
              chart. Inside of a condition, Helm fails only if the condition is true, so this is a warning.",
    example: "labels: {{- include \"web.lables\" . | nindent 4 }}\n",
    way_out: "correct the name, or define the template in the chart or in a chart that it depends on",
};

/// Rule for a function that only Helm 4.3 and later define.
pub(super) static TEMPLATE_RECENT_FUNCTION: Rule = Rule {
    id: "template-recent-function",
    class: Class::Templates,
    severity: Severity::Warning,
    title: "a template calls a function that helm-controller may not have yet",
    verdict: "Helm 4.3 has the function. helm-controller 1.6 and older contain an older Helm and report \"function not defined\".",
    example: "{{ durationSeconds .Values.timeout }}\n",
    way_out: "write the value in the unit that the chart needs, or make sure that the Flux of the appliance contains Helm 4.3",
};

/// Rule for a template that is too deeply nested for the checks.
pub(super) static TEMPLATE_NOT_CHECKED: Rule = Rule {
    id: "template-not-checked",
    class: Class::Templates,
    severity: Severity::Note,
    title: "a template is nested too deeply to be checked",
    verdict: "Helm may accept the template. The checks support at most 100 levels of blocks and parentheses.",
    example: "{{ ((((… .Values.port …)))) }}\n",
    way_out: "split the template with `define` and `include`",
};

pub(super) static RULES: &[&Rule] =
    &[&TEMPLATE_INVALID, &TEMPLATE_UNDEFINED, &TEMPLATE_RECENT_FUNCTION, &TEMPLATE_NOT_CHECKED];

/// Checks the templates of a published chart and of its subcharts.
pub(super) fn check(chart: &Chart<'_>, reached: &Reached, found: &mut Findings) {
    let mut parses = true;
    for chart in chart.all() {
        for file in &chart.templates {
            match &file.parsed {
                Ok(template) => recent_functions(chart, file, template, found),
                Err(error) => {
                    parses = false;
                    invalid(chart, file, error, reached, found);
                }
            }
        }
    }
    // A template that cannot be parsed may define any name, so the check for undefined names needs all templates.
    if parses {
        Uses::of(chart).check(reached, found);
    }
}

fn invalid(chart: &Chart<'_>, file: &File<'_>, error: &template::Error, reached: &Reached, found: &mut Findings) {
    let rest_of_line = |at: usize| at..file.text[at..].find('\n').map_or(file.text.len(), |length| at + length);
    let stopped = chart.place(file.path, &file.text, rest_of_line(error.at));
    if error.too_deep {
        found.add(&TEMPLATE_NOT_CHECKED, stopped, format!("the template is not checked: {}", error.reason));
        return;
    }
    let opened = error.opened.map(|at| chart.place(file.path, &file.text, rest_of_line(at)));
    let opened = opened.filter(|opened| opened.line != stopped.line);
    let at_end = error.at == file.text.len();
    let undefined = error.reason.strip_prefix("function \"").and_then(|rest| rest.split('"').next());
    let near = undefined.and_then(|name| nearest(name, template::functions()));
    let help = match (&opened, near) {
        (_, Some(near)) => Some(format!("did you mean `{near}`?")),
        (Some(_), _) if at_end => Some(format!(
            "close the block or action, which is still open at the end of the file, line {}",
            stopped.line
        )),
        (Some(opened), _) => {
            Some(format!("correct the template; the enclosing block or action begins in line {}", opened.line))
        }
        _ => None,
    };
    // Go reports a missing `end` at the end of the file, but the block without `end` is the place to correct.
    let place = opened.filter(|_| at_end).unwrap_or(stopped);
    let finding = found.add(&TEMPLATE_INVALID, place, error.reason.clone());
    finding.help.clone_from(&help);
    if !reached.has(chart) {
        finding.severity(Severity::Warning);
    }
}

fn recent_functions(chart: &Chart<'_>, file: &File<'_>, parsed: &template::Template, found: &mut Findings) {
    let bodies = std::iter::once(&parsed.body).chain(parsed.definitions.iter().map(|one| &one.body));
    for body in bodies {
        template::operands(body, &mut |operand| {
            if let Term::Function(name) = &operand.term
                && template::known(name) == Some(Known::Since43)
            {
                let place = chart.place(file.path, &file.text, operand.span.clone());
                found.add(
                    &TEMPLATE_RECENT_FUNCTION,
                    place,
                    format!("only Helm 4.3 and later have the function `{name}`"),
                );
            }
        });
    }
}

/// The body of a template, with its chart and file.
#[derive(Clone, Copy)]
struct Body<'c, 'a> {
    chart: &'c Chart<'a>,
    file: &'c File<'a>,
    nodes: &'c [Node],
}

/// The templates of a published chart, by name.
struct Uses<'c, 'a> {
    root: &'c Chart<'a>,
    defined: BTreeMap<&'c str, Vec<Body<'c, 'a>>>,
    files: BTreeSet<String>,
}

impl<'c, 'a> Uses<'c, 'a> {
    fn of(root: &'c Chart<'a>) -> Self {
        let mut uses = Self { root, defined: BTreeMap::new(), files: BTreeSet::new() };
        for chart in root.all() {
            for (file, template) in chart.parsed() {
                uses.files.insert(format!("{}/{}{}", root.name, chart.directory, file.path));
                for definition in &template.definitions {
                    let body = Body { chart, file, nodes: &definition.body };
                    uses.defined.entry(&definition.name).or_default().push(body);
                }
            }
        }
        uses
    }

    /// Follows the uses of templates, starting with the files that Helm renders.
    fn check(&self, reached: &Reached, found: &mut Findings) {
        let mut open: Vec<(Body<'_, '_>, bool)> = Vec::new();
        for chart in self.root.all().into_iter().filter(|chart| !chart.library) {
            let files = chart.parsed().filter(|(file, _)| file.is_rendered());
            open.extend(files.map(|(file, parsed)| (Body { chart, file, nodes: &parsed.body }, reached.has(chart))));
        }
        let mut seen: BTreeSet<(&str, bool)> = BTreeSet::new();
        let mut undefined: BTreeMap<(&str, &str, usize), Undefined<'_, '_>> = BTreeMap::new();
        while let Some((body, surely)) = open.pop() {
            for one in template::uses_of(body.nodes) {
                let Name::Constant(name) = one.name else { continue };
                let surely = surely && !one.conditional;
                if let Some((name, bodies)) = self.defined.get_key_value(name.as_str()) {
                    let surely = surely && bodies.len() == 1;
                    if seen.insert((name, surely)) {
                        open.extend(bodies.iter().map(|body| (*body, surely)));
                    }
                } else if !self.files.contains(&name) {
                    let key = (body.chart.directory.as_str(), body.file.path, one.span.start);
                    let new = Undefined { body, span: one.span, name, surely };
                    undefined.entry(key).or_insert(new).surely |= surely;
                }
            }
        }
        for one in undefined.values() {
            self.report(one, found);
        }
    }

    fn report(&self, undefined: &Undefined<'_, '_>, found: &mut Findings) {
        let Undefined { body, span, name, surely } = undefined;
        let place = body.chart.place(body.file.path, &body.file.text, span.clone());
        let shown = name.escape_debug();
        let finding = found.add(&TEMPLATE_UNDEFINED, place, format!("the template `{shown}` is not defined"));
        if !surely {
            finding.severity(Severity::Warning);
        }
        if let Some(near) = nearest(name, self.defined.keys().copied()) {
            finding.help(format!("did you mean `{near}`?"));
        }
    }
}

/// A use of a template that no file defines.
struct Undefined<'c, 'a> {
    body: Body<'c, 'a>,
    span: Range<usize>,
    name: String,
    /// Whether the template is rendered for all values.
    surely: bool,
}
