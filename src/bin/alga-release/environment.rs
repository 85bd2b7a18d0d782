//! Inputs other than arguments: clock, environment and files. The library finds the credentials.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use alga_release::config::{Config, FILE_NAME};
use alga_release::plan;

use crate::failure::Failure;
use crate::flags::{ConfigurationArgs, ImageArgs};

/// Largest configuration file or list of images that is read.
const FILE_LIMIT: u64 = 1 << 20;

/// Returns an environment variable if it is set and not empty.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns the path in an environment variable that is set and not empty.
pub fn path_variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Variables in which a CI system names the person on whose behalf it works. None of them is a secret.
const ACTORS: [&str; 5] =
    ["GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILDKITE_BUILD_CREATOR", "CIRCLE_USERNAME", "BUILD_REQUESTEDFOR"];
/// Variable with the name of the Argo workflow. Argo does not tell its containers who started the workflow.
const WORKFLOW: &str = "ARGO_WORKFLOW_NAME";
/// File in which the kernel has the name of this machine.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// Returns who runs the program, for the record of a move: the actor that a CI system names, else the workflow, else the user.
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

/// Returns the number of the user, for containers, where the user often has no name.
fn user_id() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_whitespace().next().map(|id| format!("user {id}"))
}

/// Reports whether to use colours, given whether the stream is a terminal.
///
/// <https://no-color.org> and <https://force-color.org>
pub fn colour(terminal: bool) -> bool {
    variable("NO_COLOR").is_none()
        && match variable("FORCE_COLOR") {
            Some(force) => force != "0",
            None => terminal && variable("TERM").is_none_or(|terminal| terminal != "dumb"),
        }
}

/// Returns the text and name of the configuration file, if there is one.
pub fn configuration_text(root: &Path, args: &ConfigurationArgs) -> Result<Option<(String, String)>, Failure> {
    let (path, name) = match &args.config {
        Some(path) => (path.clone(), path.display().to_string()),
        None => (root.join(FILE_NAME), FILE_NAME.to_owned()),
    };
    if args.config.is_none() && !path.exists() {
        return Ok(None);
    }
    // A named file may be a pipe, as shells make them. A file that was found must not keep the program waiting.
    if args.config.is_none() && !path.is_file() {
        return Err(Failure::usage(format!("{name}: it must be a file, and is a directory, pipe, socket or device")));
    }
    let bytes = read(&path)?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some((text, name))),
        Err(_) => Err(Failure::usage(format!("{name}: it is not UTF-8"))),
    }
}

/// Returns the effective configuration: defaults, then the file, then the flags.
pub fn configuration(root: &Path, args: &ConfigurationArgs, profile: Option<&str>) -> Result<Config, Failure> {
    let mut config = match configuration_text(root, args)? {
        Some((text, name)) if args.config.is_some() => Config::parse(&text, &name)?.named_by_the_caller(),
        Some((text, name)) => Config::parse(&text, &name)?,
        None => Config::default(),
    };
    if let Some(profile) = profile {
        profile.clone_into(&mut config.profile);
    }
    Ok(config)
}

/// Returns the tags of application images from `--images FILE` and then from `--image` flags.
pub fn image_tags(args: &ImageArgs, config: &Config) -> Result<BTreeMap<String, String>, Failure> {
    let mut tags = match &args.images_file {
        Some(path) => plan::tags_in(&read(path)?, &path.display().to_string(), &config.release_images)?,
        None => BTreeMap::new(),
    };
    tags.extend(args.images.iter().cloned());
    Ok(tags)
}

/// Reads a small file that an argument names.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |cause| Failure::io(&format!("reading {}", path.display()), cause);
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(FILE_LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(Failure::usage(format!("{}: it is larger than 1 MiB", path.display())));
    }
    Ok(bytes)
}
