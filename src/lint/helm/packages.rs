//! Class "loads in Helm": errors and warnings about a Chart.yaml or values.yaml, and about the installation of a chart.

use std::sync::LazyLock;

use regex::Regex;

use super::chart::Chart;
use super::given::Given;
use crate::kustomize::strict;
use crate::lint::{ChartFiles, Class, Findings, Place, Rule, Severity};
use crate::text::nearest;
use crate::yaml;

/// Rule for a range of Kubernetes versions that cannot be parsed.
pub(super) static CHART_KUBE_VERSION: Rule = Rule {
    id: "chart-kube-version",
    class: Class::Packages,
    severity: Severity::Error,
    title: "the `kubeVersion` of a chart is not a valid range of versions",
    verdict: "Helm reports \"chart requires kubeVersion: … which is incompatible with Kubernetes …\" on every version of Kubernetes.",
    example: "kubeVersion: at least 1.25\n",
    way_out: "write a range such as `>=1.25.0-0`; the `-0` also allows the versions of cloud vendors",
};

/// Rule for a library chart that is installed.
pub(super) static CHART_LIBRARY_INSTALLED: Rule = Rule {
    id: "chart-library-installed",
    class: Class::Packages,
    severity: Severity::Error,
    title: "a HelmRelease installs a library chart",
    verdict: "helm reports \"library charts are not installable\". helm-controller installs a release without any objects.",
    example: "type: library   # in the Chart.yaml of a chart that a HelmRelease names\n",
    way_out: "make the library a dependency of a chart that is installed, or remove `type: library`",
};

/// Rule for a key of Chart.yaml that Helm ignores.
pub(super) static CHART_UNKNOWN_KEY: Rule = Rule {
    id: "chart-unknown-key",
    class: Class::Packages,
    severity: Severity::Warning,
    title: "Chart.yaml contains a key that Helm does not know",
    verdict: "Helm ignores the key, and `helm package` removes it. `helm lint` warns about it: \"unknown field\".",
    example: "apVersion: 1.2.3   # `appVersion` is the correct name\n",
    way_out: "correct the key, or move its value to `annotations`",
};

/// Rule for a values.yaml that Helm cannot parse.
pub(super) static CHART_VALUES_BROKEN: Rule = Rule {
    id: "chart-values-broken",
    class: Class::Packages,
    severity: Severity::Error,
    title: "Helm cannot parse the values.yaml of a chart",
    verdict: "Helm reports \"cannot load values.yaml: … found character that cannot start any token\" when it loads the chart.",
    example: "image:\n\ttag: 1.2.3   # indented with a tab\n",
    way_out: "use spaces instead of tabs, also on empty lines",
};

pub(super) static RULES: &[&Rule] =
    &[&CHART_KUBE_VERSION, &CHART_LIBRARY_INSTALLED, &CHART_UNKNOWN_KEY, &CHART_VALUES_BROKEN];

/// The keys that a Chart.yaml may contain.
const KEYS: [&str; 17] = [
    "annotations",
    "apiVersion",
    "appVersion",
    "condition",
    "dependencies",
    "deprecated",
    "description",
    "home",
    "icon",
    "keywords",
    "kubeVersion",
    "maintainers",
    "name",
    "sources",
    "tags",
    "type",
    "version",
];
/// The keys that a dependency may contain.
const DEPENDENCY_KEYS: [&str; 8] =
    ["alias", "condition", "enabled", "import-values", "name", "repository", "tags", "version"];

/// A range as Helm's version library accepts it, after `a - b` was rewritten: comparisons separated by spaces or commas.
static RANGE: LazyLock<Regex> = LazyLock::new(|| {
    let version = r"v?[0-9xX|*]+(\.[0-9xX|*]+)?(\.[0-9xX|*]+)?(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?";
    let one = format!(r"(=||!=|>|<|>=|=>|<=|=<|~|~>|\^)[ \t\n\f\r]*{version}");
    let span = format!(r"{version}[ \t\n\f\r]+-[ \t\n\f\r]+{version}");
    let blank = r"[ \t\n\f\r]*";
    let term = format!("({one}|{span})");
    Regex::new(&format!(r"^{blank}{term}{blank}(([ \t\n\f\r]+|,{blank}){term}{blank})*$")).expect("a valid pattern")
});

