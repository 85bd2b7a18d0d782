//! The only reader of the user's tree and of its git repository. Lazy, sorted, bounded; links are facts that the caller
//! judges.

mod error;
pub mod git;
pub mod glob;
mod tree;

pub use error::{Error, Kind, Place};
pub(crate) use tree::EntryKind;
pub use tree::{Entry, Tree};
