//! The configuration: everything that differs between vendors, with the defaults of this vendor. No other module has vendor
//! defaults, and both programs read this configuration. Parsing is pure: the caller reads the file and passes its text.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::oci::{AnyRepository, Prefix, Reference, Repository, Tag};
use crate::text::nearest;
use crate::yaml;

mod signing;

pub use signing::SigningSettings;

/// Name of the file at the root of a source tree.
pub const FILE_NAME: &str = "alga-release.yaml";

/// Length of the longest channel name, because a keep-alive tag, which is longer, must still be a valid tag.
const CHANNEL_LIMIT: usize = 64;
/// Start of the tags of trust documents. No channel and no version has such a name.
pub const TRUST_TAGS: &str = "trust-";

/// The effective configuration. Every key of the file is optional.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Name of the product, which trust documents and channel statements contain.
    pub product: String,
    /// Host and path under which appliances read the artifacts.
    pub prefix: String,
    /// Names of the repositories, relative to the prefix.
    pub repositories: Repositories,
    /// The channels, the riskiest first.
    pub channels: Vec<Tag>,
    /// Directory of the Flux overlay, relative to the root of the source tree.
    pub overlay: String,
    /// Name of the profile whose values the release contains: a directory in the overlay's `profiles/`.
    pub profile: String,
    /// Repository of each application image, relative to the prefix or as `HOST/PATH`, by key in the release manifest.
    pub images: BTreeMap<String, String>,
    /// File with the image tags of a release. `<version>` in the path is replaced by the version.
    pub release_file: String,
    /// Path of the map from key to tag in that file, with keys joined by `.`. Empty for the whole file.
    pub release_images: String,
    /// Further images that charts and overlay use, as references with a digest.
    pub extra_images: Vec<String>,
    /// Directories of charts that the overlay names without a path and that the search does not find, by chart name.
    pub charts: BTreeMap<String, String>,
    /// How a `HelmRelease` is pinned to its chart.
    pub chart_pin: ChartPin,
    /// Version that charts are published under.
    pub chart_versions: ChartVersions,
    /// How the `ConfigMap`s of values are named, and with them the sources of charts.
    pub values_names: ValuesNames,
    /// Whether a channel moves only if the public can read all artifacts.
    pub public_read: bool,
    /// Hosts of further token servers that may receive credentials over HTTPS. Those of the registry itself always may.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub auth_realms: Vec<String>,
    /// URL of the source for the bundle's annotation. Where absent, the URL of git's remote is used.
    pub source: Option<String>,
    /// Additional keys of the release manifest.
    pub manifest: ManifestAdditions,
    /// Names in the appliance's cluster.
    pub appliance: Appliance,
    /// What is signed, and how the cluster verifies it.
    pub signing: SigningSettings,
    /// Settings of `lint`: severities of rules, and objects that exist without the overlay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lint: Option<Value>,
    /// The flag or file that set each value, by path: keys joined by `.`, at most two levels deep. A value without an entry is a
    /// compiled default, which gives way to the values in a release.
    #[serde(skip)]
    pub given: BTreeMap<String, GivenBy>,
}

/// The flag or file that set a value of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenBy {
    /// Name of the flag or file.
    pub name: String,
    /// Whether the user gave the flag or the file (with `--config`). Otherwise the program found the file in the directory.
    pub explicit: bool,
}

/// Keys of the release manifest that the publisher writes itself, and that `manifest.extra` may not replace.
const RELEASE_KEYS: [&str; 18] = [
    "schema",
    "version",
    "channel",
    "valuesProfile",
    "images",
    "controlPlane",
    "config",
    "charts",
    "chartDigests",
    "imageDigests",
    "profileValues",
    "valuesConfigMaps",
    "extraImages",
    "copiedFrom",
    "product",
    "prefix",
    "chartRepository",
    "appliance",
];

/// Lists the keys that a configuration file sets.
fn keys_of(text: &str) -> BTreeSet<String> {
    let documents = yaml::parse(text).unwrap_or_default();
    let roots = documents.iter().filter_map(|document| document.root.as_ref());
    let mut keys = BTreeSet::new();
    for entry in roots.flat_map(yaml::Node::entries) {
        let key = entry.key.as_str().unwrap_or_default();
        keys.insert(key.to_owned());
        let below = entry.value.entries().iter().filter_map(|entry| entry.key.as_str());
        keys.extend(below.map(|inner| format!("{key}.{inner}")));
    }
    keys
}

