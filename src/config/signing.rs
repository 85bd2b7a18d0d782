//! The part of the configuration that says what is signed, and by which trust document.

use serde::{Deserialize, Serialize};

use super::{ChartPin, Config};

/// What is signed, and how the cluster verifies it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SigningSettings {
    /// Path of the trust document in the source tree. `--trust` and `ALGA_TRUST_FILE` take precedence. With a trust document,
    /// releases are signed.
    pub trust: Option<String>,
    /// Whether application images below the prefix are signed too.
    pub images: bool,
    /// Whether Flux verifies the signatures of the bundle and of the release's own charts.
    pub flux: bool,
    /// Name of the Secret with the keys by which Flux verifies.
    pub secret_name: String,
}

impl Default for SigningSettings {
    fn default() -> Self {
        Self { trust: None, images: false, flux: false, secret_name: "alga-release-keys".to_owned() }
    }
}

impl SigningSettings {
    pub(super) fn check(&self) -> Result<(), String> {
        let path = self.trust.as_deref().unwrap_or("trust.json");
        if path.is_empty() || path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Err(format!("signing.trust: invalid path `{path}`: expected a path inside of the source tree"));
        }
        let name = &self.secret_name;
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let part = |part: &str| {
            let ends = [part.bytes().next(), part.bytes().last()];
            ends.iter().all(|end| end.is_some_and(word)) && part.bytes().all(|byte| word(byte) || byte == b'-')
        };
        if name.len() > 253 || !name.split('.').all(part) {
            return Err(format!(
                "signing.secretName: invalid name `{name}`: expected lowercase letters, digits, `-` and `.`, with a letter or digit at \
                 both ends"
            ));
        }
        Ok(())
    }
}

impl Config {
    /// Reports whether releases are signed: a flag, a variable or the file names a trust document.
    pub fn is_signed(&self) -> bool {
        self.signing.trust.is_some()
    }

    /// Returns why the settings about signatures cannot hold together. Flags count too, so the file alone does not tell.
    pub(crate) fn signing_contradiction(&self) -> Option<(&'static str, &'static str)> {
        let signing = &self.signing;
        match self.chart_pin {
            ChartPin::Version if self.is_signed() || signing.flux => Some((
                "chartPin: signed releases pin each chart by digest: expected `digest`, found `version`",
                "set `chartPin: digest` or pass `--chart-pin digest`: a signature covers the charts of a release by their digests alone",
            )),
            _ if signing.flux && !self.is_signed() => Some((
                "signing.flux: Flux would verify signatures, but no trust document is given, so nothing is signed",
                "set `signing.trust` or pass `--trust FILE`, or remove `signing.flux`",
            )),
            _ => None,
        }
    }
}
