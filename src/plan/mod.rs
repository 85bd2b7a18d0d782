//! Desired + observed → plan → report. The plan is a value; execution makes no choices.

mod channel;
pub mod copy;
mod desired;
mod execute;
mod observe;
mod pack;
mod progress;
mod promote;
mod publish;
mod read_back;
mod readers;
mod report;

pub use desired::{ArtifactKind, Desired, DesiredArtifact};
pub use execute::{Contents, ExecuteError, Executor, MoveRecord, execute};
pub use observe::{ChannelState, Existing, Observed, observe, observe_channel, present};
pub use pack::{Packed, Request, Revision, chart_names, image_tags, pack, tags_in};
pub use progress::{Event, Progress};
pub use promote::{Candidate, Current, MoveRefusal, MoveReport, MoveRules, approved, promote};
pub use publish::{Action, Plan, Refusal, bring_all, publish, push};
pub use report::{ArtifactReport, ChannelReport, Outcome, Report};
