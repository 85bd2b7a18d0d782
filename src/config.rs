//! What differs from vendor to vendor, with the defaults of this one. Nothing of it stands anywhere else; both programs read
//! it. Parsing is pure: whoever has the file's text hands it in.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::oci::{AnyRepository, Prefix, Reference, Repository, Tag};
use crate::yaml;

/// Name of the file at the root of a source tree.
pub const FILE_NAME: &str = "alga-release.yaml";

/// Longest name of a channel: its keep-alive tags have to be tags, too.
const CHANNEL_LIMIT: usize = 64;

/// The effective configuration. Every key of the file is optional.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Name of the product. Its trust documents and channel statements carry it.
    pub product: String,
    /// Registry and path under which the appliance reads what is published.
    pub prefix: String,
    /// Names of the repositories below the prefix.
    pub repositories: Repositories,
    /// The channels, the riskiest first.
    pub channels: Vec<Tag>,
    /// Directory of the Flux overlay below the root of the source tree.
    pub overlay: String,
    /// Directory below the overlay's `profiles/` whose values the release carries.
    pub profile: String,
    /// Application images: key in the release manifest → repository, below the prefix or `HOST/PATH`.
    pub images: BTreeMap<String, String>,
    /// File with a release's image tags; `<version>` is replaced.
    pub release_file: String,
    /// Where in that file the map key → tag stands, keys joined by `.`; empty for the whole file.
    pub release_images: String,
    /// Images beyond `images` that charts and overlay use, as references pinned by digest.
    pub extra_images: Vec<String>,
    /// Charts that are named without a path, where the search finds none or several: name → directory.
    pub charts: BTreeMap<String, String>,
    /// How a `HelmRelease` is pinned to its chart.
    pub chart_pin: ChartPin,
    /// Under which version charts are published.
    pub chart_versions: ChartVersions,
    /// How values `ConfigMap`s are named.
    pub values_names: ValuesNames,
    /// Must the public be able to read what is published before a channel moves?
    pub public_read: bool,
    /// Hosts of token servers that credentials go to over HTTPS, beside those that belong to the registry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub auth_realms: Vec<String>,
    /// URL of the source, for the bundle's annotation; git's remote when absent.
    pub source: Option<String>,
    /// Additions to the release manifest.
    pub manifest: ManifestAdditions,
    /// What the appliance's cluster looks like.
    pub appliance: Appliance,
    /// What `lint` reads: severities of rules, and objects that exist without the overlay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lint: Option<Value>,
    /// Who set which value: the paths of keys, joined by `.`, two levels deep. A value without an entry is a compiled default, which
    /// never disagrees with what a release says of itself.
    #[serde(skip)]
    pub given: BTreeMap<String, GivenBy>,
}

/// Who set a value of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenBy {
    /// The flag, or the name of the file.
    pub name: String,
    /// Whether the caller named it, by the flag or by `--config`; else the program found the file in the directory.
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

/// Lists the keys that the text of a configuration file sets.
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

/// Names of the repositories below the prefix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Repositories {
    /// Charts lie below it, one repository each.
    pub charts: Repository,
    /// The config bundle.
    pub config: Repository,
    /// The release manifest.
    pub release: Repository,
    /// The control-plane image.
    pub control_plane: Repository,
}

/// How a `HelmRelease` is pinned to its chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChartPin {
    /// By an `OCIRepository` with the digest.
    Digest,
    /// By a `HelmRepository` and the exact version.
    Version,
}

/// Under which version charts are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChartVersions {
    /// The one in `Chart.yaml`.
    AsWritten,
    /// That one and `+` and the content's id.
    Stamped,
}

/// How values `ConfigMap`s are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValuesNames {
    /// The same name for every release.
    Plain,
    /// A name for each content.
    Hashed,
}

/// Additions to the release manifest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ManifestAdditions {
    /// Keys of the vendor's own.
    pub extra: BTreeMap<String, Value>,
}

/// What the appliance's cluster looks like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Appliance {
    /// Namespace of values and selection record.
    pub namespace: String,
    /// Namespace of Flux's sources.
    pub flux_namespace: String,
    /// Name of the `OCIRepository` and `Kustomization` that the appliance makes for the bundle.
    pub source_name: String,
    /// Name of the `HelmRepository` under `chartPin: version`.
    pub helm_repository: String,
    /// A release's values `ConfigMap` is this and the release's name.
    pub values_prefix: String,
    /// Name of the `ConfigMap` that says which release was selected.
    pub selection_name: String,
    /// What is injected into the values.
    pub values: Vec<Injection>,
}

/// One value that the appliance injects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Injection {
    /// Name of the `HelmRelease`.
    pub release: String,
    /// Path in its values, keys joined by `.`.
    pub path: String,
    /// `image:<key>`, `app-url`, `host`, `domain-suffix`, `literal:<text>`, or the text of a literal alone: a JSON number, boolean
    /// or string is that, anything else is text.
    pub from: String,
}

fn injection(release: &str, path: &str, from: &str) -> Injection {
    Injection { release: release.to_owned(), path: path.to_owned(), from: from.to_owned() }
}

fn name<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("a name of the defaults is valid")
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
    /// The known key that is nearest to an unknown one.
    pub fn nearest(&self) -> Option<&str> {
        self.nearest.as_deref()
    }
}

