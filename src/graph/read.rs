//! Reading a graph out of the stores: every manifest that a release names, and what refers to it. Blobs are not fetched, but for the
//! config of an image, which says when the image was made.

use futures_util::future::{join_all, try_join};
use serde::Deserialize;

use super::{AttachedKind, AttachedNode, Graph, Node, ServedBy, kind_of_referrer, kind_of_tag};
use crate::config::Config;
use crate::contents::Stores;
use crate::oci::{
    self, AnyRepository, Artifact, Attached, Digest, Index, Manifest, Prefix, ReadStore, Repository, Selector, Tag,
    media_type,
};
use crate::plan::copy;
use crate::release::{Named, NamedKind, Resolved, TAG_ALONE, Target};

/// Largest config of an image that is read, in bytes.
const CONFIG_LIMIT: u64 = 4 << 20;

/// A release that is read as a graph.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    /// The release, or the channel that serves it.
    pub resolved: &'a Resolved,
    /// Channel that was resolved, if it was one.
    pub channel: Option<&'a Tag>,
    /// Prefix of the release.
    pub prefix: &'a Prefix,
    /// Configuration as it holds for the release.
    pub config: &'a Config,
    /// The stores that are read.
    pub stores: &'a Stores<'a>,
}

impl Reading<'_> {
    /// Reads the graph. An artifact that is absent or damaged says so itself.
    ///
    /// # Errors
    /// When a store cannot be reached.
    pub(crate) async fn read(&self) -> Result<Graph, oci::Error> {
        let Self { resolved, channel, prefix, config, .. } = *self;
        let (repository, store) = (&config.repositories.release, self.own());
        let digest = match resolved.release_selector(channel.is_some()) {
            Selector::Digest(digest) => digest,
            Selector::Tag(tag) => store.resolve(repository, &tag).await?,
        };
        let named = resolved.release.named(prefix, config);
        let reference = format!("{}@{digest}", prefix.name_of(repository));
        let mut graph = Graph::of(&resolved.release.version, reference, digest.clone(), &named);
        graph.channel = ServedBy::of(resolved, channel);
        let selector = Selector::Digest(digest);
        let artifacts = join_all(graph.artifacts.iter_mut().zip(&named).map(|(node, named)| self.one(node, named)));
        let artifacts = async { artifacts.await.into_iter().collect::<Result<Vec<()>, _>>() };
        try_join(look(&mut graph.release, store, repository, &selector), artifacts).await?;
        // A release has no time of its own: its bundle has that of the commit which both are made of.
        let bundle = graph.artifacts.iter().find(|node| node.kind == NamedKind::Bundle);
        graph.release.created = bundle.and_then(|bundle| bundle.created.clone());
        Ok(graph)
    }

    fn own(&self) -> &ReadStore {
        self.stores.own.reader.store
    }

    async fn one(&self, node: &mut Node, named: &Named) -> Result<(), oci::Error> {
        let Target::At { repository, selector } = &named.target else { return Ok(()) };
        match repository {
            AnyRepository::Own(repository) => look(node, self.own(), repository, selector).await,
            AnyRepository::External { registry, repository } => {
                if let Some(kept) = self.own().external(registry)?
                    && oci::optional(kept.manifest(repository, selector).await)?.is_some()
                {
                    return look(node, &kept, repository, selector).await;
                }
                if let Some(external) = self.stores.external.get(&registry.name_of(repository)) {
                    return look(node, &external.store, repository, selector).await;
                }
                node.note = Some("in another registry, which was not asked".to_owned());
                Ok(())
            }
        }
    }
}

/// Fills in what a store knows about an artifact.
async fn look(
    node: &mut Node,
    store: &ReadStore,
    repository: &Repository,
    selector: &Selector,
) -> Result<(), oci::Error> {
    let artifact = match store.artifact(repository, selector, &|_| true).await {
        Err(error) if error.kind().is_of_server() => return Err(error),
        // A directory need not hold images that the release does not pin.
        Err(error) if error.is_not_found() && node.kind.is_image() && !node.pinned => {
            node.note = Some(format!("{TAG_ALONE}, and not in this store"));
            return Ok(());
        }
        Err(error) => {
            node.problem = Some(error.to_string());
            return Ok(());
        }
        Ok(artifact) => artifact,
    };
    node.digest = Some(artifact.digest().clone());
    node.size = Some(artifact.size());
    let attached = copy::attached(store, repository, &artifact);
    let (created, attached) = futures_util::join!(made(node, store, repository, &artifact), attached);
    match attached {
        Err(error) if error.kind().is_of_server() => return Err(error),
        Err(error) => node.problem = Some(error.to_string()),
        Ok(attached) => {
            node.signatures = Some(signatures(&attached));
            node.attached = nodes(attached);
        }
    }
    node.created = created?;
    Ok(())
}

