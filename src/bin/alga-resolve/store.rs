//! Opens the store, limits the time of its use, and says why a release cannot be read from it.

use std::time::Duration;

use alga_release::oci::{self, Location, Options, ReadStore};
use alga_release::release::{self, ResolveError, ResolveKind};
use alga_release::text::with_causes;

use super::Failure;
use super::args::Args;
use super::input::certificates;

/// Longest time during which transient errors (broken connections, 429, 5xx) are retried. A quarter of the time limit
/// applies too.
const RETRY_FOR: Duration = Duration::from_secs(2);

/// Does some work with a store within the time limit of the command line.
pub fn with_store<T>(
    location: &Location,
    args: &Args,
    work: impl AsyncFnOnce(&ReadStore) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let ca = certificates(args.ca_file.as_deref())?;
    let retry_for = RETRY_FOR.min(args.timeout / 4);
    let options = Options { ca, retry_for, archive_prefix: release::ARCHIVE_PREFIX, ..Options::default() };
    let store = ReadStore::open(location, options).map_err(|cause| failure(&cause.into()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| Failure::new(1, cause.to_string()))?;
    let done = runtime.block_on(async { tokio::time::timeout(args.timeout, work(&store)).await });
    // A running DNS lookup cannot be cancelled and would delay the exit of the process.
    runtime.shutdown_background();
    done.map_err(|_| Failure {
        unreachable: true,
        ..Failure::new(75, format!("{location} did not answer within {} s", args.timeout.as_secs_f64()))
            .hint("try again later, or raise `--timeout`")
    })?
}

/// Returns the failure of a release that cannot be read.
pub fn failure(error: &ResolveError) -> Failure {
    let message = with_causes(error);
    let (code, hint) = match error.kind() {
        ResolveKind::Store(oci::Kind::NotFound | oci::Kind::NoStore) => {
            (9, Some("check the name of the channel or version, and the store"))
        }
        ResolveKind::Store(oci::Kind::Denied) => (4, Some("make the release repository publicly readable")),
        ResolveKind::Store(oci::Kind::Untrusted) => (
            1,
            Some(
                "if you trust this certificate, pass its CA with `--ca-file` or SSL_CERT_FILE; also check this machine's clock",
            ),
        ),
        ResolveKind::Store(oci::Kind::NotRegistry) => (
            1,
            Some(
                "check the host, the port and the proxy: below `/v2/`, the server must speak the OCI distribution API",
            ),
        ),
        ResolveKind::Store(oci::Kind::Unavailable) => (75, Some("try again later: the store cannot be reached")),
        ResolveKind::NotARelease | ResolveKind::Disagrees => {
            (3, Some("check that the address is a registry, and who can write the channel or version"))
        }
        _ => (1, None),
    };
    // Behind a login portal, or with a wrong clock, the answer cannot be trusted. That counts as no answer.
    let no_answer = matches!(error.kind(), ResolveKind::Store(kind) if kind.is_of_server());
    Failure { code, message, hint: hint.map(ToOwned::to_owned), unreachable: no_answer }
}
