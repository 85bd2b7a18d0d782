//! A release on its way from one store to another: what `copy` does, and a promotion across stores.

use std::collections::BTreeMap;
use std::path::Path;

use alga_release::config::Config;
use alga_release::oci::{
    self, Artifact, Attached, Content, Digest, Location, Pinned, Prefix, ReadStore, Repository, Selector, Store, Tag,
    archive,
};
use alga_release::ops::{self, Access, Connection, Context, StoreRequest};
use alga_release::overlay::{self, BundleMeta};
use alga_release::plan::copy::{self, Attachment, Cost, Extent, Keeps, Left, Whole};
use alga_release::plan::{
    self, ArtifactKind, Candidate, ChannelState, Contents, Current, Desired, Event, Executor, MoveRecord, MoveRules,
    Observed, Plan, Progress as _,
};
use alga_release::release::{self, Release, Resolved};
use alga_release::verify::{self, Check, Reader};

use crate::failure::Failure;
use crate::flags::ExtentArgs;
use crate::output::Talk;
use crate::system;

/// Paths and bytes.
type Files = BTreeMap<String, Vec<u8>>;

/// Largest layer of a bundle that is rewritten.
const BUNDLE_LIMIT: u64 = 512 << 20;

/// Where a release goes.
#[derive(Debug)]
pub struct Target {
    pub location: Location,
    /// Nothing for an archive, which is written as a whole.
    connection: Option<Connection>,
}

impl Target {
    /// Credentials that are given by hand are for `source`, unless nobody is asked there.
    pub async fn open(
        store: &str,
        source: &Connection,
        request: &StoreRequest,
        access: Access,
        context: &Context,
    ) -> Result<Self, Failure> {
        let only_kept_credentials = matches!(source.location, Location::Registry(_));
        let request = StoreRequest { only_kept_credentials, ..request.other(store) };
        let location = Location::parse(store, request.plain_http)?;
        if location == source.location {
            return Err(Failure::usage(format!("{location} is where the release is already")));
        }
        let connection = match location {
            Location::Archive(_) => None,
            _ => Some(Connection::open(&request, access, context).await?),
        };
        Ok(Self { location, connection })
    }

    /// Nothing for an archive.
    pub fn read(&self) -> Option<&ReadStore> {
        self.connection.as_ref().map(Connection::read)
    }

    fn store(&self) -> Option<&Store> {
        self.connection.as_ref().and_then(Connection::store)
    }

    fn public(&self) -> Option<&ReadStore> {
        self.connection.as_ref().and_then(Connection::public)
    }
}

/// From where, to where, and how.
#[derive(Debug)]
pub struct Transfer<'a> {
    pub config: &'a Config,
    pub source: &'a Connection,
    pub target: &'a Target,
    pub extent: &'a ExtentArgs,
    pub talk: &'a Talk,
}

/// A channel of the target that shall serve the release.
#[derive(Debug)]
pub struct Moving<'a> {
    pub channel: &'a Tag,
    pub rules: &'a MoveRules,
    /// When the release came to the channel that it comes from, RFC 3339.
    pub since: Option<&'a str>,
    /// What was looked at.
    pub checks: &'a [Check],
}

/// Everything that is to be there, read but for the blobs.
pub struct Ready {
    /// The release manifest that was read.
    pub origin: Pinned,
    /// Under which name the release will be read.
    pub prefix: Prefix,
    pub desired: Desired,
    attached: Vec<(Repository, Attached)>,
    /// Repositories of other registries, by what they are in a directory or an archive: `HOST/PATH`.
    kept: BTreeMap<Repository, String>,
    pub left: Vec<Left>,
    /// Images that the rewritten release pulls from elsewhere, a line each.
    pub elsewhere: Vec<String>,
    pub warnings: Vec<String>,
}

/// What is to be written.
pub struct Planned {
    pub plan: Plan,
    /// Digest of the release, as it is or will be in the target.
    pub release: Digest,
    pub observed: Observed,
    pub attachments: Vec<Attachment>,
    /// What the channel shall serve.
    json: Option<Content>,
    pub current: Option<(Option<ChannelState>, u64)>,
    pub cost: Cost,
}

