//! Rewrites an overlay whose sources are git into one whose sources are artifacts. The rewriting is pure: the same overlay and
//! pins give the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use crate::flux::{Build, File, KustomizationFile, Lister, Scalar, Source};
use crate::oci::{Digest, Prefix};
use crate::path::join;
use crate::source::{Error, Place, Warning};
use crate::yaml::edit::{Edit, append_items, apply, line_ending, replace_scalar};
use crate::yaml::{Document, Node, Value};

use super::children::{Child, build, children, roots};
use super::discover::{Release, Used, releases};
use super::own_source::{OwnSource, OwnSources, at, is_verified_by};
use super::release::Editing;
use super::sources::{Home, Homes, homes, pin_of};
use super::{ChartSource, Overlay, check, patches, references};

/// The published chart that replaces a chart of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Name of the chart from its Chart.yaml.
    pub name: String,
    /// Version from Chart.yaml, or the stamped version.
    pub version: String,
    /// Digest of the chart's manifest.
    pub digest: Digest,
}

/// The way in which a HelmRelease names its chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinStyle {
    /// By digest, through an `OCIRepository` with the name of the chart.
    Digest,
    /// By digest, through an `OCIRepository` that is named after its content.
    Content,
    /// By name and version, through a `HelmRepository`.
    Version,
}

/// The charts and names that the rewritten overlay refers to.
#[derive(Clone, Debug)]
pub struct Pins<'a> {
    /// A pin for every chart that [`Overlay::discover`] found.
    pub charts: &'a BTreeMap<ChartSource, Pin>,
    /// The style of all pins.
    pub style: PinStyle,
    /// Prefix that the charts are published under.
    pub prefix: &'a Prefix,
    /// Name of the values' ConfigMap by release. A release that is not in the map keeps the plain name.
    pub values_names: &'a BTreeMap<String, String>,
}

/// A rewritten overlay with its warnings.
#[derive(Clone, Debug)]
pub struct Rewritten {
    /// The overlay, whose files are those of the bundle.
    pub overlay: Overlay,
    /// Warnings for the author of the overlay.
    pub warnings: Vec<Warning>,
    /// Namespaces in which Flux creates sources that verify this publisher's signatures.
    pub verifying: BTreeSet<String>,
}

/// The expected value after the edits.
#[derive(Clone, Debug)]
pub(super) enum Now {
    Text(String),
    Gone,
    /// A sequence with these items appended.
    Appended(Vec<String>),
    /// Any value: the changes below it are checked by themselves.
    Any,
}

/// A planned change of the data of a document.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub document: usize,
    pub path: String,
    pub now: Now,
}

/// The edits of one file, and the changes of its data that they make.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub edits: Vec<Edit>,
    pub changes: Vec<Change>,
}

/// Rewrites the overlay so that it refers to the published artifacts.
///
/// # Errors
/// When the overlay breaks a rule. The error names the file and the line.
pub fn rewrite(mut overlay: Overlay, pins: &Pins<'_>) -> Result<Rewritten, Error> {
    let (changed, mut warnings) = changed(&overlay, pins)?;
    let before = overlay.clone();
    for (file, parsed) in changed {
        overlay.files.insert_parsed(file, parsed);
    }
    warnings.extend(check::nothing_points_at_git(&overlay)?);
    let verifying = verifying(&before, &overlay)?;
    Ok(Rewritten { overlay, warnings, verifying })
}

/// Returns the namespaces in which Flux creates sources that verify signatures by this publisher's keys. `before` is the
/// overlay before the rewriting, whose Kustomizations name directories in git.
fn verifying(before: &Overlay, after: &Overlay) -> Result<BTreeSet<String>, Error> {
    let Some(secret) = &after.settings.verify else { return Ok(BTreeSet::new()) };
    let (old, new) = (before.objects(), after.objects());
    let children = children(before, &old)?;
    let build = build(after, &roots(&children))?;
    let mut namespaces = BTreeSet::new();
    for source in Source::all(&new) {
        if source.field("verify").is_some_and(|verify| is_verified_by(verify, secret)) {
            let found = build.namespaces(&source.object);
            namespaces.extend(found.into_iter().flatten().map(ToOwned::to_owned));
        }
    }
    Ok(namespaces)
}

