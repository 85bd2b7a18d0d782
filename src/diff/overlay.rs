//! Two bundles: files, objects, and which of both the publisher wrote.

use std::collections::BTreeMap;

use serde_json::Value;

use super::chart::{Dropped, FileChange, Part, files};
use super::fields::value_of;
use super::lines::{Budget, Change, Delta};
use super::moves;
use super::name;
use super::objects::{self, Object, ObjectChange, Pins};
use super::risk::{self, Risk};
use super::side::{Files, Side};
use super::value::Diff;
use crate::overlay::{Applier, applied};
use crate::yaml;

/// Both trees, and what stands in them.
pub(super) struct Overlays {
    pub from: Files,
    pub to: Files,
}

/// Compares the overlays of two releases, but for the values that stand in the releases themselves.
pub(super) fn compare(
    overlays: &Overlays,
    sides: (Option<&Side<'_>>, &Side<'_>),
    diff: &mut Diff,
    budget: &mut Budget,
) {
    let (from, to) = (&overlays.from, &overlays.to);
    let pins = pins(sides);
    let (old, new) = (objects::read(from, &mut diff.notes), objects::read(to, &mut diff.notes));
    diff.objects = objects::compare(&old, &new, &pins, budget);
    diff.overlay = files(from, to, |_| Part::Overlay, budget);
    diff.overlay.retain(|file| !stands_in_values(file, sides, overlays));
    for file in &mut diff.overlay {
        file.pin = is_pin(file, &diff.objects);
    }
    diff.risks.extend(risk::of_objects(&diff.objects, &old, &new));
    let appliance = &sides.1.config().appliance;
    let root =
        Applier { namespace: appliance.flux_namespace.clone(), name: appliance.source_name.clone(), prunes: true };
    match (applied(from, &root), applied(to, &root)) {
        (Ok(before), Ok(after)) => {
            let (before, after) = (moves::Side::new(&old, &before), moves::Side::new(&new, &after));
            diff.risks.extend(moves::risks(&before, &after, &new, &pins));
        }
        (Err(cause), _) | (_, Err(cause)) => {
            let cause = name(&cause.to_string());
            diff.notes.push(format!("which Kustomization applies what was not compared: {cause}"));
        }
    }
}

fn pins(sides: (Option<&Side<'_>>, &Side<'_>)) -> Pins {
    let mut pins = Pins { repository: sides.1.config().repositories.charts.to_string(), ..Pins::default() };
    for side in sides.0.into_iter().chain([sides.1]) {
        let charts = side.release.charts.keys().filter(|name| side.release.publishes(name));
        pins.charts.extend(charts.cloned());
        pins.values.extend(side.release.values_config_maps.values().cloned());
    }
    pins
}

/// The values of the profile are compared as such: both releases carry them.
fn stands_in_values(file: &FileChange, (from, to): (Option<&Side<'_>>, &Side<'_>), overlays: &Overlays) -> bool {
    let same = |side: &Side<'_>, files: &Files| {
        let directory = format!("profiles/{}/values/", side.release.values_profile);
        let values = file.path.strip_prefix(&directory).and_then(|name| side.release.profile_values.get(name));
        files.get(&file.path).map(Vec::as_slice) == values.map(String::as_bytes)
    };
    let values = file.path.starts_with("profiles/") && file.path.contains("/values/");
    values && same(to, &overlays.to) && from.is_some_and(|from| same(from, &overlays.from))
}

/// A file is the publisher's writing when every object of it that differs is, and no line differs but for them.
fn is_pin(file: &FileChange, objects: &[ObjectChange]) -> bool {
    let of_file: Vec<&ObjectChange> = objects.iter().filter(|object| object.file == file.path).collect();
    if of_file.is_empty() || of_file.iter().any(|object| !object.pin) {
        return false;
    }
    if file.change != Change::Changed {
        return of_file.iter().all(|object| object.change == file.change);
    }
    let Delta::Text { hunks, omitted: 0, .. } = &file.delta else { return false };
    let values = |sign: char| -> Vec<&str> {
        let fields = of_file.iter().flat_map(|object| &object.fields);
        let side = fields.filter_map(|field| if sign == '-' { field.from.as_deref() } else { field.to.as_deref() });
        side.map(|shown| shown.trim_matches('"')).collect()
    };
    let (gone, added) = (values('-'), values('+'));
    hunks.iter().flat_map(|hunk| &hunk.lines).all(|line| match line.as_bytes().first() {
        Some(b'-') => gone.iter().any(|value| line.contains(value)),
        Some(b'+') => added.iter().any(|value| line.contains(value)),
        _ => true,
    })
}

/// Values that a chart read before and does not read now.
pub(super) fn unread(dropped: &BTreeMap<String, Dropped>, overlay: &Files, side: &Side<'_>) -> Vec<Risk> {
    let objects = objects::read(overlay, &mut Vec::new());
    let mut risks = Vec::new();
    for release in objects.iter().filter(|object| object.id.kind == "HelmRelease") {
        let Some(chart) = chart_of(release, &objects) else { continue };
        let Some(dropped) = dropped.get(chart) else { continue };
        let file = format!("{}.{}.yaml", release.id.name, side.release.values_profile);
        let own = side.release.profile_values.get(&file).map(|text| (file.as_str(), parse(text)));
        let inline = (release.file.as_str(), release.value["spec"]["values"].clone());
        for (place, values) in own.into_iter().chain([inline]) {
            for path in dropped.unread(&values) {
                let text = format!(
                    "{}: {} is set, and no template of chart {} mentions it any more",
                    name(place),
                    name(&path),
                    name(chart)
                );
                risks.push(Risk::warning("unread-values", text));
            }
        }
    }
    risks
}

/// The chart of a release: by the address of its source, which may be called otherwise.
pub(super) fn chart_of<'o>(release: &'o Object, objects: &'o [Object]) -> Option<&'o str> {
    let Some(source) = release.text(&["spec", "chartRef", "name"]) else {
        return release.text(&["spec", "chart", "spec", "chart"]);
    };
    let source_of = |object: &&Object| object.id.kind == "OCIRepository" && object.id.name == source;
    let url = objects.iter().find(source_of).and_then(|object| object.text(&["spec", "url"]));
    Some(url.and_then(|url| url.rsplit('/').next()).unwrap_or(source))
}

/// The first document of a text, as data.
pub(super) fn parse(text: &str) -> Value {
    let documents = yaml::parse(text).unwrap_or_default();
    documents.iter().find_map(|document| document.root.as_ref()).map_or(Value::Null, value_of)
}
