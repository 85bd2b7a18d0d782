//! The images that a signed publication signs although it does not write them.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use crate::config::Config;
use crate::image::PinnedImages;
use crate::oci::{Digest, Repository, Selector, optional};
use crate::ops::pack::Publication;
use crate::ops::{Connection, Error};
use crate::plan::Subject;
use crate::text::counted;

/// Key of the control plane in the release manifest.
const CONTROL_PLANE: &str = "controlPlane";

/// Images of a release that are signed by the digests that the release pins, and warnings about those that are not.
#[derive(Debug)]
pub(in crate::ops) struct StoredImages {
    pub subjects: Vec<Subject>,
    pub warnings: Vec<String>,
}

impl StoredImages {
    /// Finds the images of a publication in its store: the control plane, and the application images where the
    /// configuration has them signed. An image that the publication writes is not among them.
    pub(in crate::ops) async fn of(
        publication: &Publication,
        config: &Config,
        target: &Connection,
    ) -> Result<Self, Error> {
        let Publication { desired, images: PinnedImages { digests, control_plane, .. }, .. } = publication;
        let signs_all = config.signing.images;
        let applications = digests.iter().filter(|_| signs_all).map(|(key, pinned)| (key.as_str(), pinned));
        let (mut own, mut elsewhere) = (BTreeMap::new(), Vec::new());
        for (key, pinned) in applications.chain(control_plane.iter().map(|pinned| (CONTROL_PLANE, pinned))) {
            let image = format!("{pinned} ({key})");
            match desired.prefix.strip(&pinned.repository) {
                Some(repository) => drop(own.insert((repository, pinned.digest.clone()), image)),
                None => elsewhere.push(image),
            }
        }
        for written in desired.all() {
            own.remove(&(written.repository.clone(), written.artifact.digest().clone()));
        }
        let found = try_join_all(own.into_iter().map(|((repository, digest), image)| async move {
            Ok::<_, Error>(stored(target, &repository, &digest).await?.ok_or(image))
        }));
        let (subjects, absent): (Vec<_>, Vec<_>) = found.await?.into_iter().partition(Result::is_ok);
        let subjects = subjects.into_iter().flatten().collect();
        let absent: Vec<String> = absent.into_iter().filter_map(Result::err).collect();
        // Without the setting, no image of another registry is expected to be signed.
        elsewhere.retain(|_| signs_all);
        let reasons = [(absent, "missing in the store"), (elsewhere, "in another registry")];
        let reasons = reasons.into_iter().filter(|(images, _)| !images.is_empty());
        Ok(Self { subjects, warnings: reasons.map(|(images, why)| not_signed(&images, why)).collect() })
    }
}

/// Returns what is signed of an artifact in a store, or `None` if the store lacks the artifact.
pub(in crate::ops) async fn stored(
    connection: &Connection,
    repository: &Repository,
    digest: &Digest,
) -> Result<Option<Subject>, Error> {
    let found = connection.read().manifest(repository, &Selector::Digest(digest.clone())).await;
    Ok(optional(found)?.map(|(descriptor, _)| Subject::stored(repository.clone(), &connection.prefix, descriptor)))
}

fn not_signed(images: &[String], why: &str) -> String {
    let count = counted(images.len(), "image is", "images are");
    format!("{count} not signed ({why}): {}", images.join(", "))
}
