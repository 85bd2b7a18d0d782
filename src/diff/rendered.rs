//! Compares the objects that Helm and kustomize make of two releases. This half is pure: it says which charts are rendered with which
//! values and which directories are built, and compares the results. The caller starts the programs.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::Value;

use super::fields::value_of;
use super::lines::{Budget, Change};
use super::name;
use super::objects::{self, ComparedObject, Pins};
use super::random;
use super::risk::{self, Risk};
use super::side::{Files, Side};
use super::value::{Diff, Rendered};
use crate::config::Config;
use crate::contents::{Bundle, Parts};
use crate::flux::{self, HelmRelease, Kustomization, is_kustomization_file_name};
use crate::oci::{Digest, Error};
use crate::path::{below, join};
use crate::release::Release;
use crate::yaml;

/// The input of the programs, for one release.
#[derive(Debug, Default)]
pub struct Contents {
    /// Archives of the charts by name, without those that could not be read.
    pub charts: BTreeMap<String, Bytes>,
    /// Files of the overlay, with a kustomization in every directory that is built.
    pub files: Files,
    /// Charts with their values, which Helm renders.
    pub installations: Vec<Installation>,
    /// Directories below the overlay, which kustomize builds.
    pub directories: Vec<String>,
    /// Sentences that say what is not rendered, and why.
    pub notes: Vec<String>,
    /// Whether the bundle could not be read, so that nothing is known of its objects.
    unread: bool,
}

impl Contents {
    /// Reports whether there is nothing to render.
    pub fn is_empty(&self) -> bool {
        self.installations.is_empty() && self.directories.is_empty()
    }

    /// Returns the installations with these [ids](Installation::id), and their charts.
    #[must_use]
    pub fn only(&self, ids: &BTreeSet<String>) -> Self {
        let installations = self.installations.iter().filter(|one| ids.contains(&one.id())).cloned();
        Self { charts: self.charts.clone(), installations: installations.collect(), ..Self::default() }
    }
}

/// A chart with the values of one HelmRelease.
#[derive(Clone, Debug, PartialEq)]
pub struct Installation {
    /// Name of the Helm release.
    pub release: String,
    /// Namespace that the chart is installed into.
    pub namespace: String,
    /// Name of the chart, a key of [`Contents::charts`].
    pub chart: String,
    /// Values in the order in which Helm merges them; later ones win.
    pub values: Vec<Value>,
}

impl Installation {
    /// Returns the key of the installation in a [`Rendering`], for example `helm msp/alga-core`.
    pub fn id(&self) -> String {
        format!("helm {}/{}", self.namespace, self.release)
    }
}

/// How the reason begins when a program refuses its input.
pub const REFUSED: &str = "it failed: ";

/// The objects that the programs made of one release.
#[derive(Debug, Default)]
pub struct Rendering {
    /// YAML documents, by the program and its input: `helm NAMESPACE/RELEASE` or `kustomize DIRECTORY`.
    pub documents: Files,
    /// Documents of a second run with the same input, for those that may have values made at random.
    pub again: Files,
    /// Reasons for which documents are missing, by the same keys. Such documents of the other release are not compared.
    pub failed: BTreeMap<String, String>,
    /// Sentences that say what was not tried, and why.
    pub notes: Vec<String>,
}

/// Reads the input of the programs for two releases, without the input that is the same for both: charts that did not change with
/// values that did not change, and the directories of an overlay that did not change.
///
/// # Errors
/// When a store cannot be reached. The notes say what is absent or broken.
pub async fn changed(from: &Side<'_>, to: &Side<'_>) -> Result<(Contents, Contents), Error> {
    let (mut old, mut new) = futures_util::try_join!(from.without_charts(), to.without_charts())?;
    let unread = old.unread || new.unread;
    if unread || (old.files == new.files && old.directories == new.directories) {
        for side in [&mut old, &mut new] {
            side.directories.clear();
            side.files.clear();
        }
    }
    let mut same = BTreeSet::new();
    let before: BTreeMap<String, &Installation> = old.installations.iter().map(|one| (one.id(), one)).collect();
    for one in &new.installations {
        let id = one.id();
        let unchanged = before.get(&id) == Some(&one) && same_chart(from, to, &one.chart).await?;
        same.extend((unread || unchanged).then_some(id));
    }
    for side in [&mut old, &mut new] {
        side.installations.retain(|one| !unread && !same.contains(&one.id()));
    }
    futures_util::try_join!(from.add_charts(&mut old), to.add_charts(&mut new))?;
    Ok((old, new))
}

