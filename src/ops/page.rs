//! Reports as pages: plain text as Markdown and as HTML, and as much of it as fits.

use crate::text::markup;

const CUT: &str = "\n\n(cut: the whole report is in `--output-dir`)\n";

/// Returns plain text as Markdown, in a fence that no line of the text closes.
pub fn markdown(title: &str, text: &str) -> String {
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("### {title}\n\n{fence}text\n{text}{fence}\n")
}

/// Returns plain text as an HTML page without scripts and remote resources.
pub fn page(title: &str, text: &str) -> String {
    let (title, text) = (markup(title), markup(text));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n<style>body{{font-family:system-ui,sans-serif;margin:2rem}}pre{{overflow-x:auto;background:#8881;padding:1rem}}</style></head>\n<body><h1>{title}</h1>\n<pre>{text}</pre>\n</body></html>\n"
    )
}

/// Returns as many whole lines as fit into `room` bytes, with a note when lines are cut. Open fences and folds are closed.
pub fn fitting(text: &str, room: u64) -> String {
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if text.len() <= room {
        return text.to_owned();
    }
    let Some(room) = room.checked_sub(CUT.len()) else { return String::new() };
    let (mut length, mut fits) = (0, (0, String::new()));
    let (mut fence, mut folds) = (None, 0_usize);
    for line in text.split_inclusive('\n') {
        length += line.len();
        let ticks = &line[..line.len() - line.trim_start_matches('`').len()];
        match fence {
            Some(open) if line.trim_end() == open => fence = None,
            None if ticks.len() >= 3 => fence = Some(ticks),
            None => {
                folds = (folds + line.matches("<details>").count()).saturating_sub(line.matches("</details>").count());
            }
            Some(_) => {}
        }
        let closed = format!("{}{}", fence.unwrap_or_default(), "\n\n</details>".repeat(folds));
        if length + closed.len() <= room {
            fits = (length, closed);
        } else if length > room {
            break;
        }
    }
    let (length, closed) = fits;
    format!("{}{closed}{CUT}", &text[..length])
}

#[cfg(test)]
mod tests {
    use super::{CUT, fitting, markdown, page};

    #[test]
    fn the_text_of_a_report_cannot_close_its_fence_or_its_element() {
        assert_eq!(markdown("A", "a\n"), "### A\n\n```text\na\n```\n");
        assert_eq!(markdown("A", "a ```` b\n"), "### A\n\n`````text\na ```` b\n`````\n");
        assert!(page("<A>", "</pre><script>\"&").contains("<pre>&lt;/pre&gt;&lt;script&gt;&quot;&amp;</pre>"));
    }

    #[test]
    fn a_summary_that_is_too_long_is_cut_at_a_line_and_says_so() {
        let text = markdown("A", &"äöü line\n".repeat(100));
        assert_eq!(fitting(&text, text.len() as u64), text);
        for room in [100, 101, 102, 103, 500] {
            let cut = fitting(&text, room);
            assert!(cut.len() as u64 <= room && cut.ends_with(&format!(" line\n```{CUT}")), "{cut}");
        }
        assert_eq!(fitting(&text, 10), "");
        let folded = format!("<details>\n<details>\n\n````diff\n```\n{}````\n\n</details>\n", "+line\n".repeat(100));
        for room in 120..400 {
            let cut = fitting(&folded, room);
            assert!(
                cut.len() as u64 <= room && cut.ends_with(&format!("````\n\n</details>\n\n</details>{CUT}")),
                "{cut}"
            );
        }
    }
}
