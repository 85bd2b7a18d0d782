//! Damages trees at random, and compares the verdict of `lint` with that of the real programs. A tree that kustomize, Flux or Helm
//! refuses must not be published, and a tree that all of them accept must not be refused.
//!
//! `ALGA_SEEDS=FIRST..LAST` runs other seeds than the default ones, and prints the rates.

mod mutants;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use alga_release::config::Injection;
use alga_release::lint::{Class, Report, Settings, Severity};
use alga_release::ops::{self, Context, LintRequest};
use alga_release::yaml;
use serde_json::{Value as Json, json};

use crate::lint_cases::Still;
use crate::support::definitions::json_of;
use crate::support::judge::judge;
use crate::support::programs::{alga, resolve};
use mutants::{Mutant, Random, Tree, mutant};

/// Seeds of the default run.
const SEEDS: std::ops::Range<u64> = 0..200;

/// Limit of the trees that a judge refuses but `lint` accepts, in percent.
const MOST_MISSED: usize = 2;
/// The same limit for errors that only executing the templates shows. `lint --render` runs Helm to find these errors.
const MOST_RENDERED: usize = 15;

/// Known differences: a part of the mutant's description and verdict, and the reason.
const KNOWN: &[(&str, &str)] = &[
    ("values-duplicate-key", "Helm silently takes the last of two equal keys, which is not what the author intends"),
    (
        "comments must be separated",
        "the YAML specification requires a space before `#`, but kustomize's parser does not",
    ),
];

/// The verdicts of the judges and of `lint` on one tree.
#[derive(Default)]
struct Verdict {
    /// Reasons for which a judge refuses the tree.
    refused: Vec<String>,
    /// Reasons for which `kustomize build` refuses a build that Flux accepts.
    warned: Vec<String>,
    /// Errors that `lint` reports.
    errors: Vec<String>,
    /// Errors of `lint` in the classes that the judges can confirm.
    judged: Vec<String>,
    /// Rules for which `lint` reports that something is not checked.
    unchecked: Vec<String>,
}

/// Questions to the judge, without duplicates.
#[derive(Default)]
struct Questions {
    list: Vec<Json>,
    known: BTreeMap<String, usize>,
}

impl Questions {
    fn ask(&mut self, identity: String, question: impl FnOnce() -> Json) -> usize {
        let next = self.list.len();
        let at = *self.known.entry(identity).or_insert(next);
        if at == next {
            self.list.push(question());
        }
        at
    }
}

fn settled(files: &BTreeMap<String, Vec<u8>>, below: &str) -> String {
    let of = files.iter().filter(|(path, _)| path.starts_with(below));
    of.flat_map(|(path, bytes)| [path.clone(), String::from_utf8_lossy(bytes).into_owned()])
        .collect::<Vec<_>>()
        .join("\0")
}

fn write(files: &BTreeMap<String, Vec<u8>>, directory: &Path) {
    for (path, bytes) in files {
        let target = directory.join(path);
        fs::create_dir_all(target.parent().expect("below")).expect("created");
        fs::write(target, bytes).expect("written");
    }
}

/// An object in the output of a build, as text and as JSON.
struct Built {
    text: String,
    root: Json,
}

fn built(answer: &Json) -> Vec<Built> {
    let text = answer["objects"].as_str().unwrap_or_default().replace(": =\n", ": \"=\"\n");
    let objects = text.split("\n---\n").filter(|text| !text.trim().is_empty());
    let read = |text: &str| {
        let documents = yaml::parse(text).ok()?;
        Some(Built { text: text.to_owned(), root: json_of(documents.first()?.root.as_ref()?) })
    };
    objects.filter_map(read).collect()
}

/// A damaged tree in its directory, with the results so far.
struct Case<'t> {
    tree: &'t Tree,
    mutant: Mutant,
    directory: tempfile::TempDir,
    builds: Vec<(String, Option<String>)>,
    verdict: Verdict,
    objects: Vec<Built>,
}

impl<'t> Case<'t> {
    fn new(tree: &'t Tree, mutant: Mutant) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        write(&mutant.files, directory.path());
        let builds = vec![("base".to_owned(), None)];
        Self { tree, mutant, directory, builds, verdict: Verdict::default(), objects: Vec::new() }
    }

