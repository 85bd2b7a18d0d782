//! What a person at a terminal and a program that reads the log get to see of a run.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use serde_json::Value;

use crate::support::programs::{Run, Source, alga, release, run};
use crate::support::published::{RELEASES, store, with_images};
use crate::support::registry::{Action, Fault, Notice, Registry};

/// The fixtures, published as 1.0.3 to nightly in a layout.
fn published() -> (Source, String, Run) {
    let source = Source::new();
    let store = source.layout();
    let run = source.publish(&["--version", "1.0.3", "--channel", "nightly", "--store", &store]).ends(0);
    (source, store, run)
}

fn has_whole_digest(text: &str) -> bool {
    text.split(|character: char| !character.is_ascii_hexdigit()).any(|word| word.len() == 64)
}

/// The commands that a report ends with, in the order in which they are printed.
fn next(run: &Run) -> Vec<String> {
    run.stdout.lines().skip_while(|line| !line.ends_with(':')).skip(1).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn a_mistake_in_the_arguments_is_an_object_in_the_log_format_for_programs() {
    let by_variable = run(release().args(["verify", "--stroe", "x"]).env("ALGA_LOG_FORMAT", "json"));
    let by_flag = alga(&["verify", "--stroe", "x", "--log-format", "json"]);
    for run in [by_variable.ends(9), by_flag.ends(9)] {
        let told: Value = serde_json::from_str(run.stderr.trim_end()).expect("one object");
        assert_eq!((&told["level"], &told["event"]), (&"error".into(), &"failed".into()), "{told}");
        assert_eq!(told["message"], "unknown flag `--stroe`");
        assert_eq!(told["hint"], "did you mean `--store`?");
    }
}

#[test]
fn a_rollback_to_a_newer_release_is_warned_of() {
    let (source, store, _) = published();
    with_images(&source, &["1.0.4"]);
    source.publish(&["--version", "1.0.4", "--channel", "nightly", "--store", &store]).ends(0);
    let back = |to: &str| alga(&["rollback", "nightly", "--to", to, "--reason", "it fails", "--store", &store]).ends(0);
    assert!(!back("1.0.3").stderr.contains("is newer"));
    back("1.0.4").says(&["warning: 1.0.4 is newer than 1.0.3, which nightly serves"]);
}

/// Runs a printed command in a shell that finds both programs.
fn in_shell(line: &str) -> Run {
    let programs = Path::new(env!("CARGO_BIN_EXE_alga-release")).parent().expect("a directory");
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).env_clear();
    shell.env("PATH", format!("{}:/usr/bin:/bin", programs.display())).env("HOME", "/nonexistent");
    run(&mut shell)
}

#[test]
fn a_publication_prints_a_line_for_each_change_and_a_summary() {
    let (source, store, first) = published();
    let lines: Vec<&str> = first.stdout.lines().collect();
    assert_eq!(lines.iter().filter(|line| line.starts_with("pushed ")).count(), 7, "{}", first.stdout);
    assert!(lines[7].starts_with("moved nightly from nothing to 1.0.3 (sha256:"), "{}", first.stdout);
    assert!(lines[8].starts_with("published 1.0.3 (sha256:"), "{}", first.stdout);
    assert!(lines[8].ends_with(": 7 artifacts"), "{}", first.stdout);
    assert!(!has_whole_digest(&first.stdout), "{}", first.stdout);
    for name in ["charts/sebastian:", "alga-appliance-config:", "alga-appliance-release:"] {
        let both = first.stdout.clone() + &first.stderr;
        assert_eq!(both.matches(name).count(), 1, "{name}: {both}");
    }
    let again = ["--version", "1.0.3", "--channel", "nightly", "--store", &store];
    let again = source.publish(&again).ends(0);
    assert_eq!(again.stdout.lines().count(), 2, "{}", again.stdout);
    assert!(again.stdout.starts_with("nothing to do: 1.0.3 (sha256:"), "{}", again.stdout);
    let verbose = ["--version", "1.0.3", "--channel", "nightly", "--store", &store, "-v"];
    assert!(has_whole_digest(&source.publish(&verbose).ends(0).stdout));
    with_images(&source, &["1.0.4"]);
    let other = source.publish(&["--version", "1.0.4", "--channel", "nightly", "--store", &store]).ends(0);
    other.prints(&["2 artifacts, 5 unchanged", "moved nightly from 1.0.3 to 1.0.4 (sha256:"]);
}

