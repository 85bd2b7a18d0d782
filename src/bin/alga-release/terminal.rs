//! Asks for passwords at the terminal, without showing them.

use std::fs::File;
use std::io::{self, Write as _};

use alga_release::signing;
use alga_release::system::Terminal;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::SecretString;

/// The terminal that controls this process, wherever its standard streams lead.
#[derive(Clone, Copy, Debug)]
pub struct Controlling;

impl Terminal for Controlling {
    fn secret(&self, prompt: &str) -> io::Result<Option<SecretString>> {
        let Ok(terminal) = File::options().read(true).write(true).open("/dev/tty") else { return Ok(None) };
        // Silent before it asks: keys that are typed at once are neither shown nor lost.
        let silenced = Silenced::new(&terminal)?;
        (&terminal).write_all(prompt.as_bytes())?;
        let line = signing::typed_line(&terminal);
        drop(silenced);
        (&terminal).write_all(b"\n")?;
        line.map(Some)
    }
}

/// A terminal that shows nothing and passes every key on, until this value is dropped.
struct Silenced<'t> {
    terminal: &'t File,
    before: Termios,
}

impl<'t> Silenced<'t> {
    fn new(terminal: &'t File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut modes = before.clone();
        // Without signals: one that ends the program would leave the terminal silent.
        modes.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        tcsetattr(terminal, OptionalActions::Flush, &modes)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silenced<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}
