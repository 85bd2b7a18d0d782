//! Checks everything that a release names, for the report of `verify` and before a channel moves.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::try_join;

use super::image::{Image, parse, platforms};
use super::served::served;
use super::{Aspect, Check, Help, StatementFacts, Subject, Trust, artifact, overlay, values_names};
use crate::config::Config;
use crate::contents::{Bundle, ReadOnce, Reader, Stores, Unread};
use crate::image::Platform;
use crate::oci::{
    self, AnyRepository, Descriptor, Digest, InvalidReference, Location, Manifest, Parsed, Prefix, Repository,
    Selector, Tag,
};
use crate::release::{self, Named, NamedKind, Resolved, TAG_ALONE, Target};

/// The part of a release that is checked.
#[derive(Clone, Copy, Debug)]
pub enum Extent<'a> {
    /// Everything, including tags. With a channel, also the channel manifest.
    Whole(Option<&'a Tag>),
    /// Everything but tags, before a channel moves to the release.
    Move {
        /// Channel by whose name the release was asked for: the resolved manifest is its channel manifest.
        channel: Option<&'a Tag>,
    },
    /// Only the charts and the bundle.
    Files,
}

/// The release to check, and the stores to read it from.
#[derive(Clone, Copy, Debug)]
pub struct Checked<'a> {
    /// The release manifest, or the channel manifest that serves the release.
    pub resolved: &'a Resolved,
    /// Prefix of the release's own repositories.
    pub prefix: &'a Prefix,
    /// Configuration with the release's own values in place of those given.
    pub config: &'a Config,
    /// Place of the release, for the commands in the advice.
    pub location: &'a Location,
    /// Stores that the artifacts are read from.
    pub stores: &'a Stores<'a>,
    /// Part of the release that is checked.
    pub extent: Extent<'a>,
    /// What signatures are verified by; `None` does not read them.
    pub trust: Option<Trust<'a>>,
}

/// The result of all checks of a release.
#[derive(Debug)]
pub struct Verified {
    /// Digest of the release manifest.
    pub release: Digest,
    /// Result of every check.
    pub checks: Vec<Check>,
    /// What the signed statement of the channel says, if a channel was verified by a trust document.
    pub statement: Option<StatementFacts>,
}

/// The checks of one artifact and, for an image, the platforms that it states.
type Rows = (Vec<Check>, Vec<Platform>);

impl<'a> Checked<'a> {
    /// Checks the release. Reads are concurrent, and each manifest and blob is read once.
    ///
    /// # Errors
    /// Returns an error when a store cannot be reached. Wrong content is a failed check, not an error.
    pub async fn verify(&self) -> Result<Verified, oci::Error> {
        let mut named = self.resolved.release.named(self.prefix, self.config);
        named.retain(|named| !matches!(self.extent, Extent::Files) || !named.kind.is_image());
        let others = try_join_all(named.iter().map(|named| self.one(named)));
        let ((release, mut checks), of_channel, rows, signatures) =
            try_join!(self.of_release(), self.of_channel(), others, Box::pin(self.signatures()))?;
        let (rows, stated): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let runs = |named: &&Named| matches!(named.kind, NamedKind::Image | NamedKind::ControlPlane);
        let images = named.iter().zip(stated).filter(|(named, _)| runs(named));
        let images: Vec<_> = images.map(|(named, stated)| (named.subject(), stated)).collect();
        checks.splice(0..0, of_channel);
        checks.extend(rows.into_iter().flatten());
        checks.extend(platforms(&images));
        checks.extend(signatures.checks);
        let help = Help::new(self);
        for check in &mut checks {
            help.add(check);
        }
        Ok(Verified { release, checks, statement: signatures.statement })
    }

