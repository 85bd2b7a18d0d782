//! The tags of the application images of a release: given by hand, in a file or by flags, or listed by the tree's own `release.json`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::pack::Request;
use crate::config::{Config, FILE_NAME};
use crate::oci::{AnyRepository, InvalidReference, Tag, each_key_once};
use crate::source::{Error, Place, Tree};
use crate::text::nearest;

/// Largest `release.json` that is read.
const FILE_LIMIT: u64 = 1 << 20;
/// Place of an error in the tags that flags give.
const FLAG: &str = "--image";

/// Image tags that were given by hand.
#[derive(Clone, Debug, Default)]
pub struct GivenTags {
    /// Tag by image key, from `--image KEY=TAG`. They take precedence over those of the file.
    pub flags: BTreeMap<String, String>,
    /// The file of `--images FILE`.
    pub file: Option<TagsFile>,
}

/// A file that lists image tags: a JSON object of key and tag, or a `release.json` that contains such an object.
#[derive(Clone, Debug)]
pub struct TagsFile {
    /// Name of the file for messages.
    pub name: String,
    /// Version of the release that a `release.json` states.
    pub version: Option<String>,
    /// Tag by image key.
    pub tags: BTreeMap<String, String>,
}

/// The image tags of a release.
#[derive(Clone, Debug, Default)]
pub struct ImageTags {
    /// Repository and tag by image key.
    pub images: BTreeMap<String, (AnyRepository, Tag)>,
    /// What people should know: `FILE: TEXT`.
    pub warnings: Vec<String>,
}

impl ImageTags {
    /// Returns the tag of each image.
    pub(crate) fn tags(&self) -> BTreeMap<String, Tag> {
        self.images.iter().map(|(key, (_, tag))| (key.clone(), tag.clone())).collect()
    }
}

impl TagsFile {
    /// Reads a JSON object of strings, or a `release.json` with one at `path` (keys joined by `.`).
    ///
    /// # Errors
    /// When the file is neither, and when an object in the file has a key twice.
    pub fn parse(json: &[u8], name: &str, path: &str) -> Result<Self, Error> {
        let invalid = |cause: &serde_json::Error, what: &str| {
            let text = cause.to_string();
            let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
            Error::usage(Place::line(name, cause.line()), format!("{what}{reason}"))
        };
        let json_value: Value = serde_json::from_slice(json).map_err(|cause| invalid(&cause, "invalid JSON: "))?;
        each_key_once(json).map_err(|cause| {
            invalid(&cause, "").hint("remove one of the two: readers of JSON differ in which one they take")
        })?;
        let keys = path.split('.').filter(|key| !key.is_empty());
        let below = keys.clone().try_fold(&json_value, |value, key| value.get(key));
        let is_tag = |value: &Value| !(value.is_object() || value.is_array());
        let plain = json_value.as_object().is_some_and(|object| !object.is_empty() && object.values().all(is_tag));
        let Some(map) = below.or(Some(&json_value).filter(|_| plain)).and_then(Value::as_object) else {
            let reason = format!(
                "expected an object of image tags, {{\"KEY\": \"TAG\"}}, or a release.json with such an object at `{path}`"
            );
            return Err(Error::usage(Place::file(name), reason));
        };
        let above = if below.is_some() { format!("{path}.") } else { String::new() };
        let entry = |(key, tag): (&String, &Value)| match tag.as_str() {
            Some(tag) => Ok((key.clone(), tag.to_owned())),
            None => Err(Error::usage(
                Place::file(name),
                format!("{above}{}: expected a string, found {tag}", key.escape_debug()),
            )
            .hint("put the tag between quotes")),
        };
        let tags = map.iter().map(entry).collect::<Result<_, _>>()?;
        let version = below.and(json_value.get("version")).and_then(Value::as_str).map(ToOwned::to_owned);
        Ok(Self { name: name.to_owned(), version, tags })
    }

    /// Refuses a key that is misspelt: the image that it is meant for would keep another tag.
    fn check_keys(&self, config: &Config) -> Result<(), Error> {
        for key in self.tags.keys().filter(|key| !config.images.contains_key(*key)) {
            let absent = config.images.keys().map(String::as_str).filter(|known| !self.tags.contains_key(*known));
            if let Some(near) = nearest(key, absent) {
                let key = key.escape_debug();
                let reason = format!("unknown image `{key}`: the configuration has no image of this name");
                return Err(Error::usage(Place::file(&*self.name), reason).hint(format!("did you mean `{near}`?")));
            }
        }
        Ok(())
    }

