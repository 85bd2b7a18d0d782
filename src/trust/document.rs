//! The trust document: which keys may sign what. It is the only thing that an appliance knows beforehand.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::fields::{self, Malformed, NUMBERS, Object};
use super::{Key, KeyId, Time};
use crate::oci::{Digest, Tag};

/// The only schema of a trust document that exists.
const SCHEMA: &str = "alga.appliance.trust/v1";
/// The only type of key that exists.
const KEY_TYPE: &str = "ecdsa-p256";
/// Largest trust document that is read, in bytes, in its envelope or alone.
pub const DOCUMENT_LIMIT: usize = 64 * 1024;
/// Most keys of a trust document.
const KEYS: usize = 32;
/// Longest lifetime of a statement that a role may allow, in days.
const LONGEST_LIFETIME: u64 = 3650;
/// Longest name of a product, in bytes.
const PRODUCT_LENGTH: usize = 255;
/// Start of the tags of trust documents. A channel with such a name would take their place.
pub const TAG_PREFIX: &str = crate::config::TRUST_TAGS;

/// A trust document whose rules all hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustDocument {
    /// Name of the product that the keys are for.
    pub product: String,
    /// Version of the document. Each version is one more than the version before.
    pub version: u64,
    /// Time at which the document was written.
    pub issued: Time,
    /// Time from which the document does not count any more.
    pub expires: Time,
    /// All keys by their ID, at most 32.
    pub keys: BTreeMap<KeyId, Key>,
    /// Role that signs the next trust document.
    pub root: Role,
    /// Role that signs releases and their artifacts. Its threshold is 1.
    pub release: Role,
    /// Role for each channel, which signs the channel's statements.
    pub channels: BTreeMap<String, ChannelRole>,
    /// Digests of releases that no appliance may install any more.
    pub withdrawn: BTreeSet<Digest>,
}

/// The keys of a role, and how many of them must sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// IDs of the keys that may sign.
    pub keys: BTreeSet<KeyId>,
    /// Number of different keys that must sign.
    pub threshold: usize,
}

/// The role that moves a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRole {
    /// Number of the epoch. A higher one starts the sequence of statements again, after a key was stolen.
    pub epoch: u64,
    /// Keys that sign the channel's statements.
    pub role: Role,
    /// Longest time from `issued` to `expires` of a statement, in days.
    pub max_lifetime_days: u64,
    /// Role that keeps statements fresh. Without it, a new statement is needed for a later expiry.
    pub refresh: Option<RefreshRole>,
}

/// The role that gives a channel's statement a later expiry and cannot move the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshRole {
    /// Keys that sign refreshes.
    pub role: Role,
    /// Longest time from `issued` to `expires` of a refresh, in days.
    pub max_lifetime_days: u64,
}

impl TrustDocument {
    /// Reads a trust document, which may have at most 64 KiB. Keys of the JSON that this program does not know are
    /// ignored, since the document lists in `requires` what a program must know.
    ///
    /// # Errors
    /// Names every rule that does not hold.
    pub fn parse(json: &[u8]) -> Result<Self, Malformed> {
        fields::read("trust document", json, DOCUMENT_LIMIT, |object| {
            // A document of another schema has other rules.
            object.exactly("schema", SCHEMA)?;
            read(object)
        })
    }

    /// Checks the rules of a document that was built instead of parsed.
    ///
    /// # Errors
    /// Names every rule that does not hold.
    pub fn check(&self) -> Result<(), Malformed> {
        Self::parse(&self.to_bytes()).map(drop)
    }

    /// Returns the bytes of the document. The same document always gives the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&Written::of(self)).expect("text keys")
    }

    /// Returns the keys of a role.
    pub fn keys_of<'a>(&'a self, role: &'a Role) -> impl Iterator<Item = (&'a KeyId, &'a Key)> {
        role.keys.iter().filter_map(|id| self.keys.get_key_value(id))
    }

    /// Returns the names of the roles that have the key, for people: `root`, `release`, `channel stable`, `refresh of
    /// stable`.
    pub fn roles_of(&self, key: &KeyId) -> Vec<String> {
        let named = self.roles().into_iter().filter(|(_, _, role)| role.keys.contains(key));
        named.map(|(_, name, _)| name).collect()
    }

    /// Returns every role with the kind of what it signs, and its name for people.
    fn roles(&self) -> Vec<(Signs, String, &Role)> {
        let mut roles =
            vec![(Signs::Root, "root".to_owned(), &self.root), (Signs::Release, "release".to_owned(), &self.release)];
        for (name, channel) in &self.channels {
            roles.push((Signs::Channel, format!("channel {name}"), &channel.role));
            if let Some(refresh) = &channel.refresh {
                roles.push((Signs::Refresh, format!("refresh of {name}"), &refresh.role));
            }
        }
        roles
    }
}

