//! The release's description of itself. With it, a release can be verified, promoted, copied, resolved and rendered
//! without a configuration file.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::manifest::{InvalidRelease, Release, wrong};
use crate::oci::{Prefix, Repository};
use crate::text::shown;

/// Keys of a release's JSON that describe the release.
pub(super) const KEYS: [&str; 4] = ["product", "prefix", "chartRepository", "appliance"];

/// A release's description of itself. The order of the fields is the order of the written bytes. Unknown keys are kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// Name of the product; absent in a description that another program wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// `HOST[/PATH]` of the release's own repositories.
    pub prefix: String,
    /// Repository below which each chart has its own repository, relative to the prefix.
    pub chart_repository: Repository,
    /// Installation of the release on an appliance.
    pub appliance: Installation,
}

/// The installation of a release on an appliance: the names of objects in the cluster, and the values of each
/// HelmRelease.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Installation {
    /// Namespace of the root objects.
    pub flux_namespace: String,
    /// Name of the root objects: the `OCIRepository` and the `Kustomization` of the bundle.
    pub source_name: String,
    /// Namespace and name of the `ConfigMap` that records the selected release.
    pub selection: ObjectName,
    /// Keys of `images` that a complete release must have.
    pub required_images: Vec<String>,
    /// The values that the release provides, one entry for each HelmRelease that reads them.
    pub values: Vec<ValuesReader>,
    /// Whether values from images are the tag with the digest, as in signed releases.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// The keys by which Flux verifies the bundle and the charts of the release; absent where Flux verifies nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<SourceVerification>,
    /// Unknown keys, which later publishers may write.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

/// The Secret with the keys by which Flux verifies the sources of a release. The keys come from the trust document of the
/// appliance, never from the release.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceVerification {
    /// Name of the Secret, in each namespace that has a source.
    pub secret_name: String,
    /// Namespaces of the chart sources. The source of the bundle is in `fluxNamespace`.
    pub namespaces: Vec<String>,
}

/// Namespace and name of an object in the cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ObjectName {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Unknown keys, which later publishers may write.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

/// A HelmRelease, and the `ConfigMap` that it reads values of the release from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ValuesReader {
    /// Name of the HelmRelease.
    pub release: String,
    /// Namespace of the HelmRelease, and so of the `ConfigMap`.
    pub namespace: String,
    /// Name of the `ConfigMap`.
    pub config_map: String,
    /// Key in the `ConfigMap` under which the values are stored.
    pub key: String,
    /// Key in the release's `profileValues` under which the text is stored.
    pub file: String,
    /// Values that the appliance writes into the text.
    pub set: Vec<SetValue>,
    /// Unknown keys, which later publishers may write.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

/// One value that the appliance writes into the text of values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetValue {
    /// Keys from the root of the values, joined by `.`. A dot inside a key is written `\.`.
    pub path: String,
    /// Source of the value, in the form that [`ValueSource`] has.
    pub from: String,
    /// [`AS_TAG`] for the tag of an image without its digest, where the other values of images are pinned.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
    /// Unknown keys, which later publishers may write.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

/// Form of a value that is the tag of an image without its digest.
pub(crate) const AS_TAG: &str = "tag";

/// The source of a value that the appliance writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueSource<'a> {
    /// Tag of the image with this key: `image:<key>`.
    Image(&'a str),
    /// URL of the appliance: `app-url`.
    AppUrl,
    /// Host name of the appliance: `host`.
    Host,
    /// Suffix of the names below the host: `domain-suffix`.
    DomainSuffix,
    /// Fixed text, read as JSON if it is valid JSON: `literal:<text>`.
    Literal(&'a str),
}

impl<'a> ValueSource<'a> {
    /// Reads the form that a release uses. Returns `None` for any other text.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        match text.split_once(':') {
            Some(("image", key)) => Some(Self::Image(key)),
            Some(("literal", literal)) => Some(Self::Literal(literal)),
            _ => Self::of_host(text),
        }
    }

    /// Reads the form that a configuration uses, where any other text is a literal.
    pub(crate) fn configured(text: &'a str) -> Self {
        Self::parse(text).unwrap_or(Self::Literal(text))
    }

    fn of_host(text: &str) -> Option<Self> {
        match text {
            "app-url" => Some(Self::AppUrl),
            "host" => Some(Self::Host),
            "domain-suffix" => Some(Self::DomainSuffix),
            _ => None,
        }
    }
}

impl std::fmt::Display for ValueSource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Image(key) => write!(f, "image:{key}"),
            Self::AppUrl => f.write_str("app-url"),
            Self::Host => f.write_str("host"),
            Self::DomainSuffix => f.write_str("domain-suffix"),
            Self::Literal(text) => write!(f, "literal:{text}"),
        }
    }
}

/// The entries of an object that have not been read yet.
struct Entries(Map<String, Value>);

impl Entries {
    fn of(value: Value) -> Option<Self> {
        match value {
            Value::Object(map) => Some(Self(map)),
            _ => None,
        }
    }

