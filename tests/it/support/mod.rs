//! What several tests stand on.

pub mod docker_registry;
pub mod registry;
