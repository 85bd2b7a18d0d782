//! The operations of the publisher, and the public API of the crate.
//!
//! Each operation takes a plain request, the configuration, an open [`Connection`] for each store, and a [`Context`]. It returns a
//! finished report, which serializes to the JSON that `docs/schemas` describes and has its text for people. No operation reads
//! arguments, environment, clock or terminal: the [`Context`] provides them.
//!
//! ```
//! use alga_release::config::Config;
//! use alga_release::ops::{self, Access, Connection, Context, PackRequest, PromoteRequest, PublishRequest, StoreRequest};
//!
//! /// A clock with a fixed time, so that a test can know when a channel moved.
//! #[derive(Debug)]
//! struct Noon;
//!
//! impl ops::Clock for Noon {
//!     fn now(&self) -> jiff::Timestamp {
//!         "2026-11-23T12:00:00Z".parse().expect("a time")
//!     }
//!
//!     fn sleep(&self, time: std::time::Duration) -> futures_util::future::BoxFuture<'_, ()> {
//!         Box::pin(tokio::time::sleep(time))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (config, context) = (Config::default(), Context::silent(Noon));
//! let directory = tempfile::tempdir()?;
//! let store = format!("oci-layout:{}", directory.path().display());
//! let store = StoreRequest { store, ..StoreRequest::new(&config) };
//! let store = Connection::open(&store, Access::Write, &context).await?;
//!
//! let mut pack = PackRequest::new("charts-fixtures", "1.0.3".parse()?, "nightly".parse()?);
//! pack.revision.commit = Some("0123456789abcdef0123456789abcdef01234567".to_owned());
//! pack.revision.epoch = Some(1_700_000_000);
//! let request = PublishRequest { pack, moves_channel: true, terms: ops::MoveTerms::default(), repairs: false };
//! let published = ops::publish(request, &config, &store, &context).await?;
//!
//! let promoted = ops::promote(&PromoteRequest::new("nightly", "stable"), &config, &store, None, &context).await?;
//! assert_eq!(promoted.digest, published.digest);
//!
//! let request = ops::VerifyRequest { reference: Some("stable".to_owned()), offline: true, trust: None };
//! assert!(ops::verify(&request, &config, &store).await?.ok);
//! # Ok(())
//! # }
//! ```

mod archive;
mod carry_out;
mod changed;
mod checks;
mod connection;
mod context;
mod copied;
mod copy;
mod diff;
mod doctor;
mod error;
mod github;
mod history;
mod image;
mod in_use;
mod judges;
mod key;
mod kind;
mod lint;
mod ls;
mod mend;
mod moves;
mod obstacle;
mod outcome;
mod pack;
mod page;
mod promote;
mod publish;
mod reasons;
mod refresh;
mod rendered;
mod resolve;
mod rollback;
mod several;
mod show;
mod sign;
mod signed_moves;
mod signing;
mod text;
mod transfer;
mod trust;
mod verify;

pub use carry_out::{MoveTerms, approved};
pub use connection::{Access, Connection, OtherRegistries, StoreRequest};
pub use context::Context;
pub use copy::{CopyChannel, CopyReport, CopyRequest, copy};
pub use diff::{DiffOrigin, DiffRequest, DiffSide, diff, diff_statement};
pub use doctor::{ChartsOf, Diagnosis, DoctorRequest, RepositoryKind, RepositoryReport, Verdict, doctor};
pub use error::{Error, Kind};
pub use github::package_settings;
pub use history::{HistoryApart, HistoryEnd, HistoryMove, HistoryReport, HistoryRequest, ServedAt, history};
pub use image::{ImageReport, ImageRequest, push_image};
pub use in_use::{InUseReport, InUseRequest, Keep, Prune, in_use};
pub use judges::Render;
pub use key::{KeyContent, KeyFileReport, KeyReport, KeyRequest, generate_key, show_key};
pub use lint::{LintOrigin, LintRequest, lint};
pub use ls::{LsChannel, LsReport, LsRequest, LsVersion, Served, StoreNames, ls, names};
pub use mend::mend;
pub use moves::{Before, MoveReport};
pub use obstacle::way_out;
pub use outcome::{Outcome, json};
pub use pack::{ControlPlane, OnErrors, PackRequest, RevisionRequest};
pub use page::{fitting, markdown, page};
pub use promote::{PromoteRequest, promote};
pub use publish::{ChannelReport, PublishReport, PublishRequest, publish};
pub use refresh::{RefreshRequest, refresh};
pub use resolve::{channel, is_channel};
pub use rollback::{RollbackRequest, rollback};
pub use show::{ShowReport, ShowRequest, show};
pub use sign::{SignReport, SignRequest, SignedArtifact, sign};
pub use signed_moves::MoveSignatures;
pub use signing::{
    PreparedReport, SignedBy, SignedMessage, Signing, SigningTerms, TrustError, sign_prepared, trust_document,
};
pub use transfer::{RewriteTo, Target, TransferExtent};
pub use trust::{
    InvalidExpiry, InvalidRoleName, RoleName, TrustChange, TrustDocumentReport, TrustExpiry, TrustFile, TrustFileError,
    TrustInit, TrustReport, TrustRoleReport, TrustSignatures, TrustStoreReport, change_trust, init_trust,
    publish_trust, show_trust, sign_trust, update_trust, verify_trust, withdraw,
};
pub use verify::{VerifiedRelease, VerifiedSignatures, VerifyReport, VerifyRequest, verify};

pub use crate::system::{
    Call, Clock, Ended, Environment, NoPrograms, NoTerminal, Programs, RunError, Terminal, Variables,
};
