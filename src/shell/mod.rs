//! What a person at a shell needs of a program: how a command line goes on, what is wrong with one, the commands that come next, and
//! manual pages. All are made from the same description of the command line that parses it, so that none can fall behind.
//!
//! The scripts for bash, zsh and fish are small and ask the program for every word. They are our own because `clap_complete` either
//! writes everything into a static script, which cannot know the channels of a store, or is unstable (its feature
//! `unstable-dynamic`), does not tell a completer which other flags are on the line (so that `--store` is unknown), and splits
//! words at `:` in bash, as in `localhost:5000` and `oci-layout:DIR`.

mod complete;
mod line;
mod manual;
mod mistake;

pub use complete::{Completed, Values, complete};
pub use line::{carrying_out, quoted};
pub use manual::{Page, pages};
pub use mistake::Mistake;

use clap::ValueEnum;

/// A shell that a completion script exists for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// bash 3.2 and later.
    Bash,
    /// zsh 5 and later.
    Zsh,
    /// fish 3 and later.
    Fish,
}

impl Shell {
    /// Returns the script that a shell sources.
    pub fn script(self) -> &'static str {
        match self {
            Self::Bash => include_str!("complete.bash"),
            Self::Zsh => include_str!("complete.zsh"),
            Self::Fish => include_str!("complete.fish"),
        }
    }
}
