//! As much of an API server as kubectl asks before it accepts an object: the kinds that exist, and that no object
//! exists yet. The responses are those of discovery:
//! <https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api>

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::programs::{Run, run};

/// Plural name, kind, and whether objects of the kind are namespaced.
type Kind = (&'static str, &'static str, bool);

/// The known kinds, by their API.
const KINDS: [(&str, &[Kind]); 4] = [
    ("v1", &[("namespaces", "Namespace", false), ("configmaps", "ConfigMap", true)]),
    (
        "source.toolkit.fluxcd.io/v1",
        &[("ocirepositories", "OCIRepository", true), ("helmrepositories", "HelmRepository", true)],
    ),
    ("kustomize.toolkit.fluxcd.io/v1", &[("kustomizations", "Kustomization", true)]),
    ("helm.toolkit.fluxcd.io/v2", &[("helmreleases", "HelmRelease", true)]),
];

/// An empty cluster with Flux installed. It ends with the test.
#[derive(Debug)]
pub struct Cluster {
    server: String,
}

impl Cluster {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let server = format!("http://{}", listener.local_addr().expect("an address"));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // kubectl sends several requests at once, and opens some connections that it does not use.
                std::thread::spawn(move || answer(stream));
            }
        });
        Self { server }
    }

    /// Runs `kubectl apply --dry-run=client` on a file. The accepted objects are printed by kind and name.
    pub fn apply(&self, kubectl: &Path, file: &Path) -> Run {
        let home = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(kubectl);
        command.env_clear().env("HOME", home.path()).stdin(Stdio::null());
        // Validation would need the definitions of the kinds. This server only knows which kinds exist.
        command.args(["apply", "--dry-run=client", "--validate=false", "--output", "name", "--server", &self.server]);
        run(command.args(["--kubeconfig", "/dev/null", "--filename"]).arg(file))
    }
}

/// Answers one request on each connection. The test does not fail when a client closes the connection.
fn answer(mut stream: TcpStream) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines().map_while(Result::ok);
    let first = lines.next()?;
    lines.find(String::is_empty)?;
    let path = first.split([' ', '?']).nth(1)?;
    let missing =
        || json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404 });
    let (status, body) = found(path).map_or_else(|| ("404 Not Found", missing()), |body| ("200 OK", body));
    let body = body.to_string();
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .ok()
}

fn found(path: &str) -> Option<Value> {
    match path {
        "/api" => Some(json!({ "kind": "APIVersions", "versions": ["v1"] })),
        "/apis" => {
            let groups = KINDS.iter().filter_map(|(api, _)| {
                api.split_once('/').map(|(group, version)| {
                    let version = json!({ "groupVersion": api, "version": version });
                    json!({ "name": group, "versions": [version], "preferredVersion": version })
                })
            });
            let groups: Vec<Value> = groups.collect();
            Some(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }))
        }
        _ => {
            let asked = path.strip_prefix("/apis/").or_else(|| path.strip_prefix("/api/"))?;
            let (api, kinds) = KINDS.iter().find(|(api, _)| *api == asked)?;
            let resource = |(plural, kind, namespaced): &Kind| json!({ "name": plural, "singularName": "", "kind": kind, "namespaced": namespaced, "verbs": ["create", "get", "patch"] });
            let resources: Vec<Value> = kinds.iter().map(resource).collect();
            Some(json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api, "resources": resources }))
        }
    }
}
