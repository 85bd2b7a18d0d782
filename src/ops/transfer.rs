//! Reads a release with everything that it names from one store, and rewrites it to the prefix of another one if requested.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::moves::complete;
use super::{Access, Connection, Context, Error, Signing, StoreRequest, TrustError, trust};
use crate::config::Config;
use crate::contents::{ReadOnce, Stores};
use crate::image::Platform;
use crate::oci::{self, Artifact, Attached, Digest, Location, Pinned, Prefix, Repository, Selector, Tag, archive};
use crate::overlay::{self, BundleMeta};
use crate::plan::copy::{self, Keeps, Left, Piece, Whole};
use crate::plan::{self, ArtifactKind, Desired, Event};
use crate::release::{self, MoveKind, Named, NamedKind, Release, Resolved};
use crate::verify::{self, Checked, Extent, Trust};

/// Largest layer of a bundle that is rewritten.
const BUNDLE_LIMIT: u64 = 512 << 20;

/// Files of a bundle, by path.
type Files = BTreeMap<String, Vec<u8>>;

/// Parts of a release that are copied, and their names in the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransferExtent {
    /// Whether the images stay where they are.
    pub without_images: bool,
    /// The only platform that is copied of images for several.
    pub platform: Option<Platform>,
    /// Whether bundle and release are rewritten so that everything they name is below another prefix.
    pub rewrite: Option<RewriteTo>,
    /// Whether the copies of charts, bundle, control plane and release are signed.
    pub sign: bool,
    /// Whether a rewritten release of a signed source is left without signatures.
    pub drop_signatures: bool,
    /// File with the trust document of the source, where it is another one than that of the keys that sign the copy.
    pub source_trust: Option<PathBuf>,
}

impl TransferExtent {
    /// Reports whether the keys sign the copy, so that the source need not be signed by them.
    pub(super) fn is_signed_anew(&self) -> bool {
        (self.sign || self.rewrite.is_some()) && !self.drop_signatures
    }
}

/// The prefix that a release is rewritten to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RewriteTo {
    /// The prefix of the target, which must be a registry.
    Target,
    /// The given prefix, `HOST/PATH`.
    Prefix(String),
}

/// Where a release is copied to.
#[derive(Debug)]
pub enum Target {
    /// A registry or a directory.
    Store(Box<Connection>),
    /// A file, which is written as a whole.
    Archive(PathBuf),
}

impl Target {
    /// Opens the target of a copy from `source`. Credentials in `request` are for the source, unless the source needs none.
    ///
    /// # Errors
    /// When the target is the source, and as [`Connection::open`].
    pub async fn open(
        store: &str,
        request: &StoreRequest,
        source: &Connection,
        access: Access,
        context: &Context,
    ) -> Result<Self, Error> {
        let only_kept_credentials = matches!(source.location, Location::Registry(_));
        let request = StoreRequest { only_kept_credentials, ..request.other(store) };
        let location = Location::parse(store, request.plain_http)?;
        if location == source.location {
            return Err(Error::SameStore { store: location.to_string() });
        }
        match location {
            Location::Archive(path) => Ok(Self::Archive(path)),
            _ => Ok(Self::Store(Box::new(Connection::open(&request, access, context).await?))),
        }
    }

    /// Returns the store; `None` for a file.
    pub fn connection(&self) -> Option<&Connection> {
        match self {
            Self::Store(connection) => Some(connection),
            Self::Archive(_) => None,
        }
    }

    /// Returns where the target is.
    pub fn location(&self) -> Location {
        match self {
            Self::Store(connection) => connection.location.clone(),
            Self::Archive(path) => Location::Archive(path.clone()),
        }
    }
}

/// Source and target of a transfer, and its settings.
#[derive(Clone, Copy)]
pub(super) struct Transfer<'a> {
    pub config: &'a Config,
    pub source: &'a Connection,
    pub target: &'a Target,
    pub extent: &'a TransferExtent,
    /// What the signatures of the release are verified by before it is copied.
    pub trust: Option<Trust<'a>>,
    /// What signs the copy.
    pub signing: Option<&'a Signing>,
    pub context: &'a Context,
}

