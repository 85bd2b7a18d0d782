//! The git repository that a tree lies in, read without git: commit, time, remote, and whether the files that were read are
//! the committed ones.

use std::collections::BTreeMap;
use std::path::Path;

use gix::bstr::ByteSlice;

use crate::path::join;

use super::{Error, Place, Tree};

/// The commit that a tree is checked out from.
#[derive(Debug)]
pub struct Head {
    repository: gix::Repository,
    /// The tree's root below the repository's, with `/`.
    below: String,
    /// Hex id of the commit.
    pub commit: String,
    /// Committer's time, seconds since 1970.
    pub time: i64,
}

/// How a file differs from the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// The commit holds other bytes.
    Modified,
    /// The commit does not hold it: untracked or ignored.
    Untracked,
    /// The commit holds it, the tree does not.
    Deleted,
}

fn failed(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::io(Place::file(".git"), "reading the git repository", std::io::Error::other(cause))
}

/// Finds the repository that `root` lies in; nothing when there is none, or none with a commit.
///
/// # Errors
/// When a repository is there and cannot be read.
pub fn head(root: &Path) -> Result<Option<Head>, Error> {
    let Ok(repository) = gix::discover(root) else { return Ok(None) };
    let Some(work_tree) = repository.workdir() else { return Ok(None) };
    let absolute = |path: &Path| path.canonicalize().map_err(failed);
    let (work_tree, root) = (absolute(work_tree)?, absolute(root)?);
    let Ok(below) = root.strip_prefix(&work_tree) else { return Ok(None) };
    let below = below.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
    let (commit, time) = match repository.head_commit() {
        Ok(commit) => (commit.id.to_string(), commit.time().map_err(failed)?.seconds),
        Err(_) => return Ok(None),
    };
    Ok(Some(Head { repository, below, commit, time }))
}

impl Head {
    /// The URL of `origin`, else of the only remote, as https without anything secret; nothing for a path on this machine.
    pub fn remote(&self) -> Option<String> {
        let names = self.repository.remote_names();
        let origin = names.iter().find(|name| name.as_slice() == b"origin");
        let name = origin.or_else(|| names.iter().next().filter(|_| names.len() == 1))?;
        let remote = self.repository.find_remote(name.as_bstr()).ok()?;
        let url = remote.url(gix::remote::Direction::Fetch)?;
        public_url(url.scheme.as_str(), url.host()?, url.port, &url.path.to_string())
    }

    /// Which of the files that `tree` gave out are not the committed ones. All of them lie below `roots` (files or
    /// directories); `would_enter` says whether a file that was deleted would have entered what is published.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub fn changes(
        &self,
        tree: &Tree,
        roots: &[&str],
        would_enter: impl Fn(&str) -> bool,
    ) -> Result<BTreeMap<String, Change>, Error> {
        let committed = self.committed(roots)?;
        let inputs = tree.inputs();
        let mut changes = BTreeMap::new();
        for (path, id) in &inputs {
            match committed.get(path) {
                None => drop(changes.insert(path.clone(), Change::Untracked)),
                Some(committed) if committed.as_slice() == id.as_slice() => {}
                Some(committed) if self.equal_after_filters(tree, path, *committed)? => {}
                Some(_) => drop(changes.insert(path.clone(), Change::Modified)),
            }
        }
        for path in committed.keys().filter(|path| !inputs.contains_key(*path) && would_enter(path)) {
            if tree.kind(path)?.is_none() {
                changes.insert(path.clone(), Change::Deleted);
            }
        }
        Ok(changes)
    }

    /// The files of the commit at or below `roots`: path → blob id.
    fn committed(&self, roots: &[&str]) -> Result<BTreeMap<String, gix::ObjectId>, Error> {
        let head = self.repository.head_tree().map_err(failed)?;
        let mut files = BTreeMap::new();
        let mut left = Vec::new();
        for root in roots {
            let below = join(&self.below, root);
            let below = below.trim_matches('/');
            if below.is_empty() {
                left.push((String::new(), head.clone()));
                continue;
            }
            match head.lookup_entry_by_path(below).map_err(failed)? {
                Some(entry) if entry.mode().is_tree() => left.push(((*root).to_owned(), tree_of(entry.object())?)),
                Some(entry) => drop(files.insert((*root).to_owned(), entry.object_id())),
                None => {}
            }
        }
        while let Some((directory, tree)) = left.pop() {
            for entry in tree.iter() {
                let entry = entry.map_err(failed)?;
                let path = join(&directory, &entry.filename().to_string());
                if entry.mode().is_tree() {
                    left.push((path, tree_of(entry.object())?));
                } else if entry.mode().is_blob_or_symlink() {
                    files.insert(path, entry.object_id());
                }
            }
        }
        Ok(files)
    }

    /// A check-out may convert line ends: the file counts as committed when git would commit the same bytes again.
    fn equal_after_filters(&self, tree: &Tree, path: &str, committed: gix::ObjectId) -> Result<bool, Error> {
        let (mut pipeline, index) = self.repository.filter_pipeline(None).map_err(failed)?;
        let below = join(&self.below, path);
        let below = below.trim_start_matches('/');
        let file = std::fs::File::open(tree.root().join(path)).map_err(failed)?;
        let mut converted = pipeline.convert_to_git(file, Path::new(below), &index).map_err(failed)?;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut converted, &mut bytes).map_err(failed)?;
        let id = gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Blob, &bytes).map_err(failed)?;
        Ok(id == committed)
    }
}

