//! The workflows of `argo/`: as Argo's own definitions want them, as no schema can say, and run by a model of Argo with the
//! real programs.

mod expression;
mod kustomize;
mod lint;
mod lint_rules;
mod manifests;
mod schema;
