//! Random histories of a channel and of an appliance that follows it, while another party controls the store.

use proptest::prelude::*;

use super::accept::{Accepted, CLOCK_TOLERANCE, Offer, Position, ReadFrom, Terms, accept};
use super::testing::{SigningKey, Vendor, bundle, envelope};
use super::time::DAY;
use super::*;
use crate::oci::{Digest, Tag};
use crate::release::{MoveKind, Record};

const LARGEST: u64 = (1 << 53) - 1;

/// One event of a history. Numbers select among what exists by then.
#[derive(Clone, Debug)]
enum Event {
    /// The vendor moves the channel.
    Move,
    /// The vendor refreshes the last statement.
    Refresh,
    /// The vendor replaces a key of the channel, and the root keys too when told so.
    Rotate { root: bool },
    /// The vendor starts a new epoch with new keys.
    NewEpoch,
    /// Whoever stole one key signs a statement with it, which is too few.
    Forge { sequence: u64 },
    /// Whoever stole enough keys signs a statement with the highest sequence.
    Steal,
    /// Time passes, and the clock of the appliance jumps.
    Pass { hours: u64, clock: i64 },
    /// The appliance reads some statement with layers of another one, and some of the trust documents.
    Read { manifest: usize, mixed: Option<usize>, documents: usize },
}

fn event() -> impl Strategy<Value = Event> {
    let sequence = prop_oneof![1..20_u64, Just(LARGEST)];
    let read = (any::<usize>(), proptest::option::weighted(0.3, any::<usize>()), any::<usize>());
    prop_oneof![
        4 => Just(Event::Move),
        2 => Just(Event::Refresh),
        1 => any::<bool>().prop_map(|root| Event::Rotate { root }),
        1 => Just(Event::NewEpoch),
        1 => sequence.prop_map(|sequence| Event::Forge { sequence }),
        1 => Just(Event::Steal),
        2 => (0..500_u64, -2000..2000_i64).prop_map(|(hours, clock)| Event::Pass { hours, clock }),
        6 => read.prop_map(|(manifest, mixed, documents)| Event::Read { manifest, mixed, documents }),
    ]
}

struct Manifest {
    record: Record,
    layers: Vec<Vec<u8>>,
}

/// Everything that was ever published, and the keys in use.
struct World {
    vendor: Vendor,
    documents: Vec<SignedDocument>,
    manifests: Vec<Manifest>,
    /// The last statement of the vendor.
    last: Option<ChannelStatement>,
    /// Payloads that enough keys signed, whoever had them.
    signed: Vec<Digest>,
    /// Whether enough keys of the present epoch were stolen.
    stolen: bool,
    now: Time,
}

impl World {
    fn new() -> Self {
        let vendor = Vendor::new();
        let mut document = vendor.document();
        document.expires = Time::from_seconds(u64::MAX);
        let bytes = envelope(DOCUMENT_TYPE, document.to_bytes(), &vendor.root()).to_bytes();
        let documents = vec![SignedDocument::open(&bytes).unwrap()];
        let now = "2026-11-27T00:00:00Z".parse().unwrap();
        Self { vendor, documents, manifests: Vec::new(), last: None, signed: Vec::new(), stolen: false, now }
    }

    fn document(&self) -> &TrustDocument {
        self.documents.last().unwrap().document()
    }

    fn statement(&self, sequence: u64) -> ChannelStatement {
        ChannelStatement {
            release: Digest::of(&sequence.to_be_bytes()),
            product: "alga-appliance".to_owned(),
            channel: "stable".parse().unwrap(),
            epoch: self.document().channels["stable"].epoch,
            trust_version: self.document().version,
            sequence,
            previous: self.last.as_ref().map(|last| Digest::of(&last.to_payload())),
            issued: self.now,
            expires: self.now.plus(90 * DAY),
            kind: MoveKind::Publish,
            by: None,
            from: None,
            reason: None,
        }
    }

