//! Sources of charts and files: invalid URLs and digests, and charts without a fixed version.

use crate::flux::{HelmRelease, Source, SourceKind};
use crate::lint::{Class, Findings, Place, Rule, Severity};
use crate::text::shown;
use crate::yaml::Node;

use super::applied::{Applied, AppliedObject};

pub(super) static DIGEST: Rule = Rule {
    id: "source-digest",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "an OCIRepository has an invalid digest",
    verdict: "Flux reports `failed to determine artifact digest: cannot parse hash`, and every object that uses the source waits forever.",
    example: "kind: OCIRepository\nspec:\n  ref: {digest: 9933f58f8bf4}\n",
    way_out: "write `sha256:` and the 64 hex digits of the digest of the artifact's manifest, not of the archive in it",
};

pub(super) static URL: Rule = Rule {
    id: "source-url",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "a source has a URL that Flux cannot use",
    verdict: "Flux stops reconciling the source with `URLInvalid`, and every object that uses the source waits forever.",
    example: "kind: OCIRepository\nspec:\n  url: oci://registry.example.com/charts/web:1.2.3\n",
    way_out: "write a tag or digest in `spec.ref`, not in the URL; use `type: oci` in a HelmRepository if and only if its URL starts with \
              `oci://`",
};

pub(super) static NOT_PINNED: Rule = Rule {
    id: "source-not-pinned",
    class: Class::Reconciles,
    severity: Severity::Warning,
    title: "a chart or a source from elsewhere has no fixed version",
    verdict: "Flux installs the newest version, so appliances with the same release differ, and change without a new release.",
    example: "kind: HelmRelease\nspec:\n  chart:\n    spec: {chart: cert-manager, version: 1.x, sourceRef: {kind: HelmRepository, name: jetstack}}\n",
    way_out: "write an exact version or a digest",
};

pub(super) static LAYER_SELECTOR: Rule = Rule {
    id: "chart-layer-selector",
    class: Class::Reconciles,
    severity: Severity::Warning,
    title: "an OCIRepository for a chart does not select the layer of the chart",
    verdict: "Flux takes the first layer, which is not always the chart, unpacks it, and packs it again without images, archives and other \
              files that Flux excludes from sources.",
    example: "kind: OCIRepository\nspec:\n  url: oci://registry.example.com/charts/web   # a HelmRelease uses it as `chartRef`\n",
    way_out: "add `layerSelector: {mediaType: application/vnd.cncf.helm.chart.content.v1.tar+gzip, operation: copy}`",
};

pub(super) static RULES: &[&Rule] = &[&DIGEST, &URL, &NOT_PINNED, &LAYER_SELECTOR];

pub(super) fn check(applied: &Applied<'_>, found: &mut Findings) {
    let mut seen = Vec::new();
    for (one, source) in applied.sources() {
        let place = (one.object.file, one.object.document, one.object.path.as_str());
        if seen.contains(&place) || applied.may_be_patched(one) {
            continue;
        }
        seen.push(place);
        match source.kind {
            SourceKind::OciRepository => oci_repository(applied, one, source, found),
            SourceKind::HelmRepository => helm_repository(one, source, found),
            SourceKind::GitRepository | SourceKind::Bucket | SourceKind::HelmChart => {}
        }
    }
    // In a tree that could not be packed, the HelmReleases still refer to charts in git.
    let packed = applied.contents.release.is_some();
    for (one, release) in applied.releases().filter(|(one, _)| packed && !applied.may_be_patched(one)) {
        helm_release(applied, one, release, found);
    }
}

fn place(one: &AppliedObject<'_>, node: &Node) -> Place {
    Place::overlay(one.object.file, node)
}

fn is_variable(text: &str) -> bool {
    text.contains("${")
}

fn oci_repository(applied: &Applied<'_>, one: &AppliedObject<'_>, source: &Source<'_>, found: &mut Findings) {
    let name = shown(one.object.name());
    if let Some(url) = source.url {
        let last = url.text.rsplit('/').next().unwrap_or_default();
        if url.text.matches('/').count() > 2 && last.contains([':', '@']) && !is_variable(url.text) {
            let message = format!("the URL of the OCIRepository `{name}` contains a tag or digest: `{}`", shown(last));
            found.add(&URL, place(one, url.node), message);
        }
    }
    if let Some(digest) = source.digest.filter(|digest| !digest.text.is_empty() && !is_variable(digest.text)) {
        if digest.text.parse::<crate::oci::Digest>().is_err() {
            let digest_text = shown(digest.text);
            let message =
                format!("invalid digest `{digest_text}`: expected `sha256:` followed by 64 lowercase hex digits");
            found.add(&DIGEST, place(one, digest.node), message);
        }
        return;
    }
    let range = source.semver.is_some_and(|semver| !is_exact(semver.text));
    let moving = source.semver.is_none() && source.tag.is_none_or(|tag| matches!(tag.text, "" | "latest"));
    if (range || moving) && applied.contents.release.is_some() {
        let node = source.semver.or(source.tag).map_or(one.object.node, |scalar| scalar.node);
        found.add(&NOT_PINNED, place(one, node), format!("the OCIRepository `{name}` has no fixed version or digest"));
    }
}

fn helm_repository(one: &AppliedObject<'_>, source: &Source<'_>, found: &mut Findings) {
    let Some(url) = source.url.filter(|url| !is_variable(url.text)) else { return };
    let is_oci = source.field("type").and_then(Node::as_str) == Some("oci");
    let name = shown(one.object.name());
    if url.text.starts_with("oci://") && !is_oci {
        found.add(
            &URL,
            place(one, url.node),
            format!("the HelmRepository `{name}` has an `oci://` URL but lacks `type: oci`"),
        );
    } else if is_oci && !url.text.starts_with("oci://") {
        found.add(
            &URL,
            place(one, url.node),
            format!("the HelmRepository `{name}` has `type: oci`, but its URL does not start with `oci://`"),
        );
    }
}

fn helm_release(applied: &Applied<'_>, one: &AppliedObject<'_>, release: &HelmRelease<'_>, found: &mut Findings) {
    let name = shown(one.object.name());
    if let Some(reference) = release.chart_ref.filter(|reference| reference.is("OCIRepository")) {
        let sources = &applied.contents.parts.sources;
        let source = Source::referred(sources, SourceKind::OciRepository, &reference, &release.object);
        if source.is_some_and(|source| source.field("layerSelector").is_none()) {
            let message = format!("the OCIRepository with the chart of `{name}` lacks `layerSelector`");
            found.add(&LAYER_SELECTOR, place(one, reference.node), message);
        }
    }
    let Some(chart) = release.chart else { return };
    if chart.is_from("HelmRepository")
        && chart.version.is_none_or(|version| !is_exact(version.text) && !is_variable(version.text))
    {
        let node = chart.version.or(chart.chart).map_or(chart.node, |scalar| scalar.node);
        found.add(&NOT_PINNED, place(one, node), format!("the chart of `{name}` has no exact version"));
    }
}

/// Reports whether a text is a version of three numbers and not a range.
fn is_exact(version: &str) -> bool {
    let version = version.strip_prefix(['=', 'v']).unwrap_or(version);
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    core.split('.').count() == 3 && core.split('.').all(number) && !version.contains([' ', '|', ','])
}
