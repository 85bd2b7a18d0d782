//! Pushes one image without a release.

use std::sync::Mutex;

use super::attach::Attachment;
use super::desired::DesiredArtifact;
use super::execute::{Contents, Executor, Run};
use super::execute_error::ExecuteError;
use super::planner::Plan;
use super::progress::Progress;

/// Carries out `plan`, which pushes one artifact under its tag, and its referrers before it.
///
/// # Errors
/// See [`ExecuteError`].
pub(crate) async fn execute_push(
    plan: &Plan,
    desired: &DesiredArtifact,
    attachments: &[Attachment],
    executor: &Executor<'_>,
    progress: &dyn Progress,
) -> Result<(), ExecuteError> {
    let artifacts = attachments.iter().map(|one| &one.artifact).chain([&desired.artifact]);
    let contents = Contents { artifacts: artifacts.map(|artifact| (artifact.digest(), artifact)).collect() };
    let run = Run { plan, contents, damaged: &[], attachments, executor, progress, done: Mutex::default() };
    let pushed = async {
        run.write(None, async { Ok(()) }).await?;
        run.read_one(desired).await
    };
    pushed.await.map_err(|error: ExecuteError| error.of_image(desired))
}

impl ExecuteError {
    /// Returns the error in terms of the one pushed image, without a version or a channel.
    fn of_image(self, image: &DesiredArtifact) -> Self {
        let (what, source) = match self {
            Self::Stopped { source, .. } => ("cannot be pushed", source),
            Self::NotReadable { source, .. } => ("cannot be read back", source),
            other => return other,
        };
        Self::Image { reference: format!("{}:{}", image.repository, image.tag), what, source }
    }
}
