//! From a loaded chart to an artifact: config, layer, manifest.

use super::load::Loaded;
use super::metadata::Metadata;
use super::{CONFIG_MEDIA_TYPE, Chart, LAYER_MEDIA_TYPE, version};
use crate::archive::Writer;
use crate::oci::{Artifact, Content, Tag};
use crate::source::{Error, Place, Tree};
use crate::yaml;

/// Under which version a chart is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// The one in Chart.yaml.
    AsWritten,
    /// With the digest of its content behind: `<version>+<first 12 hex digits of the unstamped manifest's digest>`.
    Stamped,
}

/// A chart as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedChart {
    /// Config, one layer, manifest.
    pub artifact: Artifact,
    /// The chart's name, a path component.
    pub name: String,
    /// Its version, stamped when that was asked for.
    pub version: String,
}

impl PackedChart {
    /// Returns the tag of the chart's version.
    ///
    /// # Panics
    /// When `version` was changed by hand to one that makes no tag.
    pub fn tag(&self) -> Tag {
        Tag::of_version(&self.version).expect("checked when the chart was packed")
    }
}

impl Chart {
    /// Packs the chart, reading its files one by one.
    ///
    /// # Errors
    /// When a file cannot be read any more, or the stamped version makes no tag.
    pub fn pack(&self, tree: &Tree, versions: Versions) -> Result<PackedChart, Error> {
        let unstamped = self.pack_as(tree, &self.root.metadata, &self.root.chart_yaml)?;
        if versions == Versions::AsWritten {
            return Ok(unstamped);
        }
        let digits = unstamped.artifact.digest().short_hex();
        let metadata = Metadata { version: version::stamped(self.version(), digits), ..self.root.metadata.clone() };
        if let Err(cause) = Tag::of_version(&metadata.version) {
            return Err(Error::refused(self.root.place.clone(), cause.to_string())
                .hint("shorten the version, or publish versions as written"));
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

    /// Chart.yaml with the version of `metadata` in the place of the old one, and nothing else changed.
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
        // The place may be an anchor that others point at.
        let sole = yaml::parse(&stamped).ok().and_then(|documents| {
            let differences = |new: &yaml::Node, old: &yaml::Node| new.differences(old).len();
            let old = yaml::parse(text).ok()?.into_iter().next()?.root?;
            Some(differences(&documents.into_iter().next()?.root?, &old) == 1)
        });
        if sole == Some(true) {
            return Ok(stamped);
        }
        let place = Place::line(&self.root.place.path, text[..span.start].matches('\n').count() + 1);
        Err(Error::invalid(place, "the version cannot be replaced here").hint("write it plainly: `version: 1.2.3`"))
    }
}

/// Helm's order: Chart.yaml, lock, values, schema, templates, the rest, then each subchart.
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
