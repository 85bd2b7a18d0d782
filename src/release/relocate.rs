//! A release whose repositories were copied to other names: what it says by an old name, it says by the new one.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Release, values_names};
use crate::config::Appliance;
use crate::oci::{Digest, Mention, Pinned, Relocation};

impl Release {
    /// The release by its new names, with `profile_values` in the place of its own. Where a release's values differ, the hashed name
    /// of their `ConfigMap` does, too. Charts, their digests, tags and the vendor's own keys stay, and so does the bundle's digest
    /// until [`Release::comes_from`].
    #[must_use]
    pub fn relocated(
        &self,
        relocation: &Relocation,
        profile_values: BTreeMap<String, String>,
        appliance: &Appliance,
    ) -> Self {
        let mut release = self.clone();
        let name = |text: &String| relocation.replaced(text).into_owned();
        release.config.repository = name(&self.config.repository);
        release.control_plane = self.control_plane.as_ref().map(name);
        for pinned in release.image_digests.values_mut() {
            pinned.repository = name(&pinned.repository);
        }
        release.extra_images = self.extra_images.iter().map(name).collect();
        let names = values_names(appliance, &self.values_profile, &profile_values, &self.images);
        for (of, config_map) in &mut release.values_config_maps {
            let file = format!("{of}.{}.yaml", self.values_profile);
            // The same text keeps the name that its publisher gave it, whatever the configuration here says.
            if self.profile_values.get(&file) != profile_values.get(&file)
                && let Some(new) = names.get(of)
            {
                config_map.clone_from(new);
            }
        }
        release.profile_values = profile_values;
        release
    }

    /// Says which release this one was made of, and the digest of the bundle that was made with it.
    pub fn comes_from(&mut self, origin: &Pinned, bundle: Digest) {
        self.config.digest = bundle;
        self.copied_from = Some(origin.to_string());
    }

    /// What of it still names the old prefix, by path; but for the values, which stand in the bundle too, and where it comes from.
    pub fn left(&self, relocation: &Relocation) -> Vec<(String, Mention)> {
        let bare = Self { profile_values: BTreeMap::new(), copied_from: None, ..self.clone() };
        let mut found = Vec::new();
        walk(&serde_json::to_value(bare).expect("a release has text keys alone"), "", &mut |path, text| {
            found.extend(relocation.left(text).into_iter().map(|mention| (path.to_owned(), mention)));
        });
        found
    }
}

fn walk(value: &Value, path: &str, each: &mut impl FnMut(&str, &str)) {
    match value {
        Value::String(text) => each(path, text),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                walk(item, &format!("{path}[{at}]"), each);
            }
        }
        Value::Object(entries) => {
            for (key, value) in entries {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                each(&path, key);
                walk(value, &path, each);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
#[path = "relocate_tests.rs"]
mod tests;
