//! A node that waits for a person, and the ways in which it ends.

use serde_json::Value;

use super::manifests::{list, text};
use super::model::{Cluster, Model, Node, Phase, Texts, only};

/// The end of a node that waits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum End {
    /// `argo resume W`. Argo 3.7.16 gives their defaults to the outputs that were not set (`ResumeWorkflow`,
    /// `OverrideOutputParametersWithDefault`).
    #[default]
    Resumed,
    /// `argo resume W --node-field-selector ...`, and the form of the page. Argo 3.7.16 only sets the phase
    /// (`updateSuspendedNode`). A real controller left the outputs that were not set without a value, and the workflow
    /// Running.
    ResumedBySelector,
    /// The `duration` is over. The outputs have their defaults, as for `Resumed` (`executeSuspend`).
    TimedOut,
    /// `argo stop`. The node has failed (`failNodesWithoutCreatedPodsAfterDeadlineOrShutdown`).
    Stopped,
}

/// The actions of a person while a workflow waits.
#[derive(Default)]
pub struct Decision {
    /// Outputs that `argo node set` sets before the end.
    pub set: Texts,
    pub end: End,
    /// An action that happens meanwhile.
    pub meanwhile: Option<Box<dyn FnOnce()>>,
}

impl Cluster {
    pub fn suspend(&self, template: &Value, inputs: &Texts) -> Model<Node> {
        only(&template["suspend"], &["duration"], "a suspend")?;
        let mut node = Node::of(Phase::Succeeded);
        let outputs = list(&template["outputs"]["parameters"]);
        if outputs.is_empty() {
            return Ok(node);
        }
        let decision = self
            .decisions
            .borrow_mut()
            .pop_front()
            .ok_or("the workflow waits for a decision that the test does not give")?;
        if let Some(meanwhile) = decision.meanwhile {
            meanwhile();
        }
        if decision.end == End::Stopped {
            return Ok(Node { message: "Stopped with strategy 'Stop'".to_owned(), ..Node::of(Phase::Failed) });
        }
        for output in outputs {
            let name = text(&output["name"]);
            only(&output["valueFrom"], &["supplied", "default"], "a supplied output")?;
            let default = output["valueFrom"]["default"].as_str().ok_or_else(|| format!("`{name}` has no default"))?;
            inputs.get(name).ok_or_else(|| format!("`{name}` is not an input"))?;
            let default = (decision.end != End::ResumedBySelector).then_some(default);
            if let Some(value) = decision.set.get(name).map(String::as_str).or(default) {
                node.outputs.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(node)
    }
}
