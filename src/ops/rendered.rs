//! Runs helm and kubectl on the contents of releases. The programs get an empty home directory, no cluster, proxies that do not answer,
//! and a time limit.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::archive::scratch;
use super::{Call, Context, Error, Programs, Variables};
use crate::diff::rendered::{self, Contents, REFUSED, Rendering};
use crate::diff::{Diff, Side, pulled};
use crate::lint::{Answer, Asked, Judge};
use crate::oci::Prefix;
use crate::text::shown;

/// Time that one program may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Number of bytes that one program may print.
const LIMIT: usize = 64 << 20;
/// An address on which no proxy listens: the discard port.
const NOWHERE: &str = "http://127.0.0.1:9";

/// The programs that are on the path.
pub(super) struct Renderers<'a> {
    programs: &'a dyn Programs,
    helm: Option<PathBuf>,
    kustomize: Option<Kustomize>,
}

/// The program kustomize, or kubectl, which contains it.
struct Kustomize {
    program: PathBuf,
    /// Arguments before the directory that is built.
    build: &'static [&'static str],
    /// Arguments that print the version.
    version: &'static [&'static str],
}

impl Kustomize {
    fn find(programs: &dyn Programs) -> Option<Self> {
        let kubectl = |program| Self {
            program,
            build: &["kustomize", "--load-restrictor", "LoadRestrictionsNone"],
            version: &["version", "--client"],
        };
        let alone = |program| Self {
            program,
            build: &["build", "--load-restrictor", "LoadRestrictionsNone"],
            version: &["version"],
        };
        programs.find("kubectl").map(kubectl).or_else(|| programs.find("kustomize").map(alone))
    }
}

/// Adds to a comparison the difference between the rendered objects. The comparison names a program that is missing or fails. No program
/// is started for input that did not change.
pub(super) async fn add(diff: &mut Diff, from: &Side<'_>, to: &Side<'_>, context: &Context) -> Result<(), Error> {
    let (old, new) =
        if diff.has_changes { rendered::changed(from, to).await? } else { (Contents::default(), Contents::default()) };
    if old.is_empty() && new.is_empty() {
        let [old, new] = [old, new].map(|side| Rendering { notes: side.notes, ..Rendering::default() });
        diff.add_rendered(Vec::new(), &old, &new);
        return Ok(());
    }
    let renderers = Renderers::find(context);
    let home = temporary(&scratch(&context.environment))?;
    let charts = [&old, &new].iter().any(|side| !side.installations.is_empty());
    let directories = [&old, &new].iter().any(|side| !side.directories.is_empty());
    let versions = renderers.versions(home.path(), (charts, directories)).await;
    let mut before = renderers.render(&old, home.path()).await?;
    let mut after = renderers.render(&new, home.path()).await?;
    for (contents, rendering) in [(&old, &mut before), (&new, &mut after)] {
        let absent = contents.installations.iter().filter(|one| !contents.charts.contains_key(&one.chart));
        rendering.failed.extend(absent.map(|one| (one.id(), "the chart could not be read".to_owned())));
    }
    // A second run tells values that are made at random. The older release runs again only where the newer one has such values.
    let differ = |a: &Rendering, b: &BTreeMap<String, Vec<u8>>| -> BTreeSet<String> {
        let documents = a.documents.iter().filter(|(of, text)| b.get(*of).is_some_and(|other| other != *text));
        documents.map(|(of, _)| of.clone()).collect()
    };
    after.again = renderers.again(&new, &differ(&after, &before.documents), home.path()).await?;
    before.again = renderers.again(&old, &differ(&after, &after.again), home.path()).await?;
    diff.add_rendered(versions, &before, &after);
    Ok(())
}

