//! Packs a source tree as it is published: what `publish` sends and what `diff` compares.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use super::archive::{announce_image, image_artifact, read_image};
use super::judges::{Judged, Render};
use super::lint::{How, Linted};
use super::{Connection, Context, Error};
use crate::config::{Config, ValuesNames};
use crate::image::archive::{Input, Layers};
use crate::image::{self, Check, PinnedImages, Platform};
use crate::lint::{Report, Settings};
use crate::oci::{AnyRepository, InvalidReference, Location, Pinned, Prefix, Reference, Repository, Selector, Tag};
use crate::plan::{self, Desired, DesiredArtifact, GivenTags, ImageTags, Packed, Request, Revision};
use crate::source::{self, Place, Tree, git};

/// A source tree, and as what it is packed.
#[derive(Debug)]
pub struct PackRequest {
    /// Root of the source tree.
    pub source: PathBuf,
    /// Version of the release.
    pub version: Tag,
    /// Channel that the release's JSON names.
    pub channel: Tag,
    /// Tags of application images that were given by hand. They take precedence over those in the tree.
    pub images: GivenTags,
    /// Origin of the control-plane image.
    pub control_plane: ControlPlane,
    /// Platform that the images must be for.
    pub platform: Platform,
    /// Whether an image may be absent or for another platform; `None` for [`Check::Require`] in a registry and
    /// [`Check::Warn`] on a disk.
    pub image_check: Option<Check>,
    /// State of the source.
    pub revision: RevisionRequest,
    /// Whether files that are not committed may be packed.
    pub allow_dirty: bool,
    /// Whether the tree is published although checks failed.
    pub on_errors: OnErrors,
    /// Whether helm and kubectl are asked whether it can be installed.
    pub render: Render,
}

/// Whether a release is published although checks found that it cannot be installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnErrors {
    /// The release is refused, and no request is sent.
    #[default]
    Refuse,
    /// The release is published all the same, for this reason.
    Publish(String),
    /// The report says so.
    Report,
}

impl PackRequest {
    /// Requests a tree as it is: with its own image tags, without a control plane, for `linux/amd64`.
    pub fn new(source: impl Into<PathBuf>, version: Tag, channel: Tag) -> Self {
        Self {
            source: source.into(),
            version,
            channel,
            images: GivenTags::default(),
            control_plane: ControlPlane::None,
            platform: "linux/amd64".parse().expect("a platform"),
            image_check: None,
            revision: RevisionRequest::default(),
            allow_dirty: false,
            on_errors: OnErrors::Refuse,
            render: Render::Off,
        }
    }
}

/// Where the control-plane image of a release comes from.
#[derive(Debug)]
pub enum ControlPlane {
    /// The release has none.
    None,
    /// A tag or digest of the configured repository, or a full reference.
    Reference(String),
    /// An archive that is pushed with the release.
    Archive(Input),
}

/// The state of the source. Each field that is `None` is read from git.
#[derive(Clone, Debug, Default)]
pub struct RevisionRequest {
    /// Full hex id of the commit.
    pub commit: Option<String>,
    /// URL of the source; the configured one is used before git's remote.
    pub source_url: Option<String>,
    /// Seconds since 1970; `SOURCE_DATE_EPOCH` is used before the commit's time.
    pub epoch: Option<i64>,
}

/// A release that is packed, with its images pinned.
#[derive(Debug)]
pub(super) struct Publication {
    /// Everything that the release consists of.
    pub desired: Desired,
    /// The images of the release.
    pub images: PinnedImages,
    /// Findings of the checks.
    pub lint: Report,
    /// Warnings for people, sorted by place.
    pub warnings: Vec<String>,
}

