//! Executes templates by Go's rules for blocks, variables and fields.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use super::Output;
use super::data::Data;
use crate::lint::Place;
use crate::lint::helm::chart::{Chart, File};
use crate::template::{self, Branch, Command, Node, Operand, Pipeline, Term};

/// Limit of the nodes that are executed for one HelmRelease.
const BUDGET: usize = 300_000;
/// Limit of the nesting of blocks, across templates that use each other.
const DEEPEST: usize = 120;
/// Limit of the output of one file, in bytes.
const LONGEST: usize = 4 << 20;

/// The body of a template, with the text that contains it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body<'c> {
    pub(super) text: &'c str,
    pub(super) nodes: &'c [Node],
    /// The chart and the file; `None` for a text that `tpl` executes.
    pub(super) file: Option<(&'c Chart<'c>, &'c File<'c>)>,
}

/// The reason why the execution of a file stops.
#[derive(Debug)]
pub(super) enum Stop {
    /// Helm fails. The place is `None` in a text that is not part of a file.
    Failed { place: Option<Place>, message: String },
    /// The result is not known.
    Unsure,
}

pub(super) type Run<T> = Result<T, Stop>;

/// Returns an error that Helm would report.
pub(super) fn fail<T>(message: impl Into<String>) -> Run<T> {
    Err(Stop::Failed { place: None, message: message.into() })
}

/// Executes the templates of one HelmRelease.
pub(super) struct Runner<'c> {
    defined: BTreeMap<Cow<'c, str>, Vec<Body<'c>>>,
    left: usize,
    depth: usize,
}

/// The dot and the variables of a template that is executed.
struct Scope {
    dot: Data,
    root: Data,
    variables: Vec<(String, Data)>,
}

impl Scope {
    fn new(given: Data) -> Self {
        Self { dot: given.clone(), root: given, variables: Vec::new() }
    }

    fn variable(&mut self, name: &str) -> Option<&mut Data> {
        let found = self.variables.iter_mut().rev().find(|(of, _)| of == name).map(|(_, data)| data);
        found.or((name == "$").then_some(&mut self.root))
    }
}

impl<'c> Runner<'c> {
    pub(super) fn new(charts: &[&'c Chart<'c>]) -> Self {
        let mut defined: BTreeMap<Cow<'c, str>, Vec<Body<'c>>> = BTreeMap::new();
        for chart in charts {
            for (file, parsed) in chart.parsed() {
                let name = format!("{}/{}{}", charts[0].name, chart.directory, file.path);
                let body = Body { text: &file.text, nodes: &parsed.body, file: Some((chart, file)) };
                defined.entry(Cow::Owned(name)).or_default().push(body);
                for one in &parsed.definitions {
                    let body = Body { text: &file.text, nodes: &one.body, file: Some((chart, file)) };
                    defined.entry(Cow::Borrowed(&one.name)).or_default().push(body);
                }
            }
        }
        Self { defined, left: BUDGET, depth: 0 }
    }

    /// Renders one file with the given root.
    pub(super) fn file(&mut self, body: Body<'_>, given: Data) -> Run<Output> {
        let mut output = Output::default();
        self.body(body, body.nodes, &mut Scope::new(given), &mut output)?;
        Ok(output)
    }

    fn body(&mut self, of: Body<'_>, nodes: &[Node], scope: &mut Scope, out: &mut Output) -> Run<()> {
        if self.depth >= DEEPEST {
            return Err(Stop::Unsure);
        }
        self.depth += 1;
        let run = nodes.iter().try_for_each(|node| self.node(of, node, scope, out));
        self.depth -= 1;
        run
    }

    fn node(&mut self, of: Body<'_>, node: &Node, scope: &mut Scope, out: &mut Output) -> Run<()> {
        self.left = self.left.checked_sub(1).ok_or(Stop::Unsure)?;
        if out.text.len() > LONGEST {
            return Err(Stop::Unsure);
        }
        match node {
            Node::Text(span) => {
                out.marks.push((out.text.len(), span.start));
                out.text += &of.text[span.clone()];
            }
            Node::Jump => return Err(Stop::Unsure),
            Node::Action(pipeline) => {
                let data = self.pipeline(of, pipeline, scope)?;
                if pipeline.variables.is_empty() {
                    out.marks.push((out.text.len(), pipeline.span.start));
                    match data.print() {
                        Some(text) => out.text += &text,
                        None => out.unknown = true,
                    }
                } else {
                    bind(pipeline, &data, scope)?;
                }
            }
            Node::If(branch) => self.branch(of, branch, false, scope, out)?,
            Node::With(branch) => self.branch(of, branch, true, scope, out)?,
            Node::Range(branch) => self.range(of, branch, scope, out)?,
            Node::Template { name, argument, span } => {
                let given = argument.as_ref().map(|pipeline| self.pipeline(of, pipeline, scope)).transpose()?;
                let rendered = self.named(name, given.unwrap_or(Data::Nil)).map_err(|stop| placed(stop, of, span))?;
                out.marks.push((out.text.len(), span.start));
                out.text += &rendered.text;
                out.unknown |= rendered.unknown;
            }
        }
        Ok(())
    }

