//! Finds the credentials for a registry. Several places are searched in a fixed order. The first place that has
//! credentials wins, and its name is reported. The values are in types that wipe their memory, and no message shows
//! them.

mod auth_file;
mod domain;
mod error;
mod helper;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretBox, SecretString};

use crate::oci::{Credentials, Prefix};
use crate::system::{Environment, Programs, SecretBytes, read_secret};
use auth_file::{AuthFile, Entry};

pub(crate) use domain::same_owner;
pub use error::Error;
pub(crate) use helper::HelperError;

/// Largest credentials file, and longest output of a program that prints credentials, in bytes.
const LIMIT: usize = 1 << 20;
/// User name for a token without one. Registries that accept tokens ignore the name.
const TOKEN_USER: &str = "token";

/// Text in a JSON document that is secret from the moment it is parsed.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(from = "String")]
struct SecretText(SecretString);

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl SecretText {
    fn is_empty(&self) -> bool {
        self.0.expose_secret().is_empty()
    }
}

/// Credentials together with the place where they were found.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// The credentials that are sent to the registry.
    pub credentials: Credentials,
    /// The place where the credentials were found, for people. It contains no secret.
    pub source: String,
}

impl Login {
    fn new(credentials: Credentials, source: impl Into<String>) -> Self {
        Self { credentials, source: source.into() }
    }

    fn anonymous(why: &str) -> Self {
        Self::new(Credentials::Anonymous, format!("none, anonymous{why}"))
    }

    /// Reads the password of a user from a file or a pipe, which `source` names. A line end after the password is
    /// dropped.
    ///
    /// # Errors
    /// When the name has a `:` or a control character, and when the password is not one line of UTF-8 text.
    pub fn read(username: &str, password: impl Read, source: &str) -> Result<Self, Error> {
        let bytes = read_secret(password, LIMIT).map_err(|cause| Error::given(source, cause.to_string()))?;
        Self::basic(username, &bytes, source)
    }

    fn basic(username: &str, password: &SecretBytes, source: &str) -> Result<Self, Error> {
        if username.contains(':') || username.chars().any(char::is_control) {
            return Err(Error::given(source, "invalid user name: expected a name without `:` and control characters"));
        }
        let password = one_line(password, source)?;
        Ok(Self::new(Credentials::Basic { username: username.to_owned(), password }, source))
    }

    /// Returns whether requests are sent without credentials.
    pub(crate) fn is_anonymous(&self) -> bool {
        matches!(self.credentials, Credentials::Anonymous)
    }
}

/// All places that may hold credentials.
#[derive(Clone, Debug)]
pub struct Keychain {
    /// Credentials for the store's own registry only.
    given: Option<Login>,
    /// The credentials files of docker and podman, in this order, whether they exist or not.
    files: Vec<PathBuf>,
    environment: Environment,
    programs: Arc<dyn Programs>,
}

impl Keychain {
    /// Creates a keychain without own credentials. It finds what docker, podman and GitHub's tools store, for any
    /// registry.
    pub fn kept(environment: &Environment, programs: &Arc<dyn Programs>) -> Self {
        let (environment, programs) = (environment.clone(), Arc::clone(programs));
        Self { given: None, files: auth_files(&environment), environment, programs }
    }

    /// Adds the credentials for the store's own registry: `login`, or those in the variables of this program.
    ///
    /// # Errors
    /// When a token in a variable, or in the file that a variable names, cannot be read.
    pub(crate) fn with_own(self, login: Option<Login>) -> Result<Self, Error> {
        let given = match login {
            Some(login) => Some(login),
            None => of_variables(&self.environment)?,
        };
        Ok(Self { given, ..self })
    }

    /// Finds the credentials for the store's own registry.
    ///
    /// # Errors
    /// When a credentials file is invalid, or the helper that it names for this registry fails.
    pub(crate) async fn for_store(&self, prefix: &Prefix) -> Result<Login, Error> {
        match &self.given {
            Some(login) => Ok(login.clone()),
            None => self.for_registry(&prefix.to_string()).await,
        }
    }

    /// Finds the credentials for any registry or repository (`HOST[/PATH]`). Those for the store's own registry are not
    /// used.
    ///
    /// # Errors
    /// In the same cases as [`Self::for_store`].
    pub(crate) async fn for_registry(&self, name: &str) -> Result<Login, Error> {
        for path in &self.files {
            let Some(file) = AuthFile::read(path)? else {
                self.check_named(path)?;
                continue;
            };
            if let Some(found) = self.in_file(&file, name).await? {
                return Ok(found);
            }
        }
        if auth_file::server_of(name) == "ghcr.io" {
            return self.of_github().await;
        }
        Ok(Login::anonymous(""))
    }

    /// Refuses a file that does not exist although a variable names it: anonymous requests would hide the mistake.
    fn check_named(&self, path: &Path) -> Result<(), Error> {
        let is_named = self.environment.path("REGISTRY_AUTH_FILE").is_some_and(|named| named == path);
        match std::fs::metadata(path) {
            Err(cause) if is_named => Err(Error::Named { path: path.to_owned(), reason: cause.to_string() }),
            _ => Ok(()),
        }
    }

