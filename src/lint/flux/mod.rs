//! Objects that Flux or the API server refuses after the bundle is published, or that Flux waits for without end. The rules check Flux's
//! objects against Flux's own definitions, and the references between the objects.

mod applied;
mod definition;
mod fields;
mod metadata;
mod namespaces;
mod own_objects;
mod references;
mod sources;
mod substitution;
mod times;
mod values_from;
mod versions;
mod waits;

use super::{Contents, Findings, Rule};
use crate::flux::Kustomization;
pub(super) use applied::{Applied, AppliedObject};
pub(super) use metadata::{is_label_key, is_label_value};

/// The rules of this topic, one list for each file.
pub(super) static RULES: &[&[&Rule]] = &[
    definition::RULES,
    versions::RULES,
    references::RULES,
    waits::RULES,
    values_from::RULES,
    sources::RULES,
    namespaces::RULES,
    metadata::RULES,
    substitution::RULES,
    times::RULES,
    own_objects::RULES,
];

/// Checks all objects that Flux applies.
pub(super) fn check(contents: &Contents<'_>, found: &mut Findings) {
    let applied = Applied::of(contents);
    definition::check(&applied, found);
    references::check(&applied, found);
    values_from::check(&applied, found);
    waits::check(&applied, found);
    metadata::check(&applied, found);
    namespaces::check(&applied, found);
    own_objects::check(&applied, found);
    sources::check(&applied, found);
    substitution::check(&applied, found);
    times::check(&applied, found);
    versions::check(&applied, found);
}

/// Returns each directory of the bundle that Flux builds, with its Kustomization. The appliance's own Kustomization is `None`.
pub(super) fn roots<'a>(contents: &'a Contents<'a>) -> Vec<(Option<&'a Kustomization<'a>>, String)> {
    Applied::of(contents).roots()
}
