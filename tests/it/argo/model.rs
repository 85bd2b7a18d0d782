//! A model of Argo for the features that the manifests use. `docs/argo.md` lists its rules. The containers run the real
//! program. Any other feature is an error, so that the manifests stay simple.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::attempts::Lost;
use super::expression::{self, Outcome};
use super::manifests::{self, Object, by_name, list, tags, text};
use super::suspended::Decision;

pub type Texts = BTreeMap<String, String>;
pub type Model<T> = Result<T, String>;

/// Result of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Phase {
    Succeeded,
    Failed,
    Error,
    Skipped,
    Omitted,
}

/// A task or a template after its run.
#[derive(Debug, Default)]
pub struct Node {
    pub phase: Option<Phase>,
    /// Exit code of each attempt; absent for a pod that was lost.
    pub codes: Vec<Option<i32>>,
    pub inputs: Texts,
    pub outputs: Texts,
    pub artifacts: Texts,
    /// Argo's message for the node.
    pub message: String,
    /// Total pause between the retries, in seconds.
    pub waited: u64,
    /// Standard error of the last attempt.
    pub said: String,
    pub tasks: BTreeMap<String, Self>,
}

impl Node {
    pub fn of(phase: Phase) -> Self {
        Self { phase: Some(phase), ..Self::default() }
    }

    /// Returns a task by its path, for example `promotion.diff`.
    #[track_caller]
    pub fn task(&self, way: &str) -> &Self {
        way.split('.').fold(self, |node, name| node.tasks.get(name).unwrap_or_else(|| panic!("no task {way}")))
    }

    /// Returns the failed attempts and nodes below this node, as Argo lists them. Argo gives a dag no message.
    fn failures(&self) -> Vec<Value> {
        let failed = |(name, node): (&String, &Self)| {
            let last = node.codes.len().checked_sub(1).map_or_else(|| name.clone(), |last| format!("{name}({last})"));
            let own = matches!(node.phase, Some(Phase::Failed | Phase::Error))
                .then(|| serde_json::json!({"displayName": last, "message": node.message}));
            own.into_iter().chain(node.failures()).collect::<Vec<_>>()
        };
        self.tasks.iter().flat_map(failed).collect()
    }

    #[track_caller]
    pub fn is(&self, phase: Phase) -> &Self {
        assert_eq!(self.phase, Some(phase), "{self:#?}");
        self
    }
}

/// A workflow after its end.
#[derive(Debug)]
pub struct Ran {
    pub root: Node,
    /// Arguments of the exit hook.
    pub notified: Texts,
    /// Annotations of the workflow, from `workflowMetadata`. Argo 3.7.16 does not copy those of the template (seen).
    pub annotations: Texts,
}

/// The locks of a namespace.
pub type Locks = Arc<Mutex<BTreeMap<String, Arc<Mutex<()>>>>>;

/// A cluster that contains the manifests.
pub struct Cluster {
    objects: Vec<Object>,
    /// Work trees that git gives, by revision.
    pub sources: BTreeMap<String, PathBuf>,
    /// Values of secrets, by secret and key.
    pub secrets: BTreeMap<(String, String), String>,
    pub decisions: RefCell<VecDeque<Decision>>,
    /// Pods that end in another way than their program, by template and attempt.
    pub lost: BTreeMap<(&'static str, usize), Lost>,
    pub locks: Locks,
}

/// The names that a text may use at its place.
pub struct Scope<'a> {
    pub workflow: &'a Texts,
    pub inputs: &'a Texts,
    pub tasks: &'a BTreeMap<String, Node>,
}

/// The arguments of a template.
#[derive(Default)]
pub struct Given {
    parameters: Texts,
    pub artifacts: BTreeMap<String, PathBuf>,
}

/// Returns an error if an object has keys other than those in `known`.
pub fn only(value: &Value, known: &[&str], what: &str) -> Model<()> {
    let unknown =
        value.as_object().into_iter().flat_map(|fields| fields.keys()).find(|key| !known.contains(&key.as_str()));
    unknown.map_or(Ok(()), |key| Err(format!("outside of the model: `{key}` of {what}")))
}

impl Cluster {
    pub fn new(objects: Vec<Object>) -> Self {
        let secrets = [("username", "robertisaacs"), ("token", "for-registry")];
        let secrets = secrets.map(|(key, value)| (("github-token".to_owned(), key.to_owned()), value.to_owned()));
        Self {
            objects,
            sources: BTreeMap::new(),
            secrets: secrets.into(),
            decisions: RefCell::default(),
            lost: BTreeMap::new(),
            locks: Locks::default(),
        }
    }

