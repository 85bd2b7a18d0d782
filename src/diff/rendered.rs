//! What the cluster would get: the pure half. Which charts are rendered with which values, which directories are built, and
//! what differs between two renderings. Programs are started by whoever asks.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::Value;

use super::fields::value_of;
use super::lines::Budget;
use super::name;
use super::objects::{self, ComparedObject, Pins};
use super::risk;
use super::side::{Files, Side};
use super::value::{Diff, Rendered};
use crate::config::Config;
use crate::contents::{Bundle, Parts};
use crate::flux::{self, HelmRelease, Kustomization, is_kustomization_file_name};
use crate::oci::{Digest, Error};
use crate::path::{below, join};
use crate::release::Release;
use crate::yaml;

/// Everything that the programs are given.
#[derive(Debug, Default)]
pub struct Contents {
    /// Archives of the charts, by name.
    pub charts: BTreeMap<String, Bytes>,
    /// The overlay's files, with a kustomization in every directory that is built.
    pub files: Files,
    /// What Helm renders.
    pub installations: Vec<Installation>,
    /// What kustomize builds, below the overlay.
    pub directories: Vec<String>,
    /// What is not rendered, and why.
    pub notes: Vec<String>,
}

/// A chart with the values of one release.
#[derive(Clone, Debug, PartialEq)]
pub struct Installation {
    /// Helm's name of the release.
    pub release: String,
    /// Where it is installed.
    pub namespace: String,
    /// A key of [`Contents::charts`].
    pub chart: String,
    /// In the order of their weight, the strongest last.
    pub values: Vec<Value>,
}

/// What the programs made of one release.
#[derive(Debug, Default)]
pub struct Rendering {
    /// Documents, by what they were made of.
    pub documents: Files,
    /// What failed, and why: it is left out on the other side too.
    pub failed: BTreeMap<String, String>,
    /// What was not tried, and why.
    pub notes: Vec<String>,
}

impl Side<'_> {
    /// Reads all that is rendered.
    ///
    /// # Errors
    /// When the store cannot be reached. What is absent or broken is said in the notes.
    pub async fn contents(&self) -> Result<Contents, Error> {
        let release = &self.opened.release;
        let bundle = match self.opened.bundle().await? {
            Ok(found) => self.opened.files(&found).await?,
            Err(reason) => Err(reason),
        };
        match bundle {
            Ok(bundle) => self.rendered_with(release, bundle).await,
            Err(reason) => {
                let mut contents = self.rendered_with(release, Bundle::default()).await?;
                contents.notes.insert(0, format!("the overlay: {}", name(&reason)));
                Ok(contents)
            }
        }
    }

    /// What is rendered of a release that has the charts of this one, and these files as its overlay.
    ///
    /// # Errors
    /// When the store cannot be reached. What is absent or broken is said in the notes.
    pub async fn contents_of(&self, release: &Release, files: Files) -> Result<Contents, Error> {
        self.rendered_with(release, Bundle::open(files)).await
    }

    async fn rendered_with(&self, release: &Release, bundle: Bundle) -> Result<Contents, Error> {
        let mut contents = Reading { release, config: self.opened.config() }.contents(bundle);
        let used: BTreeSet<String> = contents.installations.iter().map(|one| one.chart.clone()).collect();
        for chart in used {
            let archive = match self.opened.chart(&chart).await? {
                Ok(found) => self.opened.archive(&found).await?,
                Err(reason) => Err(reason),
            };
            match archive {
                Ok(archive) => drop(contents.charts.insert(chart, archive)),
                Err(reason) => contents.notes.push(format!("chart {}: {}", name(&chart), name(&reason))),
            }
        }
        Ok(contents)
    }
}

/// A release, and the configuration that its names are of.
struct Reading<'a> {
    release: &'a Release,
    config: &'a Config,
}

impl Reading<'_> {
    /// All but the charts' archives.
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

    /// The root, what the Flux Kustomizations of the overlay apply, and the profile.
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
            notes.push(format!("the overlay: {} names what is not in the bundle", name(&place)));
            return Vec::new();
        }
        let (there, absent): (Vec<String>, Vec<String>) =
            directories.into_iter().partition(|directory| bundle.files().has_directory(directory));
        notes.extend(absent.iter().map(|directory| format!("{}: there is no such directory", name(directory))));
        there
    }

    fn installations(&self, bundle: &Bundle, parts: &Parts<'_>, contents: &mut Contents) {
        for release in &parts.releases {
            let object = &release.object;
            let own = object.namespace().unwrap_or_default();
            let separator = if own.is_empty() { "" } else { "/" };
            let id = name(&format!("HelmRelease {own}{separator}{}", object.name()));
            let Some(chart) = parts.chart_of(release).filter(|chart| self.release.publishes(chart)) else {
                contents.notes.push(format!("{id}: its chart is not published with the release"));
                continue;
            };
            let namespace = release.target_namespace.unwrap_or(own);
            let release_name = release.release_name.unwrap_or(object.name());
            if !(is_label(release_name) && is_label(namespace)) {
                contents.notes.push(format!("{id}: its name or namespace is none that Kubernetes takes"));
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

    /// The profile's values with the image tags that the appliance injects, then those of the HelmRelease itself.
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

/// The first path in a kustomization that leads out of the bundle: what is built may come from elsewhere, and must not read this
/// machine's files into a report.
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

/// Can it be given to a program as a name?
fn is_label(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| word(b) || b == b'-' || b == b'.')
        && text.bytes().next().is_some_and(word)
}

impl Diff {
    /// Adds what the cluster would get, and what is risky in it.
    pub(crate) fn add_rendered(&mut self, programs: Vec<String>, from: &Rendering, to: &Rendering) {
        let mut notes = Vec::new();
        for (side, rendering) in [("before", from), ("after", to)] {
            let failed = rendering.failed.iter().map(|(of, reason)| format!("{}: {}", name(of), name(reason)));
            notes.extend(rendering.notes.iter().cloned().chain(failed).map(|note| format!("{side}: {note}")));
        }
        let mut objects = Vec::new();
        // One side that could not be read at all is not a side without objects.
        if !from.documents.is_empty() && !to.documents.is_empty() {
            let (old, new) = (read(from, to, &mut notes), read(to, from, &mut notes));
            objects = objects::compare(&old, &new, &Pins::default(), &mut Budget::default());
            self.risks.extend(risk::of_objects(&objects, &old, &new));
        }
        self.risks.sort();
        self.risks.dedup();
        self.rendered = Some(Rendered { programs, notes, objects });
    }
}

/// The objects of a rendering, but for what failed in the other. What secrets hold is known by its digest alone.
fn read(rendering: &Rendering, other: &Rendering, notes: &mut Vec<String>) -> Vec<ComparedObject> {
    let documents = rendering.documents.iter().filter(|(of, _)| !other.failed.contains_key(*of));
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
    fn what_leads_out_of_the_bundle_is_not_built() {
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
    fn renderings_are_compared_by_object_and_secrets_stay_secret() {
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
        let objects = |a: &Rendering, b: &Rendering| read(a, b, &mut Vec::new());
        let (old, new) = (objects(&first, &second), objects(&second, &first));
        let changes = objects::compare(&old, &new, &Pins::default(), &mut Budget::default());
        assert_eq!(changes.len(), 1);
        let said = format!("{changes:?}");
        assert!(said.contains("data.password") && !said.contains("first") && !said.contains("second"), "{said}");
        second.failed.insert("helm web".to_owned(), "it failed".to_owned());
        assert!(objects(&first, &second).is_empty(), "what failed on one side is not removed");
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
