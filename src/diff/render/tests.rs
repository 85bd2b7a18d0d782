use super::super::chart::{ChartChange, ChartState, FileChange, Part};
use super::super::fields;
use super::super::lines::{Budget, Change, compare};
use super::super::objects::{Id, ObjectChange};
use super::super::risk::Risk;
use super::super::side::{Identity, Moved};
use super::super::value::{Diff, ImageChange, ImageState, SCHEMA, Summary};
use super::*;
use crate::oci::Digest;

/// A name that tries to steer a terminal, to leave its element, and to make links and mentions.
const HOSTILE: &str = "<script>alert(1)</script>\u{1b}[2J\u{202e}</code></details>**b**`c` @octocat #1 [l](https://evil.example/x) <img src=x onerror=y>\r\n# h & \"'\t|";

fn file(path: &str, from: &str, to: &str) -> FileChange {
    let delta = compare(Some(from.as_bytes()), Some(to.as_bytes()), &mut Budget::default());
    FileChange {
        path: path.to_owned(),
        part: Part::Templates,
        renamed_from: None,
        change: Change::Changed,
        pin: false,
        delta,
    }
}

fn diff(text: &str) -> Diff {
    let identity = |version: &str| Identity {
        reference: text.to_owned(),
        product: text.to_owned(),
        store: Some(text.to_owned()),
        version: version.to_owned(),
        digest: Digest::of(b"release"),
        moved: Some(Moved {
            sequence: 3,
            kind: "promote",
            at: text.to_owned(),
            by: Some(text.to_owned()),
            reason: Some(text.to_owned()),
        }),
    };
    let state = |tag: &str| Some(ImageState { tag: tag.to_owned(), digest: None, repository: Some(text.to_owned()) });
    let value = |other: &str| serde_json::json!({ text: [text, other], "lines": format!("{text}\n{other}\n") });
    let field = fields::compare(&value("a"), &value("b"), &mut Budget::default());
    let chart = |version: &str| Some(ChartState { version: version.to_owned(), digest: Some(Digest::of(b"chart")) });
    let mut charts = ChartChange::new(text, chart(text), chart("2"));
    charts.not_compared = Some(text.to_owned());
    charts.metadata.clone_from(&field);
    charts.files = vec![file(text, &format!("{text}\nold\n"), &format!("{text}\nnew\n````\n{text}{text}\n"))];
    let id = Id { kind: text.to_owned(), namespace: text.to_owned(), name: text.to_owned(), group: text.to_owned() };
    let mut diff = Diff {
        unread: None,
        schema: SCHEMA,
        from: Some(identity("1.0.3")),
        to: identity(text),
        has_changes: true,
        summary: Summary::default(),
        risks: vec![Risk::danger("downgrade", format!("chart {} is downgraded", super::super::name(text)))],
        notes: vec![format!("{} was not compared", super::super::name(text))],
        not_covered: Some(vec![text.to_owned()]),
        images: vec![ImageChange { key: text.to_owned(), change: Change::Changed, from: state("1"), to: state(text) }],
        extra_images: field.clone(),
        control_plane: field.first().cloned(),
        values: charts.files.clone(),
        overlay: charts.files.clone(),
        objects: vec![ObjectChange {
            id,
            change: Change::Changed,
            file: text.to_owned(),
            pin: false,
            fields: field.clone(),
        }],
        charts: vec![charts],
        other: field,
        bundle: None,
        rendered: None,
        graph: None,
    };
    diff.summarise();
    diff
}

/// The names of all tags in a text of HTML.
fn tags(html: &str) -> Vec<&str> {
    let tag = |rest: &'_ str| {
        rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '/' | '!'))).unwrap_or(rest.len())
    };
    html.split('<').skip(1).map(|rest| &rest[..tag(rest)]).collect()
}

#[test]
fn nothing_from_outside_steers_a_terminal() {
    let style = Style { colour: false, width: 80 };
    for text in [stat(&diff(HOSTILE), style), name_only(&diff(HOSTILE))] {
        assert!(text.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control()), "{text:?}");
    }
    let text = text(&diff(HOSTILE), style);
    assert!(text.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control()), "{text:?}");
    assert!(!text.contains('\u{202e}') && text.contains("\\u{1b}[2J"), "{text}");
    let coloured = self::text(&diff(HOSTILE), Style { colour: true, width: 80 });
    let codes = coloured.split('\u{1b}').skip(1).map(|rest| rest.split('m').next().unwrap_or_default());
    assert!(
        codes.clone().count() > 20 && codes.clone().all(|code| code.len() <= 3 && code.starts_with('[')),
        "{coloured:?}"
    );
}