/// Names of the repositories, relative to the prefix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Repositories {
    /// Path of the charts' repositories, to which each chart appends its name.
    pub charts: Repository,
    /// Repository of the config bundle.
    pub config: Repository,
    /// Repository of release and channel manifests.
    pub release: Repository,
    /// Repository of the control-plane image.
    pub control_plane: Repository,
}

/// How a `HelmRelease` is pinned to its chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChartPin {
    /// By digest, through an `OCIRepository`.
    Digest,
    /// By exact version, through a `HelmRepository`.
    Version,
}

/// The version that charts are published under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChartVersions {
    /// The version in `Chart.yaml`.
    AsWritten,
    /// The version in `Chart.yaml`, followed by `+` and the id of the chart's content.
    Stamped,
}

/// How the `ConfigMap`s of values are named. Under `chartPin: digest`, the sources of charts are named in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValuesNames {
    /// The same name for every release.
    Plain,
    /// A name with a hash of the content.
    Hashed,
}

/// Additional keys of the release manifest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ManifestAdditions {
    /// The vendor's own keys and their values.
    pub extra: BTreeMap<String, Value>,
}

/// Names in the appliance's cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Appliance {
    /// Namespace of the values and of the selection record.
    pub namespace: String,
    /// Namespace of Flux's sources.
    pub flux_namespace: String,
    /// Name of the `OCIRepository` and `Kustomization` that the appliance makes for the bundle.
    pub source_name: String,
    /// Name of the `HelmRepository` with `chartPin: version`.
    pub helm_repository: String,
    /// Prefix of the names of values `ConfigMap`s, to which the name of the HelmRelease is appended.
    pub values_prefix: String,
    /// Name of the `ConfigMap` that records the selected release.
    pub selection_name: String,
    /// Values that the appliance sets.
    pub values: Vec<Injection>,
}

/// A value that the appliance sets in the values of a HelmRelease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Injection {
    /// Name of the `HelmRelease`.
    pub release: String,
    /// Path in the release's values, with keys joined by `.`.
    pub path: String,
    /// Source of the value: `image:<key>`, `app-url`, `host`, `domain-suffix`, `literal:<text>`, or a literal. A literal that is a
    /// JSON number, boolean or string has that type, and any other literal is a string.
    pub from: String,
    /// How the value of an image is written in a signed release. Absent for the tag with the digest of the image.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub form: Option<ImageForm>,
}

/// A form of the value that an image of a signed release has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageForm {
    /// The tag alone, for places that do not refer to an image, such as a label or an environment variable.
    Tag,
}

fn injection(release: &str, path: &str, from: &str) -> Injection {
    Injection { release: release.to_owned(), path: path.to_owned(), from: from.to_owned(), form: None }
}

fn name<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("the default names are valid")
}

impl Default for Repositories {
    fn default() -> Self {
        Self {
            charts: name("charts"),
            config: name("alga-appliance-config"),
            release: name("alga-appliance-release"),
            control_plane: name("alga-appliance-control-plane"),
        }
    }
}

impl Default for Appliance {
    fn default() -> Self {
        Self {
            namespace: "alga-system".to_owned(),
            flux_namespace: "flux-system".to_owned(),
            source_name: "alga-appliance".to_owned(),
            helm_repository: "alga-charts".to_owned(),
            values_prefix: "appliance-values-".to_owned(),
            selection_name: "appliance-release-selection".to_owned(),
            values: vec![
                injection("alga-core", "appUrl", "app-url"),
                injection("alga-core", "host", "host"),
                injection("alga-core", "domainSuffix", "domain-suffix"),
                injection("alga-core", "setup.image.tag", "image:algaCore"),
                injection("alga-core", "server.image.tag", "image:algaCore"),
                injection("workflow-worker", "image.tag", "image:workflowWorker"),
                injection("email-service", "image.tag", "image:emailService"),
                injection("temporal-worker", "image.tag", "image:temporalWorker"),
            ],
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let images = [
            ("algaCore", "alga-psa-ee"),
            ("workflowWorker", "workflow-worker"),
            ("emailService", "email-service"),
            ("temporalWorker", "temporal-worker"),
        ];
        Self {
            product: "alga-appliance".to_owned(),
            prefix: "ghcr.io/nine-minds".to_owned(),
            repositories: Repositories::default(),
            channels: vec![name("nightly"), name("stable")],
            overlay: "ee/appliance/flux".to_owned(),
            profile: "single-node".to_owned(),
            images: images.map(|(key, repository)| (key.to_owned(), repository.to_owned())).into(),
            release_file: "ee/appliance/releases/<version>/release.json".to_owned(),
            release_images: "app.images".to_owned(),
            extra_images: Vec::new(),
            charts: BTreeMap::new(),
            chart_pin: ChartPin::Digest,
            chart_versions: ChartVersions::AsWritten,
            values_names: ValuesNames::Plain,
            public_read: true,
            auth_realms: Vec::new(),
            source: None,
            manifest: ManifestAdditions::default(),
            appliance: Appliance::default(),
            signing: SigningSettings::default(),
            lint: None,
            given: BTreeMap::new(),
        }
    }
}

/// A configuration file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}{}: {reason}", line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct Error {
    file: String,
    line: Option<usize>,
    reason: String,
    nearest: Option<String>,
}