    fn branch(&mut self, of: Body<'_>, branch: &Branch, with: bool, scope: &mut Scope, out: &mut Output) -> Run<()> {
        let variables = scope.variables.len();
        let mut body = &branch.otherwise;
        let mut dot = None;
        for arm in &branch.arms {
            let data = self.pipeline(of, &arm.pipeline, scope)?;
            bind(&arm.pipeline, &data, scope)?;
            if data.truth().ok_or(Stop::Unsure)? {
                body = &arm.body;
                dot = with.then_some(data);
                break;
            }
        }
        let outer = dot.map(|dot| std::mem::replace(&mut scope.dot, dot));
        self.body(of, body, scope, out)?;
        if let Some(outer) = outer {
            scope.dot = outer;
        }
        scope.variables.truncate(variables);
        Ok(())
    }

    fn range(&mut self, of: Body<'_>, branch: &Branch, scope: &mut Scope, out: &mut Output) -> Run<()> {
        let arm = &branch.arms[0];
        let data = self.pipeline(of, &arm.pipeline, scope)?;
        let elements: Vec<(Data, Data)> = match &data {
            Data::Nil => Vec::new(),
            Data::List(items) => {
                (0..).zip(items.iter()).map(|(index, item)| (Data::Int(index), item.clone())).collect()
            }
            Data::Map(entries) => {
                entries.borrow().iter().map(|(key, value)| (Data::text(key), value.clone())).collect()
            }
            Data::Unknown | Data::Int(_) => return Err(Stop::Unsure),
            other => {
                let shown: String = other.print().unwrap_or_default().chars().take(40).collect();
                let message = format!("range cannot go over {}: {}", other.kind(), shown.escape_debug());
                return fail(message).map_err(|stop| placed(stop, of, &arm.pipeline.span));
            }
        };
        let variables = scope.variables.len();
        if elements.is_empty() {
            self.body(of, &branch.otherwise, scope, out)?;
        }
        for (key, value) in elements {
            match arm.pipeline.variables.as_slice() {
                [] => {}
                _ if arm.pipeline.assigns => return Err(Stop::Unsure),
                [one] => scope.variables.push((one.clone(), value.clone())),
                [one, other, ..] => {
                    scope.variables.push((one.clone(), key));
                    scope.variables.push((other.clone(), value.clone()));
                }
            }
            let outer = std::mem::replace(&mut scope.dot, value);
            self.body(of, &arm.body, scope, out)?;
            scope.dot = outer;
            scope.variables.truncate(variables);
        }
        Ok(())
    }

    /// Renders the template with the given name.
    pub(super) fn named(&mut self, name: &str, given: Data) -> Run<Output> {
        match self.defined.get(name).map(Vec::as_slice) {
            Some([body]) => self.file(*body, given),
            // The rule `template-undefined` reports a constant name without a definition.
            None if name.contains('/') => fail(format!("no template {name:?}")),
            _ => Err(Stop::Unsure),
        }
    }

    /// Renders a text as a template, as `tpl` does.
    pub(super) fn text(&mut self, text: &str, given: Data) -> Run<Output> {
        match template::parse(text) {
            Ok(parsed) if parsed.definitions.is_empty() => {
                self.file(Body { text, nodes: &parsed.body, file: None }, given)
            }
            Err(error) if !error.too_deep => fail(format!("`tpl` cannot parse a value as a template: {error}")),
            _ => Err(Stop::Unsure),
        }
    }

    fn pipeline(&mut self, of: Body<'_>, pipeline: &Pipeline, scope: &mut Scope) -> Run<Data> {
        let mut piped: Option<Data> = None;
        for command in &pipeline.commands {
            piped = Some(self.command(of, command, piped, scope)?);
        }
        Ok(piped.unwrap_or(Data::Nil))
    }

