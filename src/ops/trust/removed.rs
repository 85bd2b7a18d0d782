//! What only a removed key signed. Appliances refuse it as soon as the new version of the trust document is published.

use std::collections::BTreeSet;
use std::path::Path;

use crate::config::Config;
use crate::oci::{AnyRepository, Digest, Selector, Tag};
use crate::ops::{Connection, Error};
use crate::release::{self, ResolveError, Resolved, Target};
use crate::trust::{Candidate, Offer, TrustDocument, artifact_signers, proven};

/// Returns a warning for each release and artifact of the channels, and for each channel, that would lack a signature, and
/// then the commands that sign it, in their order. A store that cannot be read is a warning, so that a stolen key can be
/// removed without it.
pub(super) async fn left_unsigned(
    (old, new): (&TrustDocument, &TrustDocument),
    path: &Path,
    config: &Config,
    connection: &Connection,
) -> Vec<String> {
    let looking = Looking { old, new, config, connection };
    let (mut warnings, mut refreshed, mut signs) = (Vec::new(), Vec::new(), false);
    for name in old.channels.keys() {
        let Ok(channel) = name.parse::<Tag>() else { continue };
        match looking.channel(&channel).await {
            Ok(found) => {
                refreshed.extend(found.lacks_release.then_some(channel));
                signs |= !found.artifacts.is_empty();
                warnings.extend(found.warnings);
                warnings.extend(found.artifacts);
            }
            Err(error) => warnings.push(format!(
                "cannot list what the removed keys alone signed in {channel}: {}",
                crate::text::with_causes(&error)
            )),
        }
    }
    let mut seen = BTreeSet::new();
    warnings.retain(|warning| seen.insert(warning.clone()));
    warnings.extend(looking.steps(&refreshed, path, signs));
    warnings
}

struct Looking<'a> {
    old: &'a TrustDocument,
    new: &'a TrustDocument,
    config: &'a Config,
    connection: &'a Connection,
}

/// What a channel would lack.
#[derive(Default)]
struct Lack {
    /// Warnings about the channel itself.
    warnings: Vec<String>,
    /// A warning for each artifact.
    artifacts: Vec<String>,
    /// Whether the channel manifest would carry no signature of its release.
    lacks_release: bool,
}

impl Looking<'_> {
    async fn channel(&self, channel: &Tag) -> Result<Lack, Error> {
        let repository = &self.config.repositories.release;
        let selector = Selector::Tag(channel.clone());
        let resolved = match release::resolve(self.connection.read(), repository, &selector).await {
            Err(ResolveError::Store(error)) if error.is_not_found() => return Ok(Lack::default()),
            resolved => resolved?,
        };
        let layers = release::signatures(self.connection.read(), repository, &resolved.signatures).await?;
        let layers: Vec<&[u8]> = layers.iter().map(|layer| &layer[..]).collect();
        let mut warnings = Vec::from_iter(self.statement(channel, &resolved, &layers));
        if self.old.release.keys.is_subset(&self.new.release.keys) {
            return Ok(Lack { warnings, ..Lack::default() });
        }
        let lacks_release = self.is_left(&resolved.release_digest, &layers);
        if lacks_release {
            warnings.push(format!(
                "no remaining key of the role release signed what {channel} carries: appliances refuse {channel} from this version of the \
                 trust document on, until it is refreshed"
            ));
        }
        Ok(Lack { warnings, artifacts: self.artifacts(&resolved).await?, lacks_release })
    }

    /// Returns the commands that sign what would lack a signature, in their order, as one warning.
    fn steps(&self, channels: &[Tag], path: &Path, signs: bool) -> Option<String> {
        let trust = path.display();
        let sign = format!(
            "`alga-release sign --all --trust {trust} --sign-key FILE` with a remaining key (of a program: `--signer 'release@KEYID=COMMAND'`)"
        );
        let refresh = channels.iter().map(|channel| {
            let refresh = self.new.channels.get(channel.as_str()).and_then(|role| role.refresh.as_ref());
            let key = if refresh.is_some() { " --sign-key FILE` with its refresh key" } else { "`" };
            format!("`alga-release refresh {channel} --trust {trust}{key}")
        });
        let mut steps: Vec<String> = signs.then_some(sign).into_iter().chain(refresh).collect();
        if steps.is_empty() {
            return None;
        }
        let publish = "`alga-release trust sign` and `alga-release trust publish` for this version".to_owned();
        // A key signs nothing before appliances know it.
        if self.old.release.keys.is_disjoint(&self.new.release.keys) {
            steps.insert(0, publish);
        } else {
            steps.push(publish);
        }
        Some(format!("run in this order: {}", steps.join(", then ")))
    }

    /// Returns a warning when the statement of a channel would have too few signatures.
    fn statement(&self, channel: &Tag, resolved: &Resolved, layers: &[&[u8]]) -> Option<String> {
        let offer = Offer { record: resolved.record.as_ref(), layers };
        let is_proven = |document| proven(&offer, document, channel).is_ok();
        (is_proven(self.old) && !is_proven(self.new)).then(|| {
            format!(
                "the remaining keys of channel:{channel} do not prove what {channel} serves: publish or promote to {channel} again with \
                 them, after this version is published"
            )
        })
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
            let bundles = self.connection.read().bundles(&repository, &digest).await?;
            let bundles: Vec<&[u8]> = bundles.iter().map(|bundle| &bundle[..]).collect();
            if self.is_left(&digest, &bundles) {
                warnings.push(format!("no remaining key of the role release signed {name}"));
            }
        }
        Ok(warnings)
    }

    /// Returns whether one of these bundles signs an artifact, and all that do are by removed keys.
    fn is_left(&self, digest: &Digest, bundles: &[&[u8]]) -> bool {
        let signers = |document: &TrustDocument| {
            artifact_signers(document, digest, bundles.iter().map(|bundle| Candidate::Bundle(bundle)))
        };
        !signers(self.old).is_empty() && signers(self.new).is_empty()
    }
}
