//! Merging of values as in Helm: the values of a HelmRelease override those of the chart, which override those of its subcharts.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::chart::{Chart, Dependency};
use super::value::{Content, Placed, Table};

/// Limit of the keys in a path under which values are imported.
const PATH_LIMIT: usize = 100;

/// Merges values into weaker ones, as helm-controller does for `valuesFrom`: tables are merged, and all other values are replaced.
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

/// A chart in one release: under its alias, and without disabled subcharts.
#[derive(Debug)]
pub(super) struct Enabled<'c, 'a> {
    pub(super) chart: &'c Chart<'a>,
    /// Name of the chart, or its alias in the parent chart.
    pub(super) name: &'c str,
    /// The chart's own values, with the values that it imports from its subcharts.
    values: Cow<'c, Table>,
    pub(super) subcharts: Vec<Enabled<'c, 'a>>,
}

/// A value of a subchart that is not a table. Helm refuses to render such a release.
#[derive(Debug)]
pub(super) struct NoTable {
    /// Path of the value, with dots between the keys.
    pub(super) path: String,
    pub(super) value: Placed,
}

impl<'c, 'a> Enabled<'c, 'a> {
    /// Returns the chart with the subcharts that the values enable.
    ///
    /// # Errors
    /// Fails if the values of a subchart are not a table.
    pub(super) fn of(chart: &'c Chart<'a>, given: &Table) -> Result<Self, NoTable> {
        let mut all = Self::whole(chart, &chart.name);
        all.switch(given, "")?;
        all.import()?;
        Ok(all)
    }

    /// Returns the chart with all its subcharts, under their own names.
    fn whole(chart: &'c Chart<'a>, name: &'c str) -> Self {
        let subcharts = chart.subcharts.iter().map(|subchart| Self::whole(subchart, &subchart.name)).collect();
        let values = chart.values.as_ref().map_or_else(|_| Cow::Owned(Table::new()), Cow::Borrowed);
        Self { chart, name, values, subcharts }
    }

    /// Names the subcharts by their aliases, and removes those that tags and conditions disable. `path` is the path of the chart's values,
    /// with a dot at the end. Helm evaluates conditions on the values of the root merged with the defaults of the subcharts.
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

    /// Adds the values and exports that the chart imports from its subcharts. The chart's own values take precedence.
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

    /// Returns the values that Helm renders the chart with. The values of each subchart are under its name.
    ///
    /// # Errors
    /// Fails if the values of a subchart are not a table.
    pub(super) fn coalesced(&self, given: Table) -> Result<Table, NoTable> {
        let mut values = given;
        self.coalesce(&mut values, "", false)?;
        Ok(values)
    }

    /// Adds the values of the chart and its subcharts to stronger values. `merges` keeps null values.
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

/// Reports whether tags and conditions enable the dependency. The first condition with a boolean value decides.
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

/// Returns the value at a path of keys that are joined by dots.
pub(super) fn at<'v>(values: &'v Table, path: &str) -> Option<&'v Placed> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let value = values.get(first)?;
    match rest {
        None => Some(value),
        Some(rest) => at(value.table()?, rest),
    }
}

/// Wraps a table in the tables of a path; `.` is the root.
fn nested(path: &str, table: Table) -> Table {
    if path == "." || path.split('.').count() > PATH_LIMIT {
        return table;
    }
    path.split('.').rev().fold(table, |table, key| {
        BTreeMap::from([(key.to_owned(), Placed { at: None, content: Content::Table(table) })])
    })
}

/// Merges the parent's `global` into that of a subchart. Keys of the parent's tables take precedence.
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

/// Adds weaker values to stronger ones. A null removes the weaker value, unless `keep_null` is set.
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

/// Removes null values from tables.
fn clean(value: &mut Placed) {
    if let Some(table) = value.table_mut() {
        table.retain(|_, value| !value.is_null());
        table.values_mut().for_each(clean);
    }
}
