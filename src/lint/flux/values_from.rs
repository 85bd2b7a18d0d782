//! `valuesFrom` of HelmReleases: the release must provide, or the overlay contain, each ConfigMap and Secret.

use std::collections::BTreeSet;

use crate::flux::{HelmRelease, KustomizationFile, ValuesFrom};
use crate::lint::{Class, Finding, Findings, Place, Rule, Severity};
use crate::path::has_extension;
use crate::text::{nearest, shown};
use crate::yaml::Node;

use super::applied::{Applied, AppliedObject};

pub(super) static MISSING: Rule = Rule {
    id: "values-from-missing",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "`valuesFrom` names a ConfigMap that does not exist",
    verdict: "Flux never installs the HelmRelease: `could not find ConfigMap 'NAMESPACE/NAME'`. The appliance provides one ConfigMap for each \
              values file of the release's profile that a HelmRelease reads. The overlay may contain others, in the namespace of the \
              HelmRelease.",
    example: "kind: HelmRelease\nspec:\n  valuesFrom:\n    - {kind: ConfigMap, name: appliance-values-wbe}\n",
    way_out: "correct the name, or add the values file `profiles/PROFILE/values/NAME.PROFILE.yaml`; if the cluster has the ConfigMap \
              without the overlay, add `ConfigMap/NAMESPACE/NAME` to `lint.external` in the configuration",
};

pub(super) static KEY: Rule = Rule {
    id: "values-from-key",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "`valuesFrom` reads a key that the ConfigMap does not have",
    verdict: "Flux never installs the HelmRelease: `missing key 'KEY' in ConfigMap 'NAMESPACE/NAME'`. The default of `valuesKey` is \
              `values.yaml`. For values that the release provides, the key is the name of their file.",
    example: "kind: HelmRelease\nspec:\n  valuesFrom:\n    - {kind: ConfigMap, name: appliance-values-web, valuesKey: web.singel-node.yaml}\n",
    way_out: "correct `valuesKey`",
};

pub(super) static SECRET_MISSING: Rule = Rule {
    id: "values-from-secret-missing",
    class: Class::Reconciles,
    severity: Severity::Warning,
    title: "`valuesFrom` names a Secret that the overlay does not have",
    verdict: "Unless something outside of the overlay creates the Secret, Flux never installs the HelmRelease: `could not find Secret`.",
    example: "kind: HelmRelease\nspec:\n  valuesFrom:\n    - {kind: Secret, name: database-password}\n",
    way_out: "add the Secret; if the cluster has the Secret without the overlay, add `Secret/NAMESPACE/NAME` to `lint.external` in the \
              configuration",
};

pub(super) static HASHED: Rule = Rule {
    id: "values-from-hashed",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "`valuesFrom` names a ConfigMap or Secret whose generated name ends in a hash",
    verdict: "kustomize appends a hash to the generated name but does not change `valuesFrom`, so Flux never installs the HelmRelease: \
              `could not find ConfigMap`.",
    example: "configMapGenerator:\n  - {name: web-values, files: [values.yaml]}   # a HelmRelease reads `web-values`\n",
    way_out: "set `generatorOptions: {disableNameSuffixHash: true}`",
};

pub(super) static RULES: &[&Rule] = &[&MISSING, &KEY, &SECRET_MISSING, &HASHED];

/// A ConfigMap or Secret that exists in the overlay.
struct Held {
    /// Keys of its data; `None` if they are not known.
    keys: Option<BTreeSet<String>>,
    /// Whether kustomize appends a hash to its name.
    hashed: bool,
}

/// An item of `valuesFrom` that reads one key.
struct Read<'r, 'a> {
    applied: &'r Applied<'a>,
    from: &'r AppliedObject<'a>,
    release: &'r HelmRelease<'a>,
    item: &'r ValuesFrom<'a>,
    kind: &'a str,
    name: &'a str,
    key: &'a str,
}

pub(super) fn check(applied: &Applied<'_>, found: &mut Findings) {
    if applied.renamed.is_some() {
        return;
    }
    for (from, release) in applied.releases() {
        for item in release.values_from.iter().filter(|item| !item.optional) {
            let (Some(kind), Some(name)) = (item.kind, item.name) else { continue };
            let key = item.values_key.map_or(ValuesFrom::DEFAULT_KEY, |key| key.text);
            let variable = applied.substitutes(from) && (name.text.contains("${") || key.contains("${"));
            if !variable && matches!(kind.text, "ConfigMap" | "Secret") {
                Read { applied, from, release, item, kind: kind.text, name: name.text, key }.check(found);
            }
        }
    }
}

