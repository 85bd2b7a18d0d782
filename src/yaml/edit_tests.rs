use proptest::prelude::*;

use super::super::parse;
use super::*;

fn root(text: &str) -> (Node, Vec<Comment>) {
    let document = parse(text).expect("valid").remove(0);
    (document.root.expect("content"), document.comments)
}

fn replaced(text: &str, path: &[&str], value: &str) -> String {
    let (node, _) = root(text);
    apply(text, vec![replace_scalar(text, node.get(path).expect("there"), value)]).expect("fits")
}

fn removed(text: &str, path: &[&str], key: &str) -> String {
    let (node, _) = root(text);
    let mapping = node.get(path).expect("there");
    let at = mapping.entries().iter().position(|entry| entry.key.as_str() == Some(key)).expect("there");
    apply(text, vec![remove_entry(text, mapping, at).expect("a mapping")]).expect("fits")
}

fn appended(text: &str, items: &[&str]) -> String {
    let (node, _) = root(text);
    let items: Vec<String> = items.iter().map(|item| (*item).to_owned()).collect();
    apply(text, vec![append_items(text, &node, "r", &items).expect("a list")]).expect("fits")
}

#[test]
fn a_scalar_keeps_its_quotes() {
    assert_eq!(replaced("a: b # c\n", &["a"], "x"), "a: x # c\n");
    assert_eq!(replaced("a: b\n", &["a"], "1.10"), "a: \"1.10\"\n");
    assert_eq!(replaced("a: b\n", &["a"], "x: #y"), "a: \"x: #y\"\n");
    assert_eq!(replaced("a: 'b'\n", &["a"], "it's"), "a: 'it''s'\n");
    assert_eq!(replaced("a: 'b'\n", &["a"], "x\ny"), "a: \"x\\ny\"\n");
    assert_eq!(replaced("a: &x !!str \"b\"\n", &["a"], "\""), "a: &x !!str \"\\\"\"\n");
    assert_eq!(replaced("a: |- # c\n  b\n\n# d\ne: f\n", &["a"], "x"), "a: \"x\" # c\n\n# d\ne: f\n");
    assert_eq!(replaced("a:\r\n  # c\r\n  b\r\n", &["a"], "x"), "a:\r\n  # c\r\n  x\r\n");
}

/// Found by fuzzing: without `---`, the document started after the header of its block scalar.
#[test]
fn a_block_scalar_may_be_the_whole_document() {
    for before in ["", "# > c\n", "--- ", "--- # > c\n", "\u{feff}", "a: 1\n...\n", "a: |\n  b\n...\n"] {
        for (header, now) in [(">", "\"x y\""), ("&x |-", "&x \"x y\""), ("!!str >2 # c", "!!str \"x y\" # c")] {
            let text = format!("{before}{header}\n  b > c\n  d\n");
            let node = parse(&text).expect("valid").pop().and_then(|document| document.root).expect("content");
            let after = apply(&text, vec![replace_scalar(&text, &node, "x y")]).expect("fits");
            assert_eq!(after, format!("{before}{now}\n"), "{text:?}");
        }
    }
}

#[test]
fn an_entry_is_removed_with_its_lines_or_its_comma() {
    assert_eq!(removed("a: 1\nb: 2 # c\nd: 3\n", &[], "b"), "a: 1\nd: 3\n");
    assert_eq!(removed("a: 1\nb:\n  2", &[], "b"), "a: 1\n");
    assert_eq!(removed("{a: 1, b: 2, c: 3}", &[], "a"), "{b: 2, c: 3}");
    assert_eq!(removed("{a: 1, b: 2, }", &[], "b"), "{a: 1, }");
    assert_eq!(removed("{a: 1, # c\n b: 2}", &[], "b"), "{a: 1, # c\n }");
    assert_eq!(removed("x: {a: 1}", &["x"], "a"), "x: {}");
    assert_eq!(removed("x:\n  a: 1\ny: 2\n", &["x"], "a"), "x:\n  {}\ny: 2\n");
    assert_eq!(removed("? a\n: 1\nb: 2\n", &[], "a"), "b: 2\n");
}

#[test]
fn an_item_is_appended_in_the_style_of_the_list() {
    assert_eq!(appended("r:\n  -  a # c\n  # d\nx: 1\n", &["b", "c"]), "r:\n  -  a # c\n  -  b\n  -  c\n  # d\nx: 1\n");
    assert_eq!(appended("r: [a, ]\r\n", &["b"]), "r: [a, b, ]\r\n");
    assert_eq!(appended("r: []\n", &["b", "c"]), "r: [b, c]\n");
    assert_eq!(appended("r: # c\nx: 1\n", &["b"]), "r: # c\n  - b\nx: 1\n");
    assert_eq!(appended("x: 1 # c", &["b", "c"]), "x: 1 # c\nr:\n  - b\n  - c");
    assert_eq!(appended("{\"x\": 1}", &["b"]), "{\"x\": 1, \"r\": [\"b\"]}");
    assert_eq!(appended("{r: [\n  a\n]}", &["b"]), "{r: [\n  a,\n  b\n]}");
    assert_eq!(appended("{\"r\": []}", &["b"]), "{\"r\": [\"b\"]}");
}

#[test]
fn overlapping_edits_are_refused() {
    let edit = |range: Range<usize>| Edit { range, text: String::new() };
    assert_eq!(apply("abc", vec![edit(0..2), edit(1..3)]), Err(Conflict));
    assert_eq!(apply("abc", vec![edit(2..9)]), Err(Conflict));
    assert_eq!(apply("äb", vec![edit(1..2)]), Err(Conflict));
}

#[test]
fn strings_are_told_from_other_scalars() {
    for text in ["1", "1.10", "0x1f", "yes", "N", "null", "1e3", "12:30", "2001-01-01", "1_000", ".inf", "-1"] {
        assert!(!is_plain_string(text), "{text}");
    }
    for text in ["10m", "1.2.3", "a", "v1", "./x", "inf", "62cdce38a", "-x"] {
        assert!(is_plain_string(text), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_parser_panic(text in "([-a:#?&*!|>'\"%\\[\\]{},. \t\r\n\u{feff}ä]|---\n|k: |\n  |- ){0,60}") {
        if let Ok(documents) = parse(&text) {
            for node in documents.iter().filter_map(|document| document.root.as_ref()).flat_map(Node::walk) {
                prop_assert!(text.get(node.full_span()).is_some());
                let _ = (node.as_str(), node.is_string(), node.duplicate_key(), node.get(&["a", "k"]));
            }
        }
    }

    #[test]
    fn replacing_a_value_changes_nothing_else(
        shape in prop::sample::select(vec![
            "a: 1\nt: @\nb: [x]\n", "t: @ # c\r\nb: 2", "{a: 1, t: @, b: 2}", "x: &x 1\nt:\n  # c\n  @\nb: *x\n", "? t\n: @\nb: |\n  x\n",
        ]),
        old in prop::sample::select(vec!["plain", "'single'", "\"double\"", "a b"]),
        new in "[ -~äß\n\t]{0,12}",
    ) {
        let text = shape.replace('@', old);
        let after = replaced(&text, &["t"], &new);
        let (before, (now, _)) = (root(&text).0, root(&after));
        prop_assert_eq!(now.text_at(&["t"]), Some(new.as_str()));
        prop_assert!(now.get(&["t"]).is_some_and(Node::is_string));
        prop_assert!(before.differences(&now).iter().all(|path| path == "t"));
    }
}
