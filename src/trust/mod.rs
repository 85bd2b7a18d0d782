//! Trust: keys, the trust document, and the signed statements about releases and channels. Everything but `published` is
//! pure: the current time is a parameter, and bytes come from the caller.

mod accept;
mod bundle;
mod chain;
mod claim;
mod document;
mod envelope;
mod fields;
mod key;
mod published;
mod signatures;
mod statement;
mod time;
mod untrusted;

pub use accept::{
    Accepted, CLOCK_TOLERANCE, Offer, Position, Proven, ReadFrom, STATEMENT_LAYERS, Terms, accept, check_clock,
    check_current, check_issued, check_json, check_record, proven,
};
pub use bundle::{BUNDLE_CONTENT, BUNDLE_LIMIT, BUNDLE_PREDICATE_TYPE, SignatureBundle, statement_message};
pub use chain::{DOCUMENT_ARTIFACT_TYPE, DOCUMENT_MEDIA_TYPE, DOCUMENT_TYPE, InvalidTrust, STEPS, SignedDocument};
pub use claim::{CLAIM_CONFIG_MEDIA_TYPE, CLAIM_LIMIT, Claim, claim_config};
pub use document::{ChannelRole, DOCUMENT_LIMIT, RefreshRole, Role, TAG_PREFIX, TrustDocument};
pub use envelope::{Envelope, Signature, decode_signature, encode_signature, pre_authentication_encoding};
pub use fields::{Malformed, Problem};
pub use key::{InvalidKey, InvalidKeyId, Key, KeyId};
pub use published::{PublishedError, document_tag};
pub use signatures::{CANDIDATES, Candidate, accept_release, artifact_signers};
pub use statement::{
    ARTIFACT_PREDICATE, CHANNEL_PREDICATE, ChannelStatement, REFRESH_PREDICATE, RefreshStatement, STATEMENT_TYPE,
    Statement,
};
pub use time::{DAY, InvalidTime, Time};
pub use untrusted::Untrusted;

#[cfg(test)]
#[path = "bytes_tests.rs"]
mod bytes;
#[cfg(test)]
#[path = "histories_tests.rs"]
mod histories;
#[cfg(test)]
pub(crate) mod testing;
