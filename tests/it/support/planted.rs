//! Generated source trees with any number of charts, each as small as possible.

use std::fmt::Write as _;
use std::path::Path;

/// Writes a source tree with charts of these names, and an overlay that uses each of them.
pub fn plant<T: AsRef<str>>(tree: &Path, charts: impl IntoIterator<Item = T>) {
    let write = |path: &str, text: &str| {
        let path = tree.join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("written");
    };
    let head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n";
    let mut base = head.to_owned();
    for name in charts {
        let name = name.as_ref();
        write(&format!("charts/{name}/Chart.yaml"), &format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\n"));
        write(&format!("charts/{name}/values.yaml"), &format!("name: {name}\n"));
        let release = format!(
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: {name}, namespace: apps}}\nspec:\n  \
             interval: 10m\n  chart:\n    spec:\n      chart: ./charts/{name}\n      sourceRef: {{kind: GitRepository, \
             name: alga-appliance, namespace: flux-system}}\n"
        );
        write(&format!("ee/appliance/flux/base/releases/{name}.yaml"), &release);
        let _ = writeln!(base, "  - releases/{name}.yaml");
    }
    write("ee/appliance/flux/base/kustomization.yaml", &base);
    let profile = "ee/appliance/flux/profiles/single-node";
    write(&format!("{profile}/kustomization.yaml"), &format!("{head}  - ../../base\n"));
    write(&format!("{profile}/values/one.single-node.yaml"), "a: 1\n");
    write("alga-release.yaml", "images: {}\n");
}
