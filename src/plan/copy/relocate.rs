//! A release for another prefix: its bundle and its JSON, rewritten to the names under which everything else was copied. Pure: the
//! same release and names give the same bytes.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::oci::{Artifact, Pinned, Relocation};
use crate::overlay::{self, BundleMeta, Warning};
use crate::release::{self, Release};
use crate::source::{Error, Place};

/// A release as it was published.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Of the release's manifest, not of a channel's.
    pub name: &'a Pinned,
    /// What it says.
    pub release: &'a Release,
    /// The files of its bundle.
    pub files: &'a BTreeMap<String, Vec<u8>>,
    /// What its bundle says about itself.
    pub bundle: &'a BundleMeta,
}

/// What became of a release.
#[derive(Clone, Debug)]
pub struct Relocated {
    /// The files of the bundle.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The bundle; absent when no file changed: then it is copied as it is.
    pub bundle: Option<Artifact>,
    /// What the release says.
    pub release: Release,
    /// The release's JSON; absent when nothing in it changed: then it is copied as it is.
    pub json: Option<Vec<u8>>,
    /// What still names the origin, or could not be rewritten.
    pub warnings: Vec<Warning>,
}

/// Rewrites a release. What it does not change, it leaves out, so that nothing is written twice under another digest.
///
/// # Errors
/// When the release's JSON would be larger than resolvers read.
pub fn relocate(origin: Origin<'_>, relocation: &Relocation, config: &Config) -> Result<Relocated, Error> {
    let before = origin.release;
    let overlay::RelocatedFiles { files, mut warnings } = overlay::relocate(origin.files, relocation);
    let place = |name: &String| format!("profiles/{}/values/{name}", before.values_profile);
    // They are rewritten as the bundle's own files are: verbatim copies stay verbatim copies.
    let own = before.profile_values.iter().map(|(name, text)| (place(name), text.clone().into_bytes())).collect();
    let mut values = overlay::relocate(&own, relocation).files;
    let values = before.profile_values.keys().filter_map(|name| {
        let text = String::from_utf8(values.remove(&place(name))?).ok()?;
        Some((name.clone(), text))
    });
    let mut release = before.relocated(relocation, values.collect(), config);
    let files = overlay::rename_values(files, &renamed(before, &release));
    let changed = files != *origin.files;
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
        let reason = format!("the rewritten release would have {} bytes, more than resolvers read", json.len());
        return Err(Error::refused(Place::file(release::FILE_NAME), reason).hint("copy it to a shorter prefix"));
    }
    Ok(Relocated { files, bundle, release, json, warnings })
}

/// Old name of a values `ConfigMap` → its new one.
fn renamed(before: &Release, after: &Release) -> BTreeMap<String, String> {
    let (old, new) = (before.values_config_maps.values(), after.values_config_maps.values());
    old.zip(new).filter(|(old, new)| old != new).map(|(old, new)| (old.clone(), new.clone())).collect()
}
