//! Names of the roles of a trust document, as people write them.

use std::fmt;
use std::str::FromStr;

use crate::oci::Tag;
use crate::trust::{ChannelRole, Role, TrustDocument};

/// A role of a trust document: `root`, `release`, `channel:NAME` or `refresh:NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoleName {
    /// Role that signs trust documents.
    Root,
    /// Role that signs releases and their artifacts.
    Release,
    /// Role that moves a channel.
    Channel(Tag),
    /// Role that gives the statement of a channel a later expiry.
    Refresh(Tag),
}

/// A text that does not name a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid role `{}`: expected `root`, `release`, `channel:NAME` or `refresh:NAME`", .0.escape_debug())]
pub struct InvalidRoleName(String);

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
            Self::Release => f.write_str("release"),
            Self::Channel(channel) => write!(f, "channel:{channel}"),
            Self::Refresh(channel) => write!(f, "refresh:{channel}"),
        }
    }
}

impl FromStr for RoleName {
    type Err = InvalidRoleName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidRoleName(text.to_owned());
        let (kind, channel) = text.split_once(':').unwrap_or((text, ""));
        let channel = || channel.parse::<Tag>().map_err(|_| invalid());
        match kind {
            "root" | "release" if text != kind => Err(invalid()),
            "root" => Ok(Self::Root),
            "release" => Ok(Self::Release),
            "channel" => Ok(Self::Channel(channel()?)),
            "refresh" => Ok(Self::Refresh(channel()?)),
            _ => Err(invalid()),
        }
    }
}

impl RoleName {
    /// Returns the role in a document, if the document has it.
    pub(super) fn of<'d>(&self, document: &'d TrustDocument) -> Option<&'d Role> {
        match self {
            Self::Root => Some(&document.root),
            Self::Release => Some(&document.release),
            Self::Channel(name) => document.channels.get(name.as_str()).map(|channel| &channel.role),
            Self::Refresh(name) => document.channels.get(name.as_str())?.refresh.as_ref().map(|refresh| &refresh.role),
        }
    }

    /// Returns the role in a document for a change.
    pub(super) fn of_mut<'d>(&self, document: &'d mut TrustDocument) -> Option<&'d mut Role> {
        match self {
            Self::Root => Some(&mut document.root),
            Self::Release => Some(&mut document.release),
            Self::Channel(name) => document.channels.get_mut(name.as_str()).map(|channel| &mut channel.role),
            Self::Refresh(name) => {
                document.channels.get_mut(name.as_str())?.refresh.as_mut().map(|refresh| &mut refresh.role)
            }
        }
    }

    /// Returns the roles of a document in the order in which people read them.
    pub(super) fn all(document: &TrustDocument) -> Vec<Self> {
        let mut all = vec![Self::Root, Self::Release];
        for (name, ChannelRole { refresh, .. }) in &document.channels {
            // The names were checked when the document was read.
            let Ok(name) = name.parse::<Tag>() else { continue };
            all.push(Self::Channel(name.clone()));
            all.extend(refresh.as_ref().map(|_| Self::Refresh(name)));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_read_as_it_is_written() {
        for text in ["root", "release", "channel:stable", "refresh:stable", "channel:root", "refresh:release"] {
            assert_eq!(text.parse::<RoleName>().unwrap().to_string(), text);
        }
        for text in ["", "stable", "root:", "release:x", "channel", "channel:", "channel:a b", "refresh:a/b", "Root"] {
            assert!(text.parse::<RoleName>().is_err(), "{text}");
        }
    }
}
