//! The functions that executed templates may call. The result of a function that is not listed here is unknown.

use std::collections::BTreeMap;

use super::data::Data;
use super::execute::{Run, Runner, Stop, fail, string};
use crate::oci::Digest;

/// Limit of the text that a function accepts or returns, in bytes.
const LONGEST: usize = 1 << 20;

/// Number of arguments of the functions that require a fixed number.
const ARITY: [(&str, usize); 37] = [
    ("include", 2),
    ("tpl", 2),
    ("required", 2),
    ("toYaml", 1),
    ("toJson", 1),
    ("nindent", 2),
    ("indent", 2),
    ("trunc", 2),
    ("trimSuffix", 2),
    ("trimPrefix", 2),
    ("trimAll", 2),
    ("trim", 1),
    ("replace", 3),
    ("lower", 1),
    ("upper", 1),
    ("contains", 2),
    ("hasPrefix", 2),
    ("hasSuffix", 2),
    ("hasKey", 2),
    ("set", 3),
    ("unset", 2),
    ("int", 1),
    ("int64", 1),
    ("float64", 1),
    ("toString", 1),
    ("empty", 1),
    ("not", 1),
    ("ternary", 3),
    ("b64enc", 1),
    ("b64dec", 1),
    ("sha256sum", 1),
    ("kindIs", 2),
    ("kindOf", 1),
    ("join", 2),
    ("fromYaml", 1),
    ("fromJson", 1),
    ("splitList", 2),
];

impl Runner<'_> {
    pub(super) fn call(&mut self, name: &str, arguments: &[Data]) -> Run<Data> {
        if let Some((_, count)) = ARITY.iter().find(|(of, _)| *of == name)
            && arguments.len() != *count
        {
            return fail(format!(
                "wrong number of arguments for `{name}`: expected {count}, found {}",
                arguments.len()
            ));
        }
        let length = |data: &Data| if let Data::Text(text) = data { text.len() } else { 0 };
        if arguments.iter().map(length).sum::<usize>() > LONGEST {
            return Err(Stop::Unsure);
        }
        match (name, arguments) {
            ("include", [template, given]) => {
                let Some(template) = string(template)? else { return Err(Stop::Unsure) };
                let output = self.named(&template, given.clone())?;
                Ok(if output.unknown { Data::Unknown } else { Data::text(output.text) })
            }
            ("tpl", [text, given]) => {
                let Some(text) = string(text)? else { return Ok(Data::Unknown) };
                let output = self.text(&text, given.clone())?;
                let text = output.text.replace("<no value>", "");
                Ok(if output.unknown { Data::Unknown } else { Data::text(text) })
            }
            ("required", [message, data]) => match data {
                Data::Nil => fail(message.print().unwrap_or_default()),
                Data::Text(text) if text.is_empty() => fail(message.print().unwrap_or_default()),
                data => Ok(data.clone()),
            },
            ("fail", [message]) => fail(message.print().unwrap_or_default()),
            _ => logic(name, arguments)
                .or_else(|| tables(name, arguments))
                .or_else(|| texts(name, arguments))
                .unwrap_or(Ok(Data::Unknown)),
        }
    }
}

fn known(truth: Option<bool>) -> Run<bool> {
    truth.ok_or(Stop::Unsure)
}

fn logic(name: &str, arguments: &[Data]) -> Option<Run<Data>> {
    let is_empty = |data: &Data| known(data.truth()).map(|truth| !truth);
    Some(match (name, arguments) {
        ("and" | "or", [.., last]) => Ok(last.clone()),
        ("not" | "empty", [data]) => is_empty(data).map(Data::Bool),
        ("default", [default, data]) => is_empty(data).map(|empty| if empty { default.clone() } else { data.clone() }),
        ("coalesce", all) => {
            for data in all {
                match is_empty(data) {
                    Ok(true) => {}
                    Ok(false) => return Some(Ok(data.clone())),
                    Err(stop) => return Some(Err(stop)),
                }
            }
            Ok(Data::Nil)
        }
        ("ternary", [yes, no, condition]) => match condition {
            Data::Bool(truth) => Ok(if *truth { yes.clone() } else { no.clone() }),
            Data::Unknown => Ok(Data::Unknown),
            _ => Err(Stop::Unsure),
        },
        ("eq", [one, others @ ..]) if !others.is_empty() => equal(one, others),
        ("ne", [one, other]) => equal(one, std::slice::from_ref(other)).map(|data| match data {
            Data::Bool(value) => Data::Bool(!value),
            data => data,
        }),
        ("kindIs", [kind, data]) => match (kind, data) {
            (_, Data::Unknown) => Ok(Data::Unknown),
            (Data::Text(kind), data) => Ok(Data::Bool(kind.as_ref() == data.kind())),
            _ => Ok(Data::Unknown),
        },
        _ => return None,
    })
}

