//! Findings with the lines of their files, in the form that rustc uses, and the catalogue in Markdown.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};

use crate::lint::rule::{Class, Rule, Severity};
use crate::lint::{Report, Reported, rule, rules};
use crate::text::{clean, counted, nearest, shown};

/// Longest line of prose on the page of the catalogue, in characters.
const PAGE_WIDTH: usize = 119;

/// Returns the findings with their lines, followed by a summary. The first finding of each rule also says what happens because of it.
pub fn text(report: &Report, colour: bool, width: usize) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.term_width(width);
    let (mut text, mut explained) = (String::new(), BTreeSet::new());
    for finding in &report.findings {
        let group = group(finding, explained.insert(finding.rule.id));
        let _ = writeln!(text, "{}\n", renderer.render(&[group]));
    }
    for judge in &report.judges {
        let name = shown(&judge.name);
        let _ = match (&judge.version, &judge.not_asked) {
            (_, Some(reason)) => writeln!(text, "{name} did not check the release: {}", clean(reason)),
            (version, None) => writeln!(text, "checked with {name} {}", shown(version.as_deref().unwrap_or_default())),
        };
    }
    for timing in &report.timings {
        let _ =
            writeln!(text, "{:>9.3} ms  {}", Duration::from_micros(timing.micros).as_secs_f64() * 1000.0, timing.topic);
    }
    if let Some(reason) = &report.ignored_because {
        let _ = writeln!(text, "errors do not stop the publication: {}", shown(reason));
    }
    let _ = writeln!(text, "{}: {}", shown(&report.subject), summary(report));
    text
}

/// Returns one line for each finding: `SEVERITY[RULE]: FILE:LINE:COLUMN: MESSAGE`.
pub fn lines(report: &Report) -> Vec<String> {
    report.findings.iter().map(line).collect()
}

/// Reports whether a text has the form of [`lines`], so that it needs no other word for its severity before it.
pub fn is_line(text: &str) -> bool {
    let starts = |severity: Severity| text.strip_prefix(severity.as_str()).is_some_and(|rest| rest.starts_with('['));
    [Severity::Note, Severity::Warning, Severity::Error].into_iter().any(starts)
}

fn line(finding: &Reported) -> String {
    let Reported { rule, severity, file, line, column, message, .. } = finding;
    format!("{}[{}]: {}:{line}:{column}: {}", severity.as_str(), rule.id, shown(file), clean(message))
}

/// Returns the numbers of findings in words, such as `2 errors, 1 warning, 3 allowed`.
pub(in crate::lint) fn summary(report: &Report) -> String {
    let counts = [
        (report.count(Severity::Error), "error"),
        (report.count(Severity::Warning), "warning"),
        (report.count(Severity::Note), "note"),
    ];
    let mut parts: Vec<String> = Vec::new();
    for (count, word) in counts.into_iter().filter(|(count, _)| *count > 0) {
        parts.push(counted(count, word, &format!("{word}s")));
    }
    if parts.is_empty() {
        parts.push("no findings".to_owned());
    }
    if !report.allowed.is_empty() {
        parts.push(format!("{} allowed", report.allowed.len()));
    }
    parts.join(", ")
}

fn group(finding: &Reported, explains: bool) -> Group<'static> {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level.primary_title(clean(&finding.message)).id(finding.rule.id);
    let verdict = explains.then(|| Level::NOTE.message(finding.rule.verdict));
    title.element(place(finding)).elements(verdict).element(Level::HELP.message(clean(&finding.help)))
}

fn place(finding: &Reported) -> Element<'static> {
    let path = shown(&finding.file);
    let Some(excerpt) = &finding.excerpt else {
        return Origin::path(path).line(finding.line).char_column(finding.column).into();
    };
    let characters = |from: usize, count: usize| excerpt.chars().skip(from).take(count).collect::<String>();
    let start = finding.column.saturating_sub(1);
    // Escaping makes the line longer, so the span is counted in the escaped text.
    let (before, marked) = (clean(&characters(0, start)), clean(&characters(start, finding.width)));
    let after = clean(&characters(start + finding.width, usize::MAX));
    let span = before.len()..before.len() + marked.len();
    let snippet = Snippet::source(before + &marked + &after).line_start(finding.line).path(path);
    snippet.annotation(AnnotationKind::Primary.span(span)).into()
}

