//! The sentences that text, Markdown and HTML share, in their order. Each of these renderings decides only how they look.

use super::super::chart::{ChartChange, FileChange, Part};
use super::super::fields::FieldChange;
use super::super::lines::{Blob, Change, Delta};
use super::super::objects::ObjectChange;
use super::super::random::RandomFields;
use super::super::risk::Level;
use super::super::side::Identity;
use super::super::value::{Count, Diff, ImageChange, ImageState};

/// The role of a piece of text, from which a rendering chooses how the text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Words of the program.
    Plain,
    /// A name or a value that comes from a release.
    Code,
    /// Words of the program that a reader may skip.
    Faint,
    /// The title of the report.
    Title,
}

/// A piece of a sentence.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub text: String,
    pub tone: Tone,
}

/// The sign before an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Added,
    Removed,
    Changed,
    Danger,
    Warning,
    Note,
}

impl From<Change> for Mark {
    fn from(change: Change) -> Self {
        match change {
            Change::Added => Self::Added,
            Change::Removed => Self::Removed,
            Change::Changed => Self::Changed,
        }
    }
}

/// One change, with its details.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub mark: Mark,
    pub spans: Vec<Span>,
    pub details: Vec<Block>,
}

/// A detail of an entry.
#[derive(Clone, Debug)]
pub(super) enum Block {
    Entry(Entry),
    /// Lines of a unified diff.
    Lines(Vec<String>),
}

/// A title with the entries below it.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub title: &'static str,
    pub entries: Vec<Entry>,
}

