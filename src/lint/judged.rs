//! Findings from helm and kubectl, and from the objects that they render. If these programs are installed, they judge better than the
//! rules, but the rules do not depend on them.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::Located;
use super::kubernetes::{self, Range};
use super::rule::{Class, Rule, Severity};
use super::settings::Settings;
use super::{Contents, Findings, Place};
use crate::flux::Object;
use crate::yaml;

/// Rule for a chart that helm cannot render.
pub(super) static HELM: Rule = Rule {
    id: "helm-refuses",
    class: Class::Templates,
    severity: Severity::Error,
    title: "helm cannot render a chart with the values of its HelmRelease",
    verdict: "helm-controller reports the same error when it installs or upgrades the release. This rule needs helm (`--render`).",
    example: "host: {{ required \"host is needed\" .Values.host }}   # and no values have it\n",
    way_out: "correct the template, or the values that it is rendered with",
};

/// Rule for a directory that kustomize cannot build.
pub(super) static KUSTOMIZE: Rule = Rule {
    id: "kustomize-refuses",
    class: Class::Builds,
    severity: Severity::Error,
    title: "kustomize cannot build a directory that Flux builds",
    verdict: "kustomize-controller reports the same error: `kustomize build failed`. This rule needs kubectl or kustomize (`--render`).",
    example: "patches:\n  - target: {kind: HelmRelease, name: web}\n    patch: |-\n      - {op: remove, path: /spec/absent}\n",
    way_out: "correct the file or field that kustomize names",
};

/// Rule for an object that two Helm releases create.
pub(super) static TWICE: Rule = Rule {
    id: "object-rendered-twice",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "two HelmReleases create the same object",
    verdict: "The second installation fails: `exists and cannot be imported into the current release`. This rule needs helm (`--render`).",
    example: "# two charts with a ServiceAccount `worker`, installed into one namespace\n",
    way_out: "make the name of the release a part of the object's name",
};

/// Rule for a rendered object whose namespace does not exist.
pub(super) static NAMESPACE: Rule = Rule {
    id: "rendered-namespace-missing",
    class: Class::Reconciles,
    severity: Severity::Warning,
    title: "a chart creates an object in a namespace that does not exist",
    verdict: "The installation fails: `namespaces \"NAME\" not found`. This rule needs helm (`--render`).",
    example: "metadata: {name: web, namespace: monitoring}   # in a template; no Namespace `monitoring` exists\n",
    way_out: "create the namespace in the overlay; if something else creates it, add `Namespace/NAME` to `lint.external` in the configuration",
};

/// Rule for an object of an API version that the cluster does not serve.
pub(super) static API: Rule = Rule {
    id: "api-not-served",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "an object has an API version that the supported Kubernetes versions do not serve",
    verdict: "Flux or Helm fails with `no matches for kind \"KIND\" in version \"VERSION\"` when it applies the object. This is checked if \
              `lint.kubernetes` in the configuration declares the supported versions. Objects of charts are checked if helm is \
              available (`--render`).",
    example: "apiVersion: policy/v1beta1   # and lint: {kubernetes: \"1.29-1.33\"}\nkind: PodDisruptionBudget\n",
    way_out: "use the API version that the message names",
};

pub(super) static RULES: &[&Rule] = &[&HELM, &KUSTOMIZE, &TWICE, &NAMESPACE, &API];

/// A question to an external program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Renders a chart with the values of a HelmRelease.
    Chart {
        /// Name of the chart in the release.
        chart: String,
        /// Namespace and name of the Helm release.
        release: String,
        /// Namespace for objects that do not set one.
        namespace: String,
    },
    /// Builds a directory, given by its path below the overlay's root.
    Directory(String),
}

/// The answer of an external program.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The question that was asked.
    pub asked: Asked,
    /// The objects as YAML, or the error message of the program.
    pub result: Result<Vec<u8>, String>,
}

/// Adds a finding for each error of the programs, and findings about the objects that they rendered.
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
            found.add(&TWICE, object.place(), format!("HelmReleases `{other}` and `{release}` both create {id}"));
        }
        if !namespaces.contains(object.namespace.as_str()) {
            let message = format!("{id} is in the namespace `{}`, which does not exist", object.namespace);
            found.add(&NAMESPACE, object.place(), message);
        }
        if let Some(message) = range.and_then(|range| kubernetes::not_served(range, &object.version, &object.kind)) {
            found.add(&API, object.place(), message);
        }
    }
}

/// Finds objects of the overlay whose API version the supported Kubernetes versions do not serve.
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

/// Returns the namespaces that exist or that the release creates.
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

/// The objects that the programs rendered.
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
    /// Path of the template, starting with the directory of the chart.
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

/// Adds the error of helm at the template and line that it names.
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

/// Adds the error of kustomize at the file that it names.
fn kustomize(contents: &Contents<'_>, directory: &str, reason: &str, found: &mut Findings) {
    let own = contents.files.kustomization_file_of(directory);
    let named =
        contents.files.bytes().keys().filter(|path| reason.contains(path.as_str())).max_by_key(|path| path.len());
    let file = named.cloned().or(own).unwrap_or_else(|| directory.to_owned());
    let place = Place { file: Located::Overlay(file), line: 1, span: None };
    found.add(&KUSTOMIZE, place, format!("kustomize cannot build `{directory}`: {}", words(reason)));
}

/// Returns every `PATH:LINE` in a text whose path is a template.
fn places(reason: &str) -> Vec<(&str, usize)> {
    let mut found = Vec::new();
    for word in reason.split(|character: char| character.is_whitespace() || "()\"'<>".contains(character)) {
        let mut parts = word.split(':');
        let path = parts.next().unwrap_or_default();
        if !path.contains("/templates/") {
            continue;
        }
        let line = parts.next().and_then(|line| line.parse().ok());
        // "YAML parse error on PATH: ... yaml: line 5" counts lines of the rendered output, so that number is not used.
        found.push((path, line.unwrap_or(1)));
    }
    found
}

/// Returns the message of a program as one line, without the prefixes that only say that it failed.
fn words(reason: &str) -> String {
    let reason = reason.trim_start_matches("it failed: ").trim_start_matches("Error: ");
    reason.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_and_line_in_an_error_of_helm_are_found() {
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
