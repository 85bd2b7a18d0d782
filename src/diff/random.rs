//! Values that a chart makes at random (`randAlphaNum`, `genCA`, `uuidv4`, `now` …). Two renderings of the same input differ in them and
//! in nothing else, so they are found by comparing two renderings, and replaced by a mark before two releases are compared.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::fields::part;
use super::objects::{ComparedObject, Id};

/// What replaces a value, or a line of a text.
const MARK: &str = "(random)";

/// Fields of a rendered object that are made at random.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RandomFields {
    /// Kind, namespace and name of the object.
    #[serde(flatten)]
    pub id: Id,
    /// What was rendered, for example `helm msp/alga-core`.
    pub file: String,
    /// Paths of the fields, as in [`FieldChange::path`](super::FieldChange::path).
    pub fields: BTreeSet<String>,
}

/// Replaces in `objects` everything that differs from a second rendering of the same input; returns the fields that were replaced.
pub(super) fn mask(objects: &mut [ComparedObject], again: &mut [ComparedObject]) -> Vec<RandomFields> {
    let rendered_again: BTreeSet<String> = again.iter().map(|object| object.file.clone()).collect();
    let mut objects: Vec<&mut ComparedObject> =
        objects.iter_mut().filter(|object| rendered_again.contains(&object.file)).collect();
    mask_names(&mut objects, again);
    let mut seconds: BTreeMap<(&str, &Id), Vec<&Value>> = BTreeMap::new();
    for object in again.iter().rev() {
        seconds.entry((&object.file, &object.id)).or_default().push(&object.value);
    }
    let mut found = Vec::new();
    for object in objects {
        let Some(second) = seconds.get_mut(&(object.file.as_str(), &object.id)).and_then(Vec::pop) else { continue };
        let mut fields = BTreeSet::new();
        mask_value("", &mut object.value, second, &mut fields);
        if object.id.name.starts_with(MARK) {
            fields.insert("metadata.name".to_owned());
        }
        if !fields.is_empty() {
            found.push(RandomFields { id: object.id.clone(), file: object.file.clone(), fields });
        }
    }
    found
}

/// Numbers the objects whose own names are made at random, in the order in which the chart writes them.
fn mask_names(objects: &mut [&mut ComparedObject], again: &mut [ComparedObject]) {
    let ids = |objects: &mut dyn Iterator<Item = &ComparedObject>| -> BTreeSet<(String, Id)> {
        objects.map(|object| (object.file.clone(), object.id.clone())).collect()
    };
    let first = ids(&mut objects.iter().map(|object| &**object));
    let second = ids(&mut again.iter());
    mask_names_of(&mut objects.iter_mut().map(|object| &mut **object), &second);
    mask_names_of(&mut again.iter_mut(), &first);
}

fn mask_names_of(objects: &mut dyn Iterator<Item = &mut ComparedObject>, other: &BTreeSet<(String, Id)>) {
    let mut counts: BTreeMap<(String, Id), usize> = BTreeMap::new();
    for object in objects.filter(|object| !other.contains(&(object.file.clone(), object.id.clone()))) {
        let nameless = Id { name: String::new(), ..object.id.clone() };
        let count = counts.entry((object.file.clone(), nameless)).or_default();
        *count += 1;
        object.id.name = format!("{MARK} {count}");
        if let Some(name) = object.value.pointer_mut("/metadata/name") {
            *name = Value::String(object.id.name.clone());
        }
    }
}

fn mask_value(path: &str, first: &mut Value, second: &Value, found: &mut BTreeSet<String>) {
    match (&mut *first, second) {
        (first, second) if first == second => return,
        (Value::Object(first), Value::Object(second)) if first.keys().eq(second.keys()) => {
            for (key, value) in first {
                let path = if path.is_empty() { part(key) } else { format!("{path}.{}", part(key)) };
                mask_value(&path, value, &second[key], found);
            }
            return;
        }
        (Value::Array(first), Value::Array(second)) if first.len() == second.len() => {
            for (at, (value, second)) in first.iter_mut().zip(second).enumerate() {
                mask_value(&format!("{path}[{at}]"), value, second, found);
            }
            return;
        }
        (Value::String(first), Value::String(second)) => *first = masked_lines(first, second),
        (first, _) => *first = Value::String(MARK.to_owned()),
    }
    found.insert(path.to_owned());
}

