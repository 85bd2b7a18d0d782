//! The problems that a build finds: input that kustomize refuses or silently ignores, and features that this program does not
//! support.

/// A line of a file in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Path of the file below the root that Flux unpacks.
    pub file: String,
    /// Line of the file, counted from 1.
    pub line: usize,
}

impl Place {
    pub(super) fn new(file: &str, line: usize) -> Self {
        Self { file: file.to_owned(), line: line.max(1) }
    }
}

/// The kinds of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A file that the build reads is not YAML.
    BrokenYaml,
    /// A mapping of an object has a duplicate key.
    DuplicateKey,
    /// A kustomization file has a field that kustomize does not know.
    UnknownField,
    /// A kustomization file has a duplicate field, of which kustomize silently uses the last.
    RepeatedField,
    /// A field of a kustomization file has a value of another type.
    FieldType,
    /// A kustomization file is invalid as a whole: empty, of another kind, or one of several in its directory.
    InvalidFile,
    /// A listed file or directory does not exist.
    Missing,
    /// A directory includes itself.
    Cycle,
    /// A document is not a Kubernetes object.
    NotAnObject,
    /// An object without `apiVersion`: kustomize builds it, and the API server refuses it.
    WithoutVersion,
    /// Two objects have the same id.
    DuplicateId,
    /// A patch cannot be read or has no target.
    InvalidPatch,
    /// A strategic merge patch names an object that the build does not have.
    PatchWithoutObject,
    /// The target of a patch selects nothing, which kustomize silently accepts.
    PatchSelectsNothing,
    /// A patch cannot be applied to its object.
    PatchDoesNotFit,
    /// A generator cannot make its object.
    InvalidGenerator,
    /// A generator makes an object that exists, or merges into one that does not.
    GeneratorClash,
    /// A replacement finds no source or no field.
    InvalidReplacement,
    /// An item of `replicas` names no object.
    ReplicasWithoutObject,
    /// The bundle uses a feature that this program does not support.
    Unchecked,
}

/// A problem that a build found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    /// Place that the problem is about.
    pub place: Place,
    /// Kind of the problem.
    pub kind: Kind,
    /// Reason of the problem: one sentence without a period.
    pub reason: String,
    /// Instruction that resolves the problem, in a whole sentence.
    pub way_out: String,
}
