//! Findings with the line that they are about, as rustc shows them; and the catalogue in Markdown.

use std::fmt::Write as _;
use std::time::Duration;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};

use crate::config::nearest;
use crate::lint::rule::{Class, Rule, Severity};
use crate::lint::{Report, Reported, rule, rules};
use crate::text::{clean, shown};

/// Returns the findings with their lines, and a summary.
pub fn text(report: &Report, colour: bool, width: usize) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.term_width(width);
    let mut text = String::new();
    for finding in &report.findings {
        let _ = writeln!(text, "{}\n", renderer.render(&[group(finding)]));
    }
    for judge in &report.judges {
        let name = shown(&judge.name);
        let _ = match (&judge.version, &judge.not_asked) {
            (_, Some(reason)) => writeln!(text, "{name} was not asked: {}", clean(reason)),
            (version, None) => writeln!(text, "asked {name} {}", shown(version.as_deref().unwrap_or_default())),
        };
    }
    for timing in &report.timings {
        let _ =
            writeln!(text, "{:>9.3} ms  {}", Duration::from_micros(timing.micros).as_secs_f64() * 1000.0, timing.topic);
    }
    if let Some(reason) = &report.ignored_because {
        let _ = writeln!(text, "errors do not refuse the release: {}", shown(reason));
    }
    let _ = writeln!(text, "{}: {}", shown(&report.subject), summary(report));
    text
}

/// Returns one line for each finding: `SEVERITY[RULE] FILE:LINE:COLUMN: MESSAGE`.
pub fn lines(report: &Report) -> Vec<String> {
    report.findings.iter().map(line).collect()
}

fn line(finding: &Reported) -> String {
    let Reported { rule, severity, file, line, column, message, .. } = finding;
    format!("{}[{}] {}:{line}:{column}: {}", severity.as_str(), rule.id, shown(file), clean(message))
}

/// Returns `2 errors, 1 warning, 3 allowed`.
pub(in crate::lint) fn summary(report: &Report) -> String {
    let counts = [
        (report.count(Severity::Error), "error"),
        (report.count(Severity::Warning), "warning"),
        (report.count(Severity::Note), "note"),
    ];
    let mut parts: Vec<String> = Vec::new();
    for (count, word) in counts.into_iter().filter(|(count, _)| *count > 0) {
        parts.push(format!("{count} {word}{}", if count == 1 { "" } else { "s" }));
    }
    if parts.is_empty() {
        parts.push("nothing found".to_owned());
    }
    if !report.allowed.is_empty() {
        parts.push(format!("{} allowed", report.allowed.len()));
    }
    parts.join(", ")
}

fn group(finding: &Reported) -> Group<'static> {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level.primary_title(clean(&finding.message)).id(finding.rule.id);
    title.element(place(finding)).element(Level::HELP.message(clean(&finding.help)))
}

fn place(finding: &Reported) -> Element<'static> {
    let path = shown(&finding.file);
    let Some(excerpt) = &finding.excerpt else {
        return Origin::path(path).line(finding.line).char_column(finding.column).into();
    };
    let characters = |from: usize, count: usize| excerpt.chars().skip(from).take(count).collect::<String>();
    let start = finding.column.saturating_sub(1);
    // Escaping makes the line longer, so the span is counted in what is shown.
    let (before, marked) = (clean(&characters(0, start)), clean(&characters(start, finding.width)));
    let after = clean(&characters(start + finding.width, usize::MAX));
    let span = before.len()..before.len() + marked.len();
    let snippet = Snippet::source(before + &marked + &after).line_start(finding.line).path(path);
    snippet.annotation(AnnotationKind::Primary.span(span)).into()
}

/// Returns what the rule with an id is about; for `all`, the page of the catalogue.
///
/// # Errors
/// When the rule is unknown: the error says where the rules are listed.
pub fn explained(id: &str) -> Result<String, String> {
    match rule(id) {
        Some(rule) => Ok(explain(rule)),
        None if id == "all" => Ok(markdown()),
        None => Err(match nearest(id, rules().map(|rule| rule.id)) {
            Some(near) => format!("Did you mean `{near}`?"),
            None => "`alga-release lint --explain all` prints every rule.".to_owned(),
        }),
    }
}

/// Returns what a rule is about, for a terminal.
fn explain(rule: &Rule) -> String {
    let mut text = format!("{} [{}]: {}\n\n", rule.id, rule.severity.as_str(), rule.title);
    let _ = writeln!(text, "{}\n\nExample:", rule.verdict);
    for line in rule.example.lines() {
        let _ = writeln!(text, "    {line}");
    }
    let _ = writeln!(text, "\n{}", rule.way_out);
    text
}

/// Returns the page of the catalogue.
fn markdown() -> String {
    let mut text = String::from(
        "# What is checked before anything is published\n\n\
         `alga-release lint` checks a source tree, or a release of a store, without publishing it. `publish`, `verify`, `promote` and\n\
         `diff` run the same checks. An **error** is something that kustomize, Flux, Helm or the appliance refuses: such a release is\n\
         not published and not promoted. A **warning** installs, and may not do what its author expects. A **note** says what could\n\
         not be checked.\n\n\
         A finding that is as it should be is allowed, with a reason: by a comment on the line, or on a line of its own above it\n\
         (`# alga-lint: allow RULE REASON`; in a template `{{/* alga-lint: allow RULE REASON */}}`), or in `alga-release.yaml`:\n\n\
         ```yaml\n\
         lint:\n\
         \x20 rules:\n\
         \x20   - rule: values-unread-key\n\
         \x20     path: flux/profiles/**\n\
         \x20     severity: \"off\" # off, note, warning or error\n\
         \x20     reason: the operator reads these\n\
         \x20 external: # objects that the cluster has without the overlay\n\
         \x20   - Secret/apps/registry\n\
         \x20 kubernetes: \"1.29-1.33\" # the versions that the product runs on\n\
         ```\n\n\
         `alga-release lint --explain RULE` prints the entry of a rule.\n",
    );
    for class in Class::ALL {
        let of_class: Vec<&Rule> = rules().filter(|rule| rule.class == class).collect();
        if of_class.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n## {}", class.title());
        for rule in of_class {
            let _ = writeln!(text, "\n### {}\n\n**{}**: {}.\n", rule.id, rule.severity.as_str(), rule.title);
            let _ = writeln!(text, "{}\n\n```yaml\n{}\n```\n\n{}", rule.verdict, rule.example.trim_end(), rule.way_out);
        }
    }
    text
}
