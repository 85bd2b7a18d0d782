//! Values merged as Helm merges them: those of a HelmRelease over those of the chart, over those of its subcharts.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::chart::{Chart, Dependency};
use super::value::{Content, Placed, Table};

/// Most keys of a path under which values are imported.
const PATH_LIMIT: usize = 100;

/// Merges values into weaker ones, as helm-controller does with the texts of `valuesFrom`: tables are merged, all else is replaced.
pub(super) fn merge(weak: &mut Table, strong: Table) {
    for (key, value) in strong {
        match (weak.get_mut(&key).and_then(Placed::table_mut), value) {
            (Some(table), Placed { content: Content::Table(over), .. }) => merge(table, over),
            (_, value) => {
                weak.insert(key, value);
            }
        }
    }
}

/// A chart as it takes part in one release: under its alias, without the subcharts that are switched off.
#[derive(Debug)]
pub(super) struct Enabled<'c, 'a> {
    pub(super) chart: &'c Chart<'a>,
    /// Its name, or its alias in the parent.
    pub(super) name: &'c str,
    /// Its own values, with what it imports from its subcharts.
    values: Cow<'c, Table>,
    pub(super) subcharts: Vec<Enabled<'c, 'a>>,
}

/// A subchart whose values are not a table: Helm refuses to render the release.
#[derive(Debug)]
pub(super) struct NoTable {
    /// Path of the value.
    pub(super) path: String,
    pub(super) value: Placed,
}

impl<'c, 'a> Enabled<'c, 'a> {
    /// Takes the chart as it is switched by values.
    ///
    /// # Errors
    /// When the values of a subchart are not a table.
    pub(super) fn of(chart: &'c Chart<'a>, given: &Table) -> Result<Self, NoTable> {
        let mut all = Self::whole(chart, &chart.name);
        all.switch(given, "")?;
        all.import()?;
        Ok(all)
    }

    /// Takes the chart with all of its subcharts, under their own names.
    fn whole(chart: &'c Chart<'a>, name: &'c str) -> Self {
        let subcharts = chart.subcharts.iter().map(|subchart| Self::whole(subchart, &subchart.name)).collect();
        let values = chart.values.as_ref().map_or_else(|_| Cow::Owned(Table::new()), Cow::Borrowed);
        Self { chart, name, values, subcharts }
    }

    /// Names the subcharts by their aliases, and removes those that tags and conditions switch off. `path` is where the chart's values
    /// are, with a dot at its end. Helm merges the defaults of a subchart into the values of the root to read its conditions.
    fn switch(&mut self, values: &Table, path: &str) -> Result<(), NoTable> {
        let dependencies = &self.chart.dependencies;
        if dependencies.is_empty() {
            return Ok(());
        }
        self.subcharts.retain(|subchart| !dependencies.iter().any(|one| one.name == subchart.chart.name));
        for dependency in dependencies {
            let subchart = self.chart.subcharts.iter().find(|subchart| subchart.name == dependency.name);
            self.subcharts.extend(subchart.map(|subchart| Self::whole(subchart, dependency.key())));
        }
        let values = self.coalesced(values.clone())?;
        let off: Vec<&str> =
            dependencies.iter().filter(|one| !is_on(one, &values, path)).map(Dependency::key).collect();
        self.subcharts.retain(|subchart| !off.contains(&subchart.name));
        for subchart in &mut self.subcharts {
            subchart.switch(&values, &format!("{path}{}.", subchart.name))?;
        }
        Ok(())
    }

    /// Takes over the values of the subcharts, and what they export, weaker than the chart's own.
    fn import(&mut self) -> Result<(), NoTable> {
        for subchart in &mut self.subcharts {
            subchart.import()?;
        }
        let is_here = |one: &&Dependency| self.subcharts.iter().any(|subchart| subchart.name == one.key());
        let dependencies: Vec<&Dependency> = self.chart.dependencies.iter().filter(is_here).collect();
        if dependencies.is_empty() {
            return Ok(());
        }
        let mut values = Table::new();
        self.coalesce(&mut values, "", true)?;
        let mut imported = Table::new();
        for dependency in dependencies {
            for (child, parent) in &dependency.imports {
                let from = format!("{}.{child}", dependency.key());
                let Some(table) = at(&values, &from).and_then(Placed::table) else { continue };
                coalesce_tables(&mut imported, nested(parent, table.clone()), true);
            }
        }
        coalesce_tables(&mut values, imported, true);
        self.values = Cow::Owned(values);
        Ok(())
    }

    /// Returns the values that the chart is rendered with; those of its subcharts are under their names.
    ///
    /// # Errors
    /// When the values of a subchart are not a table.
    pub(super) fn coalesced(&self, given: Table) -> Result<Table, NoTable> {
        let mut values = given;
        self.coalesce(&mut values, "", false)?;
        Ok(values)
    }

