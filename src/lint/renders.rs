//! Class "renders on the appliance": the values files, and the values that `alga-resolve render` sets in them.

use std::collections::BTreeSet;

use super::finding::Located;
use super::rule::{Class, Rule, Severity};
use super::{Contents, Findings, Place};
use crate::appliance::{self, HostInputs, RenderError};
use crate::kustomize::strict;
use crate::oci::Digest;
use crate::release::{Described, Release, ValueSource, ValuesReader};
use crate::text::nearest;
use crate::yaml::{self, Node};

/// Limit of the paths of values among which a similar name is searched.
const MOST_PATHS: usize = 10_000;

/// Rule for a values file that cannot be parsed.
pub(super) static VALUES_BROKEN: Rule = Rule {
    id: "values-broken",
    class: Class::Renders,
    severity: Severity::Error,
    title: "a values file of the profile is not one YAML mapping",
    verdict: "`alga-resolve render` refuses the release when an appliance updates, so the appliance keeps its present release. Without \
              the resolver, helm-controller reports \"unable to parse values\" and does not upgrade.",
    example: "image: {tag: \"1.0\"   # the bracket is not closed\n",
    way_out: "correct the YAML at the line that the message names; a values file is one mapping",
};

/// Rule for a key that occurs twice in a mapping of a values file.
pub(super) static VALUES_DUPLICATE_KEY: Rule = Rule {
    id: "values-duplicate-key",
    class: Class::Renders,
    severity: Severity::Error,
    title: "a mapping of a values file contains a key twice",
    verdict: "`alga-resolve render` refuses the release when an appliance updates, so the appliance keeps its present release. Helm \
              alone would take one of the two values without a message.",
    example: "replicas: 1\nreplicas: 2\n",
    way_out: "remove one of the two keys",
};

/// Rule for a release that the appliance cannot render.
pub(super) static RENDER_REFUSED: Rule = Rule {
    id: "render-refused",
    class: Class::Renders,
    severity: Severity::Error,
    title: "the appliance cannot set its own values, or cannot create the objects of the release",
    verdict: "`alga-resolve render` refuses the release when an appliance updates, so the appliance keeps its present release.",
    example: "image: \"1.0\"   # appliance.values sets image.tag, but `image` is a string\n",
    way_out: "make the values a mapping where `appliance.values` sets a value, or change the path in `appliance.values`",
};

/// Rule for an unknown source of an appliance value.
pub(super) static INJECTION_SOURCE: Rule = Rule {
    id: "injection-source-unknown",
    class: Class::Renders,
    severity: Severity::Error,
    title: "`appliance.values` takes a value from an unknown source",
    verdict: "Nothing fails: every appliance uses the misspelt word itself as the value.",
    example: "appliance:\n  values:\n    - {release: web, path: ingress.host, from: hots}\n",
    way_out: "write `image:KEY`, `app-url`, `host` or `domain-suffix`; for a fixed text, write `literal:TEXT`",
};

/// Rule for an appliance value at a path that no values have.
pub(super) static INJECTION_PATH: Rule = Rule {
    id: "injection-path-unknown",
    class: Class::Renders,
    severity: Severity::Warning,
    title: "`appliance.values` sets a path that neither the values nor the chart's defaults have",
    verdict: "Nothing fails: the appliance adds the value, but the chart most likely does not read it.",
    example: "appliance:\n  values:\n    - {release: web, path: imgae.tag, from: image:web}\n",
    way_out: "correct the path, or add it to the chart's values.yaml",
};

/// Rule for a values file that no HelmRelease reads.
pub(super) static VALUES_FILE_UNREAD: Rule = Rule {
    id: "values-file-unread",
    class: Class::Renders,
    severity: Severity::Warning,
    title: "no HelmRelease reads a values file of the profile",
    verdict: "Nothing fails: Helm installs the release without these values.",
    example: "# profiles/lab/values/wbe.lab.yaml, but the HelmRelease reads appliance-values-web\n",
    way_out: "name the file after the values that a HelmRelease reads, or remove the file",
};

/// Rule for an appliance value of a release without values.
pub(super) static INJECTION_UNUSED: Rule = Rule {
    id: "injection-unused",
    class: Class::Renders,
    severity: Severity::Warning,
    title: "`appliance.values` sets a value of a release that reads no values",
    verdict: "Nothing fails: the value is not set, and the chart runs with its default.",
    example: "appliance:\n  values:\n    - {release: wbe, path: image.tag, from: image:web}\n",
    way_out: "correct the name of the release, or add its values file to the profile and a `valuesFrom` to the HelmRelease",
};

pub(super) static RULES: &[&Rule] = &[
    &VALUES_BROKEN,
    &VALUES_DUPLICATE_KEY,
    &RENDER_REFUSED,
    &INJECTION_SOURCE,
    &INJECTION_PATH,
    &INJECTION_UNUSED,
    &VALUES_FILE_UNREAD,
];

