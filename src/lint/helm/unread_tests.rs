use std::collections::BTreeMap;

use super::*;
use crate::lint::ChartFiles;
use crate::lint::helm::value::read;

/// Returns the paths of the values that a chart with the given template does not read.
fn unread(template: &str, values: &str) -> Vec<String> {
    let files: BTreeMap<String, Vec<u8>> = [
        ("Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n"),
        ("templates/all.yaml", template),
        ("files/one.txt", "{{ .Values.file }}"),
    ]
    .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
    .into();
    let files = ChartFiles::new("web", files, None);
    let mut sources = Sources::default();
    let chart = Chart::open(&files, &mut sources);
    let table = read(values, 0, 0).expect("values");
    let Some(checked) = Checked::new(&chart, std::iter::once(&table)) else { return vec!["cannot tell".to_owned()] };
    checked.unread(&table).into_iter().map(|(path, _)| path.join(".")).collect()
}

#[test]
fn following_templates_finds_the_keys_that_they_read() {
    let all = "{a: {b: 1, c: {d: 2}}, list: [{x: 1, w: 2}], map: {k: {x: 1, w: 2}}}";
    let rest = |read: &[&str]| -> Vec<String> {
        let keys = ["a", "a.b", "a.c", "list", "list.0.w", "map", "map.k.w"];
        keys.into_iter().filter(|key| read.contains(key)).map(str::to_owned).collect()
    };
    for (template, left) in [
        ("{{ .Values.a.b }}", &["a.c", "list", "map"][..]),
        ("{{ with .Values }}{{ .a.b }}{{ $.Values.a.c.d }}{{ end }}", &["list", "map"]),
        ("{{ $v := .Values.a }}{{ $v.b }}", &["a.c", "list", "map"]),
        ("{{ index .Values \"a\" \"b\" }}{{ (get .Values.a \"c\").d }}", &["list", "map"]),
        ("{{ dig \"a\" \"b\" 1 .Values }}", &["a.c", "list", "map"]),
        ("{{ range .Values.list }}{{ .x }}{{ end }}", &["a", "list.0.w", "map"]),
        ("{{ range $k, $v := .Values.map }}{{ $k }}{{ $v.x }}{{ end }}", &["a", "list", "map.k.w"]),
        ("{{ toYaml .Values.a }}", &["list", "map"]),
        ("{{ if .Values.a }}{{ end }}", &["list", "map"]),
        ("{{ (.Values.none | default .Values.a).b }}", &["a.c", "list", "map"]),
        ("{{ define \"t\" }}{{ .v.b }}{{ end }}{{ include \"t\" (dict \"v\" .Values.a) }}", &["a.c", "list", "map"]),
        (
            "{{ define \"t\" }}{{ (first .).b }}{{ end }}{{ template \"t\" (list .Values.a 1) }}",
            &["a.c", "list", "map"],
        ),
        (
            "{{ define \"t\" }}{{ $ := .ctx }}{{ $.Values.a.b }}{{ end }}{{ include \"t\" (dict \"ctx\" $) }}",
            &["a.c", "list", "map"],
        ),
        ("{{ tpl \"{{ .Values.a.b }}\" . }}", &["a.c", "list", "map"]),
        ("{{ define \"never\" }}{{ .Values.a }}{{ end }}", &["a", "list", "map"]),
    ] {
        assert_eq!(unread(template, all), rest(left), "{template}");
    }
}

#[test]
fn values_that_cannot_be_followed_are_not_reported() {
    let values = "{unknown: 1, file: 2}";
    for template in [
        "{{ toYaml .Values }}",
        "{{ include (printf \"web.%s\" .Values.kind) . }}",
        "{{ range .Values }}{{ . }}{{ end }}",
        "{{ toJson . }}",
        "{{ if",
    ] {
        let found = unread(template, values);
        assert!(found.is_empty() || found == ["cannot tell"], "{template}: {found:?}");
    }
    assert_eq!(unread("{{ tpl (.Files.Get \"files/one.txt\") . }}", values), ["unknown"]);
    assert_eq!(
        unread("{{ .Release.Name }}", "{a: \"{{ .Values.b }}\", b: 1}"),
        ["a"],
        "strings in values may be templates"
    );
}

#[test]
fn following_templates_that_use_each_other_endlessly_stops() {
    let nested = "{{ define \"a\" }}{{ include \"b\" (dict \"x\" .) }}{{ end }}{{ define \"b\" }}{{ include \"a\" (list . .x) }}{{ end }}";
    let file = "{{ include \"a\" .Values.a }}";
    assert!(!unread(&format!("{nested}{file}"), "{a: 1, other: 2}").contains(&"a".to_owned()));
    let deep = format!("{}{}", "{{ with $.Values.a }}".repeat(90), "{{ end }}".repeat(90));
    assert_eq!(unread(&deep, "{a: {b: 1}, other: 2}"), ["other"]);
}
