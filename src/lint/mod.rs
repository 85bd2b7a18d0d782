//! Findings about a release's contents: what kustomize, Flux, Helm or the appliance would refuse, before anything is published.
//!
//! Each file holds the rules of one topic and the code that finds them. Rules read [`Contents`], which is the same for a source tree
//! and for a release in a store, so that publishing, verifying, promoting and comparing judge alike.

// What follows of the rules uses all of it.
#![allow(dead_code, unused_imports)]

mod allow;
mod contents;
mod finding;
mod flux;
mod helm;
mod refusals;
pub mod render;
mod renders;
mod report;
mod rule;
mod settings;
mod written;

pub(crate) use contents::{ChartFiles, Contents};
pub(crate) use finding::Findings;
pub use finding::{Finding, Located, Place};
pub(crate) use refusals::add_refusals;
pub use report::{Judge, Report, Reported};
pub use rule::{Class, Rule, Severity};
pub use settings::Settings;
pub(crate) use written::Written;

/// The rules of each topic, in the order of the catalogue.
static TOPICS: &[&[&Rule]] = &[
    renders::RULES,
    refusals::RULES,
    flux::definition::RULES,
    flux::references::RULES,
    flux::values_from::RULES,
    flux::waits::RULES,
    helm::templates::RULES,
    helm::schema::RULES,
    allow::RULES,
];

/// Returns every rule, in the order of the catalogue.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    TOPICS.iter().flat_map(|rules| rules.iter().copied())
}

/// Returns the rule with an id.
pub fn rule(id: &str) -> Option<&'static Rule> {
    rules().find(|rule| rule.id == id)
}

/// Checks a release's contents. `against` is an older release that the appliances run: with it, what an upgrade from there would break
/// is found too.
pub(crate) fn lint(contents: &Contents<'_>, _against: Option<&Contents<'_>>) -> Findings {
    let mut found = Findings::default();
    renders::check(contents, &mut found);
    flux::check(contents, &mut found);
    helm::check(contents, &mut found);
    found
}
