//! The input of the rules: the charts, the overlay and the JSON of a release, opened and parsed once.

use std::collections::BTreeMap;
use std::panic::resume_unwind;

use crate::chart::{self, LAYER_MEDIA_TYPE};
use crate::config::Config;
use crate::contents::{Bundle, Parts, unpack_chart};
use crate::flux::{self, Files, HelmRelease};
use crate::path::below;
use crate::plan::Packed;
use crate::release::{Described, Installation, Release};

/// The files of a chart by their paths below its directory. The files of a subchart are below `charts/NAME/`.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChartFiles {
    /// Name of the chart from its `Chart.yaml`.
    pub name: String,
    /// Content of each file, by path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Directory of the chart below the root of the source tree; `None` if the contents come from a store.
    pub directory: Option<String>,
}

impl ChartFiles {
    /// Returns the text of a file, or `None` if the file is missing or not UTF-8.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }
}

/// The opened contents of a release.
#[derive(Debug)]
pub(crate) struct Contents<'a> {
    /// The files of the overlay in the form in which the bundle contains them.
    pub files: &'a Files,
    /// The objects of the overlay that Flux acts on.
    pub parts: Parts<'a>,
    /// The files that Flux cannot parse.
    pub broken: &'a [flux::Error],
    /// The charts of the release, by name.
    pub charts: BTreeMap<String, ChartFiles>,
    /// The release; `None` if the tree could not be packed.
    pub release: Option<&'a Release>,
    /// The configuration that applies to the release.
    pub config: &'a Config,
    /// Text of the configuration file; `None` for a release in a store or a tree without the file.
    pub configuration: Option<String>,
}

impl<'a> Contents<'a> {
    /// Returns the chart that a HelmRelease installs, if the chart belongs to the release.
    pub(crate) fn chart_of(&self, release: &HelmRelease<'a>) -> Option<&ChartFiles> {
        let name = self.parts.chart_of(release)?;
        self.charts.get(name).or_else(|| {
            // An overlay that publishing has not rewritten names the directory of the chart.
            let directory = below("", name)?;
            self.charts.values().find(|chart| chart.directory.as_deref() == Some(&directory))
        })
    }

    /// Returns the release's own description of its installation, or `None` for a release of an older publisher without one.
    pub(crate) fn described(&self) -> Option<Described> {
        let description = self.release?.description.as_ref()?;
        let (config, installation) = (self.config.clone(), description.appliance.clone());
        Some(Described { config, installation, notes: Vec::new() })
    }

    /// Returns how an appliance installs the release. The description in the release takes precedence over the configuration, which is
    /// used only for releases of older publishers.
    pub(crate) fn installation(&self) -> Option<Installation> {
        let release = self.release?;
        let own = release.description.as_ref().map(|description| description.appliance.clone());
        own.or_else(|| Some(release.described(self.config).ok()?.installation))
    }

    /// Reports whether an older publisher wrote the release, which then does not say which values it provides.
    pub(crate) fn is_of_older_publisher(&self) -> bool {
        self.release.is_some_and(|release| release.description.is_none())
    }

    /// Returns the values files of the profile with their paths below the overlay's root.
    pub(crate) fn profile_values(&self) -> impl Iterator<Item = (String, &'a [u8])> {
        let profile = self.release.map_or(self.config.profile.as_str(), |release| release.values_profile.as_str());
        let directory = format!("profiles/{profile}/values");
        let values = crate::overlay::profile_values(self.files.bytes(), profile).into_iter();
        values.map(move |(name, bytes)| (format!("{directory}/{name}"), bytes))
    }

    /// Returns the text of a file of the overlay, or `None` if the file is missing or not UTF-8.
    pub(crate) fn text(&self, path: &str) -> Option<&'a str> {
        self.files.bytes().get(path).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }
}

impl<'a> Contents<'a> {
    /// Opens the result of packing a source tree.
    pub(crate) fn packed(packed: &'a Packed, release: &'a Release, config: &'a Config) -> Self {
        let files = packed.overlay().parsed();
        let open = |chart: &chart::Chart, packed: &chart::PackedChart| {
            let layer = packed.artifact.blobs().iter().find(|blob| blob.descriptor().media_type == LAYER_MEDIA_TYPE);
            let archive = layer.and_then(|layer| layer.bytes().cloned()).unwrap_or_default();
            let files = unpack_chart(&archive).unwrap_or_default();
            (packed.name.clone(), ChartFiles::new(&packed.name, files, Some(chart.path())))
        };
        let most = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let share = packed.charts().len().div_ceil(most).max(1);
        let (charts, parts) = std::thread::scope(|scope| {
            let shares = packed.charts().chunks(share);
            let threads: Vec<_> = shares
                .map(|share| {
                    scope.spawn(move || share.iter().map(|(chart, packed)| open(chart, packed)).collect::<Vec<_>>())
                })
                .collect();
            let parts = Parts::of(files);
            let charts =
                threads.into_iter().flat_map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
            (charts.collect(), parts)
        });
        Self { files, parts, broken: &[], charts, release: Some(release), config, configuration: None }
    }

    /// Opens a bundle and its charts. If `release` is `None`, the bundle is an overlay that could not be rewritten.
    pub(crate) fn of(
        bundle: &'a Bundle,
        charts: BTreeMap<String, ChartFiles>,
        release: Option<&'a Release>,
        config: &'a Config,
    ) -> Self {
        Self {
            files: bundle.files(),
            parts: bundle.parts(),
            broken: bundle.broken(),
            charts,
            release,
            config,
            configuration: None,
        }
    }
}

impl ChartFiles {
    /// Creates the file list of a chart.
    pub(crate) fn new(name: &str, files: BTreeMap<String, Vec<u8>>, directory: Option<&str>) -> Self {
        Self { name: name.to_owned(), files, directory: directory.map(ToOwned::to_owned) }
    }
}