/// Packs a source tree while the images are looked up in the store and in other registries. Also returns an error for each image that the
/// release needs and that cannot be pinned: with any of them, the release must not be published.
///
/// # Errors
/// When the tree or the request is invalid, files are not committed, or a store fails.
pub(super) async fn pack(
    request: PackRequest,
    config: &Config,
    connection: &Connection,
    context: &Context,
) -> Result<(Publication, Vec<image::Error>), Error> {
    let mut inputs = Inputs::new(&request, config, &connection.prefix)?;
    let found = plan::image_tags(&inputs.tree, &inputs.request())?;
    let tags = Arc::new(found.tags());
    let ImageTags { images, warnings: of_images } = found;
    // A release must have every image of its configuration, so one without images comes from a configuration without images.
    inputs.config.images.retain(|key, _| tags.contains_key(key));
    let inputs = Arc::new(inputs);
    let pins = pins(&request, &inputs, &connection.location, images)?;
    let others = connection.other_registries(&pins, context).await?;
    let PackRequest { control_plane, platform, revision, allow_dirty, on_errors, render, .. } = request;
    let packing = {
        let (inputs, tags, context) = (Arc::clone(&inputs), Arc::clone(&tags), context.clone());
        on_thread(move || inputs.packed(&tags, &context))
    };
    let archived = async {
        let ControlPlane::Archive(archive) = control_plane else { return Ok(None) };
        let (inputs, context) = (Arc::clone(&inputs), context.clone());
        on_thread(move || archived(archive, &platform, &inputs, &context)).await.map(Some)
    };
    let external = |registry: &Prefix, repository: &Repository| others.open(registry, repository);
    // No request is sent before everything was checked.
    let packed = async {
        let packed = packing.await?;
        let judged = inputs.linted(render, context).judge(&packed, &inputs.request(), &tags).await?;
        let checking = {
            let (inputs, context) = (Arc::clone(&inputs), context.clone());
            on_thread(move || inputs.checked(packed, &tags, &judged, &context))
        };
        let (packed, report) = checking.await?;
        let lint = on_errors.judge(report)?;
        Ok::<_, Error>((packed, lint, image::pin(connection.read(), &pins, external).await))
    };
    let ((packed, lint, pinned), archived) = futures_util::try_join!(packed, archived)?;
    let revision = Revisions { inputs: &inputs, packed: &packed, allow_dirty, context }.find(&revision)?;
    let (mut images, unpinned) = pinned;
    let packed = inputs.named_by_digests(packed, &images).await?;
    if let Some((reference, _)) = &archived {
        images.control_plane = Some(reference.clone());
    }
    let mut desired = packed.desired(&inputs.request(), &revision, &images)?;
    desired.artifacts.extend(archived.map(|(_, artifact)| artifact));
    desired.platform = Some(pins.platform.clone());
    let warnings = of_images.iter().chain(&packed.warnings).chain(&images.warnings).cloned().collect();
    Ok((Publication { desired, images, lint, warnings }, unpinned))
}

/// Runs work that costs CPU on a thread of its own. The thread starts at once; when the returned future is dropped, as after a
/// signal, nothing waits for the thread.
pub(super) async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || sender.send(catch_unwind(AssertUnwindSafe(work))));
    match receiver.await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => resume_unwind(panic),
        Err(closed) => resume_unwind(Box::new(closed)),
    }
}

/// The inputs of the threads that pack and check.
struct Inputs {
    /// Name of the tree in reports.
    subject: String,
    /// Severity of each rule, and the rules that are allowed.
    settings: Settings,
    tree: Tree,
    config: Config,
    prefix: Prefix,
    version: Tag,
    /// Channel in the release's JSON.
    channel: Tag,
    images: GivenTags,
}

impl OnErrors {
    /// Lets a report pass, or refuses because of it.
    fn judge(self, mut report: Report) -> Result<Report, Error> {
        match self {
            Self::Refuse if report.has_errors() => return Err(Error::Lint(Box::new(report))),
            Self::Publish(reason) => report.ignored_because = Some(reason),
            Self::Refuse | Self::Report => {}
        }
        Ok(report)
    }
}

impl Inputs {
    fn new(request: &PackRequest, config: &Config, prefix: &Prefix) -> Result<Self, Error> {
        Ok(Self {
            subject: request.source.display().to_string(),
            settings: Settings::of(config)?,
            tree: Tree::open(&request.source)?,
            config: config.clone(),
            prefix: prefix.clone(),
            version: request.version.clone(),
            channel: request.channel.clone(),
            images: request.images.clone(),
        })
    }

    /// Packs the tree. A tree that cannot be packed is checked as far as it can be read.
    fn packed(&self, tags: &BTreeMap<String, Tag>, context: &Context) -> Result<Packed, Error> {
        match plan::pack(&self.tree, &self.request(), &PinnedImages::tags(tags)) {
            Err(cause) if matches!(cause.kind(), source::Kind::Invalid | source::Kind::Refused) => {
                let others = self.linted(Render::Off, context).beside(&cause);
                Err(Error::Unpackable { cause, others: Box::new(others) })
            }
            packed => Ok(packed?),
        }
    }

    /// Packs the tree again when the names of values depend on the digests of the images, which are known after all checks
    /// only.
    async fn named_by_digests(self: &Arc<Self>, packed: Packed, images: &PinnedImages) -> Result<Packed, Error> {
        if !self.config.is_signed() || self.config.values_names == ValuesNames::Plain {
            return Ok(packed);
        }
        let (inputs, images) = (Arc::clone(self), images.clone());
        Ok(on_thread(move || plan::pack(&inputs.tree, &inputs.request(), &images)).await?)
    }

    /// Checks what was packed, with what helm and kubectl said of it.
    fn checked(
        &self,
        packed: Packed,
        tags: &BTreeMap<String, Tag>,
        judged: &Judged,
        context: &Context,
    ) -> Result<(Packed, Report), Error> {
        let release = packed.preview(&self.request(), tags)?;
        let report = self.linted(Render::Off, context).packed(&packed, &release, None, judged);
        Ok((packed, report))
    }

    fn linted<'a>(&'a self, render: Render, context: &'a Context) -> Linted<'a> {
        let how = How { settings: &self.settings, render, timings: false, context };
        Linted { tree: &self.tree, config: &self.config, subject: &self.subject, how }
    }

    fn request(&self) -> Request<'_> {
        let Self { config, prefix, version, channel, images, .. } = self;
        Request { config, prefix, version, channel, images: images.clone() }
    }
}

