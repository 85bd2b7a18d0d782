use super::*;

fn set(path: &str, value: &str) -> Setting {
    parse_setting(path, Literal::Text(value.to_owned())).unwrap()
}

fn with(text: &str, settings: &[Setting]) -> Result<String, String> {
    inject("a.yaml", text, settings).map_err(|error| error.to_string())
}

fn tag(text: &str) -> Result<String, String> {
    with(text, &[set("image.tag", "0123e5")])
}

#[test]
fn a_tag_is_replaced_in_its_place_in_every_style() {
    for (before, after) in [
        ("image:\n  tag: latest   # set\n  x: 1\n", "image:\n  tag: \"0123e5\"   # set\n  x: 1\n"),
        ("image:\n  tag: 'a'\n", "image:\n  tag: '0123e5'\n"),
        ("image: {repository: r, tag: \"latest\"}\n", "image: {repository: r, tag: \"0123e5\"}\n"),
        ("image: {tag: latest,}\n", "image: {tag: \"0123e5\",}\n"),
        ("{\"image\": {\"tag\": \"x\"}}", "{\"image\": {\"tag\": \"0123e5\"}}"),
        ("image:\r\n  tag: x\r\n", "image:\r\n  tag: \"0123e5\"\r\n"),
        ("image:\n  tag: |\n    x\nb: 1\n", "image:\n  tag: \"0123e5\"\nb: 1\n"),
        ("image:\n  tag: # set\n  x: 1\n", "image:\n  tag: \"0123e5\" # set\n  x: 1\n"),
        ("image: {tag: , x: 1}\n", "image: {tag: \"0123e5\" , x: 1}\n"),
        ("image: {tag, x: 1}\n", "image: {tag: \"0123e5\", x: 1}\n"),
        ("image:\n  tag: ~\n", "image:\n  tag: \"0123e5\"\n"),
        ("other: &t x\nimage:\n  tag: *t\n", "other: &t x\nimage:\n  tag: \"0123e5\"\n"),
        ("\u{feff}image: {tag: x}\n", "\u{feff}image: {tag: \"0123e5\"}\n"),
    ] {
        assert_eq!(tag(before).as_deref(), Ok(after), "{before:?}");
    }
}

#[test]
fn a_missing_key_is_added_where_the_chart_expects_it() {
    for (before, after) in [
        ("", "image: {\"tag\": \"0123e5\"}\n"),
        ("# nothing yet", "# nothing yet\nimage: {\"tag\": \"0123e5\"}\n"),
        ("{}\n", "{\"image\": {\"tag\": \"0123e5\"}}\n"),
        ("a: 1\n# end\n", "a: 1\nimage: {\"tag\": \"0123e5\"}\n# end\n"),
        ("a: 1", "a: 1\nimage: {\"tag\": \"0123e5\"}"),
        ("image:\n  repository: r\nb: 1\n", "image:\n  repository: r\n  tag: \"0123e5\"\nb: 1\n"),
        ("image: {repository: r}\n", "image: {repository: r, tag: \"0123e5\"}\n"),
        ("image: {}\n", "image: {\"tag\": \"0123e5\"}\n"),
        ("image:\nb: 1\n", "image: {\"tag\": \"0123e5\"}\nb: 1\n"),
        ("x: &x {r: 1}\nimage:\n  <<: *x\n", "x: &x {r: 1}\nimage:\n  <<: *x\n  tag: \"0123e5\"\n"),
    ] {
        assert_eq!(tag(before).as_deref(), Ok(after), "{before:?}");
    }
}

#[test]
fn an_edit_that_would_change_other_values_is_refused_with_its_line() {
    for (text, message) in [
        ("a: [\n", "a.yaml:"),
        ("- a\n", "a.yaml:1: expected a mapping of values"),
        ("just text\n", "a.yaml:1: expected a mapping of values"),
        ("a: 1\n---\nb: 2\n", "a.yaml:3: unexpected second document"),
        ("\nimage: latest\n", "a.yaml:2: cannot set `image.tag`: `image` is not a mapping"),
        ("image:\n  tag: [a]\n", "a.yaml:2: `tag` is not a single value"),
        ("image:\n  tag: a\n  tag: b\n", "a.yaml:3: duplicate key `tag`"),
        ("image: &i\n  tag: a\nother: *i\n", "`other.tag` would change too"),
        ("image:\n  tag: &t a\nother: *t\n", "`other` would change too"),
        ("b: &b {image: {r: 1}}\n<<: *b\n", "comes from a merge"),
        ("image:\n  tag: !!int 7\n", "`tag` has an explicit type"),
        ("image:\n  tag: &t\n", "anchored"),
    ] {
        let error = tag(text).unwrap_err();
        assert!(error.contains(message), "{text:?}: {error}");
    }
}

#[test]
fn an_anchored_block_is_edited_when_all_its_uses_get_the_same_value() {
    let text = "setup:\n  image: &i {repository: r, tag: a}\nserver:\n  image: *i\n";
    let both = [set("setup.image.tag", "b"), set("server.image.tag", "b")];
    assert_eq!(with(text, &both).unwrap(), text.replace("tag: a", "tag: \"b\""));
    let two = [set("setup.image.tag", "b"), set("server.image.tag", "c")];
    assert!(with(text, &two).unwrap_err().contains("cannot set"));
}

#[test]
fn literals_keep_their_json_type_and_other_text_is_a_string() {
    for (text, written) in
        [("3", "3"), ("true", "true"), ("null", "null"), ("\"3\"", "\"3\""), ("3x", "\"3x\""), ("", "\"\"")]
    {
        let setting = parse_setting("a", Literal::parse(text)).unwrap();
        assert_eq!(with("a: 1\n", &[setting]).unwrap(), format!("a: {written}\n"), "{text}");
    }
    let setting = parse_setting(r"a.b\.c/d", Literal::Text("x".to_owned())).unwrap();
    assert_eq!(setting.path, ["a", "b.c/d"]);
    for path in ["", ".", "a.", ".a", "a..b", "a\\"] {
        assert!(parse_setting(path, Literal::parse("1")).is_none(), "{path}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_causes_a_panic_or_another_value(text in "[a-z:{}\\[\\]&*<#'\"|>, \n-]{0,60}") {
        if let Ok(edited) = tag(&text) {
            let root = root(&edited).unwrap().unwrap();
            proptest::prop_assert_eq!(root.text_at(&["image", "tag"]), Some("0123e5"));
        }
    }
}
