//! Environment variables and small files. The library finds credentials by itself.

use std::io::Read;
use std::path::{Path, PathBuf};

use alga_release::config::{Config, FILE_NAME};
use alga_release::plan::{GivenTags, TagsFile};

use crate::failure::Failure;
use crate::flags::{ConfigurationArgs, ImageArgs};

/// Largest configuration file or list of images that is read.
const FILE_LIMIT: u64 = 1 << 20;

/// Variable with the path of the trust document, which takes precedence over the configuration.
pub const TRUST_FILE: &str = "ALGA_TRUST_FILE";

/// Returns an environment variable that is set and not empty.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns an environment variable that names a file or a directory, if it is set and not empty.
pub fn path_variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Variables in which a CI system names the person on whose behalf it works. None of them is a secret.
const ACTORS: [&str; 5] =
    ["GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILDKITE_BUILD_CREATOR", "CIRCLE_USERNAME", "BUILD_REQUESTEDFOR"];
/// Argo Workflows tells a container the name of its workflow, but not who started the workflow.
const WORKFLOW: &str = "ARGO_WORKFLOW_NAME";
/// File in which the kernel gives the name of this machine.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// Returns who moves a channel, for its record: the actor that a CI system names, else the workflow, else USER@HOST.
pub fn user() -> Option<String> {
    let local = || {
        let user = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(variable).or_else(user_id)?;
        let host = variable("HOSTNAME").or_else(|| std::fs::read_to_string(HOST_NAME).ok());
        let host = host.map(|host| host.trim().to_owned()).filter(|host| !host.is_empty());
        Some(host.map_or(user.clone(), |host| format!("{user}@{host}")))
    };
    let workflow = || variable(WORKFLOW).map(|name| format!("workflow {name}"));
    ACTORS.into_iter().find_map(variable).or_else(workflow).or_else(local)
}

/// Returns the number of the user, for containers in which the user has no name.
fn user_id() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_whitespace().next().map(|id| format!("user {id}"))
}

/// Reports whether a stream gets colours; `terminal` says whether the stream is a terminal.
///
/// <https://no-color.org> and <https://force-color.org>
pub fn colour(terminal: bool) -> bool {
    variable("NO_COLOR").is_none()
        && match variable("FORCE_COLOR") {
            Some(force) => force != "0",
            None => terminal && variable("TERM").is_none_or(|terminal| terminal != "dumb"),
        }
}

/// Returns the text and the name of the configuration file, if there is one.
pub fn configuration_text(root: &Path, args: &ConfigurationArgs) -> Result<Option<(String, String)>, Failure> {
    let (path, name) = match &args.config {
        Some(path) => (path.clone(), path.display().to_string()),
        None => (root.join(FILE_NAME), FILE_NAME.to_owned()),
    };
    if args.config.is_none() && !path.exists() {
        return Ok(None);
    }
    // A file that the caller names may be a pipe, as `<(…)` of a shell makes one. A pipe that is found in the tree would block the program.
    if args.config.is_none() && !path.is_file() {
        return Err(Failure::usage(format!(
            "cannot read {name}: expected a file, found a directory, pipe, socket or device"
        )));
    }
    let bytes = read(&path)?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some((text, name))),
        Err(_) => Err(Failure::usage(format!("cannot read {name}: the text is not valid UTF-8"))),
    }
}

/// Returns the effective configuration: the defaults, then the file, then the flags.
pub fn configuration(root: &Path, args: &ConfigurationArgs, profile: Option<&str>) -> Result<Config, Failure> {
    if !root.exists() {
        return Err(Failure::usage(format!("the source tree `{}` does not exist", root.display())));
    }
    let mut config = match configuration_text(root, args)? {
        Some((text, name)) if args.config.is_some() => Config::parse(&text, &name)?.named_by_the_caller(),
        Some((text, name)) => Config::parse(&text, &name)?,
        None => Config::default(),
    };
    if let Some(profile) = profile {
        profile.clone_into(&mut config.profile);
    }
    config.signing.trust = variable(TRUST_FILE).or(config.signing.trust);
    Ok(config)
}

/// Returns the tags of application images that the flags give, by themselves and in a file.
pub fn image_tags(args: &ImageArgs, config: &Config) -> Result<GivenTags, Failure> {
    let parse = |path: &PathBuf| -> Result<TagsFile, Failure> {
        Ok(TagsFile::parse(&read(path)?, &path.display().to_string(), &config.release_images)?)
    };
    let file = args.images_file.as_ref().map(parse).transpose()?;
    Ok(GivenTags { flags: args.images.iter().cloned().collect(), file })
}

/// Reads a small file that an argument names. A file that cannot be read is a mistake in the arguments.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |cause| Failure::usage(format!("cannot read {}: {cause}", path.display()));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(FILE_LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(Failure::usage(format!(
            "cannot read {}: the file is larger than the limit of 1 MiB",
            path.display()
        )));
    }
    Ok(bytes)
}
