//! Checks what a release would do on an appliance, without publishing it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::judges::{Judged, Render};
use super::{Connection, Context, Error};
use crate::chart;
use crate::config::{Config, FILE_NAME};
use crate::contents::{Bundle, Opened, ReadOnce, unpack_chart};
use crate::diff::{Diff, Level, Side};
use crate::image::PinnedImages;
use crate::lint::{self, ChartFiles, Contents, Report, Reported, Run, Settings, Severity, Written};
use crate::oci::{Prefix, Selector, Tag};
use crate::overlay;
use crate::plan::{self, GivenTags, ObservedChannel, Packed, Request, Revision};
use crate::release::Release;
use crate::source::{self, Place, Tree};
use crate::text;

/// Rule about a file that a kustomization names and that does not exist.
const MISSING_FILE: &str = "build-file-missing";

/// Largest configuration file that is read, in bytes.
const CONFIGURATION_LIMIT: u64 = 1 << 20;

/// The tree or release that is checked, and how.
#[derive(Clone, Debug)]
pub struct LintRequest {
    /// Tree or release that is checked.
    pub origin: LintOrigin,
    /// Channel, version or digest that the appliances run: what an upgrade from there would break is found too.
    pub against: Option<String>,
    /// Severity of each rule, and the rules that are allowed.
    pub settings: Settings,
    /// Whether helm and kubectl are run on the contents.
    pub render: Render,
    /// Whether the report says how long each topic took.
    pub timings: bool,
}

/// Origin of the contents that are checked.
#[derive(Clone, Debug)]
pub enum LintOrigin {
    /// A source tree on disk.
    Tree {
        /// Root of the tree.
        source: PathBuf,
        /// Version as which the tree would be published; image tags are read from its file.
        version: Option<Tag>,
        /// Tags of application images that were given by hand. They take precedence over those in the tree.
        images: GivenTags,
    },
    /// Channel, version or digest of a release in the store.
    Release(String),
}

impl LintRequest {
    /// Requests the checks of a source tree as it is.
    pub fn tree(source: impl Into<PathBuf>, settings: Settings) -> Self {
        let origin = LintOrigin::Tree { source: source.into(), version: None, images: GivenTags::default() };
        Self { origin, against: None, settings, render: Render::Off, timings: false }
    }
}

/// Checks a source tree, for which no request is sent, or a release of a store. Without a store, the request names neither a release
/// nor anything to check against.
///
/// # Errors
/// When the tree cannot be read, or the store fails.
pub async fn lint(
    request: &LintRequest,
    config: &Config,
    store: Option<&Connection>,
    context: &Context,
) -> Result<Report, Error> {
    let against = match (&request.against, store) {
        (Some(reference), Some(store)) => Some(Stored::resolve(reference, config, store).await?.1),
        _ => None,
    };
    let how = How { settings: &request.settings, render: request.render, timings: request.timings, context };
    match (&request.origin, store) {
        (LintOrigin::Release(reference), Some(store)) => {
            let (opened, stored) = Stored::resolve(reference, config, store).await?;
            let judged = how.judge(&opened).await?;
            Ok(how.stored(reference, &stored, against.as_ref(), &judged))
        }
        (LintOrigin::Release(reference), None) => Err(Error::Offline { store: reference.clone() }),
        (LintOrigin::Tree { source, version, images }, _) => {
            let tree = Tree::open(source)?;
            let subject = source.display().to_string();
            let linted = Linted { tree: &tree, config, subject: &subject, how };
            linted.report(version.as_ref(), images, against.as_ref()).await
        }
    }
}

/// Settings and surroundings of the checks.
#[derive(Clone, Copy)]
pub(super) struct How<'a> {
    /// Severity of each rule, and the rules that are allowed.
    pub settings: &'a Settings,
    /// Whether helm and kubectl are run on the contents.
    pub render: Render,
    /// Whether the report says how long each topic took.
    pub timings: bool,
    /// Programs, clock and progress.
    pub context: &'a Context,
}

impl How<'_> {
    /// Runs helm and kubectl on a release, unless [`Render::Off`] is set.
    ///
    /// # Errors
    /// When a program that must be asked is missing, or a store fails.
    pub(super) async fn judge(&self, side: &Side<'_>) -> Result<Judged, Error> {
        if self.render == Render::Off {
            return Ok(Judged::default());
        }
        self.render.ask(side.contents().await?, self.context).await
    }

    fn run(&self, run: Run<'_>, judged: &Judged) -> Report {
        let clock = self.timings.then_some(&*self.context.clock);
        Run { answers: &judged.answers, judges: judged.judges.clone(), clock, ..run }.report()
    }

    /// Checks a release of a store.
    pub(super) fn stored(&self, subject: &str, stored: &Stored, against: Option<&Stored>, judged: &Judged) -> Report {
        let (contents, old) = (stored.contents(), against.map(Stored::contents));
        let run = Run::new(subject, &contents, Written::in_bundle(), self.settings);
        self.run(Run { against: old.as_ref(), ..run }, judged)
    }
}

