//! Passwords: values that look random, under keys whose names suggest a secret.

use crate::yaml::{Node, Value};

/// Words in the names of keys for secrets.
const WORDS: [&str; 9] =
    ["password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey", "credential"];
/// Endings of keys whose value is not the secret itself but its location or a property of it.
const OTHERS: [&str; 30] = [
    "name",
    "ref",
    "path",
    "file",
    "url",
    "uri",
    "namespace",
    "enabled",
    "class",
    "field",
    "ttl",
    "type",
    "id",
    "kind",
    "mount",
    "dir",
    "annotations",
    "labels",
    "store",
    "policy",
    "length",
    "expiration",
    "duration",
    "audience",
    "issuer",
    "provider",
    "image",
    "hash",
    "algorithm",
    "checksum",
];
/// Words that mark a value as a placeholder.
const PLACEHOLDERS: [&str; 14] = [
    "changeme",
    "change-me",
    "change_me",
    "example",
    "placeholder",
    "replace",
    "your",
    "dummy",
    "default",
    "todo",
    "password",
    "secret",
    "xxxx",
    "insecure",
];
/// Length of the shortest password that is reported, in bytes.
const SHORTEST: usize = 12;

/// Reports whether a text may contain a key for a secret. Most files do not, so they need not be parsed.
pub(super) fn may_be_in(text: &str) -> bool {
    ["assw", "assphrase", "ecret", "oken", "pi", "ccess", "rivate", "redential", "ASSW", "ECRET", "OKEN"]
        .iter()
        .any(|word| text.contains(word))
}

/// Returns the keys and nodes of all values that look like passwords.
pub(super) fn all(root: &Node) -> Vec<(&str, &Node)> {
    let mut found = Vec::new();
    for node in root.walk() {
        let Value::Mapping { entries, .. } = &node.value else { continue };
        for entry in entries.iter().filter(|entry| !entry.value.is_alias()) {
            let (Some(key), Some(text)) = (entry.key.as_str(), entry.value.as_str()) else { continue };
            if is_secret_key(key) && is_random(text) {
                found.push((key, &entry.value));
            }
        }
        // An environment variable of a container has its name and its value in two keys.
        let name = node.text_at(&["name"]).filter(|name| is_secret_key(name));
        let value = node.entry("value").map(|entry| &entry.value);
        let value = value.filter(|value| !value.is_alias() && value.as_str().is_some_and(is_random));
        found.extend(name.zip(value));
    }
    found
}

fn is_secret_key(key: &str) -> bool {
    let lower: String = key.to_ascii_lowercase().chars().filter(|c| !matches!(c, '_' | '-' | '.')).collect();
    WORDS.iter().any(|word| lower.contains(word)) && !OTHERS.iter().any(|ending| lower.ends_with(ending))
}

/// Reports whether a text looks like a generated password: mixed characters, and no sign of a name or a reference.
fn is_random(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let reference = text.contains(|c: char| c.is_whitespace() || !c.is_ascii())
        || ["${", "$(", "{{", "://", "<", "%(", "ENC["].iter().any(|part| text.contains(part))
        || text.starts_with(['/', '.', '*', '[', '('])
        || PLACEHOLDERS.iter().any(|word| lower.contains(word));
    if text.len() < SHORTEST || text.len() > 512 || reference {
        return false;
    }
    let has = |is: fn(&u8) -> bool| text.as_bytes().iter().any(&is);
    let classes = [
        has(u8::is_ascii_lowercase),
        has(u8::is_ascii_uppercase),
        has(u8::is_ascii_digit),
        has(u8::is_ascii_punctuation),
    ];
    let classes = classes.iter().filter(|has| **has).count();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let hex = text.len() >= 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) && digits >= 6;
    let mixed = classes >= 3 && digits >= 2 && changes(text) >= text.len() / 3;
    (hex || mixed) && entropy(text) >= 3.0
}

/// Counts the neighbouring characters of different kinds. Names of several words have few of them.
fn changes(text: &str) -> usize {
    let kind = |b: u8| match b {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    text.as_bytes().windows(2).filter(|pair| kind(pair[0]) != kind(pair[1])).count()
}

/// Returns the Shannon entropy in bits per character.
#[expect(clippy::cast_precision_loss, reason = "texts are short")]
fn entropy(text: &str) -> f64 {
    let mut counts = [0_usize; 256];
    text.bytes().for_each(|b| counts[usize::from(b)] += 1);
    let length = text.len() as f64;
    counts.iter().filter(|count| **count > 0).map(|count| *count as f64 / length).map(|part| -part * part.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_texts_are_passwords_but_names_and_references_are_not() {
        for text in ["k3Yz9QpT5wLm", "aB3$dE5gH7jK", "7f3b9c2e8a1d4f6b0c5e7a9d2b4f6c8e", "Tr0ub4dor&3xK9!"] {
            assert!(is_random(text), "{text}");
        }
        for text in [
            "",
            "changeme",
            "postgres",
            "web-password-2024",
            "my-release-postgresql",
            "${DATABASE_PASSWORD}",
            "{{ .Values.password }}",
            "/var/run/secrets/token",
            "aVeryLongCamelCaseNameOfASetting1",
            "vault:secret/data/web#password",
            "https://example.com/A1b2C3",
            "123456789012",
            "ChangeMe123!",
            "registry.example.com/web:1.2.3",
            "kubernetes.io/service-account-token",
        ] {
            assert!(!is_random(text), "{text}");
        }
    }

    #[test]
    fn keys_that_refer_to_secrets_are_not_keys_of_secrets() {
        for key in ["password", "dbPassword", "API_KEY", "adminToken", "clientSecret", "POSTGRES_PASSWORD"] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in ["secretName", "existingSecretRef", "tokenTTL", "passwordFile", "name", "tokenUrl", "user"] {
            assert!(!is_secret_key(key), "{key}");
        }
        let documents =
            crate::yaml::parse("env: [{name: DB_PASSWORD, value: k3Yz9QpT5wLm}]\npassword: k3Yz9QpT5wLm\n").unwrap();
        assert_eq!(all(documents[0].root.as_ref().unwrap()).len(), 2);
    }
}