/// Returns the explanation of the rule with the given id, or the page of the whole catalogue for `all`.
///
/// # Errors
/// Fails if the rule is unknown. The error is a hint that names a similar rule, or the command that lists the rules.
pub fn explained(id: &str) -> Result<String, String> {
    match rule(id) {
        Some(rule) => Ok(explain(rule)),
        None if id == "all" => Ok(markdown()),
        None => Err(match nearest(id, rules().map(|rule| rule.id)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "run `alga-release lint --explain all` for the list of rules".to_owned(),
        }),
    }
}

/// Returns the explanation of a rule for a terminal.
fn explain(rule: &Rule) -> String {
    let mut text = format!("{} [{}]: {}\n\n", rule.id, rule.severity.as_str(), rule.title);
    let _ = writeln!(text, "{}\n\nExample:", rule.verdict);
    for line in rule.example.lines() {
        let _ = writeln!(text, "    {line}");
    }
    let _ = writeln!(text, "\n{}", sentence(rule.way_out));
    text
}

/// Returns a hint as a sentence that begins with a capital letter and ends with a period.
fn sentence(hint: &str) -> String {
    let mut characters = hint.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).chain(['.']).collect()
}

/// Breaks a paragraph of Markdown into lines of at most [`PAGE_WIDTH`] columns. Code in backticks stays on one line.
fn wrapped(paragraph: &str) -> String {
    let (mut text, mut column, mut in_code) = (String::new(), 0, false);
    let mut words = paragraph.split(' ').peekable();
    while let Some(word) = words.next() {
        let mut piece = word.to_owned();
        in_code ^= word.matches('`').count() % 2 == 1;
        while let Some(word) = words.next_if(|_| in_code) {
            piece = piece + " " + word;
            in_code ^= word.matches('`').count() % 2 == 1;
        }
        let width = piece.chars().count();
        let breaks = column > 0 && column + 1 + width > PAGE_WIDTH;
        text += if breaks { "\n" } else { [" ", ""][usize::from(column == 0)] };
        column = if breaks || column == 0 { width } else { column + 1 + width };
        text += &piece;
    }
    text
}

/// Returns the page of the catalogue in Markdown.
fn markdown() -> String {
    let mut text = String::from(
        "# What is checked before anything is published\n\n\
         `alga-release lint` checks a source tree, or a release in a store, without publishing anything. `publish`, `verify`,\n\
         `promote` and `diff` run the same checks. A finding has one of three severities:\n\n\
         - An **error** is something that kustomize, Flux, Helm or the appliance refuses. A release with an error is neither\n\
         \x20 published nor promoted.\n\
         - A **warning** means that the release installs, but may not behave as its author expects.\n\
         - A **note** names something that could not be checked.\n\n\
         If a finding is intended, allow it and give a reason. There are two ways:\n\n\
         - Write a comment on the line, or alone on the line above: `# alga-lint: allow RULE REASON`. In a template, the\n\
         \x20 comment is `{{/* alga-lint: allow RULE REASON */}}`.\n\
         - Add an entry to `alga-release.yaml`:\n\n\
         ```yaml\n\
         lint:\n\
         \x20 rules:\n\
         \x20   - rule: values-unread-key\n\
         \x20     path: flux/profiles/**\n\
         \x20     severity: \"off\" # off, note, warning or error\n\
         \x20     reason: the operator reads these\n\
         \x20 external: # objects that exist in the cluster without the overlay\n\
         \x20   - Secret/apps/registry\n\
         \x20 kubernetes: \"1.29-1.33\" # the Kubernetes versions that the product supports\n\
         ```\n\n\
         `alga-release lint --explain RULE` prints the explanation of one rule.\n",
    );
    for class in Class::ALL {
        let of_class: Vec<&Rule> = rules().filter(|rule| rule.class == class).collect();
        if of_class.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n## {}", class.title());
        for rule in of_class {
            let _ = writeln!(text, "\n### {}\n\n**{}**: {}.\n", rule.id, rule.severity.as_str(), rule.title);
            let (verdict, way_out) = (wrapped(rule.verdict), wrapped(&sentence(rule.way_out)));
            let _ = writeln!(text, "{verdict}\n\n```yaml\n{}\n```\n\n{way_out}", rule.example.trim_end());
        }
    }
    text
}