#[test]
fn the_title_names_the_product_both_releases_and_their_stores() {
    let mut diff = diff("web");
    let short = Digest::of(b"release").short().to_owned();
    assert_eq!(title(&diff), format!("web: 1.0.3 ({short}) → web ({short}) in web"));
    diff.to.store = Some("oci-layout:x".to_owned());
    assert_eq!(title(&diff), format!("web: 1.0.3 ({short}) in web → web ({short}) in oci-layout:x"));
    diff.to.store = None;
    assert_eq!(title(&diff), format!("web: 1.0.3 ({short}) → web ({short}) in web"));
    (diff.from, diff.to.store) = (None, Some("r.io/x".to_owned()));
    assert_eq!(title(&diff), format!("web: no release → web ({short}) in r.io/x"));
}

#[test]
fn text_and_markdown_have_short_digests_and_the_page_and_json_have_whole_ones() {
    let mut diff = diff("web");
    let whole = Digest::of(b"release");
    diff.control_plane = fields::compare(
        &serde_json::json!({ "a": format!("r.io/x@{whole}, sha256:0") }),
        &serde_json::json!({ "a": 1 }),
        &mut Budget::default(),
    )
    .pop();
    let short = format!("r.io/x@{}, sha256:0", whole.short());
    for text in [text(&diff, Style { colour: false, width: 80 }), markdown(&diff).replace("&#64;<!-- -->", "@")] {
        assert!(text.contains(&short) && !text.contains(whole.hex()), "{text}");
    }
    for text in [html(&diff), String::from_utf8(json(&diff)).expect("text")] {
        assert!(text.contains(&format!("r.io/x@{whole}")), "{text}");
    }
}

#[test]
fn a_renamed_file_is_one_entry_in_every_rendering() {
    let mut diff = diff("web");
    let mut renamed = file("templates/new.yaml", "a\nb\n", "a\nc\n");
    renamed.renamed_from = Some("templates/old.yaml".to_owned());
    let mut same = file("templates/b.yaml", "a\n", "a\n");
    same.renamed_from = Some("templates/a.yaml".to_owned());
    diff.charts[0].files = vec![renamed, same];
    let text = text(&diff, Style { colour: false, width: usize::MAX });
    assert!(text.contains("~ renamed template templates/old.yaml → templates/new.yaml +1 −1\n"), "{text}");
    assert!(text.contains("~ renamed template templates/a.yaml → templates/b.yaml, same content\n"), "{text}");
    let page = html(&diff);
    assert!(
        page.contains("renamed template <code>templates/old.yaml</code> → <code>templates/new.yaml</code>"),
        "{page}"
    );
    let markdown = markdown(&diff);
    assert!(
        markdown.contains("renamed template <code>templates/old&#46;yaml</code>")
            || markdown.contains("renamed template <code>templates/old.yaml</code> → "),
        "{markdown}"
    );
    let json: serde_json::Value = serde_json::from_slice(&json(&diff)).expect("JSON");
    assert_eq!(json["charts"][0]["files"][0]["renamedFrom"], "templates/old.yaml");
    let style = Style { colour: false, width: usize::MAX };
    assert!(stat(&diff, style).contains(" charts/web/templates/{old.yaml => new.yaml} | 2 +-\n"));
    assert!(name_only(&diff).contains("charts/web/templates/new.yaml\n"));
}

#[test]
fn a_stat_fits_the_terminal_and_is_whole_in_a_file() {
    let mut diff = diff("web");
    let lines = |count: usize| "line\n".repeat(count);
    let long = format!("templates/{}.yaml", "long".repeat(30));
    diff.charts[0].files =
        vec![file(&long, "", &lines(900)), file("a.yaml", &lines(300), ""), file("b.yaml", "a", "b")];
    let of = |width: usize| stat(&diff, Style { colour: false, width });
    let narrow = of(60);
    assert!(
        narrow
            .lines()
            .filter(|line| line.contains('|') && line.contains(['+', '-']))
            .all(|line| line.chars().count() <= 60),
        "{narrow}"
    );
    assert!(narrow.contains("…") && of(usize::MAX).contains(&long), "{narrow}");
    let line = |name: &str| narrow.lines().find(|line| line.contains(name)).expect("a line").to_owned();
    let signs = |line: &str, sign: char| line.rsplit('|').next().unwrap_or_default().matches(sign).count();
    assert_eq!((signs(&line("a.yaml"), '+'), signs(&line("b.yaml"), '+'), signs(&line("b.yaml"), '-')), (0, 1, 1));
    assert!(signs(&line("longlong"), '+') > 2 * signs(&line("a.yaml"), '-'), "{narrow}");
    assert!(narrow.ends_with(" insertions(+), 303 deletions(-)\n"), "{narrow}");
    let painted = stat(&diff, Style { colour: true, width: 60 });
    assert!(painted.contains("\u{1b}[32m+") && painted.contains("\u{1b}[31m-"), "{painted:?}");
}

