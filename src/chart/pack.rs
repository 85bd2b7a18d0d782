//! Packs a loaded chart into an artifact: config, layer, manifest.

use super::load::Loaded;
use super::metadata::Metadata;
use super::{CONFIG_MEDIA_TYPE, Chart, LAYER_MEDIA_TYPE, version};
use crate::archive::Writer;
use crate::oci::{Artifact, Content, Tag};
use crate::source::{Error, Place, Tree};
use crate::yaml;

/// The version that a chart is published under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// The version that Chart.yaml gives.
    AsWritten,
    /// The version with a content id: `<version>+<first 12 hex digits of the unstamped manifest's digest>`.
    Stamped,
}

/// A packed chart, ready to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedChart {
    /// The config blob, one layer and the manifest.
    pub artifact: Artifact,
    /// Name of the chart, a valid path component of a repository.
    pub name: String,
    /// Version that the chart is published under, stamped where the configuration asks for that.
    pub version: String,
}

impl PackedChart {
    /// Returns the tag of the chart's version.
    ///
    /// # Panics
    /// When the caller changed `version` to a text that cannot become a tag.
    pub fn tag(&self) -> Tag {
        Tag::of_version(&self.version).expect("checked when the chart was packed")
    }
}

impl Chart {
    /// Packs the chart, and reads its files one by one.
    ///
    /// # Errors
    /// When a file can no longer be read, or the stamped version is too long for a tag.
    pub fn pack(&self, tree: &Tree, versions: Versions) -> Result<PackedChart, Error> {
        let unstamped = self.pack_as(tree, &self.root.metadata, &self.root.chart_yaml)?;
        if versions == Versions::AsWritten {
            return Ok(unstamped);
        }
        let digits = unstamped.artifact.digest().short_hex();
        let metadata = Metadata { version: version::stamped(self.version(), digits), ..self.root.metadata.clone() };
        if let Err(cause) = Tag::of_version(&metadata.version) {
            return Err(Error::refused(self.root.place.clone(), cause.to_string())
                .hint("shorten the version, or set `chartVersions: as-written` in alga-release.yaml"));
        }
        let text = self.stamped_text(&metadata)?;
        self.pack_as(tree, &metadata, &text)
    }

    fn pack_as(&self, tree: &Tree, metadata: &Metadata, chart_yaml: &str) -> Result<PackedChart, Error> {
        let mut writer = Writer::new();
        write(&self.root, tree, chart_yaml, &metadata.name, &mut writer)?;
        let layer = Content::new(LAYER_MEDIA_TYPE, writer.finish().bytes);
        let config = Content::new(CONFIG_MEDIA_TYPE, metadata.to_config());
        let artifact = Artifact::pack(None, config, vec![layer], metadata.manifest_annotations());
        Ok(PackedChart { artifact, name: metadata.name.clone(), version: metadata.version.clone() })
    }

    /// Returns Chart.yaml with the version of `metadata` instead of the old version, and nothing else changed.
    pub(super) fn stamped_text(&self, metadata: &Metadata) -> Result<String, Error> {
        let Some(span) = self.version.clone() else {
            let written = Metadata { dependencies: Vec::new(), ..metadata.clone() };
            let is_v1 = metadata.api_version == "v1";
            return Ok(if is_v1 { written.to_yaml() } else { metadata.to_yaml() });
        };
        let text = &self.root.chart_yaml;
        let quote = match &text[span.clone()] {
            written if written == self.version() => "",
            written if written.starts_with('\'') => "'",
            _ => "\"",
        };
        let stamped = format!("{}{quote}{}{quote}{}", &text[..span.start], metadata.version, &text[span.end..]);
        // The version may be an anchor: replacing it would then change the aliases of that anchor too.
        let sole = yaml::parse(&stamped).ok().and_then(|documents| {
            let differences = |new: &yaml::Node, old: &yaml::Node| new.differences(old).len();
            let old = yaml::parse(text).ok()?.into_iter().next()?.root?;
            Some(differences(&documents.into_iter().next()?.root?, &old) == 1)
        });
        if sole == Some(true) {
            return Ok(stamped);
        }
        let place = Place::line(&self.root.place.path, text[..span.start].matches('\n').count() + 1);
        Err(Error::invalid(place, "cannot replace the version without changing other values")
            .hint("write the version without an anchor: `version: 1.2.3`"))
    }
}

/// Writes the files in Helm's order: Chart.yaml, lock, values, schema, templates, all others, then each subchart.
fn write(chart: &Loaded, tree: &Tree, chart_yaml: &str, prefix: &str, writer: &mut Writer) -> Result<(), Error> {
    writer.file(&format!("{prefix}/Chart.yaml"), chart_yaml.as_bytes());
    for file in &chart.files {
        writer.file(&format!("{prefix}/{}", file.name), &file.read(tree)?);
    }
    for subchart in &chart.subcharts {
        let prefix = format!("{prefix}/charts/{}", subchart.metadata.name);
        write(subchart, tree, &subchart.chart_yaml, &prefix, writer)?;
    }
    Ok(())
}
