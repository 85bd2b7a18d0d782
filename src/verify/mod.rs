//! Is everything that a release names there, and is it what it should be? A report of a verification, a channel that is about to
//! move and a copy ask the same, to an [`Extent`].

mod artifact;
mod help;
mod image;
mod overlay;
mod release;
mod served;
mod values_names;

use serde::Serialize;

use crate::contents::Unread;
use crate::oci;
use crate::release::NamedKind;

use help::Help;
pub use release::{Checked, Extent, Verified};
pub use served::{Served, served};

/// What about it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aspect {
    /// The manifest is there, has its digest, and is read as an appliance reads it.
    Manifest,
    /// Every blob is there and has its digest.
    Content,
    /// It says the same as what it belongs to.
    Agrees,
    /// A tag keeps it from being collected.
    Tag,
    /// The chart loads as Helm loads it, and has its name and version.
    Loads,
    /// The archive unpacks.
    Unpacks,
    /// The overlay in the bundle pins what the release names.
    Pin,
    /// The values in the release are those in the bundle.
    Values,
    /// The image runs on the platform of the others.
    Platform,
}

impl Aspect {
    /// Returns whether the check is about what a release says, and not about whether all of it is there.
    pub fn is_of_contents(self) -> bool {
        matches!(self, Self::Pin | Self::Values | Self::Platform)
    }

    /// In words.
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
        }
    }
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// Not there, or not what it should be.
    Failed,
    /// Cannot be told, or was not asked for.
    NotChecked,
}

/// One check and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Of what.
    pub kind: NamedKind,
    /// Its name.
    pub name: String,
    /// What about it.
    pub aspect: Aspect,
    /// Its reference.
    pub reference: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Why, where it is not as it should be.
    pub reason: Option<String>,
    /// What to do about a check that failed: whole sentences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Check {
    /// Returns whether everything is as it should be.
    pub fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }

    /// Returns whether something is wrong.
    pub fn failed(&self) -> bool {
        self.outcome == Outcome::Failed
    }
}

/// What a check is about; makes its rows.
#[derive(Clone, Copy, Debug)]
struct Subject<'a> {
    kind: NamedKind,
    name: &'a str,
    reference: &'a str,
}

impl Subject<'_> {
    fn row(&self, aspect: Aspect, outcome: Outcome, reason: Option<String>) -> Check {
        let (name, reference) = (self.name.to_owned(), self.reference.to_owned());
        Check { kind: self.kind, name, aspect, reference, outcome, reason, help: None }
    }

    fn ok(&self, aspect: Aspect) -> Check {
        self.row(aspect, Outcome::Ok, None)
    }

    fn failed(&self, aspect: Aspect, reason: impl Into<String>) -> Check {
        self.row(aspect, Outcome::Failed, Some(reason.into()))
    }

    /// Something that was not read; a store that may answer later is an error.
    fn unread(&self, aspect: Aspect, unread: Unread) -> Result<Check, oci::Error> {
        let help = matches!(unread, Unread::NotPublic(_)).then(|| {
            "Make the package public in its settings, or set `publicRead: false` if appliances have a pull secret."
                .to_owned()
        });
        Ok(Check { help, ..self.failed(aspect, unread.reason()?) })
    }

    /// Something whose bytes are as their digest says, and which is wrong all the same: the same bytes would not mend it.
    fn wrong(&self, aspect: Aspect, reason: impl Into<String>) -> Check {
        Check { help: Some(help::ANOTHER_VERSION.to_owned()), ..self.failed(aspect, reason) }
    }

    fn not_checked(&self, aspect: Aspect, reason: impl Into<String>) -> Check {
        self.row(aspect, Outcome::NotChecked, Some(reason.into()))
    }

    /// [`Outcome::Ok`], or why not.
    fn judge(&self, aspect: Aspect, result: Result<(), String>) -> Check {
        match result {
            Ok(()) => self.ok(aspect),
            Err(reason) => self.failed(aspect, reason),
        }
    }
}
