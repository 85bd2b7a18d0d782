//! Signs the proof of a move: the statement of the channel and its refresh, as layers of the channel manifest.

use super::{Signing, TrustError};
use crate::oci::{Content, Digest, ReadStore, Tag, media_type};
use crate::ops::Error;
use crate::plan::{Move, MoveRecord, ObservedChannel, Renewal, bundles_of, statement_of};
use crate::signing::{KeySignature, Message, SignerRole};
use crate::trust::{
    self, Candidate, ChannelStatement, DAY, KeyId, Offer, ReadFrom, RefreshRole, RefreshStatement, Role,
    STATEMENT_LAYERS, SignatureBundle, Statement, Terms, Time,
};

/// A move that is signed before it is written.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Proving<'a> {
    pub moves: &'a Move,
    pub record: &'a MoveRecord,
    pub observed: &'a ObservedChannel,
    /// Where readers will read the channel from.
    pub source: ReadFrom<'a>,
    pub now: Time,
}

/// Returns how readers verify what a store holds: a directory is a medium, on which nothing has to be fresh.
pub(in crate::ops) fn read_from(store: &ReadStore) -> ReadFrom<'static> {
    match store.path() {
        Some(_) => ReadFrom::Media { accept_expired: None },
        None => ReadFrom::Registry,
    }
}

impl Signing {
    /// Signs the statement of a move. Returns the layers of the channel manifest that prove it: the statement once for
    /// each signature, its refresh, and `release`, which are the release's own signatures.
    pub(in crate::ops) async fn prove(
        &self,
        proving: &Proving<'_>,
        release: Vec<Vec<u8>>,
    ) -> Result<Vec<Content>, Error> {
        let Proving { moves, record, observed, source, now } = *proving;
        let (channel, role) = (&moves.channel, self.role(&moves.channel)?);
        // The record of the move has the time to the second, as the statement must have it.
        let issued = record.moved.parse().unwrap_or(now);
        let signed = observed.signed.clone().unwrap_or_default();
        let statement = signed.statement(moves, record, self.document(), role, issued);
        let message = Message::of_statement(&Statement::Channel(Box::new(statement.clone())));
        self.check_given(channel, &message)?;
        // A number is not used up by a statement that too few keys can sign.
        let most = self.signers.most(SignerRole::Channel, &self.keys(&role.role), &message.to_be_signed());
        if most < role.role.threshold && !self.is_preparing() {
            let keys = self.at_hand(&role.role, &message);
            return Err(TrustError::threshold(of_move(channel), message.role(), &role.role, &keys).into());
        }
        if most > 0 {
            self.keep(&message, false)?;
        }
        let mut layers = self.statement(channel, message, &role.role).await?;
        if let Some(refresh) = &role.refresh {
            match self.refresh(channel, refresh, &statement, issued).await {
                Err(Error::Trust(TrustError::Threshold { .. })) if source != ReadFrom::Registry => {}
                refresh => layers.extend(refresh?),
            }
        }
        layers.truncate(STATEMENT_LAYERS);
        layers.extend(release);
        let layers: Vec<Content> = layers.into_iter().map(layer).collect();
        self.follows(proving, &layers)?;
        Ok(layers)
    }

    /// Signs a refresh of the statement that a channel carries. Returns the layers of the channel manifest with the new
    /// refresh in place of the old one.
    pub(in crate::ops) async fn prove_refresh(&self, proving: &Proving<'_>) -> Result<Vec<Content>, Error> {
        let Proving { moves, record, observed, now, .. } = *proving;
        let (channel, role) = (&moves.channel, self.role(&moves.channel)?);
        let (Some(refresh), Some(statement)) = (&role.refresh, carried(observed)) else {
            return Err(TrustError::NoStatement(channel.clone()).into());
        };
        let new = self.refresh(channel, refresh, &statement, record.moved.parse().unwrap_or(now)).await?;
        let served = observed.serves.iter().flat_map(|serves| &serves.signatures);
        let kept = served.filter(|layer| !matches!(statement_of(layer), Some(Statement::Refresh(_))));
        let (mut layers, others): (Vec<Content>, Vec<Content>) =
            kept.cloned().partition(|layer| matches!(statement_of(layer), Some(Statement::Channel(_))));
        layers.extend(new.into_iter().map(layer));
        layers.extend(others);
        self.follows(proving, &layers)?;
        Ok(layers)
    }

