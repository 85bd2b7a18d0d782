//! Checks Flux's objects against Flux's resource definitions, as the API server does when Flux applies an object.

use crate::flux::SOURCE;
use crate::lint::{Class, Finding, Findings, Place, Rule, Severity};
use crate::text::{nearest, shown};
use crate::yaml::{Node, Style, Value};

use super::applied::{Applied, AppliedObject};
use super::fields::{Field, Kind, Type};

/// Limit of the nodes of one object that are checked, because YAML aliases can make a small text large.
const MOST_NODES: usize = 100_000;

pub(super) static UNKNOWN_FIELD: Rule = Rule {
    id: "flux-unknown-field",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "a Flux object has an unknown field",
    verdict: "Flux uses server-side apply, and the API server answers `field not declared in schema`. Flux applies nothing of the \
              Kustomization.",
    example: "kind: HelmRelease\nspec:\n  intervall: 10m\n",
    way_out: "correct the name of the field, or remove the field",
};

pub(super) static WRONG_TYPE: Rule = Rule {
    id: "flux-wrong-type",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "a field of a Flux object has a value of the wrong type",
    verdict: "The API server refuses the object when Flux applies it: `must be of type string`. Flux applies nothing of the Kustomization.",
    example: "kind: HelmRelease\nspec:\n  interval: 10\n",
    way_out: "write a value of the expected type, and put quotes around strings that look like numbers or booleans",
};

pub(super) static MISSING_FIELD: Rule = Rule {
    id: "flux-missing-field",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "a Flux object lacks a required field",
    verdict: "The API server refuses the object when Flux applies it: `Required value`. Flux applies nothing of the Kustomization.",
    example: "kind: Kustomization\nspec:\n  interval: 10m\n  sourceRef: {kind: OCIRepository, name: platform}   # no `prune`\n",
    way_out: "add the field",
};

pub(super) static BAD_VALUE: Rule = Rule {
    id: "flux-bad-value",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "a field of a Flux object has a value that Flux refuses",
    verdict: "The API server refuses the object when Flux applies it: `should match '^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$'`, or \
              `Unsupported value`. Flux applies nothing of the Kustomization.",
    example: "kind: HelmRelease\nspec:\n  interval: 5d\n",
    way_out: "write one of the values that Flux accepts; a duration is a number with `ms`, `s`, `m` or `h`, such as `120h`",
};

pub(super) static CONTRADICTION: Rule = Rule {
    id: "flux-contradiction",
    class: Class::Reconciles,
    severity: Severity::Error,
    title: "fields of a Flux object exclude or require each other",
    verdict: "The API server refuses the object when Flux applies it, with the message of the definition's own rule, such as `either \
              chart or chartRef must be set`. Flux applies nothing of the Kustomization.",
    example: "kind: HelmRelease\nspec:\n  chart: {spec: {chart: web}}\n  chartRef: {kind: OCIRepository, name: web}\n",
    way_out: "keep one of the fields that exclude each other, or add the required field",
};

pub(super) static NOT_CHECKED: Rule = Rule {
    id: "flux-not-checked",
    class: Class::Reconciles,
    severity: Severity::Note,
    title: "a Flux object is not checked",
    verdict: "The object may be valid or not. The checks do not know the fields of this kind, or the names that kustomize gives to objects.",
    example: "apiVersion: source.toolkit.fluxcd.io/v1\nkind: Bucket\n",
    way_out: "check the object with `flux build`, or on a test cluster",
};

pub(super) static RULES: &[&Rule] =
    &[&UNKNOWN_FIELD, &WRONG_TYPE, &MISSING_FIELD, &BAD_VALUE, &CONTRADICTION, &NOT_CHECKED];

