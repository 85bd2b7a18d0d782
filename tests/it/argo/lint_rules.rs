//! The manifests have no finding, and each rule finds its error in a broken copy.

use serde_json::{Value, json};

use super::lint::findings;
use super::manifests::{self, Object};

#[test]
fn the_manifests_and_the_examples_have_no_finding() {
    let found = findings(&manifests::all());
    assert!(found.is_empty(), "{found:#?}");
}

/// Returns an object by its name, or by kind and name.
fn object<'a>(objects: &'a mut [Object], name: &str) -> &'a mut Value {
    let (kind, name) = name.split_once('/').map_or((None, name), |(kind, name)| (Some(kind), name));
    let wanted = |object: &&mut Object| kind.map_or(object.kind() != "Secret", |kind| object.kind() == kind);
    let found = objects.iter_mut().filter(wanted).find(|object| object.name() == name);
    &mut found.unwrap_or_else(|| panic!("{name}")).json
}

/// Sets the value at a place in a copy. A `-` at the end of the place adds an item, and null removes the value. Returns
/// the findings.
#[track_caller]
fn broken(name: &str, place: &str, value: Value) -> Vec<String> {
    let mut objects = manifests::all();
    let json = object(&mut objects, name);
    let (parent, key) = place.rsplit_once('/').expect("a place");
    match json.pointer_mut(parent).unwrap_or_else(|| panic!("{place}")) {
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => items[key.parse::<usize>().expect("an index")] = value,
        Value::Object(fields) if value.is_null() => assert!(fields.remove(key).is_some(), "{place}"),
        Value::Object(fields) => drop(fields.insert(key.to_owned(), value)),
        other => panic!("{place}: {other}"),
    }
    findings(&objects)
}

/// Breaks a copy, and expects a finding of the rule.
#[track_caller]
fn caught(rule: &str, name: &str, place: &str, value: Value) {
    let found = broken(name, place, value);
    assert!(found.iter().any(|finding| finding.starts_with(rule)), "{rule}: {name}{place}: {found:#?}");
}

const RELEASE: &str = "alga-appliance-release";
const NIGHTLY: &str = "alga-appliance-nightly";
/// Places in the workflow template.
const PROMOTION: &str = "/spec/templates/1";
const PUBLISH: &str = "/spec/templates/2";
const APPROVE: &str = "/spec/templates/4";
const ROLLBACK: &str = "/spec/templates/6";

#[test]
fn a_reference_to_a_missing_template_is_found() {
    caught("template:", RELEASE, "/spec/entrypoint", json!("relese"));
    caught("template:", RELEASE, "/spec/hooks/exit/templateRef/template", json!("notfy"));
    caught("template:", RELEASE, "/spec/templates/0/dag/tasks/0/template", json!("publsh"));
    caught("template:", NIGHTLY, "/spec/workflowSpec/templates/0/dag/tasks/0/templateRef/name", json!("alga"));
    caught("template:", RELEASE, &format!("{APPROVE}/suspend"), Value::Null);
}

#[test]
fn a_wrong_dependency_is_found() {
    let task = format!("{PROMOTION}/dag/tasks/1");
    caught("depends:", RELEASE, &format!("{task}/depends"), json!("dif.Succeeded"));
    caught("depends:", RELEASE, &format!("{task}/depends"), json!("diff"));
    caught("depends:", RELEASE, &format!("{task}/depends"), json!("promote.Succeeded"));
    caught("depends:", RELEASE, &format!("{task}/depends"), json!("diff.Done"));
    caught("when:", RELEASE, &format!("{task}/when"), json!("'{{inputs.parameters.from}}' == 'nightly'"));
}

