//! A graph as a tree for the terminal.

use std::fmt::Write as _;

use indicatif::BinaryBytes;
use jiff::Timestamp;

use super::{AttachedNode, Graph, Node};
use crate::text::{clean, shown};

/// Widest tree in characters; a longer name moves only its own columns.
const WIDEST: usize = 60;

/// A line of the tree: the branches and the name, then the columns.
struct Line {
    tree: String,
    columns: [String; 4],
    reason: Option<String>,
}

impl Graph {
    /// Returns the graph as a tree. Ages are relative to `now`.
    pub fn text(&self, now: Timestamp) -> String {
        let heading = ["DIGEST", "SIZE", "AGE", "SIGNATURES"].map(str::to_owned);
        let mut lines = vec![Line { tree: "NAME".to_owned(), columns: heading, reason: None }];
        lines.push(line(format!("release {}", self.release.title()), &self.release, now));
        attached("", &self.release.attached, &mut lines);
        let groups = self.groups();
        for (at, (heading, nodes)) in groups.iter().enumerate() {
            let (branch, below) = branches(at + 1 == groups.len());
            lines.push(Line { tree: format!("{branch}{heading}"), columns: Default::default(), reason: None });
            for (at, node) in nodes.iter().enumerate() {
                let (branch, deeper) = branches(at + 1 == nodes.len());
                lines.push(line(format!("{below}{branch}{}", node.title()), node, now));
                attached(&format!("{below}{deeper}"), &node.attached, &mut lines);
            }
        }
        clean(&(self.head() + &table(&lines)))
    }

    fn head(&self) -> String {
        let mut head = format!("{}\n", self.release.reference);
        if let Some(channel) = &self.channel {
            let words = channel.words();
            let words = if words.is_empty() { words } else { format!(" ({words})") };
            let _ = writeln!(head, "served by channel {}{words}", shown(&channel.name));
        }
        head + "\n"
    }
}

/// Returns the branch to a node, and what is before the branches below it.
fn branches(last: bool) -> (&'static str, &'static str) {
    if last { ("└── ", "    ") } else { ("├── ", "│   ") }
}

fn line(tree: String, node: &Node, now: Timestamp) -> Line {
    let digest = if node.pinned || node.digest.is_none() {
        node.short_digest()
    } else {
        format!("{} (tag only)", node.short_digest())
    };
    let size = node.size.map_or_else(|| "-".to_owned(), size);
    let age = node.created.as_deref().and_then(|created| age(created, now)).unwrap_or_else(|| "-".to_owned());
    Line { tree, columns: [digest, size, age, node.signed()], reason: node.reason() }
}

fn attached(below: &str, nodes: &[AttachedNode], lines: &mut Vec<Line>) {
    for (at, node) in nodes.iter().enumerate() {
        let (branch, _) = branches(at + 1 == nodes.len() && !below.is_empty());
        let name = node.artifact_type.as_deref().map(shown).unwrap_or_default();
        let tree = format!("{below}{branch}{} {name}", node.what.as_str()).trim_end().to_owned();
        let columns = [node.digest.short().to_owned(), size(node.size), String::new(), String::new()];
        lines.push(Line { tree, columns, reason: None });
    }
}

fn table(lines: &[Line]) -> String {
    let width = |text: &str| text.chars().count();
    let tree = lines.iter().map(|line| width(&line.tree)).filter(|width| *width <= WIDEST).max().unwrap_or(0);
    let widths: Vec<usize> =
        (0..4).map(|at| lines.iter().map(|line| width(&line.columns[at])).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for Line { tree: name, columns: [digest, size, age, signed], reason } in lines {
        let row = format!(
            "{name:tree$}  {digest:0$}  {size:>1$}  {age:>2$}  {signed:3$}",
            widths[0], widths[1], widths[2], widths[3]
        );
        let row = reason.as_ref().map_or_else(|| row.trim_end().to_owned(), |reason| format!("{row}  {reason}"));
        let _ = writeln!(text, "{row}");
    }
    text
}

/// Returns a number of bytes for people.
fn size(bytes: u64) -> String {
    BinaryBytes(bytes).to_string()
}

/// Returns the time since `created` in its largest unit, as kubectl does; nothing for a time that is still to come.
pub(super) fn age(created: &str, now: Timestamp) -> Option<String> {
    let seconds = now.as_second().checked_sub(created.parse::<Timestamp>().ok()?.as_second())?;
    let (minute, hour, day) = (60, 3600, 86_400);
    Some(match seconds {
        i64::MIN..0 => return None,
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / minute),
        7200..172_800 => format!("{}h", seconds / hour),
        _ if seconds / day < 730 => format!("{}d", seconds / day),
        _ => format!("{}y", seconds / day / 365),
    })
}
