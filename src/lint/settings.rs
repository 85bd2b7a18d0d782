//! What the configuration and the caller say about rules: severities with a reason, what exists outside of the overlay, allowances.

use serde::Deserialize;

use super::kubernetes::Range;
use super::rule::Severity;
use crate::config::{Config, FILE_NAME, nearest};
use crate::source::{Error, Place};

/// What findings become.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Changes of severity, the last that fits counts.
    pub(super) changes: Vec<Change>,
    /// Objects that the cluster has without the overlay: `KIND/NAMESPACE/NAME`.
    pub(super) external: Vec<String>,
    /// The versions of Kubernetes that the product runs on.
    pub(super) kubernetes: Option<Range>,
}

/// One change of severity.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// Id of the rule.
    pub rule: String,
    /// Files that the change is for, as a pattern; all of them where it is absent.
    pub path: Option<String>,
    /// The new severity; nothing allows the finding.
    pub severity: Option<Severity>,
    /// Reason for the change, for the report.
    pub reason: String,
    /// Who says so, for an allowance that allows nothing.
    pub by: By,
}

/// Who changes a severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// An entry of `lint.rules` in the configuration, by its index.
    Configuration(usize),
    /// `--allow`.
    Flag,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Section {
    #[serde(default)]
    rules: Vec<Entry>,
    #[serde(default)]
    external: Vec<String>,
    kubernetes: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    rule: String,
    path: Option<String>,
    severity: String,
    reason: String,
}

impl Settings {
    /// Reads the section `lint` of the configuration.
    ///
    /// # Errors
    /// When the section has another form, names an unknown rule, or gives no reason.
    pub fn of(config: &Config) -> Result<Self, Error> {
        let Some(section) = &config.lint else { return Ok(Self::default()) };
        if !section.is_object() {
            return Err(wrong("lint", "expected a mapping with `rules` and `external`"));
        }
        let section = Section::deserialize(section).map_err(|cause| wrong("lint", &cause.to_string()))?;
        let kubernetes = section.kubernetes.as_deref().map(|text| {
            let reason = format!("invalid versions `{}`: expected `1.29`, `1.29-1.33` or `1.29+`", text.escape_debug());
            Range::parse(text).ok_or_else(|| wrong("lint.kubernetes", &reason))
        });
        let mut settings =
            Self { changes: Vec::new(), external: section.external, kubernetes: kubernetes.transpose()? };
        for (at, entry) in section.rules.into_iter().enumerate() {
            let path = format!("lint.rules[{at}]");
            known(&entry.rule).map_err(|cause| wrong(&path, &cause))?;
            if entry.reason.trim().is_empty() {
                return Err(wrong(&path, "missing reason: say why the severity is another one here"));
            }
            let severity = match entry.severity.as_str() {
                "off" => None,
                word => Some(Severity::parse(word).ok_or_else(|| {
                    wrong(&path, &format!("invalid severity `{word}`: expected off, note, warning or error"))
                })?),
            };
            let Entry { rule, path, reason, .. } = entry;
            settings.changes.push(Change { rule, path, severity, reason, by: By::Configuration(at) });
        }
        Ok(settings)
    }

    /// Allows the findings of rules, whatever file they are in.
    ///
    /// # Errors
    /// When a rule is unknown.
    pub fn allowing(mut self, rules: &[String], reason: Option<&str>) -> Result<Self, Error> {
        for rule in rules {
            known(rule).map_err(|cause| Error::usage(Place::file("--allow"), cause))?;
            let (rule, reason) = (rule.clone(), reason.unwrap_or_default().to_owned());
            self.changes.push(Change { rule, path: None, severity: None, reason, by: By::Flag });
        }
        Ok(self)
    }
}

fn known(rule: &str) -> Result<(), String> {
    if super::rule(rule).is_some() {
        return Ok(());
    }
    let near = nearest(rule, super::rules().map(|rule| rule.id));
    let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Err(format!("unknown rule `{}`{near}", rule.escape_debug()))
}

fn wrong(path: &str, reason: &str) -> Error {
    Error::usage(Place::file(FILE_NAME), format!("{path}: {reason}"))
}

/// Tells whether a pattern fits a path: `*` fits within a part, `**` fits any number of parts.
pub(super) fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    // Whether the patterns up to here fit the parts up to there, one row for each pattern.
    let mut row: Vec<bool> = (0..=path.len()).map(|at| at == 0).collect();
    for part in pattern {
        let mut next = vec![false; path.len() + 1];
        for at in 0..=path.len() {
            next[at] = match part {
                "**" => row[at] || (at > 0 && next[at - 1]),
                part => at > 0 && row[at - 1] && crate::source::glob::matches(part, path[at - 1]).unwrap_or(false),
            };
        }
        row = next;
    }
    row[path.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(section: serde_json::Value) -> Config {
        Config { lint: Some(section), ..Config::default() }
    }

    #[test]
    fn a_pattern_fits_within_parts_and_across_them() {
        for (pattern, path, expected) in [
            ("a/b.yaml", "a/b.yaml", true),
            ("a/*.yaml", "a/b.yaml", true),
            ("*.yaml", "a/b.yaml", false),
            ("**/*.yaml", "b.yaml", true),
            ("**/*.yaml", "a/b/c.yaml", true),
            ("a/**", "a/b/c.yaml", true),
            ("a/**/c.yaml", "a/c.yaml", true),
            ("b/**", "a/b/c.yaml", false),
        ] {
            assert_eq!(fits(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn the_section_of_the_configuration_is_checked() {
        let rule = super::super::rules().next().expect("a rule").id;
        let section = serde_json::json!({"rules": [{"rule": rule, "severity": "off", "reason": "a test"}]});
        assert_eq!(Settings::of(&with(section)).expect("read").changes.len(), 1);
        for (section, words) in [
            (serde_json::json!({"rules": [{"rule": rule, "severity": "off"}]}), "missing field `reason`"),
            (serde_json::json!({"rules": [{"rule": rule, "severity": "off", "reason": " "}]}), "missing reason"),
            (serde_json::json!({"rules": [{"rule": rule, "severity": "loud", "reason": "x"}]}), "`loud`"),
            (serde_json::json!({"rules": [{"rule": format!("{rule}x"), "severity": "off", "reason": "x"}]}), rule),
            (serde_json::json!({"rule": []}), "unknown field"),
            (serde_json::json!({"kubernetes": "29"}), "lint.kubernetes: invalid versions `29`"),
            (serde_json::json!([]), "lint"),
        ] {
            let error = Settings::of(&with(section)).expect_err("refused").to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
