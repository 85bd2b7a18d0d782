//! Who asks a registry. Credentials lie in many places; they are tried in a fixed order, the first that has some wins, and
//! which one it was is said. Their values are never printed: they are in wiped types from the moment they are read.

mod auth_file;
mod program;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alga_release::oci::{Credentials, Prefix};
use secrecy::{ExposeSecret, SecretBox, SecretString};

use crate::args::StoreArgs;
use crate::environment::{path_variable, variable};
use crate::failure::Failure;
use auth_file::{AuthFile, Entry};

/// Largest file with credentials, and most that is read of a program that gives some.
const LIMIT: usize = 1 << 20;
/// How long a program that gives credentials may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The user that goes with a token where nobody named one: registries that take tokens do not look at it.
const TOKEN_USER: &str = "token";

/// Bytes that are wiped when they are dropped.
type SecretBytes = SecretBox<Vec<u8>>;

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

/// Credentials, and where they were.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub credentials: Credentials,
    /// For people: never a value.
    pub source: String,
}

impl Found {
    fn new(credentials: Credentials, source: impl Into<String>) -> Self {
        Self { credentials, source: source.into() }
    }

    pub fn is_anonymous(&self) -> bool {
        matches!(self.credentials, Credentials::Anonymous)
    }
}

/// Every place where credentials may be.
#[derive(Debug, Default)]
pub struct Keychain {
    /// Those that were given to this program, which are for the store's own registry.
    given: Option<Found>,
    /// Docker's file and podman's, in this order, there or not.
    files: Vec<PathBuf>,
}

impl Keychain {
    /// Reads what was given to this program. Nothing else is read yet, and no other program started.
    ///
    /// # Errors
    /// When what was given is no one-line password, or its file cannot be read.
    pub fn open(args: &StoreArgs) -> Result<Self, Failure> {
        Ok(Self { given: given(args)?, files: auth_files() })
    }

    /// The credentials for the store's own registry.
    ///
    /// # Errors
    /// When a file with credentials is broken, or the program that it names for this registry fails.
    pub async fn for_store(&self, prefix: &Prefix) -> Result<Found, Failure> {
        match &self.given {
            Some(found) => Ok(found.clone()),
            None => self.for_registry(&prefix.to_string()).await,
        }
    }

    /// The credentials for any registry, or repository in it (`HOST[/PATH]`): those that were given to this program are left out.
    ///
    /// # Errors
    /// As [`Self::for_store`].
    pub async fn for_registry(&self, name: &str) -> Result<Found, Failure> {
        for path in &self.files {
            let Some(file) = AuthFile::read(path)? else { continue };
            if let Some(found) = in_file(&file, name).await? {
                return Ok(found);
            }
        }
        if auth_file::server_of(name) == "ghcr.io" {
            return of_github().await;
        }
        Ok(Found::new(Credentials::Anonymous, "none, anonymous"))
    }
}

/// What was given to this program by flags and variables of its own.
fn given(args: &StoreArgs) -> Result<Option<Found>, Failure> {
    if let Some(username) = &args.username {
        let failed = |cause| Failure::io("reading the password from standard input", cause);
        let password = one_line(&read_bounded(std::io::stdin()).map_err(failed)?, "standard input")?;
        return basic(username, password, "--username and standard input").map(Some);
    }
    let username = variable("ALGA_REGISTRY_USERNAME").unwrap_or_else(|| TOKEN_USER.to_owned());
    if let Some(token) = variable("ALGA_REGISTRY_TOKEN") {
        let token = one_line(&SecretBox::new(Box::new(token.into_bytes())), "ALGA_REGISTRY_TOKEN")?;
        return basic(&username, token, "ALGA_REGISTRY_TOKEN").map(Some);
    }
    if let Some(path) = path_variable("ALGA_REGISTRY_TOKEN_FILE") {
        let name = format!("ALGA_REGISTRY_TOKEN_FILE ({})", path.display());
        let token = read_file(&path).map_err(|cause| Failure::usage(format!("{name}: {cause}")))?;
        return basic(&username, one_line(&token, &name)?, &name).map(Some);
    }
    Ok(None)
}

fn basic(username: &str, password: SecretString, source: &str) -> Result<Found, Failure> {
    if username.contains(':') || username.chars().any(char::is_control) {
        return Err(Failure::usage("the name of a user at a registry has no `:` and no control characters"));
    }
    Ok(Found::new(Credentials::Basic { username: username.to_owned(), password }, source))
}

