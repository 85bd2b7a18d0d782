use std::fmt::Write as _;

use super::*;

fn root(text: &str) -> Node {
    parse(text).expect("valid").remove(0).root.expect("content")
}

#[test]
fn every_node_has_the_span_of_its_bytes() {
    let text = "\u{feff}a: &x !!str 'q'\r\nb: # c\r\n  >-\r\n  folded\r\n  text\r\n\r\nc: {d: [*x, e], }\r\n? f\r\n: g\r\nh:\r\n# end";
    let node = root(text);
    let slice = |path: &[&str]| &text[node.get(path).expect("there").span.clone()];
    assert_eq!(slice(&["b"]), ">-\r\n  folded\r\n  text");
    assert_eq!(slice(&["c"]), "{d: [*x, e], }");
    assert_eq!(slice(&["c", "d"]), "[*x, e]");
    assert_eq!(slice(&["f"]), "g");
    assert_eq!(slice(&["h"]), "");
    assert_eq!(&text[node.get(&["a"]).expect("there").full_span()], "&x !!str 'q'");
    assert_eq!(node.get(&["c", "d"]).expect("there").items()[0].as_str(), Some("q"));
    assert_eq!(node.get(&["b"]).expect("there").line, 3);
    assert!(node.get(&["h"]).expect("there").is_null());
}

#[test]
fn merged_mappings_are_searched() {
    let node = root("base: &b {x: 1, y: 2}\nmore: {<<: *b, y: 3}\nmost: {<<: [{x: 0}, *b]}\n");
    assert_eq!(node.text_at(&["more", "x"]), Some("1"));
    assert_eq!(node.text_at(&["more", "y"]), Some("3"));
    assert_eq!(node.text_at(&["most", "x"]), Some("0"));
}

#[test]
fn a_duplicate_key_is_found() {
    assert_eq!(root("a: 1\nb: {c: 1, 'c': 2}\nd: 1\nd: 2\n").duplicate_key().map(|key| key.line), Some(2));
    assert!(root("a: &x {b: 1}\nc: *x\n").duplicate_key().is_none());
}

#[test]
fn recursive_and_multiplying_aliases_are_refused() {
    assert!(parse("a: &x [*x]\n").is_err());
    let mut laughs = "a0: &a0 [l, l, l, l, l, l, l, l, l, l]\n".to_owned();
    for at in 1..12 {
        let previous = format!("*a{}", at - 1);
        let _ = writeln!(laughs, "a{at}: &a{at} [{}]", vec![previous; 10].join(", "));
    }
    assert!(parse(&laughs).is_err());
    let mut chain = "a0: &a0 [x]\n".to_owned();
    for at in 1..500 {
        let _ = writeln!(chain, "a{at}: &a{at} [*a{}]", at - 1);
    }
    assert!(parse(&chain).is_err());
    assert!(parse(&"[".repeat(5000)).is_err());
    assert!(parse(&"- ".repeat(5000)).is_err());
}

#[test]
fn streams_of_several_documents_are_parsed() {
    let documents = parse("# only\n---\n...\n%YAML 1.2\n---\na: 1\n...\n---\n# nothing\n---\n{b: 2}").expect("valid");
    let roots: Vec<bool> = documents.iter().map(|document| document.root.is_some()).collect();
    assert_eq!(roots, [false, true, false, true]);
    assert!(parse("# comments alone\n").expect("valid").is_empty());
    assert_eq!(parse("a: [\n").map(|_| ()).map_err(|error| error.line), Err(1));
}
