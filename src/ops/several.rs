//! Several errors of one operation as one error, so that a person corrects all of them before the next run.

use super::Error;

impl Error {
    /// Returns one error for all of these, of which there is at least one.
    pub(super) fn of_all(mut errors: Vec<Self>) -> Self {
        match errors.pop() {
            Some(only) if errors.is_empty() => only,
            last => {
                errors.extend(last);
                Self::Several(errors)
            }
        }
    }

    /// Returns one error for all of these.
    ///
    /// # Errors
    /// When there is at least one.
    pub(super) fn unless_empty(errors: Vec<Self>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self::of_all(errors)) }
    }
}