/// Reports whether both releases have the same archive of a chart.
async fn same_chart(from: &Side<'_>, to: &Side<'_>, name: &str) -> Result<bool, Error> {
    let digests = [from, to].map(|side| side.opened.release.chart_digests.get(name));
    if digests[0].is_some() && digests[0] == digests[1] {
        return Ok(true);
    }
    // A chart that was packed again has another manifest, and may have the same archive.
    let charts = futures_util::try_join!(from.opened.chart(name), to.opened.chart(name))?;
    Ok(matches!(charts, (Ok(old), Ok(new)) if old.layer.digest == new.layer.digest))
}

impl Side<'_> {
    /// Reads the input of the programs for the whole release.
    ///
    /// # Errors
    /// When the store cannot be reached. The notes say what is absent or broken.
    pub async fn contents(&self) -> Result<Contents, Error> {
        let mut contents = self.without_charts().await?;
        self.add_charts(&mut contents).await?;
        Ok(contents)
    }

    /// Reads the input of the programs for a release that has the charts of this one, and `files` as its overlay.
    ///
    /// # Errors
    /// When the store cannot be reached. The notes say what is absent or broken.
    pub async fn contents_of(&self, release: &Release, files: Files) -> Result<Contents, Error> {
        let mut contents = Reading { release, config: self.opened.config() }.contents(Bundle::open(files));
        self.add_charts(&mut contents).await?;
        Ok(contents)
    }

    async fn without_charts(&self) -> Result<Contents, Error> {
        let bundle = match self.opened.bundle().await? {
            Ok(found) => self.opened.files(&found).await?,
            Err(reason) => Err(reason),
        };
        let reading = Reading { release: &self.opened.release, config: self.opened.config() };
        Ok(match bundle {
            Ok(bundle) => reading.contents(bundle),
            Err(reason) => {
                let mut contents = reading.contents(Bundle::default());
                contents.notes.insert(0, format!("the overlay could not be read: {}", name(&reason)));
                Contents { unread: true, ..contents }
            }
        })
    }

    /// Reads the charts that are rendered.
    async fn add_charts(&self, contents: &mut Contents) -> Result<(), Error> {
        let used: BTreeSet<String> = contents.installations.iter().map(|one| one.chart.clone()).collect();
        for chart in used {
            let archive = match self.opened.chart(&chart).await? {
                Ok(found) => self.opened.archive(&found).await?,
                Err(reason) => Err(reason),
            };
            match archive {
                Ok(archive) => drop(contents.charts.insert(chart, archive)),
                Err(reason) => {
                    contents.notes.push(format!("chart {} could not be read: {}", name(&chart), name(&reason)));
                }
            }
        }
        Ok(())
    }
}

/// A release manifest, with the configuration that its names come from.
struct Reading<'a> {
    release: &'a Release,
    config: &'a Config,
}

