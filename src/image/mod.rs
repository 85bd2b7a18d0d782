//! Container images that a release names: they are built elsewhere, looked up before the release is built, and pinned; or read
//! from the archive that a builder wrote.

pub mod archive;
mod kind;
mod pin;
mod platform;
mod stated;

pub(crate) use kind::unlike_image;
pub use pin::{Check, Error, PinRequest, PinnedImages, Unknown, pin};
pub use platform::InvalidPlatform;
pub use platform::Platform;
