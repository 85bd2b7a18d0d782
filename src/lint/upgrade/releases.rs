//! Changes of HelmReleases. Helm treats a release under another name as a new one, so Flux uninstalls the old one with all its objects.

use super::place_of_removed;
use crate::flux::HelmRelease;
use crate::lint::flux::{Applied, AppliedObject};
use crate::lint::{Class, Findings, Place, Rule, Severity};
use crate::release::ValuesReader;
use crate::text::shown;

pub(super) static REPLACED: Rule = Rule {
    id: "upgrade-release-replaced",
    class: Class::Upgrade,
    severity: Severity::Error,
    title: "an upgrade uninstalls a Helm release and installs a new one",
    verdict: "Helm identifies a release by name, namespace, `releaseName`, `targetNamespace` and `storageNamespace`. If one of them changes, \
              Flux uninstalls the old release, including volumes and Secrets that the chart does not keep, and installs a new one.",
    example: "kind: HelmRelease\nmetadata: {name: web-server}   # was `web`, with the same chart in the same namespace\n",
    way_out: "keep the names; to rename a HelmRelease but keep its Helm release, first suspend the old HelmRelease and remove it without \
              `prune`, then set `releaseName` and `storageNamespace`; if the loss is intended, allow the finding with a reason",
};

pub(super) static VALUES_DROPPED: Rule = Rule {
    id: "upgrade-values-dropped",
    class: Class::Upgrade,
    severity: Severity::Warning,
    title: "a HelmRelease no longer reads values of the release",
    verdict: "Nothing fails: Helm upgrades to the chart's own defaults, without the values that the profile and the appliance set before.",
    example: "kind: HelmRelease   # had `valuesFrom` with the ConfigMap `appliance-values-web`\n",
    way_out: "add `valuesFrom` again, or allow the finding with a reason",
};

pub(super) static RULES: &[&Rule] = &[&REPLACED, &VALUES_DROPPED];

type Releases<'o, 'a> = Vec<(&'o AppliedObject<'a>, &'a HelmRelease<'a>)>;

pub(super) fn check(from: &Applied<'_>, to: &Applied<'_>, found: &mut Findings) {
    if from.renamed.is_some() || to.renamed.is_some() {
        return;
    }
    let new: Releases<'_, '_> = to.releases().collect();
    let old: Releases<'_, '_> = from.releases().collect();
    for (was, release) in &old {
        let same = new.iter().find(|(now, _)| is_same(was, now));
        match same {
            Some((now, renewed)) => {
                moved(was, release, now, renewed, found);
                values(from, was, to, now, found);
            }
            None => renamed((was, release), from, (&old, &new), to, found),
        }
    }
}

fn is_same(a: &AppliedObject<'_>, b: &AppliedObject<'_>) -> bool {
    a.object.name() == b.object.name() && a.namespace == b.namespace
}

/// Returns the namespace into which the chart's objects are installed.
fn target<'r>(one: &'r AppliedObject<'_>, release: &'r HelmRelease<'_>) -> Option<&'r str> {
    release.target_namespace.or(one.namespace.as_deref())
}

fn moved(
    was: &AppliedObject<'_>,
    release: &HelmRelease<'_>,
    now: &AppliedObject<'_>,
    renewed: &HelmRelease<'_>,
    found: &mut Findings,
) {
    let storage = |one: &AppliedObject<'_>, release: &HelmRelease<'_>| {
        release.storage_namespace.map(ToOwned::to_owned).or_else(|| one.namespace.clone())
    };
    let name = shown(renewed.object.name());
    let differs = [
        ("releaseName", release.helm_name() != renewed.helm_name()),
        ("targetNamespace", target(was, release) != target(now, renewed)),
        ("storageNamespace", storage(was, release) != storage(now, renewed)),
    ];
    if let Some((field, _)) = differs.iter().find(|(_, differs)| *differs) {
        let node = now.object.node.get(&["spec", field]).or_else(|| now.object.node.get(&["metadata", "name"]));
        let place = Place::overlay(now.object.file, node.unwrap_or(now.object.node));
        found.add(&REPLACED, place, format!("the upgrade changes `{field}` of the HelmRelease `{name}`"));
    }
}

/// Reports a removed HelmRelease, and finds a new one with the same chart and target.
fn renamed(
    (was, release): (&AppliedObject<'_>, &HelmRelease<'_>),
    from: &Applied<'_>,
    (old, new): (&Releases<'_, '_>, &Releases<'_, '_>),
    to: &Applied<'_>,
    found: &mut Findings,
) {
    let chart = from.contents.parts.chart_of(release);
    let is_new = |now: &AppliedObject<'_>| !old.iter().any(|(was, _)| is_same(was, now));
    let successor = new.iter().find(|(now, renewed)| {
        let same_chart = chart.is_some() && to.contents.parts.chart_of(renewed) == chart;
        same_chart && is_new(now) && target(was, release) == target(now, renewed)
    });
    let old_name = shown(release.object.name());
    if let Some((now, renewed)) = successor {
        let node = now.object.node.get(&["metadata", "name"]).unwrap_or(now.object.node);
        let message = format!("the upgrade renames the HelmRelease `{old_name}` to `{}`", shown(renewed.object.name()));
        found.add(&REPLACED, Place::overlay(now.object.file, node), message);
    } else {
        let message = format!("the HelmRelease `{old_name}` is removed, so Flux uninstalls it");
        found.add(&REPLACED, place_of_removed(&release.object, to.contents), message).severity(Severity::Warning);
    }
}

fn values(
    from: &Applied<'_>,
    was: &AppliedObject<'_>,
    to: &Applied<'_>,
    now: &AppliedObject<'_>,
    found: &mut Findings,
) {
    let reads = |applied: &Applied<'_>, one: &AppliedObject<'_>| {
        let is_its = |reader: &&ValuesReader| {
            reader.release == one.object.name()
                && one.namespace.as_ref().is_none_or(|namespace| *namespace == reader.namespace)
        };
        applied.values().iter().any(|reader| is_its(&reader))
    };
    if to.installation.is_some() && reads(from, was) && !reads(to, now) {
        let node = now.object.node.get(&["metadata", "name"]).unwrap_or(now.object.node);
        let message = format!("the HelmRelease `{}` no longer reads values of the release", shown(now.object.name()));
        found.add(&VALUES_DROPPED, Place::overlay(now.object.file, node), message);
    }
}