impl Config {
    /// Reads the text of a configuration file; `file` names it in errors. An empty file is all defaults.
    ///
    /// # Errors
    /// Broken YAML, unknown keys (with the nearest known one), values of another type, names that are not valid.
    pub fn parse(text: &str, file: &str) -> Result<Self, Error> {
        let error =
            |line, reason: String| Error { file: file.to_owned(), line, nearest: nearest_known(&reason), reason };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut config: Self =
            yaml::from_str(text).map_err(|cause| error(cause.line, cause.reason.replace('\n', " ")))?;
        config.check().map_err(|reason| error(None, reason))?;
        let by = GivenBy { name: file.to_owned(), explicit: false };
        config.given.extend(keys_of(text).into_iter().map(|key| (key, by.clone())));
        Ok(config)
    }

    /// Marks every value that the file sets as one that the caller named, by `--config`.
    #[must_use]
    pub fn named_by_the_caller(mut self) -> Self {
        self.given.values_mut().for_each(|by| by.explicit = true);
        self
    }

    /// Whether the caller named the value at a path, by a flag or by `--config`.
    pub(crate) fn names_explicitly(&self, path: &str) -> bool {
        self.given.get(path).is_some_and(|by| by.explicit)
    }

    fn check(&self) -> Result<(), String> {
        Prefix::parse(&self.prefix, false).map_err(|invalid| format!("prefix: {invalid}"))?;
        if self.product.is_empty() || self.product.len() > 255 || self.product.chars().any(char::is_control) {
            return Err("product: expected a name of 1 to 255 characters, without control characters".to_owned());
        }
        if self.channels.is_empty() {
            return Err("channels: want at least one".to_owned());
        }
        if let Some(long) = self.channels.iter().find(|channel| channel.as_str().len() > CHANNEL_LIMIT) {
            return Err(format!("channels: `{long}` is longer than {CHANNEL_LIMIT} characters"));
        }
        for image in &self.extra_images {
            let pinned = image.parse::<Reference>().is_ok_and(|reference| reference.digest.is_some());
            if !pinned {
                return Err(format!("extraImages: `{image}`: want HOST/PATH@sha256:…, so that it cannot change"));
            }
        }
        for path in [&self.overlay, &self.release_file] {
            let outside = path.starts_with('/') || path.split('/').any(|part| part == "..");
            if outside || path.is_empty() {
                return Err(format!("`{path}`: want a path below the root of the source tree"));
            }
        }
        for (key, repository) in &self.images {
            repository.parse::<AnyRepository>().map_err(|invalid| format!("images.{key}: {invalid}"))?;
        }
        if self.profile.is_empty() || self.profile.contains('/') || self.profile.starts_with('.') {
            return Err(format!("profile: `{}` is no name of a directory below `profiles/`", self.profile));
        }
        let reserved = self.manifest.extra.keys().find(|key| RELEASE_KEYS.contains(&key.as_str()));
        reserved.map_or(Ok(()), |key| Err(format!("manifest.extra.{key}: the publisher writes this key itself")))
    }

    /// `path` with `<version>` replaced.
    pub(crate) fn release_file_of(&self, version: &Tag) -> String {
        self.release_file.replace("<version>", version.as_str())
    }
}

/// The reader says "unknown field `x`, expected one of a, b at line 1": the expected one that is nearest to it.
fn nearest_known(message: &str) -> Option<String> {
    let unknown = message.strip_prefix("unknown ").or(message.split_once(": unknown ").map(|(_, rest)| rest))?;
    let unknown = unknown.split('`').nth(1)?;
    let (_, expected) = message.split_once("expected ")?;
    let words = expected.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|word| !word.is_empty());
    nearest(unknown, words)
}

/// The candidate with the fewest edits, when it is near enough to be a slip.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    let near = candidates.map(|candidate| (distance(word, candidate), candidate));
    near.min().filter(|(edits, _)| *edits <= 1 + word.len() / 3).map(|(_, candidate)| candidate.to_owned())
}

/// Levenshtein distance, upper and lower case alike.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.to_lowercase().chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = corner + usize::from(from != *to);
            corner = row[j + 1];
            row[j + 1] = replaced.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_all_defaults() {
        for text in ["", "# nothing\n", "---\n\n"] {
            assert_eq!(Config::parse(text, FILE_NAME).unwrap(), Config::default(), "{text:?}");
        }
    }

    #[test]
    fn one_key_changes_that_key_alone() {
        let config = Config::parse("repositories:\n  charts: helm\n", FILE_NAME).unwrap();
        assert_eq!(config.repositories.charts.as_str(), "helm");
        assert_eq!(config.repositories.config, Repositories::default().config);
    }

    #[test]
    fn a_file_says_which_keys_it_sets() {
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
    fn an_unknown_key_is_an_error_with_the_line_and_the_nearest_known_one() {
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
            "overlay: ../x\n",
            "images: {a: 'B'}\n",
            "manifest: {extra: {version: 1}}\n",
            "profile: [\n",
            "chartPin: tag\n",
            "- a\n",
        ] {
            assert!(Config::parse(text, FILE_NAME).is_err(), "{text}");
        }
    }
}
