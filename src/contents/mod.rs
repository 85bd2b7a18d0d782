//! A release opened once, into typed parts. Verifying, comparing and rendering read a release through these types and nothing else, so
//! that a rule of Flux or of an older publisher is written in one place. Rewriting an overlay, which comes before, reads [`crate::flux`].

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
