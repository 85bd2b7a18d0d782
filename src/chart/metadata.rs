//! Reads Chart.yaml as Helm does: the metadata that becomes the config blob and the manifest's annotations.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value as Json;

use super::coerce::{self, Scalar};
use super::version;
use crate::source::{Error, Place, Warning};
use crate::yaml::{self, Entry, Node, Value};

/// The metadata of a chart. The order of the fields is their order in the config blob.
///
/// <https://github.com/helm/helm/blob/v4.2.3/pkg/chart/v2/metadata.go>
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) home: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) sources: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) keywords: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) maintainers: Vec<Maintainer>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) icon: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) api_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) condition: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) tags: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) app_version: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) deprecated: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) kube_version: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) dependencies: Vec<Dependency>,
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub(super) kind: String,
}

/// A maintainer as Chart.yaml lists them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Maintainer {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) email: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) url: String,
}

/// A subchart that the chart depends on.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Dependency {
    pub(super) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) version: String,
    pub(super) repository: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) condition: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tags: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) enabled: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) import_values: Vec<Json>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) alias: String,
}

/// Reads the metadata files of one chart and collects warnings about them.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    /// The file, or the archive that holds the file when `packed` is set.
    pub(super) place: &'a Place,
    pub(super) packed: bool,
    pub(super) warnings: &'a mut Vec<Warning>,
}

