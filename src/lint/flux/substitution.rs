//! Variables that Flux replaces in the built objects of a Kustomization with `postBuild`. Flux then treats every `${` in every object as
//! a variable, even in scripts, templates and patterns.

use crate::flux::PostBuild;
use crate::lint::{Class, Findings, Place, Rule, Severity};
use crate::text::shown;

use super::applied::Applied;

pub(super) static BROKEN: Rule = Rule {
    id: "substitution-broken",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "a text contains a `${` that Flux cannot replace",
    verdict: "The Kustomization has `postBuild`, so Flux reads every `${` as a variable. Flux reports `bad substitution` or `missing closing \
              brace`, and applies nothing of the Kustomization.",
    example: "kind: ConfigMap\ndata:\n  script.js: |\n    console.log(`${item.name}`)\n",
    way_out: "write `$${` for a literal `${`, or set the annotation `kustomize.toolkit.fluxcd.io/substitute: disabled` on the object",
};

pub(super) static UNSET: Rule = Rule {
    id: "substitution-unset",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "a text contains a variable that its Kustomization does not set",
    verdict: "Flux 2.9 reports `variable not set (strict mode)` and applies nothing of the Kustomization. Flux 2.8 and older replace the \
              variable with an empty string, without a message.",
    example: "kind: Kustomization\nspec:\n  postBuild: {substitute: {domain: example.com}}   # an object contains `${domian}`\n",
    way_out: "set the variable, write a default (`${name:=value}`), or write `$${name}` for a literal `${name}`",
};

pub(super) static RULES: &[&Rule] = &[&BROKEN, &UNSET];

pub(super) fn check(applied: &Applied<'_>, found: &mut Findings) {
    for one in applied.objects.iter().filter(|one| applied.substitutes(one)) {
        let kustomization = applied.appliers[one.by].kustomization;
        let Some(variables) = kustomization.and_then(|one| one.post_build.as_ref()) else { continue };
        for node in one.object.node.walk() {
            let Some(text) = node.as_str().filter(|text| !node.is_alias() && text.contains("${")) else { continue };
            match first_problem(text, variables) {
                Some(Problem::Broken(at)) => {
                    let message = format!("Flux cannot replace the variable in `{}`", excerpt(text, at));
                    found.add(&BROKEN, Place::overlay(one.object.file, node), message);
                }
                Some(Problem::Unset(name)) => {
                    let message = format!("no `postBuild` setting defines the variable `{}`", shown(name));
                    found.add(&UNSET, Place::overlay(one.object.file, node), message);
                }
                None => {}
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Problem<'t> {
    /// The byte offset of a `${` that cannot be parsed.
    Broken(usize),
    Unset(&'t str),
}

/// Returns the first `${` that Flux refuses. The text is parsed by the rules of Flux's own parser.
fn first_problem<'t>(text: &'t str, variables: &PostBuild<'_>) -> Option<Problem<'t>> {
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        let after = &rest[dollar + 1..];
        let Some(inside) = after.strip_prefix('{') else {
            // `$$` is an escaped `$` and does not start a variable.
            rest = after.strip_prefix('$').unwrap_or(after);
            continue;
        };
        let at = text.len() - rest.len() + dollar;
        let length = inside.strip_prefix('#');
        let name = length.unwrap_or(inside);
        let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
        let (name, next) = name.split_at(end);
        match next.chars().next() {
            _ if name.is_empty() => return Some(Problem::Broken(at)),
            Some('}') if length.is_none() && !variables.has_more && !variables.substitute.contains(&name) => {
                return Some(Problem::Unset(name));
            }
            Some('}') => {}
            Some(':' | '=' | '/' | '#' | '%') if length.is_none() => {}
            Some(',' | '^') if length.is_none() && changes_case(next) => {}
            _ => return Some(Problem::Broken(at)),
        }
        rest = next;
    }
    None
}

/// Reports whether one or two `,` or `^` follow, and then the closing brace.
fn changes_case(next: &str) -> bool {
    let end = next.find(|c: char| !matches!(c, ',' | '^')).unwrap_or(next.len());
    end <= 2 && next[end..].starts_with('}')
}

fn excerpt(text: &str, at: usize) -> String {
    let line = text[at..].lines().next().unwrap_or_default();
    shown(&line.chars().take(30).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_parsed_by_the_rules_of_flux() {
        let variables = PostBuild { substitute: vec!["a"], has_more: false };
        for text in
            ["$x", "$(x)", "${a}", "$${x}", "${x:-d}", "${x:=d}", "${x=d}", "${#x}", "${x^^}", "${a}-${a}", "$$$${x}"]
        {
            assert_eq!(first_problem(text, &variables), None, "{text}");
        }
        for text in ["${x-d}", "${a.b}", "${a[0]}", "${}", "${a", "^[a-z]${1,3}$", "${{ x }}", "${ a }", "é ${a b}"] {
            assert!(matches!(first_problem(text, &variables), Some(Problem::Broken(_))), "{text}");
        }
        assert_eq!(first_problem("${a} ${x}", &variables), Some(Problem::Unset("x")));
        assert_eq!(first_problem("$$${x}", &variables), Some(Problem::Unset("x")));
        let more = PostBuild { substitute: Vec::new(), has_more: true };
        assert_eq!(first_problem("${x}", &more), None);
    }
}
