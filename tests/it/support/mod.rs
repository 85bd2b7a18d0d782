//! What several tests stand on.

pub mod docker_registry;
pub mod programs;
pub mod registry;

use std::path::PathBuf;

/// The program `name` of another project, when it is installed: in `$ALGA_PEERS_DIR`, in the cache, or on the path.
#[allow(clippy::disallowed_methods, reason = "tests look for programs where their environment says")]
pub fn peer(name: &str) -> Option<PathBuf> {
    let given = std::env::var_os("ALGA_PEERS_DIR").map(PathBuf::from);
    let cached = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/alga-peers/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    given
        .into_iter()
        .chain(cached)
        .chain(std::env::split_paths(&path))
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}
