//! Checks what a release would do on an appliance, without publishing it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Error;
use crate::config::Config;
use crate::lint::{self, Contents, Report, Settings, Written};
use crate::oci::{Prefix, Tag};
use crate::plan::{self, Packed, Request};
use crate::source::Tree;

/// A source tree that is checked.
#[derive(Clone, Debug)]
pub struct LintRequest {
    /// Root of the source tree.
    pub source: PathBuf,
    /// Version as which the tree would be published; image tags are read from its file.
    pub version: Option<Tag>,
    /// Tags of application images by their keys. They take precedence over those in the tree.
    pub images: BTreeMap<String, String>,
    /// What findings become.
    pub settings: Settings,
}

/// Checks a source tree. No request is sent.
///
/// # Errors
/// When the tree cannot be read.
pub fn lint(request: &LintRequest, config: &Config) -> Result<Report, Error> {
    let tree = Tree::open(&request.source)?;
    let prefix = Prefix::parse(&config.prefix, false)?;
    let version = request.version.clone().unwrap_or_else(|| "0.0.0".parse().expect("a tag"));
    let channel = &config.channels[0];
    let packing = Request { config, prefix: &prefix, version: &version, channel, images: request.images.clone() };
    let tags = match &request.version {
        Some(_) => plan::image_tags(&tree, &packing)?.into_iter().map(|(key, (_, tag))| (key, tag)).collect(),
        None => config.images.keys().map(|key| (key.clone(), version.clone())).collect(),
    };
    let packed = plan::pack(&tree, &packing, &tags)?;
    let subject = request.source.display().to_string();
    checked(&subject, &packed, &packing, &tags, &request.settings)
}

/// Checks what was packed.
pub(super) fn checked(
    subject: &str,
    packed: &Packed,
    request: &Request<'_>,
    tags: &BTreeMap<String, Tag>,
    settings: &Settings,
) -> Result<Report, Error> {
    let release = packed.preview(request, tags)?;
    let contents = Contents::packed(packed, &release, request.config);
    let written = Written::in_tree(request.config.overlay.trim_matches('/'), packed.written());
    Ok(Report::new(subject, &contents, &written, settings, lint::lint(&contents, None)))
}
