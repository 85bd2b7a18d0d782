//! The type of a rule: an entry of the catalogue that `lint --explain` prints and that `docs/lint.md` contains.

use serde::{Serialize, Serializer};

/// Severity of a finding, from least to most severe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something could not be checked.
    Note,
    /// The release installs, but may not behave as its author expects.
    Warning,
    /// The appliance would fail. A release with an error is neither published nor promoted.
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

    /// Parses the word that [`Self::as_str`] returns.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Note, Self::Warning, Self::Error].into_iter().find(|severity| severity.as_str() == word)
    }
}

/// Stage at which a violation of a rule shows, and the program that reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// `alga-resolve render` refuses the release on the appliance.
    Renders,
    /// kustomize fails when Flux builds a directory of the bundle.
    Builds,
    /// Flux's controllers or the API server refuse the built objects.
    Reconciles,
    /// Helm fails when it loads a chart.
    Packages,
    /// Helm fails when it parses and executes a chart's templates.
    Templates,
    /// Helm fails when it validates values against a chart's schema.
    Schema,
    /// No program fails, but a value is never read, or an image is never set.
    Meaning,
    /// The upgrade of an appliance that runs an older release fails.
    Upgrade,
    /// Anyone who can read the registry gets a secret.
    Secrets,
    /// The configuration of the checks themselves is wrong: allowances.
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
            Self::Meaning => "Works as written",
            Self::Upgrade => "Survives an upgrade",
            Self::Secrets => "Contains no secrets",
            Self::Checks => "The checks themselves",
        }
    }
}

/// A rule with its explanation. Rules are compared by their ids.
#[derive(Debug)]
pub struct Rule {
    /// Stable identifier: lowercase words joined by `-`.
    pub id: &'static str,
    /// The stage at which a violation shows.
    pub class: Class,
    /// Severity of a finding, unless the configuration changes it.
    pub severity: Severity,
    /// What is wrong, as one line in lowercase without a final period.
    pub title: &'static str,
    /// What the real program reports or does, and when, in whole sentences.
    pub verdict: &'static str,
    /// A few lines that violate the rule.
    pub example: &'static str,
    /// What to do: begins with a verb in lowercase and has no final period, as every hint does.
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
