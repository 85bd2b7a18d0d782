//! Compares two sides into a [`Diff`]. Charts and bundles that are the same on both sides are never fetched, and the others are unpacked
//! one after the other, so that memory does not grow with their number.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::Value;

use super::chart::{ChartChange, ChartState, Dropped, Part, files};
use super::fields;
use super::lines::{Budget, Change};
use super::overlay::{self, Overlays};
use super::risk;
use super::side::{Files, Identity, Side};
use super::value::{BundleChange, Diff, ImageChange, ImageState, SCHEMA, Summary};
use crate::contents::{Bundle, Fetched, Found, unpack_chart};
use crate::graph::Graph;
use crate::oci::Error;
use crate::release::{Named, NamedKind, Release, Target};

/// Charts that are fetched at once. The packed archives of so many charts are in memory.
const AT_ONCE: usize = 16;

/// Compares two releases. Without a `from`, everything is new.
///
/// # Errors
/// When a store cannot be reached. The notes of the result say what is absent or broken.
pub async fn compare(from: Option<&Side<'_>>, to: &Side<'_>) -> Result<Diff, Error> {
    let mut diff = Diff {
        schema: SCHEMA,
        from: from.map(|side| side.identity.clone()),
        to: to.identity.clone(),
        has_changes: from.is_none_or(|from| !same(from, to)),
        summary: Summary::default(),
        risks: Vec::new(),
        notes: Vec::new(),
        not_covered: None,
        charts: Vec::new(),
        images: Vec::new(),
        extra_images: Vec::new(),
        control_plane: None,
        values: Vec::new(),
        overlay: Vec::new(),
        objects: Vec::new(),
        other: Vec::new(),
        bundle: None,
        rendered: None,
        unread: None,
        graph: None,
    };
    if diff.has_changes {
        diff.graph = Some(graph(from, to));
        // Of a first release every line is new, so lines are counted and not shown.
        let mut budget = if from.is_some() { Budget::default() } else { Budget::none() };
        release(from, to, &mut diff, &mut budget);
        let names = chart_names(from, to);
        let (bundles, charts) = futures_util::join!(bundles(from, to), charts(from, to, names, &mut budget));
        let (overlays, (charts, dropped, notes)) = (bundles?, charts?);
        let overlays = overlays.unwrap_or_else(|unread| {
            let (_, reason) = diff.unread.insert(unread);
            diff.notes.push(format!("the overlays were not compared: {}", super::name(reason)));
            None
        });
        diff.notes.extend(notes);
        diff.charts = charts;
        if let Some(overlays) = overlays {
            overlay::compare(&overlays, (from, to), &mut diff, &mut budget);
            diff.risks.extend(overlay::unread(&dropped, &overlays.to, to));
        }
        diff.risks.extend(diff.charts.iter().flat_map(risk::of_chart));
        diff.risks.extend(diff.images.iter().flat_map(risk::of_image));
    }
    let images = images_of(to);
    diff.risks.extend(images.iter().filter_map(|(key, image)| risk::of_tag(key, image)));
    diff.risks.extend(to.opened.named.iter().filter_map(risk::of_control_plane));
    diff.sort_risks();
    diff.summarise();
    Ok(diff)
}

/// Builds the graph of the newer release, with marks on everything that differs from the older release.
fn graph(from: Option<&Side<'_>>, to: &Side<'_>) -> Graph {
    let Identity { version, digest, .. } = &to.identity;
    let graph = Graph::of(version, digest.to_string(), digest.clone(), &to.opened.named);
    // Of a first release everything is new, so marks would say nothing.
    match from {
        Some(from) => graph.compared_to(&from.opened.named),
        None => graph,
    }
}

/// Reports whether two releases are the same. The channel that a release was published to first makes no difference.
fn same(from: &Side<'_>, to: &Side<'_>) -> bool {
    let neutral = |release: &Release| Release { channel: String::new(), ..release.clone() };
    from.identity.digest == to.identity.digest || neutral(&from.opened.release) == neutral(&to.opened.release)
}