/// Checks the values files of the profile, and renders the release in the same way as an appliance.
pub(super) fn check(contents: &Contents<'_>, found: &mut Findings) {
    let mut broken = BTreeSet::new();
    for (path, bytes) in contents.profile_values() {
        if !values(&path, bytes, found) {
            broken.insert(path);
        }
    }
    injections(contents, found);
    let Some(release) = contents.release else { return };
    let Some(described) = contents.described() else { return };
    let rendering = Rendering { contents, release, described: &described };
    rendering.check(&broken, found);
}

/// Checks one values file, and reports whether it can be used.
fn values(path: &str, bytes: &[u8], found: &mut Findings) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        found.add(&VALUES_BROKEN, Place::overlay_line(path, 1), "the values file is not valid UTF-8");
        return false;
    };
    let documents = match yaml::parse(text) {
        Ok(documents) => documents,
        Err(cause) => {
            let place = Place::overlay_column(path, text, cause.line, cause.column);
            found.add(&VALUES_BROKEN, place, format!("invalid YAML: {}", cause.reason));
            return false;
        }
    };
    if let Err((line, reason)) = strict(text, &documents) {
        found.add(&VALUES_BROKEN, Place::overlay_line(path, line), format!("invalid YAML: {reason}"));
        return false;
    }
    let mut roots = documents.iter().filter_map(|document| document.root.as_ref());
    let Some(root) = roots.next() else { return true };
    if !root.is_mapping() && !root.is_null() {
        found.add(&VALUES_BROKEN, Place::overlay(path, root), "the values file does not contain a mapping");
        return false;
    }
    if let Some(second) = roots.next() {
        let message = "the values file contains a second YAML document: expected one document";
        found.add(&VALUES_BROKEN, Place::overlay_line(path, second.line), message);
        return false;
    }
    if let Some(key) = root.duplicate_key() {
        let name = key.as_str().unwrap_or_default().escape_debug().to_string();
        found.add(&VALUES_DUPLICATE_KEY, Place::overlay(path, key), format!("duplicate key `{name}` in a mapping"));
        return false;
    }
    true
}

/// Checks the sources of the entries of `appliance.values` in the configuration.
fn injections(contents: &Contents<'_>, found: &mut Findings) {
    if contents.configuration.is_none() {
        return;
    }
    for (at, injection) in contents.config.appliance.values.iter().enumerate() {
        let unknown = match ValueSource::parse(&injection.from) {
            Some(ValueSource::Image(key)) => !contents.config.images.contains_key(key),
            source => source.is_none(),
        };
        // The built-in table is meant for every tree, so entries of it that do not fit a tree are ignored.
        if !unknown || !contents.config.given.contains_key("appliance.values") {
            continue;
        }
        let message = format!("unknown source `{}` of a value", injection.from.escape_debug());
        let finding = found.add(&INJECTION_SOURCE, configured(contents, at, "from"), message);
        let images: Vec<String> = contents.config.images.keys().map(|key| format!("image:{key}")).collect();
        let known = ["app-url", "host", "domain-suffix"].into_iter().chain(images.iter().map(String::as_str));
        if let Some(near) = nearest(&injection.from, known) {
            let text = format!("did you mean `{near}`? for a fixed text, write `literal:{}`", injection.from);
            finding.help(text);
            let text = contents.configuration.as_deref().unwrap_or_default();
            let documents = yaml::parse(text).unwrap_or_default();
            if let Some(node) = entry(&documents, at).and_then(|entry| entry.get(&["from"])) {
                finding.rename(text, node, &near);
            }
        }
    }
}

/// Returns the place of a field of an entry of `appliance.values` in the configuration file.
fn configured(contents: &Contents<'_>, at: usize, field: &str) -> Place {
    let file = Located::Configuration;
    let documents = contents.configuration.as_deref().and_then(|text| yaml::parse(text).ok()).unwrap_or_default();
    match entry(&documents, at).and_then(|entry| entry.get(&[field])) {
        Some(node) => Place { file, line: node.line, span: Some(node.span.clone()) },
        None => Place { file, line: 1, span: None },
    }
}

/// Returns an entry of `appliance.values` by its index.
fn entry(documents: &[yaml::Document], at: usize) -> Option<&Node> {
    let root = documents.iter().find_map(|document| document.root.as_ref())?;
    root.get(&["appliance", "values"])?.items().get(at)
}

/// A release that is rendered as on an appliance, with example values for the host.
struct Rendering<'a> {
    contents: &'a Contents<'a>,
    release: &'a Release,
    described: &'a Described,
}