impl Reading<'_> {
    /// Returns the input of the programs without the archives of the charts.
    fn contents(&self, bundle: Bundle) -> Contents {
        let parts = bundle.parts();
        let broken = bundle.broken().iter();
        let mut contents = Contents {
            notes: broken.map(|error| objects::not_compared(&error.at.file, &error.reason)).collect(),
            ..Contents::default()
        };
        let directories = self.directories(&bundle, &parts, &mut contents.notes);
        self.installations(&bundle, &parts, &mut contents);
        let alone = directories.iter().filter(|directory| bundle.files().kustomization_file_of(directory).is_none());
        let added: Vec<_> = alone.map(|directory| generated(bundle.files(), directory)).collect();
        contents.files = bundle.into_bytes();
        contents.files.extend(added);
        contents.directories = directories;
        contents
    }

    /// Returns the directories that the cluster applies: the root, those of the overlay's Flux Kustomizations, and the profile.
    fn directories(&self, bundle: &Bundle, parts: &Parts<'_>, notes: &mut Vec<String>) -> Vec<String> {
        let source = self.config.appliance.source_name.as_str();
        let applied = parts.kustomizations.iter().filter(|one| one.source_name() == source);
        let mut directories: BTreeSet<String> = applied.filter_map(Kustomization::directory).collect();
        directories.insert("base".to_owned());
        let profile = format!("profiles/{}", self.release.values_profile);
        if bundle.files().kustomization_file_of(&profile).is_some() {
            directories.insert(profile);
        }
        if let Some(place) = escapes(bundle.bytes()) {
            notes.push(format!("the overlay is not built: {} names a file outside of the bundle", name(&place)));
            return Vec::new();
        }
        let (there, absent): (Vec<String>, Vec<String>) =
            directories.into_iter().partition(|directory| bundle.files().has_directory(directory));
        notes.extend(absent.iter().map(|directory| format!("the overlay has no directory {}", name(directory))));
        there
    }

    fn installations(&self, bundle: &Bundle, parts: &Parts<'_>, contents: &mut Contents) {
        for release in &parts.releases {
            let object = &release.object;
            let own = object.namespace().unwrap_or_default();
            let separator = if own.is_empty() { "" } else { "/" };
            let id = name(&format!("HelmRelease {own}{separator}{}", object.name()));
            let Some(chart) = parts.chart_of(release).filter(|chart| self.release.publishes(chart)) else {
                contents.notes.push(format!("{id} is not rendered: its chart is not published with the release"));
                continue;
            };
            let namespace = release.target_namespace.unwrap_or(own);
            let release_name = release.release_name.unwrap_or(object.name());
            if !(is_label(release_name) && is_label(namespace)) {
                contents.notes.push(format!("{id} is not rendered: invalid name or namespace"));
                continue;
            }
            let installation = Installation {
                release: release_name.to_owned(),
                namespace: namespace.to_owned(),
                chart: chart.to_owned(),
                values: self.values(release, bundle),
            };
            contents.installations.push(installation);
        }
    }

    /// Returns the profile's values with the image tags that the appliance injects, and then the values of the HelmRelease.
    fn values(&self, release: &HelmRelease<'_>, bundle: &Bundle) -> Vec<Value> {
        let (of, profile) = (release.object.name(), &self.release.values_profile);
        let file = format!("{of}.{profile}.yaml");
        let in_bundle = bundle.profile_values(profile).get(file.as_str()).map(|bytes| String::from_utf8_lossy(bytes));
        let carried = self.release.profile_values.get(&file).map(|text| text.as_str().into());
        let mut values = Vec::new();
        if let Some(text) = carried.or(in_bundle) {
            let mut profile = super::overlay::parse(&text);
            for injection in self.config.appliance.values.iter().filter(|one| one.release == of) {
                let tag = injection.from.strip_prefix("image:").and_then(|key| self.release.images.get(key));
                if let Some(tag) = tag {
                    set(&mut profile, &injection.path, tag);
                }
            }
            values.push(profile);
        }
        values.extend(release.values.map(value_of));
        values.retain(Value::is_object);
        values
    }
}

fn set(values: &mut Value, path: &str, text: &str) {
    let mut place = values;
    for key in path.split('.') {
        if !place.is_object() {
            *place = Value::Object(serde_json::Map::new());
        }
        place = &mut place[key];
    }
    *place = Value::String(text.to_owned());
}

