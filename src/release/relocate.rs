//! Rewrites a release whose repositories were copied to other names, so that it uses the new names.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Description, Release, ValueSource, split_hash, values_hash};
use crate::config::Config;
use crate::oci::{Digest, Mention, Pinned, Relocation};

impl Release {
    /// Returns the release with its new names and with `profile_values` instead of its own values. If values or their
    /// settings change, the hashed name of their `ConfigMap` changes too. Charts, chart digests, tags, namespaces and
    /// the vendor's own keys stay. The bundle's digest stays until [`Release::comes_from`].
    #[must_use]
    pub fn relocated(
        &self,
        relocation: &Relocation,
        profile_values: BTreeMap<String, String>,
        config: &Config,
    ) -> Self {
        let mut release = self.clone();
        let name = |text: &String| relocation.replaced(text).into_owned();
        release.config.repository = name(&self.config.repository);
        release.control_plane = self.control_plane.as_ref().map(name);
        for pinned in release.image_digests.values_mut() {
            pinned.repository = name(&pinned.repository);
        }
        release.extra_images = self.extra_images.iter().map(name).collect();
        if let Some(description) = &mut release.description {
            description.relocate(relocation);
        }
        let names = self.renamed(&release, &profile_values, config);
        for name in release.values_config_maps.values_mut() {
            if let Some(new) = names.get(name) {
                name.clone_from(new);
            }
        }
        for reader in release.description.iter_mut().flat_map(|description| &mut description.appliance.values) {
            if let Some(new) = names.get(&reader.config_map) {
                reader.config_map.clone_from(new);
            }
        }
        release.profile_values = profile_values;
        release
    }

    /// Returns the new name of each hashed `ConfigMap` whose content differs in `after`, by its old name. Unchanged
    /// content keeps the name from its publisher, whatever the present configuration says.
    fn renamed(
        &self,
        after: &Self,
        profile_values: &BTreeMap<String, String>,
        config: &Config,
    ) -> BTreeMap<String, String> {
        let mut names = BTreeMap::new();
        for (of, name) in &self.values_config_maps {
            let file = format!("{of}.{}.yaml", self.values_profile);
            let (old, new) = (self.settings(&file, of, config), after.settings(&file, of, config));
            let Some(text) = profile_values.get(&file) else { continue };
            if self.profile_values.get(&file) == Some(text) && old == new {
                continue;
            }
            let plain = format!("{}{of}", config.appliance.values_prefix);
            let plain = split_hash(name).map_or(plain.as_str(), |(plain, _)| plain);
            names.insert(name.clone(), format!("{plain}-{}", values_hash(text, &new, self.image_values())));
        }
        names
    }

    /// Sets the release that this one was made from, and the digest of the rewritten bundle.
    pub(crate) fn comes_from(&mut self, origin: &Pinned, bundle: Digest) {
        self.config.digest = bundle;
        self.copied_from = Some(origin.to_string());
    }

    /// Returns the values that still name the old prefix, with their paths. Leaves out the profile's values, which are
    /// in the bundle too, and the origin.
    pub fn left(&self, relocation: &Relocation) -> Vec<(String, Mention)> {
        let bare = Self { profile_values: BTreeMap::new(), copied_from: None, ..self.clone() };
        let mut found = Vec::new();
        walk(&serde_json::to_value(bare).expect("a release has only text keys"), "", &mut |path, text| {
            found.extend(relocation.left(text).into_iter().map(|mention| (path.to_owned(), mention)));
        });
        found
    }
}

impl Description {
    /// Replaces the prefix, and the names in literal texts.
    fn relocate(&mut self, relocation: &Relocation) {
        self.prefix = relocation.to().to_string();
        for set in self.appliance.values.iter_mut().flat_map(|reader| &mut reader.set) {
            if let Some(ValueSource::Literal(text)) = ValueSource::parse(&set.from) {
                set.from = ValueSource::Literal(&relocation.replaced(text)).to_string();
            }
        }
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
