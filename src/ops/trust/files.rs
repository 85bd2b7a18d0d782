//! The files of a trust document: the version in force, and beside it the next version as long as it is prepared.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::draft::Draft;
use super::error::TrustFileError;
use crate::ops::key::{PUBLIC_MODE, write};
use crate::ops::signing::read_file;
use crate::ops::{Error, TrustError};
use crate::trust::TrustDocument;

/// File that a command takes without `--trust FILE`, where the configuration names none.
const DEFAULT: &str = "trust.json";

/// The documents in the files, and where the files are.
#[derive(Clone, Debug)]
pub(super) struct Versions {
    pub(super) path: PathBuf,
    pub(super) current: Draft,
    pub(super) next: Option<Draft>,
}

/// Which of the two files a document is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The file that `--trust` names.
    Current,
    /// The file beside it, with `.next` before its extension.
    Next,
}

impl Versions {
    /// Reads the files. The draft is left out when its version is in force already.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let current = read_file(path, Draft::parse)?;
        let next_path = next_path(path);
        let next = match read_file(&next_path, Draft::parse) {
            Ok(next) => Some(next),
            Err(TrustError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let next = next.filter(|next| next.payload() != current.payload());
        if let Some(next) = &next {
            let (path, held) = (next_path, path.to_owned());
            let follows = next.document.follows(&current.document);
            follows.map_err(|cause| TrustFileError::Unrelated { path, held, cause })?;
        }
        Ok(Self { path: path.to_owned(), current, next })
    }

    /// Returns the place of the newest document.
    pub(super) fn newest(&self) -> Place {
        if self.next.is_some() { Place::Next } else { Place::Current }
    }

    /// Returns the document in a place, which is there.
    pub(super) fn at(&self, place: Place) -> &Draft {
        match (place, &self.next) {
            (Place::Next, Some(next)) => next,
            _ => &self.current,
        }
    }

    /// Returns the document before the one in a place, as far as the files have it.
    pub(super) fn before(&self, place: Place) -> Option<&TrustDocument> {
        (place == Place::Next).then_some(&self.current.document)
    }

    /// Returns the path of a place.
    pub(super) fn path_of(&self, place: Place) -> PathBuf {
        match place {
            Place::Current => self.path.clone(),
            Place::Next => next_path(&self.path),
        }
    }

    /// Returns the command line of the next step. It names the file, unless the file has the default name.
    pub(super) fn step(&self, command: &str) -> String {
        let path = self.path.display().to_string();
        let is_plain = |text: &str| text.chars().all(|one| one.is_ascii_alphanumeric() || "/._-".contains(one));
        match path.as_str() {
            DEFAULT => format!("alga-release trust {command}"),
            path if is_plain(path) => format!("alga-release trust {command} --trust {path}"),
            path => format!("alga-release trust {command} --trust '{}'", path.replace('\'', "'\\''")),
        }
    }

    /// Writes a document to a place, as a whole.
    pub(super) fn write(&mut self, place: Place, draft: Draft) -> Result<(), Error> {
        write(&self.path_of(place), &draft.to_file(), PUBLIC_MODE, true)?;
        match place {
            Place::Current => self.current = draft,
            Place::Next => self.next = Some(draft),
        }
        Ok(())
    }

    /// Replaces the document in force by the next one, after it was published.
    pub(super) fn advance(&mut self) -> Result<(), Error> {
        if let Some(next) = self.next.take() {
            self.write(Place::Current, next.without_reasons())?;
        }
        // A run that was ended in between leaves a draft that is in force already.
        match std::fs::remove_file(next_path(&self.path)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(crate::signing::Error::Write { path: next_path(&self.path), source }.into())
            }
            _ => Ok(()),
        }
    }

    /// Checks that enough root keys signed the document in a place: its own, and those of the document before.
    pub(super) fn check_signed(&self, place: Place) -> Result<(), TrustFileError> {
        let draft = self.at(place);
        for of in [Some(&draft.document), self.before(place)].into_iter().flatten() {
            let signed = draft.signers(of);
            if signed.len() < of.root.threshold {
                return Err(TrustFileError::Incomplete {
                    path: self.path_of(place),
                    version: draft.document.version,
                    of: of.version,
                    threshold: of.root.threshold,
                    found: signed.len(),
                    missing: of.root.keys.difference(&signed).copied().collect(),
                });
            }
        }
        Ok(())
    }
}

/// Returns the path of the draft beside a trust document: `trust.next.json` beside `trust.json`.
pub(super) fn next_path(path: &Path) -> PathBuf {
    let mut name: OsString = path.file_stem().unwrap_or_default().to_owned();
    name.push(".next");
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_draft_is_beside_the_document() {
        for (path, next) in [
            ("trust.json", "trust.next.json"),
            ("a/b.c/root", "a/b.c/root.next"),
            ("/keys/trust.v1.json", "/keys/trust.v1.next.json"),
        ] {
            assert_eq!(next_path(Path::new(path)), Path::new(next));
        }
    }
}
