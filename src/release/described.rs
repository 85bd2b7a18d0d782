//! Decides which value holds when a release, a configuration file and the built-in defaults each have one. The value in
//! the release holds. A file or flag that the caller gave must agree with the release. A file that was only found in
//! the directory causes a note. A default never disagrees. A release of an older publisher does not describe itself, so
//! the configuration and its defaults hold.

use std::collections::BTreeMap;

use super::description::AS_TAG;
use super::{Description, Installation, ObjectName, Release, SetValue, ValueSource, ValuesReader};
use crate::config::{Config, GivenBy, ImageForm, Injection};
use crate::oci::Prefix;
use crate::text::shown;

/// The configuration and the installation of one release.
#[derive(Clone, Debug)]
pub struct Described {
    /// Configuration with the release's own values in place of the given ones.
    pub config: Config,
    /// Installation of the release on an appliance.
    pub installation: Installation,
    /// Differences from a configuration file that was only found in the directory, one line each.
    pub notes: Vec<String>,
}

/// A value from the caller that differs from the release's value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is `{release}` in the release, but `{given}` in {by}")]
pub struct Disagreement {
    key: String,
    release: String,
    given: String,
    by: String,
}

/// A configuration value that a release states itself: its path, and a function that reads it.
type Value = (&'static str, fn(&Config) -> &str);
const VALUES: [Value; 8] = [
    ("product", |config| &config.product),
    ("prefix", |config| &config.prefix),
    ("repositories.charts", |config| config.repositories.charts.as_str()),
    ("repositories.config", |config| config.repositories.config.as_str()),
    ("appliance.fluxNamespace", |config| &config.appliance.flux_namespace),
    ("appliance.sourceName", |config| &config.appliance.source_name),
    ("appliance.namespace", |config| &config.appliance.namespace),
    ("appliance.selectionName", |config| &config.appliance.selection_name),
];

impl Release {
    /// Returns the configuration and the installation that hold for the release.
    ///
    /// # Errors
    /// Returns an error when the caller gave a value that differs from the release's value.
    pub fn described(&self, given: &Config) -> Result<Described, Disagreement> {
        let Some(description) = &self.description else {
            let installation = Installation::configured(self, given);
            return Ok(Described { config: given.clone(), installation, notes: Vec::new() });
        };
        let config = self.configuration(description, given);
        let mut notes = Vec::new();
        for (disagreement, by) in disagreements(self, &config, given) {
            if by.explicit {
                return Err(disagreement);
            }
            notes.push(format!("{disagreement}; the release's value is used"));
        }
        Ok(Described { config, installation: description.appliance.clone(), notes })
    }

    /// Returns the configuration with the values that the release states itself.
    fn configuration(&self, description: &Description, given: &Config) -> Config {
        let mut config = given.clone();
        let own = &description.appliance;
        config.product = description.product.clone().unwrap_or(config.product);
        config.prefix.clone_from(&description.prefix);
        config.repositories.charts = description.chart_repository.clone();
        let prefix = Prefix::parse(&description.prefix, false).ok();
        let bundle = prefix.and_then(|prefix| prefix.strip(&self.config.repository));
        config.repositories.config = bundle.unwrap_or(config.repositories.config);
        config.appliance.flux_namespace.clone_from(&own.flux_namespace);
        config.appliance.source_name.clone_from(&own.source_name);
        config.appliance.namespace.clone_from(&own.selection.namespace);
        config.appliance.selection_name.clone_from(&own.selection.name);
        let mut table = Table::new();
        for reader in &own.values {
            let Some(name) = reader.values_of(&self.values_profile) else { continue };
            table.extend(reader.set.iter().map(|set| (entry(name, &set.path), source(&set.from, set.form.is_some()))));
        }
        let injection = |(key, from): (String, String)| {
            let (release, path) = key.split_once(BETWEEN).unwrap_or_default();
            let tag = from.strip_suffix(ONLY_TAG).filter(|from| from.starts_with("image:")).map(ToOwned::to_owned);
            let form = tag.is_some().then_some(ImageForm::Tag);
            Injection { release: release.to_owned(), path: path.to_owned(), from: tag.unwrap_or(from), form }
        };
        config.appliance.values = table.into_iter().map(injection).collect();
        config
    }
}

/// The settings in values: source by name and path. Name and path share one string, because a map with another key type
/// would add its own code to the resolver.
type Table = BTreeMap<String, String>;

/// Separator between name and path. It sorts before every other character and occurs in neither part.
const BETWEEN: char = '\0';

/// Ending of the source of an image whose value is the tag without the digest.
const ONLY_TAG: &str = " as tag";

/// Returns the source of a value with its form.
fn source(from: &str, tag: bool) -> String {
    format!("{from}{}", if tag { ONLY_TAG } else { "" })
}

fn entry(values: &str, path: &str) -> String {
    format!("{values}{BETWEEN}{path}")
}

/// Returns the settings of a configuration for values that the release contains, in the form that a release uses.
fn configured(config: &Config, release: &Release) -> Table {
    let carried = |name: &str| release.profile_values.contains_key(&format!("{name}.{}.yaml", release.values_profile));
    let injections = config.appliance.values.iter().filter(|injection| carried(&injection.release));
    let mut table = Table::new();
    table.extend(injections.map(|one| {
        let from = ValueSource::configured(&one.from).to_string();
        (entry(&one.release, &one.path), source(&from, one.form.is_some()))
    }));
    table
}

/// Returns every given value that differs from the release's value, and where it was given.
fn disagreements<'a>(release: &Release, own: &Config, given: &'a Config) -> Vec<(Disagreement, &'a GivenBy)> {
    let disagreement = |key: String, release: &str, found: &str, by: &'a GivenBy| {
        let (release, given) = (shown(release), shown(found));
        (Disagreement { key, release, given, by: by.name.clone() }, by)
    };
    let single = VALUES.iter().filter(|(_, value)| value(own) != value(given)).filter_map(|(key, value)| {
        Some(disagreement((*key).to_owned(), value(own), value(given), given.given.get(*key)?))
    });
    let mut found: Vec<_> = single.collect();
    if let Some(by) = given.given.get("appliance.values") {
        let (says, given) = (configured(own, release), configured(given, release));
        let differs = says.keys().chain(given.keys()).find(|key| says.get(*key) != given.get(*key));
        let text = |table: &Table, key| table.get(key).map_or("not set", String::as_str).to_owned();
        found.extend(differs.map(|key| {
            let path = format!("appliance.values: {}", key.replace(BETWEEN, ":"));
            disagreement(path, &text(&says, key), &text(&given, key), by)
        }));
    }
    found
}