/// A source tree that is checked.
pub(super) struct Linted<'a> {
    pub tree: &'a Tree,
    pub config: &'a Config,
    /// Name of the tree in the report.
    pub subject: &'a str,
    pub how: How<'a>,
}

impl Linted<'_> {
    async fn report(
        &self,
        version: Option<&Tag>,
        images: &GivenTags,
        against: Option<&Stored>,
    ) -> Result<Report, Error> {
        let config = self.config;
        let prefix = Prefix::parse(&config.prefix, false)?;
        let unversioned: Tag = "0.0.0".parse().expect("a tag");
        let request = Request {
            config,
            prefix: &prefix,
            version: version.unwrap_or(&unversioned),
            channel: &config.channels[0],
            images: images.clone(),
        };
        let tags = match version {
            Some(_) => {
                let found = plan::image_tags(self.tree, &request)?;
                found.warnings.iter().for_each(|warning| self.how.context.warn(warning));
                found.tags()
            }
            None => config.images.keys().map(|key| (key.clone(), unversioned.clone())).collect(),
        };
        match plan::pack(self.tree, &request, &PinnedImages::tags(&tags)) {
            Ok(packed) => {
                let judged = self.judge(&packed, &request, &tags).await?;
                Ok(self.packed(&packed, &packed.preview(&request, &tags)?, against, &judged))
            }
            // Without an overlay there is nothing to check.
            Err(cause) if plan::overlay_files(self.tree, config).is_err() => Err(cause.into()),
            Err(cause) => Ok(self.unpacked(vec![cause])),
        }
    }

    /// Runs helm and kubectl on a packed tree, unless [`Render::Off`] is set.
    ///
    /// # Errors
    /// When a program that must be asked is missing.
    pub(super) async fn judge(
        &self,
        packed: &Packed,
        request: &Request<'_>,
        tags: &BTreeMap<String, Tag>,
    ) -> Result<Judged, Error> {
        if self.how.render == Render::Off {
            return Ok(Judged::default());
        }
        let is_signed = self.config.is_signed();
        let images = if is_signed { PinnedImages::examples(tags) } else { PinnedImages::tags(tags) };
        let revision = Revision { commit: "0".repeat(40), epoch: 0, source: None };
        let desired = packed.desired(request, &revision, &images)?;
        self.how.judge(&Side::of(&desired, self.config, self.subject)?).await
    }

    /// Checks a tree that was packed.
    pub(super) fn packed(
        &self,
        packed: &Packed,
        release: &Release,
        against: Option<&Stored>,
        judged: &Judged,
    ) -> Report {
        let mut contents = Contents::packed(packed, release, self.config);
        contents.configuration = configuration(self.tree);
        let written = Written::in_tree(self.config.overlay.trim_matches('/'), packed.written());
        let old = against.map(Stored::contents);
        let run = Run::new(self.subject, &contents, written, self.how.settings);
        self.how.run(Run { against: old.as_ref(), ..run }, judged)
    }

    /// Checks the readable files of a tree that cannot be packed, and adds the errors that are known.
    pub(super) fn unpacked(&self, mut errors: Vec<source::Error>) -> Report {
        let config = self.config;
        let (files, broken) = plan::overlay_files(self.tree, config).unwrap_or_default();
        errors.extend(broken);
        let bundle = Bundle::open(files);
        let directory = config.overlay.trim_matches('/');
        errors.extend(bundle.broken().iter().map(|error| overlay::unusable(directory, error.clone())));
        let mut charts = BTreeMap::new();
        for path in bundle
            .parts()
            .releases
            .iter()
            .filter_map(|release| release.chart.filter(|chart| chart.is_from("GitRepository")))
        {
            let Some(path) = path.chart.and_then(|name| crate::path::below("", name.text)) else { continue };
            errors.extend(chart::load(self.tree, &path).err());
            if let Ok((name, files)) = chart::read(self.tree, &path) {
                charts.insert(name.clone(), ChartFiles::new(&name, files, Some(&path)));
            }
        }
        let mut contents = Contents::of(&bundle, charts, None, config);
        let changed = BTreeMap::new();
        let written = Written::in_tree(directory, &changed);
        contents.configuration = configuration(self.tree);
        let run = Run::new(self.subject, &contents, written, self.how.settings);
        let places: Vec<Place> = errors.iter().map(|error| error.place().clone()).collect();
        let mut report = self.how.run(Run { refusals: errors, ..run }, &Judged::default());
        report.findings.retain(|one| !places.iter().any(|place| self.follows(one, place)));
        // The finding shows the line and says what Flux would do, so the refusal of the same line is left out.
        let is_missing = |one: &&Reported| one.rule.id == MISSING_FILE && one.severity == Severity::Error;
        let said = report.findings.iter().filter(is_missing).map(|one| (one.file.clone(), one.line));
        let said: BTreeSet<(String, usize)> = said.collect();
        report.findings.retain(|one| one.rule.id != "unpackable" || !said.contains(&(one.file.clone(), one.line)));
        report
    }

    /// Returns whether a finding says falsely that something is missing, because the file at `place` cannot be read.
    fn follows(&self, one: &Reported, place: &Place) -> bool {
        match one.rule.id {
            MISSING_FILE => {
                let named = one.message.split('`').nth(1).unwrap_or_default();
                let directory = one.file.rsplit_once('/').map_or("", |(directory, _)| directory);
                crate::path::below(directory, named).is_some_and(|path| path == place.path)
            }
            "depends-on-missing" | "source-missing" | "values-from-missing" | "kustomization-path-missing" => {
                place.path.starts_with(self.config.overlay.trim_matches('/'))
            }
            _ => false,
        }
    }

    /// Returns what is wrong with a tree beside the cause that keeps it from being packed.
    pub(super) fn beside(&self, cause: &source::Error) -> Report {
        let mut others = self.unpacked(Vec::new());
        let same = |one: &Reported| cause.to_string().ends_with(&one.message);
        let place = cause.place();
        let is_said = |one: &Reported| one.rule.id == MISSING_FILE && place == &Place::line(&*one.file, one.line);
        let follows = |one: &Reported| same(one) || is_said(one) || self.follows(one, place);
        others.findings.retain(|one| one.severity == Severity::Error && !follows(one));
        others
    }
}

