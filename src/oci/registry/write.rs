//! Pushing.
use super::{Error, Registry, Repository, Tag};
use crate::oci::Content;

impl Registry {
    pub async fn push_blob(&self, _repository: &Repository, _content: &Content) -> Result<(), Error> {
        todo!()
    }
    /// Under `tag`, else by digest.
    pub async fn push_manifest(&self, _r: &Repository, _content: &Content, _tag: Option<&Tag>) -> Result<(), Error> {
        todo!()
    }
}
