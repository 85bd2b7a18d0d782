//! The shape of the source: which module uses which, where the feature is switched, how long files are. Each rule has a list of
//! present exceptions. An exception that is not needed any more fails its test, so that the lists only shrink.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::path::Path;

/// Arrows of the source that the drawing in `src/lib.rs` does not have.
const UNDRAWN: [&str; 0] = [];

/// Arrows that follow from the drawing and that the source must not have: the pins that an overlay gets are data.
const FORBIDDEN: [&str; 2] = ["overlay -> release", "overlay -> config"];

/// Imports without which the files of `src/bin/alga-release` have no circle.
const CIRCLES: [&str; 0] = [];

/// Files in which the feature is switched on something smaller than a module, an import or a whole `impl`, and how often.
const SWITCHES: [&str; 3] = [
    // An attribute of the crate: the resolver's build does not look for what only the publisher uses.
    "src/lib.rs: 1",
    // A variant: the resolver never asks for the right to push.
    "src/oci/registry/auth.rs: 1",
    // A variant and a field: the resolver reads every body to its end.
    "src/oci/registry/client.rs: 2",
];

/// Files of the library in which two types of one name meet.
const MEETINGS: [&str; 2] = ["src/ops/doctor/diagnosis.rs: Kind", "src/ops/kind.rs: Kind"];

/// Most lines of a file of `src`, without unit tests.
const FILE_LIMIT: usize = 500;
/// Most lines of a file of `src/bin/alga-release`.
const COMMAND_LIMIT: usize = 250;
/// Most lines of all files of `src/bin/alga-release`.
const PROGRAM_LIMIT: usize = 4410;

/// A file of the source.
struct File {
    /// Path below the root of the repository.
    path: String,
    /// The text without unit tests.
    text: String,
    /// The same without comments.
    code: String,
}

impl File {
    fn read(path: String) -> Self {
        let text = fs::read_to_string(root(&path)).expect("text");
        let text = text[..text.find("#[cfg(test)]").unwrap_or(text.len())].to_owned();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let code = code.flat_map(|line| [line, "\n"]).collect();
        Self { path, text, code }
    }

    fn lines(&self) -> usize {
        self.text.lines().count()
    }

    /// Returns the names of the module from the root of the crate, which is in the directory `crate_root`.
    fn module(&self, crate_root: &str) -> Vec<&str> {
        let path = self.path.strip_prefix(crate_root).and_then(|path| path.strip_suffix(".rs")).expect("a module");
        path.split('/').filter(|part| !matches!(*part, "" | "mod" | "lib" | "main")).collect()
    }

    /// Returns the top-level modules that the file names by a path from the root of the crate.
    fn uses(&self, crate_root: &str) -> BTreeSet<&str> {
        let up = "super::".repeat(self.module(crate_root).len());
        let up = if up.is_empty() { Vec::new() } else { self.behind(&up) };
        self.behind("crate::").into_iter().chain(up).collect()
    }

    /// Returns the first name of every path that starts with `start`, also of those in braces.
    fn behind(&self, start: &str) -> Vec<&str> {
        let begins = |at: &usize| {
            let before = self.code[..*at].chars().next_back();
            before.is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '_' | ':')))
        };
        let places = self.code.match_indices(start).map(|(at, _)| at).filter(begins);
        places.flat_map(|at| first_names(&self.code[at + start.len()..])).collect()
    }
}

fn first_names(path: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let word = |text: &str| text.find(|c| !is_word(c)).unwrap_or(text.len());
    let Some(group) = path.strip_prefix('{') else { return vec![&path[..word(path)]] };
    let (mut depth, mut begins, mut names) = (0, true, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            c if begins && is_word(c) => {
                names.push(&group[at..at + word(&group[at..])]);
                begins = false;
            }
            _ => {}
        }
    }
    names
}

/// Returns every path that a file imports, with the braces taken apart, and every other path of two names or more.
fn paths(code: &str) -> BTreeSet<String> {
    let (mut found, mut other) = (BTreeSet::new(), String::new());
    for (at, piece) in code.split("use ").enumerate() {
        let (import, rest) = if at == 0 { ("", piece) } else { piece.split_once(';').unwrap_or(("", piece)) };
        import_paths("", import, &mut found);
        other += rest;
    }
    let is_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':');
    found.extend(other.split(|c| !is_path(c)).filter(|word| word.contains("::")).map(str::to_owned));
    found
}