/// The kind of what a role signs. A key has one kind, so that a stolen key does one kind of harm.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Signs {
    Root,
    Release,
    Channel,
    Refresh,
}

fn read(object: &Object<'_>) -> Option<TrustDocument> {
    object.known(&["schema", "product", "version", "issued", "expires", "keys", "roles", "withdrawn", "requires"]);
    // Everything is read before anything is given up, so that every problem is named.
    let product = product(object);
    let version = object.number("version", NUMBERS);
    let times = times(object);
    let keys = object.object("keys").and_then(|keys| read_keys(&keys));
    let roles = object.object("roles").and_then(|roles| read_roles(&roles, keys.as_ref()?));
    let withdrawn = object.set("withdrawn");
    let requires = object.list("requires");
    for (at, value) in requires.into_iter().flatten().enumerate() {
        let found = crate::text::shown(&value.to_string());
        object.problem(
            &format!("requires[{at}]"),
            format!("this version of the program does not know {found}; a newer version is needed"),
        );
    }
    let (keys, (root, release, channels), (issued, expires)) = (keys?, roles?, times?);
    let document = TrustDocument {
        product: product?,
        version: version?,
        issued,
        expires,
        keys,
        root,
        release,
        channels,
        withdrawn: withdrawn?,
    };
    separate(object, &document);
    Some(document)
}

/// Reads the name of the product, by the rule of the configuration.
pub(super) fn product(object: &Object<'_>) -> Option<String> {
    let product = object.text("product")?;
    if product.is_empty() || product.len() > PRODUCT_LENGTH || product.chars().any(char::is_control) {
        let reason = format!("expected a name of 1 to {PRODUCT_LENGTH} characters without control characters");
        object.problem("product", reason);
    }
    Some(product.to_owned())
}

/// Reads `issued` and `expires`.
pub(super) fn times(object: &Object<'_>) -> Option<(Time, Time)> {
    let (issued, expires) = (object.parsed::<Time>("issued"), object.parsed::<Time>("expires"));
    let (issued, expires) = (issued?, expires?);
    if expires <= issued {
        object.problem("expires", format!("expected a time after `issued`, {issued}, found {expires}"));
    }
    Some((issued, expires))
}

fn read_keys(object: &Object<'_>) -> Option<BTreeMap<KeyId, Key>> {
    let mut keys = BTreeMap::new();
    let count = object.keys().count();
    if count > KEYS {
        object.problem("", format!("expected at most {KEYS} keys, found {count}"));
        return None;
    }
    for name in object.keys() {
        let id = name.parse::<KeyId>().map_err(|cause| object.problem(name, cause.to_string())).ok();
        let Some(entry) = object.object(name) else { continue };
        entry.known(&["type", "pem"]);
        let known = entry.exactly("type", KEY_TYPE);
        let Some(pem) = entry.text("pem") else { continue };
        let key = Key::from_pem(pem.as_bytes()).map_err(|cause| entry.problem("pem", cause.to_string())).ok();
        let (Some(id), Some(()), Some(key)) = (id, known, key) else { continue };
        if id != key.id() {
            entry.problem("pem", format!("expected the key with this ID, found the key {}", key.id()));
        }
        keys.insert(id, key);
    }
    Some(keys)
}

type Roles = (Role, Role, BTreeMap<String, ChannelRole>);

fn read_roles(object: &Object<'_>, keys: &BTreeMap<KeyId, Key>) -> Option<Roles> {
    object.known(&["root", "release", "channels"]);
    let root = object.object("root").and_then(|role| read_role(&role, keys));
    let release = object.object("release").and_then(|role| {
        let read = read_role(&role, keys)?;
        if read.threshold != 1 {
            // Verifiers of other projects take one signature for enough.
            role.problem("threshold", format!("expected 1, found {}", read.threshold));
        }
        Some(read)
    });
    let mut channels = BTreeMap::new();
    let object = object.object("channels")?;
    for name in object.keys() {
        if name.parse::<Tag>().is_err() {
            object.problem(name, "invalid name of a channel: expected a tag");
        } else if name.starts_with(TAG_PREFIX) {
            object.problem(name, format!("a channel's name may not begin with `{TAG_PREFIX}`"));
        }
        let channel = object.object(name).and_then(|channel| read_channel(&channel, keys));
        channels.extend(channel.map(|channel| (name.to_owned(), channel)));
    }
    Some((root?, release?, channels))
}

