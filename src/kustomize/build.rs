//! Follows kustomization files from a root and accumulates objects as kustomize does: the resources of a file, then its
//! generated objects, its components and its changes.

use crate::flux::{Files, Kustomization, Root, is_kustomization_file_name};
use crate::path::{below, join, parent};
use crate::yaml::{self, Document, Node};

use super::accumulated::Accumulated;
use super::problem::{Kind, Place, Problem};
use super::read::{Unread, objects};
use super::resource::{Resource, last_of_each};
use super::scalar::{Type, type_of};
use super::shape::{items, misfits, text};
use super::strict::strict;

/// Largest number of directories that one build enters. Directories that several others list are entered several times.
const MOST_DIRECTORIES: usize = 10_000;

const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
const KUSTOMIZATION: (&str, &str) = ("Kustomization", "kustomize.config.k8s.io/v1beta1");
const COMPONENT: (&str, &str) = ("Component", "kustomize.config.k8s.io/v1alpha1");

/// The result of a build.
#[derive(Debug, Default)]
pub(crate) struct Built {
    /// The objects, in the order in which kustomize reads them.
    pub resources: Vec<Resource>,
    /// The problems, in the order of the build.
    pub problems: Vec<Problem>,
}

/// Builds the directory that a Flux Kustomization applies, with the patches, components and settings of its `spec`.
pub(crate) fn build(files: &Files, root: &Root<'_>) -> Built {
    let mut builder = Builder { files, problems: Vec::new(), open: Vec::new(), entered: 0 };
    let mut into = Accumulated::default();
    let at = match root.kustomization {
        Some(one) => Place::new(one.object.file, one.path.map_or(one.object.node.line, |path| path.node.line)),
        None => Place::new(&root.directory, 1),
    };
    builder.directory(&root.directory, &at, Role::Root(root.kustomization), &mut into);
    into.finish(&mut builder);
    Built { resources: into.resources, problems: builder.problems }
}

/// The role in which a directory is built.
#[derive(Clone, Copy)]
enum Role<'a> {
    Root(Option<&'a Kustomization<'a>>),
    Resource,
    Component,
}

/// A kustomization file with the additions of a Flux Kustomization.
pub(super) struct Layer<'a> {
    /// Path of the file, or of the directory where Flux generates the file.
    pub file: &'a str,
    /// The directory that paths are relative to.
    pub directory: &'a str,
    /// The mapping of the file. Absent where Flux generates the file.
    pub root: Option<&'a Node>,
    /// The file and the object of the Flux Kustomization.
    pub flux: Option<(&'a str, &'a Node)>,
}

impl<'a> Layer<'a> {
    /// Returns the items of a list, each with its file. The items of the Flux Kustomization come last.
    pub(super) fn items(&self, key: &str) -> Vec<(&'a str, &'a Node)> {
        let own = self.root.map(|root| items(root, key)).unwrap_or_default().iter().map(|item| (self.file, item));
        let flux = self.flux.into_iter().flat_map(|(file, spec)| {
            let added = matches!(key, "patches" | "components");
            let list = spec.get(&["spec", key]).filter(|_| added).map(Node::items).unwrap_or_default();
            list.iter().map(move |item| (file, item))
        });
        own.chain(flux).collect()
    }

    /// Returns the text of a field, which the Flux Kustomization may override.
    pub(super) fn text(&self, key: &str, of_flux: &str) -> Option<&'a str> {
        let flux = self.flux.and_then(|(_, object)| text(object.get(&["spec"])?, of_flux));
        flux.or_else(|| text(self.root?, key))
    }

    /// Returns the place of a field, or of the file's first line where the field is absent.
    pub(super) fn place(&self, key: &str) -> Place {
        let line = self.root.and_then(|root| super::shape::field(root, key)).map_or(1, |node| node.line);
        Place::new(self.file, line)
    }
}

pub(super) struct Builder<'f> {
    pub(super) files: &'f Files,
    pub(super) problems: Vec<Problem>,
    /// The directories on the path from the root to the current directory.
    open: Vec<String>,
    entered: usize,
}

