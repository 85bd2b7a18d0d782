//! Renders the objects that a cluster needs for a release. An object comes before the objects that name it, and each
//! namespace comes before its objects.

use std::collections::{BTreeMap, BTreeSet};

use super::objects::{self, CONFIG_MAP_LIMIT, is_data_key, is_object_name};
use super::{HostInputs, InvalidValues, Literal, Setting, inject, parse_setting};
use crate::oci::Digest;
use crate::release::{Described, Installation, ObjectName, Release, SetValue, ValueSource, ValuesReader};
use crate::text::shown;
use crate::trust::Key;

/// Largest object for `kubectl apply` without `--server-side`, in bytes. kubectl copies the whole object into an
/// annotation.
const ANNOTATION_LIMIT: usize = 256 << 10;

/// The inputs of a rendering besides the release.
#[derive(Debug)]
pub struct Options<'a> {
    /// Configuration and installation that hold for the release.
    pub described: &'a Described,
    /// Channel that the appliance follows; absent for a version or a digest.
    pub channel: Option<&'a str>,
    /// Host of the registry that releases are read from.
    pub registry_host: &'a str,
    /// Path of the release repository in that registry.
    pub repository: &'a str,
    /// Digest of the manifest that was read.
    pub manifest: &'a Digest,
    /// Digest of the release manifest.
    pub release_digest: &'a Digest,
    /// Whether the registry of the bundle is read without TLS.
    pub plain_http: bool,
    /// Address of the product on this appliance.
    pub host: Option<&'a HostInputs>,
    /// Additional settings: name of the HelmRelease or its values, and the setting.
    pub settings: &'a [(String, Setting)],
    /// Whether image tags get their known digest, `tag@sha256:…`, also in a release that is not signed.
    pub image_digests: bool,
    /// Keys of the role `release` in the trust document in force; `None` without a trust document.
    pub release_keys: Option<&'a [Key]>,
}

/// One Kubernetes object as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Name of the object's file.
    pub file: String,
    /// YAML of the object.
    pub text: String,
}

/// The objects of a release, and warnings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendering {
    /// The objects in the order in which they must be applied.
    pub objects: Vec<Object>,
    /// Warnings for people, one line each.
    pub warnings: Vec<String>,
}

impl Rendering {
    /// Returns all objects as one YAML stream.
    pub fn stream(&self) -> String {
        self.objects.iter().flat_map(|object| ["---\n", &object.text]).collect()
    }

    /// Returns the `kustomization.yaml` that lists the files.
    pub fn index(&self) -> String {
        objects::index(&self.objects.iter().map(|object| object.file.clone()).collect::<Vec<_>>())
    }
}

/// An error that prevents the rendering of a release.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The values need the address of the appliance, which is unknown.
    #[error("the values of {release} need the address of this appliance, which is not known")]
    NoHost {
        /// Name of the HelmRelease.
        release: String,
    },
    /// Flux would verify the sources of the release, and nothing says by which keys.
    #[error("Flux verifies the charts of the release, but no trust document says by which keys")]
    NoKeys,
    /// A setting is invalid, or names unknown values.
    #[error("{0}")]
    Setting(String),
    /// The release lacks something, or has something that no cluster accepts.
    #[error("{path}: {reason}")]
    Release {
        /// Path in the release's JSON.
        path: String,
        /// Reason why the value is invalid.
        reason: String,
    },
    /// The values of the release cannot be edited.
    #[error(transparent)]
    Values(#[from] InvalidValues),
}

fn wrong(path: impl Into<String>, reason: impl Into<String>) -> RenderError {
    RenderError::Release { path: path.into(), reason: reason.into() }
}

