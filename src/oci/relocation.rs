//! Repositories that are copied to other names, and the replacement of the old names in texts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use super::{InvalidReference, Prefix, Repository, has_host};

/// Hosts under which Docker Hub is known, the usual one first.
const DOCKER_HUB: [&str; 4] = ["docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];
/// First path component of Docker Hub's images with a one-word name.
const LIBRARY: &str = "library";
/// Separators between the parts of a repository name.
const SEPARATORS: [char; 4] = ['.', '_', '-', '/'];

/// The new names of repositories, and the prefixes of the store before and after.
#[derive(Clone, Debug)]
pub struct Relocation {
    /// Old `HOST/PATH` → new `HOST/PATH`, in every spelling of Docker Hub's names.
    names: BTreeMap<String, String>,
    from: Prefix,
    to: Prefix,
}

/// A name in a text that still starts with the old prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// Number of the line, starting at 1.
    pub line: usize,
    /// The name as written, with its tag or digest.
    pub text: String,
}

impl Relocation {
    /// Builds a relocation from old to new names, each `HOST/PATH` without scheme, tag or digest. `from` and `to` are
    /// the prefixes of the store.
    ///
    /// # Errors
    /// When a name is not `HOST/PATH`.
    pub fn new(names: &BTreeMap<String, String>, from: Prefix, to: Prefix) -> Result<Self, InvalidReference> {
        for name in names.keys().chain(names.values()) {
            require_name(name)?;
        }
        let mut all = BTreeMap::new();
        let moved = || names.iter().filter(|(old, new)| old != new);
        for (old, new) in moved() {
            all.extend(hub_spellings(old).into_iter().map(|spelling| (spelling, new.clone())));
        }
        // An explicit name has precedence over one derived from another spelling.
        all.extend(moved().map(|(old, new)| (old.clone(), new.clone())));
        Ok(Self { names: all, from, to })
    }

    /// Returns the prefix of the old names.
    pub fn from(&self) -> &Prefix {
        &self.from
    }

    /// Returns the prefix of the new names.
    pub fn to(&self) -> &Prefix {
        &self.to
    }

    /// Returns the new name of a repository, given as `HOST/PATH` or as Docker reads a name without a host.
    pub fn name(&self, old: &str) -> Option<&str> {
        self.names.get(old).or_else(|| self.names.get(&docker_name(old))).map(String::as_str)
    }

    /// Finds every old name that occurs as a whole name in a text. Returns its position and its new name, in order and
    /// without overlaps.
    pub fn matches<'a>(&'a self, text: &str) -> Vec<(Range<usize>, &'a str)> {
        let mut found = Vec::new();
        for (old, new) in &self.names {
            for (at, _) in text.match_indices(old.as_str()) {
                if starts_name(text, at) && !goes_on(&text[at + old.len()..]) {
                    found.push((at..at + old.len(), new.as_str()));
                }
            }
        }
        found.sort_by_key(|(range, _)| (range.start, usize::MAX - range.end));
        let mut end = 0;
        found.retain(|(range, _)| {
            let free = range.start >= end;
            end = if free { range.end } else { end };
            free
        });
        found
    }

    /// Replaces the old names in a text.
    pub fn replaced<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let matches = self.matches(text);
        if matches.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len() + 16 * matches.len());
        let mut at = 0;
        for (range, new) in matches {
            out.push_str(&text[at..range.start]);
            out.push_str(new);
            at = range.end;
        }
        out.push_str(&text[at..]);
        Cow::Owned(out)
    }

    /// Finds every name with the old prefix that has no new name, and therefore still points to the origin.
    pub fn left(&self, text: &str) -> Vec<Mention> {
        let prefix = self.from.to_string();
        if prefix == self.to.to_string() {
            return Vec::new();
        }
        let mut found = Vec::new();
        let (mut line, mut counted) = (1, 0);
        for (at, _) in text.match_indices(&prefix) {
            let rest = &text[at + prefix.len()..];
            let other_port = !prefix.contains('/') && rest.starts_with(':');
            if !starts_name(text, at) || is_longer_word(rest) || other_port || self.is_new(&text[at..]) {
                continue;
            }
            line += text[counted..at].matches('\n').count();
            counted = at;
            let end = text[at..].find(|c: char| !in_reference(c)).unwrap_or(text.len() - at);
            found.push(Mention { line, text: text[at..at + end].trim_end_matches(['.', ':', ',']).to_owned() });
        }
        found
    }

    fn is_new(&self, text: &str) -> bool {
        self.names.values().any(|new| text.strip_prefix(new.as_str()).is_some_and(|rest| !goes_on(rest)))
    }
}

