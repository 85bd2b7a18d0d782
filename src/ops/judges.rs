//! Runs helm and kubectl on a release, for the checks of its contents.

use serde::Deserialize;

use super::rendered::{Renderers, answers};
use super::{Context, Error};
use crate::diff::rendered::Contents;
use crate::lint::{Answer, Judge};

/// Whether helm and kubectl are run on a release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Render {
    /// Runs neither, so that the verdict is the same on every machine.
    #[default]
    Off,
    /// Runs those that are on the `PATH`.
    Auto,
    /// Runs both, and fails when one is missing.
    Require,
}

/// Answers of the programs about the objects of a release.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub answers: Vec<Answer>,
    pub judges: Vec<Judge>,
}

impl Render {
    /// Runs the programs. Callers handle [`Render::Off`] themselves.
    ///
    /// # Errors
    /// When a program that must be asked is missing, or no temporary files can be written.
    pub(super) async fn ask(self, contents: Contents, context: &Context) -> Result<Judged, Error> {
        let renderers = Renderers::find(context);
        let missing = renderers.missing().into_iter().map(|name| Judge {
            name: name.to_owned(),
            version: None,
            not_asked: Some("it is not on the PATH".to_owned()),
        });
        let missing: Vec<Judge> = missing.collect();
        self.all_answer(&missing)?;
        let (answers, mut judges) = answers(&renderers, contents, context).await?;
        self.all_answer(&judges)?;
        judges.extend(missing);
        Ok(Judged { answers, judges })
    }

    /// Refuses a program that did not answer, where all must.
    fn all_answer(self, judges: &[Judge]) -> Result<(), Error> {
        let silent = judges.iter().find_map(|judge| Some((judge, judge.not_asked.as_ref()?)));
        match silent.filter(|_| self == Self::Require) {
            Some((judge, reason)) => Err(Error::NoJudge { program: judge.name.clone(), reason: reason.clone() }),
            None => Ok(()),
        }
    }
}
