//! What every rendering for people says, and in which order; how it looks is theirs.

use super::super::chart::{ChartChange, FileChange, Part};
use super::super::fields::FieldChange;
use super::super::lines::{Blob, Change, Delta};
use super::super::objects::ObjectChange;
use super::super::risk::Level;
use super::super::side::Identity;
use super::super::value::{Count, Diff, ImageChange, ImageState};

/// How a piece of text is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Our own words.
    Plain,
    /// From outside: a name, a value.
    Code,
    /// Our own words, beside the point.
    Faint,
}

/// A piece of text.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub text: String,
    pub tone: Tone,
}

/// What an entry is.
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

/// One thing, and what stands below it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub mark: Mark,
    pub spans: Vec<Span>,
    pub details: Vec<Block>,
}

/// What stands below an entry.
#[derive(Clone, Debug)]
pub(super) enum Block {
    Entry(Entry),
    /// Lines of a unified diff.
    Lines(Vec<String>),
}

/// Entries of one kind.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub title: &'static str,
    pub entries: Vec<Entry>,
}

/// A comparison as people read it.
#[derive(Clone, Debug)]
pub(super) struct Outline {
    pub sides: Vec<(&'static str, Vec<Span>)>,
    pub summary: String,
    pub sections: Vec<Section>,
}

pub(super) fn plain(text: impl Into<String>) -> Span {
    Span { text: text.into(), tone: Tone::Plain }
}

fn faint(text: impl Into<String>) -> Span {
    Span { text: text.into(), tone: Tone::Faint }
}

fn code(text: &str) -> Span {
    Span { text: crate::text::shown(text), tone: Tone::Code }
}

/// A sentence whose names stand between backticks.
fn sentence(text: &str) -> Vec<Span> {
    let part = |(at, part): (usize, &str)| if at % 2 == 0 { plain(part) } else { code(part) };
    text.split('`').enumerate().filter(|(_, part)| !part.is_empty()).map(part).collect()
}

fn entry(mark: impl Into<Mark>, spans: Vec<Span>) -> Entry {
    Entry { mark: mark.into(), spans, details: Vec::new() }
}

/// The outline of a comparison.
pub(super) fn of(diff: &Diff) -> Outline {
    let before = diff.from.as_ref().map_or_else(|| vec![plain("nothing: there is no release yet")], identity);
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
    add("Charts", diff.charts.iter().map(chart).collect());
    add("Images", diff.images.iter().map(image).chain(fields(&diff.extra_images)).collect());
    add("Control plane", fields(diff.control_plane.iter()).collect());
    add("Values", diff.values.iter().map(file).collect());
    add("Objects of the overlay", diff.objects.iter().filter(|object| !object.pin).map(object).collect());
    add("Files of the overlay", diff.overlay.iter().filter(|file| !file.pin).map(file).collect());
    add("Other keys of the release", fields(&diff.other).collect());
    add("Written by the publisher", pins(diff));
    if let Some(rendered) = &diff.rendered {
        let notes = rendered.notes.iter().map(|note| entry(Mark::Note, sentence(note)));
        let programs =
            rendered.programs.iter().map(|program| entry(Mark::Note, vec![plain("rendered by "), code(program)]));
        add("What the cluster would get", programs.chain(notes).chain(rendered.objects.iter().map(object)).collect());
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

/// One line: what differs, counted.
fn summary(diff: &Diff) -> String {
    if !diff.has_changes {
        return "the same release: nothing differs".to_owned();
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
        parts.push(format!("{} pins of the publisher", summary.pins));
    }
    if parts.is_empty() { "nothing differs but the release itself".to_owned() } else { parts.join(" · ") }
}

fn counted(what: &str, count: Count) -> String {
    let total = count.total();
    let kinds = [(count.added, "added"), (count.removed, "removed"), (count.changed, "changed")];
    let kinds: Vec<String> = kinds.iter().filter(|(n, _)| *n > 0).map(|(n, kind)| format!("{n} {kind}")).collect();
    let plural = if total == 1 { "" } else { "s" };
    match &kinds[..] {
        [_] => format!("{total} {what}{plural} {}", kinds[0].split(' ').next_back().unwrap_or_default()),
        _ => format!("{total} {what}{plural} ({})", kinds.join(", ")),
    }
}

/// `from → to`, or the one that there is.
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
        spans.push(plain(", repacked, same content"));
    }
    if chart.external {
        spans.push(plain(", from a repository of somebody else: not looked into"));
    }
    let mut entry = entry(chart.change, spans);
    let short = |state: &super::super::chart::ChartState| state.digest.as_ref().map(|digest| code(digest.as_str()));
    let digests = arrow(from.and_then(short), to.and_then(short));
    if !digests.is_empty() {
        entry.details.push(note([vec![faint("digest ")], digests].concat()));
    }
    if let Some(reason) = &chart.not_compared {
        entry.details.push(note(vec![plain("files not compared: "), code(reason)]));
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
    let mut entry = entry(file.change, vec![plain(part), code(&file.path)]);
    entry.spans.retain(|span| !span.text.is_empty());
    delta(&file.delta, &mut entry);
    entry
}

/// Adds how content differs: counts beside the name, lines below it.
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
            // Of what is new as a whole, the count says it.
            if *omitted > 0 && !(hunks.is_empty() && *omitted == *added) {
                entry.details.push(note(vec![plain(format!("{omitted} lines more are not shown"))]));
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

/// What the publisher wrote, folded together: it follows from the rest.
fn pins(diff: &Diff) -> Vec<Entry> {
    let mut entries: Vec<Entry> = diff.objects.iter().filter(|change| change.pin).map(object).collect();
    let bundle = diff.bundle.as_ref().map(|bundle| {
        let digests = arrow(bundle.from.as_ref().map(|from| code(from.as_str())), Some(code(bundle.to.as_str())));
        entry(Mark::Changed, [vec![plain("config bundle ")], digests].concat())
    });
    entries.extend(bundle);
    entries
}