/// The parts of a report.
#[derive(Clone, Debug)]
pub(super) struct Outline {
    pub sides: Vec<(&'static str, Vec<Span>)>,
    pub summary: String,
    pub sections: Vec<Section>,
}

pub(super) fn plain(text: impl Into<String>) -> Span {
    Span { text: text.into(), tone: Tone::Plain }
}

pub(super) fn title(text: String) -> Span {
    Span { text, tone: Tone::Title }
}

fn faint(text: impl Into<String>) -> Span {
    Span { text: text.into(), tone: Tone::Faint }
}

fn code(text: &str) -> Span {
    Span { text: crate::text::shown(text), tone: Tone::Code }
}

/// Splits a sentence at its backticks, between which names are.
fn sentence(text: &str) -> Vec<Span> {
    let part = |(at, part): (usize, &str)| if at % 2 == 0 { plain(part) } else { code(part) };
    text.split('`').enumerate().filter(|(_, part)| !part.is_empty()).map(part).collect()
}

fn entry(mark: impl Into<Mark>, spans: Vec<Span>) -> Entry {
    Entry { mark: mark.into(), spans, details: Vec::new() }
}

/// Returns the outline of a comparison.
pub(super) fn of(diff: &Diff) -> Outline {
    let before = diff.from.as_ref().map_or_else(|| vec![plain("no release yet")], identity);
    let sides = vec![("from", before), ("to", identity(&diff.to))];
    let mut sections = Vec::new();
    let mut add = |title, entries: Vec<Entry>| {
        if !entries.is_empty() {
            sections.push(Section { title, entries });
        }
    };
    let risk = |risk: &super::super::risk::Risk| {
        let mark = if risk.level == Level::Danger { Mark::Danger } else { Mark::Warning };
        entry(mark, sentence(&risk.text))
    };
    add("Risks", diff.risks.iter().map(risk).collect());
    add("Not compared", diff.notes.iter().map(|note| entry(Mark::Note, sentence(note))).collect());
    let open = diff.not_covered.iter().flatten();
    add("Not covered by the signature", open.map(|one| entry(Mark::Note, vec![code(one)])).collect());
    add("Charts", diff.charts.iter().map(chart).collect());
    add("Images", diff.images.iter().map(image).chain(fields(&diff.extra_images)).collect());
    add("Control plane", fields(diff.control_plane.iter()).collect());
    add("Values", diff.values.iter().map(file).collect());
    add("Objects of the overlay", diff.objects.iter().filter(|object| !object.pin).map(object).collect());
    add("Files of the overlay", diff.overlay.iter().filter(|file| !file.pin).map(file).collect());
    add("Other keys of the release", fields(&diff.other).collect());
    add("Pins", pins(diff));
    if let Some(rendered) = &diff.rendered {
        let notes = rendered.notes.iter().map(|note| entry(Mark::Note, sentence(note)));
        let programs =
            rendered.programs.iter().map(|program| entry(Mark::Note, vec![plain("rendered by "), code(program)]));
        let random = rendered.random.iter().map(made_at_random);
        add(
            "Rendered objects",
            programs.chain(notes).chain(random).chain(rendered.objects.iter().map(object)).collect(),
        );
    }
    Outline { sides, summary: summary(diff), sections }
}

fn identity(side: &Identity) -> Vec<Span> {
    let mut spans = vec![code(&side.reference)];
    if side.reference != side.version {
        spans.extend([plain(", version "), code(&side.version)]);
    }
    spans.extend([plain(", "), code(side.digest.as_str())]);
    if let Some(moved) = &side.moved {
        spans.push(faint(format!(", move {} ({}) of ", moved.sequence, moved.kind)));
        spans.push(code(&moved.at));
        if let Some(by) = &moved.by {
            spans.extend([faint(" by "), code(by)]);
        }
        if let Some(reason) = &moved.reason {
            spans.extend([faint(": "), code(reason)]);
        }
    }
    spans
}

/// Returns one line with the counts of the changes.
fn summary(diff: &Diff) -> String {
    if !diff.has_changes {
        return "the releases are the same".to_owned();
    }
    let summary = &diff.summary;
    let counts = [
        ("chart", summary.charts),
        ("image", summary.images),
        ("values file", summary.values),
        ("object", summary.objects),
        ("overlay file", summary.overlay),
    ];
    let mut parts: Vec<String> =
        counts.iter().filter(|(_, count)| count.total() > 0).map(|(what, count)| counted(what, *count)).collect();
    if summary.control_plane {
        parts.push("the control plane".to_owned());
    }
    if summary.pins > 0 {
        parts.push(crate::text::counted(summary.pins, "pin", "pins"));
    }
    if parts.is_empty() { "only the release manifest differs".to_owned() } else { parts.join(" · ") }
}

fn counted(what: &str, count: Count) -> String {
    let total = count.total();
    let kinds = [(count.added, "added"), (count.removed, "removed"), (count.changed, "changed")];
    let kinds: Vec<String> = kinds.iter().filter(|(n, _)| *n > 0).map(|(n, kind)| format!("{n} {kind}")).collect();
    let all = crate::text::counted(total, what, &format!("{what}s"));
    match &kinds[..] {
        [_] => format!("{all} {}", kinds[0].split(' ').next_back().unwrap_or_default()),
        _ => format!("{all} ({})", kinds.join(", ")),
    }
}

/// Returns `from → to`, or the only one of the two.
fn arrow(from: Option<Span>, to: Option<Span>) -> Vec<Span> {
    match (from, to) {
        (Some(from), Some(to)) => vec![from, plain(" → "), to],
        (from, to) => from.into_iter().chain(to).collect(),
    }
}

fn chart(chart: &ChartChange) -> Entry {
    let (from, to) = (chart.from.as_ref(), chart.to.as_ref());
    let mut spans = vec![code(&chart.name), plain(" ")];
    let version = |state: &super::super::chart::ChartState| code(&state.version);
    match (from, to) {
        (Some(from), Some(to)) if from.version == to.version => spans.push(code(&to.version)),
        _ => spans.extend(arrow(from.map(version), to.map(version))),
    }
    if chart.repacked {
        spans.push(plain(", repacked with the same content"));
    }
    if chart.external {
        spans.push(plain(", from the repository of another publisher, not compared"));
    }
    let mut entry = entry(chart.change, spans);
    let short = |state: &super::super::chart::ChartState| state.digest.as_ref().map(|digest| code(digest.as_str()));
    let digests = arrow(from.and_then(short), to.and_then(short));
    if !digests.is_empty() {
        entry.details.push(note([vec![faint("digest ")], digests].concat()));
    }
    if let Some(reason) = &chart.not_compared {
        entry.details.push(note(vec![plain("the files were not compared: "), code(reason)]));
    }
    let named = chart.app_version.iter().chain(&chart.dependencies).chain(&chart.metadata);
    entry.details.extend(fields(named).map(Block::Entry));
    entry.details.extend(chart.files.iter().map(|change| Block::Entry(file(change))));
    entry
}

fn note(spans: Vec<Span>) -> Block {
    Block::Entry(entry(Mark::Note, spans))
}

fn file(file: &FileChange) -> Entry {
    let part = match file.part {
        Part::ChartYaml | Part::Overlay | Part::Other => "",
        Part::Values => "values ",
        Part::Schema => "schema ",
        Part::Dependencies => "dependency ",
        Part::Crds => "CRD ",
        Part::Templates => "template ",
    };
    let renamed = file.renamed_from.as_deref();
    let verb = if renamed.is_some() { "renamed " } else { "" };
    let paths = arrow(renamed.map(code), Some(code(&file.path)));
    let mut entry = entry(file.change, [vec![plain(format!("{verb}{part}"))], paths].concat());
    entry.spans.retain(|span| !span.text.is_empty());
    if renamed.is_some() && file.delta.is_same() {
        entry.spans.push(faint(", same content"));
    } else {
        delta(&file.delta, &mut entry);
    }
    entry
}

/// Adds how the content differs: the counts of lines after the name, and the lines below.
fn delta(delta: &Delta, entry: &mut Entry) {
    let size = |blob: &Option<Blob>| blob.as_ref().map(|blob| plain(format!("{} bytes", blob.size)));
    let mut unseen = |what: &str, from: &Option<Blob>, to: &Option<Blob>| {
        entry.spans.push(faint(format!(" {what}: ")));
        entry.spans.extend(arrow(size(from), size(to)));
    };
    match delta {
        Delta::Binary { from, to } => unseen("binary, not shown", from, to),
        Delta::Large { from, to } => unseen("too large to show", from, to),
        Delta::Text { added, removed, hunks, omitted } => {
            entry.spans.push(faint(format!(" +{added} −{removed}")));
            let mut lines = Vec::new();
            for hunk in hunks {
                let (old, new) = ((hunk.old_start, hunk.old_lines), (hunk.new_start, hunk.new_lines));
                lines.push(format!("@@ -{},{} +{},{} @@", old.0, old.1, new.0, new.1));
                lines.extend(hunk.lines.iter().map(|line| super::line(line)));
            }
            if !lines.is_empty() {
                entry.details.push(Block::Lines(lines));
            }
            // Of a file that is new as a whole, no line is shown, and its count is there already.
            if *omitted > 0 && !(hunks.is_empty() && *omitted == *added) {
                entry.details.push(note(vec![plain(format!("{omitted} more lines are not shown"))]));
            }
        }
    }
}

fn fields<'a>(fields: impl IntoIterator<Item = &'a FieldChange>) -> impl Iterator<Item = Entry> {
    fields.into_iter().map(|field| {
        let mut spans = vec![code(&field.path)];
        if field.from.is_some() || field.to.is_some() {
            spans.push(plain(" "));
        }
        spans.extend(arrow(field.from.as_deref().map(code), field.to.as_deref().map(code)));
        if field.pin {
            spans.push(faint(" (pin)"));
        }
        let mut entry = entry(field.change, spans);
        if let Some(lines) = &field.lines {
            delta(lines, &mut entry);
        }
        entry
    })
}

