//! `diff`: what it shows, what it fetches and renders, and how it treats text from outside.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::schemas::valid;
use crate::support::programs::{Run, Source, release, run};
use crate::support::published::{
    digest_of, publish, put_release, release_json, served, state, store, undescribed, with_images, writes,
};
use crate::support::registry::Registry;
use crate::support::{missing, peer, require};

const CHART: &str = "ee/helm/email-service";
const HOSTILE: &str = "<script>alert(1)</script>\u{1b}[2J\u{9b}31m\u{202e}</details>`@octocat` <img src=x> **x**";

fn diff(registry: &Registry, from: &str, to: &str, more: &[&str]) -> Run {
    run(release().args(["diff", from, to, "--store", &store(registry)]).args(more))
}

fn compared(registry: &Registry, from: &str, to: &str) -> Value {
    let value = diff(registry, from, to, &["--output", "json"]).ends(0).json();
    valid("diff.json", &value);
    value
}

/// Changes a template (and the version of its chart), a value and an image.
fn change(source: &Source) {
    let chart = std::fs::read_to_string(source.path(&format!("{CHART}/Chart.yaml"))).expect("a chart");
    source.write(&format!("{CHART}/Chart.yaml"), &chart.replace("version: \"0.1.0\"", "version: \"0.1.1\""));
    source.append(&format!("{CHART}/templates/deployment.yaml"), "          # one line more\n");
    source.append("ee/appliance/flux/profiles/single-node/values/temporal.single-node.yaml", "more: true\n");
    let images = release_json(source).replace("62cdce38", "feedbeef");
    source.write("ee/appliance/releases/1.0.4/release.json", &images);
}

/// Publishes 1.0.3 to nightly, and changes the source.
fn published() -> (Source, Registry) {
    let (source, registry) = (Source::new(), Registry::start());
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    change(&source);
    (source, registry)
}

/// Returns each change as `KEY:NAME`.
fn changes(diff: &Value) -> BTreeSet<String> {
    let names = |key: &'static str, name: &'static str| {
        let all = diff[key].as_array().expect("a list").iter();
        all.filter(|change| change["pin"] != true)
            .map(move |change| format!("{key}:{}", change[name].as_str().unwrap_or_default()))
    };
    let all = [("charts", "name"), ("images", "key"), ("extraImages", "path"), ("values", "path"), ("overlay", "path")];
    let more = [("objects", "name"), ("other", "path")];
    all.into_iter().chain(more).flat_map(|(key, name)| names(key, name)).collect()
}

/// Checks that a comparison shows the template, the value and the image, and nothing else.
#[track_caller]
fn shows_the_three(diff: &Value) {
    let expected = ["charts:email-service", "images:algaCore", "values:temporal.single-node.yaml"];
    assert_eq!(changes(diff), expected.map(ToOwned::to_owned).into(), "{diff:#}");
    let files = diff["charts"][0]["files"].as_array().expect("files");
    let files: Vec<&str> = files.iter().filter_map(|file| file["path"].as_str()).collect();
    assert_eq!(files, ["Chart.yaml", "templates/deployment.yaml"]);
    let lines = &diff["charts"][0]["files"][1]["hunks"][0]["lines"];
    assert!(lines.as_array().is_some_and(|lines| lines.contains(&json!("+          # one line more"))), "{lines}");
    assert_eq!(
        (&diff["images"][0]["from"]["tag"], &diff["images"][0]["to"]["tag"]),
        (&json!("62cdce38"), &json!("feedbeef"))
    );
    assert_eq!(diff["hasChanges"], true);
    let pins = diff["objects"].as_array().expect("objects").iter().all(|object| object["pin"] == true);
    // Three releases name other sources or values, in three files. The chart's source is another object in another file,
    // which a kustomization file lists.
    assert!(pins && diff["summary"]["pins"] == 10, "{diff:#}");
}