impl Reader<'_> {
    /// Reads the first document of Chart.yaml, or of requirements.yaml, into `metadata`. Later reads overwrite earlier ones.
    pub(super) fn read(&mut self, text: &str, metadata: &mut Metadata) -> Result<(), Error> {
        let Some(root) = self.first_document(text)? else { return Ok(()) };
        if let Some(key) = root.duplicate_key() {
            let key_text = key.as_str().unwrap_or_default().escape_debug().to_string();
            return Err(self.wrong(key, format!("duplicate key `{key_text}`")).hint("remove one of the two"));
        }
        for (key, value) in self.entries(&root)? {
            self.field(&fold(&key), value, metadata)?;
        }
        metadata.sanitize();
        Ok(())
    }

    /// Reads only the name, whatever else is wrong with the file.
    pub(super) fn read_name(&mut self, text: &str, metadata: &mut Metadata) -> Result<(), Error> {
        let Some(root) = self.first_document(text)? else { return Ok(()) };
        for (key, value) in self.entries(&root)?.into_iter().filter(|(key, _)| fold(key) == "name") {
            self.field(&fold(&key), value, metadata)?;
        }
        metadata.sanitize();
        Ok(())
    }

    /// Returns the root of the first document, or `None` where that document is empty.
    pub(super) fn first_document(&self, text: &str) -> Result<Option<Node>, Error> {
        let documents = yaml::parse(text).map_err(|cause| self.at(cause.line, cause.reason))?;
        Ok(documents.into_iter().next().and_then(|document| document.root).filter(|root| !root.is_null()))
    }

    fn field(&mut self, key: &str, value: &Node, metadata: &mut Metadata) -> Result<(), Error> {
        match key {
            "name" => self.text(value, &mut metadata.name),
            "home" => self.text(value, &mut metadata.home),
            "sources" => self.texts(value, &mut metadata.sources),
            "version" => self.version(value, metadata),
            "description" => self.text(value, &mut metadata.description),
            "keywords" => self.texts(value, &mut metadata.keywords),
            "maintainers" => {
                metadata.maintainers = self.items(value, Self::maintainer)?;
                Ok(())
            }
            "icon" => self.text(value, &mut metadata.icon),
            "apiversion" => self.text(value, &mut metadata.api_version),
            "condition" => self.text(value, &mut metadata.condition),
            "tags" => self.text(value, &mut metadata.tags),
            "appversion" => self.text(value, &mut metadata.app_version),
            "deprecated" => self.flag(value, &mut metadata.deprecated),
            "annotations" => self.annotations(value, &mut metadata.annotations),
            "kubeversion" => self.text(value, &mut metadata.kube_version),
            "dependencies" => {
                metadata.dependencies = self.items(value, Self::dependency)?;
                Ok(())
            }
            "type" => self.text(value, &mut metadata.kind),
            _ => Ok(()),
        }
    }

    /// Reads the version. Helm turns a YAML number into text and loses digits (`1.10` becomes `1.1`), so only a string passes.
    fn version(&mut self, value: &Node, metadata: &mut Metadata) -> Result<(), Error> {
        if let Some((written, resolved)) = coerce::scalar(value)
            && !matches!(resolved, Scalar::Text | Scalar::Null)
        {
            let reason = format!(
                "invalid version `{}`: YAML reads it as a number or boolean, expected a string",
                written.escape_debug()
            );
            return Err(self
                .refused(value, reason)
                .hint(format!("quote the version: `version: \"{}\"`", written.escape_debug())));
        }
        self.text(value, &mut metadata.version)
    }

    fn maintainer(&mut self, node: &Node) -> Result<Maintainer, Error> {
        if node.is_null() {
            return Err(self.wrong(node, "empty entry in `maintainers`"));
        }
        let mut maintainer = Maintainer::default();
        for (key, value) in self.entries(node)? {
            match fold(&key).as_str() {
                "name" => self.text(value, &mut maintainer.name)?,
                "email" => self.text(value, &mut maintainer.email)?,
                "url" => self.text(value, &mut maintainer.url)?,
                _ => {}
            }
        }
        Ok(maintainer)
    }

    fn dependency(&mut self, node: &Node) -> Result<Dependency, Error> {
        if node.is_null() {
            return Err(self.wrong(node, "empty entry in `dependencies`"));
        }
        let mut dependency = Dependency::default();
        for (key, value) in self.entries(node)? {
            match fold(&key).as_str() {
                "name" => self.text(value, &mut dependency.name)?,
                "version" => self.text(value, &mut dependency.version)?,
                "repository" => self.text(value, &mut dependency.repository)?,
                "condition" => self.text(value, &mut dependency.condition)?,
                "tags" => self.texts(value, &mut dependency.tags)?,
                "enabled" => self.flag(value, &mut dependency.enabled)?,
                "import-values" => dependency.import_values = self.items(value, |reader, node| reader.json(node))?,
                "alias" => self.text(value, &mut dependency.alias)?,
                _ => {}
            }
        }
        Ok(dependency)
    }

    /// Reads a text field. Null leaves the field as it is, as Go's JSON decoder does.
    fn text(&mut self, node: &Node, into: &mut String) -> Result<(), Error> {
        if let Some(text) = self.coerced(node)? {
            *into = text;
        }
        Ok(())
    }

    fn texts(&mut self, node: &Node, into: &mut Vec<String>) -> Result<(), Error> {
        *into = self.items(node, |reader, item| Ok(reader.coerced(item)?.unwrap_or_default()))?;
        Ok(())
    }

    fn flag(&mut self, node: &Node, into: &mut bool) -> Result<(), Error> {
        match coerce::scalar(node) {
            Some((_, Scalar::Bool(value))) => *into = value,
            Some((_, Scalar::Null)) => {}
            _ => return Err(self.wrong(node, "expected `true` or `false`")),
        }
        Ok(())
    }

    fn annotations(&mut self, node: &Node, into: &mut BTreeMap<String, String>) -> Result<(), Error> {
        if node.is_null() {
            into.clear();
            return Ok(());
        }
        for (key, value) in self.entries(node)? {
            let value = self.coerced(value)?.unwrap_or_default();
            into.insert(key, value);
        }
        Ok(())
    }

    /// Returns the text of a scalar, and warns when Helm reads a text that differs from the written one.
    fn coerced(&mut self, node: &Node) -> Result<Option<String>, Error> {
        let Some((written, resolved)) = coerce::scalar(node) else {
            return Err(self.wrong(node, "expected a string, found a list or mapping"));
        };
        let text = coerce::as_text(written, resolved)
            .map_err(|()| self.wrong(node, "expected a string, found a number without a decimal form"))?;
        if let Some(text) = &text
            && text != written
        {
            let written = written.escape_debug();
            let warning = format!(
                "Helm reads `{written}` as `{text}`, because YAML does not read it as a string: quote the value"
            );
            self.warnings.push(Warning { place: self.place_of(node), text: warning });
        }
        Ok(text)
    }

    fn items<T>(
        &mut self,
        node: &Node,
        mut read: impl FnMut(&mut Self, &Node) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        if node.is_null() {
            return Ok(Vec::new());
        }
        if !node.is_sequence() {
            return Err(self.wrong(node, "expected a list"));
        }
        node.items().iter().map(|item| read(self, item)).collect()
    }

    /// Returns the entries of a mapping with `<<` merged in, sorted by the bytes of their keys. Where two keys fold to one
    /// name, the greater key is read last and its value is used, as in Helm.
    fn entries<'n>(&self, node: &'n Node) -> Result<BTreeMap<String, &'n Node>, Error> {
        if !node.is_mapping() {
            return Err(self.wrong(node, "expected a mapping (`key: value`)"));
        }
        let mut entries = BTreeMap::new();
        for merged in node.merged().into_iter().rev() {
            entries.extend(self.entries(merged)?);
        }
        for Entry { key, value } in node.entries().iter().filter(|entry| !entry.is_merge()) {
            let text = coerce::scalar(key).and_then(|(text, resolved)| coerce::as_text(text, resolved).ok().flatten());
            entries.insert(text.ok_or_else(|| self.wrong(key, "expected a string as the key"))?, value);
        }
        Ok(entries)
    }

    fn json(&self, node: &Node) -> Result<Json, Error> {
        Ok(match &node.resolved().value {
            Value::Mapping { .. } => {
                let entries = self.entries(node)?.into_iter();
                entries
                    .map(|(key, value)| Ok((key, self.json(value)?)))
                    .collect::<Result<_, Error>>()
                    .map(Json::Object)?
            }
            Value::Sequence { items, .. } => {
                Json::Array(items.iter().map(|item| self.json(item)).collect::<Result<_, _>>()?)
            }
            _ => match coerce::scalar(node) {
                None | Some((_, Scalar::Null)) => Json::Null,
                Some((_, Scalar::Bool(value))) => Json::Bool(value),
                Some((_, Scalar::Int(value))) => i64::try_from(value)
                    .map_or_else(|_| u64::try_from(value).map_or(Json::Null, Json::from), Json::from),
                Some((_, Scalar::Float(value))) => Json::from(value),
                Some((text, Scalar::Text)) => Json::from(text),
            },
        })
    }

    fn place_of(&self, node: &Node) -> Place {
        self.line(node.line)
    }

    fn line(&self, line: usize) -> Place {
        Place { path: self.place.path.clone(), line: (!self.packed).then_some(line) }
    }

    fn at(&self, line: usize, reason: impl Into<String>) -> Error {
        Error::invalid(self.line(line), reason)
    }

    fn wrong(&self, node: &Node, reason: impl Into<String>) -> Error {
        Error::invalid(self.place_of(node), reason)
    }

    fn refused(&self, node: &Node, reason: impl Into<String>) -> Error {
        Error::refused(self.place_of(node), reason)
    }
}

