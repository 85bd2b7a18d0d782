//! Compares the overlay in a bundle with the release: the charts that the overlay pins, and the values that the release
//! copies.

use std::collections::BTreeSet;

use super::{Aspect, Check, Subject};
use crate::contents::Bundle;
use crate::flux::{HelmRelease, Object, Source, SourceKind};
use crate::oci::{Digest, Prefix, Repository};
use crate::overlay::git_references;
use crate::release::{NamedKind, Release};

/// The pin of one chart in a release's overlay.
#[derive(Debug)]
struct Pin {
    chart: String,
    file: String,
    version: Option<String>,
    digest: Option<String>,
    /// Whether the chart is below the release's own prefix.
    own: bool,
}

/// Checks that a bundle is a valid overlay. The appliance applies `base`, and has no git repository.
pub(super) fn is_overlay(bundle: &Bundle) -> Result<(), String> {
    if !bundle.bytes().keys().any(|path| path.starts_with("base/")) {
        return Err("missing directory `base`, which the appliance applies".to_owned());
    }
    let places = git_references(&bundle.parts().objects);
    let places: Vec<String> = places.iter().take(10).map(|(file, line)| format!("{file}:{line}")).collect();
    if places.is_empty() {
        return Ok(());
    }
    Err(format!("the overlay refers to a GitRepository, which the appliance does not have: {}", places.join(", ")))
}

/// Checks every pin of a chart of this release. A chart without a pin fails, and so does a pin of a chart that the
/// release does not list.
pub(super) fn pins(bundle: &Bundle, release: &Release, prefix: &Prefix, charts: &Repository) -> Vec<Check> {
    let parts = bundle.parts();
    let found: Vec<Pin> =
        parts.objects.iter().filter_map(|object| pin(object, &parts.sources, prefix, charts)).collect();
    let mut checks: Vec<Check> = found.iter().filter_map(|pin| judge(pin, release)).collect();
    let pinned: BTreeSet<&str> = found.iter().map(|pin| pin.chart.as_str()).collect();
    let reference = &release.config.repository;
    for name in release.chart_digests.keys().filter(|name| !pinned.contains(name.as_str())) {
        let subject = Subject { kind: NamedKind::Chart, name, reference };
        checks.push(subject.failed(Aspect::Pin, "the overlay does not use the chart"));
    }
    if release.charts.is_empty() && !parts.releases.is_empty() {
        let subject = Subject { kind: NamedKind::Release, name: &release.version, reference };
        let reason = format!("the release lists no charts, but the bundle has {} HelmReleases", parts.releases.len());
        checks.push(subject.failed(Aspect::Pin, reason));
    }
    checks.extend(bundle.broken().iter().map(|broken| {
        let path = &broken.at.file;
        let subject = Subject { kind: NamedKind::Bundle, name: path, reference: path };
        subject.failed(Aspect::Pin, format!("line {}: {}", broken.at.line, broken.reason))
    }));
    checks
}

/// Returns the pin in an `OCIRepository` of a chart of this release, or in a `HelmRelease` that names a chart by
/// version.
fn pin(object: &Object<'_>, sources: &[Source<'_>], prefix: &Prefix, charts: &Repository) -> Option<Pin> {
    let file = object.file.to_owned();
    let text = |scalar: crate::flux::Scalar<'_>| scalar.text.to_owned();
    let below = |source: &Source<'_>| prefix.strip(source.address().strip_prefix("oci://")?);
    if let Some(source) = Source::of(object).filter(|source| source.kind == SourceKind::OciRepository) {
        let repository = below(&source)?;
        let chart = repository.as_str().strip_prefix(charts.as_str())?.strip_prefix('/')?.to_owned();
        let (version, digest) = (source.tag.map(text), source.digest.map(text));
        return Some(Pin { chart, file, version, digest, own: true });
    }
    let spec = HelmRelease::of(object)?.chart.filter(|chart| chart.is_from("HelmRepository"))?;
    let source = Source::referred(sources, SourceKind::HelmRepository, &spec.source?, object);
    let own = source.and_then(below).is_some_and(|repository| repository == *charts);
    Some(Pin { chart: text(spec.chart?), file, version: spec.version.map(text), digest: None, own })
}

/// Compares a pin with the release. Returns `None` for a chart of another publisher that an older publisher did not
/// list.
fn judge(pin: &Pin, release: &Release) -> Option<Check> {
    let subject = Subject { kind: NamedKind::Chart, name: &pin.chart, reference: &pin.file };
    let Some(version) = release.charts.get(&pin.chart) else {
        let listed = pin.own || release.description.is_some();
        return listed.then(|| {
            subject.failed(Aspect::Pin, "the overlay uses the chart, but the release does not list the chart")
        });
    };
    let tag = |version: &str| version.replace('+', "_");
    let result = match (&pin.digest, &pin.version, release.chart_digests.get(&pin.chart)) {
        (Some(found), _, Some(digest)) if *found != digest.to_string() => {
            Err(format!("the overlay pins {found}, expected {digest} as in the release"))
        }
        (_, Some(found), _) if tag(found) != tag(version) => {
            Err(format!("the overlay pins version {found}, expected {version} as in the release"))
        }
        (None, None, _) => Err("the overlay uses the chart without a version or digest".to_owned()),
        (Some(found), ..) if found.parse::<Digest>().is_err() => {
            Err(format!("invalid digest `{found}`: expected `sha256:` followed by 64 lowercase hex digits"))
        }
        _ => Ok(()),
    };
    Some(subject.judge(Aspect::Pin, result))
}

