//! Source trees, and random mistakes in copies of them.

use std::collections::BTreeMap;

use alga_release::config::{Config, FILE_NAME};

use crate::support::{files_below, root};

/// A source tree that every judge accepts.
pub struct Tree {
    pub name: &'static str,
    pub files: BTreeMap<String, Vec<u8>>,
    pub config: Config,
}

impl Tree {
    /// Returns the trees from which the mutants are made.
    pub fn all() -> Vec<Self> {
        let trees = [
            ("fixture", "charts-fixtures"),
            ("ugly", "tests/trees/ugly"),
            ("patched", "tests/trees/patched"),
            ("small", "tests/cases/lint/base"),
        ];
        trees.map(|(name, directory)| Self::read(name, directory)).into()
    }

    fn read(name: &'static str, directory: &str) -> Self {
        let files = files_below(&root(directory));
        let text = files.get(FILE_NAME).map(|bytes| std::str::from_utf8(bytes).expect("text"));
        let config = text.map_or_else(Config::default, |text| Config::parse(text, FILE_NAME).expect("valid"));
        Self { name, files, config }
    }
}

/// A generator of the same numbers for the same seed on every machine (xorshift64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x2545_F491_4F6C_DD1D);
        for _ in 0..8 {
            random.below(2);
        }
        random
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).expect("64 bits") % limit.max(1)
    }

    fn of<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }
}

/// A copy of a tree with one mistake.
pub struct Mutant {
    pub files: BTreeMap<String, Vec<u8>>,
    /// Description of the mistake in one line.
    pub done: String,
}

/// Copies a tree and makes one mistake in the copy.
pub fn mutant(tree: &Tree, random: &mut Random) -> Mutant {
    loop {
        let mut files = tree.files.clone();
        if let Some(done) = change(&mut files, &tree.config, random) {
            return Mutant { files, done: format!("{}: {done}", tree.name) };
        }
    }
}

fn change(files: &mut BTreeMap<String, Vec<u8>>, config: &Config, random: &mut Random) -> Option<String> {
    let overlay = format!("{}/", config.overlay.trim_matches('/'));
    let is_text = |bytes: &Vec<u8>| std::str::from_utf8(bytes).is_ok_and(|text| !text.trim().is_empty());
    let of_overlay = |path: &str| path.starts_with(&overlay) && path.contains(".y");
    let of_chart = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        let special = matches!(name, "Chart.yaml" | "values.yaml" | "values.schema.json" | "requirements.yaml");
        !path.starts_with(&overlay) && (special || path.contains("/templates/"))
    };
    let from_overlay = random.below(3) > 0;
    let fits = |path: &&String| if from_overlay { of_overlay(path) } else { of_chart(path) };
    let paths: Vec<&String> =
        files.iter().filter(|(_, bytes)| is_text(bytes)).map(|(path, _)| path).filter(fits).collect();
    let path = (*paths.get(random.below(paths.len()))?).clone();
    let other = (*paths.get(random.below(paths.len()))?).clone();
    let text = String::from_utf8(files[&path].clone()).ok()?;
    match random.below(24) {
        0 => {
            files.remove(&path);
            return Some(format!("delete {path}"));
        }
        1 => {
            let start = (0..=random.below(text.len())).rev().find(|at| text.is_char_boundary(*at))?;
            files.insert(path.clone(), text[..start].into());
            return Some(format!("cut {path} at byte {start}"));
        }
        2 if path != other => {
            let copy = files[&other].clone();
            files.insert(path.clone(), copy);
            return Some(format!("copy {other} to {path}"));
        }
        3 => {
            files.insert(path.clone(), format!("{text}\n---\n{text}").into());
            return Some(format!("double {path}"));
        }
        _ => {}
    }
    let mut lines: Vec<String> = text.split('\n').map(ToOwned::to_owned).collect();
    let at = random.below(lines.len());
    let before = lines[at].clone();
    let what = change_line(&mut lines, at, random)?;
    let changed = lines.join("\n");
    if changed == text {
        return None;
    }
    let after = lines.get(at).cloned().unwrap_or_default();
    files.insert(path.clone(), changed.into());
    Some(format!("{what} {path}:{} {before:?} -> {after:?}", at + 1))
}

const VALUES: [&str; 13] = ["[a]", "{a: b}", "5", "true", "''", "~", "text", "[]", "{}", "1.5", "- x", "yes", "\"1\""];
const SIGNS: [&str; 14] = ["\"", "'", "]", "}", ":", "#", " #x", "&a", " *a", "`", "@", "|", "{{", "}}"];

fn change_line(lines: &mut Vec<String>, at: usize, random: &mut Random) -> Option<&'static str> {
    match random.below(11) {
        0 => {
            lines.remove(at);
            Some("delete line")
        }
        1 => {
            lines.insert(at, lines[at].clone());
            Some("double line")
        }
        2 => {
            let other = random.below(lines.len());
            lines.swap(at, other);
            Some("swap lines")
        }
        _ => {
            let (what, changed) = changed(&lines[at], random)?;
            lines[at] = changed;
            Some(what)
        }
    }
}

/// Returns a line with one mistake.
fn changed(line: &str, random: &mut Random) -> Option<(&'static str, String)> {
    match random.below(8) {
        0 | 1 => Some(("misspell", misspelt(line, random)?)),
        2 => {
            let signs: Vec<usize> = line.match_indices(|c| "[]{}\"':,-|>.$()".contains(c)).map(|(at, _)| at).collect();
            let at = *signs.get(random.below(signs.len()))?;
            Some(("drop a sign", format!("{}{}", &line[..at], &line[at + 1..])))
        }
        3 => {
            let (key, _) = line.split_once(':')?;
            Some(("change type", format!("{key}: {}", random.of(&VALUES))))
        }
        4 => {
            let (key, value) = line.split_once(": ").or_else(|| line.split_once("- "))?;
            let sign = &line[key.len()..key.len() + 2];
            let value = value.trim();
            let short = &value[..value.len() - value.chars().next_back()?.len_utf8()];
            Some(("rename", format!("{key}{sign}{short}{}", random.of(&["x", "-", "y"]))))
        }
        5 => match random.below(4) {
            0 => Some(("indent", line.strip_prefix("  ")?.to_owned())),
            blanks => Some(("indent", format!("{}{line}", [" ", "  ", "\t"][blanks - 1]))),
        },
        6 => Some(("add a sign", format!("{line}{}", random.of(&SIGNS)))),
        _ => {
            let (key, value) = line.split_once(": ")?;
            let changed = match random.below(3) {
                0 => format!("{key}:"),
                1 => format!("{key}:{value}"),
                _ => format!("{key}: {value} x: y"),
            };
            Some(("break value", changed))
        }
    }
}

fn misspelt(line: &str, random: &mut Random) -> Option<String> {
    let letters: Vec<(usize, char)> = line.char_indices().filter(|(_, c)| c.is_ascii_alphabetic()).collect();
    let (at, letter) = *letters.get(random.below(letters.len()))?;
    let (start, end) = (&line[..at], &line[at + 1..]);
    let new = random.of(&["a", "b", "x", "Z"]);
    Some(match random.below(3) {
        0 => format!("{start}{end}"),
        1 => format!("{start}{new}{letter}{end}"),
        _ => format!("{start}{new}{end}"),
    })
}