fn image(image: &ImageChange) -> Entry {
    let (from, to) = (image.from.as_ref(), image.to.as_ref());
    let mut spans = vec![code(&image.key), plain(" ")];
    let tag = |state: &ImageState| code(&state.tag);
    match (from, to) {
        (Some(from), Some(to)) if from.tag == to.tag => spans.push(code(&to.tag)),
        _ => spans.extend(arrow(from.map(tag), to.map(tag))),
    }
    let mut entry = entry(image.change, spans);
    let repositories = (from.and_then(|s| s.repository.as_deref()), to.and_then(|s| s.repository.as_deref()));
    let repository = match repositories {
        (Some(a), Some(b)) if a == b => vec![code(b)],
        (a, b) => arrow(a.map(code), b.map(code)),
    };
    if !repository.is_empty() {
        entry.details.push(note([vec![faint("from ")], repository].concat()));
    }
    let digest = |state: Option<&ImageState>| {
        let state = state?;
        Some(state.digest.as_ref().map_or_else(|| plain("not checked"), |digest| code(digest.as_str())))
    };
    let known = [from, to].into_iter().flatten().any(|state| state.digest.is_some());
    let digests = if known { arrow(digest(from), digest(to)) } else { vec![plain("not checked")] };
    entry.details.push(note([vec![faint("digest ")], digests].concat()));
    entry
}

fn object(object: &ObjectChange) -> Entry {
    let mut entry = entry(object.change, vec![code(&object.id.to_string()), faint(" in "), code(&object.file)]);
    entry.details = fields(&object.fields).map(Block::Entry).collect();
    entry
}

fn made_at_random(object: &RandomFields) -> Entry {
    let mut spans = vec![
        code(&object.id.to_string()),
        faint(" in "),
        code(&object.file),
        plain(": made at random, not compared: "),
    ];
    for (at, field) in object.fields.iter().enumerate() {
        spans.extend((at > 0).then(|| plain(", ")));
        spans.push(code(field));
    }
    entry(Mark::Note, spans)
}

/// Returns the pins, which follow from the other changes.
fn pins(diff: &Diff) -> Vec<Entry> {
    let mut entries: Vec<Entry> = diff.objects.iter().filter(|change| change.pin).map(object).collect();
    let bundle = diff.bundle.as_ref().map(|bundle| {
        let digests = arrow(bundle.from.as_ref().map(|from| code(from.as_str())), Some(code(bundle.to.as_str())));
        entry(Mark::Changed, [vec![plain("config bundle ")], digests].concat())
    });
    entries.extend(bundle);
    entries
}
