//! The page of a comparison in a real browser, served under the content security policy of Argo's UI.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::argo::stage::Stage;
use crate::support::programs::{Source, release, run};
use crate::support::published::with_images;
use crate::support::{missing, peer};

/// <https://github.com/argoproj/argo-workflows/blob/main/server/artifacts/artifact_server.go>
const POLICY: &str = "sandbox allow-same-origin; default-src 'none'; img-src 'self'; style-src 'self' 'unsafe-inline'";

fn browser() -> Option<PathBuf> {
    let found =
        ["chromium", "chromium-browser", "google-chrome", "chrome", "chrome-headless-shell"].into_iter().find_map(peer);
    if found.is_none() {
        missing("chromium is missing; get it by `tests/peers/install --system`");
    }
    found
}

/// Serves a page to every request, under the policy of Argo's UI.
fn serve(page: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 8192]);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Security-Policy: {POLICY}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                page.len()
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(page.as_bytes()));
        }
    });
    format!("http://{address}/report.html")
}

fn page() -> String {
    let source = Source::new();
    with_images(&source, &["1.0.4"]);
    let layout = source.layout();
    source.publish(&["--version", "1.0.3", "--channel", "nightly", "--store", &layout]).ends(0);
    let values = "ee/appliance/flux/profiles/single-node/values/temporal.single-node.yaml";
    source.append(values, "more: '<script>document.title = 1</script>'\n");
    source.publish(&["--version", "1.0.4", "--channel", "nightly", "--store", &layout]).ends(0);
    run(release().args(["diff", "1.0.3", "nightly", "--store", &layout, "--output", "html"])).ends(0).stdout
}

/// Returns the document that a browser makes of a page. The browser must refuse no part of the page and draw it.
fn shown(browser: &Path, page: String) -> String {
    let profile = tempfile::tempdir().expect("a directory");
    let profile_argument = format!("--user-data-dir={}", profile.path().display());
    let shot = profile.path().join("page.png");
    let screenshot = format!("--screenshot={}", shot.display());
    let url = serve(page);
    let mut results = Vec::new();
    for what in ["--dump-dom", &screenshot] {
        let mut command = Command::new(browser);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]);
        let output =
            command.args([&profile_argument, "--window-size=1200,1600", what, &url]).output().expect("a browser");
        results.push((
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ));
    }
    let (dom, log) = results.swap_remove(0);
    assert!(!log.contains("Content Security Policy"), "the policy allows every part of the page: {log}");
    assert!(std::fs::metadata(&shot).is_ok_and(|shot| shot.len() > 10_000), "the page was drawn");
    dom
}

#[test]
fn the_page_shows_under_the_policy_of_argo() {
    let Some(browser) = browser() else { return };
    let dom = shown(&browser, page());
    assert!(dom.contains("<title>alga-appliance: 1.0.3 (sha256:"), "no script changed the title: {dom}");
    assert!(dom.contains("&lt;script&gt;document.title = 1&lt;/script&gt;"), "{dom}");
}

#[test]
fn the_reports_of_a_workflow_show_under_the_policy_of_argo() {
    let (Some(browser), Some(mut stage)) = (browser(), Stage::new()) else { return };
    let published = stage.publish("1.0.3", &[]);
    let promote = [("promote-release", "true"), ("dry-run", "true"), ("appliance-release-version", "1.0.3")];
    let preview = stage.run(&promote);
    let _other = stage.other_source("feature");
    let refused = stage.publish("1.0.3", &[("appliance-release-source-ref", "feature")]);
    let reports =
        [(&published, "publish", "published 1.0.3"), (&preview, "preview", "1.0.3"), (&refused, "plan", "exit code 3")];
    for (ran, task, words) in reports {
        let report = ran.root.task(task).artifacts["report"].clone();
        let dom = shown(&browser, report);
        assert!(dom.contains(words), "{task}: {dom}");
    }
}
