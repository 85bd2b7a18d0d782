//! Reads a HelmRelease: the chart that it installs, and the sources of its values.
//!
//! <https://fluxcd.io/flux/components/helm/helmreleases/>

use crate::yaml::Node;

use super::object::{HELM, Object, Reference, Scalar};

/// A HelmRelease of any API version.
#[derive(Clone, Debug)]
pub struct HelmRelease<'a> {
    /// The object that is read.
    pub object: Object<'a>,
    /// `spec.chart`: a chart by name or path, from a source of charts.
    pub chart: Option<ChartSpec<'a>>,
    /// `spec.chartRef`: the object that is the chart's source. The API server refuses a HelmRelease with both.
    pub chart_ref: Option<Reference<'a>>,
    /// `spec.valuesFrom`. Later items override earlier ones.
    pub values_from: Vec<ValuesFrom<'a>>,
    /// `spec.values`, which override all of `valuesFrom`.
    pub values: Option<&'a Node>,
    /// `spec.releaseName`: Helm's own name of the release.
    pub release_name: Option<&'a str>,
    /// `spec.targetNamespace`: namespace of the chart's objects. Where absent, the namespace of the HelmRelease applies.
    pub target_namespace: Option<&'a str>,
    /// `spec.storageNamespace`: namespace of Helm's record of the release. Where absent, that of the HelmRelease applies.
    pub storage_namespace: Option<&'a str>,
    /// `spec.install.createNamespace`: whether Helm creates the target namespace.
    pub creates_namespace: bool,
    /// `spec.dependsOn`: HelmReleases that must be ready before this one is installed.
    pub depends_on: Vec<Reference<'a>>,
}

/// `spec.chart` of a HelmRelease.
#[derive(Clone, Copy, Debug)]
pub struct ChartSpec<'a> {
    /// The mapping under `chart`, which has `metadata` and `spec`.
    pub node: &'a Node,
    /// `spec.chart`: the chart's name in a HelmRepository, or its path in a GitRepository or Bucket.
    pub chart: Option<Scalar<'a>>,
    /// `spec.version`: a version or a range of versions.
    pub version: Option<Scalar<'a>>,
    /// `spec.sourceRef`: the source that the chart comes from.
    pub source: Option<Reference<'a>>,
    /// `spec.reconcileStrategy`: whether a new version or a new revision of the source makes a new chart.
    pub reconcile_strategy: Option<&'a Node>,
}

/// An item of `spec.valuesFrom`.
#[derive(Clone, Copy, Debug)]
pub struct ValuesFrom<'a> {
    /// Index in the list, from 0.
    pub index: usize,
    /// Kind of the object: `ConfigMap` or `Secret`.
    pub kind: Option<Scalar<'a>>,
    /// Name of the object, in the namespace of the HelmRelease.
    pub name: Option<Scalar<'a>>,
    /// `valuesKey`, where the item sets one.
    pub values_key: Option<Scalar<'a>>,
    /// `targetPath`: path of the one value that the key's text sets. Where absent, the text is a whole document of values.
    pub target_path: Option<Scalar<'a>>,
    /// Whether the HelmRelease is installed even if the object or the key does not exist.
    pub optional: bool,
}

/// A key of a ConfigMap that a HelmRelease takes values from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConfigMapKey {
    /// Name of the ConfigMap, in the namespace of the HelmRelease.
    pub name: String,
    /// Key in the ConfigMap's `data`.
    pub key: String,
    /// Path of the one value that the text sets. Absent when the text is a document of values.
    pub target_path: Option<String>,
    /// Whether the HelmRelease is installed even if the ConfigMap or the key does not exist.
    pub optional: bool,
}

impl<'a> HelmRelease<'a> {
    /// Reads an object, or returns `None` for an object of another group or kind.
    pub fn of(object: &Object<'a>) -> Option<Self> {
        object.is(HELM, "HelmRelease").then(|| Self::read(object.clone()))
    }

