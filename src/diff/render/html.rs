//! Renders a comparison as one HTML page without scripts and remote parts, so that it looks the same under the content security
//! policy of Argo's UI as from a file. Folds are `<details>`, which the keyboard can open.

use std::fmt::Write as _;

use super::Diff;
use super::outline::{self, Block, Entry, Mark, Span, Tone};
use crate::text::{markup, shown};

/// Most lines of a fold that is open at first.
const OPEN: usize = 60;

const STYLE: &str = include_str!("page.css");

/// Content security policy of the page, no wider than that of Argo's UI.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Renders a comparison as a page.
pub fn render(diff: &Diff) -> String {
    let outline = outline::of(diff);
    let title = markup(&super::title(diff));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n<dl>\n"
    );
    for (label, spans) in &outline.sides {
        let _ = writeln!(page, "<dt>{label}</dt><dd>{}</dd>", inline(spans));
    }
    let _ = write!(page, "</dl>\n<p class=\"summary\">{}</p>\n", markup(&outline.summary));
    for section in &outline.sections {
        let (title, count) = (markup(section.title), section.entries.len());
        let _ = write!(page, "<section>\n<h2>{title} <small>{count}</small></h2>\n<ul>\n");
        section.entries.iter().for_each(|entry| item(entry, &mut page));
        page += "</ul>\n</section>\n";
    }
    if let Some(graph) = &diff.graph {
        let version = markup(&shown(&diff.to.version));
        let _ = write!(page, "<section>\n<h2>Release {version} and everything that it names</h2>\n");
        let _ = write!(page, "<div class=\"graph\" tabindex=\"0\">\n{}</div>\n</section>\n", graph.svg());
    }
    page + "</main>\n</body>\n</html>\n"
}

fn item(entry: &Entry, page: &mut String) {
    let (class, mark) = match entry.mark {
        Mark::Added => ("added", "added"),
        Mark::Removed => ("removed", "removed"),
        Mark::Changed => ("changed", "changed"),
        Mark::Danger => ("danger", "danger"),
        Mark::Warning => ("warning", "warning"),
        Mark::Note => ("note", ""),
    };
    let mark = if mark.is_empty() { String::new() } else { format!("<span class=\"mark\">{mark}</span> ") };
    let head = format!("{mark}{}", inline(&entry.spans));
    let _ = write!(page, "<li class=\"{class}\">");
    if entry.details.is_empty() {
        let _ = writeln!(page, "{head}</li>");
        return;
    }
    let open = if size(entry) <= OPEN { " open" } else { "" };
    let _ = writeln!(page, "<details{open}><summary>{head}</summary>");
    let mut listed = false;
    for block in &entry.details {
        match block {
            Block::Entry(entry) => {
                *page += if listed { "" } else { "<ul>\n" };
                listed = true;
                item(entry, page);
            }
            Block::Lines(text) => {
                *page += if listed { "</ul>\n" } else { "" };
                listed = false;
                lines(text, page);
            }
        }
    }
    *page += if listed { "</ul>\n" } else { "" };
    *page += "</details></li>\n";
}

fn size(entry: &Entry) -> usize {
    let block = |block: &Block| match block {
        Block::Entry(entry) => 1 + size(entry),
        Block::Lines(lines) => lines.len(),
    };
    entry.details.iter().map(block).sum()
}

/// Writes the lines of a diff. Long lines scroll on their own, by the keyboard too: the block takes the focus.
fn lines(lines: &[String], page: &mut String) {
    *page += "<pre tabindex=\"0\"><span>";
    for line in lines {
        let text = markup(line);
        let _ = match line.as_bytes().first() {
            Some(b'+') => writeln!(page, "<ins>{text}</ins>"),
            Some(b'-') => writeln!(page, "<del>{text}</del>"),
            Some(b'@') => writeln!(page, "<i>{text}</i>"),
            _ => writeln!(page, "{text}"),
        };
    }
    *page += "</span></pre>\n";
}

fn inline(spans: &[Span]) -> String {
    let span = |span: &Span| match span.tone {
        Tone::Plain | Tone::Title => markup(&span.text),
        Tone::Faint => format!("<small>{}</small>", markup(&span.text)),
        Tone::Code => format!("<code>{}</code>", markup(&span.text)),
    };
    spans.iter().map(span).collect()
}
