//! A release that is opened once and split into typed parts. Verifying, comparing and rendering read a release only through
//! these types, so that each rule of Flux or of an older publisher is written in one place. The rewriting of an overlay, which
//! happens earlier, reads [`crate::flux`] directly.

mod applied;
mod bundle;
mod once;
mod opened;
mod reader;

pub(crate) use applied::{Applied, Applier};
pub(crate) use bundle::{Bundle, Parts};
pub(crate) use once::ReadOnce;
pub(crate) use opened::{Fetched, Found, Opened, unpack_chart};
pub(crate) use reader::{External, Reader, Stores, Unread};
