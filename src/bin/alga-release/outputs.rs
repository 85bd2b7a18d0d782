//! What the next step of a workflow reads: small files in a directory, and the files and lines that GitHub Actions looks at.
//!
//! A failing command leaves a report as well: it is then that somebody reads it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use alga_release::diff::render::{self, Style};
use alga_release::oci::Digest;
use alga_release::text::shown;

use crate::environment;
use crate::failure::Failure;
use crate::flags::{Format, OutputsArgs};
use crate::output;
use crate::pager;

/// Everything that `--output-dir` may hold afterwards.
const FILES: [&str; 8] =
    ["digest", "version", "has-changes", "plan-digest", "channel-digest", "changes.json", "report.md", "report.html"];
/// A summary of a job that is larger is dropped as a whole.
///
/// <https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands#adding-a-job-summary>
const SUMMARY_LIMIT: u64 = 1 << 20;
/// Columns of a report.
const REPORT_WIDTH: usize = 120;
const CUT: &str = "\n\n(cut: the whole report is in `--output-dir`)\n";

/// What a command came to.
#[derive(Debug)]
pub struct Outcome {
    /// Of the release.
    pub digest: Digest,
    /// Of the release.
    pub version: String,
    pub has_changes: bool,
    /// Nothing when the command plans nothing.
    pub plan_digest: Option<Digest>,
    /// Of the channel's manifest when the command ended, `none` when it serves nothing yet: what `--if-current` takes.
    /// Nothing when the command is about no channel.
    pub channel_digest: Option<String>,
    /// The command's own JSON.
    pub changes: Vec<u8>,
    pub markdown: String,
    pub html: String,
    pub warnings: Vec<String>,
}

impl Outcome {
    /// The single values, under the names that files and variables have.
    fn values(&self) -> Vec<(&'static str, String)> {
        let mut values = vec![
            ("digest", self.digest.to_string()),
            // Whoever wrote the release chose it: it stays one line.
            ("version", shown(&self.version)),
            ("has-changes", self.has_changes.to_string()),
        ];
        values.extend(self.plan_digest.as_ref().map(|digest| ("plan-digest", digest.to_string())));
        if let Some(serves) = &self.channel_digest {
            values.push(("channel-digest", serves.clone()));
        }
        values
    }
}

/// Where the outcome goes.
#[derive(Debug)]
pub struct Outputs {
    directory: Option<PathBuf>,
}

impl Outputs {
    /// Makes the directory, and takes out of it what an earlier command left there.
    pub fn open(args: &OutputsArgs) -> Result<Self, Failure> {
        if let Some(directory) = &args.output_dir {
            let failed = |cause| Failure::io(&format!("preparing --output-dir {}", directory.display()), cause);
            std::fs::create_dir_all(directory).map_err(failed)?;
            for name in FILES {
                match std::fs::remove_file(directory.join(name)) {
                    Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => return Err(failed(cause)),
                    _ => {}
                }
            }
        }
        Ok(Self { directory: args.output_dir.clone() })
    }

    /// Passes a success on; a failure leaves its report. What a dry run that is refused would have changed is shown as if it were
    /// not: who reads the refusal sees what it is about.
    pub fn unless_failed<T>(&self, result: Result<T, Failure>, format: Format) -> Result<T, Failure> {
        let Err(failure) = &result else { return result };
        let text = format!("{}exit code {}\n", failure.text(), failure.exit_code());
        let title = "Failed";
        let (mut markdown, mut shown) = (markdown(title, &text), text);
        if let Some(diff) = failure.would_change() {
            markdown.push('\n');
            markdown += &render::markdown_within(diff, render::MARKDOWN_LIMIT.saturating_sub(markdown.chars().count()));
            shown = format!("{shown}\n{}", render::text(diff, Style { colour: false, width: REPORT_WIDTH }));
            if format == Format::Text {
                output::write_text(&(render::text(diff, pager::style()) + "\n"))?;
            }
        }
        // What failed first is what people must see.
        let _ = self.reports(&markdown, &page(title, &shown));
        result
    }

    /// Writes all of it; the reports first, so that whoever finds a digest finds them.
    pub fn write(&self, outcome: &Outcome) -> Result<(), Failure> {
        self.reports(&outcome.markdown, &outcome.html)?;
        self.file("changes.json", &outcome.changes)?;
        let values = outcome.values();
        for (name, value) in &values {
            self.file(name, format!("{value}\n").as_bytes())?;
        }
        if let Some(path) = environment::path_variable("GITHUB_OUTPUT") {
            let lines: Vec<String> = values.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
            append(&path, &lines.concat())?;
        }
        for warning in &outcome.warnings {
            annotate("warning", warning);
        }
        Ok(())
    }

    fn reports(&self, markdown: &str, html: &str) -> Result<(), Failure> {
        self.file("report.md", markdown.as_bytes())?;
        self.file("report.html", html.as_bytes())?;
        let Some(path) = environment::path_variable("GITHUB_STEP_SUMMARY") else { return Ok(()) };
        let there = std::fs::metadata(&path).map_or(0, |file| file.len());
        append(&path, &fitting(markdown, SUMMARY_LIMIT.saturating_sub(there)))
    }

    fn file(&self, name: &str, content: &[u8]) -> Result<(), Failure> {
        self.directory.as_ref().map_or(Ok(()), |directory| output::write_file(directory, name, content))
    }
}

fn append(path: &Path, text: &str) -> Result<(), Failure> {
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|cause| Failure::io(&format!("writing {}", path.display()), cause))
}

/// As many whole lines as there is room for, with a word about it when they are not all. What is open there is closed.
fn fitting(text: &str, room: u64) -> String {
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

/// A line that GitHub Actions shows beside the run; nothing elsewhere.
pub fn annotate(level: &str, text: &str) {
    if environment::variable("GITHUB_ACTIONS").as_deref() == Some("true") {
        let text = alga_release::text::clean(text.trim_end());
        eprintln!(
            "::{level} title=alga-release::{}",
            text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
        );
    }
}

/// Plain text as Markdown, with a fence that nothing in it closes.
pub fn markdown(title: &str, text: &str) -> String {
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("### {title}\n\n{fence}text\n{text}{fence}\n")
}

/// Plain text as a page of its own: no script, nothing remote.
pub fn page(title: &str, text: &str) -> String {
    let escape =
        |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let (title, text) = (escape(title), escape(text));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n<style>body{{font-family:system-ui,sans-serif;margin:2rem}}pre{{overflow-x:auto;background:#8881;padding:1rem}}</style></head>\n<body><h1>{title}</h1>\n<pre>{text}</pre>\n</body></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::{CUT, fitting, markdown, page};

    #[test]
    fn what_stands_in_a_report_cannot_leave_it() {
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
