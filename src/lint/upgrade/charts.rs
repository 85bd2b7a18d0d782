//! Changes of charts: CRDs that are removed, and changed content under the same version.

use std::collections::BTreeMap;

use super::objects_of;
use crate::config::ChartPin;
use crate::flux::File;
use crate::lint::contents::ChartFiles;
use crate::lint::{Class, Contents, Findings, Place, Rule, Severity};
use crate::text::shown;

pub(super) static CRD_GONE: Rule = Rule {
    id: "upgrade-crd-gone",
    class: Class::Upgrade,
    severity: Severity::Warning,
    title: "a chart no longer contains a CustomResourceDefinition",
    verdict: "Helm never deletes a definition in `crds/`. Upgraded appliances keep the old definition, but new appliances do not have it, \
              so objects of that kind work on the former and are refused on the latter.",
    example: "# charts/web/crds/pages.yaml was removed\n",
    way_out: "keep the definition as long as objects of the kind exist",
};

pub(super) static SAME_VERSION: Rule = Rule {
    id: "upgrade-same-version",
    class: Class::Upgrade,
    severity: Severity::Error,
    title: "a chart has changed content under the same version",
    verdict: "With `chartPin: version`, Flux compares only versions, so it does not fetch the chart again and appliances keep the old one. \
              With `chartPin: digest`, Flux upgrades the chart, but people cannot tell the two apart.",
    example: "version: 1.2.3   # in Chart.yaml; the running release has the same version with other templates\n",
    way_out: "raise `version` in Chart.yaml",
};

pub(super) static RULES: &[&Rule] = &[&CRD_GONE, &SAME_VERSION];

pub(super) fn check(old: &Contents<'_>, new: &Contents<'_>, found: &mut Findings) {
    for (name, chart) in &new.charts {
        let Some(was) = old.charts.get(name) else { continue };
        let now = definitions(chart);
        for (definition, file) in definitions(was) {
            if !now.contains_key(&definition) {
                let message =
                    format!("the chart no longer contains the CustomResourceDefinition `{}`", shown(&definition));
                let file = if chart.files.contains_key(&file) { file } else { "Chart.yaml".to_owned() };
                found.add(&CRD_GONE, Place::chart(&chart.name, &file, 1, None), message);
            }
        }
        same_version(was, chart, new, found);
    }
}

/// Returns the names of the definitions in `crds/` with their files, including those of subcharts.
fn definitions(chart: &ChartFiles) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for path in chart.files.keys().filter(|path| path.starts_with("crds/") || path.contains("/crds/")) {
        let Some(file) = chart.text(path).and_then(|text| File::parse(path, text).ok()) else { continue };
        let objects = objects_of(path, &file);
        let definitions = objects.iter().filter(|object| object.kind() == "CustomResourceDefinition");
        found.extend(definitions.map(|object| (object.name().to_owned(), path.clone())));
    }
    found
}

fn same_version(was: &ChartFiles, now: &ChartFiles, new: &Contents<'_>, found: &mut Findings) {
    let version = |chart: &ChartFiles| {
        let file = File::parse("Chart.yaml", chart.text("Chart.yaml")?).ok()?;
        let root = file.roots().next()?;
        let node = root.get(&["version"])?;
        Some((node.as_str()?.to_owned(), node.line, node.span.clone()))
    };
    let (Some((old, ..)), Some((version, line, span))) = (version(was), version(now)) else { return };
    if old == version && was.files != now.files {
        let (name, version) = (shown(&now.name), shown(&version));
        let message = format!("the running release has version {version} of the chart `{name}` with other content");
        let finding = found.add(&SAME_VERSION, Place::chart(&now.name, "Chart.yaml", line, Some(span)), message);
        if new.config.chart_pin == ChartPin::Digest {
            finding.severity(Severity::Note);
        }
    }
}
