//! What is said while a plan is executed. Whoever executes one decides how, or whether, it is shown.

use crate::oci::{Descriptor, Digest, Repository, Tag};

/// One step.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// Something that is good to know.
    Note {
        /// One line.
        text: &'a str,
    },
    /// Something that people should look into.
    Warning {
        /// One line.
        text: &'a str,
    },
    /// So many bytes are to be sent at the most.
    Started {
        /// Count of bytes.
        bytes: u64,
    },
    /// So much of a large blob is on its way.
    Sending {
        /// Where to.
        repository: &'a Repository,
        /// Which.
        blob: &'a Descriptor,
        /// Count of bytes; less than before, when it starts again.
        bytes: u64,
    },
    /// A blob or manifest is in the store.
    Stored {
        /// Where.
        repository: &'a Repository,
        /// Which.
        digest: &'a Digest,
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
