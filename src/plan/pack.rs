//! Packs a source tree into everything that a release consists of, except for the images. The module is pure and sends
//! no requests.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;

use super::build::{ReleaseInputs, build};
use super::desired::{ArtifactKind, Desired, DesiredArtifact, DesiredRelease};
use super::readers;
use super::tags::GivenTags;
use crate::chart::{self, PackedChart, Versions};
use crate::config::{ChartPin, ChartVersions, Config, FILE_NAME, ValuesNames};
use crate::image::PinnedImages;
use crate::oci::{Digest, Prefix, Repository, Tag};
use crate::overlay::{self, ChartSource, External, Overlay, Pin, PinStyle};
use crate::path::below;
use crate::release::{self, ImageValues, Release, ValuesReader};
use crate::source::git::{Change, Head};
use crate::source::{Error, Place, Tree, Warning};

/// Largest configuration file that is read, in bytes.
const CONFIGURATION_LIMIT: u64 = 1 << 20;
/// Largest chart archive that Flux accepts from a `HelmRepository`, in bytes.
const HELM_REPOSITORY_LIMIT: u64 = 10 << 20;

/// The inputs of a publication besides the source tree.
#[derive(Debug)]
pub struct Request<'a> {
    /// Configuration of the product.
    pub config: &'a Config,
    /// Prefix under which the appliance reads the artifacts.
    pub prefix: &'a Prefix,
    /// Version of the release.
    pub version: &'a Tag,
    /// Channel in the release's JSON.
    pub channel: &'a Tag,
    /// Image tags from the command line. They override the tags in the tree.
    pub images: GivenTags,
}

/// The state of the source that is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Commit id in hex digits.
    pub commit: String,
    /// Time of the release in seconds since 1970.
    pub epoch: i64,
    /// URL of the source repository.
    pub source: Option<String>,
}

/// Everything that a release consists of, except for the bundle's revision and the images.
#[derive(Debug)]
pub struct Packed {
    charts: Vec<(chart::Chart, PackedChart)>,
    external: Vec<External>,
    /// The overlay after its rewriting.
    overlay: Overlay,
    /// Files that the rewriting changed, with their original content.
    written: BTreeMap<String, Vec<u8>>,
    profile_values: BTreeMap<String, String>,
    values_config_maps: BTreeMap<String, String>,
    /// The HelmReleases that read values of the release.
    readers: Vec<ValuesReader>,
    /// Namespaces of the chart sources that Flux verifies.
    verifying: BTreeSet<String>,
    /// Warnings for people as `PLACE: TEXT`, sorted.
    pub warnings: Vec<String>,
}

fn settings<'a>(config: &'a Config, prefixes: &'a [Prefix]) -> overlay::Settings<'a> {
    overlay::Settings {
        directory: config.overlay.trim_matches('/'),
        source_name: &config.appliance.source_name,
        charts_repository: config.repositories.charts.as_str(),
        helm_repository: &config.appliance.helm_repository,
        namespace: &config.appliance.flux_namespace,
        prefixes,
        values_prefix: &config.appliance.values_prefix,
        verify: config.signing.flux.then_some(&*config.signing.secret_name),
    }
}

/// Returns the names of the charts that a publication of the tree would contain, sorted.
///
/// # Errors
/// Returns an error when the overlay or a chart is invalid.
pub(crate) fn chart_names(tree: &Tree, config: &Config, prefix: &Prefix) -> Result<Vec<String>, Error> {
    let discovered = overlay::load(tree, &settings(config, std::slice::from_ref(prefix)))?.discover()?;
    let name = |used| Ok(chart::load(tree, &path_of(tree, config, used)?)?.name().to_owned());
    let mut names = discovered.charts.iter().map(name).collect::<Result<Vec<_>, Error>>()?;
    names.sort();
    names.dedup();
    Ok(names)
}

/// Reads the files of the overlay that a bundle would contain, and the problems of single files.
///
/// # Errors
/// Returns an error when the tree has no overlay.
pub(crate) fn overlay_files(tree: &Tree, config: &Config) -> Result<overlay::Readable, Error> {
    overlay::read(tree, config.overlay.trim_matches('/'))
}