fn tree_of<E: std::error::Error + Send + Sync + 'static>(
    object: Result<gix::Object<'_>, E>,
) -> Result<gix::Tree<'_>, Error> {
    object.map_err(failed)?.try_into_tree().map_err(failed)
}

/// `https://HOST/PATH` without user, password, query or `.git`.
fn public_url(scheme: &str, host: &str, port: Option<u16>, path: &str) -> Option<String> {
    let port = match (scheme, port) {
        ("https" | "http", Some(port)) => format!(":{port}"),
        ("https" | "http" | "ssh" | "git", _) => String::new(),
        _ => return None,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic() && c != '@' && c != '"');
    (!path.is_empty() && plain(host) && plain(path)).then(|| format!("https://{host}{port}/{path}"))
}

/// A URL that somebody gave by hand or in the configuration, as it may be published.
///
/// # Errors
/// The reason, when it carries a user, a password or a query: it may be a secret.
pub fn source_url(text: &str) -> Result<String, &'static str> {
    let Some((scheme, rest)) = text.split_once("://") else { return Err("want a URL with a scheme") };
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') || text.contains(['?', '#']) || text.chars().any(|c| !c.is_ascii_graphic()) {
        return Err("it is published: want no user, password, query or fragment in it");
    }
    if scheme.is_empty() || authority.is_empty() { Err("want a URL with a host") } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_are_published_without_anything_secret() {
        let url = |text: &str| {
            let url = gix::url::parse(gix::bstr::BStr::new(text)).unwrap();
            public_url(url.scheme.as_str(), url.host()?, url.port, &url.path.to_string())
        };
        for text in [
            "https://github.com/nine-minds/alga-psa",
            "https://github.com/nine-minds/alga-psa.git",
            "https://user:ghp_secret@github.com/nine-minds/alga-psa.git/",
            "https://github.com/nine-minds/alga-psa.git?token=secret",
            "git@github.com:nine-minds/alga-psa.git",
            "ssh://git@github.com:22/nine-minds/alga-psa",
        ] {
            let published = url(text);
            assert_eq!(published.as_deref(), Some("https://github.com/nine-minds/alga-psa"), "{text}");
        }
        assert_eq!(url("https://git.example.com:8443/a/b").as_deref(), Some("https://git.example.com:8443/a/b"));
        for text in ["/srv/git/a.git", "file:///srv/git/a.git", "../a"] {
            assert_eq!(url(text), None, "{text}");
        }
    }

    #[test]
    fn a_source_that_may_hold_a_secret_is_refused() {
        assert!(source_url("https://github.com/nine-minds/alga-psa").is_ok());
        for text in
            ["https://u:p@github.com/x", "https://github.com/x?token=1", "github.com/x", "https:///x", "https://a b"]
        {
            assert!(source_url(text).is_err(), "{text}");
        }
    }
}
