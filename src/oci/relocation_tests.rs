use super::*;

fn relocation(names: &[(&str, &str)], from: &str, to: &str) -> Relocation {
    let names = names.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect();
    Relocation::new(&names, Prefix::parse(from, false).unwrap(), Prefix::parse(to, false).unwrap()).unwrap()
}

fn usual() -> Relocation {
    let names = [
        ("ghcr.io/a/web", "mirror:5000/b/web"),
        ("ghcr.io/a/charts", "mirror:5000/b/charts"),
        ("ghcr.io/a/charts/web", "mirror:5000/b/charts/web"),
        ("docker.io/library/redis", "mirror:5000/b/external/docker.io/library/redis"),
        ("docker.io/temporalio/auto-setup", "mirror:5000/b/external/docker.io/temporalio/auto-setup"),
    ];
    relocation(&names, "ghcr.io/a", "http://mirror:5000/b")
}

#[test]
fn a_name_is_replaced_where_it_occurs_as_a_whole() {
    let relocation = usual();
    for before in [
        "",
        " ",
        "\"",
        "'",
        "=",
        "(",
        "[",
        "{",
        ",",
        "oci://",
        "docker://",
        "https://",
        ":",
        "\n",
        "\\n",
        "é",
        "<",
        "|",
        "@ ",
    ] {
        for after in [
            "",
            " ",
            ":1.0",
            "@sha256:0",
            "\"",
            "'",
            ")",
            "]",
            "}",
            ",",
            "\n",
            "\\n",
            "é",
            ".",
            ". Then",
            "/",
            "/\"",
            "/ ",
            "-\n",
            "`",
            "<",
            "|",
            ";",
        ] {
            let text = format!("x {before}ghcr.io/a/web{after}");
            assert_eq!(relocation.replaced(&text), format!("x {before}mirror:5000/b/web{after}"), "{text}");
        }
    }
}

#[test]
fn a_part_of_another_name_is_not_replaced() {
    let relocation = usual();
    for text in [
        "ghcr.io/a/web-worker",
        "ghcr.io/a/web/sub",
        "xghcr.io/a/web",
        "ghcr.io/a/web.old",
        "ghcr.io/a/web_old",
        "ghcr.io/a/web__old",
        "ghcr.io/a/web--old",
        "ghcr.io/a/web2",
        "ghcr.io/a/webB",
        "ghcr.io/a/charts/other",
        "ghcr.io/a",
        "ghcr.io/A/web",
        "proxy.local/ghcr.io/a/web",
        "oci://proxy.local/ghcr.io/a/web",
        "my-ghcr.io/a/web",
        "my.ghcr.io/a/web",
        "user@ghcr.io/a/web",
        "%2Fghcr.io/a/web",
        "ghcr.io/a/web$VARIANT",
        "ghcr.io/a/web${VARIANT}",
        "ghcr.io/a/web-${VARIANT}",
        "ghcr.io/a/charts/${CHART}",
        "ghcr.io/a/web{{ .tag }}",
        "ghcr.io/a/web-{a,b}",
        "ghcr.io/a/web*",
        "ghcr.io/a/charts/*",
    ] {
        assert_eq!(relocation.replaced(text), text);
    }
}

#[test]
fn the_longest_name_is_replaced() {
    let text =
        "oci://ghcr.io/a/charts oci://ghcr.io/a/charts/ oci://ghcr.io/a/charts/web ghcr.io/a/web:1,ghcr.io/a/web:2";
    let expected = "oci://mirror:5000/b/charts oci://mirror:5000/b/charts/ oci://mirror:5000/b/charts/web mirror:5000/b/web:1,mirror:5000/b/web:2";
    assert_eq!(usual().replaced(text), expected);
}

#[test]
fn every_spelling_of_docker_hub_with_a_host_is_the_same_repository() {
    let new = "mirror:5000/b/external/docker.io/library/redis";
    for host in ["docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"] {
        assert_eq!(usual().replaced(&format!("{host}/library/redis:7")), format!("{new}:7"), "{host}");
        assert_eq!(usual().replaced(&format!("{host}/redis@sha256:0")), format!("{new}@sha256:0"), "{host}");
    }
    for text in ["redis", "redis:7", "library/redis", "temporalio/auto-setup:1"] {
        assert_eq!(usual().replaced(text), text, "names without a host are not replaced in texts");
    }
    for name in ["redis", "library/redis", "docker.io/redis"] {
        assert_eq!(usual().name(name), Some(new), "{name}");
    }
    assert_eq!(usual().name("temporalio/redis"), None);
    assert_eq!(usual().name("ghcr.io/a/redis"), None);
}

