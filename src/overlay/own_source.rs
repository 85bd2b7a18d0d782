//! Edits the author's own `OCIRepository` of a chart in place, so that it refers to the published chart.

use crate::flux::{File, Source};
use crate::source::Error;
use crate::yaml::edit::{insert_after, quoted, replace_scalar};
use crate::yaml::{Entry, Node};

use super::Overlay;
use super::release::always_quoted;
use super::rewrite::{Change, Now, Pin, PinStyle, Pins, Plan};
use super::sources::repository;

/// An `OCIRepository` with the file that it is in.
pub(super) struct OwnSource<'a> {
    pub overlay: &'a Overlay,
    pub source: &'a Source<'a>,
    pub parsed: &'a File,
}

/// Reports whether the `verify` of a source means cosign's signatures by the keys in a Secret, and nothing else.
pub(super) fn is_verified_by(verify: &Node, secret: &str) -> bool {
    let is = |path: &[&str], text| verify.text_at(path) == Some(text);
    is(&["provider"], "cosign") && is(&["secretRef", "name"], secret) && verify.entries().len() == 2
}

impl OwnSource<'_> {
    /// Points `url` and `ref` to the published chart.
    pub(super) fn pin(&self, pins: &Pins<'_>, pin: &Pin, plan: &mut Plan) -> Result<(), Error> {
        let spec = &self.own(self.source.object.node, "spec")?.value;
        self.refuse_scheme(spec, pins)?;
        let url = format!("oci://{}", repository(self.overlay, pins, Some(&pin.name))?);
        let written = &self.own(spec, "url")?.value;
        if written.as_str() != Some(&url) {
            plan.edits.push(replace_scalar(&self.parsed.text, written, &url));
        }
        plan.changes.push(self.change("spec.url", url));
        let reference = &self.own(spec, "ref")?.value;
        for key in ["semver", "semverFilter"] {
            if let Some(entry) = reference.entry(key) {
                let reason = format!("cannot pin the chart: `{key}` does not give one exact version");
                return Err(self.refused(
                    &entry.key,
                    &reason,
                    "write `tag` instead: publishing sets the tag to the published version",
                ));
            }
        }
        let tag = pin.version.replace('+', "_");
        self.set(reference, "tag", "digest", tag, plan)?;
        // Flux prefers a digest to the tag, so a digest in the author's text is updated in both styles.
        if pins.style == PinStyle::Digest || reference.get(&["digest"]).is_some() {
            self.set(reference, "digest", "tag", pin.digest.to_string(), plan)?;
        }
        self.overlay.settings.verify.as_deref().map_or(Ok(()), |secret| self.verify(spec, secret, plan))
    }

    /// Lets Flux verify the chart by the keys in a Secret.
    fn verify(&self, spec: &Node, secret: &str, plan: &mut Plan) -> Result<(), Error> {
        if let Some(entry) = spec.entry("verify") {
            if is_verified_by(&entry.value, secret) {
                return Ok(());
            }
            let reason = format!("the chart's OCIRepository has another `verify` than by the Secret `{secret}`");
            return Err(self.refused(&entry.key, &reason, "remove `verify`: publishing writes it by `signing.flux`"));
        }
        let value = format!("{{provider: cosign, secretRef: {{name: {}}}}}", quoted(secret));
        let at = spec.entries().iter().position(|entry| entry.key.as_str() == Some("url"));
        plan.edits.extend(insert_after(&self.parsed.text, spec, at.unwrap_or_default(), "verify", &value));
        let path = format!("{}spec.verify", self.source.object.path);
        plan.changes.push(Change { document: self.source.object.document, path, now: Now::Any });
        Ok(())
    }

    /// Sets `key` of the reference. A new key is inserted after the key `beside`.
    fn set(&self, reference: &Node, key: &str, beside: &str, value: String, plan: &mut Plan) -> Result<(), Error> {
        let text = &self.parsed.text;
        if let Some(entry) = reference.entry(key).filter(|_| !reference.is_alias()) {
            if entry.value.as_str() != Some(&value) || !entry.value.is_string() {
                plan.edits.push(always_quoted(text, entry, &value));
            }
        } else {
            self.own(reference, beside).or_else(|_| self.own(reference, key))?;
            let at = reference.entries().iter().position(|entry| entry.key.as_str() == Some(beside));
            plan.edits.extend(insert_after(text, reference, at.unwrap_or_default(), key, &quoted(&value)));
        }
        plan.changes.push(self.change(&format!("spec.ref.{key}"), value));
        Ok(())
    }

    fn refuse_scheme(&self, spec: &Node, pins: &Pins<'_>) -> Result<(), Error> {
        let insecure = self.source.insecure;
        if insecure == pins.prefix.plain_http() {
            return Ok(());
        }
        let (host, expected) = (pins.prefix.host(), pins.prefix.plain_http());
        let reason = format!("wrong `insecure` for the registry {host}: expected `{expected}`, found `{insecure}`");
        let node = self.source.field("insecure").unwrap_or(spec);
        Err(self.refused(
            node,
            &reason,
            "set `insecure: true` if the registry is served over plain HTTP, and remove `insecure` otherwise",
        ))
    }

    fn own<'b>(&self, node: &'b Node, key: &str) -> Result<&'b Entry, Error> {
        let entry = node.entry(key).filter(|_| !node.is_alias());
        entry.ok_or_else(|| {
            let reason =
                format!("missing `{key}` in the chart's OCIRepository (a key from an alias or `<<` does not count)");
            self.refused(node, &reason, "write the key out in the object: publishing sets its value")
        })
    }

    fn refused(&self, node: &Node, reason: &str, hint: &str) -> Error {
        Error::refused(self.overlay.place(self.source.object.file, node.line), reason).hint(hint)
    }

    fn change(&self, path: &str, now: String) -> Change {
        Change {
            document: self.source.object.document,
            path: format!("{}{path}", self.source.object.path),
            now: Now::Text(now),
        }
    }
}
