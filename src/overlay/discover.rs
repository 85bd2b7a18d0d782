//! Finds the charts that the HelmReleases of the overlay use.

use crate::flux::{ChartSpec, HelmRelease, Object, Reference, Scalar, Source, SourceKind};
use crate::path::below;
use crate::source::{Error, Place, Warning};
use crate::yaml::Node;

use super::Overlay;

/// The place of a chart that this publisher packs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChartSource {
    /// A normalised directory, relative to the tree's root.
    Path(String),
    /// A name in this publisher's chart repository. The chart is searched in the tree.
    Name(String),
}

/// A chart that this publisher packs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChartUse {
    /// Place of the chart in the tree.
    pub source: ChartSource,
    /// The first HelmRelease that uses the chart.
    pub place: Place,
    /// Names of the HelmReleases that use the chart.
    pub releases: Vec<String>,
}

/// A chart that another publisher publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// Name of the chart.
    pub name: String,
    /// Exact version, or the digest that pins the chart.
    pub version: String,
    /// The first HelmRelease that uses the chart.
    pub place: Place,
}

/// The charts that the HelmReleases use.
#[derive(Clone, Debug, Default)]
pub struct Discovered {
    /// The charts to pack, each once, in the order of first use.
    pub charts: Vec<ChartUse>,
    /// The charts of other publishers, each once.
    pub external: Vec<External>,
    /// Warnings for the author.
    pub warnings: Vec<Warning>,
}

/// The chart that a HelmRelease installs.
#[derive(Clone, Debug)]
pub(super) enum Used {
    Ours(ChartSource),
    Theirs { name: String, version: String },
}

/// A HelmRelease of the overlay, and the chart that it installs.
#[derive(Clone, Debug)]
pub(super) struct Release<'a> {
    pub flux: HelmRelease<'a>,
    pub used: Used,
    /// Line of the text that names the chart.
    pub line: usize,
    /// Whether the chart comes from a `GitRepository`.
    pub git: bool,
    /// The author's own `OCIRepository` of the chart, when this publisher packs the chart.
    pub own_source: Option<Source<'a>>,
}

impl Overlay {
    /// Returns the charts that the HelmReleases use.
    ///
    /// # Errors
    /// When a HelmRelease cannot be published: its chart's path leads out of the tree, or its version is a range.
    pub fn discover(&self) -> Result<Discovered, Error> {
        let mut found = Discovered::default();
        for release in releases(self, &self.objects())? {
            let place = self.place(release.flux.object.file, release.line);
            let name = release.flux.object.name().to_owned();
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
    let sources = Source::all(objects);
    HelmRelease::all(objects).into_iter().map(|release| Finding { overlay, sources: &sources }.of(release)).collect()
}

/// Description of the fields in which a variable is refused.
const WHAT: &str = "the name, version or source of a chart";

/// The search for the chart of a HelmRelease.
#[derive(Clone, Copy)]
struct Finding<'f, 'a> {
    overlay: &'f Overlay,
    sources: &'f [Source<'a>],
}

impl<'a> Finding<'_, 'a> {
    fn of(self, release: HelmRelease<'a>) -> Result<Release<'a>, Error> {
        let at = |node: &Node| self.overlay.place(release.object.file, node.line);
        match (release.chart, release.chart_ref) {
            (Some(_), Some(reference)) => {
                Err(Error::invalid(at(reference.node), "the HelmRelease has both `chart` and `chartRef`")
                    .hint("remove one of the two: the API server rejects an object with both"))
            }
            (None, Some(reference)) => self.by_reference(release, reference),
            (Some(chart), None) => self.by_chart(release, chart),
            (None, None) => {
                Err(Error::invalid(at(release.object.node), "the HelmRelease has no chart: missing `spec.chart`"))
            }
        }
    }

    fn by_chart(self, release: HelmRelease<'a>, chart: ChartSpec<'a>) -> Result<Release<'a>, Error> {
        let at = |node: &Node| self.overlay.place(release.object.file, node.line);
        for scalar in chart.scalars() {
            self.overlay.refuse_variable(release.object.file, scalar.node, WHAT)?;
        }
        let Some(Scalar { text, node: name }) = chart.chart else {
            let reason = "the HelmRelease has no chart: missing `spec.chart.spec.chart`";
            return Err(Error::invalid(at(chart.node), reason));
        };
        let git = chart.is_from("GitRepository");
        let used = if git {
            Used::Ours(ChartSource::Path(normal(&at(name), text)?))
        } else if let Some(source) = chart.source.filter(|source| source.is("HelmRepository")) {
            let source = Source::referred(self.sources, SourceKind::HelmRepository, &source, &release.object);
            if source.is_some_and(|source| is_ours(self.overlay, source.address())) {
                Used::Ours(ChartSource::Name(text.to_owned()))
            } else {
                Used::Theirs { name: text.to_owned(), version: exact(&at(name), chart.version, at)? }
            }
        } else {
            let kind = chart.source.and_then(|source| source.kind);
            let text = kind.map_or("", |kind| kind.text).escape_debug();
            let reason = format!("cannot publish a chart from a source of the kind `{text}`");
            let node = kind.map_or(chart.node, |kind| kind.node);
            return Err(
                Error::refused(at(node), reason).hint("take the chart from a GitRepository or a HelmRepository")
            );
        };
        Ok(Release { flux: release, used, line: name.line, git, own_source: None })
    }

