//! A source that sends something else than what it was asked for.

use super::{CHART, RENAMED, copy, for_each, origin, store};
use crate::killed::walk::Holds;
use crate::support::registry::{Action, Fault, Registry, Setup};

/// More than all of the release, with what lies in buffers on the way.
const BOUND: u64 = 64 << 20;

/// What a registry may send in place of the right bytes.
fn lies() -> [(&'static str, Action); 4] {
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

/// The paths of everything that a copy reads by its digest.
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
fn a_source_that_sends_something_else_is_refused_and_the_target_has_no_tag() {
    let origin = origin();
    let (paths, lies) = (contents(&origin), lies());
    for_each(paths.len() * lies.len(), |number| {
        let (path, (lie, action)) = (&paths[number / lies.len()], &lies[number % lies.len()]);
        let (from, target) = (Registry::copy_of(&origin, Setup::default()), Registry::start());
        from.fail(Fault::every("GET", path.clone(), action.clone()));
        let (run, what) = (copy(&from, &store(&target), &RENAMED), format!("{lie} for {path}"));
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
fn a_lying_source_leaves_no_archive_and_no_tag_in_a_directory() {
    let origin = origin();
    let (paths, lies) = (contents(&origin), lies());
    let layer = paths.iter().find(|path| path.contains("control-plane/blobs/")).expect("a blob of the image");
    for (lie, action) in lies {
        let (from, directory) =
            (Registry::copy_of(&origin, Setup::default()), tempfile::tempdir().expect("a directory"));
        from.fail(Fault::every("GET", layer.clone(), action.clone()));
        let archive = directory.path().join("release.tar");
        let run = copy(&from, &format!("oci-archive:{}", archive.display()), &[]);
        assert!(matches!(run.code, Some(1 | 3 | 75)), "{lie}: {run:?}");
        assert_eq!(directory.path().read_dir().expect("a directory").count(), 0, "{lie}");
        let target = directory.path().join("store");
        let run = copy(&from, &format!("oci-layout:{}", target.display()), &[]);
        assert!(matches!(run.code, Some(1 | 3 | 75)), "{lie}: {run:?}");
        for repository in Holds::repositories(target.as_path()) {
            assert!(Holds::tags(target.as_path(), &repository).is_empty(), "{lie}: {repository}");
        }
    }
}

#[test]
fn signatures_come_along_from_a_registry_that_does_not_list_its_tags() {
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