/// Returns the answers of the programs to each part of a release, and the programs that were asked.
///
/// # Errors
/// When no temporary files can be written.
pub(super) async fn answers(
    renderers: &Renderers<'_>,
    contents: Contents,
    context: &Context,
) -> Result<(Vec<Answer>, Vec<Judge>), Error> {
    let home = temporary(&scratch(&context.environment))?;
    let judge = |line: String| {
        let (name, version) = line.split_once([' ', ',']).unwrap_or((&line, ""));
        Judge { name: name.to_owned(), version: Some(version.trim().to_owned()), not_asked: None }
    };
    let mut judges: Vec<Judge> = renderers.versions(home.path(), (true, true)).await.into_iter().map(judge).collect();
    let mut asked: BTreeMap<String, Asked> = BTreeMap::new();
    for one in &contents.installations {
        let release = format!("{}/{}", one.namespace, one.release);
        let (chart, namespace) = (one.chart.clone(), one.namespace.clone());
        asked.insert(one.id(), Asked::Chart { chart, release, namespace });
    }
    for directory in &contents.directories {
        asked.insert(format!("kustomize {directory}"), Asked::Directory(directory.clone()));
    }
    let Rendering { mut documents, mut failed, .. } = renderers.render(&contents, home.path()).await?;
    let mut answers = Vec::new();
    for (of, asked) in asked {
        let Some(result) = documents.remove(&of).map(Ok).or_else(|| failed.remove(&of).map(Err)) else { continue };
        match result {
            // A program that could not be started, or that took too long, is not an answer about the release.
            Err(reason) if !reason.starts_with(REFUSED) => {
                let name = of.split(' ').next().unwrap_or_default();
                judges.retain(|judge| judge.name != name || judge.not_asked.is_none());
                judges.push(Judge { name: name.to_owned(), version: None, not_asked: Some(format!("{of}: {reason}")) });
            }
            result => answers.push(Answer { asked, result }),
        }
    }
    Ok((answers, judges))
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
    // Without kustomize, the files of the overlay are read unbuilt.
    let written = if renderers.kustomize.is_none() { contents.files.clone() } else { BTreeMap::new() };
    let mut rendering = renderers.render(&contents, home.path()).await?;
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
    pub(super) fn find(context: &'a Context) -> Self {
        let programs = &*context.programs;
        Self { programs, helm: programs.find("helm"), kustomize: Kustomize::find(programs) }
    }

    /// Returns the names of the programs that are not on the path.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let programs = [("helm", self.helm.is_some()), ("kubectl or kustomize", self.kustomize.is_some())];
        programs.into_iter().filter(|(_, there)| !there).map(|(name, _)| name).collect()
    }

    /// Returns the names and versions of the programs that are there; whether helm and kustomize are needed is said by `needed`.
    async fn versions(&self, home: &Path, needed: (bool, bool)) -> Vec<String> {
        let mut versions = Vec::new();
        let helm = self.helm.as_deref().filter(|_| needed.0).map(|helm| (helm, &["version", "--short"][..]));
        let kustomize = self.kustomize.as_ref().filter(|_| needed.1);
        let kustomize = kustomize.map(|kustomize| (&*kustomize.program, kustomize.version));
        for (program, arguments) in helm.into_iter().chain(kustomize) {
            versions.push(version(self.programs, program, arguments, home).await);
        }
        versions
    }

    /// Renders installations a second time, and returns their documents.
    async fn again(&self, contents: &Contents, ids: &BTreeSet<String>, home: &Path) -> Result<Documents, Error> {
        let contents = contents.only(ids);
        if contents.is_empty() { Ok(Documents::new()) } else { Ok(self.render(&contents, home).await?.documents) }
    }

    async fn render(&self, contents: &Contents, home: &Path) -> Result<Rendering, Error> {
        let directory = temporary(home)?;
        let root = directory.path();
        let mut rendering = Rendering { notes: contents.notes.clone(), ..Rendering::default() };
        write(contents, root)?;
        match &self.kustomize {
            None if contents.directories.is_empty() => {}
            None => rendering.notes.push("kubectl is not on the path: the overlay is not built".to_owned()),
            Some(kustomize) => {
                let builds = contents.directories.iter().map(|built| self.build(kustomize, built, root, home));
                at_once(builds).await.into_iter().for_each(|(of, result)| keep(&mut rendering, of, result, root));
            }
        }
        match &self.helm {
            None if contents.installations.is_empty() => {}
            None => rendering.notes.push("helm is not on the path: charts are not rendered".to_owned()),
            Some(helm) => {
                let renders =
                    (0..contents.installations.len()).filter_map(|at| self.install(helm, contents, at, root, home));
                at_once(renders).await.into_iter().for_each(|(of, result)| keep(&mut rendering, of, result, root));
            }
        }
        Ok(rendering)
    }

    async fn build(&self, kustomize: &Kustomize, built: &str, root: &Path, home: &Path) -> Output {
        let path = root.join("overlay").join(built).display().to_string();
        let arguments = [kustomize.build, &[&path]].concat();
        (format!("kustomize {built}"), run(self.programs, &kustomize.program, &arguments, home).await)
    }

    /// Renders one installation, unless its chart could not be read.
    fn install(
        &self,
        helm: &Path,
        contents: &Contents,
        at: usize,
        root: &Path,
        home: &Path,
    ) -> Option<impl Future<Output = Output>> {
        let one = &contents.installations[at];
        let chart = contents.charts.keys().position(|name| *name == one.chart)?;
        let chart = root.join(format!("{chart}.tgz")).display().to_string();
        let namespace = format!("--namespace={}", one.namespace);
        let mut arguments = vec!["template".to_owned(), "--include-crds".to_owned(), namespace];
        for weight in 0..one.values.len() {
            arguments.push(format!("--values={}", root.join(format!("{at}-{weight}.json")).display()));
        }
        arguments.extend(["--".to_owned(), one.release.clone(), chart]);
        let of = one.id();
        Some(async move {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            (of, run(self.programs, helm, &arguments, home).await)
        })
    }
}

