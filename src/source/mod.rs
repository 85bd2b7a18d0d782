//! Reads the user's source tree and its git repository; no other module does. Files are read lazily, in sorted order and up to
//! a size limit. Links are reported, and callers decide whether to follow them.

mod error;
pub mod git;
pub mod glob;
mod tree;

pub use error::{Error, Kind, Place, Warning};
pub(crate) use tree::EntryKind;
pub use tree::{Entry, Tree};
