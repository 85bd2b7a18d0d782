//! Connections to a registry: certificates that are trusted, and proxies on the way.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::support::docker_registry::{DockerRegistry, PASSWORD, USER};
use crate::support::programs::{Run, Source, release, resolve, resolving, run};
use crate::support::proxy::Proxy;
use crate::support::registry::{Action, Auth, Fault, Registry, Setup};
use crate::support::root;
use crate::support::token_server::TokenServer;

const RELEASES: &str = "org/alga-appliance-release";

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

fn registry_of(username: &str, password: &str, tls: bool) -> Registry {
    let auth = Auth::Basic { username: username.to_owned(), password: password.to_owned() };
    Registry::with(Setup { auth, tls, ..Setup::default() })
}

/// Returns a source tree, and the path of a file beside the tree with the certificate of the registry.
fn source_for(registry: &Registry) -> (Source, String) {
    let source = Source::new();
    let path = source.path("../ca.pem");
    std::fs::write(&path, registry.ca()).expect("written");
    let path = path.display().to_string();
    (source, path)
}

fn publish(source: &Source, store: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
    let mut all = vec!["--version", "1.0.3", "--channel", "nightly", "--retry-for", "0", "--store", store];
    all.extend(arguments);
    source.publish_in(&all, environment)
}

#[test]
fn https_goes_through_a_tunnel_and_each_side_only_gets_its_own_credentials() {
    let registry = registry_of("alice", "for-registry", true);
    let (source, ca) = source_for(&registry);
    let proxy = Proxy::to(&registry.address());
    let url = proxy.url();
    let environment =
        [("HTTPS_PROXY", url.as_str()), ("ALGA_REGISTRY_TOKEN", "for-registry"), ("ALGA_REGISTRY_USERNAME", "alice")];
    let run = publish(&source, "registry.example/org", &["--ca-file", &ca, "--no-channel"], &environment).ends(0);
    assert!(!run.stderr.contains("proxy-pass") && !run.stdout.contains("proxy-pass"), "{}", run.stderr);
    assert!(registry.tags(RELEASES).contains_key("1.0.3"));
    let heads = proxy.heads();
    assert!(!heads.is_empty());
    let expected = format!("proxy-authorization: {}", basic("proxy-user", "proxy-pass"));
    for head in heads {
        assert!(head.starts_with("CONNECT registry.example:443 "), "{head}");
        assert!(head.contains(&expected) && !head.contains("\nauthorization: "), "{head}");
    }
    let log = registry.log();
    assert!(log.iter().any(|received| received.authorization == Some(basic("alice", "for-registry"))));
    assert!(log.iter().all(|received| received.proxy_authorization.is_none()), "{log:?}");
}

#[test]
fn plain_http_is_forwarded_by_the_proxy() {
    let registry = registry_of("alice", "for-registry", false);
    let (source, _) = source_for(&registry);
    let proxy = Proxy::to(&registry.address());
    let url = proxy.url();
    let environment =
        [("HTTP_PROXY", url.as_str()), ("ALGA_REGISTRY_TOKEN", "for-registry"), ("ALGA_REGISTRY_USERNAME", "alice")];
    let arguments = ["--plain-http", "--no-channel"];
    publish(&source, "registry.example/org", &arguments, &environment).ends(0);
    assert!(registry.tags(RELEASES).contains_key("1.0.3"));
    assert!(proxy.heads().iter().all(|head| head.contains(" http://registry.example/v2/org/")), "{:?}", proxy.heads());
    assert_eq!(proxy.heads().len(), registry.log().len());
}

#[test]
fn requests_to_this_machine_never_go_through_a_proxy() {
    let proxy = Proxy::to("127.0.0.1:1");
    let url = proxy.url();
    let environment = [("HTTP_PROXY", url.as_str()), ("HTTPS_PROXY", &url), ("ALL_PROXY", &url), ("http_proxy", &url)];
    for (tls, host) in [(false, "127.0.0.1"), (true, "127.0.0.1"), (false, "localhost")] {
        let registry = Registry::with(Setup { tls, ..Setup::default() });
        let (source, ca) = source_for(&registry);
        let store = format!("{}/org", registry.url().replace("127.0.0.1", host));
        let arguments: &[&str] = if tls { &["--ca-file", &ca] } else { &[] };
        publish(&source, &store, arguments, &environment).ends(0);
    }
    assert!(proxy.heads().is_empty(), "{:?}", proxy.heads());
}

