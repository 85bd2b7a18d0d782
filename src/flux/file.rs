//! The files of a bundle. The files that Flux and kustomize read are parsed.

use std::collections::{BTreeMap, BTreeSet};

use crate::path::{has_extension, join};
use crate::yaml::{self, Document, Node};

use super::error::Error;
use super::kustomize::{KUSTOMIZATION_FILE_NAMES, KustomizationFile, is_kustomization_file_name};
use super::object::Object;

/// A parsed YAML file, or a JSON file, which is YAML too.
#[derive(Clone, Debug)]
pub struct File {
    /// The text that the spans of the nodes refer to.
    pub text: String,
    /// The documents of the file, in order.
    pub documents: Vec<Document>,
}

impl File {
    /// Parses the text of a YAML file.
    ///
    /// # Errors
    /// When the YAML is invalid, or an object or kustomization file has a duplicate key in a mapping, which Flux rejects.
    pub fn parse(path: &str, text: &str) -> Result<Self, Error> {
        let documents = yaml::parse(text).map_err(|error| {
            Error::new(path, error.line, format!("invalid YAML in column {}: {}", error.column, error.reason))
        })?;
        for root in documents.iter().filter_map(|document| document.root.as_ref()) {
            if is_kustomization_file_name(path) || is_object(root) {
                refuse_duplicate_key(path, root)?;
            }
        }
        Ok(Self { text: text.to_owned(), documents })
    }

    /// Parses a file that Flux or kustomize would read: YAML by its name, or JSON that holds objects. Returns `None` for all
    /// other files.
    ///
    /// # Errors
    /// The errors of [`File::parse`].
    pub fn read(path: &str, text: &str) -> Result<Option<Self>, Error> {
        if is_yaml(path) { Self::parse(path, text).map(Some) } else { Ok(Self::objects_in_json(path, text)) }
    }

    /// Parses a JSON file that holds objects. kustomize and Flux do not read other JSON files.
    fn objects_in_json(path: &str, text: &str) -> Option<Self> {
        let documents = yaml::parse(text).ok().filter(|_| has_extension(path, &["json"]))?;
        is_object(documents.first()?.root.as_ref()?).then(|| Self { text: text.to_owned(), documents })
    }

    /// Returns the roots of the documents that are not empty.
    pub fn roots(&self) -> impl Iterator<Item = &Node> {
        self.documents.iter().filter_map(|document| document.root.as_ref())
    }
}

/// Refuses duplicate keys in the mappings of a document.
///
/// # Errors
/// When a mapping has a duplicate key. The error names the first one.
pub(crate) fn refuse_duplicate_key(path: &str, root: &Node) -> Result<(), Error> {
    let Some(key) = root.duplicate_key() else { return Ok(()) };
    let reason = format!("duplicate key `{}`", key.as_str().unwrap_or_default().escape_debug());
    Err(Error::new(path, key.line, reason).hint("remove one of the two: Flux rejects a file with duplicate keys"))
}

fn is_object(root: &Node) -> bool {
    root.get(&["kind"]).is_some() && root.get(&["apiVersion"]).is_some()
}

fn is_yaml(path: &str) -> bool {
    has_extension(path, &["yaml", "yml"]) || path.rsplit('/').next() == Some("Kustomization")
}

/// Files by path, relative to the directory that Flux unpacks the bundle into.
#[derive(Clone, Debug, Default)]
pub struct Files {
    bytes: BTreeMap<String, Vec<u8>>,
    parsed: BTreeMap<String, File>,
}

impl Files {
    /// Adds a file that Flux never reads as an object, such as values for Helm.
    pub(crate) fn insert_unread(&mut self, path: String, bytes: Vec<u8>) {
        self.parsed.remove(&path);
        self.bytes.insert(path, bytes);
    }

    /// Adds a file. A file that is not UTF-8 is kept as bytes and not parsed.
    ///
    /// # Errors
    /// The errors of [`File::read`]. The file is then kept as bytes and not parsed.
    pub fn insert(&mut self, path: String, bytes: Vec<u8>) -> Result<(), Error> {
        let file = std::str::from_utf8(&bytes).ok().map_or(Ok(None), |text| File::read(&path, text));
        self.insert_unread(path.clone(), bytes);
        if let Some(file) = file? {
            self.parsed.insert(path, file);
        }
        Ok(())
    }

    /// Adds or replaces a parsed file.
    pub(crate) fn insert_parsed(&mut self, path: String, file: File) {
        self.bytes.insert(path.clone(), file.text.clone().into_bytes());
        self.parsed.insert(path, file);
    }

    /// Returns all files as bytes and consumes the collection.
    pub fn into_bytes(self) -> BTreeMap<String, Vec<u8>> {
        self.bytes
    }

    /// Returns the bytes of all files.
    pub fn bytes(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.bytes
    }

    /// Returns the parsed files, which are those that Flux and kustomize read.
    pub fn parsed(&self) -> &BTreeMap<String, File> {
        &self.parsed
    }

    /// Returns every object, in the order of paths and then of the text.
    pub fn objects(&self) -> Vec<Object<'_>> {
        Object::all(&self.parsed)
    }

    /// Returns every kustomization file that is not empty, in the order of paths.
    pub(crate) fn kustomization_files(&self) -> impl Iterator<Item = KustomizationFile<'_>> {
        self.parsed.keys().filter_map(|path| self.kustomization_file(path))
    }

    /// Returns the kustomization file at a path, or `None` for a file of another name and for an empty file.
    pub(crate) fn kustomization_file(&self, path: &str) -> Option<KustomizationFile<'_>> {
        let (file, parsed) = self.parsed.get_key_value(path).filter(|(file, _)| is_kustomization_file_name(file))?;
        KustomizationFile::of(file, parsed)
    }

    /// Reports whether a directory has files at any depth. The root always counts as a directory.
    pub(crate) fn has_directory(&self, directory: &str) -> bool {
        let start = format!("{directory}/");
        let first = self.bytes.range(start.clone()..).next();
        directory.is_empty() || first.is_some_and(|(path, _)| path.starts_with(&start))
    }

    /// Returns the resources that Flux lists for a directory without a kustomization file: every YAML file below the directory.
    /// A subdirectory that has a kustomization file is listed as a whole. Paths are relative to the bundle.
    ///
    /// <https://fluxcd.io/flux/components/kustomize/kustomizations/#generating-a-kustomizationyaml-file>
    pub(crate) fn generated_resources(&self, directory: &str) -> BTreeSet<String> {
        let start = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let outermost = |path: &str| {
            let mut cuts = path[start.len()..].match_indices('/').map(|(at, _)| &path[..start.len() + at]);
            cuts.find(|cut| self.kustomization_file_of(cut).is_some()).map(ToOwned::to_owned)
        };
        let below = self.bytes.keys().filter(|path| path.starts_with(&start));
        let read = below.filter(|path| has_extension(path, &["yaml", "yml"]) || is_kustomization_file_name(path));
        read.map(|path| outermost(path).unwrap_or_else(|| path.clone())).collect()
    }

    /// Returns the path of a directory's kustomization file, if the directory has one.
    pub(crate) fn kustomization_file_of(&self, directory: &str) -> Option<String> {
        KUSTOMIZATION_FILE_NAMES.iter().map(|name| join(directory, name)).find(|path| self.bytes.contains_key(path))
    }
}
