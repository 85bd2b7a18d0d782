//! Resolves the names of releases: channels, versions and digests.

use super::{Connection, Error, TrustError};
use crate::config::{Config, TRUST_TAGS};
use crate::oci::{self, Digest, Location, Prefix, Selector, Tag};
use crate::plan::ObservedChannel;
use crate::release::{self, ResolveError, Resolved};
use crate::text::nearest;
use crate::trust::TrustDocument;

/// Returns whether a word is the name of a channel of the configuration.
pub fn is_channel(config: &Config, word: &str) -> bool {
    config.channels.iter().any(|channel| channel.as_str() == word)
}

/// Returns the channel of the configuration that has this name.
///
/// # Errors
/// [`Error::NoSuchChannel`].
pub fn channel(config: &Config, word: &str) -> Result<Tag, Error> {
    if let Ok(name) = word.parse::<Tag>() {
        not_reserved(&name)?;
    }
    config.channels.iter().find(|channel| channel.as_str() == word).cloned().ok_or_else(|| Error::NoSuchChannel {
        word: word.to_owned(),
        near: nearest(word, config.channels.iter().map(Tag::as_str)),
        known: config.channels.clone(),
        creates: false,
    })
}

/// Checks that a channel or a version does not take the tag of a trust document.
///
/// # Errors
/// [`Error::Reserved`].
pub(super) fn not_reserved(name: &Tag) -> Result<(), Error> {
    if name.as_str().starts_with(TRUST_TAGS) { Err(Error::Reserved(name.clone())) } else { Ok(()) }
}

/// Checks that the tag of a channel is not the tag of a version.
///
/// # Errors
/// [`Error::ChannelLikeVersion`].
pub(super) fn not_a_version(name: &Tag, observed: &ObservedChannel) -> Result<(), Error> {
    let serves = observed.serves.as_ref().filter(|serves| serves.record.is_none());
    match serves.map(|serves| Tag::of_version(&serves.version)) {
        Some(Ok(version)) if version == *name => Err(Error::ChannelLikeVersion { name: version }),
        _ => Ok(()),
    }
}

/// Checks that a channel may move: the configuration names it, or the store has it.
///
/// # Errors
/// [`Error::NoSuchChannel`], [`Error::ChannelLikeVersion`].
pub(super) fn recorded_channel(config: &Config, name: &Tag, observed: &ObservedChannel) -> Result<(), Error> {
    not_reserved(name)?;
    let record = observed.serves.as_ref().and_then(|serves| serves.record.as_ref());
    if record.is_some_and(|record| record.name == name.as_str()) {
        return Ok(());
    }
    not_a_version(name, observed)?;
    channel(config, name.as_str()).map(|_| ()).map_err(|error| match error {
        Error::NoSuchChannel { word, near, known, .. } => Error::NoSuchChannel { word, near, known, creates: true },
        error => error,
    })
}

/// Returns the tag of a version that points to the release of another version. A tag of a channel, and one that keeps a
/// move of a channel, name no version. Which channels there are is what the configuration and the trust document say:
/// whoever can write a tag can also write the record of a move.
pub(super) fn other_version<'a>(
    selector: &'a Selector,
    config: &Config,
    document: &TrustDocument,
    resolved: &Resolved,
) -> Option<&'a Tag> {
    let Selector::Tag(tag) = selector else { return None };
    if resolved.release.tag().is_ok_and(|version| version == *tag) {
        return None;
    }
    let signed = document.channels.keys().filter_map(|name| name.parse().ok());
    let mut channels = config.channels.iter().cloned().chain(signed);
    let is_of_channel =
        channels.any(|channel: Tag| channel == *tag || release::keep_alive_sequence(&channel, tag).is_some());
    let text = tag.as_str().replace('_', "+");
    let is_recorded = resolved.record.is_some() && release::compare_versions(&text, &text).is_none();
    (!is_of_channel && !is_recorded).then_some(tag)
}

/// Checks that the tag of a version does not point to the release of another version.
///
/// # Errors
/// [`TrustError::OtherVersion`].
pub(super) fn check_version(
    selector: &Selector,
    config: &Config,
    document: &TrustDocument,
    resolved: &Resolved,
) -> Result<(), TrustError> {
    match other_version(selector, config, document, resolved) {
        Some(tag) => Err(TrustError::OtherVersion { tag: tag.clone(), found: resolved.release.version.clone() }),
        None => Ok(()),
    }
}

/// Returns whether the tag or digest itself was not found, or the whole repository, and not something that the tag leads to.
pub(super) fn is_head(error: &oci::Error, selector: &Selector) -> bool {
    let reference = error.reference();
    reference.ends_with(&selector.to_string()) || !reference.contains('@')
}

