//! The types of values in a kustomization file, which kustomize reads as YAML 1.1 and then as JSON.

use crate::chart::{Scalar, scalar};
use crate::yaml::Node;

/// The types of JSON values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Null,
    Flag,
    /// An integer or a fraction.
    Number {
        whole: bool,
    },
    Text,
    List,
    Mapping,
}

impl Type {
    /// Returns the name of the type for messages.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Flag => "a boolean",
            Self::Number { .. } => "a number",
            Self::Text => "a string",
            Self::List => "a list",
            Self::Mapping => "a mapping",
        }
    }
}

/// Returns the JSON type of a node.
pub(super) fn type_of(node: &Node) -> Type {
    match scalar(node).map(|(_, scalar)| scalar) {
        Some(Scalar::Null) => Type::Null,
        Some(Scalar::Bool(_)) => Type::Flag,
        Some(Scalar::Int(_)) => Type::Number { whole: true },
        Some(Scalar::Float(_)) => Type::Number { whole: false },
        Some(Scalar::Text) => Type::Text,
        None if node.is_sequence() => Type::List,
        None => Type::Mapping,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_have_the_types_of_yaml_1_1() {
        for (text, expected) in [
            ("a", Type::Text),
            ("yes", Type::Flag),
            ("No", Type::Flag),
            ("yEs", Type::Text),
            ("1.10", Type::Number { whole: false }),
            ("1.10.0", Type::Text),
            ("5", Type::Number { whole: true }),
            ("-0x1F", Type::Number { whole: true }),
            ("1e3", Type::Number { whole: false }),
            ("089", Type::Number { whole: false }),
            ("~", Type::Null),
            ("'5'", Type::Text),
            ("!!str 5", Type::Text),
            ("[]", Type::List),
            ("{}", Type::Mapping),
        ] {
            let documents = crate::yaml::parse(&format!("k: {text}\n")).expect("YAML");
            let root = documents[0].root.as_ref().expect("a root");
            assert_eq!(type_of(&root.entries()[0].value), expected, "{text}");
        }
    }
}