/// Returns the kustomization file that Flux makes for a directory that has none, and its path.
fn generated(files: &flux::Files, directory: &str) -> (String, Vec<u8>) {
    let start = join(directory, "");
    let resources = files.generated_resources(directory);
    let resources: Vec<&str> = resources.iter().filter_map(|path| path.strip_prefix(&start)).collect();
    let text = serde_json::json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources,
    });
    (join(directory, "kustomization.yaml"), text.to_string().into_bytes())
}

/// Returns the first kustomization with a path that leads out of the bundle. The release may come from a stranger, and must not bring
/// files of this machine into a report.
fn escapes(files: &Files) -> Option<String> {
    let kustomizations = files.iter().filter(|(path, bytes)| {
        is_kustomization_file_name(path) || bytes.windows(18).any(|window| window == b"kustomize.config.k")
    });
    for (path, bytes) in kustomizations {
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        let documents = yaml::parse(&String::from_utf8_lossy(bytes)).ok();
        let Some(documents) = documents else { return Some(path.clone()) };
        let scalars = documents.iter().filter_map(|document| document.root.as_ref()).flat_map(yaml::Node::walk);
        for text in scalars.filter_map(yaml::Node::as_str).filter(|text| !text.contains('\n')) {
            let named = text.rsplit('=').next().unwrap_or(text);
            let leaves = |text: &str| (text.contains('/') || text == "..") && below(directory, text).is_none();
            if leaves(text) || leaves(named) {
                return Some(path.clone());
            }
        }
    }
    None
}

/// Reports whether a text can be passed to a program as a name.
fn is_label(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| word(b) || b == b'-' || b == b'.')
        && text.bytes().next().is_some_and(word)
}

impl Diff {
    /// Adds the difference between two renderings and its risks.
    pub(crate) fn add_rendered(&mut self, programs: Vec<String>, from: &Rendering, to: &Rendering) {
        let mut notes = Vec::new();
        let before = self.from.as_ref().map_or("", |from| &from.version);
        for (version, rendering) in [(before, from), (self.to.version.as_str(), to)] {
            notes.extend(rendering.notes.iter().map(|note| format!("{}: {note}", name(version))));
        }
        self.risks.extend(from.failed.iter().map(|(of, reason)| not_rendered(of, before, reason, false)));
        self.risks.extend(to.failed.iter().map(|(of, reason)| not_rendered(of, &self.to.version, reason, true)));
        let (mut old, mut new) = (read(&from.documents, to, &mut notes), read(&to.documents, from, &mut notes));
        random::mask(&mut old, &mut read(&from.again, to, &mut Vec::new()));
        let random = random::mask(&mut new, &mut read(&to.again, from, &mut Vec::new()));
        let mut objects = objects::compare(&old, &new, &Pins::default(), &mut Budget::default());
        // A source that is named after its content is another object for each chart, and the overlay's pins show it.
        objects.retain(|object| !self.is_renamed_pin(object));
        self.risks.extend(risk::of_objects(&objects, &old, &new));
        self.sort_risks();
        self.rendered = Some(Rendered { programs, notes, objects, random });
    }

    /// Reports whether an object that is new or gone is a pin of the overlay.
    fn is_renamed_pin(&self, object: &objects::ObjectChange) -> bool {
        let same = |pin: &objects::ObjectChange| {
            pin.pin && pin.change == object.change && pin.id.kind == object.id.kind && pin.id.name == object.id.name
        };
        object.change != Change::Changed && self.objects.iter().any(same)
    }
}

/// Returns the risk of a chart or directory that a program could not render. A newer release that is refused cannot be installed.
fn not_rendered(of: &str, version: &str, reason: &str, newer: bool) -> Risk {
    let (program, input) = of.split_once(' ').unwrap_or((of, ""));
    let verb = if program == "helm" { "render" } else { "build" };
    let refused = reason.strip_prefix(REFUSED);
    let lines = refused.unwrap_or(reason).lines().map(str::trim);
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty() && !line.starts_with("Use --debug flag")).collect();
    let reason = name(lines.join(" ").trim_start_matches("Error: "));
    let text = format!("{program} cannot {verb} {} of {}: {reason}", name(input), name(version));
    if newer && refused.is_some() { Risk::danger("not-rendered", text) } else { Risk::warning("not-rendered", text) }
}

