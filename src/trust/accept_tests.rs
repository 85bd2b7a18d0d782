use super::*;
use crate::release::MoveKind;
use crate::trust::Claim;
use crate::trust::testing::{SigningKey, Vendor, bundle};

type ChangeRecord = fn(&mut Record);

/// A channel manifest in a store.
#[derive(Clone)]
struct Served {
    record: Option<Record>,
    layers: Vec<Vec<u8>>,
}

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn release() -> Digest {
    Digest::of(b"release")
}

fn statement(channel: &str) -> ChannelStatement {
    ChannelStatement {
        release: release(),
        product: "alga-appliance".to_owned(),
        channel: tag(channel),
        epoch: 1,
        trust_version: 1,
        sequence: 7,
        previous: Some(Digest::of(b"before")),
        issued: time("2026-11-23T10:00:00Z"),
        expires: time("2026-12-20T00:00:00Z"),
        kind: MoveKind::Promote,
        by: Some("robertisaacs".to_owned()),
        from: Some("nightly".to_owned()),
        reason: None,
    }
}

fn refresh(statement: &ChannelStatement) -> RefreshStatement {
    RefreshStatement::of(statement, 1, time("2026-11-24T00:00:00Z"), time("2026-12-08T00:00:00Z"))
}

fn record(statement: &ChannelStatement) -> Record {
    Record {
        name: statement.channel.to_string(),
        release: statement.release.clone(),
        sequence: statement.sequence,
        previous: None,
        kind: statement.kind,
        moved: statement.issued.to_string(),
        by: statement.by.clone(),
        from: statement.from.clone(),
        reason: statement.reason.clone(),
    }
}

fn signed(payload: &[u8], keys: &[&SigningKey]) -> Vec<Vec<u8>> {
    keys.iter().map(|key| bundle(payload, key)).collect()
}

impl Served {
    /// Returns a channel manifest with a statement, a refresh if the channel is `stable`, and the release's signature.
    fn of(vendor: &Vendor, statement: &ChannelStatement) -> Self {
        let stable: Vec<&SigningKey> = vendor.stable[..2].iter().collect();
        let keys = if statement.channel.as_str() == "stable" { stable } else { vec![&vendor.nightly] };
        let mut layers = signed(&statement.to_payload(), &keys);
        if statement.channel.as_str() == "stable" {
            layers.extend(signed(&refresh(statement).to_payload(), &[&vendor.refresh]));
        }
        layers.extend(signed(&Statement::Artifact(statement.release.clone()).to_payload(), &[&vendor.release]));
        Self { record: Some(record(statement)), layers }
    }

    fn accept(&self, terms: &Terms<'_>) -> Result<Accepted, Untrusted> {
        let layers: Vec<&[u8]> = self.layers.iter().map(Vec::as_slice).collect();
        accept(&Offer { record: self.record.as_ref(), layers: &layers }, terms)
    }
}

fn terms<'a>(document: &'a TrustDocument, channel: &'a Tag) -> Terms<'a> {
    let now = time("2026-11-27T00:00:00Z");
    Terms::without_memory(document, channel, now, ReadFrom::Registry)
}

fn position(statement: &ChannelStatement) -> Position {
    let payload = Some(Digest::of(&statement.to_payload()));
    Position { epoch: statement.epoch, sequence: statement.sequence, payload }
}

/// Returns why a manifest with another statement is refused, although enough keys of its channel signed it.
fn refused(change: impl FnOnce(&mut ChannelStatement)) -> Untrusted {
    let vendor = Vendor::new();
    let (document, channel) = (vendor.document(), tag("nightly"));
    let mut statement = statement("nightly");
    change(&mut statement);
    Served::of(&vendor, &statement).accept(&terms(&document, &channel)).unwrap_err()
}

