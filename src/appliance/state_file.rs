//! The file of the state. Killed anywhere, it is the whole old or the whole new one; what cannot be read is kept aside.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::State;

/// Largest file that is read.
const LIMIT: u64 = 64 << 20;
/// How often a lock that another program holds is tried, and how long it is waited for between.
const ATTEMPTS: usize = 40;
const PAUSE: Duration = Duration::from_millis(50);

/// Where the state is.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
}

/// A state that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{attempted} the state {path}")]
pub struct StateError {
    attempted: &'static str,
    path: String,
    #[source]
    source: io::Error,
}

impl StateFile {
    /// At `path`, where nothing need be yet; its directory is made when something is written.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn error(&self, attempted: &'static str, source: io::Error) -> StateError {
        StateError { attempted, path: self.path.display().to_string(), source }
    }

    fn beside(&self, before: &str, after: &str) -> PathBuf {
        let mut name = OsString::from(before);
        name.push(self.path.file_name().unwrap_or_default());
        name.push(after);
        self.path.with_file_name(name)
    }

    fn directory(&self) -> &Path {
        self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// The state, empty where there is none; and what became of a file that is no state.
    ///
    /// # Errors
    /// When there is a file and it cannot be read at all.
    pub fn read(&self) -> Result<(State, Option<String>), StateError> {
        let bytes = match self.bytes() {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok((State::default(), None)),
            Err(cause) => return Err(self.error("reading", cause)),
            Ok(bytes) => bytes,
        };
        let reason = match State::parse(&bytes) {
            Ok(state) if bytes.len() as u64 <= LIMIT => return Ok((state, None)),
            Ok(_) => "it is larger than 64 MiB".to_owned(),
            Err(cause) => cause.to_string(),
        };
        let aside = self.beside("", ".corrupt");
        let kept = match fs::rename(&self.path, &aside) {
            Ok(()) => format!("kept as {}", aside.display()),
            Err(cause) => format!("and it cannot be kept aside: {cause}"),
        };
        Ok((State::default(), Some(format!("the state {} is damaged ({reason}), {kept}", self.path.display()))))
    }

    /// Of a file alone: what is a device or a pipe is nobody's state, never damaged, and never to be kept aside.
    fn bytes(&self) -> io::Result<Vec<u8>> {
        if !fs::metadata(&self.path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
        }
        let mut bytes = Vec::new();
        File::open(&self.path)?.take(LIMIT + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Changes the state as it is by now, alone: of two programs at once none undoes what the other has written.
    ///
    /// # Errors
    /// When it cannot be written, or another program holds it for too long. The file is as it was then.
    pub fn update(&self, change: impl FnOnce(&mut State)) -> Result<(), StateError> {
        let failed = |cause| self.error("writing", cause);
        fs::create_dir_all(self.directory()).map_err(failed)?;
        let directory = File::open(self.directory()).map_err(failed)?;
        lock(&directory).map_err(failed)?;
        let (mut state, _) = self.read()?;
        let before = state.clone();
        change(&mut state);
        if state == before {
            return Ok(());
        }
        let new = self.beside(".", ".new");
        let write = || -> io::Result<()> {
            let mut file = File::create(&new)?;
            file.write_all(&state.to_json())?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            directory.sync_all()
        };
        write().map_err(failed)
    }
}

fn lock(directory: &File) -> io::Result<()> {
    for _ in 0..ATTEMPTS {
        match directory.try_lock() {
            Ok(()) => return Ok(()),
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            Err(fs::TryLockError::Error(cause)) => return Err(cause),
        }
    }
    Err(io::Error::new(io::ErrorKind::WouldBlock, "another program is writing it"))
}
