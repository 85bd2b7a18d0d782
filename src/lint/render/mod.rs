//! Renderings of a report for people and for other programs.

mod github;
mod sarif;
mod text;

pub use github::github;
pub use sarif::sarif;
pub(super) use text::summary;
pub use text::{explained, is_line, lines, text};
