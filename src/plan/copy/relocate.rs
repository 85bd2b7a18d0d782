//! Rewrites a release for another prefix: the bundle and the JSON get the names under which everything else was copied.
//! The rewriting is pure: the same release and the same names give the same bytes.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::oci::{Artifact, Pinned, Relocation};
use crate::overlay::{self, BundleMeta};
use crate::release::{self, Release};
use crate::source::{Error, Place, Warning};

/// The published release that is rewritten.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Repository and digest of the release manifest. A channel manifest is not used here.
    pub name: &'a Pinned,
    /// Content of the release manifest.
    pub release: &'a Release,
    /// The files of the bundle.
    pub files: &'a BTreeMap<String, Vec<u8>>,
    /// Metadata of the bundle.
    pub bundle: &'a BundleMeta,
}

/// The release manifest with rewritten references.
#[derive(Clone, Debug)]
pub struct Relocated {
    /// The files of the rewritten bundle.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The rewritten bundle. Absent when no file changed: the original bundle is then copied.
    pub bundle: Option<Artifact>,
    /// Content of the rewritten release manifest.
    pub release: Release,
    /// JSON of the rewritten release. Absent when nothing changed: the original JSON is then copied.
    pub json: Option<Vec<u8>>,
    /// Places that still name the origin, or that could not be rewritten.
    pub warnings: Vec<Warning>,
}

/// Rewrites a release. Parts that do not change are absent in the result, so that nothing is written twice under
/// different digests. If `drops_verify`, the rewritten sources lose `spec.verify`, and the release names no keys for them.
///
/// # Errors
/// Returns an error when the JSON of the release would exceed the size that resolvers read.
pub fn relocate(
    origin: Origin<'_>,
    relocation: &Relocation,
    config: &Config,
    drops_verify: bool,
) -> Result<Relocated, Error> {
    let before = origin.release;
    let overlay::RelocatedFiles { files, mut warnings } = overlay::relocate(origin.files, relocation, drops_verify);
    let place = |name: &String| format!("profiles/{}/values/{name}", before.values_profile);
    // The values are rewritten like the bundle's own files, so that identical copies stay identical.
    let own = before.profile_values.iter().map(|(name, text)| (place(name), text.clone().into_bytes())).collect();
    let mut values = overlay::relocate(&own, relocation, drops_verify).files;
    let values = before.profile_values.keys().filter_map(|name| {
        let text = String::from_utf8(values.remove(&place(name))?).ok()?;
        Some((name.clone(), text))
    });
    let mut release = before.relocated(relocation, values.collect(), config);
    let files = overlay::rename_values(files, &renamed(before, &release));
    let changed = files != *origin.files;
    if let Some(description) = release.description.as_mut().filter(|_| changed && drops_verify) {
        // An appliance would need keys for signatures that the copy does not have.
        description.appliance.verify = None;
    }
    let bundle = changed.then(|| overlay::bundle(&files, origin.bundle));
    if changed || release != *before {
        let digest = bundle.as_ref().map_or(&before.config.digest, Artifact::digest).clone();
        release.comes_from(origin.name, digest);
    }
    warnings.extend(release.left(relocation).into_iter().map(|(path, mention)| {
        let text = format!("`{path}` still names the old prefix: {}", mention.text);
        Warning { place: Place::file(release::FILE_NAME), text }
    }));
    let json = (release != *before).then(|| release.to_json());
    if let Some(json) = json.as_ref().filter(|json| json.len() as u64 > release::CONFIG_LIMIT) {
        let reason = format!(
            "the rewritten release manifest would have {} bytes, and resolvers read at most {}",
            json.len(),
            release::CONFIG_LIMIT
        );
        return Err(
            Error::refused(Place::file(release::FILE_NAME), reason).hint("copy the release to a shorter prefix")
        );
    }
    Ok(Relocated { files, bundle, release, json, warnings })
}

/// Returns the new name of each values `ConfigMap` by its old name.
fn renamed(before: &Release, after: &Release) -> BTreeMap<String, String> {
    let (old, new) = (before.values_config_maps.values(), after.values_config_maps.values());
    old.zip(new).filter(|(old, new)| old != new).map(|(old, new)| (old.clone(), new.clone())).collect()
}
