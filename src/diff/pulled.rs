//! Finds the container images in the objects of a rendered release that the cluster pulls from outside of the release's prefix.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::objects::{self, ComparedObject};
use super::rendered::Rendering;
use super::side::Files;
use crate::oci::{Prefix, docker_name, has_host, split_name};
use crate::text::shown;

/// Keys of a pod that list containers.
const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// A container image that is not below the prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Reference of the image as the object says it.
    pub image: String,
    /// The rendering and the object that name the image: `helm alga-system/web: Deployment web`.
    pub by: BTreeSet<String>,
}

impl fmt::Display for Pulled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by: Vec<String> = self.by.iter().map(|by| shown(by)).collect();
        write!(f, "{} is pulled from elsewhere ({})", shown(&self.image), by.join("; "))
    }
}

/// Returns the images of a rendering, and of files that are applied as they are `written`, that are not below `prefix`, sorted by name.
/// Files that cannot be read are added to `notes`.
pub fn elsewhere(rendering: &Rendering, written: &Files, prefix: &Prefix, notes: &mut Vec<String>) -> Vec<Pulled> {
    let named: Files = rendering.documents.iter().map(|(of, text)| (format!("{of}.yaml"), text.clone())).collect();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for ComparedObject { id, file, value, .. } in objects::read(named.iter().chain(written), notes) {
        let of = file.strip_suffix(".yaml").filter(|_| named.contains_key(&file)).unwrap_or(&file);
        let by = format!("{of}: {id}");
        each_image(&value, &mut |image| {
            if !is_below(prefix, image) {
                found.entry(image.to_owned()).or_default().insert(by.clone());
            }
        });
    }
    found.into_iter().map(|(image, by)| Pulled { image, by }).collect()
}

/// Calls `each` for every image. Pod templates are found at any depth, in workloads and in objects that operators make workloads of.
fn each_image(value: &Value, each: &mut impl FnMut(&str)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| each_image(item, each)),
        Value::Object(entries) => {
            for (key, value) in entries {
                let items = value.as_array().filter(|_| CONTAINERS.contains(&key.as_str()));
                for image in items.into_iter().flatten().filter_map(|item| item.get("image")?.as_str()) {
                    each(image.trim());
                }
                each_image(value, each);
            }
        }
        _ => {}
    }
}

fn is_below(prefix: &Prefix, image: &str) -> bool {
    let (name, _) = split_name(image);
    let first = name.split_once('/').map_or("", |(first, _)| first);
    // Docker takes a first part of one word for a path, but the prefix may have a host of one word.
    let own = first == prefix.host() || has_host(first);
    let name = if own { name.to_owned() } else { docker_name(name) };
    prefix.strip(&name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendering(documents: &[(&str, &str)]) -> Rendering {
        let documents = documents.iter().map(|(of, text)| ((*of).to_owned(), text.as_bytes().to_vec())).collect();
        Rendering { documents, ..Rendering::default() }
    }

    fn lines(rendering: &Rendering, prefix: &str) -> Vec<String> {
        let prefix = Prefix::parse(prefix, false).expect("a prefix");
        elsewhere(rendering, &Files::new(), &prefix, &mut Vec::new()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn images_of_every_pod_template_that_are_not_below_the_prefix_are_listed_with_what_pulls_them() {
        let web = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: a}
spec:
  template:
    spec:
      initContainers: [{name: i, image: busybox:1}]
      containers: [{name: w, image: 'mirror:5000/b/web:1'}, {name: r, image: docker.io/library/redis@sha256:0}]
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: clean}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{image: busybox:1}, {name: none}]}}}}}
---
apiVersion: example.com/v1
kind: Database
metadata: {name: db}
spec: {podTemplate: {spec: {containers: [{image: quay.io/x/y}]}}, image: not.a/container}
---
apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {containers: [{image: mirror:5000/bb/web}], ephemeralContainers: [{image: mirror:5000/b}]}
";
        let expected = [
            "busybox:1 is pulled from elsewhere (helm a/web: CronJob clean; helm a/web: Deployment a/web)",
            "docker.io/library/redis@sha256:0 is pulled from elsewhere (helm a/web: Deployment a/web)",
            "mirror:5000/b is pulled from elsewhere (helm a/web: Pod p)",
            "mirror:5000/bb/web is pulled from elsewhere (helm a/web: Pod p)",
            "quay.io/x/y is pulled from elsewhere (helm a/web: Database db)",
        ];
        assert_eq!(lines(&rendering(&[("helm a/web", web)]), "mirror:5000/b"), expected);
    }

    #[test]
    fn files_that_are_applied_unbuilt_are_read_too() {
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{image: redis}]}\n";
        let written = [("base/p.yaml", pod), ("base/p.md", pod)];
        let written = written.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).into();
        let prefix = Prefix::parse("mirror/b", false).expect("a prefix");
        let images = elsewhere(&Rendering::default(), &written, &prefix, &mut Vec::new());
        assert_eq!(images, [Pulled { image: "redis".into(), by: ["base/p.yaml: Pod p".into()].into() }]);
    }

    #[test]
    fn a_name_without_a_host_is_on_docker_hub() {
        let pod = |image: &str| {
            let text = format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec: {{containers: [{{image: '{image}'}}]}}\n"
            );
            rendering(&[("kustomize base", &text)])
        };
        assert_eq!(lines(&pod("team/web:1"), "docker.io/team"), Vec::<String>::new());
        assert_eq!(lines(&pod("registry/team/web:1"), "registry/team"), Vec::<String>::new());
        assert_eq!(lines(&pod("team/web:1"), "registry/team").len(), 1);
    }

    #[test]
    fn an_image_that_steers_a_terminal_is_escaped() {
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{image: \"a\\e[2J\"}]}\n";
        let lines = lines(&rendering(&[("helm a/b", text)]), "mirror/b");
        assert!(lines.len() == 1 && !lines[0].contains('\u{1b}'), "{lines:?}");
    }
}