/// Checks that a name is `HOST/PATH`.
fn require_name(name: &str) -> Result<(), InvalidReference> {
    // A bare host, or one with a scheme, fails as an invalid repository.
    let (host, path) = name.split_once('/').unwrap_or((name, ""));
    path.parse::<Repository>()?;
    Prefix::parse(host, false).map(drop)
}

/// Returns the full name of an image as Docker reads it: without a host on Docker Hub, and a single word in `library`.
pub(crate) fn docker_name(name: &str) -> String {
    let hub = DOCKER_HUB[0];
    let path = match name.split_once('/') {
        Some((host, path)) if DOCKER_HUB.contains(&host) => path,
        Some((host, _)) if has_host(host) => return name.to_owned(),
        _ => name,
    };
    if path.contains('/') { format!("{hub}/{path}") } else { format!("{hub}/{LIBRARY}/{path}") }
}

/// Splits a reference into its name and the rest: tag or digest, with the `:` or `@`.
pub(crate) fn split_name(reference: &str) -> (&str, &str) {
    let name = reference.find('@').unwrap_or(reference.len());
    let path = reference[..name].rfind('/').unwrap_or(0);
    let end = reference[path..name].find(':').map_or(name, |at| path + at);
    reference.split_at(end)
}

/// Returns every spelling, with a host, of a repository on Docker Hub.
fn hub_spellings(name: &str) -> Vec<String> {
    let full = docker_name(name);
    let Some(path) = full.strip_prefix(DOCKER_HUB[0]).and_then(|rest| rest.strip_prefix('/')) else {
        return Vec::new();
    };
    let short = path.strip_prefix(LIBRARY).and_then(|rest| rest.strip_prefix('/'));
    let paths = [Some(path), short].into_iter().flatten();
    paths.flat_map(|path| DOCKER_HUB.map(|host| format!("{host}/{path}"))).collect()
}

fn in_reference(c: char) -> bool {
    c.is_ascii_alphanumeric() || SEPARATORS.contains(&c) || matches!(c, ':' | '@')
}

/// Returns whether a name can start at a position. It can after a `:`, because no reference contains a host there.
fn starts_name(text: &str, at: usize) -> bool {
    let before = &text[..at];
    let Some(last) = before.chars().next_back() else { return true };
    // In quotes or in a script, `\n` is a line end and not a letter.
    let escaped = ["\\n", "\\t", "\\r"].iter().any(|escape| before.ends_with(escape));
    last == ':' || escaped || before.ends_with("://") || !(in_reference(last) || last == '%')
}

/// Returns whether the text after a name makes it part of another name. A variable may do so.
fn goes_on(rest: &str) -> bool {
    let behind = rest.trim_start_matches(SEPARATORS);
    let next = behind.chars().next();
    if behind.len() == rest.len() {
        return next.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '$' | '{' | '*' | '%'));
    }
    let closes = |c: char| {
        c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ',' | ';' | ':' | ')' | ']' | '}' | '>' | '|' | '\\')
    };
    next.is_some_and(|c| !closes(c))
}

/// Returns whether a prefix is only the start of a longer word.
fn is_longer_word(rest: &str) -> bool {
    let next = rest.trim_start_matches(['.', '_', '-']).chars().next();
    next.is_some_and(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
#[path = "relocation_tests.rs"]
mod tests;
