//! PEM: a label and bytes in base64. Bytes and texts here hold private keys, so their memory is wiped.
//!
//! <https://www.rfc-editor.org/rfc/rfc7468>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretBox, SecretString};

use super::InvalidKeyFile;
use crate::system::SecretBytes;

/// Number of characters of base64 in a line.
const LINE: usize = 64;

/// Label of a block that openssl writes before a key and that holds no key.
const PARAMETERS: &str = "EC PARAMETERS";

/// A PEM block: its label, and the bytes that it encodes.
pub(super) struct Block<'t> {
    /// Words after `BEGIN`, such as `PRIVATE KEY`.
    pub(super) label: &'t str,
    /// Bytes of the block.
    pub(super) bytes: SecretBytes,
}

/// Reads the first block that may hold a key. Text around the blocks is ignored.
pub(super) fn read(text: &[u8]) -> Result<Block<'_>, InvalidKeyFile> {
    let text = str::from_utf8(text).map_err(|_| InvalidKeyFile::NotPem)?;
    let mut left = text;
    loop {
        let (_, rest) = left.split_once("-----BEGIN ").ok_or(InvalidKeyFile::NotPem)?;
        let (label, rest) = rest.split_once("-----").ok_or(InvalidKeyFile::NotPem)?;
        let (body, rest) = rest.split_once("-----END ").ok_or(InvalidKeyFile::NoEnd)?;
        let rest = rest.strip_prefix(label).and_then(|rest| rest.strip_prefix("-----")).ok_or(InvalidKeyFile::NoEnd)?;
        if label != PARAMETERS {
            return Ok(Block { label, bytes: decode(body)? });
        }
        left = rest;
    }
}

fn decode(body: &str) -> Result<SecretBytes, InvalidKeyFile> {
    // Both buffers have their whole size at once, so that none leaves a copy behind when it grows.
    let mut characters: SecretBytes = SecretBox::new(Box::new(Vec::with_capacity(body.len())));
    characters.expose_secret_mut().extend(body.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let mut bytes: SecretBytes = SecretBox::new(Box::new(Vec::with_capacity(body.len())));
    let decoded = STANDARD.decode_vec(characters.expose_secret(), bytes.expose_secret_mut());
    decoded.map_err(|_| InvalidKeyFile::Base64)?;
    Ok(bytes)
}

/// Writes a file of one block, with the line end of its last line.
pub(super) fn write(label: &str, bytes: &[u8]) -> SecretString {
    let body: SecretString = STANDARD.encode(bytes).into();
    let mut text = String::with_capacity(body.expose_secret().len() * 2 + 2 * label.len() + 64);
    text.extend(["-----BEGIN ", label, "-----\n"]);
    let mut rest = body.expose_secret();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        text.extend([line, "\n"]);
        rest = after;
    }
    text.extend(["-----END ", label, "-----\n"]);
    text.into()
}
