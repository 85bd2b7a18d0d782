//! Lists the tags of a repository. The resolver does not need this: it only reads tags whose names it knows.

use super::{Error, ReadStore, Repository, Tag};

impl ReadStore {
    /// Returns every tag of a repository, sorted.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound) when the repository does not exist.
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        self.tags_with_prefix(repository, "").await
    }

    /// Returns the tags of a repository that start with `prefix`, sorted. Where a registry sends its tags in order, the
    /// number of other tags costs nothing.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound) when the repository does not exist,
    /// [`Kind::TooLarge`](super::Kind::TooLarge) or [`Kind::Malformed`](super::Kind::Malformed) when the registry's
    /// list does not end.
    pub async fn tags_with_prefix(&self, repository: &Repository, prefix: &str) -> Result<Vec<Tag>, Error> {
        let mut tags = on_backing!(self, store => store.tags(repository, prefix))?;
        tags.sort();
        tags.dedup();
        Ok(tags)
    }
}