impl<'a> Read<'_, 'a> {
    fn namespace(&self) -> Option<&str> {
        self.from.namespace.as_deref()
    }

    fn check(&self, found: &mut Findings) {
        if self.applied.is_external(self.kind, self.namespace(), self.name) {
            return;
        }
        if self.kind == "ConfigMap" && self.is_provided() {
            self.provided_key(found);
            return;
        }
        match self.held() {
            Some(Held { hashed: true, .. }) => {
                let message = format!(
                    "kustomize appends a hash to the name of the {} `{}`, but `valuesFrom` names it without the hash",
                    self.kind,
                    shown(self.name)
                );
                self.add(&HASHED, self.name_node(), message, found);
            }
            Some(Held { keys: Some(keys), .. }) if !keys.contains(self.key) => {
                let message = format!("the {} `{}` has no key `{}`", self.kind, shown(self.name), shown(self.key));
                let near = nearest(self.key, keys.iter().map(String::as_str));
                let finding = self.add(&KEY, self.key_node(), message, found);
                if let Some(near) = near {
                    finding.help(format!("did you mean `{}`?", shown(&near)));
                    self.rename(finding, self.key_node(), &near);
                }
            }
            Some(_) => {}
            None if self.kind == "Secret" => self.secret(found),
            None => self.missing(found),
        }
    }

    fn profile(&self) -> &str {
        let contents = self.applied.contents;
        contents.release.map_or(&*contents.config.profile, |release| &*release.values_profile)
    }

    fn has_values_file(&self, name: &str) -> bool {
        let mut files = self.applied.contents.profile_values();
        files.any(|(path, _)| path.rsplit('/').next() == Some(name))
    }

    fn name_node(&self) -> &'a Node {
        self.item.name.map_or(self.release.object.node, |name| name.node)
    }

    fn key_node(&self) -> &'a Node {
        self.item.values_key.map_or_else(|| self.name_node(), |key| key.node)
    }

    fn add<'f>(&self, rule: &'static Rule, node: &Node, message: String, found: &'f mut Findings) -> &'f mut Finding {
        found.add(rule, Place::overlay(self.from.object.file, node), message)
    }

    /// Offers to replace a scalar of the HelmRelease.
    fn rename(&self, finding: &mut Finding, node: &Node, to: &str) {
        if let Some(text) = self.applied.contents.text(self.from.object.file) {
            finding.rename(text, node, to);
        }
    }

    /// Reports whether the appliance creates the ConfigMap, with the key, from values of the release.
    fn is_provided(&self) -> bool {
        let namespace = self.namespace();
        if self.applied.installation.is_none() {
            let of = self.name.strip_prefix(&self.applied.contents.config.appliance.values_prefix);
            let older = self.applied.contents.is_of_older_publisher();
            return of.is_some_and(|of| older || self.has_values_file(&format!("{of}.{}.yaml", self.profile())));
        }
        self.applied.values().iter().any(|reader| {
            let same = namespace.is_none_or(|namespace| namespace == reader.namespace);
            same && reader.config_map == self.name && reader.key == self.key
        })
    }

    /// Checks a key that the appliance provides. The appliance creates any key, but a key like the name of a missing file is a mistake.
    fn provided_key(&self, found: &mut Findings) {
        if !has_extension(self.key, &["yaml", "yml"]) || self.key == ValuesFrom::DEFAULT_KEY {
            return;
        }
        let files = self.applied.contents.files.bytes().keys();
        let values: Vec<&str> = files
            .filter_map(|path| path.strip_prefix("profiles/")?.split_once("/values/").map(|(_, name)| name))
            .collect();
        let own = self.applied.values().iter().find(|reader| reader.config_map == self.name && reader.key == self.key);
        let own = own.map(|reader| reader.file.as_str()).unwrap_or_default();
        if !values.contains(&self.key) && self.key != own && !self.is_generated_in_profile() {
            let message = format!("no profile contains a values file `{}`", shown(self.key));
            let near = nearest(self.key, values.iter().copied()).unwrap_or_else(|| own.to_owned());
            let finding = self.add(&KEY, self.key_node(), message, found);
            finding.help(format!("did you mean `{}`?", shown(&near)));
            self.rename(finding, self.key_node(), &near);
        }
    }

    /// Reports whether a kustomization file of a profile generates the ConfigMap with the key.
    fn is_generated_in_profile(&self) -> bool {
        let files = self.applied.contents.files.kustomization_files();
        files.filter(|file| file.file.starts_with("profiles/")).any(|file| {
            generated(&file, "configMapGenerator", self.name)
                .is_some_and(|held| held.keys.is_none_or(|keys| keys.contains(self.key)))
        })
    }

    /// Finds the object in the overlay, or the generator that creates it.
    fn held(&self) -> Option<Held> {
        if let Some(one) = self.applied.find(self.kind, self.namespace(), self.name) {
            let patched = self.applied.may_be_patched(one);
            return Some(Held { keys: keys_of(one).filter(|_| !patched), hashed: false });
        }
        let generator = if self.kind == "ConfigMap" { "configMapGenerator" } else { "secretGenerator" };
        for applier in &self.applied.appliers {
            for entered in applier.build.entered() {
                let Some(file) = self.applied.contents.files.kustomization_file(&entered.file) else { continue };
                let Some(held) = generated(&file, generator, self.name) else { continue };
                let namespace = entered.namespace.as_deref();
                if namespace.is_none() || self.namespace().is_none() || namespace == self.namespace() {
                    return Some(held);
                }
            }
        }
        let selection = self.applied.installation.as_ref().map(|installation| &installation.selection)?;
        let same = self.namespace().is_none_or(|namespace| namespace == selection.namespace);
        (same && self.kind == "ConfigMap" && selection.name == self.name).then_some(Held { keys: None, hashed: false })
    }

    fn secret(&self, found: &mut Findings) {
        // An object that creates a Secret (an ExternalSecret, a Certificate) contains the name of the Secret.
        let makes = |one: &&AppliedObject<'_>| {
            !matches!(
                one.object.kind(),
                "HelmRelease" | "Kustomization" | "Deployment" | "StatefulSet" | "DaemonSet" | "Job"
            )
        };
        let mut others = self.applied.objects.iter().filter(makes);
        if others.any(|one| one.object.node.walk().iter().any(|node| node.as_str() == Some(self.name))) {
            return;
        }
        let message = format!("the overlay does not contain the Secret `{}`", self.written());
        self.add(&SECRET_MISSING, self.name_node(), message, found);
    }

    fn missing(&self, found: &mut Findings) {
        let message = format!(
            "neither the release nor the overlay contains a ConfigMap `{}` with the key `{}`",
            self.written(),
            shown(self.key)
        );
        let (help, complete) = (self.instead(), self.applied.complete);
        let finding = self.add(&MISSING, self.name_node(), message, found);
        if !complete {
            finding.severity(Severity::Note);
        }
        help.map(|help| finding.help(help));
    }

    fn written(&self) -> String {
        let namespace = self.namespace().map(|namespace| format!("{}/", shown(namespace))).unwrap_or_default();
        format!("{namespace}{}", shown(self.name))
    }

    fn instead(&self) -> Option<String> {
        let elsewhere = self.applied.find(self.kind, None, self.name);
        if let Some(namespace) = elsewhere.and_then(|one| one.namespace.as_deref()) {
            return Some(format!(
                "move the ConfigMap from the namespace `{}` to the namespace of the HelmRelease",
                shown(namespace)
            ));
        }
        let config = self.applied.contents.config;
        let profile = self.profile();
        if let Some(of) = self.name.strip_prefix(&config.appliance.values_prefix) {
            let file = format!("{of}.{profile}.yaml");
            if !self.has_values_file(&file) {
                return Some(format!(
                    "add the values file `{}` to the profile `{}`, or correct the name",
                    shown(&file),
                    shown(profile)
                ));
            }
            return Some(format!("write `valuesKey: {}`, the name of the values file", shown(&file)));
        }
        let provided = self.applied.values().iter().map(|reader| reader.config_map.as_str());
        let near = self.applied.similar(self.kind, self.name).or_else(|| nearest(self.name, provided))?;
        Some(format!("did you mean `{}`?", shown(&near)))
    }
}