    fn object(&self, name: &str) -> Model<&Object> {
        let found = self.objects.iter().find(|object| object.is_argo() && object.name() == name);
        found.ok_or_else(|| format!("no workflow {name}"))
    }

    /// Runs a workflow template or a cron workflow with some of its parameters set.
    pub fn run(&self, name: &str, set: &[(&str, &str)]) -> Model<Ran> {
        let object = self.object(name)?;
        let spec = object.spec();
        let settings = [
            "serviceAccountName",
            "securityContext",
            "activeDeadlineSeconds",
            "podGC",
            "ttlStrategy",
            "workflowMetadata",
        ];
        only(spec, &[&settings[..], &["entrypoint", "hooks", "arguments", "templates"]].concat(), name)?;
        let workflow = workflow_values(spec, set)?;
        let entrypoint = by_name(&spec["templates"]).get(text(&spec["entrypoint"])).copied().ok_or("no entrypoint")?;
        let root = self.template(object, entrypoint, &Given::default(), &workflow)?;
        let notified = self.notify(object, &workflow, &root)?;
        only(&spec["workflowMetadata"], &["annotations"], "the metadata")?;
        let scope = Scope { workflow: &workflow, inputs: &Texts::new(), tasks: &BTreeMap::new() };
        let annotations = spec["workflowMetadata"]["annotations"].as_object().into_iter().flatten();
        let annotations = annotations.map(|(name, value)| Ok((name.clone(), scope.filled(text(value))?)));
        Ok(Ran { root, notified, annotations: annotations.collect::<Model<Texts>>()? })
    }

    /// Runs one template as another workflow calls it.
    pub fn call(&self, name: &str, template: &str, set: &[(&str, &str)]) -> Model<Node> {
        let object = self.object(name)?;
        let template = by_name(&object.spec()["templates"]).get(template).copied().ok_or("no such template")?;
        let parameters = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let artifacts = self.sources.get("main").map(|path| ("source".to_owned(), path.clone())).into_iter().collect();
        self.template(object, template, &Given { parameters, artifacts }, &Texts::new())
    }

    /// Runs the exit hook, which runs after every end.
    fn notify(&self, object: &Object, workflow: &Texts, root: &Node) -> Model<Texts> {
        only(&object.spec()["hooks"], &["exit"], "the hooks")?;
        let hook = &object.spec()["hooks"]["exit"];
        only(hook, &["templateRef", "arguments"], "the exit hook")?;
        let mut workflow = workflow.clone();
        workflow.insert("status".to_owned(), format!("{:?}", root.phase.ok_or("a workflow without an end")?));
        // The JSON is encoded as a JSON string (`operator.go` of 3.7.16; verified with Argo's own packages).
        let failures = Value::from(root.failures()).to_string();
        workflow.insert("failures".to_owned(), Value::from(failures).to_string());
        let scope = Scope { workflow: &workflow, inputs: &Texts::new(), tasks: &BTreeMap::new() };
        let given = self.given(hook, &scope)?;
        let (owner, template) = self.called(object, hook)?;
        let node = self.template(owner, template, &given, &Texts::new())?;
        if node.phase == Some(Phase::Succeeded) { Ok(node.inputs) } else { Err("the notification failed".to_owned()) }
    }