/// Returns when an artifact says that it was made.
async fn made(
    node: &Node,
    store: &ReadStore,
    repository: &Repository,
    artifact: &Artifact,
) -> Result<Option<String>, oci::Error> {
    /// The one field of an image's config that is read.
    #[derive(Deserialize)]
    struct ImageConfig {
        created: Option<String>,
    }
    let written = created_of(&artifact.descriptor().media_type, artifact.manifest().bytes());
    if written.is_some() || !node.kind.is_image() {
        return Ok(written);
    }
    let manifests = artifact.manifests().iter().chain([artifact.manifest()]);
    let mut manifests = manifests
        .filter_map(|one| Manifest::parse(&one.descriptor().media_type, one.bytes()).ok().map(|one| one.config));
    let Some(config) = manifests.next() else { return Ok(None) };
    match store.fetch_verified(repository, &config, CONFIG_LIMIT).await {
        Err(error) if error.kind().is_of_server() => Err(error),
        Err(_) => Ok(None),
        Ok(bytes) => Ok(serde_json::from_slice::<ImageConfig>(&bytes).ok().and_then(|config| time(&config.created?))),
    }
}

/// Returns the time in the annotations of a manifest or index, if it has a valid one.
pub(crate) fn created_of(media_type: &str, bytes: &[u8]) -> Option<String> {
    let annotations = Manifest::parse(media_type, bytes).map(|manifest| manifest.annotations);
    let annotations = annotations.or_else(|_| Index::parse(media_type, bytes).map(|index| index.annotations)).ok()?;
    time(annotations.get(media_type::CREATED)?)
}

/// Returns a time in UTC without fractions. The year 1 and the start of 1970 mean that a builder left the time out.
fn time(text: &str) -> Option<String> {
    let time: jiff::Timestamp = text.parse().ok()?;
    (time.as_second() > 0).then(|| jiff::Timestamp::from_second(time.as_second()).map(|time| time.to_string()).ok())?
}

/// Counts the signatures. Cosign keeps all signatures of an artifact in one manifest, each as a layer.
fn signatures(attached: &Attached) -> usize {
    let referrers =
        attached.referrers.iter().filter(|(_, descriptor, _)| kind_of_referrer(descriptor) == AttachedKind::Signature);
    let layers = |artifact: &Artifact| {
        let manifest = Manifest::parse(&artifact.descriptor().media_type, artifact.manifest().bytes());
        manifest.map_or(1, |manifest| manifest.layers.len())
    };
    let tagged = attached.tagged.iter().filter(|(tag, _)| kind_of_tag(tag) == AttachedKind::Signature);
    referrers.count() + tagged.map(|(_, artifact)| layers(artifact)).sum::<usize>()
}

/// Returns what refers to an artifact: first by tags, then by subjects.
fn nodes(attached: Attached) -> Vec<AttachedNode> {
    let node = |what, tag, artifact_type: Option<String>, digest: &Digest, size| AttachedNode {
        what,
        tag,
        artifact_type,
        digest: digest.clone(),
        size,
    };
    let tagged = attached.tagged.into_iter().map(|(tag, artifact)| {
        let artifact_type = artifact.descriptor().artifact_type.clone();
        node(kind_of_tag(&tag), Some(tag), artifact_type, artifact.digest(), artifact.size())
    });
    let referrers = attached.referrers.into_iter().map(|(_, descriptor, artifact)| {
        let what = kind_of_referrer(&descriptor);
        node(what, None, descriptor.artifact_type, artifact.digest(), artifact.size())
    });
    tagged.chain(referrers).collect()
}