#[test]
fn requests_to_hosts_in_no_proxy_go_directly() {
    let (registry, proxy) = (Registry::start(), Proxy::to("127.0.0.1:1"));
    let (source, _) = source_for(&registry);
    // An address of this machine that is not recognized as loopback.
    let store = format!("{}/org", registry.address().replace("127.0.0.1", "0.0.0.0"));
    let url = proxy.url();
    publish(&source, &store, &["--plain-http"], &[("HTTP_PROXY", &url), ("NO_PROXY", "a.example,0.0.0.0")]).ends(0);
    assert!(proxy.heads().is_empty());
    publish(&source, &store, &["--plain-http"], &[("HTTP_PROXY", &url)]).ends(75);
    assert!(!proxy.heads().is_empty());
}

#[test]
fn certificates_of_the_system_and_given_ones_are_trusted() {
    let registry = Registry::with(Setup { tls: true, ..Setup::default() });
    let (source, ca) = source_for(&registry);
    let store = format!("{}/org", registry.url());
    let directory = source.path("../certificates");
    std::fs::create_dir(&directory).expect("a directory");
    std::fs::copy(&ca, directory.join("own.pem")).expect("copied");
    let directory = directory.display().to_string();
    publish(&source, &store, &[], &[]).ends(1).says(&["not trusted", "--ca-file"]);
    assert!(registry.log().is_empty());
    publish(&source, &store, &["--ca-file", &ca], &[]).ends(0);
    publish(&source, &store, &[], &[("SSL_CERT_FILE", &ca)]).ends(0);
    publish(&source, &store, &[], &[("SSL_CERT_DIR", &directory)]).ends(0);
    resolve(&["resolve", "nightly", "--store", &store]).ends(1);
    resolve(&["resolve", "nightly", "--store", &store, "--ca-file", &ca]).ends(0);
}

#[test]
fn a_file_without_certificates_is_named() {
    let registry = Registry::with(Setup { tls: true, ..Setup::default() });
    let (source, ca) = source_for(&registry);
    let store = format!("{}/org", registry.url());
    let broken = source.path("../broken.pem").display().to_string();
    for text in ["", "junk", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&broken, text).expect("written");
        publish(&source, &store, &["--ca-file", &broken], &[]).ends(9).says(&[
            "--ca-file",
            "broken.pem",
            "certificates",
        ]);
        publish(&source, &store, &[], &[("SSL_CERT_FILE", &broken)]).ends(9).says(&["SSL_CERT_FILE", "broken.pem"]);
        resolve(&["resolve", "nightly", "--store", &store, "--ca-file", &broken]).ends(9).says(&["broken.pem"]);
    }
    publish(&source, &store, &["--ca-file", "/nonexistent/ca.pem"], &[]).ends(9).says(&["/nonexistent/ca.pem"]);
    publish(&source, &store, &["--ca-file", &ca, "--insecure"], &[]).ends(9);
    assert!(registry.log().is_empty());
}

#[test]
fn insecure_accepts_any_certificate_and_warns_each_time() {
    let registry = Registry::with(Setup { tls: true, ..Setup::default() });
    let (source, _) = source_for(&registry);
    let store = format!("{}/org", registry.url());
    for _ in 0..2 {
        publish(&source, &store, &["--insecure", "--quiet"], &[])
            .ends(0)
            .says(&["warning: the certificate of ", " is not verified"]);
    }
    let plain = format!("{}/other", Registry::start().address());
    let run = publish(&source, &plain, &["--insecure"], &[]);
    assert!(!run.stderr.contains("--insecure"), "{}", run.stderr);
}

#[test]
fn credentials_of_github_are_only_sent_to_its_own_registry() {
    let registry = registry_of("token", "github-secret", true);
    let (source, ca) = source_for(&registry);
    let proxy = Proxy::to(&registry.address());
    let url = proxy.url();
    let path = format!("{}:/usr/bin:/bin", root("tests/it/support/github").display());
    let arguments = ["--ca-file", &ca, "--no-channel"];
    for (variables, said) in [
        (&[("GH_TOKEN", "github-secret"), ("GITHUB_TOKEN", "other")][..], "credentials: GH_TOKEN\n"),
        (&[("GITHUB_TOKEN", "github-secret")], "credentials: GITHUB_TOKEN\n"),
        (&[("PATH", path.as_str()), ("GH_FIXTURE_TOKEN", "github-secret")], "credentials: `gh auth token`\n"),
    ] {
        let environment = [&[("HTTPS_PROXY", url.as_str())][..], variables].concat();
        registry.clear_log();
        publish(&source, "ghcr.io/org", &arguments, &environment).ends(0).says(&[said]);
        assert!(registry.log().iter().any(|received| received.authorization == Some(basic("token", "github-secret"))));
        registry.clear_log();
        let run = publish(&source, "registry.example/org", &arguments, &environment).ends(4);
        run.says(&["credentials: none, anonymous\n"]);
        assert!(registry.log().iter().all(|received| received.authorization.is_none()));
    }
    // `gh` is installed but not logged in.
    let environment = [("HTTPS_PROXY", url.as_str()), ("PATH", &path)];
    publish(&source, "ghcr.io/org", &arguments, &environment).ends(4).says(&["anonymous (`gh auth token` gave none)"]);
}

