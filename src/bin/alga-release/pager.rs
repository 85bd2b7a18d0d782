//! Long text for people: in their pager when they sit at a terminal, straight out otherwise.

use std::io::{IsTerminal, Write as _};
use std::process::{Command, Stdio};

use alga_release::diff::render::Style;

use crate::environment;
use crate::failure::Failure;
use crate::output;

/// Columns where nobody says how many there are.
const WIDTH: usize = 100;
/// Fewer make no sentence.
const LEAST: usize = 40;

/// How text is shown on standard output.
pub fn style() -> Style {
    let width = environment::variable("COLUMNS").and_then(|columns| columns.parse().ok());
    let width = width.or_else(|| terminal_size::terminal_size().map(|(columns, _)| columns.0.into()));
    let colour = environment::colour(std::io::stdout().is_terminal());
    Style { colour, width: width.unwrap_or(WIDTH).max(LEAST) }
}

/// Shows a text: paged on a terminal, unless that is not wanted or nobody is there to page.
pub fn show(text: &str, paged: bool) -> Result<(), Failure> {
    let paged = paged && std::io::stdout().is_terminal() && environment::variable("CI").is_none();
    if paged && page(text) { Ok(()) } else { output::write_text(text) }
}

/// Was it shown by `$PAGER`, or by less?
fn page(text: &str) -> bool {
    let mut command = match std::env::var("PAGER") {
        Ok(pager) if pager.is_empty() || pager == "cat" => return false,
        Ok(pager) => {
            let mut command = Command::new("sh");
            command.args(["-c", &pager]);
            command
        }
        Err(_) => Command::new("less"),
    };
    if environment::variable("LESS").is_none() {
        command.env("LESS", "FRX");
    }
    let Ok(mut child) = command.stdin(Stdio::piped()).spawn() else { return false };
    if let Some(mut stdin) = child.stdin.take() {
        // Who has seen enough closes the pager before all was written.
        let _ = stdin.write_all(text.as_bytes());
    }
    // What the shell does not find ends with 127.
    child.wait().is_ok_and(|status| !matches!(status.code(), Some(126 | 127)))
}