    /// Returns a template of the object, or of the object that a reference names. `workflow.parameters` stay those of
    /// the caller.
    fn called<'a>(&'a self, object: &'a Object, call: &Value) -> Model<(&'a Object, &'a Value)> {
        let (owner, name) = match call.get("templateRef") {
            Some(reference) => (self.object(text(&reference["name"]))?, text(&reference["template"])),
            None => (object, text(&call["template"])),
        };
        let template = by_name(&owner.spec()["templates"]).get(name).copied();
        template.map(|template| (owner, template)).ok_or_else(|| format!("no template {name}"))
    }

    fn given(&self, call: &Value, scope: &Scope<'_>) -> Model<Given> {
        only(&call["arguments"], &["parameters", "artifacts"], "the arguments")?;
        let mut given = Given::default();
        for parameter in list(&call["arguments"]["parameters"]) {
            only(parameter, &["name", "value"], "an argument")?;
            given.parameters.insert(text(&parameter["name"]).to_owned(), scope.filled(text(&parameter["value"]))?);
        }
        for artifact in list(&call["arguments"]["artifacts"]) {
            only(artifact, &["name", "git"], "an artifact")?;
            let revision = scope.filled(text(&artifact["git"]["revision"]))?;
            let source = self.sources.get(&revision).ok_or_else(|| format!("git has no revision {revision}"))?;
            given.artifacts.insert(text(&artifact["name"]).to_owned(), source.clone());
        }
        Ok(given)
    }

    fn template(&self, object: &Object, template: &Value, given: &Given, workflow: &Texts) -> Model<Node> {
        let settings =
            ["name", "metadata", "serviceAccountName", "activeDeadlineSeconds", "securityContext", "volumes"];
        let more = ["retryStrategy", "synchronization", "inputs", "outputs", "container", "dag", "suspend"];
        only(template, &[&settings[..], &more].concat(), text(&template["name"]))?;
        let inputs = inputs(template, &given.parameters)?;
        let mut node = if template.get("dag").is_some() {
            self.dag(object, template, &inputs, workflow)?
        } else if template.get("suspend").is_some() {
            self.suspend(template, &inputs)?
        } else {
            self.attempts(template, &inputs, given)?
        };
        node.inputs = inputs;
        Ok(node)
    }

    fn dag(&self, object: &Object, template: &Value, inputs: &Texts, workflow: &Texts) -> Model<Node> {
        only(&template["dag"], &["tasks"], "a dag")?;
        let mut node = Node::default();
        // The lint makes sure that every task comes after the tasks that it depends on.
        for task in list(&template["dag"]["tasks"]) {
            only(task, &["name", "template", "templateRef", "depends", "when", "arguments"], "a task")?;
            let done = self.task(object, task, &Scope { workflow, inputs, tasks: &node.tasks })?;
            node.tasks.insert(text(&task["name"]).to_owned(), done);
        }
        node.phase = Some(phase_of(list(&template["dag"]["tasks"]), &node.tasks)?);
        for output in list(&template["outputs"]["parameters"]) {
            only(&output["valueFrom"], &["parameter", "default"], "an output of a dag")?;
            let scope = Scope { workflow, inputs, tasks: &node.tasks };
            // A task that did not run has no outputs.
            let value = scope.filled(text(&output["valueFrom"]["parameter"]));
            let value =
                value.or_else(|cause| output["valueFrom"]["default"].as_str().map(str::to_owned).ok_or(cause))?;
            node.outputs.insert(text(&output["name"]).to_owned(), value);
        }
        Ok(node)
    }

    fn task(&self, object: &Object, task: &Value, scope: &Scope<'_>) -> Model<Node> {
        if let Some(depends) = task.get("depends") {
            let known = |path: &[String]| scope.state(path);
            if !expression::parse(text(depends))?.holds(&known)? {
                return Ok(Node::of(Phase::Omitted));
            }
        }
        if let Some(when) = task.get("when") {
            match scope.filled(text(when))?.as_str() {
                "true" => {}
                "false" => return Ok(Node::of(Phase::Skipped)),
                // Argo 3.7.16 parses the result again as an expression. A result that is not a condition is an error of
                // the task (`shouldExecute`).
                other if other.contains(' ') => {
                    let message = format!("Invalid 'when' expression '{other}'");
                    return Ok(Node { message, ..Node::of(Phase::Error) });
                }
                other => return Err(format!("outside of the model: when `{other}`")),
            }
        }
        let given = self.given(task, scope)?;
        let (owner, template) = self.called(object, task)?;
        self.template(owner, template, &given, scope.workflow)
    }

    pub fn secret(&self, reference: &Value) -> Model<String> {
        let key = (text(&reference["name"]).to_owned(), text(&reference["key"]).to_owned());
        self.secrets.get(&key).cloned().ok_or_else(|| format!("no secret {key:?}"))
    }
}

/// Returns the values of the workflow: its arguments, each with a `value`, and Argo's own values.
fn workflow_values(spec: &Value, set: &[(&str, &str)]) -> Model<Texts> {
    let set: BTreeMap<&str, &str> = set.iter().copied().collect();
    let known = [("name", "release-x7k2p"), ("namespace", "alga-release")];
    let date = [("creationTimestamp.Y", "2026"), ("creationTimestamp.m", "11"), ("creationTimestamp.d", "23")];
    let mut values: Texts =
        known.into_iter().chain(date).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let arguments = by_name(&spec["arguments"]["parameters"]);
    if let Some(unknown) = set.keys().find(|name| !arguments.contains_key(*name)) {
        return Err(format!("no parameter {unknown}"));
    }
    for (name, argument) in arguments {
        only(argument, &["name", "value", "enum", "description"], "an argument")?;
        let value = set.get(name).copied().or(argument["value"].as_str());
        let value = value.ok_or_else(|| format!("either value or valueFrom must be specified: {name}"))?;
        // Argo 3.7.16 does not check `enum` when a workflow is created with `--from` or through the API (seen).
        values.insert(format!("parameters.{name}"), value.to_owned());
    }
    Ok(values)
}

