//! Secrets that can be recognised by their form, anywhere in a text.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// A secret that was found in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    /// Kind of the secret in words, with its article.
    pub what: &'static str,
    /// Whether the secret is a private key.
    pub is_key: bool,
    /// Bytes of the text that contain the secret.
    pub span: Range<usize>,
}

/// Form of a token: its prefix, the minimum length after the prefix, the allowed characters besides letters and digits, and its name.
type Shape = (&'static str, usize, &'static str, &'static str);

static SHAPES: &[Shape] = &[
    ("ghp_", 36, "", "a GitHub token"),
    ("gho_", 36, "", "a GitHub token"),
    ("ghu_", 36, "", "a GitHub token"),
    ("ghs_", 36, "", "a GitHub token"),
    ("ghr_", 36, "", "a GitHub token"),
    ("github_pat_", 50, "_", "a GitHub token"),
    ("glpat-", 20, "_-", "a GitLab token"),
    ("glrt-", 20, "_-", "a GitLab token"),
    ("gldt-", 20, "_-", "a GitLab token"),
    ("AKIA", 16, "", "an AWS access key"),
    ("ASIA", 16, "", "an AWS access key"),
    ("AIza", 35, "_-", "a Google API key"),
    ("xoxb-", 24, "-", "a Slack token"),
    ("xoxp-", 24, "-", "a Slack token"),
    ("xoxa-", 24, "-", "a Slack token"),
    ("xapp-", 24, "-", "a Slack token"),
    ("dckr_pat_", 20, "_-", "a Docker Hub token"),
    ("npm_", 36, "", "an npm token"),
    ("hf_", 34, "", "a Hugging Face token"),
    ("sk_live_", 24, "", "a Stripe API key"),
    ("rk_live_", 24, "", "a Stripe API key"),
    ("SG.", 60, "_-.", "a SendGrid API key"),
    ("AGE-SECRET-KEY-1", 50, "", "a private key of age"),
];

/// Start of the base64 encoding of `-----BEGIN`.
const ENCODED_PEM: &str = "LS0tLS1CRUdJTi";
/// Limit of the base64 text that is decoded at one place, in bytes.
const MOST_ENCODED: usize = 16 << 10;

/// Returns all secrets in the order of the text.
pub(super) fn all(text: &str) -> Vec<Hit> {
    let bytes = text.as_bytes();
    let mut hits: Vec<Hit> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        // Comparing two bytes excludes almost all positions quickly.
        let starts = match (bytes[at], bytes.get(at + 1).copied().unwrap_or_default()) {
            (b'-', b'-') => at == 0 || bytes[at - 1] != b'-',
            (b'"', b'a') => true,
            (b'g', b'h' | b'i' | b'l')
            | (b'A', b'K' | b'S' | b'I' | b'G')
            | (b'x', b'o' | b'a')
            | (b's' | b'r', b'k')
            | (b'd', b'c')
            | (b'n', b'p')
            | (b'h', b'f')
            | (b'S', b'G')
            | (b'L', b'S')
            | (b'e', b'y') => at == 0 || !is_word(bytes[at - 1]),
            _ => false,
        };
        if !starts {
            at += 1;
            continue;
        }
        let hit = hit(text, at);
        at = hit.as_ref().map_or(at + 1, |hit| hit.span.end.max(at + 1));
        hits.extend(hit);
    }
    hits
}

/// Reports whether a byte continues a word, so that no token starts after it.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'/' | b'-')
}

fn hit(text: &str, at: usize) -> Option<Hit> {
    let rest = text.get(at..)?;
    match rest.as_bytes()[0] {
        b'-' => pem(rest).map(|end| Hit { what: "a private key", is_key: true, span: at..at + end }),
        b'"' => docker_auth(rest).map(|span| Hit {
            what: "the password for a registry",
            is_key: false,
            span: at + span.start..at + span.end,
        }),
        b'L' => encoded_key(rest).map(|end| Hit { what: "a private key in base64", is_key: true, span: at..at + end }),
        b'e' => encoded_json(rest).map(|(what, end)| Hit { what, is_key: false, span: at..at + end }),
        _ => token(rest).map(|(what, end)| Hit { what, is_key: what.contains("private key"), span: at..at + end }),
    }
}

