//! The fields of a kustomization file and their types. kustomize refuses all other fields.
//!
//! <https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/>

use crate::text::nearest;
use crate::yaml::Node;

use super::problem::Kind;
use super::scalar::{Type, type_of};

/// The type of a field's value. Every field may be null.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Text,
    Flag,
    Whole,
    /// Any value at all.
    Any,
    /// A list of strings.
    Texts,
    /// A mapping with strings as values.
    TextMap,
    /// A mapping with any values.
    Mapping,
    /// A mapping with these fields.
    Object(&'static [Field]),
    /// A list of mappings with these fields.
    Objects(&'static [Field]),
}

/// A field: its name and its type.
type Field = (&'static str, Shape);

/// A field that kustomize refuses.
#[derive(Clone, Debug)]
pub(super) struct Misfit<'a> {
    /// The key or value that is refused.
    pub node: &'a Node,
    /// Unknown field or wrong type.
    pub kind: Kind,
    /// Reason of the refusal: one sentence without a period.
    pub reason: String,
    /// Instruction that resolves the problem: a whole sentence.
    pub way_out: String,
}

const SELECTOR: &[Field] = &[
    ("group", Shape::Text),
    ("version", Shape::Text),
    ("kind", Shape::Text),
    ("name", Shape::Text),
    ("namespace", Shape::Text),
    ("annotationSelector", Shape::Text),
    ("labelSelector", Shape::Text),
];

const PATCH: &[Field] = &[
    ("path", Shape::Text),
    ("patch", Shape::Text),
    ("target", Shape::Object(SELECTOR)),
    ("options", Shape::Object(&[("allowNameChange", Shape::Flag), ("allowKindChange", Shape::Flag)])),
];

const IMAGE: &[Field] = &[
    ("name", Shape::Text),
    ("newName", Shape::Text),
    ("tagSuffix", Shape::Text),
    ("newTag", Shape::Text),
    ("digest", Shape::Text),
];

const FIELD_SPEC: &[Field] = &[
    ("group", Shape::Text),
    ("version", Shape::Text),
    ("kind", Shape::Text),
    ("path", Shape::Text),
    ("create", Shape::Flag),
];

const GENERATOR_OPTIONS: &[Field] = &[
    ("labels", Shape::TextMap),
    ("annotations", Shape::TextMap),
    ("disableNameSuffixHash", Shape::Flag),
    ("immutable", Shape::Flag),
];

const CONFIG_MAP: &[Field] = &[
    ("namespace", Shape::Text),
    ("name", Shape::Text),
    ("behavior", Shape::Text),
    ("literals", Shape::Texts),
    ("files", Shape::Texts),
    ("envs", Shape::Texts),
    ("env", Shape::Text),
    ("options", Shape::Object(GENERATOR_OPTIONS)),
];

const SECRET: &[Field] = &[
    ("namespace", Shape::Text),
    ("name", Shape::Text),
    ("behavior", Shape::Text),
    ("literals", Shape::Texts),
    ("files", Shape::Texts),
    ("envs", Shape::Texts),
    ("env", Shape::Text),
    ("options", Shape::Object(GENERATOR_OPTIONS)),
    ("type", Shape::Text),
];

const FIELD_OPTIONS: &[Field] =
    &[("delimiter", Shape::Text), ("index", Shape::Whole), ("encoding", Shape::Text), ("create", Shape::Flag)];

const REPLACEMENT: &[Field] = &[
    ("path", Shape::Text),
    ("sourceValue", Shape::Text),
    (
        "source",
        Shape::Object(&[
            ("group", Shape::Text),
            ("version", Shape::Text),
            ("kind", Shape::Text),
            ("name", Shape::Text),
            ("namespace", Shape::Text),
            ("fieldPath", Shape::Text),
            ("options", Shape::Object(FIELD_OPTIONS)),
        ]),
    ),
    (
        "targets",
        Shape::Objects(&[
            ("select", Shape::Object(SELECTOR)),
            ("reject", Shape::Objects(SELECTOR)),
            ("fieldPaths", Shape::Texts),
            ("options", Shape::Object(FIELD_OPTIONS)),
        ]),
    ),
];

const VAR: &[Field] = &[
    ("name", Shape::Text),
    (
        "objref",
        Shape::Object(&[
            ("apiVersion", Shape::Text),
            ("group", Shape::Text),
            ("version", Shape::Text),
            ("kind", Shape::Text),
            ("name", Shape::Text),
            ("namespace", Shape::Text),
        ]),
    ),
    ("fieldref", Shape::Object(&[("fieldPath", Shape::Text)])),
];

const LABEL: &[Field] = &[
    ("pairs", Shape::TextMap),
    ("includeSelectors", Shape::Flag),
    ("includeTemplates", Shape::Flag),
    ("fields", Shape::Objects(FIELD_SPEC)),
];

const METADATA: &[Field] =
    &[("name", Shape::Text), ("namespace", Shape::Text), ("labels", Shape::TextMap), ("annotations", Shape::TextMap)];

const SORT: &[Field] = &[
    ("order", Shape::Text),
    ("legacySortOptions", Shape::Object(&[("orderFirst", Shape::Texts), ("orderLast", Shape::Texts)])),
];

/// The fields of a kustomization file, by name.
const FILE: &[Field] = &[
    ("apiVersion", Shape::Text),
    ("kind", Shape::Text),
    ("metadata", Shape::Object(METADATA)),
    ("openapi", Shape::TextMap),
    ("namePrefix", Shape::Text),
    ("nameSuffix", Shape::Text),
    ("namespace", Shape::Text),
    ("commonLabels", Shape::TextMap),
    ("labels", Shape::Objects(LABEL)),
    ("commonAnnotations", Shape::TextMap),
    ("patchesStrategicMerge", Shape::Texts),
    ("patchesJson6902", Shape::Objects(PATCH)),
    ("patches", Shape::Objects(PATCH)),
    ("images", Shape::Objects(IMAGE)),
    ("imageTags", Shape::Objects(IMAGE)),
    ("replacements", Shape::Objects(REPLACEMENT)),
    ("replicas", Shape::Objects(&[("name", Shape::Text), ("count", Shape::Whole)])),
    ("vars", Shape::Objects(VAR)),
    ("sortOptions", Shape::Object(SORT)),
    ("resources", Shape::Texts),
    ("components", Shape::Texts),
    ("crds", Shape::Texts),
    ("bases", Shape::Texts),
    ("configMapGenerator", Shape::Objects(CONFIG_MAP)),
    ("secretGenerator", Shape::Objects(SECRET)),
    ("helmGlobals", Shape::Mapping),
    ("helmCharts", Shape::Any),
    ("helmChartInflationGenerator", Shape::Any),
    ("generatorOptions", Shape::Object(GENERATOR_OPTIONS)),
    ("configurations", Shape::Texts),
    ("generators", Shape::Texts),
    ("transformers", Shape::Texts),
    ("validators", Shape::Texts),
    ("buildMetadata", Shape::Texts),
];

/// The fields of a file that `configurations` lists.
const CONFIGURATION: &[Field] = &[
    ("namePrefix", Shape::Objects(FIELD_SPEC)),
    ("nameSuffix", Shape::Objects(FIELD_SPEC)),
    ("namespace", Shape::Objects(FIELD_SPEC)),
    ("commonLabels", Shape::Objects(FIELD_SPEC)),
    ("templateLabels", Shape::Objects(FIELD_SPEC)),
    ("labels", Shape::Objects(FIELD_SPEC)),
    ("commonAnnotations", Shape::Objects(FIELD_SPEC)),
    (
        "nameReference",
        Shape::Objects(&[
            ("group", Shape::Text),
            ("version", Shape::Text),
            ("kind", Shape::Text),
            ("fieldSpecs", Shape::Objects(FIELD_SPEC)),
        ]),
    ),
    ("varReference", Shape::Objects(FIELD_SPEC)),
    ("images", Shape::Objects(FIELD_SPEC)),
    ("replicas", Shape::Objects(FIELD_SPEC)),
];

/// Returns the fields that kustomize refuses in a file that `configurations` lists.
pub(super) fn configuration_misfits(root: &Node) -> Vec<Misfit<'_>> {
    let mut found = Vec::new();
    check(root, Shape::Object(CONFIGURATION), "the configuration", &mut found);
    found
}