    pub(super) fn own(&self) -> &ReadOnce<'a> {
        &self.stores.own
    }

    pub(super) fn repository(&self) -> &Repository {
        &self.config.repositories.release
    }

    /// Checks the channel manifest's layer, record and keep-alive tag. The release that the channel serves was verified
    /// before.
    async fn of_channel(&self) -> Result<Vec<Check>, oci::Error> {
        let Extent::Whole(Some(channel)) = self.extent else { return Ok(Vec::new()) };
        let (resolved, repository) = (self.resolved, self.repository());
        let reference = format!("{repository}:{channel}");
        let subject = Subject { kind: NamedKind::Channel, name: channel.as_str(), reference: &reference };
        let mut checks = self.whole(&Selector::Digest(resolved.manifest.clone()), &subject).await?;
        if resolved.release.channel != channel.as_str() {
            let reason = format!("the JSON names the channel `{}`", resolved.release.channel);
            checks.push(subject.failed(Aspect::Agrees, reason));
        }
        let Some(record) = &resolved.record else {
            let reason = "the manifest has no record of a move: another tool or an older publisher wrote it";
            checks.push(subject.not_checked(Aspect::Tag, reason));
            return Ok(checks);
        };
        if record.name != channel.as_str() {
            checks.push(subject.failed(Aspect::Agrees, format!("the record names the channel `{}`", record.name)));
        }
        let tag = release::keep_alive_tag(channel, record.sequence, &resolved.manifest);
        let names = self.own().reader.names(repository, &tag, &resolved.manifest).await?;
        let names = names.map_err(|reason| format!("keep-alive tag: {reason}"));
        checks.push(subject.judge(Aspect::Tag, names));
        Ok(checks)
    }

    /// Checks the release manifest, of which a channel manifest is a copy.
    async fn of_release(&self) -> Result<(Digest, Vec<Check>), oci::Error> {
        let resolved = self.resolved;
        let in_channel = match self.extent {
            Extent::Whole(channel) | Extent::Move { channel } => channel.is_some(),
            Extent::Files => return Ok((resolved.release_digest.clone(), Vec::new())),
        };
        let served = served(self.own(), self.repository(), resolved, in_channel).await?;
        let (digest, reference) = (served.release, served.check.reference.clone());
        let subject = Subject { kind: NamedKind::Release, name: &resolved.release.version, reference: &reference };
        let agrees = Check { aspect: Aspect::Agrees, ..served.check };
        let selector = Selector::Digest(digest.clone());
        let whole = self.whole(&selector, &subject);
        let tag = self.tagged(self.repository(), resolved.release.tag(), &digest, &subject);
        let (mut checks, tag) = try_join!(whole, tag)?;
        // A release that cannot be read is reported once.
        if (in_channel || resolved.record.is_some()) && !(agrees.failed() && checks.iter().any(Check::failed)) {
            checks.push(agrees);
        }
        checks.extend(tag);
        let images = resolved.release.require_images(self.config).map_err(|cause| cause.to_string());
        checks.push(subject.judge(Aspect::Agrees, images));
        checks.extend(artifact::unprintable(&resolved.release).map(|reason| subject.failed(Aspect::Agrees, reason)));
        Ok((digest, checks))
    }

    /// Checks the manifest and the blobs of a release or a channel.
    async fn whole(&self, selector: &Selector, subject: &Subject<'_>) -> Result<Vec<Check>, oci::Error> {
        let (repository, own) = (self.repository(), self.own());
        let manifest = match own.manifest(repository, selector).await {
            Ok((descriptor, bytes)) => artifact::manifest(&descriptor, &bytes),
            Err(unread) => return Ok(vec![subject.unread(Aspect::Manifest, unread)?]),
        };
        let manifest = match manifest {
            Ok(manifest) => manifest,
            Err(reason) => return Ok(vec![subject.wrong(Aspect::Manifest, reason)]),
        };
        // The statements of a signed channel are further layers.
        let is_statement = |layer: &Descriptor| layer.media_type == oci::media_type::SIGSTORE_BUNDLE;
        let statements = manifest.layers.iter().skip(1).filter(|layer| is_statement(layer)).count();
        let statements = if subject.kind == NamedKind::Channel { statements } else { 0 };
        if manifest.layers.len() != 1 + statements {
            let reason = format!("expected one layer, found {}", manifest.layers.len() - statements);
            return Ok(vec![subject.wrong(Aspect::Manifest, reason)]);
        }
        let content = artifact::blobs(own, repository, &manifest).await?.map(drop);
        Ok(vec![subject.ok(Aspect::Manifest), subject.judge(Aspect::Content, content)])
    }

    /// Checks that the version's tag names the artifact.
    async fn tagged(
        &self,
        repository: &Repository,
        tag: Result<Tag, InvalidReference>,
        digest: &Digest,
        subject: &Subject<'_>,
    ) -> Result<Option<Check>, oci::Error> {
        if !matches!(self.extent, Extent::Whole(_)) {
            return Ok(None);
        }
        let names = match tag {
            Ok(tag) => self.own().reader.names(repository, &tag, digest).await?,
            Err(cause) => Err(cause.to_string()),
        };
        Ok(Some(subject.judge(Aspect::Tag, names)))
    }

    /// Checks one artifact that the release names, with everything that it names.
    async fn one(&self, named: &Named) -> Result<Rows, oci::Error> {
        let subject = named.subject();
        let (repository, selector) = match &named.target {
            Target::Unplaced(reason) => return Ok((vec![subject.not_checked(Aspect::Manifest, reason)], Vec::new())),
            Target::Invalid(reason) => return Ok((vec![subject.failed(Aspect::Manifest, reason)], Vec::new())),
            // The tag may name another image than at the time of the publication.
            Target::At { selector: Selector::Tag(_), .. } if named.kind.is_image() => {
                return Ok((vec![subject.not_checked(Aspect::Manifest, TAG_ALONE)], Vec::new()));
            }
            Target::At { repository, selector } => (repository, selector),
        };
        match repository {
            AnyRepository::Own(repository) if named.kind.is_image() => {
                let image = Image { reader: &self.own().reader, repository, blobs: true };
                of_image(&subject, &image, self.own().manifest(repository, selector).await).await
            }
            AnyRepository::Own(repository) => {
                let found = self.files(named, repository, selector);
                let tag = async {
                    let Selector::Digest(digest) = selector else { return Ok(None) };
                    let tag = Tag::of_version(named.version.as_deref().unwrap_or_default());
                    self.tagged(repository, tag, digest, &subject).await
                };
                let (mut checks, tag) = try_join!(found, tag)?;
                checks.extend(tag);
                Ok((checks, Vec::new()))
            }
            AnyRepository::External { registry, repository } => {
                self.elsewhere(&subject, registry, repository, selector).await
            }
        }
    }

    /// Checks a chart or a bundle in the store, and reads every byte.
    async fn files(
        &self,
        named: &Named,
        repository: &Repository,
        selector: &Selector,
    ) -> Result<Vec<Check>, oci::Error> {
        let (subject, own) = (named.subject(), self.own());
        let (descriptor, bytes) = match own.manifest(repository, selector).await {
            Ok(read) => read,
            Err(unread) => return Ok(vec![subject.unread(Aspect::Manifest, unread)?]),
        };
        let manifest = match artifact::manifest(&descriptor, &bytes) {
            Ok(manifest) => manifest,
            Err(reason) => return Ok(vec![subject.wrong(Aspect::Manifest, reason)]),
        };
        let mut checks = match artifact::is_kind(named.kind, &manifest) {
            Ok(()) => vec![subject.ok(Aspect::Manifest)],
            Err(reason) => vec![subject.wrong(Aspect::Manifest, reason)],
        };
        if manifest.layers.len() != 1 {
            return Ok(checks);
        }
        match artifact::blobs(own, repository, &manifest).await? {
            Err(reason) => checks.push(subject.failed(Aspect::Content, reason)),
            Ok(blobs) => {
                checks.push(subject.ok(Aspect::Content));
                checks.extend(self.inside(named, &manifest, &blobs));
            }
        }
        Ok(checks)
    }

    /// Checks the archive of a chart or a bundle.
    fn inside(&self, named: &Named, manifest: &Manifest, blobs: &BTreeMap<Digest, Bytes>) -> Vec<Check> {
        let subject = named.subject();
        if named.kind == NamedKind::Chart {
            let version = named.version.as_deref().unwrap_or_default();
            return vec![subject.judge(Aspect::Loads, artifact::loads(&named.name, version, manifest, blobs))];
        }
        let files = match artifact::unpack(manifest, blobs) {
            Ok(files) => files,
            Err(reason) => return vec![subject.failed(Aspect::Unpacks, reason)],
        };
        let (bundle, release) = (Bundle::open(files), &self.resolved.release);
        let mut checks = vec![subject.judge(Aspect::Unpacks, overlay::is_overlay(&bundle))];
        checks.extend(overlay::pins(&bundle, release, self.prefix, &self.config.repositories.charts));
        checks.extend(overlay::values(&bundle, release));
        checks.extend(values_names::checks(&bundle, release, self.config));
        checks
    }

    /// Checks an artifact in another registry. A directory of layouts may hold a copy. Charts and bundles in other
    /// registries are not read.
    async fn elsewhere(
        &self,
        subject: &Subject<'_>,
        registry: &Prefix,
        repository: &Repository,
        selector: &Selector,
    ) -> Result<Rows, oci::Error> {
        if let Some(store) = self.own().reader.store.external(registry)? {
            let reader = Reader { store: &store, public: None };
            match reader.manifest(repository, selector).await {
                Err(unread) if unread.is_not_found() => {}
                read => return of_image(subject, &Image { reader: &reader, repository, blobs: true }, read).await,
            }
        }
        let Some(external) = self.stores.external.get(&registry.name_of(repository)) else {
            let reason = "the artifact is in another registry, which was not asked";
            return Ok((vec![subject.not_checked(Aspect::Manifest, reason)], Vec::new()));
        };
        let reader = Reader { store: &external.store, public: external.public.as_ref() };
        let read = reader.manifest(repository, selector).await;
        of_image(subject, &Image { reader: &reader, repository, blobs: false }, read).await
    }
}

/// Checks an image whose manifest was read.
async fn of_image(
    subject: &Subject<'_>,
    image: &Image<'_>,
    read: Result<(oci::Descriptor, Bytes), Unread>,
) -> Result<Rows, oci::Error> {
    let wrong = |reason: String| Ok((vec![subject.wrong(Aspect::Manifest, reason)], Vec::new()));
    let (descriptor, bytes) = match read {
        Ok(read) => read,
        Err(unread) => return Ok((vec![subject.unread(Aspect::Manifest, unread)?], Vec::new())),
    };
    let manifest: Parsed = match parse(&descriptor, &bytes) {
        Ok(manifest) => manifest,
        Err(reason) => return wrong(reason),
    };
    if !subject.kind.is_image() {
        return Ok((vec![subject.ok(Aspect::Manifest)], Vec::new()));
    }
    match image.look(manifest).await? {
        Err(reason) => Ok((vec![subject.failed(Aspect::Manifest, reason)], Vec::new())),
        Ok(seen) => {
            let platforms = seen.platforms.clone();
            Ok((seen.checks(subject), platforms))
        }
    }
}

impl Named {
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject { kind: self.kind, name: &self.name, reference: &self.reference }
    }
}