#[test]
fn the_time_for_retries_needs_a_unit() {
    let arguments = ["publish", ".", "--version", "1.0.3", "--channel", "nightly", "--retry-for", "5 minutes or so"];
    run(release().args(arguments)).ends(9).says(&["--retry-for", "`90s`, `5m`, `1h` or `0`"]);
}

#[test]
fn a_registry_that_fails_for_a_while_is_retried_and_the_wait_is_reported() {
    let registry = Registry::start();
    let (source, _) = source_for(&registry);
    let store = format!("{}/org", registry.address());
    let failing = |method, path| Fault::first(method, path, Action::Status(503, Vec::new(), Vec::new()));
    registry.fail(failing("POST", "/blobs/uploads/"));
    let arguments = ["--version", "1.0.3", "--channel", "nightly", "--store", &store];
    source.publish(&[&arguments[..], &["--retry-for", "0"]].concat()).ends(75);
    registry.heal();
    // The first run did not send this kind of request.
    registry.fail(failing("PUT", "/manifests/"));
    let run = source.publish(&[&arguments[..], &["--retry-for", "1h", "--log-format", "json"]].concat()).ends(0);
    let said: Vec<serde_json::Value> =
        run.stderr.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let waits = |line: &&serde_json::Value| line["message"].as_str().is_some_and(|text| text.contains("retrying in"));
    assert_eq!(said.iter().filter(waits).count(), 1, "{}", run.stderr);
    assert!(registry.tags(RELEASES).contains_key("nightly"));
}

/// Sets up a registry as companies have it: TLS with a private CA, a separate token server, and a proxy on the way.
#[test]
fn independent_registries_with_tokens_are_published_to_over_tls_and_through_a_proxy() {
    let tokens = TokenServer::start();
    for (registry, ca) in DockerRegistry::each_with_tokens(&tokens) {
        let (source, proxy) = (Source::new(), Proxy::to(registry.address()));
        let path = source.path("../ca.pem");
        std::fs::write(&path, format!("{ca}{}", tokens.ca)).expect("written");
        let (path, url) = (path.display().to_string(), proxy.url());
        let of = |password| {
            let who = [("ALGA_REGISTRY_USERNAME", USER), ("ALGA_REGISTRY_TOKEN", password)];
            [("HTTPS_PROXY", url.as_str()), who[0], who[1]]
        };
        // The token server is on another host, so it receives no request unless it is allowed by a flag.
        let untold = tokens.queries().len();
        publish(&source, "registry.example/org", &["--ca-file", &path], &of(PASSWORD))
            .ends(4)
            .says(&["the token server https://127.0.0.1:", "pass `--auth-realm 127.0.0.1`"]);
        assert_eq!(tokens.queries().len(), untold);
        let arguments = ["--ca-file", &path, "--auth-realm", "127.0.0.1"];
        // With a wrong password, the token server only grants permission to pull.
        let refused = publish(&source, "registry.example/org", &arguments, &of("wrong-secret")).ends(4);
        assert!(!refused.stderr.contains("wrong-secret"), "{}", refused.stderr);
        refused.says(&["repository:org/", ":pull,push"]);
        let before = tokens.queries().len();
        publish(&source, "registry.example/org", &arguments, &of(PASSWORD)).ends(0);
        assert!(
            proxy.heads().iter().all(|head| head.starts_with("CONNECT registry.example:443 ")),
            "{:?}",
            proxy.heads()
        );

        // One token serves all requests for a repository.
        let mut queries = tokens.queries().split_off(before);
        queries.retain(|query| query.ends_with(":pull,push"));
        let count = queries.len();
        queries.sort();
        queries.dedup();
        assert_eq!((count, queries.len()), (7, 7), "{queries:?}");

        let mut resolve = resolving(&["resolve", "nightly", "--store", "registry.example/org", "--ca-file", &path]);
        let resolved = run(resolve.env("HTTPS_PROXY", &url)).ends(0);
        assert_eq!(resolved.json()["version"], "1.0.3");
    }
}
