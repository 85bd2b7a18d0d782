//! The roles that a signature may be made for.

use std::fmt;
use std::str::FromStr;

/// What a signature is made for. The trust document says which keys a role has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignerRole {
    /// Changes the trust document.
    Root,
    /// Signs charts, bundles, releases and images.
    Release,
    /// Moves channels to releases.
    Channel,
    /// Extends the lifetime of what a channel serves.
    Refresh,
}

impl SignerRole {
    /// Every role, in the order in which messages list them.
    pub const ALL: [Self; 4] = [Self::Root, Self::Release, Self::Channel, Self::Refresh];

    /// Returns the word for the role on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Release => "release",
            Self::Channel => "channel",
            Self::Refresh => "refresh",
        }
    }
}

impl fmt::Display for SignerRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A word that is not a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown role `{}`: expected `root`, `release`, `channel` or `refresh`", .0.escape_debug())]
pub struct InvalidSignerRole(String);

impl FromStr for SignerRole {
    type Err = InvalidSignerRole;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.word() == word).ok_or_else(|| InvalidSignerRole(word.to_owned()))
    }
}
