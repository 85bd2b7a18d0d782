//! Class "works as written": image tags in values that can change their meaning, or that ignore the images of the release.

use std::collections::BTreeMap;

use super::given::Given;
use super::value::{Content, Placed, Sources, Table};
use crate::lint::{Class, Contents, Findings, Located, Place, Rule, Severity};
use crate::release::Installation;

/// Rule for a tag that can name another image later.
pub(super) static IMAGE_LATEST: Rule = Rule {
    id: "image-latest",
    class: Class::Meaning,
    severity: Severity::Warning,
    title: "an image in the values has the tag `latest`",
    verdict: "Each node pulls the image that the tag names at that time, so two appliances with the same release run different programs.",
    example: "image: {repository: docker.io/library/redis, tag: latest}\n",
    way_out: "write a version, if possible with its digest",
};

/// Rule for an image that no value receives.
pub(super) static IMAGE_UNRECEIVED: Rule = Rule {
    id: "image-unreceived",
    class: Class::Meaning,
    severity: Severity::Warning,
    title: "no value receives an image of the release",
    verdict: "The publisher checks the image, and its tag is in the release, but no appliance runs the image.",
    example: "images: {web: web}   # no entry of `appliance.values` has `from: image:web`\n",
    way_out: "add an entry to `appliance.values`, or remove the image from `images`",
};

/// Rule for a fixed tag of an image that the release provides.
pub(super) static IMAGE_TAG_UNREACHED: Rule = Rule {
    id: "image-tag-unreached",
    class: Class::Meaning,
    severity: Severity::Warning,
    title: "the values fix the tag of an image of the release",
    verdict: "The HelmRelease runs the tag in the values, not the tag in the release's `images`.",
    example: "image: {repository: registry.example.com/lint/web, tag: \"1.0.0\"}   # `appliance.values` does not set this tag\n",
    way_out: "add an entry to `appliance.values` that sets the tag from the image",
};

pub(super) static RULES: &[&Rule] = &[&IMAGE_LATEST, &IMAGE_UNRECEIVED, &IMAGE_TAG_UNREACHED];

/// Finds images of the release that no value receives.
pub(super) fn unreceived(contents: &Contents<'_>, found: &mut Findings) {
    let Some(release) = contents.release else { return };
    let Some(Installation { values: readers, .. }) = contents.installation() else { return };
    if readers.is_empty() {
        return;
    }
    let received = |key: &str| {
        let word = format!("image:{key}");
        readers.iter().flat_map(|reader| &reader.set).any(|set| set.from == word)
    };
    for key in release.images.keys().filter(|key| !received(key)) {
        let place = Place { file: Located::Configuration, line: 1, span: None };
        found.add(&IMAGE_UNRECEIVED, place, format!("no value receives the image `{}`", key.escape_debug()));
    }
}

/// Checks the values that a HelmRelease renders its chart with.
pub(super) fn check(
    contents: &Contents<'_>,
    given: &Given<'_, '_>,
    values: &Table,
    sources: &Sources,
    found: &mut Findings,
) {
    let prefix = contents.config.prefix.trim_end_matches('/');
    let named = |repository: &str| {
        // A repository in another registry starts with the host of the registry.
        let elsewhere = repository.split('/').next().is_some_and(|host| host.contains(['.', ':']));
        if elsewhere { repository.to_owned() } else { format!("{prefix}/{repository}") }
    };
    let repositories = contents.config.images.iter().map(|(key, repository)| (named(repository), key.as_str()));
    let mut images = Images { repositories: repositories.collect(), given, sources, found };
    images.table(values, &mut Vec::new());
}

struct Images<'r, 'c, 'a> {
    /// Repositories of the release's images, with the keys of the images.
    repositories: BTreeMap<String, &'r str>,
    given: &'r Given<'c, 'a>,
    sources: &'r Sources,
    found: &'r mut Findings,
}

impl Images<'_, '_, '_> {
    fn table(&mut self, table: &Table, path: &mut Vec<String>) {
        // A component with `enabled: false` runs no image.
        if table.get("enabled").is_some_and(|value| matches!(value.content, Content::Bool(false))) {
            return;
        }
        if let Some((key, tag)) = self.fixed(table, path) {
            let place = tag.at.as_ref().map_or_else(|| self.given.place(), |at| self.sources.place(at));
            let message = format!("the values fix the tag of the image `{}` of the release", key.escape_debug());
            self.found.add(&IMAGE_TAG_UNREACHED, place, message);
        }
        for (key, value) in table {
            if let (true, Some(at)) = (is_latest(key, value), &value.at) {
                let shown: Vec<&str> = path.iter().chain([key]).map(String::as_str).collect();
                let message = format!("`{}` has the tag `latest`", shown.join(".").escape_debug());
                self.found.add(&IMAGE_LATEST, self.sources.place(at), message);
            }
            path.push(key.clone());
            self.value(value, path);
            path.pop();
        }
    }

    fn value(&mut self, value: &Placed, path: &mut Vec<String>) {
        match &value.content {
            Content::Table(table) => self.table(table, path),
            Content::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.push(index.to_string());
                    self.value(item, path);
                    path.pop();
                }
            }
            _ => {}
        }
    }

    /// Returns the key of a release image in a table, with its tag, if the appliance does not set the tag.
    fn fixed<'t>(&self, table: &'t Table, path: &[String]) -> Option<(String, &'t Placed)> {
        let repository = text(table.get("repository")?)?;
        let key = self.repositories.get(repository)?;
        let tag = table.get("tag").filter(|tag| text(tag).is_some_and(|text| !text.is_empty()))?;
        let is_set = |set: &Vec<String>| set.split_last().is_some_and(|(last, above)| last == "tag" && above == path);
        if self.given.set.iter().any(is_set) {
            return None;
        }
        Some(((*key).to_owned(), tag))
    }
}

fn text(value: &Placed) -> Option<&str> {
    match &value.content {
        Content::Text(text) => Some(text),
        _ => None,
    }
}

fn is_latest(key: &str, value: &Placed) -> bool {
    match text(value) {
        Some("latest") => key == "tag",
        Some(text) => (key == "image" || key == "repository") && text.ends_with(":latest"),
        None => false,
    }
}
