use super::*;
use crate::oci::{AnyRepository, Selector};

fn named(kind: NamedKind, name: &str, version: &str) -> Named {
    let digest = Digest::of(format!("{name} {version}").as_bytes());
    let repository = AnyRepository::Own("x".parse().expect("a repository"));
    Named {
        kind,
        name: name.to_owned(),
        version: Some(version.to_owned()),
        tag: None,
        reference: format!("r.io/a/x@{digest}"),
        target: Target::At { repository, selector: Selector::Digest(digest) },
    }
}

fn graph(named: &[Named]) -> Graph {
    let digest = Digest::of(b"release");
    let mut graph = Graph::of("1.0.3", format!("r.io/a/release@{digest}"), digest.clone(), named);
    graph.channel = Some(ServedBy {
        name: "stable".to_owned(),
        manifest: digest,
        sequence: Some(7),
        kind: Some(MoveKind::Promote),
        moved: Some("2026-11-23T10:00:00Z".to_owned()),
        by: Some("alice".to_owned()),
        signed_by: None,
    });
    graph
}

/// A chart that is there with a signature, and an image that is known by its tag and is absent.
fn two() -> Graph {
    let mut graph = graph(&[named(NamedKind::Chart, "core", "1.2.3"), named(NamedKind::Image, "web", "62cdce38")]);
    let chart = &mut graph.artifacts[0];
    (chart.size, chart.signatures) = (Some(2048), Some(1));
    chart.created = Some("2026-11-20T10:00:00Z".to_owned());
    chart.attached.push(AttachedNode {
        what: AttachedKind::Signature,
        tag: None,
        artifact_type: Some("application/vnd.cncf.notary.signature".to_owned()),
        digest: Digest::of(b"signature"),
        size: 100,
    });
    let image = &mut graph.artifacts[1];
    (image.digest, image.pinned) = (None, false);
    image.problem = Some("reading x:62cdce38: not found".to_owned());
    graph
}

#[test]
fn a_tree_shows_every_artifact_with_digest_size_age_and_signatures() {
    let now = "2026-11-23T12:00:00Z".parse().expect("a time");
    let release = Digest::of(b"release");
    let (short_release, chart) = (release.short(), Digest::of(b"core 1.2.3"));
    let expected = format!(
        "r.io/a/release@{release}
served by channel stable (move 7, 2026-11-23T10:00:00Z, by alice)

NAME                     DIGEST            SIZE  AGE  SIGNATURES
release 1.0.3            {short_release}         -    -  -
├── charts
│   └── core 1.2.3       {}  2.00 KiB   3d  1
│       └── signature application/vnd.cncf.notary.signature  {}     100 B
└── images
    └── web 62cdce38     -            -    -  -     reading x:62cdce38: not found
",
        chart.short(),
        Digest::of(b"signature").short()
    );
    let text = two().text(now);
    let words =
        |text: &str| text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
    assert_eq!(words(&text), words(&expected), "{text}");
    // The columns of every line begin at the same place.
    let column = text.lines().find(|line| line.starts_with("NAME")).and_then(|line| line.find("DIGEST"));
    let at = |line: &str| line.char_indices().nth(column.expect("a column")).map(|(at, _)| line[at..].to_owned());
    let rows = text.lines().filter(|line| line.contains(short_release) && !line.contains('@'));
    assert!(rows.filter_map(at).all(|row| row.starts_with(short_release)), "{text}");
}

#[test]
fn ages_are_in_their_largest_unit() {
    let now = "2026-11-23T12:00:00Z".parse().expect("a time");
    for (created, expected) in [
        ("2026-11-23T12:00:00Z", Some("0s")),
        ("2026-11-23T11:58:00Z", Some("2m")),
        ("2026-11-23T09:30:00Z", Some("2h")),
        ("2026-11-20T12:00:00Z", Some("3d")),
        ("2023-11-14T22:13:20Z", Some("3y")),
        ("2026-11-23T12:00:01Z", None),
        ("yesterday", None),
    ] {
        assert_eq!(super::text::age(created, now).as_deref(), expected, "{created}");
    }
}

#[test]
fn drawings_are_the_same_every_time_and_nothing_in_them_is_more_than_text() {
    let hostile = "</text><script>alert(1)</script>\"\\\u{1b}[31m\u{202e}\u{ffff}";
    let graph = graph(&[named(NamedKind::Chart, hostile, "1"), named(NamedKind::ExtraImage, hostile, "\"]; x -> y;")]);
    let (svg, dot) = (graph.svg(), graph.dot());
    assert_eq!((&svg, &dot), (&graph.clone().svg(), &graph.clone().dot()));
    assert!(!svg.contains("<script") && svg.contains("&lt;script"), "{svg}");
    for text in [&svg, &dot] {
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    }
    assert!(!svg.contains('\u{ffff}'), "{svg}");
    // Every quotation mark of a name is escaped, so that a label ends where it should.
    assert!(dot.contains(r#"\"]; x -> y;"#) && !dot.contains(r#" "]; x -> y;"#), "{dot}");
    let remote = svg.replace("http://www.w3.org/2000/svg", "");
    assert!(!remote.contains("http") && !remote.contains("@import") && !remote.contains("url("), "{svg}");
}

#[test]
fn a_graph_of_two_releases_marks_what_differs() {
    let chart = |version| named(NamedKind::Chart, "core", version);
    let before = [chart("1"), named(NamedKind::Image, "web", "a"), named(NamedKind::Image, "old", "a")];
    let after = [chart("1"), named(NamedKind::Image, "web", "b"), named(NamedKind::Image, "new", "a")];
    let graph = graph(&after).compared_to(&before);
    let marks: Vec<_> = graph.artifacts.iter().map(|node| (node.name.as_str(), node.mark)).collect();
    assert_eq!(marks, [("core", Mark::None), ("web", Mark::Changed), ("new", Mark::Added), ("old", Mark::Removed)]);
    let svg = graph.svg();
    for word in ["changed: web b", "added: new a", "removed: old a", ">core 1<"] {
        assert!(svg.contains(word), "{word}: {svg}");
    }
}
