//! The advice for a failed check. A published version does not change, so the user either pushes the same bytes again
//! or publishes another version.

use super::{Aspect, Check, Checked, Extent};
use crate::oci::Location;
use crate::release::{MoveKind, NamedKind};
use crate::text::shown;

/// Advice for a release that is complete but has wrong content.
pub(super) const ANOTHER_VERSION: &str =
    "correct this and publish another version, because a published version does not change";

/// The parts of the advice that all checks of one release share.
pub(super) struct Help {
    /// Hint with the command that pushes the artifacts of the release again.
    again: String,
    /// Hint with the command that pushes the channel manifest again.
    channel_again: String,
}

impl Help {
    pub(super) fn new(checked: &Checked<'_>) -> Self {
        let release = &checked.resolved.release;
        let (version, store) = (shown(&release.version), checked.location);
        let copied = release.copied_from.is_some()
            || checked.resolved.record.as_ref().is_some_and(|record| record.kind == MoveKind::Copy)
            || match store {
                Location::Archive(_) => true,
                Location::Layout(_) => false,
                Location::Registry(own) => own.to_string() != checked.prefix.to_string(),
            };
        let publish = |target: &str| {
            format!(
                "push it again from the commit that the release was published from, with the same flags: \
                 `alga-release publish --version {version} {target} --store {store} --repair`"
            )
        };
        let again = match (copied, store) {
            (true, _) => format!(
                "copy the release again from the store that it came from: `alga-release copy {version} {store} --store STORE`"
            ),
            (false, Location::Layout(_)) => format!(
                "{}; if the release was copied here, copy it again: `alga-release copy {version} {store} --store STORE`",
                publish("--no-channel")
            ),
            (false, _) => publish("--no-channel"),
        };
        let channel_again = match checked.extent {
            Extent::Whole(Some(channel)) if !copied => publish(&format!("--channel {channel}")),
            _ => again.clone(),
        };
        Self { again, channel_again }
    }

    /// Adds advice to a failed check that has none of its own.
    pub(super) fn add(&self, check: &mut Check) {
        if check.failed() && check.help.is_none() {
            check.help = Some(self.of(check));
        }
    }

    fn of(&self, check: &Check) -> String {
        let text = match (check.kind, check.aspect) {
            (NamedKind::Image | NamedKind::ExtraImage, Aspect::Manifest | Aspect::Content) => {
                "push the image with the same digest again, or publish another version that names another image"
            }
            (NamedKind::ControlPlane, Aspect::Manifest | Aspect::Content) => {
                "push the image again from the same archive: `alga-release image push ARCHIVE`; or publish another version \
                 with another control plane"
            }
            (NamedKind::Channel, Aspect::Manifest | Aspect::Content) => return self.channel_again.clone(),
            (_, Aspect::Manifest | Aspect::Content) => return self.again.clone(),
            (NamedKind::Channel, Aspect::Tag) => {
                "set the tag to the digest of the channel manifest with another tool, or move the channel: each move writes its own keep-alive tag"
            }
            (_, Aspect::Tag) => {
                "if the tag is missing, publish the same version from the same commit again, which sets the tag; if the tag names another digest, find out who moved the tag"
            }
            (NamedKind::Channel, Aspect::Agrees) => {
                "find out who wrote the channel, and move it: `alga-release rollback CHANNEL --to VERSION --reason TEXT`"
            }
            _ => ANOTHER_VERSION,
        };
        text.to_owned()
    }
}
