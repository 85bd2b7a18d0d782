//! Flux's objects and kustomize's files as typed values, each with its place in the text. The rewriting edits an overlay by
//! these places. All readers of a published bundle use the same types, so that they agree about what Flux does.

mod build;
mod error;
mod file;
mod helm_release;
mod in_place;
mod kustomization;
mod kustomize;
mod object;
mod order;
mod patch;
mod source;

pub(crate) use build::{AppliedRelease, Build, Lister, Root, build, build_what_is_there};
pub(crate) use error::Error;
pub(crate) use file::{File, Files, refuse_duplicate_key};
pub(crate) use helm_release::{ChartSpec, HelmRelease, ValuesFrom};
pub(crate) use in_place::{FORCE, is_below, is_immutable, lost};
pub(crate) use kustomization::{Kustomization, PostBuild};
pub(crate) use kustomize::{KustomizationFile, is_kustomization_file_name};
pub(crate) use object::{HELM, KUSTOMIZE, Object, Reference, SOURCE, Scalar};
pub(crate) use order::{Cycle, in_order};
pub(crate) use patch::{Patch, PatchContent};
pub(crate) use source::{Source, SourceKind};
