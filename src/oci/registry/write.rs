//! Pushing, in as few requests as a registry allows.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};

use super::auth::Access;
use super::client::{Client, Operation, Request};
use super::read::content_digest;
use super::{Error, Registry, Repository, error};
use crate::oci::{Content, Digest, Kind, Tag};

/// From this size on it pays to ask whether a blob is there before an upload is started.
const LARGE: u64 = 1 << 20;

impl Registry {
    /// One request where the registry has the blob and says so, else two; one more for large blobs.
    pub async fn push_blob(&self, repository: &Repository, content: &Content) -> Result<(), Error> {
        let descriptor = content.descriptor();
        if descriptor.size >= LARGE && self.has_for(repository, descriptor, Access::Push).await? {
            return Ok(());
        }
        let operation = self.operation("pushing", repository, &descriptor.digest, Access::Push);
        let Some(upload) = self.start_upload(&operation, &descriptor.digest).await? else { return Ok(()) };
        let request = Request::new(Method::PUT, with_digest(upload, &descriptor.digest))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
            .body(content.bytes().clone());
        let response = self.client.call(&operation, request).await?;
        if response.status().is_success() { Ok(()) } else { Err(error::refused(&operation, response).await) }
    }

    /// Where to send the blob, or nothing when it is there already. A mount that names no source is an upload like any other to
    /// a registry that does not know it, and asks one that does whether it has the blob anywhere.
    ///
    /// <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#mounting-a-blob-from-another-repository>
    async fn start_upload(&self, operation: &Operation, digest: &Digest) -> Result<Option<Url>, Error> {
        if !self.refuses_mount.load(Ordering::Relaxed) {
            let url = self.client.url(operation, &format!("blobs/uploads/?mount={digest}"));
            let response = self.client.call(operation, Request::new(Method::POST, url).body(Bytes::new())).await?;
            let status = response.status();
            if !status.is_client_error() || matches!(status.as_u16(), 401 | 403 | 408 | 429) {
                return Self::started(operation, response).await;
            }
            self.refuses_mount.store(true, Ordering::Relaxed);
        }
        let url = self.client.url(operation, "blobs/uploads/");
        let response = self.client.call(operation, Request::new(Method::POST, url).body(Bytes::new())).await?;
        Self::started(operation, response).await
    }

    async fn started(operation: &Operation, response: reqwest::Response) -> Result<Option<Url>, Error> {
        match response.status() {
            StatusCode::CREATED => Ok(None),
            StatusCode::ACCEPTED => {
                let location = response.headers().get(LOCATION).ok_or_else(|| {
                    operation.error(Kind::Malformed, "the registry does not say where the upload goes: no `Location`")
                })?;
                let target = String::from_utf8_lossy(location.as_bytes());
                Client::follow(operation, response.url(), &target).map(Some)
            }
            _ => Err(error::refused(operation, response).await),
        }
    }

    /// Under `tag`, else by digest.
    pub async fn push_manifest(
        &self,
        repository: &Repository,
        content: &Content,
        tag: Option<&Tag>,
    ) -> Result<(), Error> {
        let descriptor = content.descriptor();
        let reference = tag.map_or(descriptor.digest.as_str(), Tag::as_str);
        let operation = self.operation("pushing", repository, reference, Access::Push);
        let media_type = HeaderValue::from_str(&descriptor.media_type)
            .map_err(|cause| operation.error(Kind::Malformed, "its media type is not valid").caused_by(cause))?;
        let request = Request::new(Method::PUT, self.client.url(&operation, &format!("manifests/{reference}")))
            .header(CONTENT_TYPE, media_type)
            .body(content.bytes().clone());
        let response = self.client.call(&operation, request).await?;
        if !response.status().is_success() {
            return Err(error::manifest_refused(&operation, response).await);
        }
        match content_digest(response.headers()) {
            Some(stored) if stored != descriptor.digest => {
                let reason = format!("the registry stored {stored} in place of {}", descriptor.digest);
                Err(operation.error(Kind::Mismatch, reason))
            }
            _ => Ok(()),
        }
    }
}

/// The upload's URL, which may have a query of its own, with the digest that completes it.
fn with_digest(mut upload: Url, digest: &Digest) -> Url {
    let query = match upload.query() {
        Some(query) if !query.is_empty() => format!("{query}&digest={digest}"),
        _ => format!("digest={digest}"),
    };
    upload.set_query(Some(&query));
    upload
}
