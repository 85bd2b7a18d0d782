//! What an error says beside its message: details, and one line for each of several reasons.

use super::{Error, package_settings};
use crate::lint::render;
use crate::plan::ExecuteError;
use crate::plan::copy::CopyError;
use crate::text::with_causes;

impl Error {
    /// Returns the details of an error that a person needs before the hint, a line each.
    pub fn notes(&self) -> Vec<String> {
        let list = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        match self {
            Error::Execute(ExecuteError::Stopped { done, left, .. }) => {
                vec![format!("done: {}", list(done)), format!("left: {}", list(left))]
            }
            Error::Execute(ExecuteError::NotPublic { packages }) => {
                let settings = |name: &String| package_settings(name).map(|link| format!("{name}: {link}"));
                packages.iter().map(|name| settings(name).unwrap_or_else(|| name.clone())).collect()
            }
            Error::Lint(report) | Error::Unpackable { others: report, .. } => render::lines(report),
            _ => Vec::new(),
        }
    }

    /// Returns the reasons of an error that has several.
    pub fn reasons(&self) -> Vec<String> {
        let reasons: &[String] = match self {
            Error::Incomplete { failed, .. }
            | Error::Copy(CopyError::Incomplete { failed, .. })
            | Error::Execute(ExecuteError::Broken { failed }) => failed,
            Error::OtherPlan(other) => &other.differences,
            Error::Several(all) => return all.iter().map(|error| with_causes(error)).collect(),
            _ => &[],
        };
        reasons.to_vec()
    }
}