/// Compares the fields of the two release manifests.
fn release(from: Option<&Side<'_>>, to: &Side<'_>, diff: &mut Diff, budget: &mut Budget) {
    let old = from.map(|side| &side.opened.release);
    let new = &to.opened.release;
    diff.images = image_changes(from, to);
    let list = |images: Option<&Vec<String>>| serde_json::json!({ "extraImages": images.into_iter().flatten().collect::<Vec<_>>() });
    diff.extra_images =
        fields::compare(&list(old.map(|old| &old.extra_images)), &list(Some(&new.extra_images)), budget);
    let control_plane = |release: Option<&Release>| serde_json::json!({ "controlPlane": release.and_then(|release| release.control_plane.clone()) });
    diff.control_plane = fields::compare(&control_plane(old), &control_plane(Some(new)), budget).pop();
    let other = |release: &Release| {
        let mut map: serde_json::Map<String, Value> = release.extra.clone().into_iter().collect();
        map.insert("valuesProfile".to_owned(), Value::String(release.values_profile.clone()));
        Value::Object(map)
    };
    diff.other =
        fields::compare(&old.map_or_else(|| Value::Object(serde_json::Map::new()), other), &other(new), budget);
    let bundle = old.map(|old| old.config.digest.clone());
    if bundle.as_ref() != Some(&new.config.digest) {
        diff.bundle = Some(BundleChange { from: bundle, to: new.config.digest.clone() });
    }
    let bytes = |release: &Release| -> Files {
        release.profile_values.iter().map(|(file, text)| (file.clone(), text.clone().into_bytes())).collect()
    };
    let (before, after) = (old.map(bytes).unwrap_or_default(), bytes(new));
    // Older publishers did not write the values into the release manifest, only into the overlay.
    if old.is_some() && before.is_empty() != after.is_empty() {
        diff.notes.push(
            "one of the release manifests has no profile values: values are compared with the files of the overlay"
                .to_owned(),
        );
    } else {
        diff.values = files(&before, &after, |_| Part::Values, budget);
    }
}

fn images_of(side: &Side<'_>) -> BTreeMap<String, ImageState> {
    let state = |named: &Named| {
        let repository = match &named.target {
            Target::At { repository, .. } => side.opened.name_of(repository),
            Target::Unplaced(_) | Target::Invalid(_) => None,
        };
        let (tag, digest) = (named.version.clone()?, named.digest().cloned());
        Some((named.name.clone(), ImageState { tag, digest, repository }))
    };
    side.opened.named.iter().filter(|named| named.kind == NamedKind::Image).filter_map(state).collect()
}

fn image_changes(from: Option<&Side<'_>>, to: &Side<'_>) -> Vec<ImageChange> {
    let (mut old, mut new) = (from.map(images_of).unwrap_or_default(), images_of(to));
    let keys: BTreeSet<String> = old.keys().chain(new.keys()).cloned().collect();
    let change = |key: String| {
        let (from, to) = (old.remove(&key), new.remove(&key));
        // A digest that only one side knows is not a change.
        let same = matches!((&from, &to), (Some(from), Some(to)) if from.tag == to.tag && from.repository == to.repository
            && (from.digest == to.digest || from.digest.is_none() || to.digest.is_none()));
        (!same).then(|| ImageChange { change: Change::of(from.as_ref(), to.as_ref()), key, from, to })
    };
    keys.into_iter().filter_map(change).collect()
}

/// The overlays if they differ; or the release whose bundle cannot be read, and why.
type Bundles = Result<Option<Overlays>, (String, String)>;

/// Reads the bundles of both releases, unless they are the same.
async fn bundles(from: Option<&Side<'_>>, to: &Side<'_>) -> Result<Bundles, Error> {
    if from.is_some_and(|from| from.opened.release.config.digest == to.opened.release.config.digest) {
        return Ok(Ok(None));
    }
    let (old, new) = futures_util::try_join!(
        async {
            match from {
                Some(from) => from.opened.bundle().await.map(Some),
                None => Ok(None),
            }
        },
        to.opened.bundle()
    )?;
    let unread = |side: Option<&Side<'_>>, reason| Ok(Err((side.unwrap_or(to).identity.reference.clone(), reason)));
    let (old, new) = match (old.transpose(), new) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(reason), _) => return unread(from, reason),
        (_, Err(reason)) => return unread(None, reason),
    };
    if old.as_ref().is_some_and(|old| old.layer.digest == new.layer.digest) {
        return Ok(Ok(None));
    }
    let (old, new) = futures_util::try_join!(
        async {
            match (from, &old) {
                (Some(from), Some(old)) => from.opened.files(old).await,
                _ => Ok(Ok(Bundle::default())),
            }
        },
        to.opened.files(&new)
    )?;
    match (old, new) {
        (Ok(from), Ok(to)) => Ok(Ok(Some(Overlays { from, to }))),
        (Err(reason), _) => unread(from, reason),
        (_, Err(reason)) => unread(None, reason),
    }
}

