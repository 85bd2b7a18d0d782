//! Builds the directories of a bundle in memory as kustomize-controller does. The result is the objects that Flux applies, and
//! every problem that kustomize would refuse, with its line. The build reports features that it does not support, and reports
//! no problem that depends on them.

mod accumulated;
mod build;
mod change;
mod generate;
mod json_patch;
mod merge;
mod patch;
mod problem;
mod read;
mod replace;
mod resource;
mod scalar;
mod select;
mod settings;
mod shape;
mod strict;

pub(crate) use build::build;
pub(crate) use problem::{Kind, Problem};
pub(crate) use resource::{Id, Resource};
pub(crate) use strict::strict;

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
