//! The values that a chart reads: paths below `.Values` that following its templates finds.

use std::collections::{BTreeMap, BTreeSet};

/// One step from a table or list to a value in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// The step to the value of a key.
    Key(String),
    /// The step to any of the values, as in `range`.
    Any,
}

/// Extent to which a value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Only the existence or the type of the value matters.
    Looked,
    /// The value matters with everything below it.
    Whole,
}

/// Longest path that is recorded. Values below it count as read completely.
const LONGEST: usize = 24;

/// The reads of a value and of the values below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Reads {
    looked: bool,
    whole: bool,
    below: BTreeMap<String, Reads>,
    any: Option<Box<Reads>>,
}

impl Reads {
    /// Records that the value at a path is read.
    pub(super) fn mark(&mut self, path: &[Step], how: How) {
        let mut node = self;
        for step in path {
            node = match step {
                Step::Key(key) => node.below.entry(key.clone()).or_default(),
                Step::Any => node.any.get_or_insert_default(),
            };
        }
        match how {
            How::Looked => node.looked = true,
            How::Whole => node.whole = true,
        }
    }

    /// Reports whether the whole value is read, so that no key below it is unread.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Reports whether the keys below are not known: templates read the value but no key of it.
    fn is_opaque(&self) -> bool {
        self.whole || (self.looked && self.below.is_empty() && self.any.is_none())
    }
}

/// The positions in several [`Reads`] that belong to one path of a value.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor<'r>(Vec<&'r Reads>);

impl<'r> Cursor<'r> {
    pub(super) fn at(reads: impl IntoIterator<Item = &'r Reads>) -> Self {
        Self(reads.into_iter().collect())
    }

    /// Moves to the value of a key, or to an item of a list if `key` is `None`.
    pub(super) fn go(&self, key: Option<&str>) -> Self {
        let below = |reads: &&'r Reads| {
            let named = key.and_then(|key| reads.below.get(key));
            named.into_iter().chain(reads.any.as_deref())
        };
        Self(self.0.iter().flat_map(below).collect())
    }

    pub(super) fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Reports whether the value is read, at least in part.
    pub(super) fn is_read(&self) -> bool {
        !self.0.is_empty()
    }

    /// Reports whether every value below may be read.
    pub(super) fn is_opaque(&self) -> bool {
        self.0.iter().any(|reads| reads.is_opaque())
    }

    /// Reports whether templates read the items of a list one by one.
    pub(super) fn reads_items(&self) -> bool {
        self.0.iter().any(|reads| reads.any.is_some())
    }

    /// Returns the keys that templates read here.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'r str> {
        self.0.iter().flat_map(|reads| reads.below.keys().map(String::as_str))
    }
}

/// The items that an expression may mean. The set is empty for an expression without values.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Meaning(pub(super) BTreeSet<Item>);

/// One item that an expression may mean. A chart is identified by its index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    /// The root of a rendered template, with `.Values`, `.Chart` and `.Release`.
    Root(usize),
    /// A part of the values of a chart.
    Values(usize, Vec<Step>),
    /// The object `.Subcharts` of a chart.
    Subcharts(usize),
    /// The object `.Files` of a chart, and texts from the files.
    Files(usize),
    /// A table that `dict` creates.
    Dict(BTreeMap<String, Meaning>),
    /// A list that `list` creates.
    List(Meaning),
    /// A constant string in the template.
    Text(String),
}

impl Meaning {
    pub(super) fn one(item: Item) -> Self {
        Self(BTreeSet::from([item]))
    }

    pub(super) fn join(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Returns the constant strings among the items.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|item| match item {
            Item::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// Returns the items one step below: under the constant keys, or under any key if no key is constant.
    pub(super) fn step(&self, keys: &Self) -> Self {
        let keys: Vec<&str> = keys.texts().collect();
        if keys.is_empty() {
            return self.element();
        }
        let below = keys.into_iter().map(|key| self.field(key));
        below.fold(Self::default(), Self::join)
    }

    /// Returns the items under a key.
    pub(super) fn field(&self, key: &str) -> Self {
        let mut found = Self::default();
        for item in &self.0 {
            match item {
                Item::Root(chart) => match key {
                    "Values" => drop(found.0.insert(Item::Values(*chart, Vec::new()))),
                    "Subcharts" => drop(found.0.insert(Item::Subcharts(*chart))),
                    "Files" => drop(found.0.insert(Item::Files(*chart))),
                    _ => {}
                },
                Item::Values(chart, path) => {
                    let path = longer(path, Step::Key(key.to_owned()));
                    found.0.insert(Item::Values(*chart, path));
                }
                Item::Files(chart) => drop(found.0.insert(Item::Files(*chart))),
                Item::Dict(entries) => found = found.join(entries.get(key).cloned().unwrap_or_default()),
                Item::List(items) => found = found.join(items.clone()),
                Item::Subcharts(_) | Item::Text(_) => {}
            }
        }
        found
    }

    /// Returns the items that any element may be.
    pub(super) fn element(&self) -> Self {
        let mut found = Self::default();
        for item in &self.0 {
            match item {
                Item::Values(chart, path) => {
                    found.0.insert(Item::Values(*chart, longer(path, Step::Any)));
                }
                Item::Files(chart) => drop(found.0.insert(Item::Files(*chart))),
                Item::Dict(entries) => found = entries.values().cloned().fold(found, Self::join),
                Item::List(items) => found = found.join(items.clone()),
                // A loop over the root of a template reads all values.
                Item::Root(chart) => drop(found.0.insert(Item::Values(*chart, Vec::new()))),
                Item::Subcharts(_) | Item::Text(_) => {}
            }
        }
        found
    }
}

fn longer(path: &[Step], step: Step) -> Vec<Step> {
    let mut path = path.to_vec();
    if path.len() < LONGEST {
        path.push(step);
    }
    path
}
