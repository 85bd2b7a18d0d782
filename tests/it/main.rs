//! One test binary.

mod support;

// What every store promises, held by every kind of store.
mod store_contract;

// What a registry sees of this program.
mod registry_wire;
