//! Edits the author's own `OCIRepository` of a chart in place, so that it refers to the published chart, and gives it the
//! name of its content.

use std::collections::{BTreeMap, BTreeSet};

use crate::flux::{File, Kustomization, Lister, Object, Source};
use crate::source::Error;
use crate::yaml::edit::{insert_after, quoted, replace_scalar};
use crate::yaml::{Entry, Node};

use super::Overlay;
use super::discover::{Release, Used};
use super::release::always_quoted;
use super::rewrite::{Change, Now, Pin, PinStyle, Pins, Plan};
use super::sources::{content_name, pin_of, refuse_renames, repository};

/// Position of an object: file, number of the document, and path in the document.
type At = (String, usize, String);

pub(super) fn at(object: &Object<'_>) -> At {
    (object.file.to_owned(), object.document, object.path.clone())
}

/// The author's own sources of charts under the names that they get from their content. Empty for the other styles,
/// under which these sources keep their names.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnSources {
    /// New name and namespace by the position of the object.
    renamed: BTreeMap<At, (String, String)>,
}

impl OwnSources {
    /// Finds the sources that are renamed.
    ///
    /// # Errors
    /// When two sources would get one name, or when something other than a release refers to a source by its name.
    pub(super) fn find(
        overlay: &Overlay,
        pins: &Pins<'_>,
        objects: &[Object<'_>],
        releases: &[Release<'_>],
        listers: &BTreeMap<&str, &Lister>,
    ) -> Result<Self, Error> {
        let mut found = Self::default();
        if pins.style != PinStyle::Content {
            return Ok(found);
        }
        let mentions = Mentions::of(overlay, objects, releases);
        for release in releases {
            let (Used::Ours(chart), Some(source)) = (&release.used, &release.own_source) else { continue };
            let object = &source.object;
            if found.renamed.contains_key(&at(object)) {
                continue;
            }
            let lister = listers.get(object.file).copied();
            refuse_renames(overlay, lister)?;
            let directory = lister.map_or("", |lister| &lister.directory);
            let name = content_name(overlay, pin_of(overlay, pins, release, chart)?, directory)?;
            let namespace = lister.and_then(|lister| lister.namespace.as_deref()).or(object.namespace());
            let namespace = namespace.unwrap_or(&overlay.settings.namespace).to_owned();
            let entry = (name, namespace);
            if found.renamed.values().any(|other| *other == entry) {
                let reason = format!(
                    "the directory `{directory}` has two OCIRepositories of one chart, which would get the name `{}`",
                    entry.0
                );
                return Err(Error::refused(overlay.place(object.file, object.node.line), reason)
                    .hint("keep one of them, and refer to it in all releases of the directory"));
            }
            mentions.refuse(overlay, object)?;
            found.renamed.insert(at(object), entry);
        }
        Ok(found)
    }

    /// Returns the new name of the release's own source, if it gets one.
    pub(super) fn name_for(&self, release: &Release<'_>) -> Option<&str> {
        let (name, _) = self.renamed.get(&at(&release.own_source.as_ref()?.object))?;
        Some(name)
    }

    /// Returns the namespace of the source that gets this name.
    pub(super) fn namespace(&self, name: &str) -> Option<&str> {
        self.renamed.values().find(|(new, _)| new == name).map(|(_, namespace)| namespace.as_str())
    }
}

/// What names an OCIRepository other than the `chartRef` of a release: patches, health checks and replacements. They would
/// name nothing after the source was renamed.
struct Mentions<'a> {
    /// File and line of the first mapping with each name.
    named: BTreeMap<&'a str, (&'a str, usize)>,
    /// Patches that are written as texts, in kustomization files and in Flux Kustomizations: text, file and line.
    patches: Vec<(&'a str, &'a str, usize)>,
}

