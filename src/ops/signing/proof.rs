//! Signs the proof of a move: the statement of the channel and its refresh, as layers of the channel manifest.

use std::collections::BTreeSet;

use super::{Signing, TrustError};
use crate::oci::{Content, Digest, ReadStore, Repository, Tag, media_type};
use crate::ops::Error;
use crate::plan::{Move, MoveRecord, ObservedChannel, Renewal, bundles_of, is_about_channel, statement_of};
use crate::signing::{KeySignature, Message, SignerRole};
use crate::trust::{
    self, Accepted, Candidate, ChannelStatement, DAY, KeyId, Offer, ReadFrom, RefreshRole, RefreshStatement, Role,
    STATEMENT_LAYERS, SignatureBundle, Statement, Terms, Time, Untrusted,
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

    /// Keeps the statement that a channel carries. Returns the layers of the channel manifest with the signatures of the
    /// release by the keys of today, and with a new refresh in place of the old one where the renewal says so.
    pub(in crate::ops) async fn prove_refresh(
        &self,
        proving: &Proving<'_>,
        renewal: &Renewal,
    ) -> Result<Vec<Content>, Error> {
        let Proving { moves, record, observed, now, .. } = *proving;
        let (channel, role) = (&moves.channel, self.role(&moves.channel)?);
        let statement = carried(observed).ok_or_else(|| TrustError::NoStatement(channel.clone()))?;
        let (mut layers, refreshes): (Vec<Content>, Vec<Content>) =
            about_channel(observed).partition(|layer| matches!(statement_of(layer), Some(Statement::Channel(_))));
        match role.refresh.as_ref().filter(|_| renewal.refreshes) {
            Some(refresh) => {
                let new = self.refresh(channel, refresh, &statement, record.moved.parse().unwrap_or(now)).await?;
                layers.extend(new.into_iter().map(layer));
            }
            None => layers.extend(refreshes),
        }
        layers.extend(renewal.release.iter().cloned());
        self.follows(proving, &layers)?;
        Ok(layers)
    }

    /// Decides when a channel is refreshed, and until when it is accepted then. `release` are the signatures of its release
    /// by the keys of today. `least` is the time in seconds that must be left of its lifetime; by default, half of the
    /// lifetime that the role allows. A refresh counts from `issued`.
    ///
    /// # Errors
    /// When the channel carries no statement that readers would accept with a refresh.
    pub(in crate::ops) fn renewal(
        &self,
        (channel, observed): (&Tag, &ObservedChannel),
        release: Vec<Vec<u8>>,
        least: Option<u64>,
        reissues: bool,
        (now, issued): (Time, Time),
    ) -> Result<Renewal, Error> {
        let (role, release) = (self.role(channel)?, release.into_iter().map(layer).collect::<Vec<Content>>());
        let media = ReadFrom::Media { accept_expired: None };
        let accepted = self.with_release(channel, observed, &release, (now, media));
        let accepted = accepted.map_err(|cause| TrustError::NotRefreshed { channel: channel.clone(), cause })?;
        let current = self.with_release(channel, observed, &release, (now, ReadFrom::Registry)).ok();
        let current = current.map(|current| current.expires);
        let fresh_until = role.refresh.as_ref().map(|role| issued.plus(role.max_lifetime_days.saturating_mul(DAY)));
        let renewal = |days: u64, keeps_statement: bool| {
            let latest = issued.plus(days.saturating_mul(DAY));
            let expires = if keeps_statement { latest.min(accepted.statement.expires) } else { latest };
            let needed_until = now.plus(least.unwrap_or(days.saturating_mul(DAY) / 2));
            let accepted_until = fresh_until.map_or(expires, |until| until.min(expires));
            let release = release.clone();
            Renewal { needed_until, expires, keeps_statement, refreshes: false, accepted_until, release }
        };
        let anew = renewal(role.max_lifetime_days, false);
        if (reissues || role.refresh.is_none()) && anew.is_due_at(Some(accepted.statement.expires)) {
            return Ok(anew);
        }
        // Without a refresh role, the statement is issued again only for its own expiry: other signatures of its release need no
        // signature of the channel.
        let mut kept =
            renewal(role.refresh.as_ref().map_or(role.max_lifetime_days, |role| role.max_lifetime_days), true);
        let can_refresh = |refresh: &RefreshRole| self.can_refresh(refresh) || kept.is_due_at(current);
        kept.refreshes = role.refresh.as_ref().is_some_and(can_refresh);
        if !kept.refreshes {
            kept.accepted_until = current.unwrap_or(kept.accepted_until);
        }
        Ok(kept)
    }

    /// Reports whether a refresh can be signed by the keys at hand, or was signed elsewhere.
    fn can_refresh(&self, refresh: &RefreshRole) -> bool {
        let is_given = self.given.iter().any(|(_, one)| one.message.role() == SignerRole::Refresh);
        is_given || self.signers.most(SignerRole::Refresh, &self.keys(&refresh.role), &[]) >= refresh.role.threshold
    }

    /// Returns what a channel states, as readers accept it with these signatures of its release.
    fn with_release(
        &self,
        channel: &Tag,
        observed: &ObservedChannel,
        release: &[Content],
        (now, source): (Time, ReadFrom<'_>),
    ) -> Result<Accepted, Untrusted> {
        let record = observed.serves.as_ref().and_then(|serves| serves.record.as_ref());
        let layers: Vec<Content> = about_channel(observed).chain(release.iter().cloned()).collect();
        let terms = Terms::without_memory(self.document(), channel, now, source);
        trust::accept(&Offer { record, layers: &bundles_of(&layers) }, &terms)
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
    /// Returns the signatures of a release that a channel manifest carries: one by each key of the role `release`, of those
    /// that are known already, of those that the channel carries, and of those in a store. The store is not asked where
    /// the publication writes some itself.
    ///
    /// # Errors
    /// When no key of the role signed the release, or the store fails.
    pub(in crate::ops) async fn release_bundles(
        &self,
        own: Vec<Vec<u8>>,
        observed: &ObservedChannel,
        store: &ReadStore,
        (repository, release): (&Repository, &Digest),
    ) -> Result<Vec<Vec<u8>>, Error> {
        let own = self.one_of_each_key(own, release);
        if !own.is_empty() {
            return Ok(own);
        }
        let carried = observed.serves.iter().flat_map(|serves| bundles_of(&serves.signatures)).map(<[u8]>::to_vec);
        let all = carried.chain(store.bundles(repository, release).await?);
        let bundles = self.one_of_each_key(all, release);
        if bundles.is_empty() && !self.is_preparing() {
            return Err(TrustError::ReleaseUnsigned(release.clone()).into());
        }
        Ok(bundles)
    }

    /// Returns those bundles by which keys of the role `release` signed a release, the first of each key. What others attached
    /// to the release must not become a layer: a reader reads a limited number of them.
    fn one_of_each_key(&self, bundles: impl IntoIterator<Item = Vec<u8>>, release: &Digest) -> Vec<Vec<u8>> {
        let mut keys = BTreeSet::new();
        let is_first = |bundle: &Vec<u8>| {
            let key = Candidate::Bundle(bundle).signer(self.document(), release);
            key.is_some_and(|key| keys.insert(key))
        };
        bundles.into_iter().filter(is_first).collect()
    }
}

/// Returns the layers of the channel manifest with the statement about the channel and its refresh.
fn about_channel(observed: &ObservedChannel) -> impl Iterator<Item = Content> {
    let layers = observed.serves.iter().flat_map(|serves| &serves.signatures);
    layers.filter(|layer| is_about_channel(layer)).cloned()
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
