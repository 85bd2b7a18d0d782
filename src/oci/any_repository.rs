//! A repository together with its registry, for names that may be below a prefix or in another registry.

use std::fmt;
use std::str::FromStr;

use super::reference::{InvalidReference, Prefix, Repository, has_host, invalid};

/// A repository below a store's prefix, or a repository of another registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyRepository {
    /// A repository below the prefix. Its name does not include the prefix.
    Own(Repository),
    /// A repository of another registry, or of the same registry outside the prefix.
    External {
        /// The host and port, without a path.
        registry: Prefix,
        /// The full path in the registry.
        repository: Repository,
    },
}

impl AnyRepository {
    /// Parses `HOST/PATH`: a repository below `prefix` is [`AnyRepository::Own`].
    ///
    /// # Errors
    /// When `name` is not `HOST/PATH`.
    pub(crate) fn of_name(name: &str, prefix: &Prefix) -> Result<Self, InvalidReference> {
        prefix.strip(name).map_or_else(|| external(name), |repository| Ok(Self::Own(repository)))
    }

    /// Turns an external repository below `prefix` into [`AnyRepository::Own`], so that two spellings of one name are
    /// equal.
    #[must_use]
    pub fn below(self, prefix: &Prefix) -> Self {
        let own = self.external_name().and_then(|name| prefix.strip(&name));
        own.map_or(self, Self::Own)
    }

    /// Returns `HOST/PATH`. An own repository is relative to `prefix`.
    pub fn name(&self, prefix: &Prefix) -> String {
        match self {
            Self::Own(repository) => prefix.name_of(repository),
            Self::External { registry, repository } => registry.name_of(repository),
        }
    }

    /// Returns `HOST/PATH` of a repository of another registry, and `None` for an own repository.
    pub(crate) fn external_name(&self) -> Option<String> {
        match self {
            Self::Own(_) => None,
            Self::External { registry, repository } => Some(registry.name_of(repository)),
        }
    }
}

fn external(name: &str) -> Result<AnyRepository, InvalidReference> {
    let (host, path) =
        name.split_once('/').ok_or_else(|| invalid("repository", name, "expected `HOST/PATH`, found no path"))?;
    Ok(AnyRepository::External { registry: Prefix::parse(host, false)?, repository: path.parse()? })
}

/// Takes a name for one of another registry when its first part has a dot or a port, or is `localhost`, as Docker does.
impl FromStr for AnyRepository {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        match text.split_once('/') {
            Some((host, _)) if has_host(host) => external(text),
            _ => text.parse().map(Self::Own),
        }
    }
}

/// Writes the name as [`AnyRepository::from_str`] reads it.
impl fmt::Display for AnyRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(repository) => repository.fmt(f),
            Self::External { registry, repository } => write!(f, "{registry}/{repository}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> AnyRepository {
        text.parse().expect("a repository")
    }

    #[test]
    fn a_name_with_a_host_belongs_to_another_registry() {
        for text in ["app-core", "team/app"] {
            assert!(matches!(parse(text), AnyRepository::Own(_)), "{text}");
        }
        for text in ["docker.io/library/redis", "localhost:5000/a", "localhost/a", "[::1]:5000/a/b"] {
            let repository = parse(text);
            assert_eq!(repository.to_string(), text);
            assert_eq!(repository.external_name().as_deref(), Some(text));
        }
        for text in ["", "A", "r.io/", "r.io/A", "https://r.io/a", "r.io:port/a"] {
            assert!(text.parse::<AnyRepository>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_below_the_prefix_is_own_in_every_spelling() {
        let prefix = Prefix::parse("r.io/team", false).expect("a prefix");
        let own = AnyRepository::Own("app".parse().expect("a repository"));
        assert_eq!(parse("r.io/team/app").below(&prefix), own);
        assert_eq!(AnyRepository::of_name("r.io/team/app", &prefix), Ok(own.clone()));
        assert_eq!(own.name(&prefix), "r.io/team/app");
        let other = parse("r.io/teams/app").below(&prefix);
        assert_eq!(other.external_name().as_deref(), Some("r.io/teams/app"));
        assert_eq!(AnyRepository::of_name("r.io/teams/app", &prefix), Ok(other));
        assert!(AnyRepository::of_name("app", &prefix).is_err());
    }
}