#[test]
fn verify_and_promote_print_one_line_and_the_checks_when_asked() {
    let (_source, store, _) = published();
    let short = alga(&["verify", "nightly", "--store", &store]).ends(0);
    let first = short.stdout.lines().next().expect("a line");
    let words: Vec<&str> = first.split(": verified ").nth(1).expect("a count").split(" of ").collect();
    let [passed, all] = [words[0], words[1]].map(|word| word.parse::<usize>().expect("a number"));
    assert!(!short.stdout.contains("  ok "), "{}", short.stdout);
    assert!(short.stdout.contains("4 images not checked"), "{}", short.stdout);
    let whole = alga(&["verify", "nightly", "--store", &store, "-v"]).ends(0);
    assert_eq!(whole.stdout.lines().filter(|line| line.starts_with("  ok ")).count(), passed, "{}", whole.stdout);
    let unchecked = whole.stdout.lines().filter(|line| line.starts_with("  not checked ")).count();
    assert_eq!(passed + unchecked, all, "{}", whole.stdout);

    let moved = alga(&["promote", "--from", "nightly", "--to", "stable", "--store", &store]).ends(0);
    let lines: Vec<&str> = moved.stdout.lines().collect();
    assert!(lines[0].starts_with("moved stable from nothing to 1.0.3 (sha256:"), "{}", moved.stdout);
    assert!(lines[0].contains("; verified "), "{}", moved.stdout);
    assert_eq!(lines[1], "next:", "{}", moved.stdout);
    assert_eq!(moved.stderr.matches("4 images not checked").count(), 1, "{}", moved.stderr);
}

#[test]
fn the_commands_that_a_report_ends_with_work_as_they_are_printed() {
    let source = Source::new();
    let registry = Registry::start();
    let store = store(&registry);
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("our config.yaml");
    std::fs::write(&config, "repositories:\n  release: appliance/releases\nchannels: [edge, main]\n").expect("written");
    let config = config.to_str().expect("text");
    let common = ["--store", &store, "--config", config];

    let dry =
        source.publish(&[&["--version", "1.0.3", "--channel", "edge", "--dry-run"], &common[..]].concat()).ends(0);
    assert_eq!(registry.repositories(), Vec::<String>::new());
    let [carry_out] = &next(&dry)[..] else { panic!("{}", dry.stdout) };
    let published = in_shell(carry_out).ends(0);
    assert!(registry.tags("org/appliance/releases").contains_key("edge"));
    let commands = next(&published);
    assert!(commands[0].starts_with("alga-release verify edge "), "{commands:?}");
    assert!(commands[1].starts_with("alga-resolve resolve edge "), "{commands:?}");
    for line in &commands {
        in_shell(line).ends(0);
    }

    let dry = alga(
        &[
            &["promote", "--from", "edge", "--to", "main", "--dry-run=true", "--reason", "it's \"odd\" $HOME"],
            &common[..],
        ]
        .concat(),
    );
    let [carry_out] = &next(&dry.ends(0))[..] else { panic!("one command") };
    let promoted = in_shell(carry_out).ends(0);
    assert!(registry.tags("org/appliance/releases").contains_key("main"));
    for line in next(&promoted) {
        in_shell(&line).ends(0);
    }
    alga(&[&["history", "main"], &common[..]].concat()).ends(0).prints(&["it's \"odd\" $HOME"]);
}

#[test]
fn the_log_has_as_much_as_is_asked_for() {
    let source = Source::new();
    let registry = Registry::start();
    let store = store(&registry);
    with_images(&source, &["1.0.4", "1.0.5", "1.0.6", "1.0.7"]);
    let publish = |version: &str, more: &[&str]| {
        let arguments = [&["--version", version, "--channel", "nightly", "--store", &store], more].concat();
        source.publish(&arguments).ends(0).stderr
    };
    let is_talk = |line: &&str| !line.starts_with("warning: ");
    let quiet = publish("1.0.3", &["-q"]);
    assert_eq!(quiet.lines().filter(is_talk).count(), 0, "{quiet}");
    let usual = publish("1.0.4", &[]);
    assert!(!usual.contains("pushed ") && !usual.contains("/v2/"), "{usual}");
    let verbose = publish("1.0.5", &["-v"]);
    assert!(verbose.contains("pushed alga-appliance-release:1.0.5") && !verbose.contains("/v2/"), "{verbose}");
    let requests = publish("1.0.6", &["-vv"]);
    registry.clear_log();
    let requests_again = publish("1.0.7", &["-vv"]);
    let traced = requests_again.lines().filter(|line| line.contains("/v2/")).count();
    assert_eq!(traced, registry.log().len(), "{requests_again}");
    assert!(
        requests.contains(&format!("PUT http://{}/v2/{RELEASES}/manifests/1.0.6 201 (", registry.address())),
        "{requests}"
    );
    alga(&["verify", "nightly", "-q", "-v"]).ends(9);
}

