//! Computes names of values `ConfigMap`s from their content: other values or other image tags give another name.

use std::collections::BTreeMap;

use super::described::settings_of;
use super::{Release, SetValue, ValueSource};
use crate::config::Config;
use crate::oci::{Digest, Pinned};

/// Number of hex digits in the hash of a name.
const HASH: usize = 12;

/// The images of a release, whose values are part of what is hashed.
#[derive(Clone, Copy, Debug)]
pub struct ImageValues<'a> {
    /// Tag of each image, by key.
    pub tags: &'a BTreeMap<String, String>,
    /// Reference by digest of each image, by key. Empty where values are tags without digests.
    pub pinned: &'a BTreeMap<String, Pinned>,
}

impl ImageValues<'_> {
    /// Returns the value that an appliance writes for an image: the tag, followed by the digest if that is known. A setting
    /// may have the tag alone.
    pub(crate) fn of(&self, key: &str, set: &SetValue) -> Option<String> {
        let tag = self.tags.get(key)?;
        let pinned = self.pinned.get(key).filter(|_| set.form.is_none());
        Some(pinned.map_or_else(|| tag.clone(), |pinned| format!("{tag}@{}", pinned.digest)))
    }
}

/// Returns the name `<prefix><values>-<hash>` for each file `<values>.<profile>.yaml`, by the name of the values.
pub fn values_names(
    config: &Config,
    profile: &str,
    values: &BTreeMap<String, String>,
    images: ImageValues<'_>,
) -> BTreeMap<String, String> {
    let suffix = format!(".{profile}.yaml");
    let named = values.iter().filter_map(|(file, text)| Some((file.strip_suffix(&suffix)?, text)));
    let name = |(of, text): (&str, &String)| {
        let hash = values_hash(text, &settings_of(config, of), images);
        (of.to_owned(), format!("{}{of}-{hash}", config.appliance.values_prefix))
    };
    named.map(name).collect()
}

/// Returns 12 hex digits of the hash over the text of values and the settings in them, except for settings from the
/// appliance's host.
pub(crate) fn values_hash(text: &str, set: &[SetValue], images: ImageValues<'_>) -> String {
    let resolved = set.iter().filter_map(|set| match ValueSource::configured(&set.from) {
        ValueSource::Image(key) => Some((set.path.as_str(), images.of(key, set)?)),
        ValueSource::Literal(literal) => Some((set.path.as_str(), literal.to_owned())),
        ValueSource::AppUrl | ValueSource::Host | ValueSource::DomainSuffix => None,
    });
    let resolved: BTreeMap<&str, String> = resolved.collect();
    let content = serde_json::to_vec(&(text, resolved)).expect("text is JSON");
    Digest::of(&content).short_hex().to_owned()
}

/// Splits a name with a hash into the name and the hash.
pub(crate) fn split_hash(name: &str) -> Option<(&str, &str)> {
    let (rest, hash) = name.rsplit_once('-')?;
    let is_hash = hash.len() == HASH && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_hash.then_some((rest, hash))
}

/// No image is pinned.
static NONE: BTreeMap<String, Pinned> = BTreeMap::new();

impl Release {
    /// Returns the values that an appliance writes for the images of the release.
    pub fn image_values(&self) -> ImageValues<'_> {
        ImageValues { tags: &self.images, pinned: if self.is_pinned() { &self.image_digests } else { &NONE } }
    }

    /// Returns the settings in the values of a file. They come from the release, or else from the configuration, which
    /// knows the values by the name `of`.
    pub(crate) fn settings(&self, file: &str, of: &str, config: &Config) -> Vec<SetValue> {
        let Some(description) = &self.description else { return settings_of(config, of) };
        let reader = description.appliance.values.iter().find(|reader| reader.file == file);
        reader.map(|reader| reader.set.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_changes_with_the_text_a_tag_a_digest_and_a_literal_and_not_with_the_host() {
        let set = |from: &str| SetValue {
            path: "image.tag".to_owned(),
            from: from.to_owned(),
            form: None,
            extra: BTreeMap::new(),
        };
        let none = BTreeMap::new();
        let tags = |tag: &str| BTreeMap::from([("web".to_owned(), tag.to_owned())]);
        let (one, two) = (tags("1"), tags("2"));
        let hash = |text: &str, from: &str, tags| values_hash(text, &[set(from)], ImageValues { tags, pinned: &none });
        let pinned = Pinned { repository: "r.io/web".parse().expect("one"), digest: Digest::of(b"web") };
        let pinned = BTreeMap::from([("web".to_owned(), pinned)]);
        let with_digest = values_hash("a: 1\n", &[set("image:web")], ImageValues { tags: &one, pinned: &pinned });
        let all = [
            hash("a: 1\n", "image:web", &one),
            hash("a: 1\n", "image:web", &two),
            hash("a: 2\n", "image:web", &one),
            hash("a: 1\n", "literal:1.0", &one),
            hash("a: 1\n", "literal:1.1", &one),
            hash("a: 1\n", "host", &one),
            with_digest,
        ];
        let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "{all:?}");
        assert_eq!(hash("a: 1\n", "host", &one), hash("a: 1\n", "app-url", &one), "each appliance has its own host");
    }
}
