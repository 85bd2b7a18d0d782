//! The only room that knows the syntax of YAML: reading a text into nodes that know where they stand, and editing the
//! text by those places, so that everything else stays byte for byte.

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