/// Packs the charts that the overlay uses, and rewrites the overlay so that it refers to them.
///
/// # Errors
/// Returns every problem in the tree, with its place.
///
/// The names of values depend on the images, whose digests are known only after they were looked up.
pub fn pack(tree: &Tree, request: &Request<'_>, images: &PinnedImages) -> Result<Packed, Error> {
    let config = request.config;
    if let Some((reason, hint)) = config.signing_contradiction() {
        return Err(Error::usage(Place::file(FILE_NAME), reason).hint(hint));
    }
    let configured = Prefix::parse(&config.prefix, false).ok();
    let prefixes: Vec<Prefix> = std::iter::once(request.prefix.clone()).chain(configured).collect();
    let overlay = overlay::load(tree, &settings(config, &prefixes))?;
    let discovered = overlay.discover()?;
    let charts = pack_charts(tree, config, &discovered.charts)?;
    let pins = pins(&discovered.charts, &charts, config)?;
    let profile_values = overlay.profile_values(&config.profile)?;
    let values_config_maps = match config.values_names {
        ValuesNames::Plain => BTreeMap::new(),
        ValuesNames::Hashed => {
            let tags: BTreeMap<String, String> =
                images.tags.iter().map(|(key, tag)| (key.clone(), tag.to_string())).collect();
            let none = BTreeMap::new();
            let pinned = if config.is_signed() { &images.digests } else { &none };
            let values = ImageValues { tags: &tags, pinned };
            release::values_names(config, &config.profile, &profile_values, values)
        }
    };
    // New values and an old chart must not meet: where values have the name of their content, so have chart sources.
    let style = match (config.chart_pin, config.values_names) {
        (ChartPin::Digest, ValuesNames::Plain) => PinStyle::Digest,
        (ChartPin::Digest, ValuesNames::Hashed) => PinStyle::Content,
        (ChartPin::Version, _) => PinStyle::Version,
    };
    let texts = readers::Values {
        config,
        texts: &profile_values,
        names: &values_config_maps,
        images: images.tags.keys().map(String::as_str).collect(),
    };
    let readers = texts.readers(&overlay)?;
    let pins = overlay::Pins { charts: &pins, style, prefix: request.prefix, values_names: &values_config_maps };
    let mut written = overlay.files().clone();
    let rewritten = overlay::rewrite(overlay, &pins)?;
    written.retain(|path, bytes| rewritten.overlay.files().get(path) != Some(bytes));
    let of_charts = charts.iter().flat_map(|(chart, _)| chart.warnings());
    let mut warnings: Vec<&Warning> = of_charts.chain(&discovered.warnings).chain(&rewritten.warnings).collect();
    warnings.sort();
    let warnings = warnings.into_iter().map(Warning::to_string).collect();
    let (external, overlay, verifying) = (discovered.external, rewritten.overlay, rewritten.verifying);
    Ok(Packed { charts, external, overlay, written, profile_values, values_config_maps, readers, verifying, warnings })
}

/// Packs the charts on as many threads as there are processors. A panic in a thread continues in the caller.
fn pack_charts(
    tree: &Tree,
    config: &Config,
    uses: &[overlay::ChartUse],
) -> Result<Vec<(chart::Chart, PackedChart)>, Error> {
    let versions = match config.chart_versions {
        ChartVersions::AsWritten => Versions::AsWritten,
        ChartVersions::Stamped => Versions::Stamped,
    };
    let pack_one = |used: &overlay::ChartUse| {
        let chart = chart::load(tree, &path_of(tree, config, used)?)?;
        let packed = chart.pack(tree, versions)?;
        Ok((chart, packed))
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut packed = Vec::new();
        while let Some((index, used)) = {
            let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            uses.get(index).map(|used| (index, used))
        } {
            packed.push((index, pack_one(used)));
        }
        packed
    };
    let mut packed: Vec<(usize, Result<_, Error>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.min(uses.len())).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    packed.sort_by_key(|(index, _)| *index);
    packed.into_iter().map(|(_, packed)| packed).collect()
}

