//! Rewrites image names that only their key tells apart from other words: Docker's short forms, and a registry in a key of
//! its own beside the repository.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::oci::{Relocation, docker_name, has_host, split_name};
use crate::yaml::edit::{Edit, replace_scalar};
use crate::yaml::{Document, Node, Style, Value};

/// Keys whose value continues a `registry` in the same mapping. The first key that the mapping has is used.
const BESIDE_REGISTRY: [&str; 3] = ["repository", "image", "name"];
/// Keys that show that a `repository` in the same mapping is the repository of an image.
const BESIDE_REPOSITORY: [&str; 4] = ["tag", "digest", "pullPolicy", "imagePullPolicy"];

/// The planned texts of scalars, by the scalars' byte ranges.
type Planned<'a> = BTreeMap<(usize, usize), (&'a Node, String)>;

/// Returns the edits that replace the old names in a YAML text by the new ones. The rules, for the names in `relocation`:
/// - a full name is replaced everywhere;
/// - a full name that contains escapes of a scalar in double quotes is replaced too;
/// - a name without a host (`redis:7`, `library/redis`) is replaced where it is the whole value of `image`, of a `repository`
///   under `image` or beside a tag, digest or pull policy, or of `name` and `newName` in kustomize's `images`;
/// - `registry` and `repository` (or `image`, `name`) of one mapping are replaced when both, joined by `/`, are a name. The
///   new host becomes the registry, and the new path the repository.
///
/// # Errors
/// When an edit would change another value too, because an anchor or `<<` shares the text. The error is the line.
pub(super) fn edits(
    text: &str,
    documents: &[Document],
    relocation: &Relocation,
    kustomization: bool,
) -> Result<Vec<Edit>, usize> {
    let mut rules = Rules { text, relocation, kustomization, planned: Planned::new() };
    for root in documents.iter().filter_map(|document| document.root.as_ref()) {
        rules.visit(root, "");
    }
    let planned = rules.planned;
    let mut edits = plain_edits(text, relocation);
    edits.retain(|edit| !planned.values().any(|(node, _)| overlaps(&node.span, &edit.range)));
    for (node, new) in planned.values() {
        let anchored = planned.get(&place(node.resolved())).filter(|_| node.is_alias());
        // An alias gets the new text from its anchor.
        if anchored.is_none_or(|(_, becomes)| becomes != new) {
            edits.push(replace_scalar(text, node, new));
        }
    }
    verify(text, documents, relocation, &planned, edits.clone())?;
    Ok(edits)
}

/// Returns the edits that replace the full names in a text.
pub(super) fn plain_edits(text: &str, relocation: &Relocation) -> Vec<Edit> {
    let matches = relocation.matches(text).into_iter();
    matches.map(|(range, new)| Edit { range, text: new.to_owned() }).collect()
}

fn overlaps(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

/// Returns the byte range of a node, which identifies the node in its text.
fn place(node: &Node) -> (usize, usize) {
    (node.span.start, node.span.end)
}

/// Returns the text of a key of a mapping, unless the text is empty.
fn text_of<'n>(mapping: &'n Node, key: &str) -> Option<&'n str> {
    mapping.value_of(key)?.as_str().filter(|text| !text.is_empty())
}

/// Returns the key whose value continues the registry of a mapping, and the image that both name.
fn joined(mapping: &Node) -> Option<(&'static str, String)> {
    let registry = text_of(mapping, "registry")?.trim_end_matches('/');
    let key = BESIDE_REGISTRY.into_iter().find(|key| text_of(mapping, key).is_some())?;
    Some((key, format!("{registry}/{}", text_of(mapping, key)?)))
}

/// Returns the new name of an image with the image's tag or digest.
fn relocated(image: &str, relocation: &Relocation) -> Option<String> {
    let (name, rest) = split_name(image);
    Some(format!("{}{rest}", relocation.name(name)?))
}

struct Rules<'a> {
    text: &'a str,
    relocation: &'a Relocation,
    kustomization: bool,
    planned: Planned<'a>,
}

impl<'a> Rules<'a> {
    /// Plans the edits of a node. `under` is the key whose value the node is.
    fn visit(&mut self, node: &'a Node, under: &str) {
        match &node.value {
            Value::Sequence { items, .. } => items.iter().for_each(|item| self.visit(item, under)),
            Value::Mapping { entries, .. } => {
                for entry in entries {
                    self.visit(&entry.key, "");
                    self.visit(&entry.value, entry.key.as_str().unwrap_or_default());
                }
                self.mapping(node, under);
            }
            Value::Scalar { text, style: Style::Double } if self.text[node.span.clone()].contains('\\') => {
                let new = self.relocation.replaced(text);
                if new != text.as_str() {
                    self.plan(node, new.into_owned());
                }
            }
            Value::Scalar { .. } | Value::Alias { .. } => {}
        }
    }