impl Error {
    /// Returns the known key that is most similar to the unknown key of the error.
    pub fn nearest(&self) -> Option<&str> {
        self.nearest.as_deref()
    }
}

impl Config {
    /// Parses the text of a configuration file, which errors call `file`. An empty file gives the defaults.
    ///
    /// # Errors
    /// When the YAML is invalid, a key is unknown, a value has the wrong type, or a name is invalid.
    pub fn parse(text: &str, file: &str) -> Result<Self, Error> {
        let error =
            |line, reason: String| Error { file: file.to_owned(), line, nearest: nearest_known(&reason), reason };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut config: Self =
            yaml::from_str(text).map_err(|cause| error(cause.line, cause.reason.replace('\n', " ")))?;
        config.check().map_err(|reason| error(line_of(text, &reason), reason))?;
        let by = GivenBy { name: file.to_owned(), explicit: false };
        config.given.extend(keys_of(text).into_iter().map(|key| (key, by.clone())));
        Ok(config)
    }

    /// Marks the values of the file as given by the user, with `--config`.
    #[must_use]
    pub fn named_by_the_caller(mut self) -> Self {
        self.given.values_mut().for_each(|by| by.explicit = true);
        self
    }

    /// Reports whether the user gave the value at a path, with a flag or with `--config`.
    pub(crate) fn names_explicitly(&self, path: &str) -> bool {
        self.given.get(path).is_some_and(|by| by.explicit)
    }

    fn check(&self) -> Result<(), String> {
        Prefix::parse(&self.prefix, false).map_err(|invalid| format!("prefix: {invalid}"))?;
        if self.product.is_empty() || self.product.len() > 255 || self.product.chars().any(char::is_control) {
            return Err("product: expected a name of 1 to 255 characters without control characters".to_owned());
        }
        if self.channels.is_empty() {
            return Err("channels: expected at least one channel".to_owned());
        }
        if let Some(long) = self.channels.iter().find(|channel| channel.as_str().len() > CHANNEL_LIMIT) {
            return Err(format!("channels: `{long}` is longer than {CHANNEL_LIMIT} characters, which is the limit"));
        }
        if let Some(reserved) = self.channels.iter().find(|channel| channel.as_str().starts_with(TRUST_TAGS)) {
            return Err(format!(
                "channels: `{reserved}` is not possible: names that begin with `{TRUST_TAGS}` are for trust documents"
            ));
        }
        for image in &self.extra_images {
            let pinned = image.parse::<Reference>().is_ok_and(|reference| reference.digest.is_some());
            if !pinned {
                return Err(format!(
                    "extraImages: invalid image `{image}`: expected a reference with a digest, HOST/PATH@sha256:…"
                ));
            }
        }
        for (key, path) in [("overlay", &self.overlay), ("releaseFile", &self.release_file)] {
            let outside = path.starts_with('/') || path.split('/').any(|part| part == "..");
            if outside || path.is_empty() {
                return Err(format!("{key}: invalid path `{path}`: expected a path inside of the source tree"));
            }
        }
        for (key, repository) in &self.images {
            repository.parse::<AnyRepository>().map_err(|invalid| format!("images.{key}: {invalid}"))?;
        }
        if self.profile.is_empty() || self.profile.contains('/') || self.profile.starts_with('.') {
            return Err(format!(
                "profile: invalid name `{}`: expected the name of a directory in `profiles/`",
                self.profile
            ));
        }
        self.signing.check()?;
        let form = self.appliance.values.iter().find(|one| one.form.is_some() && !one.from.starts_with("image:"));
        if let Some(Injection { path, from, .. }) = form {
            return Err(format!(
                "appliance.values: `as` of `{path}`: expected a value from `image:<key>`, found `{from}`"
            ));
        }
        let reserved = self.manifest.extra.keys().find(|key| RELEASE_KEYS.contains(&key.as_str()));
        reserved.map_or(Ok(()), |key| Err(format!("manifest.extra.{key}: the publisher writes this key itself")))
    }