/// Returns the changed and the new files, by path.
fn changed(overlay: &Overlay, pins: &Pins<'_>) -> Result<(BTreeMap<String, File>, Vec<Warning>), Error> {
    let objects = overlay.objects();
    let children = children(overlay, &objects)?;
    let releases = releases(overlay, &objects)?;
    patches::refuse(overlay, &objects)?;
    references::refuse(overlay, &objects)?;
    let build = build(overlay, &roots(&children))?;
    let listers = build.listers();
    let own = OwnSources::find(overlay, pins, &objects, &releases, &listers)?;
    let homes = homes(overlay, pins, &Source::all(&objects), &own, &releases, &listers)?;
    let mut plans = BTreeMap::new();
    for child in &children {
        plan_child(overlay, child, &mut plans)?;
    }
    for release in &releases {
        let lister = listers.get(release.flux.object.file).copied();
        let home = match &release.used {
            Used::Ours(source) => homes.of(source, pins.style, lister),
            Used::Theirs { .. } => None,
        };
        plan_release(overlay, pins, release, (home, own.name_for(release)), &mut plans)?;
    }
    plan_own_sources(overlay, pins, &releases, &own, &mut plans)?;
    plan_lists(overlay, &homes, &mut plans)?;
    let mut changed = BTreeMap::new();
    for (file, plan) in plans {
        let parsed = edited(overlay, &file, &overlay.files.parsed()[&file], plan)?;
        changed.insert(file, parsed);
    }
    let mut warnings = unlisted(overlay, &releases, &listers);
    warnings.extend(other_sources(overlay, &children));
    warnings.extend(unread_values(overlay, pins, &build));
    for Home { file, text, .. } in homes.all() {
        if let Some(file) = file {
            let parsed = File::parse(file, text).map_err(|error| overlay.unusable(error))?;
            changed.insert(file.clone(), parsed);
        }
    }
    Ok((changed, warnings))
}

type Plans = BTreeMap<String, Plan>;

fn plan_child(overlay: &Overlay, child: &Child<'_>, plans: &mut Plans) -> Result<(), Error> {
    let (true, Some(directory)) = (child.git, &child.directory) else { return Ok(()) };
    let object = &child.kustomization.object;
    let text = &overlay.files.parsed()[object.file].text;
    let plan = plans.entry(object.file.to_owned()).or_default();
    let path = if directory.is_empty() { "./".to_owned() } else { format!("./{directory}") };
    let new = [(&["spec", "sourceRef", "kind"][..], "OCIRepository"), (&["spec", "path"], path.as_str())];
    for (keys, value) in new {
        let Some(node) = object.node.get(keys) else { continue };
        if is_merged(object.node, keys) {
            let reason = format!("`{}` comes from an alias or `<<`, which cannot be rewritten", keys.join("."));
            return Err(Error::refused(overlay.place(object.file, object.node.line), reason)
                .hint("write the key out in the object"));
        }
        plan.edits.push(replace_scalar(text, node, value));
        let path = format!("{}{}", object.path, keys.join("."));
        plan.changes.push(Change { document: object.document, path, now: Now::Text(value.to_owned()) });
    }
    Ok(())
}

/// Reports whether one of the mappings on the path is an alias or merged in.
fn is_merged(node: &Node, keys: &[&str]) -> bool {
    let mut node = node;
    for key in keys {
        match node.entry(key) {
            Some(entry) if !node.is_alias() => node = &entry.value,
            _ => return true,
        }
    }
    false
}

/// Plans the edits of a release: its reference to a source that publishing adds, or to the author's own source under its
/// new name.
fn plan_release(
    overlay: &Overlay,
    pins: &Pins<'_>,
    release: &Release<'_>,
    (home, own): (Option<&Home>, Option<&str>),
    plans: &mut Plans,
) -> Result<(), Error> {
    let parsed = &overlay.files.parsed()[release.flux.object.file];
    let editing = Editing { overlay, release, parsed };
    let plan = plans.entry(release.flux.object.file.to_owned()).or_default();
    if let (Used::Ours(source), None, Some(home)) = (&release.used, &release.own_source, home) {
        match pins.style {
            PinStyle::Digest | PinStyle::Content => editing.by_digest(home, plan)?,
            PinStyle::Version => editing.by_version(pin_of(overlay, pins, release, source)?, home, plan)?,
        }
    }
    if let Some(name) = own {
        editing.source_name(name, plan)?;
    }
    editing.values_names(pins.values_names, plan);
    Ok(())
}