    fn text(&mut self, key: &str) -> Option<String> {
        match self.0.remove(key)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Reads a boolean that is false when it is absent. Returns `None` for any other value.
    fn flag(&mut self, key: &str) -> Option<bool> {
        match self.0.remove(key) {
            None => Some(false),
            Some(value) => value.as_bool(),
        }
    }

    /// Reads a list. Returns `None` when one of its items has another form.
    fn list<T>(&mut self, key: &str, read: fn(Value) -> Option<T>) -> Option<Vec<T>> {
        match self.0.remove(key)? {
            Value::Array(items) => items.into_iter().map(read).collect(),
            _ => None,
        }
    }

    /// Returns the unknown keys, which later publishers may write.
    fn rest(self) -> BTreeMap<String, Value> {
        let mut rest = BTreeMap::new();
        rest.extend(self.0);
        rest
    }
}

// The code is written by hand: what serde derives for nested objects with unknown keys would be 3 % of the resolver.
impl Installation {
    fn read(value: Value) -> Option<Self> {
        let mut entries = Entries::of(value)?;
        Some(Self {
            flux_namespace: entries.text("fluxNamespace")?,
            source_name: entries.text("sourceName")?,
            selection: ObjectName::read(entries.0.remove("selection")?)?,
            required_images: entries.list("requiredImages", |key| key.as_str().map(ToOwned::to_owned))?,
            values: entries.list("values", ValuesReader::read)?,
            pinned: entries.flag("pinned")?,
            verify: match entries.0.remove("verify") {
                None => None,
                Some(verify) => Some(SourceVerification::read(verify)?),
            },
            extra: entries.rest(),
        })
    }
}

impl SourceVerification {
    fn read(value: Value) -> Option<Self> {
        let mut entries = Entries::of(value)?;
        let namespaces = entries.list("namespaces", |name| name.as_str().map(ToOwned::to_owned))?;
        Some(Self { secret_name: entries.text("secretName")?, namespaces })
    }
}

impl ObjectName {
    fn read(value: Value) -> Option<Self> {
        let mut entries = Entries::of(value)?;
        Some(Self { namespace: entries.text("namespace")?, name: entries.text("name")?, extra: entries.rest() })
    }
}

impl SetValue {
    fn read(value: Value) -> Option<Self> {
        let mut entries = Entries::of(value)?;
        let form = match entries.0.remove("as") {
            None => None,
            Some(form) => Some(form.as_str()?.to_owned()),
        };
        Some(Self { path: entries.text("path")?, from: entries.text("from")?, form, extra: entries.rest() })
    }
}

impl ValuesReader {
    fn read(value: Value) -> Option<Self> {
        let mut entries = Entries::of(value)?;
        Some(Self {
            release: entries.text("release")?,
            namespace: entries.text("namespace")?,
            config_map: entries.text("configMap")?,
            key: entries.text("key")?,
            file: entries.text("file")?,
            set: if entries.0.contains_key("set") { entries.list("set", SetValue::read)? } else { Vec::new() },
            extra: entries.rest(),
        })
    }

    /// Returns the name of the text in the configuration and in `valuesConfigMaps`: the file name without profile and
    /// extension.
    pub(crate) fn values_of(&self, profile: &str) -> Option<&str> {
        self.file.strip_suffix(&format!(".{profile}.yaml"))
    }
}

impl Description {
    /// Takes the description out of a release's unknown keys. If a key is missing or has another form, a vendor uses
    /// these keys for its own purposes, and all of them stay where they are.
    pub(super) fn take(extra: &mut BTreeMap<String, Value>) -> Option<Self> {
        let description = Self {
            product: match extra.get("product") {
                None | Some(Value::Null) => None,
                Some(product) => Some(product.as_str()?.to_owned()),
            },
            prefix: extra.get("prefix")?.as_str()?.to_owned(),
            chart_repository: extra.get("chartRepository")?.as_str()?.parse().ok()?,
            appliance: Installation::read(extra.get("appliance")?.clone())?,
        };
        for key in KEYS {
            extra.remove(key);
        }
        Some(description)
    }

    /// Refuses a description that contradicts the rest of its release or that has an unknown source of a value.
    pub(super) fn check(&self, release: &Release) -> Result<(), InvalidRelease> {
        let bundle = &release.config.repository;
        let prefix = Prefix::parse(&self.prefix, false).map_err(|cause| wrong("prefix", cause.to_string()))?;
        if prefix.to_string() != self.prefix {
            let reason = format!("invalid prefix `{}`: expected HOST[/PATH]", shown(&self.prefix));
            return Err(wrong("prefix", reason));
        }
        if prefix.strip(bundle).is_none() {
            let reason = format!("`{}` is not below the prefix `{prefix}`", shown(bundle));
            return Err(wrong("config.repository", reason));
        }
        let mut readers = self.appliance.values.iter().enumerate();
        readers.try_for_each(|(at, reader)| reader.check(&format!("appliance.values[{at}]"), release))
    }
}

impl ValuesReader {
    fn check(&self, path: &str, release: &Release) -> Result<(), InvalidRelease> {
        let older = self.values_of(&release.values_profile).and_then(|name| release.values_config_maps.get(name));
        if let Some(older) = older.filter(|older| **older != self.config_map) {
            let reason = format!("`{}` differs from `{}` in `valuesConfigMaps`", shown(&self.config_map), shown(older));
            return Err(wrong(&format!("{path}.configMap"), reason));
        }
        for (at, set) in self.set.iter().enumerate() {
            if ValueSource::parse(&set.from).is_none() {
                let found = shown(&set.from);
                let reason = format!(
                    "expected `image:<key>`, `app-url`, `host`, `domain-suffix` or `literal:<text>`, found `{found}`"
                );
                return Err(wrong(&format!("{path}.set[{at}].from"), reason));
            }
            if let Some(form) = set.form.as_deref().filter(|form| *form != AS_TAG) {
                let reason = format!("expected `{AS_TAG}`, found `{}`", shown(form));
                return Err(wrong(&format!("{path}.set[{at}].as"), reason));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "description_tests.rs"]
mod tests;
