//! A graph as an SVG drawing that needs nothing beside itself: no script, no font, nothing remote. The same graph gives the same text.

use std::fmt::Write as _;

use super::{Graph, Mark, Node};
use crate::text::{cut, markup, shown};

const STYLE: &str = include_str!("svg.css");

/// Distances in pixels. Text is in a font of fixed width, so that its length is known.
const MARGIN: usize = 16;
const BOX_HEIGHT: usize = 44;
const ROW: usize = 54;
const GAP: usize = 44;
/// Largest widths of a character of the first line of a box and of the second one, in half pixels.
const CHARACTERS: [usize; 2] = [16, 15];
/// Largest number of characters in a line of a box.
const LONGEST: usize = 66;

/// A rectangle with one or two lines of text.
struct Drawn {
    title: String,
    details: String,
    tooltip: String,
    class: &'static str,
}

impl Drawn {
    fn new(title: &str, details: &str, tooltip: &str, class: &'static str) -> Self {
        Self { title: cut(title, LONGEST), details: cut(details, LONGEST), tooltip: shown(tooltip), class }
    }

    fn of(node: &Node, title: &str) -> Self {
        let word = node.mark.as_str();
        let title = if word.is_empty() { title.to_owned() } else { format!("{word}: {title}") };
        let details = node.reason().unwrap_or_else(|| node.details());
        let class = match (node.mark, &node.problem) {
            (Mark::Added, _) => "node added",
            (Mark::Removed, _) => "node removed",
            (Mark::Changed, _) => "node changed",
            (Mark::None, Some(_)) => "node problem",
            (Mark::None, None) => "node",
        };
        Self::new(&title, &details, &node.reference, class)
    }

    fn width(&self) -> usize {
        let lines = [&self.title, &self.details].map(|line| line.chars().count());
        (lines[0] * CHARACTERS[0]).max(lines[1] * CHARACTERS[1]).div_ceil(2) + 2 * MARGIN
    }

    /// Draws the rectangle with its middle at the height `y`.
    fn draw(&self, x: usize, y: usize, width: usize, svg: &mut String) {
        let Self { title, details, tooltip, class } = self;
        let (top, text) = (y - BOX_HEIGHT / 2, x + MARGIN);
        let (title, details, tooltip) = (escaped(title), escaped(details), escaped(tooltip));
        let _ = writeln!(svg, "<g class=\"{class}\"><title>{tooltip}</title>");
        let _ = writeln!(svg, "<rect x=\"{x}\" y=\"{top}\" width=\"{width}\" height=\"{BOX_HEIGHT}\" rx=\"6\"/>");
        let first = if details.is_empty() { y + 5 } else { y - 3 };
        let _ = writeln!(svg, "<text x=\"{text}\" y=\"{first}\">{title}</text>");
        if !details.is_empty() {
            let _ = writeln!(svg, "<text class=\"details\" x=\"{text}\" y=\"{}\">{details}</text>", y + 14);
        }
        svg.push_str("</g>\n");
    }
}

/// Rectangles that are drawn below each other, with the heading of their group.
struct Group {
    heading: Drawn,
    nodes: Vec<Drawn>,
}

impl Graph {
    /// Returns the graph as an SVG document, which may also be a part of an HTML page.
    pub fn svg(&self) -> String {
        let release = Drawn::of(&self.release, &format!("release {}", self.release.title()));
        let channel = self.channel.as_ref().map(|channel| {
            let tooltip = channel.manifest.to_string();
            Drawn::new(&format!("channel {}", shown(&channel.name)), &channel.words(), &tooltip, "node channel")
        });
        let group = |(heading, nodes): (&str, Vec<&Node>)| Group {
            heading: Drawn::new(heading, "", heading, "group"),
            nodes: nodes.into_iter().map(|node| Drawn::of(node, &node.title())).collect(),
        };
        let groups: Vec<Group> = self.groups().into_iter().map(group).collect();
        draw(&format!("Release {}", self.release.title()), channel.as_ref(), &release, &groups)
    }
}

fn draw(title: &str, channel: Option<&Drawn>, release: &Drawn, groups: &[Group]) -> String {
    let widest = |drawn: &mut dyn Iterator<Item = &Drawn>| drawn.map(Drawn::width).max().unwrap_or(0);
    // The channel is drawn above the release, which is in the middle.
    let rows = rows_of(groups).max(if channel.is_some() { 4 } else { 1 });
    let height = rows * ROW + 2 * MARGIN;
    let middle = height / 2;
    let (mut edges, mut boxes) = (String::new(), String::new());
    let width = widest(&mut channel.into_iter().chain([release]));
    if let Some(channel) = channel {
        let (x, y) = (MARGIN + width / 2, middle - BOX_HEIGHT - GAP);
        channel.draw(MARGIN, y, width, &mut boxes);
        let _ = writeln!(edges, "<path class=\"edge\" d=\"M{x} {}V{}\"/>", y + BOX_HEIGHT / 2, middle - BOX_HEIGHT / 2);
    }
    release.draw(MARGIN, middle, width, &mut boxes);
    let from = MARGIN + width;
    let headings = from + GAP;
    let heading_width = widest(&mut groups.iter().map(|group| &group.heading));
    let nodes = headings + heading_width + GAP;
    let node_width = widest(&mut groups.iter().flat_map(|group| &group.nodes));
    let mut y = (height - rows_of(groups) * ROW) / 2 + ROW / 2;
    for group in groups {
        let at = y + (group.nodes.len() - 1) * ROW / 2;
        edge((from, middle), (headings, at), &mut edges);
        group.heading.draw(headings, at, heading_width, &mut boxes);
        for node in &group.nodes {
            edge((headings + heading_width, at), (nodes, y), &mut edges);
            node.draw(nodes, y, node_width, &mut boxes);
            y += ROW;
        }
    }
    let width = nodes + node_width + MARGIN;
    let title = escaped(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"release-graph\" role=\"img\" aria-label=\"{title}\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n<rect class=\"back\" width=\"{width}\" height=\"{height}\"/>\n{edges}{boxes}</svg>\n"
    )
}

/// Returns the number of artifacts, each of which has a row.
fn rows_of(groups: &[Group]) -> usize {
    groups.iter().map(|group| group.nodes.len()).sum()
}

/// Draws a curve from the right side of one rectangle to the left side of another one.
fn edge((x1, y1): (usize, usize), (x2, y2): (usize, usize), svg: &mut String) {
    let bend = usize::midpoint(x1, x2);
    let _ = writeln!(svg, "<path class=\"edge\" d=\"M{x1} {y1}C{bend} {y1} {bend} {y2} {x2} {y2}\"/>");
}

/// Escapes text for XML, which does not allow two of the characters of Unicode.
fn escaped(text: &str) -> String {
    markup(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}
