//! The changes of a trust document, and what differs between two of its versions.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::error::TrustFileError;
use super::role::RoleName;
use crate::oci::{Digest, Tag};
use crate::ops::Error;
use crate::ops::key::read_public;
use crate::trust::{ChannelRole, Key, KeyId, RefreshRole, Role, TrustDocument};

/// Longest lifetimes of a new role, in days.
pub(super) const STATEMENT_DAYS: u64 = 180;
pub(super) const REFRESH_DAYS: u64 = 14;
/// Fewest digits by which a key is named without its whole ID.
const DIGITS: usize = 8;

/// A change of a trust document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustChange {
    /// Adds the public keys in files to a role.
    AddKeys {
        /// Role that gets the keys.
        role: RoleName,
        /// Versions with public keys.
        files: Vec<PathBuf>,
        /// Whether a role that the document does not have is created.
        creates: bool,
    },
    /// Removes keys from a role. A refresh role without keys is removed as a whole.
    RemoveKeys {
        /// Role that loses the keys.
        role: RoleName,
        /// Versions with public keys, IDs, or at least the first 8 digits of an ID.
        keys: Vec<String>,
    },
    /// Sets how many keys of a role must sign.
    Threshold {
        /// Role that is changed.
        role: RoleName,
        /// Number of keys, at least 1.
        threshold: usize,
    },
    /// Sets how long a statement or a refresh may count.
    Lifetime {
        /// Role of a channel, or its refresh role.
        role: RoleName,
        /// Days from the time of signing.
        days: u64,
    },
    /// Forbids a release on every appliance.
    Withdraw {
        /// Digest of the release.
        release: Digest,
        /// Why, for those who sign the document.
        reason: String,
    },
    /// Starts the sequence of a channel again, so that no statement from before counts.
    NewEpoch {
        /// Name of the channel.
        channel: Tag,
    },
    /// Changes nothing but the expiry.
    Renew,
}

impl TrustChange {
    /// Changes a document.
    ///
    /// # Errors
    /// When a key cannot be read, or the document has no such role or key, or would break a rule.
    pub(super) fn apply(&self, document: &mut TrustDocument) -> Result<(), Error> {
        match self {
            Self::AddKeys { role, files, creates } => {
                if *creates {
                    create(document, role)?;
                }
                for file in files {
                    add(document, role, read_public(file)?)?;
                }
            }
            Self::RemoveKeys { role, keys } => {
                for key in keys {
                    remove(document, role, key)?;
                }
            }
            Self::Threshold { role, threshold } => role_of(document, role)?.threshold = *threshold,
            Self::Lifetime { role, days } => *lifetime(document, role)? = *days,
            Self::Withdraw { release, .. } => drop(document.withdrawn.insert(release.clone())),
            Self::NewEpoch { channel } => {
                role_of(document, &RoleName::Channel(channel.clone()))?;
                document.channels.entry(channel.to_string()).and_modify(|channel| channel.epoch += 1);
            }
            Self::Renew => {}
        }
        if let Some(role) = self.role() {
            check_threshold(document, role)?;
        }
        Ok(())
    }

    fn role(&self) -> Option<&RoleName> {
        match self {
            Self::AddKeys { role, .. } | Self::RemoveKeys { role, .. } | Self::Threshold { role, .. } => Some(role),
            _ => None,
        }
    }
}

/// Refuses a role of which more keys must sign than it has.
pub(super) fn check_threshold(document: &TrustDocument, name: &RoleName) -> Result<(), TrustFileError> {
    match name.of(document) {
        Some(Role { keys, threshold }) if *threshold > keys.len() => {
            Err(TrustFileError::Threshold { role: name.clone(), threshold: *threshold, keys: keys.len() })
        }
        _ => Ok(()),
    }
}

fn role_of<'d>(document: &'d mut TrustDocument, name: &RoleName) -> Result<&'d mut Role, TrustFileError> {
    if name.of(document).is_none() {
        let known = RoleName::all(document).iter().map(ToString::to_string).collect();
        return Err(TrustFileError::NoRole { role: name.clone(), known });
    }
    Ok(name.of_mut(document).expect("the role is there"))
}

/// Creates a role without keys, unless it is there. A refresh role needs its channel.
pub(super) fn create(document: &mut TrustDocument, name: &RoleName) -> Result<(), TrustFileError> {
    let empty = || Role { keys: BTreeSet::new(), threshold: 1 };
    match name {
        RoleName::Channel(channel) => {
            let new = || ChannelRole { epoch: 1, role: empty(), max_lifetime_days: STATEMENT_DAYS, refresh: None };
            document.channels.entry(channel.to_string()).or_insert_with(new);
        }
        RoleName::Refresh(channel) => {
            role_of(document, &RoleName::Channel(channel.clone()))?;
            document.channels.entry(channel.to_string()).and_modify(|channel| {
                channel.refresh.get_or_insert_with(|| RefreshRole { role: empty(), max_lifetime_days: REFRESH_DAYS });
            });
        }
        RoleName::Root | RoleName::Release => {}
    }
    Ok(())
}