#[test]
fn a_statement_that_enough_keys_signed_is_accepted() {
    let vendor = Vendor::new();
    let (document, channel) = (vendor.document(), tag("stable"));
    let statement = statement("stable");
    let accepted = Served::of(&vendor, &statement).accept(&terms(&document, &channel)).unwrap();
    let ids = |keys: &[SigningKey]| keys.iter().map(|key| key.key().id()).collect::<BTreeSet<_>>();
    assert_eq!(accepted.statement, statement);
    assert_eq!(accepted.position(), position(&statement));
    assert_eq!(accepted.signers, ids(&vendor.stable[..2]));
    assert_eq!(accepted.refreshed_by, ids(std::slice::from_ref(&vendor.refresh)));
    assert_eq!(accepted.release_signers, ids(std::slice::from_ref(&vendor.release)));
    assert_eq!(accepted.expires, time("2026-12-08T00:00:00Z"), "the refresh expires before the statement");
    assert_eq!(accepted.floor, time("2026-11-27T00:00:00Z"));
    assert!(accepted.newer && !accepted.expired);
}

#[test]
fn the_order_of_the_layers_does_not_matter_and_other_layers_are_ignored() {
    let vendor = Vendor::new();
    let (document, channel) = (vendor.document(), tag("stable"));
    let mut served = Served::of(&vendor, &statement("stable"));
    served.layers.reverse();
    served.layers.insert(0, b"{}".to_vec());
    served.layers.push(bundle(b"{}", &vendor.stable[2]));
    served.layers.push(bundle(&statement("stable").to_payload(), &SigningKey::generate()));
    let forged = ChannelStatement { sequence: 99, ..statement("stable") };
    served.layers.push(bundle(&forged.to_payload(), &vendor.stable[2]));
    let accepted = served.accept(&terms(&document, &channel)).unwrap();
    assert_eq!(accepted.statement.sequence, 7);
}

#[test]
fn a_channel_without_a_statement_is_unsigned() {
    let vendor = Vendor::new();
    let (document, channel) = (vendor.document(), tag("stable"));
    let mut served = Served { record: Some(record(&statement("stable"))), layers: Vec::new() };
    assert_eq!(served.accept(&terms(&document, &channel)), Err(Untrusted::Unsigned { unreadable: None }));
    // The signature of a release is not a statement about a channel.
    served.layers = signed(&Statement::Artifact(release()).to_payload(), &[&vendor.stable[0], &vendor.stable[1]]);
    assert_eq!(served.accept(&terms(&document, &channel)), Err(Untrusted::Unsigned { unreadable: None }));
    served.layers = vec![b"[]".to_vec()];
    let error = served.accept(&terms(&document, &channel)).unwrap_err().to_string();
    assert_eq!(
        error,
        "the channel is not signed: the channel manifest has no statement: invalid signature bundle: expected an object, \
         found a list"
    );
}

#[test]
fn only_keys_of_the_channel_count_each_once() {
    let vendor = Vendor::new();
    let (document, channel) = (vendor.document(), tag("stable"));
    let payload = statement("stable").to_payload();
    let rest = Served::of(&vendor, &statement("stable")).layers.split_off(2);
    let accept = |keys: &[&SigningKey]| {
        let layers = [signed(&payload, keys), rest.clone()].concat();
        Served { record: Some(record(&statement("stable"))), layers }.accept(&terms(&document, &channel))
    };
    let Vendor { root, release, stable, refresh, nightly } = &vendor;
    let below = Untrusted::Threshold { threshold: 2, found: 1 };
    assert_eq!(accept(&[&stable[0]]), Err(below.clone()));
    assert_eq!(accept(&[&stable[0], &stable[0], &stable[0]]), Err(below.clone()));
    for other in [&root[0], release, refresh, nightly, &SigningKey::generate()] {
        assert_eq!(accept(&[other, &stable[2]]), Err(below.clone()));
        assert_eq!(accept(&[other, other]), Err(Untrusted::UnknownKey));
    }
    assert_eq!(accept(&[&stable[2], nightly, &stable[1]]).unwrap().signers.len(), 2);
    assert_eq!(below.to_string(), "the statement of the channel has signatures by 1 of the 2 keys that must sign it");
}

