//! Two releases, compared: what a person must see before one of them goes to customers. The result is a value; four renderings
//! are made of it.

mod chart;
mod compare;
mod fields;
mod lines;
mod moves;
mod objects;
mod overlay;
pub mod pulled;
pub mod render;
pub mod rendered;
mod risk;
mod side;
mod value;

pub use chart::{ChartChange, ChartState, FileChange, Part};
pub use compare::compare;
pub use fields::FieldChange;
pub use lines::Change;
pub use lines::{Blob, Delta, Hunk};
pub use objects::{Id, ObjectChange};
pub use risk::{Level, Risk};
pub use side::Identity;
pub use side::{Moved, Side};
pub use value::{BundleChange, ImageChange, ImageState, Rendered, SCHEMA, Summary};
pub use value::{Count, Diff};

/// A name in a sentence: between backticks, with none inside and nothing that steers a terminal.
pub(crate) fn name(text: &str) -> String {
    format!("`{}`", crate::text::shown(&text.replace('`', "'")))
}
