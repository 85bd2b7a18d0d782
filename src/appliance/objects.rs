//! Writes the text of Kubernetes objects. Strings are literal blocks if people can read them that way, and quoted
//! otherwise. They are never plain scalars.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::trust::Key;
use crate::yaml::edit;

/// Largest sum of the values of one `ConfigMap` that the API server accepts, in bytes.
pub(super) const CONFIG_MAP_LIMIT: usize = 1 << 20;

/// Returns a string as YAML that every parser reads as that string. `indent` is the indentation of its block.
fn string(text: &str, indent: &str) -> String {
    let plain = |c: char| matches!(c, '\n' | '\t' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    let hidden = |c: char| matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
    let block = text.len() > 1 && text.ends_with('\n') && !text.ends_with("\n\n");
    let block = block && !text.starts_with([' ', '\n', '\t']) && text.chars().all(|c| plain(c) && !hidden(c));
    if !block {
        // These two code points are not characters, and YAML does not accept them unescaped.
        return edit::quoted(text).replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff");
    }
    let lines = text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("\n{indent}{line}") });
    format!("|{}", lines.collect::<String>())
}

fn head(api: &str, kind: &str, name: &str, namespace: Option<&str>) -> String {
    let namespace = namespace.map_or_else(String::new, |name| format!("  namespace: {}\n", edit::scalar(name)));
    format!("apiVersion: {api}\nkind: {kind}\nmetadata:\n  name: {}\n{namespace}", edit::scalar(name))
}

pub(super) fn namespace(name: &str) -> String {
    head("v1", "Namespace", name, None)
}

/// Returns a `ConfigMap`. Its labels say which release it belongs to, so that people can find values that no release
/// uses any more.
pub(super) fn config_map(name: &str, namespace: &str, labels: &[(&str, &str)], entries: &[(&str, &str)]) -> String {
    let mut out = head("v1", "ConfigMap", name, Some(namespace));
    out.push_str("  labels:\n    app.kubernetes.io/managed-by: alga-resolve\n");
    for (key, value) in labels {
        let _ = writeln!(out, "    {key}: {}", edit::quoted(value));
    }
    out.push_str("data:\n");
    for (key, value) in entries {
        let _ = writeln!(out, "  {}: {}", edit::scalar(key), string(value, "    "));
    }
    out
}

pub(super) struct Source<'a> {
    pub name: &'a str,
    pub namespace: &'a str,
    pub repository: &'a str,
    pub digest: &'a str,
    pub plain_http: bool,
    /// Name of the Secret with the keys by which Flux verifies the source.
    pub verify: Option<&'a str>,
}

pub(super) fn oci_repository(source: &Source<'_>) -> String {
    let head = head("source.toolkit.fluxcd.io/v1", "OCIRepository", source.name, Some(source.namespace));
    let insecure = if source.plain_http { "  insecure: true\n" } else { "" };
    let verify = source.verify.map_or_else(String::new, |secret| {
        format!("  verify:\n    provider: cosign\n    secretRef:\n      name: {}\n", edit::scalar(secret))
    });
    format!(
        "{head}spec:\n  interval: 10m\n  url: {}\n{insecure}  ref:\n    digest: {}\n{verify}",
        edit::quoted(&format!("oci://{}", source.repository)),
        edit::quoted(source.digest)
    )
}

/// Returns a `Secret` with public keys, one in each entry, because Flux refuses all if it cannot parse one. They are in
/// `data`: an entry that leaves `stringData` stays in the cluster, and a key that was removed would count for ever.
pub(super) fn keys(name: &str, namespace: &str, keys: &[Key]) -> String {
    let mut out = head("v1", "Secret", name, Some(namespace));
    out.push_str("  labels:\n    app.kubernetes.io/managed-by: alga-resolve\n");
    out.push_str("    app.kubernetes.io/component: \"keys\"\ntype: Opaque\ndata:\n");
    for key in keys {
        let _ = writeln!(out, "  {}.pub: {}", key.id(), edit::quoted(&STANDARD.encode(key.to_pem())));
    }
    out
}

/// Returns a Flux `Kustomization`. It has no `postBuild`, because overlays contain scripts with `${…}`.
pub(super) fn kustomization(name: &str, namespace: &str) -> String {
    let head = head("kustomize.toolkit.fluxcd.io/v1", "Kustomization", name, Some(namespace));
    format!(
        "{head}spec:\n  interval: 10m\n  retryInterval: 1m\n  timeout: 10m\n  path: ./base\n  prune: true\n  sourceRef:\n    \
         kind: OCIRepository\n    name: {}\n",
        edit::scalar(name)
    )
}

/// Returns the `kustomization.yaml` for `kubectl apply -k` and `kubectl kustomize`.
pub(super) fn index(files: &[String]) -> String {
    let mut out = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n".to_owned();
    for file in files {
        let _ = writeln!(out, "  - {}", edit::scalar(file));
    }
    out
}

/// Reports whether the API server accepts the text as the name of an object.
pub(crate) fn is_object_name(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let part = |part: &str| {
        part.bytes().all(|b| word(b) || b == b'-')
            && part.bytes().next().is_some_and(word)
            && part.bytes().last().is_some_and(word)
    };
    text.len() <= 253 && text.split('.').all(part)
}

/// Reports whether the API server accepts the text as a key of a `ConfigMap`.
pub(crate) fn is_data_key(text: &str) -> bool {
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= 253 && text.bytes().all(valid) && text != "." && !text.starts_with("..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn read_back(text: &str) {
        let object = config_map("a", "b", &[], &[("k", text)]);
        let document = yaml::parse(&object).unwrap_or_else(|cause| panic!("{cause}: {object}"));
        let root = document[0].root.as_ref().unwrap();
        let node = root.get(&["data", "k"]).unwrap();
        assert_eq!(node.as_str(), Some(text), "{object}");
        assert!(node.is_string());
    }

    #[test]
    fn every_text_is_the_same_after_a_round_trip() {
        for text in [
            "",
            "\n",
            " ",
            "a",
            "a\n",
            "a\n\n",
            "\na\n",
            " a\n",
            "a\n\n\nb\n",
            "a\n  b\n c\n",
            "a \n",
            "a\r\n",
            "\ta\n",
            "a\tb\n",
            "---\n",
            "a\n---\nb\n",
            "# x\n",
            "a: |\n  b\n",
            "\u{feff}a\n",
            "é\u{85}\n",
            "\u{1}\n",
            "\u{fffe}",
            "😀\n",
            "a\n...\n",
            "~",
            "%YAML\n",
            "a\n \nb\n",
        ] {
            read_back(text);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_the_same_after_a_round_trip(text in proptest::prelude::any::<String>()) {
            read_back(&text);
            read_back(&format!("{text}\n"));
        }
    }

    #[test]
    fn names_follow_the_rules_of_kubernetes() {
        for name in ["a", "a-b.c1", "0"] {
            assert!(is_object_name(name), "{name}");
        }
        for name in ["", "A", "-a", "a-", "a..b", "a_b", "a b", "a\n", "a/b", "$(x)"] {
            assert!(!is_object_name(name), "{name}");
        }
        assert!(is_data_key("a.single-node.yaml"));
        for key in ["", ".", "..a", "a/b", "a b"] {
            assert!(!is_data_key(key), "{key}");
        }
    }
}