    /// Adds what the chart and its subcharts say to stronger values. `merges` keeps what is null.
    fn coalesce(&self, values: &mut Table, path: &str, merges: bool) -> Result<(), NoTable> {
        self.coalesce_own(values, merges);
        for subchart in &self.subcharts {
            let globals = values.get("global").cloned();
            let own = values.entry(subchart.name.to_owned());
            let own = own.or_insert_with(|| Placed { at: None, content: Content::Table(Table::new()) });
            let path = format!("{path}{}", subchart.name);
            let Some(table) = own.table_mut() else { return Err(NoTable { path, value: own.clone() }) };
            take_globals(table, globals);
            subchart.coalesce(table, &format!("{path}."), merges)?;
        }
        Ok(())
    }

    fn coalesce_own(&self, values: &mut Table, merges: bool) {
        for (key, own) in self.values.iter() {
            match values.get_mut(key) {
                None if merges => drop(values.insert(key.clone(), own.clone())),
                None if own.is_null() => {}
                None => {
                    let mut own = own.clone();
                    clean(&mut own);
                    values.insert(key.clone(), own);
                }
                Some(value) if value.is_null() && !merges => drop(values.remove(key)),
                Some(value) => {
                    let merges = merges || self.subcharts.iter().any(|subchart| subchart.name == key);
                    let (Some(strong), Some(_)) = (value.table_mut(), own.table()) else { continue };
                    let mut own = own.clone();
                    if !merges {
                        clean(&mut own);
                    }
                    if let Content::Table(weak) = own.content {
                        coalesce_tables(strong, weak, merges);
                    }
                }
            }
        }
    }
}

/// Do tags and conditions leave the dependency on? The first condition that is a boolean decides.
fn is_on(dependency: &Dependency, values: &Table, path: &str) -> bool {
    let tags = values.get("tags").and_then(Placed::table);
    let tagged: Vec<bool> = dependency.tags.iter().filter_map(|tag| boolean(tags?.get(tag)?)).collect();
    let by_tags = tagged.is_empty() || tagged.contains(&true);
    let mut conditions = dependency.conditions.iter();
    let by_condition = conditions.find_map(|condition| boolean(at(values, &format!("{path}{condition}"))?));
    by_condition.unwrap_or(by_tags)
}

fn boolean(value: &Placed) -> Option<bool> {
    match value.content {
        Content::Bool(value) => Some(value),
        _ => None,
    }
}

/// The value at a path of keys joined by dots.
pub(super) fn at<'v>(values: &'v Table, path: &str) -> Option<&'v Placed> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let value = values.get(first)?;
    match rest {
        None => Some(value),
        Some(rest) => at(value.table()?, rest),
    }
}

/// A table under a path; `.` is the root.
fn nested(path: &str, table: Table) -> Table {
    if path == "." || path.split('.').count() > PATH_LIMIT {
        return table;
    }
    path.split('.').rev().fold(table, |table, key| {
        BTreeMap::from([(key.to_owned(), Placed { at: None, content: Content::Table(table) })])
    })
}

/// Puts the parent's `global` into that of a subchart: for tables the parent's keys are stronger.
fn take_globals(values: &mut Table, parent: Option<Placed>) {
    let parent = match parent {
        None => Table::new(),
        Some(Placed { content: Content::Table(table), .. }) => table,
        Some(_) => return,
    };
    let own =
        values.entry("global".to_owned()).or_insert_with(|| Placed { at: None, content: Content::Table(Table::new()) });
    let Some(own) = own.table_mut() else { return };
    for (key, value) in parent {
        let is_table = value.table().is_some();
        match own.get_mut(&key) {
            None => {
                own.insert(key, value);
            }
            Some(there) if is_table => {
                if let Some(weak) = there.table().cloned() {
                    let mut strong = value;
                    if let Some(table) = strong.table_mut() {
                        coalesce_tables(table, weak, true);
                    }
                    *there = strong;
                }
            }
            Some(there) if there.table().is_some() => {}
            Some(there) => *there = value,
        }
    }
}

/// Adds weaker values to stronger ones. Unless nulls are kept, a null removes the weaker value.
fn coalesce_tables(strong: &mut Table, weak: Table, keep_null: bool) {
    for (key, value) in weak {
        match strong.get_mut(&key) {
            None => {
                strong.insert(key, value);
            }
            Some(over) if over.is_null() => {
                if !keep_null && !value.is_null() {
                    strong.remove(&key);
                }
            }
            Some(over) => {
                if let (Some(over), Content::Table(table)) = (over.table_mut(), value.content) {
                    coalesce_tables(over, table, keep_null);
                }
            }
        }
    }
}

/// Removes what is null in tables.
fn clean(value: &mut Placed) {
    if let Some(table) = value.table_mut() {
        table.retain(|_, value| !value.is_null());
        table.values_mut().for_each(clean);
    }
}
