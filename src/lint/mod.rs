//! Checks of a release's contents: they find what kustomize, Flux, Helm or the appliance would refuse, before anything is published.
//!
//! Each topic holds rules and the code that finds violations of them. The rules read [`Contents`], which has the same form for a source
//! tree and for a release in a store. Publishing, verifying, promoting and comparing therefore report the same findings.

mod allow;
mod builds;
mod contents;
mod finding;
mod flux;
mod helm;
mod judged;
mod kubernetes;
mod refusals;
pub mod render;
mod renders;
mod report;
mod rule;
mod run;
mod secrets;
mod settings;
mod uncovered;
mod upgrade;
mod written;

pub(crate) use contents::{ChartFiles, Contents};
pub(crate) use finding::Findings;
pub use finding::{Finding, Located, Place};
pub(crate) use judged::{Answer, Asked};
pub use report::{Fix, Judge, Report, Reported, Timing};
pub use rule::{Class, Rule, Severity};
pub(crate) use run::Run;
pub use settings::Settings;
pub(crate) use uncovered::not_covered;
pub(crate) use written::Written;

/// A group of rules that are checked together.
struct Topic {
    /// Name of the topic in the output of `lint --timings`.
    name: &'static str,
    /// The rules of the topic, in the order of the catalogue.
    rules: &'static [&'static [&'static Rule]],
    /// Adds the findings of the topic's rules.
    check: fn(&Contents<'_>, &mut Findings),
}

/// The topics whose rules read only the contents, in the order of the catalogue.
static TOPICS: &[Topic] = &[
    Topic { name: "renders", rules: &[renders::RULES], check: renders::check },
    Topic { name: "builds", rules: &[builds::RULES], check: builds::check },
    Topic { name: "flux", rules: flux::RULES, check: flux::check },
    Topic { name: "helm", rules: helm::RULES, check: helm::check },
    Topic { name: "secrets", rules: &[secrets::RULES], check: secrets::check },
    Topic { name: "upgrade", rules: upgrade::RULES, check: upgrade::versions::check },
];

/// The rules that need more than the contents: packing, other programs, allowances.
static OTHERS: &[&[&Rule]] = &[refusals::RULES, judged::RULES, allow::RULES];

/// Returns all rules in the order of the catalogue.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    TOPICS.iter().flat_map(|topic| topic.rules).chain(OTHERS).flat_map(|rules| rules.iter().copied())
}

/// Returns the rule with the given id.
pub fn rule(id: &str) -> Option<&'static Rule> {
    rules().find(|rule| rule.id == id)
}
