//! One release travels from a source tree to a store and from there to an appliance.
//!
//! - [`oci`]: the OCI specifications and the kinds of store
//! - [`release`]: the product's own schema: release, channel, how they are read
//! - [`appliance`]: what an appliance does with a release
//! - [`config`]: what differs from vendor to vendor
//! - [`text`]: text from outside, for people
//! - `path`: slash-separated paths below a root
//! - [`yaml`]: reading YAML and editing its text by spans
//! - `source`: the user's tree and its git repository
//! - `archive`: reproducible tar and gzip
//! - `flux`: Flux's objects and kustomize's files, typed, with their places in the text
//! - `chart`: a Helm chart on disk becomes an artifact
//! - `overlay`: a Flux overlay: what it uses, how it is rewritten, the bundle
//! - `image`: the container images of a release, pinned
//! - `verify`: is everything that a release names there, and what it should be
//! - `plan`: desired and observed become a plan, and a plan a report
//! - `diff`: two releases, compared, for people who decide
//! - `system`: variables, programs and time, as the program hands them in
//! - `credentials`: the credentials for a registry, wherever they are kept
//! - [`ops`]: the operations of the publisher
//!
//! Dependencies point one way: `bin/alga-release` → `ops` → `credentials`, `diff` → `plan` → `verify` → `source`, `chart`, `overlay`, `image` → `archive`, `flux` → `oci`;
//! `bin/alga-resolve` → `appliance` → `release` → `oci`; `yaml` and `path` stand beside `oci`, below everything.

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
pub mod credentials;
#[cfg(feature = "publish")]
pub mod diff;
#[cfg(feature = "publish")]
pub mod flux;
#[cfg(feature = "publish")]
pub mod image;
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
pub mod verify;
