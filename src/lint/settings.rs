//! The settings of the checks: changed severities with their reasons, objects that exist outside of the overlay, and allowances.

use serde::Deserialize;

use super::kubernetes::Range;
use super::rule::Severity;
use crate::config::{Config, FILE_NAME};
use crate::source::{Error, Place};
use crate::text::nearest;

/// Settings from the configuration and from flags.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Changed severities. If several match a finding, the last one applies.
    pub(super) changes: Vec<Change>,
    /// Objects that exist in the cluster without the overlay, as `KIND/NAMESPACE/NAME`.
    pub(super) external: Vec<String>,
    /// The versions of Kubernetes that the product supports.
    pub(super) kubernetes: Option<Range>,
}

/// A change of the severity of one rule.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// Id of the rule that is changed.
    pub rule: String,
    /// Pattern for the files to which the change applies; `None` for all files.
    pub path: Option<String>,
    /// The new severity; `None` allows the finding.
    pub severity: Option<Severity>,
    /// Reason for the change, which the report prints.
    pub reason: String,
    /// Source of the change. An unused entry of the configuration is reported; an unused flag is not.
    pub by: By,
}

/// Source of a changed severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// An entry of `lint.rules` in the configuration, with its index.
    Configuration(usize),
    /// The flag `--allow` of the command line.
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
    /// Fails if the section has an invalid form, names an unknown rule, or lacks a reason.
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
                return Err(wrong(&path, "missing reason: expected a text that explains the changed severity"));
            }
            let severity = match entry.severity.as_str() {
                "off" => None,
                word => Some(Severity::parse(word).ok_or_else(|| {
                    wrong(&path, &format!("invalid severity `{word}`: expected `off`, `note`, `warning` or `error`"))
                })?),
            };
            let Entry { rule, path, reason, .. } = entry;
            settings.changes.push(Change { rule, path, severity, reason, by: By::Configuration(at) });
        }
        Ok(settings)
    }

    /// Allows all findings of the given rules, in every file.
    ///
    /// # Errors
    /// Fails if a rule is unknown.
    pub fn allowing(mut self, rules: &[String], reason: Option<&str>) -> Result<Self, Error> {
        for rule in rules {
            if let Err(near) = is_known(rule) {
                let hint = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "run `alga-release lint --explain all` for the list of rules".to_owned(),
                };
                let reason = format!("unknown rule `{}`", rule.escape_debug());
                return Err(Error::usage(Place::file("--allow"), reason).hint(hint));
            }
            let (rule, reason) = (rule.clone(), reason.unwrap_or_default().to_owned());
            self.changes.push(Change { rule, path: None, severity: None, reason, by: By::Flag });
        }
        Ok(self)
    }
}

/// Returns the rule that was probably meant where a rule is unknown.
fn is_known(rule: &str) -> Result<(), Option<String>> {
    match super::rule(rule) {
        Some(_) => Ok(()),
        None => Err(nearest(rule, super::rules().map(|rule| rule.id))),
    }
}

fn known(rule: &str) -> Result<(), String> {
    is_known(rule).map_err(|near| {
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        format!("unknown rule `{}`{near}", rule.escape_debug())
    })
}

fn wrong(path: &str, reason: &str) -> Error {
    Error::usage(Place::file(FILE_NAME), format!("{path}: {reason}"))
}

/// Reports whether a pattern matches a path: `*` matches within a path component, `**` matches any number of components.
pub(super) fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    // Each row says, for one more component of the pattern, which prefixes of the path match so far.
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
    fn a_single_star_matches_one_component_and_a_double_star_matches_several() {
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
    fn an_invalid_section_of_the_configuration_is_refused() {
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