#[test]
fn a_wrong_argument_is_found() {
    let arguments = format!("{PROMOTION}/dag/tasks/2/arguments/parameters");
    caught("argument:", RELEASE, &format!("{arguments}/-"), json!({"name": "surplus", "value": "x"}));
    caught("argument:", RELEASE, &format!("{arguments}/2/name"), json!("if-plann"));
    caught("argument:", RELEASE, &format!("{arguments}/1/value"), json!("stabel"));
    caught("argument:", RELEASE, "/spec/templates/0/dag/tasks/0/arguments/artifacts", Value::Null);
    caught("argument:", RELEASE, "/spec/hooks/exit/arguments/parameters/0/name", json!("stats"));
    caught("value:", RELEASE, "/spec/arguments/parameters/0/value", Value::Null);
    caught("value:", RELEASE, "/spec/arguments/parameters/0/value", json!("maybe"));
    caught("value:", RELEASE, "/spec/arguments/parameters/0/description", Value::Null);
    caught("value:", RELEASE, &format!("{PUBLISH}/inputs/parameters/1/default"), json!("nightlies"));
}

#[test]
fn a_name_outside_of_its_scope_is_found() {
    let value = format!("{PROMOTION}/dag/tasks/2/arguments/parameters/2/value");
    caught("scope:", RELEASE, &value, json!("{{tasks.diff.outputs.parameters.plan}}"));
    caught("scope:", RELEASE, &value, json!("{{workflow.parameters.promote-to}}"));
    caught("scope:", RELEASE, &value, json!("{{inputs.parameters.plan}}"));
    caught("scope:", RELEASE, &value, json!("{{= tasks.diff.outputs.parameters['plan'] == 'x' }}"));
    caught("scope:", RELEASE, &value, json!("{{= 'a' + 'b' }}"));
    caught("scope:", RELEASE, &value, json!("{{workflow.status}}"));
    caught(
        "scope:",
        RELEASE,
        &format!("{PROMOTION}/dag/tasks/0/arguments/parameters/0/value"),
        json!("{{tasks.approve.outputs.parameters.reason}}"),
    );
    caught("scope:", RELEASE, &format!("{PUBLISH}/container/args/1"), json!("--version={{inputs.parameters.vers}}"));
    caught(
        "scope:",
        RELEASE,
        &format!("{PUBLISH}/container/args/1"),
        json!("--version={{workflow.parameters.appliance-release-version}}"),
    );
    caught(
        "scope:",
        RELEASE,
        "/spec/workflowMetadata/annotations/workflows.argoproj.io~1title",
        json!("{{workflow.parameters.no}}"),
    );
    let title = "/metadata/annotations/workflows.argoproj.io~1title";
    caught("title:", RELEASE, title, json!("Release {{workflow.parameters.appliance-release-version}}"));
    let output = format!("{ROLLBACK}/outputs/parameters/0/valueFrom/parameter");
    caught("scope:", RELEASE, &output, json!("{{tasks.moved.outputs.parameters.digest}}"));
    caught("scope:", RELEASE, &output, json!("{{tasks.move.outputs.parameters.digets}}"));
    caught("scope:", NIGHTLY, "/spec/workflowSpec/templates/0/dag/tasks/2/depends", Value::Null);
}

#[test]
fn outputs_have_defaults_and_reports_are_optional() {
    caught("output:", RELEASE, &format!("{PUBLISH}/outputs/parameters/0/valueFrom/default"), Value::Null);
    caught("output:", RELEASE, &format!("{PUBLISH}/outputs/artifacts/0/optional"), Value::Null);
}

#[test]
fn an_unsafe_approval_is_found() {
    caught("suspend:", RELEASE, &format!("{APPROVE}/outputs/parameters/0/valueFrom/default"), json!("yes"));
    caught("suspend:", RELEASE, &format!("{APPROVE}/inputs/parameters/0/default"), json!("yes"));
    caught("suspend:", RELEASE, &format!("{APPROVE}/inputs/parameters/1/name"), json!("words"));
    caught("suspend:", RELEASE, &format!("{APPROVE}/suspend/duration"), Value::Null);
}

