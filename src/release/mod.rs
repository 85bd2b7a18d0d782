//! The product's schema: the release manifest, the channel manifest, and the code that reads both. Publisher and
//! resolver share this module.

mod address;
#[cfg(feature = "publish")]
mod artifact;
mod channel;
mod described;
mod description;
#[cfg(feature = "publish")]
mod history;
mod manifest;
mod named;
#[cfg(feature = "publish")]
mod relocate;
mod resolve;
#[cfg(feature = "publish")]
mod values_names;
mod version;

pub use address::{Address, InvalidAddress};
#[cfg(feature = "publish")]
pub(crate) use artifact::{channel_artifact, without_description};
pub use channel::{InvalidMoveKind, MoveKind};
pub(crate) use channel::{
    Record, equal_but_for_channel, keep_alive_prefix, keep_alive_sequence, keep_alive_tag, with_channel,
};
pub(crate) use described::settings_of;
pub use described::{Described, Disagreement};
pub(crate) use description::{
    Description, Installation, ObjectName, SetValue, SourceVerification, ValueSource, ValuesReader,
};
#[cfg(feature = "publish")]
pub use history::{Apart, End, History, Move, Why, history};
pub(crate) use manifest::{ConfigReference, SCHEMA};
pub use manifest::{InvalidRelease, Release};
pub(crate) use named::TAG_ALONE;
pub(crate) use named::bare_tag;
pub use named::{Named, NamedKind, Target};
#[cfg(feature = "publish")]
pub(crate) use resolve::signature_layers;
pub use resolve::{
    CONFIG_LIMIT, ReadSignatures, ResolveError, ResolveKind, Resolved, UnreadRelease, confirm, named_release, open,
    readable_signatures, resolve, signatures,
};
#[cfg(feature = "publish")]
pub use values_names::{ImageValues, values_names};
#[cfg(feature = "publish")]
pub(crate) use values_names::{split_hash, values_hash};
pub use version::compare_versions;

/// Artifact type of a release manifest.
pub(crate) const ARTIFACT_TYPE: &str = "application/vnd.alga.appliance.release.v1";
/// Media type of the release's JSON, as config and as layer.
pub(crate) const CONFIG_MEDIA_TYPE: &str = "application/vnd.alga.appliance.release.config.v1+json";
/// Annotation in an archive (`oci-archive:FILE`) that holds the prefix of the release.
pub const ARCHIVE_PREFIX: &str = "vnd.alga.appliance.prefix";
/// Title of the layer. Generic tools use it as the file name.
pub const FILE_NAME: &str = "release-manifest.json";