/// Plans the author's own sources. Several releases may use one source, which is edited once.
fn plan_own_sources(
    overlay: &Overlay,
    pins: &Pins<'_>,
    releases: &[Release<'_>],
    own: &OwnSources,
    plans: &mut Plans,
) -> Result<(), Error> {
    let mut done = BTreeSet::new();
    for release in releases {
        let (Used::Ours(chart), Some(source)) = (&release.used, &release.own_source) else { continue };
        let object = &source.object;
        if done.insert(at(object)) {
            let edited = OwnSource { overlay, source, parsed: &overlay.files.parsed()[object.file] };
            let plan = plans.entry(object.file.to_owned()).or_default();
            edited.pin(pins, pin_of(overlay, pins, release, chart)?, plan)?;
            if let Some(name) = own.name_for(release) {
                edited.rename(name, plan)?;
            }
        }
    }
    Ok(())
}

/// Plans the new entries of kustomization files.
fn plan_lists(overlay: &Overlay, homes: &Homes, plans: &mut Plans) -> Result<(), Error> {
    let mut items: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (file, item) in homes.all().filter_map(|home| home.listed.as_ref()) {
        items.entry(file).or_default().insert(item);
    }
    for (file, items) in items {
        let parsed = &overlay.files.parsed()[file];
        let items: Vec<String> = items.into_iter().map(ToOwned::to_owned).collect();
        let found = parsed.documents.iter().enumerate().find_map(|(at, document)| Some((at, document.root.as_ref()?)));
        let edit = found.and_then(|(at, root)| Some((at, append_items(&parsed.text, root, "resources", &items)?)));
        let Some((document, edit)) = edit else {
            let reason = "cannot list a chart source: the kustomization file has no list `resources` of its own";
            return Err(Error::refused(Place::file(join(&overlay.settings.directory, file)), reason)
                .hint("write the list `resources` out in the file"));
        };
        let plan = plans.entry(file.to_owned()).or_default();
        plan.edits.push(edit);
        plan.changes.push(Change { document, path: "resources".to_owned(), now: Now::Appended(items) });
    }
    Ok(())
}

fn edited(overlay: &Overlay, file: &str, before: &File, plan: Plan) -> Result<File, Error> {
    let Plan { mut edits, changes } = plan;
    edits.retain(|edit| before.text.get(edit.range.clone()) != Some(edit.text.as_str()));
    edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
    edits.dedup_by(|a, b| a == b && !a.range.is_empty());
    for document in &before.documents {
        refuse_shared(overlay, file, &before.text, document, &edits)?;
    }
    let path = join(&overlay.settings.directory, file);
    let internal = |what: &str| {
        Error::invalid(Place::file(path.clone()), format!("internal error: {what}"))
            .hint("report this error: it is a bug in this program, and nothing was published")
    };
    let text = apply(&before.text, edits).map_err(|_| internal("two edits of the file overlap"))?;
    let documents = crate::yaml::parse(&text)
        .map_err(|error| internal(&format!("the rewritten file is not valid YAML: {error}")))?;
    debug_assert!(line_ending(&text) == line_ending(&before.text) || before.text.lines().count() < 2);
    verify(&before.documents, &documents, &changes).map_err(|what| internal(&what))?;
    Ok(File { text, documents })
}

/// Checks that exactly the planned changes were made.
fn verify(before: &[Document], after: &[Document], changes: &[Change]) -> Result<(), String> {
    if before.len() != after.len() {
        return Err("the rewritten file has a different number of documents".to_owned());
    }
    for (at, (old, new)) in before.iter().zip(after).enumerate() {
        let changes: Vec<&Change> = changes.iter().filter(|change| change.document == at).collect();
        let (old, new) = match (&old.root, &new.root) {
            (Some(old), Some(new)) => (old, new),
            (None, None) => continue,
            _ => return Err("a document was added or removed".to_owned()),
        };
        for path in old.differences(new) {
            let planned = |change: &&&Change| {
                let below = |outer: &str, inner: &str| {
                    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
                };
                below(&change.path, &path)
            };
            if !changes.iter().any(|change| planned(&change)) {
                return Err(format!("unplanned change of `{path}`"));
            }
        }
        for change in changes {
            if !holds(old, new, change) {
                return Err(format!("`{}` does not have the planned value", change.path));
            }
        }
    }
    Ok(())
}

fn holds(old: &Node, new: &Node, change: &Change) -> bool {
    let node = check::at(new, &change.path);
    match &change.now {
        Now::Text(text) => node.is_some_and(|node| node.as_str() == Some(text) && node.is_string()),
        Now::Gone => node.is_none(),
        Now::Any => node.is_some(),
        Now::Appended(items) => {
            let before = check::at(old, &change.path).map(Node::items).unwrap_or_default();
            let after = node.map(Node::items).unwrap_or_default();
            let kept = before.iter().zip(after).all(|(a, b)| a.differences(b).is_empty());
            let new = after.iter().skip(before.len()).map(Node::as_str);
            kept && new.eq(items.iter().map(|item| Some(item.as_str())))
        }
    }
}

/// Refuses edits that would change the value of an alias in another place.
fn refuse_shared(overlay: &Overlay, file: &str, text: &str, document: &Document, edits: &[Edit]) -> Result<(), Error> {
    let nodes = document.root.as_ref().map(Node::walk).unwrap_or_default();
    let removed = |span: &std::ops::Range<usize>| {
        edits.iter().any(|edit| edit.range.start <= span.start && span.end <= edit.range.end)
    };
    for node in &nodes {
        let Some(anchor) = &node.anchor else { continue };
        let surviving = |other: &&&Node| {
            matches!(&other.value, Value::Alias { id, .. } if *id == anchor.id) && !removed(&other.span)
        };
        let Some(user) = nodes.iter().find(surviving) else { continue };
        let end = if node.is_flow() { node.span.end } else { crate::yaml::edit::line_end(text, node.span.end) };
        let span = node.full_span().start..end;
        let touched = edits.iter().any(|edit| {
            let (start, last) = (edit.range.start, edit.range.end);
            if edit.range.is_empty() {
                span.start < start && start <= span.end
            } else {
                start < span.end && last > span.start
            }
        });
        let inside = edits.iter().any(|edit| user.span.start >= edit.range.start && user.span.end <= edit.range.end);
        if touched && !inside {
            let (name, line) = (&anchor.name, user.line);
            let what = if removed(&anchor.span) { "remove" } else { "rewrite" };
            let reason =
                format!("cannot {what} the value with the anchor `&{name}`, because line {line} uses the anchor");
            return Err(
                Error::refused(overlay.place(file, node.line), reason).hint("write the value out in both places")
            );
        }
    }
    Ok(())
}

fn unlisted(overlay: &Overlay, releases: &[Release<'_>], listers: &BTreeMap<&str, &Lister>) -> Vec<Warning> {
    let lost = releases.iter().filter(|release| !listers.contains_key(release.flux.object.file));
    lost.map(|release| {
        let place = overlay.place(release.flux.object.file, release.flux.object.node.line);
        Warning {
            place,
            text: format!(
                "no kustomization file lists the HelmRelease `{}`: Flux will not apply it",
                release.flux.object.name()
            ),
        }
    })
    .collect()
}

/// Warns about generators that make a ConfigMap which no release reads, where Flux applies them. Generators keep the plain
/// names: their ConfigMaps have the values without image tags, and under the hashed name would replace the ConfigMap that
/// the appliance makes.
fn unread_values(overlay: &Overlay, pins: &Pins<'_>, build: &Build) -> Vec<Warning> {
    let plain = |name: &str| {
        let release = name.strip_prefix(&overlay.settings.values_prefix);
        release.is_some_and(|release| pins.values_names.contains_key(release))
    };
    let unread = |file: KustomizationFile<'_>| {
        let names = file.config_map_generators().filter_map(|generator| generator.name);
        let names: Vec<Scalar<'_>> = names.filter(|name| plain(name.text)).collect();
        let listed: Vec<&str> = names.iter().map(|name| name.text).collect();
        let text = format!(
            "no HelmRelease reads {}, which the generator makes: the appliance makes a ConfigMap with a hash in its name instead",
            listed.join(", ")
        );
        Some(Warning { place: overlay.place(file.file, names.first()?.node.line), text })
    };
    let is_applied = |file: &KustomizationFile<'_>| build.entered().iter().any(|entered| entered.file == file.file);
    overlay.files.kustomization_files().filter(is_applied).filter_map(unread).collect()
}

fn other_sources(overlay: &Overlay, children: &[Child<'_>]) -> Vec<Warning> {
    let expected = &overlay.settings.source_name;
    let mut warnings = Vec::new();
    for Child { kustomization, git, directory } in children {
        let mut warn = |path: &[&str], text: String| {
            let place = overlay.place(kustomization.object.file, kustomization.line_of(path));
            warnings.push(Warning { place, text });
        };
        let name = kustomization.source_name();
        if *git && name != expected {
            let text = format!("the source is `{}`, but the appliance makes `{expected}`", name.escape_debug());
            warn(&["sourceRef", "name"], text);
        }
        if let Some(directory) = directory.as_ref().filter(|directory| !overlay.files.has_directory(directory)) {
            let text = format!("the bundle has no directory `{directory}`: Flux will not apply it");
            warn(&["path"], text);
        }
    }
    warnings
}
