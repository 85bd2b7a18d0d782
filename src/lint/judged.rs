//! What helm and kubectl say when they are asked, and what the objects that they make say of each other. The programs are better judges
//! than the rules, where they are at hand; the rules do not need them.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::Located;
use super::kubernetes::{self, Range};
use super::rule::{Class, Rule, Severity};
use super::settings::Settings;
use super::{Contents, Findings, Place};
use crate::flux::Object;
use crate::yaml;

/// A chart that helm does not render.
pub(super) static HELM: Rule = Rule {
    id: "helm-refuses",
    class: Class::Templates,
    severity: Severity::Error,
    title: "helm cannot render a chart with the values of its HelmRelease",
    verdict: "helm-controller says the same when it installs or upgrades the release. Found when helm is asked (`--render`).",
    example: "host: {{ required \"host is needed\" .Values.host }}   # and no values have it\n",
    way_out: "Correct the template, or the values that it is rendered with.",
};

/// A directory that kustomize does not build.
pub(super) static KUSTOMIZE: Rule = Rule {
    id: "kustomize-refuses",
    class: Class::Builds,
    severity: Severity::Error,
    title: "kustomize cannot build a directory that Flux builds",
    verdict: "kustomize-controller says the same: `kustomize build failed`. Found when kubectl is asked (`--render`).",
    example: "patches:\n  - target: {kind: HelmRelease, name: web}\n    patch: |-\n      - {op: remove, path: /spec/absent}\n",
    way_out: "Correct what kustomize names.",
};

/// An object that two releases make.
pub(super) static TWICE: Rule = Rule {
    id: "object-rendered-twice",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "two HelmReleases make the same object",
    verdict: "The second installation fails: `exists and cannot be imported into the current release`. Found when helm is asked (`--render`).",
    example: "# two charts with a ServiceAccount `worker`, installed into one namespace\n",
    way_out: "Give the object a name that the release's name is a part of.",
};

/// An object in a namespace that does not exist.
pub(super) static NAMESPACE: Rule = Rule {
    id: "rendered-namespace-missing",
    class: Class::Reconciles,
    severity: Severity::Warning,
    title: "a chart makes an object in a namespace that nothing creates",
    verdict: "The installation fails: `namespaces \"NAME\" not found`. Found when helm is asked (`--render`).",
    example: "metadata: {name: web, namespace: monitoring}   # in a template, and no Namespace `monitoring`\n",
    way_out: "Create the namespace in the overlay, or add `Namespace/NAME` to `lint.external` in the configuration.",
};

/// An object of an API version that the cluster does not serve.
pub(super) static API: Rule = Rule {
    id: "api-not-served",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "an object has an API version that the declared Kubernetes versions do not serve",
    verdict: "`no matches for kind \"KIND\" in version \"VERSION\"`, when Flux or Helm applies the object. The versions are declared as \
              `lint.kubernetes` in the configuration; without them this is not checked. Objects of charts are found when helm is asked (`--render`).",
    example: "apiVersion: policy/v1beta1   # and lint: {kubernetes: \"1.29-1.33\"}\nkind: PodDisruptionBudget\n",
    way_out: "Use the API version that the message names.",
};

pub(super) static RULES: &[&Rule] = &[&HELM, &KUSTOMIZE, &TWICE, &NAMESPACE, &API];

/// What a program was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To render a chart.
    Chart {
        /// Name of the chart.
        chart: String,
        /// Namespace and name of the release.
        release: String,
        /// Namespace that objects without one go to.
        namespace: String,
    },
    /// To build a directory below the overlay's root.
    Directory(String),
}

/// What a program answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The question.
    pub asked: Asked,
    /// The objects as YAML, or why there are none.
    pub result: Result<Vec<u8>, String>,
}

