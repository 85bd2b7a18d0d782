//! The operations of the publisher. Each takes a plain request and open [`Connection`]s and gives a finished report; none of them
//! reads arguments, environment, clock or terminal, which come in by a [`Context`].

mod connection;
mod context;
mod error;
mod names;

pub use connection::{Access, Connection, OtherRegistries, RETRY_FOR, StoreRequest};
pub use context::Context;
pub use error::{Error, Kind};
pub use names::{channel, is_channel};

pub use crate::system::{Call, Clock, Ended, Environment, NoPrograms, Programs, RunError};
