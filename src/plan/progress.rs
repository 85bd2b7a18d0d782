//! What is said while a plan is executed. Whoever executes one decides how, or whether, it is shown.

use crate::oci::{Descriptor, Digest, Exchange, Repository, Tag};

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
    /// A registry answered a request, or did not.
    Exchange(&'a Exchange<'a>),
    /// Writing starts.
    Started {
        /// Count of bytes to send; fewer are sent when the store has some of them.
        bytes: u64,
        /// References of the tags that will be set, the channel's last.
        left: &'a [String],
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
        /// Repository of the channel.
        repository: &'a Repository,
        /// Name of the channel.
        channel: &'a Tag,
    },
}

/// Hears the events.
pub trait Progress {
    /// The next one.
    fn event(&self, event: &Event<'_>);
}
