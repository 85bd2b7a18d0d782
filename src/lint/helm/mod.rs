//! Checks of the release's charts, and of the values that its HelmReleases give to the charts, as Helm judges them.

mod calls;
mod chart;
mod follow;
mod given;
mod images;
mod known;
mod packages;
mod reads;
mod run;
mod schema;
mod templates;
mod unread;
mod value;
mod values;

use std::collections::BTreeSet;
use std::panic::resume_unwind;

use super::{Contents, Findings, Rule};
use crate::text::shown;
use chart::Chart;
use given::Given;
use value::Sources;
use values::Enabled;

pub(super) use run::unpinned;

/// The rules of this topic, one list for each file, in the order of the catalogue.
pub(super) static RULES: &[&[&Rule]] =
    &[packages::RULES, templates::RULES, run::RULES, schema::RULES, unread::RULES, images::RULES];

/// The charts and subcharts that at least one HelmRelease may render.
#[derive(Debug, Default)]
struct Reached {
    /// Names of the published charts that a HelmRelease installs.
    installed: BTreeSet<String>,
    /// Name of the published chart, and the directory of the chart or subchart in it.
    charts: BTreeSet<(String, String)>,
}

impl Reached {
    fn add(&mut self, enabled: &Enabled<'_, '_>) {
        let chart = enabled.chart;
        self.installed.insert(chart.root.to_owned());
        self.charts.insert((chart.root.to_owned(), chart.directory.clone()));
        for subchart in &enabled.subcharts {
            self.add(subchart);
        }
    }

    /// Reports whether a HelmRelease renders the chart, or no HelmRelease installs the published chart that contains it.
    fn has(&self, chart: &Chart<'_>) -> bool {
        !self.installed.contains(chart.root) || self.charts.contains(&(chart.root.to_owned(), chart.directory.clone()))
    }
}

/// Adds the images that the charts of the release print without a digest, as an appliance renders them.
pub(super) fn unpinned_images(contents: &Contents<'_>, found: &mut BTreeSet<String>) {
    let mut sources = Sources::default();
    let charts: Vec<Chart<'_>> = contents.charts.values().map(|files| Chart::open(files, &mut sources)).collect();
    for given in &given::all(contents, &charts, &mut sources) {
        let enabled = Enabled::of(given.chart, &given.values);
        match enabled.and_then(|enabled| Ok((enabled.coalesced(given.values.clone())?, enabled))) {
            Ok((values, enabled)) => run::images(given, &enabled, &values, found),
            Err(_) => drop(found.insert(run::unknown_images(&shown(given.chart.root)))),
        }
    }
}

/// Checks the charts, and the values of every HelmRelease.
pub(super) fn check(contents: &Contents<'_>, found: &mut Findings) {
    let mut sources = Sources::default();
    let charts: Vec<Chart<'_>> = contents.charts.values().map(|files| Chart::open(files, &mut sources)).collect();
    let all: Vec<Given<'_, '_>> = given::all(contents, &charts, &mut sources);
    let mut reached = Reached::default();
    let mut merged = Vec::new();
    for given in &all {
        packages::installed(given, found);
        let enabled = Enabled::of(given.chart, &given.values);
        match enabled.and_then(|enabled| Ok((enabled.coalesced(given.values.clone())?, enabled))) {
            Ok((values, enabled)) => {
                reached.add(&enabled);
                merged.push((given, enabled, values));
            }
            Err(no_table) => schema::no_table(given, &no_table, &sources, found),
        }
    }
    // Executing the templates takes as long as all other checks together, so it runs on its own thread.
    let run = || {
        let mut found = Findings::default();
        for (given, enabled, values) in &merged {
            run::check(given, enabled, values, &mut found);
        }
        found
    };
    std::thread::scope(|scope| {
        let ran = scope.spawn(run);
        let mut schemas = schema::Schemas::default();
        for (given, enabled, values) in &merged {
            schemas.check(given, enabled, values, &sources, found);
            images::check(contents, given, values, &sources, found);
        }
        images::unreceived(contents, found);
        contents.charts.values().for_each(|chart| packages::values(chart, found));
        for chart in &charts {
            packages::check(chart, found);
            templates::check(chart, &reached, found);
        }
        unread::check(&charts, &all, &sources, found);
        found.extend(ran.join().unwrap_or_else(|panic| resume_unwind(panic)));
    });
}
