//! Decides for each chart which source object the overlay gets, in which file, and which kustomization file lists it.

use std::collections::BTreeMap;

use crate::flux::{Lister, Source, SourceKind};
use crate::oci::{Digest, Repository};
use crate::path::join;
use crate::source::{Error, Place};
use crate::yaml::edit::{quoted, scalar};

use super::discover::{Release, Used};
use super::own_source::OwnSources;
use super::rewrite::{Pin, PinStyle, Pins};
use super::{ChartSource, Overlay};

/// Longest name of a Kubernetes object, in bytes.
const NAME_LIMIT: usize = 253;
/// Helm's media type for the layer of a chart.
const CHART_LAYER: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

/// A source object that publishing adds to the overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Home {
    pub name: String,
    pub namespace: String,
    /// File of the object, relative to the overlay. Absent when the overlay has the object already.
    pub file: Option<String>,
    pub text: String,
    /// The kustomization file that lists the object, and the entry that is added to the file.
    pub listed: Option<(String, String)>,
}

impl Home {
    /// An object that the overlay has already.
    fn present(name: String, namespace: String) -> Self {
        Self { name, namespace, file: None, text: String::new(), listed: None }
    }
}

/// The source objects of the charts that this publisher packs, by chart and directory. Under [`PinStyle::Content`] each
/// directory that lists a release has a source of its own; otherwise all directories share one.
#[derive(Clone, Debug, Default)]
pub(super) struct Homes(BTreeMap<(ChartSource, String), Home>);

