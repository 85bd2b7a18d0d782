//! Publishes Helm charts, a Flux overlay and a release manifest as one release to an OCI store, and resolves the
//! release on an appliance.
//!
//! Modules of the publisher only, behind the feature `publish`:
//! - [`ops`]: the operations, each from a plain request to a complete report
//! - `credentials`: finds the credentials for a registry in all places that may hold them
//! - [`signing`]: makes signatures, with private keys in files and with programs that have the key elsewhere
//! - `system`: environment variables, programs and time, which the program passes in
//! - `diff`: compares two releases for the people who approve a change
//! - [`lint`]: finds what an appliance would refuse in the contents of a release
//! - [`graph`]: shows a release as a graph of everything that it names, and draws the graph
//! - `plan`: plans how to change a store from its present to its desired content, and executes the plan
//! - `verify`: checks that everything that a release names exists and has the expected content
//! - `contents`: opens a release once, as typed parts
//! - `chart`: packs a Helm chart on disk into an artifact
//! - `overlay`: loads a Flux overlay, rewrites it, and packs it into the bundle
//! - `image`: reads image archives, and resolves the images of a release to digests
//! - `kustomize`: builds the directories that Flux applies, in memory, and finds what kustomize would refuse
//! - `flux`: Flux objects and kustomization files as typed values with their positions in the text
//! - [`shell`]: completes command lines, and writes manual pages
//! - `source`: reads the user's source tree and its git repository
//! - [`template`]: parses Go templates as Helm uses them
//! - `archive`: reads and writes tar and gzip reproducibly
//! - `path`: paths below a root, with `/` on every system
//!
//! Modules of both programs:
//! - [`appliance`]: what an appliance does with a release
//! - [`trust`]: keys, the trust document and signed statements: who may make a release, and who may move a channel
//! - [`release`]: the schemas of the release manifest and the channel manifest, and how they are resolved
//! - [`config`]: the settings that differ from vendor to vendor
//! - [`oci`]: the OCI specifications and the kinds of store
//! - [`yaml`]: parses YAML and edits its text in place
//! - [`text`]: makes text from outside safe to show to people, and suggests the nearest word
//!
//! A module uses only the modules to its right in a line of this drawing, and those that they use (`tests/it/house.rs`
//! checks this):
//!
//! ```text
//! bin/alga-release -> ops -> {credentials, lint, diff} -> {verify, plan} -> contents -> {chart, overlay, image} -> {source, archive, flux, release}
//! lint -> {appliance, template, kustomize}
//! diff -> graph -> {plan, contents}
//! bin/alga-release -> shell -> text
//! ops -> signing -> {appliance, system}
//! kustomize -> {chart, flux}
//! {appliance, plan, verify} -> trust -> release
//! bin/alga-resolve -> appliance -> release -> config -> {oci, yaml} -> text
//! {source, archive, flux} -> {oci, yaml, path}
//! {credentials, lint, plan} -> system
//! ```
// Public items are the API of the crate: the types of its operations, and what the resolver and the tests need.
#![warn(unreachable_pub)]
// The resolver is built from a part of the code that the publisher uses. Unused code shows in the publisher's build.
#![cfg_attr(not(feature = "publish"), allow(dead_code, unreachable_pub, unused_imports))]

pub mod appliance;
pub mod config;
pub mod oci;
pub mod release;
pub mod text;
pub mod trust;
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
pub mod graph;
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
pub mod shell;
#[cfg(feature = "publish")]
pub mod signing;
#[cfg(feature = "publish")]
pub mod source;
#[cfg(feature = "publish")]
pub mod system;
#[cfg(feature = "publish")]
pub mod template;
#[cfg(feature = "publish")]
pub mod verify;