/// Everything that the target is to hold; the blobs are read when they are written.
pub(super) struct Ready {
    /// The release manifest that was read.
    pub origin: Pinned,
    pub desired: Desired,
    /// Repositories of other registries, by the name that they have in a directory or an archive: `HOST/PATH`.
    kept: BTreeMap<Repository, String>,
    /// Channel manifest that an archive holds as it is, with its tags.
    pub channel: Option<(Vec<Tag>, Artifact)>,
    /// Whether bundle and release were rewritten although the source is signed.
    is_rewritten_signed: bool,
    pub left: Vec<Left>,
    /// Images that the rewritten release pulls from elsewhere, a line each.
    pub elsewhere: Vec<String>,
    pub warnings: Vec<String>,
}

/// A release that was read, before its names are settled.
struct Read<'a> {
    whole: Whole,
    resolved: &'a Resolved,
    origin: Pinned,
    prefix: Prefix,
}

impl Transfer<'_> {
    /// Returns the prefix that the release is rewritten to, if it is.
    fn rewritten_to(&self) -> Result<Option<Prefix>, Error> {
        match (&self.extent.rewrite, self.target.location()) {
            (None, _) => Ok(None),
            (Some(RewriteTo::Target), Location::Registry(prefix)) => Ok(Some(prefix)),
            (Some(RewriteTo::Target), location) => Err(Error::NoPrefix { store: location.to_string() }),
            (Some(RewriteTo::Prefix(prefix)), _) => Ok(Some(Prefix::parse(prefix, false)?)),
        }
    }

    /// Reads the release with everything that it names, and verifies its charts and its bundle, which `own` may have read before.
    pub(super) async fn read(
        &self,
        resolved: &Resolved,
        in_channel: bool,
        moves: bool,
        own: ReadOnce<'_>,
    ) -> Result<Ready, Error> {
        let (config, source) = (self.config, self.source);
        let repository = &config.repositories.release;
        if self.extent.sign && self.signing.is_none() {
            return Err(TrustError::NoDocument.into());
        }
        let served = verify::served(&own, repository, resolved, in_channel).await?;
        if served.check.failed() {
            let (reference, reason) = (served.check.reference, served.check.reason.unwrap_or_default());
            return Err(Error::NotServed { reference, reason });
        }
        let digest = served.release;
        let resolved = release::resolve(source.read(), repository, &Selector::Digest(digest.clone())).await?;
        let prefix = source.prefix_of(&resolved.release, config)?;
        let to = self.rewritten_to()?;
        self.check_prefix(&prefix, to.as_ref(), moves)?;
        let location = self.target.location();
        let is_registry = matches!(location, Location::Registry(_));
        let keeps = match (&to, is_registry) {
            (Some(to), _) => Keeps::Relocated(to),
            (None, true) => Keeps::Own,
            (None, false) => Keeps::All,
        };
        let external = !matches!(keeps, Keeps::Own);
        let named = resolved.release.named(&prefix, config);
        let asked = external && !self.extent.without_images;
        let elsewhere = if asked { source.external(&named).await? } else { BTreeMap::default() };
        let stores = Stores { own, external: &elsewhere };
        let extent =
            copy::CopyExtent { images: !self.extent.without_images, platform: self.extent.platform.as_ref(), external };
        let location = &source.location;
        let (resolved, prefix, stores) = (&resolved, &prefix, &stores);
        let checked = Checked { resolved, prefix, config, location, stores, extent: Extent::Files, trust: self.trust };
        let checks = async { Ok(checked.verify().await?.checks) };
        let whole = async { Ok::<_, Error>(copy::read(resolved, &digest, prefix, config, stores, extent).await?) };
        let (whole, checks) = futures_util::try_join!(whole, checks)?;
        complete(&resolved.release.version, &checks, MoveKind::Copy)?;
        let parts = if is_registry { in_part(&whole) } else { Vec::new() };
        let origin = Pinned { repository: prefix.name_of(repository), digest };
        let read = Read { whole, resolved, origin, prefix: prefix.clone() };
        let mut ready = match &to {
            None => self.with_trust_documents(self.as_it_is(read, &keeps)?).await?,
            Some(to) => self.relocated(read, to).await?,
        };
        ready.warnings.extend(parts);
        ready.warnings.extend(ready.left.iter().map(|left| {
            format!("not copied: {} {} ({}): {}", left.kind.as_str(), left.name, left.reference, left.reason)
        }));
        Ok(ready)
    }

    /// Adds the trust documents of the source. What is signed anew has the trust document of its signer.
    async fn with_trust_documents(&self, mut ready: Ready) -> Result<Ready, Error> {
        if self.extent.is_signed_anew() {
            return Ok(ready);
        }
        let repository = &self.config.repositories.release;
        let documents = trust::carried(self.source, self.target.connection(), repository).await?;
        if !documents.tagged.is_empty() {
            ready.desired.attached.push((repository.clone(), documents));
        }
        Ok(ready)
    }

    /// Refuses a channel that would serve a release of another registry, because Flux has no mirrors.
    fn check_prefix(&self, from: &Prefix, to: Option<&Prefix>, moves: bool) -> Result<(), Error> {
        let Location::Registry(target) = self.target.location() else { return Ok(()) };
        if !moves || to.is_some() || from.to_string() == target.to_string() {
            return Ok(());
        }
        Err(Error::ForeignPrefix { target: target.to_string(), prefix: from.to_string() })
    }

    fn as_it_is(&self, read: Read<'_>, keeps: &Keeps<'_>) -> Result<Ready, Error> {
        let Read { whole, resolved, origin, prefix } = read;
        let json = resolved.json.clone();
        let mut desired = copy::desired(&whole, &whole.release, json, (keeps, &prefix), self.config)?;
        desired.attached = attached(&whole, keeps, self.config, true)?;
        let mut kept = BTreeMap::new();
        for piece in whole.pieces.iter().filter(|_| matches!(keeps, Keeps::All)) {
            if let (Some(name), Some(repository)) = (piece.home.external_name(), keeps.repository(&piece.home)?) {
                kept.insert(repository, name);
            }
        }
        let (elsewhere, warnings) = (Vec::new(), Vec::new());
        let (channel, is_rewritten_signed) = (None, false);
        Ok(Ready { origin, desired, kept, channel, is_rewritten_signed, left: whole.left, elsewhere, warnings })
    }

    /// The release with a bundle and a JSON that name everything below `to`.
    async fn relocated(&self, read: Read<'_>, to: &Prefix) -> Result<Ready, Error> {
        let Read { mut whole, resolved, origin, prefix } = read;
        let (config, of_release_is_signed) = (self.config, is_signed(&whole.attached));
        let relocation = copy::relocation(&whole, &prefix, to, config)?;
        let keeps = Keeps::Relocated(to);
        let mut warnings = Vec::new();
        let bundle = whole.pieces.iter_mut().find(|piece| piece.kind == ArtifactKind::Bundle);
        let bundle = bundle.ok_or_else(|| Error::BrokenBundle { reason: "the release names none".to_owned() })?;
        let (meta, files) = self.unpack(&bundle.artifact).await?;
        let from = copy::Origin { name: &origin, release: &resolved.release, files: &files, bundle: &meta };
        let relocated = copy::relocate(from, &relocation, config, self.extent.drop_signatures)?;
        let is_rewritten_signed = relocated.json.is_some() && (is_signed(&bundle.attached) || of_release_is_signed);
        let signs = self.signing.is_some_and(Signing::can_sign_artifacts);
        if is_rewritten_signed && !signs && !self.extent.drop_signatures {
            return Err(TrustError::Rewritten.into());
        }
        // The keys of the copy would otherwise sign whatever the source serves.
        if is_rewritten_signed && self.extent.source_trust.is_none() && !self.extent.drop_signatures {
            return Err(TrustError::SourceNotVerified.into());
        }
        if let Some(artifact) = relocated.bundle {
            if !bundle.attached.referrers.is_empty() || !bundle.attached.tagged.is_empty() {
                let text =
                    "the bundle is rewritten: signatures and other manifests that refer to the old one are not copied";
                warnings.push(text.to_owned());
            }
            (bundle.artifact, bundle.attached) = (artifact, Attached::default());
        }
        let changed = relocated.json.is_some();
        let json = relocated.json.unwrap_or_else(|| resolved.json.clone());
        let release = if changed { Release::artifact(json.clone()) } else { whole.release.clone() };
        warnings.extend(relocated.warnings.iter().map(ToString::to_string));
        let elsewhere = self.elsewhere(resolved, &relocated.release, relocated.files, to).await?;
        let elsewhere = elsewhere.unwrap_or_else(|| {
            warnings.push("helm is not on the path: what the release pulls from elsewhere is not listed".to_owned());
            Vec::new()
        });
        let mut desired = copy::desired(&whole, &release, json, (&keeps, to), config)?;
        desired.attached = attached(&whole, &keeps, config, !changed)?;
        let (kept, channel) = (BTreeMap::new(), None);
        Ok(Ready { origin, desired, kept, channel, is_rewritten_signed, left: whole.left, elsewhere, warnings })
    }

    async fn unpack(&self, bundle: &Artifact) -> Result<(BundleMeta, Files), Error> {
        let repository = &self.config.repositories.config;
        let manifest = oci::Manifest::parse(&bundle.descriptor().media_type, bundle.manifest().bytes())
            .map_err(|cause| Error::BrokenBundle { reason: format!("invalid image manifest: {cause}") })?;
        let broken = |reason: &str| Error::BrokenBundle { reason: reason.to_owned() };
        let meta = BundleMeta::read(&manifest.annotations).ok_or_else(|| broken("it has no source and revision"))?;
        let layer = manifest.layers.first().ok_or_else(|| broken("it has no layer"))?;
        let layer = self.source.read().fetch_verified(repository, layer, BUNDLE_LIMIT).await?;
        let files = overlay::unpack(&layer).map_err(|refused| Error::BrokenBundle { reason: refused.to_string() })?;
        Ok((meta, files))
    }

    /// Returns the images that the rewritten release still pulls from other registries; `None` without helm.
    async fn elsewhere(
        &self,
        resolved: &Resolved,
        release: &Release,
        files: Files,
        to: &Prefix,
    ) -> Result<Option<Vec<String>>, Error> {
        let source = self.source.read();
        let side = crate::diff::Side::read(source, self.config, &release.version, resolved.clone());
        super::rendered::pulled_from_elsewhere(side.contents_of(release, files).await?, to, self.context).await
    }

    /// Compares the file at `path` with the archive that [`Self::write_archive`] would write there.
    pub(super) fn existing_archive(ready: &Ready, path: &Path) -> Result<archive::Existing, Error> {
        let entries = entries(ready);
        Ok(archive::existing(path, release::ARCHIVE_PREFIX, &ready.desired.prefix, &entries)?)
    }

    /// Writes the release as a file, whole or not at all.
    pub(super) async fn write_archive(&self, ready: &Ready, path: &Path) -> Result<(), Error> {
        let desired = &ready.desired;
        let entries = entries(ready);
        let places = desired
            .all()
            .flat_map(|one| one.artifact.contents().map(|content| (&content.descriptor().digest, &one.repository)));
        let places: BTreeMap<&Digest, &Repository> = places.collect();
        let sink = &self.context.progress;
        sink.event(&Event::Started { bytes: size(desired), left: &[] });
        let progress = |step: archive::Progress<'_>| {
            let Some(repository) = places.get(&step.content.digest) else { return };
            let (blob, bytes) = (step.content, step.written);
            sink.event(&if bytes < blob.size {
                Event::Sending { repository, blob, bytes }
            } else {
                Event::Stored { repository, digest: &blob.digest, bytes }
            });
        };
        Ok(archive::write(path, release::ARCHIVE_PREFIX, &desired.prefix, &entries, &progress).await?)
    }
}

