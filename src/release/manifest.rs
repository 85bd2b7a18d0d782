//! The release manifest, which is the JSON that names everything in one release.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::description::Description;
use crate::config::{Config, TRUST_TAGS};
use crate::oci::{Digest, Pinned, each_key_once};

/// The only schema that exists.
pub(crate) const SCHEMA: &str = "alga.appliance.release/v1";

/// A release manifest. The order of the fields is the order of the written bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Name of the schema, always [`SCHEMA`].
    pub schema: String,
    /// Version of the release, which is also its tag.
    pub version: String,
    /// Channel that the release was published to first.
    pub channel: String,
    /// Profile that `profile_values` belong to.
    pub values_profile: String,
    /// Tag of each application image, by its key.
    pub images: BTreeMap<String, String>,
    /// Control-plane image as `HOST/PATH@sha256:…`. Older publishers wrote a bare tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<String>,
    /// Place and digest of the config bundle.
    pub config: ConfigReference,
    /// Version of every chart that the overlay uses, by its name.
    pub charts: BTreeMap<String, String>,
    /// Digest of each chart that was published with the release, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub chart_digests: BTreeMap<String, Digest>,
    /// Reference by digest of each application image that was checked, by its key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub image_digests: BTreeMap<String, Pinned>,
    /// Values of the profile: text by file name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub profile_values: BTreeMap<String, String>,
    /// Hashed `ConfigMap` names by the name of the values; empty when names are plain.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values_config_maps: BTreeMap<String, String>,
    /// Extra images that an air gap must carry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_images: Vec<String>,
    /// The release's description of itself; absent in releases of older publishers.
    #[serde(flatten, skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// Release that this one was copied from to another prefix: `HOST/PATH@sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied_from: Option<String>,
    /// Keys of the vendor, and unknown keys of later publishers.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

/// The place and the digest of the config bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigReference {
    /// Repository of the bundle as `HOST/PATH`.
    pub repository: String,
    /// Version of the release.
    pub version: String,
    /// Tag of the bundle; absent in releases of older publishers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Digest of the bundle's manifest.
    pub digest: Digest,
}

/// An invalid release: the path of the first problem, and the reason.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct InvalidRelease {
    path: String,
    reason: String,
}

impl InvalidRelease {
    /// Reports whether the JSON has a schema that this program does not know.
    pub(crate) fn is_schema(&self) -> bool {
        self.path == "schema"
    }
}

impl Release {
    /// Reads and validates the JSON of a release.
    ///
    /// # Errors
    /// Returns the path of the first problem, for example `images.algaCore: missing`.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidRelease> {
        let value: Value =
            serde_json::from_slice(json).map_err(|cause| wrong("release", format!("invalid JSON: {cause}")))?;
        each_key_once(json).map_err(|cause| wrong("release", cause.to_string()))?;
        let object = Object { path: String::new(), value: &value };
        if object.text("schema")? != SCHEMA {
            return Err(wrong(
                "schema",
                format!("expected `{SCHEMA}`, found `{}`", object.text("schema")?.escape_debug()),
            ));
        }
        for key in ["version", "channel", "valuesProfile"] {
            object.text(key)?;
        }
        for key in ["version", "channel"] {
            let found = object.text(key)?;
            if found.starts_with(TRUST_TAGS) {
                let reason = format!(
                    "names that begin with `{TRUST_TAGS}` are for trust documents, found `{}`",
                    found.escape_debug()
                );
                return Err(wrong(key, reason));
            }
        }
        for key in ["images", "charts"] {
            object.object(key)?.all_text()?;
        }
        let config = object.object("config")?;
        config.text("repository")?;
        config.text("version")?;
        config.text("digest")?.parse::<Digest>().map_err(|cause| wrong("config.digest", cause.to_string()))?;
        for key in ["chartDigests", "imageDigests", "profileValues", "valuesConfigMaps"] {
            if value.get(key).is_some_and(|value| !value.is_null()) {
                object.object(key)?.all_text()?;
            }
        }
        let mut release: Self = serde_json::from_value(value).map_err(|cause| wrong("release", cause.to_string()))?;
        release.description = Description::take(&mut release.extra);
        if let Some(description) = &release.description {
            description.check(&release)?;
        }
        Ok(release)
    }

    /// Refuses a release that lacks a required image. The release itself lists the required images. The images in the
    /// configuration are required too, if the caller gave them or if the release does not describe itself.
    ///
    /// # Errors
    /// Returns the error `images.<key>: missing`.
    pub fn require_images(&self, config: &Config) -> Result<(), InvalidRelease> {
        let own = self.description.iter().flat_map(|description| &description.appliance.required_images);
        let configured = self.description.is_none() || config.names_explicitly("images");
        let mut required = own.chain(config.images.keys().filter(|_| configured));
        let missing = required.find(|key| !self.images.contains_key(*key));
        missing.map_or(Ok(()), |key| Err(wrong(&format!("images.{key}"), "missing".to_owned())))
    }

    /// Returns the bytes that are published: JSON with an indentation of two spaces and a final newline.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("a release has only text keys");
        json.push(b'\n');
        json
    }
}

