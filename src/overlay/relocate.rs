//! Rewrites the files of a bundle for another prefix. Every name of a copied artifact becomes its new name, and everything
//! else stays the same, byte for byte.

use std::collections::BTreeMap;

use crate::flux::{File, HelmRelease, Object, Scalar, Source, SourceKind, ValuesFrom, is_kustomization_file_name};
use crate::oci::Relocation;
use crate::path::has_extension;
use crate::source::{Place, Warning};
use crate::yaml::edit::{Edit, apply, insert_after, remove_entry, replace_scalar};
use crate::yaml::{self, Node};

use super::image_names::{edits, plain_edits};

type Files = BTreeMap<String, Vec<u8>>;

/// The rewritten files of a bundle.
#[derive(Clone, Debug)]
pub struct RelocatedFiles {
    /// Files by path, relative to the bundle.
    pub files: Files,
    /// Warnings about text that still names the old prefix or could not be rewritten. Places are relative to the bundle.
    pub warnings: Vec<Warning>,
}

/// Rewrites the files of a bundle to new names. Flux sources whose `url` changes get `insecure: true` when the new prefix is
/// served over plain HTTP, and lose it otherwise. If `drops_verify`, they lose `verify`, because the copy has no signatures
/// by which Flux could verify it. Binary files stay the same.
pub fn relocate(files: &Files, relocation: &Relocation, drops_verify: bool) -> RelocatedFiles {
    let mut warnings = Vec::new();
    let files = files.iter().map(|(path, bytes)| {
        let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0')) else {
            let reason = "the binary file was not rewritten";
            if !relocation.left(&String::from_utf8_lossy(bytes)).is_empty() {
                let text = format!("{reason}, but names the old prefix");
                warnings.push(Warning { place: Place::file(path), text });
            }
            return (path.clone(), bytes.clone());
        };
        let mut file = Relocating { path, relocation, drops_verify, warnings: &mut warnings };
        let text = file.relocated(text);
        for mention in relocation.left(&text) {
            file.warn(Some(mention.line), format!("the line still names the old prefix: {}", mention.text));
        }
        (path.clone(), text.into_bytes())
    });
    let files = files.collect();
    RelocatedFiles { files, warnings }
}

/// Renames the `ConfigMap`s that releases take values from. `names` maps old names to new ones.
pub(crate) fn rename_values(mut files: Files, names: &BTreeMap<String, String>) -> Files {
    if names.is_empty() {
        return files;
    }
    for (path, bytes) in &mut files {
        let Some(parsed) = std::str::from_utf8(bytes).ok().filter(|_| is_structured(path)).and_then(parsed) else {
            continue;
        };
        let releases = HelmRelease::all(&Object::of_documents(path, &parsed.documents));
        let names_of = releases.iter().flat_map(|release| &release.values_from).filter_map(ValuesFrom::config_map_name);
        let edit = |Scalar { text, node }: Scalar<'_>| Some(replace_scalar(&parsed.text, node, names.get(text)?));
        if let Some(text) = applied(&parsed.text, names_of.filter_map(edit).collect()) {
            *bytes = text.into_bytes();
        }
    }
    files
}

/// Reports whether a file is YAML or JSON, by its name.
fn is_structured(path: &str) -> bool {
    has_extension(path, &["yaml", "yml", "json"]) || is_kustomization_file_name(path)
}

fn parsed(text: &str) -> Option<File> {
    Some(File { text: text.to_owned(), documents: yaml::parse(text).ok()? })
}

/// Returns the text after the edits, or `None` when there are no edits or the result is not valid YAML.
fn applied(text: &str, mut edits: Vec<Edit>) -> Option<String> {
    edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
    // Aliases of one anchor give the same edit several times.
    edits.dedup();
    let text = apply(text, edits.clone()).ok().filter(|_| !edits.is_empty())?;
    yaml::parse(&text).is_ok().then_some(text)
}

/// The rewriting of one file.
struct Relocating<'a> {
    path: &'a str,
    relocation: &'a Relocation,
    /// Whether the rewritten sources lose `spec.verify`.
    drops_verify: bool,
    warnings: &'a mut Vec<Warning>,
}

