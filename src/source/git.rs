//! Reads the git repository of a source tree without the program git: commit, time and remote, and whether the files that
//! were read are the committed ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gix::bstr::ByteSlice;

use crate::path::join;

use super::{Error, Place, Tree};

/// The commit that a tree is checked out from.
#[derive(Debug)]
pub struct Head {
    repository: gix::Repository,
    /// Path of the tree's root relative to the root of the work tree, with `/`.
    below: String,
    /// Id of the commit, in hex.
    pub commit: String,
    /// Time of the committer, in seconds since 1970.
    pub time: i64,
}

/// The way in which a file differs from the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// The commit has other bytes under this path.
    Modified,
    /// The commit does not have the file, which is untracked or ignored.
    Untracked,
    /// The commit has the file, but the tree does not.
    Deleted,
}

/// The flags that replace git, for hints.
const WITHOUT_GIT: &str =
    "pass `--source-commit HEX` and `--epoch SECONDS`, and `--source-url URL` to record the repository";

fn failed(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    unreadable(Path::new(".git"), cause)
}

fn unreadable(git: &Path, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    let place = Place::file(git.display().to_string());
    Error::io(place, "read the git repository", std::io::Error::other(cause))
        .hint(format!("check the permissions of the repository and run `git fsck`, or {WITHOUT_GIT}"))
}

/// Finds the repository of the tree at `root` and reads the commit that is checked out. The history before that commit is not
/// read, so a shallow clone is enough.
///
/// # Errors
/// When the tree is not in a git repository, or the repository cannot be read or has no commit.
pub fn head(root: &Path) -> Result<Head, Error> {
    let root = root.canonicalize().map_err(|cause| unreadable(root, cause))?;
    let Some(git) = nearest_git(&root) else {
        let reason = "the source tree is not in a git repository, so its commit is not known";
        return Err(Error::usage(Place::file(root.display().to_string()), reason).hint(WITHOUT_GIT));
    };
    refuse_dangling(&git)?;
    if git.is_dir() {
        // `discover` passes over a directory without permission as if it did not exist.
        std::fs::read_dir(&git).map_err(|cause| unreadable(&git, cause))?;
        if ["HEAD", "objects"].iter().any(|name| !git.join(name).exists()) {
            return Err(not_a_repository(&git));
        }
    }
    // `discover` continues in the parent directories of a `.git` that is not a repository, and may find an unrelated one.
    let repository = gix::discover(&root).map_err(|cause| unreadable(&git, cause))?;
    let work_tree = repository.workdir().and_then(|path| path.canonicalize().ok());
    let Some(work_tree) = work_tree.filter(|path| Some(path.as_path()) == git.parent()) else {
        return Err(not_a_repository(&git));
    };
    let below = root.strip_prefix(&work_tree).map_err(|cause| unreadable(&git, cause))?;
    let below = below.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
    if repository.head().map_err(|cause| unreadable(&git, cause))?.is_unborn() {
        let place = Place::file(git.display().to_string());
        let hint = format!("commit the source, or {WITHOUT_GIT}");
        return Err(Error::usage(place, "the git repository has no commit yet").hint(hint));
    }
    let commit = repository.head_commit().map_err(|cause| unreadable(&git, cause))?;
    let (id, time) = (commit.id.to_string(), commit.time().map_err(|cause| unreadable(&git, cause))?.seconds);
    drop(commit);
    Ok(Head { repository, below, commit: id, time })
}

fn not_a_repository(git: &Path) -> Error {
    let hint = format!("repair or remove the directory, or {WITHOUT_GIT}");
    let reason = "not a git repository, so the commit of the source tree is not known";
    Error::usage(Place::file(git.display().to_string()), reason).hint(hint)
}

/// Returns the path of the `.git` that git uses for a directory: the one in the nearest parent directory.
fn nearest_git(root: &Path) -> Option<PathBuf> {
    root.ancestors().map(|directory| directory.join(".git")).find(|git| git.symlink_metadata().is_ok())
}

/// Refuses the `.git` file of a worktree or submodule whose repository does not exist, as in a container that has only the
/// worktree mounted.
fn refuse_dangling(git: &Path) -> Result<(), Error> {
    if !git.is_file() {
        return Ok(());
    }
    let text = std::fs::read_to_string(git).map_err(|cause| unreadable(git, cause))?;
    let Some(target) = text.trim().strip_prefix("gitdir:").map(str::trim) else { return Ok(()) };
    let directory = git.parent().map_or_else(|| PathBuf::from(target), |parent| parent.join(target));
    if directory.exists() {
        return Ok(());
    }
    let reason = format!(
        "the file belongs to a git worktree or submodule whose repository `{}` does not exist here",
        target.escape_debug()
    );
    let hint = format!("make the main repository available at this path, or {WITHOUT_GIT}");
    Err(Error::usage(Place::file(git.display().to_string()), reason).hint(hint))
}

impl Head {
    /// Returns the URL of `origin`, or of the only remote, as an `https` URL without secrets. Returns `None` for a local path.
    pub fn remote(&self) -> Option<String> {
        let names = self.repository.remote_names();
        let origin = names.iter().find(|name| name.as_slice() == b"origin");
        let name = origin.or_else(|| names.iter().next().filter(|_| names.len() == 1))?;
        let remote = self.repository.find_remote(name.as_bstr()).ok()?;
        let url = remote.url(gix::remote::Direction::Fetch)?;
        public_url(url.scheme.as_str(), url.host()?, url.port, &url.path.to_string())
    }

    /// Returns the files that `tree` has read and that differ from the commit. All of them are below `roots` (files or
    /// directories). `would_enter` reports whether a deleted file would have been published.
    ///
    /// # Errors
    /// When objects of the repository cannot be read.
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

    /// Returns the files of the commit at or below `roots`, by path, with their blob ids.
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

    /// Reports whether git would commit the file unchanged. A check-out may have converted line ends, so the bytes on disk may
    /// differ from the committed ones.
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

/// Returns `https://HOST/PATH` without user, password, query or `.git`.
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

/// Checks a source URL from a flag or the configuration. The URL is published, so it must not contain a secret.
///
/// # Errors
/// The reason, when the text is not a URL, or has a user, a password or a query.
pub fn source_url(text: &str) -> Result<String, &'static str> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("expected a URL with a scheme, such as https://HOST/PATH");
    };
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') || text.contains(['?', '#']) || text.chars().any(|c| !c.is_ascii_graphic()) {
        return Err("the URL is published, so it must not have a user, password, query or fragment");
    }
    if scheme.is_empty() || authority.is_empty() {
        Err("expected a URL with a host, such as https://HOST/PATH")
    } else {
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_remote_is_published_without_secrets() {
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
    fn a_source_url_that_may_contain_a_secret_is_refused() {
        assert!(source_url("https://github.com/nine-minds/alga-psa").is_ok());
        for text in
            ["https://u:p@github.com/x", "https://github.com/x?token=1", "github.com/x", "https:///x", "https://a b"]
        {
            assert!(source_url(text).is_err(), "{text}");
        }
    }
}
