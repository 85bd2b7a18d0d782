//! The words that people read. No text contains a phrase that made texts of this project hard to read, and errors, ways out, doc
//! comments and pages each have one shape.

use std::fmt::Write as _;
use std::str::FromStr as _;

use proc_macro2::{TokenStream, TokenTree};
use regex::Regex;

use crate::support::{files_below, root};

/// Phrases that no text contains. `there is no …` and `no longer` are plain English.
const PHRASES: [&str; 12] = [
    r"(?i-u)(\bthere )?\b(is|are|was|were) no\b( longer\b| more than\b)?",
    r"(?i-u)\bwants?\b",
    r"(?i-u)\bnobody\b",
    r"(?i-u)\bsomebody\b",
    r"(?i-u)\b(lies|lie)\b",
    r"(?i-u)\b(stands?|stood)\b",
    r"(?i-u)\b(comes?|came) along\b",
    r"(?i-u)\bheld against\b",
    r"(?i-u)\blooked at\b",
    r"(?i-u)\bsuch an? one\b",
    r"(?i-u)\btaken? back\b",
    r"(?i-u)\bwhat passes\b",
];
/// Files whose subject is the list itself.
const ABOUT_PHRASES: [&str; 1] = ["tests/it/words.rs"];
/// Names with which an error may begin although they begin with a capital.
const NAMES: [&str; 10] = ["OCI", "HTTP", "HTTPS", "TLS", "JSON", "YAML", "Helm", "Flux", "Argo", "GitHub"];
/// Words with which a way out begins: verbs in the imperative, and the conditions of one.
const BEGINNINGS: [&str; 62] = [
    "add", "allow", "ask", "build", "check", "choose", "commit", "compare", "copy", "correct", "create", "delete",
    "did", "export", "find", "fix", "for", "free", "give", "if", "install", "lower", "keep", "leave", "list", "log",
    "look", "make", "move", "name", "omit", "open", "pass", "pin", "promote", "publish", "push", "put", "raise",
    "read", "remove", "rename", "repair", "replace", "restore", "roll", "run", "see", "select", "send", "set",
    "shorten", "split", "start", "to", "try", "use", "verify", "wait", "when", "where", "write",
];
/// Columns of a line of prose.
const COLUMNS: usize = 120;
/// Words of a doc comment: fewer say no more than the name that they are about.
const DOC_WORDS: usize = 4;

/// A text with the place where it begins.
struct Text {
    place: String,
    text: String,
}

/// The texts of a Rust file.
#[derive(Default)]
struct Rust {
    /// String literals, doc comments included.
    literals: Vec<Text>,
    /// Doc comments, whole.
    docs: Vec<Text>,
    /// Formats of errors.
    errors: Vec<Text>,
    /// Names of functions, as sentences.
    names: Vec<Text>,
}

impl Rust {
    fn read(path: &str, source: &str) -> Self {
        let mut rust = Self::default();
        let tokens = TokenStream::from_str(source).unwrap_or_else(|cause| panic!("{path}: {cause}"));
        rust.walk(path, tokens);
        rust
    }

    fn walk(&mut self, path: &str, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut doc: Option<Text> = None;
        for (at, token) in tokens.iter().enumerate() {
            let place = || format!("{path}:{}", token.span().start().line);
            match token {
                TokenTree::Literal(literal) => {
                    let text = literal.to_string();
                    if let Some(text) = text.split_once('"').map(|(_, rest)| rest.trim_end_matches(['"', '#'])) {
                        self.literals.push(Text { place: place(), text: text.to_owned() });
                    }
                }
                TokenTree::Group(group) => {
                    let attribute = matches!(tokens.get(at.wrapping_sub(1)), Some(TokenTree::Punct(p)) if matches!(p.as_char(), '#' | '!'));
                    let inside: Vec<TokenTree> = group.stream().into_iter().collect();
                    match (&inside[..], attribute) {
                        ([TokenTree::Ident(name), _, TokenTree::Literal(text)], true) if *name == "doc" => {
                            let text = text.to_string();
                            let text =
                                text.trim_start_matches(['r', '#', '"']).trim_end_matches(['"', '#']).trim().to_owned();
                            match &mut doc {
                                Some(doc) => doc.text = format!("{} {text}", doc.text),
                                None => doc = Some(Text { place: place(), text }),
                            }
                        }
                        ([TokenTree::Ident(name), TokenTree::Group(format)], true) if *name == "error" => {
                            let mut nested = Self::default();
                            nested.walk(path, format.stream());
                            self.errors.extend(nested.literals.into_iter().take(1));
                        }
                        _ => {}
                    }
                    self.walk(path, group.stream());
                    continue;
                }
                TokenTree::Ident(name) if *name == "fn" => {
                    if let Some(TokenTree::Ident(name)) = tokens.get(at + 1) {
                        self.names.push(Text { place: place(), text: name.to_string().replace('_', " ") });
                    }
                }
                _ => {}
            }
            if !matches!(token, TokenTree::Punct(p) if matches!(p.as_char(), '#' | '!')) {
                self.docs.extend(doc.take());
            }
        }
        self.docs.extend(doc);
    }
}