fn equal(one: &Data, others: &[Data]) -> Run<Data> {
    for other in others {
        let same = match (one, other) {
            (Data::Unknown, _) | (_, Data::Unknown) => return Ok(Data::Unknown),
            (Data::Text(one), Data::Text(other)) => one == other,
            (Data::Bool(one), Data::Bool(other)) => one == other,
            (Data::Int(one), Data::Int(other)) => one == other,
            (Data::Float(one), Data::Float(other)) => one.total_cmp(other).is_eq(),
            (Data::Nil, Data::Nil) => true,
            (Data::Nil, _) | (_, Data::Nil) => false,
            (
                Data::Text(_) | Data::Bool(_) | Data::Int(_) | Data::Float(_),
                Data::Text(_) | Data::Bool(_) | Data::Int(_) | Data::Float(_),
            ) => {
                return fail("incompatible types for comparison");
            }
            _ => return Err(Stop::Unsure),
        };
        if same {
            return Ok(Data::Bool(true));
        }
    }
    Ok(Data::Bool(false))
}

fn tables(name: &str, arguments: &[Data]) -> Option<Run<Data>> {
    Some(match (name, arguments) {
        ("dict", all) => {
            let mut entries = BTreeMap::new();
            for pair in all.chunks(2) {
                let Some(key) = pair[0].print() else { return Some(Err(Stop::Unsure)) };
                entries.insert(key, pair.get(1).cloned().unwrap_or_else(|| Data::text("")));
            }
            Ok(Data::map(entries))
        }
        ("list" | "tuple", all) => Ok(Data::list(all.to_vec())),
        ("hasKey", [Data::Map(entries), Data::Text(key)]) => {
            Ok(Data::Bool(entries.borrow().contains_key(key.as_ref())))
        }
        ("get", [Data::Map(entries), Data::Text(key)]) => {
            Ok(entries.borrow().get(key.as_ref()).cloned().unwrap_or_else(|| Data::text("")))
        }
        ("set", [Data::Map(entries), Data::Text(key), data]) => {
            entries.borrow_mut().insert(key.to_string(), data.clone());
            Ok(arguments[0].clone())
        }
        ("unset", [Data::Map(entries), Data::Text(key)]) => {
            entries.borrow_mut().remove(key.as_ref());
            Ok(arguments[0].clone())
        }
        ("set" | "unset" | "merge" | "mergeOverwrite" | "mustMerge" | "mustMergeOverwrite", _) => Err(Stop::Unsure),
        ("index", [from, keys @ ..]) => index(from, keys),
        ("first", [Data::List(items)]) => Ok(items.first().cloned().unwrap_or(Data::Nil)),
        ("last", [Data::List(items)]) => Ok(items.last().cloned().unwrap_or(Data::Nil)),
        ("len", [Data::List(items)]) => Ok(int(items.len())),
        ("len", [Data::Map(entries)]) => Ok(int(entries.borrow().len())),
        ("len", [Data::Text(text)]) => Ok(int(text.len())),
        ("lookup", _) => Ok(Data::map(BTreeMap::new())),
        _ => return None,
    })
}

