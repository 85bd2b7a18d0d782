//! The command line: flags before and after the command, environment variables, short forms, exit codes.

use std::process::Command;

use crate::support::programs::{Run, release, run};

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
        assert_eq!((before.code, &before.stderr), (after.code, &after.stderr), "{arguments:?}");
        before.says(&["/nonexistent/store"]);
    }
    with(&[], &["--store", "oci-layout:/one", "verify", "stable", "--store", NOWHERE]).says(&["/nonexistent/store"]);
}

#[test]
fn a_format_before_the_command_is_one_of_the_command() {
    with(&[], &["--output", "sarif", "lint", "--explain", "values-broken"]).ends(0);
    with(&[], &["--output", "sarif", "verify", "stable", "--store", NOWHERE]).ends(9).says(&["sarif", "text, json"]);
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
    let run = with(&empty, &["config", "/nonexistent"]).ends(0);
    assert_eq!(run.stdout, with(&[], &["config", "/nonexistent"]).stdout);
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
fn help_for_a_reader_that_has_closed_its_end_is_no_panic() {
    let program = release().get_program().to_owned();
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$0\" publish --help | true"]).arg(program);
    let run = run(&mut shell).ends(0);
    assert_eq!(run.stderr, "");
}
