use super::*;
use crate::oci::Pinned;

const BUNDLE: &str = "r.io/team/alga-appliance-config";

fn digest(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}

fn release(change: impl Fn(&mut serde_json::Value)) -> Release {
    let mut json = serde_json::json!({
        "schema": super::super::SCHEMA, "version": "1.0+b", "channel": "stable", "valuesProfile": "p",
        "images": { "algaCore": "62cdce38" }, "charts": { "core": "1.0+c", "redis": "7.0.0" },
        "config": { "repository": BUNDLE, "version": "1.0+b", "digest": digest("bundle") }
    });
    change(&mut json);
    Release::parse(&serde_json::to_vec(&json).expect("JSON")).expect("a release")
}

fn named(release: &Release) -> Vec<Named> {
    let config = Config::default();
    release.named(&release.prefix(&config).expect("a prefix"), &config)
}

fn one(change: impl Fn(&mut serde_json::Value), kind: NamedKind) -> Named {
    named(&release(change)).into_iter().find(|named| named.kind == kind).expect("the release names it")
}

fn own(repository: &str, selector: &str) -> Target {
    let repository = AnyRepository::Own(repository.parse().expect("a repository"));
    Target::At { repository, selector: selector.parse().expect("a selector") }
}

fn tag(text: &str) -> Option<Tag> {
    text.parse().ok()
}

#[test]
fn without_chart_digests_the_release_publishes_every_chart_under_its_version() {
    let old = release(|_| {});
    let charts: Vec<Named> = named(&old).into_iter().filter(|named| named.kind == NamedKind::Chart).collect();
    assert_eq!(charts[0].target, own("charts/core", "1.0_c"));
    assert_eq!(charts[0].reference, "r.io/team/charts/core:1.0_c");
    assert_eq!(charts[0].tag, tag("1.0_c"));
    assert_eq!(charts[1].target, own("charts/redis", "7.0.0"));
    assert_eq!(old.own_charts().collect::<Vec<_>>(), ["core", "redis"]);
    assert!(old.publishes("core") && !old.publishes("other"));
}

#[test]
fn with_chart_digests_a_chart_without_a_digest_is_from_another_publisher() {
    let new = release(|json| json["chartDigests"] = serde_json::json!({ "core": digest("core") }));
    let charts = named(&new);
    assert_eq!(charts[0].target, own("charts/core", digest("core").as_str()));
    assert_eq!(charts[0].tag, tag("1.0_c"));
    assert!(matches!(charts[1].target, Target::Unplaced(_)), "{:?}", charts[1]);
    assert_eq!(charts[1].reference, "redis 7.0.0");
    assert_eq!(new.own_charts().collect::<Vec<_>>(), ["core"]);
    assert!(new.publishes("core") && !new.publishes("redis"));
}

#[test]
fn a_bundle_without_a_tag_in_the_release_has_its_version_as_tag() {
    let bundle = one(|_| {}, NamedKind::Bundle);
    assert_eq!((bundle.tag, bundle.version.as_deref()), (tag("1.0_b"), Some("1.0+b")));
    assert_eq!(bundle.target, own("alga-appliance-config", digest("bundle").as_str()));
    let bundle = one(|json| json["config"]["tag"] = "other".into(), NamedKind::Bundle);
    assert_eq!(bundle.tag, tag("other"));
}

#[test]
fn an_image_without_a_digest_is_a_tag_in_the_configured_repository() {
    let image = one(|_| {}, NamedKind::Image);
    assert_eq!(image.target, own("alga-psa-ee", "62cdce38"));
    assert_eq!((image.reference.as_str(), image.digest()), ("algaCore 62cdce38", None));
    let unknown = one(|json| json["images"] = serde_json::json!({ "other": "1" }), NamedKind::Image);
    assert_eq!(unknown.target, Target::Unplaced(TAG_ALONE.to_owned()));

    let pinned = |repository: &str| Pinned { repository: repository.to_owned(), digest: digest("image") };
    let pin = |repository: &'static str| {
        one(|json| json["imageDigests"] = serde_json::json!({ "algaCore": pinned(repository) }), NamedKind::Image)
    };
    let image = pin("r.io/team/alga-psa-ee");
    assert_eq!(image.target, own("alga-psa-ee", digest("image").as_str()));
    assert_eq!((image.tag.clone(), image.external()), (tag("62cdce38"), None));
    let image = pin("mirror.io/a/core");
    let (registry, repository, of) = image.external().expect("another registry");
    assert_eq!((registry.name_of(repository).as_str(), of), ("mirror.io/a/core", &digest("image")));
}

