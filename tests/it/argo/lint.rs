//! Checks of workflows that a schema cannot express. Each finding begins with the name of its rule.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::expression::{self, Expression};
use super::manifests::{Object, by_name, list, tags, text, texts};

/// Path of the program in the containers of the templates.
pub const PROGRAM: &str = "/usr/bin/alga-release";
/// The only failures that are retried.
const RETRY: &str = "lastRetry.exitCode in ['75', '137', '143'] || lastRetry.message == 'pod deleted' || lastRetry.exitCode == '-1' && !(lastRetry.message matches 'not found|remote ref|authentication|authorization|forbidden')";
/// States of a task that `depends` may name.
const STATES: [&str; 6] = ["Succeeded", "Failed", "Errored", "Skipped", "Omitted", "Daemoned"];

/// Returns all findings about the objects together.
pub fn findings(objects: &[Object]) -> Vec<String> {
    let lint = Lint::of(objects);
    let mut found = lint.access();
    found.extend(lint.operator());
    for object in objects.iter().filter(|object| object.is_argo()) {
        let place = format!("{}/{}", object.kind(), object.name());
        let mut of_object = lint.workflow(object);
        for template in object.templates() {
            let inner = lint.template(object, template);
            let name = text(&template["name"]);
            of_object.extend(inner.into_iter().map(|finding| format!("{finding} (in {name})")));
        }
        found.extend(of_object.into_iter().map(|finding| format!("{finding} (in {place})")));
    }
    found
}

pub struct Lint<'a> {
    objects: &'a [Object],
    /// Templates by the names of workflow template and template.
    templates: BTreeMap<(&'a str, &'a str), &'a Value>,
}

/// A call of a template, with its caller and its arguments.
struct Call<'a> {
    what: String,
    call: &'a Value,
}

impl<'a> Lint<'a> {
    fn of(objects: &'a [Object]) -> Self {
        let templates = objects.iter().filter(|object| object.kind() == "WorkflowTemplate").flat_map(|object| {
            object.templates().iter().map(|template| ((object.name(), text(&template["name"])), template))
        });
        Self { objects, templates: templates.collect() }
    }

