//! Desired + observed → plan → report. The plan is a value; execution makes no choices.

mod approval;
mod attach;
mod channel;
pub mod copy;
mod desired;
mod execute;
mod observe;
mod pack;
mod planner;
mod progress;
mod read_back;
mod readers;
mod refusal;
mod report;

pub use approval::{Approval, Approved, ApprovedMove, OtherPlan};
pub use attach::Attachment;
pub use desired::{ArtifactKind, Desired, DesiredArtifact, DesiredRelease};
pub use execute::{ExecuteError, Executor, Inputs, MoveRecord, execute, execute_push};
pub use observe::{Announced, ChannelState, Existing, Observed, ObservedChannel, observe, observe_channel, present};
pub use pack::{Packed, Request, Revision, chart_names, image_tags, pack, tags_in};
pub use planner::{MinAge, Move, Moving, Plan, Write, plan, push};
pub use progress::{Event, Progress};
pub use refusal::Refusal;
pub use report::{ArtifactReport, Outcome, artifact_reports};