/// Adds a key to a role.
pub(super) fn add(document: &mut TrustDocument, name: &RoleName, key: Key) -> Result<(), TrustFileError> {
    role_of(document, name)?.keys.insert(key.id());
    document.keys.insert(key.id(), key);
    Ok(())
}

/// Sets the lifetime of a role.
pub(super) fn lifetime<'d>(document: &'d mut TrustDocument, name: &RoleName) -> Result<&'d mut u64, TrustFileError> {
    role_of(document, name)?;
    let days = match name {
        RoleName::Channel(channel) => {
            document.channels.get_mut(channel.as_str()).map(|channel| &mut channel.max_lifetime_days)
        }
        RoleName::Refresh(channel) => document
            .channels
            .get_mut(channel.as_str())
            .and_then(|channel| channel.refresh.as_mut().map(|refresh| &mut refresh.max_lifetime_days)),
        RoleName::Root | RoleName::Release => None,
    };
    days.ok_or_else(|| TrustFileError::NoLifetime(name.clone()))
}

/// Removes a key from a role, and from the document when no other role has it.
fn remove(document: &mut TrustDocument, name: &RoleName, key: &str) -> Result<(), Error> {
    let role = role_of(document, name)?;
    let id = named_key(role, name, key)?;
    role.keys.remove(&id);
    if role.keys.is_empty() {
        match name {
            RoleName::Refresh(channel) => {
                document.channels.entry(channel.to_string()).and_modify(|channel| channel.refresh = None);
            }
            _ => return Err(TrustFileError::LastKey(name.clone()).into()),
        }
    }
    if document.roles_of(&id).is_empty() {
        document.keys.remove(&id);
    }
    Ok(())
}

/// Finds a key of a role by its file, its ID, or the start of its ID.
fn named_key(role: &Role, name: &RoleName, key: &str) -> Result<KeyId, Error> {
    let unknown = || TrustFileError::NoKey { role: name.clone(), key: key.to_owned() };
    let is_start = key.len() >= DIGITS && key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_start {
        let id = read_public(key.as_ref())?.id();
        return if role.keys.contains(&id) { Ok(id) } else { Err(unknown().into()) };
    }
    let mut found = role.keys.iter().filter(|id| id.to_string().starts_with(key));
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(*id),
        (Some(_), Some(_)) => Err(TrustFileError::SeveralKeys { role: name.clone(), key: key.to_owned() }.into()),
        (None, _) => Err(unknown().into()),
    }
}

/// Returns what differs between two versions of a document, a line each, with whole IDs: people compare them.
pub(super) fn differences(old: &TrustDocument, new: &TrustDocument) -> Vec<String> {
    let mut lines = Vec::new();
    if old.expires != new.expires {
        lines.push(format!("expires: {} -> {}", old.expires, new.expires));
    }
    let names: BTreeSet<RoleName> = RoleName::all(old).into_iter().chain(RoleName::all(new)).collect();
    for name in names {
        match (name.of(old), name.of(new)) {
            (Some(_), None) => lines.push(format!("{name}: the role is removed")),
            (None, Some(role)) => {
                lines.push(format!("{name}: new role, threshold {}", role.threshold));
                lines.extend(role.keys.iter().map(|id| format!("{name}: + {id}")));
            }
            (Some(before), Some(after)) => {
                lines.extend(before.keys.difference(&after.keys).map(|id| format!("{name}: - {id}")));
                lines.extend(after.keys.difference(&before.keys).map(|id| format!("{name}: + {id}")));
                if before.threshold != after.threshold {
                    lines.push(format!("{name}: threshold {} -> {}", before.threshold, after.threshold));
                }
            }
            (None, None) => {}
        }
        for (word, value) in [("lifetime in days", days_of as fn(&TrustDocument, &RoleName) -> _), ("epoch", epoch_of)]
        {
            if let (Some(before), Some(after)) = (value(old, &name), value(new, &name))
                && before != after
            {
                lines.push(format!("{name}: {word} {before} -> {after}"));
            }
        }
    }
    lines.extend(new.withdrawn.difference(&old.withdrawn).map(|digest| format!("withdrawn: + {digest}")));
    lines.extend(old.withdrawn.difference(&new.withdrawn).map(|digest| format!("withdrawn: - {digest}")));
    lines
}

/// Returns the longest lifetime of what a role signs, in days.
pub(super) fn days_of(document: &TrustDocument, name: &RoleName) -> Option<u64> {
    match name {
        RoleName::Channel(channel) => document.channels.get(channel.as_str()).map(|channel| channel.max_lifetime_days),
        RoleName::Refresh(channel) => {
            document.channels.get(channel.as_str())?.refresh.as_ref().map(|refresh| refresh.max_lifetime_days)
        }
        RoleName::Root | RoleName::Release => None,
    }
}

/// Returns the epoch of the role of a channel.
pub(super) fn epoch_of(document: &TrustDocument, name: &RoleName) -> Option<u64> {
    match name {
        RoleName::Channel(channel) => document.channels.get(channel.as_str()).map(|channel| channel.epoch),
        _ => None,
    }
}
