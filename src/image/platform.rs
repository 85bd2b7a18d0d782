//! The platform that an image is built for.
//!
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md>

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::oci::Descriptor;

/// A platform, written `OS/ARCHITECTURE[/VARIANT]` with Go's names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// Operating system, for example `linux`.
    #[serde(default)]
    pub os: String,
    /// Processor architecture, for example `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// Variant of the architecture, for example `v8`.
    #[serde(default)]
    pub variant: Option<String>,
}

/// The error for a text that is not a platform.
#[derive(Debug, thiserror::Error)]
#[error("expected a platform such as linux/amd64 or linux/arm64/v8")]
pub struct InvalidPlatform;

impl Platform {
    /// Returns the platform that an index gives for one of its manifests, or an empty platform when the index gives none.
    pub fn of(manifest: &Descriptor) -> Self {
        let platform = manifest.other.get("platform").cloned();
        platform.and_then(|platform| serde_json::from_value(platform).ok()).unwrap_or_default()
    }

    /// Reports whether an image for `self` runs on `wanted`. A `wanted` without variant accepts every variant.
    pub fn fits(&self, wanted: &Self) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && (wanted.variant.is_none() || self.variant == wanted.variant)
    }
}

impl FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Self, InvalidPlatform> {
        let parts: Vec<&str> = text.split('/').collect();
        let word =
            |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        match (parts.iter().all(word), &parts[..]) {
            (true, [os, architecture, variant @ ..]) if variant.len() < 2 => Ok(Self {
                os: (*os).to_owned(),
                architecture: (*architecture).to_owned(),
                variant: variant.first().map(|variant| (*variant).to_owned()),
            }),
            _ => Err(InvalidPlatform),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.escape_debug().to_string() };
        write!(f, "{}/{}", or(&self.os), or(&self.architecture))?;
        match &self.variant {
            Some(variant) if !variant.is_empty() => write!(f, "/{}", variant.escape_debug()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_compared_only_when_one_is_expected() {
        let platform = |text: &str| text.parse::<Platform>().expect("a platform");
        assert!(platform("linux/arm64/v8").fits(&platform("linux/arm64")));
        assert!(!platform("linux/arm64").fits(&platform("linux/arm64/v8")));
        assert!(!platform("linux/arm64").fits(&platform("linux/amd64")));
        assert_eq!(platform("linux/arm64/v8").to_string(), "linux/arm64/v8");
        for text in ["", "linux", "linux/", "linux/a/b/c", "/amd64", "linux/am d64"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