/// Returns the names of the charts that differ, and of those that may: charts of the same version without digests.
fn chart_names(from: Option<&Side<'_>>, to: &Side<'_>) -> BTreeSet<String> {
    let mut names: BTreeSet<&String> = to.opened.release.charts.keys().collect();
    names.extend(from.iter().flat_map(|from| from.opened.release.charts.keys()));
    names.extend(to.opened.release.chart_digests.keys());
    let same = |name: &&String| {
        let Some(from) = from else { return false };
        let (old, new) = (&from.opened.release, &to.opened.release);
        let digests = (old.chart_digests.get(*name), new.chart_digests.get(*name));
        let versions = old.charts.get(*name) == new.charts.get(*name);
        versions
            && (matches!(digests, (Some(a), Some(b)) if a == b)
                || !(from.opened.release.publishes(name) || to.opened.release.publishes(name)))
    };
    names.into_iter().filter(|name| !same(name)).cloned().collect()
}

/// The charts that differ, the keys that their templates no longer read, and the notes.
type Charts = (Vec<ChartChange>, BTreeMap<String, Dropped>, Vec<String>);

async fn charts(
    from: Option<&Side<'_>>,
    to: &Side<'_>,
    names: BTreeSet<String>,
    budget: &mut Budget,
) -> Result<Charts, Error> {
    let mut pairs = stream::iter(names).map(|name| pair(from, to, name)).buffered(AT_ONCE);
    let (mut changes, mut dropped, mut notes) = (Vec::new(), BTreeMap::new(), Vec::new());
    while let Some(pair) = pairs.next().await {
        let (mut change, archives) = pair?;
        if let Some(archives) = archives {
            match both(archives) {
                Ok((old, new)) => {
                    change.compare(&old, &new, budget);
                    dropped.insert(change.name.clone(), Dropped::of(&old, &new));
                }
                Err(reason) => change.not_compared = Some(reason),
            }
        }
        let unchanged = change.from.is_some() && change.from == change.to;
        match change.not_compared {
            // Without digests, the same version may be the same chart; that could not be checked.
            Some(reason) if unchanged => {
                let (chart, reason) = (super::name(&change.name), super::name(&reason));
                notes.push(format!(
                    "chart {chart} has the same version in both releases and was not compared: {reason}"
                ));
            }
            _ if unchanged => {}
            _ => changes.push(change),
        }
    }
    Ok((changes, dropped, notes))
}

type Archives = (Bytes, Bytes);

fn both((old, new): Archives) -> Result<(Files, Files), String> {
    Ok((unpack_chart(&old)?, unpack_chart(&new)?))
}

/// Returns how both releases name a chart, and its two archives where they have to be compared.
async fn pair(from: Option<&Side<'_>>, to: &Side<'_>, name: String) -> Result<(ChartChange, Option<Archives>), Error> {
    let state = |side: &Side<'_>| {
        let version = side.opened.release.charts.get(&name).cloned();
        let digest = side.opened.release.chart_digests.get(&name).cloned();
        (version.is_some() || digest.is_some()).then(|| ChartState { version: version.unwrap_or_default(), digest })
    };
    let mut change = ChartChange::new(&name, from.and_then(state), state(to));
    let (Some(from), Some(_), Some(_)) = (from, &change.from, &change.to) else { return Ok((change, None)) };
    if !(from.opened.release.publishes(&name) && to.opened.release.publishes(&name)) {
        change.external = true;
        return Ok((change, None));
    }
    let (old, new) = futures_util::try_join!(from.opened.chart(&name), to.opened.chart(&name))?;
    let (old, new) = match (old, new) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(reason), _) | (_, Err(reason)) => {
            change.not_compared = Some(reason);
            return Ok((change, None));
        }
    };
    for (state, found) in [(&mut change.from, &old), (&mut change.to, &new)] {
        if let Some(state) = state {
            state.digest = Some(found.digest.clone());
        }
    }
    if old.layer.digest == new.layer.digest {
        change.repacked = true;
        return Ok((change, None));
    }
    match futures_util::try_join!(archive(from, &old), archive(to, &new))? {
        (Ok(old), Ok(new)) => Ok((change, Some((old, new)))),
        (Err(reason), _) | (_, Err(reason)) => {
            change.not_compared = Some(reason);
            Ok((change, None))
        }
    }
}

async fn archive(side: &Side<'_>, found: &Found) -> Fetched<Bytes> {
    side.opened.archive(found).await
}