impl Transfer<'_> {
    /// The prefix that the release is rewritten to, when it is.
    fn rewritten_to(&self) -> Result<Option<Prefix>, Failure> {
        match (self.extent.rewrite_prefix.as_deref(), &self.target.location) {
            (None, _) => Ok(None),
            (Some(""), Location::Registry(prefix)) => Ok(Some(prefix.clone())),
            (Some(""), location) => {
                let reason = format!("--rewrite-prefix: {location} has no prefix of its own");
                Err(Failure::usage_hint(
                    reason,
                    "say below which name the release will be read: --rewrite-prefix=HOST/PATH",
                ))
            }
            (Some(prefix), _) => Ok(Some(Prefix::parse(prefix, false)?)),
        }
    }

    /// Reads the release with everything that it names, and holds its charts and its bundle against it.
    pub async fn read(&self, resolved: &Resolved, in_channel: bool, moves: bool) -> Result<Ready, Failure> {
        let (config, source) = (self.config, self.source);
        let repository = &config.repositories.release;
        let own = Reader { store: source.read(), public: None };
        let served = verify::served(&own, repository, resolved, in_channel, &config.channels).await?;
        if served.check.failed() {
            let reason = served.check.reason.unwrap_or_default();
            return Err(Failure::refused(format!("{}: {reason}", served.check.reference), "publish the release again"));
        }
        let digest = served.release;
        let resolved = release::resolve(source.read(), repository, &Selector::Digest(digest.clone())).await?;
        let prefix = source.prefix_of(&resolved.release, config)?;
        let to = self.rewritten_to()?;
        self.check_prefix(&prefix, to.as_ref(), moves)?;
        let keeps = match (&to, &self.target.location) {
            (Some(to), _) => Keeps::Relocated(to),
            (None, Location::Registry(_)) => Keeps::Own,
            (None, _) => Keeps::All,
        };
        let external = !matches!(keeps, Keeps::Own);
        let named = resolved.release.named(&prefix, config);
        let elsewhere =
            if external && !self.extent.without_images { source.external(&named).await? } else { BTreeMap::default() };
        let stores = verify::Stores { own, external: &elsewhere };
        let extent = Extent { images: !self.extent.without_images, platform: self.extent.platform.as_ref(), external };
        let checks = async { Ok(verify::charts_and_bundle(&resolved, &prefix, config, &stores).await?) };
        let whole = async { Ok::<_, Failure>(copy::read(&resolved, &digest, &prefix, config, &stores, extent).await?) };
        let (whole, checks) = futures_util::try_join!(whole, checks)?;
        complete(&resolved.release.version, &checks)?;
        let parts = if matches!(self.target.location, Location::Registry(_)) { in_part(&whole) } else { Vec::new() };
        let origin = Pinned { repository: prefix.name_of(repository), digest };
        let read = Read { whole, resolved: &resolved, origin, prefix };
        let mut ready = match &to {
            None => self.as_it_is(read, &keeps)?,
            Some(to) => self.relocated(read, to).await?,
        };
        ready.warnings.extend(parts);
        ready.warnings.extend(ready.left.iter().map(|left| {
            format!("not copied: {} {} ({}): {}", left.kind.as_str(), left.name, left.reference, left.reason)
        }));
        Ok(ready)
    }

    /// Flux knows no mirrors: a channel must not serve what names another registry.
    fn check_prefix(&self, from: &Prefix, to: Option<&Prefix>, moves: bool) -> Result<(), Failure> {
        let Location::Registry(target) = &self.target.location else { return Ok(()) };
        if !moves || to.is_some() || from.to_string() == target.to_string() {
            return Ok(());
        }
        let reason = format!("a channel of {target} would serve a release whose objects pull from {from}");
        Err(Failure::refused(reason, "add --rewrite-prefix, or copy it without a channel"))
    }

    fn as_it_is(&self, read: Read<'_>, keeps: &Keeps<'_>) -> Result<Ready, Failure> {
        let Read { whole, resolved, origin, prefix } = read;
        let desired = copy::desired(&whole, &whole.release, resolved.json.clone(), keeps, self.config)?;
        let attached = attached(&whole, keeps, self.config, true)?;
        let mut kept = BTreeMap::new();
        for piece in whole.pieces.iter().filter(|_| matches!(keeps, Keeps::All)) {
            if let (Some(name), Some(repository)) = (piece.home.external_name(), keeps.repository(&piece.home)?) {
                kept.insert(repository, name);
            }
        }
        let (elsewhere, warnings) = (Vec::new(), Vec::new());
        Ok(Ready { origin, prefix, desired, attached, kept, left: whole.left, elsewhere, warnings })
    }

    /// The same with a bundle and a release that name everything below `to`.
    async fn relocated(&self, read: Read<'_>, to: &Prefix) -> Result<Ready, Failure> {
        let Read { mut whole, resolved, origin, prefix } = read;
        let config = self.config;
        let relocation = copy::relocation(&whole, &prefix, to, config)?;
        let keeps = Keeps::Relocated(to);
        let mut warnings = Vec::new();
        let bundle = whole.pieces.iter_mut().find(|piece| piece.kind == ArtifactKind::Bundle);
        let bundle = bundle.ok_or_else(|| Failure::refused("the release names no bundle", "publish it again"))?;
        let (meta, files) = self.unpack(&bundle.artifact).await?;
        let from = copy::Origin { name: &origin, release: &resolved.release, files: &files, bundle: &meta };
        let relocated = copy::relocate(from, &relocation, config)?;
        if let Some(artifact) = relocated.bundle {
            let signed = !bundle.attached.referrers.is_empty() || !bundle.attached.tagged.is_empty();
            if signed {
                warnings.push(
                    "the bundle is rewritten: what signs or describes the old one does not come along".to_owned(),
                );
            }
            (bundle.artifact, bundle.attached) = (artifact, Attached::default());
        }
        let changed = relocated.json.is_some();
        let json = relocated.json.unwrap_or_else(|| resolved.json.clone());
        let release = if changed { Release::artifact(json.clone()) } else { whole.release.clone() };
        warnings.extend(relocated.warnings.iter().map(|warning| format!("{}: {}", warning.place, warning.text)));
        let elsewhere = self.elsewhere(resolved, &relocated.release, relocated.files, to).await?;
        let elsewhere = elsewhere.unwrap_or_else(|| {
            warnings.push("helm is not on the path: what the release pulls from elsewhere is not listed".to_owned());
            Vec::new()
        });
        let desired = copy::desired(&whole, &release, json, &keeps, config)?;
        let attached = attached(&whole, &keeps, config, !changed)?;
        let (kept, left) = (BTreeMap::new(), whole.left);
        Ok(Ready { origin, prefix: to.clone(), desired, attached, kept, left, elsewhere, warnings })
    }

    async fn unpack(&self, bundle: &Artifact) -> Result<(BundleMeta, Files), Failure> {
        let store = self.source.read();
        let repository = &self.config.repositories.config;
        let broken = |reason: String| {
            Failure::refused(format!("the bundle cannot be rewritten: {reason}"), "publish the release again")
        };
        let manifest = oci::Manifest::parse(&bundle.descriptor().media_type, bundle.manifest().bytes())
            .map_err(|cause| broken(format!("invalid image manifest: {cause}")))?;
        let meta =
            BundleMeta::read(&manifest.annotations).ok_or_else(|| broken("it does not say what it is".to_owned()))?;
        let layer = manifest.layers.first().ok_or_else(|| broken("it has no layer".to_owned()))?;
        let layer = store.fetch_verified(repository, layer, BUNDLE_LIMIT).await?;
        let files = overlay::unpack(&layer).map_err(|refused| broken(refused.to_string()))?;
        Ok((meta, files))
    }

    /// What the rewritten release pulls from elsewhere still, where helm can say it.
    async fn elsewhere(
        &self,
        resolved: &Resolved,
        release: &Release,
        files: Files,
        to: &Prefix,
    ) -> Result<Option<Vec<String>>, Failure> {
        let side = alga_release::diff::Side::read(self.source.read(), self.config, &release.version, resolved.clone());
        let contents = side.contents_of(release, files).await?;
        Ok(ops::pulled_from_elsewhere(contents, to, &system::context(self.talk)).await?)
    }

    /// What of it is to be written; whether it is what was approved, the caller asks.
    pub async fn plan(&self, ready: &Ready, moving: Option<&Moving<'_>>) -> Result<Planned, Failure> {
        let Some(store) = self.target.read() else { return written_as_a_whole(ready) };
        let observing = async { Ok::<_, Failure>(plan::observe(store, &ready.desired).await?) };
        let looks = ready.attached.iter().map(|(repository, attached)| copy::attachments(store, repository, attached));
        let attachments =
            async { Ok(futures_util::future::try_join_all(looks).await?.into_iter().flatten().collect::<Vec<_>>()) };
        let current = async {
            match moving {
                Some(moving) => {
                    let repository = &self.config.repositories.release;
                    Ok(Some(plan::observe_channel(store, repository, moving.channel).await?))
                }
                None => Ok(None),
            }
        };
        let (observed, attachments, current) = futures_util::try_join!(observing, attachments, current)?;
        let (plan, release) = plan::bring_all(&ready.desired, &observed)?;
        let mut plan = plan.with_attached(&attachments);
        let mut json = None;
        if let (Some(moving), Some((serves, sequence))) = (moving, &current) {
            let repository = &self.config.repositories.release;
            let current = Current { repository, channel: moving.channel, serves: serves.clone(), sequence: *sequence };
            let version = &ready.desired.release.version;
            let candidate = Candidate {
                release: release.clone(),
                version,
                json: &ready.desired.json,
                moved: moving.since,
                checks: moving.checks,
            };
            let rules = MoveRules { if_plan: None, ..moving.rules.clone() };
            let (moves, content) = plan::promote(&current, &candidate, &rules)?;
            plan.actions.extend(moves.actions);
            json = Some(content);
        }
        let contents = Contents::of_all(ready.desired.all()).with_attached(&attachments);
        let cost =
            if self.target.store().is_none() { copy::cost(store, &plan, &contents).await? } else { Cost::default() };
        Ok(Planned { plan, release, observed, attachments, json, current, cost })
    }

    /// Writes it; gives the digest of the channel's manifest where one moved.
    pub async fn carry_out(
        &self,
        ready: &Ready,
        planned: &Planned,
        record: &MoveRecord,
    ) -> Result<Option<Digest>, Failure> {
        if let Location::Archive(path) = &self.target.location {
            self.write_archive(ready, path).await?;
            return Ok(None);
        }
        let Some(store) = self.target.store() else { return Ok(None) };
        let mut contents = Contents::of_all(ready.desired.all()).with_attached(&planned.attachments);
        if let Some(json) = &planned.json {
            contents = contents.with_json(json);
        }
        let executor = Executor { store, public: self.target.public() };
        Ok(plan::execute(&planned.plan, &contents, record, &executor, self.talk).await?)
    }

    async fn write_archive(&self, ready: &Ready, path: &Path) -> Result<(), Failure> {
        let entry = |repository: &Repository, tag: Option<&Tag>, artifact| {
            let name = ready.kept.get(repository).cloned().unwrap_or_else(|| ready.prefix.name_of(repository));
            archive::Entry { name, tag: tag.cloned(), artifact }
        };
        let mut entries: Vec<archive::Entry<'_>> =
            ready.desired.all().map(|one| entry(&one.repository, Some(&one.tag), &one.artifact)).collect();
        for (repository, attached) in &ready.attached {
            entries.extend(attached.referrers.iter().map(|(_, _, artifact)| entry(repository, None, artifact)));
            entries.extend(attached.tagged.iter().map(|(tag, artifact)| entry(repository, Some(tag), artifact)));
        }
        let lies = ready
            .desired
            .all()
            .flat_map(|one| one.artifact.contents().map(|content| (&content.descriptor().digest, &one.repository)));
        let lies: BTreeMap<&Digest, &Repository> = lies.collect();
        self.talk.event(&Event::Started { bytes: size(&ready.desired) });
        let progress = |step: archive::Progress<'_>| {
            let Some(repository) = lies.get(&step.content.digest) else { return };
            let (blob, bytes) = (step.content, step.written);
            self.talk.event(&if bytes < blob.size {
                Event::Sending { repository, blob, bytes }
            } else {
                Event::Stored { repository, digest: &blob.digest, bytes }
            });
        };
        Ok(archive::write(path, release::ARCHIVE_PREFIX, &ready.prefix, &entries, &progress).await?)
    }
}