impl Installation {
    /// Returns the installation of a release that does not describe itself: each values file belongs to the HelmRelease
    /// of the same name in the configured namespace.
    fn configured(release: &Release, config: &Config) -> Self {
        let suffix = format!(".{}.yaml", release.values_profile);
        let names = release.profile_values.keys();
        let names = names.filter_map(|file| Some((file.strip_suffix(&suffix)?.to_owned(), file.clone())));
        let mut by_name = BTreeMap::new();
        by_name.extend(names);
        let appliance = &config.appliance;
        let reader = |(name, file): (String, String)| {
            let plain = format!("{}{name}", appliance.values_prefix);
            ValuesReader {
                namespace: appliance.namespace.clone(),
                config_map: release.values_config_maps.get(&name).cloned().unwrap_or(plain),
                key: file.clone(),
                file,
                set: settings_of(config, &name),
                release: name,
                extra: BTreeMap::new(),
            }
        };
        let values = by_name.into_iter().map(reader).collect();
        let selection = (appliance.namespace.clone(), appliance.selection_name.clone());
        Self {
            flux_namespace: appliance.flux_namespace.clone(),
            source_name: appliance.source_name.clone(),
            selection: ObjectName { namespace: selection.0, name: selection.1, extra: BTreeMap::new() },
            required_images: config.images.keys().cloned().collect(),
            values,
            pinned: false,
            verify: None,
            extra: BTreeMap::new(),
        }
    }
}

/// Returns the settings that the configuration makes in the values with this name, in the order and the form that a
/// release uses.
pub(crate) fn settings_of(config: &Config, name: &str) -> Vec<SetValue> {
    let injections = config.appliance.values.iter().filter(|injection| injection.release == name);
    let set = |injection: &Injection| SetValue {
        path: injection.path.clone(),
        from: ValueSource::configured(&injection.from).to_string(),
        form: injection.form.map(|ImageForm::Tag| AS_TAG.to_owned()),
        extra: BTreeMap::new(),
    };
    injections.map(set).collect()
}

#[cfg(test)]
#[path = "described_tests.rs"]
mod tests;
