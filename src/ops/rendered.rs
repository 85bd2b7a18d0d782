//! Runs helm and kubectl on what releases hold. They get an empty home, no cluster, no way to the network that they know of, and
//! a time limit.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::archive::scratch;
use super::{Call, Context, Error, Programs};
use crate::diff::rendered::{Contents, Rendering};
use crate::diff::{Diff, Side, pulled};
use crate::oci::{self, Prefix};
use crate::text::shown;

/// How long one program may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Number of bytes that one program may print.
const LIMIT: usize = 64 << 20;
/// An address on which no proxy listens: the discard port.
const NOWHERE: &str = "http://127.0.0.1:9";

/// The programs that were found.
struct Renderers<'a> {
    programs: &'a dyn Programs,
    helm: Option<PathBuf>,
    kubectl: Option<PathBuf>,
}

/// Adds to a comparison what the cluster would get. A program that is missing or fails is named in the comparison.
pub(super) async fn add(diff: &mut Diff, from: &Side<'_>, to: &Side<'_>, context: &Context) -> Result<(), Error> {
    let renderers = Renderers::find(context);
    let mut versions = Vec::new();
    let home = temporary(&scratch(&context.environment))?;
    for (program, arguments) in
        [(&renderers.helm, &["version", "--short"][..]), (&renderers.kubectl, &["version", "--client"][..])]
    {
        if let Some(program) = program {
            versions.push(version(renderers.programs, program, arguments, home.path()).await);
        }
    }
    let (old, new) = if diff.has_changes {
        let sides: Result<_, oci::Error> = futures_util::try_join!(from.contents(), to.contents());
        let (old, new) = sides?;
        (renderers.render(old, home.path()).await?, renderers.render(new, home.path()).await?)
    } else {
        (Rendering::default(), Rendering::default())
    };
    diff.add_rendered(versions, &old, &new);
    Ok(())
}

/// Lists the images that a release pulls and that are not below `prefix`, one a line, and what could not be found out; `None`
/// without helm.
///
/// # Errors
/// When no temporary files can be written.
pub(super) async fn pulled_from_elsewhere(
    contents: Contents,
    prefix: &Prefix,
    context: &Context,
) -> Result<Option<Vec<String>>, Error> {
    let renderers = Renderers::find(context);
    if renderers.helm.is_none() {
        return Ok(None);
    }
    let home = temporary(&scratch(&context.environment))?;
    // Without kustomize, the files are read as they are written.
    let written = if renderers.kubectl.is_none() { contents.files.clone() } else { BTreeMap::new() };
    let mut rendering = renderers.render(contents, home.path()).await?;
    let mut notes = std::mem::take(&mut rendering.notes);
    notes.extend(rendering.failed.iter().map(|(of, reason)| shown(&format!("{of}: {reason}"))));
    let mut lines: Vec<String> =
        pulled::elsewhere(&rendering, &written, prefix, &mut notes).iter().map(ToString::to_string).collect();
    lines.extend(notes.into_iter().map(|note| format!("while looking for images: {note}")));
    Ok(Some(lines))
}

async fn version(programs: &dyn Programs, program: &Path, arguments: &[&str], home: &Path) -> String {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    match run(programs, program, arguments, home).await {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let line = text.lines().next().unwrap_or_default();
            let version = line.rsplit(": ").next().unwrap_or(line);
            format!("{name} {version}")
        }
        Err(reason) => format!("{name}, of unknown version: {reason}"),
    }
}

/// Makes a temporary directory, which is removed when it is dropped.
fn temporary(below: &Path) -> Result<TempDir, Error> {
    let made = tempfile::tempdir_in(below);
    made.map_err(|source| Error::Scratch { path: below.to_owned(), source })
}

impl<'a> Renderers<'a> {
    fn find(context: &'a Context) -> Self {
        let programs = &*context.programs;
        Self { programs, helm: programs.find("helm"), kubectl: programs.find("kubectl") }
    }

