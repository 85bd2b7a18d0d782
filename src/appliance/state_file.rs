//! The file that holds the state. After a crash it is the whole old or the whole new state. A damaged file is kept under
//! another name, unless it says what was verified: then it is an error.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::State;
use super::trusted::TRUST;

/// Largest state file that is read, in bytes.
const LIMIT: u64 = 64 << 20;
/// The consequence of a state that cannot be used.
const UNKNOWN: &str = "an older answer of the channel cannot be recognized";
/// Number of attempts to take a lock that another program holds, and the pause between them.
const ATTEMPTS: usize = 40;
const PAUSE: Duration = Duration::from_millis(50);

/// Content of a state file.
pub trait StateContent: Clone + Default + PartialEq {
    /// Reads the bytes of a file, and returns whether another program may have written them.
    ///
    /// # Errors
    /// When the bytes do not have the form of the content.
    fn read(json: &[u8]) -> Result<(Self, bool), serde_json::Error>;

    /// Returns the bytes of the file.
    fn write(&self) -> Vec<u8>;
}

impl StateContent for State {
    fn read(json: &[u8]) -> Result<(Self, bool), serde_json::Error> {
        Self::parse_noting(json)
    }

    fn write(&self) -> Vec<u8> {
        self.to_json()
    }
}

/// Place of the state file.
#[derive(Clone, Debug)]
pub struct StateFile<S = State> {
    path: PathBuf,
    /// Whether a damaged file is an error.
    strict: bool,
    content: PhantomData<S>,
}

/// An error while the state file is read or written.
#[derive(Debug, thiserror::Error)]
#[error("failed to {attempted} the state {path}")]
pub struct StateError {
    attempted: &'static str,
    path: String,
    #[source]
    source: io::Error,
}

impl StateError {
    /// Returns whether the path names something else than a file.
    pub fn is_other_kind(&self) -> bool {
        self.source.kind() == io::ErrorKind::InvalidInput
    }

    /// Reports whether another program held the lock of the file for too long.
    pub fn is_busy(&self) -> bool {
        self.source.kind() == io::ErrorKind::WouldBlock
    }

    /// Reports whether the file exists and is damaged.
    pub fn is_damage(&self) -> bool {
        self.source.kind() == io::ErrorKind::InvalidData
    }
}

impl<S: StateContent> StateFile<S> {
    /// Returns the state file at `path`, which need not exist. Its directory is created at the first write.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), strict: false, content: PhantomData }
    }

    /// Makes a damaged file an error. Without what it says, statements that are older than the last one would be accepted
    /// again.
    #[must_use]
    pub fn strict(self) -> Self {
        Self { strict: true, ..self }
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

    /// Returns the state, or an empty state if the file does not exist. The text warns of a file that is damaged, or is not a state.
    ///
    /// # Errors
    /// Returns an error when the file exists but cannot be read, or when it is damaged and says what was verified.
    pub fn read(&self) -> Result<(S, Option<String>), StateError> {
        let bytes = match self.bytes() {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok((S::default(), None)),
            Err(cause) => return Err(self.error("read", cause)),
            Ok(bytes) => bytes,
        };
        let path = self.path.display();
        let reason = match S::read(&bytes) {
            Ok((_, true)) if self.strict => "the file has no releases".to_owned(),
            Ok((state, is_foreign)) if bytes.len() as u64 <= LIMIT => {
                let text = || format!("the state {path} has no releases and counts as empty: {UNKNOWN}");
                return Ok((state, is_foreign.then(text)));
            }
            Ok(_) => "the file is larger than 64 MiB".to_owned(),
            Err(cause) => cause.to_string(),
        };
        if self.strict || mentions(&bytes, TRUST) {
            return Err(
                self.error("read", io::Error::new(io::ErrorKind::InvalidData, format!("it is damaged: {reason}")))
            );
        }
        let aside = self.beside("", ".corrupt");
        let kept = match fs::rename(&self.path, &aside) {
            Ok(()) => format!("was renamed to {}", aside.display()),
            Err(cause) => format!("cannot be renamed ({cause})"),
        };
        let text = format!("the state {path} is damaged ({reason}) and {kept}: {UNKNOWN} this time");
        Ok((S::default(), Some(text)))
    }

    /// Reads the bytes of a regular file. A device or a pipe is an error: it is not a damaged state, and it must not be
    /// renamed.
    fn bytes(&self) -> io::Result<Vec<u8>> {
        if !fs::metadata(&self.path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a regular file"));
        }
        let mut bytes = Vec::new();
        File::open(&self.path)?.take(LIMIT + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Changes the present state while holding a lock, so that two programs at the same time do not undo each other's
    /// changes.
    ///
    /// # Errors
    /// Returns an error when the file cannot be written, or when another program holds the lock for too long. The file
    /// is then unchanged.
    pub fn update(&self, change: impl FnOnce(&mut S)) -> Result<(), StateError> {
        let mut change = Some(change);
        self.update_once(&mut |state| {
            if let Some(change) = change.take() {
                change(state);
            }
        })
    }

    /// Does the work of [`Self::update`]. Not a function of the type of `change`, whose code would exist once for each.
    fn update_once(&self, change: &mut dyn FnMut(&mut S)) -> Result<(), StateError> {
        let failed = |cause| self.error("write", cause);
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
            file.write_all(&state.write())?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            directory.sync_all()
        };
        write().map_err(failed)
    }
}

/// Reports whether damaged JSON has a key. Quotes in the text of a release have a backslash before them.
fn mentions(json: &[u8], key: &str) -> bool {
    let key = format!("\"{key}\":");
    json.windows(key.len()).any(|part| part == key.as_bytes())
}

fn lock(directory: &File) -> io::Result<()> {
    for _ in 0..ATTEMPTS {
        match directory.try_lock() {
            Ok(()) => return Ok(()),
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            Err(fs::TryLockError::Error(cause)) => return Err(cause),
        }
    }
    Err(io::Error::new(io::ErrorKind::WouldBlock, "another program is writing the state"))
}
