//! Names of values `ConfigMap`s that stand for what is in them: other values or other image tags, another name.

use std::collections::BTreeMap;

use crate::config::Appliance;
use crate::oci::Digest;

/// Release → `<prefix><release>-<12 hex of the values' text and the image tags that are injected into it>`, for each file
/// `<release>.<profile>.yaml` of `values`. `images` are the tags by their keys.
pub fn values_names(
    appliance: &Appliance,
    profile: &str,
    values: &BTreeMap<String, String>,
    images: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let suffix = format!(".{profile}.yaml");
    let named = values.iter().filter_map(|(file, text)| Some((file.strip_suffix(&suffix)?, text)));
    let name = |(release, text): (&str, &String)| {
        let injected = appliance.values.iter().filter(|injection| injection.release == release);
        let tags = injected.filter_map(|injection| {
            let tag = images.get(injection.from.strip_prefix("image:")?)?;
            Some((injection.path.as_str(), tag.as_str()))
        });
        let tags: BTreeMap<&str, &str> = tags.collect();
        let content = serde_json::to_vec(&(text, tags)).expect("text is JSON");
        let name = format!("{}{release}-{}", appliance.values_prefix, Digest::of(&content).short());
        (release.to_owned(), name)
    };
    named.map(name).collect()
}