#[test]
fn a_signing_record_that_does_not_outlive_the_pod_is_found() {
    let (name, refresh) = ("alga-appliance-refresh", "/spec/workflowSpec/templates/1");
    caught("record:", name, &format!("{refresh}/container/args/3"), json!("--signing-record=/work/signed.json"));
    caught("record:", name, &format!("{refresh}/container/args/3"), json!("--by=cron"));
    caught("record:", name, &format!("{refresh}/volumes/2"), json!({"name": "signed", "emptyDir": {}}));
    caught("record:", "alga-release-signed", "/metadata/name", json!("other"));
}

#[test]
fn an_unsafe_pod_is_found() {
    caught("volume:", RELEASE, &format!("{PUBLISH}/volumes/0/name"), json!("temp"));
    caught("volume:", RELEASE, &format!("{PUBLISH}/volumes/-"), json!({"name": "more", "emptyDir": {}}));
    caught("volume:", RELEASE, &format!("{PUBLISH}/outputs/parameters/0/valueFrom/path"), json!("/var/digest"));
    caught("volume:", RELEASE, &format!("{PUBLISH}/inputs/artifacts/0/path"), json!("/source"));
    caught("container:", RELEASE, &format!("{PUBLISH}/container/image"), json!("ghcr.io/nine-minds/alga-release"));
    caught(
        "container:",
        RELEASE,
        &format!("{PUBLISH}/container/image"),
        json!("ghcr.io/nine-minds/alga-release:latest"),
    );
    caught("container:", RELEASE, &format!("{PUBLISH}/container/command"), Value::Null);
    caught("container:", RELEASE, &format!("{PUBLISH}/container/resources/limits"), Value::Null);
    let own = ["allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities"]
        .map(|right| format!("container/securityContext/{right}"));
    let of_pod = ["runAsNonRoot", "runAsUser", "runAsGroup", "fsGroup", "seccompProfile"];
    for place in own.into_iter().chain(of_pod.map(|right| format!("securityContext/{right}"))) {
        caught("container:", RELEASE, &format!("{PUBLISH}/{place}"), Value::Null);
    }
    caught("container:", RELEASE, &format!("{PUBLISH}/container/resources/requests"), Value::Null);
    caught("secret:", RELEASE, &format!("{PUBLISH}/volumes/2/secret/secretName"), json!("gitlab-token"));
    caught("secret:", RELEASE, &format!("{PUBLISH}/container/env/1/valueFrom/secretKeyRef/key"), json!("user"));
    caught("account:", RELEASE, &format!("{PUBLISH}/serviceAccountName"), Value::Null);
    caught("account:", RELEASE, &format!("{PUBLISH}/activeDeadlineSeconds"), Value::Null);
    caught("account:", RELEASE, &format!("{PUBLISH}/metadata"), Value::Null);
}

#[test]
fn wrong_rights_and_ports_of_pods_are_found() {
    caught("role:", "Role/alga-release", "/rules/0/verbs/-", json!("delete"));
    caught(
        "binding:",
        "RoleBinding/alga-release",
        "/subjects/-",
        json!({"kind": "Group", "name": "system:authenticated"}),
    );
    caught("network:", "NetworkPolicy/alga-release", "/spec/podSelector/matchLabels", Value::Null);
    caught("network:", "NetworkPolicy/alga-release", "/spec/policyTypes/0", json!("Egress"));
    caught("network:", "NetworkPolicy/alga-release", "/spec/ingress", json!([{}]));
    caught("network:", "NetworkPolicy/alga-release", "/spec/egress/-", json!({"to": []}));
    caught("operator:", "Role/alga-release-operator", "/rules/2/resources/1", json!("pods/exec"));
    caught("namespace:", "Namespace/alga-release", "/metadata/labels", Value::Null);
}

#[test]
fn a_wrong_choice_of_the_form_is_found() {
    let when = "/spec/templates/0/dag/tasks/0/when";
    caught("enum:", RELEASE, when, json!("{{= workflow.parameters['publish-appliance-release'] == 'true' }}"));
    caught("enum:", RELEASE, "/spec/arguments/parameters/4/enum/-", json!("beta"));
    caught("enum:", "alga-appliance-promote", when, Value::Null);
}

