use super::*;

/// Returns the reason why the text cannot be parsed; empty if it can.
fn refusal(text: &str) -> String {
    parse(text).err().map(|error| error.reason).unwrap_or_default()
}

#[test]
fn templates_that_go_accepts_are_parsed() {
    let texts = [
        "",
        "}} is text outside of an action",
        "{{- .a -}} b {{ -3 }}",
        "{{/* a comment */}}{{- /* }} */ -}}",
        "{{ if $x := .a }}{{ $y := $x }}{{ else if $y }}{{ else }}{{ end }}",
        "{{ with .a }}{{ else with .b }}{{ end }}",
        "{{ range $i, $v := .a }}{{ break }}{{ continue }}{{ else }}{{ end }}",
        "{{ range $i, $i }}{{ end }}",
        "{{ $never = 1 }}",
        "{{ .a | }}",
        "{{ (index .a `b`).c.d | default 'x' | quote }}",
        "{{ printf \"%d\\x41\\u00e9\" 0x1F 1_000 1e3 1+2i 0b11 -9223372036854775808 18446744073709551615 }}",
        "{{ define \"a\" }}{{ end }}{{ define \"a\" }}x{{ end }}",
        "{{ block \"b\" . }}{{ end }}{{ template `b` }}",
        "{{ $ }}{{ $.a.b }}{{ nil | not }}",
    ];
    for text in texts {
        assert_eq!(refusal(text), "", "{text}");
    }
}

#[test]
fn templates_that_go_refuses_fail_with_the_message_of_go() {
    let texts = [
        ("{{ .a", "unclosed action"),
        ("{{ .a }", "unexpected \"}\" in operand"),
        ("{{ if .a }}", "unexpected EOF"),
        ("{{ end }}", "unexpected {{end}}"),
        ("{{ if }}{{ end }}", "missing value for if"),
        ("{{ }}", "missing value for command"),
        ("{{ nosuch .a }}", "function \"nosuch\" not defined"),
        ("{{ env \"HOME\" }}", "function \"env\" not defined"),
        ("{{ $x }}", "undefined variable \"$x\""),
        ("{{ if .a }}{{ $x := 1 }}{{ end }}{{ $x }}", "undefined variable \"$x\""),
        ("{{ $x := 1 }}{{ define \"a\" }}{{ $x }}{{ end }}", "undefined variable \"$x\""),
        ("{{ (.a }}", "unclosed left paren"),
        ("{{ .a) }}", "unexpected right paren"),
        ("{{ () }}", "missing value for parenthesized pipeline"),
        ("{{ .a | 1 }}", "non executable command in pipeline stage 2"),
        ("{{ \"a }}", "unterminated quoted string"),
        ("{{ `a }}", "unterminated raw quoted string"),
        ("{{ 'ab' }}", "malformed character constant: 'ab'"),
        ("{{ 1_ }}", "illegal number syntax: \"1_\""),
        ("{{ 99999999999999999999 }}", "integer overflow: \"99999999999999999999\""),
        ("{{ 1x }}", "bad number syntax: \"1x\""),
        ("{{ \"\\q\" }}", "invalid syntax"),
        ("{{ nil.a }}", "unexpected . after term \"nil\""),
        ("{{ break }}", "{{break}} outside {{range}}"),
        ("{{ range .a }}{{ block \"b\" . }}{{ break }}{{ end }}{{ end }}", "{{break}} outside {{range}}"),
        ("{{ range .a }}{{ else if .b }}{{ end }}", "unexpected <if> in input"),
        ("{{ if .a }}{{ else }}{{ else }}{{ end }}", "expected end; found {{else}}"),
        ("{{ define \"a\" }}{{ else }}{{ end }}", "unexpected {{else}} in define clause"),
        ("{{ if .a }}{{ define \"a\" }}{{ end }}{{ end }}", "unexpected <define> in command"),
        ("{{ define a }}{{ end }}", "unexpected \"a\" in define clause"),
        ("{{ $a, $b := .x }}", "too many declarations in command"),
        ("{{ range $a, .b }}{{ end }}", "range can only initialize variables"),
        ("{{ define \"a\" }}x{{ end }}{{ define \"a\" }}y{{ end }}", "template: multiple definition of template \"a\""),
        ("{{/* a }}", "unclosed comment"),
        ("{{/* a */ }}", "comment ends before closing delimiter"),
        ("{{ .a#b }}", "bad character U+0023 '#'"),
    ];
    for (text, reason) in texts {
        assert_eq!(refusal(text), reason, "{text}");
    }
}

#[test]
fn an_error_names_the_place_where_go_stops_and_the_open_block() {
    let text = "a: {{ .a }}\n{{ if .b }}\nb: 1\n";
    let error = parse(text).expect_err("the block has no end");
    assert_eq!(error.at, text.len());
    assert_eq!(error.opened, text.find("{{ if"));
    assert!(!error.too_deep);
}

#[test]
fn a_template_that_is_nested_too_deeply_fails_with_that_reason() {
    let nested = |depth| format!("{}.{}", "(".repeat(depth), ")".repeat(depth));
    assert!(parse(&format!("{{{{ {} }}}}", nested(DEPTH_LIMIT))).is_ok());
    for text in [format!("{{{{ {} }}}}", nested(100_000)), "{{ if .a }}".repeat(100_000)] {
        assert!(parse(&text).expect_err("too deep").too_deep);
    }
    let chain = format!("{{{{ if .a }}}}{}{{{{ end }}}}", "{{ else if .b }}".repeat(100_000));
    assert!(parse(&chain).is_ok(), "a chain of `else if` is not nested");
}

#[test]
fn the_tree_has_operands_with_their_fields_and_places() {
    let text = "{{ $x := .Values.image.tag | default $.Chart.AppVersion }}";
    let template = parse(text).expect("a template");
    let [Node::Action(pipeline)] = template.body.as_slice() else { panic!("{template:?}") };
    assert_eq!(pipeline.variables, ["$x"]);
    let operands: Vec<(&str, &[String])> = pipeline
        .commands
        .iter()
        .flat_map(|command| &command.operands)
        .map(|operand| (&text[operand.span.clone()], operand.fields.as_slice()))
        .collect();
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(operands[0], (".Values.image.tag", names(&["Values", "image", "tag"]).as_slice()));
    assert_eq!(operands[1].0, "default");
    assert_eq!(operands[2], ("$.Chart.AppVersion", names(&["Chart", "AppVersion"]).as_slice()));
}

#[test]
fn uses_record_whether_they_are_conditional_and_whether_the_name_is_computed() {
    let text = "{{ template \"a\" . }}{{ include \"b\" . }}{{ if include \"c\" . }}{{ include (print \"d\") . }}{{ end }}\
                {{ and .x (include \"e\" .) }}{{ define \"f\" }}{{ include \"g\" . }}{{ end }}";
    let template = parse(text).expect("a template");
    let found: Vec<(Name, bool)> = template.uses().into_iter().map(|one| (one.name, one.conditional)).collect();
    let constant = |name: &str| Name::Constant(name.to_owned());
    let expected = [
        (constant("a"), false),
        (constant("b"), false),
        (constant("c"), false),
        (Name::Computed, true),
        (constant("e"), true),
    ];
    assert_eq!(found, expected);
    assert_eq!(template.definitions[0].name, "f");
}
