//! What a rule is: an entry of the catalogue that `lint --explain` prints and `docs/lint.md` holds.

use serde::{Serialize, Serializer};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something could not be checked.
    Note,
    /// It installs, and it may not do what its author expects.
    Warning,
    /// The appliance would fail. A release with an error is not published and not promoted.
    Error,
}

impl Severity {
    /// Returns the word for the severity in reports and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// Reads the word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Note, Self::Warning, Self::Error].into_iter().find(|severity| severity.as_str() == word)
    }
}

/// What a rule is about: who would notice, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// `alga-resolve render` on the appliance.
    Renders,
    /// kustomize, when Flux builds a directory of the bundle.
    Builds,
    /// Flux's controllers and the API server, when they apply the built objects.
    Reconciles,
    /// Helm, when it loads a chart.
    Packages,
    /// Helm, when it parses and runs a chart's templates.
    Templates,
    /// Helm, when it holds values to a chart's schema.
    Schema,
    /// Nobody but the users: a value that nothing reads, an image that nothing sets.
    Meaning,
    /// An appliance that runs an older release.
    Upgrade,
    /// Whoever finds a secret in what is published.
    Secrets,
    /// The checks themselves: allowances.
    Checks,
}

impl Class {
    /// Every class, in the order of the catalogue.
    pub const ALL: [Self; 10] = [
        Self::Renders,
        Self::Builds,
        Self::Reconciles,
        Self::Packages,
        Self::Templates,
        Self::Schema,
        Self::Meaning,
        Self::Upgrade,
        Self::Secrets,
        Self::Checks,
    ];

    /// Returns the heading of the class in the catalogue.
    pub fn title(self) -> &'static str {
        match self {
            Self::Renders => "Renders on the appliance",
            Self::Builds => "Builds in kustomize",
            Self::Reconciles => "Reconciles in Flux",
            Self::Packages => "Loads in Helm",
            Self::Templates => "Templates parse and run",
            Self::Schema => "Values fit the chart's schema",
            Self::Meaning => "Means what it says",
            Self::Upgrade => "Survives an upgrade",
            Self::Secrets => "Holds no secrets",
            Self::Checks => "The checks themselves",
        }
    }
}

/// A rule. Rules are compared by their ids.
#[derive(Debug)]
pub struct Rule {
    /// Stable name: lower case, words joined by `-`.
    pub id: &'static str,
    /// What the rule is about.
    pub class: Class,
    /// How bad a finding of the rule is, unless the configuration says otherwise.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub title: &'static str,
    /// What the real program says or does, and when.
    pub verdict: &'static str,
    /// A few lines that the rule finds.
    pub example: &'static str,
    /// What to do, in whole sentences.
    pub way_out: &'static str,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Rule {}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id)
    }
}