#[test]
fn each_name_is_replaced_only_once() {
    let names = [("ghcr.io/a/web", "ghcr.io/a/b/web"), ("ghcr.io/a/b/web", "ghcr.io/a/b/b/web")];
    let relocation = relocation(&names, "ghcr.io/a", "ghcr.io/a/b");
    assert_eq!(relocation.replaced("ghcr.io/a/web ghcr.io/a/b/web"), "ghcr.io/a/b/web ghcr.io/a/b/b/web");
}

#[test]
fn relocating_twice_and_relocating_to_the_same_names_change_nothing() {
    let text = "a: ghcr.io/a/web:1\nb: docker.io/redis\n";
    let once = usual().replaced(text).into_owned();
    assert_ne!(once, text);
    assert_eq!(usual().replaced(&once), once);
    let same = relocation(&[("ghcr.io/a/web", "ghcr.io/a/web")], "ghcr.io/a", "ghcr.io/a");
    assert_eq!(same.replaced(text), text);
    assert_eq!(same.left(text), []);
}

#[test]
fn a_name_that_still_points_to_the_origin_is_found_with_its_line() {
    let left = |relocation: &Relocation, text: &str| {
        relocation
            .left(text)
            .into_iter()
            .map(|mention| format!("{} {}", mention.line, mention.text))
            .collect::<Vec<_>>()
    };
    let text = "# see ghcr.io/a/tools.\n\na: ghcr.io/a/web-${X}\nb: [oci://ghcr.io/a, ghcr.io/a/x:1@sha256:0]\n\
                c: ghcr.io/ab/x ghcr.io/a-b ghcr.io/a.b/c xghcr.io/a proxy/ghcr.io/a/b\n";
    assert_eq!(
        left(&usual(), text),
        ["1 ghcr.io/a/tools", "3 ghcr.io/a/web-", "4 ghcr.io/a", "4 ghcr.io/a/x:1@sha256:0"]
    );
    let below = relocation(&[("ghcr.io/a/web", "ghcr.io/a/b/web")], "ghcr.io/a", "ghcr.io/a/b");
    assert_eq!(left(&below, "ghcr.io/a/b/web:1 ghcr.io/a/b/other"), ["1 ghcr.io/a/b/other"]);
    let host = relocation(&[("127.0.0.1:5/web", "mirror/web")], "127.0.0.1:5", "mirror");
    assert_eq!(left(&host, "127.0.0.1:5/web 127.0.0.1:50/web"), ["1 127.0.0.1:5/web"]);
    let host = relocation(&[("registry.x/web", "mirror/web")], "registry.x", "mirror");
    assert_eq!(left(&host, "registry.x:5000/web registry.x"), ["1 registry.x"]);
}

#[test]
fn names_with_a_scheme_a_tag_or_a_digest_are_refused() {
    for name in
        ["ghcr.io", "oci://ghcr.io/a", "https://ghcr.io/a", "ghcr.io/a:1", "ghcr.io/a@sha256:0", "ghcr.io/A", ""]
    {
        let names = [(name.to_owned(), "mirror/a".to_owned())].into();
        let prefix = Prefix::parse("ghcr.io/a", false).unwrap();
        assert!(Relocation::new(&names, prefix.clone(), prefix).is_err(), "{name}");
    }
}

#[test]
fn a_reference_is_split_after_its_name() {
    for (reference, name, rest) in [
        ("redis", "redis", ""),
        ("redis:7", "redis", ":7"),
        ("localhost:5000/a", "localhost:5000/a", ""),
        ("localhost:5000/a:7@sha256:0", "localhost:5000/a", ":7@sha256:0"),
        ("a/b@sha256:0", "a/b", "@sha256:0"),
    ] {
        assert_eq!(split_name(reference), (name, rest));
    }
}