#[test]
fn a_dry_run_shows_exactly_what_changed_and_so_do_the_published_releases() {
    let (source, registry) = published();
    let (before, written) = (state(&registry), writes(&registry));
    let dry = publish(&source, &registry, "1.0.4", "nightly", &["--dry-run", "--output", "json"]).ends(0).json();
    assert_eq!((state(&registry), writes(&registry)), (before, written), "a dry run writes nothing");
    valid("diff.json", &dry["diff"]);
    shows_the_three(&dry["diff"]);
    let text = publish(&source, &registry, "1.0.4", "nightly", &["--dry-run"]).ends(0).stdout;
    let (shown, plan) = (text.find("+          # one line more"), text.find("would publish 1.0.4"));
    assert!(shown.is_some() && shown < plan, "the diff comes before the plan: {text}");
    let report = publish(&source, &registry, "1.0.4", "nightly", &["--output", "json"]).ends(0).json();
    assert!(report.get("diff").is_none());
    let after = compared(&registry, "1.0.3", "nightly");
    shows_the_three(&after);
    for key in ["charts", "images", "values", "overlay", "objects"] {
        assert_eq!(after[key], dry["diff"][key], "{key}");
    }
    assert_eq!(after["to"]["digest"], report["digest"]);
}

#[test]
fn everything_of_a_first_publication_is_new() {
    let (source, registry) = (Source::new(), Registry::start());
    let dry = publish(&source, &registry, "1.0.3", "nightly", &["--dry-run", "--output", "json"]).ends(0).json();
    valid("diff.json", &dry["diff"]);
    assert_eq!(dry["diff"]["from"], Value::Null);
    assert_eq!(dry["diff"]["summary"]["charts"], json!({"added": 6, "removed": 0, "changed": 0}));
}

#[test]
fn a_source_tree_is_compared_with_any_store_and_two_stores_with_each_other() {
    let (source, registry) = published();
    let tree = source.path("").display().to_string();
    let given = ["--version", "1.0.4", "--source-commit", &"a".repeat(40), "--epoch", "1700000000", "--output", "json"];
    let images = ["--image", "algaCore=feedbeef"];
    let by_tree = diff(&registry, "nightly", &tree, &[&given[..], &images].concat()).ends(0).json();
    shows_the_three(&by_tree);
    diff(&registry, "nightly", &tree, &[]).ends(9).says(&["--version"]);
    let layout = source.layout();
    let arguments = ["--version", "1.0.4", "--channel", "nightly", "--store", &layout, "--prefix", &store(&registry)];
    source.publish(&arguments).ends(0);
    let stores = diff(&registry, "nightly", "1.0.4", &["--other-store", &layout, "--output", "json"]).ends(0).json();
    shows_the_three(&stores);
}

#[test]
fn charts_that_are_the_same_on_both_sides_are_never_fetched() {
    let (source, registry) = published();
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    registry.clear_log();
    compared(&registry, "1.0.3", "1.0.4");
    let log = registry.log();
    let charts: BTreeSet<&str> = log
        .iter()
        .filter_map(|received| received.path.split("/charts/").nth(1))
        .map(|rest| rest.split('/').next().unwrap_or_default())
        .collect();
    assert_eq!(charts, ["email-service"].into(), "{:#?}", registry.lines());
    // Two releases with their JSON and their signatures in two forms, two bundles and two charts with their archives.
    assert_eq!(log.len(), 16, "{:#?}", registry.lines());
    registry.clear_log();
    compared(&registry, "1.0.4", "nightly");
    assert_eq!(registry.log().len(), 4, "equal releases need no more: {:#?}", registry.lines());
}

#[test]
fn the_exit_code_tells_changes_only_with_detailed_exitcode() {
    let (source, registry) = published();
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    diff(&registry, "1.0.3", "1.0.4", &[]).ends(0);
    diff(&registry, "1.0.3", "1.0.4", &["--detailed-exitcode"]).ends(2);
    diff(&registry, "1.0.4", "nightly", &["--detailed-exitcode"]).ends(0);
    diff(&registry, "1.0.4", "nightl", &["--detailed-exitcode"]).ends(9).says(&["nightl", "did you mean `nightly`?"]);
    diff(&registry, "1.0.4", "1.0.44", &["--detailed-exitcode"]).ends(9).says(&["1.0.44", "did you mean `1.0.4`?"]);
    diff(&registry, "1.0.4", "1.0.5!", &[]).ends(9);
    let mut here = release();
    here.args(["diff", "1.0.4", "charts-fixtures", "--store", &store(&registry)]);
    run(here.current_dir(env!("CARGO_MANIFEST_DIR")))
        .ends(9)
        .says(&["if you mean the directory, write `./charts-fixtures`"]);
    diff(&registry, "stable", "nightly", &[]).ends(9).says(&["stable"]);
}