/// Adds what the programs refuse, and what is wrong with the objects that they made.
pub(super) fn judged(contents: &Contents<'_>, answers: &[Answer], settings: &Settings, found: &mut Findings) {
    let range = settings.kubernetes;
    let mut seen: BTreeMap<String, &Answer> = BTreeMap::new();
    let mut made = Made::default();
    for answer in answers {
        match (&answer.result, &answer.asked) {
            (Err(reason), Asked::Chart { chart, release, .. }) => helm(contents, chart, release, reason, found),
            (Err(reason), Asked::Directory(directory)) => kustomize(contents, directory, reason, found),
            (Ok(documents), _) => made.read(answer, documents),
        }
    }
    let namespaces = namespaces(contents, &made, settings);
    for object in &made.objects {
        let Asked::Chart { release, .. } = &object.answer.asked else { continue };
        let id = object.id();
        if let Some(other) = seen.insert(id.clone(), object.answer)
            && let Asked::Chart { release: other, .. } = &other.asked
            && other != release
        {
            found.add(&TWICE, object.place(), format!("`{other}` and `{release}` both make {id}"));
        }
        if !namespaces.contains(object.namespace.as_str()) {
            let message = format!("nothing creates the namespace `{}`, which {id} is in", object.namespace);
            found.add(&NAMESPACE, object.place(), message);
        }
        if let Some(message) = range.and_then(|range| kubernetes::not_served(range, &object.version, &object.kind)) {
            found.add(&API, object.place(), message);
        }
    }
}

/// Finds objects of the overlay whose API version is not served.
pub(super) fn check(contents: &Contents<'_>, range: Option<Range>, found: &mut Findings) {
    let Some(range) = range else { return };
    for object in &contents.parts.objects {
        let version = object.node.text_at(&["apiVersion"]).unwrap_or_default();
        if let Some(message) = kubernetes::not_served(range, version, object.kind()) {
            let node = object.node.get(&["apiVersion"]).unwrap_or(object.node);
            found.add(&API, Place::overlay(object.file, node), message);
        }
    }
}

/// Namespaces that exist, or that something creates.
fn namespaces<'a>(contents: &'a Contents<'_>, made: &'a Made<'_>, settings: &'a Settings) -> BTreeSet<&'a str> {
    let appliance = &contents.config.appliance;
    let mut names = BTreeSet::from(["default", "kube-system", "kube-public", "kube-node-lease"]);
    names.extend([appliance.namespace.as_str(), appliance.flux_namespace.as_str(), ""]);
    for release in &contents.parts.releases {
        let creates = release.object.node.text_at(&["spec", "install", "createNamespace"]) == Some("true");
        names.extend(release.target_namespace.filter(|_| creates));
        names.extend(release.object.namespace());
    }
    names.extend(contents.parts.objects.iter().filter(|one| one.kind() == "Namespace").map(Object::name));
    names.extend(made.objects.iter().filter(|one| one.kind == "Namespace").map(|one| one.name.as_str()));
    names.extend(settings.external.iter().filter_map(|external| external.strip_prefix("Namespace/")));
    names
}

/// The objects that the programs made.
#[derive(Default)]
struct Made<'a> {
    objects: Vec<MadeObject<'a>>,
}

struct MadeObject<'a> {
    answer: &'a Answer,
    version: String,
    kind: String,
    namespace: String,
    name: String,
    /// Path of the template, below the directory above the chart's.
    template: Option<String>,
}

impl<'a> Made<'a> {
    fn read(&mut self, answer: &'a Answer, documents: &[u8]) {
        let text = String::from_utf8_lossy(documents);
        for document in yaml::parse(&text).unwrap_or_default() {
            let Some(root) = &document.root else { continue };
            let at = |path: &[&str]| root.text_at(path).unwrap_or_default().to_owned();
            let is_hook = root.get(&["metadata", "annotations", "helm.sh/hook"]).is_some();
            let (kind, own) = (at(&["kind"]), at(&["metadata", "namespace"]));
            if kind.is_empty() || is_hook || kind == "CustomResourceDefinition" {
                continue;
            }
            let comments = document.comments.iter().map(|comment| &text[comment.span.clone()]);
            let template = comments.filter_map(|comment| comment.strip_prefix("# Source: ")).next_back();
            let default = match &answer.asked {
                Asked::Chart { namespace, .. } if !kubernetes::is_cluster_wide(&kind) => namespace.clone(),
                _ => String::new(),
            };
            self.objects.push(MadeObject {
                answer,
                version: at(&["apiVersion"]),
                namespace: if own.is_empty() { default } else { own },
                name: at(&["metadata", "name"]),
                template: template.map(|path| path.trim().to_owned()),
                kind,
            });
        }
    }
}

