//! `alga-resolve render`: prints the objects of a release or writes them to files.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use alga_release::appliance::{self, HostInputs, Object, RenderError, Rendering};
use alga_release::oci::{Location, Prefix};
use serde_json::Value;

use super::args::{Args, RenderFlags};
use super::ask::{Answer, Place};
use super::{Failure, print, report, say, usage};

/// The file that lists all other files of a rendering.
const INDEX: &str = "kustomization.yaml";

pub fn run(args: &Args, flags: &RenderFlags) -> Result<(), Failure> {
    let place = Place::open(args)?;
    let kept = place.state.host();
    let host =
        HostInputs::of(flags.app_url.as_deref(), flags.host.as_deref(), flags.domain_suffix.as_deref(), kept.as_ref());
    let host = host.map_err(|cause| usage(cause.to_string()))?;
    let answer = place.ask(args)?;
    let rendering = rendered(args, flags, &place, &answer, host.as_ref())?;
    for warning in &rendering.warnings {
        say("warning", warning);
    }
    place.keep(&answer)?;
    report::notes(&answer, flags.image_digests);
    match &flags.output_dir {
        Some(directory) => write(directory, &rendering)
            .map_err(|cause| Failure::new(1, format!("failed to write to {}: {cause}", directory.display())))?,
        None if args.text == Some(false) => print(&json(&rendering, report::json(&answer, flags.image_digests)))?,
        None => print(rendering.stream().as_bytes())?,
    }
    // The state gets only a release that was rendered and written. A verified one is there already.
    place.follow_rendered(&answer, host.as_ref());
    Ok(())
}

fn rendered(
    args: &Args,
    flags: &RenderFlags,
    place: &Place,
    answer: &Answer,
    host: Option<&HostInputs>,
) -> Result<Rendering, Failure> {
    let release = &answer.resolved.release;
    let (config, bundle) = (&answer.described.config, &release.config.repository);
    let own = release.prefix_or_configured(config);
    let own = own.map_err(|cause| Failure::new(1, format!("config.repository: {cause}")))?;
    let (registry, asked) = match &place.address.location {
        Location::Registry(prefix) => (prefix, true),
        Location::Layout(_) | Location::Archive(_) => (&own, false),
    };
    let plain_http = Prefix::parse(bundle, args.plain_http).is_ok_and(|bundle| {
        if asked && bundle.host() == registry.host() { registry.plain_http() } else { bundle.plain_http() }
    });
    let repository = registry.full_path(&place.address.repository);
    let keys = place.release_keys();
    let options = appliance::Options {
        described: &answer.described,
        channel: answer.channel.as_deref(),
        registry_host: registry.host(),
        repository: &repository,
        manifest: &answer.resolved.manifest,
        release_digest: &answer.resolved.release_digest,
        plain_http,
        host,
        settings: &flags.settings,
        image_digests: flags.image_digests,
        release_keys: keys.as_deref(),
    };
    appliance::render(release, &options).map_err(|error| match error {
        RenderError::NoHost { .. } => Failure::new(9, error.to_string())
            .hint("pass `--host` or `--app-url` once; with `--state` the address is kept"),
        RenderError::NoKeys => Failure::new(3, error.to_string())
            .hint("pass `--trust FILE` with the vendor's trust document: without its keys, Flux fetches no chart of the release"),
        RenderError::Setting(_) => usage(error.to_string()),
        RenderError::Release { .. } | RenderError::Values(_) => {
            Failure::new(1, format!("cannot render the release {}: {error}", answer.resolved.release_digest))
        }
    })
}

fn json(rendering: &Rendering, trust: Option<Value>) -> Vec<u8> {
    let objects =
        rendering.objects.iter().map(|Object { file, text }| serde_json::json!({ "file": file, "text": text }));
    let objects: Vec<Value> = objects.collect();
    let mut all = serde_json::json!({ "objects": objects, "warnings": rendering.warnings });
    if let Some(trust) = trust {
        all["trust"] = trust;
    }
    let mut bytes = serde_json::to_vec_pretty(&all).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Writes the files first, each under a name with a digest of its content, then the list that names them. At the end,
/// removes the files that the list does not name any more. A reader of the list therefore sees the whole old or the
/// whole new rendering, even after a crash.
fn write(directory: &Path, rendering: &Rendering) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let before = listed(directory)?;
    let mut named = rendering.clone();
    for (at, object) in named.objects.iter_mut().enumerate() {
        let digest = alga_release::oci::Digest::of(object.text.as_bytes());
        let name = object.file.strip_suffix(".yaml").unwrap_or(&object.file);
        object.file = format!("{at:04}-{name}-{}.yaml", digest.short_hex());
        place(directory, &object.file, object.text.as_bytes())?;
    }
    place(directory, INDEX, named.index().as_bytes())?;
    File::open(directory)?.sync_all()?;
    let kept = |file: &String| named.objects.iter().any(|object| object.file == *file);
    for file in before.iter().filter(|file| !kept(file)) {
        match fs::remove_file(directory.join(file)) {
            // A run that was killed left the file, and another run has removed it.
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
    }
    Ok(())
}

/// Returns the files that this program wrote before. Any other file in the directory is an error.
fn listed(directory: &Path) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let digest = name.strip_suffix(".yaml").and_then(|name| name.rsplit_once('-'));
        let own = digest.is_some_and(|(name, digest)| {
            let number = name
                .get(..5)
                .is_some_and(|number| number.ends_with('-') && number[..4].bytes().all(|b| b.is_ascii_digit()));
            number && digest.len() == 12 && digest.bytes().all(|b| b.is_ascii_hexdigit())
        });
        // A run that was killed left this file.
        let unfinished = name.starts_with('.') && name.ends_with(".yaml.new");
        if own || unfinished {
            files.push(name);
        } else if name != INDEX {
            let reason = format!(
                "the directory contains `{}`, which no rendering wrote: pass an empty or a new directory",
                name.escape_debug()
            );
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, reason));
        }
    }
    Ok(files)
}

fn place(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = directory.join(format!(".{name}.new"));
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(new, directory.join(name))
}
