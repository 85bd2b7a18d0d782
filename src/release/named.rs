//! Answers what a release names, where each artifact is, and how it is pinned. All other modules ask here, so the rules
//! for older publishers, whose releases say less, are in this file only:
//!
//! - A release without `chartDigests` published all of its charts itself, each under the tag of its version. If the
//!   release has `chartDigests`, a chart without an entry is from another publisher, and the release does not say where
//!   it is.
//! - An image without an entry in `imageDigests` is known by its tag, and the configuration names its repository.
//! - `controlPlane` may be a bare tag in the configured repository.
//! - A bundle without a `tag` has its version as the tag.
//! - A release that does not describe itself uses the prefix before the bundle's name in `config.repository`, and its
//!   charts are below the configured repository.
//! - A channel without a record serves a copy of the release that has the version as its tag.

use serde::Serialize;

use super::{Release, Resolved};
use crate::config::Config;
use crate::oci::{AnyRepository, Digest, InvalidReference, Pinned, Prefix, Reference, Repository, Selector, Tag};

/// Reason why an image without a digest is neither verified nor trusted.
pub(crate) const TAG_ALONE: &str = "known by tag only";

/// The role of an artifact in a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedKind {
    /// The channel manifest under a channel tag.
    Channel,
    /// The release manifest itself.
    Release,
    /// A Helm chart of the release.
    Chart,
    /// The config bundle of the release.
    Bundle,
    /// An application image from `images`.
    Image,
    /// The control-plane image of the release.
    ControlPlane,
    /// An extra image that an air gap must carry.
    ExtraImage,
}

impl NamedKind {
    /// Returns the kind in words, for messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Release => "release",
            Self::Chart => "chart",
            Self::Bundle => "bundle",
            Self::Image => "image",
            Self::ControlPlane => "control plane",
            Self::ExtraImage => "extra image",
        }
    }

    /// Reports whether the artifact is a container image.
    pub(crate) fn is_image(self) -> bool {
        matches!(self, Self::Image | Self::ControlPlane | Self::ExtraImage)
    }
}

/// An artifact that a release names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Role of the artifact in the release.
    pub kind: NamedKind,
    /// Name of the chart or of the bundle's repository, key of the image, or an extra image as written.
    pub name: String,
    /// Version, or the tag of an image, as written in the release.
    pub version: Option<String>,
    /// Tag under which the artifact was published: from the version, or else from the reference.
    pub tag: Option<Tag>,
    /// Reference for messages: `HOST/PATH@DIGEST`, `HOST/PATH:TAG`, or the text in the release.
    pub reference: String,
    /// Place of the artifact, and its pin.
    pub target: Target,
}

/// The place of an artifact, and its pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// In a repository that the release or the configuration names.
    At {
        /// Repository of the artifact, relative to the release's prefix.
        repository: AnyRepository,
        /// Digest, or the tag if an older publisher wrote no digest.
        selector: Selector,
    },
    /// Neither the release nor the configuration names a repository, with the reason.
    Unplaced(String),
    /// The release names the artifact by a text that is not a valid reference, with the reason.
    Invalid(String),
}

impl Named {
    /// Returns registry, repository and digest of an artifact that is pinned in another registry.
    pub fn external(&self) -> Option<(&Prefix, &Repository, &Digest)> {
        match &self.target {
            Target::At {
                repository: AnyRepository::External { registry, repository },
                selector: Selector::Digest(digest),
            } => Some((registry, repository, digest)),
            _ => None,
        }
    }

    /// Returns the reference by digest for a release below `prefix`, or `None` when the release has no digest.
    pub fn pinned(&self, prefix: &Prefix) -> Option<Pinned> {
        let Target::At { repository, selector: Selector::Digest(digest) } = &self.target else { return None };
        let repository = match repository {
            AnyRepository::Own(repository) => prefix.name_of(repository),
            AnyRepository::External { registry, repository } => registry.name_of(repository),
        };
        Some(Pinned { repository, digest: digest.clone() })
    }

    /// Returns the digest that pins the artifact.
    pub fn digest(&self) -> Option<&Digest> {
        match &self.target {
            Target::At { selector: Selector::Digest(digest), .. } => Some(digest),
            _ => None,
        }
    }
}

