//! From the tree to the files of the bundle, read and parsed once.

use std::collections::BTreeMap;

use crate::oci::Prefix;
use crate::source::{EntryKind, Error, Place, Tree, join};
use crate::yaml::{self, Document, Node};

use super::Overlay;
use super::ignore::{FILE, Ignore};

/// Most bytes of one file.
const MOST_BYTES: u64 = 10 << 20;

/// What the overlay is called and whom it belongs to.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// Below the root of the tree: `ee/appliance/flux`.
    pub directory: &'a str,
    /// The `OCIRepository` that the appliance makes; a child that names another source is warned about.
    pub source_name: &'a str,
    /// Below the prefix: `charts`.
    pub charts_repository: &'a str,
    /// Name of the `HelmRepository` of the style `version`.
    pub helm_repository: &'a str,
    /// Of the chart sources.
    pub namespace: &'a str,
    /// The effective one first: a `HelmRepository` at the charts of any of them is ours.
    pub prefixes: &'a [Prefix],
    /// `appliance-values-`
    pub values_prefix: &'a str,
}

/// [`Settings`] that an overlay keeps.
#[derive(Clone, Debug, Default)]
pub(super) struct Owned {
    pub directory: String,
    pub source_name: String,
    pub charts_repository: String,
    pub helm_repository: String,
    pub namespace: String,
    pub prefixes: Vec<Prefix>,
    pub values_prefix: String,
}

impl Owned {
    fn of(settings: &Settings<'_>) -> Self {
        Self {
            directory: settings.directory.trim_matches('/').to_owned(),
            source_name: settings.source_name.to_owned(),
            charts_repository: settings.charts_repository.to_owned(),
            helm_repository: settings.helm_repository.to_owned(),
            namespace: settings.namespace.to_owned(),
            prefixes: settings.prefixes.to_vec(),
            values_prefix: settings.values_prefix.to_owned(),
        }
    }
}

/// A YAML file, read.
#[derive(Clone, Debug)]
pub(super) struct Parsed {
    pub text: String,
    pub documents: Vec<Document>,
}

/// Reads the overlay.
///
/// # Errors
/// When it is not there or has no `base/`, when a file cannot be published as it is, and when its YAML is broken.
pub fn load(tree: &Tree, settings: &Settings<'_>) -> Result<Overlay, Error> {
    let settings = Owned::of(settings);
    require_directories(tree, &settings.directory)?;
    let mut found = Found { tree, root: &settings.directory, files: Vec::new(), odd: Vec::new(), rules: Vec::new() };
    found.walk("")?;
    let Found { files: names, odd, rules, .. } = found;
    let ignore = Ignore::new(&rules);
    for (path, reason) in odd {
        if ignore.keeps(&path) {
            let place = Place::file(join(&settings.directory, &path));
            return Err(
                Error::refused(place, reason).hint("replace it by a regular file, or leave it out with .sourceignore")
            );
        }
    }
    let mut files = BTreeMap::new();
    let mut parsed = BTreeMap::new();
    for path in names.into_iter().filter(|path| ignore.keeps(path)) {
        let place = || Place::file(join(&settings.directory, &path));
        refuse_hostile(&path, place)?;
        let bytes = tree.read(&join(&settings.directory, &path), MOST_BYTES)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            Error::refused(place(), "the file is not UTF-8").hint("convert it, or leave it out with .sourceignore")
        })?;
        if let Some(documents) = documents(&settings.directory, &path, text)? {
            parsed.insert(path.clone(), Parsed { text: text.to_owned(), documents });
        }
        files.insert(path, bytes);
    }
    Ok(Overlay { settings, files, parsed, ignore })
}

/// A bundle that was published: its root is the overlay's own, and of what it ignored nothing is left.
///
/// # Errors
/// When its YAML is broken.
pub(super) fn of_bundle(
    files: &BTreeMap<String, Vec<u8>>,
    namespace: &str,
    source_name: &str,
) -> Result<Overlay, Error> {
    let (namespace, source_name) = (namespace.to_owned(), source_name.to_owned());
    let settings = Owned { source_name, namespace, ..Owned::default() };
    let mut parsed = BTreeMap::new();
    for (path, bytes) in files {
        let Ok(text) = std::str::from_utf8(bytes) else { continue };
        if let Some(documents) = documents("", path, text)? {
            parsed.insert(path.clone(), Parsed { text: text.to_owned(), documents });
        }
    }
    Ok(Overlay { settings, files: files.clone(), parsed, ignore: Ignore::new(&[]) })
}

/// What a file holds for kustomize, where it holds something.
fn documents(directory: &str, path: &str, text: &str) -> Result<Option<Vec<Document>>, Error> {
    if is_yaml(path) { parse(&join(directory, path), text).map(Some) } else { Ok(objects_in_json(path, text)) }
}

fn require_directories(tree: &Tree, directory: &str) -> Result<(), Error> {
    let hint = "`overlay` in the configuration says where the overlay lies";
    for (path, what) in [(directory.to_owned(), "the overlay"), (join(directory, "base"), "the overlay's `base`")] {
        match tree.kind(&path)? {
            Some(EntryKind::Directory) => {}
            None => return Err(Error::usage(Place::file(path), format!("{what} does not exist")).hint(hint)),
            Some(_) => return Err(Error::usage(Place::file(path), format!("{what} is no directory")).hint(hint)),
        }
    }
    Ok(())
}

/// Values are for Helm; Flux never reads them as objects.
pub(super) fn is_values(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    parts.len() > 3 && parts[0] == "profiles" && parts[2] == "values"
}

pub(super) fn has_extension(path: &str, extensions: &[&str]) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| extensions.contains(&extension))
}

