//! What the releases of the overlay use.

use crate::flux::{HELM, Object, SOURCE};
use crate::path::below;
use crate::source::{Error, Place};
use crate::yaml::Node;

use super::{Overlay, Warning};

/// Where a chart comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChartSource {
    /// A directory below the root of the tree, normalised.
    Path(String),
    /// A name on our own repository: to be searched in the tree.
    Name(String),
}

/// A chart that is to be packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChartUse {
    /// Where it comes from.
    pub source: ChartSource,
    /// Where it is used first.
    pub place: Place,
    /// The releases that use it.
    pub releases: Vec<String>,
}

/// A chart of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// Of the chart.
    pub name: String,
    /// Exact.
    pub version: String,
    /// Where it is used first.
    pub place: Place,
}

/// All that the releases use.
#[derive(Clone, Debug, Default)]
pub struct Discovered {
    /// To be packed, each once, in the order of first use.
    pub charts: Vec<ChartUse>,
    /// Of others, each once.
    pub external: Vec<External>,
    /// Worth knowing.
    pub warnings: Vec<Warning>,
}

/// What a release installs.
#[derive(Clone, Debug)]
pub(super) enum Used {
    Ours(ChartSource),
    Theirs { name: String, version: String },
}

/// A HelmRelease of the overlay.
#[derive(Clone, Debug)]
pub(super) struct Release<'a> {
    pub object: Object<'a>,
    pub used: Used,
    /// Line of what names the chart.
    pub line: usize,
    pub git: bool,
    /// The author's `OCIRepository` for a chart of ours.
    pub own_source: Option<Object<'a>>,
}

impl Overlay {
    /// Which charts the releases use.
    ///
    /// # Errors
    /// When a release cannot be published: a path outside of the tree, a version that is a range.
    pub fn discover(&self) -> Result<Discovered, Error> {
        let mut found = Discovered::default();
        for release in releases(self, &self.objects())? {
            let place = self.place(release.object.file, release.line);
            let name = release.object.name().to_owned();
            match release.used {
                Used::Ours(source) => match found.charts.iter_mut().find(|chart| chart.source == source) {
                    Some(chart) => chart.releases.push(name),
                    None => found.charts.push(ChartUse { source, place, releases: vec![name] }),
                },
                Used::Theirs { name, version } => {
                    if !found.external.iter().any(|known| known.name == name && known.version == version) {
                        found.external.push(External { name, version, place });
                    }
                }
            }
        }
        Ok(found)
    }
}

pub(super) fn releases<'a>(overlay: &Overlay, objects: &[Object<'a>]) -> Result<Vec<Release<'a>>, Error> {
    objects
        .iter()
        .filter(|object| object.is(HELM, "HelmRelease"))
        .map(|object| release(overlay, objects, object.clone()))
        .collect()
}

fn release<'a>(overlay: &Overlay, objects: &[Object<'a>], object: Object<'a>) -> Result<Release<'a>, Error> {
    let at = |node: &Node| overlay.place(object.file, node.line);
    let chart = object.node.get(&["spec", "chart"]);
    let reference = object.node.get(&["spec", "chartRef"]);
    match (chart, reference) {
        (Some(_), Some(reference)) => Err(Error::invalid(at(reference), "the release has both `chart` and `chartRef`")
            .hint("remove one: the API server rejects both")),
        (None, Some(reference)) => by_reference(overlay, objects, object.clone(), reference),
        (Some(chart), None) => by_chart(overlay, objects, object, chart),
        (None, None) => Err(Error::invalid(at(object.node), "the release names no chart: `spec.chart` is missing")),
    }
}

fn by_chart<'a>(
    overlay: &Overlay,
    objects: &[Object<'a>],
    object: Object<'a>,
    chart: &'a Node,
) -> Result<Release<'a>, Error> {
    let spec = |path: &[&str]| chart.get(&[&["spec"], path].concat());
    let at = |node: &Node| overlay.place(object.file, node.line);
    for path in
        [&["chart"][..], &["version"], &["sourceRef", "kind"], &["sourceRef", "name"], &["sourceRef", "namespace"]]
    {
        if let Some(node) = spec(path) {
            overlay.refuse_variable(object.file, node, "what names the chart")?;
        }
    }
    let name = spec(&["chart"]).filter(|node| node.as_str().is_some_and(|text| !text.is_empty()));
    let Some(name) = name else {
        return Err(Error::invalid(at(chart), "the release names no chart: `spec.chart.spec.chart` is missing"));
    };
    let text = name.as_str().unwrap_or_default();
    let kind = spec(&["sourceRef", "kind"]).and_then(Node::as_str).unwrap_or_default();
    let used = match kind {
        "GitRepository" => Used::Ours(ChartSource::Path(normal(&at(name), text)?)),
        "HelmRepository" => match repository_url(objects, &object, spec(&["sourceRef"])) {
            Some(url) if is_ours(overlay, url) => Used::Ours(ChartSource::Name(text.to_owned())),
            _ => {
                Used::Theirs { name: text.to_owned(), version: exact(&at(name), spec(&["version"]), |node| at(node))? }
            }
        },
        _ => {
            let node = spec(&["sourceRef", "kind"]).unwrap_or(chart);
            let reason = format!("a chart from the source kind `{}` cannot be published", kind.escape_debug());
            return Err(Error::refused(at(node), reason).hint("want GitRepository or HelmRepository"));
        }
    };
    Ok(Release { object, used, line: name.line, git: kind == "GitRepository", own_source: None })
}