#[test]
fn the_same_release_in_another_channel_is_not_a_change() {
    let (source, registry) = (Source::new(), Registry::start());
    with_images(&source, &["1.0.4"]);
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    publish(&source, &registry, "1.0.4", "stable", &[]).ends(0);
    diff(&registry, "stable", "nightly", &["--detailed-exitcode"]).ends(0);
}

#[test]
fn a_stat_and_a_list_of_names_have_a_line_for_each_change() {
    let (source, registry) = published();
    let deployment = format!("{CHART}/templates/deployment.yaml");
    let text = std::fs::read_to_string(source.path(&deployment)).expect("a template");
    std::fs::remove_file(source.path(&deployment)).expect("removed");
    source.write(&format!("{CHART}/templates/server.yaml"), &text);
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    let names = diff(&registry, "1.0.3", "1.0.4", &["--name-only"]).ends(0).stdout;
    let expected = [
        "charts/email-service/Chart.yaml",
        "charts/email-service/templates/server.yaml",
        "images/algaCore",
        "values/temporal.single-node.yaml",
    ];
    assert_eq!(names.lines().collect::<Vec<_>>(), expected);
    let stat = diff(&registry, "1.0.3", "1.0.4", &["--stat"]).ends(0).stdout;
    let lines: Vec<&str> = stat.lines().collect();
    assert!(lines[0].ends_with("| 2 +-") && lines[2].ends_with("| 62cdce38 -> feedbeef"), "{stat}");
    let renamed = " charts/email-service/templates/{deployment.yaml => server.yaml} | 1 +";
    assert_eq!((lines[1], lines[4]), (renamed, " 3 files changed, 3 insertions(+), 1 deletion(-)"), "{stat}");
    assert_eq!(diff(&registry, "1.0.4", "nightly", &["--stat", "--detailed-exitcode"]).ends(0).stdout, "");
    let renamed = &compared(&registry, "1.0.3", "1.0.4")["charts"][0]["files"][1];
    let expected = (&json!("templates/deployment.yaml"), &json!("changed"), &json!(1));
    assert_eq!((&renamed["renamedFrom"], &renamed["change"], &renamed["added"]), expected, "{renamed:#}");
}

#[test]
fn combinations_of_flags_that_make_no_sense_are_refused() {
    let registry = Registry::start();
    let refused = |more: &[&str]| diff(&registry, "1.0.3", "1.0.4", more).ends(9);
    for flag in ["--stat", "--name-only"] {
        for format in ["json", "markdown", "html"] {
            refused(&[flag, "--output", format]).says(&[&format!("`{flag}` prints text only"), "omit `--output`"]);
        }
        refused(&[flag, "--rendered"]).says(&[flag, "--rendered"]);
    }
    refused(&["--stat", "--name-only"]).says(&["--stat", "--name-only"]);
    assert!(registry.log().is_empty());
}

#[test]
fn text_is_as_wide_as_the_terminal_that_it_is_printed_on() {
    let Some(script) = peer("script") else {
        return missing("script is missing, which makes a terminal");
    };
    let (source, registry) = published();
    source.write("ee/appliance/flux/profiles/single-node/values/temporal.single-node.yaml", "changed: true\n");
    let reason = "one reason of many words ".repeat(20);
    publish(&source, &registry, "1.0.4", "nightly", &["--reason", &reason]).ends(0);
    // The columns of the terminal are set before the program starts, as a window does.
    let shown = |columns: u16, tail: &str, environment: &[(&str, &str)]| {
        let program =
            format!("{:?} diff 1.0.3 nightly --no-pager --store {}", release().get_program(), store(&registry));
        let command = format!("stty rows 24 cols {columns}; {program} {tail}");
        let mut terminal = std::process::Command::new(&script);
        terminal.args(["-qec", &command, "/dev/null"]).env_clear().env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh");
        let text = run(terminal.env("NO_COLOR", "1").envs(environment.iter().copied())).ends(0).stdout;
        text.lines()
            .filter(|line| line.contains("many words"))
            .map(|line| line.trim_end().chars().count())
            .max()
            .expect("a line")
    };
    let widths = [shown(50, "", &[]), shown(120, "", &[]), shown(120, "", &[("COLUMNS", "70")])];
    assert!(
        (40..=50).contains(&widths[0]) && (100..=120).contains(&widths[1]) && (60..=70).contains(&widths[2]),
        "{widths:?}"
    );
    assert!(shown(50, "| cat", &[]) > 300, "a pipe is not wrapped, though standard error is a terminal");
}

