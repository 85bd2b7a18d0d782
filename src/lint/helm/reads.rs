//! Which values a chart reads: paths from `.Values`, found by following its templates.

use std::collections::{BTreeMap, BTreeSet};

/// A step from a table or list to what is in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// The value of a key.
    Key(String),
    /// Any of the values, as by `range`.
    Any,
}

/// How much of a value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Whether it is there, or of which kind it is.
    Looked,
    /// With everything in it.
    Whole,
}

/// Most steps of a path. What is deeper is read as a whole.
const LONGEST: usize = 24;

/// What is read of a value.
#[derive(Clone, Debug, Default)]
pub(super) struct Reads {
    looked: bool,
    whole: bool,
    below: BTreeMap<String, Reads>,
    any: Option<Box<Reads>>,
}

impl Reads {
    /// Notes that a value is read.
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

    /// Tells whether everything is read, so that nothing can be said.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Tells whether nothing is known about what is below: templates read it, and no key of it.
    fn is_opaque(&self) -> bool {
        self.whole || (self.looked && self.below.is_empty() && self.any.is_none())
    }
}

/// The places in several [`Reads`] that a path of a value leads to.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor<'r>(Vec<&'r Reads>);

impl<'r> Cursor<'r> {
    pub(super) fn at(reads: impl IntoIterator<Item = &'r Reads>) -> Self {
        Self(reads.into_iter().collect())
    }

    /// Goes to the value of a key; an item of a list has none.
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

    /// Is the value read, at least in part?
    pub(super) fn is_read(&self) -> bool {
        !self.0.is_empty()
    }

    /// Is everything below read, or may it be?
    pub(super) fn is_opaque(&self) -> bool {
        self.0.iter().any(|reads| reads.is_opaque())
    }

    /// Are items of a list read one by one?
    pub(super) fn reads_items(&self) -> bool {
        self.0.iter().any(|reads| reads.any.is_some())
    }

    /// Returns the keys that are read here.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'r str> {
        self.0.iter().flat_map(|reads| reads.below.keys().map(String::as_str))
    }
}

/// What an expression may stand for. Empty: nothing that comes out of values.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Meaning(pub(super) BTreeSet<Item>);

/// One thing that an expression may stand for. A chart is named by its index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    /// What a template is given when Helm renders it: `.Values`, `.Chart`, `.Release`.
    Root(usize),
    /// A part of the values.
    Values(usize, Vec<Step>),
    /// `.Subcharts`
    Subcharts(usize),
    /// `.Files`, and texts out of it.
    Files(usize),
    /// What `dict` made.
    Dict(BTreeMap<String, Meaning>),
    /// What `list` made.
    List(Meaning),
    /// A constant text.
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

    /// Returns the constant texts.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|item| match item {
            Item::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// Returns the parts of values one step below: by a key where it is a constant, else any.
    pub(super) fn step(&self, keys: &Self) -> Self {
        let keys: Vec<&str> = keys.texts().collect();
        if keys.is_empty() {
            return self.element();
        }
        let below = keys.into_iter().map(|key| self.field(key));
        below.fold(Self::default(), Self::join)
    }

    /// Returns what a key of it stands for.
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

    /// Returns what any of its elements stands for.
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
                // Whoever walks through everything that a template is given reads all values.
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
