//! Container images that a release names: they are built elsewhere, looked up before the release is built, and pinned.

mod pin;

pub use pin::{Check, Error, PinnedImages, Request, pin};
