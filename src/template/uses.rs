//! The templates that a template renders by name.

use std::ops::Range;

use super::tree::{Branch, Node, Pipeline, Template, Term};

/// A use of another template through `template`, `block` or `include`.
#[derive(Clone, Debug)]
pub struct Use {
    /// Name of the used template.
    pub name: Name,
    /// Bytes of the name in the text.
    pub span: Range<usize>,
    /// Whether the use is inside of `if`, `with`, `range`, `and` or `or`, so that values decide whether it is rendered.
    pub conditional: bool,
}

/// The name of a used template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// The name is a constant in the text.
    Constant(String),
    /// The name is computed when the template is rendered.
    Computed,
}

impl Template {
    /// Returns the templates that the file itself uses, without those that its definitions use.
    pub fn uses(&self) -> Vec<Use> {
        of(&self.body)
    }
}

/// Returns the templates that a body uses.
pub(crate) fn of(body: &[Node]) -> Vec<Use> {
    let mut found = Vec::new();
    Uses { found: &mut found, conditional: false }.body(body);
    found
}

struct Uses<'f> {
    found: &'f mut Vec<Use>,
    conditional: bool,
}

impl Uses<'_> {
    fn inner(&mut self) -> Uses<'_> {
        Uses { found: self.found, conditional: true }
    }

    fn body(&mut self, nodes: &[Node]) {
        for node in nodes {
            match node {
                Node::Text(_) | Node::Jump => {}
                Node::Action(pipeline) => self.pipeline(pipeline),
                Node::If(branch) | Node::With(branch) | Node::Range(branch) => self.branch(branch),
                Node::Template { name, span, argument } => {
                    self.add(Name::Constant(name.clone()), span.clone());
                    if let Some(argument) = argument {
                        self.pipeline(argument);
                    }
                }
            }
        }
    }

    /// Adds the uses in a block. Only the first condition is evaluated in every case.
    fn branch(&mut self, branch: &Branch) {
        for (index, arm) in branch.arms.iter().enumerate() {
            let mut uses = Uses { found: self.found, conditional: self.conditional || index > 0 };
            uses.pipeline(&arm.pipeline);
            self.inner().body(&arm.body);
        }
        self.inner().body(&branch.otherwise);
    }

    fn pipeline(&mut self, pipeline: &Pipeline) {
        for command in &pipeline.commands {
            let function = match &command.operands[0].term {
                Term::Function(name) => name.as_str(),
                _ => "",
            };
            if function == "include" {
                let (name, span) = match command.operands.get(1) {
                    Some(operand) => match &operand.term {
                        Term::Text(name) => (Name::Constant(name.clone()), operand.span.clone()),
                        _ => (Name::Computed, operand.span.clone()),
                    },
                    None => (Name::Computed, command.operands[0].span.clone()),
                };
                self.add(name, span);
            }
            for operand in &command.operands {
                if let Term::Parenthesised(inner) = &operand.term {
                    // Go evaluates the arguments of `and` and `or` only until one of them decides the result.
                    let lazy = matches!(function, "and" | "or");
                    let mut uses = Uses { found: self.found, conditional: self.conditional || lazy };
                    uses.pipeline(inner);
                }
            }
        }
    }

    fn add(&mut self, name: Name, span: Range<usize>) {
        self.found.push(Use { name, span, conditional: self.conditional });
    }
}
