//! The record of a publisher: which statements it signed last, and by which trust documents, so that no second statement
//! is signed in the place of one of them.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::appliance::StateContent;
use crate::oci::{Digest, Tag};
use crate::trust::{ChannelStatement, Position, SignedDocument};

/// Content of the file of `--signing-record`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SigningRecord {
    /// Highest position of each channel that was signed, by `PRODUCT/CHANNEL`.
    #[serde(default)]
    positions: BTreeMap<String, Position>,
    /// Newest trust document of each product by which a statement was signed.
    #[serde(default)]
    documents: BTreeMap<String, UsedDocument>,
    /// Keys of newer programs, which are kept.
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// A version of a trust document, with its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedDocument {
    /// Version of the document.
    pub version: u64,
    /// Digest of the payload of the document, without its signatures.
    pub payload: Digest,
}

impl SigningRecord {
    /// Returns the highest position of a channel that was signed.
    pub fn position(&self, product: &str, channel: &Tag) -> Option<&Position> {
        self.positions.get(&place(product, channel))
    }

    /// Returns the newest trust document of a product by which a statement was signed.
    pub fn document(&self, product: &str) -> Option<&UsedDocument> {
        self.documents.get(product)
    }

    /// Keeps a statement that is about to be signed, with the digest of its payload and the trust document in force.
    /// Returns the number that was signed before, and changes nothing, when another statement has this place or a later
    /// one.
    pub fn keep(&mut self, statement: &ChannelStatement, payload: Digest, document: &SignedDocument) -> Option<u64> {
        let ChannelStatement { product, channel, epoch, sequence, .. } = statement;
        let position = Position { epoch: *epoch, sequence: *sequence, payload: Some(payload) };
        let place = place(product, channel);
        if let Some(signed) = self.positions.get(&place)
            && (signed.epoch, signed.sequence) >= (*epoch, *sequence)
            && *signed != position
        {
            return Some(signed.sequence);
        }
        self.positions.insert(place, position);
        let (version, payload) = (document.document().version, document.payload_digest().clone());
        if self.documents.get(product).is_none_or(|used| used.version < version) {
            self.documents.insert(product.clone(), UsedDocument { version, payload });
        }
        None
    }
}

impl StateContent for SigningRecord {
    fn read(json: &[u8]) -> Result<(Self, bool), serde_json::Error> {
        let record: Self = serde_json::from_slice(json)?;
        if record.positions.is_empty() && !record.others.is_empty() {
            return Err(serde_json::Error::custom("the file is not a record of what was signed"));
        }
        Ok((record, false))
    }

    fn write(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("a record has only text keys");
        json.push(b'\n');
        json
    }
}

fn place(product: &str, channel: &Tag) -> String {
    format!("{product}/{channel}")
}