#[test]
fn a_control_plane_may_be_a_bare_tag_in_the_configured_repository() {
    let config = Config::default();
    let with = |text: &str| {
        let text = text.to_owned();
        move |json: &mut serde_json::Value| json["controlPlane"] = text.as_str().into()
    };
    let pinned = format!("r.io/team/plane@{}", digest("plane"));
    for (text, target, image) in [
        ("cp-1", own("alga-appliance-control-plane", "cp-1"), "r.io/team/alga-appliance-control-plane:cp-1"),
        ("r.io/team/plane:2", own("plane", "2"), "r.io/team/plane:2"),
        (pinned.as_str(), own("plane", digest("plane").as_str()), pinned.as_str()),
    ] {
        let named = one(with(text), NamedKind::ControlPlane);
        assert_eq!((named.target, named.reference.as_str()), (target, text));
        assert_eq!(release(with(text)).control_plane_image(&config).as_deref(), Some(image));
    }
    assert_eq!(release(|_| {}).control_plane_image(&config), None);
    let invalid = one(with("$(reboot)"), NamedKind::ControlPlane);
    assert!(matches!(invalid.target, Target::Invalid(_)), "{invalid:?}");
}

#[test]
fn the_prefix_precedes_the_name_of_the_bundle_or_is_the_configured_one() {
    let config = Config::default();
    let of = |bundle: &str| release(|json| json["config"]["repository"] = bundle.into());
    assert_eq!(of(BUNDLE).prefix(&config).map(|prefix| prefix.to_string()).as_deref(), Some("r.io/team"));
    for bundle in ["r.io/team/other", "r.io/not-alga-appliance-config", "/alga-appliance-config"] {
        assert_eq!(of(bundle).prefix(&config), None, "{bundle}");
        let prefix = of(bundle).prefix_or_configured(&config).expect("the configuration's");
        assert_eq!(prefix.to_string(), config.prefix);
    }
}

#[test]
fn an_extra_image_that_is_not_a_reference_is_invalid() {
    let extra = |text: &'static str| one(|json| json["extraImages"] = serde_json::json!([text]), NamedKind::ExtraImage);
    assert!(matches!(extra("Not a reference").target, Target::Invalid(_)));
    assert_eq!(extra("latest").target, Target::Unplaced(TAG_ALONE.to_owned()));
    let tagged = extra("docker.io/library/redis:7");
    assert_eq!((tagged.tag.clone(), tagged.external()), (tag("7"), None));
    assert!(matches!(
        tagged.target,
        Target::At { repository: AnyRepository::External { .. }, selector: Selector::Tag(_) }
    ));
}

#[test]
fn a_release_that_describes_itself_names_its_chart_repository() {
    let described = release(|json| {
        json["config"]["repository"] = "r.io/acme/any/bundle".into();
        json["prefix"] = "r.io/acme".into();
        json["chartRepository"] = "helm".into();
        json["appliance"] = serde_json::json!({
            "fluxNamespace": "flux-system", "sourceName": "acme", "requiredImages": [], "values": [],
            "selection": { "namespace": "acme", "name": "selected" }
        });
    });
    let all = named(&described);
    assert_eq!(all[0].target, own("helm/core", "1.0_c"));
    let bundle = all.into_iter().find(|named| named.kind == NamedKind::Bundle).expect("a bundle");
    assert_eq!(bundle.target, own("any/bundle", digest("bundle").as_str()));
}
