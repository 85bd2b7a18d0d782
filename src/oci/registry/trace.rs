//! A report of each request and its answer, for `-vv`.

use std::sync::Arc;
use std::time::Duration;

/// One request and its answer. It holds no header, body, or query, since each of them may carry a secret.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// HTTP method, such as `GET`.
    pub method: &'a str,
    /// URL without its query.
    pub url: &'a str,
    /// HTTP status; absent when no answer came.
    pub status: Option<u16>,
    /// Time from the start of the request until the head of its answer.
    pub elapsed: Duration,
}

/// Receives every [`Exchange`] of a registry client.
pub type Trace = Arc<dyn Fn(&Exchange<'_>) + Send + Sync>;
