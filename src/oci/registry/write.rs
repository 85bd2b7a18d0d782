//! Pushes blobs and manifests, in as few requests as a registry allows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use reqwest::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};

use super::auth::Access;
use super::body::Body;
use super::client::{Answer, Client, Operation, Request};
use super::error::{Refusal, shown_target};
use super::obstacle::{Written, write_refused};
use super::read::content_digest;
use super::{Error, Registry, Repository};
use crate::oci::content::{Source, unreadable};
use crate::oci::{Content, Digest, Document, Kind, Obstacle, Tag, optional};

/// Size in bytes from which an extra request for an existing blob costs less than an upload that is not needed.
const LARGE: u64 = 1 << 20;
/// Bytes that are read of a response whose status is enough.
const ANSWER_LIMIT: u64 = 64 << 10;

/// Repositories of one registry that blobs can be mounted from.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    /// Whether the registry has refused to start an upload by a `mount` without a source.
    refused: AtomicBool,
    /// The repository into which this process pushed each blob.
    holders: Mutex<BTreeMap<Digest, String>>,
}

impl Mounts {
    fn learn(&self, digest: &Digest, path: String) {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner).insert(digest.clone(), path);
    }

    /// Returns another repository that has the blob.
    fn holder(&self, digest: &Digest, path: &str) -> Option<String> {
        let holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        holders.get(digest).filter(|holder| *holder != path).cloned()
    }
}

impl Request {
    pub(super) fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = Some(body.into());
        self
    }
}

/// An upload that is open for a blob that is sent later.
#[derive(Debug)]
pub struct Upload {
    repository: Repository,
    /// URL that the blob is sent to.
    session: Url,
}

impl Upload {
    pub(in crate::oci) fn repository(&self) -> &Repository {
        &self.repository
    }
}

impl Registry {
    /// Opens an upload. The request names no digest, so that the registry cannot mount a blob, and nothing is written.
    pub(crate) async fn open_upload(&self, repository: &Repository) -> Result<Upload, Error> {
        let operation = self.operation("open an upload in", repository, "", Access::Push);
        let session =
            self.client.persist(async || started(&operation, &self.post(&operation, "blobs/uploads/").await?)).await?;
        let session = session.ok_or_else(|| operation.error(Kind::Malformed, "the registry did not open an upload"))?;
        Ok(Upload { repository: repository.clone(), session })
    }

    /// Pushes a blob into an open upload, in one request.
    pub(crate) async fn push_blob_into(
        &self,
        upload: &Upload,
        content: &Content,
        mounts: &Mounts,
    ) -> Result<(), Error> {
        let digest = &content.descriptor().digest;
        let operation = self.operation("push", &upload.repository, digest, Access::Push);
        self.finish_upload(&operation, upload.session.clone(), content).await?;
        mounts.learn(digest, operation.path);
        Ok(())
    }

    /// Deletes a manifest. The response is ignored.
    pub(crate) async fn delete_manifest(&self, repository: &Repository, digest: &Digest) {
        let operation = self.operation("delete", repository, digest, Access::Push);
        let request = Request::new(Method::DELETE, self.client.url(&operation, &format!("manifests/{digest}")));
        drop(self.client.call(&operation, &request, ANSWER_LIMIT).await);
    }

    /// Cancels an upload. The response is ignored.
    pub(crate) async fn cancel_upload(&self, upload: Upload) {
        let operation = self.operation("cancel an upload in", &upload.repository, "", Access::Push);
        let request = Request::new(Method::DELETE, upload.session);
        drop(self.client.call(&operation, &request, ANSWER_LIMIT).await);
    }

    /// Deletes a blob. The response is ignored.
    pub(crate) async fn delete_blob(&self, repository: &Repository, digest: &Digest) {
        let operation = self.operation("delete", repository, digest, Access::Push);
        let request = Request::new(Method::DELETE, self.client.url(&operation, &format!("blobs/{digest}")));
        drop(self.client.call(&operation, &request, ANSWER_LIMIT).await);
    }

    /// Pushes a blob without asking whether the registry has it, in two requests.
    pub(crate) async fn push_blob_anew(
        &self,
        repository: &Repository,
        content: &Content,
        mounts: &Mounts,
    ) -> Result<(), Error> {
        let digest = &content.descriptor().digest;
        let operation = self.operation("push", repository, digest, Access::Push);
        let attempt = async || {
            let session = started(&operation, &self.post(&operation, "blobs/uploads/").await?)?;
            let session =
                session.ok_or_else(|| operation.error(Kind::Malformed, "the registry did not open an upload"))?;
            self.finish_upload(&operation, session, content).await
        };
        self.client.persist(attempt).await?;
        mounts.learn(digest, operation.path);
        Ok(())
    }