/// Returns the fields that kustomize refuses in a kustomization file, in the order of the text.
pub(super) fn misfits(root: &Node) -> Vec<Misfit<'_>> {
    let mut found = Vec::new();
    check(root, Shape::Object(FILE), "the kustomization file", &mut found);
    found
}

/// Returns the value of a field. Where no name matches exactly, names are compared without case, as in kustomize.
pub(super) fn field<'a>(mapping: &'a Node, name: &str) -> Option<&'a Node> {
    mapping.get(&[name]).or_else(|| {
        let mut entries = mapping.entries().iter();
        let fits = |key: &Node| key.as_str().is_some_and(|key| key.eq_ignore_ascii_case(name));
        entries.find(|entry| fits(&entry.key)).map(|entry| &entry.value)
    })
}

/// Returns the text of a field, or `None` where the text is absent or empty.
pub(super) fn text<'a>(mapping: &'a Node, name: &str) -> Option<&'a str> {
    field(mapping, name)?.as_str().filter(|text| !text.is_empty())
}

/// Returns the items of a field that is a list.
pub(super) fn items<'a>(mapping: &'a Node, name: &str) -> &'a [Node] {
    field(mapping, name).map(Node::items).unwrap_or_default()
}

fn check<'a>(node: &'a Node, shape: Shape, name: &str, found: &mut Vec<Misfit<'a>>) {
    let of = type_of(node);
    match (shape, of) {
        (Shape::Any, _)
        | (_, Type::Null)
        | (Shape::Text, Type::Text)
        | (Shape::Flag, Type::Flag)
        | (Shape::Whole, Type::Number { whole: true })
        | (Shape::Mapping, Type::Mapping) => {}
        (Shape::Texts, Type::List) => {
            for item in node.items() {
                check(item, Shape::Text, &format!("an item of {name}"), found);
            }
        }
        (Shape::TextMap, Type::Mapping) => {
            for entry in node.entries() {
                let key = entry.key.as_str().unwrap_or_default().escape_debug().to_string();
                check(&entry.value, Shape::Text, &format!("`{key}` of {name}"), found);
            }
        }
        (Shape::Objects(fields), Type::List) => {
            for item in node.items() {
                check(item, Shape::Object(fields), &format!("an item of {name}"), found);
            }
        }
        (Shape::Object(fields), Type::Mapping) => check_fields(node, fields, name, found),
        _ => found.push(wrong_type(node, shape, of, name)),
    }
}