    fn command(&mut self, of: Body<'_>, command: &Command, piped: Option<Data>, scope: &mut Scope) -> Run<Data> {
        let (first, rest) = command.operands.split_first().expect("a command has at least one operand");
        let Term::Function(name) = &first.term else {
            let data = self.operand(of, first, scope)?;
            if rest.is_empty() && piped.is_none() || matches!(data, Data::Unknown) {
                return Ok(data);
            }
            if matches!(first.term, Term::Text(_) | Term::Number | Term::Bool(_)) {
                return fail("a constant has arguments and is not a function")
                    .map_err(|stop| placed(stop, of, &first.span));
            }
            if !first.fields.is_empty() && !matches!(data, Data::Nil) {
                let message = format!("{} is not a method but has arguments", first.fields[first.fields.len() - 1]);
                return fail(message).map_err(|stop| placed(stop, of, &first.span));
            }
            return Err(Stop::Unsure);
        };
        let mut arguments = Vec::new();
        for operand in rest {
            let data = self.operand(of, operand, scope)?;
            // Go evaluates the arguments of `and` and `or` only until one of them decides the result.
            let decides = |data: &Data| data.truth().map(|truth| truth == (name == "or"));
            if matches!(name.as_str(), "and" | "or") && decides(&data).ok_or(Stop::Unsure)? {
                return Ok(data);
            }
            arguments.push(data);
        }
        arguments.extend(piped);
        let data = self.call(name, &arguments).map_err(|stop| placed(stop, of, &first.span))?;
        fields(data, &first.fields).map_err(|stop| placed(stop, of, &first.span))
    }

    fn operand(&mut self, of: Body<'_>, operand: &Operand, scope: &mut Scope) -> Run<Data> {
        let data = match &operand.term {
            Term::Dot => scope.dot.clone(),
            Term::Nil => Data::Nil,
            Term::Bool(value) => Data::Bool(*value),
            Term::Number => number(&of.text[operand.span.clone()]),
            Term::Text(text) => Data::text(text),
            Term::Variable(name) => scope.variable(name).cloned().ok_or(Stop::Unsure)?,
            Term::Function(name) => self.call(name, &[]).map_err(|stop| placed(stop, of, &operand.span))?,
            Term::Parenthesised(pipeline) => self.pipeline(of, pipeline, scope)?,
        };
        fields(data, &operand.fields).map_err(|stop| placed(stop, of, &operand.span))
    }
}

/// Reads fields one after the other. Go ignores fields of a value that is nil from the start, but fails if a field becomes nil on the way.
fn fields(data: Data, names: &[String]) -> Run<Data> {
    let mut data = data;
    for (index, name) in names.iter().enumerate() {
        data = match data {
            Data::Unknown => return Ok(Data::Unknown),
            Data::Nil if index == 0 => return Ok(Data::Nil),
            Data::Nil => return fail(format!("nil pointer evaluating interface {{}}.{name}")),
            Data::Map(entries) => entries.borrow().get(name).cloned().unwrap_or(Data::Nil),
            other => return fail(format!("can't evaluate field {name} in type {}", other.kind())),
        };
    }
    Ok(data)
}

/// Adds a place to a failure, unless the failure has a more specific one.
fn placed(stop: Stop, of: Body<'_>, span: &Range<usize>) -> Stop {
    match (stop, of.file) {
        (Stop::Failed { place: None, message }, Some((chart, file))) => {
            Stop::Failed { place: Some(chart.place(file.path, &file.text, span.clone())), message }
        }
        (stop, _) => stop,
    }
}

fn bind(pipeline: &Pipeline, data: &Data, scope: &mut Scope) -> Run<()> {
    for name in &pipeline.variables {
        if pipeline.assigns {
            *scope.variable(name).ok_or(Stop::Unsure)? = data.clone();
        } else {
            scope.variables.push((name.clone(), data.clone()));
        }
    }
    Ok(())
}

fn number(written: &str) -> Data {
    let int = written.parse().map(Data::Int);
    int.or_else(|_| written.parse().map(Data::Float)).unwrap_or(Data::Unknown)
}

/// Returns a string argument of a function, or `None` if it is not known.
pub(super) fn string(data: &Data) -> Run<Option<Rc<str>>> {
    match data {
        Data::Text(text) => Ok(Some(text.clone())),
        Data::Unknown => Ok(None),
        Data::Nil => fail("invalid value; expected string"),
        other => fail(format!("wrong type for value; expected string; got {}", other.kind())),
    }
}