    /// Pushes a blob in two requests, or in one when the registry reports that it has the blob. A large blob takes one
    /// more. Returns whether the bytes were sent.
    pub(crate) async fn push_blob(
        &self,
        repository: &Repository,
        content: &Content,
        mounts: &Mounts,
    ) -> Result<bool, Error> {
        let descriptor = content.descriptor();
        if descriptor.size >= LARGE && self.has_for(repository, descriptor, Access::Push).await? {
            return Ok(false);
        }
        let operation = self.operation("push", repository, &descriptor.digest, Access::Push);
        // Attempted as a whole, since a client cannot know how much of a failed upload has arrived.
        let sent = self.client.persist(async || self.upload(&operation, content, mounts).await).await?;
        mounts.learn(&descriptor.digest, operation.path);
        Ok(sent)
    }

    async fn upload(&self, operation: &Operation, content: &Content, mounts: &Mounts) -> Result<bool, Error> {
        let Some(session) = self.start_upload(operation, content, mounts).await? else { return Ok(false) };
        self.finish_upload(operation, session, content).await.map(|()| true)
    }

    async fn finish_upload(&self, operation: &Operation, session: Url, content: &Content) -> Result<(), Error> {
        let digest = &content.descriptor().digest;
        self.check_session(operation, &session)?;
        let request = Request::new(Method::PUT, with_digest(session, digest))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
            .body(body_of(content));
        let answer = self.client.call(operation, &request, ANSWER_LIMIT).await?;
        if answer.status.is_success() { Ok(()) } else { Err(upload_refused(operation, &answer)) }
    }

    /// Refuses an upload to another host without encryption, which any host on the way could intercept. Reports an
    /// upload to another host with encryption.
    fn check_session(&self, operation: &Operation, session: &Url) -> Result<(), Error> {
        if session.host_str() == self.client.root.host_str() {
            return Ok(());
        }
        let place = shown_target(session.as_str());
        if session.scheme() != "https" {
            let reason =
                format!("the registry redirects the upload to `{place}`, which is another host and not encrypted");
            return Err(operation.error(Kind::Refused, reason));
        }
        let host = session.host_str().unwrap_or_default();
        self.client.say(&format!("{} redirects uploads to another host, {host}", self.prefix.host()));
        Ok(())
    }

    /// Starts an upload and returns its URL, or `None` when the registry already has the blob. A registry that does not
    /// know mounts without a source starts a normal upload. One that knows them checks whether any repository has the
    /// blob.
    ///
    /// <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#mounting-a-blob-from-another-repository>
    async fn start_upload(
        &self,
        operation: &Operation,
        content: &Content,
        mounts: &Mounts,
    ) -> Result<Option<Url>, Error> {
        let digest = &content.descriptor().digest;
        let holder = mounts.holder(digest, &operation.path).or_else(|| self.origin(content, &operation.path));
        if let Some(holder) = holder {
            let answer = self.post(operation, &format!("blobs/uploads/?mount={digest}&from={holder}")).await?;
            if !answer.status.is_client_error() {
                return started(operation, &answer);
            }
        } else if !mounts.refused.load(Ordering::Relaxed) {
            let answer = self.post(operation, &format!("blobs/uploads/?mount={digest}")).await?;
            if !answer.status.is_client_error() {
                return started(operation, &answer);
            }
            // Some registries refuse the mount as if permissions were missing. A plain start shows whether they are.
            mounts.refused.store(true, Ordering::Relaxed);
        }
        started(operation, &self.post(operation, "blobs/uploads/").await?)
    }

    /// Returns another repository of this registry, when the content is copied from there.
    fn origin(&self, content: &Content, path: &str) -> Option<String> {
        let Source::Registry(remote) = content.source() else { return None };
        let origin = remote.registry.prefix.full_path(&remote.repository);
        (self.client.root == remote.registry.client.root && origin != path).then_some(origin)
    }

    async fn post(&self, operation: &Operation, rest: &str) -> Result<Answer, Error> {
        let request = Request::new(Method::POST, self.client.url(operation, rest)).body(Bytes::new());
        self.client.call(operation, &request, ANSWER_LIMIT).await
    }

    /// Pushes a manifest under `tag`, or by digest.
    pub(crate) async fn push_manifest(
        &self,
        repository: &Repository,
        manifest: &Document,
        tag: Option<&Tag>,
    ) -> Result<(), Error> {
        self.client.persist(async || self.put_manifest(repository, manifest, tag).await).await
    }

