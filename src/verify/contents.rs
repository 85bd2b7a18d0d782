//! A release read back: every byte and every reference.

use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::try_join;

use super::present::{At, Read, blobs, read};
use super::served::served;
use super::{Aspect, Check, Subject, artifact, overlay, values_names};
use crate::config::Config;
use crate::contents::Bundle;
use crate::contents::{Reader, Stores};
use crate::oci::{self, AnyRepository, Digest, InvalidReference, Parsed, Prefix, Repository, Selector, Tag};
use crate::release::{self, Named, NamedKind, Resolved, Target};

/// Reads all of a release that was resolved as `name`: the channel, when that is one. `prefix` is the release's.
///
/// # Errors
/// When a store cannot be reached. Whatever is wrong is a check that failed.
pub async fn contents(
    name: &str,
    resolved: &Resolved,
    prefix: &Prefix,
    config: &Config,
    stores: &Stores<'_>,
) -> Result<Vec<Check>, oci::Error> {
    let repository = &config.repositories.release;
    let channel = config.channels.iter().find(|channel| channel.as_str() == name);
    let named = resolved.release.named(prefix, config);
    let release = of_release(&stores.own, repository, resolved, channel.is_some(), config);
    let of_channel = async {
        match channel {
            Some(channel) => of_channel(&stores.own, repository, channel, resolved).await,
            None => Ok(Vec::new()),
        }
    };
    let others = try_join_all(named.iter().map(|named| one(named, resolved, prefix, config, stores)));
    let (mut checks, release, others) = try_join!(of_channel, release, others)?;
    checks.extend(release);
    checks.extend(others.into_iter().flatten());
    Ok(checks)
}

/// Reads the charts and the bundle of a release, and holds them against what it says of them. Their tags are not looked at.
///
/// # Errors
/// As [`contents`].
pub(crate) async fn charts_and_bundle(
    resolved: &Resolved,
    prefix: &Prefix,
    config: &Config,
    stores: &Stores<'_>,
) -> Result<Vec<Check>, oci::Error> {
    let mut named = resolved.release.named(prefix, config);
    named.retain(|named| !named.kind.is_image());
    let checks = try_join_all(named.iter().map(|named| one(named, resolved, prefix, config, stores))).await?;
    Ok(checks.into_iter().flatten().filter(|check| check.aspect != Aspect::Tag).collect())
}

/// The channel's own manifest: what it serves was verified on the way here, its layer and its keep-alive tag were not.
async fn of_channel(
    reader: &Reader<'_>,
    repository: &Repository,
    channel: &Tag,
    resolved: &Resolved,
) -> Result<Vec<Check>, oci::Error> {
    let reference = format!("{repository}:{channel}");
    let subject = Subject { kind: NamedKind::Channel, name: channel.as_str(), reference: &reference };
    let mut checks = whole(reader, repository, &Selector::Digest(resolved.manifest.clone()), &subject).await?;
    if resolved.release.channel != channel.as_str() {
        let reason = format!("its JSON says that the channel is `{}`", resolved.release.channel);
        checks.push(subject.failed(Aspect::Agrees, reason));
    }
    let Some(record) = &resolved.record else {
        let reason = "it has no record of a move: another tool, or an older publisher, wrote it";
        checks.push(subject.not_checked(Aspect::Tag, reason));
        return Ok(checks);
    };
    if record.name != channel.as_str() {
        checks.push(subject.failed(Aspect::Agrees, format!("its record is that of `{}`", record.name)));
    }
    let tag = release::keep_alive_tag(channel, record.sequence, &resolved.manifest);
    let names = reader.names(repository, &tag, &resolved.manifest).await?;
    let names = names.map_err(|reason| format!("its keep-alive tag: {reason}"));
    checks.push(subject.judge(Aspect::Tag, names));
    Ok(checks)
}

/// The release itself, which a channel serves a copy of.
async fn of_release(
    reader: &Reader<'_>,
    repository: &Repository,
    resolved: &Resolved,
    in_channel: bool,
    config: &Config,
) -> Result<Vec<Check>, oci::Error> {
    let served = served(reader, repository, resolved, in_channel, &config.channels).await?;
    let (digest, version) = (&served.release, &resolved.release.version);
    let reference = served.check.reference.clone();
    let subject = Subject { kind: NamedKind::Release, name: version, reference: &reference };
    let agrees = Check { aspect: Aspect::Agrees, ..served.check };
    let selector = Selector::Digest(digest.clone());
    let whole = whole(reader, repository, &selector, &subject);
    let tag = tagged(reader, repository, resolved.release.tag(), digest, &subject);
    let (mut checks, tag) = try_join!(whole, tag)?;
    if in_channel {
        checks.push(agrees);
    }
    checks.push(tag);
    checks.push(subject.judge(Aspect::Agrees, images(resolved, config)));
    Ok(checks)
}

