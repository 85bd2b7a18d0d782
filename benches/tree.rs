//! Source trees of any size.

use std::fmt::Write as _;
use std::path::Path;

/// A source tree of charts that differ by name, and an overlay that uses each.
pub fn plant(tree: &Path, count: usize) {
    let write = |path: String, text: String| {
        let path = tree.join(path);
        std::fs::create_dir_all(path.parent().expect("below the tree")).expect("a directory");
        std::fs::write(path, text).expect("the scratch directory is writable");
    };
    let overlay = "ee/appliance/flux";
    let mut releases = String::new();
    for number in 0..count {
        let name = format!("chart-{number:04}");
        write(format!("charts/{name}/Chart.yaml"), format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\n"));
        write(format!("charts/{name}/values.yaml"), format!("image:\n  tag: v{number}\n"));
        let template = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\n".to_owned();
        write(format!("charts/{name}/templates/map.yaml"), template + &format!("data:\n  number: \"{number}\"\n"));
        let release = format!(
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: {name}\n  namespace: apps\nspec:\n  \
             interval: 10m\n  chart:\n    spec:\n      chart: ./charts/{name}\n      sourceRef:\n        kind: GitRepository\n        \
             name: alga-appliance\n        namespace: flux-system\n"
        );
        write(format!("{overlay}/base/releases/{name}.yaml"), release);
        let _ = writeln!(releases, "  - releases/{name}.yaml");
    }
    let head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n";
    write(format!("{overlay}/base/kustomization.yaml"), format!("{head}{releases}"));
    write(format!("{overlay}/profiles/single-node/kustomization.yaml"), format!("{head}  - ../../base\n"));
    write(format!("{overlay}/profiles/single-node/values/one.single-node.yaml"), "a: 1\n".to_owned());
    write("alga-release.yaml".to_owned(), "images: {}\n".to_owned());
}
