//! Why a plan was not carried out to its end.

use std::collections::BTreeSet;

use crate::oci::{self, Digest, Repository, Tag};

/// An error during the execution of a plan, with the writes that were done and the writes that are left.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The store failed. Finished writes stay, and another run completes the rest.
    #[error("stopped after {} of {} writes; no channel moved", done.len(), done.len() + left.len())]
    Stopped {
        /// References of the finished writes.
        done: Vec<String>,
        /// References of the writes that are left.
        left: Vec<String>,
        /// Failure of the store.
        source: oci::Error,
    },
    /// The channel tag was sent, but the store did not confirm the write.
    #[error("{repository}:{channel} may have moved: the tag was sent, but the store did not confirm the write")]
    Unconfirmed {
        /// Repository of the channel.
        repository: Repository,
        /// Name of the channel.
        channel: Tag,
        /// Failure of the store.
        source: oci::Error,
    },
    /// A manifest or blob that the release names is missing or corrupt in the store.
    #[error("{} manifests or blobs that the release names are missing or corrupt in the store; no channel moved", failed.len())]
    Broken {
        /// One line `REPOSITORY:TAG: DIGEST: REASON` for each.
        failed: Vec<String>,
    },
    /// Published content cannot be read back as an appliance reads it.
    #[error("{reference} cannot be read back; the version stays published, and the channel did not move")]
    NotReadable {
        /// Repository with a tag or digest.
        reference: String,
        /// Failure of the read.
        source: oci::Error,
    },
    /// The push or the read-back of a single image failed.
    #[error("the image {reference} {what}")]
    Image {
        /// Repository and tag of the image.
        reference: String,
        /// The operation that failed, for example `cannot be pushed`.
        what: &'static str,
        /// Failure of the store.
        source: oci::Error,
    },
    /// Anonymous reads fail for packages that an appliance needs.
    #[error("the public cannot read {} of the packages; the version stays published, and the channel did not move", packages.len())]
    NotPublic {
        /// `HOST/PATH` of each package.
        packages: Vec<String>,
    },
    /// A tag names another digest than this run expects, so another publisher moved the tag.
    #[error("{repository}:{tag} names {found}, expected {expected}: another publisher moved the tag meanwhile{who}")]
    Moved {
        /// Repository of the tag.
        repository: Repository,
        /// The tag that another publisher moved.
        tag: Tag,
        /// Digest that the tag should name, or `nothing`.
        expected: String,
        /// Digest that the tag names, or `nothing`.
        found: String,
        /// Version, publisher and time of the other move, if its record gives them.
        who: String,
        /// Manifest of an announcement of this run whose move did not happen; absent when there is none, or the channel
        /// served the manifest.
        own: Option<Digest>,
    },
    /// Another publisher moves the same channel at the same time.
    #[error(
        "another publisher moves {channel} at the same time ({tag}{who}): {}",
        if *moved { "the channel serves this release, and the other move was overwritten" } else { "this run did not move the channel" }
    )]
    Rival {
        /// Name of the channel.
        channel: Tag,
        /// Keep-alive tag of the other move.
        tag: Tag,
        /// Publisher and time of the other move, if its record gives them.
        who: String,
        /// All announcements that were found. After [`super::GRACE`], each of these moves is done or will never happen.
        seen: BTreeSet<Tag>,
        /// Manifest of the announcement that this run made; absent when the run completes the move of another run.
        own: Option<Digest>,
        /// Whether this run moved the channel nevertheless.
        moved: bool,
    },
}

impl ExecuteError {
    /// Returns the manifest of an announcement of this run whose move will not happen.
    pub(crate) fn lost(&self) -> Option<&Digest> {
        match self {
            Self::Moved { own, .. } | Self::Rival { own, .. } => own.as_ref(),
            _ => None,
        }
    }

    /// Returns the error for a tag that names `found` and not `expected`. `who` describes the other move, if it is
    /// known.
    pub(crate) fn moved(
        repository: &Repository,
        tag: &Tag,
        expected: Option<&Digest>,
        found: Option<&Digest>,
        who: String,
    ) -> Self {
        let text = |digest: Option<&Digest>| digest.map_or_else(|| "nothing".to_owned(), ToString::to_string);
        let (repository, tag) = (repository.clone(), tag.clone());
        Self::Moved { repository, tag, expected: text(expected), found: text(found), who, own: None }
    }
}