    /// Returns the path of the file with the image tags of a version.
    pub(crate) fn release_file_of(&self, version: &Tag) -> String {
        self.release_file.replace("<version>", version.as_str())
    }
}

/// Returns the line of the key that a reason begins with: `KEY: …` or `KEY.KEY: …`.
fn line_of(text: &str, reason: &str) -> Option<usize> {
    let (path, _) = reason.split_once(':')?;
    let key = path.split('.').next()?;
    let is_it = |line: &str| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':'));
    text.lines().position(is_it).map(|at| at + 1)
}

/// Returns the known key that is most similar to the unknown one, from a message of the parser such as "unknown field `x`,
/// expected one of a, b at line 1".
fn nearest_known(message: &str) -> Option<String> {
    let starts = ["unknown ", "invalid value "].map(|start| message.strip_prefix(start));
    let unknown = starts.into_iter().flatten().next().or(message.split_once(": unknown ").map(|(_, rest)| rest))?;
    let unknown = unknown.split('`').nth(1)?;
    let (_, expected) = message.split_once("expected ")?;
    let words = expected.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|word| !word.is_empty());
    nearest(unknown, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_gives_the_defaults() {
        for text in ["", "# nothing\n", "---\n\n"] {
            assert_eq!(Config::parse(text, FILE_NAME).unwrap(), Config::default(), "{text:?}");
        }
    }

    #[test]
    fn a_key_changes_only_its_own_value() {
        let config = Config::parse("repositories:\n  charts: helm\n", FILE_NAME).unwrap();
        assert_eq!(config.repositories.charts.as_str(), "helm");
        assert_eq!(config.repositories.config, Repositories::default().config);
    }

    #[test]
    fn the_keys_that_a_file_sets_are_recorded() {
        let config = Config::parse("prefix: r.io/x\nappliance: {sourceName: a}\n", "x.yaml").unwrap();
        let config = config.named_by_the_caller();
        assert_eq!(config.given["prefix"], GivenBy { name: "x.yaml".to_owned(), explicit: true });
        for (path, set) in
            [("prefix", true), ("appliance.sourceName", true), ("product", false), ("appliance.values", false)]
        {
            assert_eq!(config.names_explicitly(path), set, "{path}");
        }
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line_and_the_most_similar_key() {
        let error = Config::parse("prefix: localhost:5000\nprofil: x\n", FILE_NAME).unwrap_err();
        assert!(error.to_string().starts_with("alga-release.yaml:2"), "{error}");
        assert_eq!(error.nearest(), Some("profile"), "{error}");
    }

    #[test]
    fn duplicate_keys_and_invalid_names_are_errors() {
        for text in [
            "profile: a\nprofile: b\n",
            "prefix: Not/Valid\n",
            "channels: []\n",
            "channels: [trust-1]\n",
            "overlay: ../x\n",
            "images: {a: 'B'}\n",
            "manifest: {extra: {version: 1}}\n",
            "profile: [\n",
            "signing: {trust: /trust.json}\n",
            "signing: {trust: ../trust.json}\n",
            "signing: {secretName: Keys}\n",
            "signing: {secretName: ''}\n",
            "signing: {flux: maybe}\n",
            "appliance: {values: [{release: a, path: b, from: host, as: tag}]}\n",
            "appliance: {values: [{release: a, path: b, from: 'image:a', as: digest}]}\n",
            "chartPin: tag\n",
            "- a\n",
        ] {
            assert!(Config::parse(text, FILE_NAME).is_err(), "{text}");
        }
    }
}