#[test]
fn a_removed_key_does_not_count_any_more() {
    let vendor = Vendor::new();
    let (mut document, channel) = (vendor.document(), tag("stable"));
    document.channels.get_mut("stable").unwrap().role.keys.remove(&vendor.stable[0].key().id());
    let served = Served::of(&vendor, &statement("stable"));
    assert_eq!(served.accept(&terms(&document, &channel)), Err(Untrusted::Threshold { threshold: 2, found: 1 }));
}

#[test]
fn two_statements_with_enough_signatures_are_refused() {
    let vendor = Vendor::new();
    let (document, channel) = (vendor.document(), tag("nightly"));
    let mut served = Served::of(&vendor, &statement("nightly"));
    let other = ChannelStatement { sequence: 8, ..statement("nightly") };
    served.layers.extend(signed(&other.to_payload(), &[&vendor.nightly]));
    assert_eq!(served.accept(&terms(&document, &channel)), Err(Untrusted::SeveralStatements(2)));
}

#[test]
fn a_statement_for_another_place_is_refused() {
    assert_eq!(
        refused(|statement| "other".clone_into(&mut statement.product)).to_string(),
        "the statement of the channel is for the product `other`; expected `alga-appliance`"
    );
    assert_eq!(refused(|statement| statement.epoch = 2), Untrusted::OtherEpoch { expected: 1, found: 2 });
    assert_eq!(refused(|statement| statement.trust_version = 2), Untrusted::TrustVersion { needed: 2, held: 1 });
    let vendor = Vendor::new();
    let (document, stable, beta) = (vendor.document(), tag("stable"), tag("beta"));
    let served = Served::of(&vendor, &statement("nightly"));
    let expected = Untrusted::OtherChannel { expected: tag("stable"), found: tag("nightly") };
    assert_eq!(served.accept(&terms(&document, &stable)), Err(expected));
    assert_eq!(served.accept(&terms(&document, &beta)), Err(Untrusted::UnknownChannel(tag("beta"))));
}

#[test]
fn annotations_that_differ_from_the_statement_are_refused() {
    let vendor = Vendor::new();
    let (document, channel) = (vendor.document(), tag("nightly"));
    let changes: [(&str, ChangeRecord); 9] = [
        ("release", |record| record.release = Digest::of(b"other")),
        ("name", |record| "stable".clone_into(&mut record.name)),
        ("sequence", |record| record.sequence = 8),
        ("kind", |record| record.kind = MoveKind::Publish),
        ("moved", |record| "2026-11-23T10:00:01Z".clone_into(&mut record.moved)),
        ("moved", |record| "yesterday".clone_into(&mut record.moved)),
        ("by", |record| record.by = None),
        ("from", |record| record.from = Some("beta".to_owned())),
        ("reason", |record| record.reason = Some("none".to_owned())),
    ];
    for (name, change) in changes {
        let mut served = Served::of(&vendor, &statement("nightly"));
        change(served.record.as_mut().unwrap());
        assert_eq!(served.accept(&terms(&document, &channel)), Err(Untrusted::Disagrees(name)));
    }
    let mut served = Served::of(&vendor, &statement("nightly"));
    served.record.as_mut().unwrap().previous = Some(Digest::of(b"a manifest"));
    served.accept(&terms(&document, &channel)).unwrap();
    served.record = None;
    assert_eq!(served.accept(&terms(&document, &channel)), Err(Untrusted::Disagrees("release")));
}

#[test]
fn a_position_never_falls() {
    let vendor = Vendor::new();
    let (mut document, channel) = (vendor.document(), tag("nightly"));
    document.channels.get_mut("nightly").unwrap().epoch = 2;
    let statement = ChannelStatement { epoch: 2, ..statement("nightly") };
    let served = Served::of(&vendor, &statement);
    let accept = |epoch, sequence, payload| {
        let highest = Position { epoch, sequence, payload };
        served.accept(&Terms { highest: Some(&highest), ..terms(&document, &channel) })
    };
    let same = position(&statement).payload;
    for (epoch, sequence) in [(1, (1 << 53) - 1), (2, 6), (2, 1)] {
        assert!(accept(epoch, sequence, same.clone()).unwrap().newer, "{epoch} {sequence}");
    }
    for (epoch, sequence) in [(2, 8), (2, (1 << 53) - 1), (3, 1)] {
        let refused = Untrusted::Lower { offered: (2, 7), held: (epoch, sequence) };
        assert_eq!(accept(epoch, sequence, same.clone()), Err(refused));
    }
    assert!(!accept(2, 7, same).unwrap().newer, "the same statement again");
    assert!(accept(2, 7, None).unwrap().newer, "a seed has no payload");
    let (known, offered) = (Digest::of(b"other"), position(&statement).payload.unwrap());
    let refused = Untrusted::Equivocation { epoch: 2, sequence: 7, known: known.clone(), offered };
    assert_eq!(accept(2, 7, Some(known)), Err(refused));
}

