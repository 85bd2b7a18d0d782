//! Makes keys for signatures, and shows what a key file holds.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::{Context, Error};
use crate::signing::{self, KeyFile, PrivateKey, Secrets, check_point};
use crate::system::{SecretBytes, read_secret};
use crate::text;
use crate::trust::Key;

/// Permissions of files with a private and with a public key. The umask is applied to the second.
const PRIVATE_MODE: u32 = 0o600;
pub(super) const PUBLIC_MODE: u32 = 0o644;
/// Largest file that is read as a key, in bytes.
const LIMIT: usize = 16 << 10;

/// The parameters of a new key.
#[derive(Clone, Debug)]
pub struct KeyRequest {
    /// Path of the files without their extensions `.key` and `.pub`.
    pub prefix: PathBuf,
    /// Whether the private key is written without a password.
    pub is_plain: bool,
    /// Whether files that exist are replaced.
    pub replaces: bool,
}

/// What a key file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyContent {
    /// A public key, which anyone may read.
    PublicKey,
    /// A private key without a password.
    PrivateKey,
    /// A private key that is encrypted with a password.
    EncryptedPrivateKey,
}

impl KeyContent {
    const fn words(self) -> &'static str {
        match self {
            Self::PublicKey => "public key",
            Self::PrivateKey => "private key without a password",
            Self::EncryptedPrivateKey => "private key, encrypted with a password",
        }
    }
}

/// A file with one half of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyFileReport {
    /// Path of the file, as it was given.
    pub path: String,
    /// Half of the key that the file holds.
    pub content: KeyContent,
}

/// A key and its files, the JSON `alga.release.key/v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyReport {
    schema: &'static str,
    /// Kind of the key, the same word as in a trust document.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// ID of the key: 64 lowercase hex digits.
    pub id: String,
    /// Public half of the key as PEM.
    pub public_key: String,
    /// Files that were written, or the file that was read.
    pub files: Vec<KeyFileReport>,
}

impl KeyReport {
    fn new(key: &Key, files: Vec<(&Path, KeyContent)>) -> Self {
        let file = |(path, content): (&Path, KeyContent)| KeyFileReport { path: path.display().to_string(), content };
        Self {
            schema: "alga.release.key/v1",
            kind: "ecdsa-p256",
            id: key.id().to_string(),
            public_key: key.to_pem(),
            files: files.into_iter().map(file).collect(),
        }
    }

    /// Returns the report for people.
    pub fn text(&self) -> String {
        let file = |file: &KeyFileReport| format!("{} ({})", text::shown(&file.path), file.content.words());
        let files: Vec<String> = self.files.iter().map(file).collect();
        format!("key ID  {}\ntype    ECDSA P-256\nfiles   {}\n{}", self.id, files.join("\n        "), self.public_key)
    }
}

/// Makes a key, and writes its private and its public half.
///
/// # Errors
/// When there is no password, when a file exists and may not be replaced, and when a file cannot be written.
pub fn generate_key(request: &KeyRequest, context: &Context) -> Result<KeyReport, Error> {
    let [private, public] = ["key", "pub"].map(|extension| with_extension(&request.prefix, extension));
    if !request.replaces
        && let Some(path) = [&private, &public].into_iter().find(|path| path.symlink_metadata().is_ok())
    {
        return Err(signing::Error::Exists(path.clone()).into());
    }
    let key = PrivateKey::generate();
    let (holds, text) = if request.is_plain {
        (KeyContent::PrivateKey, key.to_pem())
    } else {
        let password = secrets(context).new_password(&private.display().to_string())?;
        (KeyContent::EncryptedPrivateKey, key.to_encrypted_pem(&password))
    };
    write(&private, text.expose_secret().as_bytes(), PRIVATE_MODE, request.replaces)?;
    write(&public, key.key().to_pem().as_bytes(), PUBLIC_MODE, request.replaces)?;
    Ok(KeyReport::new(key.key(), vec![(&private, holds), (&public, KeyContent::PublicKey)]))
}

/// Shows the key of a file with a public or a private key.
///
/// # Errors
/// When the file is neither, or the password of a private key is missing or wrong.
pub fn show_key(path: &Path, context: &Context) -> Result<KeyReport, Error> {
    let place = path.display().to_string();
    let text = read(path)?;
    let text = text.expose_secret();
    let file = match KeyFile::parse(text) {
        Err(signing::InvalidKeyFile::PublicKey) => {
            let key = Key::from_pem(text).map_err(|cause| signing::Error::Public { place, cause })?;
            return Ok(KeyReport::new(&key, vec![(path, KeyContent::PublicKey)]));
        }
        file => file.map_err(|cause| signing::Error::of_file(&place, cause))?,
    };
    let holds = if file.is_encrypted() { KeyContent::EncryptedPrivateKey } else { KeyContent::PrivateKey };
    let key = secrets(context).unlock(file, &place)?;
    Ok(KeyReport::new(key.key(), vec![(path, holds)]))
}

/// Reads a file with a public key for the trust document, whose point must be on the curve. A private key is refused:
/// trust documents are made on machines without private keys.
pub(super) fn read_public(path: &Path) -> Result<Key, signing::Error> {
    let text = read(path)?;
    let key = Key::from_pem(text.expose_secret()).and_then(|key| check_point(&key).map(|()| key));
    key.map_err(|cause| signing::Error::Public { place: path.display().to_string(), cause })
}

fn read(path: &Path) -> Result<SecretBytes, signing::Error> {
    let read = std::fs::File::open(path).and_then(|file| read_secret(file, LIMIT));
    read.map_err(|source| signing::Error::Read { place: path.display().to_string(), source })
}

/// Returns where keys and passwords come from in a context.
pub(super) fn secrets(context: &Context) -> Secrets<'_> {
    Secrets { environment: &context.environment, terminal: &*context.terminal }
}

/// Adds an extension to a name. A dot in the name begins no extension, as in `alga-1.0`.
fn with_extension(prefix: &Path, extension: &str) -> PathBuf {
    let mut path = prefix.as_os_str().to_owned();
    path.push(".");
    path.push(extension);
    path.into()
}

/// Writes a file in full or not at all, with permissions that it has from the start.
pub(super) fn write(path: &Path, bytes: &[u8], mode: u32, replaces: bool) -> Result<(), signing::Error> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => signing::Error::Exists(path.to_owned()),
        _ => signing::Error::Write { path: path.to_owned(), source },
    };
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    directory.metadata().map_err(failed)?;
    let new = tempfile::Builder::new().permissions(Permissions::from_mode(mode)).tempfile_in(directory);
    let mut new = new.map_err(|error| failed(io::Error::from(error.kind())))?;
    new.write_all(bytes).and_then(|()| new.as_file().sync_all()).map_err(failed)?;
    let named = if replaces { new.persist(path) } else { new.persist_noclobber(path) };
    named.map(drop).map_err(|error| failed(error.error))
}
