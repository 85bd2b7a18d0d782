//! Shows a release as a tree of everything that it names.

use jiff::Timestamp;
use serde::Serialize;

use super::signing::{self, followed};
use super::{Connection, Error};
use crate::config::Config;
use crate::contents::{ReadOnce, Stores};
use crate::graph::{Graph, Reading};
use crate::oci::Selector;
use crate::release::NamedKind;
use crate::trust::SignedDocument;
use crate::verify::{Check, Checked, Extent};

/// Version of the JSON, `docs/schemas/show.json`.
const SCHEMA: &str = "alga.release.show/v1";

/// The release that is shown.
#[derive(Clone, Debug)]
pub struct ShowRequest {
    /// Channel, version or digest.
    pub reference: String,
    /// Trust document by which signatures are verified; `None` verifies none.
    pub trust: Option<SignedDocument>,
}

/// A release as a tree of everything that it names.
#[derive(Clone, Debug, Serialize)]
pub struct ShowReport {
    /// Version of this JSON.
    pub schema: &'static str,
    /// Store that was read.
    pub store: String,
    /// Channel, version or digest, as it was requested.
    pub reference: String,
    /// Whether every artifact was read.
    pub complete: bool,
    /// The release, and everything that it names.
    #[serde(flatten)]
    pub graph: Graph,
}

/// Reads a release and the manifests of everything that it names. Blobs are not read. Without a trust document, signatures
/// are counted and not verified.
///
/// # Errors
/// When there is no such release, and when a store cannot be reached. Artifacts that are absent say so in the report.
pub async fn show(request: &ShowRequest, config: &Config, connection: &Connection) -> Result<ShowReport, Error> {
    let reference = &request.reference;
    let selector: Selector = reference.parse()?;
    let resolved = connection.resolve(config, reference, &selector).await?;
    let config = &connection.described(&resolved, &selector, config)?;
    let prefix = &connection.prefix_of(&resolved.release, config)?;
    let named = resolved.release.named(prefix, config);
    let external = connection.external(&named).await?;
    let stores = &Stores { own: ReadOnce::from(connection.read()), external: &external };
    let channel = config.channels.iter().find(|channel| channel.as_str() == reference);
    let mut graph = Reading { resolved: &resolved, channel, prefix, config, stores }.read().await?;
    if let Some(trust) = &request.trust {
        let (store, repository) = (connection.read(), &config.repositories.release);
        let trust = followed(trust, store, repository, connection.context()).await?;
        let trust = Some(signing::trust(trust.document(), &connection.location, connection.context()));
        let (extent, location) = (Extent::Whole(channel), &connection.location);
        let checked = Checked { resolved: &resolved, prefix, config, location, stores, extent, trust };
        add_signers(&mut graph, &checked.signers().await?);
    }
    let complete = graph.unread().count() == 0;
    let store = connection.location.to_string();
    Ok(ShowReport { schema: SCHEMA, store, reference: reference.clone(), complete, graph })
}

/// Adds the keys that signed to the artifacts and the channel of a graph.
fn add_signers(graph: &mut Graph, checks: &[Check]) {
    let keys = |kind, name: &str| {
        let check = checks.iter().find(|check| check.kind == kind && check.name == name)?;
        let signers = check.signed.iter().flat_map(|signed| &signed.signers);
        let role = if kind == NamedKind::Channel { "channel" } else { "release" };
        Some(signers.filter(|signer| signer.role == role).map(|signer| signer.key).collect())
    };
    for node in graph.artifacts.iter_mut().chain([&mut graph.release]) {
        node.signed_by = keys(node.kind, &node.name);
    }
    if let Some(channel) = &mut graph.channel {
        channel.signed_by = keys(NamedKind::Channel, &channel.name);
    }
}

impl ShowReport {
    /// Returns the report for people. Ages are relative to `now`.
    pub fn text(&self, now: Timestamp) -> String {
        self.graph.text(now)
    }

    /// Returns what was not read, in one line; `None` when everything was.
    pub fn warning(&self) -> Option<String> {
        let unread = self.graph.unread().count();
        let all = self.graph.artifacts.len() + 1;
        (unread > 0).then(|| format!("{unread} of {all} artifacts of {} could not be read", self.reference))
    }
}
