//! Follows the templates of a chart through all branches, to find the values that they read. An expression that cannot be followed
//! counts as reading everything that is passed to it.

use std::collections::{BTreeMap, BTreeSet};

use super::chart::Chart;
use super::reads::{How, Item, Meaning, Reads};
use crate::template::{self, Branch, Command, Node, Operand, Pipeline, Term};

/// Limit of the template nodes that are followed in one chart.
const BUDGET: usize = 200_000;
/// Limit of the nesting of blocks, across templates that use each other.
const DEEPEST: usize = 120;
/// Limit of the items that one expression may mean, and of the keys of a table that is passed on.
const WIDEST: usize = 24;

/// The values that a published chart and its subcharts read.
#[derive(Debug)]
pub(super) struct Read<'c, 'a> {
    /// The charts, starting with the published one.
    pub(super) charts: Vec<&'c Chart<'a>>,
    /// For each chart, the reads of its own values.
    pub(super) reads: Vec<Reads>,
}

/// Follows all templates that Helm renders. `texts` are strings in values that may be templates themselves. Returns `None` if a template
/// cannot be parsed.
pub(super) fn follow<'c, 'a>(root: &'c Chart<'a>, texts: &[&str]) -> Option<Read<'c, 'a>> {
    let charts = root.all();
    if charts.iter().any(|chart| chart.templates.iter().any(|file| file.parsed.is_err())) {
        return None;
    }
    let mut defined: BTreeMap<&str, Vec<&[Node]>> = BTreeMap::new();
    for definition in charts.iter().flat_map(|chart| chart.parsed()).flat_map(|(_, parsed)| &parsed.definitions) {
        defined.entry(&definition.name).or_default().push(&definition.body);
    }
    let reads = charts.iter().map(|_| Reads::default()).collect();
    let mut follower = Follower { charts: &charts, defined, reads, seen: BTreeSet::new(), left: BUDGET, depth: 0 };
    for (index, chart) in charts.iter().enumerate().filter(|(_, chart)| !chart.library) {
        let given = Meaning::one(Item::Root(index));
        for (_, parsed) in chart.parsed().filter(|(file, _)| file.is_rendered()) {
            follower.body(&parsed.body, &mut Scope::new(given.clone()));
        }
        for text in texts {
            follower.text(text, &given);
        }
    }
    let Follower { mut reads, left, .. } = follower;
    if left == 0 {
        for reads in &mut reads {
            reads.mark(&[], How::Whole);
        }
    }
    Some(Read { charts, reads })
}

/// The keyword of a block, which decides what the dot means inside of the block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    If,
    With,
    Range,
}

/// The dot and the variables of a template that is followed.
pub(super) struct Scope {
    dot: Meaning,
    root: Meaning,
    variables: Vec<(String, Meaning)>,
}

impl Scope {
    fn new(given: Meaning) -> Self {
        Self { dot: given.clone(), root: given, variables: Vec::new() }
    }

    /// Returns the meaning of a variable. A template may declare `$` again.
    fn variable(&self, name: &str) -> Meaning {
        let found = self.variables.iter().rev().find(|(of, _)| of == name).map(|(_, meaning)| meaning);
        let root = (name == "$").then_some(&self.root);
        found.or(root).cloned().unwrap_or_default()
    }
}

pub(super) struct Follower<'f, 'c, 'a> {
    pub(super) charts: &'f [&'c Chart<'a>],
    defined: BTreeMap<&'c str, Vec<&'c [Node]>>,
    reads: Vec<Reads>,
    /// The calls that were followed already: the name of a template and its argument.
    seen: BTreeSet<(String, Meaning)>,
    left: usize,
    depth: usize,
}

