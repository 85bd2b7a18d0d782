//! The operations of the publisher, and the public API of the crate.
//!
//! Each operation takes a plain request, the configuration, an open [`Connection`] for each store, and a [`Context`]. It returns a
//! finished report, which serializes to the JSON that `docs/schemas` describes and has its text for people. No operation reads
//! arguments, environment, clock or terminal by itself: those come in by the [`Context`].

mod archive;
mod carry_out;
mod checks;
mod connection;
mod context;
mod copy;
mod diff;
mod doctor;
mod error;
mod github;
mod history;
mod image;
mod in_use;
mod moves;
mod pack;
mod promote;
mod publish;
mod rendered;
mod resolve;
mod rollback;
mod text;
mod transfer;
mod verify;

pub use carry_out::{MoveTerms, approved};
pub use checks::{count, table};
pub use connection::{Access, Connection, OtherRegistries, RETRY_FOR, StoreRequest};
pub use context::Context;
pub use copy::{CopyChannel, CopyReport, CopyRequest, copy};
pub use diff::{DiffOrigin, DiffRequest, DiffSide, diff};
pub use doctor::{ChartsOf, Diagnosis, DoctorRequest, RepositoryKind, RepositoryReport, Verdict, doctor};
pub use error::{Error, Kind};
pub use github::package_settings;
pub use history::{HistoryApart, HistoryEnd, HistoryMove, HistoryReport, HistoryRequest, ServedAt, history};
pub use image::{ImageReport, ImageRequest, push_image};
pub use in_use::{InUseReport, InUseRequest, Keep, in_use};
pub use moves::{Before, MoveReport};
pub use pack::{ControlPlane, PackRequest, RevisionRequest};
pub use promote::{PromoteRequest, promote};
pub use publish::{ChannelReport, PublishReport, PublishRequest, publish};
pub use resolve::{channel, is_channel};
pub use rollback::{RollbackRequest, rollback};
pub use transfer::{Extent, RewriteTo, Target};
pub use verify::{VerifiedRelease, VerifyReport, VerifyRequest, verify};

pub use crate::system::{Call, Clock, Ended, Environment, NoPrograms, Programs, RunError};
