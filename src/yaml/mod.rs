//! The only module that knows the syntax of YAML. It parses a text into nodes that know their positions, and edits the
//! text at these positions, so that all other bytes stay unchanged.

mod build;
pub mod edit;
mod node;
mod read;

pub use build::ParseError;
pub use build::parse;
pub use node::Anchor;
pub(crate) use node::Comment;
pub use node::{Document, Entry, Node, Style, Value};
pub use read::ReadError;
pub use read::from_str;

#[cfg(test)]
#[path = "node_tests.rs"]
mod node_tests;