fn inputs(template: &Value, given: &Texts) -> Model<Texts> {
    only(&template["inputs"], &["parameters", "artifacts"], "the inputs")?;
    let input = |input: &Value| {
        only(input, &["name", "default", "enum", "description"], "an input")?;
        let name = text(&input["name"]);
        let value = given.get(name).map(String::as_str).or(input["default"].as_str());
        let value = value.ok_or_else(|| format!("inputs.parameters.{name} was not supplied"))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    list(&template["inputs"]["parameters"]).iter().map(input).collect()
}

/// Returns the phase of a dag. The dag has failed if one of its last tasks has failed. A last task that did not run has
/// failed if a task that it depends on has.
fn phase_of(tasks: &[Value], nodes: &BTreeMap<String, Node>) -> Model<Phase> {
    let mut branches: BTreeMap<&str, Phase> = BTreeMap::new();
    let mut inner: BTreeSet<String> = BTreeSet::new();
    for task in tasks {
        let name = text(&task["name"]);
        let parents = super::lint::parents(task)?;
        let failed =
            parents.iter().filter_map(|parent| branches.get(parent.as_str())).find(|phase| **phase != Phase::Succeeded);
        let own = nodes.get(name).and_then(|node| node.phase);
        let phase = match own {
            Some(Phase::Skipped | Phase::Omitted) | None => failed.copied().unwrap_or(Phase::Succeeded),
            Some(own) => own,
        };
        branches.insert(name, phase);
        inner.extend(parents);
    }
    let ends = branches.into_iter().filter(|(name, _)| !inner.contains(*name)).map(|(_, phase)| phase);
    Ok(ends.into_iter().find(|phase| *phase != Phase::Succeeded).unwrap_or(Phase::Succeeded))
}

impl Scope<'_> {
    fn value(&self, path: &[String]) -> Option<String> {
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["workflow", rest @ ..] => self.workflow.get(&rest.join(".")).cloned(),
            ["inputs", "parameters", name] => self.inputs.get(*name).cloned(),
            ["tasks", task, "outputs", "parameters", name] => self.tasks.get(*task)?.outputs.get(*name).cloned(),
            _ => None,
        }
    }

    /// Returns the state for a name such as `task.Succeeded`.
    fn state(&self, path: &[String]) -> Option<Outcome> {
        let [task, state] = path else { return None };
        let wanted = match state.as_str() {
            "Succeeded" => Phase::Succeeded,
            "Failed" => Phase::Failed,
            "Errored" => Phase::Error,
            "Skipped" => Phase::Skipped,
            "Omitted" => Phase::Omitted,
            _ => return None,
        };
        Some(Outcome::Truth(self.tasks.get(task)?.phase == Some(wanted)))
    }

    /// Returns the text with its parameters replaced.
    pub fn filled(&self, words: &str) -> Model<String> {
        let mut filled = words.to_owned();
        for tag in tags(words) {
            let value = if let Some(expression) = tag.strip_prefix('=') {
                let known = |path: &[String]| self.value(path).map(Outcome::Text);
                match expression::parse(expression)?.value(&known)? {
                    Outcome::Text(text) => text,
                    Outcome::Truth(truth) => truth.to_string(),
                    Outcome::Nothing => return Err(format!("failed to evaluate {{{{{tag}}}}}")),
                }
            } else {
                let path: Vec<String> = tag.split('.').map(ToOwned::to_owned).collect();
                self.value(&path).ok_or_else(|| format!("failed to resolve {{{{{tag}}}}}"))?
            };
            for form in [format!("{{{{{tag}}}}}"), format!("{{{{{tag} }}}}")] {
                filled = filled.replace(&form, &value);
            }
        }
        Ok(filled)
    }
}

#[test]
fn a_feature_outside_of_the_model_is_refused() {
    let slips: [(&str, &str, Value); 5] = [
        ("/spec/templates/0/dag/tasks/0", "withItems", serde_json::json!(["a"])),
        ("/spec/templates/0/dag", "failFast", serde_json::json!(false)),
        ("/spec/templates/0", "parallelism", serde_json::json!(1)),
        ("/spec", "parallelism", serde_json::json!(1)),
        ("/spec/templates/0/dag/tasks/0", "when", serde_json::json!("{{= 'a' }}")),
    ];
    for (place, field, value) in slips {
        let mut objects = manifests::shipped();
        let release = objects.iter_mut().find(|object| object.name() == "alga-appliance-release").expect("the release");
        release.json.pointer_mut(place).expect("a place")[field] = value;
        let refused = Cluster::new(objects).run("alga-appliance-release", &[]).expect_err(field);
        assert!(refused.contains("outside of the model"), "{refused}");
    }
}
