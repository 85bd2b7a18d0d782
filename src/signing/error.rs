//! Why there is no signature.

use std::path::PathBuf;

use super::role::InvalidSignerRole;
use super::{InvalidKeyFile, SignerFault, SignerRole};
use crate::trust::{InvalidKey, KeyId};

/// A signing key that cannot be used, or a signer that does not sign.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file with a key or a password cannot be read.
    #[error("cannot read {place}")]
    Read {
        /// Path of the file, or the variable that names the file.
        place: String,
        /// Error of the file system.
        source: std::io::Error,
    },
    /// A file or variable does not hold a private key that signs.
    #[error("invalid private key {place}: {cause}")]
    Invalid {
        /// Path of the file, or name of the variable.
        place: String,
        /// What the text is instead.
        cause: InvalidKeyFile,
    },
    /// A file with a public key is not one that this program accepts.
    #[error("cannot use {place}: {cause}")]
    Public {
        /// Path of the file.
        place: String,
        /// What the text is instead.
        cause: InvalidKey,
    },
    /// The password is not that of the key.
    #[error("wrong password for {place}")]
    WrongPassword {
        /// Path of the file, or name of the variable.
        place: String,
    },
    /// The key needs a password, and none was given.
    #[error("missing password for {place}")]
    NoPassword {
        /// Path of the file, or name of the variable.
        place: String,
    },
    /// A new key would have an empty password.
    #[error("empty password for {place}")]
    EmptyPassword {
        /// Path of the file.
        place: String,
    },
    /// A password is not one line of text.
    #[error("invalid password from {place}: {reason}")]
    Password {
        /// Where the password comes from.
        place: String,
        /// Fault of the password.
        reason: String,
    },
    /// The terminal cannot be used to ask for a password.
    #[error("cannot ask for the password of {place}")]
    Terminal {
        /// Path of the file, or name of the variable.
        place: String,
        /// Error of the terminal; an interrupt by the user has the kind `Interrupted`.
        source: std::io::Error,
    },
    /// A signer is not given as `ROLE=COMMAND`.
    #[error("invalid signer: expected `ROLE=COMMAND`, found no role or no command")]
    NoCommand,
    /// A signer names its key by something else than an ID.
    #[error("invalid signer: invalid ID of a key: expected 8 to 64 lowercase hex digits after `@`")]
    KeyId,
    /// A signer names a key that its role does not have, or several.
    #[error("the signer for {role} names the key {key}, and {found} of the keys of the role have such an ID")]
    NotOneKey {
        /// Role that the program signs for.
        role: SignerRole,
        /// ID of the key, or its start.
        key: String,
        /// Number of keys whose ID starts so.
        found: usize,
    },
    /// A signer is given for an unknown role.
    #[error("invalid signer: {0}")]
    Role(InvalidSignerRole),
    /// A program gave no signature.
    #[error("the signer for {role} {fault}")]
    Signer {
        /// Role that the program was asked to sign for.
        role: SignerRole,
        /// What the program did instead.
        fault: SignerFault,
    },
    /// A key is not one of those that may sign.
    #[error("the key {id} ({place}) has no role in the trust document")]
    NoRole {
        /// ID of the key.
        id: KeyId,
        /// Path of the file, or name of the variable.
        place: String,
    },
    /// A key file would be replaced.
    #[error("cannot write {}: the file exists", .0.display())]
    Exists(PathBuf),
    /// A key file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// Error of the file system.
        source: std::io::Error,
    },
}

impl Error {
    /// Returns an error about the content of a key file.
    pub(crate) fn of_file(place: &str, cause: InvalidKeyFile) -> Self {
        let place = place.to_owned();
        match cause {
            InvalidKeyFile::Password => Self::WrongPassword { place },
            cause => Self::Invalid { place, cause },
        }
    }

    /// Returns what a person can do, as an instruction.
    pub fn way_out(&self) -> Option<&'static str> {
        Some(match self {
            Self::Invalid { cause, .. } => return cause.way_out(),
            Self::Public { .. } | Self::Read { .. } | Self::Terminal { .. } | Self::Write { .. } => return None,
            Self::WrongPassword { .. } => {
                "check ALGA_SIGNING_PASSWORD, ALGA_SIGNING_PASSWORD_FILE and COSIGN_PASSWORD: the first that is set is used"
            }
            Self::NoPassword { .. } => {
                "run the command on a terminal, or set ALGA_SIGNING_PASSWORD_FILE to the path of a file with the password"
            }
            Self::EmptyPassword { .. } => "choose a password, or pass `--plain` for a key without one",
            Self::Password { .. } => "write the password into the file as its only line, or type it twice the same",
            Self::NoCommand | Self::Role(_) => {
                "write the role before the command: `--signer 'release=openssl dgst -sha256 -sign release.key'`"
            }
            Self::Signer { fault, .. } => fault.way_out(),
            Self::KeyId | Self::NotOneKey { .. } => {
                "name the key by its ID, or by the first digits of the ID: `alga-release key show FILE.pub` prints the ID"
            }
            Self::NoRole { .. } => "pass the file of another key, or a trust document that gives this key a role",
            Self::Exists(_) => {
                "choose another `--output-prefix`, or pass `--force`, which destroys the key in the file"
            }
        })
    }
}