#[test]
fn every_line_of_a_json_log_is_an_object_with_the_id_of_the_run() {
    let source = Source::new();
    let registry = Registry::start();
    let store = store(&registry);
    let publish = |more: &[&str]| {
        let arguments =
            [&["--version", "1.0.3", "--channel", "nightly", "--store", &store, "--log-format", "json"], more].concat();
        source.publish(&arguments)
    };
    let objects = |run: &Run| -> Vec<Value> {
        run.stderr
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|cause| panic!("{cause}: {line}")))
            .collect()
    };
    let other = format!("sha256:{}", "0".repeat(64));
    let runs = [publish(&[]).ends(0), publish(&["-vv"]).ends(0), publish(&["--if-plan", &other]).ends(3)]
        .map(|run| objects(&run));
    let mut ids = Vec::new();
    for run in &runs {
        let id = run[0]["run"].as_str().expect("an id");
        assert_eq!(id.len(), 16);
        assert!(run.iter().all(|line| line["run"] == id && line["message"].is_string() && line["level"].is_string()));
        ids.push(id);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3, "one id for each run");
    let pushed = runs[0].iter().filter(|line| line["event"] == "pushed").count();
    assert_eq!((pushed, runs[0].iter().filter(|line| line["event"] == "moved").count()), (7, 1));
    let request = runs[1].iter().find(|line| line["event"] == "request").expect("a request");
    assert!(request["status"].is_u64() && request["method"].is_string(), "{request}");
    let failed = runs[2].last().expect("a line");
    assert_eq!((&failed["level"], &failed["exitCode"]), (&Value::from("error"), &Value::from(3)), "{failed}");
    assert!(failed["hint"].as_str().is_some_and(|hint| hint.contains("--dry-run")), "{failed}");
}

/// Starts a program, and returns it when the registry caught the request.
fn caught(mut command: Command, registry: &Registry, fault: impl FnOnce(Action) -> Fault) -> Child {
    let (tell, told) = mpsc::channel();
    let notice = Notice::new(move || {
        let _ = tell.send(());
    });
    registry.fail(fault(Action::CatchBefore(notice)));
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a program");
    told.recv().expect("the request");
    child
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().expect("kill");
    assert!(sent.success(), "{sent}");
}

fn ended(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().expect("it ends");
    (output.status.code(), String::from_utf8(output.stderr).expect("text"))
}

#[test]
fn an_interrupted_publication_says_what_is_done_and_what_is_left() {
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let source = Source::new();
        let registry = Registry::start();
        let store = store(&registry);
        let arguments = ["--version", "1.0.3", "--channel", "nightly", "--store", &store];
        let path = format!("/v2/{RELEASES}/manifests/1.0.3");
        let child = caught(source.publishing(&arguments), &registry, |action| Fault::every("PUT", &path, action));
        signal(&child, name);
        let (ended, said) = ended(child);
        assert_eq!(ended, Some(code), "{said}");
        assert!(said.contains("error: interrupted after 6 of 8 tags were set"), "{said}");
        assert!(said.contains("done: ") && said.contains("charts/sebastian:0.0.1"), "{said}");
        assert!(said.contains("left: alga-appliance-release:1.0.3, alga-appliance-release:nightly"), "{said}");
        assert!(said.contains("hint: run the same command again"), "{said}");
        registry.heal();
        source.publish(&arguments).ends(0);
    }
}

#[test]
fn an_interrupted_reader_has_nothing_left_to_do() {
    let source = Source::new();
    let registry = Registry::start();
    let store = store(&registry);
    source.publish(&["--version", "1.0.3", "--channel", "nightly", "--store", &store]).ends(0);
    for command in [&["history", "nightly"][..], &["verify", "nightly"], &["in-use"], &["diff", "nightly", "1.0.3"]] {
        let mut program = release();
        program.args(command).args(["--store", &store]);
        let child = caught(program, &registry, |action| Fault::every("GET", "", action));
        signal(&child, "INT");
        let (code, said) = ended(child);
        assert_eq!(code, Some(130), "{command:?}: {said}");
        assert!(said.contains("error: interrupted; nothing was written"), "{command:?}: {said}");
        assert!(!said.contains("left") && !said.contains("hint"), "{command:?}: {said}");
        registry.heal();
    }
}

#[test]
fn a_second_interruption_ends_a_program_that_waits_for_something_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("ca.pem");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let mut command = release();
    command.args(["promote", "--from", "a", "--to", "b", "--store", "localhost:1/x", "--ca-file"]).arg(&pipe);
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a program");
    // Opening the pipe for writing waits until the program opened it for reading: now it reads, and no bytes come.
    let mut writer = std::fs::OpenOptions::new().write(true).open(&pipe).expect("a reader");
    let ended = loop {
        signal(&child, "INT");
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
    };
    assert_eq!(ended.code(), Some(130), "{ended}");
    let _ = writer.write_all(b"x");
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
    assert_eq!(said, "", "it ends at once");
}
