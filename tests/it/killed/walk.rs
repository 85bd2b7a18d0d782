//! Reads everything that a channel serves by digest, directly from the content of the store.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::support::registry::Registry;

const RELEASES: &str = "alga-appliance-release";
const RECORD: &str = "vnd.alga.appliance.channel.";

/// The content of a store.
pub trait Holds {
    /// Returns the bytes of a manifest or a blob.
    fn bytes(&self, repository: &str, digest: &str) -> Option<Vec<u8>>;
    fn tags(&self, repository: &str) -> BTreeMap<String, String>;
    fn repositories(&self) -> Vec<String>;
}

impl Holds for Registry {
    fn bytes(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        let name = format!("org/{repository}");
        self.manifest(&name, digest).map(|(_, bytes)| bytes).or_else(|| self.blob(&name, digest))
    }

    fn tags(&self, repository: &str) -> BTreeMap<String, String> {
        Self::tags(self, &format!("org/{repository}"))
    }

    fn repositories(&self) -> Vec<String> {
        Self::repositories(self).into_iter().filter_map(|name| Some(name.strip_prefix("org/")?.to_owned())).collect()
    }
}

impl Holds for Path {
    fn bytes(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        fs::read(self.join(repository).join("blobs/sha256").join(digest.strip_prefix("sha256:")?)).ok()
    }

    fn tags(&self, repository: &str) -> BTreeMap<String, String> {
        let Ok(index) = fs::read(self.join(repository).join("index.json")) else { return BTreeMap::new() };
        let index: Value = serde_json::from_slice(&index).expect("an index is whole");
        let entries = index["manifests"].as_array().expect("a list").iter();
        let named = entries.filter_map(|entry| {
            let tag = entry["annotations"]["org.opencontainers.image.ref.name"].as_str()?;
            Some((tag.to_owned(), entry["digest"].as_str()?.to_owned()))
        });
        named.collect()
    }

    fn repositories(&self) -> Vec<String> {
        let below = |directory: &Path| -> Vec<String> {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            entries
                .filter(|entry| entry.path().is_dir())
                .map(|e| e.file_name().to_string_lossy().into_owned())
                .collect()
        };
        let charts = below(&self.join("charts")).into_iter().map(|name| format!("charts/{name}"));
        below(self).into_iter().filter(|name| name != "charts").chain(charts).collect()
    }
}

/// The release that a channel serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    pub version: String,
    /// Digest of the release manifest.
    pub release: String,
    /// Digests of the channel manifest and its predecessors, with their sequence numbers.
    pub chain: Vec<(String, u64)>,
}

fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

#[track_caller]
fn whole(store: &(impl Holds + ?Sized), repository: &str, digest: &str) -> Vec<u8> {
    let bytes = store.bytes(repository, digest).unwrap_or_else(|| panic!("{repository}@{digest} is missing"));
    assert_eq!(digest_of(&bytes), digest, "{repository}");
    bytes
}

/// Returns a manifest after a check of every blob that it names.
#[track_caller]
fn artifact(store: &(impl Holds + ?Sized), repository: &str, digest: &str) -> (Value, Vec<u8>) {
    let manifest: Value = serde_json::from_slice(&whole(store, repository, digest)).expect("a manifest");
    for layer in manifest["layers"].as_array().expect("layers") {
        whole(store, repository, layer["digest"].as_str().expect("a digest"));
    }
    let config = whole(store, repository, manifest["config"]["digest"].as_str().expect("a digest"));
    (manifest, config)
}

/// Returns the manifest of [`artifact`] after a check that a tag names it.
#[track_caller]
fn tagged(store: &(impl Holds + ?Sized), repository: &str, digest: &str) -> Value {
    assert!(store.tags(repository).values().any(|named| named == digest), "{repository}@{digest} has no tag");
    artifact(store, repository, digest).0
}

/// Checks that everything that the channel serves exists, is whole and has a tag.
#[track_caller]
pub fn served(store: &(impl Holds + ?Sized), channel: &str) -> Served {
    let head = store.tags(RELEASES).get(channel).unwrap_or_else(|| panic!("the channel {channel} is missing")).clone();
    let (manifest, json) = artifact(store, RELEASES, &head);
    let release = manifest["annotations"][format!("{RECORD}release")].as_str().expect("a record").to_owned();
    tagged(store, RELEASES, &release);
    let json: Value = serde_json::from_slice(&json).expect("JSON");
    for (name, digest) in json["chartDigests"].as_object().expect("charts") {
        tagged(store, &format!("charts/{name}"), digest.as_str().expect("a digest"));
    }
    let config = json["config"]["digest"].as_str().expect("a digest");
    tagged(
        store,
        json["config"]["repository"].as_str().and_then(|name| name.rsplit('/').next()).expect("a name"),
        config,
    );
    let version = json["version"].as_str().expect("a version").to_owned();
    assert_eq!(store.tags(RELEASES).get(&version), Some(&release), "the version's tag");
    Served { version, release, chain: chain(store, head) }
}

fn chain(store: &(impl Holds + ?Sized), head: String) -> Vec<(String, u64)> {
    let (mut chain, mut next) = (Vec::new(), Some(head));
    while let Some(digest) = next {
        let manifest = tagged(store, RELEASES, &digest);
        let word = |key: &str| manifest["annotations"][format!("{RECORD}{key}")].as_str().map(ToOwned::to_owned);
        chain.push((digest, word("sequence").and_then(|text| text.parse().ok()).expect("a sequence")));
        next = word("previous");
    }
    chain
}

/// Returns every tag except channel tags. These tags do not depend on the time of the move.
pub fn versions(store: &(impl Holds + ?Sized), channel: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let all = store.repositories().into_iter().map(|name| {
        let mut tags = store.tags(&name);
        tags.retain(|tag, _| !tag.starts_with(channel));
        (name, tags)
    });
    all.collect()
}

/// Returns the sequence numbers in the keep-alive tags, sorted.
pub fn kept_alive(store: &(impl Holds + ?Sized), channel: &str) -> Vec<u64> {
    let tags = store.tags(RELEASES);
    let numbers = tags.keys().filter_map(|tag| tag.strip_prefix(channel)?.strip_prefix('-')?.split('-').next());
    let mut numbers: Vec<u64> = numbers.filter_map(|number| number.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}