impl Transfer<'_> {
    /// Signs the copies, where that is requested, or where the rewriting made the signatures of the source void.
    pub(super) async fn sign(&self, ready: &mut Ready) -> Result<(), Error> {
        let Some(signing) = self.signing else { return Ok(()) };
        if self.extent.drop_signatures || !(self.extent.sign || ready.is_rewritten_signed) {
            return Ok(());
        }
        let store = self.target.connection().unwrap_or(self.source).read();
        let Desired { prefix, release, .. } = &ready.desired;
        let named = Release::parse(&release.json)?.named(prefix, self.config);
        let plane = named.iter().find(|named| named.kind == NamedKind::ControlPlane).and_then(Named::digest);
        let ours = signing.sign_copy(&ready.desired, plane, store).await?;
        let copied = std::mem::take(&mut ready.desired.attached);
        ready.desired.attached = plan::merged(copied.into_iter().chain(ours));
        Ok(())
    }
}

/// Reports whether a signature is attached, of either form.
fn is_signed(attached: &Attached) -> bool {
    let is_bundle = |artifact_type: &str| artifact_type == oci::media_type::SIGSTORE_BUNDLE;
    attached.referrers.iter().any(|(_, one, _)| one.artifact_type.as_deref().is_some_and(is_bundle))
        || attached.tagged.iter().any(|(tag, _)| tag.as_str().strip_suffix(".sig").is_some())
}