#[test]
fn a_rollback_has_a_higher_sequence() {
    let vendor = Vendor::new();
    let (document, channel) = (vendor.document(), tag("nightly"));
    let before = statement("nightly");
    let back = ChannelStatement {
        release: Digest::of(b"older release"),
        sequence: 8,
        previous: position(&before).payload,
        kind: MoveKind::Rollback,
        reason: Some("1.0.4 does not start".to_owned()),
        ..before.clone()
    };
    let highest = position(&before);
    let accepted =
        Served::of(&vendor, &back).accept(&Terms { highest: Some(&highest), ..terms(&document, &channel) }).unwrap();
    assert!(accepted.newer);
    assert_eq!(accepted.statement.release, Digest::of(b"older release"));
}

#[test]
fn times_are_checked_to_the_second() {
    let vendor = Vendor::new();
    let (document, channel) = (vendor.document(), tag("nightly"));
    let statement = statement("nightly");
    let served = Served::of(&vendor, &statement);
    let at = |now| served.accept(&Terms { now, ..terms(&document, &channel) });
    let (issued, expires) = (statement.issued, statement.expires);
    let before = |time: Time, seconds| Time::from_seconds(time.seconds() - seconds);
    at(before(expires, 1)).unwrap();
    assert_eq!(at(expires), Err(Untrusted::Expired { expires, now: expires }));
    let accepted = at(before(issued, 3600)).unwrap();
    assert_eq!(accepted.floor, issued, "the time of issue has passed, whatever the clock shows");
    let now = before(issued, 3601);
    assert_eq!(at(now), Err(Untrusted::Ahead { issued, now }));
}

#[test]
fn a_clock_before_the_time_floor_is_refused() {
    let vendor = Vendor::new();
    let (document, channel) = (vendor.document(), tag("nightly"));
    let served = Served::of(&vendor, &statement("nightly"));
    let now = terms(&document, &channel).now;
    let with = |floor| served.accept(&Terms { floor: Some(floor), ..terms(&document, &channel) });
    assert_eq!(with(now).unwrap().floor, now);
    // A clock that is corrected by a few minutes does not stop an appliance, and the floor stays.
    assert_eq!(with(now.plus(3600)).unwrap().floor, now.plus(3600));
    assert_eq!(with(now.plus(3601)), Err(Untrusted::BeforeFloor { now, floor: now.plus(3601) }));
    assert_eq!(with(Time::from_seconds(0)).unwrap().floor, now);
}

#[test]
fn a_lifetime_longer_than_the_role_allows_is_refused() {
    let issued = time("2026-11-23T10:00:00Z");
    let longest = issued.plus(30 * DAY);
    let refused = refused(|statement| statement.expires = longest.plus(1));
    assert_eq!(refused, Untrusted::Lifetime { issued, expires: longest.plus(1), days: 30 });
    let vendor = Vendor::new();
    let (document, channel) = (vendor.document(), tag("nightly"));
    let statement = ChannelStatement { expires: longest, ..statement("nightly") };
    Served::of(&vendor, &statement).accept(&terms(&document, &channel)).unwrap();
}

