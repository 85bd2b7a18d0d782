//! The address of a release as people write it: its store, its repository, and its tag or digest there.

use crate::config::Config;
use crate::oci::{Digest, InvalidReference, Location, Prefix, Repository, Selector, has_host};
use crate::text::shown;

/// Why a text is not the address of a release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// The store, the repository, the tag or the digest is invalid.
    #[error(transparent)]
    Part(#[from] InvalidReference),
    /// The text does not have the form of an address.
    #[error(
        "invalid release `{0}`: expected CHANNEL, VERSION, DIGEST, HOST/PATH/REPOSITORY:TAG or HOST/PATH/REPOSITORY@DIGEST"
    )]
    Form(String),
    /// The address names a repository that is outside of the store.
    #[error("invalid release `{name}`: the repository is outside of the store {store}")]
    OutsideStore {
        /// `HOST/PATH/REPOSITORY` as it was written.
        name: String,
        /// The store that was named beside the address.
        store: String,
    },
}

impl InvalidAddress {
    /// The valid address or store that was probably meant.
    pub fn nearest(&self) -> Option<&str> {
        match self {
            Self::Part(invalid) => invalid.nearest(),
            Self::Form(text) => text.split_once("://").map(|(_, rest)| rest).filter(|rest| split(rest).is_ok()),
            Self::OutsideStore { .. } => None,
        }
    }
}

/// The address of a release: where it is read, and by which tag or digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Store that the release is read from.
    pub location: Location,
    /// Repository of the release manifests in the store.
    pub repository: Repository,
    /// Tag (a channel or a version) or digest of the release manifest.
    pub selector: Selector,
}

impl Address {
    /// Parses `CHANNEL`, `VERSION` or `DIGEST` of the configured repository, or `REPOSITORY:TAG` or `REPOSITORY@DIGEST`. The repository may
    /// have `HOST/PATH/` before it; if not, it is in `store` (`--store`), or else below the configured prefix.
    ///
    /// # Errors
    /// When the text has another form, or names a repository that is outside of the store.
    pub fn parse(text: &str, store: Option<&str>, config: &Config, plain_http: bool) -> Result<Self, InvalidAddress> {
        // Helm and Flux write a reference with the scheme `oci://`.
        let (name, selector) = split(text.strip_prefix("oci://").unwrap_or(text))?;
        let location = || Location::parse(store.unwrap_or(&config.prefix), plain_http);
        let (location, repository) = match (name, store) {
            (None, _) => (location()?, config.repositories.release.clone()),
            (Some(name), _) if !name.split_once('/').is_some_and(|(first, _)| has_host(first)) => {
                (location()?, name.parse()?)
            }
            (Some(name), None) => of_registry(name, config, plain_http)?,
            (Some(name), Some(_)) => {
                let location = location()?;
                let repository = match &location {
                    Location::Registry(prefix) => prefix.strip(name),
                    Location::Layout(_) | Location::Archive(_) => None,
                };
                let outside = || InvalidAddress::OutsideStore { name: name.to_owned(), store: location.to_string() };
                let repository = repository.ok_or_else(outside)?;
                (location, repository)
            }
        };
        Ok(Self { location, repository, selector })
    }

    /// Enters the repository of the address into the configuration. A configured prefix that the address or `--store` replaces no longer
    /// counts as given by the caller.
    pub fn enter(&self, config: &mut Config) {
        config.repositories.release = self.repository.clone();
        if let Location::Registry(prefix) = &self.location
            && config.prefix != prefix.to_string()
        {
            config.given.remove("prefix");
        }
    }
}

/// Returns the repository, if the text names one, and the tag or digest.
fn split(text: &str) -> Result<(Option<&str>, Selector), InvalidAddress> {
    let form = || InvalidAddress::Form(shown(text));
    if text.contains("://") {
        return Err(form());
    }
    if let Some((name, digest)) = text.split_once('@') {
        let digest: Digest = digest.parse().map_err(|_| form())?;
        return if name.is_empty() { Err(form()) } else { Ok((Some(name), Selector::Digest(digest))) };
    }
    let last = text.rfind('/').map_or(0, |at| at + 1);
    match text[last..].split_once(':') {
        // `sha256:…` is a digest, not a repository of that name.
        Some((algorithm, _)) if last == 0 && algorithm.starts_with("sha") => Ok((None, text.parse()?)),
        Some((name, tag)) => Ok((Some(&text[..last + name.len()]), Selector::Tag(tag.parse()?))),
        None if last == 0 => Ok((None, text.parse()?)),
        None => Err(form()),
    }
}

