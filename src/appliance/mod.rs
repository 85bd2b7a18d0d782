//! What an appliance does with a release: the objects for its cluster, the image of its control plane, and what it remembers.
//! All of it is pure but for the file of the state.

mod control_plane;
mod host;
mod names;
mod objects;
mod render;
mod state;
mod state_file;
mod values;

pub use control_plane::{Channel, Decision, Situation, decide};
pub use host::{HostInputs, InvalidHost};
pub use names::{NotAllowed, check_names};
pub use render::{Object, Options, RenderError, Rendering, render};
pub use state::{Following, Known, Replay, Root, State};
pub use state_file::{StateError, StateFile};
pub use values::{InvalidValues, Literal, Setting, inject, parse_setting};
