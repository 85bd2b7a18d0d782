//! Why a release or a trust document is refused, and what an operator can do about it.

use alga_release::appliance::DamagedTrust;
use alga_release::oci::Tag;
use alga_release::text::with_causes;
use alga_release::trust::{PublishedError, Untrusted};

use super::Failure;
use super::store::failure;

/// Hint for a state that is damaged and says what was verified.
pub const RESTORE: &str =
    "restore the state from a backup, or remove it: the seed beside the trust document then says what counts";

pub fn damaged(cause: &DamagedTrust) -> Failure {
    Failure::new(3, with_causes(cause)).hint(RESTORE)
}

/// Why a release is refused.
pub enum Refused {
    Rule(Untrusted),
    OtherVersion { asked: Tag, found: String },
    Failed(Failure),
}

impl From<Untrusted> for Refused {
    fn from(cause: Untrusted) -> Self {
        Self::Rule(cause)
    }
}

impl Refused {
    /// Returns the failure. `held` says whether the manifest was accepted before, and `in_registry` whether it was read
    /// from a registry or from media.
    pub fn into_failure(self, reference: &str, held: bool, in_registry: bool) -> Failure {
        let (name, reason, hint, is_time) = match self {
            Self::Failed(failure) => return failure,
            Self::OtherVersion { asked, found } => {
                let reason = format!("expected the release {asked}, found version `{}`", found.escape_debug());
                ("other-version", reason, CHECK_WRITERS, false)
            }
            Self::Rule(cause) => {
                let (hint, is_time) = of_rule(&cause, held, in_registry);
                (cause.name(), cause.to_string(), hint, is_time)
            }
        };
        // Time that passes and keys that are removed stop changes, and never the rendering of what was accepted.
        let failure = Failure::new(3, format!("{reference} is refused ({name}): {reason}"));
        Failure { unreachable: is_time, ..failure.hint(hint) }
    }
}

/// Hint for media that are older than what is signed on them allows.
const OLD_MEDIA: &str = "use newer media, or accept the release as it is with `--accept-expired DIGEST --reason TEXT`";
const CHECK_WRITERS: &str = "the current release stays; check who can write to the repository";

/// Returns the hint for a rule, and whether the release in the state may be rendered again nevertheless.
fn of_rule(cause: &Untrusted, held: bool, in_registry: bool) -> (&'static str, bool) {
    match cause {
        Untrusted::BeforeFloor { .. } | Untrusted::Ahead { .. } => (
            "correct the clock of this machine; if a wrong time was accepted before, run once with `--reset-time-floor REASON`",
            true,
        ),
        Untrusted::Expired { .. } | Untrusted::DocumentExpired { .. } if !in_registry => (OLD_MEDIA, true),
        Untrusted::Expired { .. } | Untrusted::NoRefresh | Untrusted::RefreshExpired { .. } => {
            ("the current release stays until the vendor refreshes the channel", true)
        }
        Untrusted::DocumentExpired { .. } => {
            ("the current release stays until the vendor publishes the next trust document", true)
        }
        Untrusted::UnknownKey
        | Untrusted::Threshold { .. }
        | Untrusted::RefreshThreshold { .. }
        | Untrusted::ReleaseUnsigned(_)
        | Untrusted::OtherEpoch { .. } => (CHECK_WRITERS, held),
        Untrusted::Withdrawn(_) => ("the current release stays; wait for the next release of the channel", held),
        _ => (CHECK_WRITERS, false),
    }
}

pub fn refused_document(cause: PublishedError) -> Failure {
    match cause {
        PublishedError::Store(cause) => failure(&cause.into()),
        PublishedError::NotADocument { .. } | PublishedError::Invalid { .. } => {
            Failure::new(3, format!("the next trust document is refused (trust-document): {cause}")).hint(CHECK_WRITERS)
        }
    }
}
