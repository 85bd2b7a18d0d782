//! Visits every operand of a template.

use super::tree::{Branch, Node, Operand, Pipeline, Term};

/// Calls `visit` with every operand of a body. A parenthesised operand comes before the operands inside of it.
pub fn operands<'t>(body: &'t [Node], visit: &mut impl FnMut(&'t Operand)) {
    for node in body {
        match node {
            Node::Text(_) | Node::Jump | Node::Template { argument: None, .. } => {}
            Node::Action(pipeline) | Node::Template { argument: Some(pipeline), .. } => in_pipeline(pipeline, visit),
            Node::If(branch) | Node::With(branch) | Node::Range(branch) => in_branch(branch, visit),
        }
    }
}

fn in_branch<'t>(branch: &'t Branch, visit: &mut impl FnMut(&'t Operand)) {
    for arm in &branch.arms {
        in_pipeline(&arm.pipeline, visit);
        operands(&arm.body, visit);
    }
    operands(&branch.otherwise, visit);
}

fn in_pipeline<'t>(pipeline: &'t Pipeline, visit: &mut impl FnMut(&'t Operand)) {
    for operand in pipeline.commands.iter().flat_map(|command| &command.operands) {
        visit(operand);
        if let Term::Parenthesised(inner) = &operand.term {
            in_pipeline(inner, visit);
        }
    }
}
