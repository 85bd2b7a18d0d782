//! Compares two releases, for the person who decides whether one of them goes to customers. The result is a value, which is
//! rendered as text, JSON, Markdown and HTML.

mod chart;
mod compare;
mod fields;
mod lines;
mod moves;
mod objects;
mod overlay;
pub mod pulled;
mod random;
mod renames;
pub mod render;
pub mod rendered;
mod risk;
mod side;
mod signed;
mod value;

pub use chart::{ChartChange, ChartState, FileChange, Part};
pub use compare::compare;
pub use fields::FieldChange;
pub use lines::Change;
pub use lines::{Blob, Delta, Hunk};
pub use objects::{Id, ObjectChange};
pub use random::RandomFields;
pub use risk::{Level, Risk};
pub use side::Identity;
pub use side::{Moved, Side};
pub use signed::StatedSignatures;
pub use value::{BundleChange, ImageChange, ImageState, Rendered, SCHEMA, Summary};
pub use value::{Count, Diff};

/// Puts a name between backticks, as it is written in a sentence. Backticks inside the name become apostrophes, and characters
/// that steer a terminal are escaped.
pub(crate) fn name(text: &str) -> String {
    format!("`{}`", crate::text::shown(&text.replace('`', "'")))
}
