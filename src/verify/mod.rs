//! Checks that everything that a release names exists and has the right content. `verify`, a move of a channel and a
//! copy run the same checks, each to its [`Extent`].

mod artifact;
mod attached;
mod help;
mod image;
mod overlay;
mod release;
mod served;
mod signed;
mod values_names;
mod verifiers;

use serde::Serialize;

use crate::contents::Unread;
use crate::oci;
use crate::release::NamedKind;

use help::Help;
pub use release::{Checked, Extent, Verified};
pub use served::{Served, served};
pub use signed::{Signed, Signer, StatementFacts, Trust};
pub use verifiers::{InField, Verdict};

/// The property that a check examines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aspect {
    /// The manifest exists, matches its digest, and an appliance can read it.
    Manifest,
    /// Every blob exists and matches its digest.
    Content,
    /// The content agrees with the release or the channel that it belongs to.
    Agrees,
    /// A tag protects the artifact from the registry's garbage collection.
    Tag,
    /// The chart loads as Helm loads it, and has its name and version.
    Loads,
    /// The archive of the bundle unpacks.
    Unpacks,
    /// The overlay in the bundle pins the versions and digests in the release.
    Pin,
    /// The values in the release equal the values in the bundle.
    Values,
    /// The image runs on the same platform as the other images.
    Platform,
    /// The keys that the trust document names have signed the content.
    Signed,
    /// Other programs, such as Flux and cosign, find the signature and accept it.
    Verifiers,
}

impl Aspect {
    /// Reports whether the check concerns the content of a release, and not the existence of its parts.
    pub fn is_of_contents(self) -> bool {
        matches!(self, Self::Pin | Self::Values | Self::Platform)
    }

    /// Returns the aspect as one word for reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Content => "content",
            Self::Agrees => "agrees",
            Self::Tag => "tag",
            Self::Loads => "loads",
            Self::Unpacks => "unpacks",
            Self::Pin => "pin",
            Self::Values => "values",
            Self::Platform => "platform",
            Self::Signed => "signed",
            Self::Verifiers => "verifiers",
        }
    }
}

/// Result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The check passed without a problem.
    Ok,
    /// The checked content is missing or wrong.
    Failed,
    /// The check was impossible, or was not requested.
    NotChecked,
}

/// One check and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Role of the checked artifact in the release.
    pub kind: NamedKind,
    /// Name of the checked artifact.
    pub name: String,
    /// Property that was checked.
    pub aspect: Aspect,
    /// Reference of the checked artifact.
    pub reference: String,
    /// Result of the check.
    pub outcome: Outcome,
    /// Reason when the result is not [`Outcome::Ok`].
    pub reason: Option<String>,
    /// Advice for a failed check: what to do, with the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Who signed; absent for other aspects and when the signatures do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<Box<Signed>>,
}

impl Check {
    /// Reports whether the check passed.
    pub fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }

    /// Reports whether the check found an error.
    pub fn failed(&self) -> bool {
        self.outcome == Outcome::Failed
    }
}

/// The artifact that checks are about. Makes the rows of the report.
#[derive(Clone, Copy, Debug)]
struct Subject<'a> {
    kind: NamedKind,
    name: &'a str,
    reference: &'a str,
}

impl Subject<'_> {
    fn row(&self, aspect: Aspect, outcome: Outcome, reason: Option<String>) -> Check {
        let (name, reference) = (self.name.to_owned(), self.reference.to_owned());
        Check { kind: self.kind, name, aspect, reference, outcome, reason, help: None, signed: None }
    }

    fn ok(&self, aspect: Aspect) -> Check {
        self.row(aspect, Outcome::Ok, None)
    }

    fn failed(&self, aspect: Aspect, reason: impl Into<String>) -> Check {
        self.row(aspect, Outcome::Failed, Some(reason.into()))
    }

    /// Returns the check of an artifact that could not be read. A temporary failure of the store is an error.
    fn unread(&self, aspect: Aspect, unread: Unread) -> Result<Check, oci::Error> {
        let help = matches!(unread, Unread::NotPublic(_)).then(|| {
            "Make the package public in its settings, or set `publicRead: false` if appliances have a pull secret."
                .to_owned()
        });
        Ok(Check { help, ..self.failed(aspect, unread.reason()?) })
    }

    /// Returns the failed check of content that matches its digest but is wrong. Pushing the same bytes again would not
    /// help.
    fn wrong(&self, aspect: Aspect, reason: impl Into<String>) -> Check {
        Check { help: Some(help::ANOTHER_VERSION.to_owned()), ..self.failed(aspect, reason) }
    }

    fn not_checked(&self, aspect: Aspect, reason: impl Into<String>) -> Check {
        self.row(aspect, Outcome::NotChecked, Some(reason.into()))
    }

    /// Returns [`Outcome::Ok`], or [`Outcome::Failed`] with the reason.
    fn judge(&self, aspect: Aspect, result: Result<(), String>) -> Check {
        match result {
            Ok(()) => self.ok(aspect),
            Err(reason) => self.failed(aspect, reason),
        }
    }
}
