use super::*;

#[test]
fn repositories_follow_the_distribution_specification() {
    for valid in ["a", "charts/sebastian", "a__b", "a--b", "a.b_c-d/e0", "0"] {
        assert!(valid.parse::<Repository>().is_ok(), "{valid}");
    }
    for bad in
        ["", "A", "a/", "/a", "a//b", "a___b", "a..b", "-a", "a-", "a/../b", "ä", "a b", "a:b", "_external/a", "a._b"]
    {
        assert!(bad.parse::<Repository>().is_err(), "{bad}");
    }
    assert!("a".repeat(256).parse::<Repository>().is_err());
}

#[test]
fn tags_follow_the_distribution_specification() {
    for valid in ["1.0.3", "_x", "0.0.1_abc", &"a".repeat(128)] {
        assert!(valid.parse::<Tag>().is_ok(), "{valid}");
    }
    for bad in ["", ".a", "-a", "a+b", "a/b", "a b", "ä", &"a".repeat(129)] {
        assert!(bad.parse::<Tag>().is_err(), "{bad}");
    }
}

#[test]
fn plain_http_is_decided_by_the_text() {
    for (text, plain) in [
        ("localhost:5000/x", true),
        ("127.0.0.9:5000", true),
        ("[::1]:5000/x", true),
        ("registry.localhost/x", false),
        ("https://localhost:5000/x", false),
        ("http://registry.example.com/x", true),
        ("ghcr.io/nine-minds", false),
        ("10.0.0.1:5000/x", false),
        ("localhost.example.com/x", false),
    ] {
        assert_eq!(Prefix::parse(text, false).expect(text).plain_http(), plain, "{text}");
        assert!(Prefix::parse(text, true).expect(text).plain_http() || text.starts_with("https:"), "{text}");
    }
    for bad in
        ["", "ftp://x/y", "host:port/x", "ho_st/x", "-a/x", "a..b/x", "[::1/x", "a/B", "user@host/x", "host:99999"]
    {
        assert!(Prefix::parse(bad, false).is_err(), "{bad}");
    }
}

#[test]
fn a_prefix_names_its_repositories_and_parses_the_names_back() {
    let prefix = Prefix::parse("ghcr.io/nine-minds/", false).expect("valid");
    let charts: Repository = "charts/temporal".parse().expect("valid");
    assert_eq!(prefix.name_of(&charts), "ghcr.io/nine-minds/charts/temporal");
    assert_eq!(prefix.strip("ghcr.io/nine-minds/charts/temporal"), Some(charts));
    assert_eq!(prefix.strip("ghcr.io/nine-minds-other/x"), None);
    assert_eq!(prefix.strip("ghcr.io/nine-minds"), None);
}

#[test]
fn references_have_a_host_and_tell_its_port_from_the_tag() {
    let reference: Reference = "localhost:5000/a/b:1.0".parse().expect("valid");
    assert_eq!(reference.repository, "localhost:5000/a/b");
    assert_eq!(reference.tag.expect("tag").as_str(), "1.0");
    let digest = format!("ghcr.io/a@sha256:{}", "0".repeat(64));
    assert_eq!(digest.parse::<Reference>().expect("valid").digest.expect("digest").hex(), "0".repeat(64));
    for bad in [
        "",
        "redis",
        "library/redis:7",
        "ghcr.io",
        "ghcr.io/A:1",
        "ghcr.io/",
        "ghcr.io/x/:1",
        "ghcr.io/a:",
        "ghcr.io/a@sha256:12",
        "https://ghcr.io/a",
        "a.b:c/d",
    ] {
        assert!(bad.parse::<Reference>().is_err(), "{bad}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_valid_name_is_formatted_as_it_was_parsed(text in "[ -~ä]{0,40}|[a-z0-9]{1,8}(\\.[a-z]{2,3})?(:[0-9]{1,5})?(/[a-z0-9._-]{1,9}){0,3}(:[A-Za-z0-9._-]{1,9})?") {
        if let Ok(repository) = text.parse::<Repository>() {
            assert_eq!(repository.as_str(), text);
        }
        if let Ok(tag) = text.parse::<Tag>() {
            assert_eq!(tag.as_str(), text);
        }
        if let Ok(prefix) = Prefix::parse(&text, false) {
            let again = Prefix::parse(&prefix.to_string(), prefix.plain_http()).expect("what was written is read");
            assert_eq!(again, prefix);
        }
        if let Ok(reference) = text.parse::<Reference>() {
            let tag = reference.tag.map(|tag| format!(":{tag}")).unwrap_or_default();
            assert_eq!(format!("{}{tag}", reference.repository), text);
        }
    }
}