    fn by_reference(self, release: HelmRelease<'a>, reference: Reference<'a>) -> Result<Release<'a>, Error> {
        let overlay = self.overlay;
        let name = reference.name.map_or(reference.node, |name| name.node);
        overlay.refuse_variable(release.object.file, name, WHAT)?;
        let source = Source::referred(self.sources, SourceKind::OciRepository, &reference, &release.object);
        let Some(source) = source.filter(|_| reference.is("OCIRepository")) else {
            let reason = "cannot tell the chart's version: the overlay has no OCIRepository that the chartRef names";
            return Err(Error::refused(overlay.place(release.object.file, reference.node.line), reason)
                .hint("add the OCIRepository with an exact `ref.tag` to the overlay"));
        };
        for scalar in [source.url, source.tag, source.digest].into_iter().flatten() {
            overlay.refuse_variable(source.object.file, scalar.node, WHAT)?;
        }
        let line = reference.node.line;
        let (parent, name) = source.address().rsplit_once('/').unwrap_or(("", source.address()));
        if is_ours(overlay, parent) {
            let used = Used::Ours(ChartSource::Name(name.to_owned()));
            return Ok(Release { flux: release, used, line, git: false, own_source: Some(source.clone()) });
        }
        let place = |node: &Node| overlay.place(source.object.file, node.line);
        let version = match source.digest {
            Some(digest) => source.tag.unwrap_or(digest).text.to_owned(),
            None => exact(&place(source.object.node), source.semver.or(source.tag), place)?,
        };
        let used = Used::Theirs { name: name.to_owned(), version };
        Ok(Release { flux: release, used, line, git: false, own_source: None })
    }
}

pub(super) fn is_ours(overlay: &Overlay, url: &str) -> bool {
    let url = url.trim_end_matches('/');
    overlay
        .settings
        .prefixes
        .iter()
        .any(|prefix| url == format!("oci://{prefix}/{}", overlay.settings.charts_repository))
}

/// Normalises a path relative to the tree's root: without `.`, `//` and a slash at the end. The root is the empty path.
fn normal(place: &Place, text: &str) -> Result<String, Error> {
    let refuse = |reason: &str| {
        let reason = format!("the chart's path `{}` {reason}", text.escape_debug());
        Err(Error::refused(place.clone(), reason).hint("write a path below the root of the repository"))
    };
    if text.starts_with('/') {
        return refuse("is absolute");
    }
    below("", text).map_or_else(|| refuse("leads out of the repository"), Ok)
}

fn exact(at: &Place, version: Option<Scalar<'_>>, place: impl Fn(&Node) -> Place) -> Result<String, Error> {
    let hint = "write an exact version such as `1.2.3`: all appliances of one release must install the same chart";
    let Some(Scalar { text, node }) = version else {
        return Err(Error::refused(at.clone(), "missing version of an external chart").hint(hint));
    };
    if is_exact(text) {
        return Ok(text.to_owned());
    }
    let reason = format!(
        "invalid version `{}` of an external chart: expected an exact version, found a range",
        text.escape_debug()
    );
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