    /// Adds what does not fit the release to the warnings.
    fn compare(&self, request: &Request<'_>, warnings: &mut Vec<String>) {
        let (name, known) = (&self.name, &request.config.images);
        if let Some(version) = self.version.as_deref().filter(|version| *version != request.version.as_str()) {
            let version = version.escape_debug();
            warnings.push(format!("{name}: it states the version `{version}`, and the release is {}", request.version));
        }
        for key in self.tags.keys().filter(|key| !known.contains_key(*key)) {
            let near = nearest(key, known.keys().map(String::as_str));
            let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            let key = key.escape_debug();
            warnings.push(format!("{name}: unknown image `{key}`: the configuration has no image of this name{near}"));
        }
    }
}

/// Returns whether the configuration lists its images, instead of leaving them to the built-in defaults.
fn lists_images(config: &Config) -> bool {
    config.given.keys().any(|key| key == "images" || key.starts_with("images."))
}

/// Returns the tag of each image of the configuration: given by hand, or else of the tree's own `release.json`. A tree without such a file
/// whose configuration lists no images has no application images.
///
/// # Errors
/// When an image has no tag, a given key is unknown, or the tree's file is broken.
pub fn image_tags(tree: &Tree, request: &Request<'_>) -> Result<ImageTags, Error> {
    let (config, given) = (request.config, &request.images);
    check_flags(given, config)?;
    let file = config.release_file_of(request.version);
    let own = match tree.kind(&file)? {
        Some(_) => Some(TagsFile::parse(&tree.read(&file, FILE_LIMIT)?, &file, &config.release_images)?),
        None => None,
    };
    let mut found = ImageTags::default();
    if given.flags.is_empty() && given.file.is_none() && own.is_none() && !lists_images(config) {
        let text =
            format!("the release has no application images: {FILE_NAME} lists no `images`, and there is no {file}");
        found.warnings.push(text);
        return Ok(found);
    }
    given.file.as_ref().map_or(Ok(()), |file| file.check_keys(config))?;
    let files: Vec<&TagsFile> = given.file.iter().chain(&own).collect();
    for file in &files {
        file.compare(request, &mut found.warnings);
    }
    let usage = |place: &str, reason: String| Error::usage(Place::file(place), reason);
    let mut absent = Vec::new();
    for (key, repository) in &config.images {
        let of_file = || files.iter().find_map(|file| Some((&*file.name, file.tags.get(key)?)));
        let Some((place, tag)) = given.flags.get(key).map(|tag| (FLAG, tag)).or_else(of_file) else {
            absent.push(key.as_str());
            continue;
        };
        if let (Some(first), Some(own), None) = (&given.file, &own, given.flags.get(key))
            && !first.tags.contains_key(key)
        {
            found
                .warnings
                .push(format!("{}: missing image `{key}`: the tag `{tag}` is taken from {}", first.name, own.name));
        }
        let tag = tag.parse().map_err(|cause| usage(place, format!("{key}: {cause}")))?;
        let repository = repository.parse().map_err(|cause: InvalidReference| usage(FILE_NAME, cause.to_string()))?;
        found.images.insert(key.clone(), (repository, tag));
    }
    if absent.is_empty() { Ok(found) } else { Err(without_tag(&absent, &file, own.is_some(), config)) }
}

fn check_flags(given: &GivenTags, config: &Config) -> Result<(), Error> {
    let Some(key) = given.flags.keys().find(|key| !config.images.contains_key(*key)) else { return Ok(()) };
    let known: Vec<_> = config.images.keys().map(String::as_str).collect();
    let hint = match nearest(key, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => format!("list the image under `images` in {FILE_NAME}"),
        None => format!("use one of: {}", known.join(", ")),
    };
    let key = key.escape_debug();
    let reason = format!("unknown image key `{key}`: the configuration has no such key under `images`");
    Err(Error::usage(Place::file(FLAG), reason).hint(hint))
}

/// Returns the error for images that no file and no flag gives a tag.
fn without_tag(keys: &[&str], file: &str, exists: bool, config: &Config) -> Error {
    let names: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    let tags = if keys.len() == 1 { "tag of the image" } else { "tags of the images" };
    let mut reason = format!("missing {tags} {}", names.join(", "));
    if !exists {
        reason = format!("{reason}: there is no {file}");
    }
    let flags: Vec<String> = keys.iter().map(|key| format!("--image {key}=TAG")).collect();
    let mut hint = format!("add the tag to {file}, or pass `{}`", flags.join(" "));
    if !lists_images(config) {
        hint.push_str("; if the product has other images, list them under `images` in ");
        hint.push_str(FILE_NAME);
    }
    Error::usage(Place::file(if exists { file } else { FLAG }), reason).hint(hint)
}
