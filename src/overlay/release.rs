//! Edits one HelmRelease so that it refers to the published chart and values.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::flux::{File, Scalar};
use crate::source::Error;
use crate::yaml::edit::{
    Edit, block_entry, entry_end, entry_start, insert_after, is_own_line, like_key, line_ending, line_start, quoted,
    remove_entry, replace_scalar, scalar,
};
use crate::yaml::{Comment, Entry, Node, Style, Value};

use super::Overlay;
use super::discover::Release;
use super::rewrite::{Change, Now, Pin, Plan};
use super::sources::Home;

/// A release with the file that it is in.
pub(super) struct Editing<'a> {
    pub overlay: &'a Overlay,
    pub release: &'a Release<'a>,
    pub parsed: &'a File,
}

impl Editing<'_> {
    fn refused(&self, node: &Node, reason: &str, hint: &str) -> Error {
        Error::refused(self.overlay.place(self.release.flux.object.file, node.line), reason).hint(hint)
    }

    fn comments(&self) -> &[Comment] {
        &self.parsed.documents[self.release.flux.object.document].comments
    }

    /// Returns the entry of a key, which must be written in the mapping itself and not come from an alias or `<<`.
    fn own<'b>(&self, node: &'b Node, key: &str) -> Result<&'b Entry, Error> {
        let entry = node.entry(key).filter(|_| !node.is_alias());
        entry.ok_or_else(|| {
            self.refused(
                node,
                &format!("`{key}` comes from an alias or `<<`, which cannot be rewritten"),
                "write the key out in the object",
            )
        })
    }

    fn spec(&self) -> Result<&Node, Error> {
        Ok(&self.own(self.release.flux.object.node, "spec")?.value)
    }

    fn refuse_fields(&self, keys: &[&str], why: &str) -> Result<(), Error> {
        let chart = self.release.flux.chart.map(|chart| chart.node);
        for path in keys.iter().map(|key| key.split('.').collect::<Vec<_>>()) {
            if let Some(node) = chart.and_then(|chart| chart.get(&path)).filter(|node| !node.is_null()) {
                let key = path.last().copied().unwrap_or_default();
                let hint = if key == "valuesFiles" {
                    "put the values into `values` or `valuesFrom`"
                } else {
                    "remove the key"
                };
                return Err(self.refused(node, &format!("`{key}` {why}"), hint));
            }
        }
        Ok(())
    }

    fn change(&self, path: &str, now: Now) -> Change {
        let object = &self.release.flux.object;
        Change { document: object.document, path: format!("{}{path}", object.path), now }
    }

    /// Replaces `chart` by a `chartRef` to the chart's `OCIRepository`.
    pub(super) fn by_digest(&self, home: &Home, plan: &mut Plan) -> Result<(), Error> {
        let why = "has no counterpart in a chartRef, which pins the chart by digest";
        self.refuse_fields(&["spec.valuesFiles", "spec.verify", "metadata"], why)?;
        let spec = self.spec()?;
        let entry = self.own(spec, "chart")?;
        let fields = [("kind", "OCIRepository"), ("name", &home.name), ("namespace", &home.namespace)];
        let flow = spec.is_flow() || entry.value.is_flow() || entry.value.is_alias();
        plan.edits.push(if flow { self.flow_reference(entry, fields) } else { self.block_reference(entry, fields) });
        plan.changes.push(self.change("spec.chart", Now::Gone));
        for (key, value) in fields {
            plan.changes.push(self.change(&format!("spec.chartRef.{key}"), Now::Text(value.to_owned())));
        }
        plan.changes.push(self.change("spec.chartRef", Now::Any));
        Ok(())
    }

    fn block_reference(&self, entry: &Entry, fields: [(&str, &str); 3]) -> Edit {
        let text = &self.parsed.text;
        let range = block_entry(text, self.comments(), entry);
        let column = range.start - line_start(text, range.start);
        let first = entry.value.entries().first().map(|first| entry_start(text, first));
        let inner = first.map_or(0, |first| first - line_start(text, first));
        let indent = " ".repeat(if inner > column { inner } else { column + 2 });
        let ending = line_ending(text);
        let mut lines = vec![format!("{}:", like_key(&entry.key, "chartRef"))];
        lines.extend(self.kept_comments(&range, entry).into_iter().map(ToOwned::to_owned));
        lines.extend(fields.map(|(key, value)| format!("{key}: {}", scalar(value))));
        let text = lines.join(&format!("{ending}{indent}"));
        Edit { range, text }
    }

    fn flow_reference(&self, entry: &Entry, fields: [(&str, &str); 3]) -> Edit {
        let text = &self.parsed.text;
        let range = entry_start(text, entry)..entry_end(text, entry);
        let json = is_json(&entry.key);
        let write = |text: &str| if json { quoted(text) } else { scalar(text) };
        let fields: Vec<String> =
            fields.iter().map(|(key, value)| format!("{}: {}", write(key), write(value))).collect();
        let line = &text[line_start(text, range.start)..];
        let indent = " ".repeat(line.len() - line.trim_start_matches(' ').len() + 4);
        let ending = line_ending(text);
        let fields = fields.join(", ");
        let mut lines = self.kept_comments(&range, entry);
        if !lines.is_empty() {
            lines.insert(0, "");
        }
        lines.push(&fields);
        let key = like_key(&entry.key, "chartRef");
        let text = format!("{key}: {{{}}}", lines.join(&format!("{ending}{indent}")));
        Edit { range, text }
    }

    /// Returns the comments of a removed block that are kept: all but those at the end of lines whose field is removed.
    fn kept_comments(&self, range: &Range<usize>, entry: &Entry) -> Vec<&str> {
        let text = &self.parsed.text;
        let spec = entry.value.get(&["spec"]).filter(|_| !entry.value.is_alias());
        let gone: Vec<Range<usize>> = spec
            .map(Node::entries)
            .unwrap_or_default()
            .iter()
            .filter(|entry| {
                matches!(
                    entry.key.as_str(),
                    Some("version" | "interval" | "reconcileStrategy" | "ignoreMissingValuesFiles")
                )
            })
            .map(|entry| entry_start(text, entry)..crate::yaml::edit::line_end(text, entry_end(text, entry)))
            .collect();
        let inside = self.comments().iter().filter(|comment| range.contains(&comment.span.start));
        let kept = inside.filter(|comment| {
            is_own_line(text, comment) || !gone.iter().any(|line| line.contains(&comment.span.start))
        });
        kept.map(|comment| text[comment.span.clone()].trim_end()).collect()
    }

    /// Points `chart.spec` to the published chart in the chart repository.
    pub(super) fn by_version(&self, pin: &Pin, home: &Home, plan: &mut Plan) -> Result<(), Error> {
        if self.release.git {
            self.refuse_fields(
                &["spec.valuesFiles"],
                "is relative to the git repository, which the appliance does not have",
            )?;
        }
        let text = &self.parsed.text;
        let chart = &self.own(self.spec()?, "chart")?.value;
        let spec = &self.own(chart, "spec")?.value;
        let name = self.own(spec, "chart")?;
        plan.edits.push(replace_scalar(text, &name.value, &pin.name));
        if let Some(entry) = spec.entry("version") {
            plan.edits.push(always_quoted(text, entry, &pin.version));
        } else {
            let at = spec.entries().iter().position(|entry| entry.key.as_str() == Some("chart")).unwrap_or_default();
            plan.edits.extend(insert_after(text, spec, at, "version", &quoted(&pin.version)));
        }
        self.source_reference(spec, home, plan)?;
        let strategy = spec.entries().iter().position(|entry| entry.key.as_str() == Some("reconcileStrategy"));
        if let Some(at) = strategy {
            plan.edits.extend(remove_entry(text, spec, at));
        }
        if self.release.flux.chart.is_some_and(|chart| chart.reconcile_strategy.is_some()) {
            plan.changes.push(self.change("spec.chart.spec.reconcileStrategy", Now::Gone));
        }
        let now = [
            ("chart", &pin.name),
            ("version", &pin.version),
            ("sourceRef.name", &home.name),
            ("sourceRef.namespace", &home.namespace),
        ];
        for (key, value) in now {
            plan.changes.push(self.change(&format!("spec.chart.spec.{key}"), Now::Text(value.clone())));
        }
        plan.changes.push(self.change("spec.chart.spec.sourceRef.kind", Now::Text("HelmRepository".to_owned())));
        Ok(())
    }

    fn source_reference(&self, spec: &Node, home: &Home, plan: &mut Plan) -> Result<(), Error> {
        let text = &self.parsed.text;
        let reference = &self.own(spec, "sourceRef")?.value;
        if reference.is_alias() {
            let fields = [scalar(&home.name), scalar(&home.namespace)];
            let new = format!("{{kind: HelmRepository, name: {}, namespace: {}}}", fields[0], fields[1]);
            plan.edits.push(Edit { range: reference.span.clone(), text: new });
            return Ok(());
        }
        plan.edits.push(replace_scalar(text, &self.own(reference, "kind")?.value, "HelmRepository"));
        plan.edits.push(replace_scalar(text, &self.own(reference, "name")?.value, &home.name));
        if let Some(entry) = reference.entry("namespace") {
            plan.edits.push(replace_scalar(text, &entry.value, &home.namespace));
        } else {
            let beside = reference.entry("name").filter(|_| reference.is_flow());
            let json = beside.is_some_and(|entry| is_json(&entry.key));
            let namespace = if json { quoted(&home.namespace) } else { scalar(&home.namespace) };
            let at =
                reference.entries().iter().position(|entry| entry.key.as_str() == Some("name")).unwrap_or_default();
            plan.edits.extend(insert_after(text, reference, at, "namespace", &namespace));
        }
        Ok(())
    }

    /// Gives the `chartRef` to the author's own source the new name of that source.
    pub(super) fn source_name(&self, name: &str, plan: &mut Plan) -> Result<(), Error> {
        let reference = &self.own(self.spec()?, "chartRef")?.value;
        let written = &self.own(reference, "name")?.value;
        plan.edits.push(replace_scalar(&self.parsed.text, written, name));
        plan.changes.push(self.change("spec.chartRef.name", Now::Text(name.to_owned())));
        Ok(())
    }

    /// Gives each `valuesFrom` the name of the ConfigMap that the appliance makes. `names` maps releases to those names.
    pub(super) fn values_names(&self, names: &BTreeMap<String, String>, plan: &mut Plan) {
        let prefix = self.overlay.settings.values_prefix.as_str();
        for from in &self.release.flux.values_from {
            let Some(Scalar { node, text, .. }) = from.config_map_name() else { continue };
            if let Some(name) = text.strip_prefix(prefix).and_then(|of| names.get(of)) {
                plan.edits.push(replace_scalar(&self.parsed.text, node, name));
                let path = format!("spec.valuesFrom[{}].name", from.index);
                plan.changes.push(self.change(&path, Now::Text(name.clone())));
            }
        }
    }
}

/// Reports whether the key is quoted as in JSON.
fn is_json(key: &Node) -> bool {
    matches!(key.value, Value::Scalar { style: Style::Double, .. })
}

/// Replaces a version by a quoted one, because YAML reads `1.10` as a number.
pub(super) fn always_quoted(text: &str, entry: &Entry, value: &str) -> Edit {
    match &entry.value.value {
        Value::Scalar { style: Style::Single | Style::Double, .. } => replace_scalar(text, &entry.value, value),
        Value::Scalar { .. } if entry.value.span.is_empty() => {
            let at = entry_end(text, entry);
            Edit { range: at..at, text: format!(" {}", quoted(value)) }
        }
        _ => Edit { range: entry.value.span.clone(), text: quoted(value) },
    }
}