    /// Returns every HelmRelease among the objects, in the same order.
    pub fn all(objects: &[Object<'a>]) -> Vec<Self> {
        objects.iter().filter_map(Self::of).collect()
    }

    fn read(object: Object<'a>) -> Self {
        let node = object.node;
        let items = node.get(&["spec", "valuesFrom"]).map(Node::items).unwrap_or_default();
        Self {
            chart: node.get(&["spec", "chart"]).map(ChartSpec::of),
            chart_ref: node.get(&["spec", "chartRef"]).map(Reference::of),
            values_from: items.iter().enumerate().map(|(index, item)| ValuesFrom::of(index, item)).collect(),
            values: node.get(&["spec", "values"]),
            release_name: Scalar::filled(node, &["spec", "releaseName"]).map(|scalar| scalar.text),
            target_namespace: Scalar::filled(node, &["spec", "targetNamespace"]).map(|scalar| scalar.text),
            storage_namespace: Scalar::filled(node, &["spec", "storageNamespace"]).map(|scalar| scalar.text),
            creates_namespace: node.text_at(&["spec", "install", "createNamespace"]) == Some("true"),
            depends_on: Reference::list(node, "dependsOn"),
            object,
        }
    }

    /// Returns Helm's name of the release: `releaseName`, or the name that Flux derives.
    pub(crate) fn helm_name(&self) -> String {
        let name = self.object.name();
        let own = || self.target_namespace.map_or_else(|| name.to_owned(), |target| format!("{target}-{name}"));
        self.release_name.map_or_else(own, ToOwned::to_owned)
    }

    /// Returns the ConfigMaps among `valuesFrom`. Later ones override earlier ones.
    pub(crate) fn config_maps(&self) -> impl Iterator<Item = ConfigMapKey> {
        self.values_from.iter().filter_map(ValuesFrom::config_map)
    }
}

impl<'a> ChartSpec<'a> {
    fn of(node: &'a Node) -> Self {
        let at = |key| Scalar::at(node, &["spec", key]);
        Self {
            node,
            chart: at("chart").filter(|scalar| !scalar.text.is_empty()),
            version: at("version"),
            source: node.get(&["spec", "sourceRef"]).map(Reference::of),
            reconcile_strategy: node.get(&["spec", "reconcileStrategy"]),
        }
    }

    /// Returns the texts of the chart, its version and its source.
    pub fn scalars(self) -> impl Iterator<Item = Scalar<'a>> {
        let source = self.source.into_iter().flat_map(Reference::scalars);
        [self.chart, self.version].into_iter().flatten().chain(source)
    }

    /// Reports whether the chart comes from a source of this kind.
    pub(crate) fn is_from(&self, kind: &str) -> bool {
        self.source.is_some_and(|source| source.is(kind))
    }
}

impl<'a> ValuesFrom<'a> {
    /// Key that Flux reads when `valuesKey` is absent.
    pub(crate) const DEFAULT_KEY: &'static str = "values.yaml";

    fn of(index: usize, node: &'a Node) -> Self {
        let at = |key| Scalar::at(node, &[key]);
        let filled = |key| Scalar::filled(node, &[key]);
        Self {
            index,
            kind: at("kind"),
            name: at("name"),
            values_key: filled("valuesKey"),
            target_path: filled("targetPath"),
            optional: node.text_at(&["optional"]) == Some("true"),
        }
    }

    /// Returns the name of the ConfigMap that the item reads, or `None` for a Secret.
    pub(crate) fn config_map_name(&self) -> Option<Scalar<'a>> {
        self.name.filter(|_| self.kind.is_some_and(|kind| kind.text == "ConfigMap"))
    }

    /// Returns the key of a ConfigMap that the item reads, or `None` for a Secret.
    pub(crate) fn config_map(&self) -> Option<ConfigMapKey> {
        Some(ConfigMapKey {
            name: self.config_map_name()?.text.to_owned(),
            key: self.values_key.map_or(Self::DEFAULT_KEY, |key| key.text).to_owned(),
            target_path: self.target_path.map(|path| path.text.to_owned()),
            optional: self.optional,
        })
    }
}
