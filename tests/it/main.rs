//! One test binary: the program from outside, and held against the programs that it must agree with.

mod support;

// Something is wrong with what comes from outside.
mod bad_input;
// Charts are packed as Helm packs them.
mod chart_helm;
// Two releases, compared.
mod diff;
// The page of a comparison, in a browser.
mod diff_page;
// Publishing while something goes wrong underneath.
mod disturbed;
// Where credentials are found, and to whom they go.
mod credentials;
// What is published is read back by the programs of others.
mod peers;
// Publishing, by the rules.
mod publish;
// The registry that the tests stand on is one.
mod registry_itself;
// What a registry sees of this program.
mod registry_wire;
// The resolver on the appliance.
mod resolver;
// What passes by itself is waited out.
mod retries;
// The same source gives the same bytes, wherever and by whomever it is published.
mod reproducible;
// Each rewriting rule is a directory.
mod rewrite_cases;
// What is printed and published follows its schema.
mod schemas;
// What every store promises, held by every kind of store.
mod store_contract;