/// A release whose manifest is there, and whose JSON is gone or corrupted, or which is corrupted itself.
fn incomplete(word: &str, error: &oci::Error) -> Error {
    let line = format!("release {word} {}: {error}; hint: {SEND_AGAIN}", error.reference());
    Error::Incomplete { version: word.to_owned(), failed: vec![line], checked: 1 }
}

/// Hint for a release that cannot be read.
pub(super) const SEND_AGAIN: &str = "push the release again from the commit that it was published from, with the same flags: `alga-release publish --version VERSION --channel CHANNEL --repair`; if it was copied here, copy it again";

impl Connection {
    /// Reads the release that a channel, version or digest names; `word` is how the user wrote it.
    ///
    /// # Errors
    /// When there is none, with the nearest name that exists; when the store fails, or holds something else.
    pub async fn resolve(&self, config: &Config, word: &str, selector: &Selector) -> Result<Resolved, Error> {
        match release::resolve(self.read(), &config.repositories.release, selector).await {
            Err(ResolveError::Store(error)) if is_head(&error, selector) && error.is_not_found() => {
                Err(self.not_there(config, word).await)
            }
            Err(ResolveError::Store(error)) if matches!(error.kind(), oci::Kind::NotFound | oci::Kind::Mismatch) => {
                Err(incomplete(word, &error))
            }
            other => Ok(other?),
        }
    }

    /// Returns the configuration as it holds for a release: what the release says of itself, else what was given. A tag whose manifest
    /// records a move of the channel of this name is a channel, whatever the configuration says.
    ///
    /// # Errors
    /// [`Error::Disagreement`].
    pub fn described(&self, resolved: &Resolved, selector: &Selector, config: &Config) -> Result<Config, Error> {
        let described = resolved.release.described(config)?;
        self.check_place(resolved, config)?;
        described.notes.iter().for_each(|note| self.note(note));
        let mut config = described.config;
        let recorded = resolved.record.as_ref().map(|record| record.name.as_str());
        if let Selector::Tag(tag) = selector
            && recorded == Some(tag.as_str())
            && !config.channels.contains(tag)
        {
            config.channels.push(tag.clone());
        }
        Ok(config)
    }

    /// A repository of releases may have a path of several parts: where a reference is cut is known once the release is read.
    fn check_place(&self, resolved: &Resolved, config: &Config) -> Result<(), Error> {
        let (Location::Registry(at), Some(description)) = (&self.location, &resolved.release.description) else {
            return Ok(());
        };
        let prefix = Prefix::parse(&description.prefix, false)?;
        match prefix.strip(&at.name_of(&config.repositories.release)) {
            Some(repository) if prefix.to_string() != at.to_string() => {
                Err(Error::OtherStore { store: prefix.to_string(), repository, opened: at.to_string() })
            }
            _ => Ok(()),
        }
    }

    /// Returns why a directory cannot hold releases: it, or the repository of releases in it, does not exist.
    pub(super) fn no_layout(&self, config: &Config) -> Option<Error> {
        let Location::Layout(directory) = &self.location else { return None };
        let (store, repository) = (self.location.to_string(), config.repositories.release.clone());
        if !directory.exists() {
            return Some(Error::NoLayout { store });
        }
        (!directory.join(repository.as_str()).exists()).then_some(Error::NoRepository { store, repository })
    }

    /// Explains why a name was not found: a channel that serves nothing yet, a typing error, or a version that is not published.
    pub async fn not_there(&self, config: &Config, word: &str) -> Error {
        if let Some(error) = self.no_layout(config) {
            return error;
        }
        let (word, location) = (word.to_owned(), self.location.to_string());
        if is_channel(config, &word) {
            if matches!(self.location, Location::Archive(_)) {
                return Error::NoChannelInArchive { channel: word, store: location };
            }
            return Error::NothingPublished { channel: word, location };
        }
        if let near @ Some(_) = nearest(&word, config.channels.iter().map(Tag::as_str)) {
            return Error::NoSuchName { word, location, near };
        }
        let mut known = Vec::new();
        if word.parse::<Digest>().is_err() {
            // A repository of releases may hold very many tags: only those that begin alike are listed.
            for name in [Some(&*word), word.strip_prefix('v')].into_iter().flatten() {
                let start: String = name.chars().take(name.chars().count().div_ceil(2)).collect();
                let tags = self.read().tags_with_prefix(&config.repositories.release, &start).await;
                known.extend(tags.unwrap_or_default());
            }
        }
        known.retain(|tag| config.channels.iter().all(|channel| release::keep_alive_sequence(channel, tag).is_none()));
        let near = nearest(&word, known.iter().map(Tag::as_str));
        Error::NoSuchName { word, location, near }
    }
}