fn by_reference<'a>(
    overlay: &Overlay,
    objects: &[Object<'a>],
    object: Object<'a>,
    reference: &'a Node,
) -> Result<Release<'a>, Error> {
    let at = |node: &Node| overlay.place(object.file, node.line);
    overlay.refuse_variable(object.file, reference.get(&["name"]).unwrap_or(reference), "what names the chart")?;
    let kind = reference.text_at(&["kind"]).unwrap_or_default();
    let source = source_object(objects, &object, "OCIRepository", reference);
    let Some(source) = source.filter(|_| kind == "OCIRepository") else {
        let reason = "the release's chartRef names no OCIRepository of the overlay: its version is not known";
        return Err(Error::refused(at(reference), reason)
            .hint("put the OCIRepository with an exact `ref.tag` into the overlay"));
    };
    for path in [&["spec", "url"][..], &["spec", "ref", "tag"], &["spec", "ref", "digest"]] {
        if let Some(node) = source.node.get(path) {
            overlay.refuse_variable(source.file, node, "what names the chart")?;
        }
    }
    let url = source.node.text_at(&["spec", "url"]).unwrap_or_default().trim_end_matches('/');
    let (parent, name) = url.rsplit_once('/').unwrap_or(("", url));
    if is_ours(overlay, parent) {
        let used = Used::Ours(ChartSource::Name(name.to_owned()));
        return Ok(Release { object, used, line: reference.line, git: false, own_source: Some(source) });
    }
    let place = |node: &Node| overlay.place(source.file, node.line);
    let version = if let Some(digest) = source.node.text_at(&["spec", "ref", "digest"]) {
        source.node.text_at(&["spec", "ref", "tag"]).unwrap_or(digest).to_owned()
    } else {
        let node = source.node.get(&["spec", "ref", "semver"]).or_else(|| source.node.get(&["spec", "ref", "tag"]));
        exact(&place(source.node), node, place)?
    };
    let used = Used::Theirs { name: name.to_owned(), version };
    Ok(Release { object, used, line: reference.line, git: false, own_source: None })
}

/// The source that a reference names; without a namespace, in the release's own.
fn source_object<'a>(objects: &[Object<'a>], release: &Object<'a>, kind: &str, reference: &Node) -> Option<Object<'a>> {
    let name = reference.text_at(&["name"])?;
    let namespace = reference.text_at(&["namespace"]).or(release.namespace());
    let fits = |object: &&Object<'a>| -> bool {
        let same = object.namespace().is_none() || namespace.is_none() || object.namespace() == namespace;
        object.is(SOURCE, kind) && object.name() == name && same
    };
    objects.iter().find(fits).cloned()
}

fn repository_url<'a>(objects: &[Object<'a>], release: &Object<'a>, reference: Option<&Node>) -> Option<&'a str> {
    source_object(objects, release, "HelmRepository", reference?)?.node.text_at(&["spec", "url"])
}

pub(super) fn is_ours(overlay: &Overlay, url: &str) -> bool {
    let url = url.trim_end_matches('/');
    overlay
        .settings
        .prefixes
        .iter()
        .any(|prefix| url == format!("oci://{prefix}/{}", overlay.settings.charts_repository))
}

/// A path below the root of the tree, without `.`, `//` and a slash at the end; the root itself is empty.
fn normal(place: &Place, text: &str) -> Result<String, Error> {
    let refuse = |reason: &str| {
        let reason = format!("the chart's path `{}` {reason}", text.escape_debug());
        Err(Error::refused(place.clone(), reason).hint("want a path below the root of the repository"))
    };
    if text.starts_with('/') {
        return refuse("is absolute");
    }
    below("", text).map_or_else(|| refuse("leaves the tree"), Ok)
}

fn exact(at: &Place, node: Option<&Node>, place: impl Fn(&Node) -> Place) -> Result<String, Error> {
    let hint = "two appliances of one release must install the same chart: want `1.2.3`";
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Err(Error::refused(at.clone(), "the chart of somebody else has no version").hint(hint));
    };
    let text = node.as_str().unwrap_or_default();
    if is_exact(text) {
        return Ok(text.to_owned());
    }
    let reason = format!("the version `{}` of somebody else's chart is not exact", text.escape_debug());
    Err(Error::refused(place(node), reason).hint(hint))
}

fn is_exact(text: &str) -> bool {
    let text = text.strip_prefix('v').unwrap_or(text);
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let rest = &text[core.len()..];
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    core.split('.').count() == 3
        && core.split('.').all(number)
        && rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+'))
}
