//! What only a removed key signed. Appliances refuse it as soon as the new version of the trust document is published.

use std::collections::BTreeSet;

use crate::config::Config;
use crate::oci::{AnyRepository, Digest, Repository, Selector, Tag};
use crate::ops::{Connection, Error};
use crate::release::{self, ResolveError, Resolved, Target};
use crate::trust::{Candidate, KeyId, Offer, TrustDocument, proven};

/// Returns a warning for each release and artifact of the channels, and for each channel, that would lack a signature.
/// A store that cannot be read is a warning, so that a stolen key can be removed without it.
pub(super) async fn left_unsigned(
    old: &TrustDocument,
    new: &TrustDocument,
    config: &Config,
    connection: &Connection,
) -> Vec<String> {
    let looking = Looking { old, new, config, connection };
    let mut warnings = Vec::new();
    for name in old.channels.keys() {
        let Ok(channel) = name.parse::<Tag>() else { continue };
        match looking.channel(&channel).await {
            Ok(found) => warnings.extend(found),
            Err(error) => warnings.push(format!(
                "cannot list what the removed keys alone signed in {channel}: {}",
                crate::text::with_causes(&error)
            )),
        }
    }
    let mut seen = BTreeSet::new();
    warnings.retain(|warning| seen.insert(warning.clone()));
    warnings
}

struct Looking<'a> {
    old: &'a TrustDocument,
    new: &'a TrustDocument,
    config: &'a Config,
    connection: &'a Connection,
}

impl Looking<'_> {
    async fn channel(&self, channel: &Tag) -> Result<Vec<String>, Error> {
        let repository = &self.config.repositories.release;
        let selector = Selector::Tag(channel.clone());
        let resolved = match release::resolve(self.connection.read(), repository, &selector).await {
            Err(ResolveError::Store(error)) if error.is_not_found() => return Ok(Vec::new()),
            resolved => resolved?,
        };
        let mut warnings = Vec::from_iter(self.statement(channel, &resolved).await?);
        let removed = self.old.release.keys.difference(&self.new.release.keys).next();
        if removed.is_some() {
            warnings.extend(self.artifacts(&resolved).await?);
        }
        Ok(warnings)
    }

    /// Returns a warning when the statement of a channel would have too few signatures.
    async fn statement(&self, channel: &Tag, resolved: &Resolved) -> Result<Option<String>, Error> {
        let repository = &self.config.repositories.release;
        let layers = release::signatures(self.connection.read(), repository, &resolved.signatures).await?;
        let layers: Vec<&[u8]> = layers.iter().map(|layer| &layer[..]).collect();
        let offer = Offer { record: resolved.record.as_ref(), layers: &layers };
        let is_proven = |document| proven(&offer, document, channel).is_ok();
        Ok((is_proven(self.old) && !is_proven(self.new)).then(|| {
            format!(
                "the remaining keys of channel:{channel} do not prove what {channel} serves: publish or promote to {channel} again with \
                 them, after this version is published"
            )
        }))
    }

    /// Returns a warning for each artifact of a release that only removed keys signed.
    async fn artifacts(&self, resolved: &Resolved) -> Result<Vec<String>, Error> {
        let version = &resolved.release.version;
        let config = resolved.release.described(self.config)?.config;
        let prefix = self.connection.prefix_of(&resolved.release, &config)?;
        let of_release =
            (format!("release {version}"), config.repositories.release.clone(), resolved.release_digest.clone());
        let mut all = vec![of_release];
        for named in resolved.release.named(&prefix, &config) {
            if let Target::At { repository: AnyRepository::Own(repository), selector: Selector::Digest(digest) } =
                &named.target
            {
                let name = format!("{} {} of release {version}", named.kind.as_str(), named.name);
                all.push((name, repository.clone(), digest.clone()));
            }
        }
        let mut warnings = Vec::new();
        for (name, repository, digest) in all {
            if self.is_left(&repository, &digest).await? {
                warnings.push(format!(
                    "no remaining key of the role release signed {name}: sign it with `alga-release sign --all --trust FILE --sign-key FILE` and a \
                     remaining key before this version of the trust document is published"
                ));
            }
        }
        Ok(warnings)
    }

    /// Returns whether an artifact is signed, and by removed keys alone.
    async fn is_left(&self, repository: &Repository, digest: &Digest) -> Result<bool, Error> {
        let bundles = self.connection.read().bundles(repository, digest).await?;
        let signers = |document: &TrustDocument| -> BTreeSet<KeyId> {
            bundles.iter().filter_map(|bundle| Candidate::Bundle(bundle).signer(document, digest)).collect()
        };
        Ok(!signers(self.old).is_empty() && signers(self.new).is_empty())
    }
}
