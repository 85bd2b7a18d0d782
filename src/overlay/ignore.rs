//! The files that Flux leaves out, when a tree is pushed and again in the cluster.
//!
//! Rules match as in git with one difference of Flux: a rule that excludes a directory does not end the walk there, so a
//! later rule can include files below the directory again.

use crate::source::glob;

/// Rules that `flux push artifact` always applies.
const PUSH: &str =
    ".git/\n.gitignore\n.gitmodules\n.gitattributes\n*.jpg\n*.jpeg\n*.gif\n*.png\n*.wmv\n*.flv\n*.tar.gz\n*.zip";
/// Rules that Flux applies in the cluster before those of `.sourceignore`.
const VERSION_CONTROL: &str = ".git/\n.gitignore\n.gitmodules\n.gitattributes";
/// Rules that Flux applies in the cluster when the tree has no `.sourceignore`.
const DEFAULT: &str = "*.jpg\n*.jpeg\n*.gif\n*.png\n*.wmv\n*.flv\n*.tar.gz\n*.zip\n.github/\n.circleci/\n.travis.yml\n\
.gitlab-ci.yml\nappveyor.yml\n.drone.yml\ncloudbuild.yaml\ncodeship-services.yml\ncodeship-steps.yml\n\
**/.goreleaser.yml\n**/.sops.yaml\n**/.flux.yaml";
/// Name of the files that hold ignore rules.
pub(super) const FILE: &str = ".sourceignore";

#[derive(Clone, Debug)]
struct Pattern {
    below: Vec<String>,
    parts: Vec<String>,
    anchored: bool,
    directory_only: bool,
    include: bool,
}

/// Rules in order. The last rule that matches a file decides.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules(Vec<Pattern>);

impl Rules {
    /// Adds the rules of a file in the directory `below`.
    pub(super) fn add(&mut self, text: &str, below: &str) {
        let below: Vec<String> = below.split('/').filter(|part| !part.is_empty()).map(ToOwned::to_owned).collect();
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        self.0.extend(lines.map(|line| Pattern::parse(line, &below)));
    }

    /// Reports whether the rules leave out the file.
    pub(super) fn exclude(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        self.0.iter().rev().find(|pattern| pattern.matches(&parts)).is_some_and(|pattern| !pattern.include)
    }
}

impl Pattern {
    fn parse(line: &str, below: &[String]) -> Self {
        let (include, line) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
        let line = if line.ends_with("\\ ") { line } else { line.trim_end_matches(' ') };
        let (directory_only, line) = line.strip_suffix('/').map_or((false, line), |rest| (true, rest));
        Self {
            below: below.to_vec(),
            parts: line.split('/').map(ToOwned::to_owned).collect(),
            anchored: line.contains('/'),
            directory_only,
            include,
        }
    }

    fn matches(&self, path: &[&str]) -> bool {
        let inside = path.len() > self.below.len() && self.below.iter().zip(path).all(|(a, b)| a == b);
        if !inside {
            return false;
        }
        let path = &path[self.below.len()..];
        if self.anchored { self.matches_from_root(path) } else { self.matches_a_name(path) }
    }

    fn matches_a_name(&self, path: &[&str]) -> bool {
        let found = path.iter().position(|name| matches(&self.parts[0], name));
        found.is_some_and(|at| !(self.directory_only && at + 1 == path.len()))
    }

    fn matches_from_root(&self, mut path: &[&str]) -> bool {
        let mut matched = false;
        let mut anywhere = false;
        for (at, part) in self.parts.iter().enumerate() {
            match part.as_str() {
                "" => anywhere = false,
                "**" if at + 1 == self.parts.len() => break,
                "**" => anywhere = true,
                part if part.contains("**") || path.is_empty() => return false,
                part if anywhere => {
                    anywhere = false;
                    let Some(found) = path.iter().position(|name| matches(part, name)) else { return false };
                    path = &path[found + 1..];
                    matched = true;
                }
                part => {
                    if !matches(part, path[0]) {
                        return false;
                    }
                    path = &path[1..];
                    matched = true;
                }
            }
        }
        matched && !(self.directory_only && path.is_empty())
    }
}

/// Matches a name. A malformed pattern matches nothing.
fn matches(pattern: &str, name: &str) -> bool {
    glob::matches(pattern, name) == Ok(true)
}

/// The rules for the push and for the cluster.
#[derive(Clone, Debug)]
pub(super) struct Ignore {
    push: Rules,
    cluster: Rules,
}

impl Ignore {
    /// Builds the rules from the `.sourceignore` files, given as directory and text, outer directories first.
    pub(super) fn new(files: &[(String, String)]) -> Self {
        let mut push = Rules::default();
        push.add(PUSH, "");
        let mut own = Rules::default();
        for (directory, text) in files {
            own.add(text, directory);
        }
        let mut cluster = Rules::default();
        cluster.add(VERSION_CONTROL, "");
        if own.0.is_empty() {
            cluster.add(DEFAULT, "");
        }
        cluster.0.extend(own.0);
        Self { push, cluster }
    }

    /// Reports whether the file reaches the cluster.
    pub(super) fn keeps(&self, path: &str) -> bool {
        let rules_file = path.rsplit('/').next() == Some(FILE);
        !self.push.exclude(path) && (rules_file || !self.cluster.exclude(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(lines: &str, path: &str) -> bool {
        let mut rules = Rules::default();
        rules.add(lines, "");
        rules.exclude(path)
    }

    #[test]
    fn rules_match_as_in_flux() {
        for (lines, path, expected) in [
            ("/*\n!/deploy", "deploy/a.yaml", false),
            ("/*\n!/deploy", "x.yaml", true),
            ("/*\n!/deploy", "sub/deploy/a", true),
            ("foo/*", "x/foo/a", false),
            ("foo/*", "foo/a", true),
            ("**/foo", "a/b/foo/c", true),
            ("foo/**", "foo/x", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/b*", "a/b/c", true),
            ("/", "a", false),
            ("!", "a", false),
            ("\\!x", "!x", true),
            ("docs/\n!docs/keep.md", "docs/keep.md", false),
            ("docs/\n!docs/keep.md", "docs/other.md", true),
            ("docs/", "docs", false),
            ("*.PNG", "a.png", false),
            ("[", "[", false),
            ("[a-c]x", "sub/bx", true),
            ("[^a-c]x", "bx", false),
            ("#x", "#x", false),
            ("a ", "a", true),
            ("a\\ ", "a ", true),
            ("x**", "xyz", true),
            ("a/x**", "a/xyz", false),
        ] {
            assert_eq!(excluded(lines, path), expected, "{lines:?} {path}");
        }
    }

    #[test]
    fn a_rule_in_the_tree_replaces_the_default_rules_of_the_cluster() {
        let plain = Ignore::new(&[]);
        assert!(!plain.keeps("base/.sops.yaml") && !plain.keeps("a.png") && plain.keeps("base/a.yaml"));
        let own = Ignore::new(&[("base".to_owned(), "/x.yaml\n".to_owned())]);
        assert!(
            own.keeps("base/.sops.yaml") && !own.keeps("base/x.yaml") && own.keeps("x.yaml") && !own.keeps("a.png")
        );
        assert!(own.keeps("base/.sourceignore"));
    }
}
