//! The effect of template functions on values: some functions return their arguments, some only test a key, and all others read their
//! arguments completely.

use std::collections::BTreeMap;

use super::follow::Follower;
use super::reads::{How, Item, Meaning};

impl Follower<'_, '_, '_> {
    /// Follows a call. A piped value is the last argument.
    pub(super) fn call(&mut self, name: &str, arguments: &[Meaning]) -> Meaning {
        let name = plain(name);
        match (name.as_str(), arguments) {
            ("include", [named, rest @ ..]) => self.include(named, rest),
            ("tpl", [text, given]) => self.run(text, given),
            ("index", [from, keys @ ..]) => keys.iter().fold(from.clone(), |from, key| from.step(key)),
            ("get", [from, key]) => from.step(key),
            ("hasKey", [from, key]) => {
                let looked = from.step(key);
                self.looked(&[looked])
            }
            ("dig", [keys @ .., default, from]) => {
                keys.iter().fold(from.clone(), |from, key| from.step(key)).join(default.clone())
            }
            ("dict", _) => dict(arguments),
            ("list" | "tuple", _) => Meaning::one(Item::List(joined(arguments))),
            ("first" | "last", [of]) => of.element(),
            ("and" | "or", _) => {
                self.looked(arguments);
                joined(arguments)
            }
            ("ternary", [one, other, condition]) => {
                self.looked(std::slice::from_ref(condition));
                one.clone().join(other.clone())
            }
            ("required", [_, of])
            | (
                "deepCopy" | "pick" | "omit" | "unset" | "values" | "rest" | "initial" | "reverse" | "compact" | "uniq"
                | "slice" | "sortAlpha",
                [of, ..],
            ) => of.clone(),
            ("set", [of, _, value]) => {
                self.note(value, How::Whole);
                of.clone()
            }
            ("merge" | "mergeOverwrite", [_, others @ ..]) => {
                self.all(others, How::Whole);
                joined(arguments)
            }
            ("default" | "coalesce" | "concat" | "append" | "prepend", _) => joined(arguments),
            ("not" | "empty" | "len" | "kindOf" | "typeOf", _) => self.looked(arguments),
            ("kindIs" | "typeIs" | "typeIsLike", [_, of]) => self.looked(std::slice::from_ref(of)),
            _ => {
                self.all(arguments, How::Whole);
                files(arguments)
            }
        }
    }

    /// Records reads of all arguments.
    pub(super) fn all(&mut self, arguments: &[Meaning], how: How) {
        for argument in arguments {
            self.note(argument, how);
        }
    }

    fn looked(&mut self, arguments: &[Meaning]) -> Meaning {
        self.all(arguments, How::Looked);
        Meaning::default()
    }

    fn include(&mut self, template: &Meaning, given: &[Meaning]) -> Meaning {
        let given = joined(given);
        let names: Vec<String> = template.texts().map(str::to_owned).collect();
        if names.is_empty() {
            // The name of the template is not constant, so any template may be called.
            self.note(&given, How::Whole);
        }
        for name in names {
            self.named(&name, given.clone());
        }
        Meaning::default()
    }

    /// Follows `tpl` for constant texts and files. Texts in values are followed from the start.
    fn run(&mut self, text: &Meaning, given: &Meaning) -> Meaning {
        self.note(text, How::Whole);
        for item in &text.0 {
            match item {
                Item::Text(text) => self.text(text, given),
                Item::Files(chart) => {
                    let charts = self.charts;
                    let texts = charts[*chart].files.iter().filter_map(|bytes| std::str::from_utf8(bytes).ok());
                    for text in texts {
                        self.text(text, given);
                    }
                }
                _ => {}
            }
        }
        Meaning::default()
    }
}

/// Returns the name without the prefix `must`, which changes only the handling of errors.
fn plain(name: &str) -> String {
    let Some(rest) = name.strip_prefix("must").filter(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase())) else {
        return name.to_owned();
    };
    rest[..1].to_ascii_lowercase() + &rest[1..]
}

fn joined(arguments: &[Meaning]) -> Meaning {
    arguments.iter().cloned().fold(Meaning::default(), Meaning::join)
}

/// Returns the meaning of `dict` with constant keys. If a key is not constant, any key may have any of the values.
fn dict(arguments: &[Meaning]) -> Meaning {
    let mut entries: BTreeMap<String, Meaning> = BTreeMap::new();
    for pair in arguments.chunks(2) {
        let [key, value] = pair else { continue };
        let keys: Vec<&str> = key.texts().collect();
        if keys.is_empty() {
            return Meaning::one(Item::List(joined(arguments)));
        }
        for key in keys {
            let entry = entries.entry(key.to_owned()).or_default();
            *entry = std::mem::take(entry).join(value.clone());
        }
    }
    Meaning::one(Item::Dict(entries))
}

/// Returns the items that come from files.
fn files(arguments: &[Meaning]) -> Meaning {
    let items = arguments.iter().flat_map(|argument| &argument.0);
    Meaning(items.filter(|item| matches!(item, Item::Files(_))).cloned().collect())
}