/// Reports whether the name is a DNS subdomain of RFC 1123.
///
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names>
fn is_object_name(name: &str) -> bool {
    let label = |label: &str| {
        let inner = label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        inner && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

fn path_of(tree: &Tree, config: &Config, used: &overlay::ChartUse) -> Result<String, Error> {
    let path = match &used.source {
        ChartSource::Path(path) => path.clone(),
        ChartSource::Name(name) => match config.charts.get(name) {
            Some(path) => below("", path.trim_matches('/')).ok_or_else(|| {
                let reason = format!("charts.{name}: the path `{}` leads out of the source tree", path.escape_debug());
                Error::usage(Place::file(crate::config::FILE_NAME), reason)
            })?,
            None => return chart::find(tree, name),
        },
    };
    if tree.kind(&path)?.is_none() {
        let reason = format!("cannot find the chart `{}`: the source tree has no such directory", path.escape_debug());
        return Err(Error::invalid(used.place.clone(), reason)
            .hint("write the path relative to the root of the source tree, not to the overlay"));
    }
    Ok(path)
}

fn pins(
    uses: &[overlay::ChartUse],
    charts: &[(chart::Chart, PackedChart)],
    config: &Config,
) -> Result<BTreeMap<ChartSource, Pin>, Error> {
    let mut pins: BTreeMap<ChartSource, Pin> = BTreeMap::new();
    for (used, (chart, packed)) in uses.iter().zip(charts) {
        let digest = packed.artifact.digest().clone();
        let twin = uses.iter().zip(charts).find(|(_, (other, twin))| {
            twin.name == packed.name && *twin.artifact.digest() != digest && other.path() != chart.path()
        });
        if let Some((_, (other, _))) = twin {
            let reason = format!("two charts have the name `{}`: {} and {}", packed.name, chart.path(), other.path());
            return Err(Error::invalid(used.place.clone(), reason)
                .hint("rename one of the charts: a release contains one chart of each name"));
        }
        if config.chart_pin == ChartPin::Digest && !is_object_name(&packed.name) {
            let reason = format!("invalid chart name `{}`: expected a valid name of a Kubernetes object", packed.name);
            return Err(Error::refused(Place::file(chart.path()), reason)
                .hint("use lowercase letters, digits, `-` and `.`: under `chartPin: digest` each chart is an OCIRepository of that name"));
        }
        if config.chart_pin == ChartPin::Version && packed.artifact.size() > HELM_REPOSITORY_LIMIT {
            let reason = format!(
                "the packed chart `{}` is larger than 10 MiB, which is the limit of Flux for charts by version",
                packed.name
            );
            return Err(Error::refused(Place::file(chart.path()), reason)
                .hint("set `chartPin: digest`, or make the chart smaller"));
        }
        pins.insert(used.source.clone(), Pin { name: packed.name.clone(), version: packed.version.clone(), digest });
    }
    Ok(pins)
}

impl Packed {
    /// Returns the charts, each with its packed form.
    pub(crate) fn charts(&self) -> &[(chart::Chart, PackedChart)] {
        &self.charts
    }

    /// Returns the overlay as the bundle holds it.
    pub(crate) fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// Returns the files that the rewriting changed with their original content, by their paths below the overlay's
    /// root.
    pub(crate) fn written(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.written
    }

    /// Returns the release as far as it is known before the bundle is packed and the images are pinned.
    ///
    /// # Errors
    /// Returns an error when charts of one name have several versions.
    pub(crate) fn preview(&self, request: &Request<'_>, tags: &BTreeMap<String, Tag>) -> Result<Release, Error> {
        let is_signed = request.config.is_signed();
        let images = if is_signed { PinnedImages::examples(tags) } else { PinnedImages::tags(tags) };
        self.release(request, &images, &Digest::of(b""))
    }

    /// Returns the uncommitted changes among the files that were read.
    ///
    /// # Errors
    /// Returns an error when the git repository cannot be read.
    pub fn changes(&self, tree: &Tree, head: &Head, config: &Config) -> Result<BTreeMap<String, Change>, Error> {
        let overlay = config.overlay.trim_matches('/');
        // The configuration file was read before the tree was opened, and it affects the release.
        if tree.kind(FILE_NAME)?.is_some() {
            tree.read(FILE_NAME, CONFIGURATION_LIMIT)?;
        }
        let inputs = tree.inputs();
        let below = |root: &str, path: &str| root.is_empty() || path == root || path.starts_with(&format!("{root}/"));
        let mut roots: Vec<&str> = self.charts.iter().map(|(chart, _)| chart.path()).chain([overlay]).collect();
        roots.push(FILE_NAME);
        let loose: Vec<&str> =
            inputs.keys().map(String::as_str).filter(|path| !roots.iter().any(|root| below(root, path))).collect();
        roots.extend(loose);
        head.changes(tree, &roots, |path| {
            path == FILE_NAME
                || self.overlay.would_keep(path)
                || self.charts.iter().any(|(chart, _)| chart.would_pack(path))
        })
    }

    /// Returns the complete release as a pure function of its arguments.
    ///
    /// # Errors
    /// Returns an error when the epoch is out of range, or when charts of one name have several versions.
    pub(crate) fn desired(
        &self,
        request: &Request<'_>,
        revision: &Revision,
        images: &PinnedImages,
    ) -> Result<Desired, Error> {
        let config = request.config;
        let bundle = overlay::bundle(
            self.overlay.files(),
            &overlay::BundleMeta {
                created: timestamp(revision.epoch)?,
                source: revision.source.clone(),
                revision: format!("{}@{}", request.version, revision_of(&revision.commit)),
            },
        );
        let json = self.release(request, images, bundle.digest())?.to_json();
        if json.len() as u64 > release::CONFIG_LIMIT {
            let reason = format!(
                "the release manifest would have {} bytes, and resolvers read at most {}",
                json.len(),
                release::CONFIG_LIMIT
            );
            return Err(Error::refused(Place::file(&config.overlay), reason)
                .hint("make the values of the profile smaller: they are most of the release manifest"));
        }
        let entry = |kind, repository: &Repository, artifact| DesiredArtifact {
            kind,
            name: repository.name().to_owned(),
            version: request.version.to_string(),
            repository: repository.clone(),
            tag: request.version.clone(),
            artifact,
        };
        let mut artifacts = self.desired_charts(config)?;
        artifacts.push(entry(ArtifactKind::Bundle, &config.repositories.config, bundle));
        let release = entry(ArtifactKind::Release, &config.repositories.release, Release::artifact(json.clone()));
        let release = DesiredRelease {
            repository: release.repository.clone(),
            version: release.version.clone(),
            digest: release.artifact.digest().clone(),
            json,
            written: Some(release),
        };
        let named: Vec<_> = images.digests.values().chain(&images.control_plane).cloned().collect();
        let own = named.iter().filter_map(|one| Some((request.prefix.strip(&one.repository)?, one.digest.clone())));
        let unread = own.collect();
        let (prefix, attached) = (request.prefix.clone(), Vec::new());
        Ok(Desired { prefix, artifacts, release, attached, named, unread, platform: None })
    }

    fn release(&self, request: &Request<'_>, images: &PinnedImages, bundle: &Digest) -> Result<Release, Error> {
        Ok(build(ReleaseInputs {
            config: request.config,
            prefix: request.prefix,
            version: request.version,
            channel: request.channel,
            bundle,
            charts: self.chart_versions()?,
            chart_digests: self.charts.iter().map(|(_, c)| (c.name.clone(), c.artifact.digest().clone())).collect(),
            images,
            profile_values: self.profile_values.clone(),
            values_config_maps: self.values_config_maps.clone(),
            readers: self.readers.clone(),
            verifying: &self.verifying,
        }))
    }

    fn chart_versions(&self) -> Result<BTreeMap<String, String>, Error> {
        let own = self.charts.iter().map(|(chart, packed)| (&packed.name, &packed.version, Place::file(chart.path())));
        let external = self.external.iter().map(|chart| (&chart.name, &chart.version, chart.place.clone()));
        let mut versions: BTreeMap<String, String> = BTreeMap::new();
        for (name, version, place) in own.chain(external) {
            match versions.insert(name.clone(), version.clone()) {
                Some(other) if other != *version => {
                    let reason = format!("the overlay uses the chart `{name}` in the versions {other} and {version}");
                    return Err(Error::invalid(place, reason)
                        .hint("use one version of the chart: a release names one version of each chart"));
                }
                _ => {}
            }
        }
        Ok(versions)
    }

    fn desired_charts(&self, config: &Config) -> Result<Vec<DesiredArtifact>, Error> {
        let mut charts: Vec<DesiredArtifact> = Vec::new();
        for (chart, packed) in &self.charts {
            if charts.iter().any(|other| other.name == packed.name) {
                continue;
            }
            let refused =
                |cause: crate::oci::InvalidReference| Error::refused(Place::file(chart.path()), cause.to_string());
            charts.push(DesiredArtifact {
                kind: ArtifactKind::Chart,
                name: packed.name.clone(),
                version: packed.version.clone(),
                repository: config.repositories.charts.join(&packed.name).map_err(refused)?,
                tag: packed.tag(),
                artifact: packed.artifact.clone(),
            });
        }
        charts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(charts)
    }
}

/// Formats a commit as `sha1:<commit>` or `sha256:<commit>`, by the length of its id. A suffix after the id (`-dirty`)
/// is kept.
fn revision_of(commit: &str) -> String {
    let digits = commit.bytes().take_while(u8::is_ascii_hexdigit).count();
    format!("{}:{commit}", if digits == 64 { "sha256" } else { "sha1" })
}

/// Formats the epoch as RFC 3339 in UTC with whole seconds.
fn timestamp(epoch: i64) -> Result<String, Error> {
    let time = jiff::Timestamp::from_second(epoch).map_err(|_| {
        Error::usage(
            Place::file("--epoch"),
            format!("invalid epoch `{epoch}`: the time in seconds since 1970 is out of range"),
        )
    })?;
    Ok(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_chart_path_must_stay_in_the_source_tree() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(directory.path().join("helm")).expect("created");
        let tree = Tree::open(directory.path()).expect("a tree");
        let source = ChartSource::Name("web".to_owned());
        let used = overlay::ChartUse { source, place: Place::line("release.yaml", 8), releases: Vec::new() };
        let path = |path: &str| {
            let mut config = Config::default();
            config.charts.insert("web".to_owned(), path.to_owned());
            path_of(&tree, &config, &used).map_err(|error| error.to_string())
        };
        for (written, expected) in [("helm", "helm"), ("./helm/", "helm"), (".", ""), ("x/../helm", "helm")] {
            assert_eq!(path(written).as_deref(), Ok(expected), "{written}");
        }
        let leaves = "alga-release.yaml: charts.web: the path `../web` leads out of the source tree";
        assert_eq!(path("../web").expect_err("refused"), leaves);
    }
}