/// A release as it was read.
struct Read<'a> {
    whole: Whole,
    resolved: &'a Resolved,
    origin: Pinned,
    prefix: Prefix,
}

/// What does not load, or does not agree, is not passed on.
fn complete(version: &str, checks: &[Check]) -> Result<(), Failure> {
    let failed: Vec<&Check> = checks.iter().filter(|check| check.failed()).collect();
    let Some(first) = failed.first() else { return Ok(()) };
    let reason = first.reason.as_deref().unwrap_or("it is not as it should be");
    let line = format!("{} {} {}: {reason}", first.kind.as_str(), first.name, first.reference);
    let reason =
        format!("the release {version} is not whole: {} of {} checks failed, first {line}", failed.len(), checks.len());
    Err(Failure::refused(reason, format!("`alga-release verify {version}` names all of it")))
}

/// The images of which some platforms alone are at hand.
fn in_part(whole: &Whole) -> Vec<String> {
    let parts = whole.pieces.iter().filter(|piece| piece.artifact.absent() > 0);
    let warning = |piece: &copy::Piece| {
        let (name, absent) = (&piece.name, piece.artifact.absent());
        format!(
            "image {name}: {absent} of its platforms are left: a registry may refuse its index; with all of them it does not"
        )
    };
    parts.map(warning).collect()
}

/// What refers to the pieces, by where those go.
fn attached(
    whole: &Whole,
    keeps: &Keeps<'_>,
    config: &Config,
    with_release: bool,
) -> Result<Vec<(Repository, Attached)>, Failure> {
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

/// An archive holds nothing before.
fn written_as_a_whole(ready: &Ready) -> Result<Planned, Failure> {
    let observed = Observed::nothing(&ready.desired);
    let (plan, release) = plan::bring_all(&ready.desired, &observed)?;
    let cost = Cost { bytes: size(&ready.desired), ..Cost::default() };
    Ok(Planned { plan, release, observed, attachments: Vec::new(), json: None, current: None, cost })
}

/// Count of all bytes, those that several artifacts share once.
fn size(desired: &Desired) -> u64 {
    let contents = desired.all().flat_map(|one| one.artifact.contents());
    let each: BTreeMap<_, _> =
        contents.map(|content| (&content.descriptor().digest, content.descriptor().size)).collect();
    each.values().sum()
}
