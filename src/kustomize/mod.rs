//! Builds the directories of a bundle as kustomize-controller does, in memory: the objects that Flux applies, and all that kustomize
//! would refuse, each with its line. What the build does not cover it says, and everything that depends on that is not reported.

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
