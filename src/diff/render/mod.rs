//! The renderings of a [`Diff`]: text for a terminal, JSON for programs, Markdown for a pull request, a page for everybody else.
//! Pure: who calls knows whether there is a terminal.

mod html;
mod json;
mod markdown;
mod outline;
mod text;

pub use html::render as html;
pub use json::render as json;
pub use markdown::{LIMIT as MARKDOWN_LIMIT, render as markdown, render_within as markdown_within};
pub use text::{Style, render as text};

#[cfg(test)]
mod tests;

use super::value::Diff;

/// One line of a file: nothing steers a terminal, tabs stay.
fn line(text: &str) -> String {
    let parts: Vec<String> = text.split('\t').map(crate::text::clean).collect();
    parts.join("\t").replace('\n', "\\u{a}")
}

/// What a page is called.
fn title(diff: &Diff) -> String {
    let from = diff.from.as_ref().map_or("nothing", |from| from.version.as_str());
    crate::text::shown(&format!("{from} → {}", diff.to.version))
}
