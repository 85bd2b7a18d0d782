//! Renders a comparison as Markdown for a pull request or the summary of a job: folded, and never longer than a comment may be. Text
//! from outside is in `<code>`, where it makes neither links nor mentions. Digests are shortened.

use std::fmt::Write as _;

use super::Diff;
use super::outline::{self, Block, Entry, Mark, Outline, Span, Tone};

/// Most characters that a comment may have. <https://github.com/orgs/community/discussions/27190>
pub const LIMIT: usize = 65_536;

const CUT: &str = "\n**Cut here, at the longest that a comment may be.** ";

/// Counts of lines that are shown of each listing. Each is tried until every change is named.
const LISTINGS: [usize; 5] = [usize::MAX, 200, 40, 10, 0];

/// Renders a comparison as Markdown. A comparison that is too long loses lines of files before it loses names.
pub fn render(diff: &Diff) -> String {
    render_within(diff, LIMIT)
}

/// Renders a comparison in at most `limit` characters, for a comment that has other text too.
pub fn render_within(diff: &Diff, limit: usize) -> String {
    let outline = outline::of(diff);
    let title = super::title(diff);
    let mut pages = LISTINGS.iter().map(|shown| Page::of(&outline, &title, limit, *shown)).peekable();
    loop {
        match pages.next() {
            Some(page) if page.left_out == 0 || pages.peek().is_none() => return page.finish(),
            Some(_) => {}
            None => return String::new(),
        }
    }
}

struct Page {
    text: String,
    /// Length of the text in characters.
    length: usize,
    /// Most characters that the text may have.
    limit: usize,
    /// Characters that are needed to close the open folds.
    reserved: usize,
    /// Most lines that are shown of a listing.
    shown: usize,
    /// Count of entries that did not fit.
    left_out: usize,
    /// Count of lines of listings that are not shown.
    lines: usize,
}

impl Page {
    fn of(outline: &Outline, title: &str, limit: usize, shown: usize) -> Self {
        let reserved = CUT.len() + 200;
        let mut page = Self { text: String::new(), length: 0, limit, reserved, shown, left_out: 0, lines: 0 };
        page.put(&format!("## {}\n\n", escaped(title)));
        for (label, spans) in &outline.sides {
            page.put(&format!("- **{label}** {}\n", inline(spans)));
        }
        page.put(&format!("\n{}\n", escaped(&outline.summary)));
        for section in &outline.sections {
            if !page.put(&format!("\n### {} ({})\n\n", section.title, section.entries.len())) {
                page.left_out += section.entries.len();
                continue;
            }
            for entry in &section.entries {
                page.entry(entry, 0);
            }
        }
        page
    }

    fn finish(mut self) -> String {
        if self.left_out + self.lines > 0 {
            let (entries, lines) = (self.left_out, self.lines);
            let rest = "`alga-release diff` with `--output html` shows everything.";
            self.text.push_str(CUT);
            let _ = writeln!(self.text, "{entries} entries and {lines} lines are left out; {rest}");
        }
        self.text
    }

    /// Appends a text if it fits, and reports whether it did.
    fn put(&mut self, text: &str) -> bool {
        let length = text.chars().count();
        let fits = self.length + length + self.reserved <= self.limit;
        if fits {
            self.text.push_str(text);
            self.length += length;
        }
        fits
    }

    fn entry(&mut self, entry: &Entry, depth: usize) {
        let (mark, spans) = (mark(entry.mark), inline(&entry.spans));
        let leaf = entry.details.is_empty();
        let tail = "\n</details>\n\n";
        if leaf {
            // In a fold, a list begins after an empty line, which the summary of every fold ends with.
            self.left_out += usize::from(!self.put(&format!("- {mark}{spans}\n")));
            return;
        }
        self.reserved += tail.len();
        let quote = if depth == 0 { "" } else { "\n" };
        if self.put(&format!("{quote}<details><summary>{mark}{spans}</summary>\n\n")) {
            for block in &entry.details {
                match block {
                    Block::Entry(entry) => self.entry(entry, depth + 1),
                    Block::Lines(lines) => self.listing(lines),
                }
            }
            self.text.push_str(tail);
            self.length += tail.len();
        } else {
            self.left_out += 1;
        }
        self.reserved -= tail.len();
    }

    fn listing(&mut self, lines: &[String]) {
        let shown = &lines[..lines.len().min(self.shown)];
        let put = !shown.is_empty() && self.put(&fenced(shown));
        self.lines += if put { lines.len() - shown.len() } else { lines.len() };
        self.left_out += usize::from(!put && !shown.is_empty());
    }
}

fn mark(mark: Mark) -> &'static str {
    match mark {
        Mark::Added => "<b>&#43;</b> ",
        Mark::Removed => "<b>&#8722;</b> ",
        Mark::Changed => "<b>&#126;</b> ",
        Mark::Danger => "<b>DANGER</b> ",
        Mark::Warning => "<b>Warning</b> ",
        Mark::Note => "",
    }
}

fn inline(spans: &[Span]) -> String {
    let span = |span: &Span| match span.tone {
        Tone::Plain | Tone::Title => escaped(&span.text),
        Tone::Faint => format!("<sub>{}</sub>", escaped(&span.text)),
        Tone::Code => format!("<code>{}</code>", escaped(&super::short_digests(&span.text))),
    };
    spans.iter().map(span).collect()
}

/// Escapes everything that is HTML or Markdown. A comment inside an address keeps the address from becoming a link.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let apart = character == '@' || (character == ':' && characters.peek() == Some(&'/'));
        let harmless = matches!(character, ',' | '/' | ';' | '-' | '(' | ')' | '+' | '=' | '\'' | '"')
            || (character == '.' && !escaped.ends_with("www"))
            || (character == ':' && !apart);
        if character.is_ascii_punctuation() && !harmless {
            let _ = write!(escaped, "&#{};", u32::from(character));
        } else {
            escaped.push(character);
        }
        if apart {
            escaped.push_str("<!-- -->");
        }
    }
    escaped
}

/// Puts lines into a fenced block whose fence is longer than any run of backticks in them.
fn fenced(lines: &[String]) -> String {
    let longest = lines.iter().flat_map(|line| line.split(|c| c != '`')).map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    format!("{fence}diff\n{}\n{fence}\n", lines.join("\n"))
}
