//! Finds objects that another Flux Kustomization applies now, or none. The file of such an object may be unchanged.

use std::collections::{BTreeMap, BTreeSet};

use super::name;
use super::objects::{ComparedObject, Id, Pins};
use super::risk::{self, Risk};
use crate::contents::{Applied, Applier};
use crate::flux::lost;

/// The objects of one side, with the Kustomizations that apply them.
pub(super) struct AppliedObjects<'a> {
    objects: BTreeMap<&'a Id, Vec<(&'a ComparedObject, &'a BTreeSet<Applier>)>>,
    prunes: BTreeMap<(&'a str, &'a str), bool>,
}

impl<'a> AppliedObjects<'a> {
    pub(super) fn new(objects: &'a [ComparedObject], applied: &'a Applied) -> Self {
        let mut side = Self { objects: BTreeMap::new(), prunes: BTreeMap::new() };
        for object in objects {
            // An object that no Kustomization lists is a patch, or part of values.
            let Some(by) = applied.get(&object.file) else { continue };
            side.objects.entry(&object.id).or_default().push((object, by));
            side.prunes.extend(by.iter().map(|applier| (key(applier), applier.prunes)));
        }
        side
    }

    fn appliers(&self, id: &Id) -> BTreeSet<(&'a str, &'a str)> {
        self.objects.get(id).into_iter().flatten().flat_map(|(_, by)| by.iter().map(key)).collect()
    }

    fn prunes(&self, applier: (&str, &str)) -> bool {
        self.prunes.get(&applier).is_some_and(|prunes| *prunes)
    }
}

fn key(applier: &Applier) -> (&str, &str) {
    (&applier.namespace, &applier.name)
}

/// Returns the risks of objects that both sides have and that leave a Kustomization. Flux deletes such an object, unless another
/// Kustomization has taken it over before. Objects that are gone from both are the risks of [`risk::removed`].
///
/// <https://fluxcd.io/flux/components/kustomize/kustomizations/#prune>
pub(super) fn risks(
    from: &AppliedObjects<'_>,
    to: &AppliedObjects<'_>,
    held: &[ComparedObject],
    pins: &Pins,
) -> Vec<Risk> {
    let held: BTreeSet<&Id> = held.iter().map(|object| &object.id).collect();
    let (mut risks, mut rest) = (Vec::new(), BTreeMap::<(String, String), Vec<&ComparedObject>>::new());
    for (id, objects) in from.objects.iter().filter(|(id, _)| held.contains(*id)) {
        let now = to.appliers(id);
        let left =
            from.appliers(id).into_iter().find(|old| !now.contains(old) && (from.prunes(*old) || to.prunes(*old)));
        let Some((left, object)) = left.zip(objects.first().map(|(object, _)| *object)) else { continue };
        if risk::is_kept(object) || pins.is_source(object) {
            continue;
        }
        let Some(new) = now.first() else {
            risks.extend(risk::removed(object));
            continue;
        };
        let (left, new) = (name(left.1), name(new.1));
        match lost(&id.kind) {
            Some(lost) => risks.push(Risk::danger("moved-object", moved(object, 0, &left, &new, lost))),
            None => rest.entry((left, new)).or_default().push(object),
        }
    }
    let more = |((left, new), objects): ((String, String), Vec<&ComparedObject>)| {
        let text = moved(objects[0], objects.len() - 1, &left, &new, "it is then created again");
        Risk::warning("moved-object", text)
    };
    risks.extend(rest.into_iter().map(more));
    risks
}

fn moved(object: &ComparedObject, more: usize, left: &str, new: &str, lost: &str) -> String {
    let id = name(&object.id.to_string());
    let (all, verb) = match more {
        0 => (id, "moves"),
        1 => (format!("{id} and another object"), "move"),
        more => (format!("{id} and {more} other objects"), "move"),
    };
    format!(
        "{all} {verb} from Kustomization {left} to {new}: if {left} is reconciled first, it deletes what {new} has not taken over yet, and {lost}"
    )
}

#[cfg(test)]
#[path = "moves_tests.rs"]
mod tests;
