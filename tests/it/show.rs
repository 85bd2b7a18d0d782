//! A release as a tree of everything that it names, in each of its forms.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::schemas::valid;
use crate::support::programs::{Run, Source, alga};
use crate::support::published::{RELEASES, complete, digest_of, store, writes};
use crate::support::registry::{Action, Fault, Registry};
use crate::support::require;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn show(registry: &Registry, arguments: &[&str]) -> Run {
    alga(&[&["show", "--retry-for", "0", "--store", &store(registry)], arguments].concat())
}

fn shown(registry: &Registry, reference: &str) -> Value {
    let shown = show(registry, &[reference, "--output", "json"]).ends(0).json();
    valid("show.json", &shown);
    shown
}

fn artifact<'a>(shown: &'a Value, kind: &str, name: &str) -> &'a Value {
    let artifacts = shown["artifacts"].as_array().expect("artifacts");
    let found = artifacts.iter().find(|one| one["kind"] == kind && one["name"] == name);
    found.unwrap_or_else(|| panic!("{kind} {name}: {shown:#}"))
}

/// Pushes a manifest that is about another one: cosign's, by a tag, or a referrer.
fn sign(registry: &Registry, repository: &str, subject: &str, tag: Option<&str>, layers: usize) {
    let blob = |bytes: &[u8]| {
        registry.put_blob(repository, &digest_of(bytes), bytes);
        json!({"mediaType": "application/vnd.example", "digest": digest_of(bytes), "size": bytes.len()})
    };
    let layers: Vec<Value> = (0..layers).map(|number| blob(format!("signature {number}").as_bytes())).collect();
    let mut manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": blob(b"{}"), "layers": layers});
    if tag.is_none() {
        let (media_type, bytes) = registry.manifest(repository, subject).expect("a subject");
        manifest["artifactType"] = "application/vnd.cncf.notary.signature".into();
        manifest["subject"] = json!({"mediaType": media_type, "digest": subject, "size": bytes.len()});
    }
    let bytes = manifest.to_string().into_bytes();
    registry.put_manifest(repository, tag, &digest_of(&bytes), MANIFEST, &bytes);
}

#[test]
fn a_release_is_shown_with_everything_that_it_names() {
    let (_, registry) = complete();
    let before = writes(&registry);
    let shown = shown(&registry, "nightly");
    assert_eq!(writes(&registry), before);
    let tags = registry.tags(RELEASES);
    assert_eq!(shown["release"]["digest"], tags["1.0.3"]);
    assert_eq!(
        (&shown["channel"]["name"], &shown["channel"]["manifest"]),
        (&json!("nightly"), &json!(tags["nightly"]))
    );
    assert_eq!(shown["complete"], true);
    // The bundle says when its commit was made, and the release is of the same commit.
    assert_eq!(shown["release"]["created"], "2023-11-14T22:13:20Z");
    let artifacts = shown["artifacts"].as_array().expect("artifacts");
    for (kind, count) in [("chart", 6), ("bundle", 1), ("image", 5), ("control-plane", 1)] {
        let of_kind = artifacts.iter().filter(|one| one["kind"] == kind);
        assert!(of_kind.clone().count() > 0 && of_kind.clone().count() <= count, "{kind}: {shown:#}");
        // A chart of another publisher is known by its version alone.
        for one in of_kind.filter(|one| one["note"].is_null()) {
            assert!(one["size"].as_u64().is_some_and(|size| size > 0), "{one:#}");
            assert_eq!((&one["signatures"], &one["pinned"], &one["problem"]), (&json!(0), &json!(true), &Value::Null));
        }
    }
    let by_version = self::shown(&registry, "1.0.3");
    assert_eq!((&by_version["channel"], &by_version["release"]), (&Value::Null, &shown["release"]));
    assert_eq!(by_version["artifacts"], shown["artifacts"]);
    let text = show(&registry, &["nightly"]).ends(0).stdout;
    for word in
        ["served by channel nightly (move 1", "├── charts", "control plane", "SIGNATURES", "none", &tags["1.0.3"]]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert_eq!(text.matches("└── ").count(), 5, "{text}");
}

