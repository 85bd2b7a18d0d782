//! The images: how large they are, how long after its start a container asks the registry something, and a publication inside of
//! one beside the same outside. Judges nothing.
//!
//! `ALGA_STATIC=DIR cargo bench --profile dev --bench container`, as root; `DIR` has both programs linked statically, as the `Containerfile` links
//! them. Instead of a runtime, `unshare` and `chroot` start what is in the image: a mount namespace of its own, a root that
//! cannot be written, a user that nobody knows.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods, reason = "a bench talks to people")]

#[allow(dead_code, reason = "shared with another bench")]
mod peers;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use peers::{Registry, timed, which};

/// Rounds of each; the median is printed.
const ROUNDS: usize = 25;

const CONTAINER: &str =
    "mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\" && mount --bind \"$2\" \"$1/work\" || exit 99
    root=$1; shift 2; exec chroot --userspec=65532:65532 --groups= \"$root\" \"$@\"";

fn main() {
    let programs = std::env::var_os("ALGA_STATIC").map(PathBuf::from);
    let (Some(programs), Some(_), Some(_)) = (programs, which("buildah"), which("docker-registry")) else {
        println!("skipped: it needs ALGA_STATIC, buildah and docker-registry: tests/peers/install --system");
        return;
    };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let here = directory.path();
    let images = Images::built(here, &programs);
    for (target, names) in [("publisher", &["alga-release", "alga-resolve"][..]), ("resolver", &["alga-resolve"])] {
        let unpacked: u64 = names.iter().map(|name| size(&programs.join(name))).sum();
        println!(
            "{target:<12} {:>6.2} MB to pull, programs of {:.2} MB",
            megabytes(images.pulled(target)),
            megabytes(unpacked)
        );
    }
    let work = here.join("work");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("charts-fixtures"), &work.join("tree"));
    let place = Place { root: images.unpacked("publisher"), work, programs };

    println!("{:<30} {:>9} {:>9}   medians of {ROUNDS} rounds, in ms", "", "inside", "outside");
    let version = |inside| timed(&mut [place.command(inside, "alga-resolve", &["--version"])]);
    let [inside, outside] = [true, false].map(|inside| median(|_| version(inside)));
    println!("{:<30} {inside:>9.1} {outside:>9.1}", "start and end");
    let [inside, outside] = [true, false].map(|inside| median(|_| first_request(&place, inside)));
    println!("{:<30} {inside:>9.1} {outside:>9.1}", "start to first request");
    let registry = Registry::start(here);
    let [inside, outside] = [true, false].map(|inside| {
        median(|round| timed(&mut [place.publish(inside, &format!("{}/{inside}{round}", registry.address))]))
    });
    println!("{:<30} {inside:>9.1} {outside:>9.1}", "publish, from empty");
    let [inside, outside] = [true, false]
        .map(|inside| median(|_| timed(&mut [place.publish(inside, &format!("{}/{inside}0", registry.address))])));
    println!("{:<30} {inside:>9.1} {outside:>9.1}", "publish, unchanged");
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn megabytes(count: u64) -> f64 {
    count as f64 / 1e6
}

fn median(mut run: impl FnMut(usize) -> Duration) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS).map(|round| run(round).as_secs_f64() * 1000.0).collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).expect("a file").len()
}

fn copy(from: &Path, to: &Path) {
    timed(&mut [command("mkdir", &["-p"], &[to.parent().expect("a parent")]), command("cp", &["-a"], &[from, to])]);
}

fn command(program: &str, arguments: &[&str], paths: &[&Path]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).args(paths);
    command
}

/// An unpacked image with a directory for `/work`; and the same programs without it.
struct Place {
    root: PathBuf,
    work: PathBuf,
    programs: PathBuf,
}

impl Place {
    fn command(&self, inside: bool, program: &str, arguments: &[&str]) -> Command {
        let mut command = if inside {
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", CONTAINER, "sh"]).arg(&self.root).arg(&self.work);
            command.arg(format!("/usr/bin/{program}"));
            command
        } else {
            Command::new(self.programs.join(program))
        };
        command.args(arguments).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    fn publish(&self, inside: bool, store: &str) -> Command {
        let outside = self.work.join("tree").display().to_string();
        let tree = if inside { "/work/tree" } else { &outside };
        let commit = "7".repeat(40);
        let arguments =
            ["--version", "1.0.3", "--channel", "nightly", "--image-check", "off", "--quiet", "--store", store];
        let revision = ["--source-commit", &commit, "--epoch", "1700000000"];
        self.command(inside, "alga-release", &[&["publish", tree][..], &arguments, &revision].concat())
    }
}

/// From the start to the moment at which somebody is at the registry's door.
fn first_request(place: &Place, inside: bool) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let store = format!("{}/r", listener.local_addr().expect("an address"));
    let mut resolve = place.command(inside, "alga-resolve", &["resolve", "nightly", "--store", &store]);
    let start = Instant::now();
    let mut child = resolve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    let (stream, _) = listener.accept().expect("a connection");
    let mut byte = [0];
    stream.peek(&mut byte).expect("a request");
    let elapsed = start.elapsed();
    child.kill().and_then(|()| child.wait()).expect("ended");
    elapsed
}

/// Both images, built from the `Containerfile` with the programs in place of its building stage.
struct Images {
    here: PathBuf,
}

impl Images {
    fn built(here: &Path, programs: &Path) -> Self {
        let stage = here.join("stage");
        for (image, names) in [("publisher", &["alga-release", "alga-resolve"][..]), ("resolver", &["alga-resolve"])] {
            let root = stage.join("out").join(image);
            for name in names {
                copy(&programs.join(name), &root.join("usr/bin").join(name));
            }
            copy(Path::new("/etc/ssl/certs/ca-certificates.crt"), &root.join("etc/ssl/certs/ca-certificates.crt"));
        }
        let images = Self { here: here.to_owned() };
        for target in ["publisher", "resolver"] {
            let mut build = images.buildah(&["build", "--quiet", "--isolation", "chroot", "--timestamp", "1700000000"]);
            build.args(["--target", target, "--tag", target]).arg(format!("--build-context=build={}", stage.display()));
            build.arg("--file").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Containerfile")).arg(&stage);
            let to = format!("oci:{}:{target}", here.join(target).display());
            timed(&mut [build, images.buildah(&["push", "--quiet", target, &to])]);
        }
        images
    }

    fn buildah(&self, arguments: &[&str]) -> Command {
        let mut buildah = Command::new("buildah");
        buildah.args(["--storage-driver", "vfs", "--root"]).arg(self.here.join("storage"));
        buildah.arg("--runroot").arg(self.here.join("running")).args(arguments);
        buildah
    }

    /// Bytes of all that a layout of the image holds.
    fn pulled(&self, target: &str) -> u64 {
        let blobs = std::fs::read_dir(self.here.join(target).join("blobs/sha256")).expect("blobs");
        blobs.map(|blob| blob.expect("a blob").metadata().expect("a file").len()).sum()
    }

    fn unpacked(&self, target: &str) -> PathBuf {
        let said = |mut command: Command| {
            let output = command.output().expect("buildah starts");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let container = said(self.buildah(&["from", "--pull-never", target]));
        said(self.buildah(&["mount", &container])).into()
    }
}