/// Splits `HOST/PATH/REPOSITORY` into store and repository: at the configured prefix if the name begins with it, else before the last `/`.
fn of_registry(name: &str, config: &Config, plain_http: bool) -> Result<(Location, Repository), InvalidAddress> {
    if let Ok(prefix) = Prefix::parse(&config.prefix, plain_http)
        && let Some(repository) = prefix.strip(name)
    {
        return Ok((Location::Registry(prefix), repository));
    }
    let (prefix, repository) = name.rsplit_once('/').ok_or_else(|| InvalidAddress::Form(shown(name)))?;
    Ok((Location::Registry(Prefix::parse(prefix, plain_http)?), repository.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, store: Option<&str>) -> Result<(String, String, String), String> {
        let address = Address::parse(text, store, &Config::default(), false).map_err(|cause| cause.to_string())?;
        Ok((address.location.to_string(), address.repository.to_string(), address.selector.to_string()))
    }

    #[test]
    fn a_release_is_named_in_the_configured_repository_or_by_its_full_name() {
        let digest = Digest::of(b"").to_string();
        let in_configured = format!("ghcr.io/nine-minds/releases/alga@{digest}");
        let in_layout = format!("a/b@{digest}");
        for (text, store, place, repository, selector) in [
            ("stable", None, "ghcr.io/nine-minds", "alga-appliance-release", "stable"),
            (digest.as_str(), Some("oci-layout:x"), "oci-layout:x", "alga-appliance-release", digest.as_str()),
            ("localhost:5000/a/b/release:1.0", None, "localhost:5000/a/b", "release", "1.0"),
            (&in_configured, None, "ghcr.io/nine-minds", "releases/alga", &digest),
            ("r.io/release:1", None, "r.io", "release", "1"),
            ("oci://r.io/release:1", None, "r.io", "release", "1"),
            ("r.io/release:1", Some("oci://r.io"), "r.io", "release", "1"),
            ("oci://localhost:5000/a/release:1", None, "localhost:5000/a", "release", "1"),
            ("r.io/a/b/release:1", Some("r.io/a"), "r.io/a", "b/release", "1"),
            ("release:1", Some("oci-layout:x"), "oci-layout:x", "release", "1"),
            (&in_layout, Some("r.io/x"), "r.io/x", "a/b", &digest),
        ] {
            let expected = (place.to_owned(), repository.to_owned(), selector.to_owned());
            assert_eq!(parse(text, store), Ok(expected), "{text} {store:?}");
        }
    }

    #[test]
    fn a_text_that_is_not_the_address_of_a_release_is_refused() {
        for (text, store) in [
            ("", None),
            ("r.io/a/release", None),
            ("@sha256:0", None),
            ("sha256:0", None),
            ("r.io/release:", None),
            ("r.io/Release:1", None),
            ("r.io/a/release:1", Some("r.io/b")),
            ("r.io/a/release:1", Some("oci-layout:x")),
            ("../x:1", Some("oci-layout:x")),
            ("docker://r.io/release:1", None),
            ("docker://r.io/release:1", Some("r.io")),
        ] {
            assert!(parse(text, store).is_err(), "{text} {store:?}");
        }
        assert!(parse("r.io/a/release", None).unwrap_err().starts_with("invalid release `r.io/a/release`: expected"));
        let invalid = Address::parse("docker://r.io/release:1", Some("r.io"), &Config::default(), false).unwrap_err();
        assert_eq!(invalid.nearest(), Some("r.io/release:1"), "{invalid}");
    }

    #[test]
    fn a_store_that_is_given_replaces_the_configured_prefix() {
        let mut config = Config::parse("prefix: r.io/a\n", "x.yaml").expect("valid");
        let address = |text, store| Address::parse(text, store, &config, false).expect("an address");
        let (same, other) = (address("stable", Some("r.io/a")), address("m.io/b/release:1", None));
        same.enter(&mut config);
        assert!(config.given.contains_key("prefix"));
        other.enter(&mut config);
        assert!(!config.given.contains_key("prefix") && config.repositories.release.as_str() == "release");
    }
}