/// Checks the values.yaml of a published chart and of its subcharts.
pub(super) fn values(chart: &ChartFiles, found: &mut Findings) {
    let own = |path: &str| path == "values.yaml" || (path.starts_with("charts/") && path.ends_with("/values.yaml"));
    for path in chart.files.keys().filter(|path| own(path)) {
        // The YAML parser here accepts tabs in places where Helm's parser does not.
        let Some(text) = chart.text(path).filter(|text| text.contains('\t')) else { continue };
        let Ok(documents) = yaml::parse(text) else { continue };
        if let Err((line, reason)) = strict(text, &documents) {
            found.add(&CHART_VALUES_BROKEN, Place::chart(&chart.name, path, line, None), reason);
        }
    }
}

/// Checks the Chart.yaml of a published chart and of its subcharts.
pub(super) fn check(chart: &Chart<'_>, found: &mut Findings) {
    for chart in chart.all() {
        let Some(metadata) = &chart.metadata else { continue };
        let place = |node: &crate::yaml::Node| {
            Place::chart(chart.root, &format!("{}Chart.yaml", chart.directory), node.line, Some(node.span.clone()))
        };
        if let Some(node) = metadata.get(&["kubeVersion"])
            && let Some(range) = node.as_str().filter(|range| !is_range(range))
        {
            let message =
                format!("invalid kubeVersion `{}`: expected a range such as `>=1.25.0-0`", range.escape_debug());
            found.add(&CHART_KUBE_VERSION, place(node), message);
        }
        let dependencies = metadata.get(&["dependencies"]).map(crate::yaml::Node::items).unwrap_or_default();
        let tables = std::iter::once((metadata, &KEYS[..]));
        for (table, keys) in tables.chain(dependencies.iter().map(|one| (one, &DEPENDENCY_KEYS[..]))) {
            for key in table.entries().iter().filter(|entry| !entry.is_merge()).map(|entry| &entry.key) {
                let Some(name) = key.as_str() else { continue };
                if keys.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                    continue;
                }
                let finding = found.add(
                    &CHART_UNKNOWN_KEY,
                    place(key),
                    format!("unknown key `{}` in Chart.yaml", name.escape_debug()),
                );
                if let Some(near) = nearest(name, keys.iter().copied()) {
                    finding.help(format!("did you mean `{near}`?"));
                }
            }
        }
    }
}

/// Finds HelmReleases of charts that cannot be installed.
pub(super) fn installed(given: &Given<'_, '_>, found: &mut Findings) {
    if given.chart.library {
        let name = given.chart.name.escape_debug();
        let message = format!("the HelmRelease installs `{name}`, which is a library chart");
        found.add(&CHART_LIBRARY_INSTALLED, given.place(), message);
    }
}

fn is_range(text: &str) -> bool {
    text.is_empty() || (text.len() <= 512 && text.split("||").all(|part| RANGE.is_match(part)))
}

#[cfg(test)]
mod tests {
    use super::is_range;

    #[test]
    fn a_range_is_valid_if_helm_accepts_it() {
        for range in [
            ">=1.25.0-0",
            ">= 1.25",
            "1.25.x - 1.30.x",
            "^1.20.0 || ~1.19",
            ">=1.2.3, <2.0.0",
            "*",
            "v1.2",
            "1.x.x",
            "",
        ] {
            assert!(is_range(range), "{range}");
        }
        for range in ["at least 1.25", ">=", ">= 1.25.0.1", "1.25 ||", "latest", "=>>1.2", ">1<2", "1.2.3 -"] {
            assert!(!is_range(range), "{range}");
        }
    }
}
