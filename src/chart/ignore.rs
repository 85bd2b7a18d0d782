//! `.helmignore` rules with Helm's meaning, which differs from git's: the first rule that applies decides, and a rule with
//! `!` never includes a file again but ignores every file that it does not match.

use crate::source::glob::{self, BadPattern};

/// Length of a line, in bytes, from which on Helm fails to read the file.
const LINE_LIMIT: usize = 64 * 1024;

/// The ignore rules of a chart, in the order in which they apply.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    pattern: String,
    negated: bool,
    directories_only: bool,
    /// Whether the pattern is matched against the whole path, or only against its last component.
    whole_path: bool,
}

impl Rules {
    /// Parses the text of a `.helmignore` (`""` when the chart has none) and appends Helm's own rule. An error holds the line,
    /// counted from 1, and the reason.
    pub(super) fn parse(text: &str) -> Result<Self, (usize, &'static str)> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        for (index, line) in text.split('\n').enumerate() {
            if line.len() >= LINE_LIMIT {
                return Err((index + 1, "the line has 64 KiB or more, which Helm does not read"));
            }
            rules.extend(Rule::parse(line.trim()).map_err(|reason| (index + 1, reason))?);
        }
        rules.extend(Rule::parse("templates/.?*").map_err(|reason| (0, reason))?);
        Ok(Self(rules))
    }

    /// Reports whether `path`, relative to the chart's directory, is ignored. A link counts as its target.
    pub(super) fn ignores(&self, path: &str, is_directory: bool) -> bool {
        for rule in &self.0 {
            let wrong_kind = rule.directories_only && !is_directory;
            if rule.negated {
                if wrong_kind || !rule.matches(path) {
                    return true;
                }
            } else if !wrong_kind && rule.matches(path) {
                return true;
            }
        }
        false
    }

    /// Reports whether `path` or one of its parent directories is ignored.
    pub(super) fn ignores_below(&self, path: &str, is_directory: bool) -> bool {
        path.match_indices('/').any(|(at, _)| self.ignores(&path[..at], true)) || self.ignores(path, is_directory)
    }
}

impl Rule {
    fn parse(line: &str) -> Result<Option<Self>, &'static str> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        if line.contains("**") {
            return Err("invalid pattern: Helm does not support `**`");
        }
        glob::matches(line, "abc").map_err(|BadPattern| "invalid pattern: the syntax is wrong")?;
        let (negated, pattern) = line.strip_prefix('!').map_or((false, line), |pattern| (true, pattern));
        let (directories_only, pattern) = pattern.strip_suffix('/').map_or((false, pattern), |pattern| (true, pattern));
        let whole_path = pattern.contains('/');
        let pattern = pattern.strip_prefix('/').unwrap_or(pattern).to_owned();
        Ok(Some(Self { pattern, negated, directories_only, whole_path }))
    }

    fn matches(&self, path: &str) -> bool {
        let name = if self.whole_path { path } else { path.rsplit('/').next().unwrap_or(path) };
        glob::matches(&self.pattern, name) == Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignores(rules: &str, path: &str) -> bool {
        let rules = Rules::parse(rules).expect("valid rules");
        rules.ignores_below(path.trim_end_matches('/'), path.ends_with('/'))
    }

    #[test]
    fn rules_match_as_in_helm() {
        for (rules, path, expected) in [
            ("", "templates/.hidden", true),
            ("", "templates/a/.hidden", false),
            ("", "charts/c/templates/.hidden", false),
            ("", ".git/", false),
            ("*.txt", "a/b/c.txt", true),
            ("/*.txt", "a/c.txt", false),
            ("/*.txt", "c.txt", true),
            ("a/*.txt", "b/a/c.txt", false),
            ("a/*.txt", "a/c.txt", true),
            ("a/", "a", false),
            ("a/", "b/a/c.txt", true),
            ("./a", "a", false),
            ("a//b", "a/b", false),
            ("# a", "a", false),
            ("\\#a", "#a", true),
            ("  a\t\r\n", "a", true),
            ("\u{feff}a", "a", true),
            ("a b # c", "a b # c", true),
            ("CASE", "case", false),
            ("!*", "a", false),
            ("!Chart.yaml", "Chart.yaml", false),
            ("!Chart.yaml", "values.yaml", true),
            ("!keep/", "Chart.yaml", true),
            ("*.txt\n!keep.txt", "keep.txt", true),
            ("a[^0-9].x", "ab.x", true),
        ] {
            assert_eq!(ignores(rules, path), expected, "{rules:?} {path}");
        }
    }

    #[test]
    fn a_rule_that_helm_does_not_read_is_an_error_with_its_line() {
        assert_eq!(Rules::parse("a\n**/b").expect_err("stars").0, 2);
        assert_eq!(Rules::parse("[]a]").expect_err("class").0, 1);
        assert!(Rules::parse("# ** in a comment\n").is_ok());
        assert!(Rules::parse(&"a".repeat(70_000)).is_err());
    }
}
