//! Events during the execution of a plan. The caller decides how to show them.

use crate::oci::{Descriptor, Digest, Exchange, Repository, Tag};

/// One step of the execution.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// Information for the user.
    Note {
        /// Message in one line.
        text: &'a str,
    },
    /// A problem that the user should look into.
    Warning {
        /// Message in one line.
        text: &'a str,
    },
    /// A registry answered a request, or the request failed.
    Exchange(&'a Exchange<'a>),
    /// The pushes of a plan begin.
    Started {
        /// Largest number of bytes that may be sent. Fewer are sent when the store has some of them.
        bytes: u64,
        /// References of the tags that will be set, the channel's last.
        left: &'a [String],
    },
    /// Part of a large blob has been sent.
    Sending {
        /// Repository that the blob is pushed to.
        repository: &'a Repository,
        /// Descriptor of the blob.
        blob: &'a Descriptor,
        /// Bytes sent so far. The number falls when the upload starts again.
        bytes: u64,
    },
    /// A blob or a manifest is in the store.
    Stored {
        /// Repository of the blob or manifest.
        repository: &'a Repository,
        /// Digest of the blob or manifest.
        digest: &'a Digest,
        /// Size of the blob or manifest in bytes.
        bytes: u64,
    },
    /// An artifact is complete and has its tag.
    Tagged {
        /// Repository of the artifact.
        repository: &'a Repository,
        /// The tag that was set.
        tag: &'a Tag,
    },
    /// Every artifact was read back.
    ReadBack,
    /// The channel tag was moved.
    Moved {
        /// Repository of the channel.
        repository: &'a Repository,
        /// Name of the channel that moved.
        channel: &'a Tag,
    },
}

/// Receives the events of an execution.
pub trait Progress {
    /// Handles the next event.
    fn event(&self, event: &Event<'_>);

    /// Returns whether [`Event::Exchange`] is handled. Otherwise nothing is prepared for it.
    fn follows_exchanges(&self) -> bool {
        false
    }
}
