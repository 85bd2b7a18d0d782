//! Is everything that a release names there, and is it what it should be? [`present`] asks so much as a channel needs that is
//! about to move; [`contents`] reads every byte.

mod artifact;
mod contents;
mod overlay;
mod present;
mod served;
mod values_names;

use serde::Serialize;

use crate::release::NamedKind;

pub(crate) use contents::charts_and_bundle;
pub use contents::contents;
pub use present::present;
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
}

impl Aspect {
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
    /// Nobody can tell, or nobody looked.
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
}

impl Check {
    /// Is something wrong?
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
        Check { kind: self.kind, name, aspect, reference, outcome, reason }
    }

    fn ok(&self, aspect: Aspect) -> Check {
        self.row(aspect, Outcome::Ok, None)
    }

    fn failed(&self, aspect: Aspect, reason: impl Into<String>) -> Check {
        self.row(aspect, Outcome::Failed, Some(reason.into()))
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