fn token(rest: &str) -> Option<(&'static str, usize)> {
    let (prefix, fewest, more, what) = SHAPES.iter().find(|shape| rest.starts_with(shape.0))?;
    let body = &rest[prefix.len()..];
    let end = body.find(|c: char| !c.is_ascii_alphanumeric() && !more.contains(c)).unwrap_or(body.len());
    let body = &body[..end];
    let aws = prefix.len() == 4 && prefix.ends_with("IA");
    let shaped =
        if aws { body.len() == 16 && body.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) } else { true };
    let secret = body.len() >= *fewest && shaped && is_random(body);
    secret.then_some((*what, prefix.len() + end))
}

/// Reports whether a text looks random, unlike placeholders such as `xxxxxxxx` or `EXAMPLE`.
fn is_random(text: &str) -> bool {
    let mut seen: Vec<u8> = text.bytes().collect();
    seen.sort_unstable();
    seen.dedup();
    let lower = text.to_ascii_lowercase();
    seen.len() >= 8
        && !["example", "placeholder", "changeme", "your", "12345678", "abcdefgh"]
            .iter()
            .any(|word| lower.contains(word))
}

/// Returns the end of the header of a private key that starts the text and has a plausible body.
fn pem(rest: &str) -> Option<usize> {
    let head = rest.strip_prefix("-----BEGIN ")?;
    let (kind, body) = head.split_once("-----")?;
    if kind.len() > 40 || !kind.ends_with("PRIVATE KEY") {
        return None;
    }
    // The key may be written with `\n` for line ends, and its lines may be indented.
    let body = body.get(..2000).unwrap_or(body).replace("\\n", "\n").replace("\\r", "");
    let is_body = |line: &&str| {
        let base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
        line.len() >= 40 && line.bytes().all(base64) && is_random(line)
    };
    body.lines().map(|line| line.trim().trim_matches(['"', '\''])).find(is_body)?;
    Some(rest.len() - head.len() + kind.len() + "-----".len())
}

fn base64_at(rest: &str) -> &str {
    let end =
        rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '/' | '-' | '_')).unwrap_or(rest.len());
    &rest[..end.min(MOST_ENCODED)]
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let whole = &text[..text.len() - usize::from(text.len() % 4 == 1)];
    let lenient = base64::engine::GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    let lenient = lenient.with_decode_padding_mode(base64::engine::DecodePaddingMode::RequireNone);
    let engine = base64::engine::GeneralPurpose::new(&base64::alphabet::STANDARD, lenient);
    engine.decode(whole).or_else(|_| STANDARD_NO_PAD.decode(whole)).or_else(|_| URL_SAFE_NO_PAD.decode(whole)).ok()
}

fn encoded_key(rest: &str) -> Option<usize> {
    let text = rest.starts_with(ENCODED_PEM).then(|| base64_at(rest))?;
    let decoded = decoded(text)?;
    pem(&String::from_utf8_lossy(&decoded)).map(|_| text.len())
}

/// Recognises JSON in base64: a JSON web token, or a docker configuration.
fn encoded_json(rest: &str) -> Option<(&'static str, usize)> {
    let head = rest.starts_with("eyJ").then(|| base64_at(rest))?;
    if head.starts_with("eyJhdXRocyI6") {
        let decoded = decoded(head)?;
        let json = String::from_utf8_lossy(&decoded).into_owned();
        let at = json.char_indices().filter(|(_, c)| *c == '"').find(|(at, _)| docker_auth(&json[*at..]).is_some());
        return at.map(|_| ("the password for a registry in base64", head.len()));
    }
    let body = rest[head.len()..].strip_prefix('.').filter(|body| body.starts_with("eyJ"))?;
    let body = base64_at(body);
    let signature = base64_at(rest[head.len() + 1 + body.len()..].strip_prefix('.')?);
    let is_token = head.len() >= 16 && body.len() >= 16 && signature.len() >= 20 && is_random(signature);
    let header = decoded(head).filter(|header| header.windows(5).any(|part| part == b"\"alg\""));
    (is_token && header.is_some()).then_some(("a JSON web token", head.len() + body.len() + signature.len() + 2))
}

