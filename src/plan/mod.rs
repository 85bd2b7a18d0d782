//! Turns the desired and the observed state into a plan, carries the plan out, and reports the result. The plan is a
//! value, and its execution makes no decisions.

mod approval;
mod attach;
mod build;
mod channel;
pub mod copy;
mod damaged;
mod desired;
mod execute;
mod kept;
mod late;
mod observe;
mod pack;
mod planner;
mod progress;
mod push;
mod read_back;
mod readers;
mod refusal;
mod report;
mod tags;

pub use approval::ApprovedMove;
pub use approval::{Approval, Approved, OtherPlan};
pub use attach::Attachment;
pub(crate) use channel::{GRACE, overtaken};
pub use damaged::Damaged;
pub use desired::{ArtifactKind, Desired, DesiredArtifact, DesiredRelease};
pub(crate) use execute::execute;
pub use execute::{ExecuteError, Executor, Inputs, MoveRecord};
pub(crate) use kept::later_moves;
pub use observe::{Announced, Existing};
pub(crate) use observe::{ChannelState, Depth, observe, observe_channel};
pub use observe::{Observed, ObservedChannel, present};
pub use pack::{Packed, Request, Revision, pack};
pub(crate) use pack::{chart_names, overlay_files};
pub use planner::{MinAge, Move, Moving, Plan, Write, conflicts, plan, push};
pub use progress::{Event, Progress};
pub(crate) use push::execute_push;
pub use refusal::Refusal;
pub(crate) use report::artifact_reports;
pub use report::{ArtifactReport, Outcome};
pub use tags::{GivenTags, ImageTags, TagsFile, image_tags};