impl Release {
    /// Returns the tag under which the release is published.
    ///
    /// # Errors
    /// Returns an error when the version is not valid as a tag.
    pub fn tag(&self) -> Result<Tag, InvalidReference> {
        Tag::of_version(&self.version)
    }

    /// Returns the prefix of the release's repositories. Returns `None` when the release does not state the prefix and
    /// its bundle has another name than in the configuration.
    pub fn prefix(&self, config: &Config) -> Option<Prefix> {
        if let Some(description) = &self.description {
            return Prefix::parse(&description.prefix, false).ok();
        }
        let below = self.config.repository.strip_suffix(config.repositories.config.as_str())?;
        Prefix::parse(below.strip_suffix('/')?, false).ok()
    }

    /// Returns the release's prefix, or the configured one when the release does not state it.
    ///
    /// # Errors
    /// Returns an error when the configured prefix is invalid.
    pub fn prefix_or_configured(&self, config: &Config) -> Result<Prefix, InvalidReference> {
        self.prefix(config).map_or_else(|| Prefix::parse(&config.prefix, false), Ok)
    }

    /// Reports whether appliances run the images of the release by their digests, as those of a signed release.
    pub fn is_pinned(&self) -> bool {
        self.description.as_ref().is_some_and(|description| description.appliance.pinned)
    }

    /// Returns the repository below which each chart of the release has its own repository.
    fn chart_repository<'a>(&'a self, config: &'a Config) -> &'a Repository {
        self.description.as_ref().map_or(&config.repositories.charts, |description| &description.chart_repository)
    }

    /// Reports whether a chart was published with the release.
    pub fn publishes(&self, chart: &str) -> bool {
        self.chart_digests.contains_key(chart) || (self.chart_digests.is_empty() && self.charts.contains_key(chart))
    }

    /// Returns the names of the charts that were published with the release.
    pub(crate) fn own_charts(&self) -> impl Iterator<Item = &String> {
        let names = self.chart_digests.keys();
        names.chain(self.charts.keys().filter(|_| self.chart_digests.is_empty()))
    }

    /// Returns the reference by which the control-plane image is pulled.
    pub fn control_plane_image(&self, config: &Config) -> Option<String> {
        let image = self.control_plane.as_ref()?;
        let Some(tag) = bare_tag(image) else { return Some(image.clone()) };
        let repository = self.prefix_or_configured(config).ok()?.name_of(&config.repositories.control_plane);
        Some(format!("{repository}:{tag}"))
    }

    /// Returns every artifact that the release names: charts, bundle, images, control-plane image, extra images.
    /// `prefix` is the release's prefix.
    pub fn named(&self, prefix: &Prefix, config: &Config) -> Vec<Named> {
        let names = Names { release: self, prefix, config };
        let charts = self.charts.iter().map(|(name, version)| names.chart(name, version));
        let images = self.images.iter().map(|(key, tag)| names.image(key, tag));
        let more = self.image_digests.iter().filter(|(key, _)| !self.images.contains_key(*key));
        let more = more.map(|(key, pinned)| names.reference(NamedKind::Image, key, &pinned.to_string()));
        let plane = self.control_plane.iter().map(|text| names.control_plane(text));
        let extra = self.extra_images.iter().map(|text| names.reference(NamedKind::ExtraImage, text, text));
        charts.chain([names.bundle()]).chain(images).chain(more).chain(plane).chain(extra).collect()
    }
}

/// Returns the bare tag that an older publisher wrote instead of a reference.
pub(crate) fn bare_tag(text: &str) -> Option<Tag> {
    text.parse().ok()
}

impl Resolved {
    /// Returns the selector of the release manifest, of which a channel manifest is a copy. `in_channel` says whether a
    /// channel was resolved.
    pub(crate) fn release_selector(&self, in_channel: bool) -> Selector {
        match (&self.record, self.release.tag()) {
            (Some(record), _) => Selector::Digest(record.release.clone()),
            (None, Ok(tag)) if in_channel => Selector::Tag(tag),
            (None, _) => Selector::Digest(self.manifest.clone()),
        }
    }
}

struct Names<'a> {
    release: &'a Release,
    prefix: &'a Prefix,
    config: &'a Config,
}