/// Returns the comments of a Rust file that are not doc comments.
fn comments(path: &str, source: &str) -> Vec<Text> {
    let comment = |(at, line): (usize, &str)| {
        let text = line.trim_start().strip_prefix("// ").or_else(|| line.split_once(" // ").map(|(_, text)| text))?;
        Some(Text { place: format!("{path}:{}", at + 1), text: text.to_owned() })
    };
    source.lines().enumerate().filter_map(comment).collect()
}

/// Returns the lines of a page, with whether each is prose: not code, a table, or a link that cannot be broken.
fn lines<'a>(path: &'a str, page: &'a str) -> impl Iterator<Item = (Text, bool)> + 'a {
    let mut fenced = false;
    page.lines().enumerate().map(move |(at, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        let prose = !fenced && !fence && !line.trim_start().starts_with('|') && !line.contains("](http");
        (Text { place: format!("{path}:{}", at + 1), text: line.to_owned() }, prose)
    })
}

fn files(directories: &[&str], endings: &[&str]) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for directory in directories {
        let below =
            files_below(&root(directory)).into_iter().map(|(name, bytes)| (format!("{directory}/{name}"), bytes));
        files.extend(below.filter(|(name, _)| endings.iter().any(|ending| name.ends_with(ending))));
    }
    files.into_iter().map(|(name, bytes)| (name, String::from_utf8(bytes).expect("text"))).collect()
}

fn pages() -> Vec<(String, String)> {
    let mut pages = files(&["docs"], &[".md"]);
    for name in ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"] {
        pages.push((name.to_owned(), std::fs::read_to_string(root(name)).expect("a page")));
    }
    pages
}

/// Fails with every text of which `wrong` says something.
fn none(texts: impl IntoIterator<Item = Text>, wrong: impl Fn(&str) -> Option<String>) {
    let mut found = String::new();
    for Text { place, text } in texts {
        if let Some(why) = wrong(&text) {
            let _ = writeln!(found, "{place}: {why}: {text}");
        }
    }
    assert!(found.is_empty(), "{} texts:\n{found}", found.lines().count());
}

#[test]
fn no_text_contains_a_phrase_that_is_hard_to_read() {
    let phrases = PHRASES.map(|phrase| Regex::new(phrase).expect("a pattern"));
    let wrong = |text: &str| {
        let found = phrases.iter().flat_map(|phrase| phrase.captures_iter(text));
        let mut found = found.filter(|found| {
            found
                .iter()
                .skip(1)
                .flatten()
                .all(|part| !part.as_str().trim().eq_ignore_ascii_case("there") && !part.as_str().starts_with(' '))
        });
        found.next().map(|found| format!("`{}`", &found[0]))
    };
    let mut texts = Vec::new();
    for (path, source) in files(&["src", "tests/it"], &[".rs"]) {
        if ABOUT_PHRASES.contains(&path.as_str()) {
            continue;
        }
        let Rust { literals, names, .. } = Rust::read(&path, &source);
        texts.extend(literals.into_iter().chain(names).chain(comments(&path, &source)));
    }
    let written = pages().into_iter().chain(files(&["argo"], &[".yaml"])).chain(files(&["src"], &[".txt"]));
    written.for_each(|(path, page)| texts.extend(lines(&path, &page).map(|(text, _)| text)));
    none(texts, wrong);
}

#[test]
fn errors_begin_in_lower_case_and_end_without_a_period() {
    let mut errors = Vec::new();
    for (path, source) in files(&["src"], &[".rs"]) {
        errors.extend(Rust::read(&path, &source).errors);
    }
    assert!(errors.len() > 100, "{}", errors.len());
    none(errors, |text| {
        let first = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let is_lower = !first.starts_with(char::is_uppercase) || NAMES.contains(&first);
        (!is_lower || text.ends_with('.')).then(|| "not `what failed: why`".to_owned())
    });
}

#[test]
fn ways_out_begin_with_a_verb_and_end_without_a_period() {
    let hints = files(&["src/bin/alga-release/failure"], &["hints.rs"]);
    let (path, source) = &hints[0];
    let docs: Vec<String> = Rust::read(path, source).docs.into_iter().map(|doc| doc.place).collect();
    let literals = Rust::read(path, source).literals.into_iter().filter(|text| !docs.contains(&text.place));
    let sentences: Vec<Text> = literals.filter(|text| text.text.split_whitespace().count() >= 4).collect();
    assert!(sentences.len() > 30, "{}", sentences.len());
    none(sentences, |text| {
        let first = text.split([' ', ',']).next().unwrap_or_default();
        (!BEGINNINGS.contains(&first) || text.ends_with('.')).then(|| "not `VERB …`".to_owned())
    });
}

#[test]
fn a_doc_comment_says_more_than_the_name_of_its_item() {
    let mut docs = Vec::new();
    for (path, source) in files(&["src"], &[".rs"]) {
        docs.extend(Rust::read(&path, &source).docs);
    }
    assert!(docs.len() > 1000, "{}", docs.len());
    none(docs, |text| (text.split_whitespace().count() < DOC_WORDS).then(|| format!("fewer than {DOC_WORDS} words")));
}

#[test]
fn lines_of_prose_fit_on_a_screen() {
    let pages = pages();
    let lines =
        pages.iter().flat_map(|(path, page)| lines(path, page)).filter(|(_, prose)| *prose).map(|(text, _)| text);
    none(lines, |text| (text.chars().count() > COLUMNS).then(|| format!("more than {COLUMNS} columns")));
}