    async fn render(&self, contents: Contents, home: &Path) -> Result<Rendering, Error> {
        let directory = temporary(home)?;
        let root = directory.path();
        let mut rendering = Rendering { notes: contents.notes.clone(), ..Rendering::default() };
        write(&contents, root)?;
        match &self.kubectl {
            None => rendering.notes.push("kubectl is not on the path: the overlay is not built".to_owned()),
            Some(kubectl) => {
                for built in &contents.directories {
                    let path = root.join("overlay").join(built).display().to_string();
                    let arguments = ["kustomize", "--load-restrictor", "LoadRestrictionsNone", &path];
                    keep(
                        &mut rendering,
                        format!("kustomize {built}"),
                        run(self.programs, kubectl, &arguments, home).await,
                        root,
                    );
                }
            }
        }
        match &self.helm {
            None => rendering.notes.push("helm is not on the path: charts are not rendered".to_owned()),
            Some(helm) => self.install(helm, &contents, root, home, &mut rendering).await,
        }
        Ok(rendering)
    }

    async fn install(&self, helm: &Path, contents: &Contents, root: &Path, home: &Path, rendering: &mut Rendering) {
        for (at, one) in contents.installations.iter().enumerate() {
            let Some(chart) = contents.charts.keys().position(|name| *name == one.chart) else { continue };
            let chart = root.join(format!("{chart}.tgz")).display().to_string();
            let namespace = format!("--namespace={}", one.namespace);
            let mut arguments = vec!["template".to_owned(), "--include-crds".to_owned(), namespace];
            for weight in 0..one.values.len() {
                arguments.push(format!("--values={}", root.join(format!("{at}-{weight}.json")).display()));
            }
            arguments.extend(["--".to_owned(), one.release.clone(), chart]);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let of = format!("helm {}/{}", one.namespace, one.release);
            keep(rendering, of, run(self.programs, helm, &arguments, home).await, root);
        }
    }
}

fn keep(rendering: &mut Rendering, of: String, result: Result<Vec<u8>, String>, root: &Path) {
    match result {
        Ok(documents) => drop(rendering.documents.insert(of, documents)),
        // The directory has a different name each time.
        Err(reason) => drop(rendering.failed.insert(of, reason.replace(&root.display().to_string(), ""))),
    }
}

/// Writes what the programs read: the overlay, and archives and values by their numbers.
fn write(contents: &Contents, root: &Path) -> Result<(), Error> {
    let put = |path: PathBuf, bytes: &[u8]| {
        let parent = path.parent().unwrap_or(root);
        let written = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, bytes));
        written.map_err(|source| Error::Scratch { path, source })
    };
    for (path, bytes) in &contents.files {
        put(root.join("overlay").join(path), bytes)?;
    }
    for (at, archive) in contents.charts.values().enumerate() {
        put(root.join(format!("{at}.tgz")), archive)?;
    }
    for (at, one) in contents.installations.iter().enumerate() {
        for (weight, values) in one.values.iter().enumerate() {
            put(root.join(format!("{at}-{weight}.json")), values.to_string().as_bytes())?;
        }
    }
    Ok(())
}

/// Runs a program; returns what it prints, or why there is nothing.
async fn run(programs: &dyn Programs, program: &Path, arguments: &[&str], home: &Path) -> Result<Vec<u8>, String> {
    let mut variables = vec![("HOME", home.as_os_str()), ("KUBECONFIG", OsStr::new("/dev/null"))];
    let proxies = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"];
    variables.extend(proxies.map(|name| (name, OsStr::new(NOWHERE))));
    let call = Call {
        program,
        arguments,
        input: b"",
        variables: Some(&variables),
        directory: Some(home),
        limit: LIMIT,
        patience: PATIENCE,
        keeps_errors: true,
    };
    match programs.run(call).await {
        Ok(ended) if ended.success => Ok(ended.output.expose_secret().clone()),
        Ok(ended) => Err(format!("it failed: {}", String::from_utf8_lossy(&ended.errors).trim())),
        Err(cause) => Err(cause.to_string()),
    }
}
