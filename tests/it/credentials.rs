//! Credentials: the places where they are searched, the order of these places, and the hosts that receive them.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::support::programs::{Run, Source, release, run};
use crate::support::registry::{Action, Auth, Elsewhere, Fault, Registry, Setup, Tokens};
use crate::support::{files_below, root};

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// Returns a registry that accepts only this user.
fn registry_of(username: &str, password: &str) -> Registry {
    let auth = Auth::Basic { username: username.to_owned(), password: password.to_owned() };
    Registry::with(Setup { auth, ..Setup::default() })
}

/// Returns all `Authorization` headers that the registry received.
fn seen(registry: &Registry) -> BTreeSet<String> {
    registry.log().into_iter().filter_map(|received| received.authorization).collect()
}

fn only(value: String) -> BTreeSet<String> {
    BTreeSet::from([value])
}

/// A home directory and a source tree.
struct Machine {
    source: Source,
    home: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        Self { source: Source::new(), home: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self, name: &str) -> String {
        self.home.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("written");
    }

    /// Writes docker's configuration file.
    fn docker(&self, json: &serde_json::Value) {
        self.write(".docker/config.json", &json.to_string());
    }

    /// Sets the answer of the credential helper for a server.
    fn answers(&self, server: &str, text: &str) {
        self.write(&format!("answers/{server}"), text);
    }

    fn publish(&self, registry: &Registry, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
        let store = format!("{}/org", registry.address());
        let mut all = vec!["--version", "1.0.3", "--channel", "nightly", "--store", &store];
        all.extend(arguments);
        let (home, answers) = (self.path(""), self.path("answers"));
        let path = format!("{}:/usr/bin:/bin", root("tests/it/support/bin").display());
        let mut variables = vec![("HOME", home.as_str()), ("HELPER_ANSWERS", &answers), ("PATH", &path)];
        variables.extend(environment);
        self.source.publish_in(&all, &variables)
    }
}

fn entry(user: &str, password: &str) -> serde_json::Value {
    serde_json::json!({ "auth": BASE64_STANDARD.encode(format!("{user}:{password}")) })
}

#[test]
fn the_first_place_that_has_credentials_wins_and_is_reported() {
    let places = [
        ("credentials: ALGA_REGISTRY_TOKEN\n", Some(("someone", "from-variable"))),
        ("credentials: ALGA_REGISTRY_TOKEN_FILE (", Some(("someone", "from-file"))),
        (".docker/config.json, `127.0.0.1:", Some(("docker", "d0cker"))),
        ("podman.json, `127.0.0.1:", Some(("podman", "p0dman"))),
        ("credentials: none, anonymous\n", None),
    ];
    for (from, (said, user)) in places.into_iter().enumerate() {
        // Every place from this one on has credentials.
        let (machine, registry) = (Machine::new(), registry_of("stranger", "knows"));
        let auths = |user, password| serde_json::json!({ "auths": { registry.address(): entry(user, password) } });
        machine.write("token", "from-file\n");
        machine.write("podman.json", &auths("podman", "p0dman").to_string());
        if from <= 2 {
            machine.docker(&auths("docker", "d0cker"));
        }
        let (podman, token) = (machine.path("podman.json"), machine.path("token"));
        let variables = [
            (0, ("ALGA_REGISTRY_TOKEN", "from-variable")),
            (1, ("ALGA_REGISTRY_TOKEN_FILE", token.as_str())),
            (3, ("REGISTRY_AUTH_FILE", podman.as_str())),
            (4, ("ALGA_REGISTRY_USERNAME", "someone")),
        ];
        let set = variables.into_iter().filter(|(last, _)| from <= *last).map(|(_, variable)| variable);
        machine.publish(&registry, &[], &set.collect::<Vec<_>>()).ends(4).says(&[said]);
        assert_eq!(seen(&registry), user.map(|(user, password)| basic(user, password)).into_iter().collect());
    }
}

