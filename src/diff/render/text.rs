//! Renders a comparison for a terminal or a log: the summary first, then every change. Digests are shortened.

use super::Diff;
use super::outline::{self, Block, Entry, Mark, Span, Tone};

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether ANSI colours are used.
    pub colour: bool,
    /// Columns at which sentences are wrapped; `usize::MAX` where the output is not a terminal. Lines of files are never wrapped.
    pub width: usize,
}

impl Style {
    /// Puts the code of a colour around a text, where colours are used.
    pub(super) fn painted(self, colour: &str, text: &str) -> String {
        if self.colour && !text.is_empty() { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

const BOLD: &str = "1";
const FAINT: &str = "2";
pub(super) const RED: &str = "31";
pub(super) const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";

/// Renders a comparison as text.
pub fn render(diff: &Diff, style: Style) -> String {
    let outline = outline::of(diff);
    let mut page = Page { text: String::new(), style };
    page.sentence("", 2, &[outline::title(super::title(diff))]);
    for (label, spans) in &outline.sides {
        page.sentence(&format!("  {label:5}"), 7, spans);
    }
    page.sentence("", 2, &[outline::plain(outline.summary.clone())]);
    for section in &outline.sections {
        page.line("");
        page.line(&style.painted(BOLD, section.title));
        for entry in &section.entries {
            page.entry(entry, 1);
        }
    }
    page.text
}

struct Page {
    text: String,
    style: Style,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn entry(&mut self, entry: &Entry, depth: usize) {
        let (mark, colour) = match entry.mark {
            Mark::Added => ("+", GREEN),
            Mark::Removed => ("-", RED),
            Mark::Changed => ("~", YELLOW),
            Mark::Danger => ("DANGER ", RED),
            Mark::Warning => ("warning", YELLOW),
            Mark::Note => (" ", FAINT),
        };
        let first = format!("{}{} ", "  ".repeat(depth), self.style.painted(colour, mark));
        self.sentence(&first, 2 * depth + mark.len() + 1, &entry.spans);
        for block in &entry.details {
            match block {
                Block::Entry(entry) => self.entry(entry, depth + 1),
                Block::Lines(lines) => self.lines(lines, depth + 1),
            }
        }
    }

    /// Prints words after `first`. Further lines are indented by `indent` columns, which is also the width of `first` without colours.
    fn sentence(&mut self, first: &str, indent: usize, spans: &[Span]) {
        let (mut line, mut column) = (first.to_owned(), if first.is_empty() { 0 } else { indent });
        for span in spans {
            let colour = match span.tone {
                Tone::Plain => "",
                Tone::Code => CYAN,
                Tone::Faint => FAINT,
                Tone::Title => BOLD,
            };
            let paint = |style: Style, words: &str| {
                if colour.is_empty() { words.to_owned() } else { style.painted(colour, words) }
            };
            // Words of one line are painted together.
            let mut words = String::new();
            for word in super::short_digests(&span.text).split_inclusive(' ') {
                let width = word.trim_end().chars().count();
                if column > indent && column.saturating_add(width) > self.style.width {
                    line += &paint(self.style, words.trim_end());
                    self.line(&line);
                    words.clear();
                    (line, column) = (" ".repeat(indent), indent);
                }
                words += word;
                column += word.chars().count();
            }
            line += &paint(self.style, &words);
        }
        self.line(&line);
    }

    fn lines(&mut self, lines: &[String], depth: usize) {
        let indent = "  ".repeat(depth);
        for line in lines {
            let painted = match line.as_bytes().first() {
                Some(b'+') => self.style.painted(GREEN, line),
                Some(b'-') => self.style.painted(RED, line),
                Some(b'@') => self.style.painted(CYAN, line),
                _ => line.clone(),
            };
            self.text.push_str(&indent);
            self.text.push_str(&painted);
            self.text.push('\n');
        }
    }
}