impl Builder<'_> {
    pub(super) fn problem(&mut self, kind: Kind, place: Place, reason: impl Into<String>, way_out: impl Into<String>) {
        let problem = Problem { place, kind, reason: reason.into(), way_out: way_out.into() };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    pub(super) fn unchecked(&mut self, place: Place, what: impl Into<String>) {
        self.problem(Kind::Unchecked, place, what, "build the directory with `kustomize build` as well");
    }

    fn directory(&mut self, directory: &str, at: &Place, role: Role<'_>, into: &mut Accumulated) {
        self.entered += 1;
        if self.entered > MOST_DIRECTORIES {
            into.complete = false;
            let reason = format!("the build enters more than {MOST_DIRECTORIES} directories, which is the limit");
            return self.unchecked(at.clone(), reason);
        }
        let names = NAMES.iter().map(|name| join(directory, name));
        let found: Vec<String> = names.filter(|path| self.files.bytes().contains_key(path)).collect();
        self.open.push(directory.to_owned());
        match (found.as_slice(), role) {
            ([], Role::Root(flux)) => self.generated(directory, flux, into),
            ([], _) => {
                into.complete = false;
                let reason = format!("missing kustomization file in the directory `{}`", directory.escape_debug());
                let way_out = "list the files of the directory, or add a kustomization.yaml to the directory";
                self.problem(Kind::Missing, at.clone(), reason, way_out);
            }
            ([path], _) => self.file(path, at, role, into),
            ([path, other, ..], _) => {
                into.complete = false;
                let reason = format!(
                    "several kustomization files in one directory: the other one is `{}`",
                    other.escape_debug()
                );
                let way_out = "keep one of the two: kustomize refuses a directory with several kustomization files";
                self.problem(Kind::InvalidFile, Place::new(path, 1), reason, way_out);
            }
        }
        self.open.pop();
    }

    /// Builds a directory without a kustomization file, as Flux lists it.
    fn generated(&mut self, directory: &str, flux: Option<&Kustomization<'_>>, into: &mut Accumulated) {
        let listed = self.files.generated_resources(directory);
        for path in &listed {
            let at = Place::new(path, 1);
            if !self.files.bytes().contains_key(path) {
                self.resource_directory(path, &at, into);
            } else if !is_kustomization_file_name(path) {
                self.resource_file(path, &at, into);
            }
        }
        let flux = flux.map(|one| (one.object.file, one.object.node));
        self.changes(&Layer { file: directory, directory, root: None, flux }, into);
    }

    fn file(&mut self, path: &str, at: &Place, role: Role<'_>, into: &mut Accumulated) {
        let parsed;
        let documents = match self.files.parsed().get(path) {
            Some(file) if strict(&file.text, &file.documents).is_ok() => &file.documents,
            _ => {
                let Some(documents) = self.parsed(path, into) else { return };
                parsed = documents;
                &parsed
            }
        };
        let root = documents.first().and_then(|document| document.root.as_ref());
        let flux = match role {
            Role::Root(flux) => flux.map(|one| (one.object.file, one.object.node)),
            Role::Resource | Role::Component => None,
        };
        let layer = Layer { file: path, directory: parent(path), root, flux };
        if self.is_valid(&layer, at, role) { self.layer(&layer, into) } else { into.complete = false }
    }

    /// Parses a file that the bundle holds only as bytes, because the file has an error.
    fn parsed(&mut self, path: &str, into: &mut Accumulated) -> Option<Vec<Document>> {
        let text = self.text(path, &Place::new(path, 1), into)?;
        match yaml::parse(&text) {
            Ok(mut documents) => {
                if let Err((line, reason)) = strict(&text, &documents) {
                    into.complete = false;
                    self.problem(Kind::BrokenYaml, Place::new(path, line), reason, "correct the YAML");
                    return None;
                }
                let root = documents.first_mut().and_then(|document| document.root.as_mut());
                if let Some((root, key)) =
                    root.and_then(|root| Some((root.duplicate_key()?.clone(), root))).map(|(key, root)| (root, key))
                {
                    *root = last_of_each(root);
                    let reason = format!("duplicate key `{}`", key.as_str().unwrap_or_default().escape_debug());
                    let way_out = "remove one of the two: kustomize silently uses the last one";
                    self.problem(Kind::RepeatedField, Place::new(path, key.line), reason, way_out);
                }
                Some(documents)
            }
            Err(error) => {
                into.complete = false;
                let reason = format!("invalid YAML in column {}: {}", error.column, error.reason);
                self.problem(Kind::BrokenYaml, Place::new(path, error.line), reason, "correct the YAML");
                None
            }
        }
    }

    /// Returns the text of a file without byte order mark.
    pub(super) fn text(&mut self, path: &str, at: &Place, into: &mut Accumulated) -> Option<String> {
        let bytes = self.files.bytes().get(path)?;
        if let Ok(text) = std::str::from_utf8(bytes) {
            return Some(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned());
        }
        into.complete = false;
        let reason = format!("`{}` is not UTF-8", path.escape_debug());
        self.problem(Kind::BrokenYaml, at.clone(), reason, "save the file as UTF-8");
        None
    }

    /// Reports whether kustomize accepts the kustomization file of a directory.
    fn is_valid(&mut self, layer: &Layer<'_>, at: &Place, role: Role<'_>) -> bool {
        let is_root = matches!(role, Role::Root(_));
        let Some(root) = layer.root.filter(|root| !root.is_null()) else {
            if !is_root {
                let way_out =
                    "list the files of the directory under `resources`, or remove the directory from the list";
                self.problem(Kind::InvalidFile, Place::new(layer.file, 1), "the kustomization file is empty", way_out);
            }
            return is_root;
        };
        if type_of(root) != Type::Mapping {
            let reason = format!("invalid kustomization file: expected a mapping, found {}", type_of(root).as_str());
            let way_out = "write `resources:` and a list of files";
            self.problem(Kind::InvalidFile, Place::new(layer.file, root.line), reason, way_out);
            return false;
        }
        let misfits = misfits(root);
        let refused = misfits.iter().any(|one| one.kind == Kind::FieldType);
        for one in misfits {
            self.problem(one.kind, Place::new(layer.file, one.node.line), one.reason, one.way_out);
        }
        self.has_header(layer, root, at, role) && !refused
    }

    fn has_header(&mut self, layer: &Layer<'_>, root: &Node, at: &Place, role: Role<'_>) -> bool {
        let kind = text(root, "kind").unwrap_or(KUSTOMIZATION.0);
        let expected = match kind {
            kind if kind == KUSTOMIZATION.0 => KUSTOMIZATION,
            kind if kind == COMPONENT.0 => COMPONENT,
            other => {
                let reason = format!(
                    "invalid `kind`: expected `Kustomization` or `Component`, found `{}`",
                    other.escape_debug()
                );
                self.problem(Kind::InvalidFile, layer.place("kind"), reason, "write `kind: Kustomization`");
                return false;
            }
        };
        let version = text(root, "apiVersion").unwrap_or(expected.1);
        if version != expected.1 {
            let reason = format!("invalid `apiVersion`: expected `{}`, found `{}`", expected.1, version.escape_debug());
            let way_out = format!("write `apiVersion: {}`", expected.1);
            self.problem(Kind::InvalidFile, layer.place("apiVersion"), reason, way_out);
            return false;
        }
        let (reason, way_out) = match role {
            Role::Component if kind != COMPONENT.0 => {
                ("is not a Component", "list the directory under `resources`, or write `kind: Component` in its file")
            }
            Role::Resource if kind == COMPONENT.0 => ("is a Component", "list the directory under `components`"),
            _ => return true,
        };
        let reason = format!("`{}` {reason}", layer.file.escape_debug());
        self.problem(Kind::InvalidFile, at.clone(), reason, way_out);
        false
    }

    /// Applies the fields of a kustomization file in kustomize's order.
    fn layer(&mut self, layer: &Layer<'_>, into: &mut Accumulated) {
        for key in ["resources", "bases"] {
            for (file, item) in layer.items(key) {
                self.resource(layer.directory, file, item, into);
            }
        }
        self.settings(layer, into);
        self.generators(layer, into);
        for (file, item) in layer.items("components") {
            self.component(layer, file, item, into);
        }
        self.changes(layer, into);
    }

    fn resource(&mut self, directory: &str, file: &str, item: &Node, into: &mut Accumulated) {
        let at = Place::new(file, item.line);
        let text = item.as_str().unwrap_or_default();
        let Some(path) = self.path(directory, text, &at, into) else { return };
        if self.files.bytes().contains_key(&path) {
            self.resource_file(&path, &at, into);
        } else if self.files.has_directory(&path) {
            self.resource_directory(&path, &at, into);
        } else {
            self.missing(text, &at, into);
        }
    }

    fn resource_file(&mut self, path: &str, at: &Place, into: &mut Accumulated) {
        let Some(text) = self.text(path, at, into) else { return };
        match objects(&text) {
            Ok(found) => {
                for one in found {
                    let place = Place::new(path, one.line);
                    if one.node.text_at(&["apiVersion"]).is_none_or(str::is_empty) {
                        let way_out = "write the `apiVersion` of the kind";
                        self.problem(
                            Kind::WithoutVersion,
                            place.clone(),
                            "missing `apiVersion` of the object",
                            way_out,
                        );
                    }
                    let resource = Resource { place, node: one.node, previous: Vec::new(), hashed: false };
                    into.append(resource, at, self);
                }
            }
            Err(unread) => self.unread(path, at, unread, into),
        }
    }

    fn unread(&mut self, path: &str, at: &Place, unread: Unread, into: &mut Accumulated) {
        into.complete = false;
        if unread.kind == Kind::NotAnObject && is_kustomization_file_name(path) {
            let reason = format!("expected a file of objects, found the kustomization file `{}`", path.escape_debug());
            return self.problem(Kind::NotAnObject, at.clone(), reason, "list the directory of the file instead");
        }
        self.problem(unread.kind, Place::new(path, unread.line), unread.reason, unread.way_out);
    }

    fn resource_directory(&mut self, path: &str, at: &Place, into: &mut Accumulated) {
        if self.is_cycle(path, at, into) {
            return;
        }
        let mut own = Accumulated::default();
        self.directory(path, at, Role::Resource, &mut own);
        into.absorb(own, at, self);
    }

    fn component(&mut self, layer: &Layer<'_>, file: &str, item: &Node, into: &mut Accumulated) {
        let at = Place::new(file, item.line);
        let text = item.as_str().unwrap_or_default();
        let Some(path) = self.path(layer.directory, text, &at, into) else { return };
        let optional = layer.flux.filter(|(of, _)| *of == file && file != layer.file);
        let optional =
            optional.and_then(|(_, node)| node.text_at(&["spec", "ignoreMissingComponents"])) == Some("true");
        if self.files.bytes().contains_key(&path) {
            into.complete = false;
            let reason = format!("expected a directory, found the file `{}`", text.escape_debug());
            self.problem(Kind::InvalidFile, at, reason, "list the directory of the component");
        } else if self.files.has_directory(&path) {
            if !self.is_cycle(&path, &at, into) {
                self.directory(&path, &at, Role::Component, into);
            }
        } else if !optional {
            self.missing(text, &at, into);
        }
    }

    /// Refuses a directory that is, or contains, a directory that is being built, as kustomize does.
    fn is_cycle(&mut self, path: &str, at: &Place, into: &mut Accumulated) -> bool {
        let start = format!("{path}/");
        let holds = |open: &String| path.is_empty() || open == path || open.starts_with(&start);
        let found = self.open.iter().any(holds);
        if found {
            into.complete = false;
            let reason = format!("the directory `{}` includes itself", path.escape_debug());
            self.problem(Kind::Cycle, at.clone(), reason, "move the shared files to a directory of their own");
        }
        found
    }

    /// Returns the path that a text names, relative to the bundle.
    fn path(&mut self, directory: &str, text: &str, at: &Place, into: &mut Accumulated) -> Option<String> {
        if text.is_empty() {
            self.missing(text, at, into);
            return None;
        }
        match below(directory, text) {
            Some(path)
                if !is_remote(text) || self.files.has_directory(&path) || self.files.bytes().contains_key(&path) =>
            {
                Some(path)
            }
            _ if is_remote(text) => {
                into.complete = false;
                let shown = crate::text::shown(text);
                self.unchecked(at.clone(), format!("not checked: Flux fetches `{shown}` from outside of the bundle"));
                None
            }
            _ => {
                into.complete = false;
                let reason = format!("`{}` is outside of the overlay", text.escape_debug());
                let way_out = "move the file into the overlay: the bundle holds only the overlay";
                self.problem(Kind::Missing, at.clone(), reason, way_out);
                None
            }
        }
    }

    fn missing(&mut self, text: &str, at: &Place, into: &mut Accumulated) {
        into.complete = false;
        let (reason, way_out) = if text.is_empty() {
            ("empty item in the list".to_owned(), "remove the item")
        } else {
            let reason = format!("`{}` does not exist", text.escape_debug());
            (reason, "add the file, correct its name, or remove the ignore rule that leaves it out")
        };
        self.problem(Kind::Missing, at.clone(), reason, way_out);
    }

    /// Returns the path of a file that the build reads, other than a resource.
    pub(super) fn loaded(&mut self, directory: &str, text: &str, at: &Place, into: &mut Accumulated) -> Option<String> {
        let path = self.path(directory, text, at, into)?;
        if self.files.bytes().contains_key(&path) {
            return Some(path);
        }
        self.missing(text, at, into);
        None
    }
}

/// Reports whether kustomize reads a text as a URL or a git repository.
fn is_remote(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let starts = ["git::", "gh:", "git@", "github.com:", "github.com/"];
    lower.contains("://")
        || starts.iter().any(|start| lower.starts_with(start))
        || lower.split_once('@').is_some_and(|(user, rest)| !user.contains('/') && rest.contains(':'))
}
