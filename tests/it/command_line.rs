//! The command line: flags before and after the command, environment variables, short forms, exit codes.

use std::process::Command;

use crate::support::programs::{Run, Source, release, resolve, run};
use crate::support::registry::Registry;

const NOWHERE: &str = "oci-layout:/nonexistent/store";

fn with(variables: &[(&str, &str)], arguments: &[&str]) -> Run {
    run(release().envs(variables.iter().copied()).args(arguments))
}

#[test]
fn a_flag_that_all_commands_share_is_taken_before_and_after_the_command() {
    let after = with(&[], &["verify", "stable", "--store", NOWHERE, "--output", "json", "--log-format", "json"]);
    for arguments in [
        ["--store", NOWHERE, "--output", "json", "--log-format", "json", "verify", "stable"],
        ["--store", NOWHERE, "verify", "--output", "json", "stable", "--log-format", "json"],
        ["-s", NOWHERE, "-o", "json", "verify", "stable", "--log-format", "json"],
    ] {
        let before = with(&[], &arguments);
        let without_run = |run: &Run| run.stderr.split("\"run\"").next().map(ToOwned::to_owned);
        assert_eq!((before.code, without_run(&before)), (after.code, without_run(&after)), "{arguments:?}");
        before.says(&["/nonexistent/store"]);
    }
    with(&[], &["--store", "oci-layout:/one", "verify", "stable", "--store", NOWHERE]).says(&["/nonexistent/store"]);
}

#[test]
fn a_format_before_the_command_is_one_of_the_command() {
    with(&[], &["--output", "sarif", "lint", "--explain", "values-broken"]).ends(0);
    with(&[], &["--output", "sarif", "verify", "stable", "--store", NOWHERE])
        .ends(9)
        .says(&["sarif", "expected `text` or `json`"]);
}

#[test]
fn an_environment_variable_sets_a_flag_that_is_not_given() {
    let store = ("ALGA_STORE", NOWHERE);
    with(&[store], &["verify", "stable"]).says(&["/nonexistent/store"]);
    with(&[store], &["verify", "stable", "--store", "oci-layout:/other"]).says(&["/other"]);
    with(&[store], &["--store", "oci-layout:/other", "verify", "stable"]).says(&["/other"]);
    with(&[("ALGA_CONFIG", "/nonexistent/file")], &["config"]).says(&["/nonexistent/file"]);
}

#[test]
fn an_empty_environment_variable_is_as_if_it_were_not_set() {
    let names = [
        "ALGA_STORE",
        "ALGA_CONFIG",
        "ALGA_PREFIX",
        "ALGA_PROFILE",
        "ALGA_CA_FILE",
        "ALGA_RETRY_FOR",
        "ALGA_LOG_FORMAT",
    ];
    let empty = names.map(|name| (name, ""));
    let run = with(&empty, &["config", "/usr"]).ends(0);
    assert_eq!(run.stdout, with(&[], &["config", "/usr"]).stdout);
}

#[test]
fn help_shows_the_environment_variable_of_a_flag() {
    let help = with(&[], &["publish", "--help"]).ends(0).stdout;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for name in ["ALGA_STORE", "ALGA_CONFIG", "ALGA_PREFIX", "ALGA_PROFILE", "ALGA_CA_FILE", "ALGA_RETRY_FOR"] {
        assert!(help.contains(&format!("[env: {name}=]")), "{name}: {help}");
    }
}

#[test]
fn the_former_format_flag_of_in_use_names_its_replacement() {
    with(&[], &["in-use", "--format", "keep-list"]).ends(9).says(&["`--output keep-list`"]);
    with(&[], &["in-use", "--prune-plan", "-o", "keep-list"]).ends(9).says(&["`--prune-plan`"]);
}

#[test]
fn help_does_not_panic_when_its_reader_closes_the_pipe() {
    let program = release().get_program().to_owned();
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$0\" publish --help | true"]).arg(program);
    let run = run(&mut shell).ends(0);
    assert_eq!(run.stderr, "");
}

/// A digest that no store has.
const ABSENT: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
/// A file that does not exist.
const NO_FILE: &str = "/nonexistent/file";