impl Homes {
    /// Returns the source object for a release that `lister` lists.
    pub(super) fn of(&self, source: &ChartSource, style: PinStyle, lister: Option<&Lister>) -> Option<&Home> {
        self.0.get(&(source.clone(), owner(style, lister).to_owned()))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Home> {
        self.0.values()
    }
}

/// Returns the directory that owns the source of a release, or the empty path where all directories share the source.
fn owner(style: PinStyle, lister: Option<&Lister>) -> &str {
    lister.filter(|_| style == PinStyle::Content).map_or("", |lister| &lister.directory)
}

/// Returns the source objects that publishing adds. `own` are the author's sources of charts.
pub(super) fn homes(
    overlay: &Overlay,
    pins: &Pins<'_>,
    sources: &[Source<'_>],
    own: &OwnSources,
    releases: &[Release<'_>],
    listers: &BTreeMap<&str, &Lister>,
) -> Result<Homes, Error> {
    let mut first: BTreeMap<(&str, &str), Option<&Lister>> = BTreeMap::new();
    let mut used: BTreeMap<&ChartSource, &Pin> = BTreeMap::new();
    let mut without_source: BTreeMap<(&ChartSource, &str), &Pin> = BTreeMap::new();
    for release in releases {
        let Used::Ours(source) = &release.used else { continue };
        let pin = pin_of(overlay, pins, release, source)?;
        refuse_another(overlay, release, &used, pin)?;
        used.insert(source, pin);
        if release.own_source.is_some() {
            continue;
        }
        let lister = listers.get(release.flux.object.file).copied();
        let owner = owner(pins.style, lister);
        without_source.insert((source, owner), pin);
        let known = first.entry((&pin.name, owner)).or_insert(lister);
        if let Some(lister) = lister.filter(|lister| known.is_none_or(|known| lister.order < known.order)) {
            *known = Some(lister);
        }
    }
    let mut homes = Homes::default();
    for ((source, owner), pin) in without_source {
        let lister = first.get(&(pin.name.as_str(), owner)).copied().flatten();
        let home = match pins.style {
            PinStyle::Digest => of_chart(overlay, pins, sources, (pin, &pin.name), lister)?,
            PinStyle::Content => {
                let name = content_name(overlay, pin, owner)?;
                match own.namespace(&name) {
                    Some(namespace) => Home::present(name, namespace.to_owned()),
                    None => of_chart(overlay, pins, sources, (pin, &name), lister)?,
                }
            }
            PinStyle::Version => of_repository(overlay, pins, sources)?,
        };
        homes.0.insert((source.clone(), owner.to_owned()), home);
    }
    Ok(homes)
}

/// Returns the name of a chart's source in a directory: `<chart>-<12 hex digits>`, of the hash over the digest of the
/// chart's manifest and the directory. With another chart, a release therefore names another source, and never upgrades
/// from a source that still has the old chart.
pub(super) fn content_name(overlay: &Overlay, pin: &Pin, directory: &str) -> Result<String, Error> {
    let hash = Digest::of(format!("{}\n{directory}", pin.digest).as_bytes());
    let name = format!("{}-{}", pin.name, hash.short_hex());
    if name.len() > NAME_LIMIT {
        let reason = format!(
            "the name of the source of the chart `{}` would have {} bytes, and the limit is {NAME_LIMIT}",
            pin.name,
            name.len()
        );
        return Err(Error::refused(Place::file(join(&overlay.settings.directory, directory)), reason)
            .hint("give the chart a shorter name"));
    }
    Ok(name)
}

pub(super) fn pin_of<'a>(
    overlay: &Overlay,
    pins: &Pins<'a>,
    release: &Release<'_>,
    source: &ChartSource,
) -> Result<&'a Pin, Error> {
    let place = || overlay.place(release.flux.object.file, release.line);
    pins.charts.get(source).ok_or_else(|| Error::invalid(place(), "internal error: the chart has no pin"))
}

fn refuse_another(
    overlay: &Overlay,
    release: &Release<'_>,
    used: &BTreeMap<&ChartSource, &Pin>,
    pin: &Pin,
) -> Result<(), Error> {
    if used.values().any(|other| other.name == pin.name && (other.digest != pin.digest || other.version != pin.version))
    {
        let reason = format!("duplicate chart name: two charts of the overlay are named `{}`", pin.name);
        return Err(Error::refused(overlay.place(release.flux.object.file, release.line), reason)
            .hint("rename one of the charts"));
    }
    Ok(())
}

fn of_chart(
    overlay: &Overlay,
    pins: &Pins<'_>,
    sources: &[Source<'_>],
    (pin, name): (&Pin, &str),
    lister: Option<&Lister>,
) -> Result<Home, Error> {
    refuse_renames(overlay, lister)?;
    let namespace = lister.and_then(|lister| lister.namespace.clone()).unwrap_or(overlay.settings.namespace.clone());
    let root_lists = overlay.files.kustomization_file_of("base").is_some();
    let (file, entry) = match lister {
        Some(Lister { directory, file: None, .. }) => {
            let file = join(directory, &format!("{name}.yaml"));
            let taken = overlay.files().contains_key(&file);
            (if taken { join(directory, &format!("{name}-chart.yaml")) } else { file }, None)
        }
        Some(Lister { directory, file: Some(kustomization), .. }) => {
            let file =
                if root_lists { format!("base/charts/{name}.yaml") } else { join(directory, &format!("{name}.yaml")) };
            let item = relative(directory, &file);
            (file, Some((kustomization.clone(), item)))
        }
        None => (format!("base/charts/{name}.yaml"), None),
    };
    refuse_taken(overlay, &file)?;
    refuse_source(overlay, sources, SourceKind::OciRepository, name, &namespace)?;
    let url = format!("oci://{}", repository(overlay, pins, Some(&pin.name))?);
    let insecure = if pins.prefix.plain_http() { "  insecure: true\n" } else { "" };
    let text = format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata:\n  name: {}\n  namespace: {}\nspec:\n  \
         interval: 10m\n  url: {url}\n{insecure}  ref:\n    tag: {}\n    digest: {}\n  layerSelector:\n    \
         mediaType: {CHART_LAYER}\n    operation: copy\n{}",
        scalar(name),
        scalar(&namespace),
        quoted(&pin.version.replace('+', "_")),
        pin.digest,
        overlay.settings.verify.as_deref().map(verification).unwrap_or_default(),
    );
    Ok(Home { name: name.to_owned(), namespace, file: Some(file), text, listed: entry })
}

/// Returns the field of a source by which Flux verifies the signatures of what it fetches.
fn verification(secret: &str) -> String {
    format!("  verify:\n    provider: cosign\n    secretRef:\n      name: {}\n", scalar(secret))
}

fn of_repository(overlay: &Overlay, pins: &Pins<'_>, sources: &[Source<'_>]) -> Result<Home, Error> {
    let name = overlay.settings.helm_repository.clone();
    let root = overlay.files.kustomization_file_of("base");
    let listed = root.as_deref().and_then(|file| overlay.files.kustomization_file(file));
    let own = listed.and_then(|file| file.namespace()).map(|namespace| namespace.text);
    let namespace = own.unwrap_or(&overlay.settings.namespace).to_owned();
    let url = format!("oci://{}", repository(overlay, pins, None)?);
    if let Some(present) = Source::named(sources, SourceKind::HelmRepository, &name, Some(&namespace)) {
        if present.address() == url && present.insecure == pins.prefix.plain_http() {
            return Ok(Home::present(name, namespace));
        }
        refuse_source(overlay, sources, SourceKind::HelmRepository, &name, &namespace)?;
    }
    if let Some((file, entry)) = listed.and_then(|file| Some((file, file.renames()?))) {
        return Err(renamed(overlay.place(file.file, entry.key.line)));
    }
    let file = "base/charts/helm-repository.yaml".to_owned();
    refuse_taken(overlay, &file)?;
    let insecure = if pins.prefix.plain_http() { "  insecure: true\n" } else { "" };
    let text = format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata:\n  name: {}\n  namespace: {}\nspec:\n  \
         type: oci\n  interval: 10m\n  url: {url}\n{insecure}",
        scalar(&name),
        scalar(&namespace),
    );
    let listed = root.map(|root| (root, "charts/helm-repository.yaml".to_owned()));
    Ok(Home { name, namespace, file: Some(file), text, listed })
}