    /// Puts a statement into the store with what else a channel manifest has.
    fn serve(&mut self, statement: &ChannelStatement, keys: usize) {
        let payload = statement.to_payload();
        let refresh = RefreshStatement::of(statement, self.document().version, self.now, self.now.plus(14 * DAY));
        let mut layers: Vec<Vec<u8>> = self.vendor.stable[..keys].iter().map(|key| bundle(&payload, key)).collect();
        layers.push(bundle(&refresh.to_payload(), &self.vendor.refresh));
        let release = Statement::Artifact(statement.release.clone()).to_payload();
        layers.push(bundle(&release, &self.vendor.release));
        let record = Record {
            name: "stable".to_owned(),
            release: statement.release.clone(),
            sequence: statement.sequence,
            previous: None,
            kind: statement.kind,
            moved: statement.issued.to_string(),
            by: None,
            from: None,
            reason: None,
        };
        if keys >= 2 {
            self.signed.push(Digest::of(&payload));
        }
        self.manifests.push(Manifest { record, layers });
    }

    fn move_channel(&mut self) {
        let epoch = self.document().channels["stable"].epoch;
        let last = self.last.as_ref().filter(|last| last.epoch == epoch);
        let statement = self.statement(last.map_or(0, |last| last.sequence) + 1);
        self.serve(&statement, 2);
        self.last = Some(statement);
    }

    fn publish(&mut self, change: impl FnOnce(&mut TrustDocument, &mut Vendor), new_root: bool) {
        let mut next = self.document().clone();
        next.version += 1;
        next.issued = self.now;
        change(&mut next, &mut self.vendor);
        let mut root = std::mem::take(&mut self.vendor.root);
        if new_root {
            next.keys.retain(|id, _| !next.root.keys.contains(id));
            root.extend([SigningKey::generate(), SigningKey::generate()]);
            next.root.keys = root[2..].iter().map(|key| key.key().id()).collect();
            next.keys.extend(root[2..].iter().map(|key| (key.key().id(), key.key())));
        }
        let keys: Vec<&SigningKey> = root.iter().collect();
        let bytes = envelope(DOCUMENT_TYPE, next.to_bytes(), &keys).to_bytes();
        let accepted = self.documents.last().unwrap().next(&bytes).unwrap();
        self.vendor.root = root.split_off(root.len() - 2);
        self.documents.push(accepted);
    }

    /// Publishes a trust document in which some of the channel's keys are new.
    fn rotate(&mut self, count: usize, new_epoch: bool, new_root: bool) {
        let change = |next: &mut TrustDocument, vendor: &mut Vendor| {
            let stable = next.channels.get_mut("stable").unwrap();
            for old in vendor.stable.iter_mut().take(count) {
                stable.role.keys.remove(&old.key().id());
                next.keys.remove(&old.key().id());
                *old = SigningKey::generate();
                stable.role.keys.insert(old.key().id());
                next.keys.insert(old.key().id(), old.key());
            }
            stable.epoch += u64::from(new_epoch);
        };
        self.publish(change, new_root);
        if new_epoch {
            (self.stolen, self.last) = (false, None);
        }
    }

    fn refresh(&mut self) {
        let epoch = self.document().channels["stable"].epoch;
        if let Some(last) = self.last.clone().filter(|last| last.epoch == epoch) {
            self.serve(&last, 2);
        }
    }
}

struct Appliance {
    document: SignedDocument,
    highest: Option<Position>,
    floor: Option<Time>,
    /// Hours by which the clock is ahead.
    clock: i64,
}

impl Appliance {
    fn now(&self, world: &World) -> Time {
        let shift = self.clock.unsigned_abs() * 3600;
        let now = world.now.seconds();
        Time::from_seconds(if self.clock < 0 { now.saturating_sub(shift) } else { now + shift })
    }