#[test]
fn sentences_are_wrapped_at_the_width_of_the_terminal_and_lines_of_files_are_not() {
    let mut diff = diff("web");
    diff.risks = vec![Risk::danger("downgrade", "word ".repeat(40)); 2];
    let text = text(&diff, Style { colour: false, width: 60 });
    let wrapped: Vec<&str> = text.lines().filter(|line| line.contains("word")).collect();
    assert!(wrapped.len() >= 8 && wrapped.iter().all(|line| line.chars().count() <= 60), "{text}");
    let (risks, charts) = (text.find("Risks"), text.find("Charts"));
    assert!(risks.is_some() && risks < charts, "the risks come first");
}

#[test]
fn a_page_has_no_script_no_remote_part_and_no_markup_from_outside() {
    let page = html(&diff(HOSTILE));
    let known = [
        "!doctype", "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "dl", "dt", "dd", "p",
        "section", "ul", "li", "details", "summary", "pre", "ins", "del", "i", "code", "small", "span",
    ];
    for tag in tags(&page) {
        assert!(known.contains(&tag.trim_start_matches('/')), "<{tag}>");
    }
    for (tag, count) in [("details", page.matches("</details>").count()), ("li", page.matches("</li>").count())] {
        assert_eq!(tags(&page).iter().filter(|found| **found == tag).count(), count, "{tag}");
    }
    for word in ["src=\"", "href=", "url(", "@import", " on", "\u{1b}", "\u{202e}"] {
        let outside = page.split('<').filter_map(|rest| rest.split_once('>')).any(|(tag, _)| tag.contains(word));
        assert!(!outside, "{word}");
    }
    assert!(
        page.contains("default-src 'none'")
            && page.contains("prefers-color-scheme: dark")
            && page.contains("@media print")
    );
    assert!(page.contains("&lt;script&gt;"));
}

#[test]
fn markdown_from_outside_is_escaped() {
    let page = markdown(&diff(HOSTILE));
    let mut fence: Option<String> = None;
    let (mut opened, mut closed) = (0, 0);
    for line in page.lines() {
        let ticks = "`".repeat(line.len() - line.trim_start_matches('`').len());
        match &fence {
            Some(open) if line == open => fence = None,
            Some(open) => assert!(!line.starts_with(open.as_str()), "{line}"),
            None if ticks.len() >= 3 => fence = Some(ticks),
            None => {
                opened += line.matches("<details>").count();
                closed += line.matches("</details>").count();
                assert!(!line.contains(['`', '*', '[', '@', '|']) || line.starts_with("- **"), "{line}");
                for tag in tags(line) {
                    let known = ["b", "code", "details", "summary", "sub", "!"];
                    assert!(known.contains(&tag.trim_start_matches('/')), "<{tag}> in {line}");
                }
            }
        }
    }
    assert_eq!(fence, None);
    assert!(page.contains("`````diff"), "the fence is longer than any in the file");
    assert_eq!(opened, closed);
}

#[test]
fn markdown_fits_into_a_comment_and_says_how_much_was_cut() {
    let mut diff = diff("web");
    let text = |word: &str| (0..900).fold(String::new(), |text, n| format!("{text}{word} number {n} of a long file\n"));
    diff.charts[0].files = (0..20).map(|n| file(&format!("templates/{n}.yaml"), &text("old"), &text("new"))).collect();
    let page = markdown(&diff);
    assert!(page.chars().count() <= MARKDOWN_LIMIT && page.chars().count() > 20_000, "{}", page.chars().count());
    let cut = page.split("**Cut here, at the longest that a comment may be.** ").nth(1).expect("it is cut");
    assert!(cut.starts_with("0 entries and "), "lines are cut before names are: {cut}");
    assert!((0..20).all(|n| page.contains(&format!("templates/{n}.yaml"))) && page.contains("### Other keys"));
    assert_eq!(page.matches("<details>").count(), page.matches("</details>").count());
    diff.risks = vec![Risk::danger("x", "y".repeat(200)); 1000];
    let page = markdown(&diff);
    assert!(page.chars().count() <= MARKDOWN_LIMIT, "{}", page.chars().count());
}

#[test]
fn json_is_stable_and_versioned() {
    let (once, again) = (json(&diff(HOSTILE)), json(&diff(HOSTILE)));
    assert_eq!(once, again);
    let value: serde_json::Value = serde_json::from_slice(&once).expect("JSON");
    assert_eq!(value["schema"], "alga.appliance.diff/v1");
    assert_eq!(value["charts"][0]["files"][0]["content"], "text");
}
