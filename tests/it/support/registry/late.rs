//! A registry that shows an earlier state for some time, like one behind a cache.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::clock::VirtualClock;
use super::{Shared, State};

/// How long an earlier state is shown.
#[derive(Clone, Debug)]
pub struct Late {
    pub clock: VirtualClock,
    /// For a tag that is read.
    pub tags: Duration,
    /// For a tag in a list of tags.
    pub lists: Duration,
    /// For a repository that was made public.
    pub public: Duration,
}

/// The time of a write to a tag, and the value before.
type Overwritten = (Duration, Option<String>);

/// The times of writes, and the values before.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Writes by repository and tag.
    tags: BTreeMap<(String, String), Vec<Overwritten>>,
    public: BTreeMap<String, Duration>,
}

/// Records a write to a tag that had the value `before`.
pub(super) fn wrote(shared: &Shared, state: &mut State, repository: &str, tag: &str, before: Option<String>) {
    let Some(late) = &shared.setup.late else { return };
    let now = late.clock.passed();
    state.written.tags.entry((repository.to_owned(), tag.to_owned())).or_default().push((now, before));
}

/// Records that a repository was made public.
pub(super) fn published(shared: &Shared, state: &mut State, repository: &str) {
    if let Some(late) = &shared.setup.late {
        state.written.public.insert(repository.to_owned(), late.clock.passed());
    }
}

/// Returns the value of a tag that a reader is shown.
pub(super) fn read(shared: &Shared, state: &State, repository: &str, tag: &str) -> Option<String> {
    let current = state.repositories.get(repository)?.tags.get(tag).cloned();
    shown(shared, state, (repository, tag), |late| late.tags, current)
}

/// Returns whether a tag is shown in a list.
pub(super) fn is_listed(shared: &Shared, state: &State, repository: &str, tag: &str) -> bool {
    shown(shared, state, (repository, tag), |late| late.lists, Some(String::new())).is_some()
}

/// Returns whether a repository is shown as public.
pub(super) fn is_public(shared: &Shared, state: &State, repository: &str) -> bool {
    let since = state.written.public.get(repository);
    let seen =
        shared.setup.late.as_ref().zip(since).is_none_or(|(late, since)| late.clock.passed() >= *since + late.public);
    state.public.contains(repository) && seen
}

fn shown(
    shared: &Shared,
    state: &State,
    (repository, tag): (&str, &str),
    by: impl Fn(&Late) -> Duration,
    current: Option<String>,
) -> Option<String> {
    let Some(late) = &shared.setup.late else { return current };
    let written = state.written.tags.get(&(repository.to_owned(), tag.to_owned()));
    let hidden = written.into_iter().flatten().find(|(when, _)| *when + by(late) > late.clock.passed());
    match hidden {
        // The first write that is not shown yet hides all later ones.
        Some((_, before)) => before.clone(),
        None => current,
    }
}
