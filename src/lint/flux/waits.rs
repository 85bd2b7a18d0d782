//! The graph of waiting: `dependsOn`, `wait` and health checks of Kustomizations, `dependsOn` of HelmReleases, and the fact that an object
//! exists only after its Kustomization has been applied. A cycle in this graph never becomes ready, and Flux does not report the cause.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::flux::{HelmRelease, Reference};
use crate::lint::{Class, Findings, Place, Rule, Severity};
use crate::text::shown;
use crate::yaml::Node;

use super::applied::Applied;

pub(super) static CYCLE: Rule = Rule {
    id: "depends-on-cycle",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "objects depend on each other in a cycle",
    verdict: "None of the objects ever becomes ready: `dependency is not ready`. A cycle of Kustomizations also keeps Flux from applying a \
              new revision of their source.",
    example: "kind: HelmRelease\nmetadata: {name: web}\nspec:\n  dependsOn: [{name: web}]\n",
    way_out: "remove one of the dependencies",
};

pub(super) static DEADLOCK: Rule = Rule {
    id: "wait-deadlock",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "a Kustomization waits for an object that is applied only after the Kustomization is ready",
    verdict: "The Kustomization fails at its timeout: `health check failed`. Flux never applies objects that depend on it.",
    example: "kind: Kustomization\nmetadata: {name: platform}\nspec:\n  wait: true   # applies a HelmRelease that depends on one of `apps`\n\
              ---\nkind: Kustomization\nmetadata: {name: apps}\nspec:\n  dependsOn: [{name: platform}]\n",
    way_out: "apply both in one Kustomization, or reverse the dependency; or replace `wait: true` by `healthChecks` for the objects that can \
              become ready on their own",
};

pub(super) static RULES: &[&Rule] = &[&CYCLE, &DEADLOCK];

/// A state of an object that other objects wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// The Kustomization with this index is applied.
    Applied(usize),
    /// The Kustomization with this index is ready.
    Ready(usize),
    /// The HelmRelease with this index is ready.
    Installed(usize),
}

/// An edge of the graph: the state that is waited for, and the place in a file that demands it.
#[derive(Clone, Copy, Debug)]
struct Wait<'a> {
    to: State,
    at: Option<(&'a str, &'a Node)>,
}

/// Checks the graph for cycles.
pub(super) fn check(applied: &Applied<'_>, found: &mut Findings) {
    let graph = Graph::of(applied);
    for circle in graph.circles() {
        graph.report(applied, &circle, found);
    }
}

/// Indices of objects by namespace and name.
type ByName = BTreeMap<(Option<String>, String), usize>;

struct Graph<'a> {
    releases: Vec<(&'a HelmRelease<'a>, Option<String>, usize)>,
    waits: BTreeMap<State, Vec<Wait<'a>>>,
}

impl<'a> Graph<'a> {
    fn of(applied: &Applied<'a>) -> Self {
        let releases = applied.releases().map(|(one, release)| (release, one.namespace.clone(), one.by)).collect();
        let mut graph = Self { releases, waits: BTreeMap::new() };
        let kustomizations = by_name(applied);
        let releases = graph.releases_by_name();
        for at in 0..applied.appliers.len() {
            graph.add_kustomization(applied, at, &kustomizations, &releases);
        }
        for at in 0..graph.releases.len() {
            graph.add_release(at, &releases);
        }
        graph
    }

    fn releases_by_name(&self) -> ByName {
        let mut by_name = BTreeMap::new();
        for (at, (release, namespace, _)) in self.releases.iter().enumerate() {
            by_name.entry((namespace.clone(), release.object.name().to_owned())).or_insert(at);
        }
        by_name
    }

    fn wait(&mut self, from: State, to: State, at: Option<(&'a str, &'a Node)>) {
        self.waits.entry(from).or_default().push(Wait { to, at });
    }

    fn add_kustomization(&mut self, applied: &Applied<'a>, at: usize, kustomizations: &ByName, releases: &ByName) {
        self.wait(State::Ready(at), State::Applied(at), None);
        let own = &applied.appliers[at];
        let (Some(one), Some(parent)) = (own.kustomization, own.parent) else { return };
        self.wait(State::Applied(at), State::Applied(parent), None);
        let file = one.object.file;
        for reference in one.depends_on.iter().filter(|reference| needs_ready(reference)) {
            if let Some(to) = target(reference, own.namespace.as_deref(), kustomizations) {
                self.wait(State::Applied(at), State::Ready(to), Some((file, reference.node)));
            }
        }
        if one.wait {
            let place = one.object.node.get(&["spec", "wait"]).map(|node| (file, node));
            let children = applied.appliers.iter().enumerate().filter(|(_, child)| child.parent == Some(at));
            let children: Vec<State> = children.map(|(child, _)| State::Ready(child)).collect();
            let inside = self.releases.iter().enumerate().filter(|(_, (_, _, by))| *by == at);
            let inside: Vec<State> = inside.map(|(release, _)| State::Installed(release)).collect();
            for to in children.into_iter().chain(inside) {
                self.wait(State::Ready(at), to, place);
            }
            return;
        }
        for reference in &one.health_checks {
            let namespace = own.namespace.as_deref();
            let to = if reference.is("HelmRelease") {
                target(reference, namespace, releases).map(State::Installed)
            } else if reference.is("Kustomization") {
                target(reference, namespace, kustomizations).map(State::Ready)
            } else {
                None
            };
            if let Some(to) = to {
                self.wait(State::Ready(at), to, Some((file, reference.node)));
            }
        }
    }