/// Adds the findings of the checks to a comparison.
pub(super) fn add_risks(diff: &mut Diff, report: &Report) {
    let findings = report.findings.iter().filter_map(|finding| {
        let level = match finding.severity {
            Severity::Error => Level::Danger,
            Severity::Warning => Level::Warning,
            Severity::Note => return None,
        };
        // The level is shown beside the text.
        let Reported { rule, file, line, column, message, .. } = finding;
        let text = format!("{}:{line}:{column}: {} ({})", text::shown(file), text::clean(message), rule.id);
        Some((level, text.replace('`', "'")))
    });
    diff.add_findings(findings);
}

/// Adds what the signature of the newer release does not cover to a comparison of releases that differ.
///
/// # Errors
/// When the store of the release cannot be reached.
pub(super) async fn add_not_covered(diff: &mut Diff, to: &Side<'_>) -> Result<(), Error> {
    if diff.has_changes {
        diff.not_covered = not_covered(to).await?;
    }
    Ok(())
}

/// Returns what the signature of a release does not cover, or `None` for a release that does not pin its images.
///
/// # Errors
/// When the store of the release cannot be reached.
pub(super) async fn not_covered(side: &Side<'_>) -> Result<Option<Vec<String>>, Error> {
    if !side.opened.release.is_pinned() {
        return Ok(None);
    }
    let stored = Stored::read(&side.opened, |_| true).await?;
    Ok(Some(lint::not_covered(&stored.contents())))
}

/// Reads the configuration file of a tree, where there is one.
fn configuration(tree: &Tree) -> Option<String> {
    String::from_utf8(tree.peek(FILE_NAME, CONFIGURATION_LIMIT).ok()?).ok()
}

/// A release of a store, with the contents that rules read.
#[derive(Debug)]
pub(super) struct Stored {
    release: Release,
    config: Config,
    bundle: Bundle,
    charts: BTreeMap<String, ChartFiles>,
}

impl Stored {
    async fn resolve<'a>(reference: &str, config: &Config, store: &'a Connection) -> Result<(Side<'a>, Self), Error> {
        let selector: Selector = reference.parse()?;
        let resolved = store.resolve(config, reference, &selector).await?;
        let config = store.described(&resolved, &selector, config)?;
        let side = Side::read(store.read(), &config, reference, resolved);
        let stored = Self::read(&side.opened, |_| true).await?;
        Ok((side, stored))
    }

    /// Reads the release that a channel serves.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub(super) async fn served(
        store: ReadOnce<'_>,
        config: &Config,
        observed: &ObservedChannel,
    ) -> Result<Option<Self>, Error> {
        let Some(serves) = &observed.serves else { return Ok(None) };
        let release = Release::parse(&serves.json)?;
        Ok(Some(Self::read(&Opened::in_store(store, config, release), |_| true).await?))
    }

    /// Reads the bundle, and the charts whose names `wanted` accepts. Absent and broken artifacts are left out, because `verify` reports
    /// them.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub(super) async fn read(opened: &Opened<'_>, wanted: impl Fn(&str) -> bool) -> Result<Self, Error> {
        let bundle = match opened.bundle().await? {
            Ok(found) => opened.files(&found).await?.unwrap_or_default(),
            Err(_) => Bundle::default(),
        };
        let names = opened.release.chart_digests.keys().filter(|name| wanted(name));
        let reads = names.map(async |name| {
            let Ok(found) = opened.chart(name).await? else { return Ok::<_, Error>(None) };
            let Ok(archive) = opened.archive(&found).await? else { return Ok(None) };
            let files = unpack_chart(&archive).ok();
            Ok(files.map(|files| (name.clone(), ChartFiles::new(name, files, None))))
        });
        let charts = futures_util::future::try_join_all(reads).await?.into_iter().flatten().collect();
        Ok(Self { release: opened.release.clone(), config: opened.config().clone(), bundle, charts })
    }

    pub(super) fn contents(&self) -> Contents<'_> {
        Contents::of(&self.bundle, self.charts.clone(), Some(&self.release), &self.config)
    }
}