    fn overlay(&self) -> &'t str {
        self.tree.config.overlay.trim_matches('/')
    }

    /// Adds questions about the builds from index `from` on, and returns the indices of the answers.
    fn ask_builds(&self, from: usize, questions: &mut Questions) -> Vec<usize> {
        let overlay = self.overlay();
        let files = settled(&self.mutant.files, &format!("{overlay}/"));
        let ask = |(path, kustomization): &(String, Option<String>)| {
            questions.ask(format!("{path}\0{kustomization:?}\0{files}"), || {
                let root = self.directory.path().join(overlay);
                json!({ "kustomize": root, "path": path, "kustomization": kustomization })
            })
        };
        self.builds[from..].iter().map(ask).collect()
    }

    fn take_build(&mut self, path: &str, answer: &Json) {
        let verdict = &mut self.verdict;
        match answer["error"].as_str() {
            Some(error) => verdict.refused.push(format!("build of {path}: {error}")),
            None => self.objects.extend(built(answer)),
        }
        if let Some(plain) = answer["plain"].as_str() {
            verdict.warned.push(format!("kustomize build of {path}: {plain}"));
        }
    }

    /// Adds the directories that Kustomizations among the built objects apply.
    fn follow(&mut self) {
        let overlay = self.overlay();
        for one in &self.objects {
            let of = one.root["apiVersion"].as_str().unwrap_or_default().starts_with("kustomize.toolkit.fluxcd.io/");
            let path = one.root["spec"]["path"].as_str().unwrap_or_default();
            let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
            let path = parts.collect::<Vec<_>>().join("/");
            let Some(path) = path.strip_prefix(overlay).map(|rest| rest.trim_start_matches('/').to_owned()) else {
                continue;
            };
            let source = one.root["spec"]["sourceRef"]["name"] == self.tree.config.appliance.source_name.as_str();
            let exists = self.directory.path().join(overlay).join(&path).is_dir();
            if of && source && exists && !self.builds.iter().any(|(known, _)| *known == path) {
                self.builds.push((path, Some(one.text.clone())));
            }
        }
    }

    /// Adds questions about the HelmReleases whose charts are in the tree and whose values are known.
    fn ask_charts(&self, questions: &mut Questions) -> Vec<usize> {
        let releases = self.objects.iter().filter(|one| one.root["kind"] == "HelmRelease");
        releases.filter_map(|one| self.ask_chart(&one.root, questions)).collect()
    }

    fn ask_chart(&self, release: &Json, questions: &mut Questions) -> Option<usize> {
        let spec = &release["spec"];
        let chart = spec["chart"]["spec"]["chart"].as_str()?;
        let parts = chart.split('/').filter(|part| !matches!(*part, "" | "."));
        let chart = parts.collect::<Vec<_>>().join("/");
        let exists = self.mutant.files.keys().any(|path| path.starts_with(&format!("{chart}/")));
        if !exists || spec["chart"]["spec"]["sourceRef"]["kind"] != "GitRepository" {
            return None;
        }
        let mut values = Vec::new();
        for from in spec["valuesFrom"].as_array().into_iter().flatten() {
            values.push(self.values(from, release)?);
        }
        values.extend(self.injected(release["metadata"]["name"].as_str()?));
        values.push(if spec["values"].is_object() { spec["values"].to_string() } else { String::new() });
        let name = release["metadata"]["name"].as_str()?;
        let identity = format!("{name}\0{values:?}\0{}", settled(&self.mutant.files, &format!("{chart}/")));
        let question = || {
            let chart = self.directory.path().join(&chart);
            json!({ "chart": chart, "values": values, "name": name, "namespace": release["metadata"]["namespace"] })
        };
        Some(questions.ask(identity, question))
    }

    /// Returns the values that an appliance sets for a Helm release.
    fn injected(&self, release: &str) -> Vec<String> {
        let of = self.tree.config.appliance.values.iter().filter(|one| one.release == release);
        let nested = |one: &Injection| {
            let literal = one.from.strip_prefix("literal:").unwrap_or(&one.from);
            let text = match literal {
                "app-url" => "https://appliance.example",
                "host" | "domain-suffix" => "appliance.example",
                image if image.starts_with("image:") => "image",
                literal => literal,
            };
            let value = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
            one.path.rsplit('.').fold(value, |value, key| json!({ (key): value })).to_string()
        };
        of.map(nested).collect()
    }

    /// Returns the text that an item of `valuesFrom` refers to.
    fn values(&self, from: &Json, release: &Json) -> Option<String> {
        let (name, key) = (from["name"].as_str()?, from["valuesKey"].as_str().unwrap_or("values.yaml"));
        if from["kind"] != "ConfigMap" || from["targetPath"].is_string() {
            return None;
        }
        let same = |one: &&Built| {
            one.root["kind"] == "ConfigMap"
                && one.root["metadata"]["name"] == name
                && one.root["metadata"]["namespace"] == release["metadata"]["namespace"]
        };
        if let Some(one) = self.objects.iter().find(same) {
            return one.root["data"][key].as_str().map(ToOwned::to_owned);
        }
        let path = format!("{}/profiles/{}/values/{key}", self.overlay(), self.tree.config.profile);
        let bytes = self.mutant.files.get(&path)?;
        String::from_utf8(bytes.clone()).ok()
    }

    /// Publishes the tree despite all errors, and reports whether the publisher or the resolver refuses it.
    fn resolver_refuses(&self) -> bool {
        let scratch = tempfile::tempdir().expect("a directory");
        let store = format!("oci-layout:{}", scratch.path().display());
        let tree = self.directory.path().display().to_string();
        let version = ["--version", "1.0.3", "--channel", self.tree.config.channels[0].as_str(), "--store", &store];
        let source = ["--source-commit", &"a".repeat(40), "--epoch", "1700000000"];
        let images: Vec<String> =
            self.tree.config.images.keys().flat_map(|key| ["--image".to_owned(), format!("{key}=1.0.3")]).collect();
        let images: Vec<&str> = images.iter().map(String::as_str).collect();
        let published = alga(&[&["publish", &tree, "--no-lint", "compared"][..], &version, &source, &images].concat());
        let release = format!("{}:{}", self.tree.config.repositories.release, version[3]);
        let rendered = || resolve(&["render", &release, "--host", "appliance.example", "--store", &store]);
        published.code != Some(0) || rendered().code != Some(0)
    }

    fn lint(&mut self) {
        let config = &self.tree.config;
        let settings = Settings::of(config).expect("valid settings");
        let request = LintRequest::tree(self.directory.path(), settings);
        let context = Context::silent(Still);
        let linted = ops::lint(&request, config, None, &context);
        let linted = futures_util::FutureExt::now_or_never(linted).expect("a tree is checked without a request");
        let report: Report = match linted {
            Ok(report) => report,
            Err(cause) => return self.verdict.errors.push(cause.to_string()),
        };
        for finding in &report.findings {
            let text = format!("{} {}:{}: {}", finding.rule.id, finding.file, finding.line, finding.message);
            if finding.severity == Severity::Note {
                self.verdict.unchecked.push(finding.rule.id.to_owned());
            }
            if finding.severity == Severity::Error {
                let decided = [Class::Builds, Class::Renders, Class::Templates, Class::Schema];
                if decided.contains(&finding.class) {
                    self.verdict.judged.push(text.clone());
                }
                self.verdict.errors.push(text);
            }
        }
    }
}

