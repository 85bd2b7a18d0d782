//! Compares the parser of templates with Helm, on real templates that are damaged at random.

use std::path::PathBuf;

use alga_release::template;
use serde_json::json;

use crate::support::judge::judge;
use crate::support::{files_below, root};

/// Number of damaged templates in a run.
const MUTATIONS: usize = 3000;

/// Pieces that a mutation inserts: delimiters, keywords, literals at their limits, and invalid ones.
const PIECES: [&str; 64] = [
    "{{",
    "}}",
    "{{-",
    "-}}",
    "(",
    ")",
    "|",
    ":=",
    "=",
    "$",
    "$x",
    ".",
    ".a",
    "nil",
    "true",
    "\"",
    "`",
    "'a'",
    "'",
    "if",
    "else",
    "end",
    "range",
    "with",
    "break",
    "continue",
    "{{end}}",
    "{{else}}",
    "{{break}}",
    "{{if .x}}",
    "{{ else if .y }}",
    "{{ else with .y }}",
    "{{range $i, $v := .x}}",
    "{{range $a,$a}}",
    "{{define \"d\"}}",
    "{{define \"d\"}}x{{end}}",
    "{{block `b` .}}",
    "{{/*",
    "*/}}",
    "{{- /* x */ -}}",
    "{{template \"z\"}}",
    "0x1F",
    "1+2i",
    "089",
    "1__2",
    "0x1p-2",
    "18446744073709551616",
    "-9223372036854775808",
    "1e999",
    "'ab'",
    "\"\\q\"",
    "\"\\u00e9\"",
    ",",
    ":",
    "!",
    "é",
    "include",
    "nosuch",
    "()",
    "(.).x",
    "nil.x",
    "| nil",
    " ",
    "\n",
];

/// A generator of the same numbers for the same seed on every machine (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).expect("64 bits") % limit.max(1)
    }
}

/// Returns the templates of the fixtures, of the test trees and, if `ALGA_TREES` is set, of public charts.
fn real_templates() -> Vec<String> {
    #[expect(clippy::disallowed_methods, reason = "tests find their data through the environment")]
    let trees = std::env::var_os("ALGA_TREES").map(PathBuf::from);
    let mut texts = Vec::new();
    for directory in [Some(root("charts-fixtures")), Some(root("tests/trees")), trees].into_iter().flatten() {
        let files = files_below(&directory).into_iter().filter(|(path, _)| path.contains("/templates/"));
        let readable = files.filter_map(|(_, bytes)| String::from_utf8(bytes).ok());
        texts.extend(readable.filter(|text| text.contains("{{") && text.len() < 20_000));
    }
    texts
}

/// Returns the offsets at which a word or a sign starts, and the end of the text.
fn places(text: &str) -> Vec<usize> {
    let class = |c: char| (c.is_alphanumeric(), c.is_whitespace());
    let starts = text.char_indices().scan(None, |before, (at, c)| {
        let same = *before == Some(class(c)) && class(c) != (false, false);
        *before = Some(class(c));
        Some((!same).then_some(at))
    });
    starts.flatten().chain([text.len()]).collect()
}

/// Returns a part of a template with one to three changes.
fn broken(templates: &[String], random: &mut Random) -> String {
    let whole = &templates[random.below(templates.len())];
    let around = places(whole);
    let start = random.below(around.len());
    let mut text = whole[around[start]..around[(start + 400).min(around.len() - 1)]].to_owned();
    for _ in 0..=random.below(3) {
        let around = places(&text);
        if around.len() < 2 {
            break;
        }
        let at = random.below(around.len() - 1);
        let (start, end) = (around[at], around[at + 1]);
        let piece = PIECES[random.below(PIECES.len())];
        match random.below(6) {
            0 => text.replace_range(start..end, ""),
            1 => {
                let again = text[start..end].to_owned();
                text.insert_str(start, &again);
            }
            2 => text.insert_str(start, piece),
            3 => text.replace_range(start..end, piece),
            4 => text.truncate(start),
            _ => text.replace_range(start..around[(at + 1 + random.below(8)).min(around.len() - 1)], ""),
        }
    }
    text
}

#[test]
fn a_damaged_template_gets_the_same_verdict_and_line_as_in_helm() {
    let templates = real_templates();
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let mut texts = templates.clone();
    texts.extend((0..MUTATIONS).map(|_| broken(&templates, &mut random)));
    let questions: Vec<_> = texts.iter().map(|text| json!({ "template": text })).collect();
    let Some(answers) = judge(&questions) else { return };
    let mut refused = 0;
    for (text, answer) in texts.iter().zip(answers) {
        let own = template::parse(text).err();
        assert_eq!(own.is_none(), answer["ok"] == true, "{own:?}\n{answer}\n{text}");
        let Some(own) = own else { continue };
        refused += 1;
        // Go reports the line of the `block`; this parser reports that of the `else` in it.
        if !own.reason.ends_with("in block clause") {
            let line = format!(":{})", 1 + text[..own.at].matches('\n').count());
            let verdict = answer["error"].as_str().expect("a reason");
            assert!(verdict.contains(&line), "{own:?}\n{verdict}\n{text}");
        }
    }
    assert!(refused > MUTATIONS / 4, "only {refused} were refused");
}

#[test]
fn exactly_the_functions_that_helm_defines_are_known() {
    let unknown = ["env", "expandenv", "nosuch", "toYAML", "getHostByname", "fromYamlarray", "html5", "templates"];
    let names: Vec<&str> = template::functions().chain(unknown).collect();
    let questions: Vec<_> = names
        .iter()
        .map(|name| json!({ "template": format!("{{{{ if .never }}}}{{{{ {name} }}}}{{{{ end }}}}") }))
        .collect();
    let Some(answers) = judge(&questions) else { return };
    for (name, answer) in names.iter().zip(answers) {
        let undefined = answer["ok"] != true;
        assert_eq!(template::known(name).is_none(), undefined, "{name}: {answer}");
    }
}