/// Returns the repository of a chart, or of all charts: `HOST/PATH/charts[/NAME]`.
pub(super) fn repository(overlay: &Overlay, pins: &Pins<'_>, name: Option<&str>) -> Result<String, Error> {
    let invalid =
        |error: crate::oci::InvalidReference| Error::usage(Place::file(&overlay.settings.directory), error.to_string());
    let charts: Repository = overlay.settings.charts_repository.parse().map_err(invalid)?;
    let repository = match name {
        Some(name) => charts.join(name).map_err(invalid)?,
        None => charts,
    };
    Ok(pins.prefix.name_of(&repository))
}

pub(super) fn refuse_renames(overlay: &Overlay, lister: Option<&Lister>) -> Result<(), Error> {
    let at = lister.and_then(|lister| lister.renames.as_ref());
    at.map_or(Ok(()), |at| Err(renamed(overlay.place(&at.file, at.line))))
}

/// Returns the relative path from a directory to a file, both below the overlay.
fn relative(directory: &str, file: &str) -> String {
    let from: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    let to: Vec<&str> = file.split('/').collect();
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let mut parts = vec![".."; from.len() - shared];
    parts.extend(&to[shared..]);
    parts.join("/")
}

fn renamed(place: Place) -> Error {
    Error::refused(place, "a prefix or suffix for names would rename the chart sources, but not the references to them")
        .hint("write the names out: kustomize does not rename the references of a HelmRelease")
}

fn refuse_taken(overlay: &Overlay, file: &str) -> Result<(), Error> {
    let place = || Place::file(join(&overlay.settings.directory, file));
    if overlay.files().contains_key(file) {
        return Err(Error::refused(place(), "cannot write a chart source to this path: the file exists")
            .hint("rename the file"));
    }
    if !overlay.ignore.keeps(file) {
        return Err(Error::refused(place(), "cannot write a chart source to this path: a .sourceignore leaves it out")
            .hint("include the path again with a `!` rule"));
    }
    Ok(())
}

fn refuse_source(
    overlay: &Overlay,
    sources: &[Source<'_>],
    kind: SourceKind,
    name: &str,
    namespace: &str,
) -> Result<(), Error> {
    let Some(Source { object, .. }) = Source::named(sources, kind, name, Some(namespace)) else { return Ok(()) };
    let reason = format!("the {} `{name}` has the name of a chart source that publishing writes", kind.as_str());
    Err(Error::refused(overlay.place(object.file, object.node.line), reason).hint("rename or remove the object"))
}