    fn mapping(&mut self, node: &'a Node, under: &str) {
        if let Some((key, image)) = joined(node) {
            // A merged key cannot be edited here. `verify` checks its value after the edits.
            let own = |key: &str| node.entry(key).map(|entry| &entry.value);
            if let (Some(registry), Some(repository), Some(new)) =
                (own("registry"), own(key), relocated(&image, self.relocation))
                && let Some((host, path)) = new.split_once('/')
            {
                self.plan(registry, host.to_owned());
                self.plan(repository, path.to_owned());
            }
            return;
        }
        for entry in node.entries() {
            let key = entry.key.as_str().unwrap_or_default();
            let Some(image) = entry.value.as_str().filter(|_| self.is_image(node, under, key)) else { continue };
            let first = split_name(image).0.split_once('/').map_or("", |(first, _)| first);
            if let Some(new) = relocated(image, self.relocation).filter(|_| !has_host(first)) {
                self.plan(&entry.value, new);
            }
        }
    }

    fn is_image(&self, mapping: &Node, under: &str, key: &str) -> bool {
        match key {
            "image" => true,
            "repository" => {
                let beside = BESIDE_REPOSITORY.iter().any(|key| mapping.value_of(key).is_some());
                beside || under == "image" || under.ends_with("Image")
            }
            "name" | "newName" => self.kustomization && under == "images",
            _ => false,
        }
    }

    fn plan(&mut self, node: &'a Node, new: String) {
        self.planned.insert(place(node), (node, new));
    }
}

/// Compares the data after the edits with the data before. Every scalar must have its planned text, or its names replaced, and
/// every registry with its repository must name the new image or the same image as before.
fn verify(
    text: &str,
    before: &[Document],
    relocation: &Relocation,
    planned: &Planned<'_>,
    edits: Vec<Edit>,
) -> Result<(), usize> {
    let first = planned.values().next().map_or(1, |(node, _)| node.line);
    let text = crate::yaml::edit::apply(text, edits).map_err(|_| first)?;
    let after = crate::yaml::parse(&text).map_err(|error| error.line)?;
    let reading = Reading { relocation, planned: Some(planned) };
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    for root in before.iter().filter_map(|document| document.root.as_ref()) {
        reading.read(root, &mut expected);
    }
    let reading = Reading { relocation, planned: None };
    for root in after.iter().filter_map(|document| document.root.as_ref()) {
        reading.read(root, &mut found);
    }
    let other = expected.iter().zip(&found).find(|((_, expected), (_, found))| expected != found);
    match other {
        Some(((line, _), _)) => Err(*line),
        None if expected.len() != found.len() => Err(first),
        None => Ok(()),
    }
}

/// Reads the lines and texts of a document in order, with aliases resolved.
struct Reading<'a> {
    relocation: &'a Relocation,
    /// The planned texts of scalars, or `None` to read the scalars as they are.
    planned: Option<&'a Planned<'a>>,
}

impl Reading<'_> {
    fn read(&self, node: &Node, out: &mut Vec<(usize, String)>) {
        match &node.resolved().value {
            // An alias has a plan of its own: in the place of the anchor, the same word may not be an image.
            Value::Scalar { text, .. } => {
                let own = self.planned.and_then(|all| all.get(&place(node)));
                let text = match (own, self.planned) {
                    (Some((_, new)), _) => new.clone(),
                    (None, Some(_)) => self.relocation.replaced(text).into_owned(),
                    (None, None) => text.clone(),
                };
                out.push((node.line, text));
            }
            Value::Alias { .. } => {}
            Value::Sequence { items, .. } => items.iter().for_each(|item| self.read(item, out)),
            Value::Mapping { entries, .. } => {
                if let Some((_, image)) = joined(node) {
                    let new = relocated(&image, self.relocation).filter(|_| self.planned.is_some());
                    // Docker Hub has several spellings of one name, which count as the same image.
                    out.push((node.line, docker_name(&new.unwrap_or(image))));
                }
                for entry in entries {
                    self.read(&entry.key, out);
                    self.read(&entry.value, out);
                }
            }
        }
    }
}
