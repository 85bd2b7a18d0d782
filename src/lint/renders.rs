//! Class "renders on the appliance": the values files, and what `alga-resolve render` writes into them.

use super::rule::{Class, Rule, Severity};
use super::{Contents, Findings, Place};
use crate::yaml;

/// A values file that cannot be parsed.
pub(super) static VALUES_BROKEN: Rule = Rule {
    id: "values-broken",
    class: Class::Renders,
    severity: Severity::Error,
    title: "a values file of the profile is not valid YAML",
    verdict: "`alga-resolve render` refuses the release when an appliance updates; helm-controller says \
              \"unable to parse values\".",
    example: "image: {tag: \"1.0\"\n",
    way_out: "Correct the YAML at the line that is named.",
};

pub(super) static RULES: &[&Rule] = &[&VALUES_BROKEN];

/// Checks the values files of the profile.
pub(super) fn check(contents: &Contents<'_>, found: &mut Findings) {
    for (path, bytes) in contents.profile_values() {
        let Ok(text) = std::str::from_utf8(bytes) else {
            found.add(&VALUES_BROKEN, Place::overlay_line(&path, 1), "the file is not UTF-8");
            continue;
        };
        if let Err(cause) = yaml::parse(text) {
            let message = format!("broken YAML in column {}: {}", cause.column, cause.reason);
            found.add(&VALUES_BROKEN, Place::overlay_line(&path, cause.line), message);
        }
    }
}