impl<'a> Mentions<'a> {
    fn of(overlay: &'a Overlay, objects: &[Object<'_>], releases: &[Release<'_>]) -> Self {
        let node = |release: &Release<'_>| release.flux.chart_ref.map(|reference| std::ptr::from_ref(reference.node));
        let own = |release: &Release<'_>| release.own_source.as_ref().map(|own| std::ptr::from_ref(own.object.node));
        let known: BTreeSet<*const Node> = releases.iter().flat_map(|one| [node(one), own(one)]).flatten().collect();
        let kustomizations = Kustomization::all(objects);
        let kustomizations: BTreeSet<*const Node> =
            kustomizations.iter().map(|one| std::ptr::from_ref(one.object.node)).collect();
        let mut found = Self { named: BTreeMap::new(), patches: Vec::new() };
        for (file, parsed) in overlay.files.parsed() {
            let is_kustomization = overlay.files.kustomization_file(file).is_some();
            for root in parsed.roots() {
                let has_patches = is_kustomization || kustomizations.contains(&std::ptr::from_ref(root));
                for node in root.walk() {
                    let name = node.text_at(&["name"]).or(node.text_at(&["metadata", "name"]));
                    let is_source = node.text_at(&["kind"]) == Some("OCIRepository");
                    if let Some(name) = name.filter(|_| is_source && !known.contains(&std::ptr::from_ref(node))) {
                        found.named.entry(name).or_insert((file, node.line));
                    }
                    let text = node.as_str().filter(|text| has_patches && text.contains("kind: OCIRepository"));
                    found.patches.extend(text.map(|text| (text, file.as_str(), node.line)));
                }
            }
        }
        found
    }

    /// Refuses a source that is named elsewhere.
    fn refuse(&self, overlay: &Overlay, source: &Object<'_>) -> Result<(), Error> {
        let (name, patched) = (source.name(), format!("name: {}", source.name()));
        let in_patch = || self.patches.iter().find(|(text, ..)| text.contains(&patched));
        let place = self.named.get(name).copied().or_else(|| in_patch().map(|(_, file, line)| (*file, *line)));
        let Some((file, line)) = place else { return Ok(()) };
        let reason = format!(
            "the OCIRepository `{name}` is named here, but publishing names it after its content (`valuesNames: hashed`)"
        );
        Err(Error::refused(overlay.place(file, line), reason)
            .hint("remove the reference, or write the change into the OCIRepository itself"))
    }
}

/// An `OCIRepository` with the file that it is in.
pub(super) struct OwnSource<'a> {
    pub overlay: &'a Overlay,
    pub source: &'a Source<'a>,
    pub parsed: &'a File,
}

/// Reports whether the `verify` of a source means cosign's signatures by the keys in a Secret, and nothing else.
pub(super) fn is_verified_by(verify: &Node, secret: &str) -> bool {
    let is = |path: &[&str], text| verify.text_at(path) == Some(text);
    is(&["provider"], "cosign") && is(&["secretRef", "name"], secret) && verify.entries().len() == 2
}