    /// Follows the chain of trust documents, of which the store serves only the first ones.
    fn follow(&mut self, documents: &[SignedDocument]) {
        for offered in documents {
            match self.document.next(offered.envelope()) {
                Ok(next) => self.document = next,
                Err(_) => assert_ne!(offered.document().version, self.document.document().version + 1),
            }
        }
    }

    fn read(&mut self, world: &World, record: &Record, layers: &[&[u8]]) -> Result<Accepted, Untrusted> {
        let channel: Tag = "stable".parse().unwrap();
        let now = self.now(world);
        let document = self.document.document();
        let terms = Terms {
            document,
            channel: &channel,
            highest: self.highest.as_ref(),
            floor: self.floor,
            now,
            source: ReadFrom::Registry,
        };
        let accepted = accept(&Offer { record: Some(record), layers }, &terms)?;
        assert!(world.signed.contains(&accepted.payload), "too few keys signed this statement");
        assert!(accepted.signers.len() >= 2);
        let role = &document.channels["stable"].role;
        assert!(accepted.signers.is_subset(&role.keys), "a key that has left the role counted");
        let position = accepted.position();
        if let Some(before) = &self.highest {
            let order = (position.epoch, position.sequence).cmp(&(before.epoch, before.sequence));
            assert!(order.is_ge(), "{position:?} after {before:?}");
            assert_eq!(order.is_gt(), accepted.newer);
            assert!(order.is_gt() || position == *before);
        }
        assert!(now < accepted.expires && self.floor <= Some(now.plus(CLOCK_TOLERANCE)));
        assert!(Some(accepted.floor) >= self.floor);
        (self.highest, self.floor) = (Some(position), Some(accepted.floor));
        Ok(accepted)
    }
}

fn happens(event: &Event, world: &mut World, appliance: &mut Appliance) {
    match *event {
        Event::Move => world.move_channel(),
        Event::Refresh => world.refresh(),
        Event::Rotate { root } => world.rotate(1, false, root),
        Event::NewEpoch => world.rotate(3, true, false),
        Event::Forge { sequence } => {
            let forged = world.statement(sequence);
            world.serve(&forged, 1);
        }
        Event::Steal => {
            let mut stolen = world.statement(LARGEST);
            stolen.release = Digest::of(b"of a thief");
            world.serve(&stolen, 2);
            world.stolen = true;
        }
        Event::Pass { hours, clock } => {
            world.now = world.now.plus(hours * 3600);
            appliance.clock = clock;
        }
        Event::Read { manifest, mixed, documents } => {
            appliance.follow(&world.documents[..documents % (world.documents.len() + 1)]);
            let Some(count) = std::num::NonZero::new(world.manifests.len()) else { return };
            let Manifest { record, layers } = &world.manifests[manifest % count];
            let others = mixed.map(|mixed| &world.manifests[mixed % count].layers);
            let layers: Vec<&[u8]> = layers.iter().chain(others.into_iter().flatten()).map(Vec::as_slice).collect();
            let _ = appliance.read(world, record, &layers);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_position_never_falls_and_a_newer_statement_always_recovers(events in prop::collection::vec(event(), 1..16)) {
        let mut world = World::new();
        let document = world.documents[0].clone();
        let mut appliance = Appliance { document, highest: None, floor: None, clock: 0 };
        for event in &events {
            happens(event, &mut world, &mut appliance);
        }
        // The clock is corrected, and whoever stole keys loses them.
        world.now = world.now.max(appliance.floor.unwrap_or(world.now));
        appliance.clock = 0;
        if world.stolen {
            world.rotate(3, true, false);
        }
        world.move_channel();
        appliance.follow(&world.documents.clone());
        let Manifest { record, layers } = world.manifests.last().unwrap();
        let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
        let accepted = appliance.read(&world, record, &layers).expect("a newer statement");
        prop_assert!(accepted.newer);
        prop_assert_eq!(Some(&accepted.statement), world.last.as_ref());
    }
}
