//! Trust: keys, the trust document, and the signed statements about releases and channels. Everything here is pure. The
//! current time is a parameter, and bytes come from the caller.

mod key;

pub use key::{InvalidKey, InvalidKeyId, Key, KeyId};

#[cfg(test)]
pub(crate) mod testing;