/// Folds the case of a key as Go's JSON decoder does before it compares the key with field names.
pub(super) fn fold(key: &str) -> String {
    key.chars()
        .map(|c| match c {
            'ſ' => 's',
            'K' => 'k',
            c => c.to_ascii_lowercase(),
        })
        .collect()
}

/// Replaces each white space character by a blank and removes characters that cannot be printed.
fn sanitize(text: &mut String) {
    *text =
        text.chars().filter_map(|c| if c.is_whitespace() { Some(' ') } else { is_printable(c).then_some(c) }).collect();
}

/// Reports whether `c` is a letter, mark, number, punctuation or symbol, which the standard library does not escape.
fn is_printable(c: char) -> bool {
    c != '\0' && !format!("a{c}").escape_debug().to_string().starts_with("a\\u{")
}

impl Metadata {
    /// Applies Helm's `sanitizeString` to the fields that Helm cleans: all but version, type, apiVersion and annotations.
    fn sanitize(&mut self) {
        let texts = [
            &mut self.name,
            &mut self.description,
            &mut self.home,
            &mut self.icon,
            &mut self.condition,
            &mut self.tags,
            &mut self.app_version,
            &mut self.kube_version,
        ];
        texts.into_iter().chain(&mut self.sources).chain(&mut self.keywords).for_each(sanitize);
        for maintainer in &mut self.maintainers {
            [&mut maintainer.name, &mut maintainer.email, &mut maintainer.url].into_iter().for_each(sanitize);
        }
        for dependency in &mut self.dependencies {
            [&mut dependency.name, &mut dependency.version, &mut dependency.repository, &mut dependency.condition]
                .into_iter()
                .chain(&mut dependency.tags)
                .for_each(sanitize);
        }
    }