fn int(value: usize) -> Data {
    Data::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

fn index(from: &Data, keys: &[Data]) -> Run<Data> {
    let mut data = from.clone();
    for key in keys {
        data = match (&data, key) {
            (Data::Map(entries), Data::Text(key)) => entries.borrow().get(key.as_ref()).cloned().unwrap_or(Data::Nil),
            (Data::List(items), Data::Int(index)) => {
                let item = usize::try_from(*index).ok().and_then(|index| items.get(index));
                item.cloned()
                    .ok_or_else(|| Stop::Failed { place: None, message: format!("index out of range: {index}") })?
            }
            (Data::Nil, _) => return fail("index of untyped nil"),
            _ => return Ok(Data::Unknown),
        };
    }
    Ok(data)
}

fn texts(name: &str, arguments: &[Data]) -> Option<Run<Data>> {
    let text = |text: Option<String>| Ok(text.map_or(Data::Unknown, Data::text));
    let quoted = |quote: fn(&str) -> String| {
        let parts = arguments.iter().filter(|data| !matches!(data, Data::Nil));
        let parts: Option<Vec<String>> = parts.map(|data| data.print().map(|text| quote(&text))).collect();
        parts.map(|parts| parts.join(" "))
    };
    Some(match (name, arguments) {
        ("quote", _) => text(quoted(|text| serde_json::Value::from(text).to_string())),
        ("squote", _) => text(quoted(|text| format!("'{text}'"))),
        ("toYaml", [data]) => text(data.yaml()),
        ("toJson", [data]) => text(data.json().map(|json| json.to_string())),
        ("toString", [data]) => text(if matches!(data, Data::Nil) { None } else { data.print() }),
        ("int" | "int64", [Data::Int(value)]) => Ok(Data::Int(*value)),
        ("int" | "int64", [Data::Nil]) => Ok(Data::Int(0)),
        #[expect(clippy::cast_possible_truncation, reason = "as Go does it")]
        ("int" | "int64", [Data::Float(value)]) => Ok(Data::Int(*value as i64)),
        ("nindent" | "indent", [Data::Int(count), data]) => {
            let spaces = " ".repeat(usize::try_from(*count).unwrap_or_default().min(200));
            string(data).map(|data| {
                data.filter(|data| data.matches('\n').count() * spaces.len() < LONGEST).map_or(Data::Unknown, |data| {
                    let indented = format!("{spaces}{}", data.replace('\n', &format!("\n{spaces}")));
                    Data::text(if name == "nindent" { format!("\n{indented}") } else { indented })
                })
            })
        }
        ("printf", [Data::Text(format), rest @ ..]) => text(printf(format, rest)),
        // Go separates operands by a space only if neither is a string, so only strings are supported.
        ("print", all) => text(all.iter().map(|data| matches!(data, Data::Text(_)).then(|| data.print())?).collect()),
        ("trunc", [Data::Int(count), data]) => string(data).map(|data| {
            let cut = |data: &str| match usize::try_from(*count) {
                Ok(count) => data.get(..count).unwrap_or(data).to_owned(),
                Err(_) => data.to_owned(),
            };
            data.map_or(Data::Unknown, |data| Data::text(cut(&data)))
        }),
        ("join", [separator, data]) => string(separator).map(|separator| {
            let joined = separator.and_then(|separator| join(&separator, data));
            joined.filter(|text| text.len() <= LONGEST).map_or(Data::Unknown, Data::text)
        }),
        ("sha256sum", [data]) => sha256(data),
        ("trim" | "lower" | "upper" | "b64enc", [data]) => string(data).map(|data| match (name, data) {
            ("trim", Some(data)) => Data::text(data.trim()),
            ("lower", Some(data)) => Data::text(data.to_lowercase()),
            ("upper", Some(data)) => Data::text(data.to_uppercase()),
            _ => Data::Unknown,
        }),
        ("trimSuffix" | "trimPrefix" | "contains" | "hasPrefix" | "hasSuffix", [part, data]) => {
            both(part, data).map(|both| both.map_or(Data::Unknown, |(part, data)| pair(name, &part, &data)))
        }
        ("replace", [old, new, data]) => both(old, new).and_then(|both| {
            let data = string(data)?;
            Ok(match (both, data) {
                (Some((old, new)), Some(data)) if (data.len() + 1) * (new.len() + 1) < LONGEST => {
                    Data::text(data.replace(old.as_ref(), &new))
                }
                _ => Data::Unknown,
            })
        }),
        _ => return None,
    })
}

/// Returns a digest in hex. For an unknown value, a placeholder with the same number of digits is returned.
fn sha256(data: &Data) -> Run<Data> {
    let text = if matches!(data, Data::Unknown) { None } else { string(data)? };
    let digest = text.map(|text| Digest::of(text.as_bytes()).to_string().replacen("sha256:", "", 1));
    Ok(Data::text(digest.unwrap_or_else(|| "0".repeat(64))))
}

/// Joins the items of a list, or returns a single value as text. Null items are left out, as in Sprig.
fn join(separator: &str, data: &Data) -> Option<String> {
    match data {
        Data::List(items) => {
            let items = items.iter().filter(|item| !matches!(item, Data::Nil)).map(Data::print);
            Some(items.collect::<Option<Vec<String>>>()?.join(separator))
        }
        Data::Nil => Some(String::new()),
        Data::Map(_) => None,
        one => one.print(),
    }
}

type Two = Option<(std::rc::Rc<str>, std::rc::Rc<str>)>;

fn both(one: &Data, other: &Data) -> Run<Two> {
    Ok(string(one)?.zip(string(other)?))
}

fn pair(name: &str, part: &str, data: &str) -> Data {
    match name {
        "trimSuffix" => Data::text(data.strip_suffix(part).unwrap_or(data)),
        "trimPrefix" => Data::text(data.strip_prefix(part).unwrap_or(data)),
        "contains" => Data::Bool(data.contains(part)),
        "hasPrefix" => Data::Bool(data.starts_with(part)),
        _ => Data::Bool(data.ends_with(part)),
    }
}

/// Formats a text with simple verbs. Returns `None` for other verbs, and for arguments that do not match the verbs.
fn printf(format: &str, arguments: &[Data]) -> Option<String> {
    let (mut out, mut rest, mut next) = (String::new(), format, arguments.iter());
    while let Some((before, after)) = rest.split_once('%') {
        out += before;
        let verb = after.chars().next()?;
        match (verb, if verb == '%' { None } else { Some(next.next()?) }) {
            ('%', _) => out.push('%'),
            ('s' | 'v', Some(Data::Text(text))) => out += text,
            ('v', Some(data)) if !matches!(data, Data::Nil) => out += &data.print()?,
            ('d', Some(Data::Int(value))) => out += &value.to_string(),
            ('q', Some(Data::Text(text))) => out += &serde_json::Value::from(text.as_ref()).to_string(),
            _ => return None,
        }
        rest = &after[verb.len_utf8()..];
    }
    next.next().is_none().then(|| out + rest)
}
