//! Secrets in charts, values and the overlay, which anyone who can read the registry gets. The rules know few forms of secrets, each
//! with few false alarms. A secret never becomes part of a message, and the line that contains it is not printed.

mod password;
mod token;

use std::collections::BTreeSet;
use std::ops::Range;

use super::{Class, Contents, Findings, Place, Rule, Severity};
use crate::path::has_extension;
use crate::text::shown;
use crate::yaml::{self, Node};

pub(super) static PRIVATE_KEY: Rule = Rule {
    id: "secret-private-key",
    class: Class::Secrets,
    severity: Severity::Error,
    title: "a file contains a private key",
    verdict: "The key is published: anyone who can read the registry has it, and it stays there when a later release removes it.",
    example: "tls.key: |\n  -----BEGIN PRIVATE KEY-----\n  ...\n",
    way_out: "remove the key and replace it with a new one; create the Secret on the appliance, or encrypt it with SOPS; if the key \
              protects nothing, allow the finding with a reason",
};

pub(super) static TOKEN: Rule = Rule {
    id: "secret-token",
    class: Class::Secrets,
    severity: Severity::Error,
    title: "a file contains an access token",
    verdict: "The token is published: anyone who can read the registry can use it, and it stays there when a later release removes it.",
    example: "githubToken: ghp_...\n",
    way_out: "revoke the token and remove it from the file; create the Secret on the appliance, or encrypt it with SOPS",
};

pub(super) static PASSWORD: Rule = Rule {
    id: "secret-password",
    class: Class::Secrets,
    severity: Severity::Warning,
    title: "a value looks like a password",
    verdict: "The value is published: anyone who can read the registry has it, and all appliances share it.",
    example: "database:\n  password: (a text that looks random)\n",
    way_out: "create the password on the appliance and refer to its Secret; if it protects nothing, allow the finding with a reason",
};

pub(super) static PLAIN_SECRET: Rule = Rule {
    id: "secret-plain",
    class: Class::Secrets,
    severity: Severity::Warning,
    title: "the overlay contains a Secret that is not encrypted",
    verdict: "The Secret is published: anyone who can read the registry has it. Base64 does not hide the content.",
    example: "kind: Secret\nstringData: {password: ...}\n",
    way_out: "create the Secret on the appliance, or encrypt it with SOPS",
};

pub(super) static RULES: &[&Rule] = &[&PRIVATE_KEY, &TOKEN, &PASSWORD, &PLAIN_SECRET];

/// Checks every text file of the release.
pub(super) fn check(contents: &Contents<'_>, found: &mut Findings) {
    for (path, bytes) in contents.files.bytes() {
        let place = |line, span| Place { span, ..Place::overlay_line(path, line) };
        file(path, bytes, &place, found);
    }
    for chart in contents.charts.values() {
        for (path, bytes) in &chart.files {
            file(path, bytes, &|line, span| Place::chart(&chart.name, path, line, span), found);
        }
    }
    for object in contents.parts.objects.iter().filter(|object| object.is("", "Secret")) {
        let filled = |part: &&str| {
            let entries = object.node.get(&[part]).map(Node::entries).unwrap_or_default();
            entries
                .iter()
                .any(|entry| entry.value.as_str().is_some_and(|text| !text.is_empty() && !text.contains("${")))
        };
        if object.node.get(&["sops"]).is_none() && ["data", "stringData"].iter().any(filled) {
            let node = object.node.get(&["metadata", "name"]).unwrap_or(object.node);
            let message = format!("the Secret `{}` is not encrypted", shown(object.name()));
            found.add(&PLAIN_SECRET, Place::overlay(object.file, node), message).secret();
        }
    }
}

fn file(path: &str, bytes: &[u8], place: &dyn Fn(usize, Option<Range<usize>>) -> Place, found: &mut Findings) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = BTreeSet::new();
    for hit in token::all(text) {
        let line = line_of(text, hit.span.start);
        if lines.insert((line, hit.what)) {
            let rule = if hit.is_key { &PRIVATE_KEY } else { &TOKEN };
            found.add(rule, place(line, Some(hit.span)), format!("the text looks like {}", hit.what)).secret();
        }
    }
    // Templates are not YAML, and CustomResourceDefinitions are large and contain no values.
    let other = ["templates/", "crds/"].iter().any(|directory| path.contains(directory));
    let values = has_extension(path, &["yaml", "yml"]) && !other && password::may_be_in(text);
    let documents = if values { yaml::parse(text).unwrap_or_default() } else { Vec::new() };
    for document in documents {
        for (key, node) in document.root.iter().flat_map(password::all) {
            if !lines.iter().any(|(line, _)| *line == node.line) {
                let message = format!("the value of `{}` looks like a password", shown(key));
                found.add(&PASSWORD, place(node.line, Some(node.span.clone())), message).secret();
            }
        }
    }
}

/// Returns the line of a byte offset, counted from 1.
fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].split(|b| *b == b'\n').count()
}