    /// Finds the credentials for a registry in a file, or with the helper that the file names.
    async fn in_file(&self, file: &AuthFile, name: &str) -> Result<Option<Login>, Error> {
        if let Some(helper) = file.helper_for(name)
            && let Some(found) = self.ask(file, helper, name).await?
        {
            return Ok(Some(found));
        }
        if let Some((key, entry)) = file.entry_for(name) {
            let source = format!("{}, `{}`", file.path().display(), key.escape_debug());
            return credentials_of(file, key, entry).map(|credentials| Some(Login::new(credentials, source)));
        }
        match file.store() {
            Some(helper) => self.ask(file, helper, name).await,
            None => Ok(None),
        }
    }

    /// Asks a credential helper that a file names.
    async fn ask(&self, file: &AuthFile, helper: &str, name: &str) -> Result<Option<Login>, Error> {
        let program = format!("docker-credential-{helper}");
        let server = auth_file::server_of(name);
        match helper::ask(&*self.programs, &program, &server).await {
            Ok(found) => Ok(found.map(|credentials| {
                Login::new(credentials, format!("{program} for {server}, named by {}", file.path().display()))
            })),
            Err(cause) => Err(Error::Helper { program, server, path: file.path().to_owned(), cause }),
        }
    }

    /// Finds the credentials of GitHub's own tools, which are only valid for GitHub's registry.
    async fn of_github(&self) -> Result<Login, Error> {
        for name in ["GH_TOKEN", "GITHUB_TOKEN"] {
            if let Some(token) = self.environment.text(name) {
                return Login::basic(TOKEN_USER, &secret(token), name);
            }
        }
        // The user did not choose this source, so its failure does not stop the command.
        let arguments = ["auth", "token", "--hostname", "github.com"];
        Ok(match helper::print(&*self.programs, "gh", &arguments, b"").await {
            Ok(ended) if ended.success => Login::basic(TOKEN_USER, &ended.output, "`gh auth token`")
                .unwrap_or_else(|_| Login::anonymous(" (`gh auth token` gave none)")),
            Ok(_) => Login::anonymous(" (`gh auth token` gave none)"),
            Err(cause) if cause.is_absent() => Login::anonymous(""),
            Err(cause) => Login::anonymous(&format!(" (`gh auth token`: {cause})")),
        })
    }
}

/// Reads the credentials in the variables of this program.
fn of_variables(environment: &Environment) -> Result<Option<Login>, Error> {
    let username = environment.text("ALGA_REGISTRY_USERNAME").unwrap_or_else(|| TOKEN_USER.to_owned());
    if let Some(token) = environment.text("ALGA_REGISTRY_TOKEN") {
        return Login::basic(&username, &secret(token), "ALGA_REGISTRY_TOKEN").map(Some);
    }
    let Some(path) = environment.path("ALGA_REGISTRY_TOKEN_FILE") else { return Ok(None) };
    let name = format!("ALGA_REGISTRY_TOKEN_FILE ({})", path.display());
    let place = format!("cannot read {} (ALGA_REGISTRY_TOKEN_FILE)", path.display());
    let token = read_file(&path).map_err(|cause| Error::given(place, cause.to_string()))?;
    Login::basic(&username, &token, &name).map(Some)
}

fn secret(text: String) -> SecretBytes {
    SecretBox::new(Box::new(text.into_bytes()))
}

/// Parses a password from a file or a pipe, which may end with a line end.
fn one_line(bytes: &SecretBytes, place: &str) -> Result<SecretString, Error> {
    let text = std::str::from_utf8(bytes.expose_secret())
        .map_err(|_| Error::given(place, "invalid password or token: expected UTF-8 text"))?;
    let line = text.trim_end_matches(['\r', '\n']);
    if line.is_empty() {
        return Err(Error::given("missing password or token", format!("{place} is empty")));
    }
    if line.contains(['\r', '\n', '\0']) {
        return Err(Error::given(place, "invalid password or token: expected one line"));
    }
    Ok(line.into())
}

fn read_file(path: &Path) -> std::io::Result<SecretBytes> {
    read_secret(std::fs::File::open(path)?, LIMIT)
}

/// Returns the paths of the credentials files of docker, then of podman.
fn auth_files(environment: &Environment) -> Vec<PathBuf> {
    let home = environment.path("HOME");
    let docker = environment.path("DOCKER_CONFIG").or_else(|| home.as_ref().map(|home| home.join(".docker")));
    let mut files: Vec<PathBuf> = docker.into_iter().map(|directory| directory.join("config.json")).collect();
    if let Some(file) = environment.path("REGISTRY_AUTH_FILE") {
        files.push(file);
        return files;
    }
    let runtime = environment.path("XDG_RUNTIME_DIR");
    files.extend(runtime.map(|directory| directory.join("containers/auth.json")));
    files.extend(home.map(|home| home.join(".config/containers/auth.json")));
    files
}

fn credentials_of(file: &AuthFile, key: &str, entry: &Entry) -> Result<Credentials, Error> {
    entry.credentials().ok_or_else(|| Error::Entry { path: file.path().to_owned(), key: key.to_owned() })
}
