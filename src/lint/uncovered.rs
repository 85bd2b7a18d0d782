//! What the signature of a release does not cover, because the release, its charts or its overlay name it by tag or version
//! only.

use std::collections::BTreeSet;

use super::{Contents, helm};
use crate::appliance;
use crate::text::shown;

/// Returns what the signature of a release does not cover: what its JSON names by tag or version only, which includes the
/// charts of other publishers, and the images without a digest in its charts and its overlay. The list is sorted.
pub(crate) fn not_covered(contents: &Contents<'_>) -> Vec<String> {
    let named = contents.release.map(|release| appliance::not_covered(release, contents.config, true));
    let mut found: BTreeSet<String> = named.into_iter().flatten().collect();
    helm::unpinned_images(contents, &mut found);
    for object in contents.parts.objects.iter().filter(|object| object.kind() != "HelmRelease") {
        let file = shown(object.file);
        found.extend(helm::unpinned(object.node).iter().map(|image| format!("image {} ({file})", shown(image))));
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::Config;
    use crate::contents::Bundle;
    use crate::lint::ChartFiles;
    use crate::oci::Digest;
    use crate::release::Release;

    const HELM_RELEASE: &str =
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web, namespace: a}\n";
    const DEPLOYMENT: &str =
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  containers:\n    - image: ";

    fn files(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
    }

    /// Returns the list for a release with the chart `web`, which has one template, and an overlay with further objects.
    fn listed(template: &str, values: &str, overlay: &str) -> Vec<String> {
        let digest = Digest::of(b"any");
        let json = serde_json::json!({
            "schema": "alga.appliance.release/v1", "version": "1", "channel": "stable", "valuesProfile": "p",
            "images": {}, "charts": { "web": "1.0.0", "cert-manager": "v1.16.2" }, "chartDigests": { "web": digest },
            "controlPlane": format!("r.io/a/control@{digest}"),
            "config": { "repository": "r.io/a/config", "version": "1", "digest": digest }
        });
        let release = Release::parse(&serde_json::to_vec(&json).unwrap()).unwrap();
        let chart = "chart: {spec: {chart: web, sourceRef: {kind: GitRepository, name: a}}}";
        let helm_release = format!("{HELM_RELEASE}spec:\n  {chart}\n{values}");
        let bundle = Bundle::open(files(&[("base/web.yaml", &helm_release), ("base/more.yaml", overlay)]));
        let chart = files(&[
            ("Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n"),
            ("templates/web.yaml", &format!("{DEPLOYMENT}{template}\n")),
            ("templates/config.yaml", "kind: ConfigMap\ndata: {image: r.io/not/run:1, all: {{ .Files.Get \"a\" }}}\n"),
        ]);
        let charts = BTreeMap::from([("web".to_owned(), ChartFiles::new("web", chart, None))]);
        let config = Config::default();
        let mut found = not_covered(&Contents::of(&bundle, charts, Some(&release), &config));
        found.retain(|one| one != "images of chart web in templates/config.yaml, which only the appliance knows");
        assert_eq!(found.first().map(String::as_str), Some("chart cert-manager v1.16.2"), "{found:?}");
        found.split_off(1)
    }

    #[test]
    fn an_image_that_a_chart_prints_by_its_tag_is_not_covered() {
        let values = "  values: {image: {repository: r.io/redis, tag: '7.4'}}\n";
        let template = "\"{{ .Values.image.repository }}:{{ .Values.image.tag }}\"";
        assert_eq!(listed(template, values, ""), ["image r.io/redis:7.4 (chart web)"]);
        let digest = Digest::of(b"image");
        assert_eq!(listed(&format!("r.io/redis:7.4@{digest}"), values, ""), [""; 0]);
        assert_eq!(listed("{{ .Values.none }}", values, ""), [""; 0]);
    }

    #[test]
    fn an_image_that_only_the_appliance_knows_is_named_by_its_template_or_chart() {
        let unknown = ["images of chart web in templates/web.yaml, which only the appliance knows"];
        assert_eq!(listed("r.io/redis:{{ .Capabilities.KubeVersion.Minor }}", "", ""), unknown);
        let secret = "  valuesFrom: [{kind: Secret, name: values}]\n";
        assert_eq!(listed("r.io/redis:7.4", secret, ""), ["images of chart web, which only the appliance knows"]);
    }

    #[test]
    fn an_image_that_the_overlay_names_by_its_tag_is_not_covered() {
        let digest = Digest::of(b"image");
        let covered = format!("{DEPLOYMENT}r.io/tools:1@{digest}\n");
        assert_eq!(listed("''", "", &covered), [""; 0]);
        let open = format!(
            "{DEPLOYMENT}r.io/tools:1\n---\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{image: r.io/a:1}}\n"
        );
        assert_eq!(listed("''", "", &open), ["image r.io/tools:1 (base/more.yaml)"]);
    }
}