    /// Decides when a channel is refreshed, and until when it is accepted then. `least` is the time in seconds that must
    /// be left of its lifetime; by default, half of the lifetime that the role allows. A refresh counts from `issued`.
    ///
    /// # Errors
    /// When the channel carries no statement that readers would accept with a refresh.
    pub(in crate::ops) fn renewal(
        &self,
        channel: &Tag,
        observed: &ObservedChannel,
        least: Option<u64>,
        reissues: bool,
        (now, issued): (Time, Time),
    ) -> Result<Renewal, Error> {
        let role = self.role(channel)?;
        let statement = self.refreshable(channel, observed, now)?;
        let keeps = role.refresh.as_ref().filter(|_| !reissues);
        let lifetime = keeps.map_or(role.max_lifetime_days, |refresh| refresh.max_lifetime_days).saturating_mul(DAY);
        let latest = issued.plus(lifetime);
        let expires = if keeps.is_some() { latest.min(statement.expires) } else { latest };
        let needed_until = now.plus(least.unwrap_or(lifetime / 2));
        Ok(Renewal { needed_until, expires, keeps_statement: keeps.is_some() })
    }

    /// Returns the statement of a channel that only lacks a current refresh, if anything.
    fn refreshable(
        &self,
        channel: &Tag,
        observed: &ObservedChannel,
        now: Time,
    ) -> Result<ChannelStatement, TrustError> {
        let Some(serves) = &observed.serves else { return Err(TrustError::NoStatement(channel.clone())) };
        let offer = Offer { record: serves.record.as_ref(), layers: &bundles_of(&serves.signatures) };
        let source = ReadFrom::Media { accept_expired: None };
        let terms = Terms::without_memory(self.document(), channel, now, source);
        let accepted = trust::accept(&offer, &terms);
        let accepted = accepted.map_err(|cause| TrustError::NotRefreshed { channel: channel.clone(), cause })?;
        Ok(accepted.statement)
    }

    /// Returns the bundles of a refresh that lasts as long as the role allows, but not longer than the statement.
    async fn refresh(
        &self,
        channel: &Tag,
        role: &RefreshRole,
        statement: &ChannelStatement,
        issued: Time,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let expires = issued.plus(role.max_lifetime_days.saturating_mul(DAY)).min(statement.expires);
        let refresh = RefreshStatement::of(statement, self.document().version, issued, expires);
        let message = Message::of_statement(&Statement::Refresh(refresh));
        self.check_given(channel, &message)?;
        self.statement(channel, message, &role.role).await
    }

    /// Signs a statement by a role of the channel. Returns its bundles, one for each signature, in the order of the keys.
    async fn statement(&self, channel: &Tag, message: Message, role: &Role) -> Result<Vec<Vec<u8>>, Error> {
        let (as_role, payload) = (message.role(), message.payload().to_vec());
        let signatures = self.sign(message, role).await?;
        if signatures.len() < role.threshold && !self.is_preparing() {
            let signers: Vec<KeyId> = signatures.iter().map(|one| one.key.id()).collect();
            return Err(TrustError::threshold(of_move(channel), as_role, role, &signers).into());
        }
        let bundle = |one: KeySignature| SignatureBundle::new(payload.clone(), &one.key.id(), one.der).to_bytes();
        Ok(signatures.into_iter().map(bundle).collect())
    }

    /// Checks that a reader follows the move with these layers, so that nothing is written that appliances refuse.
    fn follows(&self, proving: &Proving<'_>, layers: &[Content]) -> Result<(), TrustError> {
        if self.is_preparing() {
            return Ok(());
        }
        let Proving { moves, record, observed, source, now } = *proving;
        let kept = observed.serves.as_ref().filter(|_| moves.refreshes.is_some());
        let record = kept.and_then(|serves| serves.record.clone()).unwrap_or_else(|| record.of(moves));
        let offer = Offer { record: Some(&record), layers: &bundles_of(layers) };
        let channel = &moves.channel;
        let terms = Terms::without_memory(self.document(), channel, now, source);
        let followed = trust::accept(&offer, &terms).map(drop);
        followed.map_err(|cause| TrustError::NotFollowed { channel: channel.clone(), cause })
    }
}

impl Signing {
    /// Returns the signatures of a release that the channel manifest carries already.
    pub(in crate::ops) fn carried_bundles(&self, observed: &ObservedChannel, release: &Digest) -> Vec<Vec<u8>> {
        let layers = observed.serves.iter().flat_map(|serves| bundles_of(&serves.signatures));
        let signed = layers.filter(|bundle| Candidate::Bundle(bundle).signer(self.document(), release).is_some());
        signed.map(<[u8]>::to_vec).collect()
    }
}

/// Returns the statement that a channel carries.
fn carried(observed: &ObservedChannel) -> Option<ChannelStatement> {
    let layers = &observed.serves.as_ref()?.signatures;
    let previous = observed.signed.as_ref()?.previous.as_ref();
    layers.iter().find_map(|layer| match statement_of(layer)? {
        Statement::Channel(statement) if previous == Some(&Digest::of(&statement.to_payload())) => Some(*statement),
        _ => None,
    })
}

fn of_move(channel: &Tag) -> String {
    format!("the move of {channel}")
}

fn layer(bundle: Vec<u8>) -> Content {
    Content::new(media_type::SIGSTORE_BUNDLE, bundle)
}
