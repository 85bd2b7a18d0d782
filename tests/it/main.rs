//! One test binary: the programs from outside, and compared with the tools that they must agree with.

mod support;

// The workflows are valid by Argo's definitions, and run.
mod argo;
// The resolver's state, and the releases that it refuses.
mod appliance;
// The boot script of the documentation.
mod appliance_boot;
// Runs that are repeated under the approval of the first.
mod approved;
// From the registry to a cluster that never sees it.
mod air_gap;
// Invalid input is refused and named.
mod bad_input;
// Bad command lines and inputs with their whole output.
mod bad_lines;
// Charts are packed as Helm packs them.
mod chart_helm;
// The fields of Flux objects, by Flux's definitions.
mod flux_fields;
// Completions in real shells, and manual pages.
mod completions;
// The release key is exchanged.
mod release_rotation;
// The resolver with a trust document.
mod trust_attacks;
mod trust_baked;
mod trust_commands;
mod trust_journey;
mod trust_resolver;
mod trust_unchanged;
// Signed moves that are killed.
mod signed_killed;
// Signatures that are made on another machine.
mod detached;
// Signed channels that are kept alive.
mod refresh;
// The state of a resolver with a trust document.
mod trust_state;
// No channel moves to a release that is not whole.
mod complete;
// Flags, variables and exit codes.
mod command_line;
// A release is copied from store to store.
mod copy;
// A release that describes itself needs no configuration.
mod described;
// Two releases are compared.
mod diff;
// The page of a comparison in a browser.
mod diff_page;
// The images that a release names, and their platforms.
mod image_check;
// Images of many layers, and pushes that are killed.
mod image_layers;
// Image archives that other tools write.
mod image_peers;
// Images are pushed from archives.
mod image_push;
// Servers that are not registries, and hostile registries.
mod hostile_registry;
// Killed anywhere, the channel serves the whole old or the whole new release.
mod keys;
mod killed;
mod lint;
mod lint_cases;
// `lint` and the real tools agree on broken trees.
mod lint_differential;
// A copy that is killed anywhere, or reads a store with wrong content.
mod copy_killed;
// Channels and versions are listed.
mod ls;
// Repositories with very many tags.
mod many_tags;
// The choice of the control plane at boot.
mod control_plane;
// Publishing while the store or another publisher interferes.
mod disturbed;
// The images of the two programs.
mod container;
// The places where credentials are found, and the hosts that receive them.
mod credentials;
// `doctor` finds what prevents a publication.
mod doctor;
// The operations, called as a library.
mod operations;
// Writes that a registry refuses until a person changes something.
mod obstacles;
// Servers that answer as a website does.
mod not_a_registry;
// A release in one archive file.
mod oci_archive;
// The files that the next step of a workflow reads.
mod outputs;
// Other tools read what is published.
mod peers;
// Connections to a registry: certificates and proxies.
mod proxy_tls;
// A release is shown as a tree of everything that it names.
mod show;
mod signed;
// Numbers without a proof do not decide which number a signed move gets.
mod signed_numbers;
// Images are signed beside what a publication writes.
mod signed_images;
mod signed_moves;
// The commands that read say who signed.
mod signed_reads;
// A copy carries a signed channel as it is.
mod signed_copies;
mod signers;
// The history of a channel.
mod history;
// The rules for the source code.
mod house;
// The channel's pointer: late answers, several publishers, made-up tags.
mod pinned;
mod pointer;
// A channel moves to a published release, forward and back.
mod promote;
// Publishing a release.
mod publish;
// Imitations of the registries in use.
mod quirks;
// Content that a store lost is pushed again.
mod repair;
// The in-process registry behaves like a registry.
mod registry_itself;
// The requests that a registry receives.
mod registry_wire;
// A release is rewritten to another prefix.
mod relocate;
// The objects that the resolver renders for the cluster.
mod render;
// The resolver on the appliance.
mod resolver;
// Transient errors are retried.
mod retries;
// The same source gives the same bytes on every machine.
mod reproducible;
// Each rewriting rule is a directory.
mod rewrite_cases;
// Printed and published JSON follows its schema.
mod schemas;
// The state of an appliance is complete after a kill at any point.
mod state_killed;
// The contract of all kinds of store.
mod store_contract;
// `verify` reads back every byte and reference; `in-use` names what must be kept.
mod verify;
// Charts and values are judged as Helm judges them.
mod lint_charts;
mod lint_schemas;
// What people and programs get to see of a run.
mod terminal;
// Texts that people read, in plain English and of one form.
mod words;
// Templates are judged as Helm judges them.
mod templates;