#[test]
fn an_output_directory_has_the_reports_and_the_values_for_a_workflow() {
    let (source, registry) = published();
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    let directory = source.path("../out/deeper");
    let out = directory.display().to_string();
    let shown = diff(&registry, "1.0.3", "nightly", &["--output-dir", &out, "--output", "markdown"]).ends(0).stdout;
    let read =
        |name: &str| std::fs::read_to_string(directory.join(name)).unwrap_or_else(|cause| panic!("{name}: {cause}"));
    let changes: Value = serde_json::from_str(&read("changes.json")).expect("JSON");
    valid("diff.json", &changes);
    assert_eq!(read("has-changes"), "true\n");
    assert_eq!(read("version"), "1.0.4\n");
    assert_eq!(read("digest").trim(), changes["to"]["digest"].as_str().expect("a digest"));
    assert_eq!(read("report.md"), shown);
    assert!(read("report.html").starts_with("<!doctype html>"));
    let names = std::fs::read_dir(&directory).expect("a directory").count();
    assert_eq!(names, 6, "temporary files are removed");
    diff(&registry, "nightly", "nightly", &["--output-dir", &out]).ends(0);
    assert_eq!(read("has-changes"), "false\n");
}

#[test]
fn colours_are_used_on_terminals_and_where_variables_ask_for_them() {
    let (source, registry) = published();
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    let coloured = |environment: &[(&str, &str)]| {
        let mut command = release();
        command.args(["diff", "1.0.3", "1.0.4", "--store", &store(&registry)]).envs(environment.iter().copied());
        run(&mut command).ends(0).stdout.contains('\u{1b}')
    };
    assert!(!coloured(&[]));
    assert!(coloured(&[("FORCE_COLOR", "1")]));
    assert!(!coloured(&[("FORCE_COLOR", "1"), ("NO_COLOR", "1")]));
    assert!(!coloured(&[("FORCE_COLOR", "0")]));
}

#[test]
fn releases_of_older_publishers_are_compared_by_their_versions() {
    let (source, registry) = published();
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    let mut old = served(&registry, "1.0.3");
    undescribed(&mut old);
    for key in ["chartDigests", "imageDigests", "profileValues", "valuesConfigMaps"] {
        old.as_object_mut().expect("an object").remove(key);
    }
    old["controlPlane"] = json!("62cdce38");
    old["madeBy"] = json!({"later": [1]});
    put_release(&registry, "1.0.3", &old, &json!({}));
    let found = compared(&registry, "1.0.3", "1.0.4");
    assert_eq!(found["charts"].as_array().map(Vec::len), Some(1), "{found:#}");
    assert_eq!(found["charts"][0]["files"].as_array().map(Vec::len), Some(2));
    assert_eq!(found["controlPlane"]["from"], "\"62cdce38\"");
    assert_eq!(found["other"][0]["path"], "madeBy");
    let overlay = changes(&found);
    assert!(overlay.contains("overlay:profiles/single-node/values/temporal.single-node.yaml"), "{overlay:?}");
    let back = compared(&registry, "1.0.4", "1.0.3");
    let risks: Vec<&str> =
        back["risks"].as_array().expect("risks").iter().filter_map(|risk| risk["kind"].as_str()).collect();
    assert_eq!(risks, ["downgrade", "mutable-tag"], "{back:#}");
}