#[test]
fn an_unsafe_read_of_an_approval_is_found() {
    let task = format!("{PROMOTION}/dag/tasks/2");
    let old = json!("{{= tasks.approve.outputs.parameters['decision'] == 'yes' }}");
    caught("suspend:", RELEASE, &format!("{task}/when"), old);
    let old = json!("{{tasks.approve.outputs.parameters.reason}}");
    caught("suspend:", RELEASE, &format!("{task}/arguments/parameters/4/value"), old);
}

#[test]
fn durations_that_do_not_fit_are_found() {
    let strategy = format!("{PUBLISH}/retryStrategy");
    let backoff = json!({"duration": "30s", "factor": "2", "maxDuration": "15m"});
    caught("duration:", RELEASE, &format!("{strategy}/backoff"), backoff.clone());
    caught("retry:", RELEASE, &format!("{strategy}/backoff"), backoff);
    caught("retry:", RELEASE, &format!("{strategy}/backoff"), json!({"duration": "30s", "factor": "2"}));
    caught("duration:", NIGHTLY, "/spec/workflowSpec/activeDeadlineSeconds", json!(7200));
    caught("duration:", NIGHTLY, "/spec/workflowSpec/arguments/parameters/5/value", json!("16m"));
    caught("duration:", NIGHTLY, "/spec/workflowSpec/arguments/parameters/5/value", json!("a while"));
    caught("duration:", RELEASE, "/spec/activeDeadlineSeconds", json!(100_000));
    caught("duration:", RELEASE, &format!("{APPROVE}/suspend/duration"), json!("48h"));
    caught("duration:", RELEASE, &format!("{PUBLISH}/activeDeadlineSeconds"), json!("1200"));
    caught("duration:", RELEASE, &format!("{strategy}/limit"), json!("9"));
}

#[test]
fn an_unsafe_run_of_a_workflow_is_found() {
    caught("retry:", RELEASE, &format!("{PUBLISH}/retryStrategy/expression"), json!("lastRetry.exitCode != '0'"));
    let old = json!("lastRetry.status == 'Error' || lastRetry.exitCode == '75'");
    caught("retry:", RELEASE, &format!("{PUBLISH}/retryStrategy/expression"), old);
    caught("retry:", RELEASE, &format!("{PUBLISH}/container/terminationMessagePolicy"), Value::Null);
    caught("retry:", RELEASE, &format!("{PUBLISH}/retryStrategy"), Value::Null);
    caught("lock:", RELEASE, &format!("{PUBLISH}/synchronization"), Value::Null);
    caught(
        "lock:",
        RELEASE,
        &format!("{PUBLISH}/synchronization/mutexes/0/name"),
        json!("alga-release-{{inputs.parameters.channel}}"),
    );
    caught(
        "lock:",
        RELEASE,
        &format!("{PUBLISH}/synchronization/mutexes/0/name"),
        json!("alga-release-{{inputs.parameters.version}}"),
    );
    caught("lock:", RELEASE, "/spec/synchronization", json!({"mutexes": [{"name": "x"}]}));
    caught("argv:", RELEASE, &format!("{PUBLISH}/container/args/1"), json!("{{inputs.parameters.version}}"));
    caught("cron:", NIGHTLY, "/spec/concurrencyPolicy", json!("Allow"));
    caught("cron:", NIGHTLY, "/spec/timezone", json!("Europe/Berlin"));
    caught("cron:", NIGHTLY, "/spec/startingDeadlineSeconds", Value::Null);
    caught("cron:", NIGHTLY, "/spec/workflowSpec/activeDeadlineSeconds", Value::Null);
    let promotion = json!({"name": "more", "templateRef": {"name": RELEASE, "template": "promotion"}});
    caught("cron:", NIGHTLY, "/spec/workflowSpec/templates/0/dag/tasks/-", promotion);
}
