//! The identity of content: `sha256:<hex>`, valid by construction.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 content digest in its canonical form: `sha256:` followed by 64 lowercase hex digits.
///
/// <https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md#digests>
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// A text that is not a valid digest.
#[derive(Debug, thiserror::Error)]
#[error("invalid digest `{0}`: expected `sha256:` followed by 64 lowercase hex digits")]
pub struct InvalidDigest(String);

impl Digest {
    /// Computes the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Returns the 64 hex digits, without the algorithm.
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }

    /// Returns `sha256:` and the first 12 hex digits, the form of a digest in texts that a person reads but does not copy.
    pub fn short(&self) -> &str {
        &self.0[.."sha256:".len() + 12]
    }

    /// Returns the first 12 hex digits without the algorithm, for names that contain a digest: versions, files, objects.
    pub fn short_hex(&self) -> &str {
        &self.hex()[..12]
    }

    /// Returns the canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Computes the digest of a stream.
#[derive(Debug, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Returns a hasher that has read no bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next bytes to the hash.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the digest of all bytes.
    pub fn finish(self) -> Digest {
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        for byte in self.0.finalize() {
            let _ = write!(text, "{byte:02x}");
        }
        Digest(text)
    }
}

impl std::io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let valid = text
            .strip_prefix("sha256:")
            .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidDigest(text.chars().take(80).collect())) }
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_text_has_its_well_known_digest() {
        assert_eq!(Digest::of(b"").as_str(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn every_other_form_than_the_canonical_one_is_refused() {
        for text in ["", "sha256:", "sha256:abc", "sha512:00", &format!("sha256:{}", "A".repeat(64)), &"a".repeat(71)] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_short_digest_has_its_algorithm_and_12_digits() {
        let digest = Digest::of(b"");
        assert_eq!((digest.short(), digest.short_hex()), ("sha256:e3b0c44298fc", "e3b0c44298fc"));
    }
}
