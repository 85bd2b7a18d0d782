//! Publishes Helm charts, a Flux overlay and a release manifest as one release to an OCI store, and resolves it on an appliance.
//!
//! Modules of the publisher, behind the feature `publish`:
//! - [`ops`]: the operations, each from a plain request to a finished report
//! - `credentials`: finds the credentials for a registry, wherever they are kept
//! - `system`: variables, programs and time, as the program hands them in
//! - `diff`: compares two releases for people who decide
//! - [`lint`]: finds what the appliance would refuse in a release's contents
//! - `plan`: makes a plan from what a store should hold and what it holds, and carries it out
//! - `verify`: checks whether everything that a release names is there and is what it should be
//! - `contents`: opens a release once, into typed parts
//! - `chart`: packs a Helm chart on disk into an artifact
//! - `overlay`: loads a Flux overlay, rewrites it, and packs it into the bundle
//! - `image`: reads image archives, and pins the images of a release
//! - `kustomize`: builds the directories that Flux applies, in memory, with what kustomize would refuse
//! - `flux`: Flux's objects and kustomize's files as typed values, with their places in the text
//! - `source`: reads the user's tree and its git repository
//! - [`template`]: Go's templates as Helm uses them: whether they parse, and their tree
//! - `archive`: reads and writes tar and gzip, reproducibly
//! - `path`: paths below a root, with `/` on every system
//!
//! Modules of both programs:
//! - [`appliance`]: what an appliance does with a release
//! - [`release`]: the product's schema: the release manifest, the channel, what a release names, and how they are read
//! - [`config`]: what differs from vendor to vendor
//! - [`oci`]: the OCI specifications and the kinds of store
//! - [`yaml`]: reads YAML and edits its text by spans
//! - [`text`]: makes text from outside safe to show to people
//!
//! A module uses only what is to the right of it in a line of this drawing, and what that uses (held by `tests/it/house.rs`):
//!
//! ```text
//! bin/alga-release -> ops -> {credentials, lint, diff} -> {verify, plan} -> contents -> {chart, overlay, image} -> {source, archive, flux, release}
//! lint -> {appliance, template, kustomize}
//! kustomize -> {chart, flux}
//! bin/alga-resolve -> appliance -> release -> config -> {oci, yaml} -> text
//! {source, archive, flux} -> {oci, yaml, path}
//! {credentials, lint, plan} -> system
//! ```
// What is `pub` is the API of the crate: what its operations speak of, and what the resolver and the tests need.
#![warn(unreachable_pub)]
// The resolver is built of a part of what the publisher uses. What neither of them uses shows in the publisher's build.
#![cfg_attr(not(feature = "publish"), allow(dead_code, unreachable_pub, unused_imports))]

pub mod appliance;
pub mod config;
pub mod oci;
pub mod release;
pub mod text;
pub mod yaml;

#[cfg(feature = "publish")]
pub mod archive;
#[cfg(feature = "publish")]
pub mod chart;
#[cfg(feature = "publish")]
pub(crate) mod contents;
#[cfg(feature = "publish")]
pub mod credentials;
#[cfg(feature = "publish")]
pub mod diff;
#[cfg(feature = "publish")]
pub(crate) mod flux;
#[cfg(feature = "publish")]
pub mod image;
#[cfg(feature = "publish")]
pub(crate) mod kustomize;
#[cfg(feature = "publish")]
pub mod lint;
#[cfg(feature = "publish")]
pub mod ops;
#[cfg(feature = "publish")]
pub mod overlay;
#[cfg(feature = "publish")]
pub(crate) mod path;
#[cfg(feature = "publish")]
pub mod plan;
#[cfg(feature = "publish")]
pub mod source;
#[cfg(feature = "publish")]
pub mod system;
#[cfg(feature = "publish")]
pub mod template;
#[cfg(feature = "publish")]
pub mod verify;