/// Returns the arguments of every command that works on a store, without `--store`; `R` is in place of a release and `C` in place of a channel.
fn commands() -> [&'static [&'static str]; 15] {
    [
        &["publish", "TREE", "--version", "1.0.3", "--channel", "C"],
        &["promote", "--from", "R", "--to", "stable"],
        &["promote", "--from", "1.0.3", "--to", "C"],
        &["rollback", "C", "--to", "1.0.3", "--reason", "x"],
        &["rollback", "stable", "--to", "R", "--reason", "x"],
        &["diff", "R", "1.0.3"],
        &["diff", "1.0.3", "R"],
        &["history", "C"],
        &["doctor", "TREE", "--channel", "C"],
        &["verify", "R"],
        &["in-use", "C"],
        &["copy", "R", "oci-layout:/nonexistent/target"],
        &["copy", "1.0.3", "oci-layout:/nonexistent/target", "--channel", "C", "--dry-run"],
        &["lint", "R"],
        &["lint", "TREE", "--against", "R"],
    ]
}

/// A tree and a store with its release 1.0.3 in the channel stable.
struct Place {
    source: Source,
}

impl Place {
    fn new() -> Self {
        let source = Source::new();
        source.publish(&["--version", "1.0.3", "--channel", "stable", "--store", &source.layout()]).ends(0);
        Self { source }
    }

    fn run(&self, arguments: &[&str], channel: &str, release: &str, more: &[&str]) -> Run {
        let tree = self.source.path("").display().to_string();
        let arguments = arguments.iter().map(|word| match *word {
            "TREE" => tree.as_str(),
            "C" => channel,
            "R" => release,
            other => other,
        });
        let arguments: Vec<&str> = arguments.chain(more.iter().copied()).collect();
        let mut variables = vec![("ALGA_RETRY_FOR", "0")];
        let store = self.source.layout();
        if !arguments.contains(&"--store") {
            variables.push(("ALGA_STORE", &store));
        }
        with(&variables, &arguments)
    }
}

#[test]
fn a_channel_a_version_and_a_digest_that_do_not_exist_end_every_command_with_the_same_code() {
    let place = Place::new();
    for command in commands() {
        for name in ["foo", "stabel", "9.9.9", ABSENT] {
            if command[0] == "publish" && name == ABSENT {
                continue;
            }
            let run = place.run(command, name, name, &[]);
            assert_eq!(run.code, Some(9), "{command:?} {name}: {}", run.stderr);
            assert!(run.stderr.contains(name), "{command:?} {name}: {}", run.stderr);
        }
    }
}

#[test]
fn a_file_that_does_not_exist_and_a_flag_that_is_wrong_end_every_command_with_the_same_code() {
    let place = Place::new();
    let mistakes: [&[&str]; 10] = [
        &["--config", NO_FILE],
        &["--ca-file", NO_FILE],
        &["--retry-for", "soon"],
        &["--log-format", "xml"],
        &["--output", "xml"],
        &["--unknown"],
        &["--insecure", "--ca-file", NO_FILE],
        &["--username", "me"],
        &["--quiet", "--verbose"],
        &["--store", "oci-layuot:x"],
    ];
    for command in commands() {
        for mistake in mistakes {
            let run = place.run(command, "stable", "1.0.3", mistake);
            assert_eq!(run.code, Some(9), "{command:?} {mistake:?}: {}{}", run.stdout, run.stderr);
            assert!(run.stderr.starts_with("error: "), "{command:?} {mistake:?}: {}", run.stderr);
            assert_eq!(run.stdout, "", "{command:?} {mistake:?}");
        }
    }
}

