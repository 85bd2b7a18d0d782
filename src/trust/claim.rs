//! The older form of a signature (the tag `sha256-<hex>.sig`): a claim about a digest, as the layer of an image. The
//! signature of its bytes is in an annotation of the layer.
//!
//! <https://github.com/sigstore/cosign/blob/v2.6.1/specs/SIGNATURE_SPEC.md#simple-signing>

use serde::Serialize;

use super::fields::{self, Malformed};
use crate::oci::Digest;

/// Media type of the config of the image.
pub const CLAIM_CONFIG_MEDIA_TYPE: &str = "application/vnd.oci.image.config.v1+json";
/// The only type of claim that cosign makes.
const TYPE: &str = "cosign container image signature";
/// Largest claim that is read, in bytes. One has about 250.
pub const CLAIM_LIMIT: usize = 16 * 1024;

/// The claim that an artifact is the vendor's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Repository of the artifact as `HOST/PATH`, when it was signed. It may have been copied since.
    pub reference: String,
    /// Digest of the artifact's manifest.
    pub digest: Digest,
}

impl Claim {
    /// Reads a claim.
    ///
    /// # Errors
    /// Names every problem.
    pub fn parse(json: &[u8]) -> Result<Self, Malformed> {
        fields::read("signature claim", json, CLAIM_LIMIT, |object| {
            object.known(&["critical", "optional"]);
            let critical = object.object("critical")?;
            critical.known(&["identity", "image", "type"]);
            let claim = critical.exactly("type", TYPE);
            let identity = critical.object("identity");
            let reference = identity.and_then(|identity| {
                identity.known(&["docker-reference"]);
                identity.text("docker-reference")
            });
            let image = critical.object("image")?;
            image.known(&["docker-manifest-digest"]);
            let digest = image.parsed("docker-manifest-digest");
            claim?;
            Some(Self { reference: reference?.to_owned(), digest: digest? })
        })
    }

    /// Returns the bytes that are signed. The same claim always gives the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let written = Written {
            critical: Critical {
                identity: Identity { docker_reference: &self.reference },
                image: Image { docker_manifest_digest: &self.digest },
                r#type: TYPE,
            },
            optional: (),
        };
        serde_json::to_vec(&written).expect("text keys")
    }
}

/// Returns the config of an image whose layers are claims.
pub fn claim_config(layers: &[Digest]) -> Vec<u8> {
    let layers = layers.iter().map(|digest| format!("\"{digest}\"")).collect::<Vec<_>>().join(",");
    let start = r#"{"architecture":"","os":"","config":{},"rootfs":{"type":"layers","diff_ids":["#;
    format!("{start}{layers}]}}}}").into_bytes()
}

/// A claim in the order of its keys.
#[derive(Serialize)]
struct Written<'a> {
    critical: Critical<'a>,
    optional: (),
}

#[derive(Serialize)]
struct Critical<'a> {
    identity: Identity<'a>,
    image: Image<'a>,
    r#type: &'static str,
}

#[derive(Serialize)]
struct Identity<'a> {
    #[serde(rename = "docker-reference")]
    docker_reference: &'a str,
}

#[derive(Serialize)]
struct Image<'a> {
    #[serde(rename = "docker-manifest-digest")]
    docker_manifest_digest: &'a Digest,
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"critical":{"identity":{"docker-reference":"r.io/a/b"},"image":{"docker-manifest-digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},"type":"cosign container image signature"},"optional":null}"#;

    #[test]
    fn a_claim_has_the_bytes_that_cosign_writes() {
        let claim = Claim { reference: "r.io/a/b".to_owned(), digest: Digest::of(b"") };
        assert_eq!(String::from_utf8(claim.to_bytes()).unwrap(), JSON);
        assert_eq!(Claim::parse(JSON.as_bytes()).unwrap(), claim);
        let annotated = JSON.replace("null", r#"{"creator":"cosign","timestamp":1}"#);
        assert_eq!(Claim::parse(annotated.as_bytes()).unwrap(), claim);
    }

    #[test]
    fn the_config_names_each_layer() {
        assert_eq!(
            String::from_utf8(claim_config(&[Digest::of(b""), Digest::of(b"")])).unwrap(),
            r#"{"architecture":"","os":"","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}"#
        );
    }

    #[test]
    fn every_other_claim_is_refused_with_its_reason() {
        let cases = [
            (
                JSON.replace("cosign container", "atomic container"),
                "critical.type: expected `cosign container image signature`",
            ),
            (JSON.replace("sha256:e3", "sha512:e3"), "critical.image.docker-manifest-digest: invalid digest"),
            (JSON.replace("critical", "Critical"), "expected the key `critical`"),
            (
                JSON.replace("docker-manifest-digest", "Docker-Manifest-digest"),
                "expected the key `docker-manifest-digest`",
            ),
            (JSON.replace("\"type\"", "\"type\":\"x\",\"type\""), "duplicate key `type`"),
            (" ".repeat(CLAIM_LIMIT + 1), "expected at most 16384 bytes, found 16385"),
            ("7".to_owned(), "expected an object, found a number"),
        ];
        for (json, reason) in cases {
            let error = Claim::parse(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
