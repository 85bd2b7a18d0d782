//! A node that waits for somebody, and how it ends.

use serde_json::Value;

use super::manifests::{list, text};
use super::model::{Cluster, Model, Node, Phase, Texts, only};

/// How a node that waits comes to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum End {
    /// `argo resume W`: Argo 3.7.16 gives the outputs that were not set their defaults (`ResumeWorkflow`,
    /// `OverrideOutputParametersWithDefault`).
    #[default]
    Resumed,
    /// `argo resume W --node-field-selector ...`, and the form of the page. Argo 3.7.16 sets the phase alone (`updateSuspendedNode`): a
    /// real controller left the outputs that were not set without a value, and the workflow Running.
    ResumedBySelector,
    /// The `duration` is over: the defaults, as for `Resumed` (`executeSuspend`).
    TimedOut,
    /// `argo stop`: the node has failed (`failNodesWithoutCreatedPodsAfterDeadlineOrShutdown`).
    Stopped,
}

/// What somebody does while a workflow waits.
#[derive(Default)]
pub struct Decision {
    /// What `argo node set` sets before the end.
    pub set: Texts,
    pub end: End,
    /// What happens meanwhile.
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
        let decision = self.decisions.borrow_mut().pop_front().ok_or("somebody is asked, and nobody is there")?;
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
            inputs.get(name).ok_or_else(|| format!("`{name}` is not shown"))?;
            let default = (decision.end != End::ResumedBySelector).then_some(default);
            if let Some(value) = decision.set.get(name).map(String::as_str).or(default) {
                node.outputs.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(node)
    }
}