#[test]
fn flags_and_arguments_of_one_command_that_are_wrong_end_it_with_the_same_code() {
    let place = Place::new();
    let publish = ["publish", "TREE", "--version", "1.0.4", "--channel", "stable"];
    for more in [
        &["--no-channel"][..],
        &["--images", NO_FILE],
        &["--control-plane-archive", NO_FILE],
        &["--approved", NO_FILE],
        &["--approved", NO_FILE, "--if-plan", ABSENT],
        &["--if-plan", "x"],
        &["--if-current", "x"],
        &["--image", "x"],
        &["--jobs", "0"],
    ] {
        place.run(&publish, "", "", more).ends(9).says(&["error: "]);
    }
    for arguments in [
        &["image", "push", NO_FILE][..],
        &["publish", NO_FILE, "--version", "1.0.4", "--no-channel"],
        &["lint", "--config", NO_FILE],
        &["diff", "/nonexistent/tree", "stable", "--version", "1.0.4"],
        &["config", NO_FILE],
        &["doctor", NO_FILE],
        &["history", "stable", "--moves", "0"],
        &["in-use", "--moves", "many"],
        &["verify"],
        &["verify", "stable", "--all-channels"],
        &["publsh"],
        &[],
    ] {
        place.run(arguments, "", "", &[]).ends(9).says(&["error: "]);
    }
}

#[test]
fn a_flag_that_is_misspelt_gets_a_suggestion_and_one_that_is_like_none_does_not() {
    with(&[], &["publish", "--chanel", "x"])
        .ends(9)
        .says(&["error: unknown flag `--chanel`", "hint: did you mean `--channel`?"]);
    with(&[], &["publish", "--foo"]).ends(9).says(&["hint: see `alga-release publish --help`"]);
    with(&[], &["publsh"]).ends(9).says(&["error: unknown command `publsh`", "hint: did you mean `publish`?"]);
    with(&[("ALGA_LOG_FORMAT", "jsn")], &["config"]).ends(9).says(&["(from ALGA_LOG_FORMAT)", "did you mean `json`?"]);
}

#[test]
fn a_store_that_is_misspelt_gets_a_suggestion() {
    let place = Place::new();
    let other: [(&[&str], &str); 4] = [
        (&["copy", "1.0.3", "oci-layuot:x"], "oci-layout:x"),
        (&["promote", "--from", "1.0.3", "--to", "stable", "--to-store", "/tmp/x.tar"], "oci-archive:/tmp/x.tar"),
        (&["diff", "1.0.3", "1.0.3", "--other-store", "docker://ghcr.io/x"], "ghcr.io/x"),
        (&["verify", "1.0.3", "--prefix", "docker://ghcr.io/x"], "ghcr.io/x"),
    ];
    for (arguments, meant) in other {
        place.run(arguments, "", "", &[]).ends(9).says(&[&format!("did you mean `{meant}`?")]);
    }
    resolve(&["resolve", "stable", "--store", "oci-layuot:x"]).ends(9).says(&["did you mean `oci-layout:x`?"]);
}

#[test]
fn a_store_is_also_written_with_the_scheme_oci() {
    let registry = Registry::start();
    let source = Source::new();
    let store = format!("oci://{}/org", registry.address());
    source.publish(&["--version", "1.0.3", "--channel", "stable", "--store", &store]).ends(0);
    assert!(registry.tags("org/alga-appliance-release").contains_key("stable"));
    let reference = format!("{store}/alga-appliance-release:stable");
    with(&[], &["verify", &reference, "--retry-for", "0"]).ends(0);
    with(&[], &["verify", "stable", "-s", &store, "--retry-for", "0"]).ends(0);
    resolve(&["resolve", &reference]).ends(0);
    resolve(&["resolve", "stable", "--store", &store]).ends(0);
}

#[test]
fn config_names_the_variable_or_the_flag_that_gives_a_value() {
    let variables = [("ALGA_PROFILE", "edge"), ("ALGA_STORE", "oci-layout:x"), ("ALGA_PREFIX", "r.io/x")];
    let shown = with(&variables, &["config", "--profile", "core"]).ends(0).stdout;
    for (key, value, from) in
        [("profile", "core", "--profile"), ("store", "oci-layout:x", "ALGA_STORE"), ("prefix", "r.io/x", "ALGA_PREFIX")]
    {
        let line = shown.lines().find(|line| line.split_whitespace().next() == Some(key)).expect("a line");
        assert!(line.contains(&format!("\"{value}\"")) && line.ends_with(&format!("# {from}")), "{line}");
    }
}