/// Returns everything that an archive of the release holds, with the names in the archive.
fn entries(ready: &Ready) -> Vec<archive::Entry<'_>> {
    let Ready { desired, kept, channel, .. } = ready;
    let entry = |repository: &Repository, tag: Option<&Tag>, artifact| {
        let name = kept.get(repository).cloned().unwrap_or_else(|| desired.prefix.name_of(repository));
        archive::Entry { name, tag: tag.cloned(), artifact }
    };
    let mut entries: Vec<archive::Entry<'_>> =
        desired.all().map(|one| entry(&one.repository, Some(&one.tag), &one.artifact)).collect();
    for (repository, attached) in &desired.attached {
        entries.extend(attached.referrers.iter().map(|(_, _, artifact)| entry(repository, None, artifact)));
        entries.extend(attached.tagged.iter().map(|(tag, artifact)| entry(repository, Some(tag), artifact)));
    }
    if let Some((tags, artifact)) = channel {
        entries.extend(tags.iter().map(|tag| entry(&desired.release.repository, Some(tag), artifact)));
    }
    entries
}

/// Returns a warning for each image that is copied only for some of its platforms.
fn in_part(whole: &Whole) -> Vec<String> {
    let parts = whole.pieces.iter().filter(|piece| piece.artifact.absent() > 0);
    let warning = |piece: &Piece| {
        let (name, absent) = (&piece.name, piece.artifact.absent());
        format!(
            "image {name}: {absent} of its platforms are not copied: a registry may refuse its index; with all platforms it does not"
        )
    };
    parts.map(warning).collect()
}

/// Returns the manifests that refer to the pieces, with the repository that each one is copied to.
fn attached(
    whole: &Whole,
    keeps: &Keeps<'_>,
    config: &Config,
    with_release: bool,
) -> Result<Vec<(Repository, Attached)>, Error> {
    let mut all = Vec::new();
    for piece in &whole.pieces {
        if let Some(repository) = keeps.repository(&piece.home)? {
            all.push((repository, piece.attached.clone()));
        }
    }
    if with_release {
        all.push((config.repositories.release.clone(), whole.attached.clone()));
    }
    all.retain(|(_, attached)| *attached != Attached::default());
    Ok(all)
}

/// Returns the number of all bytes. Blobs that several artifacts share are counted once.
pub(super) fn size(desired: &Desired) -> u64 {
    let contents = desired.all().flat_map(|one| one.artifact.contents());
    let each: BTreeMap<_, _> =
        contents.map(|content| (&content.descriptor().digest, content.descriptor().size)).collect();
    each.values().sum()
}
