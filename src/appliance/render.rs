//! The objects that a cluster needs for a release, in an order that works: what is named stands before what names it.

use std::collections::BTreeMap;

use super::objects::{self, CONFIG_MAP_LIMIT, is_data_key, is_object_name};
use super::{HostInputs, InvalidValues, Literal, Setting, inject, parse_setting};
use crate::config::{Config, Injection};
use crate::oci::Digest;
use crate::release::Release;
use crate::text::shown;

/// What `kubectl apply` without `--server-side` takes: it writes the whole object into an annotation.
const ANNOTATION_LIMIT: usize = 256 << 10;

/// A name of an appliance's own choice beside the release.
#[derive(Debug)]
pub struct Options<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The channel that is followed; nothing for a version or a digest.
    pub channel: Option<&'a str>,
    /// Host of the registry that releases are read from.
    pub registry_host: &'a str,
    /// Path of their repository there.
    pub repository: &'a str,
    /// Digest of the manifest that was read.
    pub manifest: &'a Digest,
    /// Digest of the release.
    pub release_digest: &'a Digest,
    /// Is the registry of the bundle read without TLS?
    pub plain_http: bool,
    /// The address of this appliance.
    pub host: Option<&'a HostInputs>,
    /// Values beyond those of the configuration: release and setting.
    pub settings: &'a [(String, Setting)],
    /// Write `tag@sha256:…` where the digest is known.
    pub image_digests: bool,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Name of its file.
    pub file: String,
    /// YAML.
    pub text: String,
}

/// The objects in their order, and what people should know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendering {
    /// In the order in which they are to be applied.
    pub objects: Vec<Object>,
    /// One line each.
    pub warnings: Vec<String>,
}

impl Rendering {
    /// All of it as one stream.
    pub fn stream(&self) -> String {
        self.objects.iter().flat_map(|object| ["---\n", &object.text]).collect()
    }

    /// The `kustomization.yaml` that lists the files.
    pub fn index(&self) -> String {
        objects::index(&self.objects.iter().map(|object| object.file.clone()).collect::<Vec<_>>())
    }
}

/// A release that cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// Its values need the address of the appliance.
    #[error("the values of {release} need the address of this appliance, and there is none")]
    NoHost {
        /// Whose.
        release: String,
    },
    /// A setting is for something that is not there.
    #[error("{0}")]
    Setting(String),
    /// The release lacks something, or has something that no cluster takes.
    #[error("{path}: {reason}")]
    Release {
        /// Where in the release.
        path: String,
        /// What is wrong there.
        reason: String,
    },
    /// Its values cannot be edited.
    #[error(transparent)]
    Values(#[from] InvalidValues),
}

fn wrong(path: impl Into<String>, reason: impl Into<String>) -> RenderError {
    RenderError::Release { path: path.into(), reason: reason.into() }
}

/// Renders a release. Pure: the same release and options give the same bytes.
///
/// # Errors
/// [`RenderError`]; nothing is rendered then.
pub fn render(release: &Release, options: &Options<'_>) -> Result<Rendering, RenderError> {
    let appliance = &options.config.appliance;
    let mut rendering = Rendering::default();
    let mut put = |file: String, text: String| rendering.objects.push(Object { file, text });
    put("namespace.yaml".to_owned(), objects::namespace(&appliance.namespace));
    let (files, warnings) = values_files(release, options)?;
    for (name, (file, text)) in &files {
        let (map, text) = values(release, options, name, file, text)?;
        put(format!("values-{name}.yaml"), values_object(options, &map, name, file, &text)?);
    }
    put("source.yaml".to_owned(), source(release, options));
    put(
        "kustomization-flux.yaml".to_owned(),
        objects::kustomization(&appliance.source_name, &appliance.flux_namespace),
    );
    put("selection.yaml".to_owned(), selection(release, options)?);
    rendering.warnings = warnings;
    let large = rendering.objects.iter().filter(|object| object.text.len() > ANNOTATION_LIMIT);
    let large = large.map(|object| format!("{} is larger than 256 KiB: apply it with --server-side", object.file));
    let large: Vec<String> = large.collect();
    rendering.warnings.extend(large);
    Ok(rendering)
}

/// Release → file name and text.
type Files<'a> = BTreeMap<&'a str, (&'a str, &'a str)>;

fn values_files<'a>(release: &'a Release, options: &Options<'_>) -> Result<(Files<'a>, Vec<String>), RenderError> {
    let suffix = format!(".{}.yaml", release.values_profile);
    let (mut files, mut warnings) = (Files::new(), Vec::new());
    for (file, text) in &release.profile_values {
        let Some(name) = file.strip_suffix(&suffix) else {
            warnings.push(format!(
                "profileValues.{}: not named <release>{}, so no release reads it",
                shown(file),
                shown(&suffix)
            ));
            continue;
        };
        if !is_object_name(name) || name.len() > 63 || !is_data_key(file) {
            return Err(wrong(format!("profileValues.{}", shown(file)), "no name that a cluster takes"));
        }
        files.insert(name, (file, text));
    }
    let injected = &options.config.appliance.values;
    if files.is_empty() && !injected.is_empty() {
        return Err(wrong("profileValues", "missing: the release is of a publisher too old to carry its values"));
    }
    if let Some((name, _)) = options.settings.iter().find(|(name, _)| !files.contains_key(name.as_str())) {
        return Err(RenderError::Setting(format!("--set {}: the release has no values of that name", shown(name))));
    }
    let mut without: Vec<&str> =
        injected.iter().map(|one| &*one.release).filter(|name| !files.contains_key(name)).collect();
    without.dedup();
    warnings.extend(without.iter().map(|name| format!("no values of `{}`, so nothing is set there", shown(name))));
    Ok((files, warnings))
}