    /// Returns the template that a task or a hook calls.
    pub fn called(&self, object: &'a Object, call: &Value) -> Option<&'a Value> {
        if call.get("templateRef").is_some() {
            let reference = &call["templateRef"];
            return self.templates.get(&(text(&reference["name"]), text(&reference["template"]))).copied();
        }
        by_name(&object.spec()["templates"]).get(text(&call["template"])).copied()
    }

    /// Checks the objects that are not of Argo's kinds.
    fn access(&self) -> Vec<String> {
        let named =
            [("role", "Role"), ("binding", "RoleBinding"), ("network", "NetworkPolicy"), ("namespace", "Namespace")];
        let minimum =
            json!([{"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]}]);
        let account = json!([{"kind": "ServiceAccount", "name": "alga-release"}]);
        let holds = |kind: &str, json: &Value| match kind {
            "Role" => json["rules"] == minimum,
            "RoleBinding" => json["subjects"] == account && json["roleRef"]["name"] == "alga-release",
            // Every template's pods must have this label. The policy allows no incoming connections, and only the named
            // outgoing ports.
            "NetworkPolicy" => {
                let spec = &json["spec"];
                spec["podSelector"] == json!({"matchLabels": {"app.kubernetes.io/name": "alga-release"}})
                    && spec["policyTypes"] == json!(["Ingress", "Egress"])
                    && spec.get("ingress").is_none()
                    && list(&spec["egress"]).iter().all(|rule| !list(&rule["ports"]).is_empty())
            }
            _ => json["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted",
        };
        let wrong = named.into_iter().filter(|(_, kind)| {
            let found = self.objects.iter().find(|object| object.kind() == *kind && object.name() == "alga-release");
            found.is_none_or(|object| !holds(kind, &object.json))
        });
        wrong
            .map(|(rule, kind)| format!("{rule}: the {kind} alga-release gives more or less than a pod needs"))
            .collect()
    }

    /// Checks the rights for `argo get` and `argo logs` (3.7.16, seen: refused without these).
    fn operator(&self) -> Option<String> {
        let role = self.objects.iter().find(|object| object.name() == "alga-release-operator");
        let core =
            json!({"apiGroups": [""], "resources": ["pods", "pods/log", "events"], "verbs": ["get", "list", "watch"]});
        let may = role.is_some_and(|role| list(&role.json["rules"]).contains(&core));
        (!may).then(|| "operator: the Role alga-release-operator cannot read pods, logs and events".to_owned())
    }

    fn workflow(&self, object: &'a Object) -> Vec<String> {
        let (spec, mut found) = (object.spec(), Vec::new());
        let entrypoint = text(&spec["entrypoint"]);
        if !entrypoint.is_empty() && !by_name(&spec["templates"]).contains_key(entrypoint) {
            found.push(format!("template: no entrypoint `{entrypoint}`"));
        }
        for parameter in list(&spec["arguments"]["parameters"]) {
            let name = text(&parameter["name"]);
            match parameter.get("value").and_then(Value::as_str) {
                None => {
                    found.push(format!("value: the argument `{name}` has no `value`; a `default` is not taken here"));
                }
                Some(value) => found.extend(not_among("value", name, value, parameter)),
            }
            if text(&parameter["description"]).is_empty() {
                found.push(format!("value: the argument `{name}` has no description"));
            }
        }
        if spec.get("synchronization").is_some() {
            found.push("lock: a lock of the whole workflow is held while people decide".to_owned());
        }
        for (name, hook) in spec["hooks"].as_object().into_iter().flatten() {
            let call = Call { what: format!("hook {name}"), call: hook };
            found.extend(self.call(object, &call));
            let scope = Scope { lint: self, object, template: None, task: None, hook: true };
            found.extend(texts(hook).into_iter().flat_map(|text| scope.check(text)));
        }
        // Argo does not replace parameters there and does not copy the annotation (3.7.16, seen).
        if texts(&object.json["metadata"]["annotations"]).iter().any(|text| !tags(text).is_empty()) {
            found.push("title: Argo shows an annotation of a template without replacing its parameters".to_owned());
        }
        found.extend(unchecked(spec));
        let annotations = texts(&spec["workflowMetadata"]);
        let scope = Scope { lint: self, object, template: None, task: None, hook: false };
        found.extend(annotations.into_iter().flat_map(|text| scope.check(text)));
        found.extend(super::durations::of_workflow(self, object));
        if object.kind() == "CronWorkflow" {
            found.extend(self.cron(object));
        }
        found
    }

    fn cron(&self, object: &'a Object) -> Vec<String> {
        let (spec, mut found) = (&object.json["spec"], Vec::new());
        let expected = [("concurrencyPolicy", json!("Forbid")), ("timezone", json!("Etc/UTC"))];
        for (field, value) in expected.into_iter().filter(|(field, value)| spec[field] != *value) {
            found.push(format!("cron: `{field}` is not {value}"));
        }
        if spec["startingDeadlineSeconds"].as_u64().is_none_or(|seconds| seconds == 0) {
            found.push("cron: without `startingDeadlineSeconds` a run that was missed is lost".to_owned());
        }
        if spec["workflowSpec"].get("activeDeadlineSeconds").is_none() {
            found.push(
                "cron: without `activeDeadlineSeconds` a run that hangs prevents the next one from starting".to_owned(),
            );
        }
        for template in self.reached(object) {
            let arguments = list(&template["container"]["args"]);
            if template.get("suspend").is_some()
                || arguments
                    .first()
                    .is_some_and(|first| ![json!("publish"), json!("verify"), json!("refresh")].contains(first))
            {
                found.push(format!(
                    "cron: it reaches `{}`, which waits for a person or moves a channel",
                    text(&template["name"])
                ));
            }
        }
        found
    }

    /// Returns every template that the entrypoint reaches by tasks.
    pub fn reached(&self, object: &'a Object) -> Vec<&'a Value> {
        let mut left = vec![(object, json!({"template": object.spec()["entrypoint"]}))];
        let (mut reached, mut seen) = (Vec::new(), BTreeSet::new());
        while let Some((object, call)) = left.pop() {
            let Some(template) = self.called(object, &call) else { continue };
            if !seen.insert((object.name(), call.to_string())) {
                continue;
            }
            reached.push(template);
            let object = self.owner(object, &call);
            left.extend(list(&template["dag"]["tasks"]).iter().map(|task| (object, task.clone())));
        }
        reached
    }

    /// Returns the workflow whose template a call names.
    pub fn owner(&self, object: &'a Object, call: &Value) -> &'a Object {
        let owner = call["templateRef"]["name"].as_str();
        let named = self.objects.iter().find(|one| one.is_argo() && Some(one.name()) == owner);
        named.unwrap_or(object)
    }

    fn template(&self, object: &'a Object, template: &'a Value) -> Vec<String> {
        let kinds = ["container", "dag", "suspend"].into_iter().filter(|kind| template.get(kind).is_some()).count();
        let mut found = if kinds == 1 {
            Vec::new()
        } else {
            vec!["template: neither a container nor a dag nor a suspend".to_owned()]
        };
        for parameter in list(&template["inputs"]["parameters"]) {
            if let Some(default) = parameter.get("default").and_then(Value::as_str) {
                found.extend(not_among("value", text(&parameter["name"]), default, parameter));
            }
        }
        for output in list(&template["outputs"]["parameters"]) {
            if output["valueFrom"].get("default").is_none() {
                found.push(format!("output: `{}` has no default", text(&output["name"])));
            }
        }
        for artifact in list(&template["outputs"]["artifacts"]) {
            if artifact["optional"] != true {
                found.push(format!("output: the artifact `{}` is not optional", text(&artifact["name"])));
            }
        }
        found.extend(suspend(template));
        found.extend(self.container(template));
        found.extend(self.tasks(object, template));
        let scope = Scope { lint: self, object, template: Some(template), task: None, hook: false };
        let own = template.as_object().into_iter().flatten().filter(|(key, _)| *key != "dag");
        found.extend(own.flat_map(|(_, value)| texts(value)).flat_map(|text| scope.check(text)));
        found
    }

    fn tasks(&self, object: &'a Object, template: &'a Value) -> Vec<String> {
        let (mut found, mut before) = (Vec::new(), BTreeSet::new());
        for task in list(&template["dag"]["tasks"]) {
            let name = text(&task["name"]);
            found.extend(self.call(object, &Call { what: format!("task {name}"), call: task }));
            match parents(task) {
                Err(cause) => found.push(format!("depends: {cause}")),
                // A task comes after the tasks that it depends on, so there is no cycle.
                Ok(parents) => found.extend(
                    parents
                        .iter()
                        .filter(|parent| !before.contains(parent.as_str()))
                        .map(|parent| format!("depends: `{name}` depends on `{parent}`, which is not an earlier task")),
                ),
            }
            let scope = Scope { lint: self, object, template: Some(template), task: Some(name), hook: false };
            for (key, value) in task.as_object().into_iter().flatten() {
                let scope = Scope { hook: key == "hooks", ..scope };
                found.extend(texts(value).into_iter().flat_map(|text| scope.check(text)));
            }
            if task.get("when").is_some_and(|when| !text(when).starts_with("{{=")) {
                found.push(format!(
                    "when: the condition of `{name}` is not a `{{{{= }}}}`: user input would become part of it"
                ));
            }
            for (hook, call) in task["hooks"].as_object().into_iter().flatten() {
                found.extend(self.call(object, &Call { what: format!("hook {hook} of {name}"), call }));
            }
            before.insert(name);
        }
        found
    }

    /// Checks that the template exists and gets all required arguments and no others.
    fn call(&self, object: &'a Object, call: &Call<'_>) -> Vec<String> {
        let Some(template) = self.called(object, call.call) else {
            return vec![format!("template: {} calls a missing template", call.what)];
        };
        let mut found = Vec::new();
        for kind in ["parameters", "artifacts"] {
            let given = by_name(&call.call["arguments"][kind]);
            let wanted = by_name(&template["inputs"][kind]);
            for (name, _) in wanted.iter().filter(|(name, input)| !given.contains_key(*name) && needed(input)) {
                found.push(format!("argument: {} does not give `{name}`", call.what));
            }
            for (name, value) in given {
                match wanted.get(name) {
                    None => found.push(format!("argument: {} gives `{name}`, which is not an input", call.what)),
                    Some(input) if !text(&value["value"]).contains("{{") && kind == "parameters" => {
                        found.extend(not_among("argument", name, text(&value["value"]), input));
                    }
                    Some(_) => {}
                }
            }
        }
        found
    }

    fn container(&self, template: &Value) -> Vec<String> {
        let Some(container) = template.get("container") else { return Vec::new() };
        let mut found = secure(template, container);
        let image = text(&container["image"]);
        if !image.contains('@') && image.rsplit_once(':').is_none_or(|(_, tag)| tag.contains('/') || tag == "latest") {
            found.push(format!("container: the image `{image}` is not pinned"));
        }
        if list(&container["command"]).is_empty() {
            found.push("container: without `command`, Argo reads it from the image".to_owned());
        }
        for kind in ["requests", "limits"] {
            if container["resources"].get(kind).is_none() {
                found.push(format!("container: no {kind}"));
            }
        }
        found.extend(volumes(template, container));
        found.extend(self.secrets(template));
        found.extend(self.record(template, container));
        if text(&container["command"][0]) == PROGRAM {
            found.extend(program(template, container));
        }
        found
    }

    /// Checks that whatever signs records it in a volume that outlives the pod, and that an example has the claim.
    fn record(&self, template: &Value, container: &Value) -> Option<String> {
        let arguments: Vec<&str> = list(&container["args"]).iter().map(text).collect();
        let signs = ["--sign-key=", "--signer=", "--signature=", "--prepare="];
        if !arguments.iter().any(|argument| signs.iter().any(|flag| argument.starts_with(flag))) {
            return None;
        }
        let record = arguments.iter().find_map(|argument| argument.strip_prefix("--signing-record="));
        let (volumes, mounts) = (by_name(&template["volumes"]), by_name(&container["volumeMounts"]));
        let holds = |name: &&str, mount: &Value| {
            let claim = volumes.get(*name).map_or("", |volume| text(&volume["persistentVolumeClaim"]["claimName"]));
            let mut claims = self.objects.iter().filter(|object| object.kind() == "PersistentVolumeClaim");
            let path = record.and_then(|record| record.strip_prefix(text(&mount["mountPath"])));
            claims.any(|object| object.name() == claim) && path.is_some_and(|path| path.starts_with('/'))
        };
        let lasts = mounts.iter().any(|(name, mount)| holds(name, mount));
        (!lasts).then(|| "record: what is signed is forgotten with the pod".to_owned())
    }

    /// Checks that the examples contain all secrets that are used, with their keys.
    fn secrets(&self, template: &Value) -> Vec<String> {
        let environment =
            list(&template["container"]["env"]).iter().map(|variable| &variable["valueFrom"]["secretKeyRef"]);
        let mut used: Vec<(&str, &str)> =
            environment.filter(|key| !key.is_null()).map(|key| (text(&key["name"]), text(&key["key"]))).collect();
        for volume in list(&template["volumes"]) {
            used.extend(
                list(&volume["secret"]["items"])
                    .iter()
                    .map(|item| (text(&volume["secret"]["secretName"]), text(&item["key"]))),
            );
        }
        let known = |(name, key): &(&str, &str)| {
            let mut secrets = self.objects.iter().filter(|object| object.kind() == "Secret" && object.name() == *name);
            secrets.any(|secret| secret.json["stringData"].get(key).is_some())
        };
        let unknown = used.into_iter().filter(|used| !known(used));
        unknown.map(|(name, key)| format!("secret: no example has `{name}` with `{key}`")).collect()
    }
}

/// Checks that the first tasks of the entrypoint check every argument with `enum`. Argo 3.7.16 does not check them with
/// `--from` or through the API (seen).
fn unchecked(spec: &Value) -> Vec<String> {
    let entrypoint = by_name(&spec["templates"]).get(text(&spec["entrypoint"])).copied().unwrap_or(&Value::Null);
    let first = list(&entrypoint["dag"]["tasks"]).iter().filter(|task| task.get("depends").is_none());
    let checks: Vec<&str> = first.map(|task| text(&task["when"])).collect();
    let check = |parameter: &&Value| {
        let among: Vec<String> = list(&parameter["enum"]).iter().map(|word| format!("'{}'", text(word))).collect();
        let (name, among) = (text(&parameter["name"]), among.join(", "));
        let check = format!("!(workflow.parameters['{name}'] in [{among}]) ? '{name} must be ");
        !checks.iter().all(|when| when.contains(&check))
    };
    let parameters = list(&spec["arguments"]["parameters"]).iter().filter(|parameter| parameter.get("enum").is_some());
    parameters.filter(check).map(|parameter| format!("enum: nothing checks `{}`", text(&parameter["name"]))).collect()
}

fn needed(input: &Value) -> bool {
    ["default", "value", "valueFrom", "raw", "git"].iter().all(|key| input.get(key).is_none())
        && input["optional"] != true
}

fn not_among(rule: &str, name: &str, value: &str, parameter: &Value) -> Option<String> {
    let among = list(&parameter["enum"]);
    (!among.is_empty() && !among.iter().any(|one| one == value))
        .then(|| format!("{rule}: `{name}` cannot be `{value}`"))
}

fn suspend(template: &Value) -> Vec<String> {
    if template.get("suspend").is_none() {
        return Vec::new();
    }
    let mut found = Vec::new();
    let (inputs, outputs) = (by_name(&template["inputs"]["parameters"]), by_name(&template["outputs"]["parameters"]));
    for (name, output) in &outputs {
        let input = inputs.get(name);
        if output["valueFrom"].get("supplied").is_none()
            || input.is_none_or(|input| input["default"] != output["valueFrom"]["default"])
        {
            found.push(format!("suspend: `{name}` is not supplied, or has another default than its input"));
        }
        if *name == "decision" && output["valueFrom"]["default"] != "no" {
            found.push("suspend: the default of the decision is an approval".to_owned());
        }
    }
    if template["suspend"].get("duration").is_none() {
        found.push("suspend: it waits forever".to_owned());
    }
    found
}

fn secure(template: &Value, container: &Value) -> Vec<String> {
    let pod = &template["securityContext"];
    let wanted = [
        (&pod["runAsNonRoot"], json!(true)),
        (&pod["runAsUser"], json!(65532)),
        (&pod["runAsGroup"], json!(65532)),
        (&pod["fsGroup"], json!(65532)),
        (&pod["seccompProfile"]["type"], json!("RuntimeDefault")),
        (&container["securityContext"]["allowPrivilegeEscalation"], json!(false)),
        (&container["securityContext"]["readOnlyRootFilesystem"], json!(true)),
        (&container["securityContext"]["capabilities"]["drop"], json!(["ALL"])),
    ];
    let wrong = wanted.into_iter().any(|(found, wanted)| *found != wanted);
    wrong.then(|| "container: it has rights that it does not need".to_owned()).into_iter().collect()
}

fn volumes(template: &Value, container: &Value) -> Vec<String> {
    let (volumes, mounts) = (by_name(&template["volumes"]), by_name(&container["volumeMounts"]));
    let mut found = Vec::new();
    found.extend(
        mounts
            .keys()
            .filter(|name| !volumes.contains_key(*name))
            .map(|name| format!("volume: `{name}` is mounted but not defined")),
    );
    found.extend(
        volumes
            .keys()
            .filter(|name| !mounts.contains_key(*name))
            .map(|name| format!("volume: `{name}` is defined but not mounted")),
    );
    let writable: Vec<&str> = mounts
        .iter()
        .filter(|(name, _)| volumes.get(*name).is_some_and(|volume| volume.get("emptyDir").is_some()))
        .map(|(_, mount)| text(&mount["mountPath"]))
        .collect();
    let parameters = list(&template["outputs"]["parameters"]).iter().map(|output| text(&output["valueFrom"]["path"]));
    let artifacts = ["inputs", "outputs"]
        .into_iter()
        .flat_map(|side| list(&template[side]["artifacts"]))
        .map(|artifact| text(&artifact["path"]));
    for path in parameters.chain(artifacts) {
        if !writable.iter().any(|mount| path.strip_prefix(mount).is_some_and(|rest| rest.starts_with('/'))) {
            found.push(format!("volume: nothing can be written to `{path}`"));
        }
    }
    found
}

/// Checks the containers that run the publisher.
fn program(template: &Value, container: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let arguments: Vec<&str> = list(&container["args"]).iter().map(text).collect();
    let strategy = &template["retryStrategy"];
    if text(&strategy["expression"]) != RETRY || strategy["retryPolicy"] != "Always" || strategy.get("limit").is_none()
    {
        found.push("retry: it does not retry exactly transient failures and lost pods".to_owned());
    }
    if container["terminationMessagePolicy"] != "FallbackToLogsOnError" {
        found.push("retry: the message of a failed attempt does not say why".to_owned());
    }
    found.extend(super::durations::of_retries(template));
    if text(&template["serviceAccountName"]) != "alga-release" {
        found.push("account: it does not name its own account".to_owned());
    }
    if template.get("activeDeadlineSeconds").is_none() {
        found.push("account: it may run forever".to_owned());
    }
    if text(&template["metadata"]["labels"]["app.kubernetes.io/name"]) != "alga-release" {
        found.push("account: the network policy does not select its pods".to_owned());
    }
    let moves =
        matches!(arguments.first(), Some(&("publish" | "promote" | "rollback"))) && !arguments.contains(&"--dry-run");
    let channel = if arguments.first() == Some(&"promote") { "to" } else { "channel" };
    let locks = list(&template["synchronization"]["mutexes"]);
    let lock = format!("alga-release-{{{{inputs.parameters.store}}}}-{{{{inputs.parameters.{channel}}}}}");
    if moves && !(locks.len() == 1 && locks[0]["name"] == lock.as_str()) {
        found.push("lock: two of these can run at once for one channel of a store".to_owned());
    }
    // The value of a flag may begin with a hyphen.
    let loose = arguments.iter().position(|argument| *argument == "--").unwrap_or(arguments.len());
    for argument in arguments[..loose].iter().filter(|argument| argument.contains("{{") && !argument.starts_with("--"))
    {
        found.push(format!("argv: `{argument}` could be read as a flag"));
    }
    found
}

/// Returns the tasks that a task depends on. Each dependency must name a state.
pub fn parents(task: &Value) -> Result<BTreeSet<String>, String> {
    let Some(depends) = task.get("depends").and_then(Value::as_str) else { return Ok(BTreeSet::new()) };
    let names = expression::parse(depends)?.names().into_iter().cloned().collect::<Vec<_>>();
    names
        .into_iter()
        .map(|path| match path.as_slice() {
            [task, state] if STATES.contains(&state.as_str()) => Ok(task.clone()),
            _ => Err(format!("`{}` does not name a task and its state", path.join("."))),
        })
        .collect()
}

/// The place of a text, which decides what names the text may use.
#[derive(Clone, Copy)]
struct Scope<'a> {
    lint: &'a Lint<'a>,
    object: &'a Object,
    template: Option<&'a Value>,
    task: Option<&'a str>,
    hook: bool,
}

impl Scope<'_> {
    fn check(&self, words: &str) -> Vec<String> {
        let mut found = Vec::new();
        for tag in tags(words) {
            let simple = || Expression::Name { path: tag.split('.').map(ToOwned::to_owned).collect(), optional: false };
            match tag.strip_prefix('=').map_or_else(|| Ok(simple()), expression::parse) {
                Ok(parsed) => {
                    if parsed.requires(&|name| self.may_be_unset(name)) {
                        found.push(format!(
                            "suspend: `{tag}` hangs after a resume with a selector: read it with `?.` and `??`"
                        ));
                    }
                    found.extend(parsed.names().into_iter().filter_map(|name| self.unknown(name)));
                }
                Err(cause) => found.push(format!("scope: {cause}")),
            }
        }
        found
    }

    /// Reports whether the name is an output of a task that waits for a person. Argo 3.7.16 sets no outputs on a resume
    /// with a selector.
    fn may_be_unset(&self, name: &[String]) -> bool {
        let [tasks, task, outputs, ..] = name else { return false };
        let called = self.tasks().get(task.as_str()).and_then(|task| self.lint.called(self.object, task));
        tasks == "tasks" && outputs == "outputs" && called.is_some_and(|template| template.get("suspend").is_some())
    }

    fn unknown(&self, name: &[String]) -> Option<String> {
        let parts: Vec<&str> = name.iter().map(String::as_str).collect();
        let known = match parts.as_slice() {
            ["inputs", "parameters", name] => {
                self.template.is_some_and(|template| by_name(&template["inputs"]["parameters"]).contains_key(name))
            }
            ["workflow", "parameters", name] => {
                self.may_ask_the_form() && by_name(&self.object.spec()["arguments"]["parameters"]).contains_key(name)
            }
            ["workflow", "name" | "namespace"] | ["workflow", "creationTimestamp", "Y" | "m" | "d"] => {
                self.may_ask_the_form()
            }
            ["workflow", "status" | "failures"] => self.hook && self.template.is_none(),
            ["tasks", task, "outputs", "parameters", output] => {
                // The outputs of a dag are evaluated after the whole dag has ended.
                (self.task.is_none() || self.waits_for(task)) && self.gives(task, output)
            }
            ["tasks", task, "status"] => self.hook && self.task == Some(task),
            _ => false,
        };
        (!known).then(|| format!("scope: `{}` is not known here", parts.join(".")))
    }

    /// Reports whether the template may use the parameters of the workflow. A template that others call would get those
    /// of the caller.
    fn may_ask_the_form(&self) -> bool {
        self.template.is_none_or(|template| template["name"] == self.object.spec()["entrypoint"])
    }

    fn tasks(&self) -> BTreeMap<&str, &Value> {
        self.template.map(|template| by_name(&template["dag"]["tasks"])).unwrap_or_default()
    }

    /// Reports whether `wanted` always ends before this task, according to the dependencies.
    fn waits_for(&self, wanted: &str) -> bool {
        let tasks = self.tasks();
        let mut left: Vec<String> = self.task.map(ToOwned::to_owned).into_iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(task) = left.pop().filter(|task| seen.insert(task.clone())) {
            let parents = tasks.get(task.as_str()).and_then(|task| parents(task).ok()).unwrap_or_default();
            if parents.contains(wanted) {
                return true;
            }
            left.extend(parents);
        }
        false
    }

    fn gives(&self, task: &str, output: &str) -> bool {
        let template = self.tasks().get(task).and_then(|task| self.lint.called(self.object, task));
        template.is_some_and(|template| by_name(&template["outputs"]["parameters"]).contains_key(output))
    }
}