    /// Pushes a manifest under a tag that points to `from`. Every attempt after the first one reads the tag again.
    pub(crate) async fn move_tag(
        &self,
        repository: &Repository,
        manifest: &Document,
        tag: &Tag,
        from: Option<&Digest>,
    ) -> Result<(), Error> {
        let failed = AtomicBool::new(false);
        let attempt = async || {
            if failed.swap(true, Ordering::Relaxed) {
                let found = optional(self.resolve(repository, tag).await)?;
                if found.as_ref() == Some(&manifest.descriptor().digest) {
                    return Ok(());
                }
                if found.as_ref() != from {
                    let operation = self.operation("move", repository, tag, Access::Push);
                    return Err(operation.error(Kind::Conflict, "another publisher has moved the tag"));
                }
            }
            self.put_manifest(repository, manifest, Some(tag)).await
        };
        self.client.persist(attempt).await
    }

    async fn names(&self, repository: &Repository, tag: &Tag, digest: &Digest) -> bool {
        self.resolve(repository, tag).await.is_ok_and(|found| found == *digest)
    }

    async fn put_manifest(&self, repository: &Repository, manifest: &Document, tag: Option<&Tag>) -> Result<(), Error> {
        let descriptor = manifest.descriptor();
        let reference = tag.map_or(descriptor.digest.as_str(), Tag::as_str);
        let operation = self.operation("push", repository, reference, Access::Push);
        let media_type = HeaderValue::from_str(&descriptor.media_type)
            .map_err(|cause| operation.error(Kind::Malformed, "invalid media type").caused_by(cause))?;
        let request = Request::new(Method::PUT, self.client.url(&operation, &format!("manifests/{reference}")))
            .header(CONTENT_TYPE, media_type)
            .body(manifest.bytes().clone());
        let answer = self.client.call(&operation, &request, ANSWER_LIMIT).await?;
        if !answer.status.is_success() {
            let error = manifest_refused(&operation, &answer, tag.is_some());
            return match tag {
                // Some registries refuse to write an immutable tag even if it already points to this manifest.
                Some(tag)
                    if is_immutable(&error) && Box::pin(self.names(repository, tag, &descriptor.digest)).await =>
                {
                    Ok(())
                }
                _ => Err(error),
            };
        }
        match content_digest(&answer.headers) {
            Some(stored) if stored != descriptor.digest => {
                let reason = format!("the registry stored {stored}, expected {}", descriptor.digest);
                Err(operation.error(Kind::Mismatch, reason))
            }
            _ => Ok(()),
        }
    }
}

/// Returns the body for content. Content that is not in memory is streamed.
fn body_of(content: &Content) -> Body {
    if let Source::Memory(bytes) = content.source() {
        return bytes.clone().into();
    }
    let content = content.clone();
    Body::streamed(content.descriptor().size, move |failed| {
        reqwest::Body::wrap_stream(content.stream().inspect_err(move |cause| failed.because(unreadable(cause))))
    })
}

fn started(operation: &Operation, answer: &Answer) -> Result<Option<Url>, Error> {
    match answer.status {
        StatusCode::CREATED => Ok(None),
        StatusCode::ACCEPTED => {
            let location = answer.headers.get(LOCATION).ok_or_else(|| {
                operation.error(Kind::Malformed, "the registry did not name the URL of the upload: missing `Location`")
            })?;
            let target = String::from_utf8_lossy(location.as_bytes());
            Client::follow(operation, &answer.url, &target).map(Some)
        }
        _ => Err(write_refused(operation, answer, Written::Start)),
    }
}

/// Adds the digest that completes an upload to its URL, which may have a query already.
fn with_digest(mut upload: Url, digest: &Digest) -> Url {
    let query = match upload.query() {
        Some(query) if !query.is_empty() => format!("{query}&digest={digest}"),
        _ => format!("digest={digest}"),
    };
    upload.set_query(Some(&query));
    upload
}

/// Returns the error for the end of an upload. When the registry has forgotten the session, a retry with a new one may
/// help.
fn upload_refused(operation: &Operation, answer: &Answer) -> Error {
    let error = write_refused(operation, answer, Written::Blob);
    let unknown = Refusal::parse(&answer.body).has("BLOB_UPLOAD_UNKNOWN") || error.kind() == Kind::NotFound;
    if unknown { error.passing(Duration::ZERO) } else { error }
}

/// Returns the error for a manifest. An unknown blob means that the manifest names a blob that is missing.
fn manifest_refused(operation: &Operation, answer: &Answer, tagged: bool) -> Error {
    let refusal = Refusal::parse(&answer.body);
    let absent = ["MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"];
    let denied = matches!(answer.status.as_u16(), 401 | 403);
    if !denied && absent.iter().any(|code| refusal.has(code)) {
        return refusal.error(operation, answer, Kind::Refused);
    }
    write_refused(operation, answer, if tagged { Written::Tag } else { Written::Manifest })
}

fn is_immutable(error: &Error) -> bool {
    error.kind() == Kind::Blocked(Obstacle::ImmutableTag)
}