/// Returns the objects of documents, without those that are missing in the other rendering. Of the content of a Secret only the digest
/// is kept.
fn read(documents: &Files, other: &Rendering, notes: &mut Vec<String>) -> Vec<ComparedObject> {
    let documents = documents.iter().filter(|(of, _)| !other.failed.contains_key(*of));
    let named: Files = documents.map(|(of, text)| (format!("{of}.yaml"), text.clone())).collect();
    let mut objects = objects::read(&named, notes);
    for object in &mut objects {
        object.file = object.file.strip_suffix(".yaml").unwrap_or(&object.file).to_owned();
        if object.id.kind == "Secret" {
            for key in ["data", "stringData"] {
                let values = object.value.get_mut(key).and_then(Value::as_object_mut);
                for value in values.into_iter().flat_map(|map| map.values_mut()) {
                    *value = Value::String(Digest::of(value.to_string().as_bytes()).short().to_owned());
                }
            }
        }
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> Files {
        files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn a_directory_without_a_kustomization_gets_one_as_flux_makes_it() {
        let tree = files(&[
            ("a/x.yaml", ""),
            ("a/b/y.yml", ""),
            ("a/c/kustomization.yaml", ""),
            ("a/c/d/z.yaml", ""),
            ("a/README.md", ""),
            ("e.yaml", ""),
        ]);
        let (path, text) = generated(Bundle::open(tree).files(), "a");
        assert_eq!(path, "a/kustomization.yaml");
        let text: Value = serde_json::from_slice(&text).expect("JSON");
        assert_eq!(text["resources"], serde_json::json!(["b/y.yml", "c", "x.yaml"]));
    }

    #[test]
    fn a_kustomization_that_leads_out_of_the_bundle_is_not_built() {
        let of = |text: &str| escapes(&files(&[("base/core/kustomization.yaml", text)]));
        assert_eq!(of("resources: [../releases/a.yaml, ./b.yaml, ../..]\n"), None);
        for text in [
            "resources: [../../../etc/passwd]\n",
            "resources: [/etc/passwd]\n",
            "configMapGenerator: [{name: a, files: [x=/etc/passwd]}]\n",
            "resources: ['https://example.com/x.yaml']\n",
            "a: [",
        ] {
            assert_eq!(of(text).as_deref(), Some("base/core/kustomization.yaml"), "{text}");
        }
    }

    #[test]
    fn renderings_are_compared_by_object_and_the_content_of_secrets_is_not_shown() {
        let rendering = |word: &str| Rendering {
            documents: files(&[(
                "helm web",
                &format!(
                    "apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata: {{password: {word}}}\n---\n{CLAIM}"
                ),
            )]),
            ..Rendering::default()
        };
        let (first, mut second) = (rendering("first"), rendering("second"));
        let objects = |a: &Rendering, b: &Rendering| read(&a.documents, b, &mut Vec::new());
        let (old, new) = (objects(&first, &second), objects(&second, &first));
        let changes = objects::compare(&old, &new, &Pins::default(), &mut Budget::default());
        assert_eq!(changes.len(), 1);
        let said = format!("{changes:?}");
        assert!(said.contains("data.password") && !said.contains("first") && !said.contains("second"), "{said}");
        second.failed.insert("helm web".to_owned(), "it failed".to_owned());
        assert!(objects(&first, &second).is_empty(), "objects that could not be rendered on one side are not removed");
    }

    const CLAIM: &str = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: c}\n";

    #[test]
    fn injected_tags_are_text_wherever_they_go() {
        let mut values = serde_json::json!({"image": {"tag": "latest", "other": 1}, "server": 7});
        set(&mut values, "image.tag", "012");
        set(&mut values, "server.image.tag", "1e3");
        assert_eq!(
            values,
            serde_json::json!({"image": {"tag": "012", "other": 1}, "server": {"image": {"tag": "1e3"}}})
        );
    }
}
