//! The workflows of `argo/`. They are validated against Argo's own definitions, checked by a lint, and run by a model
//! of Argo with the real programs.

mod argv;
mod attempts;
mod docker;
mod durations;
mod expression;
mod kustomize;
mod lint;
mod lint_rules;
mod manifests;
mod model;
mod pod;
mod promotion;
mod scenarios;
mod schema;
pub mod stage;
mod suspended;
mod upstream;
