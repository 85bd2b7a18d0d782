//! What an appliance does with a release: it renders the objects for its cluster, chooses the image of its control
//! plane, and keeps a state. Everything except the state file and the reading of proofs is pure.

mod control_plane;
mod facts;
mod host;
mod names;
mod objects;
mod proof;
mod render;
mod state;
mod state_file;
mod taken_over;
mod trusted;
mod values;

pub use control_plane::{Channel, Decision, Situation, decide};
pub use facts::Facts;
pub use host::HostInputs;
pub use host::InvalidHost;
pub use names::NotAllowed;
pub use names::{check_names, not_covered};
pub(crate) use objects::{is_data_key, is_object_name};
pub use proof::Proof;
pub(crate) use render::values as rendered_values;
pub use render::{Object, Options, RenderError, Rendering, render};
pub use state::Refused;
pub use state::{Following, Known, Root, State};
pub use state_file::StateError;
pub use state_file::{StateContent, StateFile};
pub use taken_over::Elsewhere;
pub use trusted::{DamagedTrust, OperatorDecision, Trusted};
pub(crate) use values::InvalidValues;
pub use values::{Literal, Setting, inject, parse_setting};