/// Compares the values of the profile in the release with those in the bundle. Releases of older publishers have no
/// values.
pub(super) fn values(bundle: &Bundle, release: &Release) -> Vec<Check> {
    let in_bundle = bundle.profile_values(&release.values_profile);
    let carried = &release.profile_values;
    let every: BTreeSet<&str> = in_bundle.keys().copied().chain(carried.keys().map(String::as_str)).collect();
    let check = |name: &str| {
        let reference = format!("profiles/{}/values/{name}", release.values_profile);
        let subject = Subject { kind: NamedKind::Bundle, name, reference: &reference };
        match (in_bundle.get(name), carried.get(name)) {
            (Some(_), None) if carried.is_empty() => {
                subject.not_checked(Aspect::Values, "the release has no values: an older publisher wrote the release")
            }
            (Some(_), None) => subject.failed(Aspect::Values, "the release does not have these values"),
            (None, _) => subject.failed(Aspect::Values, "the release has these values, but the bundle does not"),
            (Some(own), Some(copy)) if String::from_utf8_lossy(own) == copy.as_str() => subject.ok(Aspect::Values),
            (Some(_), Some(_)) => {
                subject.failed(Aspect::Values, "the values in the release differ from those in the bundle")
            }
        }
    };
    every.into_iter().map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Outcome;

    fn release() -> Release {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"bundle"));
        let json = format!(
            r#"{{"schema":"{}","version":"1","channel":"stable","valuesProfile":"p","images":{{}},
            "config":{{"repository":"r.io/x/config","version":"1","digest":"{b}"}},
            "charts":{{"a":"1.0+b"}},"chartDigests":{{"a":"{a}"}},"profileValues":{{"a.p.yaml":"x: 1\n"}}}}"#,
            crate::release::SCHEMA
        );
        Release::parse(json.as_bytes()).expect("a release")
    }

    fn source(digest: &str, tag: &str) -> String {
        format!(
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nspec:\n  url: oci://r.io/x/charts/a\n  ref: {{tag: '{tag}', digest: '{digest}'}}\n"
        )
    }

    fn outcomes(files: &[(&str, &str)]) -> Vec<(Outcome, Option<String>)> {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
        let prefix = Prefix::parse("r.io/x", false).expect("a prefix");
        let checks = pins(&Bundle::open(files), &release(), &prefix, &"charts".parse().expect("a repository"));
        checks.into_iter().map(|check| (check.outcome, check.reason)).collect()
    }

    #[test]
    fn a_pin_must_have_the_digest_and_the_version_in_the_release() {
        let digest = Digest::of(b"a").to_string();
        let other = Digest::of(b"other").to_string();
        assert_eq!(outcomes(&[("base/a.yaml", &source(&digest, "1.0_b"))]), [(Outcome::Ok, None)]);
        for (text, words) in [
            (source(&other, "1.0_b"), other.as_str()),
            (source(&digest, "1.1"), "version 1.1"),
            (
                "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nspec: {url: 'oci://r.io/x/charts/a'}\n"
                    .to_owned(),
                "without",
            ),
            ("kind: [\n".to_owned(), "line"),
            ("kind: ConfigMap\n".to_owned(), "does not use the chart"),
        ] {
            let found = outcomes(&[("base/a.yaml", &text)]);
            let failed = found.iter().any(|(outcome, reason)| {
                *outcome == Outcome::Failed && reason.as_ref().is_some_and(|reason| reason.contains(words))
            });
            assert!(failed, "{words}: {found:?}");
        }
        let by_version = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec: {chart: {spec: {chart: a, version: '1.0+b', sourceRef: {kind: HelmRepository, name: c}}}}\n";
        assert_eq!(outcomes(&[("base/a.yaml", by_version)]), [(Outcome::Ok, None)]);
    }

    #[test]
    fn pins_in_lists_and_in_json_count_but_objects_of_other_api_groups_do_not() {
        let digest = Digest::of(b"a").to_string();
        let object = source(&digest, "1.0_b");
        let list = format!("apiVersion: v1\nkind: List\nitems:\n- {}", object.replace('\n', "\n  "));
        let json = format!(
            r#"{{"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "OCIRepository", "spec":
            {{"url": "oci://r.io/x/charts/a", "ref": {{"tag": "1.0_b", "digest": "{digest}"}}}}}}"#
        );
        assert_eq!(outcomes(&[("base/a.yaml", &list)]), [(Outcome::Ok, None)]);
        assert_eq!(outcomes(&[("base/a.json", &json)]), [(Outcome::Ok, None)]);
        let found = outcomes(&[("base/a.yaml", &object.replace("source.toolkit.fluxcd.io", "example.com"))]);
        assert!(
            matches!(&found[..], [(Outcome::Failed, Some(reason))] if reason.contains("does not use")),
            "{found:?}"
        );
    }

    #[test]
    fn values_must_equal_those_in_the_bundle() {
        let judge = |files: &[(&str, &str)]| {
            let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
            values(&Bundle::open(files), &release()).into_iter().map(|check| check.outcome).collect::<Vec<_>>()
        };
        assert_eq!(judge(&[("profiles/p/values/a.p.yaml", "x: 1\n")]), [Outcome::Ok]);
        assert_eq!(judge(&[("profiles/p/values/a.p.yaml", "x: 2\n")]), [Outcome::Failed]);
        assert_eq!(judge(&[]), [Outcome::Failed]);
        assert_eq!(
            judge(&[("profiles/p/values/a.p.yaml", "x: 1\n"), ("profiles/p/values/b.p.yaml", "")]),
            [Outcome::Ok, Outcome::Failed]
        );
    }
}
