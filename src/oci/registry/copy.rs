//! The parts of reading a registry that only copies need: streamed blobs, and whether content exists.

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use reqwest::Method;

use super::auth::Access;
use super::client::{Request, Take};
use super::{Error, Registry, Repository, error};
use crate::oci::{Descriptor, media_type};

impl Registry {
    /// Returns `HOST/PATH` of a repository.
    pub(crate) fn name_of(&self, repository: &Repository) -> String {
        self.prefix.name_of(repository)
    }

    /// Repeats `attempt` by the policy that the client uses for its own requests.
    pub(crate) async fn persist<T>(&self, attempt: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
        self.client.persist(attempt).await
    }

    /// Asks the registry whether it has the content, without reading it.
    pub(crate) async fn has(&self, repository: &Repository, descriptor: &Descriptor) -> Result<bool, Error> {
        self.has_for(repository, descriptor, Access::Pull).await
    }

    /// Works as [`Self::has`], with a token that later requests with `access` can use as well.
    pub(super) async fn has_for(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        access: Access,
    ) -> Result<bool, Error> {
        let operation = self.operation("look up", repository, &descriptor.digest, access);
        let request = if media_type::is_manifest(&descriptor.media_type) {
            self.manifest_request(&operation, Method::HEAD, descriptor.digest.as_str())
        } else {
            Request::new(Method::HEAD, self.client.url(&operation, &format!("blobs/{}", descriptor.digest)))
        };
        match self.get(&operation, request, 0).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Opens a blob in a single attempt. The bytes are not verified. The caller retries reading and storing together.
    pub(crate) async fn open_blob(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let operation = self.operation("read", repository, &descriptor.digest, Access::Pull);
        let url = self.client.url(&operation, &format!("blobs/{}", descriptor.digest));
        let answer = self.client.call_following(&operation, Request::new(Method::GET, url), Take::Stream).await?;
        if !answer.status.is_success() {
            return Err(error::refused(&operation, &answer));
        }
        let pieces = stream::unfold((answer.stream, operation), |(opened, operation)| async {
            let mut opened = opened?;
            match opened.next(&operation).await {
                Ok(piece) => piece.map(|piece| (Ok(piece), (Some(opened), operation))),
                Err(error) => Some((Err(error), (None, operation))),
            }
        });
        Ok(pieces.boxed())
    }
}