/// A condition of a definition, written by hand: the kind, the path of the mapping, the condition, and its message.
type Condition = (&'static str, &'static [&'static str], fn(&Node) -> bool, &'static str);

static CONDITIONS: &[Condition] = &[
    (
        "HelmRelease",
        &["spec"],
        |spec| has(spec, "chart") != has(spec, "chartRef"),
        "exactly one of `chart` and `chartRef` must be set",
    ),
    (
        "HelmRelease",
        &["spec", "kubeConfig"],
        |node| has(node, "configMapRef") != has(node, "secretRef"),
        "exactly one of `configMapRef` and `secretRef` must be set",
    ),
    (
        "Kustomization",
        &["spec", "kubeConfig"],
        |node| has(node, "configMapRef") != has(node, "secretRef"),
        "exactly one of `configMapRef` and `secretRef` must be set",
    ),
    (
        "HelmRelease",
        &["spec", "install", "strategy"],
        |node| !has(node, "retryInterval") || node.text_at(&["name"]) != Some("RemediateOnFailure"),
        "`retryInterval` cannot be set when `name` is `RemediateOnFailure`",
    ),
    (
        "HelmRelease",
        &["spec", "upgrade", "strategy"],
        |node| !has(node, "retryInterval") || node.text_at(&["name"]) == Some("RetryOnFailure"),
        "`retryInterval` can only be set when `name` is `RetryOnFailure`",
    ),
    (
        "GitRepository",
        &["spec"],
        |spec| !has(spec, "serviceAccountName") || matches!(spec.text_at(&["provider"]), Some("azure" | "aws")),
        "`serviceAccountName` can only be set when `provider` is `azure` or `aws`",
    ),
    (
        "HelmChart",
        &["spec"],
        |spec| !has(spec, "verify") || spec.text_at(&["sourceRef", "kind"]) == Some("HelmRepository"),
        "`verify` is only supported when `sourceRef.kind` is `HelmRepository`",
    ),
];

fn has(node: &Node, key: &str) -> bool {
    node.value_of(key).is_some_and(|node| !node.is_null())
}

/// Checks every object that Flux applies.
pub(super) fn check(applied: &Applied<'_>, found: &mut Findings) {
    if let Some((file, line)) = &applied.renamed {
        let message = "references between objects are not checked, because this setting changes their names";
        found.add(&NOT_CHECKED, Place::overlay_line(file, *line), message);
    }
    for one in applied.each_object() {
        let api_version = one.object.node.text_at(&["apiVersion"]).unwrap_or_default();
        if let Some(kind) = Kind::of(api_version, one.object.kind()) {
            let patched = applied.may_be_patched(one);
            let substituted = applied.substitutes(one);
            let text = applied.contents.text(one.object.file).unwrap_or_default();
            Check { one, text, patched, substituted, left: MOST_NODES, found }.object(kind);
        } else if matches!(one.object.kind(), "Bucket" | "ExternalArtifact") && one.object.group() == SOURCE {
            let message = format!("the fields of {} are not checked", named(one));
            found.add(&NOT_CHECKED, Place::overlay(one.object.file, one.object.node), message);
        }
    }
}

struct Check<'c, 'a> {
    one: &'c AppliedObject<'a>,
    /// Text of the object's file.
    text: &'c str,
    /// Whether a patch may add missing fields.
    patched: bool,
    /// Whether Flux replaces variables before it applies the object.
    substituted: bool,
    left: usize,
    found: &'c mut Findings,
}

impl Check<'_, '_> {
    fn add(&mut self, rule: &'static Rule, node: &Node, message: String) -> &mut Finding {
        self.found.add(rule, Place::overlay(self.one.object.file, node), message)
    }

    /// Adds a finding, and offers a similar text as its replacement.
    fn add_with_near(&mut self, rule: &'static Rule, node: &Node, message: String, near: Option<String>) {
        let text = self.text;
        let finding = self.add(rule, node, message);
        let Some(near) = near else { return };
        finding.help(format!("did you mean `{near}`?"));
        if !text.is_empty() && !node.is_alias() {
            finding.rename(text, node, &near);
        }
    }

    fn object(&mut self, kind: &'static Kind) {
        let node = self.one.object.node;
        for entry in node.entries().iter().filter(|entry| !entry.is_merge()) {
            let Some(key) = entry.key.as_str() else { continue };
            if !["apiVersion", "kind", "metadata", "spec", "status"].contains(&key) {
                let near = nearest(key, ["metadata", "spec", "status"].into_iter());
                self.unknown(&entry.key, key, near);
            }
        }
        match node.get(&["spec"]).filter(|spec| !spec.is_null()) {
            Some(spec) => self.value(&kind.spec, spec, "spec"),
            None if kind.spec.inner.iter().any(|field| field.required) => self.missing(node, "spec"),
            None => {}
        }
        self.conditions(node);
    }

    fn unknown(&mut self, key: &Node, path: &str, near: Option<String>) {
        let message = format!("unknown field `{}` of a {}", shown(path), self.one.object.kind());
        self.add_with_near(&UNKNOWN_FIELD, key, message, near);
    }

    fn missing(&mut self, node: &Node, path: &str) {
        if !self.patched {
            self.add(&MISSING_FIELD, node, format!("{} lacks the field `{path}`", named(self.one)));
        }
    }

    fn value(&mut self, field: &Field, node: &Node, path: &str) {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 || node.is_null() {
            return;
        }
        match field.holds {
            Type::Any => {}
            Type::Object if node.is_mapping() => self.mapping(field, node, path),
            Type::Array if node.is_sequence() => {
                for (at, item) in node.items().iter().enumerate() {
                    if let Some(each) = field.each() {
                        self.value(each, item, &format!("{path}[{at}]"));
                    }
                }
            }
            Type::Object => self.wrong(node, path, "a mapping"),
            Type::Array => self.wrong(node, path, "a list"),
            Type::String | Type::Integer | Type::Boolean => self.scalar(field, node, path),
        }
    }

    fn mapping(&mut self, field: &Field, node: &Node, path: &str) {
        let any = field.each();
        let merged: Vec<&Node> = node.merged();
        let entries = node.entries().iter().chain(merged.into_iter().flat_map(Node::entries));
        for entry in entries.filter(|entry| !entry.is_merge()) {
            let Some(key) = entry.key.as_str() else { continue };
            let path = format!("{path}.{key}");
            if let Some(inner) = any.or_else(|| field.field(key)) {
                self.value(inner, &entry.value, &path);
            } else {
                let absent = field.inner.iter().map(|field| field.name).filter(|name| node.value_of(name).is_none());
                self.unknown(&entry.key, &path, nearest(key, absent));
            }
        }
        for inner in field.inner.iter().filter(|inner| inner.required) {
            if !has(node, inner.name) {
                self.missing(node, &format!("{path}.{}", inner.name));
            }
        }
    }

    fn wrong(&mut self, node: &Node, path: &str, expected: &str) {
        let found = match &node.resolved().value {
            Value::Sequence { .. } => "a list".to_owned(),
            Value::Mapping { .. } => "a mapping".to_owned(),
            _ => match Written::of(node) {
                Written::Text => "a string".to_owned(),
                _ => format!("`{}`", shown(node.as_str().unwrap_or_default())),
            },
        };
        self.add(&WRONG_TYPE, node, format!("expected {expected} in `{}`, found {found}", shown(path)));
    }

    fn scalar(&mut self, field: &Field, node: &Node, path: &str) {
        let Some(text) = node.as_str() else {
            let expected = match field.holds {
                Type::Integer => "a whole number",
                Type::Boolean => "true or false",
                _ => "a string",
            };
            return self.wrong(node, path, expected);
        };
        if self.substituted && text.contains("${") {
            return;
        }
        match (field.holds, Written::of(node)) {
            (Type::String, Written::Integer | Written::Fraction | Written::Boolean) => {
                self.wrong(node, path, "a string");
            }
            (Type::Integer, Written::Text | Written::Boolean | Written::Fraction) => {
                self.wrong(node, path, "a whole number");
            }
            (Type::Boolean, Written::Text | Written::Integer | Written::Fraction) => {
                self.wrong(node, path, "true or false");
            }
            (Type::String, _) => self.text(field, node, text, path),
            _ => {}
        }
    }

    fn text(&mut self, field: &Field, node: &Node, text: &str, path: &str) {
        let characters = text.chars().count();
        let (fewest, most) = field.length;
        let reason = if !field.one_of.is_empty() && !field.one_of.contains(&text) {
            Some(format!("expected {}", one_of(&field.one_of)))
        } else if most.is_some_and(|most| characters > most) {
            Some(format!("expected at most {} characters, found {characters}", most.unwrap_or_default()))
        } else if fewest.is_some_and(|fewest| characters < fewest) {
            Some("expected a string that is not empty".to_owned())
        } else {
            let pattern = field.pattern.as_ref().filter(|pattern| !pattern.is_match(text));
            pattern.map(|pattern| format!("expected a string that matches `{}`", pattern.text))
        };
        let Some(reason) = reason else { return };
        let near = nearest(text, field.one_of.iter().copied());
        let message = format!("invalid value `{}` of `{}`: {reason}", shown(text), shown(path));
        self.add_with_near(&BAD_VALUE, node, message, near);
    }

    fn conditions(&mut self, node: &Node) {
        let kind = self.one.object.kind();
        for (of, path, holds, words) in CONDITIONS {
            let mapping = node.get(path).filter(|node| node.is_mapping());
            if let Some(mapping) = mapping.filter(|mapping| *of == kind && !self.patched && !holds(mapping)) {
                let message = format!("invalid {}: in `{}`, {words}", named(self.one), path.join("."));
                self.add(&CONTRADICTION, mapping, message);
            }
        }
    }
}

fn named(one: &AppliedObject<'_>) -> String {
    format!("{} `{}`", one.object.kind(), shown(one.object.name()))
}

fn one_of(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// Type of a scalar for the YAML parsers between the file and the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Text,
    Integer,
    Fraction,
    Boolean,
    /// The parsers do not agree on the type.
    Unclear,
}

impl Written {
    pub(super) fn of(node: &Node) -> Self {
        let node = node.resolved();
        let Value::Scalar { text, style } = &node.value else { return Self::Unclear };
        let digits = text.strip_prefix('-').unwrap_or(text);
        let decimal = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if node.tag.is_some() {
            Self::Unclear
        } else if node.is_string() || *style != Style::Plain {
            Self::Text
        } else if matches!(text.as_str(), "true" | "false" | "True" | "False" | "TRUE" | "FALSE") {
            Self::Boolean
        } else if decimal(digits) && (digits == "0" || !digits.starts_with('0')) {
            Self::Integer
        } else if digits
            .split_once('.')
            .is_some_and(|(whole, part)| decimal(whole) && decimal(part) && !part.ends_with('0'))
        {
            Self::Fraction
        } else {
            Self::Unclear
        }
    }
}
