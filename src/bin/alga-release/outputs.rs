//! Output for the next step of a workflow: small files in a directory, and the files and lines that GitHub Actions reads.
//!
//! A command that fails writes a report as well, because a failure is when the report is read.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use alga_release::diff::render::{self, Style};
use alga_release::ops::{Outcome, fitting, markdown, page};

use crate::environment;
use crate::failure::Failure;
use crate::flags::{Format, OutputsArgs};
use crate::output;
use crate::pager;

/// Names of the files that a command writes into `--output-dir`.
const FILES: [&str; 8] =
    ["digest", "version", "has-changes", "plan-digest", "channel-digest", "changes.json", "report.md", "report.html"];
/// Largest summary of a job, in bytes; GitHub drops a larger one as a whole.
///
/// <https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands#adding-a-job-summary>
const SUMMARY_LIMIT: u64 = 1 << 20;
/// Width of a report in columns.
const REPORT_WIDTH: usize = 120;

/// The places where a command leaves its outcome.
#[derive(Debug)]
pub struct Outputs {
    directory: Option<PathBuf>,
}

impl Outputs {
    /// Creates the directory and removes the files that an earlier command left in it.
    pub fn open(args: &OutputsArgs) -> Result<Self, Failure> {
        if let Some(directory) = &args.output_dir {
            let failed = |cause| Failure::io(&format!("to prepare --output-dir {}", directory.display()), cause);
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

    /// Returns the result as it is, and writes a report if it is a failure. The changes that a refused dry run would have made are
    /// shown, so that the reader sees what the refusal is about.
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
        // An error while writing the report must not hide the failure itself.
        let _ = self.reports(&markdown, &page(title, &shown));
        result
    }

    /// Writes all files. The reports come first, so that they exist once the digest exists.
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
    written.map_err(|cause| Failure::io(&format!("to write {}", path.display()), cause))
}

/// Prints a line that GitHub Actions shows beside the run. Prints nothing elsewhere.
pub fn annotate(level: &str, text: &str) {
    if environment::variable("GITHUB_ACTIONS").as_deref() == Some("true") {
        let text = alga_release::text::clean(text.trim_end());
        let text = text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
        output::say(&format!("::{level} title=alga-release::{text}\n"));
    }
}
