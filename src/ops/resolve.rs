//! The names by which people speak of releases.

use super::{Connection, Error};
use crate::config::{Config, nearest};
use crate::oci::{self, Digest, Selector, Tag};
use crate::release::{self, ResolveError, Resolved};

/// Returns whether a word is the name of a channel of the configuration.
pub fn is_channel(config: &Config, word: &str) -> bool {
    config.channels.iter().any(|channel| channel.as_str() == word)
}

/// Returns the channel of the configuration that has this name.
///
/// # Errors
/// [`Error::NoSuchChannel`].
pub fn channel(config: &Config, word: &str) -> Result<Tag, Error> {
    config.channels.iter().find(|channel| channel.as_str() == word).cloned().ok_or_else(|| Error::NoSuchChannel {
        word: word.to_owned(),
        near: nearest(word, config.channels.iter().map(Tag::as_str)),
        known: config.channels.clone(),
    })
}

impl Connection {
    /// Reads the release that a channel, version or digest names; `word` is how the user wrote it.
    ///
    /// # Errors
    /// When there is none, with the nearest name that exists; when the store fails, or holds something else.
    pub async fn resolve(&self, config: &Config, word: &str, selector: &Selector) -> Result<Resolved, Error> {
        match release::resolve(self.read(), &config.repositories.release, selector).await {
            Err(ResolveError::Store(error)) if error.is_not_found() => Err(self.not_there(config, word, error).await),
            other => Ok(other?),
        }
    }

    /// Explains why a name was not found: a channel that serves nothing yet, a typing error, or a version that is not published.
    pub async fn not_there(&self, config: &Config, word: &str, source: oci::Error) -> Error {
        let (word, location) = (word.to_owned(), self.location.to_string());
        if is_channel(config, &word) {
            return Error::NothingPublished { channel: word, location, source };
        }
        if let Some(near) = nearest(&word, config.channels.iter().map(Tag::as_str)) {
            return Error::NoSuchName { word, location, near };
        }
        let mut known: Vec<Tag> = match word.parse::<Digest>() {
            Ok(_) => Vec::new(),
            Err(_) => self.read().tags(&config.repositories.release).await.unwrap_or_default(),
        };
        known.retain(|tag| config.channels.iter().all(|channel| release::keep_alive_sequence(channel, tag).is_none()));
        let near = nearest(&word, known.iter().map(Tag::as_str));
        Error::NoSuchRelease { near, source }
    }
}
