//! The parts of reading a registry that only copies need: streamed blobs, and the referrers of a manifest.

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use reqwest::Method;

use super::auth::Access;
use super::client::{Answer, Operation, Request, Take};
use super::pages::Pages;
use super::read::stated_type;
use super::{Error, Registry, Repository, error};
use crate::oci::{Descriptor, Digest, Index, Kind, media_type};

/// Most manifests that may refer to one manifest.
const REFERRERS: usize = 1000;

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

    /// Lists the manifests that refer to `subject`. Returns `None` when the registry keeps no such lists: the endpoint
    /// is missing, or answers with something else.
    pub(crate) async fn referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Option<Vec<Descriptor>>, Error> {
        let operation = self.operation("list the referrers of", repository, subject, Access::Pull);
        let mut pages = Pages::new(self, &operation, &format!("referrers/{subject}"));
        let mut referrers = Vec::new();
        while let Some(answer) = pages.next().await? {
            if !answer.status.is_success() {
                return Ok(None);
            }
            let Some(page) = referrers_page(&operation, &answer)? else { return Ok(None) };
            referrers.extend(page.manifests);
            if referrers.len() > REFERRERS {
                let reason = format!("the registry lists more than {REFERRERS} manifests, which is the limit");
                return Err(operation.error(Kind::TooLarge, reason));
            }
        }
        Ok(Some(referrers))
    }
}

/// Parses one page of a list of referrers. Returns `None` for a body that neither is an index nor is declared as one.
fn referrers_page(operation: &Operation, answer: &Answer) -> Result<Option<Index>, Error> {
    let stated = stated_type(&answer.headers);
    let media_type = stated.as_deref().unwrap_or(media_type::IMAGE_INDEX);
    match Index::parse(media_type, &answer.body) {
        Ok(page) => Ok(Some(page)),
        Err(cause) if stated.is_some_and(|stated| stated == media_type::IMAGE_INDEX) => {
            Err(operation.error(Kind::Malformed, format!("invalid list of referrers: {cause}")))
        }
        Err(_) => Ok(None),
    }
}
