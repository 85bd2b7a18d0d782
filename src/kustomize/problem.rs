//! What a build finds: what kustomize refuses, what it silently leaves out, and what the build here does not understand.

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Path of the file below the root that Flux unpacks.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
}

impl Place {
    pub(super) fn new(file: &str, line: usize) -> Self {
        Self { file: file.to_owned(), line: line.max(1) }
    }
}

/// Kinds of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A file that the build reads is not YAML.
    BrokenYaml,
    /// A mapping of an object has a key twice.
    DuplicateKey,
    /// A kustomization file has a field that kustomize does not know.
    UnknownField,
    /// A kustomization file has a field twice: kustomize takes the last in silence.
    RepeatedField,
    /// A field of a kustomization file has a value of another type.
    FieldType,
    /// A kustomization file is not one as a whole: empty, of another kind, or one of several in its directory.
    InvalidFile,
    /// A file or directory that is named does not exist.
    Missing,
    /// A directory is built as part of itself.
    Cycle,
    /// A document is not an object.
    NotAnObject,
    /// An object without `apiVersion`: kustomize builds it, and the API server refuses it.
    WithoutVersion,
    /// Two objects have the same id.
    DuplicateId,
    /// A patch cannot be read or has no target.
    InvalidPatch,
    /// A strategic merge patch names an object that the build does not have.
    PatchWithoutObject,
    /// The target of a patch selects nothing, which kustomize accepts in silence.
    PatchSelectsNothing,
    /// A patch does not fit the object that it is for.
    PatchDoesNotFit,
    /// A generator cannot make its object.
    InvalidGenerator,
    /// A generator makes an object that exists, or merges into one that does not.
    GeneratorClash,
    /// A replacement finds no source or no field.
    InvalidReplacement,
    /// An item of `replicas` names no object.
    ReplicasWithoutObject,
    /// The build here does not cover a feature.
    Unchecked,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    /// The line that kustomize refuses.
    pub place: Place,
    /// Its kind.
    pub kind: Kind,
    /// What is wrong there.
    pub reason: String,
    /// What to do about it, in a whole sentence.
    pub way_out: String,
}