#[test]
fn a_comparison_of_two_stores_sends_each_store_only_its_own_credentials() {
    let machine = Machine::new();
    let (near, far) = (registry_of("alice", "near-word"), registry_of("bob", "far-word"));
    let whose = |user, password| [("ALGA_REGISTRY_USERNAME", user), ("ALGA_REGISTRY_TOKEN", password)];
    machine.source.write("alga-release.yaml", "publicRead: false\n");
    machine.publish(&near, &[], &whose("alice", "near-word")).ends(0);
    machine.publish(&far, &[], &whose("bob", "far-word")).ends(0);
    let (store, other) = (format!("{}/org", near.address()), format!("{}/org", far.address()));
    let diff = |home: &str, variables: &[(&str, &str)]| {
        near.clear_log();
        far.clear_log();
        let mut command = release();
        command.args(["diff", "nightly", "1.0.3", "--retry-for", "0", "--store", &store, "--other-store", &other]);
        run(command.env("HOME", home).envs(variables.iter().copied()))
    };
    let (alice, bob) = (basic("alice", "near-word"), basic("bob", "far-word"));
    // Credentials that are passed to the program are for the first store only.
    diff("/nonexistent", &whose("alice", "near-word")).ends(4).says(&[&far.address(), "none, anonymous"]);
    // The refusal of the second store may end the run before the first store has asked for credentials.
    assert!(seen(&near).is_subset(&only(alice.clone())));
    assert_eq!(seen(&far), BTreeSet::new());
    machine.docker(&serde_json::json!({ "auths": { far.address(): entry("bob", "far-word") } }));
    let home = machine.path("");
    diff(&home, &whose("alice", "near-word")).ends(0);
    assert_eq!((seen(&near), seen(&far)), (only(alice.clone()), only(bob.clone())));
    // Credentials in the file for the second store are not sent to the first store.
    diff(&home, &[]).ends(4).says(&[&near.address()]);
    assert_eq!(seen(&near), BTreeSet::new());
    machine.docker(&serde_json::json!({ "auths": {
        near.address(): entry("alice", "near-word"), far.address(): entry("bob", "far-word")
    } }));
    diff(&home, &[]).ends(0);
    assert_eq!((seen(&near), seen(&far)), (only(alice), only(bob)));
}

#[test]
fn a_password_from_standard_input_has_precedence() {
    let (machine, registry) = (Machine::new(), registry_of("alice", "over-the-pipe"));
    let tree = machine.source.path("");
    let store = format!("{}/org", registry.address());
    let mut command = Command::new(env!("CARGO_BIN_EXE_alga-release"));
    command.arg("publish").arg(&tree).args(["--version", "1.0.3", "--channel", "nightly", "--store", &store]);
    command.args(["--source-commit", &"a".repeat(40), "--epoch", "1700000000", "--image-check", "off"]);
    command.args(["--username", "alice", "--password-stdin"]).env_clear().env("ALGA_REGISTRY_TOKEN", "other");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("started");
    child.stdin.take().expect("a pipe").write_all(b"over-the-pipe\n").expect("written");
    let output = child.wait_with_output().expect("ended");
    let said = String::from_utf8_lossy(&output.stderr);
    // The channel does not move, because the public cannot read this registry.
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("credentials: standard input\n"), "{said}");
    assert_eq!(seen(&registry), only(basic("alice", "over-the-pipe")));
    assert!(registry.tags("org/alga-appliance-release").contains_key("1.0.3"));
}

#[test]
fn a_directory_needs_no_credentials() {
    let machine = Machine::new();
    machine.write(".docker/config.json", "broken");
    let layout = machine.source.layout();
    let arguments = ["--version", "1.0.3", "--channel", "nightly", "--store", &layout];
    let environment = [("ALGA_REGISTRY_TOKEN_FILE", "/nonexistent/token"), ("HOME", &machine.path(""))];
    let run = machine.source.publish_in(&arguments, &environment).ends(0);
    assert!(!run.stderr.contains("credentials"), "{}", run.stderr);
}

