//! Any text is read or refused, and a text that was read is still the same YAML after one of its values was replaced.
#![no_main]

use alga_release::yaml::{self, Document, Node, Value, edit};
use libfuzzer_sys::fuzz_target;

/// What stands in for the value: a word, a number as a string, quotes, what begins a comment or a mapping.
const VALUES: [&str; 6] = ["word", "1.10", "it's", "a \"b\" #c", "k: v", "{}"];

/// The scalars that stand as values, in the order of the text: no keys, none that is left out, none behind an alias.
fn scalars<'a>(node: &'a Node, found: &mut Vec<&'a Node>) {
    match &node.value {
        Value::Scalar { .. } if node.span.is_empty() => {}
        Value::Scalar { .. } => found.push(node),
        Value::Sequence { items, .. } => items.iter().for_each(|item| scalars(item, found)),
        Value::Mapping { entries, .. } => entries.iter().for_each(|entry| scalars(&entry.value, found)),
        Value::Alias { .. } => {}
    }
}

fn of(documents: &[Document]) -> Vec<&Node> {
    let mut found = Vec::new();
    documents.iter().filter_map(|document| document.root.as_ref()).for_each(|root| scalars(root, &mut found));
    found
}

fuzz_target!(|input: (u8, u8, &str)| {
    let (which, value, text) = input;
    let Ok(documents) = yaml::parse(text) else { return };
    let nodes = of(&documents);
    for node in &nodes {
        assert!(text.get(node.span.clone()).is_some(), "a span is no part of the text: {:?}", node.span);
    }
    if nodes.is_empty() {
        return;
    }
    let (at, value) = (usize::from(which) % nodes.len(), VALUES[usize::from(value) % VALUES.len()]);
    let replaced = edit::replace_scalar(text, nodes[at], value);
    let edited = edit::apply(text, vec![replaced]).expect("one edit has no conflict");
    let again = match yaml::parse(&edited) {
        Ok(documents) => documents,
        Err(error) => panic!("{error}\nbefore: {text:?}\nafter: {edited:?}"),
    };
    let after = of(&again);
    assert_eq!(after.len(), nodes.len(), "before: {text:?}\nafter: {edited:?}");
    for (index, (before, after)) in nodes.iter().zip(after).enumerate() {
        let want = if index == at { Some(value) } else { before.as_str() };
        assert_eq!(after.as_str(), want, "before: {text:?}\nafter: {edited:?}");
    }
});