fn keys_of(one: &AppliedObject<'_>) -> Option<BTreeSet<String>> {
    let mut keys = BTreeSet::new();
    for part in ["data", "binaryData", "stringData"] {
        let node = one.object.node.get(&[part]);
        for entry in node.map(Node::entries).unwrap_or_default() {
            keys.insert(entry.key.as_str()?.to_owned());
        }
    }
    Some(keys)
}

/// Finds the generator with the given name in a kustomization file.
fn generated(file: &KustomizationFile<'_>, key: &str, name: &str) -> Option<Held> {
    let items = file.root.get(&[key]).map(Node::items).unwrap_or_default();
    let item = items.iter().find(|item| item.text_at(&["name"]) == Some(name))?;
    let yes = |node: &Node, path: &[&str]| node.text_at(path) == Some("true");
    let plain = yes(item, &["options", "disableNameSuffixHash"])
        || yes(file.root, &["generatorOptions", "disableNameSuffixHash"]);
    let configured = file.root.get(&["configurations"]).is_some();
    let list = |key: &str| item.get(&[key]).map(Node::items).unwrap_or_default();
    let mut keys = BTreeSet::new();
    for text in list("files").iter().filter_map(Node::as_str) {
        let own = text.split_once('=').map(|(key, _)| key);
        keys.insert(own.unwrap_or_else(|| text.rsplit('/').next().unwrap_or_default()).to_owned());
    }
    for text in list("literals").iter().filter_map(Node::as_str) {
        keys.insert(text.split_once('=').map_or(text, |(key, _)| key).to_owned());
    }
    let known =
        item.get(&["envs"]).is_none() && item.get(&["env"]).is_none() && item.text_at(&["behavior"]) != Some("merge");
    Some(Held { keys: known.then_some(keys), hashed: !plain && !configured })
}
