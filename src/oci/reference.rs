//! The names of stored content: prefixes, repositories, tags and references. They are parsed once, where they enter the
//! program.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Digest, near_miss};

/// A text that is not a valid name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} `{text}`: {reason}")]
pub struct InvalidReference {
    what: &'static str,
    text: String,
    reason: &'static str,
    near: Option<String>,
}

impl InvalidReference {
    /// The valid text that was probably meant.
    pub fn nearest(&self) -> Option<&str> {
        self.near.as_deref()
    }

    /// The invalid text, shortened to 200 characters.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Names all kinds of stores where a text is not the name of a registry, which is one of them.
    pub(super) fn of_store(self) -> Self {
        match self.what {
            "registry" if self.reason.starts_with("expected") => Self {
                what: "store",
                reason: "expected `HOST[:PORT][/PATH]`, `oci-layout:DIR` or `oci-archive:FILE`",
                ..self
            },
            _ => self,
        }
    }

    pub(super) fn meaning(self, near: Option<String>) -> Self {
        Self { near, ..self }
    }
}

pub(super) fn invalid(what: &'static str, text: &str, reason: &'static str) -> InvalidReference {
    let text = text.chars().take(200).collect::<String>().escape_debug().to_string();
    InvalidReference { what, text, reason, near: None }
}

macro_rules! text_type {
    ($name:ident) => {
        impl $name {
            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidReference;
            fn try_from(text: String) -> Result<Self, InvalidReference> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }
    };
}

/// The path of a repository in a registry: `team/app`.
///
/// <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests>
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Repository(String);
text_type!(Repository);

impl Repository {
    /// Returns the repository `name` below this one.
    ///
    /// # Errors
    /// When `name` is not a valid repository path.
    pub fn join(&self, name: &str) -> Result<Self, InvalidReference> {
        format!("{}/{name}", self.0).parse()
    }

    /// Returns the name under which a directory keeps `repository` of another registry. It is not a valid name for an
    /// own repository.
    pub fn kept(registry: &Prefix, repository: &Self) -> Self {
        Self(format!("_external/{}/{}", registry.host().replace(':', "_"), registry.full_path(repository)))
    }

    /// Returns the last component of the path.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

/// Returns whether the text matches `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_path_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = |b: Option<&u8>| b.is_some_and(|b| alphanumeric(*b));
    ends(bytes.first())
        && ends(bytes.last())
        && text.split(|c: char| alphanumeric(u8::try_from(c).unwrap_or(0))).all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || (separator.bytes().all(|b| b == b'-') && separator.is_ascii())
        })
}

