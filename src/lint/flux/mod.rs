//! What Flux refuses, or waits for without an end, after the bundle is published: Flux's objects against Flux's own definitions, and
//! the references between them.

mod applied;
pub(super) mod definition;
mod fields;
pub(super) mod references;
pub(super) mod values_from;
pub(super) mod waits;

use super::{Contents, Findings};
use crate::flux::Kustomization;
use applied::Applied;

/// Checks the objects that Flux applies.
pub(super) fn check(contents: &Contents<'_>, found: &mut Findings) {
    let applied = Applied::of(contents);
    definition::check(&applied, found);
    references::check(&applied, found);
    values_from::check(&applied, found);
    waits::check(&applied, found);
}

/// Returns every directory of the bundle that Flux builds, with the Kustomization that says so; the appliance's own has none.
pub(super) fn roots<'a>(contents: &'a Contents<'a>) -> Vec<(Option<&'a Kustomization<'a>>, String)> {
    Applied::of(contents).roots()
}