impl MadeObject<'_> {
    fn id(&self) -> String {
        let group = self.version.split_once('/').map_or("", |(group, _)| group);
        let separator = if self.namespace.is_empty() { "" } else { "/" };
        let dot = if group.is_empty() { "" } else { "." };
        format!("{}{dot}{group} `{}{separator}{}`", self.kind, self.namespace, self.name)
    }

    fn place(&self) -> Place {
        let path = self.template.as_deref().and_then(|path| path.split_once('/'));
        match (&self.answer.asked, path) {
            (Asked::Chart { chart, .. }, Some((_, path))) => Place::chart(chart, path, 1, None),
            (Asked::Chart { chart, .. }, None) => Place::chart(chart, "Chart.yaml", 1, None),
            (Asked::Directory(directory), _) => Place::overlay_line(directory, 1),
        }
    }
}

/// Adds what helm refuses, at the template and line that it names.
fn helm(contents: &Contents<'_>, chart: &str, release: &str, reason: &str, found: &mut Findings) {
    let files = contents.charts.get(chart);
    let named = |(path, line): (&str, usize)| {
        let (_, path) = path.split_once('/')?;
        files.is_some_and(|files| files.files.contains_key(path)).then(|| Place::chart(chart, path, line, None))
    };
    let place = places(reason).into_iter().find_map(named);
    let place = place.unwrap_or_else(|| {
        let of = |one: &&crate::flux::HelmRelease<'_>| {
            release.rsplit('/').next() == Some(one.release_name.unwrap_or(one.object.name()))
        };
        match contents.parts.releases.iter().find(of) {
            Some(one) => {
                Place::overlay(one.object.file, one.object.node.get(&["metadata", "name"]).unwrap_or(one.object.node))
            }
            None => Place::chart(chart, "Chart.yaml", 1, None),
        }
    });
    found.add(&HELM, place, format!("helm cannot render `{release}`: {}", words(reason)));
}

/// Adds what kustomize refuses, at the file that it names.
fn kustomize(contents: &Contents<'_>, directory: &str, reason: &str, found: &mut Findings) {
    let own = contents.files.kustomization_file_of(directory);
    let named =
        contents.files.bytes().keys().filter(|path| reason.contains(path.as_str())).max_by_key(|path| path.len());
    let file = named.cloned().or(own).unwrap_or_else(|| directory.to_owned());
    let place = Place { file: Located::Overlay(file), line: 1, span: None };
    found.add(&KUSTOMIZE, place, format!("kustomize cannot build `{directory}`: {}", words(reason)));
}

/// Returns every `PATH:LINE` in a text whose path is of a template.
fn places(reason: &str) -> Vec<(&str, usize)> {
    let mut found = Vec::new();
    for word in reason.split(|character: char| character.is_whitespace() || "()\"'<>".contains(character)) {
        let mut parts = word.split(':');
        let path = parts.next().unwrap_or_default();
        if !path.contains("/templates/") {
            continue;
        }
        let line = parts.next().and_then(|line| line.parse().ok());
        // "YAML parse error on PATH: ... yaml: line 5" has the line elsewhere, in what the template gave.
        found.push((path, line.unwrap_or(1)));
    }
    found
}

/// Returns the message of a program in one line, without its own words about failing.
fn words(reason: &str) -> String {
    let reason = reason.trim_start_matches("it failed: ").trim_start_matches("Error: ");
    reason.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_that_helm_names_is_found() {
        for (reason, expected) in [
            ("Error: execution error at (web/templates/a.yaml:5:3): no", ("web/templates/a.yaml", 5)),
            (
                "template: web/templates/b.yaml:7:12: executing \"web/templates/b.yaml\" at <x>",
                ("web/templates/b.yaml", 7),
            ),
            ("Error: YAML parse error on web/templates/c.yaml: error converting", ("web/templates/c.yaml", 1)),
            ("parse error at (web/templates/_d.tpl:3): unclosed action", ("web/templates/_d.tpl", 3)),
        ] {
            assert_eq!(places(reason).first(), Some(&expected), "{reason}");
        }
        assert_eq!(places("Error: no such thing"), []);
    }
}