pub(super) fn wrong(path: &str, reason: String) -> InvalidRelease {
    InvalidRelease { path: path.to_owned(), reason }
}

/// An object in the JSON, and its path.
struct Object<'a> {
    path: String,
    value: &'a Value,
}

impl<'a> Object<'a> {
    fn at(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.escape_debug().to_string()
        } else {
            format!("{}.{}", self.path, key.escape_debug())
        }
    }

    fn get(&self, key: &str) -> Result<&'a Value, InvalidRelease> {
        self.value.get(key).ok_or_else(|| wrong(&self.at(key), "missing".to_owned()))
    }

    fn text(&self, key: &str) -> Result<&'a str, InvalidRelease> {
        let text = self.get(key)?.as_str().ok_or_else(|| wrong(&self.at(key), "expected a string".to_owned()))?;
        if text.is_empty() { Err(wrong(&self.at(key), "empty".to_owned())) } else { Ok(text) }
    }

    fn object(&self, key: &str) -> Result<Object<'a>, InvalidRelease> {
        let value = self.get(key)?;
        let path = self.at(key);
        if value.is_object() { Ok(Object { path, value }) } else { Err(wrong(&path, "expected an object".to_owned())) }
    }

    fn all_text(&self) -> Result<(), InvalidRelease> {
        let entries = self.value.as_object().into_iter().flatten();
        let other = entries.filter(|(_, value)| !value.is_string()).map(|(key, _)| self.at(key)).next();
        other.map_or(Ok(()), |path| Err(wrong(&path, "expected a string".to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"{"schema":"alga.appliance.release/v1","version":"1.0.3","channel":"stable",
        "valuesProfile":"single-node","images":{"algaCore":"62cdce38"},"controlPlane":"62cdce38",
        "config":{"repository":"ghcr.io/nine-minds/alga-appliance-config","version":"1.0.3",
        "digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        "charts":{"sebastian":"0.0.1"},"later":{"unknown":[1]}}"#;

    #[test]
    fn releases_of_older_publishers_and_unknown_keys_are_accepted() {
        let release = Release::parse(OLD.as_bytes()).unwrap();
        assert_eq!(release.control_plane.as_deref(), Some("62cdce38"));
        assert!(release.extra.contains_key("later"));
        assert!(release.profile_values.is_empty());
    }

    #[test]
    fn an_error_names_the_path_of_the_wrong_value() {
        for (from, to, message) in [
            (r#""version":"1.0.3","channel""#, r#""channel""#, "version: missing"),
            (r#""channel":"stable""#, r#""channel":7"#, "channel: expected a string"),
            (
                r#""version":"1.0.3","channel""#,
                r#""version":"trust-1","channel""#,
                "version: names that begin with `trust-` are for trust documents, found `trust-1`",
            ),
            (r#""algaCore":"62cdce38""#, r#""algaCore":null"#, "images.algaCore: expected a string"),
            (r#""charts":{"sebastian":"0.0.1"}"#, r#""charts":[]"#, "charts: expected an object"),
            (
                "alga.appliance.release/v1",
                "alga.appliance.release/v2",
                "schema: expected `alga.appliance.release/v1`, found `alga.appliance.release/v2`",
            ),
        ] {
            let error = Release::parse(OLD.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        let release = Release::parse(OLD.as_bytes()).unwrap();
        let mut config = Config { images: [].into(), ..Config::default() };
        for key in ["algaCore", "emailService"] {
            config.images.insert(key.to_owned(), key.to_lowercase());
        }
        let error = release.require_images(&config).unwrap_err();
        assert_eq!(error.to_string(), "images.emailService: missing");
    }

    #[test]
    fn no_bytes_cause_a_panic() {
        for json in ["", "null", "[]", "{}", "\u{0}", "{\"schema\":{}}"] {
            assert!(Release::parse(json.as_bytes()).is_err());
        }
    }
}