/// Renders a release. The function is pure: the same release and options give the same bytes.
///
/// # Errors
/// Returns a [`RenderError`], and no objects.
pub fn render(release: &Release, options: &Options<'_>) -> Result<Rendering, RenderError> {
    let installation = &options.described.installation;
    check_installation(installation)?;
    let maps = values_maps(release, options)?;
    let mut rendering = Rendering::default();
    let mut put = |file: String, text: String| rendering.objects.push(Object { file, text });
    let home = installation.selection.namespace.as_str();
    let secrets = secrets(options)?;
    put("namespace.yaml".to_owned(), objects::namespace(home));
    let mut namespaces = BTreeSet::new();
    namespaces.extend(maps.iter().map(|map| map.namespace.to_owned()));
    // Flux itself is in its namespace, so that exists.
    let of_keys = secrets.iter().map(|(namespace, _)| *namespace);
    namespaces.extend(of_keys.filter(|name| *name != installation.flux_namespace).map(ToOwned::to_owned));
    for namespace in namespaces.iter().filter(|namespace| *namespace != home) {
        put(format!("namespace-{namespace}.yaml"), objects::namespace(namespace));
    }
    for (namespace, text) in secrets {
        put(format!("keys-{namespace}.yaml"), text);
    }
    for map in &maps {
        put(map.file(home), map.object()?);
    }
    put("source.yaml".to_owned(), source(release, options));
    put(
        "kustomization-flux.yaml".to_owned(),
        objects::kustomization(&installation.source_name, &installation.flux_namespace),
    );
    put("selection.yaml".to_owned(), selection(release, options)?);
    let large = rendering.objects.iter().filter(|object| object.text.len() > ANNOTATION_LIMIT);
    let large = large.map(|object| format!("{} is larger than 256 KiB: apply it with --server-side", object.file));
    rendering.warnings = unread(release, options).into_iter().chain(large).collect();
    Ok(rendering)
}

/// Returns the Secret with the keys by which Flux verifies, for each namespace with a source that needs it.
fn secrets<'a>(options: &Options<'a>) -> Result<Vec<(&'a str, String)>, RenderError> {
    let installation = &options.described.installation;
    let Some(verify) = &installation.verify else { return Ok(Vec::new()) };
    let keys = options.release_keys.ok_or(RenderError::NoKeys)?;
    let mut namespaces: Vec<&str> = vec![&installation.flux_namespace];
    for namespace in verify.namespaces.iter().map(String::as_str) {
        if !is_object_name(namespace) || namespace.len() > 63 || namespace.contains('.') {
            return Err(not_a_name("appliance.verify.namespaces", namespace));
        }
        if !namespaces.contains(&namespace) {
            namespaces.push(namespace);
        }
    }
    if !is_object_name(&verify.secret_name) {
        return Err(not_a_name("appliance.verify.secretName", &verify.secret_name));
    }
    let secret = |namespace| (namespace, objects::keys(&verify.secret_name, namespace, keys));
    Ok(namespaces.into_iter().map(secret).collect())
}

/// Checks the names in a release that an appliance gives to objects.
fn check_installation(installation: &Installation) -> Result<(), RenderError> {
    let names = [
        ("appliance.fluxNamespace", &installation.flux_namespace),
        ("appliance.sourceName", &installation.source_name),
        ("appliance.selection.namespace", &installation.selection.namespace),
        ("appliance.selection.name", &installation.selection.name),
    ];
    match names.into_iter().find(|(_, name)| !is_object_name(name)) {
        Some((path, name)) => Err(not_a_name(path, name)),
        None => Ok(()),
    }
}

fn not_a_name(path: impl Into<String>, name: &str) -> RenderError {
    wrong(path, format!("`{}` is not a valid name of a Kubernetes object", shown(name)))
}

/// A `ConfigMap` of values, and a HelmRelease that reads it.
struct Map<'a> {
    namespace: &'a str,
    name: &'a str,
    /// Name of the HelmRelease that reads it; the first one if there are several.
    release: &'a str,
    /// Entries sorted by their keys.
    entries: Vec<Entry<'a>>,
}

/// One text of values in a `ConfigMap`.
struct Entry<'a> {
    key: &'a str,
    /// Key of the release's `profileValues` that the text comes from.
    file: &'a str,
    text: String,
}

impl Map<'_> {
    /// Returns the file name of the `ConfigMap`. File names cannot collide, because a namespace contains no dot.
    fn file(&self, home: &str) -> String {
        if self.namespace == home {
            format!("values-{}.yaml", self.release)
        } else {
            format!("values.{}.{}.yaml", self.namespace, self.release)
        }
    }

    fn object(&self) -> Result<String, RenderError> {
        let size: usize = self.entries.iter().map(|entry| entry.text.len()).sum();
        if size > CONFIG_MAP_LIMIT {
            let largest = self.entries.iter().max_by_key(|entry| entry.text.len());
            let file = largest.map_or("", |entry| entry.file);
            let reason = format!("the values have {size} bytes, and the limit of a ConfigMap is {CONFIG_MAP_LIMIT}");
            return Err(wrong(format!("profileValues.{}", shown(file)), reason));
        }
        let labels = [("app.kubernetes.io/component", "values"), ("app.kubernetes.io/instance", self.release)];
        let entries: Vec<(&str, &str)> = self.entries.iter().map(|entry| (entry.key, entry.text.as_str())).collect();
        Ok(objects::config_map(self.name, self.namespace, &labels, &entries))
    }
}

