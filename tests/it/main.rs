//! One test binary: the program from outside, and held against the programs that it must agree with.

mod support;

// The workflows: as Argo defines them, and run.
mod argo;
// What the resolver remembers, and what it refuses.
mod appliance;
// The boot script of the documentation.
mod appliance_boot;
// Runs that are repeated under the approval of the first.
mod approved;
// From the registry to a cluster that never sees it.
mod air_gap;
// Something is wrong with what comes from outside.
mod bad_input;
// Charts are packed as Helm packs them.
mod chart_helm;
// The fields of Flux's objects, as its definitions say.
mod flux_fields;
// No channel moves to a release that is not whole.
mod complete;
// Flags, variables and exit codes.
mod command_line;
// From store to store.
mod copy;
// A release that describes itself needs no configuration.
mod described;
// Two releases, compared.
mod diff;
// The page of a comparison, in a browser.
mod diff_page;
// The images that a release names, and their platforms.
mod image_check;
// An image of many layers, killed and seen.
mod image_layers;
// Archives of the programs of others.
mod image_peers;
// Images out of archives, by the rules.
mod image_push;
// Answers that are no registry's, or one's that means ill.
mod hostile_registry;
// Killed anywhere, the channel serves the whole old or the whole new release.
mod killed;
mod lint;
mod lint_cases;
// What `lint` says of broken trees is what the real programs say.
mod lint_differential;
// A copy killed anywhere, or out of a store that lies.
mod copy_killed;
// As many tags as a registry has, in its own order.
mod many_tags;
// Which control plane runs after boot.
mod control_plane;
// Publishing while something goes wrong underneath.
mod disturbed;
// The images of the two programs.
mod container;
// Where credentials are found, and to whom they go.
mod credentials;
// What stands between somebody and a publication.
mod doctor;
// The operations without a program around them.
mod operations;
// Writes that no registry of this kind takes, however often.
mod obstacles;
// A release in one archive file.
mod oci_archive;
// What the next step of a workflow reads.
mod outputs;
// What is published is read back by the programs of others.
mod peers;
// The way to a registry: certificates and proxies.
mod proxy_tls;
// What a channel has served.
mod history;
// The shape of the source.
mod house;
// The channel's pointer: late answers, several publishers, made-up tags.
mod pointer;
// A channel moves to what is published already, forward and back.
mod promote;
// Publishing, by the rules.
mod publish;
// The registries in use, each as it is.
mod quirks;
// What a store lost is sent again.
mod repair;
// The registry that the tests stand on is one.
mod registry_itself;
// What a registry sees of this program.
mod registry_wire;
// A release is rewritten to another prefix.
mod relocate;
// What the resolver renders for the cluster.
mod render;
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
// Killed anywhere, what an appliance remembers is whole.
mod state_killed;
// What every store promises, held by every kind of store.
mod store_contract;
// A release read back, every byte and every reference; and what of it must be kept.
mod verify;
// Charts and values are judged as Helm judges them.
mod lint_charts;
mod lint_schemas;
// Templates are judged as Helm judges them.
mod templates;
