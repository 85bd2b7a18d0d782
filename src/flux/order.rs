//! Computes the order in which Flux applies Kustomizations that depend on each other.

use std::collections::BTreeMap;

use super::kustomization::Kustomization;

/// Kustomizations that depend on each other in a circle. Flux applies none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cycle {
    /// Indices of the Kustomizations in the given list.
    pub members: Vec<usize>,
}

/// Returns the indices of the Kustomizations, each after its dependencies, and otherwise in the given order. Dependencies
/// that are not in the list are ignored.
///
/// # Errors
/// When some of them depend on each other in a circle.
pub(crate) fn in_order(kustomizations: &[&Kustomization<'_>]) -> Result<Vec<usize>, Cycle> {
    let mut at = BTreeMap::new();
    for (index, one) in kustomizations.iter().enumerate() {
        at.entry((one.object.namespace(), one.object.name())).or_insert(index);
    }
    let needs = |one: &&Kustomization<'_>| -> Vec<usize> {
        let key = |of: &super::Reference<'_>| {
            let namespace = of.namespace.map(|namespace| namespace.text).or(one.object.namespace());
            at.get(&(namespace, of.name?.text)).copied()
        };
        one.depends_on.iter().filter_map(key).collect()
    };
    let needs: Vec<Vec<usize>> = kustomizations.iter().map(needs).collect();
    let mut done: Vec<usize> = Vec::new();
    while done.len() < kustomizations.len() {
        let ready = |at: &usize| !done.contains(at) && needs[*at].iter().all(|need| done.contains(need));
        match (0..kustomizations.len()).find(ready) {
            Some(next) => done.push(next),
            None => return Err(Cycle { members: (0..kustomizations.len()).filter(|at| !done.contains(at)).collect() }),
        }
    }
    Ok(done)
}
