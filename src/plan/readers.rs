//! Finds the HelmReleases of an overlay that read values of the release. They are part of the release's description of
//! itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Config, FILE_NAME};
use crate::overlay::Overlay;
use crate::release::{SetValue, ValueSource, ValuesReader, settings_of};
use crate::source::{Error, Place};

/// The values of a release that is being packed.
pub(super) struct Values<'a> {
    pub config: &'a Config,
    /// Text of the values by file name.
    pub texts: &'a BTreeMap<String, String>,
    /// Hashed `ConfigMap` names by the name of the values.
    pub names: &'a BTreeMap<String, String>,
    /// Keys of the images in the configuration.
    pub images: BTreeSet<&'a str>,
}

impl Values<'_> {
    /// Returns each HelmRelease that Flux applies and that reads values of the release, once for each namespace and
    /// key, sorted. `overlay` is the author's overlay before the rewriting.
    ///
    /// # Errors
    /// Returns an error when kustomize could not build the overlay, or when the configuration sets an image that the
    /// release does not have.
    pub(super) fn readers(&self, overlay: &Overlay) -> Result<Vec<ValuesReader>, Error> {
        let mut readers = BTreeMap::new();
        for applied in overlay.applied_releases()? {
            let release = applied.release.object.name();
            // The API server refuses an object without a namespace. Older appliances read the values of such an object
            // in this namespace.
            let namespace = applied.namespace.as_deref().unwrap_or(&self.config.appliance.namespace);
            for map in applied.release.config_maps() {
                let Some((of, file)) = self.provided(&map.name, &map.key) else { continue };
                let plain = map.name.clone();
                let reader = ValuesReader {
                    release: release.to_owned(),
                    namespace: namespace.to_owned(),
                    config_map: self.names.get(of).cloned().unwrap_or(plain),
                    key: map.key,
                    file,
                    set: self.settings(of),
                    extra: BTreeMap::new(),
                };
                let key = |reader: &ValuesReader| {
                    [&reader.release, &reader.namespace, &reader.config_map, &reader.key].map(Clone::clone)
                };
                readers.insert(key(&reader), reader);
            }
        }
        let readers: Vec<ValuesReader> = readers.into_values().collect();
        self.refuse_unknown_images(&readers)?;
        Ok(readers)
    }

    /// Returns the settings that the appliance makes in the values. If the settings are the built-in defaults, those
    /// for images without a configuration entry are left out.
    fn settings(&self, of: &str) -> Vec<SetValue> {
        let mut settings = settings_of(self.config, of);
        if !self.config.given.contains_key("appliance.values") {
            settings.retain(|set| self.unknown_image(set).is_none());
        }
        settings
    }

    fn unknown_image<'s>(&self, set: &'s SetValue) -> Option<&'s str> {
        match ValueSource::parse(&set.from) {
            Some(ValueSource::Image(key)) if !self.images.contains(key) => Some(key),
            _ => None,
        }
    }

    /// Returns the name and the file of the values that a `ConfigMap` provides. Returns `None` when the `ConfigMap` or
    /// the key is not from the release.
    fn provided<'n>(&self, config_map: &'n str, key: &str) -> Option<(&'n str, String)> {
        let of = config_map.strip_prefix(&self.config.appliance.values_prefix)?;
        let file = format!("{of}.{}.yaml", self.config.profile);
        let another = key != file && self.texts.contains_key(key);
        (self.texts.contains_key(&file) && !another).then_some((of, file))
    }

    fn refuse_unknown_images(&self, readers: &[ValuesReader]) -> Result<(), Error> {
        for set in readers.iter().flat_map(|reader| &reader.set) {
            if let Some(key) = self.unknown_image(set) {
                let reason = format!(
                    "appliance.values: `{}`: the configuration has no `{}` under `images`",
                    set.from.escape_debug(),
                    key.escape_debug()
                );
                return Err(Error::refused(Place::file(FILE_NAME), reason)
                    .hint("use a key under `images`, or write `literal:TEXT` for a fixed text"));
            }
        }
        Ok(())
    }
}