type Documents = BTreeMap<String, Vec<u8>>;

/// The input of a program, and what it printed or why it printed nothing.
type Output = (String, Result<Vec<u8>, String>);

/// Runs as many programs at once as there are processors, and returns their outputs in the order of `runs`.
async fn at_once(runs: impl Iterator<Item = impl Future<Output = Output>>) -> Vec<Output> {
    let most = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    futures_util::stream::iter(runs).buffered(most).collect().await
}

fn keep(rendering: &mut Rendering, of: String, result: Result<Vec<u8>, String>, root: &Path) {
    match result {
        Ok(documents) => drop(rendering.documents.insert(of, documents)),
        // The temporary directory has another name each time, and the reason must be the same.
        Err(reason) => drop(rendering.failed.insert(of, reason.replace(&root.display().to_string(), ""))),
    }
}

/// Writes the files that the programs read: the overlay, and archives and values by their numbers.
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

/// Runs a program and returns its output, or the reason why there is none.
async fn run(programs: &dyn Programs, program: &Path, arguments: &[&str], home: &Path) -> Result<Vec<u8>, String> {
    let mut variables = vec![("HOME", home.as_os_str()), ("KUBECONFIG", OsStr::new("/dev/null"))];
    let proxies = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"];
    variables.extend(proxies.map(|name| (name, OsStr::new(NOWHERE))));
    let call = Call {
        program,
        arguments,
        input: b"",
        variables: Variables::Only(&variables),
        directory: Some(home),
        limit: LIMIT,
        patience: PATIENCE,
        keeps_errors: true,
    };
    match programs.run(call).await {
        Ok(ended) if ended.success => Ok(ended.output.expose_secret().clone()),
        Ok(ended) => Err(format!("{REFUSED}{}", String::from_utf8_lossy(&ended.errors).trim())),
        Err(cause) => Err(cause.to_string()),
    }
}
