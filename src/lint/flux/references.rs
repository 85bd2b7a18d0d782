//! References between Flux objects: `dependsOn`, health checks, and the sources of charts and directories.

use crate::flux::{HELM, KUSTOMIZE, Reference, Scalar};
use crate::lint::{Class, Findings, Place, Rule, Severity};
use crate::text::{nearest, shown};

use super::applied::{Applied, AppliedObject};

pub(super) static DEPENDENCY_MISSING: Rule = Rule {
    id: "depends-on-missing",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "`dependsOn` names an object that does not exist",
    verdict: "Flux waits forever: `dependency 'NAMESPACE/NAME' is not ready` or `not found`. `dependsOn` of a HelmRelease names \
              HelmReleases, and that of a Kustomization names Kustomizations. A name without a namespace refers to the object's own \
              namespace.",
    example: "kind: HelmRelease\nspec:\n  dependsOn: [{name: databse}]\n",
    way_out: "correct the name and the namespace, or remove the entry; if the cluster has the object without the overlay, add \
              `KIND/NAMESPACE/NAME` to `lint.external` in the configuration",
};

pub(super) static HEALTH_CHECK_MISSING: Rule = Rule {
    id: "health-check-missing",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "a health check names a Flux object that does not exist",
    verdict: "The Kustomization fails at its timeout, in every interval: `health check failed`. Flux never applies objects that depend on it.",
    example: "kind: Kustomization\nspec:\n  healthChecks:\n    - {apiVersion: helm.toolkit.fluxcd.io/v2, kind: HelmRelease, name: wbe}\n",
    way_out: "correct the name and the namespace, or remove the check; if the cluster has the object without the overlay, add \
              `KIND/NAMESPACE/NAME` to `lint.external` in the configuration",
};

pub(super) static SOURCE_MISSING: Rule = Rule {
    id: "source-missing",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "an object refers to a source that does not exist",
    verdict: "Flux never installs or applies the object: `Source 'OCIRepository/NAMESPACE/NAME' not found`. A reference without a \
              namespace refers to the namespace of the object that contains it.",
    example: "kind: HelmRelease\nspec:\n  chartRef: {kind: OCIRepository, name: wbe}\n",
    way_out: "correct the kind, name and namespace; if the cluster has the source without the overlay, add `KIND/NAMESPACE/NAME` to \
              `lint.external` in the configuration",
};

pub(super) static PATH_MISSING: Rule = Rule {
    id: "kustomization-path-missing",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "a Kustomization applies a directory that the bundle does not have",
    verdict: "Flux reports `kustomization path not found: stat ...: no such file or directory`, and applies nothing.",
    example: "kind: Kustomization\nspec:\n  path: ./base/platfrom\n",
    way_out: "correct `spec.path`, which is relative to the overlay's root, or remove the ignore rule that excludes the directory",
};

pub(super) static RULES: &[&Rule] = &[&DEPENDENCY_MISSING, &HEALTH_CHECK_MISSING, &SOURCE_MISSING, &PATH_MISSING];

/// The target of a reference.
struct Meant<'r, 'a> {
    applied: &'r Applied<'a>,
    kind: &'r str,
    name: Scalar<'a>,
    namespace: Option<&'r str>,
}

pub(super) fn check(applied: &Applied<'_>, found: &mut Findings) {
    paths(applied, found);
    if applied.renamed.is_some() {
        return; // The names in the files differ from those in the cluster.
    }
    for (one, release) in applied.releases() {
        for reference in &release.depends_on {
            dependency(applied, one, reference, "HelmRelease", found);
        }
        source(applied, one, release.chart_ref.as_ref(), found);
        source(applied, one, release.chart.and_then(|chart| chart.source).as_ref(), found);
    }
    for applier in &applied.appliers {
        let (Some(kustomization), Some(parent)) = (applier.kustomization, applier.parent) else { continue };
        let (object, namespace) = (kustomization.object.clone(), applier.namespace.clone());
        let one = AppliedObject { object, namespace, by: parent };
        for reference in &kustomization.depends_on {
            dependency(applied, &one, reference, "Kustomization", found);
        }
        source(applied, &one, kustomization.source.as_ref(), found);
        for reference in kustomization.health_checks.iter().filter(|_| !kustomization.wait) {
            health_check(applied, &one, reference, found);
        }
    }
    for (one, _) in applied.sources().filter(|(one, _)| one.object.kind() == "HelmChart") {
        let reference = one.object.references();
        source(applied, one, reference.first(), found);
    }
}

impl<'r, 'a> Meant<'r, 'a> {
    fn of(
        applied: &'r Applied<'a>,
        from: &'r AppliedObject<'a>,
        reference: &Reference<'a>,
        kind: &'r str,
    ) -> Option<Self> {
        let namespace = reference.namespace.map(|namespace| namespace.text).or(from.namespace.as_deref());
        let name = reference.name.filter(|name| !name.text.is_empty())?;
        // The value of a variable is known only on the appliance.
        let variable = applied.substitutes(from) && reference.scalars().any(|scalar| scalar.text.contains("${"));
        (!variable).then_some(Self { applied, kind, name, namespace })
    }

    fn exists(&self) -> bool {
        let applied = self.applied;
        let root = (self.kind == "Kustomization" && self.name.text == applied.source_name()
            || applied.is_bundle(self.kind, self.name.text))
            && self.namespace.is_none_or(|namespace| namespace == applied.flux_namespace());
        root || applied.find(self.kind, self.namespace, self.name.text).is_some()
            || applied.is_external(self.kind, self.namespace, self.name.text)
    }