/// Returns the value of `"auth": "..."` if it decodes to a name and a password.
fn docker_auth(rest: &str) -> Option<Range<usize>> {
    let value = rest.strip_prefix("\"auth\"")?.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    let text = base64_at(value);
    let decoded = decoded(text).and_then(|decoded| String::from_utf8(decoded).ok())?;
    let (_, password) = decoded.split_once(':')?;
    let start = rest.len() - value.len();
    let placeholder = ["password", "secret", "changeme", "example", "$", "<"]
        .iter()
        .any(|word| password.to_lowercase().contains(word));
    (password.len() >= 8 && !placeholder).then_some(start..start + text.len())
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    const BODY: &str = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";

    fn whats(text: &str) -> Vec<&'static str> {
        all(text).into_iter().map(|hit| hit.what).collect()
    }

    // The token is written in two parts so that this file does not contain a token.
    fn token(prefix: &str, length: usize) -> String {
        let random = "aB3dE5gH7jK9mN2pQ4rS6tU8vW1xY0zC3bV5nM7k".repeat(3);
        format!("{prefix}{}", &random[..length])
    }

    #[test]
    fn tokens_are_recognised_by_their_form_and_placeholders_are_ignored() {
        for shape in SHAPES.iter().filter(|shape| !shape.0.ends_with("IA")) {
            let text = format!("key: \"{}\" # x", token(shape.0, shape.1));
            assert_eq!(whats(&text), [shape.3], "{}", shape.0);
            let text = format!("key: {}{}", shape.0, "x".repeat(shape.1));
            assert_eq!(whats(&text), Vec::<&str>::new(), "{text}");
        }
        assert_eq!(whats(&format!("a=AKIA{}", "Q3EGRV7XKMTPZ2WD")), ["an AWS access key"]);
        assert!(whats("AKIAIOSFODNN7EXAMPLE ghp_short xghp_ npm_config_cache sk_live_ eyJ hf_").is_empty());
    }

    #[test]
    fn private_keys_are_found_in_several_lines_in_one_line_and_in_base64() {
        let pem = format!("-----BEGIN {} KEY-----\n  {BODY}\n  -----END", "RSA PRIVATE");
        assert_eq!(whats(&pem), ["a private key"]);
        assert_eq!(whats(&pem.replace('\n', "\\n")), ["a private key"]);
        assert_eq!(whats(&format!("client-key-data: {}", STANDARD.encode(&pem))), ["a private key in base64"]);
        for text in [
            format!("-----BEGIN CERTIFICATE-----\n{BODY}\n"),
            format!("-----BEGIN {} KEY-----\n...\n", "PRIVATE"),
            format!("-----BEGIN {} KEY-----\n{}\n", "PRIVATE", "x".repeat(64)),
            "----- ---".to_owned(),
        ] {
            assert!(whats(&text).is_empty(), "{text}");
        }
    }

    #[test]
    fn registry_passwords_and_web_tokens_are_found_in_base64() {
        let auth = STANDARD.encode("robot:k3Yz9QpT5w");
        let json = format!("{{\"auths\":{{\"r.io\":{{\"auth\":\"{auth}\"}}}}}}");
        assert_eq!(whats(&json), ["the password for a registry"]);
        assert_eq!(whats(&STANDARD.encode(&json)), ["the password for a registry in base64"]);
        assert!(whats(&json.replace(&auth, &STANDARD.encode("user:password"))).is_empty());
        assert!(whats("{\"auth\": \"basic\"} \"auth\": true").is_empty());
        let [head, body] =
            [r#"{"alg":"HS256","typ":"JWT"}"#, r#"{"sub":"1234567890"}"#].map(|part| URL_SAFE_NO_PAD.encode(part));
        assert_eq!(whats(&format!("{head}.{body}.{}", token("", 43))), ["a JSON web token"]);
        assert!(whats(&format!("{head}.{body}")).is_empty());
    }

    proptest::proptest! {
        #[test]
                fn no_text_causes_a_panic(text in "[-A-Za-z0-9é{}\":.,=+/ \n]{0,200}") {
            let _ = all(&text);
            let _ = all(&format!("\"auth\":\"{text}"));
            let _ = all(&format!("eyJ{text} LS0tLS1CRUdJTi{text}"));
        }
    }
}
