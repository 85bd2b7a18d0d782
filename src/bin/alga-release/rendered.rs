//! Helm and kubectl, started on what two releases hold. They get an empty home, no cluster, and no way to the network that they
//! would know of; none is waited for without end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use alga_release::diff::rendered::{Contents, Rendering};
use alga_release::diff::{Diff, Side, pulled};
use alga_release::oci::{self, Prefix};
use alga_release::text::shown;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use crate::environment;
use crate::failure::Failure;

/// How long one program may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most bytes that are taken from one program.
const LIMIT: u64 = 64 << 20;
/// Where nobody listens: the discard port.
const NOWHERE: &str = "http://127.0.0.1:9";

/// The programs that were found.
struct Programs {
    helm: Option<PathBuf>,
    kubectl: Option<PathBuf>,
}

/// Adds to `diff` what the cluster would get. A program that is missing or fails is said.
pub async fn add(diff: &mut Diff, from: &Side<'_>, to: &Side<'_>) -> Result<(), Failure> {
    let programs = Programs::find();
    let mut versions = Vec::new();
    let home = tempfile::tempdir().map_err(|cause| Failure::io("making a temporary directory", cause))?;
    for (program, arguments) in
        [(&programs.helm, &["version", "--short"][..]), (&programs.kubectl, &["version", "--client"][..])]
    {
        if let Some(program) = program {
            versions.push(version(program, arguments, home.path()).await);
        }
    }
    let (old, new) = if diff.has_changes {
        let sides: Result<_, oci::Error> = futures_util::try_join!(from.contents(), to.contents());
        let (old, new) = sides?;
        (programs.render(old, home.path()).await?, programs.render(new, home.path()).await?)
    } else {
        (Rendering::default(), Rendering::default())
    };
    diff.add_rendered(versions, &old, &new);
    Ok(())
}

/// Which images the release in `contents` pulls that are not below `prefix`, a line each, and what is not known; nothing where
/// there is no helm.
pub async fn elsewhere(contents: Contents, prefix: &Prefix) -> Result<Option<Vec<String>>, Failure> {
    let programs = Programs::find();
    if programs.helm.is_none() {
        return Ok(None);
    }
    let home = tempfile::tempdir().map_err(|cause| Failure::io("making a temporary directory", cause))?;
    // What kustomize does not build is read as it is written.
    let written = if programs.kubectl.is_none() { contents.files.clone() } else { BTreeMap::new() };
    let mut rendering = programs.render(contents, home.path()).await?;
    let mut notes = std::mem::take(&mut rendering.notes);
    notes.extend(rendering.failed.iter().map(|(of, reason)| shown(&format!("{of}: {reason}"))));
    let mut lines: Vec<String> =
        pulled::elsewhere(&rendering, &written, prefix, &mut notes).iter().map(ToString::to_string).collect();
    lines.extend(notes.into_iter().map(|note| format!("while images were looked for: {note}")));
    Ok(Some(lines))
}

/// A program on the path.
fn find(name: &str) -> Option<PathBuf> {
    let path = environment::path_variable("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|program| program.is_file())
}

async fn version(program: &Path, arguments: &[&str], home: &Path) -> String {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    match run(program, arguments, home).await {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let line = text.lines().next().unwrap_or_default();
            let version = line.rsplit(": ").next().unwrap_or(line);
            format!("{name} {version}")
        }
        Err(reason) => format!("{name}, of unknown version: {reason}"),
    }
}

impl Programs {
    fn find() -> Self {
        Self { helm: find("helm"), kubectl: find("kubectl") }
    }

    async fn render(&self, contents: Contents, home: &Path) -> Result<Rendering, Failure> {
        let directory =
            tempfile::tempdir_in(home).map_err(|cause| Failure::io("making a temporary directory", cause))?;
        let root = directory.path();
        let mut rendering = Rendering { notes: contents.notes.clone(), ..Rendering::default() };
        write(&contents, root)?;
        match &self.kubectl {
            None => rendering.notes.push("kubectl is not on the path: the overlay is not built".to_owned()),
            Some(kubectl) => {
                for built in &contents.directories {
                    let path = root.join("overlay").join(built).display().to_string();
                    let arguments = ["kustomize", "--load-restrictor", "LoadRestrictionsNone", &path];
                    keep(&mut rendering, format!("kustomize {built}"), run(kubectl, &arguments, home).await, root);
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
            keep(rendering, of, run(helm, &arguments, home).await, root);
        }
    }
}

fn keep(rendering: &mut Rendering, of: String, result: Result<Vec<u8>, String>, root: &Path) {
    match result {
        Ok(documents) => drop(rendering.documents.insert(of, documents)),
        // The directory has another name every time.
        Err(reason) => drop(rendering.failed.insert(of, reason.replace(&root.display().to_string(), ""))),
    }
}

/// Lays out what the programs read: the overlay, archives and values by their places.
fn write(contents: &Contents, root: &Path) -> Result<(), Failure> {
    let put = |path: PathBuf, bytes: &[u8]| {
        let parent = path.parent().unwrap_or(root);
        let written = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, bytes));
        written.map_err(|cause| Failure::io(&format!("writing {}", path.display()), cause))
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

/// Runs a program; what it prints, or why there is nothing.
async fn run(program: &Path, arguments: &[&str], home: &Path) -> Result<Vec<u8>, String> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("HOME", home).env("KUBECONFIG", "/dev/null").current_dir(home);
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"] {
        command.env(proxy, NOWHERE);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|cause| format!("it cannot be started: {cause}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async {
        let (output, errors) = futures_util::join!(read(stdout), read(stderr));
        let status = child.wait().await.map_err(|cause| format!("it cannot be read: {cause}"))?;
        if output.len() as u64 > LIMIT {
            return Err(format!("it printed more than {LIMIT} bytes"));
        }
        let reason = || String::from_utf8_lossy(&errors).trim().to_owned();
        if status.success() { Ok(output) } else { Err(format!("it failed: {}", reason())) }
    };
    let late = format!("it did not end within {} s and was stopped", PATIENCE.as_secs());
    tokio::time::timeout(PATIENCE, work).await.unwrap_or(Err(late))
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        // What was read until then is what there is.
        let _ = stream.take(LIMIT + 1).read_to_end(&mut bytes).await;
    }
    bytes
}