fn read_channel(object: &Object<'_>, keys: &BTreeMap<KeyId, Key>) -> Option<ChannelRole> {
    object.known(&["epoch", "keys", "threshold", "maxLifetimeDays", "refresh"]);
    let epoch = object.number("epoch", NUMBERS);
    let role = read_role(object, keys);
    let max_lifetime_days = object.number("maxLifetimeDays", 1..=LONGEST_LIFETIME);
    let refresh = object.optional_object("refresh").map(|refresh| {
        refresh.known(&["keys", "threshold", "maxLifetimeDays"]);
        let role = read_role(&refresh, keys);
        let max_lifetime_days = refresh.number("maxLifetimeDays", 1..=LONGEST_LIFETIME);
        Some(RefreshRole { role: role?, max_lifetime_days: max_lifetime_days? })
    });
    let refresh = match refresh {
        Some(refresh) => Some(refresh?),
        None => None,
    };
    Some(ChannelRole { epoch: epoch?, role: role?, max_lifetime_days: max_lifetime_days?, refresh })
}

fn read_role(object: &Object<'_>, known: &BTreeMap<KeyId, Key>) -> Option<Role> {
    object.known(&["keys", "threshold"]);
    let keys = object.set::<KeyId>("keys");
    let threshold = object.number("threshold", NUMBERS);
    let (keys, threshold) = (keys?, usize::try_from(threshold?).ok()?);
    for id in keys.iter().filter(|id| !known.contains_key(id)) {
        object.problem("keys", format!("`keys` of the document has no key {id}"));
    }
    if keys.is_empty() {
        object.problem("keys", "expected at least one key");
    } else if threshold > keys.len() {
        let count = crate::text::counted(keys.len(), "key", "keys");
        object.problem("threshold", format!("found {threshold}, but the role has {count}"));
    }
    Some(Role { keys, threshold })
}

/// Adds a problem for each key that signs things of two kinds.
fn separate(object: &Object<'_>, document: &TrustDocument) {
    let mut kinds: BTreeMap<&KeyId, BTreeSet<Signs>> = BTreeMap::new();
    let roles = document.roles();
    for (kind, _, role) in &roles {
        for key in &role.keys {
            kinds.entry(key).or_default().insert(*kind);
        }
    }
    for (key, _) in kinds.iter().filter(|(_, kinds)| kinds.len() > 1) {
        let roles = document.roles_of(key).join(", ");
        object.problem("roles", format!("the key {key} may have one kind of role, found {roles}"));
    }
}

/// A trust document in the order of its keys.
#[derive(Serialize)]
struct Written<'a> {
    schema: &'a str,
    product: &'a str,
    version: u64,
    issued: String,
    expires: String,
    keys: BTreeMap<String, WrittenKey>,
    roles: WrittenRoles<'a>,
    withdrawn: &'a BTreeSet<Digest>,
    requires: [&'a str; 0],
}

#[derive(Serialize)]
struct WrittenKey {
    r#type: &'static str,
    pem: String,
}

#[derive(Serialize)]
struct WrittenRoles<'a> {
    root: WrittenRole,
    release: WrittenRole,
    channels: BTreeMap<&'a str, WrittenChannel>,
}

#[derive(Serialize)]
struct WrittenRole {
    keys: Vec<String>,
    threshold: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenChannel {
    epoch: u64,
    keys: Vec<String>,
    threshold: usize,
    max_lifetime_days: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh: Option<WrittenRefresh>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenRefresh {
    keys: Vec<String>,
    threshold: usize,
    max_lifetime_days: u64,
}

impl WrittenRole {
    fn of(role: &Role) -> Self {
        Self { keys: role.keys.iter().map(ToString::to_string).collect(), threshold: role.threshold }
    }
}

impl WrittenChannel {
    fn of(channel: &ChannelRole) -> Self {
        let WrittenRole { keys, threshold } = WrittenRole::of(&channel.role);
        let refresh = channel.refresh.as_ref().map(|refresh| {
            let WrittenRole { keys, threshold } = WrittenRole::of(&refresh.role);
            WrittenRefresh { keys, threshold, max_lifetime_days: refresh.max_lifetime_days }
        });
        Self { epoch: channel.epoch, keys, threshold, max_lifetime_days: channel.max_lifetime_days, refresh }
    }
}

impl<'a> Written<'a> {
    fn of(document: &'a TrustDocument) -> Self {
        let keys = document.keys.iter();
        let channels = document.channels.iter();
        Self {
            schema: SCHEMA,
            product: &document.product,
            version: document.version,
            issued: document.issued.to_string(),
            expires: document.expires.to_string(),
            keys: keys.map(|(id, key)| (id.to_string(), WrittenKey { r#type: KEY_TYPE, pem: key.to_pem() })).collect(),
            roles: WrittenRoles {
                root: WrittenRole::of(&document.root),
                release: WrittenRole::of(&document.release),
                channels: channels.map(|(name, channel)| (&**name, WrittenChannel::of(channel))).collect(),
            },
            withdrawn: &document.withdrawn,
            requires: [],
        }
    }
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