#[test]
fn an_expired_trust_document_is_refused() {
    let vendor = Vendor::new();
    let (mut document, channel) = (vendor.document(), tag("nightly"));
    let served = Served::of(&vendor, &statement("nightly"));
    let now = terms(&document, &channel).now;
    document.expires = now;
    let refused = Untrusted::DocumentExpired { version: 1, expires: now, now };
    assert_eq!(served.accept(&terms(&document, &channel)), Err(refused));
    document.expires = now.plus(1);
    served.accept(&terms(&document, &channel)).unwrap();
    document.issued = now.plus(CLOCK_TOLERANCE + 1);
    assert_eq!(served.accept(&terms(&document, &channel)), Err(Untrusted::Ahead { issued: document.issued, now }));
}

#[test]
fn withdrawn_and_unsigned_releases_are_refused() {
    let vendor = Vendor::new();
    let (mut document, channel) = (vendor.document(), tag("nightly"));
    let mut served = Served::of(&vendor, &statement("nightly"));
    let signature = served.layers.pop().unwrap();
    let unsigned = Err(Untrusted::ReleaseUnsigned(release()));
    assert_eq!(served.accept(&terms(&document, &channel)), unsigned);
    let others = [
        bundle(&Statement::Artifact(Digest::of(b"other")).to_payload(), &vendor.release),
        bundle(&Statement::Artifact(release()).to_payload(), &vendor.nightly),
        bundle(&statement("nightly").to_payload(), &vendor.release),
    ];
    for other in others {
        let layers = [&served.layers[..], &[other]].concat();
        assert_eq!(Served { layers, ..served.clone() }.accept(&terms(&document, &channel)), unsigned);
    }
    served.layers.push(signature);
    served.accept(&terms(&document, &channel)).unwrap();
    document.withdrawn.insert(release());
    assert_eq!(served.accept(&terms(&document, &channel)), Err(Untrusted::Withdrawn(release())));
}

/// Returns what the reader of `stable` says to another refresh, signed by the given key or by none.
fn refreshed(change: impl FnOnce(&mut RefreshStatement), key: Option<&SigningKey>) -> Result<Accepted, Untrusted> {
    let vendor = Vendor::new();
    let (document, channel) = (vendor.document(), tag("stable"));
    let mut served = Served::of(&vendor, &statement("stable"));
    served.layers.remove(2);
    let mut refresh = refresh(&statement("stable"));
    change(&mut refresh);
    served.layers.extend(signed(&refresh.to_payload(), &[key.unwrap_or(&vendor.refresh)]));
    served.accept(&terms(&document, &channel))
}

#[test]
fn a_refresh_must_be_of_the_statement_and_current() {
    refreshed(|_| (), None).unwrap();
    let accepted = refreshed(|refresh| refresh.issued = time("2026-11-27T01:00:00Z"), None).unwrap();
    assert_eq!(accepted.floor, time("2026-11-27T00:00:00Z"), "a refresh does not move the time floor");
    let unrelated: [fn(&mut RefreshStatement); 5] = [
        |refresh| refresh.statement = Digest::of(b"other"),
        |refresh| refresh.release = Digest::of(b"other"),
        |refresh| "other".clone_into(&mut refresh.product),
        |refresh| refresh.channel = tag("nightly"),
        |refresh| refresh.epoch = 2,
    ];
    for change in unrelated {
        assert_eq!(refreshed(change, None), Err(Untrusted::NoRefresh));
    }
    let other = SigningKey::generate();
    assert_eq!(refreshed(|_| (), Some(&other)), Err(Untrusted::RefreshThreshold { threshold: 1, found: 0 }));
    let now = time("2026-11-27T00:00:00Z");
    assert_eq!(refreshed(|refresh| refresh.expires = now, None), Err(Untrusted::RefreshExpired { expires: now, now }));
    let (issued, expires) = (time("2026-11-24T00:00:00Z"), time("2026-12-08T00:00:01Z"));
    assert_eq!(
        refreshed(|refresh| refresh.expires = expires, None),
        Err(Untrusted::Lifetime { issued, expires, days: 14 })
    );
    let ahead = now.plus(CLOCK_TOLERANCE + 1);
    assert_eq!(refreshed(|refresh| refresh.issued = ahead, None), Err(Untrusted::Ahead { issued: ahead, now }));
    assert_eq!(
        refreshed(|refresh| refresh.trust_version = 2, None),
        Err(Untrusted::TrustVersion { needed: 2, held: 1 })
    );
}