    fn add_release(&mut self, at: usize, releases: &ByName) {
        let (release, namespace, by) = self.releases[at].clone();
        self.wait(State::Installed(at), State::Applied(by), None);
        for reference in release.depends_on.iter().filter(|reference| needs_ready(reference)) {
            if let Some(to) = target(reference, namespace.as_deref(), releases) {
                self.wait(State::Installed(at), State::Installed(to), Some((release.object.file, reference.node)));
            }
        }
    }

    /// Returns one shortest cycle for each group of states that wait for each other.
    fn circles(&self) -> Vec<Vec<(State, Wait<'a>)>> {
        self.groups().iter().filter_map(|group| group.iter().find_map(|state| self.circle(*state))).collect()
    }

    /// Returns the shortest path from a state back to itself.
    fn circle(&self, start: State) -> Option<Vec<(State, Wait<'a>)>> {
        let mut from: BTreeMap<State, (State, Wait<'a>)> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(state) = queue.pop_front() {
            for wait in self.waits.get(&state).into_iter().flatten() {
                if wait.to == start {
                    let mut circle = vec![(state, *wait)];
                    while let Some(step) = from.get(&circle[circle.len() - 1].0) {
                        circle.push(*step);
                    }
                    circle.reverse();
                    return Some(circle);
                }
                if let Entry::Vacant(entry) = from.entry(wait.to) {
                    entry.insert((state, *wait));
                    queue.push_back(wait.to);
                }
            }
        }
        None
    }

    /// Returns the groups of states that all wait for each other, and the states that wait for themselves, by Kosaraju's algorithm.
    fn groups(&self) -> Vec<Vec<State>> {
        let mut back: BTreeMap<State, Vec<State>> = BTreeMap::new();
        for (from, waits) in &self.waits {
            for wait in waits {
                back.entry(wait.to).or_default().push(*from);
            }
        }
        let mut seen = BTreeSet::new();
        let mut finished = Vec::new();
        for start in self.waits.keys() {
            let to = |state: &State| self.waits.get(state).into_iter().flatten().map(|wait| wait.to).collect();
            walk(*start, to, &mut seen, &mut finished);
        }
        let (mut seen, mut groups) = (BTreeSet::new(), Vec::new());
        for start in finished.into_iter().rev() {
            let mut group = Vec::new();
            walk(start, |state| back.get(state).cloned().unwrap_or_default(), &mut seen, &mut group);
            let itself = self.waits.get(&start).into_iter().flatten().any(|wait| wait.to == start);
            group.sort();
            if group.len() > 1 || itself && !group.is_empty() {
                groups.push(group);
            }
        }
        groups.sort();
        groups
    }

    fn report(&self, applied: &Applied<'a>, circle: &[(State, Wait<'a>)], found: &mut Findings) {
        let written = |(_, wait): &&(State, Wait<'a>)| wait.at.is_some();
        let Some(place) =
            circle.iter().filter(written).filter_map(|(_, wait)| wait.at).min_by_key(|(file, node)| (*file, node.line))
        else {
            return;
        };
        let mut names: Vec<String> = circle.iter().map(|(state, _)| self.name(applied, *state)).collect();
        names.dedup();
        let first = names.first().cloned().unwrap_or_default();
        if names.len() == 1 || names.last() != Some(&first) {
            names.push(first);
        }
        let releases = circle.iter().filter(|(state, _)| matches!(state, State::Installed(_))).count();
        let waits = circle.iter().any(|(state, wait)| matches!(state, State::Ready(_)) && wait.at.is_some());
        let rule = if releases == circle.len() || !waits { &CYCLE } else { &DEADLOCK };
        let (first, rest) = names.split_first().expect("a cycle has two names");
        let message = format!("{first} waits for {}", rest.join(", which waits for "));
        found.add(rule, Place::overlay(place.0, place.1), message);
    }

    fn name(&self, applied: &Applied<'a>, state: State) -> String {
        match state {
            State::Applied(at) | State::Ready(at) => format!("Kustomization `{}`", shown(&applied.appliers[at].name)),
            State::Installed(at) => format!("HelmRelease `{}`", shown(self.releases[at].0.object.name())),
        }
    }
}

fn by_name(applied: &Applied<'_>) -> ByName {
    let mut by_name = BTreeMap::new();
    for (at, one) in applied.appliers.iter().enumerate() {
        by_name.entry((one.namespace.clone(), one.name.clone())).or_insert(at);
    }
    by_name
}

/// Walks the graph from a state without recursion, and appends each state after all its successors.
fn walk(start: State, to: impl Fn(&State) -> Vec<State>, seen: &mut BTreeSet<State>, finished: &mut Vec<State>) {
    if !seen.insert(start) {
        return;
    }
    let mut open = vec![(start, to(&start))];
    while let Some((state, rest)) = open.last_mut() {
        match rest.pop() {
            Some(next) if seen.insert(next) => {
                let more = to(&next);
                open.push((next, more));
            }
            Some(_) => {}
            None => {
                finished.push(*state);
                open.pop();
            }
        }
    }
}

/// Reports whether a dependency requires the other object to be ready. With `readyExpr`, an expression decides instead.
fn needs_ready(reference: &Reference<'_>) -> bool {
    reference.node.get(&["readyExpr"]).is_none()
}

fn target(reference: &Reference<'_>, own_namespace: Option<&str>, by_name: &ByName) -> Option<usize> {
    let namespace = reference.namespace.map(|namespace| namespace.text).or(own_namespace);
    by_name.get(&(namespace.map(ToOwned::to_owned), reference.name?.text.to_owned())).copied()
}