impl Names<'_> {
    fn chart(&self, name: &str, version: &str) -> Named {
        let tag = Tag::of_version(version);
        let unplaced = |target| (format!("{name} {version}"), target);
        let (reference, target) = match (self.release.chart_repository(self.config).join(name), &tag) {
            (Err(cause), _) => (name.to_owned(), Target::Invalid(cause.to_string())),
            (Ok(repository), tag) => match (self.release.chart_digests.get(name), tag) {
                (Some(digest), _) => self.own(repository, Selector::Digest(digest.clone())),
                (None, _) if !self.release.publishes(name) => {
                    let reason = "the chart is from another publisher and known by version only";
                    unplaced(Target::Unplaced(reason.to_owned()))
                }
                (None, Ok(tag)) => self.own(repository, Selector::Tag(tag.clone())),
                (None, Err(cause)) => unplaced(Target::Invalid(cause.to_string())),
            },
        };
        let (name, version) = (name.to_owned(), Some(version.to_owned()));
        Named { kind: NamedKind::Chart, name, version, tag: tag.ok(), reference, target }
    }

    fn own(&self, repository: Repository, selector: Selector) -> (String, Target) {
        let separator = if matches!(selector, Selector::Tag(_)) { ':' } else { '@' };
        let reference = format!("{}{separator}{selector}", self.prefix.name_of(&repository));
        (reference, Target::At { repository: AnyRepository::Own(repository), selector })
    }

    fn bundle(&self) -> Named {
        let config = &self.release.config;
        let reference = format!("{}@{}", config.repository, config.digest);
        let named = self.reference(NamedKind::Bundle, self.config.repositories.config.name(), &reference);
        named.of_version(config.tag.as_ref().unwrap_or(&config.version))
    }

    fn image(&self, key: &str, tag: &str) -> Named {
        let named = match self.release.image_digests.get(key) {
            Some(pinned) => self.reference(NamedKind::Image, key, &pinned.to_string()),
            None => Named {
                kind: NamedKind::Image,
                name: key.to_owned(),
                version: None,
                tag: None,
                reference: format!("{key} {tag}"),
                target: tagged(self.configured_image(key), bare_tag(tag)),
            },
        };
        named.of_version(tag)
    }

    fn configured_image(&self, key: &str) -> Option<AnyRepository> {
        Some(self.config.images.get(key)?.parse::<AnyRepository>().ok()?.below(self.prefix))
    }

    fn control_plane(&self, text: &str) -> Named {
        let mut named = self.reference(NamedKind::ControlPlane, "controlPlane", text);
        if let Some(tag) = bare_tag(text) {
            let repository = AnyRepository::Own(self.config.repositories.control_plane.clone());
            named.target = tagged(Some(repository), Some(tag));
        }
        named
    }

    /// Reads a text that should be a reference with a digest.
    fn reference(&self, kind: NamedKind, name: &str, text: &str) -> Named {
        let (tag, target) = match (text.parse::<Reference>(), bare_tag(text)) {
            (Ok(Reference { repository, tag, digest }), _) => {
                let selector = digest.map(Selector::Digest).or_else(|| tag.clone().map(Selector::Tag));
                let repository = AnyRepository::of_name(&repository, self.prefix);
                let target = match (repository, selector) {
                    (Ok(repository), Some(selector)) => Target::At { repository, selector },
                    (Ok(_), None) => Target::Unplaced(TAG_ALONE.to_owned()),
                    (Err(cause), _) => Target::Invalid(cause.to_string()),
                };
                (tag, target)
            }
            (Err(_), Some(tag)) => (Some(tag), Target::Unplaced(TAG_ALONE.to_owned())),
            (Err(cause), None) => (None, Target::Invalid(cause.to_string())),
        };
        Named { kind, name: name.to_owned(), version: None, tag, reference: text.to_owned(), target }
    }
}

fn tagged(repository: Option<AnyRepository>, tag: Option<Tag>) -> Target {
    match (repository, tag) {
        (Some(repository), Some(tag)) => Target::At { repository, selector: Selector::Tag(tag) },
        _ => Target::Unplaced(TAG_ALONE.to_owned()),
    }
}

impl Named {
    fn of_version(self, version: &str) -> Self {
        let tag = Tag::of_version(version).ok().or(self.tag);
        Self { version: Some(version.to_owned()), tag, ..self }
    }
}

#[cfg(test)]
#[path = "named_tests.rs"]
mod tests;
