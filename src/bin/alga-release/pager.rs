//! Shows long text in the user's pager on a terminal, and prints it otherwise.

use std::io::{IsTerminal, Write as _, stdout};
use std::process::{Command, Stdio};

use alga_release::diff::render::Style;
use alga_release::system::SECRET_VARIABLES;

use crate::environment;
use crate::failure::Failure;
use crate::output;

/// Fewest columns that text is wrapped at, however narrow the terminal is.
const LEAST: usize = 40;

/// Returns how text looks on standard output: as wide as `COLUMNS` says, else as the terminal there, else not wrapped.
pub fn style() -> Style {
    let columns = environment::variable("COLUMNS").and_then(|columns| columns.parse().ok());
    // Only standard output counts: a terminal on standard error does not make a file narrow.
    let terminal = || terminal_size::terminal_size_of(stdout()).map(|(columns, _)| columns.0.into());
    let width = columns.filter(|columns| *columns > 0).or_else(terminal);
    Style {
        colour: environment::colour(stdout().is_terminal()),
        width: width.map_or(usize::MAX, |width: usize| width.max(LEAST)),
    }
}

/// Shows a text in the pager on a terminal, and prints it where there is no terminal or no pager, or where `paged` is false.
pub fn show(text: &str, paged: bool) -> Result<(), Failure> {
    let paged = paged && stdout().is_terminal() && environment::variable("CI").is_none();
    if paged && page(text) { Ok(()) } else { output::write_text(text) }
}

/// Shows a text by `$PAGER`, or else by less, and reports whether that worked.
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
    for name in SECRET_VARIABLES {
        command.env_remove(name);
    }
    let Ok(mut child) = command.stdin(Stdio::piped()).spawn() else { return false };
    if let Some(mut stdin) = child.stdin.take() {
        // The user may close the pager before all of the text is written.
        let _ = stdin.write_all(text.as_bytes());
    }
    // The shell ends with 127 when it does not find the pager, and with 126 when it cannot start the pager.
    child.wait().is_ok_and(|status| !matches!(status.code(), Some(126 | 127)))
}
