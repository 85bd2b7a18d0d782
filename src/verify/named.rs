//! Everything that a release names, and where it is.

use crate::config::Config;
use crate::oci::{Digest, InvalidReference, Prefix, Reference, Repository, Selector, Tag};
use crate::release::Release;

use super::Kind;

/// Something that a release names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// What it is.
    pub kind: Kind,
    /// Its name or key in the release.
    pub name: String,
    /// Its version or tag, where the release says one.
    pub version: Option<String>,
    /// `HOST/PATH@DIGEST` or `HOST/PATH:TAG`.
    pub reference: String,
    /// Where it is.
    pub target: Target,
}

/// Where something is that a release names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Below the release's prefix: in its store.
    Own {
        /// Where.
        repository: Repository,
        /// By digest; by tag where an older publisher said no more.
        selector: Selector,
    },
    /// In another registry.
    External {
        /// `HOST/PATH`.
        name: String,
        /// Its root.
        registry: Prefix,
        /// In it.
        repository: Repository,
        /// Of the manifest.
        digest: Digest,
    },
    /// Known by too little to be checked.
    Loose(String),
    /// Named by something that is no reference.
    Invalid(String),
}

/// The name under which a release is read: its bundle's without the bundle's own name.
///
/// # Errors
/// When the bundle is called otherwise than the configuration says.
pub fn release_prefix(release: &Release, config: &Config) -> Result<Prefix, InvalidReference> {
    let repository = &release.config.repository;
    let below = repository.strip_suffix(config.repositories.config.as_str()).and_then(|rest| rest.strip_suffix('/'));
    Prefix::parse(below.unwrap_or_default(), false)
}

/// All that `release` names, in the order charts, bundle, images, control plane, extra images.
pub fn named(release: &Release, prefix: &Prefix, config: &Config) -> Vec<Named> {
    let names = Names { release, prefix, config };
    let charts = release.charts.iter().map(|(name, version)| names.chart(name, version));
    let images = release.images.iter().map(|(key, tag)| names.image(key, tag));
    let more = release.image_digests.iter().filter(|(key, _)| !release.images.contains_key(*key));
    let more = more.map(|(key, pinned)| names.of_text(Kind::Image, key, &pinned.to_string()));
    let plane = release.control_plane.iter().map(|text| names.of_text(Kind::ControlPlane, "controlPlane", text));
    let extra = release.extra_images.iter().map(|text| names.of_text(Kind::ExtraImage, text, text));
    charts.chain([names.bundle()]).chain(images).chain(more).chain(plane).chain(extra).collect()
}

struct Names<'a> {
    release: &'a Release,
    prefix: &'a Prefix,
    config: &'a Config,
}

impl Names<'_> {
    fn chart(&self, name: &str, version: &str) -> Named {
        let named = |reference: String, target| {
            let (name, version) = (name.to_owned(), Some(version.to_owned()));
            Named { kind: Kind::Chart, name, version, reference, target }
        };
        let repository = match self.config.repositories.charts.join(name) {
            Ok(repository) => repository,
            Err(cause) => return named(name.to_owned(), Target::Invalid(cause.to_string())),
        };
        let digests = &self.release.chart_digests;
        let selector = match (digests.get(name), version.replace('+', "_").parse::<Tag>()) {
            (Some(digest), _) => Selector::Digest(digest.clone()),
            (None, _) if !digests.is_empty() => {
                let reason = "a chart of somebody else, known by its version alone";
                return named(format!("{name} {version}"), Target::Loose(reason.to_owned()));
            }
            (None, Ok(tag)) => Selector::Tag(tag),
            (None, Err(cause)) => return named(format!("{name} {version}"), Target::Invalid(cause.to_string())),
        };
        let separator = if matches!(selector, Selector::Tag(_)) { ':' } else { '@' };
        let reference = format!("{}{separator}{selector}", self.prefix.name_of(&repository));
        named(reference, Target::Own { repository, selector })
    }

    fn bundle(&self) -> Named {
        let config = &self.release.config;
        let reference = format!("{}@{}", config.repository, config.digest);
        let mut named = self.of_text(Kind::Bundle, self.config.repositories.config.name(), &reference);
        named.version = Some(config.tag.clone().unwrap_or_else(|| config.version.clone()));
        named
    }

    fn image(&self, key: &str, tag: &str) -> Named {
        let mut named = match self.release.image_digests.get(key) {
            Some(pinned) => self.of_text(Kind::Image, key, &pinned.to_string()),
            None => Named {
                kind: Kind::Image,
                name: key.to_owned(),
                version: None,
                reference: format!("{key} {tag}"),
                target: Target::Loose("known by its tag alone".to_owned()),
            },
        };
        named.version = Some(tag.to_owned());
        named
    }

    /// What is named by a text that should be a reference with a digest.
    fn of_text(&self, kind: Kind, name: &str, text: &str) -> Named {
        let target = match text.parse::<Reference>() {
            Ok(Reference { repository, digest: Some(digest), .. }) => self.at(repository, digest),
            Ok(_) => Target::Loose("known by its tag alone".to_owned()),
            // Older publishers wrote a bare tag.
            Err(_) if text.parse::<Tag>().is_ok() => Target::Loose("known by its tag alone".to_owned()),
            Err(cause) => Target::Invalid(cause.to_string()),
        };
        Named { kind, name: name.to_owned(), version: None, reference: text.to_owned(), target }
    }

    fn at(&self, name: String, digest: Digest) -> Target {
        if let Some(repository) = self.prefix.strip(&name) {
            return Target::Own { repository, selector: Selector::Digest(digest) };
        }
        let parts = name.split_once('/');
        let parts = parts.and_then(|(host, path)| Some((Prefix::parse(host, false).ok()?, path.parse().ok()?)));
        match parts {
            Some((registry, repository)) => Target::External { name, registry, repository, digest },
            None => Target::Invalid(format!("`{}` is no repository of a registry", name.escape_debug())),
        }
    }
}
