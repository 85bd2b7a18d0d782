//! The amount of data and the number of requests that a plan needs.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use serde::Serialize;

use super::super::desired::Desired;
use super::super::execute::Contents;
use super::super::observe::Observed;
use super::super::planner::{Plan, Write};
use crate::oci::{self, ReadStore};

/// Amount of data and number of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Bytes of manifests and of the blobs that the store lacks.
    pub bytes: u64,
    /// Number of blobs that the store lacks.
    pub blobs: u64,
    /// Number of writing requests: two for a blob, one for a manifest, a tag or a move. Reads before and after are not
    /// included. Always 0 for a directory.
    pub requests: u64,
}

/// Asks the store which blobs of `plan` it lacks, and computes the cost of the plan.
///
/// # Errors
/// Returns an error when the store fails.
pub async fn cost(store: &ReadStore, plan: &Plan, desired: &Desired, observed: &Observed) -> Result<Cost, oci::Error> {
    let contents = Contents::new(desired, observed);
    let mut cost = Cost::default();
    let mut blobs = BTreeMap::new();
    let (mut pushes, mut tags) = (0_u64, 0_u64);
    for write in &plan.writes {
        match write {
            Write::Push { repository, descriptor } => {
                pushes += 1;
                let Some(artifact) = contents.artifact(&descriptor.digest) else { continue };
                for manifest in artifact.manifests().iter().chain([artifact.manifest()]) {
                    cost.bytes += manifest.descriptor().size;
                    cost.requests += 1;
                }
                let named = artifact.blobs().iter().map(oci::Content::descriptor);
                blobs.extend(named.map(|blob| ((repository, &blob.digest), blob)));
            }
            Write::Tag { .. } => tags += 1,
        }
    }
    if let Some(moves) = &plan.moves {
        cost.bytes += moves.config.size;
        // The move needs four requests: two for the JSON, and one each for the keep-alive tag and the channel.
        cost.requests += 4;
    }
    // A manifest is pushed together with its first tag.
    cost.requests += tags.saturating_sub(pushes);
    let looks = blobs.iter().map(|(&(repository, _), &blob)| async move {
        match store.has(repository, blob).await {
            Ok(there) => Ok((!there).then_some(blob.size)),
            // A corrupt file is replaced.
            Err(error) if error.kind() == oci::Kind::Mismatch => Ok(Some(blob.size)),
            Err(error) => Err(error),
        }
    });
    for size in try_join_all(looks).await?.into_iter().flatten() {
        cost.bytes += size;
        cost.blobs += 1;
        cost.requests += 2;
    }
    if store.path().is_some() {
        cost.requests = 0;
    }
    Ok(cost)
}