    fn written(&self) -> String {
        let namespace = self.namespace.map(|namespace| format!("{}/", shown(namespace))).unwrap_or_default();
        format!("{} `{namespace}{}`", self.kind, shown(self.name.text))
    }

    /// Returns a hint about an object with the same name in another place.
    fn instead(&self) -> Option<String> {
        let elsewhere = self.applied.find(self.kind, None, self.name.text);
        if let Some(namespace) = elsewhere.and_then(|one| one.namespace.as_deref()) {
            return Some(format!(
                "if the object in the namespace `{0}` is meant, add `namespace: {0}` to the reference",
                shown(namespace)
            ));
        }
        let in_files = self.applied.contents.parts.objects.iter();
        let unapplied = in_files.clone().find(|one| one.kind() == self.kind && one.name() == self.name.text);
        if let Some(unapplied) = unapplied {
            return Some(format!(
                "apply the file {}, which contains the object, in a Kustomization",
                shown(unapplied.file)
            ));
        }
        let others = ["HelmRelease", "Kustomization", "OCIRepository", "HelmRepository", "GitRepository", "HelmChart"];
        let mut others = others.into_iter().filter(|kind| *kind != self.kind);
        let kind = others.find(|kind| self.applied.find(kind, None, self.name.text).is_some())?;
        Some(format!("refer to an object of the kind {}; the object with this name is of the kind {kind}", self.kind))
    }
}

fn report(rule: &'static Rule, from: &AppliedObject<'_>, meant: &Meant<'_, '_>, message: String, found: &mut Findings) {
    let finding = found.add(rule, Place::overlay(from.object.file, meant.name.node), message);
    let itself = |near: &String| meant.kind == from.object.kind() && near == from.object.name();
    let near = meant.applied.similar(meant.kind, meant.name.text).filter(|near| !itself(near));
    if let Some(instead) = meant.instead() {
        finding.help(instead);
    } else if let Some(near) = near {
        finding.help(format!("did you mean `{}`?", shown(&near)));
        let text = meant.applied.contents.text(from.object.file).unwrap_or_default();
        if !text.is_empty() && !meant.name.node.is_alias() {
            finding.rename(text, meant.name.node, &near);
        }
    }
    if !meant.applied.complete {
        finding.severity(Severity::Note);
    }
}

fn dependency(
    applied: &Applied<'_>,
    from: &AppliedObject<'_>,
    reference: &Reference<'_>,
    kind: &str,
    found: &mut Findings,
) {
    let Some(meant) = Meant::of(applied, from, reference, kind) else { return };
    if !meant.exists() {
        let message =
            format!("{kind} `{}` depends on {}, which does not exist", shown(from.object.name()), meant.written());
        report(&DEPENDENCY_MISSING, from, &meant, message, found);
    }
}

fn health_check(applied: &Applied<'_>, from: &AppliedObject<'_>, reference: &Reference<'_>, found: &mut Findings) {
    let group = reference.node.text_at(&["apiVersion"]).unwrap_or_default();
    let kind = match (group.split('/').next(), reference.kind.map(|kind| kind.text)) {
        (Some(HELM), Some("HelmRelease")) => "HelmRelease",
        (Some(KUSTOMIZE), Some("Kustomization")) => "Kustomization",
        _ => return, // A chart may create objects of other kinds.
    };
    let Some(meant) = Meant::of(applied, from, reference, kind) else { return };
    if !meant.exists() {
        let message =
            format!("Kustomization `{}` checks {}, which does not exist", shown(from.object.name()), meant.written());
        report(&HEALTH_CHECK_MISSING, from, &meant, message, found);
    }
}

fn source(applied: &Applied<'_>, from: &AppliedObject<'_>, reference: Option<&Reference<'_>>, found: &mut Findings) {
    let Some((reference, kind)) = reference.and_then(|reference| Some((reference, reference.kind?.text))) else {
        return;
    };
    // The rule for invalid field values refuses other kinds.
    if !["OCIRepository", "HelmRepository", "GitRepository", "Bucket", "HelmChart"].contains(&kind) {
        return;
    }
    let Some(meant) = Meant::of(applied, from, reference, kind) else { return };
    if !meant.exists() {
        let (of, name) = (from.object.kind(), shown(from.object.name()));
        let message = format!("{of} `{name}` refers to {}, which does not exist", meant.written());
        report(&SOURCE_MISSING, from, &meant, message, found);
    }
}

fn paths(applied: &Applied<'_>, found: &mut Findings) {
    for applier in &applied.appliers {
        let Some(one) = applier.kustomization else { continue };
        let own = one
            .source
            .and_then(|source| source.kind)
            .is_some_and(|kind| applied.is_bundle(kind.text, one.source_name()));
        let path = one.path.filter(|path| own && !path.text.contains("${"));
        let Some(path) = path else { continue };
        let directory = applied.directory_of(one);
        let exists = directory.is_some_and(|directory| applied.contents.files.has_directory(&directory));
        if !exists {
            let directories = applied.contents.files.bytes().keys().map(|file| crate::path::parent(file));
            let near = nearest(path.text.trim_start_matches("./"), directories);
            let message = format!("the bundle does not contain the directory `{}`", shown(path.text));
            let finding = found.add(&PATH_MISSING, Place::overlay(one.object.file, path.node), message);
            if let Some(near) = near {
                finding.help(format!("did you mean `./{}`?", shown(&near)));
            }
        }
    }
}
