//! All that can sign in a run: key files and programs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::{Error, PrivateKey, Secrets, SignerCommand, SignerRole};
use crate::system::Programs;
use crate::trust::{Key, KeyId};

/// The signers that the flags of a command name.
#[derive(Clone, Debug, Default)]
pub struct SigningRequest {
    /// Files with private keys. When there are none, the variables may hold or name a key.
    pub key_files: Vec<PathBuf>,
    /// Programs that sign, each for a role.
    pub commands: Vec<SignerCommand>,
}

/// A signature together with the key that verifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySignature {
    /// Public key of the signature.
    pub key: Key,
    /// The signature as ASN.1 DER.
    pub der: Vec<u8>,
}

/// Private keys and programs that make signatures.
#[derive(Clone, Debug)]
pub struct Signers {
    /// Keys, each with the place that it comes from.
    keys: Vec<(String, PrivateKey)>,
    commands: Vec<SignerCommand>,
    programs: Arc<dyn Programs>,
    /// Signatures that were made elsewhere, by their message and key. They are verified where they are used.
    given: BTreeMap<Vec<u8>, BTreeMap<KeyId, Vec<u8>>>,
    /// What a person should know about the key files.
    pub warnings: Vec<String>,
}

impl Signers {
    /// Reads every key file of a request. Without key files, the key of the variables is read.
    ///
    /// # Errors
    /// When a key file is not a private key that signs, or its password is missing or wrong.
    pub fn open(request: &SigningRequest, secrets: Secrets<'_>, programs: &Arc<dyn Programs>) -> Result<Self, Error> {
        let (mut keys, mut warnings) = (Vec::new(), Vec::new());
        for path in &request.key_files {
            keys.push((path.display().to_string(), secrets.key(path, &mut warnings)?));
        }
        if keys.is_empty() {
            keys.extend(secrets.key_of_variables(&mut warnings)?);
        }
        let (commands, programs) = (request.commands.clone(), Arc::clone(programs));
        Ok(Self { keys, commands, programs, given: BTreeMap::new(), warnings })
    }

    /// Adds signatures of a message that were made elsewhere.
    pub fn give(&mut self, message: Vec<u8>, signatures: BTreeMap<KeyId, Vec<u8>>) {
        self.given.entry(message).or_default().extend(signatures);
    }