/// A password as a file or a pipe holds it: with the end of its line, perhaps.
fn one_line(bytes: &SecretBytes, place: &str) -> Result<SecretString, Failure> {
    let text = std::str::from_utf8(bytes.expose_secret()).map_err(|_| Failure::usage(format!("{place}: not UTF-8")))?;
    let line = text.trim_end_matches(['\r', '\n']);
    if line.is_empty() || line.contains(['\r', '\n', '\0']) {
        return Err(Failure::usage(format!("{place}: the password or token must be one line")));
    }
    Ok(line.into())
}

fn read_file(path: &Path) -> std::io::Result<SecretBytes> {
    read_bounded(std::fs::File::open(path)?)
}

/// All of it, without leaving copies behind: the memory is taken at once.
fn read_bounded(from: impl Read) -> std::io::Result<SecretBytes> {
    let mut bytes = SecretBox::new(Box::new(Vec::with_capacity(LIMIT + 1)));
    let count = secrecy::ExposeSecretMut::expose_secret_mut(&mut bytes);
    from.take(LIMIT as u64 + 1).read_to_end(count)?;
    if bytes.expose_secret().len() > LIMIT {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    Ok(bytes)
}

/// Where docker keeps credentials, then where podman does.
fn auth_files() -> Vec<PathBuf> {
    let home = path_variable("HOME");
    let docker = path_variable("DOCKER_CONFIG").or_else(|| home.as_ref().map(|home| home.join(".docker")));
    let mut files: Vec<PathBuf> = docker.into_iter().map(|directory| directory.join("config.json")).collect();
    if let Some(file) = path_variable("REGISTRY_AUTH_FILE") {
        files.push(file);
        return files;
    }
    let runtime = path_variable("XDG_RUNTIME_DIR");
    files.extend(runtime.map(|directory| directory.join("containers/auth.json")));
    files.extend(home.map(|home| home.join(".config/containers/auth.json")));
    files
}

/// What a file has for a registry, itself or by the program that it names.
async fn in_file(file: &AuthFile, name: &str) -> Result<Option<Found>, Failure> {
    if let Some(helper) = file.helper_for(name)
        && let Some(found) = ask(file, helper, name).await?
    {
        return Ok(Some(found));
    }
    if let Some((key, entry)) = file.entry_for(name) {
        let source = format!("{}, `{}`", file.path().display(), key.escape_debug());
        return credentials_of(file, key, entry).map(|credentials| Some(Found::new(credentials, source)));
    }
    match file.store() {
        Some(helper) => ask(file, helper, name).await,
        None => Ok(None),
    }
}

fn credentials_of(file: &AuthFile, key: &str, entry: &Entry) -> Result<Credentials, Failure> {
    entry.credentials().ok_or_else(|| {
        let (path, key) = (file.path().display(), key.escape_debug());
        Failure::usage_hint(
            format!("{path}: `auth` of `{key}` is not the base64 of `user:password`"),
            "log in again with docker or podman, or take the entry out",
        )
    })
}

/// Asks a credential helper.
async fn ask(file: &AuthFile, helper: &str, name: &str) -> Result<Option<Found>, Failure> {
    let program = format!("docker-credential-{helper}");
    let server = auth_file::server_of(name);
    match program::credential_helper(&program, &server, PATIENCE).await {
        Ok(found) => Ok(found.map(|credentials| {
            Found::new(credentials, format!("{program} for {server}, named by {}", file.path().display()))
        })),
        Err(trouble) => Err(Failure::denied(
            format!("asking {program} for the credentials of {server}, as {} says: {trouble}", file.path().display()),
            format!("see what it says by `echo {server} | {program} get`, or give --username with --password-stdin"),
        )),
    }
}

/// What GitHub's own tools know: good at its registry alone.
async fn of_github() -> Result<Found, Failure> {
    for name in ["GH_TOKEN", "GITHUB_TOKEN"] {
        if let Some(token) = variable(name) {
            let token = one_line(&SecretBox::new(Box::new(token.into_bytes())), name)?;
            return basic(TOKEN_USER, token, name);
        }
    }
    // Nobody asked for it by name: when it fails, that is no reason to stop.
    match program::output("gh", &["auth", "token", "--hostname", "github.com"], b"", PATIENCE).await {
        Ok(output) if output.success => match one_line(&output.stdout, "`gh auth token`") {
            Ok(token) => basic(TOKEN_USER, token, "`gh auth token`"),
            Err(_) => Ok(Found::new(Credentials::Anonymous, "none, anonymous (`gh auth token` gave none)")),
        },
        Ok(_) => Ok(Found::new(Credentials::Anonymous, "none, anonymous (`gh auth token` gave none)")),
        Err(trouble) if trouble.is_absent() => Ok(Found::new(Credentials::Anonymous, "none, anonymous")),
        Err(trouble) => Ok(Found::new(Credentials::Anonymous, format!("none, anonymous (`gh auth token`: {trouble})"))),
    }
}
