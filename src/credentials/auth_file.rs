//! Docker's `config.json` and podman's `auth.json`, which have the same format with different conventions. Messages
//! never quote their content.
//!
//! <https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md>

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::{ExposeSecret, SecretBox};

use super::{Error, SecretText, read_file};
use crate::oci::Credentials;
use crate::system::SecretBytes;

/// Base64 with or without padding, as docker and podman decode it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Key of Docker Hub's credentials.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// A file with credentials of docker or podman.
#[derive(Debug)]
pub(super) struct AuthFile {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Content {
    auths: Option<BTreeMap<String, Entry>>,
    cred_helpers: Option<BTreeMap<String, String>>,
    creds_store: Option<String>,
}

/// The entry for one registry.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Entry {
    auth: Option<SecretText>,
    username: Option<String>,
    password: Option<SecretText>,
    identitytoken: Option<SecretText>,
}

impl AuthFile {
    /// Reads a file. Returns `None` when the file does not exist or is empty.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let broken = |reason: String| Error::File { path: path.to_owned(), reason };
        let bytes = match read_file(path) {
            Ok(bytes) => bytes,
            Err(cause) if matches!(cause.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(cause) => return Err(broken(cause.to_string())),
        };
        let bytes = bytes.expose_secret();
        if bytes.trim_ascii().is_empty() {
            return Ok(None);
        }
        // The parser's message may quote the content.
        let content: Content = serde_json::from_slice(bytes).map_err(|cause| {
            let what = if cause.is_data() { "not in the format of docker and podman" } else { "not JSON" };
            broken(format!("{what} at line {}, column {}", cause.line(), cause.column()))
        })?;
        let helpers = content.cred_helpers.iter().flat_map(BTreeMap::values).chain(&content.creds_store);
        if helpers.into_iter().any(|helper| helper.contains(['/', '\\', '\0'])) {
            return Err(broken("invalid name of a credential helper: expected a name, not a path".to_owned()));
        }
        Ok(Some(Self { path: path.to_owned(), content }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the credential helper for this registry only.
    pub(crate) fn helper_for(&self, name: &str) -> Option<&str> {
        let helpers = self.content.cred_helpers.as_ref()?;
        longest(helpers, name, |helper| !helper.is_empty()).map(|(_, helper)| helper.as_str())
    }

    /// Returns the entry for a registry. Empty entries, which credential helpers leave behind, do not count.
    pub(crate) fn entry_for(&self, name: &str) -> Option<(&str, &Entry)> {
        longest(self.content.auths.as_ref()?, name, |entry| !entry.is_empty())
    }

    /// Returns the credential helper for all other registries.
    pub(super) fn store(&self) -> Option<&str> {
        self.content.creds_store.as_deref().filter(|helper| !helper.is_empty())
    }
}

impl Entry {
    fn is_empty(&self) -> bool {
        let absent = |text: &Option<SecretText>| text.as_ref().is_none_or(SecretText::is_empty);
        absent(&self.auth) && absent(&self.password) && absent(&self.identitytoken)
    }

    /// Returns the credentials of the entry, or `None` when `auth` is invalid.
    pub(super) fn credentials(&self) -> Option<Credentials> {
        if let Some(token) = self.identitytoken.as_ref().filter(|token| !token.is_empty()) {
            return Some(Credentials::IdentityToken(token.0.clone()));
        }
        let Some(auth) = self.auth.as_ref().filter(|auth| !auth.is_empty()) else {
            let username = self.username.clone().unwrap_or_default();
            return self.password.clone().map(|password| Credentials::Basic { username, password: password.0 });
        };
        let decoded: SecretBytes = SecretBox::new(Box::new(BASE64.decode(auth.0.expose_secret().trim()).ok()?));
        let (username, password) = std::str::from_utf8(decoded.expose_secret()).ok()?.split_once(':')?;
        // Docker pads passwords with zero bytes.
        let password = password.trim_end_matches('\0');
        Some(Credentials::Basic { username: username.to_owned(), password: password.into() })
    }
}

/// Returns the entry with the longest key that equals `name` or a leading part of its path.
fn longest<'a, T>(
    entries: &'a BTreeMap<String, T>,
    name: &str,
    usable: impl Fn(&T) -> bool,
) -> Option<(&'a str, &'a T)> {
    let name = canonical(name);
    let usable = entries.iter().filter(|(_, entry)| usable(entry));
    let matching = usable.filter_map(|(key, entry)| {
        let wanted = canonical(key);
        let matches = name.strip_prefix(&wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        // A bare key has precedence over one with a scheme, as old versions of docker wrote them.
        matches.then_some(((wanted.len(), !key.contains("://")), key.as_str(), entry))
    });
    matching.max_by_key(|(rank, ..)| *rank).map(|(_, key, entry)| (key, entry))
}

/// Returns `HOST[/PATH]` of a key. A key with a scheme is the address of a registry, whose path does not name
/// repositories.
fn canonical(key: &str) -> String {
    let name = match key.split_once("://") {
        Some((_, address)) => address.split('/').next().unwrap_or_default(),
        None => key.trim_end_matches('/'),
    };
    let (host, path) = name.split_once('/').map_or((name, None), |(host, path)| (host, Some(path)));
    let host = match host.to_ascii_lowercase() {
        host if ["index.docker.io", "registry-1.docker.io"].contains(&host.as_str()) => "docker.io".to_owned(),
        host => host,
    };
    path.map_or_else(|| host.clone(), |path| format!("{host}/{path}"))
}

/// Returns the server name that a credential helper is asked for.
pub(crate) fn server_of(name: &str) -> String {
    let name = canonical(name);
    match name.split('/').next().unwrap_or_default() {
        "docker.io" => DOCKER_HUB.to_owned(),
        host => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(json: &str) -> AuthFile {
        AuthFile { path: PathBuf::from("config.json"), content: serde_json::from_str(json).unwrap() }
    }

    #[test]
    fn the_longest_key_wins() {
        let entry = |user: &str| format!(r#"{{"username":"{user}","password":"p"}}"#);
        let keys =
            ["r.example", "r.example/a", "r.example/a/b", "r.example:5000", "https://old.example/v1/", "r.example/ab/"];
        let entries: Vec<String> = keys.iter().map(|key| format!("\"{key}\":{}", entry(key))).collect();
        let file = file(&format!(r#"{{"auths":{{{}}}}}"#, entries.join(",")));
        let key = |name: &str| file.entry_for(name).map(|(key, _)| key);
        assert_eq!(key("r.example/a/b/c"), Some("r.example/a/b"));
        assert_eq!(key("r.example/a/bc"), Some("r.example/a"));
        assert_eq!(key("r.example/ab"), Some("r.example/ab/"));
        assert_eq!(key("r.example/z"), Some("r.example"));
        assert_eq!(key("r.example:5000/a"), Some("r.example:5000"));
        assert_eq!(key("R.Example/a/x"), Some("r.example/a"));
        assert_eq!(key("old.example/any"), Some("https://old.example/v1/"));
        assert_eq!(key("example/a"), None);
        assert_eq!(key("r.example:50"), None);
    }

    #[test]
    fn docker_hub_is_found_under_all_its_names() {
        let file = file(r#"{"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"}},"credHelpers":{"docker.io":"x"}}"#);
        for name in ["docker.io/library/redis", "index.docker.io/a", "registry-1.docker.io/a"] {
            assert_eq!((file.entry_for(name).is_some(), file.helper_for(name)), (true, Some("x")), "{name}");
            assert_eq!(server_of(name), DOCKER_HUB);
        }
        assert_eq!(server_of("r.example:5000/a/b"), "r.example:5000");
    }

    #[test]
    fn entries_are_parsed_in_every_form() {
        let credentials = |json: &str| {
            let entry: Entry = serde_json::from_str(json).unwrap();
            match entry.credentials() {
                Some(Credentials::Basic { username, password }) => format!("{username}|{}", password.expose_secret()),
                Some(Credentials::IdentityToken(token)) => format!("token|{}", token.expose_secret()),
                _ => "nothing".to_owned(),
            }
        };
        assert_eq!(credentials(r#"{"auth":"dTpw"}"#), "u|p");
        assert_eq!(credentials(r#"{"auth":"dTpwOnE="}"#), "u|p:q");
        assert_eq!(credentials(r#"{"auth":"dTpwOnE"}"#), "u|p:q");
        assert_eq!(credentials(r#"{"username":"a","password":"b"}"#), "a|b");
        assert_eq!(credentials(r#"{"auth":"dTpw","identitytoken":"i"}"#), "token|i");
        for broken in ["*", "dXA=", "/w=="] {
            assert_eq!(credentials(&format!(r#"{{"auth":"{broken}"}}"#)), "nothing", "{broken}");
        }
    }

    #[test]
    fn empty_entries_of_a_credential_helper_do_not_count() {
        let file =
            file(r#"{"auths":{"a.example":{},"b.example":{"auth":""}},"credsStore":"desktop","credHelpers":null}"#);
        assert!(file.entry_for("a.example").is_none() && file.entry_for("b.example").is_none());
        assert_eq!((file.store(), file.helper_for("a.example")), (Some("desktop"), None));
    }
}