fn images(resolved: &Resolved, config: &Config) -> Result<(), String> {
    resolved.release.require_images(config).map_err(|cause| cause.to_string())
}

/// Manifest and blobs of a release or channel.
async fn whole(
    reader: &Reader<'_>,
    repository: &Repository,
    selector: &Selector,
    subject: &Subject<'_>,
) -> Result<Vec<Check>, oci::Error> {
    let manifest = match reader.manifest(repository, selector).await {
        Ok((descriptor, bytes)) => artifact::manifest(&descriptor, &bytes),
        Err(unread) => return Ok(vec![subject.failed(Aspect::Manifest, unread.reason()?)]),
    };
    let manifest = match manifest {
        Ok(manifest) => manifest,
        Err(reason) => return Ok(vec![subject.failed(Aspect::Manifest, reason)]),
    };
    let mut content = artifact::blobs(reader, repository, &manifest).await?.map(drop);
    if manifest.layers.len() != 1 {
        content = content.and(Err("a release has one layer".to_owned()));
    }
    Ok(vec![subject.ok(Aspect::Manifest), subject.judge(Aspect::Content, content)])
}

/// Does the version's tag keep it?
async fn tagged(
    reader: &Reader<'_>,
    repository: &Repository,
    tag: Result<Tag, InvalidReference>,
    digest: &Digest,
    subject: &Subject<'_>,
) -> Result<Check, oci::Error> {
    let names = match tag {
        Ok(tag) => reader.names(repository, &tag, digest).await?,
        Err(cause) => Err(cause.to_string()),
    };
    Ok(subject.judge(Aspect::Tag, names))
}

/// Something that the release names, as deep as it goes.
async fn one(
    named: &Named,
    resolved: &Resolved,
    prefix: &Prefix,
    config: &Config,
    stores: &Stores<'_>,
) -> Result<Vec<Check>, oci::Error> {
    let subject = named.subject();
    let version = named.version.as_deref().unwrap_or_default();
    let tag = async {
        match (&named.target, named.kind.is_image()) {
            (Target::At { repository: AnyRepository::Own(repository), selector: Selector::Digest(digest) }, false) => {
                let tag = Tag::of_version(version);
                tagged(&stores.own, repository, tag, digest, &subject).await.map(Some)
            }
            _ => Ok(None),
        }
    };
    let found = async {
        let (reader, repository, manifest) = match read(named, stores).await? {
            Read::Judged(check) => return Ok(vec![check]),
            Read::There { reader: At::Elsewhere, .. } => return Ok(vec![subject.ok(Aspect::Manifest)]),
            Read::There { reader: At::Own(reader), repository, manifest } => (reader, repository, manifest),
        };
        let mut checks = vec![subject.ok(Aspect::Manifest)];
        let manifest = match *manifest {
            manifest if named.kind.is_image() => {
                let there = blobs(&reader, &repository, manifest).await?;
                checks.push(subject.judge_blobs(Aspect::Content, there));
                return Ok(checks);
            }
            Parsed::Manifest(manifest) => manifest,
            Parsed::Index(_) => {
                let reason = "invalid manifest: expected an image manifest, found an index";
                return Ok(vec![subject.failed(Aspect::Manifest, reason)]);
            }
        };
        match artifact::blobs(&reader, &repository, &manifest).await? {
            Err(reason) => checks.push(subject.failed(Aspect::Content, reason)),
            Ok(blobs) => {
                checks.push(subject.ok(Aspect::Content));
                checks.extend(inside(named, &blobs, resolved, prefix, config));
            }
        }
        Ok(checks)
    };
    let (mut checks, tag): (Vec<Check>, Option<Check>) = try_join!(found, tag)?;
    checks.extend(tag);
    Ok(checks)
}

/// What the archive of a chart or bundle holds.
fn inside(named: &Named, blobs: &[Bytes], resolved: &Resolved, prefix: &Prefix, config: &Config) -> Vec<Check> {
    let subject = named.subject();
    if named.kind == NamedKind::Chart {
        return vec![artifact::loads(&subject, &named.name, named.version.as_deref().unwrap_or_default(), blobs)];
    }
    match artifact::unpack(blobs) {
        Err(reason) => vec![subject.failed(Aspect::Unpacks, reason)],
        Ok(files) => {
            let bundle = Bundle::open(files);
            let mut checks = vec![subject.ok(Aspect::Unpacks)];
            checks.extend(overlay::pins(&bundle, &resolved.release, prefix, &config.repositories.charts));
            checks.extend(overlay::values(&bundle, &resolved.release));
            checks.extend(values_names::checks(&bundle, &resolved.release, config));
            checks
        }
    }
}
