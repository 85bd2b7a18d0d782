//! A graph in the language of Graphviz.
//!
//! <https://graphviz.org/doc/info/lang.html>

use std::fmt::Write as _;

use indicatif::BinaryBytes;

use super::{Graph, Node, day};
use crate::text::shown;

impl Graph {
    /// Returns the graph for `dot`. The same graph gives the same text.
    pub fn dot(&self) -> String {
        let mut text = "digraph release {\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n  edge [arrowsize=0.6];\n"
            .to_owned();
        if let Some(channel) = &self.channel {
            let lines = [format!("channel {}", shown(&channel.name)), channel.words()];
            let _ = writeln!(text, "  channel [label={}, shape=ellipse];\n  channel -> release;", quoted(&lines));
        }
        node("release", &self.release, &mut text);
        let mut count = 0;
        for (at, (heading, nodes)) in self.groups().into_iter().enumerate() {
            let _ = writeln!(text, "  group{at} [label={}, shape=plaintext];", quoted(&[heading.to_owned()]));
            let _ = writeln!(text, "  release -> group{at};");
            for one in nodes {
                let id = format!("artifact{count}");
                count += 1;
                node(&id, one, &mut text);
                let _ = writeln!(text, "  group{at} -> {id};");
            }
        }
        text + "}\n"
    }
}

/// Writes a node, and those that refer to it.
fn node(id: &str, node: &Node, text: &mut String) {
    let title = if id == "release" { format!("release {}", node.title()) } else { node.title() };
    let lines = [title, node.details(), node.reason().unwrap_or_default()];
    let style = if node.problem.is_some() { ", style=\"rounded,dashed\"" } else { "" };
    let tooltip = quoted(&[shown(&node.reference)]);
    let _ = writeln!(text, "  {id} [label={}, tooltip={tooltip}{style}];", quoted(&lines));
    for (at, attached) in node.attached.iter().enumerate() {
        let name = format!("{} {}", attached.what.as_str(), attached.digest.short());
        let label = quoted(&[name, attached.artifact_type.as_deref().map(shown).unwrap_or_default()]);
        let _ = writeln!(text, "  {id}_{at} [label={label}, shape=note];\n  {id}_{at} -> {id} [style=dashed];");
    }
}

impl Node {
    /// Returns digest, size, day and signatures in one line, as far as they are known.
    pub(super) fn details(&self) -> String {
        let mut details: Vec<String> = self.digest.iter().map(|digest| digest.short().to_owned()).collect();
        details.extend(self.size.map(|size| BinaryBytes(size).to_string()));
        details.extend(self.created.as_deref().map(|created| day(created).to_owned()));
        if self.signatures.is_some() {
            details.push(format!("signatures: {}", self.signed()));
        }
        details.join(" · ")
    }
}

/// Returns lines as a quoted string of the language; empty lines are left out.
fn quoted(lines: &[String]) -> String {
    let escaped = |line: &String| line.replace('\\', "\\\\").replace('"', "\\\"");
    let lines: Vec<String> = lines.iter().filter(|line| !line.is_empty()).map(escaped).collect();
    format!("\"{}\"", lines.join("\\n"))
}