fn check_fields<'a>(node: &'a Node, fields: &[Field], name: &str, found: &mut Vec<Misfit<'a>>) {
    for entry in node.entries().iter().filter(|entry| !entry.is_merge()) {
        let key = entry.key.as_str().unwrap_or_default();
        match fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(key)) {
            Some((known, shape)) => check(&entry.value, *shape, &format!("`{known}`"), found),
            None => found.push(unknown(&entry.key, key, fields, name)),
        }
    }
}

fn wrong_type<'a>(node: &'a Node, shape: Shape, of: Type, name: &str) -> Misfit<'a> {
    let expected = match shape {
        Shape::Text => "a string",
        Shape::Flag => "`true` or `false`",
        Shape::Whole => "an integer",
        Shape::Texts | Shape::Objects(_) => "a list",
        Shape::TextMap | Shape::Mapping | Shape::Object(_) | Shape::Any => "a mapping",
    };
    let scalar = matches!(of, Type::Number { .. } | Type::Flag);
    let way_out = match shape {
        Shape::Text if scalar => "put the value in quotes".to_owned(),
        _ => format!("replace the value by {expected}"),
    };
    let reason = format!("expected {expected} as {name}, found {}", of.as_str());
    Misfit { node, kind: Kind::FieldType, reason, way_out }
}

fn unknown<'a>(node: &'a Node, key: &str, fields: &[Field], name: &str) -> Misfit<'a> {
    let way_out = match nearest(key, fields.iter().map(|(known, _)| *known)) {
        Some(known) => format!("write `{known}`, or remove the field"),
        None => "remove the field".to_owned(),
    };
    let reason = format!("unknown field `{}` in {name}", key.escape_debug());
    Misfit { node, kind: Kind::UnknownField, reason, way_out }
}