#[test]
fn a_refresh_delays_nothing_but_the_expiry() {
    let vendor = Vendor::new();
    let (document, channel) = (vendor.document(), tag("stable"));
    let served = Served::of(&vendor, &statement("stable"));
    // The statement has expired, although its refresh has not.
    let mut late = served.clone();
    let now = statement("stable").expires;
    let refresh = RefreshStatement { issued: now, expires: now.plus(DAY), ..refresh(&statement("stable")) };
    late.layers.extend(signed(&refresh.to_payload(), &[&vendor.refresh]));
    let at = Terms { now, ..terms(&document, &channel) };
    assert_eq!(late.accept(&at), Err(Untrusted::Expired { expires: now, now }));
    // Of several refreshes the one with the latest expiry counts.
    let mut several = served.clone();
    let refresh =
        RefreshStatement { issued: time("2026-11-26T00:00:00Z"), expires: time("2026-12-10T00:00:00Z"), ..refresh };
    several.layers.insert(0, bundle(&refresh.to_payload(), &vendor.refresh));
    assert_eq!(several.accept(&terms(&document, &channel)).unwrap().expires, refresh.expires);
    // Whoever stole the refresh key signs one that does not count; the others count as before.
    let stolen = RefreshStatement { expires: time("2099-01-01T00:00:00Z"), ..refresh.clone() };
    several.layers.insert(0, bundle(&stolen.to_payload(), &vendor.refresh));
    assert_eq!(several.accept(&terms(&document, &channel)).unwrap().expires, refresh.expires);
    let mut none = served;
    none.layers.remove(2);
    assert_eq!(none.accept(&terms(&document, &channel)), Err(Untrusted::NoRefresh));
}

#[test]
fn media_need_no_refresh_but_a_current_statement() {
    let vendor = Vendor::new();
    let (document, channel) = (vendor.document(), tag("stable"));
    let mut served = Served::of(&vendor, &statement("stable"));
    served.layers.remove(2);
    let (release, other) = (release(), Digest::of(b"other"));
    let media = |accept_expired, now| {
        served.accept(&Terms { source: ReadFrom::Media { accept_expired }, now, ..terms(&document, &channel) })
    };
    let expires = statement("stable").expires;
    let accepted = media(None, terms(&document, &channel).now).unwrap();
    assert_eq!((accepted.expires, accepted.expired, accepted.refreshed_by.len()), (expires, false, 0));
    for permission in [None, Some(&other)] {
        assert_eq!(media(permission, expires), Err(Untrusted::Expired { expires, now: expires }));
    }
    assert!(media(Some(&release), expires).unwrap().expired);
}

#[test]
fn the_permission_for_expired_media_gives_up_no_other_check() {
    let vendor = Vendor::new();
    let (mut document, channel) = (vendor.document(), tag("nightly"));
    let (release, now) = (release(), time("2027-11-27T00:00:00Z"));
    let source = ReadFrom::Media { accept_expired: Some(&release) };
    let served = Served::of(&vendor, &statement("nightly"));
    let highest = Position { epoch: 1, sequence: 8, payload: None };
    let refused = served.accept(&Terms { now, source, highest: Some(&highest), ..terms(&document, &channel) });
    assert_eq!(refused, Err(Untrusted::Lower { offered: (1, 7), held: (1, 8) }));
    served.accept(&Terms { now, source, ..terms(&document, &channel) }).unwrap();
    document.withdrawn.insert(release.clone());
    let refused = served.accept(&Terms { now, source, ..terms(&document, &channel) });
    assert_eq!(refused, Err(Untrusted::Withdrawn(release.clone())));
}

#[test]
fn the_number_of_layers_is_bounded() {
    let vendor = Vendor::new();
    let (document, channel) = (vendor.document(), tag("nightly"));
    let mut served = Served::of(&vendor, &statement("nightly"));
    let layer = served.layers[0].clone();
    served.layers.resize(STATEMENT_LAYERS + 1, layer.clone());
    served.accept(&terms(&document, &channel)).unwrap();
    served.layers.push(layer);
    let refused = Untrusted::TooManyLayers { found: STATEMENT_LAYERS + 1, limit: STATEMENT_LAYERS };
    assert_eq!(served.accept(&terms(&document, &channel)), Err(refused));
    served.layers.resize(10_000, b"{}".to_vec());
    let refused = Untrusted::TooManyLayers { found: 10_000, limit: CANDIDATES };
    assert_eq!(served.accept(&terms(&document, &channel)), Err(refused));
}

