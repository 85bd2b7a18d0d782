//! Withdraws a release: the next version of the trust document forbids it on every appliance.

use super::change::TrustChange;
use super::files::Versions;
use super::report::TrustReport;
use super::{TrustFile, change_trust};
use crate::config::Config;
use crate::oci::{Digest, Selector, Tag};
use crate::ops::resolve::check_version;
use crate::ops::{Connection, Context, Error};
use crate::release;

/// Adds a release to the withdrawn ones of the next version of a trust document. A digest counts even when the store
/// does not have the release any more, because a mirror may have it.
///
/// # Errors
/// When the store does not have the release under this name, and in the cases of [`change_trust`].
pub async fn withdraw(
    reference: &str,
    reason: &str,
    file: &TrustFile,
    (config, connection): (&Config, &Connection),
    context: &Context,
) -> Result<TrustReport, Error> {
    let selector: Selector = reference.parse()?;
    let release = match (connection.resolve(config, reference, &selector).await, &selector) {
        (Ok(resolved), _) => {
            check_version(&selector, config, &Versions::open(&file.path)?.current.document, &resolved)?;
            resolved.release_digest
        }
        (Err(Error::NoSuchName { location, .. }), Selector::Digest(digest)) => {
            context.warn(&format!("{location} does not have the release {digest}: it is withdrawn all the same"));
            digest.clone()
        }
        (Err(error), _) => return Err(error),
    };
    let change = TrustChange::Withdraw { release: release.clone(), reason: reason.to_owned() };
    let mut report = change_trust(&change, file, None, context).await?;
    let roles = report.documents.last().into_iter().flat_map(|document| &document.roles);
    let channels: Vec<Tag> =
        roles.filter_map(|role| role.role.strip_prefix("channel:").and_then(|name| name.parse().ok())).collect();
    for channel in channels {
        if serves(connection, config, &channel, &release).await {
            let warning = format!(
                "{channel} serves the withdrawn release: move it with `alga-release promote` or `alga-release rollback {channel}`, because \
                 appliances stay at what they have until then"
            );
            context.warn(&warning);
            report.warnings.push(warning);
        }
    }
    Ok(report)
}

/// Returns whether a channel serves a release. A channel that cannot be read is another command's matter.
async fn serves(connection: &Connection, config: &Config, channel: &Tag, release: &Digest) -> bool {
    let selector = Selector::Tag(channel.clone());
    let resolved = release::resolve(connection.read(), &config.repositories.release, &selector).await;
    resolved.is_ok_and(|resolved| resolved.release_digest == *release)
}
