//! Flux's objects and kustomize's files as typed values, each with its place in the text. Rewriting edits an overlay by these places;
//! everything that reads a published bundle reads it through the same types, so that no two readers disagree about what Flux does.

mod build;
mod error;
mod file;
mod helm_release;
mod kustomization;
mod kustomize;
mod object;
mod order;
mod patch;
mod source;

pub use build::{AppliedRelease, Build, Lister, Root, build};
pub use error::{At, Error};
pub use file::{File, Files, refuse_duplicate_key};
pub use helm_release::{ChartSpec, ConfigMapKey, HelmRelease, ValuesFrom};
pub use kustomization::Kustomization;
pub use kustomize::{Generator, KustomizationFile, is_kustomization_file_name};
pub use object::{HELM, KUSTOMIZE, Object, Reference, SOURCE, Scalar};
pub use order::{Cycle, in_order};
pub use patch::{Patch, PatchContent};
pub use source::{Source, SourceKind};