impl Relocating<'_> {
    fn warn(&mut self, line: Option<usize>, text: String) {
        self.warnings.push(Warning { place: Place { path: self.path.to_owned(), line }, text });
    }

    fn relocated(&mut self, text: &str) -> String {
        let plain = || self.relocation.replaced(text).into_owned();
        if !is_structured(self.path) {
            return plain();
        }
        let documents = match yaml::parse(text) {
            Ok(documents) => documents,
            Err(error) => {
                let plain = plain();
                let reason = format!("invalid YAML ({}): only full names were rewritten in this file", error.reason);
                self.warn(Some(error.line), reason);
                return plain;
            }
        };
        let edits = edits(text, &documents, self.relocation, is_kustomization_file_name(self.path)).unwrap_or_else(|line| {
            let reason = "an anchor or `<<` shares an image's registry or short name with another value: only full names were \
                          rewritten in this file; write the value out";
            self.warn(Some(line), reason.to_owned());
            plain_edits(text, self.relocation)
        });
        if edits.is_empty() && !self.drops_verify {
            return text.to_owned();
        }
        let Ok(renamed) = apply(text, edits) else { return plain() };
        self.secured(&File { text: text.to_owned(), documents }, renamed)
    }

    /// Reports whether the URL of a source names a repository below the new prefix.
    fn is_own(&self, url: Option<&str>) -> bool {
        let name = url.and_then(|url| url.strip_prefix("oci://"));
        name.is_some_and(|name| self.relocation.to().strip(name.trim_end_matches('/')).is_some())
    }

    /// Sets `insecure` of the sources whose `url` changed as the new prefix needs it, and removes their `verify`.
    fn secured(&mut self, before: &File, text: String) -> String {
        let Some(after) = parsed(&text) else { return text };
        let documents = Object::of_documents;
        let (before, after) = (documents(self.path, &before.documents), documents(self.path, &after.documents));
        let mut edits = Vec::new();
        for (old, new) in before.iter().zip(&after) {
            let (Some(old), Some(new)) = (Source::of(old), Source::of(new)) else { continue };
            let url = |source: &Source<'_>| source.url.map(|url| url.text.to_owned());
            let secured = matches!(new.kind, SourceKind::OciRepository | SourceKind::HelmRepository);
            let is_renamed = url(&old) != url(&new);
            if secured && is_renamed {
                edits.extend(insecure(&text, new.object.node, self.relocation.to().plain_http()));
            }
            // With the same prefix as before, no name changes, and the signatures are dropped all the same.
            if secured && self.drops_verify && (is_renamed || self.is_own(url(&new).as_deref())) {
                edits.extend(without_verify(&text, new.object.node));
            }
        }
        if edits.is_empty() {
            return text;
        }
        applied(&text, edits).unwrap_or_else(|| {
            self.warn(None, "failed to set `insecure` or to remove `verify` of a source: check the file".to_owned());
            text
        })
    }
}

/// Returns the edit that makes a source insecure or secure, or `None` when the source needs no edit.
fn insecure(text: &str, source: &Node, plain_http: bool) -> Option<Edit> {
    let spec = source.entry("spec")?.value.resolved();
    let at = |key: &str| spec.entries().iter().position(|entry| entry.key.as_str() == Some(key));
    match (at("insecure"), plain_http) {
        (Some(index), false) => remove_entry(text, spec, index),
        (Some(index), true) => {
            let value = &spec.entries()[index].value;
            let range = value.span.clone();
            (value.as_str() != Some("true")).then(|| Edit { range, text: "true".to_owned() })
        }
        (None, true) => insert_after(text, spec, at("url")?, "insecure", "true"),
        (None, false) => None,
    }
}

/// Returns the edit that removes `spec.verify` of a source.
fn without_verify(text: &str, source: &Node) -> Option<Edit> {
    let spec = source.entry("spec")?.value.resolved();
    let index = spec.entries().iter().position(|entry| entry.key.as_str() == Some("verify"))?;
    remove_entry(text, spec, index)
}

#[cfg(test)]
#[path = "relocate_tests.rs"]
mod tests;
