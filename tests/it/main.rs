//! One test binary: the program from outside, and held against the programs that it must agree with.

mod support;

// Charts are packed as Helm packs them.
mod chart_helm;
// What a registry sees of this program.
mod registry_wire;
// The same source gives the same bytes, wherever and by whomever it is published.
mod reproducible;
// Each rewriting rule is a directory.
mod rewrite_cases;
// What every store promises, held by every kind of store.
mod store_contract;