impl Follower<'_, '_, '_> {
    /// Records that the values an expression means are read.
    pub(super) fn note(&mut self, meaning: &Meaning, how: How) {
        for item in &meaning.0 {
            match item {
                Item::Values(chart, path) => self.reads[*chart].mark(path, how),
                Item::Root(chart) | Item::Subcharts(chart) if how == How::Whole => {
                    self.reads[*chart].mark(&[], How::Whole);
                }
                Item::Dict(entries) if how == How::Whole => {
                    for entry in entries.values() {
                        self.note(entry, how);
                    }
                }
                Item::List(items) if how == How::Whole => self.note(items, how),
                _ => {}
            }
        }
    }

    fn body(&mut self, nodes: &[Node], scope: &mut Scope) {
        if self.depth >= DEEPEST {
            self.note(&scope.dot, How::Whole);
            self.note(&scope.root, How::Whole);
            for (_, meaning) in &scope.variables {
                self.note(meaning, How::Whole);
            }
            return;
        }
        self.depth += 1;
        self.nodes(nodes, scope);
        self.depth -= 1;
    }

    fn nodes(&mut self, nodes: &[Node], scope: &mut Scope) {
        for node in nodes {
            self.left = self.left.saturating_sub(1);
            if self.left == 0 {
                return;
            }
            match node {
                Node::Text(_) | Node::Jump => {}
                Node::Action(pipeline) => {
                    let meaning = self.pipeline(pipeline, scope);
                    if pipeline.variables.is_empty() {
                        self.note(&meaning, How::Whole);
                    } else {
                        self.bind(pipeline, &meaning, scope);
                    }
                }
                Node::If(branch) => self.branch(branch, Kind::If, scope),
                Node::With(branch) => self.branch(branch, Kind::With, scope),
                Node::Range(branch) => self.branch(branch, Kind::Range, scope),
                Node::Template { name, argument, .. } => {
                    let given = argument.as_ref().map(|pipeline| self.pipeline(pipeline, scope));
                    self.named(name, given.unwrap_or_default());
                }
            }
        }
    }

    /// Assigns a meaning to the variables of a pipeline. A variable that is assigned again with `=` is not followed any further.
    fn bind(&mut self, pipeline: &Pipeline, meaning: &Meaning, scope: &mut Scope) {
        if pipeline.assigns {
            self.note(meaning, How::Whole);
            return;
        }
        for variable in &pipeline.variables {
            scope.variables.push((variable.clone(), meaning.clone()));
        }
    }

    /// Follows a block. Inside of `with`, the dot is the value; inside of `range`, the dot is each of its elements.
    fn branch(&mut self, branch: &Branch, kind: Kind, scope: &mut Scope) {
        let variables = scope.variables.len();
        for arm in &branch.arms {
            let meaning = self.pipeline(&arm.pipeline, scope);
            self.note(&meaning, How::Looked);
            let inner = if kind == Kind::Range { meaning.element() } else { meaning };
            if let (Kind::Range, [key, value]) = (kind, arm.pipeline.variables.as_slice()) {
                scope.variables.push((key.clone(), Meaning::default()));
                scope.variables.push((value.clone(), inner.clone()));
            } else {
                self.bind(&arm.pipeline, &inner, scope);
            }
            let dot = if kind == Kind::If { scope.dot.clone() } else { inner };
            let outer = std::mem::replace(&mut scope.dot, dot);
            self.body(&arm.body, scope);
            scope.dot = outer;
        }
        self.body(&branch.otherwise, scope);
        scope.variables.truncate(variables);
    }

    /// Follows the template with the given name, once for each argument.
    pub(super) fn named(&mut self, name: &str, given: Meaning) {
        let given = self.bounded(given);
        let Some(bodies) = self.defined.get(name).cloned() else { return };
        if !self.seen.insert((name.to_owned(), given.clone())) {
            return;
        }
        for body in bodies {
            self.body(body, &mut Scope::new(given.clone()));
        }
    }

    /// Follows a text as a template, as `tpl` does. A text that cannot be parsed is ignored.
    pub(super) fn text(&mut self, text: &str, given: &Meaning) {
        self.left = self.left.saturating_sub(1 + text.len() / 16);
        if !text.contains("{{") || self.depth >= DEEPEST || self.left == 0 {
            return;
        }
        let Ok(parsed) = template::parse(text) else { return };
        self.depth += 1;
        let bodies = std::iter::once(&parsed.body).chain(parsed.definitions.iter().map(|one| &one.body));
        for body in bodies {
            self.body(body, &mut Scope::new(given.clone()));
        }
        self.depth -= 1;
    }

    /// Stops following a meaning with too many items, which then counts as read.
    pub(super) fn bounded(&mut self, meaning: Meaning) -> Meaning {
        if meaning.0.len() <= WIDEST && height(&meaning) <= 4 {
            return meaning;
        }
        self.note(&meaning, How::Whole);
        Meaning::default()
    }

    pub(super) fn pipeline(&mut self, pipeline: &Pipeline, scope: &mut Scope) -> Meaning {
        let mut piped: Option<Meaning> = None;
        for command in &pipeline.commands {
            let meaning = self.command(command, piped, scope);
            piped = Some(self.bounded(meaning));
        }
        piped.unwrap_or_default()
    }

    fn command(&mut self, command: &Command, piped: Option<Meaning>, scope: &mut Scope) -> Meaning {
        let (first, rest) = command.operands.split_first().expect("a command has at least one operand");
        let arguments: Vec<Meaning> = rest.iter().map(|operand| self.operand(operand, scope)).chain(piped).collect();
        if let Term::Function(name) = &first.term {
            let by_path = rest.first().is_some_and(is_base_path);
            let meaning = if name == "include" && by_path {
                // This idiom computes the checksum of another file, and that file is rendered anyway.
                Meaning::default()
            } else {
                self.call(name, &arguments)
            };
            return first.fields.iter().fold(meaning, |meaning, field| meaning.field(field));
        }
        // The term is a method, such as `.Files.Get` and `.Capabilities.APIVersions.Has`.
        self.all(&arguments, How::Whole);
        self.operand(first, scope)
    }

    fn operand(&mut self, operand: &Operand, scope: &mut Scope) -> Meaning {
        let base = match &operand.term {
            Term::Dot => scope.dot.clone(),
            Term::Variable(name) => scope.variable(name),
            Term::Text(text) => Meaning::one(Item::Text(text.clone())),
            Term::Function(name) => self.call(name, &[]),
            Term::Parenthesised(pipeline) => self.pipeline(pipeline, scope),
            Term::Nil | Term::Bool(_) | Term::Number => Meaning::default(),
        };
        operand.fields.iter().fold(base, |meaning, field| self.subchart(&meaning, field).join(meaning.field(field)))
    }

    /// Returns the meaning of `.Subcharts.NAME`.
    fn subchart(&self, meaning: &Meaning, name: &str) -> Meaning {
        let of = |item: &Item| match item {
            Item::Subcharts(parent) => {
                let directory = format!("{}charts/{name}/", self.charts[*parent].directory);
                self.charts.iter().position(|chart| chart.directory == directory).map(Item::Root)
            }
            _ => None,
        };
        Meaning(meaning.0.iter().filter_map(of).collect())
    }
}

/// Reports whether an operand starts with `.Template.BasePath`.
fn is_base_path(operand: &Operand) -> bool {
    let reads = |operand: &Operand| operand.fields.ends_with(&["Template".to_owned(), "BasePath".to_owned()]);
    match &operand.term {
        Term::Parenthesised(inner) => inner.commands.iter().flat_map(|command| &command.operands).any(reads),
        _ => reads(operand),
    }
}

fn height(meaning: &Meaning) -> usize {
    let of = |item: &Item| match item {
        Item::Dict(entries) => 1 + entries.values().map(height).max().unwrap_or_default(),
        Item::List(items) => 1 + height(items),
        _ => 0,
    };
    meaning.0.iter().map(of).max().unwrap_or_default()
}