impl FromStr for Repository {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        if text.len() > 255 {
            return Err(invalid("repository", text, "expected at most 255 characters"));
        }
        if !text.split('/').all(is_path_component) {
            return Err(invalid(
                "repository",
                text,
                "expected lowercase letters, digits and single separators (`.`, `_`, `-`) between `/`",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A tag of a manifest: `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);
text_type!(Tag);

impl Tag {
    /// Returns the tag of a version. A `+` is not allowed in tags and becomes `_`, as is usual.
    ///
    /// # Errors
    /// When the version contains another character that tags do not allow.
    pub(crate) fn of_version(version: &str) -> Result<Self, InvalidReference> {
        version.replace('+', "_").parse()
    }
}

impl FromStr for Tag {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let valid = text.bytes().next().is_some_and(word)
            && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
            && text.len() <= 128;
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(invalid(
                "tag",
                text,
                "expected at most 128 letters, digits, `_`, `.` and `-`, not starting with `.` or `-`",
            ))
        }
    }
}

/// Selects a manifest of a repository, by tag or by digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The manifest that the tag points to now.
    Tag(Tag),
    /// The manifest with this digest, which never changes.
    Digest(Digest),
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl FromStr for Selector {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        if text.contains(':') {
            text.parse()
                .map(Self::Digest)
                .map_err(|_| invalid("digest", text, "expected `sha256:` followed by 64 lowercase hex digits"))
        } else {
            text.parse().map(Self::Tag)
        }
    }
}

/// A registry and a path in it, which the names of a store's repositories are relative to: `ghcr.io/example`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    host: String,
    path: Option<Repository>,
    plain_http: bool,
}

impl Prefix {
    /// Parses `[oci://|http://|https://]HOST[:PORT][/PATH]`. Without a scheme, or with the scheme `oci://`, loopback names
    /// use plain HTTP and all others HTTPS; `plain_http` selects plain HTTP for all of them. Only the text decides, since
    /// it becomes part of published bytes.
    ///
    /// # Errors
    /// When the host, the port or the path is invalid.
    pub fn parse(text: &str, plain_http: bool) -> Result<Self, InvalidReference> {
        Self::read(text, plain_http).map_err(|invalid| invalid.meaning(near_miss::registry(text)))
    }

    /// Parses without a suggestion in the error.
    pub(super) fn read(text: &str, plain_http: bool) -> Result<Self, InvalidReference> {
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Some(true), rest),
            Some(("https", rest)) => (Some(false), rest),
            Some(("oci", rest)) => (None, rest),
            Some(_) => return Err(invalid("registry", text, "expected `HOST[:PORT][/PATH]`")),
            None => (None, text),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, path) = match rest.split_once('/') {
            Some((host, path)) => (host, Some(path.parse()?)),
            None => (rest, None),
        };
        let name = host_name(host).ok_or_else(|| invalid("registry", text, "expected a valid host name and port"))?;
        let plain_http = scheme.unwrap_or(plain_http || is_loopback(name));
        Ok(Self { host: host.to_owned(), path, plain_http })
    }

    /// Returns host and port as written.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns whether the registry is reached without TLS.
    pub fn plain_http(&self) -> bool {
        self.plain_http
    }

    /// Returns whether the host name refers to this machine, without resolving it.
    pub(crate) fn is_loopback(&self) -> bool {
        host_name(&self.host).is_some_and(is_loopback)
    }

    /// Returns the full path of a repository of this prefix in its registry.
    pub fn full_path(&self, repository: &Repository) -> String {
        match &self.path {
            Some(path) => format!("{path}/{repository}"),
            None => repository.to_string(),
        }
    }

    /// Returns `HOST/PATH/REPOSITORY`, the name of a repository outside this prefix.
    pub fn name_of(&self, repository: &Repository) -> String {
        format!("{}/{}", self.host, self.full_path(repository))
    }

    /// Returns the repository that `name` (`HOST/PATH/REPOSITORY`) refers to, when it is below this prefix.
    pub fn strip(&self, name: &str) -> Option<Repository> {
        name.strip_prefix(&self.to_string())?.strip_prefix('/')?.parse().ok()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.path.as_ref().map_or(Ok(()), |path| write!(f, "/{path}"))
    }
}

/// Returns the host without its port, when both are valid.
fn host_name(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']')?;
            name.parse::<std::net::Ipv6Addr>().ok()?;
            (name, port)
        }
        None => host.find(':').map_or((host, ""), |at| host.split_at(at)),
    };
    let valid_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    let valid_name = name.contains(':')
        || name.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        });
    (valid_port && valid_name).then_some(name)
}

/// Returns whether the first part of a name is a host, by the rule that Docker uses.
pub(crate) fn has_host(first: &str) -> bool {
    first.contains(['.', ':', '[']) || first == "localhost"
}

/// Returns whether a host name refers to this machine, without resolving it.
pub(super) fn is_loopback(name: &str) -> bool {
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A reference to a manifest by digest: `HOST/PATH@sha256:…`. Its type shows where only immutable content is accepted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pinned {
    /// Name of the repository, `HOST/PATH`.
    pub repository: String,
    /// Digest of the manifest in the repository.
    pub digest: Digest,
}

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.digest)
    }
}

impl From<Pinned> for String {
    fn from(pinned: Pinned) -> String {
        pinned.to_string()
    }
}

impl TryFrom<String> for Pinned {
    type Error = InvalidReference;

    fn try_from(text: String) -> Result<Self, InvalidReference> {
        match text.parse::<Reference>()? {
            Reference { repository, digest: Some(digest), .. } => Ok(Self { repository, digest }),
            Reference { .. } => Err(invalid("pinned reference", &text, "expected `<repository>@sha256:<hex>`")),
        }
    }
}

/// A reference to a manifest in any registry: `HOST/PATH[:TAG][@DIGEST]`. The host is required.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Name of the repository, `HOST/PATH`.
    pub repository: String,
    /// The tag after the `:`.
    pub tag: Option<Tag>,
    /// The digest after the `@`.
    pub digest: Option<Digest>,
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest =
                    digest.parse().map_err(|_| invalid("reference", text, "expected `@sha256:<hex>` at the end"))?;
                (name, Some(digest))
            }
            None => (text, None),
        };
        let after_path = name.rfind('/').unwrap_or(0);
        let (repository, tag) = match name[after_path..].split_once(':') {
            Some((last, tag)) => (&name[..after_path + last.len()], Some(tag.parse()?)),
            None => (name, None),
        };
        let host = repository.split('/').next().unwrap_or_default();
        if !has_host(host) || !repository.contains('/') || repository.ends_with('/') || text.contains("://") {
            return Err(invalid("reference", text, "expected `HOST/PATH:TAG` or `HOST/PATH@sha256:<hex>`"));
        }
        Prefix::parse(repository, false)?;
        Ok(Self { repository: repository.to_owned(), tag, digest })
    }
}

#[cfg(test)]
#[path = "reference_tests.rs"]
mod tests;
