//! A registry that shows for a time what was there before, as one does behind a cache.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::clock::VirtualClock;
use super::{Shared, State};

/// How long an earlier state is shown.
#[derive(Clone, Debug)]
pub struct Late {
    pub clock: VirtualClock,
    /// Of a tag that is read.
    pub tags: Duration,
    /// Of a tag in a list.
    pub lists: Duration,
    /// Of a repository that was made public.
    pub public: Duration,
}

/// When a tag was written, and what it named before.
type Overwritten = (Duration, Option<String>);

/// When things were written, and what was there before.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// By repository and tag.
    tags: BTreeMap<(String, String), Vec<Overwritten>>,
    public: BTreeMap<String, Duration>,
}

/// A tag was written, that named something `before`.
pub(super) fn wrote(shared: &Shared, state: &mut State, repository: &str, tag: &str, before: Option<String>) {
    let Some(late) = &shared.setup.late else { return };
    let now = late.clock.passed();
    state.written.tags.entry((repository.to_owned(), tag.to_owned())).or_default().push((now, before));
}

/// Everybody may read a repository.
pub(super) fn published(shared: &Shared, state: &mut State, repository: &str) {
    if let Some(late) = &shared.setup.late {
        state.written.public.insert(repository.to_owned(), late.clock.passed());
    }
}

/// What a reader of a tag is shown of it.
pub(super) fn read(shared: &Shared, state: &State, repository: &str, tag: &str) -> Option<String> {
    let current = state.repositories.get(repository)?.tags.get(tag).cloned();
    shown(shared, state, (repository, tag), |late| late.tags, current)
}

/// Is a tag shown in a list?
pub(super) fn is_listed(shared: &Shared, state: &State, repository: &str, tag: &str) -> bool {
    shown(shared, state, (repository, tag), |late| late.lists, Some(String::new())).is_some()
}

/// May everybody read a repository, as far as its visibility has got about?
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
        // The first write that is not shown yet hides all that came after it.
        Some((_, before)) => before.clone(),
        None => current,
    }
}
