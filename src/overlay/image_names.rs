//! Names of images that only their key tells apart from other words: Docker's short forms, and a registry beside its repository.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::oci::{Relocation, docker_name, has_host, split_name};
use crate::yaml::edit::{Edit, replace_scalar};
use crate::yaml::{Document, Node, Style, Value};

/// What is joined to a `registry` beside it; of several, the first.
const BESIDE_REGISTRY: [&str; 3] = ["repository", "image", "name"];
/// What makes a `repository` one of images.
const BESIDE_REPOSITORY: [&str; 4] = ["tag", "digest", "pullPolicy", "imagePullPolicy"];

/// What scalars are to be, by their bytes in the text.
type Planned<'a> = BTreeMap<(usize, usize), (&'a Node, String)>;

/// Old names in a YAML text, brought to the new ones. Rules, for what is in `relocation`:
/// - every whole name, wherever it stands;
/// - the same behind the escapes of a scalar in double quotes;
/// - a name without a host (`redis:7`, `library/redis`) as the whole value of `image`, of a `repository` under `image` or beside a
///   tag, digest or pull policy, and of `name` and `newName` in kustomize's `images`;
/// - `registry` and `repository` (or `image`, `name`) of one mapping, when both joined by `/` are a name: the new host becomes the
///   registry, the new path the repository.
///
/// # Errors
/// When that would change something else, since an anchor or `<<` shares it; then with the line of it.
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
        // An alias follows what its anchor becomes.
        if anchored.is_none_or(|(_, becomes)| becomes != new) {
            edits.push(replace_scalar(text, node, new));
        }
    }
    verify(text, documents, relocation, &planned, edits.clone())?;
    Ok(edits)
}

/// Every whole name of a text.
pub(super) fn plain_edits(text: &str, relocation: &Relocation) -> Vec<Edit> {
    let matches = relocation.matches(text).into_iter();
    matches.map(|(range, new)| Edit { range, text: new.to_owned() }).collect()
}

fn overlaps(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

/// What tells a node from all others of its text.
fn place(node: &Node) -> (usize, usize) {
    (node.span.start, node.span.end)
}

/// Some of a mapping's text that is not empty.
fn text_of<'n>(mapping: &'n Node, key: &str) -> Option<&'n str> {
    mapping.value_of(key)?.as_str().filter(|text| !text.is_empty())
}

/// The registry of a mapping, the key of what is joined to it, and the image that both name.
fn joined(mapping: &Node) -> Option<(&'static str, String)> {
    let registry = text_of(mapping, "registry")?.trim_end_matches('/');
    let key = BESIDE_REGISTRY.into_iter().find(|key| text_of(mapping, key).is_some())?;
    Some((key, format!("{registry}/{}", text_of(mapping, key)?)))
}

/// An image by its new name, with the tag or digest that it had.
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
    /// Plans a node as it is written; `under` is the key that it stands under.
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
            // What is merged in cannot be edited here; what it is afterwards is checked.
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

/// Holds the data after the edits against the data before: every scalar is what was planned for it, or has its names replaced;
/// every registry with its repository names the new image or the same one as before.
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

/// What a document says, aliases followed, as lines and texts in order.
struct Reading<'a> {
    relocation: &'a Relocation,
    /// What scalars are to be; nothing to read them as they are.
    planned: Option<&'a Planned<'a>>,
}

impl Reading<'_> {
    fn read(&self, node: &Node, out: &mut Vec<(usize, String)>) {
        match &node.resolved().value {
            // What an alias is to be is its own matter: where the anchor stands, the same word may be an image.
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
                    // Another spelling of Docker Hub's name is the same image.
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