#[test]
fn missing_and_broken_artifacts_are_named_and_the_rest_is_compared() {
    let (source, registry) = published();
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    let repository = "org/charts/email-service";
    let layer = |version: &str| {
        let (_, manifest) = registry.manifest(repository, version).expect("a manifest");
        let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
        manifest["layers"][0]["digest"].as_str().expect("a digest").to_owned()
    };
    let mut broken = registry.blob(repository, &layer("0.1.1")).expect("a blob");
    broken[40] ^= 1;
    registry.put_blob(repository, &layer("0.1.1"), &broken);
    let corrupted = compared(&registry, "1.0.3", "1.0.4");
    assert!(corrupted["charts"][0]["notCompared"].as_str().is_some_and(|why| why.contains("digest")), "{corrupted:#}");
    registry.remove_blob(repository, &layer("0.1.0"));
    let gone = compared(&registry, "1.0.3", "1.0.4");
    assert_eq!(gone["risks"][0]["kind"], "not-compared", "{gone:#}");
    assert_eq!(gone["images"][0]["key"], "algaCore");
    assert_eq!(gone["values"][0]["path"], "temporal.single-node.yaml");
    let digest = served(&registry, "1.0.3")["config"]["digest"].as_str().expect("a digest").to_owned();
    let (_, manifest) = registry.manifest("org/alga-appliance-config", &digest).expect("a bundle");
    let bundle: Value = serde_json::from_slice(&manifest).expect("JSON");
    registry.remove_blob("org/alga-appliance-config", bundle["layers"][0]["digest"].as_str().expect("a digest"));
    // Without the overlays, a comparison would say that nothing else differs.
    diff(&registry, "1.0.3", "1.0.4", &[])
        .ends(1)
        .says(&["cannot compare the overlays: ", "hint: run `alga-release verify 1.0.3`"]);
}

#[test]
fn removed_objects_and_changes_of_immutable_fields_come_first() {
    let (source, registry) = (Source::new(), Registry::start());
    with_images(&source, &["1.0.4"]);
    let service = |address: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: s, namespace: msp}}\nspec: {{clusterIP: {address}}}\n"
        )
    };
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: files, namespace: msp}\n";
    let kustomization = "ee/appliance/flux/base/platform/kustomization.yaml";
    let before = std::fs::read_to_string(source.path(kustomization)).expect("a file");
    let objects = "ee/appliance/flux/base/platform/more.yaml";
    source.write(kustomization, &before.replacen("resources:\n", "resources:\n  - more.yaml\n", 1));
    source.write(objects, &format!("{}---\n{claim}", service("10.0.0.1")));
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    source.write(objects, &service("10.0.0.2"));
    let dry = publish(&source, &registry, "1.0.4", "nightly", &["--dry-run"]).ends(0).stdout;
    let at = |text: &str| dry.find(text).unwrap_or_else(|| panic!("no `{text}` in {dry}"));
    let lost = at("DANGER  PersistentVolumeClaim msp/files is removed and will be deleted");
    let fixed = at("DANGER  Service msp/s: spec.clusterIP cannot be changed in place");
    assert!(lost.max(fixed) < at("Objects of the overlay"));
}

#[test]
fn an_object_that_moves_to_another_kustomization_comes_first() {
    let (source, registry) = (Source::new(), Registry::start());
    with_images(&source, &["1.0.4"]);
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: files, namespace: msp}\n";
    let list = |layer: &str| format!("ee/appliance/flux/base/{layer}/kustomization.yaml");
    let text = |layer: &str| std::fs::read_to_string(source.path(&list(layer))).expect("a file");
    let (platform, core) = (text("platform"), text("core"));
    let with_claim = |before: &str| before.replacen("resources:\n", "resources:\n- ../claim.yaml\n", 1);
    source.write("ee/appliance/flux/base/claim.yaml", claim);
    source.write(&list("core"), &with_claim(&core));
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    source.write(&list("core"), &core);
    source.write(&list("platform"), &with_claim(&platform).replace("- ../claim", "  - ../claim"));
    let dry = publish(&source, &registry, "1.0.4", "nightly", &["--dry-run", "--output", "json"]).ends(0).json();
    valid("diff.json", &dry["diff"]);
    assert_eq!(dry["diff"]["objects"], json!([]), "the object itself is the same");
    let risk = &dry["diff"]["risks"][0];
    assert_eq!((&risk["level"], &risk["kind"]), (&json!("danger"), &json!("moved-object")), "{dry:#}");
    let words = "`PersistentVolumeClaim msp/files` moves from Kustomization `alga-core` to `alga-platform`";
    assert!(risk["text"].as_str().is_some_and(|text| text.starts_with(words)), "{risk}");
}