/// The name of a release's `ConfigMap` and its text.
fn values(
    release: &Release,
    options: &Options<'_>,
    name: &str,
    file: &str,
    text: &str,
) -> Result<(String, String), RenderError> {
    let plain = format!("{}{name}", options.config.appliance.values_prefix);
    let map = release.values_config_maps.get(name).cloned().unwrap_or(plain);
    if !is_object_name(&map) {
        return Err(wrong(format!("valuesConfigMaps.{name}"), format!("`{}` is no name of an object", shown(&map))));
    }
    let mut settings = Vec::new();
    for injection in options.config.appliance.values.iter().filter(|injection| injection.release == name) {
        settings.push(setting(release, options, injection)?);
    }
    settings.extend(options.settings.iter().filter(|(of, _)| of == name).map(|(_, setting)| setting.clone()));
    Ok((map, inject(file, text, &settings)?))
}

fn setting(release: &Release, options: &Options<'_>, injection: &Injection) -> Result<Setting, RenderError> {
    let host = || options.host.ok_or_else(|| RenderError::NoHost { release: injection.release.clone() });
    let value = match (injection.from.strip_prefix("image:"), injection.from.as_str()) {
        (Some(key), _) => Literal::Text(image(release, key, options.image_digests)?),
        (None, "app-url") => Literal::Text(host()?.app_url.clone()),
        (None, "host") => Literal::Text(host()?.host.clone()),
        (None, "domain-suffix") => Literal::Text(host()?.domain_suffix.clone()),
        (None, literal) => Literal::parse(literal),
    };
    let path = &injection.path;
    parse_setting(path, value).ok_or_else(|| RenderError::Setting(format!("`{}` is no path of values", shown(path))))
}

fn image(release: &Release, key: &str, digests: bool) -> Result<String, RenderError> {
    let tag = release.images.get(key).ok_or_else(|| wrong(format!("images.{}", shown(key)), "missing"))?;
    let pinned = release.image_digests.get(key).filter(|_| digests);
    Ok(pinned.map_or_else(|| tag.clone(), |pinned| format!("{tag}@{}", pinned.digest)))
}

fn values_object(options: &Options<'_>, map: &str, name: &str, file: &str, text: &str) -> Result<String, RenderError> {
    if text.len() > CONFIG_MAP_LIMIT {
        let reason = format!("{} bytes, more than the {CONFIG_MAP_LIMIT} that a ConfigMap takes", text.len());
        return Err(wrong(format!("profileValues.{file}"), reason));
    }
    let labels = [("app.kubernetes.io/component", "values"), ("app.kubernetes.io/instance", name)];
    Ok(objects::config_map(map, &options.config.appliance.namespace, &labels, &[(file, text)]))
}

fn source(release: &Release, options: &Options<'_>) -> String {
    let appliance = &options.config.appliance;
    objects::oci_repository(&objects::Source {
        name: &appliance.source_name,
        namespace: &appliance.flux_namespace,
        repository: &release.config.repository,
        digest: release.config.digest.as_str(),
        plain_http: options.plain_http,
    })
}

/// What was chosen, for whoever looks.
fn selection(release: &Release, options: &Options<'_>) -> Result<String, RenderError> {
    let appliance = &options.config.appliance;
    let version = release.extra.get("appVersion").and_then(serde_json::Value::as_str).unwrap_or(&release.version);
    let mut entries: BTreeMap<String, String> = [
        ("releaseVersion", release.version.as_str()),
        ("selectedChannel", options.channel.unwrap_or(&release.channel)),
        ("appVersion", version),
        ("registryHost", options.registry_host),
        ("repository", options.repository),
        ("manifestDigest", options.manifest.as_str()),
        ("releaseDigest", options.release_digest.as_str()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect();
    entries.extend(release.images.iter().map(|(key, tag)| (format!("images.{key}"), tag.clone())));
    entries.extend(release.control_plane_image(options.config).map(|image| ("controlPlane".to_owned(), image)));
    if let Some(key) = entries.keys().find(|key| !is_data_key(key)) {
        return Err(wrong(shown(key), "no key that a ConfigMap takes"));
    }
    let entries: Vec<(&str, &str)> = entries.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let labels = [("app.kubernetes.io/component", "selection")];
    Ok(objects::config_map(&appliance.selection_name, &appliance.namespace, &labels, &entries))
}
