//! The only room that knows the syntax of YAML: reading a text into nodes that know where they stand, and editing the
//! text by those places, so that everything else stays byte for byte.

mod build;
pub mod edit;
mod node;
mod read;

pub use build::{ParseError, parse};
pub use node::{Anchor, Comment, Document, Entry, Node, Style, Value};
pub use read::{ReadError, from_str};

#[cfg(test)]
#[path = "node_tests.rs"]
mod node_tests;
