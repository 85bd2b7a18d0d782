//! Makes signatures: with private keys in files or variables, and with programs that have the key elsewhere, such as in
//! a hardware module or in the key service of a cloud. Records what was signed.

mod command;
mod encrypted;
mod error;
mod key_file;
mod pem;
mod prepared;
mod private_key;
mod record;
mod role;
mod secrets;
mod signers;
mod typed;

pub use command::{SignerCommand, SignerFault};
pub use encrypted::EncryptedKey;
pub use error::Error;
pub use key_file::{InvalidKeyFile, KeyFile};
pub use prepared::{InvalidPrepared, Meaning, Message, PREPARED_LIMIT, Prepared, PreparedMessage};
pub use private_key::{PrivateKey, check_point};
pub use record::{SigningRecord, UsedDocument};
pub use role::SignerRole;
pub use secrets::Secrets;
pub use signers::{KeySignature, Signers, SigningRequest};
pub use typed::typed_line;