#[test]
fn text_from_outside_steers_neither_terminal_nor_page() {
    let (source, registry) = published();
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    let mut evil = served(&registry, "1.0.4");
    evil["charts"][HOSTILE] = json!(HOSTILE);
    evil["images"] = json!({ "algaCore": HOSTILE, HOSTILE: "1" });
    evil["controlPlane"] = json!(HOSTILE);
    evil["profileValues"] = json!({ HOSTILE: format!("{HOSTILE}\n````\n{HOSTILE}\n") });
    evil[HOSTILE] = json!({ HOSTILE: HOSTILE });
    let prefix = "vnd.alga.appliance.channel.";
    let record = [
        ("name", "nightly"),
        ("sequence", "9"),
        ("kind", "publish"),
        ("moved", HOSTILE),
        ("by", HOSTILE),
        ("reason", HOSTILE),
    ];
    let mut annotations: serde_json::Map<String, Value> =
        record.iter().map(|(key, value)| (format!("{prefix}{key}"), json!(value))).collect();
    annotations.insert(format!("{prefix}release"), json!(digest_of(b"evil")));
    put_release(&registry, "nightly", &evil, &Value::Object(annotations));
    let show = |format: &str| diff(&registry, "1.0.3", "nightly", &["--output", format]).ends(0).stdout;
    compared(&registry, "1.0.3", "nightly");
    for format in ["text", "markdown", "html", "json"] {
        let page = show(format);
        assert!(page.contains("alert(1)"), "{format}: the text is shown");
        assert!(!page.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{format}: {page}");
    }
    let html = show("html");
    assert!(!html.contains("<script") && !html.contains("<img") && html.contains("&lt;script&gt;"));
    let markdown = show("markdown");
    let mut fence: Option<&str> = None;
    for line in markdown.lines() {
        let ticks = &line[..line.len() - line.trim_start_matches('`').len()];
        match fence {
            Some(open) if line == open => fence = None,
            Some(_) => {}
            None if ticks.len() >= 3 => fence = Some(ticks),
            None => assert!(!line.contains("<script") && !line.contains("<img") && !line.contains('`'), "{line}"),
        }
    }
}

#[test]
fn rendered_objects_are_compared_and_a_chart_that_cannot_be_rendered_is_the_first_risk() {
    let Some(helm) = require("helm") else { return };
    let kubectl = peer("kubectl").or_else(|| peer("kustomize"));
    let (source, registry) = published();
    source.append(&format!("{CHART}/templates/deployment.yaml"), "---\n{{ fail \"not for you\" }}\n");
    publish(&source, &registry, "1.0.4", "nightly", &["--no-lint", "a test"]).ends(0);
    let programs: Vec<_> = [Some(helm), kubectl.clone()].into_iter().flatten().collect();
    let directories = programs.iter().map(|program| program.parent().expect("a directory"));
    let path = std::env::join_paths(directories).expect("a path");
    let mut command = release();
    command.args(["diff", "1.0.3", "1.0.4", "--store", &store(&registry), "--rendered", "--output", "json"]);
    let found = run(command.env("PATH", path)).ends(0).json();
    valid("diff.json", &found);
    let rendered = &found["rendered"];
    assert!(rendered["programs"][0].as_str().is_some_and(|program| program.starts_with("helm v")), "{rendered:#}");
    let changed: BTreeSet<(&str, &str)> = rendered["objects"]
        .as_array()
        .expect("objects")
        .iter()
        .filter_map(|object| Some((object["name"].as_str()?, object["file"].as_str()?)))
        .collect();
    assert!(changed.contains(&("alga-core", "helm msp/alga-core")), "the image reaches the Deployment: {rendered:#}");
    let built = changed.contains(&("appliance-values-temporal", "kustomize profiles/single-node"));
    assert_eq!(built, kubectl.is_some(), "{rendered:#}");
    let first = &found["risks"][0];
    assert_eq!((&first["level"], &first["kind"]), (&json!("danger"), &json!("not-rendered")), "{found:#}");
    let text = first["text"].as_str().expect("text");
    assert!(
        text.starts_with("helm cannot render `msp/email-service` of `1.0.4`: ") && text.contains("not for you"),
        "{text}"
    );
    let removed = rendered["objects"].as_array().expect("objects").iter().any(|object| object["change"] == "removed");
    assert!(!removed, "objects that could not be rendered on one side are not removed: {rendered:#}");
}

/// A directory with a helm that logs its arguments, and makes an object with a different value and one with a different name each time.
fn random_helm(source: &Source) -> (std::path::PathBuf, std::path::PathBuf) {
    let (directory, log) = (source.path("../bin"), source.path("../helm.log"));
    std::fs::create_dir_all(&directory).expect("a directory");
    std::fs::write(&log, "").expect("written");
    let script = format!(
        "#!/bin/sh\necho \"$*\" >> {log}\nn=$(wc -l < {log})\n[ \"$1\" = version ] && echo v0 && exit\n\
         for last; do chart=$last; done\n\
         printf 'apiVersion: v1\\nkind: ConfigMap\\nmetadata: {{name: c}}\\ndata: {{fixed: \"%s\", made: \"%s\"}}\\n' \"$(wc -c < $chart)\" \"$n\"\n\
         printf -- '---\\napiVersion: v1\\nkind: Pod\\nmetadata: {{name: p-%s}}\\n' \"$n\"\n",
        log = log.display()
    );
    let helm = directory.join("helm");
    std::fs::write(&helm, script).expect("written");
    let executable = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    std::fs::set_permissions(&helm, executable).expect("executable");
    (directory, log)
}

#[test]
fn only_charts_that_changed_or_whose_values_did_are_rendered_and_random_values_are_not_changes() {
    let (source, registry) = published();
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    let (path, log) = random_helm(&source);
    let rendered = |from: &str, to: &str| {
        std::fs::write(&log, "").expect("written");
        let mut command = release();
        command.args(["diff", from, to, "--store", &store(&registry), "--rendered", "--output", "json"]);
        let found = run(command.env("PATH", &path)).ends(0).json();
        valid("diff.json", &found);
        let log = std::fs::read_to_string(&log).expect("a log");
        let releases =
            log.lines().filter_map(|line| line.split_once(" -- ")?.1.split(' ').next().map(ToOwned::to_owned));
        (
            found,
            releases.fold(std::collections::BTreeMap::<_, usize>::new(), |mut all, one| {
                *all.entry(one).or_default() += 1;
                all
            }),
            log,
        )
    };
    let (found, releases, _) = rendered("1.0.3", "1.0.4");
    let expected = ["alga-core", "email-service", "temporal"].map(|name| (name.to_owned(), 4));
    assert_eq!(
        releases,
        expected.into(),
        "twice each release: the image, the chart and the values of these three changed"
    );
    let objects = found["rendered"]["objects"].as_array().expect("objects");
    let changed: Vec<(&Value, &Value)> =
        objects.iter().map(|object| (&object["file"], &object["fields"][0]["path"])).collect();
    assert_eq!(changed, [(&json!("helm msp/email-service"), &json!("data.fixed"))], "{found:#}");
    let random = found["rendered"]["random"].as_array().expect("random");
    let of = |index: usize| (&random[index]["name"], &random[index]["fields"]);
    assert_eq!(
        (of(0), of(1)),
        ((&json!("c"), &json!(["data.made"])), (&json!("(random) 1"), &json!(["metadata.name"])))
    );
    assert_eq!(random.len(), 6, "{found:#}");
    let (found, _, log) = rendered("1.0.4", "nightly");
    assert_eq!(log, "", "helm is not started for the same release");
    assert_eq!(found["rendered"], json!({"programs": [], "notes": [], "objects": [], "random": []}));
}

#[test]
fn values_that_helm_makes_at_random_are_told_from_changes() {
    let Some(helm) = require("helm") else { return };
    let (source, registry) = (Source::new(), Registry::start());
    let secret = "{{- $ca := genCA \"ca\" 10 }}\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: made\n  annotations:\n    \
                  id: {{ uuidv4 | quote }}\ndata:\n  password: {{ randAlphaNum 12 | quote }}\n  ca: |\n{{ $ca.Cert | indent 4 }}\n  fixed: ONE\n";
    source.write(&format!("{CHART}/templates/made.yaml"), secret);
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    change(&source);
    source.write(&format!("{CHART}/templates/made.yaml"), &secret.replace("ONE", "TWO"));
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    let mut command = release();
    command.args(["diff", "1.0.3", "1.0.4", "--store", &store(&registry), "--rendered", "--output", "json"]);
    let found = run(command.env("PATH", helm.parent().expect("a directory"))).ends(0).json();
    valid("diff.json", &found);
    let objects = found["rendered"]["objects"].as_array().expect("objects");
    let made = objects.iter().find(|object| object["name"] == "made").expect("the ConfigMap");
    let paths: Vec<&str> =
        made["fields"].as_array().expect("fields").iter().filter_map(|field| field["path"].as_str()).collect();
    assert_eq!(paths, ["data.fixed"], "{made:#}");
    let random = json!([{
        "kind": "ConfigMap", "namespace": "", "name": "made", "group": "", "file": "helm msp/email-service",
        "fields": ["data.ca", "data.password", "metadata.annotations.id"],
    }]);
    assert_eq!(found["rendered"]["random"], random);
}

#[test]
fn missing_programs_are_named() {
    let (source, registry) = published();
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    let mut command = release();
    command.args(["diff", "1.0.3", "1.0.4", "--store", &store(&registry), "--rendered"]);
    let text = run(command.env("PATH", "/nonexistent")).ends(0).stdout;
    assert!(text.contains("helm is not on the path") && text.contains("kubectl is not on the path"), "{text}");
}

#[test]
fn a_chart_that_was_packed_again_has_the_same_content() {
    let (source, registry) = (Source::new(), Registry::start());
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    let repository = "org/charts/temporal";
    let (media_type, bytes) = registry.manifest(repository, "0.1.0").expect("a manifest");
    let mut manifest: Value = serde_json::from_slice(&bytes).expect("JSON");
    manifest["annotations"]["org.opencontainers.image.created"] = json!("2026-11-23T10:00:00Z");
    let repacked = manifest.to_string().into_bytes();
    registry.put_manifest(repository, None, &digest_of(&repacked), &media_type, &repacked);
    let mut later = served(&registry, "1.0.3");
    later["version"] = json!("1.0.4");
    later["chartDigests"]["temporal"] = json!(digest_of(&repacked));
    put_release(&registry, "1.0.4", &later, &json!({}));
    let found = compared(&registry, "1.0.3", "1.0.4");
    assert_eq!(changes(&found), ["charts:temporal".to_owned()].into(), "{found:#}");
    assert_eq!((&found["charts"][0]["repacked"], &found["charts"][0]["files"]), (&json!(true), &json!([])));
    let text = diff(&registry, "1.0.3", "1.0.4", &[]).ends(0).stdout;
    assert!(text.contains("~ temporal 0.1.0, repacked with the same content"), "{text}");
}

#[test]
fn values_that_only_the_older_templates_read_are_a_risk() {
    let (source, registry) = (Source::new(), Registry::start());
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    change(&source);
    let template = format!("{CHART}/templates/deployment.yaml");
    let text = std::fs::read_to_string(source.path(&template)).expect("a template");
    source.write(&template, &text.replace("existingSecret", "secretName"));
    let dry = publish(&source, &registry, "1.0.4", "nightly", &["--dry-run", "--output", "json"]).ends(0).json();
    let expected = "`email-service.single-node.yaml`: `outbound.existingSecret` is set, but no template of chart `email-service` mentions it any more";
    let mut risks = dry["diff"]["risks"].as_array().expect("risks").clone();
    // The checks of `lint` find the same risk.
    risks.retain(|risk| risk["kind"] != "lint");
    assert_eq!(risks, [json!({"level": "warning", "kind": "unread-values", "text": expected})]);
}

#[test]
fn a_pager_is_used_on_a_terminal_and_not_in_a_job() {
    let Some(script) = peer("script") else {
        return missing("script is missing, which makes a terminal");
    };
    let (source, registry) = published();
    publish(&source, &registry, "1.0.4", "nightly", &[]).ends(0);
    let shown = |more: &str, environment: &[(&str, &str)]| {
        let command = format!("{:?} diff 1.0.3 1.0.4 --store {} {more}", release().get_program(), store(&registry));
        let mut terminal = std::process::Command::new(&script);
        terminal.args(["-qec", &command, "/dev/null"]).env_clear().env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh");
        run(terminal.env("PAGER", "sed s/^/paged:/").envs(environment.iter().copied())).ends(0).stdout
    };
    assert!(shown("", &[]).contains("paged:"));
    for (more, environment) in
        [("--no-pager", ("A", "b")), ("", ("CI", "true")), ("", ("PAGER", "cat")), ("--output json", ("A", "b"))]
    {
        assert!(!shown(more, &[environment]).contains("paged:"), "{more} {environment:?}");
    }
    let unpaged = shown("", &[("PAGER", "no-such-pager"), ("NO_COLOR", "1")]);
    assert!(
        unpaged.contains("1.0.3 (sha256:") && unpaged.contains(") → 1.0.4 ("),
        "without a pager, the text is printed: {unpaged}"
    );
}
