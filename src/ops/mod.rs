//! The operations of the publisher, and the public API of the crate.
//!
//! Each operation takes a plain request, the configuration, an open [`Connection`] for each store, and a [`Context`]. It returns a
//! finished report, which serializes to the JSON that `docs/schemas` describes and has its text for people. No operation reads
//! arguments, environment, clock or terminal by itself: those come in by the [`Context`].

mod archive;
mod checks;
mod connection;
mod context;
mod diff;
mod doctor;
mod error;
mod github;
mod history;
mod in_use;
mod pack;
mod rendered;
mod resolve;
mod verify;

pub use archive::{announce_image, image_artifact, read_image};
pub use checks::{count, table};
pub use connection::{Access, Connection, OtherRegistries, RETRY_FOR, StoreRequest};
pub use context::Context;
pub use diff::{DiffOrigin, DiffRequest, DiffSide, diff};
pub use doctor::{ChartsOf, Diagnosis, DoctorRequest, RepositoryKind, RepositoryReport, Verdict, doctor};
pub use error::{Error, Kind};
pub use github::package_settings;
pub use history::{HistoryApart, HistoryEnd, HistoryMove, HistoryReport, HistoryRequest, ServedAt, history};
pub use in_use::{InUseReport, InUseRequest, Keep, in_use};
pub use pack::{ControlPlane, PackRequest, Publication, RevisionRequest, pack};
pub use rendered::pulled_from_elsewhere;
pub use resolve::{channel, is_channel};
pub use verify::{VerifiedRelease, VerifyReport, VerifyRequest, verify};

pub use crate::system::{Call, Clock, Ended, Environment, NoPrograms, Programs, RunError};
