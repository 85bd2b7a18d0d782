//! Compares the config bundles of two releases: their files, their objects, and the pins that the publisher wrote into both.

use std::collections::BTreeMap;

use serde_json::Value;

use super::chart::{Dropped, FileChange, Part, files};
use super::fields::value_of;
use super::lines::{Budget, Change, Delta};
use super::moves;
use super::name;
use super::objects::{self, ObjectChange, Pins};
use super::risk::{self, Risk};
use super::side::Side;
use super::value::Diff;
use crate::contents::{Applier, Bundle};
use crate::yaml;

/// The opened bundles of both releases.
pub(super) struct Overlays {
    pub from: Bundle,
    pub to: Bundle,
}

/// Compares the overlays of two releases. Values that the release manifests contain too are compared only there.
pub(super) fn compare(
    overlays: &Overlays,
    sides: (Option<&Side<'_>>, &Side<'_>),
    diff: &mut Diff,
    budget: &mut Budget,
) {
    let (from, to) = (&overlays.from, &overlays.to);
    let mut pins = pins(sides);
    let (old, new) = (objects::of_bundle(from, &mut diff.notes), objects::of_bundle(to, &mut diff.notes));
    pins.add_sources(&old);
    pins.add_sources(&new);
    diff.objects = objects::compare(&old, &new, &pins, budget);
    diff.overlay = files(from.bytes(), to.bytes(), |_| Part::Overlay, budget);
    diff.overlay.retain(|file| !is_in_values(file, sides, overlays));
    for file in &mut diff.overlay {
        file.pin = is_pin(file, &diff.objects);
    }
    diff.risks.extend(risk::of_objects(&diff.objects, &old, &new));
    let appliance = &sides.1.opened.config().appliance;
    let root =
        Applier { namespace: appliance.flux_namespace.clone(), name: appliance.source_name.clone(), prunes: true };
    match (from.applied(&root), to.applied(&root)) {
        (Ok(before), Ok(after)) => {
            let (before, after) = (moves::AppliedObjects::new(&old, &before), moves::AppliedObjects::new(&new, &after));
            diff.risks.extend(moves::risks(&before, &after, &new, &pins));
        }
        (Err(cause), _) | (_, Err(cause)) => {
            let cause = name(&cause.to_string());
            diff.notes.push(format!("moves of objects between Kustomizations were not compared: {cause}"));
        }
    }
}

fn pins(sides: (Option<&Side<'_>>, &Side<'_>)) -> Pins {
    let mut pins = Pins { repository: sides.1.opened.config().repositories.charts.to_string(), ..Pins::default() };
    for side in sides.0.into_iter().chain([sides.1]) {
        let charts = side.opened.release.charts.keys().filter(|name| side.opened.release.publishes(name));
        pins.charts.extend(charts.cloned());
        pins.values.extend(side.opened.release.values_config_maps.values().cloned());
    }
    pins
}

/// Reports whether a file is a part of the values that both release manifests contain, which are compared there.
fn is_in_values(file: &FileChange, (from, to): (Option<&Side<'_>>, &Side<'_>), overlays: &Overlays) -> bool {
    let same = |side: &Side<'_>, bundle: &Bundle, path: &str| {
        let directory = format!("profiles/{}/values/", side.opened.release.values_profile);
        let values = path.strip_prefix(&directory).and_then(|name| side.opened.release.profile_values.get(name));
        bundle.bytes().get(path).map(Vec::as_slice) == values.map(String::as_bytes)
    };
    let is_values = |path: &str| path.starts_with("profiles/") && path.contains("/values/");
    let before = file.renamed_from.as_ref().unwrap_or(&file.path);
    is_values(before)
        && is_values(&file.path)
        && same(to, &overlays.to, &file.path)
        && from.is_some_and(|from| same(from, &overlays.from, before))
}

/// Reports whether the publisher wrote all that differs in a file: every object of the file that differs is a pin, and so is every
/// line that differs.
fn is_pin(file: &FileChange, objects: &[ObjectChange]) -> bool {
    let in_file = |path: &str| objects.iter().filter(|object| object.file == path).collect::<Vec<_>>();
    let of_file = in_file(&file.path);
    if let Some(before) = &file.renamed_from {
        // A source that is named after its content is in a file of that name. An author renames other files.
        let moved = [(in_file(before), Change::Removed), (of_file, Change::Added)];
        return moved.iter().all(|(objects, change)| matches!(objects[..], [one] if one.pin && one.change == *change));
    }
    if of_file.is_empty() {
        return lists_pins(file, objects);
    }
    if of_file.iter().any(|object| !object.pin) {
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

/// Reports whether a kustomization file differs only in the names of the chart sources that it lists.
fn lists_pins(file: &FileChange, objects: &[ObjectChange]) -> bool {
    let Delta::Text { hunks, omitted: 0, .. } = &file.delta else { return false };
    // The lines of one side, with the chart in place of each name.
    let lines = |sign: char, change: Change| -> Vec<String> {
        let pins = objects.iter().filter(|object| object.pin && object.change == change);
        let names: Vec<&str> = pins.map(|object| object.id.name.as_str()).collect();
        let lines = hunks.iter().flat_map(|hunk| &hunk.lines).filter_map(|line| line.strip_prefix(sign));
        let neutral = |line: &str| {
            names.iter().fold(line.to_owned(), |line, name| line.replace(&format!("{name}.yaml"), "source.yaml"))
        };
        lines.map(neutral).collect()
    };
    file.change == Change::Changed && lines('-', Change::Removed) == lines('+', Change::Added)
}

/// Returns the risks of values that are set although the templates of the newer chart no longer mention them.
pub(super) fn unread(dropped: &BTreeMap<String, Dropped>, overlay: &Bundle, side: &Side<'_>) -> Vec<Risk> {
    let parts = overlay.parts();
    let mut risks = Vec::new();
    for release in &parts.releases {
        let Some(chart) = parts.chart_of(release) else { continue };
        let Some(dropped) = dropped.get(chart) else { continue };
        let file = format!("{}.{}.yaml", release.object.name(), side.opened.release.values_profile);
        let own = side.opened.release.profile_values.get(&file).map(|text| (file.as_str(), parse(text)));
        let inline = (release.object.file, release.values.map_or(Value::Null, value_of));
        for (place, values) in own.into_iter().chain([inline]) {
            for path in dropped.unread(&values) {
                let text = format!(
                    "{}: {} is set, but no template of chart {} mentions it any more",
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

/// Returns the first YAML document of a text as a value; `null` when the text is not YAML.
pub(super) fn parse(text: &str) -> Value {
    let documents = yaml::parse(text).unwrap_or_default();
    documents.iter().find_map(|document| document.root.as_ref()).map_or(Value::Null, value_of)
}