fn is_yaml(path: &str) -> bool {
    !is_values(path) && (has_extension(path, &["yaml", "yml"]) || path.rsplit('/').next() == Some("Kustomization"))
}

/// kustomize reads objects in JSON too; other JSON is nobody's business here.
fn objects_in_json(path: &str, text: &str) -> Option<Vec<Document>> {
    let documents = yaml::parse(text).ok().filter(|_| has_extension(path, &["json"]) && !is_values(path))?;
    let root = documents.first()?.root.as_ref()?;
    (root.get(&["kind"]).is_some() && root.get(&["apiVersion"]).is_some()).then_some(documents)
}

/// Parses a file of the overlay; `path` is below the root of the tree.
pub(super) fn parse(path: &str, text: &str) -> Result<Vec<Document>, Error> {
    let documents = yaml::parse(text).map_err(|error| {
        Error::invalid(
            Place::line(path, error.line),
            format!("broken YAML in column {}: {}", error.column, error.reason),
        )
    })?;
    for root in documents.iter().filter_map(|document| document.root.as_ref()) {
        let strict = super::kustomization::is_file_name(path)
            || (root.get(&["kind"]).is_some() && root.get(&["apiVersion"]).is_some());
        if strict {
            refuse_duplicate(path, root)?;
        }
    }
    Ok(documents)
}

/// Refuses a key that stands twice in one mapping; `path` is below the root of the tree.
pub(super) fn refuse_duplicate(path: &str, root: &Node) -> Result<(), Error> {
    let Some(key) = root.duplicate_key() else { return Ok(()) };
    let reason = format!("the key `{}` stands twice in one mapping", key.as_str().unwrap_or_default().escape_debug());
    Err(Error::invalid(Place::line(path, key.line), reason).hint("remove one of the two: Flux rejects the file"))
}

fn refuse_hostile(path: &str, place: impl Fn() -> Place) -> Result<(), Error> {
    let refuse = |reason: &str| Err(Error::refused(place(), reason).hint("rename it: Flux cannot unpack the name"));
    if path.contains('\\') {
        return refuse("the name contains a backslash");
    }
    if path.chars().any(char::is_control) {
        return refuse("the name contains a control character");
    }
    if path.split('/').any(|part| part.ends_with("..")) {
        return refuse("a part of the name ends in `..`");
    }
    Ok(())
}

struct Found<'a> {
    tree: &'a Tree,
    root: &'a str,
    files: Vec<String>,
    odd: Vec<(String, String)>,
    rules: Vec<(String, String)>,
}

impl Found<'_> {
    fn walk(&mut self, directory: &str) -> Result<(), Error> {
        let entries = self.tree.list(join(self.root, directory).trim_end_matches('/'))?;
        if entries.iter().any(|entry| entry.name == FILE && matches!(entry.kind, EntryKind::File(_))) {
            let path = join(self.root, &join(directory, FILE));
            let text = String::from_utf8_lossy(&self.tree.peek(&path, MOST_BYTES)?).into_owned();
            self.rules.push((directory.to_owned(), text));
        }
        for entry in entries {
            let path = join(directory, &entry.name);
            match entry.kind {
                EntryKind::Directory if entry.name == ".git" => {}
                EntryKind::Directory => self.walk(&path)?,
                EntryKind::File(_) => self.files.push(path),
                EntryKind::Link(target) => {
                    self.odd.push((
                        path,
                        format!("a symbolic link (to `{}`): Flux drops links silently", target.escape_debug()),
                    ));
                }
                EntryKind::Other => self.odd.push((path, "neither a file nor a directory".to_owned())),
            }
        }
        Ok(())
    }
}

/// A Kubernetes object of the overlay, also one inside of a `List`.
#[derive(Clone, Debug)]
pub(super) struct Object<'a> {
    /// Below the overlay.
    pub file: &'a str,
    pub document: usize,
    /// `items[0].` for what stands in a `List`.
    pub path: String,
    pub node: &'a Node,
}

impl<'a> Object<'a> {
    pub(super) fn all(parsed: &'a BTreeMap<String, Parsed>) -> Vec<Self> {
        let mut objects = Vec::new();
        for (file, parsed) in parsed {
            for (document, root) in parsed.documents.iter().enumerate() {
                if let Some(node) = &root.root {
                    Self { file, document, path: String::new(), node }.collect(&mut objects);
                }
            }
        }
        objects
    }

    fn collect(self, objects: &mut Vec<Self>) {
        if self.kind().ends_with("List") && self.node.get(&["items"]).is_some_and(Node::is_sequence) {
            for (at, item) in self.node.get(&["items"]).map(Node::items).unwrap_or_default().iter().enumerate() {
                let path = format!("{}items[{at}].", self.path);
                Self { node: item.resolved(), path, ..self }.collect(objects);
            }
        } else if !self.kind().is_empty() {
            objects.push(self);
        }
    }

    pub(super) fn kind(&self) -> &'a str {
        self.node.text_at(&["kind"]).unwrap_or_default()
    }

    pub(super) fn group(&self) -> &'a str {
        self.node.text_at(&["apiVersion"]).and_then(|version| version.split_once('/')).map_or("", |(group, _)| group)
    }

    pub(super) fn is(&self, group: &str, kind: &str) -> bool {
        self.group() == group && self.kind() == kind
    }

    pub(super) fn name(&self) -> &'a str {
        self.node.text_at(&["metadata", "name"]).unwrap_or_default()
    }

    pub(super) fn namespace(&self) -> Option<&'a str> {
        self.node.text_at(&["metadata", "namespace"])
    }
}
