//! `.helmignore`, with Helm's meaning, which is not git's: the first rule that decides wins, and `!` never takes a file
//! back in but throws out all that it does not match.

use crate::source::glob::{self, BadPattern};

/// Longest line that Helm reads, in bytes.
const LINE_LIMIT: usize = 64 * 1024;

/// The rules of a chart, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    pattern: String,
    negated: bool,
    directories_only: bool,
    /// Matched against the whole path, else against the last component.
    whole_path: bool,
}

impl Rules {
    /// Parses the text of a `.helmignore` (`""` without one) and adds Helm's own rule behind it. An error is the line, from
    /// 1, and what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, (usize, &'static str)> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        for (index, line) in text.split('\n').enumerate() {
            if line.len() >= LINE_LIMIT {
                return Err((index + 1, "the line is longer than 64 KiB"));
            }
            rules.extend(Rule::parse(line.trim()).map_err(|reason| (index + 1, reason))?);
        }
        rules.extend(Rule::parse("templates/.?*").map_err(|reason| (0, reason))?);
        Ok(Self(rules))
    }

    /// Is `path`, below the chart's directory, ignored? A link is what it leads to.
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

    /// Is `path` ignored itself or with one of the directories above it?
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
            return Err("Helm does not know `**`");
        }
        glob::matches(line, "abc").map_err(|BadPattern| "the pattern is malformed")?;
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
    fn what_helm_does_not_read_is_an_error_with_its_line() {
        assert_eq!(Rules::parse("a\n**/b").expect_err("stars").0, 2);
        assert_eq!(Rules::parse("[]a]").expect_err("class").0, 1);
        assert!(Rules::parse("# ** is no rule\n").is_ok());
        assert!(Rules::parse(&"a".repeat(70_000)).is_err());
    }
}
