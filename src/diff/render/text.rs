//! For a terminal or a log: the summary first, then everything.

use super::Diff;
use super::outline::{self, Block, Entry, Mark, Span, Tone};

/// How a terminal shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// ANSI colours?
    pub colour: bool,
    /// Columns; sentences are wrapped there, lines of files are not.
    pub width: usize,
}

const BOLD: &str = "1";
const FAINT: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";

/// Renders a comparison.
pub fn render(diff: &Diff, style: Style) -> String {
    let outline = outline::of(diff);
    let mut page = Page { text: String::new(), style };
    page.line(&page.painted(BOLD, &super::title(diff)));
    for (label, spans) in &outline.sides {
        page.sentence(&format!("  {label:5}"), 7, spans);
    }
    page.sentence("", 0, &[outline::plain(outline.summary.clone())]);
    for section in &outline.sections {
        page.line("");
        page.line(&page.painted(BOLD, section.title));
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

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.style.colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
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
        let first = format!("{}{} ", "  ".repeat(depth), self.painted(colour, mark));
        self.sentence(&first, 2 * depth + mark.len() + 1, &entry.spans);
        for block in &entry.details {
            match block {
                Block::Entry(entry) => self.entry(entry, depth + 1),
                Block::Lines(lines) => self.lines(lines, depth + 1),
            }
        }
    }

    /// Words, wrapped; further lines stand below the first word. `indent` is the width of `first` as it is seen.
    fn sentence(&mut self, first: &str, indent: usize, spans: &[Span]) {
        let (mut line, mut column) = (first.to_owned(), indent);
        for span in spans {
            for word in span.text.split_inclusive(' ') {
                let width = word.trim_end().chars().count();
                if column > indent && column + width > self.style.width {
                    self.line(&line);
                    (line, column) = (" ".repeat(indent), indent);
                }
                let colour = match span.tone {
                    Tone::Plain => None,
                    Tone::Code => Some(CYAN),
                    Tone::Faint => Some(FAINT),
                };
                line += &colour.map_or_else(|| word.to_owned(), |colour| self.painted(colour, word));
                column += word.chars().count();
            }
        }
        self.line(&line);
    }

    fn lines(&mut self, lines: &[String], depth: usize) {
        let indent = "  ".repeat(depth);
        for line in lines {
            let painted = match line.as_bytes().first() {
                Some(b'+') => self.painted(GREEN, line),
                Some(b'-') => self.painted(RED, line),
                Some(b'@') => self.painted(CYAN, line),
                _ => line.clone(),
            };
            self.text.push_str(&indent);
            self.text.push_str(&painted);
            self.text.push('\n');
        }
    }
}
