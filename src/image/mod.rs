//! Container images that a release names. Images are built elsewhere: the publisher looks them up before it builds the
//! release and pins them by digest, or reads an image from the archive that a builder wrote.

pub mod archive;
mod kind;
mod pin;
mod platform;
mod stated;

pub(crate) use kind::unlike_image;
pub use pin::{Check, Error, PinRequest, PinnedImages, Unknown, pin};
pub use platform::InvalidPlatform;
pub use platform::Platform;