impl Rendering<'_> {
    fn check(&self, broken: &BTreeSet<String>, found: &mut Findings) {
        let host = HostInputs {
            app_url: "https://appliance.example.com".to_owned(),
            host: "appliance.example.com".to_owned(),
            domain_suffix: ".example.com".to_owned(),
        };
        let digest = Digest::of(b"");
        let options = appliance::Options {
            described: self.described,
            channel: None,
            registry_host: "registry.example.com",
            repository: "release",
            manifest: &digest,
            release_digest: &digest,
            plain_http: false,
            host: Some(&host),
            settings: &[],
            image_digests: false,
            release_keys: Some(&[]),
        };
        let whole = if broken.is_empty() { appliance::render(self.release, &options).map(drop) } else { Ok(()) };
        let mut refused = false;
        for reader in &self.described.installation.values {
            if broken.contains(&self.path(&reader.file)) {
                continue;
            }
            // Rendering stops at the first error, so each values file is rendered separately to find all errors.
            let alone = whole.is_err() || !broken.is_empty();
            let text =
                if alone { appliance::rendered_values(self.release, &options, reader).map(drop) } else { Ok(()) };
            match text {
                Ok(()) => self.paths(reader, found),
                Err(cause) => {
                    refused = true;
                    self.refused(&cause, Some(reader), found);
                }
            }
        }
        self.unread(found);
        if let Err(cause) = whole
            && !refused
        {
            self.refused(&cause, None, found);
        }
    }

    fn path(&self, file: &str) -> String {
        format!("profiles/{}/values/{file}", self.release.values_profile)
    }

    fn refused(&self, cause: &RenderError, reader: Option<&ValuesReader>, found: &mut Findings) {
        let (place, message) = match (cause, reader) {
            (RenderError::Values(invalid), Some(reader)) => {
                let (line, reason) = invalid.place();
                (Place::overlay_line(&self.path(&reader.file), line), reason.to_owned())
            }
            (RenderError::Setting(_), _) => {
                let named = |one: &crate::config::Injection| cause.to_string().contains(&one.path);
                let at = self.contents.config.appliance.values.iter().position(named);
                (configured(self.contents, at.unwrap_or(usize::MAX), "path"), cause.to_string())
            }
            _ => (Place { file: Located::Release, line: 1, span: None }, cause.to_string()),
        };
        found.add(&RENDER_REFUSED, place, message);
    }

    /// Finds the paths that the appliance sets but that neither the values nor the chart's defaults have.
    fn paths(&self, reader: &ValuesReader, found: &mut Findings) {
        if self.contents.configuration.is_none() || reader.set.is_empty() {
            return;
        }
        let named = |release: &&crate::flux::HelmRelease<'_>| release.object.name() == reader.release;
        let Some(chart) = self.contents.parts.releases.iter().find(named).and_then(|one| self.contents.chart_of(one))
        else {
            return;
        };
        let defaults = chart.text("values.yaml").and_then(|text| yaml::parse(text).ok()).unwrap_or_default();
        let text = self.release.profile_values.get(&reader.file);
        let values = text.and_then(|text| yaml::parse(text).ok()).unwrap_or_default();
        for set in &reader.set {
            let keys: Vec<&str> = set.path.split('.').collect();
            let has = |documents: &[yaml::Document]| {
                documents.iter().filter_map(|document| document.root.as_ref()).any(|root| root.get(&keys).is_some())
            };
            if set.path.contains('\\') || has(&defaults) || has(&values) {
                continue;
            }
            let message = format!(
                "neither the values of `{}` nor the chart's defaults have the path `{}`",
                reader.release, set.path
            );
            let entries = &self.contents.config.appliance.values;
            let at = entries.iter().position(|one| one.path == set.path && reader.file.starts_with(&one.release));
            let finding =
                found.add(&INJECTION_PATH, configured(self.contents, at.unwrap_or(usize::MAX), "path"), message);
            let known: Vec<String> =
                defaults.iter().chain(&values).filter_map(|one| one.root.as_ref()).flat_map(paths_of).collect();
            if let Some(near) = nearest(&set.path, known.iter().map(String::as_str)) {
                finding.help(format!("did you mean `{near}`?"));
            }
        }
    }

    fn unread(&self, found: &mut Findings) {
        let readers = &self.described.installation.values;
        for file in self.release.profile_values.keys() {
            if !readers.iter().any(|reader| reader.file == *file) {
                let place = Place::overlay_line(&self.path(file), 1);
                found.add(&VALUES_FILE_UNREAD, place, "no HelmRelease reads this values file");
            }
        }
        if self.contents.configuration.is_none() || !self.contents.config.given.contains_key("appliance.values") {
            return;
        }
        for (at, injection) in self.contents.config.appliance.values.iter().enumerate() {
            let of = |reader: &ValuesReader| {
                reader.release == injection.release
                    || reader.values_of(&self.release.values_profile) == Some(injection.release.as_str())
            };
            if !readers.iter().any(of) {
                let message = format!("no HelmRelease reads values of `{}`", injection.release.escape_debug());
                found.add(&INJECTION_UNUSED, configured(self.contents, at, "release"), message);
            }
        }
    }
}

/// Returns the paths of all values below a mapping, at most [`MOST_PATHS`].
fn paths_of(root: &Node) -> Vec<String> {
    let mut paths = Vec::new();
    let mut left = vec![(String::new(), root)];
    // YAML aliases can expand to more keys than fit into memory.
    while let Some((path, node)) = left.pop().filter(|_| paths.len() < MOST_PATHS) {
        for entry in node.entries() {
            let Some(key) = entry.key.as_str() else { continue };
            let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            left.push((path.clone(), &entry.value));
            paths.push(path);
        }
    }
    paths
}