impl OwnSource<'_> {
    /// Points `url` and `ref` to the published chart.
    pub(super) fn pin(&self, pins: &Pins<'_>, pin: &Pin, plan: &mut Plan) -> Result<(), Error> {
        let spec = &self.own(self.source.object.node, "spec")?.value;
        self.refuse_scheme(spec, pins)?;
        let url = format!("oci://{}", repository(self.overlay, pins, Some(&pin.name))?);
        let written = &self.own(spec, "url")?.value;
        if written.as_str() != Some(&url) {
            plan.edits.push(replace_scalar(&self.parsed.text, written, &url));
        }
        plan.changes.push(self.change("spec.url", url));
        let reference = &self.own(spec, "ref")?.value;
        for key in ["semver", "semverFilter"] {
            if let Some(entry) = reference.entry(key) {
                let reason = format!("cannot pin the chart: `{key}` does not give one exact version");
                return Err(self.refused(
                    &entry.key,
                    &reason,
                    "write `tag` instead: publishing sets the tag to the published version",
                ));
            }
        }
        let tag = pin.version.replace('+', "_");
        self.set(reference, "tag", "digest", tag, plan)?;
        // Flux prefers a digest to the tag, so a digest in the author's text is updated in both styles.
        if pins.style != PinStyle::Version || reference.get(&["digest"]).is_some() {
            self.set(reference, "digest", "tag", pin.digest.to_string(), plan)?;
        }
        self.overlay.settings.verify.as_deref().map_or(Ok(()), |secret| self.verify(spec, secret, plan))
    }

    /// Gives the source another name.
    pub(super) fn rename(&self, name: &str, plan: &mut Plan) -> Result<(), Error> {
        let metadata = &self.own(self.source.object.node, "metadata")?.value;
        let written = &self.own(metadata, "name")?.value;
        plan.edits.push(replace_scalar(&self.parsed.text, written, name));
        plan.changes.push(self.change("metadata.name", name.to_owned()));
        Ok(())
    }

    /// Lets Flux verify the chart by the keys in a Secret.
    fn verify(&self, spec: &Node, secret: &str, plan: &mut Plan) -> Result<(), Error> {
        if let Some(entry) = spec.entry("verify") {
            if is_verified_by(&entry.value, secret) {
                return Ok(());
            }
            let reason = format!("the chart's OCIRepository has another `verify` than by the Secret `{secret}`");
            return Err(self.refused(&entry.key, &reason, "remove `verify`: publishing writes it by `signing.flux`"));
        }
        let value = format!("{{provider: cosign, secretRef: {{name: {}}}}}", quoted(secret));
        let at = spec.entries().iter().position(|entry| entry.key.as_str() == Some("url"));
        plan.edits.extend(insert_after(&self.parsed.text, spec, at.unwrap_or_default(), "verify", &value));
        let path = format!("{}spec.verify", self.source.object.path);
        plan.changes.push(Change { document: self.source.object.document, path, now: Now::Any });
        Ok(())
    }

    /// Sets `key` of the reference. A new key is inserted after the key `beside`.
    fn set(&self, reference: &Node, key: &str, beside: &str, value: String, plan: &mut Plan) -> Result<(), Error> {
        let text = &self.parsed.text;
        if let Some(entry) = reference.entry(key).filter(|_| !reference.is_alias()) {
            if entry.value.as_str() != Some(&value) || !entry.value.is_string() {
                plan.edits.push(always_quoted(text, entry, &value));
            }
        } else {
            self.own(reference, beside).or_else(|_| self.own(reference, key))?;
            let at = reference.entries().iter().position(|entry| entry.key.as_str() == Some(beside));
            plan.edits.extend(insert_after(text, reference, at.unwrap_or_default(), key, &quoted(&value)));
        }
        plan.changes.push(self.change(&format!("spec.ref.{key}"), value));
        Ok(())
    }

    fn refuse_scheme(&self, spec: &Node, pins: &Pins<'_>) -> Result<(), Error> {
        let insecure = self.source.insecure;
        if insecure == pins.prefix.plain_http() {
            return Ok(());
        }
        let (host, expected) = (pins.prefix.host(), pins.prefix.plain_http());
        let reason = format!("wrong `insecure` for the registry {host}: expected `{expected}`, found `{insecure}`");
        let node = self.source.field("insecure").unwrap_or(spec);
        Err(self.refused(
            node,
            &reason,
            "set `insecure: true` if the registry is served over plain HTTP, and remove `insecure` otherwise",
        ))
    }

    fn own<'b>(&self, node: &'b Node, key: &str) -> Result<&'b Entry, Error> {
        let entry = node.entry(key).filter(|_| !node.is_alias());
        entry.ok_or_else(|| {
            let reason =
                format!("missing `{key}` in the chart's OCIRepository (a key from an alias or `<<` does not count)");
            self.refused(node, &reason, "write the key out in the object: publishing sets its value")
        })
    }

    fn refused(&self, node: &Node, reason: &str, hint: &str) -> Error {
        Error::refused(self.overlay.place(self.source.object.file, node.line), reason).hint(hint)
    }

    fn change(&self, path: &str, now: String) -> Change {
        Change {
            document: self.source.object.document,
            path: format!("{}{path}", self.source.object.path),
            now: Now::Text(now),
        }
    }
}
