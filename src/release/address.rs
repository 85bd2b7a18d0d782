//! Where a release is read: its store, its repository, and the tag or digest there, from what a person writes.

use crate::config::Config;
use crate::oci::{Digest, InvalidReference, Location, Prefix, Repository, Selector, has_host};
use crate::text::shown;

/// What is wrong with an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// A part of it is not valid.
    #[error(transparent)]
    Part(#[from] InvalidReference),
    /// It names no release.
    #[error(
        "invalid release `{0}`: expected CHANNEL, VERSION, DIGEST, HOST/PATH/REPOSITORY:TAG or HOST/PATH/REPOSITORY@DIGEST"
    )]
    Form(String),
    /// It names a repository, and the store is another place.
    #[error("invalid release `{name}`: the store {store} has no such repository")]
    OutsideStore {
        /// The repository.
        name: String,
        /// The store.
        store: String,
    },
}

/// Where a release is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The store.
    pub location: Location,
    /// Repository of releases in the store.
    pub repository: Repository,
    /// Channel, version or digest.
    pub selector: Selector,
}

impl Address {
    /// Reads `CHANNEL`, `VERSION` or `DIGEST` of the configured repository, or `REPOSITORY:TAG` and `REPOSITORY@DIGEST` with
    /// `HOST/PATH/` before them, or without it in the `store` (`--store`), which is else the configured prefix.
    ///
    /// # Errors
    /// When the text has another form, or names a repository outside of the store.
    pub fn parse(text: &str, store: Option<&str>, config: &Config, plain_http: bool) -> Result<Self, InvalidAddress> {
        let (name, selector) = split(text)?;
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

    /// Puts the address into the configuration: its repository is that of the releases, and a prefix that the address or `--store`
    /// replaces is not the caller's word any more.
    pub fn enter(&self, config: &mut Config) {
        config.repositories.release = self.repository.clone();
        if let Location::Registry(prefix) = &self.location
            && config.prefix != prefix.to_string()
        {
            config.given.remove("prefix");
        }
    }
}

/// The repository, where one is named, and the tag or digest.
fn split(text: &str) -> Result<(Option<&str>, Selector), InvalidAddress> {
    let form = || InvalidAddress::Form(shown(text));
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

/// A repository of any registry: below the configured prefix where it is there, else the last component.
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
    fn a_release_is_named_in_the_configured_repository_or_by_its_whole_name() {
        let digest = Digest::of(b"").to_string();
        let in_configured = format!("ghcr.io/nine-minds/releases/alga@{digest}");
        let in_layout = format!("a/b@{digest}");
        for (text, store, place, repository, selector) in [
            ("stable", None, "ghcr.io/nine-minds", "alga-appliance-release", "stable"),
            (digest.as_str(), Some("oci-layout:x"), "oci-layout:x", "alga-appliance-release", digest.as_str()),
            ("localhost:5000/a/b/release:1.0", None, "localhost:5000/a/b", "release", "1.0"),
            (&in_configured, None, "ghcr.io/nine-minds", "releases/alga", &digest),
            ("r.io/release:1", None, "r.io", "release", "1"),
            ("r.io/a/b/release:1", Some("r.io/a"), "r.io/a", "b/release", "1"),
            ("release:1", Some("oci-layout:x"), "oci-layout:x", "release", "1"),
            (&in_layout, Some("r.io/x"), "r.io/x", "a/b", &digest),
        ] {
            let expected = (place.to_owned(), repository.to_owned(), selector.to_owned());
            assert_eq!(parse(text, store), Ok(expected), "{text} {store:?}");
        }
    }

    #[test]
    fn an_address_that_names_no_release_is_refused() {
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
        ] {
            assert!(parse(text, store).is_err(), "{text} {store:?}");
        }
        assert!(parse("r.io/a/release", None).unwrap_err().starts_with("invalid release `r.io/a/release`: expected"));
    }

    #[test]
    fn a_store_that_was_named_replaces_the_configured_prefix() {
        let mut config = Config::parse("prefix: r.io/a\n", "x.yaml").expect("valid");
        let address = |text, store| Address::parse(text, store, &config, false).expect("an address");
        let (same, other) = (address("stable", Some("r.io/a")), address("m.io/b/release:1", None));
        same.enter(&mut config);
        assert!(config.given.contains_key("prefix"));
        other.enter(&mut config);
        assert!(!config.given.contains_key("prefix") && config.repositories.release.as_str() == "release");
    }
}
