//! A server that does not speak the registry protocol is said to be something else, by every command and at the first answer. A website
//! that answers 404 holds no absent release, and a login page that answers 200 holds no published one.

use std::process::Command;

use crate::support::images::{GZIP, Image, tar};
use crate::support::programs::{Source, release, resolving, run};
use crate::support::published::{publish, store};
use crate::support::registry::{Action, Fault, Quirks, Registry, Setup};

const PAGE: &str = "<!DOCTYPE html><html><body><h1>Please log in</h1></body></html>";

fn html(status: u16, page: &str) -> Action {
    Action::Status(status, vec![("Content-Type".to_owned(), "text/html".to_owned())], page.as_bytes().to_vec())
}

fn json(status: u16, text: &str) -> Action {
    Action::Status(status, vec![("Content-Type".to_owned(), "application/json".to_owned())], text.as_bytes().to_vec())
}

/// Servers that are often mistaken for a registry, with what the error says of each.
fn servers() -> Vec<(Registry, &'static str)> {
    let login = vec![("Location".to_owned(), "/login?next=%2F".to_owned())];
    let answers: [(&[(&'static str, Action)], &'static str); 6] = [
        (&[("/", Action::status(404, ""))], "/v2/ answers 404 Not Found"),
        (&[("/", html(404, "<html>File not found</html>"))], "/v2/ answers 404 Not Found and an HTML page"),
        (&[("/", html(200, PAGE))], "/v2/ answers 200 OK and an HTML page"),
        (&[("/", html(403, "<html>Access denied by the proxy</html>"))], "/v2/ answers 403 Forbidden and an HTML page"),
        (
            &[("/login", html(200, PAGE)), ("/", Action::Status(302, login, Vec::new()))],
            "/login answers 200 OK and an HTML page",
        ),
        (&[("/", json(404, r#"{"detail":"Not Found"}"#))], "/v2/ answers 404 Not Found"),
    ];
    let started = answers.into_iter().map(|(answers, words)| {
        let server = Registry::start();
        for (path, action) in answers {
            server.fail(Fault::every("", *path, action.clone()));
        }
        (server, words)
    });
    started.collect()
}

/// Every command that reads or writes a store, with `store` as that store.
fn commands(source: &Source, store: &str, other: &str) -> Vec<Command> {
    let tree = source.path("").display().to_string();
    let image = source.path("../image.tar").display().to_string();
    let of_program = [
        vec!["promote", "--from", "nightly", "--to", "stable", "--store", store],
        vec!["promote", "--from", "nightly", "--to", "stable", "--store", other, "--to-store", store],
        vec!["rollback", "stable", "--to", "1.0.3", "--reason", "x", "--store", store],
        vec!["rollback", "stable", "--to", "previous", "--reason", "x", "--store", store],
        vec!["verify", "nightly", "--store", store],
        vec!["verify", "--all-channels", "--store", store],
        vec!["copy", "nightly", other, "--store", store],
        vec!["copy", "nightly", store, "--store", other],
        vec!["diff", "nightly", "stable", "--store", store],
        vec!["history", "nightly", "--store", store],
        vec!["in-use", "--store", store],
        vec!["doctor", &tree, "--store", store],
        vec!["doctor", "--channel", "nightly", "--store", store],
        vec!["image", "push", &image, "--tag", "1", "--store", store],
        vec!["lint", &tree, "--against", "nightly", "--store", store],
        vec!["lint", "nightly", "--store", store],
    ];
    let mut commands: Vec<Command> = Vec::new();
    for arguments in of_program {
        let mut command = release();
        command.args(arguments);
        commands.push(command);
    }
    for more in [&["--image-check", "require"][..], &["--dry-run"], &["--no-channel"]] {
        let arguments = ["--version", "1.0.3", "--channel", "nightly", "--store", store];
        let command = source.publishing(&[&arguments[..], more].concat());
        commands.push(command);
    }
    commands.push(resolving(&["resolve", "nightly", "--store", store]));
    commands.push(resolving(&["resolve", "1.0.3", "--store", store]));
    commands
}

#[test]
fn a_server_that_is_not_a_registry_is_named_by_every_command() {
    let source = Source::new();
    let other = source.layout();
    source.publish(&["--version", "1.0.3", "--channel", "nightly", "--store", &other]).ends(0);
    std::fs::write(source.path("../image.tar"), tar(&Image::new("amd64", &[10]).layout(GZIP))).expect("written");
    for (server, words) in servers() {
        for mut command in commands(&source, &store(&server), &other) {
            server.clear_log();
            let done = run(&mut command);
            let all = format!("{command:?}\n{}{}", done.stdout, done.stderr);
            assert_eq!(done.code, Some(1), "{all}");
            assert!(all.contains(&format!("the server at {} is not a registry", server.address())), "{all}");
            assert!(all.contains(words), "`{words}`: {all}");
            assert!(all.contains("distribution API"), "a way out: {all}");
            for wrong in
                ["trying again", "retrying in", "already published", "nothing yet", "does not exist yet", "ready"]
            {
                assert!(!all.contains(wrong), "`{wrong}`: {all}");
            }
            let asked = server.lines().iter().filter(|line| *line == "GET /v2/").count();
            // `doctor` and a publication ask with and without credentials.
            assert!((1..=2).contains(&asked), "{asked}: {all}");
            let writes = server.lines().iter().filter(|line| line.starts_with("PUT ")).count();
            assert_eq!(writes, 0, "{all}");
        }
    }
}

#[test]
fn a_registry_that_answers_as_one_is_not_asked_what_it_is() {
    let (source, registry) = (Source::new(), Registry::start());
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    assert!(!registry.lines().contains(&"GET /v2/".to_owned()), "{:?}", registry.lines());
}

#[test]
fn a_registry_whose_errors_are_pages_is_asked_once() {
    let quirks = Quirks::all().into_iter().find(|quirks| quirks.name == "artifactory").expect("a quirk");
    let registry = Registry::with(Setup { quirks: Quirks { absent_is_denied: false, ..quirks }, ..Setup::default() });
    let source = Source::new();
    publish(&source, &registry, "1.0.3", "nightly", &[]).ends(0);
    let asked = registry.lines().iter().filter(|line| *line == "GET /v2/").count();
    assert!(asked <= 1, "{:?}", registry.lines());
}