/// Asks every judge about every case. Returns `None` if the judge is not available.
fn judged(cases: &mut [Case<'_>]) -> Option<()> {
    let mut from = vec![0; cases.len()];
    loop {
        let mut questions = Questions::default();
        let asked: Vec<Vec<usize>> =
            cases.iter().zip(&from).map(|(case, from)| case.ask_builds(*from, &mut questions)).collect();
        if questions.list.is_empty() {
            break;
        }
        let answers = judge(&questions.list)?;
        for ((case, from), asked) in cases.iter_mut().zip(&mut from).zip(asked) {
            for at in asked {
                let path = case.builds[*from].0.clone();
                case.take_build(&path, &answers[at]);
                *from += 1;
            }
            case.follow();
        }
    }
    let mut questions = Questions::default();
    let asked: Vec<Vec<usize>> = cases.iter().map(|case| case.ask_charts(&mut questions)).collect();
    let answers = judge(&questions.list)?;
    for (case, asked) in cases.iter_mut().zip(asked) {
        let errors = asked.iter().filter_map(|at| answers[*at]["error"].as_str());
        case.verdict.refused.extend(errors.map(|error| format!("helm: {error}")));
    }
    Some(())
}

#[expect(clippy::disallowed_methods, reason = "this variable configures only the tests")]
fn seeds() -> (std::ops::Range<u64>, bool) {
    let Ok(text) = std::env::var("ALGA_SEEDS") else { return (SEEDS, false) };
    let (first, last) = text.split_once("..").expect("ALGA_SEEDS=FIRST..LAST");
    (first.parse().expect("a number")..last.parse().expect("a number"), true)
}

#[test]
fn undamaged_trees_are_accepted() {
    let trees = Tree::all();
    let whole = |tree| Case::new(tree, Mutant { files: tree.files.clone(), done: String::new() });
    let mut cases: Vec<Case<'_>> = trees.iter().map(whole).collect();
    if judged(&mut cases).is_none() {
        return;
    }
    for case in &mut cases {
        case.lint();
        let Verdict { refused, warned, errors, .. } = &case.verdict;
        assert!(!case.resolver_refuses(), "{}", case.tree.name);
        assert!(
            refused.is_empty() && warned.is_empty() && errors.is_empty(),
            "{}: {refused:#?} {warned:#?} {errors:#?}",
            case.tree.name
        );
    }
}

#[test]
fn lint_finds_what_the_real_programs_refuse_and_refuses_nothing_else() {
    let trees = Tree::all();
    let (seeds, rates) = seeds();
    let notes: BTreeMap<&str, usize> = trees
        .iter()
        .map(|tree| {
            let mut case = Case::new(tree, Mutant { files: tree.files.clone(), done: String::new() });
            case.lint();
            (tree.name, case.verdict.unchecked.len())
        })
        .collect();
    let (mut count, mut refused) = (0, 0);
    let (mut missed, mut rendered, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    let all: Vec<u64> = seeds.collect();
    for some in all.chunks(60) {
        let case = |seed: &u64| {
            let mut random = Random::new(*seed);
            let tree = &trees[random.below(trees.len())];
            let mut mutant = mutant(tree, &mut random);
            mutant.done = format!("seed {seed}, {}", mutant.done);
            Case::new(tree, mutant)
        };
        let mut cases: Vec<Case<'_>> = some.iter().map(case).collect();
        if judged(&mut cases).is_none() {
            return;
        }
        lint(&mut cases);
        for case in &cases {
            let Verdict { refused: judges, warned, errors, judged, unchecked } = &case.verdict;
            count += 1;
            refused += usize::from(!judges.is_empty());
            let clean = errors.is_empty() && unchecked.len() <= notes[case.tree.name];
            if judges.is_empty() && warned.is_empty() && !judged.is_empty() && !case.resolver_refuses() {
                wrong.push(format!("{}\n  {}", case.mutant.done, judged.join("\n  ")));
            } else if clean && !judges.is_empty() {
                let list = if judges.iter().all(|judge| is_of_output(judge)) { &mut rendered } else { &mut missed };
                list.push(format!("{}\n  {}", case.mutant.done, judges.join("\n  ")));
            }
        }
    }
    let known = |text: &String| KNOWN.iter().any(|(part, _)| text.contains(part));
    let unknown = |list: &[String]| list.iter().filter(|text| !known(text)).cloned().collect::<Vec<_>>().join("\n");
    let said = format!(
        "{count} trees, {refused} refused; missed: {}, and {} in the output of templates; refused wrongly: {}",
        missed.len(),
        rendered.len(),
        wrong.len()
    );
    if rates {
        let _ = writeln!(std::io::stderr(), "{said}\n{}", rendered.join("\n"));
    }
    assert!(refused > count / 5, "{said}");
    assert!(missed.len() * 100 <= refused * MOST_MISSED, "{said}\n{}", missed.join("\n"));
    assert!(rendered.len() * 100 <= refused * MOST_RENDERED, "{said}\n{}", rendered.join("\n"));
    let (missed, wrong) = (unknown(&missed), unknown(&wrong));
    assert!(missed.is_empty() && wrong.is_empty(), "{said}\nMISSED\n{missed}\nWRONG\n{wrong}");
}

/// Reports whether Helm refuses the output of a template, which only executing the template shows.
fn is_of_output(judge: &str) -> bool {
    judge.starts_with("helm: ") && (judge.contains("YAML parse error on ") || judge.contains("executing \""))
}

/// Runs `lint` on two halves of the cases at the same time.
fn lint(cases: &mut [Case<'_>]) {
    let half = cases.len().div_ceil(2).max(1);
    std::thread::scope(|scope| {
        for cases in cases.chunks_mut(half) {
            scope.spawn(move || cases.iter_mut().for_each(Case::lint));
        }
    });
}