#[test]
fn signatures_of_every_kind_are_counted_and_listed() {
    let (_, registry) = complete();
    let digest = |kind, name| {
        let shown = shown(&registry, "1.0.3");
        artifact(&shown, kind, name)["digest"].as_str().expect("a digest").to_owned()
    };
    let (bundle, chart) = (digest("bundle", "alga-appliance-config"), digest("chart", "temporal"));
    let tag = format!("sha256-{}.sig", &bundle[7..]);
    sign(&registry, "org/alga-appliance-config", &bundle, Some(&tag), 2);
    sign(&registry, "org/charts/temporal", &chart, None, 1);
    let shown = shown(&registry, "1.0.3");
    let (bundle, chart) = (artifact(&shown, "bundle", "alga-appliance-config"), artifact(&shown, "chart", "temporal"));
    assert_eq!((&bundle["signatures"], &bundle["attached"][0]["tag"]), (&json!(2), &json!(tag)));
    assert_eq!((&chart["signatures"], &chart["attached"][0]["what"]), (&json!(1), &json!("signature")));
    assert_eq!(chart["attached"][0]["artifactType"], "application/vnd.cncf.notary.signature");
    show(&registry, &["1.0.3"]).ends(0).prints(&["signature application/vnd.cncf.notary.signature"]);
    show(&registry, &["1.0.3", "--output", "svg"]).ends(0).prints(&["signatures: 2", "signatures: none"]);
}

#[test]
fn an_absent_artifact_is_a_line_of_the_tree_and_a_warning() {
    let (_, registry) = complete();
    let whole = shown(&registry, "1.0.3");
    let chart = artifact(&whole, "chart", "temporal")["digest"].as_str().expect("a digest").to_owned();
    registry.fail(Fault::every("GET", format!("/manifests/{chart}"), Action::status(404, "")));
    let shown = shown(&registry, "1.0.3");
    assert_eq!(shown["complete"], false);
    let chart = artifact(&shown, "chart", "temporal");
    assert!(chart["problem"].is_string() && chart["size"].is_null() && chart["signatures"].is_null(), "{chart:#}");
    show(&registry, &["1.0.3"]).ends(0).says(&["warning: 1 of", "could not be read"]).prints(&["temporal"]);
    // A store that does not answer is not a release that is not complete.
    registry.fail(Fault::every("GET", "/manifests/sha256:", Action::status(503, "")));
    show(&registry, &["1.0.3"]).ends(75);
}

#[test]
fn images_of_other_registries_are_shown_from_a_directory_without_asking_for_them() {
    let source = Source::new();
    let layout = source.layout();
    source.publish(&["--version", "1.0.3", "--channel", "nightly", "--store", &layout]).ends(0);
    let shown = alga(&["show", "nightly", "--store", &layout, "--output", "json"]).ends(0).json();
    valid("show.json", &shown);
    // Images were not checked: the release knows them by tag, and the directory does not hold them.
    let images = shown["artifacts"].as_array().expect("artifacts").iter().filter(|one| one["kind"] == "image");
    assert!(
        images.clone().count() > 0 && images.into_iter().all(|one| one["pinned"] == false && one["size"].is_null())
    );
}

#[test]
fn an_unknown_release_is_refused_with_the_nearest_name() {
    let (_, registry) = complete();
    show(&registry, &["1.0.33"]).ends(9).says(&["`1.0.3`"]);
    alga(&["show"]).ends(9);
}

#[test]
fn drawings_are_the_same_every_time() {
    let (_, registry) = complete();
    for form in ["dot", "svg"] {
        let draw = || show(&registry, &["1.0.3", "--output", form]).ends(0).stdout;
        assert_eq!(draw(), draw(), "{form}");
    }
}

#[test]
fn graphviz_reads_the_graph() {
    let Some(dot) = require("dot") else { return };
    let (_, registry) = complete();
    let graph = show(&registry, &["nightly", "--output", "dot"]).ends(0).stdout;
    let mut command = Command::new(dot);
    command.arg("-Tplain").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("started");
    child.stdin.take().expect("a pipe").write_all(graph.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("ended");
    let (plain, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && !errors.contains("syntax") && !errors.contains("rror"), "{errors}");
    let shown = shown(&registry, "nightly");
    let nodes = plain.lines().filter(|line| line.starts_with("node artifact")).count();
    assert_eq!(nodes, shown["artifacts"].as_array().expect("artifacts").len(), "{plain}");
    assert!(plain.lines().any(|line| line.starts_with("edge channel release")), "{plain}");
}
