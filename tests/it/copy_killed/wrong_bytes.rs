//! A source that sends other bytes than those that were requested.

use super::{CHART, RENAMED, copy, for_each, origin, store};
use crate::killed::walk::Holds;
use crate::support::registry::{Action, Fault, Registry, Setup};

/// Upper limit for the bytes that are taken. It is larger than the whole release, and includes the buffers on the way.
const BOUND: u64 = 64 << 20;

/// Wrong answers that a registry may send instead of the right bytes.
fn wrong_answers() -> [(&'static str, Action); 4] {
    [
        ("a wrong byte", Action::CorruptBody),
        ("a byte too few", Action::Truncate(1)),
        ("a byte too many", Action::Longer(1)),
        ("bytes without end", Action::Endless),
    ]
}

#[track_caller]
fn has_no_tag(target: &Registry, what: &str) {
    for repository in Holds::repositories(target) {
        assert!(Holds::tags(target, &repository).is_empty(), "{what}: {repository}");
    }
}

/// Returns the paths of everything that a copy reads by digest.
fn contents(origin: &Registry) -> Vec<String> {
    origin.clear_log();
    copy(origin, &store(&Registry::start()), &RENAMED).ends(0);
    let asked = origin.log().into_iter().filter(|received| received.method == "GET").map(|received| received.path);
    let mut paths: Vec<String> =
        asked.filter(|path| path.contains("/sha256:") && !path.contains("/referrers/")).collect();
    paths.sort();
    paths.dedup();
    assert!(
        ["/blobs/", "/manifests/"].iter().all(|kind| paths.iter().filter(|path| path.contains(kind)).count() > 5),
        "{paths:?}"
    );
    paths
}

#[test]
fn a_source_that_sends_wrong_bytes_is_refused_and_the_target_gets_no_tag() {
    let origin = origin();
    let (paths, wrong_answers) = (contents(&origin), wrong_answers());
    for_each(paths.len() * wrong_answers.len(), |number| {
        let (path, (name, action)) =
            (&paths[number / wrong_answers.len()], &wrong_answers[number % wrong_answers.len()]);
        let (from, target) = (Registry::copy_of(&origin, Setup::default()), Registry::start());
        from.fail(Fault::every("GET", path.clone(), action.clone()));
        let (run, what) = (copy(&from, &store(&target), &RENAMED), format!("{name} for {path}"));
        assert!(matches!(run.code, Some(1 | 3 | 75)), "{what}: {run:?}");
        let digest = path.rsplit('/').next().expect("a digest");
        assert!(run.stderr.contains(digest) && !run.stderr.contains("panicked"), "{what}: {run:?}");
        assert!(from.sent() < BOUND, "{what}: {} bytes were taken", from.sent());
        has_no_tag(&target, &what);
        from.heal();
        copy(&from, &store(&target), &RENAMED).ends(0);
    });
}

#[test]
fn a_source_that_sends_wrong_bytes_leaves_no_archive_and_no_tag_in_a_directory() {
    let origin = origin();
    let (paths, wrong_answers) = (contents(&origin), wrong_answers());
    let layer = paths.iter().find(|path| path.contains("control-plane/blobs/")).expect("a blob of the image");
    for (name, action) in wrong_answers {
        let (from, directory) =
            (Registry::copy_of(&origin, Setup::default()), tempfile::tempdir().expect("a directory"));
        from.fail(Fault::every("GET", layer.clone(), action.clone()));
        let archive = directory.path().join("release.tar");
        let run = copy(&from, &format!("oci-archive:{}", archive.display()), &[]);
        assert!(matches!(run.code, Some(1 | 3 | 75)), "{name}: {run:?}");
        assert_eq!(directory.path().read_dir().expect("a directory").count(), 0, "{name}");
        let target = directory.path().join("store");
        let run = copy(&from, &format!("oci-layout:{}", target.display()), &[]);
        assert!(matches!(run.code, Some(1 | 3 | 75)), "{name}: {run:?}");
        for repository in Holds::repositories(target.as_path()) {
            assert!(Holds::tags(target.as_path(), &repository).is_empty(), "{name}: {repository}");
        }
    }
}

#[test]
fn signatures_are_copied_from_a_registry_that_does_not_list_its_tags() {
    let (origin, undisturbed) = (origin(), Registry::start());
    copy(&origin, &store(&undisturbed), &RENAMED).ends(0);
    let expected = Holds::tags(&undisturbed, CHART);
    assert!(expected.keys().any(|tag| tag.starts_with("sha256-")), "{expected:?}");
    for (status, body) in [(403, ""), (404, ""), (405, ""), (200, "<html>Sign in</html>")] {
        let target = Registry::start();
        origin.heal();
        origin.fail(Fault::every("GET", "/tags/list", Action::status(status, body)));
        copy(&origin, &store(&target), &RENAMED).ends(0);
        assert_eq!(Holds::tags(&target, CHART), expected, "{status} {body}");
    }
}