/// Returns the `ConfigMap`s of all values, in the order of the release.
fn values_maps<'a>(release: &Release, options: &Options<'a>) -> Result<Vec<Map<'a>>, RenderError> {
    let described = options.described;
    let readers = &described.installation.values;
    let describes_itself = release.description.is_some();
    if readers.is_empty() && !describes_itself && !described.config.appliance.values.is_empty() {
        return Err(wrong("profileValues", "missing: the publisher of this release was too old to include values"));
    }
    let named = |reader: &ValuesReader, name: &str| is_of(release, reader, name);
    let unknown = options.settings.iter().find(|(name, _)| !readers.iter().any(|reader| named(reader, name)));
    if let Some((name, _)) = unknown {
        return Err(RenderError::Setting(format!("--set {}: the release has no values with that name", shown(name))));
    }
    let mut maps: Vec<Map<'_>> = Vec::new();
    for reader in readers {
        check_reader(release, reader)?;
        let text = values(release, options, reader)?;
        let (namespace, name) = (reader.namespace.as_str(), reader.config_map.as_str());
        let place = maps.iter().position(|map| (map.namespace, map.name) == (namespace, name));
        let place = place.unwrap_or_else(|| {
            maps.push(Map { namespace, name, release: &reader.release, entries: Vec::new() });
            maps.len() - 1
        });
        let entries = &mut maps[place].entries;
        let entry = Entry { key: &reader.key, file: &reader.file, text };
        match entries.binary_search_by(|other| other.key.cmp(entry.key)) {
            Err(at) => entries.insert(at, entry),
            Ok(at) if entries[at].text == entry.text => {}
            Ok(_) => {
                let reason =
                    format!("the ConfigMap {namespace}/{name} would have two texts under the key `{}`", reader.key);
                return Err(wrong(format!("profileValues.{}", shown(&reader.file)), reason));
            }
        }
    }
    Ok(maps)
}

/// Reports whether a name from the configuration or from `--set` is the name of the HelmRelease or of its values.
fn is_of(release: &Release, reader: &ValuesReader, name: &str) -> bool {
    reader.release == name || reader.values_of(&release.values_profile) == Some(name)
}

fn check_reader(release: &Release, reader: &ValuesReader) -> Result<(), RenderError> {
    let of = shown(&reader.release);
    // Releases of older publishers give only these two names.
    let (of_release, of_map) = match &release.description {
        None => (format!("profileValues.{}", shown(&reader.file)), format!("valuesConfigMaps.{of}")),
        Some(_) => (format!("appliance.values: release `{of}`"), format!("appliance.values: configMap of `{of}`")),
    };
    if !is_object_name(&reader.release) || reader.release.len() > 63 {
        return Err(not_a_name(of_release, &reader.release));
    }
    if !is_object_name(&reader.namespace) || reader.namespace.len() > 63 || reader.namespace.contains('.') {
        return Err(not_a_name(format!("appliance.values: namespace of `{of}`"), &reader.namespace));
    }
    if !is_object_name(&reader.config_map) {
        return Err(not_a_name(of_map, &reader.config_map));
    }
    if !is_data_key(&reader.key) {
        return Err(not_a_name(format!("appliance.values: key of `{of}`"), &reader.key));
    }
    Ok(())
}

/// Returns warnings about values that no HelmRelease reads, and about settings for missing values.
fn unread(release: &Release, options: &Options<'_>) -> Vec<String> {
    let described = options.described;
    let readers = &described.installation.values;
    let is_read = |file: &String| readers.iter().any(|reader| reader.file == *file);
    let files = release.profile_values.keys().filter(|file| !is_read(file));
    let mut warnings: Vec<String> =
        files.map(|file| format!("profileValues.{}: no HelmRelease reads these values", shown(file))).collect();
    let injected = described.config.appliance.values.iter().map(|one| &*one.release);
    let mut without: Vec<&str> =
        injected.filter(|name| !readers.iter().any(|reader| is_of(release, reader, name))).collect();
    without.dedup();
    warnings.extend(
        without
            .iter()
            .map(|name| format!("the release has no values of `{}`, so their settings are ignored", shown(name))),
    );
    warnings
}