/// Returns a text of several lines with a mark for each random line, so that changes of its other lines are still seen.
fn masked_lines(first: &str, second: &str) -> String {
    let (lines, others) = (lines(first), lines(second));
    if lines.len() < 2 || lines.len() != others.len() {
        return MARK.to_owned();
    }
    let lines: Vec<&str> =
        lines.iter().zip(&others).map(|(line, other)| if line == other { line } else { MARK }).collect();
    lines.join("\n")
}

/// Splits a text into lines. A block of PEM is one line: two certificates may have single lines in common, and differ in their number.
fn lines(text: &str) -> Vec<&str> {
    let (mut lines, mut start, mut end, mut in_block) = (Vec::new(), 0, 0, false);
    for line in text.split('\n') {
        end += line.len();
        let line = line.trim();
        in_block = (in_block || line.starts_with("-----BEGIN ")) && !line.starts_with("-----END ");
        if !in_block {
            lines.push(&text[start..end]);
            start = end + 1;
        }
        end += 1;
    }
    lines.extend(text.get(start..).filter(|_| in_block));
    lines
}

#[cfg(test)]
mod tests {
    use super::super::objects::read;
    use super::super::side::Files;
    use super::*;

    fn objects(text: &str) -> Vec<ComparedObject> {
        let files: Files = [("helm a/web.yaml".to_owned(), text.as_bytes().to_vec())].into();
        read(&files, &mut Vec::new())
    }

    #[test]
    fn fields_that_differ_between_two_renderings_are_marked_and_others_stay() {
        let render = |random: &str| {
            objects(&format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c, annotations: {{a.b/c: {random}}}}}\ndata:\n  fixed: x\n  \
                 text: |\n    first\n    {random}\n    last\n  items: [{{a: 1}}, {{a: {random}}}]\n"
            ))
        };
        let (mut first, mut second) = (render("abc"), render("xyz"));
        let found = mask(&mut first, &mut second);
        let paths: Vec<&str> = found.iter().flat_map(|one| &one.fields).map(String::as_str).collect();
        assert_eq!(paths, ["data.items[1].a", "data.text", "metadata.annotations.[a.b/c]"]);
        let data = serde_json::json!({"fixed": "x", "text": "first\n(random)\nlast\n", "items": [{"a": 1}, {"a": "(random)"}]});
        assert_eq!(first[0].value["data"], data);
        let mut third = render("123");
        mask(&mut third, &mut render("456"));
        assert_eq!(first[0].value, third[0].value, "two releases that differ in random values are the same");
        assert_eq!(mask(&mut render("abc"), &mut render("abc")), []);
    }

    #[test]
    fn a_random_certificate_is_masked_as_a_whole() {
        let text =
            |body: &str| format!("first\n-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\nlast\n");
        let masked = "first\n(random)\nlast\n";
        assert_eq!(masked_lines(&text("aaa\nsame\nbbb"), &text("ccc\nsame\nddd")), masked);
        assert_eq!(masked_lines(&text("aaa\nbbb"), &text("ccc\nddd\neee")), masked);
        assert_eq!(masked_lines("a\n-----BEGIN X-----\nb\nc", "a\n-----BEGIN X-----\nd\n"), "a\n(random)");
        assert_eq!(lines(&text("x")).join("\n"), text("x"));
    }

    #[test]
    fn objects_with_random_names_are_numbered() {
        let render = |words: [&str; 2]| {
            let job = |word: &str| {
                format!("---\napiVersion: batch/v1\nkind: Job\nmetadata: {{name: run-{word}}}\nspec: {{a: 1}}\n")
            };
            objects(&(words.map(job).concat() + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"))
        };
        let (mut first, mut second) = (render(["a", "b"]), render(["d", "c"]));
        let found = mask(&mut first, &mut second);
        let names: Vec<&str> = first.iter().map(|object| object.id.name.as_str()).collect();
        assert_eq!(names, ["(random) 1", "(random) 2", "p"]);
        assert!(found.len() == 2 && found.iter().all(|one| one.fields.iter().eq(["metadata.name"])), "{found:?}");
        assert_eq!(first[0].value, second[0].value);
    }
}