/// Reads the control plane out of its archive; returns its reference, and the image under the release's own version.
fn archived(
    archive: Input,
    platform: &Platform,
    inputs: &Inputs,
    context: &Context,
) -> Result<(Pinned, DesiredArtifact), Error> {
    let image = read_image(archive, platform, Layers::Compressed, context)?;
    let repository = inputs.config.repositories.control_plane.clone();
    let pinned = Pinned { repository: inputs.prefix.name_of(&repository), digest: image.artifact.digest().clone() };
    announce_image(&image, &pinned, context);
    Ok((pinned, image_artifact(image.artifact, repository, inputs.version.clone())))
}

fn pins<'a>(
    request: &PackRequest,
    inputs: &'a Inputs,
    location: &Location,
    images: BTreeMap<String, (AnyRepository, Tag)>,
) -> Result<image::PinRequest<'a>, Error> {
    let check = request.image_check.unwrap_or(match location {
        Location::Registry(_) => Check::Require,
        Location::Layout(_) | Location::Archive(_) => Check::Warn,
    });
    let control_plane = match &request.control_plane {
        ControlPlane::Reference(text) => Some(control_plane(text, &inputs.config, &inputs.prefix)?),
        ControlPlane::None | ControlPlane::Archive(_) => None,
    };
    // A comparison reports what a publication would refuse.
    let needs_digests = inputs.config.is_signed() && request.on_errors != OnErrors::Report;
    let platform = request.platform.clone();
    Ok(image::PinRequest { prefix: &inputs.prefix, images, control_plane, platform, check, needs_digests })
}

/// Parses a tag or digest of the configured repository, or a full reference.
fn control_plane(text: &str, config: &Config, prefix: &Prefix) -> Result<(AnyRepository, Selector), Error> {
    if !text.contains('/') {
        let selector = text.parse();
        let selector = selector.map_err(|cause: InvalidReference| {
            source::Error::usage(Place::file("--control-plane"), cause.to_string())
        })?;
        return Ok((AnyRepository::Own(config.repositories.control_plane.clone()), selector));
    }
    let reference: Reference = text.parse()?;
    let repository = AnyRepository::of_name(&reference.repository, prefix)?;
    let selector = reference.digest.map(Selector::Digest).or(reference.tag.map(Selector::Tag));
    Ok((repository, selector.ok_or_else(|| Error::ControlPlane { reference: text.to_owned() })?))
}

/// Finds out which state of the source is packed.
struct Revisions<'a> {
    inputs: &'a Inputs,
    packed: &'a Packed,
    allow_dirty: bool,
    context: &'a Context,
}

impl Revisions<'_> {
    fn find(&self, given: &RevisionRequest) -> Result<Revision, Error> {
        let Inputs { tree, config, .. } = self.inputs;
        let epoch = match given.epoch {
            Some(epoch) => Some(epoch),
            None => self.source_date_epoch()?,
        };
        let head = match git::head(tree.root()) {
            Ok(head) => Some(head),
            // With both flags, the source needs no git repository, and one that cannot be read does no harm.
            Err(_) if given.commit.is_some() && epoch.is_some() => None,
            Err(_) if given.commit.is_some() => return Err(Error::NoEpoch),
            Err(error) => return Err(error.into()),
        };
        let source = match given.source_url.as_ref().or(config.source.as_ref()) {
            Some(url) => Some(git::source_url(url).map_err(|reason| Error::SourceUrl { url: url.clone(), reason })?),
            None => head.as_ref().and_then(git::Head::remote),
        };
        let time = head.as_ref().map(|head| head.time);
        let commit = match (&given.commit, &head) {
            (None, Some(head)) if self.is_dirty(head)? => format!("{}-dirty", head.commit),
            (None, Some(head)) => head.commit.clone(),
            (commit, _) => commit_id(commit.as_deref().unwrap_or_default())?,
        };
        let epoch = epoch.or(time).ok_or(Error::NoEpoch)?;
        Ok(Revision { commit, epoch, source })
    }

    /// Returns the seconds since 1970 in `SOURCE_DATE_EPOCH`, if the variable is set.
    ///
    /// <https://reproducible-builds.org/specs/source-date-epoch/>
    fn source_date_epoch(&self) -> Result<Option<i64>, Error> {
        let Some(text) = self.context.environment.text("SOURCE_DATE_EPOCH") else { return Ok(None) };
        match text.parse() {
            Ok(epoch) if epoch >= 0 => Ok(Some(epoch)),
            _ => Err(Error::SourceDateEpoch { value: text }),
        }
    }

    /// Returns whether packed files are not as committed, and refuses them unless they are allowed.
    fn is_dirty(&self, head: &git::Head) -> Result<bool, Error> {
        let changes = self.packed.changes(&self.inputs.tree, head, &self.inputs.config)?;
        if changes.is_empty() || self.allow_dirty {
            return Ok(!changes.is_empty());
        }
        Err(Error::NotCommitted { changes })
    }
}

fn commit_id(text: &str) -> Result<String, Error> {
    let hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if hex && matches!(text.len(), 40 | 64) { Ok(text.to_owned()) } else { Err(Error::Commit { id: text.to_owned() }) }
}