/// Returns the text of the values for one HelmRelease, as its `ConfigMap` contains it.
///
/// # Errors
/// Returns an error when a value cannot be written into the text.
pub(crate) fn values(release: &Release, options: &Options<'_>, reader: &ValuesReader) -> Result<String, RenderError> {
    let path = format!("profileValues.{}", shown(&reader.file));
    let text = release.profile_values.get(&reader.file).ok_or_else(|| wrong(path, "missing"))?;
    let mut settings = Vec::new();
    for set in &reader.set {
        settings.push(setting(release, options, reader, set)?);
    }
    let more = options.settings.iter().filter(|(name, _)| is_of(release, reader, name));
    settings.extend(more.map(|(_, setting)| setting.clone()));
    Ok(inject(&reader.file, text, &settings)?)
}

fn setting(
    release: &Release,
    options: &Options<'_>,
    reader: &ValuesReader,
    set: &SetValue,
) -> Result<Setting, RenderError> {
    let host = || options.host.ok_or_else(|| RenderError::NoHost { release: reader.release.clone() });
    let value = match ValueSource::configured(&set.from) {
        ValueSource::Image(key) => Literal::Text(image(release, options, key, set)?),
        ValueSource::AppUrl => Literal::Text(host()?.app_url.clone()),
        ValueSource::Host => Literal::Text(host()?.host.clone()),
        ValueSource::DomainSuffix => Literal::Text(host()?.domain_suffix.clone()),
        ValueSource::Literal(text) => Literal::parse(text),
    };
    let path = &set.path;
    parse_setting(path, value).ok_or_else(|| RenderError::Setting(format!("invalid path of values `{}`", shown(path))))
}

/// Returns the value of an image: the tag, and in a signed release also the digest.
fn image(release: &Release, options: &Options<'_>, key: &str, set: &SetValue) -> Result<String, RenderError> {
    let missing = |of: &str| wrong(format!("{of}.{}", shown(key)), "missing");
    let tag = release.images.get(key).ok_or_else(|| missing("images"))?;
    let is_pinned = options.described.installation.pinned;
    if set.form.is_some() || !(is_pinned || options.image_digests) {
        return Ok(tag.clone());
    }
    match release.image_digests.get(key) {
        Some(pinned) => Ok(format!("{tag}@{}", pinned.digest)),
        None if is_pinned => Err(missing("imageDigests")),
        None => Ok(tag.clone()),
    }
}

fn source(release: &Release, options: &Options<'_>) -> String {
    let installation = &options.described.installation;
    objects::oci_repository(&objects::Source {
        name: &installation.source_name,
        namespace: &installation.flux_namespace,
        repository: &release.config.repository,
        digest: release.config.digest.as_str(),
        plain_http: options.plain_http,
        verify: installation.verify.as_ref().map(|verify| &*verify.secret_name),
    })
}

/// Returns the `ConfigMap` that records the selected release.
fn selection(release: &Release, options: &Options<'_>) -> Result<String, RenderError> {
    let ObjectName { namespace, name, .. } = &options.described.installation.selection;
    let version = release.extra.get("appVersion").and_then(serde_json::Value::as_str).unwrap_or(&release.version);
    let own = [
        ("releaseVersion", release.version.as_str()),
        ("selectedChannel", options.channel.unwrap_or(&release.channel)),
        ("appVersion", version),
        ("registryHost", options.registry_host),
        ("repository", options.repository),
        ("manifestDigest", options.manifest.as_str()),
        ("releaseDigest", options.release_digest.as_str()),
    ];
    let mut entries = BTreeMap::new();
    entries.extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
    entries.extend(release.images.iter().map(|(key, tag)| (format!("images.{key}"), tag.clone())));
    let image = release.control_plane_image(&options.described.config);
    entries.extend(image.map(|image| ("controlPlane".to_owned(), image)));
    if let Some(key) = entries.keys().find(|key| !is_data_key(key)) {
        return Err(wrong(shown(key), "invalid key of a ConfigMap"));
    }
    let entries: Vec<(&str, &str)> = entries.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let labels = [("app.kubernetes.io/component", "selection")];
    Ok(objects::config_map(name, namespace, &labels, &entries))
}