fn import_paths(before: &str, tree: &str, found: &mut BTreeSet<String>) {
    let (mut depth, mut start) = (0, 0);
    for (at, c) in tree.char_indices().chain([(tree.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let one = tree[start..at].trim();
                match one.strip_suffix('}').and_then(|one| one.split_once('{')) {
                    Some((start, group)) => import_paths(&format!("{before}{start}"), group, found),
                    None => drop(found.insert(format!("{before}{one}"))),
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

fn root(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Returns the path of every Rust file below a directory, from the root of the repository.
fn sources(directory: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root(directory)).expect("a directory") {
        let entry = entry.expect("an entry");
        let path = format!("{directory}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            found.extend(sources(&path));
        } else if path.strip_suffix(".rs").is_some() {
            found.push(path);
        }
    }
    found
}

/// Reads every Rust file below a directory but for files of unit tests.
fn files(directory: &str) -> Vec<File> {
    sources(directory).into_iter().filter(|path| !path.ends_with("tests.rs")).map(File::read).collect()
}

fn library() -> Vec<File> {
    files("src").into_iter().filter(|file| !file.path.starts_with("src/bin/")).collect()
}

/// Fails on everything that was found and is not in the list, and on everything in the list that was not found.
#[track_caller]
fn holds(rule: &str, found: impl IntoIterator<Item = String>, list: &[&str]) {
    let found: BTreeSet<String> = found.into_iter().collect();
    let new: Vec<&String> = found.iter().filter(|one| !list.contains(&one.as_str())).collect();
    assert!(new.is_empty(), "{rule}: {new:#?}");
    let gone: Vec<&&str> = list.iter().filter(|one| !found.contains(**one)).collect();
    assert!(gone.is_empty(), "{rule}: these exceptions are not needed any more, take them out: {gone:#?}");
}

type Arrows = BTreeSet<(String, String)>;

fn arrow(from: impl Display, to: impl Display) -> String {
    format!("{from} -> {to}")
}

/// Returns which top-level module of a crate uses which.
fn arrows(files: &[File], crate_root: &str) -> Arrows {
    let known: BTreeSet<&str> = files.iter().filter_map(|file| file.module(crate_root).first().copied()).collect();
    let mut found = Arrows::new();
    for file in files {
        let Some(from) = file.module(crate_root).first().copied() else { continue };
        let others = file.uses(crate_root).into_iter().filter(|to| known.contains(to) && *to != from);
        found.extend(others.map(|to| (from.to_owned(), to.to_owned())));
    }
    found
}

/// Returns the arrows and all that follow from them.
fn closed(mut arrows: Arrows) -> Arrows {
    loop {
        let next = |(from, middle): &(String, String)| {
            let further = arrows.iter().filter(|(start, _)| start == middle);
            further.map(|(_, to)| (from.clone(), to.clone())).collect::<Vec<_>>()
        };
        let more: Arrows = arrows.iter().flat_map(next).filter(|arrow| !arrows.contains(arrow)).collect();
        if more.is_empty() {
            return arrows;
        }
        arrows.extend(more);
    }
}

fn circles(arrows: &Arrows) -> Vec<&str> {
    arrows.iter().filter(|(from, to)| from == to).map(|(from, _)| from.as_str()).collect()
}

/// Returns the documentation of `src/lib.rs`.
fn documentation() -> String {
    let text = fs::read_to_string(root("src/lib.rs")).expect("text");
    text.lines().filter_map(|line| line.strip_prefix("//!")).flat_map(|line| [line.trim(), "\n"]).collect()
}

/// Reads the drawing in the documentation of `src/lib.rs`, lines such as `a -> {b, c} -> d`, with all that follows from it.
fn drawing() -> Arrows {
    let documentation = documentation();
    let drawing = documentation.split("```").find_map(|block| block.strip_prefix("text\n")).expect("a drawing");
    let mut arrows = Arrows::new();
    for line in drawing.lines().filter(|line| line.contains("->")) {
        let names = |group: &str| -> Vec<String> {
            group.split([',', '{', '}']).map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
        };
        let groups: Vec<Vec<String>> = line.split("->").map(names).collect();
        for pair in groups.windows(2) {
            arrows.extend(pair[0].iter().flat_map(|from| pair[1].iter().map(|to| (from.clone(), to.clone()))));
        }
    }
    closed(arrows)
}

#[test]
fn every_module_is_drawn_and_has_a_line_of_documentation() {
    let (drawing, documentation, files) = (drawing(), documentation(), library());
    assert_eq!(circles(&drawing), [""; 0], "the drawing has circles");
    let modules: BTreeSet<&str> = files.iter().filter_map(|file| file.module("src").first().copied()).collect();
    let drawn: BTreeSet<&str> = drawing.iter().flat_map(|(from, to)| [from.as_str(), to.as_str()]).collect();
    let drawn: BTreeSet<&str> = drawn.into_iter().filter(|name| !name.starts_with("bin/")).collect();
    assert_eq!(drawn, modules, "drawn, and in the source");
    let lines = documentation.lines().filter_map(|line| line.strip_prefix("- ")?.split('`').nth(1));
    assert_eq!(lines.collect::<BTreeSet<_>>(), modules, "documented, and in the source");
}

#[test]
fn modules_use_only_what_is_drawn_below_them() {
    let (drawing, arrows) = (drawing(), arrows(&library(), "src"));
    let drawn = |(from, to): &&(String, String)| {
        drawing.contains(&(from.clone(), to.clone())) && !FORBIDDEN.contains(&arrow(from, to).as_str())
    };
    let undrawn = arrows.iter().filter(|arrow| !drawn(arrow)).map(|(from, to)| arrow(from, to));
    holds("arrows that are not drawn", undrawn, &UNDRAWN);
}

#[test]
fn the_programs_use_only_what_is_drawn_below_them() {
    let drawing = drawing();
    for program in ["bin/alga-release", "bin/alga-resolve"] {
        let files = files(&format!("src/{program}"));
        let used = files.iter().flat_map(|file| file.behind("alga_release::"));
        let undrawn = used.filter(|name| !drawing.contains(&(program.to_owned(), (*name).to_owned())));
        holds("arrows that are not drawn", undrawn.map(|name| arrow(program, name)), &[]);
    }
}

#[test]
fn the_resolver_is_built_of_the_modules_that_are_drawn_below_it() {
    let text = fs::read_to_string(root("src/lib.rs")).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    let modules = lines.windows(2).filter(|pair| !pair[0].starts_with("#[cfg"));
    let built: BTreeSet<&str> = modules.filter_map(|pair| pair[1].split_once("mod ")?.1.strip_suffix(';')).collect();
    let drawing = drawing();
    let below = drawing.iter().filter(|(from, _)| from == "bin/alga-resolve").map(|(_, to)| to.as_str());
    assert_eq!(built, below.collect());
}

#[test]
fn the_files_of_a_program_have_no_circle_of_imports() {
    for (program, allowed) in [("src/bin/alga-release", &CIRCLES[..]), ("src/bin/alga-resolve", &[])] {
        let all = arrows(&files(program), program);
        let (cut, left): (Arrows, Arrows) =
            all.iter().cloned().partition(|(from, to)| allowed.contains(&arrow(from, to).as_str()));
        let left = closed(left);
        assert_eq!(circles(&left), [""; 0], "{program}: circles of imports go through these files");
        // Without one of them, an exception closes no circle.
        let closes = |(from, to): &&(String, String)| {
            let mut others = cut.clone();
            others.remove(&(from.clone(), to.clone()));
            let others = closed(left.iter().cloned().chain(others).collect());
            others.contains(&(to.clone(), from.clone()))
        };
        holds(program, cut.iter().filter(closes).map(|(from, to)| arrow(from, to)), allowed);
    }
}

/// Counts where the feature is switched on something smaller than a module, an import or a whole `impl`.
fn small_switches(code: &str) -> usize {
    let lines: Vec<&str> = code.lines().map(str::trim_start).collect();
    let small = |at: &usize| {
        let item = lines[at + 1..].iter().find(|line| !line.starts_with('#')).copied().unwrap_or_default();
        let item = item.trim_start_matches("pub").trim_start_matches("(crate)").trim_start_matches("(super)");
        !["mod ", "use ", "impl"].iter().any(|word| item.trim_start().starts_with(word))
    };
    let switches = (0..lines.len()).filter(|at| lines[*at].contains("feature = \"publish\""));
    switches.filter(small).count()
}

#[test]
fn the_feature_is_switched_on_modules_imports_and_whole_impls() {
    let found = files("src").into_iter().map(|file| (small_switches(&file.code), file.path));
    let found = found.filter(|(count, _)| *count > 0).map(|(count, path)| format!("{path}: {count}"));
    holds("smaller items behind the feature", found, &SWITCHES);
}

#[test]
fn the_oci_module_has_no_word_of_the_product() {
    let words = ["alga", "appliance", "bundle", "chart", "flux", "helm", "kubernetes", "release"];
    let found = files("src/oci").into_iter().flat_map(|file| {
        let text = file.text.to_lowercase();
        words.into_iter().filter(move |word| text.contains(word)).map(move |word| format!("{}: {word}", file.path))
    });
    // Sigstore's bundles are not the product's.
    let allowed =
        ["src/oci/attached_signatures.rs: bundle", "src/oci/media_type.rs: bundle", "src/oci/signatures.rs: bundle"];
    holds("words of the product", found, &allowed);
}

/// Returns the names of the types that a file defines.
fn types(code: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for line in code.lines() {
        let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let at = words.iter().position(|word| !matches!(*word, "" | "pub" | "crate" | "super"));
        match words[at.unwrap_or(words.len())..] {
            ["struct" | "enum" | "trait", name, ..] => found.insert(name),
            _ => false,
        };
    }
    found
}

/// `Error` is told apart by its module everywhere, as in the standard library.
#[test]
fn types_that_meet_in_a_file_have_different_names() {
    let files = library();
    let defined: Vec<(&File, BTreeSet<&str>)> = files.iter().map(|file| (file, types(&file.code))).collect();
    let modules: BTreeSet<&str> = files.iter().flat_map(|file| file.module("src")).chain(["self", "super"]).collect();
    let twice = |name: &str| name != "Error" && defined.iter().filter(|(_, names)| names.contains(name)).count() > 1;
    let found = defined.iter().flat_map(|(file, own)| {
        let mut seen: BTreeSet<(&str, String)> = own.iter().map(|name| (*name, String::new())).collect();
        let paths = paths(&file.code);
        for path in &paths {
            let path = path.split(" as ").next().unwrap_or_default();
            let names: Vec<&str> = path.split("::").map(str::trim).collect();
            // The last name that is a type; what follows is a variant or a function of it.
            let at = names.iter().position(|name| name.starts_with(|c: char| c.is_uppercase()));
            if let Some(at) = at.filter(|at| *at > 0 && modules.contains(names[at - 1])) {
                seen.insert((names[at], names[at - 1].to_owned()));
            }
        }
        let meets = |name: &&str| twice(name) && seen.iter().filter(|(other, _)| other == name).count() > 1;
        let names: BTreeSet<&str> = seen.iter().map(|(name, _)| *name).filter(meets).collect();
        names.into_iter().map(|name| format!("{}: {name}", file.path)).collect::<Vec<_>>()
    });
    holds("types of one name that meet", found, &MEETINGS);
}

#[test]
fn files_and_programs_are_short() {
    let files = files("src");
    let of_program = |file: &&File| file.path.starts_with("src/bin/alga-release/");
    let limit = |file: &File| if of_program(&file) { COMMAND_LIMIT } else { FILE_LIMIT };
    let long = files.iter().filter(|file| file.lines() > limit(file));
    holds("files that are too long", long.map(|file| file.path.clone()), &[]);
    let lines: usize = files.iter().filter(of_program).map(File::lines).sum();
    assert!(lines <= PROGRAM_LIMIT, "src/bin/alga-release has {lines} lines, the limit is {PROGRAM_LIMIT}");
}

#[test]
fn every_test_that_the_page_about_trust_names_exists() {
    let page = fs::read_to_string(root("docs/trust.md")).expect("the page");
    let cells = page.lines().filter(|line| line.starts_with('|')).filter_map(|line| line.rsplit('|').nth(1));
    let named = cells.filter_map(|cell| cell.trim().strip_prefix('`')?.strip_suffix('`'));
    let named: Vec<&str> = named.filter(|name| name.contains('_')).collect();
    assert!(named.len() > 30, "the page names only {} tests", named.len());
    let paths = ["src", "tests/it"].into_iter().flat_map(sources);
    let texts: Vec<String> = paths.map(|path| fs::read_to_string(root(&path)).expect("a source file")).collect();
    let missing = named.iter().filter(|name| !texts.iter().any(|text| text.contains(&format!("fn {name}("))));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn every_reason_of_a_refused_channel_is_explained() {
    let source = fs::read_to_string(root("src/trust/untrusted.rs")).expect("the reasons");
    let names = source.lines().filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\","));
    let mut names: Vec<&str> = names.collect();
    assert!(names.len() > 20, "only {} reasons were found", names.len());
    names.extend(["other-version", "trust-document"]);
    for page in ["docs/troubleshooting.md", "docs/appliance/README.md"] {
        let text = fs::read_to_string(root(page)).expect("a page");
        let missing = names.iter().filter(|name| !text.contains(&format!("`{name}`")));
        assert_eq!(missing.collect::<Vec<_>>(), Vec::<&&str>::new(), "{page}");
    }
}
