//! Where private keys and their passwords come from.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use secrecy::{ExposeSecret as _, SecretBox, SecretString};

use super::key_file::LIMIT;
use super::{Error, KeyFile, PrivateKey};
use crate::system::{Environment, SecretBytes, Terminal, read_secret};

/// Variables with a private key, or with the name of its file.
const KEY: &str = "ALGA_SIGNING_KEY";
const KEY_FILE: &str = "ALGA_SIGNING_KEY_FILE";
/// Variables with the password of private keys, or with the name of its file.
const PASSWORD: &str = "ALGA_SIGNING_PASSWORD";
const PASSWORD_FILE: &str = "ALGA_SIGNING_PASSWORD_FILE";
const COSIGN_PASSWORD: &str = "COSIGN_PASSWORD";

/// Largest file with a password, in bytes.
const PASSWORD_LIMIT: usize = 4096;
/// Permission bit of files that every user may read.
const READABLE_BY_ALL: u32 = 0o004;

/// Reads private keys and passwords.
#[derive(Clone, Copy, Debug)]
pub struct Secrets<'a> {
    /// Variables that hold or name keys and passwords.
    pub environment: &'a Environment,
    /// Terminal at which a password is asked for when no variable has one.
    pub terminal: &'a dyn Terminal,
}

impl Secrets<'_> {
    /// Reads the key of a file that an argument names. A warning is added if other users may read the file.
    ///
    /// # Errors
    /// When the file is not a private key that signs, or its password is missing or wrong.
    pub fn key(&self, path: &Path, warnings: &mut Vec<String>) -> Result<PrivateKey, Error> {
        let place = path.display().to_string();
        self.parse(&file(path, &place, warnings)?, &place)
    }

    /// Reads the key that the variables hold or name, if there is one. Returns where the key comes from, too.
    ///
    /// # Errors
    /// In the cases of [`Self::key`].
    pub fn key_of_variables(&self, warnings: &mut Vec<String>) -> Result<Option<(String, PrivateKey)>, Error> {
        let (place, text) = match (self.environment.text(KEY), self.environment.path(KEY_FILE)) {
            (Some(text), _) => (KEY.to_owned(), SecretBox::new(Box::new(text.into_bytes()))),
            (None, Some(path)) => {
                let place = format!("{} ({KEY_FILE})", path.display());
                let text = file(&path, &place, warnings)?;
                (place, text)
            }
            (None, None) => return Ok(None),
        };
        let key = self.parse(&text, &place)?;
        Ok(Some((place, key)))
    }

    /// Returns the password for a new key. At a terminal it is asked for twice.
    ///
    /// # Errors
    /// When there is no password, or an empty one.
    pub fn new_password(&self, place: &str) -> Result<SecretString, Error> {
        let password = if let Some(password) = self.given_password()? {
            password
        } else {
            let first = self.ask(&format!("password for {place}: "), place)?;
            let second = self.ask(&format!("password for {place}, again: "), place)?;
            if first.expose_secret() != second.expose_secret() {
                return Err(refused("the terminal", "the two passwords are different"));
            }
            first
        };
        if password.expose_secret().is_empty() {
            return Err(Error::EmptyPassword { place: place.to_owned() });
        }
        Ok(password)
    }

    /// Returns the key of a file that was read, with the password that a variable has or that is asked for.
    ///
    /// # Errors
    /// When the password is missing or wrong.
    pub(crate) fn unlock(&self, file: KeyFile, place: &str) -> Result<PrivateKey, Error> {
        let password = if file.is_encrypted() { self.password(place)? } else { SecretString::default() };
        file.unlock(&password).map_err(|cause| Error::of_file(place, cause))
    }

    fn parse(&self, text: &SecretBytes, place: &str) -> Result<PrivateKey, Error> {
        let file = KeyFile::parse(text.expose_secret()).map_err(|cause| Error::of_file(place, cause))?;
        self.unlock(file, place)
    }

    fn password(&self, place: &str) -> Result<SecretString, Error> {
        match self.given_password()? {
            Some(password) => Ok(password),
            None => self.ask(&format!("password for {place}: "), place),
        }
    }

    /// Returns the password that a variable holds or names.
    fn given_password(&self) -> Result<Option<SecretString>, Error> {
        if let Some(password) = self.environment.text(PASSWORD) {
            return Ok(Some(password.into()));
        }
        if let Some(path) = self.environment.path(PASSWORD_FILE) {
            let place = format!("{} ({PASSWORD_FILE})", path.display());
            let read = File::open(&path).and_then(|file| read_secret(file, PASSWORD_LIMIT));
            return match read {
                Ok(bytes) => one_line(&bytes, &place).map(Some),
                Err(source) => Err(Error::Read { place, source }),
            };
        }
        Ok(self.environment.text(COSIGN_PASSWORD).map(Into::into))
    }

    fn ask(&self, prompt: &str, place: &str) -> Result<SecretString, Error> {
        let place = place.to_owned();
        match self.terminal.secret(prompt) {
            Ok(Some(password)) => Ok(password),
            Ok(None) => Err(Error::NoPassword { place }),
            Err(source) => Err(Error::Terminal { place, source }),
        }
    }
}

fn refused(place: &str, reason: &str) -> Error {
    Error::Password { place: place.to_owned(), reason: reason.to_owned() }
}

/// Reads a file with a key. A pipe has no permissions that could be wrong.
fn file(path: &Path, place: &str, warnings: &mut Vec<String>) -> Result<SecretBytes, Error> {
    let failed = |source| Error::Read { place: place.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let bytes = read_secret(file, LIMIT).map_err(failed)?;
    if metadata.is_file() && metadata.permissions().mode() & READABLE_BY_ALL != 0 {
        warnings.push(format!(
            "every user of this machine may read the signing key {place}: run `chmod 600 {}`",
            path.display()
        ));
    }
    Ok(bytes)
}

/// Reads a password from the content of a file, which may end with a line end.
fn one_line(bytes: &SecretBytes, place: &str) -> Result<SecretString, Error> {
    let text = str::from_utf8(bytes.expose_secret()).map_err(|_| refused(place, "expected UTF-8 text"))?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.contains(['\r', '\n', '\0']) {
        return Err(refused(place, "expected one line"));
    }
    Ok(line.into())
}
