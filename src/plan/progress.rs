//! What is said while a plan is executed. Whoever executes one decides how, or whether, it is shown.

use crate::oci::{Repository, Tag};

/// One step.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// So many bytes are to be sent at the most.
    Started {
        /// Count of bytes.
        bytes: u64,
    },
    /// A blob or manifest is in the store.
    Stored {
        /// Where.
        repository: &'a Repository,
        /// Its size.
        bytes: u64,
    },
    /// An artifact is whole and has its tag.
    Tagged {
        /// Where.
        repository: &'a Repository,
        /// The tag.
        tag: &'a Tag,
    },
    /// Everything was read back.
    ReadBack,
    /// The channel moved.
    Moved {
        /// The channel.
        channel: &'a Tag,
    },
}

/// Hears the events.
pub trait Progress {
    /// The next one.
    fn event(&self, event: &Event<'_>);
}
