//! Shows a release as a tree of everything that it names.

use jiff::Timestamp;
use serde::Serialize;

use super::{Connection, Error};
use crate::config::Config;
use crate::contents::{ReadOnce, Stores};
use crate::graph::{Graph, Reading};
use crate::oci::Selector;

/// Version of the JSON, `docs/schemas/show.json`.
const SCHEMA: &str = "alga.release.show/v1";

/// The release that is shown.
#[derive(Clone, Debug)]
pub struct ShowRequest {
    /// Channel, version or digest.
    pub reference: String,
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

/// Reads a release and the manifests of everything that it names. Blobs are not read, and signatures are counted, not verified.
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
    let graph = Reading { resolved: &resolved, channel, prefix, config, stores }.read().await?;
    let complete = graph.unread().count() == 0;
    let store = connection.location.to_string();
    Ok(ShowReport { schema: SCHEMA, store, reference: reference.clone(), complete, graph })
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
