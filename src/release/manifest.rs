//! The release manifest: the JSON that names everything of one release.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::description::Description;
use crate::config::Config;
use crate::oci::{Digest, Pinned, each_key_once};

/// The one schema that exists.
pub(crate) const SCHEMA: &str = "alga.appliance.release/v1";

/// A release. Field order is the order of the written bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version, a tag too.
    pub version: String,
    /// The channel that it was published to first.
    pub channel: String,
    /// The profile that `profile_values` are of.
    pub values_profile: String,
    /// Application images: key → tag.
    pub images: BTreeMap<String, String>,
    /// `HOST/PATH@sha256:…`; older publishers wrote a bare tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<String>,
    /// The config bundle.
    pub config: ConfigReference,
    /// Every chart that the overlay's releases use: name → version.
    pub charts: BTreeMap<String, String>,
    /// The charts of this release's own publisher: name → digest of the chart manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub chart_digests: BTreeMap<String, Digest>,
    /// The application images that were checked: key → pinned reference.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub image_digests: BTreeMap<String, Pinned>,
    /// Values of the profile: file name → text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub profile_values: BTreeMap<String, String>,
    /// Names of the values `ConfigMap`s where they are hashed: release → name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values_config_maps: BTreeMap<String, String>,
    /// Further images that an air gap must carry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_images: Vec<String>,
    /// What the release says of itself; absent in releases of older publishers.
    #[serde(flatten, skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// The release that this one was copied from to another prefix: `HOST/PATH@sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied_from: Option<String>,
    /// Keys of the vendor's own, and those of publishers to come.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

/// Where the config bundle is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigReference {
    /// `HOST/PATH`.
    pub repository: String,
    /// The release's version.
    pub version: String,
    /// Its tag; absent in releases of older publishers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Digest of the bundle's manifest.
    pub digest: Digest,
}

/// A JSON that is no release: the path of what is wrong, and why.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct InvalidRelease {
    path: String,
    reason: String,
}

impl InvalidRelease {
    /// Is it a release of a schema that this program does not know?
    pub(crate) fn is_schema(&self) -> bool {
        self.path == "schema"
    }
}

impl Release {
    /// Reads and validates the JSON of a release.
    ///
    /// # Errors
    /// With the path of the first thing that is wrong: `images.algaCore: missing`.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidRelease> {
        let value: Value =
            serde_json::from_slice(json).map_err(|cause| wrong("release", format!("no JSON: {cause}")))?;
        each_key_once(json).map_err(|cause| wrong("release", cause.to_string()))?;
        let object = Object { path: String::new(), value: &value };
        if object.text("schema")? != SCHEMA {
            return Err(wrong("schema", format!("`{}` is not `{SCHEMA}`", object.text("schema")?.escape_debug())));
        }
        for key in ["version", "channel", "valuesProfile"] {
            object.text(key)?;
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

    /// Refuses a release that lacks an image which it must have: by its own word, and by the configuration where the caller named that
    /// or the release does not describe itself.
    ///
    /// # Errors
    /// `images.<key>: missing`.
    pub fn require_images(&self, config: &Config) -> Result<(), InvalidRelease> {
        let own = self.description.iter().flat_map(|description| &description.appliance.required_images);
        let configured = self.description.is_none() || config.names_explicitly("images");
        let mut required = own.chain(config.images.keys().filter(|_| configured));
        let missing = required.find(|key| !self.images.contains_key(*key));
        missing.map_or(Ok(()), |key| Err(wrong(&format!("images.{key}"), "missing".to_owned())))
    }

    /// The bytes that are published: JSON with two blanks of indentation and a final line end.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("a release has text keys alone");
        json.push(b'\n');
        json
    }
}

pub(super) fn wrong(path: &str, reason: String) -> InvalidRelease {
    InvalidRelease { path: path.to_owned(), reason }
}

/// An object and where it stands.
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
        let text = self.get(key)?.as_str().ok_or_else(|| wrong(&self.at(key), "want a string".to_owned()))?;
        if text.is_empty() { Err(wrong(&self.at(key), "empty".to_owned())) } else { Ok(text) }
    }

    fn object(&self, key: &str) -> Result<Object<'a>, InvalidRelease> {
        let value = self.get(key)?;
        let path = self.at(key);
        if value.is_object() { Ok(Object { path, value }) } else { Err(wrong(&path, "want an object".to_owned())) }
    }

    fn all_text(&self) -> Result<(), InvalidRelease> {
        let entries = self.value.as_object().into_iter().flatten();
        let other = entries.filter(|(_, value)| !value.is_string()).map(|(key, _)| self.at(key)).next();
        other.map_or(Ok(()), |path| Err(wrong(&path, "want a string".to_owned())))
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
    fn releases_of_older_publishers_and_unknown_keys_are_read() {
        let release = Release::parse(OLD.as_bytes()).unwrap();
        assert_eq!(release.control_plane.as_deref(), Some("62cdce38"));
        assert!(release.extra.contains_key("later"));
        assert!(release.profile_values.is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        for (from, to, message) in [
            (r#""version":"1.0.3","channel""#, r#""channel""#, "version: missing"),
            (r#""channel":"stable""#, r#""channel":7"#, "channel: want a string"),
            (r#""algaCore":"62cdce38""#, r#""algaCore":null"#, "images.algaCore: want a string"),
            (r#""charts":{"sebastian":"0.0.1"}"#, r#""charts":[]"#, "charts: want an object"),
            (
                "alga.appliance.release/v1",
                "alga.appliance.release/v2",
                "schema: `alga.appliance.release/v2` is not `alga.appliance.release/v1`",
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
    fn no_bytes_make_it_panic() {
        for json in ["", "null", "[]", "{}", "\u{0}", "{\"schema\":{}}"] {
            assert!(Release::parse(json.as_bytes()).is_err());
        }
    }
}