#[test]
fn podman_keeps_credentials_for_parts_of_a_registry() {
    let (machine, registry) = (Machine::new(), registry_of("team", "deep"));
    let host = registry.address();
    let auths = serde_json::json!({
        &host: entry("host", "wide"), format!("{host}/org"): entry("team", "deep"), format!("{host}/or"): entry("x", "y"),
    });
    machine.write("run/containers/auth.json", &serde_json::json!({ "auths": auths }).to_string());
    let runtime = machine.path("run");
    machine.publish(&registry, &["--no-channel"], &[("XDG_RUNTIME_DIR", &runtime)]).ends(0);
    assert_eq!(seen(&registry), only(basic("team", "deep")));
}

#[test]
fn credential_helpers_are_called_by_their_protocol() {
    let (machine, registry) = (Machine::new(), registry_of("helped", "by-helper"));
    let host = registry.address();
    machine.answers(&host, r#"{"ServerURL":"x","Username":"helped","Secret":"by-helper"}"#);
    for file in [
        serde_json::json!({ "credHelpers": { &host: "fixture", "other.example": "absent" }, "credsStore": "absent" }),
        serde_json::json!({ "auths": { &host: {} }, "credsStore": "fixture" }),
    ] {
        machine.docker(&file);
        let run = machine.publish(&registry, &["--no-channel"], &[]).ends(0);
        run.says(&[&format!("credentials: docker-credential-fixture for {host}, named by ")]);
        assert_eq!(seen(&registry), only(basic("helped", "by-helper")));
    }
    let asked = files_below(Path::new(&machine.path("answers"))).remove("asked").expect("asked");
    assert_eq!(String::from_utf8_lossy(&asked), format!("get {host}\n").repeat(2));
}

#[test]
fn a_helper_without_credentials_does_not_fail_and_the_next_place_is_searched() {
    let (machine, registry) = (Machine::new(), registry_of("podman", "p0dman"));
    let host = registry.address();
    machine.docker(&serde_json::json!({ "credsStore": "fixture" }));
    machine.write("answers/keep", "");
    let podman = serde_json::json!({ "auths": { &host: entry("podman", "p0dman") } }).to_string();
    machine.write(".config/containers/auth.json", &podman);
    machine.publish(&registry, &["--no-channel"], &[]).ends(0).says(&["containers/auth.json, `"]);
    assert_eq!(seen(&registry), only(basic("podman", "p0dman")));
}

#[test]
fn a_helper_that_is_missing_or_fails_is_named_and_never_quoted() {
    let (machine, registry) = (Machine::new(), registry_of("a", "b"));
    let host = registry.address();
    machine.docker(&serde_json::json!({ "credHelpers": { &host: "absent" } }));
    let run = machine.publish(&registry, &[], &[]).ends(4);
    run.says(&["cannot start docker-credential-absent", &host, ".docker/config.json", "--password-stdin"]);

    machine.docker(&serde_json::json!({ "credHelpers": { &host: "fixture" } }));
    machine.answers("failure", "locked: the secret is s3cret-of-helper");
    let run = machine.publish(&registry, &[], &[]).ends(4).says(&["docker-credential-fixture", "ended with an error"]);
    assert!(!run.stderr.contains("s3cret"), "{}", run.stderr);
    for answer in [r#"{"Username":"a","Secret":["s3cret"]}"#, "s3cret", r#"{"Username":"s3cret"}"#] {
        machine.answers(&host, answer);
        let run = machine
            .publish(&registry, &[], &[])
            .ends(4)
            .says(&["docker-credential-fixture", "does not follow the protocol"]);
        assert!(!run.stderr.contains("s3cret"), "{}", run.stderr);
    }
    machine.docker(&serde_json::json!({ "credHelpers": { &host: "../../bin/sh" } }));
    machine.publish(&registry, &[], &[]).ends(9).says(&["expected a name, not a path"]);
    assert!(registry.log().is_empty());
}

/// Returns a registry that accepts only the identity token `identity-secret`. Its token server may be on another host.
fn identity_registry(tokens: bool, tls: bool) -> Registry {
    let user = Some(("stranger".to_owned(), "knows".to_owned()));
    Registry::with(Setup {
        auth: Auth::Token { realm: None, user },
        tokens: Tokens { refresh: Some("identity-secret".to_owned()), ..Tokens::default() },
        elsewhere: Elsewhere { tokens, tls, ..Elsewhere::default() },
        ..Setup::default()
    })
}

#[test]
fn an_identity_token_is_exchanged_at_the_token_server() {
    let user = Some(("alice".to_owned(), "another-secret".to_owned()));
    let tokens = Tokens { refresh: Some("identity-secret".to_owned()), ..Tokens::default() };
    let registry = Registry::with(Setup { auth: Auth::Token { realm: None, user }, tokens, ..Setup::default() });
    let (machine, host) = (Machine::new(), registry.address());
    machine.answers(&host, r#"{"Username":"<token>","Secret":"identity-secret"}"#);
    for file in [
        serde_json::json!({ "credsStore": "fixture" }),
        serde_json::json!({ "auths": { &host: { "auth": "MDAwOg==", "identitytoken": "identity-secret" } } }),
    ] {
        machine.docker(&file);
        registry.clear_log();
        machine.publish(&registry, &["--no-channel"], &[]).ends(0);
        let tokens: Vec<_> = registry.log().into_iter().filter(|received| received.path == "/token").collect();
        assert!(!tokens.is_empty());
        for asked in tokens {
            assert_eq!((asked.method.as_str(), asked.query.as_str()), ("POST", ""));
            assert_eq!((asked.authorization, asked.body > 0), (None, true));
            assert_eq!(asked.content_type.as_deref(), Some("application/x-www-form-urlencoded"));
        }
    }
    let wrong = serde_json::json!({ "auths": { &host: { "identitytoken": "identity-wrong" } } });
    machine.docker(&wrong);
    let run = machine.publish(&registry, &["--no-channel"], &[]).ends(4);
    assert!(!run.stderr.contains("identity-wrong"), "{}", run.stderr);
}

#[tokio::test]
async fn an_identity_token_goes_to_a_token_server_on_another_host_only_when_allowed_and_over_tls() {
    use alga_release::oci::{Content, Credentials, Kind, Location, Options, Store};

    for (named, tls, kind) in [(true, true, None), (true, false, Some(Kind::Denied)), (false, true, Some(Kind::Denied))]
    {
        let registry = identity_registry(true, tls);
        let location = Location::parse(&registry.url(), false).expect("a location");
        let credentials = Credentials::IdentityToken("identity-secret".to_owned().into());
        assert!(!format!("{credentials:?}").contains("identity-secret"));
        let auth_realms = if named { vec!["127.0.0.2".to_owned()] } else { Vec::new() };
        let options = Options { credentials, auth_realms, ca: registry.certificates(), ..Options::default() };
        let store = Store::open(&location, options).expect("a store");
        let pushed = store.push_blob(&"x".parse().expect("a name"), &Content::new("x/y", "z")).await;
        assert_eq!(pushed.as_ref().err().map(alga_release::oci::Error::kind), kind, "{pushed:?}");
        let log: Vec<_> = registry.log().into_iter().filter(|received| received.elsewhere).collect();
        assert_eq!(log.is_empty(), kind.is_some(), "{log:?}");
        assert!(log.iter().all(|received| received.method == "POST" && received.path == "/token"), "{log:?}");
    }
}

#[test]
fn an_invalid_file_is_reported_with_the_place_and_never_quoted() {
    let (machine, registry) = (Machine::new(), registry_of("a", "b"));
    let host = registry.address();
    for (json, what) in [
        (r#"{"auths": "s3cret"}"#.to_owned(), "not in the format of docker and podman at line 1"),
        (format!(r#"{{"auths":{{"{host}":{{"auth":["s3cret"]}}}}}}"#), "not in the format of"),
        (r#"{"auths": {s3cret"#.to_owned(), "not JSON at line 1, column"),
        (format!(r#"{{"auths":{{"{host}":{{"auth":"s3cret"}}}}}}"#), "invalid `auth` of"),
    ] {
        machine.write(".docker/config.json", &json);
        let run = machine.publish(&registry, &[], &[]).ends(9).says(&[".docker/config.json", what]);
        assert!(!run.stderr.contains("s3cret"), "{}", run.stderr);
    }
    machine.write(".docker/config.json", &"x".repeat((1 << 20) + 1));
    machine.publish(&registry, &[], &[]).ends(9).says(&["larger than the limit of 1 MiB"]);
    assert!(registry.log().is_empty());
    // Credentials that are passed to the program do not need the file.
    machine.publish(&registry, &[], &[("ALGA_REGISTRY_TOKEN", "x")]).ends(4).says(&["401"]);
}

#[test]
fn images_of_another_registry_are_read_with_the_credentials_of_that_registry() {
    let (machine, registry) = (Machine::new(), Registry::start());
    let (known, unknown) = (registry_of("reader", "of-elsewhere"), registry_of("stranger", "knows"));
    machine.docker(&serde_json::json!({ "auths": {
        known.address(): entry("wide", "wrong"), format!("{}/apps/core", known.address()): entry("reader", "of-elsewhere"),
    } }));
    known.put_manifest("apps/core", Some("1"), "sha256:x", "application/vnd.oci.image.manifest.v1+json", b"{}");
    let configuration = |name: &str| format!("images:\n  algaCore: {name}\n");
    let arguments = ["--no-channel", "--image-check", "require", "--image", "algaCore=1", "--dry-run"];
    let environment = [("ALGA_REGISTRY_TOKEN", "for-the-store")];
    machine.source.write("alga-release.yaml", &configuration(&format!("{}/apps/core", known.address())));
    let run = machine.publish(&registry, &arguments, &environment);
    run.says(&[&format!("credentials of {}/apps/core: ", known.address())]);
    assert_eq!(seen(&known), only(basic("reader", "of-elsewhere")));
    machine.source.write("alga-release.yaml", &configuration(&format!("{}/apps/core", unknown.address())));
    machine.publish(&registry, &arguments, &environment).ends(4);
    assert_eq!(seen(&unknown), BTreeSet::new());
}

#[test]
fn secrets_never_appear_in_output() {
    let secret = "c0rrect-horse-battery";
    let encoded = BASE64_STANDARD.encode(format!("alice:{secret}"));
    let setup = || {
        let user = Some(("alice".to_owned(), secret.to_owned()));
        Registry::with(Setup { auth: Auth::Token { realm: None, user }, ..Setup::default() })
    };
    let refusal = |status| {
        let body = r#"{"errors":[{"code":"DENIED","message":"no"}]}"#;
        Action::Status(status, Vec::new(), body.as_bytes().to_vec())
    };
    let faults: Vec<Option<Fault>> = vec![
        None,
        Some(Fault::every("GET", "/token", refusal(401))),
        Some(Fault::every("POST", "/blobs/uploads/", refusal(403))),
        Some(Fault::every("PUT", "/manifests/", refusal(400))),
        Some(Fault::every("PUT", "/manifests/", Action::Redirect("http://user:pass@127.0.0.1:1/x".to_owned()))),
        Some(Fault::every("PUT", "/blobs/", Action::CloseBeforeResponse)),
    ];
    for (count, fault) in faults.into_iter().enumerate() {
        let (machine, registry) = (Machine::new(), setup());
        let fails = fault.is_some();
        if let Some(fault) = fault {
            registry.fail(fault);
        }
        for output in [&["--output", "json", "--log-format", "json"][..], &["--output", "text"]] {
            let arguments = [&["--no-channel", "--retry-for", "0"][..], output].concat();
            let environment = [("ALGA_REGISTRY_TOKEN", secret), ("ALGA_REGISTRY_USERNAME", "alice")];
            let run = machine.publish(&registry, &arguments, &environment);
            assert_eq!(run.code != Some(0), fails, "{count}: {}{}", run.stdout, run.stderr);
            for shown in [&run.stdout, &run.stderr] {
                assert!(!shown.contains(secret) && !shown.contains(&encoded), "{count}: {shown}");
                assert!(!shown.contains(":pass@"), "{count}: {shown}");
            }
        }
        // The check is meaningful only if the registry did receive the secret.
        assert!(
            registry.log().iter().any(|received| received.authorization.as_ref() == Some(&basic("alice", secret))),
            "{count}"
        );
    }
}