#[test]
fn the_json_of_the_channel_is_the_releases_but_for_the_channel() {
    let digest = Digest::of(b"");
    let json = |channel: &str, version: &str| {
        format!(
            r#"{{"schema":"alga.appliance.release/v1","version":"{version}","channel":"{channel}","valuesProfile":"p","images":{{}},"config":{{"repository":"r.io/x","version":"1","digest":"{digest}"}},"charts":{{}}}}"#
        )
    };
    let release = json("nightly", "1.0.3");
    let check = |served: &str| check_json(release.as_bytes(), served.as_bytes(), &tag("stable"));
    check(&json("stable", "1.0.3")).unwrap();
    for served in [&json("nightly", "1.0.3"), &json("stable", "1.0.4"), &format!("{} ", json("stable", "1.0.3")), "{}"]
    {
        assert_eq!(check(served), Err(Untrusted::OtherJson), "{served}");
    }
    assert_eq!(check_json(b"{}", b"{}", &tag("stable")), Err(Untrusted::OtherJson));
}

#[test]
fn a_pinned_release_needs_the_signature_of_the_release_role_alone() {
    let vendor = Vendor::new();
    let mut document = vendor.document();
    let signature = bundle(&Statement::Artifact(release()).to_payload(), &vendor.release);
    let signers = accept_release(&document, &release(), [Candidate::Bundle(&signature)]).unwrap();
    assert_eq!(signers, BTreeSet::from([vendor.release.key().id()]));
    let garbage = vec![Candidate::Bundle(b"{}"); CANDIDATES - 1];
    let last = garbage.iter().copied().chain([Candidate::Bundle(&signature)]);
    accept_release(&document, &release(), last).unwrap();
    let late = garbage.iter().copied().chain([Candidate::Bundle(b"{}"), Candidate::Bundle(&signature)]);
    assert_eq!(accept_release(&document, &release(), late), Err(Untrusted::ReleaseUnsigned(release())));
    document.withdrawn.insert(release());
    let refused = accept_release(&document, &release(), [Candidate::Bundle(&signature)]);
    assert_eq!(refused, Err(Untrusted::Withdrawn(release())));
}

#[test]
fn a_claim_counts_for_the_digest_that_it_names_alone() {
    let vendor = Vendor::new();
    let document = vendor.document();
    let payload = Claim { reference: "r.io/a".to_owned(), digest: release() }.to_bytes();
    let signature = vendor.release.sign(&payload);
    let claim = Candidate::Claim { payload: &payload, signature: &signature };
    assert_eq!(claim.signer(&document, &release()), Some(vendor.release.key().id()));
    assert_eq!(claim.signer(&document, &Digest::of(b"other")), None);
    let signature = vendor.nightly.sign(&payload);
    assert_eq!(Candidate::Claim { payload: &payload, signature: &signature }.signer(&document, &release()), None);
    // A bundle signs the payload with its type, a claim signs the payload alone.
    let statement = Statement::Artifact(release()).to_payload();
    let signature = vendor.release.sign(&statement);
    assert_eq!(Candidate::Claim { payload: &statement, signature: &signature }.signer(&document, &release()), None);
}

#[test]
fn every_reason_has_a_name_of_its_own_kind() {
    let reasons = [
        refused(|statement| statement.epoch = 2),
        refused(|statement| statement.trust_version = 2),
        refused(|statement| "other".clone_into(&mut statement.product)),
        Untrusted::UnknownKey,
        Untrusted::NoRefresh,
        Untrusted::OtherJson,
    ];
    let names: BTreeSet<&str> = reasons.iter().map(Untrusted::name).collect();
    assert_eq!(names.len(), reasons.len());
}