    /// Returns whether nothing can sign.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.commands.is_empty()
    }

    /// Returns whether a program signs for a role. A program may make another signature each time.
    pub fn has_programs(&self, role: SignerRole) -> bool {
        self.commands.iter().any(|command| command.role == role)
    }

    /// Returns how many of some keys can sign a message for a role at most: each key file once, each program once, and
    /// each signature that was made elsewhere.
    pub fn most(&self, role: SignerRole, admissible: &[Key], message: &[u8]) -> usize {
        let given = self.given.get(message);
        let is_given = |key: &Key| given.is_some_and(|given| given.contains_key(&key.id()));
        let has = |key: &&Key| is_given(key) || self.keys().any(|own| own == *key);
        let is_named = |key: &&Key| self.commands_of(role).any(|one| one.key.is_some() && one.has(&key.id()));
        let known = admissible.iter().filter(|key| has(key) || is_named(key)).count();
        let programs = self.commands_of(role).filter(|command| command.key.is_none()).count();
        admissible.len().min(known + programs)
    }

    /// Returns those of some keys that sign a message now, when the keys in `signed` have signed it before. A program that
    /// does not name its key may have any key of the role, so it signs only what no key of the role has signed.
    pub fn unsigned(&self, role: SignerRole, keys: &[Key], signed: &BTreeSet<KeyId>, message: &[u8]) -> Vec<Key> {
        let asks_any = signed.is_empty() && self.commands_of(role).any(|command| command.key.is_none());
        let signs = |key: &&Key| {
            let given = self.given.get(message).is_some_and(|given| given.contains_key(&key.id()));
            let file = self.keys().any(|own| own == *key);
            asks_any || given || file || self.commands_of(role).any(|one| one.key.is_some() && one.has(&key.id()))
        };
        keys.iter().filter(|key| !signed.contains(&key.id())).filter(signs).copied().collect()
    }

    /// Returns the programs of a role, first those that name their key: the others may sign with the keys that are left.
    fn commands_of(&self, role: SignerRole) -> impl Iterator<Item = &SignerCommand> {
        let of = move |named: bool| {
            self.commands.iter().filter(move |command| command.role == role && command.key.is_some() == named)
        };
        of(true).chain(of(false))
    }

    /// Checks that each program that names a key names exactly one of its role.
    ///
    /// # Errors
    /// Names the first program that does not.
    pub fn check_named<'a>(&self, keys_of: impl Fn(SignerRole) -> BTreeSet<&'a KeyId>) -> Result<(), Error> {
        for command in &self.commands {
            let (role, found) = (command.role, keys_of(command.role).into_iter().filter(|id| command.has(id)).count());
            if let Some(key) = command.key.clone().filter(|_| found != 1) {
                return Err(Error::NotOneKey { role, key, found });
            }
        }
        Ok(())
    }

    /// Reports whether signatures were given that were made elsewhere.
    pub fn has_given(&self) -> bool {
        !self.given.is_empty()
    }

    /// Returns the public keys of the key files. The keys of programs are known only after they have signed.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().map(|(_, key)| key.key())
    }

    /// Checks that each key file holds a key that `has_role` knows, so that a wrong file is found before anything is
    /// signed.
    ///
    /// # Errors
    /// Names the first key without a role, and its file.
    pub fn check(&self, has_role: impl Fn(&KeyId) -> bool) -> Result<(), Error> {
        self.stranger(has_role).map_or(Ok(()), |(place, id)| Err(Error::NoRole { id, place: place.to_owned() }))
    }

    /// Returns the first key file whose key `is_known` does not know: its place, and the ID of the key.
    pub fn stranger(&self, is_known: impl Fn(&KeyId) -> bool) -> Option<(&str, KeyId)> {
        let mut keys = self.keys.iter().map(|(place, key)| (&**place, key.key().id()));
        keys.find(|(_, id)| !is_known(id))
    }

    /// Signs a message for a role with every key file whose key is in `admissible`, and with every program of the role.
    /// A signature that was made elsewhere counts for its key.
    /// Each key signs once. The signatures are verified, and in the order of their key IDs; there may be none.
    ///
    /// A program is asked for the key that it names, or for each key that has not signed yet, until there is a signature
    /// that one of these keys verifies.
    ///
    /// # Errors
    /// When a program of the role gives no signature that one of the keys verifies.
    pub async fn sign(&self, role: SignerRole, admissible: &[Key], message: &[u8]) -> Result<Vec<KeySignature>, Error> {
        let mut left = admissible.to_vec();
        let mut signatures: Vec<KeySignature> = Vec::new();
        for (id, der) in self.given.get(message).into_iter().flatten() {
            if let Some(at) = left.iter().position(|key| key.id() == *id && key.verify(message, der)) {
                signatures.push(KeySignature { key: left.remove(at), der: der.clone() });
            }
        }
        for (_, private) in &self.keys {
            if let Some(at) = left.iter().position(|key| key == private.key()) {
                signatures.push(KeySignature { key: left.remove(at), der: private.sign(message) });
            }
        }
        for command in self.commands_of(role) {
            let keys: Vec<Key> = left.iter().filter(|key| command.has(&key.id())).copied().collect();
            if keys.is_empty() {
                continue;
            }
            let signed = command.sign(&*self.programs, &keys, message).await;
            let signature = signed.map_err(|fault| Error::Signer { role, fault })?;
            left.retain(|key| *key != signature.key);
            signatures.push(signature);
        }
        signatures.sort_by_key(|signature| signature.key.id());
        Ok(signatures)
    }
}