    /// Checks what Helm checks when it loads a chart, and returns the reason for a refusal.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.name.as_str() {
            "" => return Err("missing `name`".to_owned()),
            "." | ".." => return Err(format!("invalid chart name `{}`: Helm does not allow this name", self.name)),
            name if name.contains('/') => {
                return Err(format!("invalid chart name `{name}`: the name must not contain `/`"));
            }
            _ => {}
        }
        if self.version.is_empty() {
            return Err("missing `version`".to_owned());
        }
        if !version::is_loose(&self.version) {
            return Err(format!(
                "invalid version `{}`: expected a semantic version such as 1.2.3",
                self.version.escape_debug()
            ));
        }
        if !matches!(self.kind.as_str(), "" | "application" | "library") {
            return Err(format!("invalid type `{}`: expected `application` or `library`", self.kind.escape_debug()));
        }
        self.check_dependencies()
    }

    fn check_dependencies(&self) -> Result<(), String> {
        let mut seen = std::collections::BTreeSet::new();
        for dependency in &self.dependencies {
            let alias = &dependency.alias;
            if !alias.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
                return Err(format!(
                    "invalid alias `{}`: expected only letters, digits, `_` and `-`",
                    alias.escape_debug()
                ));
            }
            let key = if alias.is_empty() { &dependency.name } else { alias };
            if !seen.insert(key) {
                return Err(format!(
                    "duplicate dependency: two entries have the name or alias `{}`",
                    key.escape_debug()
                ));
            }
        }
        Ok(())
    }

    /// Returns the config blob: compact JSON as Go writes it, with `<`, `>`, `&` and the line separators escaped.
    pub(super) fn to_config(&self) -> Vec<u8> {
        let text = serde_json::to_string(self).expect("all keys of the metadata are strings");
        let mut escaped = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '<' => escaped.push_str("\\u003c"),
                '>' => escaped.push_str("\\u003e"),
                '&' => escaped.push_str("\\u0026"),
                '\u{2028}' => escaped.push_str("\\u2028"),
                '\u{2029}' => escaped.push_str("\\u2029"),
                c => escaped.push(c),
            }
        }
        escaped.into_bytes()
    }

    /// Returns the annotations that Helm derives for the manifest, without the creation time, which would change the digest.
    pub(super) fn manifest_annotations(&self) -> BTreeMap<String, String> {
        let people: Vec<String> = self.maintainers.iter().map(Maintainer::for_people).collect();
        let source = self.sources.first().cloned().unwrap_or_default();
        let derived = [
            ("description", self.description.clone()),
            ("url", self.home.clone()),
            ("source", source),
            ("authors", people.join(", ")),
        ];
        let key = |name: &str| format!("org.opencontainers.image.{name}");
        let mut annotations: BTreeMap<String, String> = derived
            .into_iter()
            .filter(|(_, text)| !text.trim().is_empty())
            .map(|(name, text)| (key(name), text))
            .collect();
        annotations.extend(self.annotations.clone());
        annotations.insert(key("title"), self.name.clone());
        annotations.insert(key("version"), self.version.clone());
        annotations
    }

    /// Returns a Chart.yaml with this metadata, for charts whose own text Helm would change. The text is JSON, which is YAML.
    pub(super) fn to_yaml(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("all keys of the metadata are strings");
        let mut escaped = String::with_capacity(text.len() + 1);
        for c in text.chars() {
            if (c.is_control() && c != '\n') || c == '\u{feff}' {
                let _ = write!(escaped, "\\u{:04x}", u32::from(c));
            } else {
                escaped.push(c);
            }
        }
        escaped.push('\n');
        escaped
    }
}

impl Maintainer {
    fn for_people(&self) -> String {
        if self.email.is_empty() { self.name.clone() } else { format!("{} ({})", self.name, self.email) }
    }
}
